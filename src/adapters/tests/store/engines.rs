//! The engines that the contract is held against, each with a store of its own for every rule.
//!
//! Not here: the rules, and the cluster of PostgreSQL (`tests/it/harness/postgres.rs`).

use std::sync::LazyLock;

use self::cluster::cluster;
use super::{World, world_of};
use crate::adapters::{
    memory::MemoryStore,
    sql::{PostgresStore, SqliteStore},
};

#[path = "../../../../tests/it/harness/postgres.rs"]
pub mod cluster;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// In memory.
pub async fn in_memory() -> World {
    let store = MemoryStore::default();
    World { memory: Some(store.clone()), ..world_of(Box::new(store), folder(), None) }
}

/// On a file.
pub async fn on_sqlite() -> World {
    let dir = folder();
    let store = Box::new(open(&dir));
    world_of(store, dir, None)
}

/// On a database of its own.
pub async fn on_postgres() -> World {
    let database = database();
    let store = PostgresStore::open(&cluster().url(&database)).await.expect("opens");
    world_of(Box::new(store), folder(), Some(database))
}

/// The store in this folder.
pub fn open(dir: &tempfile::TempDir) -> SqliteStore {
    SqliteStore::open(&dir.path().join("lhfile.sqlite")).expect("opens")
}

/// A database with our tables, to be copied: faster than migrating each time.
static TEMPLATE: LazyLock<String> = LazyLock::new(|| {
    let database = cluster().create_database("template0");
    let url = cluster().url(&database);
    let migrated = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { PostgresStore::open(&url).await.expect("migrates").close().await });
    });
    migrated.join().expect("no panic");
    database
});

/// A new database of PostgreSQL with our tables and nothing in them.
pub fn database() -> String {
    cluster().create_database(&TEMPLATE)
}
