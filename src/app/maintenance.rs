//! Maintenance as it is asked for: planned, begun, watched, cancelled, told.
//!
//! Not here: the carrying out of a run (`maintenance/carrying.rs`), and which files a rule deletes
//! ([`crate::domain::retention`]).

use std::{sync::Arc, time::Duration};

use super::{
    App, Error,
    library::digest,
    outlive::outlive,
    seal::{Fields, Purpose, Reader},
};
use crate::{
    domain::{
        Actor, Caller, FileId, Permission, PlanId, Reason, Refusal, RequestId, RunId, Time, access,
        hold::is_unbounded,
        retention::{self, Kept, Rule},
        run::{Checkpoint, Plan, PlannedFile, Run, RunState, Task, Trigger},
    },
    ports::{BegunRun, NewPlan, NewRun},
};

mod carrying;
mod checking;
mod sweeping;
pub(super) use carrying::LEASE_SECS as RUN_LEASE_SECS;

/// Files that one transaction adds to a plan.
const PLAN_STEP: i64 = 5_000;
/// How often a watched run is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct RunAsked {
    /// A plan with the token that was told with it, if one was.
    pub plan: Option<(PlanId, String)>,
    /// These tasks; none: all.
    pub tasks: Vec<Task>,
    /// The client's name for the run.
    pub request_id: Option<RequestId>,
    /// The clock is right, however far it is ahead of what it was.
    pub confirm_clock: bool,
}

/// A plan with a page of its files.
#[derive(Debug, Clone)]
pub struct PlanPage {
    /// The plan.
    pub plan: Plan,
    /// Some of its files, the oldest first.
    pub files: Vec<PlannedFile>,
    /// Where the next page starts; empty at the end.
    pub next_token: String,
}

/// A page of runs.
#[derive(Debug, Clone)]
pub struct RunPage {
    /// The runs, the newest first.
    pub runs: Vec<Run>,
    /// Where the next page starts; empty at the end.
    pub next_token: String,
}

/// What maintenance would do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// Why it is kept; `None`: the next run deletes it.
    pub kept: Option<Kept>,
    /// For a young one from when on it is deleted; for a deleted one until when it can be restored.
    pub time: Option<Time>,
}

/// Maintenance is of all files: a caller of some chats only would plan, and delete, what it may not see.
pub(super) fn need_maintenance(caller: &Caller) -> Result<(), Refusal> {
    caller.need(&[Permission::MaintenanceRun])?;
    if is_unbounded(caller) {
        return Ok(());
    }
    Err(Refusal::new(Reason::MissingPermission)
        .because("maintenance is of all files: it needs a caller whose service may access all chats")
        .with("any_of", Permission::MaintenanceRun.name()))
}

impl App {
    /// Finds what a rule, that of the settings or a proposed one, would delete now.
    pub async fn plan_maintenance(&self, caller: &Caller, rule: Option<Rule>) -> Result<Plan, Error> {
        need_maintenance(caller)?;
        self.need_writable()?;
        let proposed = rule.is_some();
        let rule = match rule {
            Some(rule) => rule.judged()?,
            None => self.rule().await?,
        };
        let token = data_encoding::HEXLOWER.encode(&self.ids.random()[..8]);
        let id = PlanId(self.ids.random());
        let new = NewPlan { id, rule, proposed, token, by: Actor::from(caller), now: self.clock.now() };
        self.store.begin_plan(new).await?;
        while self.store.grow_plan(id, PLAN_STEP).await? {}
        Ok(self.store.end_plan(id).await?)
    }

    /// The rule as it is stored now, whatever this node has heard of it.
    pub(super) async fn rule(&self) -> Result<Rule, Error> {
        Ok(Rule::from(&self.store.load_settings().await?.settings))
    }

    /// A plan again, with some of its files.
    pub async fn get_plan(&self, caller: &Caller, id: PlanId, limit: u32, token: &str) -> Result<PlanPage, Error> {
        need_maintenance(caller)?;
        let bound = format!("plan\0{}\0{id}", caller.person);
        let after = if token.is_empty() { Checkpoint::START } else { self.place_of(token, &bound)? };
        let plan = self.store.find_plan(id).await?.ok_or_else(Refusal::not_found)?;
        if plan.expires_at <= self.clock.now() {
            return Err(Reason::PlanExpired.into());
        }
        let files = self.store.list_plan_files(id, after, limit).await?;
        let next_token = match files.last() {
            Some(PlannedFile { at, .. }) if files.len() == limit as usize => {
                let fields = Fields::default().field(&digest(&bound)).number(at.created_at.0).number(at.number);
                self.secrets.seal(Purpose::Page, &fields.done(), self.ids.random())
            }
            Some(_) | None => String::new(),
        };
        Ok(PlanPage { plan, files, next_token })
    }

    fn place_of(&self, token: &str, bound: &str) -> Result<Checkpoint, Refusal> {
        let open = || {
            let payload = self.secrets.open(Purpose::Page, token)?;
            let mut fields = Reader(&payload);
            (fields.field()? == digest(bound)).then_some(())?;
            Some(Checkpoint { created_at: Time(fields.number()?), number: fields.number()? })
        };
        open().ok_or(Refusal::new(Reason::BadPageToken))
    }

    /// Begins a run, which goes on whoever waits for it; or tells the one that was begun by the same request id.
    pub async fn run_maintenance(self: &Arc<Self>, caller: &Caller, asked: RunAsked) -> Result<Run, Error> {
        need_maintenance(caller)?;
        self.need_writable()?;
        let RunAsked { plan, mut tasks, request_id, confirm_clock } = asked;
        tasks.sort_unstable();
        tasks.dedup();
        if tasks.is_empty() {
            tasks = Task::ALL.to_vec();
        }
        if plan.is_some() && !tasks.contains(&Task::Expire) {
            return Err(Refusal::argument("plan_id", "plan_id needs the task EXPIRE, which carries a plan out").into());
        }
        if confirm_clock {
            self.store.judge_clock(self.clock.now(), true).await?;
        }
        self.begin_run(Trigger::Call, plan, tasks, request_id, Actor::from(caller)).await
    }

    /// Begins the run of a moment that `maintenance_cron` names. There is one for each moment, on whatever node.
    ///
    /// # Errors
    /// `READ_ONLY`, or `RUN_IN_PROGRESS` of another run: the moment stays due. The database fails.
    pub async fn run_by_cron(self: &Arc<Self>, tick: Time) -> Result<(), Error> {
        self.need_writable()?;
        self.begin_run(Trigger::Cron(tick), None, Task::ALL.to_vec(), None, Actor::SYSTEM).await.map(drop)
    }

    /// The newest moment of `maintenance_cron` that had its run.
    pub async fn last_tick(&self) -> Result<Option<Time>, Error> {
        Ok(self.store.last_tick().await?)
    }

    /// A begun run is carried on even if its caller leaves at once.
    async fn begin_run(
        self: &Arc<Self>,
        trigger: Trigger,
        plan: Option<(PlanId, String)>,
        tasks: Vec<Task>,
        request_id: Option<RequestId>,
        by: Actor,
    ) -> Result<Run, Error> {
        let new = NewRun {
            id: RunId(self.ids.random()),
            request_id,
            trigger,
            plan,
            rule: self.rule().await?,
            tasks,
            by,
            node: self.node.clone(),
            now: self.clock.now(),
            lease_secs: carrying::LEASE_SECS,
        };
        let app = Arc::clone(self);
        let begun = outlive(&self.tasks, async move {
            let begun = app.store.begin_run(new).await?;
            if let BegunRun::Started(run, lease) = &begun {
                crate::fault_point!("M1");
                app.carry(run, *lease);
            }
            Ok::<_, Error>(begun)
        });
        match begun.await? {
            BegunRun::Started(run, _) | BegunRun::Before(run) => Ok(*run),
        }
    }

    /// The run as soon as it differs from what is known of it, which is no end.
    pub async fn watch_run(&self, known: &Run) -> Result<Run, Error> {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let run = self.store.find_run(known.id).await?.ok_or_else(Refusal::not_found)?;
            if run != *known || run.state != RunState::Running {
                return Ok(run);
            }
        }
    }

    /// Asks a run to end.
    pub async fn cancel_run(&self, caller: &Caller, id: RunId) -> Result<Run, Error> {
        need_maintenance(caller)?;
        Ok(self.store.cancel_run(id).await?)
    }

    /// A run.
    pub async fn get_run(&self, caller: &Caller, id: RunId) -> Result<Run, Error> {
        need_maintenance(caller)?;
        Ok(self.store.find_run(id).await?.ok_or_else(Refusal::not_found)?)
    }

    /// Runs, from a token on.
    pub async fn list_runs(&self, caller: &Caller, limit: u32, token: &str) -> Result<RunPage, Error> {
        need_maintenance(caller)?;
        let bound = format!("runs\0{}", caller.person);
        let before = self.page_before(token, &bound)?;
        let found = self.store.list_runs(before, limit).await?;
        let next_token = self.next_page(&found, limit, &bound);
        Ok(RunPage { runs: found.into_iter().map(|(_, run)| run).collect(), next_token })
    }

    /// What the settings' rule does with a file, and when.
    pub async fn explain_file(&self, caller: &Caller, id: FileId) -> Result<Explained, Error> {
        caller.need(&[Permission::MaintenanceRun])?;
        let settings = self.get_settings().await?.settings;
        let found = self.store.find_facts(id, caller, self.clock.now()).await?;
        let view = access::see_to_explain(caller, found.as_ref().map(|(view, ..)| view))?;
        let (facts, now) = found.as_ref().map(|(_, facts, now)| (facts, *now)).ok_or_else(Refusal::not_found)?;
        let kept = retention::keeps(&Rule::from(&settings), facts, now);
        let time = match kept {
            Some(Kept::Young(end)) => Some(end),
            Some(Kept::Deleted) => view.file.restorable_until(settings.deleted_grace_days),
            Some(Kept::Persistent | Kept::Held | Kept::Owner | Kept::Relation | Kept::NoAge) | None => None,
        };
        Ok(Explained { kept, time })
    }
}
