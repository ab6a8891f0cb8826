//! All rules on SQLite, and what is its own.
//!
//! Not here: the rules themselves, a file for each subject, and the world that they are tried in (`super`).

use super::{super::on_sqlite as bodies, *};

fn world() -> World {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Box::new(open(&dir));
    world_of(store, dir, None)
}

#[path = "chats.rs"]
mod chats;
#[path = "depth.rs"]
mod depth;
#[path = "engine.rs"]
mod engine;
#[path = "explain_sqlite.rs"]
mod explain;
#[path = "files.rs"]
mod files;
#[path = "keys.rs"]
mod keys;
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
