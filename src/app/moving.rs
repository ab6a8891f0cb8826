//! Moving house while people go in and out: the database to another one, the bytes to another store.
//!
//! Each copies while the service goes on, again and again, until little differs; then `read_only` holds the service still
//! for the last of it, and what was copied is compared with what it was copied from. Whatever ends a move in between, the
//! next one goes on where it was. Read `switch.rs`, then `database.rs` (with `rows.rs`) and `blobs.rs` (with
//! `one_blob.rs`). Not here: which database and which store (`server/moving.rs`), and what people see (`cli/migrate/`).

use crate::ports::{BlobError, Stop, StoreError};

mod blobs;
mod database;
mod one_blob;
mod rows;
mod switch;

pub use blobs::{BlobsMove, BlobsMoved, Loss, filling_id};
pub use database::{DatabaseMove, DatabaseMoved};
pub use rows::Compared;
pub use switch::{ACTOR, Switch, TakenBack};

/// How often a copy is repeated while the service goes on. After so many rounds it changes faster than it is copied.
const ROUNDS: u32 = 10;

/// How far a move goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Copied as far as it can be while the service goes on.
    Prepared,
    /// To the end: `read_only`, and the other one is the one that counts.
    Switched,
}

/// Who is told how far a move is.
pub trait Progress: Send + Sync {
    /// A stretch of work begins, over so many things, and bytes where these count.
    fn begin(&self, what: &str, things: u64, bytes: Option<u64>);
    /// So much of it is done.
    fn advance(&self, things: u64, bytes: u64);
    /// The stretch has ended.
    fn end(&self);
    /// A line for people.
    fn tell(&self, line: &str);
}

/// Why a move does not go on, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// It would do harm.
    #[error("{0}")]
    Refused(String),
    /// A database.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// A database that is moved to.
    #[error("the target: {0}")]
    Target(#[source] StoreError),
    /// A store of bytes that is moved to.
    #[error("the target: {0}")]
    Bytes(#[source] BlobError),
    /// The store of bytes that is moved from.
    #[error("the source: {0}")]
    Source(#[source] BlobError),
}

impl From<Stop> for MoveError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal) => Self::Refused(refusal.to_string()),
            Stop::Failed(error) => Self::Store(error),
        }
    }
}

fn refused<T>(why: impl Into<String>) -> Result<T, MoveError> {
    Err(MoveError::Refused(why.into()))
}
