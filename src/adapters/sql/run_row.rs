//! Rows of runs, their tasks and plans, and how they become values of the domain.
//!
//! Not here: the statements that read and write them (`runs.rs`, `plans.rs`).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Conn,
    rows::{self, corrupt},
    schema::{run_tasks, runs},
};
use crate::{
    domain::{
        Actor, AgesAs, Person, PlanId, RunId, Time,
        retention::Rule,
        run::{Outcome, Run, RunState, Task, TaskReport, Trigger},
    },
    ports::StoreError,
};

/// A row of runs.
#[derive(Queryable, Selectable)]
#[diesel(table_name = runs)]
pub(super) struct RunRow {
    pub number: i64,
    id: Vec<u8>,
    state: String,
    tick: Option<i64>,
    by_kind: Option<String>,
    by_id: Option<String>,
    by_service: Option<String>,
    pub plan_id: Option<Vec<u8>>,
    pub rule: String,
    node: String,
    pub fence: i64,
    pub cancel_requested: bool,
    pub after_created: i64,
    pub after_number: i64,
    begun_at: i64,
    ended_at: Option<i64>,
}

/// A row of `run_tasks`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = run_tasks)]
pub(super) struct TaskRow {
    pub run_number: i64,
    pub place: i64,
    pub task: String,
    outcome: String,
    done: i64,
    bytes: i64,
    kept: i64,
    failed: i64,
    guard: Option<i64>,
}

impl TaskRow {
    pub(super) fn new(run_number: i64, place: usize, report: &TaskReport) -> Self {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let TaskReport { task, outcome, done, bytes, kept, failed, guard } = *report;
        Self {
            run_number,
            place: i64::try_from(place).unwrap_or(i64::MAX),
            task: task.name().to_owned(),
            outcome: outcome.name().to_owned(),
            done: count(done),
            bytes: count(bytes),
            kept: count(kept),
            failed: count(failed),
            guard: guard.map(count),
        }
    }

    pub(super) fn report(self) -> Result<TaskReport, StoreError> {
        let bad = |column| corrupt("run_tasks", column, format!("{}/{}", self.run_number, self.place));
        let count = |column, n: i64| u64::try_from(n).map_err(|_| bad(column));
        Ok(TaskReport {
            task: Task::find(&self.task).ok_or_else(|| bad("task"))?,
            outcome: Outcome::find(&self.outcome).ok_or_else(|| bad("outcome"))?,
            done: count("done", self.done)?,
            bytes: count("bytes", self.bytes)?,
            kept: count("kept", self.kept)?,
            failed: count("failed", self.failed)?,
            guard: self.guard.map(|n| count("guard", n)).transpose()?,
        })
    }
}

/// Who did something, from its columns.
pub(super) fn actor(
    kind: Option<&str>,
    id: Option<&str>,
    service: Option<&str>,
    bad: impl Fn(&'static str) -> StoreError,
) -> Result<Actor, StoreError> {
    let person = match (kind, id) {
        (Some(kind), Some(id)) => {
            let kind = rows::find_kind(kind).ok_or_else(|| bad("by_kind"))?;
            Some(Person::new(kind, id).map_err(|_| bad("by_id"))?)
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(bad("by_id")),
    };
    let acting_service = service.map(str::parse).transpose().map_err(|_| bad("by_service"))?;
    Ok(Actor { person, acting_service })
}

/// A rule from its stored text.
pub(super) fn rule(table: &'static str, number: i64, text: &str) -> Result<Rule, StoreError> {
    Rule::parse(text).ok_or_else(|| corrupt(table, "rule", number))
}

/// As whose a file ages, from its column.
pub(super) fn owner(name: Option<&str>) -> Option<AgesAs> {
    match name {
        None => Some(AgesAs::NoOne),
        Some(name) => {
            [AgesAs::Visitor, AgesAs::Operator].into_iter().find(|owner| rows::ages_as_name(*owner) == Some(name))
        }
    }
}

impl RunRow {
    /// The moment by which it judges ages.
    pub(super) const fn begun_at(&self) -> Time {
        Time(self.begun_at)
    }

    /// Who asked for it, and its id.
    pub(super) fn who(&self) -> Result<(Actor, RunId), StoreError> {
        let bad = |column| corrupt("runs", column, self.number);
        let by = actor(self.by_kind.as_deref(), self.by_id.as_deref(), self.by_service.as_deref(), bad)?;
        Ok((by, RunId(rows::bytes("runs", "id", self.number, &self.id)?)))
    }

    fn run(self, tasks: Vec<TaskReport>) -> Result<Run, StoreError> {
        let bad = |column| corrupt("runs", column, self.number);
        let plan = self.plan_id.as_deref().map(|id| rows::bytes("runs", "plan_id", self.number, id)).transpose()?;
        let (by, id) = self.who()?;
        Ok(Run {
            id,
            state: RunState::find(&self.state).ok_or_else(|| bad("state"))?,
            trigger: self.tick.map_or(Trigger::Call, |tick| Trigger::Cron(Time(tick))),
            plan: plan.map(PlanId),
            rule: rule("runs", self.number, &self.rule)?,
            tasks,
            by,
            cancel_requested: self.cancel_requested,
            begun_at: Time(self.begun_at),
            ended_at: self.ended_at.map(Time),
            node: self.node,
        })
    }
}

/// Runs with their tasks: one statement more for any number of them.
pub(super) async fn with_tasks(conn: &mut Conn, found: Vec<RunRow>) -> Result<Vec<(i64, Run)>, StoreError> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = found.iter().map(|row| row.number);
    let tasks: Vec<TaskRow> = run_tasks::table
        .filter(run_tasks::run_number.eq_any(numbers))
        .order((run_tasks::run_number, run_tasks::place))
        .select(TaskRow::as_select())
        .load(conn)
        .await?;
    let mut by_run = std::collections::HashMap::<i64, Vec<TaskReport>>::new();
    for task in tasks {
        by_run.entry(task.run_number).or_default().push(task.report()?);
    }
    let runs = found.into_iter().map(|row| {
        let number = row.number;
        Ok((number, row.run(by_run.remove(&number).unwrap_or_default())?))
    });
    runs.collect()
}
