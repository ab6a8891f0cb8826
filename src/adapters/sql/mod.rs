//! The stores of `ports/store.rs` over SQL; diesel is known here alone.
//!
//! The bodies of the transactions (`uploads.rs`, `files.rs`, `listing.rs`, `chats.rs`, `settings.rs`, `events.rs`) are
//! plain async functions over [`Conn`], the same for every engine. What is SQLite's own is in `sqlite.rs` and in the
//! hooks of this file. Not here: rules (`domain/`), the tables (`migrations/`).

use std::{io, path::Path, sync::Arc};

use diesel::{
    SqliteConnection,
    result::{DatabaseErrorKind, Error},
};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;

use crate::ports::{Stop, StoreError};

mod chats;
mod events;
mod files;
mod listing;
mod pairing;
mod rows;
mod schema;
mod settings;
mod sqlite;
mod statement;
mod store;
mod uploads;

/// What the bodies run on.
type Conn = SyncConnectionWrapper<SqliteConnection, sqlite::Inline>;
/// Its SQL.
type Backend = diesel::sqlite::Sqlite;

/// How the n-th bound value (from 1) is written.
fn placeholder(_n: usize) -> String {
    "?".to_owned()
}

/// Names the index that a table is read by: SQLite has no statistics here to choose well with.
fn by_index(name: &str) -> String {
    format!(" INDEXED BY {name}")
}

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

    /// An orderly end: what was asked before is done and answered, what is asked later is `Unavailable`. Returns when
    /// the file is closed.
    pub async fn close(&self) {
        let engine = Arc::clone(&self.engine);
        // A panic in there would be a thread's, and is swallowed there.
        let _ = tokio::task::spawn_blocking(move || engine.close()).await;
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
            _ => judge_text(text),
        }
    }
}

/// SQLite's codes do not come through the driver: its messages, constants of its source, must do.
fn judge_text(text: String) -> StoreError {
    let has = |part: &str| text.contains(part);
    if has("is locked") {
        StoreError::Conflict(text)
    } else if has("disk is full") {
        StoreError::NoSpace(text)
    } else if has("disk I/O error")
        || has("unable to open")
        || has("readonly")
        || has("malformed")
        || has("out of memory")
    {
        StoreError::Unavailable(io::Error::other(text))
    } else {
        StoreError::Refused(text)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error.into())
    }
}

#[cfg(test)]
mod tests;
