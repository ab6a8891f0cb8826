//! The database as configured, and the name under which this node is known there.
//!
//! Not here: the engines (`adapters/sql/`).

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ServeError, clock::SharedClock};
use crate::{
    adapters::sql::{DatabaseAt, PostgresStore, SqliteStore},
    config::{Config, DatabasePlace},
    ports::{Changes, Ids, MovedStore, Store},
};

/// The database's file in the data folder.
const FILE: &str = "lhfile.db";
/// The file of this node's name in the data folder.
const NAME: &str = "node";
/// How a server is called that has its database for itself: whatever is begun there was begun by it.
const ALONE: &str = "local";

/// An open database.
pub(super) enum Database {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

impl Database {
    /// Opens what the configuration names; makes or migrates its tables.
    pub(super) async fn open(config: &Config) -> Result<Self, ServeError> {
        Self::open_at(at(config)).await
    }

    /// Opens the one that is there; makes or migrates its tables.
    pub(super) async fn open_at(at: DatabaseAt) -> Result<Self, ServeError> {
        match at {
            DatabaseAt::Sqlite(file) => {
                let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&file)).await;
                Ok(Self::Sqlite(opened.map_err(|e| ServeError::Start(e.to_string()))??))
            }
            DatabaseAt::Postgres(url) => Ok(Self::Postgres(PostgresStore::open(&url).await?)),
        }
    }

    /// What a move asks.
    pub(super) fn moved(&self) -> Arc<dyn MovedStore> {
        match self {
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    /// What the service asks.
    pub(super) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
        }
    }

    /// The clock by which its files age, where there may be other nodes with clocks of their own.
    pub(super) async fn clock(&self) -> Result<Option<Arc<SharedClock>>, ServeError> {
        Ok(match self {
            Self::Sqlite(_) => None,
            Self::Postgres(store) => Some(SharedClock::ask(store.clone()).await?),
        })
    }

    /// What tells of other nodes' changes, where there may be others.
    pub(super) fn changes(config: &Config) -> Result<Option<Arc<dyn Changes>>, ServeError> {
        Ok(match config.database_url.place() {
            DatabasePlace::DataFolder => None,
            DatabasePlace::Postgres(url) => Some(Arc::new(PostgresStore::changes(url)?)),
        })
    }

    /// An orderly end.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

/// The file of a database in the data folder.
pub(super) fn file(config: &Config) -> PathBuf {
    config.data_dir.join(FILE)
}

/// Where the configured database is.
pub(super) fn at(config: &Config) -> DatabaseAt {
    match config.database_url.place() {
        DatabasePlace::DataFolder => in_folder(&config.data_dir),
        DatabasePlace::Postgres(url) => DatabaseAt::Postgres(url.to_owned()),
    }
}

/// Where the database of a data folder is.
pub(super) fn in_folder(data_dir: &Path) -> DatabaseAt {
    DatabaseAt::Sqlite(data_dir.join(FILE))
}

/// The name of this node, by which it knows its own uploads after a restart. Among many it is random, made once and kept
/// in the data folder: a data folder that is copied to another node must be copied without it. Blocking, short.
pub(super) fn node_name(config: &Config, ids: &dyn Ids) -> io::Result<String> {
    if config.database_url.place() == DatabasePlace::DataFolder {
        return Ok(ALONE.to_owned());
    }
    let path = config.data_dir.join(NAME);
    match fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        // Empty: a start was killed while it wrote, and nothing was begun under it.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let name = data_encoding::HEXLOWER.encode(&ids.random());
    // Complete before it is used: an intent under a name that is lost is recovered by others, after its lease.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(name.as_bytes())?;
    file.sync_all()?;
    Ok(name)
}
