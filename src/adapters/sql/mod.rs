//! The stores of `ports/store.rs` over SQL; diesel is known here alone.
//!
//! The bodies of the transactions (`uploads.rs`, `content.rs`, `files.rs`, `listing.rs`, `chats.rs`, `settings.rs`,
//! `keys.rs`, `pairing.rs`, `purging.rs`, `events.rs`) are plain async functions over a `Conn`, written once and compiled once for each engine:
//! `on_sqlite.rs` and `on_postgres.rs` name the connection and the few words in which the engines differ. What runs the
//! bodies is `sqlite.rs` (threads, group commit) and `postgres/` (pool, retries, lost commits).
//!
//! SQLite has one writer, so a body there is alone. On PostgreSQL many run at once, under READ COMMITTED with row locks:
//! whatever decides is read by `changing!` or `holding!`, and waits for whoever changes it. The order is uploads, chats
//! (by id), files (by number), blobs, events, so that two bodies do not wait for each other in a circle; where they do,
//! the engine ends one and it is run again. Not here: rules (`domain/`), the tables (`migrations/`).

use std::{io, path::Path, sync::Arc};

use diesel::result::{DatabaseErrorKind, Error};
use futures_util::FutureExt as _;

use crate::{
    domain::{BlobKey, Time},
    ports::{Changes, Stop, StoreClaim, StoreError},
};

mod key_row;
mod on_postgres;
mod on_sqlite;
mod postgres;
mod rows;
mod schema;
mod sqlite;
mod tables;

pub use tables::{DatabaseAt, OneMove, Steps, tables};

/// The stores over one SQLite file. Cheap to clone; [`SqliteStore::close`] ends all clones.
#[derive(Clone)]
pub struct SqliteStore {
    engine: Arc<sqlite::Engine>,
}

impl SqliteStore {
    /// Opens the file, makes it or migrates it. Refuses if commits would not be durable (WAL, `synchronous=FULL`).
    /// Blocks for as long as a migration takes: call it before serving, or off the async threads.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { engine: Arc::new(sqlite::Engine::open(path)?) })
    }

    /// What a database that is there says of its store of bytes: its claim, and keys that it names. Changes nothing.
    /// Blocks.
    pub fn look_pairing(path: &Path) -> Result<(Option<StoreClaim>, Vec<BlobKey>), StoreError> {
        sqlite::look_pairing(path)
    }

    /// An orderly end: what was asked before is done and answered, what is asked later is `Unavailable`. Returns when
    /// the file is closed.
    pub async fn close(&self) {
        let engine = Arc::clone(&self.engine);
        // A panic in there would be a thread's, and is swallowed there.
        let _ = tokio::task::spawn_blocking(move || engine.close()).await;
    }
}

/// The stores over a PostgreSQL database, which many nodes may share. Cheap to clone; [`PostgresStore::close`] ends all
/// clones.
#[derive(Clone)]
pub struct PostgresStore {
    engine: Arc<postgres::Engine>,
}

/// What a look at a PostgreSQL server shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The server and the database.
    pub told: String,
    /// Standbys that no commit waits for: one that takes over lacks the last of what was acknowledged.
    pub lossy_standbys: u64,
}

impl PostgresStore {
    /// Connects, migrates if need be. Refuses a server that is too old, or whose commits would not be durable.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self { engine: Arc::new(postgres::Engine::open(url).await?) })
    }

    /// Which server answers there, for people, and what it would lose. Changes nothing.
    pub async fn look(url: &str) -> Result<Looked, StoreError> {
        postgres::look(url).await
    }

    /// What a database that is there says of its store of bytes: its claim, and keys that it names. Changes nothing.
    pub async fn look_pairing(url: &str) -> Result<(Option<StoreClaim>, Vec<BlobKey>), StoreError> {
        on_postgres::pairing::look(&mut postgres::Server::parse(url)?.connect().await?).await
    }

    /// What time it is there, by the one clock that all its nodes share.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn time(&self) -> Result<Time, StoreError> {
        self.engine.read(|conn| async { on_postgres::time(conn, Time(0)).await }.boxed()).await
    }

    /// What other nodes change, told as it happens, over a connection of its own.
    ///
    /// # Errors
    /// A URL that none can be made of.
    pub fn changes(url: &str) -> Result<impl Changes, StoreError> {
        Ok(postgres::Listener::new(&postgres::Server::parse(url)?))
    }

    /// An orderly end: what was asked before is done and answered, what is asked later is `Unavailable`.
    pub async fn close(&self) {
        self.engine.close().await;
    }
}

/// The one place that judges what an engine's error means.
impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let Error::DatabaseError(kind, info) = &error else { return StoreError::Refused(error.to_string()) };
        let text = info.message().to_owned();
        match kind {
            DatabaseErrorKind::UniqueViolation => StoreError::Duplicate(text),
            DatabaseErrorKind::SerializationFailure => StoreError::Conflict(text),
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                StoreError::Unavailable(io::Error::new(io::ErrorKind::NotConnected, text))
            }
            // A server that became a standby: the writing one is elsewhere.
            DatabaseErrorKind::ReadOnlyTransaction => StoreError::Unavailable(io::Error::other(text)),
            _ => judge_text(text),
        }
    }
}

/// What only the text tells: the driver keeps SQLite's codes to itself, and of PostgreSQL's all but a few. Both are
/// constants of their sources; that PostgreSQL speaks English is seen to for each connection (`postgres/connect.rs`).
fn judge_text(text: String) -> StoreError {
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    // A trigger of ours.
    if has(&["lhfile: read_only"]) {
        StoreError::ReadOnly
    // PostgreSQL: 40P01.
    } else if has(&["is locked", "deadlock detected"]) {
        StoreError::Conflict(text)
    // PostgreSQL: 53100, which tells the system's own words.
    } else if has(&["disk is full", "No space left on device", "Disk quota exceeded"]) {
        StoreError::NoSpace(text)
    } else if has(SQLITE_DOWN) || has(POSTGRES_DOWN) {
        StoreError::Unavailable(io::Error::other(text))
    } else {
        StoreError::Refused(text)
    }
}

const SQLITE_DOWN: &[&str] = &["disk I/O error", "unable to open", "readonly", "malformed", "out of memory"];

/// The rest of class 53 (no resources), 57 (an operator or a timeout stepped in), 58 (the system failed), and 25P03.
const POSTGRES_DOWN: &[&str] = &[
    "out of shared memory",
    "too many clients",
    "remaining connection slots are reserved",
    "too many connections",
    "canceling statement due to",
    "terminating connection",
    "the database system is",
    "cannot connect now",
    "could not open file",
    "could not read",
    "could not write",
    "could not extend file",
    "could not fsync file",
    "connection closed",
];

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error.into())
    }
}

#[cfg(test)]
mod tests;
