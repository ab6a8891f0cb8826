//! Which database, as configured: a URL, which may hold a password and is therefore never shown.
//!
//! Not here: what the URL may say beyond its beginning (`adapters/sql/postgres/connect.rs`).

use std::fmt;

use serde::Deserialize;

use super::{Config, ConfigError};

/// How a PostgreSQL URL may begin.
const POSTGRES: [&str; 2] = ["postgres://", "postgresql://"];

/// Where the database is.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

/// Which engine, where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DatabasePlace<'c> {
    /// SQLite, a file in the data folder.
    DataFolder,
    /// PostgreSQL, by its URL.
    Postgres(&'c str),
}

/// Without user and password, so that a configuration may be logged.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DatabaseUrl").field(&self.0.split_once("://").map_or("sqlite", |_| "postgres://…")).finish()
    }
}

impl DatabaseUrl {
    /// Which engine it names.
    pub fn place(&self) -> DatabasePlace<'_> {
        if POSTGRES.iter().any(|p| self.0.starts_with(p)) {
            DatabasePlace::Postgres(&self.0)
        } else {
            DatabasePlace::DataFolder
        }
    }
}

impl Config {
    pub(super) fn judge_database(&self) -> Result<(), ConfigError> {
        let url = self.database_url.0.as_str();
        if !url.is_empty() && url != "sqlite" && self.database_url.place() == DatabasePlace::DataFolder {
            return Err(ConfigError::new(
                "database_url is none of sqlite and postgres://USER:PASSWORD@HOST/NAME: set one of these",
            ));
        }
        let postgres = matches!(self.database_url.place(), DatabasePlace::Postgres(_));
        if postgres && self.secret_file.as_os_str().is_empty() {
            return Err(ConfigError::new(
                "database_url names PostgreSQL, which many nodes may share, and secret_file is empty: links and pages of \
                 one node would mean nothing to another. Make a secret once (`openssl rand -hex 32`), put it into a file \
                 of mode 0600 on each node, and set secret_file",
            ));
        }
        Ok(())
    }
}
