//! The port to runs, method by method: which body, and whether it writes.
//!
//! Not here: what the bodies do (`runs.rs`, `plans.rs`, `expiring.rs`).

use std::time::Instant;

use async_trait::async_trait;
use futures_util::FutureExt;

use super::{SqlStore, expiring, plans, runs, store::timed};
use crate::{
    domain::{
        Caller, FileId, FileView, PlanId, RunId, Time,
        retention::Facts,
        run::{Checkpoint, Plan, PlannedFile, Run, RunState, TaskReport},
    },
    ports::{BegunRun, ClockSays, Expired, NewPlan, NewRun, RunLease, RunStore, Stop, StoreError},
    telemetry::names,
};

#[async_trait]
impl RunStore for SqlStore {
    async fn judge_clock(&self, now: Time, confirmed: bool) -> Result<ClockSays, StoreError> {
        timed!(self.write, "judge_clock", |conn| runs::judge_clock(conn, now, confirmed))
    }

    async fn begin_plan(&self, new: NewPlan) -> Result<Plan, Stop> {
        timed!(self.write, "begin_plan", |conn| plans::begin(conn, new))
    }

    async fn grow_plan(&self, id: PlanId, limit: i64) -> Result<bool, StoreError> {
        timed!(self.write, "grow_plan", |conn| plans::grow(conn, id, limit))
    }

    async fn end_plan(&self, id: PlanId) -> Result<Plan, Stop> {
        timed!(self.write, "end_plan", |conn| plans::end(conn, id))
    }

    async fn find_plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError> {
        timed!(self.read, "find_plan", |conn| plans::find(conn, id))
    }

    async fn list_plan_files(&self, id: PlanId, after: Checkpoint, limit: u32) -> Result<Vec<PlannedFile>, StoreError> {
        timed!(self.read, "list_plan_files", |conn| plans::list_files(conn, id, after, limit))
    }

    async fn begin_run(&self, new: NewRun) -> Result<BegunRun, Stop> {
        timed!(self.write, "begin_run", |conn| runs::begin(conn, new))
    }

    async fn find_run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        timed!(self.read, "find_run", |conn| runs::find(conn, id))
    }

    async fn list_runs(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, Run)>, StoreError> {
        timed!(self.read, "list_runs", |conn| runs::list(conn, before, limit))
    }

    async fn cancel_run(&self, id: RunId) -> Result<Run, Stop> {
        timed!(self.write, "cancel_run", |conn| runs::cancel(conn, id))
    }

    async fn last_tick(&self) -> Result<Option<Time>, StoreError> {
        timed!(self.read, "last_tick", |conn| runs::last_tick(conn))
    }

    async fn take_run(
        &self,
        node: &str,
        own: bool,
        now: Time,
        lease_secs: i64,
    ) -> Result<Option<(Run, RunLease)>, StoreError> {
        let node = node.to_owned();
        timed!(self.write, "take_run", |conn| runs::take(conn, node, own, now, lease_secs))
    }

    async fn renew_run(&self, lease: RunLease, now: Time, lease_secs: i64) -> Result<bool, Stop> {
        timed!(self.write, "renew_run", |conn| runs::renew(conn, lease, now, lease_secs))
    }

    async fn note_task(&self, lease: RunLease, report: TaskReport) -> Result<(), Stop> {
        timed!(self.write, "note_task", |conn| runs::note_task(conn, lease, report))
    }

    async fn end_run(&self, lease: RunLease, state: RunState, now: Time) -> Result<(), Stop> {
        timed!(self.write, "end_run", |conn| runs::end(conn, lease, state, now))
    }

    async fn expire_batch(&self, lease: RunLease, limit: u32, now: Time) -> Result<Expired, Stop> {
        timed!(self.write, "expire_batch", |conn| expiring::expire_batch(conn, lease, limit, now))
    }

    async fn trim_runs(&self, keep_secs: i64, now: Time, limit: i64) -> Result<u64, StoreError> {
        timed!(self.write, "trim_runs", |conn| runs::trim(conn, keep_secs, now, limit))
    }

    async fn find_facts(
        &self,
        file: FileId,
        caller: &Caller,
        now: Time,
    ) -> Result<Option<(FileView, Facts, Time)>, StoreError> {
        let caller = caller.clone();
        timed!(self.read, "find_facts", |conn| expiring::find_facts(conn, file, &caller, now))
    }
}
