//! Whether the database can be used as it is configured.
//!
//! Not here: what is in it, which only the running server tells (`service.rs`).

use super::Finding;
use crate::{
    adapters::sql::PostgresStore,
    config::{Config, DatabasePlace},
};

const CHECK: &str = "database";

/// Asks a PostgreSQL what it is; changes nothing.
pub(super) async fn ask(config: &Config) -> Finding {
    match config.database_url.place() {
        DatabasePlace::DataFolder => Finding::ok(CHECK, "SQLite, a file in the data folder"),
        DatabasePlace::Postgres(url) => match PostgresStore::look(url).await {
            Ok(told) => Finding::ok(CHECK, told),
            Err(error) => {
                let next = "see database_url in examples/lhfile.toml; is the server up, does it let this user in?";
                Finding::fail(CHECK, error.to_string(), next)
            }
        },
    }
}
