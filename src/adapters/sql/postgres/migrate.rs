//! Makes or migrates the tables, by one node at a time.
//!
//! Not here: the steps themselves (`migrations/postgres/`, whose rules are in `migrations/README.md`).

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _, async_connection_wrapper::AsyncConnectionWrapper};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _, embed_migrations};

use super::unavailable;
use crate::ports::StoreError;

pub(super) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Runs the steps that never ran. Nodes that start at once wait for each other here, and only the first finds something
/// to do. The lock is the session's: it ends with the connection, however that ends.
pub(super) async fn run(mut conn: AsyncPgConnection) -> Result<(), StoreError> {
    // A step may take longer than any statement of a call, and so may waiting for it. 'lhmi', as a number.
    conn.batch_execute("SET statement_timeout = 0").await?;
    conn.batch_execute("SELECT pg_advisory_lock(1818783081)").await?;
    let steps = tokio::task::spawn_blocking(move || {
        let mut conn: AsyncConnectionWrapper<AsyncPgConnection> = AsyncConnectionWrapper::from(conn);
        conn.run_pending_migrations(MIGRATIONS)
            .map(|_| ())
            .map_err(|e| StoreError::Refused(format!("the migrations failed: {e}")))
    });
    steps.await.map_err(unavailable)?
}
