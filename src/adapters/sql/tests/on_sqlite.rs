//! What is SQLite's own.
//!
//! Not here: the world it is tried in (`super`).

use super::{super::on_sqlite as bodies, *};

fn world() -> World {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Box::new(open(&dir));
    world_of(store, dir, None)
}

#[path = "bounds.rs"]
mod bounds;
#[path = "depth.rs"]
mod depth;
#[path = "engine.rs"]
mod engine;
#[path = "explain_sqlite.rs"]
mod explain;
#[path = "keys.rs"]
mod keys;
#[path = "plans.rs"]
mod plans;
#[path = "plans_quarantine.rs"]
mod plans_quarantine;
#[path = "predicate.rs"]
mod predicate;
