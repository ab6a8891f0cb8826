//! Runs of maintenance and their plans in memory.
//!
//! Not here: which files a run deletes (`expiring.rs`).

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::{
    domain::{
        AgesAs, Caller, Event, EventKind, FileId, FileState, FileView, PlanId, Reason, Refusal, RunId, Time,
        listing::FileRef,
        retention::{Facts, Rule},
        run::{
            self, CLOCK_JUMP_SECS, Checkpoint, GUARD_RUNS, MOST_PLANS, Outcome, PLAN_SECS, Plan, PlanGroup,
            PlannedFile, Run, RunState, Task, TaskReport, Trigger,
        },
    },
    ports::{BegunRun, ClockSays, Expired, NewPlan, NewRun, RunLease, RunStore, Stop, StoreError},
};

/// A run with what only the store knows of it.
#[derive(Clone)]
pub(super) struct RunRow {
    pub(super) run: Run,
    request_id: Option<String>,
    proposed: bool,
    fence: i64,
    pub(super) lease_until: Time,
    pub(super) after: Checkpoint,
}

/// A plan with its files.
#[derive(Clone)]
pub(super) struct PlanRow {
    pub(super) plan: Plan,
    pub(super) files: Vec<PlannedFile>,
    complete: bool,
}

impl Tables {
    pub(super) fn guard(&self, rule: &Rule) -> u64 {
        let ready = self.files.values().filter(|row| row.file.state == FileState::Ready).count();
        let expired = |row: &RunRow| {
            let report = row.run.tasks.iter().find(|report| report.task == Task::Expire).copied();
            report.filter(|_| row.run.state == RunState::Done)
        };
        let ended = self.runs.values().rev().filter_map(|row| expired(row).map(|report| (row, report)));
        let since = ended.take_while(|(row, _)| row.proposed || row.run.rule == *rule);
        let whole = since.filter(|(row, report)| row.run.rule == *rule && report.outcome == Outcome::Done);
        let last: Vec<u64> = whole.take(GUARD_RUNS).map(|(_, report)| report.done).collect();
        run::guard(ready as u64, &last)
    }

    fn judge_clock(&mut self, now: Time, confirmed: bool) -> ClockSays {
        let seen = self.clock.or_else(|| self.events.last().map(|(at, _)| *at));
        if !confirmed && seen.is_some_and(|seen| now > seen.plus_secs(CLOCK_JUMP_SECS)) {
            return ClockSays::Jumped;
        }
        self.clock = Some(if confirmed { now } else { seen.map_or(now, |seen| seen.max(now)) });
        ClockSays::Now(now)
    }

    fn run(&self, id: RunId) -> Option<&RunRow> {
        self.runs.values().find(|row| row.run.id == id)
    }

    pub(super) fn leased(&mut self, lease: RunLease) -> Result<&mut RunRow, Stop> {
        let mine = self.runs.get_mut(&lease.run);
        let mine = mine.filter(|row| row.fence == lease.fence && row.run.state == RunState::Running);
        let fenced = || Refusal::new(Reason::Fenced).because("another node has taken the run over");
        Ok(mine.ok_or_else(fenced)?)
    }

    fn before(&self, new: &NewRun) -> Result<Option<Run>, Stop> {
        let asked = |row: &&RunRow| {
            new.request_id.as_ref().is_some_and(|id| row.request_id.as_deref() == Some(id.as_str()))
                && row.run.by.person.is_some()
                && row.run.by.person == new.by.person
        };
        if let Some(row) = self.runs.values().find(asked) {
            let tasks = row.run.tasks.iter().map(|report| report.task);
            let same = row.run.plan == new.plan.as_ref().map(|(id, _)| *id) && tasks.eq(new.tasks.iter().copied());
            let reused = || Refusal::new(Reason::RequestIdReused).because("this request id was used for another run");
            return if same { Ok(Some(row.run.clone())) } else { Err(reused().into()) };
        }
        Ok(match new.trigger {
            Trigger::Cron(_) => self.runs.values().find(|row| row.run.trigger == new.trigger).map(|r| r.run.clone()),
            Trigger::Call => None,
        })
    }

    fn begin_run(&mut self, new: NewRun) -> Result<BegunRun, Stop> {
        if let Some(run) = self.before(&new)? {
            return Ok(BegunRun::Before(Box::new(run)));
        }
        if let Some(row) = self.runs.values().find(|row| row.run.state == RunState::Running) {
            return Err(Refusal::new(Reason::RunInProgress).with("run_id", row.run.id).into());
        }
        let NewRun { id, request_id, trigger, plan, rule, tasks, by, node, now, lease_secs } = new;
        let (rule, proposed, guard) = match &plan {
            Some((id, token)) => {
                let found = self.plans.get(id).filter(|row| row.complete).ok_or_else(Refusal::not_found)?;
                let plan = &found.plan;
                if plan.expires_at <= now {
                    return Err(Reason::PlanExpired.into());
                }
                if plan.needs_token() && *token != plan.token {
                    let refusal = Refusal::new(Reason::ConfirmationNeeded).with("files", plan.files());
                    return Err(refusal.with("guard", plan.guard).into());
                }
                (plan.rule, plan.proposed, None)
            }
            None => (rule, false, Some(self.guard(&rule))),
        };
        let tasks = tasks.into_iter().map(|task| match task {
            Task::Expire => TaskReport { guard, ..TaskReport::waiting(task) },
            Task::Purge | Task::AbortUploads | Task::Sweep | Task::Check | Task::Rescan | Task::Trim => {
                TaskReport::waiting(task)
            }
        });
        let run = Run {
            id,
            state: RunState::Running,
            trigger,
            plan: plan.map(|(id, _)| id),
            rule,
            tasks: tasks.collect(),
            by,
            node,
            cancel_requested: false,
            begun_at: now,
            ended_at: None,
        };
        self.record(Event::new(EventKind::RunBegun, run.by.clone()).detail(id.to_string()), now);
        self.last_run += 1;
        let row = RunRow {
            run: run.clone(),
            request_id: request_id.map(|id| id.as_str().to_owned()),
            proposed,
            fence: 1,
            lease_until: now.plus_secs(lease_secs),
            after: Checkpoint::START,
        };
        self.runs.insert(self.last_run, row);
        Ok(BegunRun::Started(Box::new(run), RunLease { run: self.last_run, fence: 1 }))
    }
}

impl RunRow {
    pub(super) fn note(&mut self, report: TaskReport) {
        if let Some(task) = self.run.tasks.iter_mut().find(|task| task.task == report.task) {
            *task = TaskReport { guard: task.guard, ..report };
        }
    }
}

#[async_trait]
impl RunStore for MemoryStore {
    async fn judge_clock(&self, now: Time, confirmed: bool) -> Result<ClockSays, StoreError> {
        self.write(|t| Ok(t.judge_clock(now, confirmed)))
    }

    async fn begin_plan(&self, new: NewPlan) -> Result<Plan, Stop> {
        self.write(|t| {
            let NewPlan { id, rule, proposed, token, by, now } = new;
            let ClockSays::Now(now) = t.judge_clock(now, false) else { return Err(Reason::ClockJumped.into()) };
            if t.plans.values().filter(|row| row.plan.expires_at > now).count() as i64 >= MOST_PLANS {
                return Err(Reason::Busy.into());
            }
            let (guard, expires_at) = (t.guard(&rule), now.plus_secs(PLAN_SECS));
            let plan = Plan { id, rule, proposed, groups: Vec::new(), guard, token, by, created_at: now, expires_at };
            t.plans.insert(id, PlanRow { plan: plan.clone(), files: Vec::new(), complete: false });
            Ok(plan)
        })
    }

    async fn grow_plan(&self, id: PlanId, limit: i64) -> Result<bool, StoreError> {
        self.write(|t| {
            let missing = || StoreError::Refused("there is no such plan".to_owned());
            let PlanRow { plan, files, .. } = t.plans.get(&id).cloned().ok_or_else(missing)?;
            let after = files.last().map_or(Checkpoint::START, |file| file.at);
            let mut next = t.due(&plan.rule, plan.created_at, after);
            next.truncate(usize::try_from(limit).unwrap_or(0));
            let grown = next.len();
            if let Some(row) = t.plans.get_mut(&id) {
                row.files.extend(next);
            }
            Ok(i64::try_from(grown).unwrap_or(i64::MAX) >= limit)
        })
    }

    async fn end_plan(&self, id: PlanId) -> Result<Plan, Stop> {
        self.write(|t| {
            let row = t.plans.get_mut(&id).ok_or_else(Refusal::not_found)?;
            row.complete = true;
            row.plan.groups.clear();
            for owner in [AgesAs::Operator, AgesAs::Visitor] {
                for attached in [false, true] {
                    let of = row.files.iter().filter(|file| (file.owner, file.attached) == (owner, attached));
                    let (files, bytes) = of.fold((0, 0), |(n, bytes), file| (n + 1, bytes + file.size));
                    if files > 0 {
                        row.plan.groups.push(PlanGroup { owner, attached, files, bytes });
                    }
                }
            }
            Ok(row.plan.clone())
        })
    }

    async fn find_plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError> {
        Ok(self.read(|t| t.plans.get(&id).filter(|row| row.complete).map(|row| row.plan.clone())))
    }

    async fn list_plan_files(&self, id: PlanId, after: Checkpoint, limit: u32) -> Result<Vec<PlannedFile>, StoreError> {
        Ok(self.read(|t| {
            let files = t.plans.get(&id).map(|row| row.files.iter()).unwrap_or_default();
            files.filter(|file| file.at > after).take(limit as usize).copied().collect()
        }))
    }

    async fn begin_run(&self, new: NewRun) -> Result<BegunRun, Stop> {
        self.write(|t| t.begin_run(new))
    }

    async fn find_run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        Ok(self.read(|t| t.run(id).map(|row| row.run.clone())))
    }

    async fn list_runs(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, Run)>, StoreError> {
        Ok(self.read(|t| {
            let found = t.runs.range(..before.unwrap_or(i64::MAX)).rev().take(limit as usize);
            found.map(|(number, row)| (*number, row.run.clone())).collect()
        }))
    }

    async fn cancel_run(&self, id: RunId) -> Result<Run, Stop> {
        self.write(|t| {
            let row = t.runs.values_mut().find(|row| row.run.id == id).ok_or_else(Refusal::not_found)?;
            row.run.cancel_requested |= row.run.state == RunState::Running;
            Ok(row.run.clone())
        })
    }

    async fn last_tick(&self) -> Result<Option<Time>, StoreError> {
        Ok(self.read(|t| {
            let ticks = t.runs.values().filter_map(|row| match row.run.trigger {
                Trigger::Cron(tick) => Some(tick),
                Trigger::Call => None,
            });
            ticks.max()
        }))
    }

    async fn take_run(
        &self,
        node: &str,
        own: bool,
        now: Time,
        lease_secs: i64,
    ) -> Result<Option<(Run, RunLease)>, StoreError> {
        self.write(|t| {
            let dead = |row: &&mut RunRow| {
                row.run.state == RunState::Running && (row.lease_until < now || own && row.run.node == node)
            };
            let number = t.runs.iter_mut().find(|(_, row)| dead(row)).map(|(number, row)| {
                row.fence += 1;
                row.lease_until = now.plus_secs(lease_secs);
                node.clone_into(&mut row.run.node);
                (row.run.clone(), RunLease { run: *number, fence: row.fence })
            });
            Ok(number)
        })
    }

    async fn renew_run(&self, lease: RunLease, now: Time, lease_secs: i64) -> Result<bool, Stop> {
        self.write(|t| {
            let row = t.leased(lease)?;
            row.lease_until = now.plus_secs(lease_secs);
            Ok(row.run.cancel_requested)
        })
    }

    async fn note_task(&self, lease: RunLease, report: TaskReport) -> Result<(), Stop> {
        self.write(|t| {
            t.leased(lease)?.note(report);
            Ok(())
        })
    }

    async fn end_run(&self, lease: RunLease, state: RunState, now: Time) -> Result<(), Stop> {
        self.write(|t| {
            let row = t.leased(lease)?;
            (row.run.state, row.run.ended_at) = (state, Some(now));
            Ok(())
        })
    }

    async fn expire_batch(&self, lease: RunLease, limit: u32, now: Time) -> Result<Expired, Stop> {
        self.write(|t| t.expire_batch(lease, limit, now))
    }

    async fn trim_runs(&self, keep_secs: i64, now: Time, limit: i64) -> Result<u64, StoreError> {
        self.write(|t| {
            let (most, before) = (usize::try_from(limit).unwrap_or(0), now.plus_secs(-keep_secs));
            let old = t.runs.iter().filter(|(_, row)| row.run.state != RunState::Running && row.run.begun_at <= before);
            let old: Vec<i64> = old.map(|(number, _)| *number).take(most).collect();
            if !old.is_empty() {
                t.runs.retain(|number, _| !old.contains(number));
                return Ok(old.len() as u64);
            }
            let over = t.plans.values_mut().filter(|row| row.plan.expires_at < now.plus_secs(-PLAN_SECS));
            let Some(row) = over.min_by_key(|row| row.plan.expires_at) else { return Ok(0) };
            let files = row.files.len().min(most);
            row.files.drain(..files);
            if files > 0 {
                return Ok(files as u64);
            }
            let id = row.plan.id;
            t.plans.remove(&id);
            Ok(1)
        })
    }

    async fn find_facts(
        &self,
        file: FileId,
        caller: &Caller,
        now: Time,
    ) -> Result<Option<(FileView, Facts, Time)>, StoreError> {
        Ok(self.read(|t| {
            let view = t.find(FileRef::Id(file), caller)?;
            let facts = t.facts(&view.file);
            Some((view, facts, now))
        }))
    }
}
