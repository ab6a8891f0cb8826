//! All rules on a real PostgreSQL, and what is its own.
//!
//! Not here: the rules themselves, a file for each subject, the world that they are tried in (`super`), and the cluster
//! (`tests/it/harness/postgres.rs`).

#![expect(clippy::duplicate_mod, reason = "each rule is written once and tried on both engines")]

use std::sync::{Arc, LazyLock};

use super::{
    super::{
        on_postgres as bodies,
        postgres::{Engine, Server},
    },
    *,
};

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

fn database() -> String {
    cluster().create_database(&TEMPLATE)
}

fn connect(url: &str) -> PostgresStore {
    let target = Server::parse(url).expect("a URL");
    PostgresStore { engine: Arc::new(Engine::over(target).expect("a pool")) }
}

fn world() -> World {
    let database = database();
    let store = Box::new(connect(&cluster().url(&database)));
    world_of(store, tempfile::tempdir().expect("a folder"), Some(database))
}

#[path = "chats.rs"]
mod chats;
#[path = "depth.rs"]
mod depth;
#[path = "engine_postgres.rs"]
mod engine;
#[path = "explain_postgres.rs"]
mod explain;
#[path = "files.rs"]
mod files;
#[path = "keys.rs"]
mod keys;
#[path = "listen_postgres.rs"]
mod listen;
#[path = "lists.rs"]
mod lists;
#[path = "pairing.rs"]
mod pairing;
#[path = "plans.rs"]
mod plans;
#[path = "races.rs"]
mod races;
#[path = "settings.rs"]
mod settings;
#[path = "uploads.rs"]
mod uploads;
