//! A run carried out: its tasks one after the other, under a lease that another node takes over when this one dies.
//!
//! Each task is idempotent and goes on where it was. Whoever lost the lease is refused by the database with the next thing
//! it writes, and stops. Not here: what a batch deletes (`adapters/`, by [`crate::domain::retention`]).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::super::{App, Error, PurgeBatch, vitals};
use crate::{
    domain::{
        Reason, Refusal, Time,
        run::{Outcome, Run, RunState, Task, TaskReport},
    },
    ports::{ClockSays, Expired, RunLease, Stop, StoreError},
};

/// How long a run's lease holds, in seconds.
pub const LEASE_SECS: i64 = 60;
/// How often it is renewed, and how often a node looks for runs that nobody carries out any more.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// After a failure, how soon it is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(1);
/// A run that is to end, and whose step does not, is given back after this: it is ended by who takes it up.
const CANCELLED_WITHIN: Duration = Duration::from_secs(120);
/// How often the time is noted while nothing else is done: a service that has been off for days tells it by this.
const NOTE_CLOCK_EVERY: Duration = Duration::from_secs(3_600);
/// Files deleted by one transaction.
const BATCH: u32 = 1_000;
/// Files purged by one transaction, and blobs whose bytes are removed then.
const PURGE: u32 = 200;
/// Of the time of a purge beside which nothing is uploaded one part in so many is a pause, for those who begin.
const IDLE_SHARE: u32 = 10;
/// Rows forgotten by one transaction.
const TRIM: i64 = 1_000;
/// See [`TRIM`].
const TRIM_EVENTS: u32 = 1_000;
/// A step that fails is tried again so often, with pauses that grow to the longest: about three minutes.
const ATTEMPTS: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What ended a step, as the database would say it.
pub(super) fn stop(error: Error) -> Stop {
    match error {
        Error::Refused(refusal) => Stop::Refused(refusal),
        Error::Store(error) => Stop::Failed(error),
        other => Stop::Failed(StoreError::Unavailable(std::io::Error::other(other))),
    }
}

impl App {
    /// Carries a run out beside the calls. At an orderly end its lease ends, too, so that another node goes on at once.
    pub(super) fn carry(self: &Arc<Self>, run: &Run, lease: RunLease) {
        let (app, run) = (Arc::clone(self), run.clone());
        self.tasks.spawn(async move {
            let carried = tokio::select! {
                () = app.stop.cancelled() => app.store.renew_run(lease, app.clock.now(), 0).await.map(drop),
                carried = app.carry_on(&run, lease) => carried,
                lost = app.keep_run(lease) => Err(lost),
            };
            if app.is_moved() {
                // Whatever became of it here: another node need not wait for the lease.
                let _ = app.store.renew_run(lease, app.clock.now(), 0).await;
            }
            match carried {
                Ok(()) => {}
                Err(Stop::Refused(refusal)) => tracing::warn!(run = %run.id, %refusal, "a run of maintenance stops here"),
                Err(Stop::Failed(error)) => {
                    tracing::warn!(run = %run.id, %error, "a run of maintenance stops here; a node goes on with it soon");
                }
            }
        });
    }

    /// Renews the lease until it is lost; or given back, where a step hears nothing of a cancel: a disk that hangs would
    /// keep all maintenance from running as long as this node lives.
    async fn keep_run(&self, lease: RunLease) -> Stop {
        let mut pause = RENEW_EVERY;
        let mut cancelled: Option<Instant> = None;
        loop {
            tokio::time::sleep(pause).await;
            let given_back = cancelled.is_some_and(|since| since.elapsed() >= CANCELLED_WITHIN);
            let secs = if given_back { 0 } else { LEASE_SECS };
            pause = match self.store.renew_run(lease, self.clock.now(), secs).await {
                Ok(_) if given_back => {
                    let told = "it was cancelled, and its step does not end: its lease is given back";
                    return Refusal::new(Reason::Fenced).because(told).into();
                }
                Ok(asked) => {
                    cancelled = cancelled.or_else(|| asked.then(Instant::now));
                    RENEW_EVERY
                }
                Err(Stop::Refused(lost)) => return lost.into(),
                Err(Stop::Failed(error)) => {
                    tracing::warn!(%error, "the lease of a run could not be renewed; it is tried again");
                    RENEW_AGAIN
                }
            };
        }
    }

    /// While the node lives: runs taken over whose node died, at first those of its own earlier life, and the time noted.
    pub(in super::super) async fn mind_runs(self: Arc<Self>) {
        let mut noted: Option<Instant> = None;
        let mut own = true;
        loop {
            if self.is_moved() {
                tokio::time::sleep(RENEW_EVERY).await;
                continue;
            }
            let now = self.clock.now();
            if noted.is_none_or(|at| at.elapsed() >= NOTE_CLOCK_EVERY) {
                match self.store.judge_clock(now, false).await {
                    Ok(ClockSays::Now(_)) => {
                        noted = Some(Instant::now());
                        self.trim_plans().await;
                        self.forget_checks().await;
                    }
                    Ok(ClockSays::Jumped) => {
                        noted = Some(Instant::now());
                        tracing::warn!(
                            "the clock is more than 48 hours ahead of what it was: maintenance deletes nothing until a \
                             run confirms it (lhfile maintenance run --confirm-clock)"
                        );
                    }
                    Err(error) => tracing::debug!(%error, "the time could not be noted"),
                }
            }
            match self.store.take_run(&self.node, own, now, LEASE_SECS).await {
                Ok(Some((run, lease))) => {
                    own = false;
                    tracing::info!(run = %run.id, "a run of maintenance is taken over: its node does not answer for it");
                    self.carry(&run, lease);
                }
                Ok(None) => own = false,
                Err(error) => tracing::debug!(%error, "runs could not be asked for"),
            }
            tokio::time::sleep(RENEW_EVERY).await;
        }
    }

    /// Plans are made where no run ever forgets them, too.
    async fn trim_plans(&self) {
        loop {
            match self.store.trim_runs(i64::MAX, self.clock.now(), TRIM).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => return tracing::debug!(%error, "ended plans could not be forgotten"),
            }
        }
    }

    async fn carry_on(self: &Arc<Self>, run: &Run, lease: RunLease) -> Result<(), Stop> {
        let mut cancelled = run.tasks.iter().any(|report| report.outcome == Outcome::Cancelled);
        let mut failed = run.tasks.iter().any(|report| report.outcome == Outcome::Failed);
        for report in run.tasks.iter().filter(|report| !report.outcome.is_end()) {
            let mut report = *report;
            if !cancelled {
                report.outcome = Outcome::Running;
                self.retried(|| self.store.note_task(lease, report)).await?;
                report = self.carry_out(run, lease, report).await?;
                cancelled = report.outcome == Outcome::Cancelled;
            }
            if cancelled {
                report.outcome = Outcome::Cancelled;
            }
            self.retried(|| self.store.note_task(lease, report)).await?;
            failed |= report.outcome == Outcome::Failed;
            vitals::count_task(&report);
        }
        let state = if cancelled { RunState::Cancelled } else { RunState::Done };
        crate::fault_point!("M8");
        self.retried(|| self.store.end_run(lease, state, self.clock.now())).await?;
        crate::fault_point!("M9");
        vitals::count_run(state, failed);
        self.tell_vitals_once().await;
        Ok(())
    }

    /// A task to its end. What the database or the store refuses again and again ends it, and no other.
    async fn carry_out(
        self: &Arc<Self>,
        run: &Run,
        lease: RunLease,
        mut report: TaskReport,
    ) -> Result<TaskReport, Stop> {
        let done = match report.task {
            Task::Expire => self.expire(run, lease, &mut report).await,
            Task::Purge => self.purge(lease, &mut report).await,
            Task::AbortUploads => self.abort_uploads(lease, &mut report).await,
            Task::Sweep => self.sweep(lease, &mut report).await,
            Task::Check => self.check(lease, &mut report).await,
            Task::Rescan => self.run_rescan(lease, &mut report).await,
            Task::Trim => self.trim(lease, &mut report).await,
        };
        report.outcome = match done {
            Ok(outcome) => outcome,
            Err(Error::Refused(refusal)) if refusal.reason == Reason::Fenced => return Err(refusal.into()),
            Err(error) if error.reason() == Some(Reason::ReadOnly) => Outcome::ReadOnly,
            Err(error) => {
                tracing::error!(run = %run.id, task = report.task.name(), %error, "a task of maintenance has failed");
                Outcome::Failed
            }
        };
        Ok(report)
    }

    /// Files deleted by the rule, batch by batch. Between two batches those who wait for the database have it.
    async fn expire(&self, run: &Run, lease: RunLease, report: &mut TaskReport) -> Result<Outcome, Error> {
        if self.judged_time().await?.is_none() {
            return Ok(Outcome::ClockJumped);
        }
        let mut told = Instant::now();
        loop {
            let begun = Instant::now();
            crate::fault_point!("M3");
            let batch = self.retried(|| self.store.expire_batch(lease, BATCH, self.clock.now())).await?;
            let Expired { report: after, more, kept_by_guard, cancelled } = batch;
            *report = after;
            crate::fault_point!("M5");
            if cancelled {
                return Ok(Outcome::Cancelled);
            }
            if kept_by_guard {
                tracing::warn!(
                    run = %run.id, deleted = report.done,
                    "more files are old enough than are deleted without a word: see lhfile maintenance plan"
                );
                return Ok(Outcome::GuardReached);
            }
            if !more {
                return Ok(Outcome::Done);
            }
            if told.elapsed() > RENEW_EVERY {
                told = Instant::now();
                tracing::info!(run = %run.id, deleted = report.done, bytes = report.bytes, "maintenance is deleting");
            }
            tokio::time::sleep(begun.elapsed() / 4).await;
        }
    }

    /// What time it is; `None`: by a clock that has jumped ahead. What cannot be brought back is judged by the time that was
    /// asked for just before: a clock may jump while a run is under way.
    async fn judged_time(&self) -> Result<Option<Time>, Error> {
        let says = self.retried(|| async { Ok(self.store.judge_clock(self.clock.now(), false).await?) }).await?;
        Ok(match says {
            ClockSays::Now(now) => Some(now),
            ClockSays::Jumped => None,
        })
    }

    /// Files whose grace is over, and bytes that nobody needs. What was deleted together is to be removed together, years of
    /// it perhaps: while this node takes uploads, half of the time is left to them.
    async fn purge(&self, lease: RunLease, report: &mut TaskReport) -> Result<Outcome, Error> {
        loop {
            if self.retried(|| self.store.renew_run(lease, self.clock.now(), LEASE_SECS)).await? {
                return Ok(Outcome::Cancelled);
            }
            let Some(now) = self.judged_time().await? else { return Ok(Outcome::ClockJumped) };
            let begun = Instant::now();
            let batch = self.retried(|| async { self.purge_batch(PURGE, now).await.map_err(stop) }).await?;
            let PurgeBatch { files, blobs: _, bytes, failed, more } = batch;
            report.done += files;
            report.bytes += bytes;
            report.failed = failed;
            if !more {
                return Ok(Outcome::Done);
            }
            let told = *report;
            self.retried(|| self.store.note_task(lease, told)).await?;
            let share = if self.alive.list().is_empty() { IDLE_SHARE } else { 1 };
            tokio::time::sleep(begun.elapsed() / share).await;
        }
    }

    async fn abort_uploads(&self, lease: RunLease, report: &mut TaskReport) -> Result<Outcome, Error> {
        loop {
            if self.retried(|| self.store.renew_run(lease, self.clock.now(), LEASE_SECS)).await? {
                return Ok(Outcome::Cancelled);
            }
            crate::fault_point!("M7");
            let (ended, failed) = self.end_dead_uploads().await?;
            report.done += ended;
            report.failed = failed;
            if ended == 0 {
                return Ok(Outcome::Done);
            }
        }
    }

    /// What nobody asks for any more. By a clock that is ahead of itself nothing is old.
    async fn trim(&self, lease: RunLease, report: &mut TaskReport) -> Result<Outcome, Error> {
        let settings = self.settings();
        let secs = |days: i64| days.saturating_mul(86_400);
        let (runs_for, events_for) = (secs(settings.run_days), secs(settings.event_days));
        loop {
            if self.retried(|| self.store.renew_run(lease, self.clock.now(), LEASE_SECS)).await? {
                return Ok(Outcome::Cancelled);
            }
            let Some(now) = self.judged_time().await? else { return Ok(Outcome::ClockJumped) };
            let runs = self.retried(|| async { Ok(self.store.trim_runs(runs_for, now, TRIM).await?) }).await?;
            let ids = self.retried(|| async { Ok(self.store.trim_request_ids(now).await?) }).await?;
            let events = self.retried(|| async { Ok(self.store.trim_events(events_for, now, TRIM_EVENTS).await?) });
            let checks = self.retried(|| async { Ok(self.store.trim_checks(now, TRIM).await?) }).await?;
            let gone = runs + ids + checks + events.await?;
            report.done += gone;
            if gone == 0 {
                return Ok(Outcome::Done);
            }
        }
    }

    /// A step, tried again while the database does not answer. What a rule refuses is not.
    pub(super) async fn retried<T, F>(&self, step: impl Fn() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, Stop>>,
    {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            if self.is_moved() {
                // The files are elsewhere now: a node that is there goes on.
                return Err(Reason::Fenced.into());
            }
            match step().await {
                Err(Stop::Failed(
                    error @ (StoreError::Unavailable(_) | StoreError::Conflict(_) | StoreError::NoSpace(_)),
                )) => {
                    tracing::warn!(%error, "a step of maintenance failed; it is tried again");
                }
                answer => return answer,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        step().await
    }
}
