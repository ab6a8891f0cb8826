//! What the database tells of how the service fares: the last good run, and what is in quarantine.
//!
//! Not here: what is made of it (`app/vitals.rs`).

use std::time::Instant;

use async_trait::async_trait;
use diesel::{
    dsl::{exists, not, sql},
    prelude::*,
    sql_types::Bool,
};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;

use super::{
    Conn, SqlStore,
    schema::{blobs, run_tasks, runs},
};
use crate::{
    domain::{
        Time,
        run::{Outcome, RunState, Task},
    },
    ports::{StoreError, Vitals, VitalsStore},
    telemetry::names,
};

/// The newest runs are few that were not good, so that one is found soon.
pub(in super::super) async fn load(conn: &mut Conn) -> Result<Vitals, StoreError> {
    let expired =
        run_tasks::table.filter(run_tasks::run_number.eq(runs::number)).filter(run_tasks::task.eq(Task::Expire.name()));
    let spoiled = run_tasks::table
        .filter(run_tasks::run_number.eq(runs::number))
        .filter(run_tasks::outcome.eq_any(Outcome::SPOILING.iter().map(|outcome| outcome.name())));
    let ended: Option<Option<i64>> = runs::table
        .filter(runs::number.lt(i64::MAX))
        .filter(runs::state.eq(RunState::Done.name()))
        .filter(exists(expired))
        .filter(not(exists(spoiled)))
        .order(runs::number.desc())
        .select(runs::ended_at)
        .first(conn)
        .await
        .optional()?;
    // As the index says it, which no bound value could.
    let quarantined = blobs::table.filter(sql::<Bool>("blobs.state = 'QUARANTINED'")).count();
    let quarantined: i64 = quarantined.get_result(conn).await?;
    Ok(Vitals { last_run_end: ended.flatten().map(Time), quarantined: quarantined.unsigned_abs() })
}

#[async_trait]
impl VitalsStore for SqlStore {
    async fn get_vitals(&self) -> Result<Vitals, StoreError> {
        timed!(self.read, "get_vitals", |conn| load(conn))
    }
}
