//! The bodies on SQLite: what they run on there, and its words where the engines differ.
//!
//! The twin of `on_postgres.rs`, in the same order. Not here: what the bodies do, and the threads that run them
//! (`sqlite.rs`).

use diesel::SqliteConnection;
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;

use self::statement::Statement;
use super::{SqliteStore as SqlStore, key_row, rows, schema, sqlite};
use crate::{
    domain::{Sha256, Time},
    ports::StoreError,
};

/// What the bodies run on.
pub(super) type Conn = SyncConnectionWrapper<SqliteConnection, sqlite::Inline>;
/// Its SQL.
pub(super) type Backend = diesel::sqlite::Sqlite;

/// A query whose rows this transaction may change, or whose change it forbids: here it is alone anyway.
macro_rules! changing {
    ($query:expr) => {
        $query
    };
}

/// As `changing`: here no other transaction changes any.
macro_rules! changing_free {
    ($query:expr) => {
        $query
    };
}

/// A query whose rows must stay as they are until the transaction's end: here nobody else could change them.
macro_rules! holding {
    ($query:expr) => {
        $query
    };
}

/// Locks the rows of `table` that a statement selects, for a change: here nobody else could change them.
async fn lock(_conn: &mut Conn, _table: &str, _rows: Statement) -> Result<(), StoreError> {
    Ok(())
}

/// Holds what is known of one content until the transaction's end: here nobody else could change it.
async fn hold_content(_conn: &mut Conn, _sha256: &Sha256) -> Result<(), StoreError> {
    Ok(())
}

/// Keeps what is known of one content for a change: here nobody else could hold it.
async fn change_content(_conn: &mut Conn, _sha256: &Sha256) -> Result<(), StoreError> {
    Ok(())
}

/// Nobody puts a hold until the transaction's end: here nobody else could.
async fn keep_holds(_conn: &mut Conn) -> Result<(), StoreError> {
    Ok(())
}

/// For putting a hold: here nobody else relies on there being none.
async fn change_holds(_conn: &mut Conn) -> Result<(), StoreError> {
    Ok(())
}

/// The moment that is so many seconds from now: the one node's own clock is all there is.
fn from_now(now: Time, secs: i64) -> i64 {
    now.plus_secs(secs).0
}

/// What time it is: the one node's own clock is all there is.
async fn time(_conn: &mut Conn, now: Time) -> Result<Time, StoreError> {
    Ok(now)
}

/// Tells every node that settings or keys changed: here there is no other.
async fn announce(_conn: &mut Conn) -> Result<(), StoreError> {
    Ok(())
}

/// Whether changes are refused.
async fn is_read_only(conn: &mut Conn) -> Result<bool, StoreError> {
    use super::schema::settings;
    use diesel::prelude::*;
    use diesel_async::RunQueryDsl;
    let set = settings::table.filter(settings::key.eq("read_only")).filter(settings::value.eq("true"));
    Ok(diesel::select(diesel::dsl::exists(set)).get_result(conn).await?)
}

/// Whether changes are refused, for one that writes no event: here nobody sets it meanwhile.
async fn is_read_only_by_now(conn: &mut Conn) -> Result<bool, StoreError> {
    is_read_only(conn).await
}

/// How the n-th bound value (from 1) is written.
fn placeholder(_n: usize) -> String {
    "?".to_owned()
}

/// Names the index that a table is read by: SQLite has no statistics here to choose well with.
fn by_index(name: &str) -> String {
    format!(" INDEXED BY {name}")
}

/// A text with its ASCII letters in lower case, all others as they are.
fn lower(column: &str) -> String {
    format!("lower({column})")
}

#[path = "candidates.rs"]
pub(super) mod candidates;
#[path = "chats.rs"]
pub(super) mod chats;
#[path = "checks.rs"]
pub(super) mod checks;
#[path = "content.rs"]
pub(super) mod content;
#[path = "copying.rs"]
pub(super) mod copying;
#[path = "copying/words_sqlite.rs"]
mod copying_words;
#[path = "events.rs"]
pub(super) mod events;
#[path = "expiring.rs"]
pub(super) mod expiring;
#[path = "files.rs"]
pub(super) mod files;
#[path = "finding_row.rs"]
mod finding_row;
#[path = "holds.rs"]
pub(super) mod holds;
#[path = "judging.rs"]
pub(super) mod judging;
#[path = "keys.rs"]
pub(super) mod keys;
#[path = "listing.rs"]
pub(super) mod listing;
#[path = "moving.rs"]
mod moving;
#[path = "pairing.rs"]
pub(super) mod pairing;
#[path = "plans.rs"]
pub(super) mod plans;
#[path = "releases.rs"]
pub(super) mod releases;
#[path = "rescan.rs"]
pub(super) mod rescan;
#[path = "rescan_store.rs"]
mod rescan_store;
#[path = "restoring.rs"]
pub(super) mod restoring;
#[path = "run_row.rs"]
mod run_row;
#[path = "run_store.rs"]
mod run_store;
#[path = "runs.rs"]
pub(super) mod runs;
#[path = "settings.rs"]
pub(super) mod settings;
#[path = "statement.rs"]
mod statement;
#[macro_use]
#[path = "store.rs"]
mod store;
// After the macro that they use.
#[path = "consistency.rs"]
pub(super) mod consistency;
#[path = "erasing.rs"]
pub(super) mod erasing;
#[path = "forgetting.rs"]
mod forgetting;
#[path = "purging.rs"]
pub(super) mod purging;
#[path = "stats.rs"]
pub(super) mod stats;
#[path = "uploads.rs"]
pub(super) mod uploads;
#[path = "vitals.rs"]
pub(super) mod vitals;
