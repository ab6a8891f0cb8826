//! The rescan as a task of a run of maintenance: the same walk, until nothing is left or the hour's budget is spent.
//!
//! Not here: runs (`app/maintenance/`), and the walk (`walking.rs`).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    super::{App, Error, maintenance::RUN_LEASE_SECS},
    walking::{Ended, Tally, Watched},
};
use crate::{
    domain::run::{Outcome, TaskReport},
    ports::{RunLease, Stop},
};

/// A scanner, or another node's walk, is waited for so long since the last blob.
const WAIT: Duration = Duration::from_secs(60);
/// How often it is asked for, and the run for its end.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A run, which can be cancelled, and tells how far it is.
struct OfRun<'a> {
    app: &'a App,
    lease: RunLease,
    report: TaskReport,
    asked: Option<Instant>,
}

impl OfRun<'_> {
    fn told(&self, tally: &Tally) -> TaskReport {
        TaskReport { done: tally.blobs, bytes: tally.bytes, failed: tally.failed, ..self.report }
    }
}

#[async_trait]
impl Watched for OfRun<'_> {
    async fn may_go_on(&mut self, tally: &Tally) -> Result<bool, Stop> {
        if self.asked.is_some_and(|at| at.elapsed() < ASK_EVERY) {
            return Ok(true);
        }
        self.asked = Some(Instant::now());
        let (store, now) = (&self.app.store, self.app.clock.now());
        let cancelled = store.renew_run(self.lease, now, RUN_LEASE_SECS).await?;
        store.note_task(self.lease, self.told(tally)).await?;
        Ok(!cancelled)
    }
}

impl App {
    /// The task RESCAN of a run.
    pub(in super::super) async fn run_rescan(
        self: &Arc<Self>,
        lease: RunLease,
        report: &mut TaskReport,
    ) -> Result<Outcome, Error> {
        let mut until = Instant::now() + WAIT;
        let mut tally = Tally { blobs: report.done, bytes: report.bytes, failed: report.failed };
        loop {
            let turn = tokio::time::timeout_at(until, self.rescanning.take_turn()).await;
            let mut of_run = OfRun { app: self, lease, report: *report, asked: None };
            if !of_run.may_go_on(&tally).await? {
                return Ok(Outcome::Cancelled);
            }
            let Ok(_turn) = turn else { return Ok(Outcome::Done) };
            let before = tally;
            let ended = self.walk_blobs(&mut of_run, &mut tally).await;
            *report = of_run.told(&tally);
            if tally != before {
                until = Instant::now() + WAIT;
            }
            let over = Instant::now() >= until;
            match ended? {
                Ended::AllDone | Ended::Off => return Ok(Outcome::Done),
                Ended::BudgetSpent(_) => return Ok(Outcome::BudgetSpent),
                Ended::Asked => return Ok(Outcome::Cancelled),
                Ended::NoScanner if over && self.scanning.judging().is_err() => {
                    tracing::warn!("no scanner works: blobs are scanned anew later");
                    return Ok(Outcome::Failed);
                }
                // The background goes on.
                Ended::Elsewhere | Ended::NoScanner | Ended::Changed if over => return Ok(Outcome::Done),
                Ended::Elsewhere | Ended::NoScanner | Ended::Changed => tokio::time::sleep(ASK_EVERY).await,
            }
        }
    }
}
