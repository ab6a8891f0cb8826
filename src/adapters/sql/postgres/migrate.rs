//! Makes or migrates the tables, by one node at a time.
//!
//! Not here: the steps themselves (`migrations/postgres/`, whose rules are in `migrations/README.md`).

use std::time::Duration;

use diesel::{QueryableByName, sql_types};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _, async_connection_wrapper::AsyncConnectionWrapper,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use super::unavailable;
use crate::ports::StoreError;

pub(in super::super) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// How often the lock is asked for.
const LOCK_PAUSE: Duration = Duration::from_millis(200);

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = sql_types::Bool)]
    locked: bool,
}

async fn try_lock(conn: &mut AsyncPgConnection) -> Result<bool, StoreError> {
    let locked: Locked =
        diesel::sql_query("SELECT pg_try_advisory_lock(1818783081) AS locked").get_result(conn).await?;
    Ok(locked.locked)
}

/// Runs the steps that never ran. Nodes that start at once wait for each other here, and only the first finds something
/// to do. The lock is the session's: it ends with the connection, however that ends.
pub(super) async fn run(mut conn: AsyncPgConnection) -> Result<(), StoreError> {
    // A step may take longer than any statement of a call, and so may waiting for it. 'lhmi', as a number.
    conn.batch_execute("SET statement_timeout = 0").await?;
    let mut told = false;
    while !try_lock(&mut conn).await? {
        if !std::mem::replace(&mut told, true) {
            tracing::info!("another node makes or migrates the tables: this one waits for it");
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    let steps = tokio::task::spawn_blocking(move || {
        let mut conn: AsyncConnectionWrapper<AsyncPgConnection> = AsyncConnectionWrapper::from(conn);
        conn.run_pending_migrations(MIGRATIONS)
            .map(|_| ())
            .map_err(|e| StoreError::Refused(format!("the migrations failed: {e}")))
    });
    steps.await.map_err(unavailable)?
}
