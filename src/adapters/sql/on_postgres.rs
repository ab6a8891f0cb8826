//! The bodies on PostgreSQL: what they run on there, and its words where the engines differ.
//!
//! The twin of `on_sqlite.rs`, in the same order. Not here: what the bodies do, and what runs them (`postgres/`).

#![expect(clippy::duplicate_mod, reason = "each body is written once and compiled for both engines")]

use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use self::statement::Statement;
use super::{PostgresStore as SqlStore, key_row, rows, schema};
use crate::{
    domain::{Sha256, Time},
    ports::StoreError,
};

/// What the bodies run on.
pub(super) type Conn = AsyncPgConnection;
/// Its SQL.
pub(super) type Backend = diesel::pg::Pg;

/// A query whose rows this transaction may change, or whose change it forbids. It waits for whoever has them, then sees
/// them as they are, and keeps them to the end. Not FOR UPDATE: no key ever changes, and foreign keys need not wait.
macro_rules! changing {
    ($query:expr) => {
        $query.for_no_key_update()
    };
}

/// As `changing`, without the rows that another transaction changes just now.
macro_rules! changing_free {
    ($query:expr) => {
        $query.for_no_key_update().skip_locked()
    };
}

/// A query whose rows must stay as they are until the transaction's end; many may hold the same one.
macro_rules! holding {
    ($query:expr) => {
        $query.for_share()
    };
}

/// Locks the rows of `table` that a statement selects, for a change, in the order in which it selects them.
async fn lock(conn: &mut Conn, table: &str, mut rows: Statement) -> Result<(), StoreError> {
    rows.sql(" FOR NO KEY UPDATE OF ").sql(table);
    rows.query().execute(conn).await?;
    Ok(())
}

/// Holds what is known of one content until the transaction's end, also of blobs that are not there yet; many may.
async fn hold_content(conn: &mut Conn, sha256: &Sha256) -> Result<(), StoreError> {
    content(conn, "SELECT pg_advisory_xact_lock_shared(", sha256).await
}

/// Keeps what is known of one content for a change, also of blobs that are not there yet: whoever holds it is waited for.
async fn change_content(conn: &mut Conn, sha256: &Sha256) -> Result<(), StoreError> {
    content(conn, "SELECT pg_advisory_xact_lock(", sha256).await
}

/// Nobody puts a hold until the transaction's end; many may ask that. 'lhho', as a number.
async fn keep_holds(conn: &mut Conn) -> Result<(), StoreError> {
    diesel::sql_query("SELECT pg_advisory_xact_lock_shared(1818781807)").execute(conn).await?;
    Ok(())
}

/// For putting a hold: whoever relies on there being no new one is waited for.
async fn change_holds(conn: &mut Conn) -> Result<(), StoreError> {
    diesel::sql_query("SELECT pg_advisory_xact_lock(1818781807)").execute(conn).await?;
    Ok(())
}

async fn content(conn: &mut Conn, lock: &str, sha256: &Sha256) -> Result<(), StoreError> {
    let [a, b, c, d, e, f, g, h, ..] = sha256.0;
    let mut locked = Statement::new(lock);
    locked.int(i64::from_be_bytes([a, b, c, d, e, f, g, h])).sql(")");
    locked.query().execute(conn).await?;
    Ok(())
}

diesel::define_sql_function! {
    /// Of `migrations/postgres/`: the database's own time with so many microseconds added.
    fn lhfile_from_now(micros: BigInt) -> BigInt;
}

/// The moment that is so many seconds from now, by the one clock that all nodes share.
fn from_now(_now: Time, secs: i64) -> lhfile_from_now<i64> {
    lhfile_from_now(secs.saturating_mul(Time::SECOND))
}

/// What time it is, by the one clock that all nodes share.
pub(super) async fn time(conn: &mut Conn, now: Time) -> Result<Time, StoreError> {
    Ok(Time(diesel::select(from_now(now, 0)).get_result(conn).await?))
}

/// Tells every node, when this transaction commits, that settings or keys changed (`postgres/listen.rs` hears it).
async fn announce(conn: &mut Conn) -> Result<(), StoreError> {
    diesel::sql_query(super::postgres::ANNOUNCE).execute(conn).await?;
    Ok(())
}

/// Whether changes are refused: here a trigger asks, under the lock of the writer of events.
async fn is_read_only(_conn: &mut Conn) -> Result<bool, StoreError> {
    Ok(false)
}

/// Whether changes are refused, for one that writes no event: as if it wrote one, so that nobody sets it meanwhile.
async fn is_read_only_by_now(conn: &mut Conn) -> Result<bool, StoreError> {
    use super::schema::settings;
    use diesel::{ExpressionMethods as _, QueryDsl as _};
    // The lock of the writer of events, as in the migrations.
    diesel::sql_query("SELECT pg_advisory_xact_lock(1818781046)").execute(conn).await?;
    let set = settings::table.filter(settings::key.eq("read_only")).filter(settings::value.eq("true"));
    Ok(diesel::select(diesel::dsl::exists(set)).get_result(conn).await?)
}

/// How the n-th bound value (from 1) is written.
fn placeholder(n: usize) -> String {
    format!("${n}")
}

/// Names the index that a table is read by: PostgreSQL finds it by its statistics.
fn by_index(_name: &str) -> String {
    String::new()
}

/// A text with its ASCII letters in lower case, all others as they are.
fn lower(column: &str) -> String {
    format!("lower({column} COLLATE \"C\")")
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
#[path = "copying/words_postgres.rs"]
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
