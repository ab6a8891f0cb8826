//! What is PostgreSQL's own, on a real one.
//!
//! Not here: the world it is tried in (`super`), and the cluster (`tests/it/harness/postgres.rs`).

#![expect(clippy::duplicate_mod, reason = "each is written once and tried on both engines")]

use super::{
    super::{
        on_postgres as bodies,
        postgres::{Engine, Server},
    },
    *,
};

fn connect(url: &str) -> PostgresStore {
    let target = Server::parse(url).expect("a URL");
    PostgresStore { engine: Arc::new(Engine::over(target).expect("a pool")) }
}

fn world() -> World {
    let database = database();
    let store = Box::new(connect(&cluster().url(&database)));
    world_of(store, tempfile::tempdir().expect("a folder"), Some(database))
}

#[path = "bounds.rs"]
mod bounds;
#[path = "depth.rs"]
mod depth;
#[path = "engine_postgres.rs"]
mod engine;
#[path = "explain_postgres.rs"]
mod explain;
#[path = "keys.rs"]
mod keys;
#[path = "listen_postgres.rs"]
mod listen;
#[path = "plans.rs"]
mod plans;
#[path = "plans_quarantine.rs"]
mod plans_quarantine;
#[path = "predicate.rs"]
mod predicate;
