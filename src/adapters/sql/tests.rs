//! What is an engine's own: its query plans, the bounds on what it looks at, group commit, the pool, lost commits.
//! `tests/on_sqlite.rs` and `tests/on_postgres.rs` each name what is tried on theirs.
//!
//! Not here: what every store must do (the contract, `adapters/tests/store.rs`, whose world is used here, too).

use std::sync::{Arc, atomic::Ordering};

use super::{PostgresStore, SqliteStore};
use crate::{
    adapters::tests::store::{
        engines::{
            cluster::{self, cluster},
            database, open,
        },
        *,
    },
    domain::{
        Actor, BlobKey, ChatStatus, Permission, Settings, Time, VerdictKind, admission::Target, listing::FileRef,
    },
    ports::{Begun, BytesAt, Commit, Dead, Intent, Stop, Store},
};

mod ages;
mod copies;
#[path = "../../../tests/it/harness/million.rs"]
mod million;
mod on_postgres;
mod on_sqlite;
mod proxy;
mod twins;
