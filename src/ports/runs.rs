//! The port to runs of maintenance and their plans: each method is one transaction.
//!
//! A run is carried out by one node at a time: it holds a lease with a fence, and whatever it writes is refused as `FENCED`
//! once another node has taken the run over. Times are the database's own where nodes share it; where one node has it for
//! itself they are the node's, held against the highest it has seen ([`RunStore::judge_clock`]).
//!
//! Not here: the order of tasks (`app/maintenance.rs`), and the rule ([`crate::domain::retention`]).

use async_trait::async_trait;

use super::{Stop, StoreError};
use crate::domain::{
    Actor, Caller, FileView, PlanId, RequestId, RunId, Time,
    retention::{Facts, Rule},
    run::{Checkpoint, Plan, PlannedFile, Run, RunState, Task, TaskReport, Trigger},
};

/// A plan to be made.
#[derive(Debug, Clone)]
pub struct NewPlan {
    /// Its id.
    pub id: PlanId,
    /// By which rule.
    pub rule: Rule,
    /// The rule was proposed.
    pub proposed: bool,
    /// Its token.
    pub token: String,
    /// Who asks.
    pub by: Actor,
    /// What time this node believes it is.
    pub now: Time,
}

/// A run to be made.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub id: RunId,
    /// The client's name for it.
    pub request_id: Option<RequestId>,
    /// What makes it.
    pub trigger: Trigger,
    /// A plan to be carried out, with the token that was shown for it.
    pub plan: Option<(PlanId, String)>,
    /// The settings' rule, for a run without a plan.
    pub rule: Rule,
    /// What to do, in order, none twice.
    pub tasks: Vec<Task>,
    /// Who asks.
    pub by: Actor,
    /// Which node carries it out.
    pub node: String,
    /// What time this node believes it is.
    pub now: Time,
    /// How long its lease holds, in seconds.
    pub lease_secs: i64,
}

/// The right to carry a run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunLease {
    /// Which run.
    pub run: i64,
    /// Grows with every node that takes it.
    pub fence: i64,
}

/// How a run begins.
#[derive(Debug, Clone)]
pub enum BegunRun {
    /// It is this node's to carry out.
    Started(Box<Run>, RunLease),
    /// The same person asked for it before by the same request id, or its tick has its run.
    Before(Box<Run>),
}

/// What a batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// How far the task is now.
    pub report: TaskReport,
    /// There may be more.
    pub more: bool,
    /// There are more, which only the guard keeps.
    pub kept_by_guard: bool,
    /// The run was asked to end.
    pub cancelled: bool,
}

/// What the clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockSays {
    /// What time it is.
    Now(Time),
    /// It is so far ahead of the highest time seen that somebody must confirm it ([`crate::domain::run::CLOCK_JUMP_SECS`]).
    Jumped,
}

/// Runs and plans.
#[async_trait]
pub trait RunStore: Send + Sync + 'static {
    /// What time it is, by the one clock that counts, and notes it. `confirmed`: whatever it was before.
    async fn judge_clock(&self, now: Time, confirmed: bool) -> Result<ClockSays, StoreError>;

    /// Begins a plan without files; answers it with its guard. `CLOCK_JUMPED` as [`RunStore::judge_clock`] says; `BUSY` if
    /// there are [`crate::domain::run::MOST_PLANS`].
    async fn begin_plan(&self, new: NewPlan) -> Result<Plan, Stop>;
    /// Looks at the next files, the oldest first, at most `limit`, and adds those that the rule deletes; answers whether
    /// there may be more.
    async fn grow_plan(&self, id: PlanId, limit: i64) -> Result<bool, StoreError>;
    /// It has all its files, and can be run; answers it with its groups.
    async fn end_plan(&self, id: PlanId) -> Result<Plan, Stop>;
    /// A plan that has all its files, ended ones too as long as they are remembered.
    async fn find_plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError>;
    /// Its files after a place in it, the oldest first.
    async fn list_plan_files(&self, id: PlanId, after: Checkpoint, limit: u32) -> Result<Vec<PlannedFile>, StoreError>;

    /// Writes the row of a run. `RUN_IN_PROGRESS` names the one that is; `PLAN_EXPIRED`, `CONFIRMATION_NEEDED`, `NOT_FOUND`
    /// for its plan; `REQUEST_ID_REUSED` for one that asked for something else.
    async fn begin_run(&self, new: NewRun) -> Result<BegunRun, Stop>;
    /// The run by its id.
    async fn find_run(&self, id: RunId) -> Result<Option<Run>, StoreError>;
    /// Runs by their number, the newest first.
    async fn list_runs(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, Run)>, StoreError>;
    /// Asks it to end; answers it as it is. One that has ended stays as it is.
    async fn cancel_run(&self, id: RunId) -> Result<Run, Stop>;
    /// The newest tick that has a run.
    async fn last_tick(&self) -> Result<Option<Time>, StoreError>;

    /// Takes the running one whose lease is over; with `own` also one that this node's earlier life left, whatever its lease.
    async fn take_run(
        &self,
        node: &str,
        own: bool,
        now: Time,
        lease_secs: i64,
    ) -> Result<Option<(Run, RunLease)>, StoreError>;
    /// Has the lease hold so many seconds from now on; answers whether the run was asked to end. `FENCED`.
    async fn renew_run(&self, lease: RunLease, now: Time, lease_secs: i64) -> Result<bool, Stop>;
    /// Stores how far a task is. `FENCED`.
    async fn note_task(&self, lease: RunLease, report: TaskReport) -> Result<(), Stop>;
    /// Ends the run. `FENCED`.
    async fn end_run(&self, lease: RunLease, state: RunState, now: Time) -> Result<(), Stop>;
    /// Deletes the next files of the run's task [`Task::Expire`] after its checkpoint, the oldest first, at most `limit`,
    /// judged again by the rule inside the transaction, each with its event; stores checkpoint and counts with them. A row
    /// that makes no sense is counted as failed, and stops no other. `FENCED`.
    async fn expire_batch(&self, lease: RunLease, limit: u32, now: Time) -> Result<Expired, Stop>;

    /// Forgets ended runs that began so many seconds ago or earlier, and plans past their end with their files; at most
    /// `limit` rows. Answers how many.
    async fn trim_runs(&self, keep_secs: i64, now: Time, limit: i64) -> Result<u64, StoreError>;
    /// What the rule asks of a file, with the file as this caller sees it, whatever its state; and what time it is.
    async fn find_facts(
        &self,
        file: crate::domain::FileId,
        caller: &Caller,
        now: Time,
    ) -> Result<Option<(FileView, Facts, Time)>, StoreError>;
}
