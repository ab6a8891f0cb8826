//! Whether the database can be used as it is configured.
//!
//! Not here: what is in it, which only the running server tells (`service.rs`).

use super::Finding;
use crate::{
    adapters::sql::{Looked, PostgresStore},
    config::{Config, DatabasePlace},
};

const CHECK: &str = "database";

/// Asks a PostgreSQL what it is; changes nothing.
pub(super) async fn ask(config: &Config) -> Finding {
    match config.database_url.place() {
        DatabasePlace::DataFolder => Finding::ok(CHECK, "SQLite, a file in the data folder"),
        DatabasePlace::Postgres(url) => match PostgresStore::look(url).await {
            Ok(Looked { told, lossy_standbys: 0 }) => Finding::ok(CHECK, told),
            Ok(Looked { told, lossy_standbys }) => {
                let why = "a commit waits for none of them (synchronous_standby_names is empty), so that a fail-over to one \
                           loses the last uploads that were answered OK";
                let next = "set synchronous_standby_names = 'ANY 1 (*)' on the server, with two standbys or more";
                Finding::warn(CHECK, format!("{told}; it has {lossy_standbys} standby servers, and {why}"), next)
            }
            Err(error) => {
                let next = "see database_url in examples/lhfile.toml; is the server up, does it let this user in?";
                Finding::fail(CHECK, error.to_string(), next)
            }
        },
    }
}
