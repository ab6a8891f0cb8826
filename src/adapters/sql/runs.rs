//! Runs: begun, leased, told, ended, forgotten; and the clock they go by.
//!
//! Whoever changes a run has its row locked and has seen its own fence there: a node that was taken for dead, and comes
//! back, is refused. Not here: what a run deletes (`expiring.rs`), and plans (`plans.rs`).

use diesel::{dsl::sql, expression::SqlLiteral, prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;

use super::{
    Conn, events, from_now, plans,
    rows::kind_name,
    run_row::{RunRow, TaskRow, with_tasks},
    schema::{clock, files, plan_groups, plans as plan_table, run_tasks, runs},
    statement::Statement,
    time,
};
use crate::{
    domain::{
        Event, EventKind, Person, Reason, Refusal, RunId, Time,
        retention::Rule,
        run::{self, CLOCK_JUMP_SECS, GUARD_RUNS, Outcome, PLAN_SECS, Run, RunState, Task, TaskReport, Trigger},
    },
    ports::{BegunRun, ClockSays, NewRun, RunLease, Stop, StoreError},
};

/// The time is noted under a lock: of two that ask at once the second holds its own against the first one's.
pub(super) async fn judge_clock(conn: &mut Conn, now: Time, confirmed: bool) -> Result<ClockSays, StoreError> {
    let now = time(conn, now).await?;
    // Before maintenance has ever looked, the newest event tells what time it was.
    let newest: Option<i64> = {
        use super::schema::events;
        events::table
            .filter(events::seq.gt(0))
            .order(events::seq.desc())
            .select(events::at)
            .first(conn)
            .await
            .optional()?
    };
    let first = (clock::id.eq(1_i64), clock::seen.eq(newest.unwrap_or(now.0)));
    diesel::insert_into(clock::table).values(first).on_conflict_do_nothing().execute(conn).await?;
    let seen: i64 = changing!(clock::table.find(1_i64).select(clock::seen)).first(conn).await?;
    if !confirmed && now > Time(seen).plus_secs(CLOCK_JUMP_SECS) {
        return Ok(ClockSays::Jumped);
    }
    // Confirmed: also back to an earlier time.
    let mark = if confirmed { now.0 } else { seen.max(now.0) };
    diesel::update(clock::table.find(1_i64)).set(clock::seen.eq(mark)).execute(conn).await?;
    Ok(ClockSays::Now(now))
}

/// Most files that a rule may delete unattended now.
pub(super) async fn guard(conn: &mut Conn, rule: &Rule) -> Result<u64, StoreError> {
    let ready: i64 = files::table.filter(files::state.eq("READY")).count().get_result(conn).await?;
    let found: Vec<(String, bool, i64, String)> = runs::table
        .inner_join(run_tasks::table)
        .filter(runs::number.lt(i64::MAX))
        .filter(runs::state.eq(RunState::Done.name()))
        .filter(run_tasks::task.eq(Task::Expire.name()))
        .order(runs::number.desc())
        .limit(50)
        .select((runs::rule, runs::proposed, run_tasks::done, run_tasks::outcome))
        .load(conn)
        .await?;
    // Since the settings' rule became this one, whatever stopped a run by another; of what was only proposed, runs of the
    // same rule. Those that deleted all that they were to.
    let text = rule.text();
    let since = found.into_iter().take_while(|(rule, proposed, ..)| *proposed || *rule == text);
    let whole = since.filter(|(rule, _, _, outcome)| *rule == text && outcome == Outcome::Done.name());
    let last: Vec<u64> = whole.take(GUARD_RUNS).map(|(_, _, done, _)| done.unsigned_abs()).collect();
    Ok(run::guard(ready.unsigned_abs(), &last))
}

/// The state is spelled out, as in the index.
fn is_running() -> SqlLiteral<Bool> {
    sql("runs.state = 'RUNNING'")
}

#[diesel::dsl::auto_type(no_type_alias)]
fn asked<'a>(person: &'a Person, request_id: &'a str) -> _ {
    let kind: &'static str = kind_name(person.kind());
    let id: &'a str = person.id();
    runs::table
        .filter(runs::by_kind.assume_not_null().eq(kind))
        .filter(runs::by_id.assume_not_null().eq(id))
        .filter(runs::request_id.assume_not_null().eq(request_id))
}

async fn first(conn: &mut Conn, found: Option<RunRow>) -> Result<Option<Run>, StoreError> {
    Ok(with_tasks(conn, found.into_iter().collect()).await?.pop().map(|(_, run)| run))
}

/// What was begun before for the same asking.
async fn before(conn: &mut Conn, new: &NewRun) -> Result<Option<Run>, Stop> {
    if let (Some(request_id), Some(person)) = (&new.request_id, &new.by.person) {
        let row: Option<RunRow> =
            asked(person, request_id.as_str()).select(RunRow::as_select()).first(conn).await.optional()?;
        if let Some(run) = first(conn, row).await? {
            let same = run.plan == new.plan.as_ref().map(|(id, _)| *id)
                && run.tasks.iter().map(|report| report.task).eq(new.tasks.iter().copied());
            let reused = || Refusal::new(Reason::RequestIdReused).because("this request id was used for another run");
            return if same { Ok(Some(run)) } else { Err(reused().into()) };
        }
    }
    if let Trigger::Cron(tick) = new.trigger {
        let of_tick = runs::table.filter(runs::tick.assume_not_null().eq(tick.0)).select(RunRow::as_select());
        let row = of_tick.first(conn).await.optional()?;
        return Ok(first(conn, row).await?);
    }
    Ok(None)
}

pub(super) async fn begin(conn: &mut Conn, new: NewRun) -> Result<BegunRun, Stop> {
    if let Some(run) = before(conn, &new).await? {
        return Ok(BegunRun::Before(Box::new(run)));
    }
    let running = runs::table.filter(is_running()).select(RunRow::as_select());
    let running = running.first(conn).await.optional()?;
    if let Some(run) = first(conn, running).await? {
        return Err(Refusal::new(Reason::RunInProgress).with("run_id", run.id).into());
    }
    let now = time(conn, new.now).await?;
    let (rule, proposed, guard) = match &new.plan {
        Some((id, token)) => {
            let plan = plans::find(conn, *id).await?.ok_or_else(Refusal::not_found)?;
            if plan.expires_at <= now {
                return Err(Reason::PlanExpired.into());
            }
            if plan.needs_token() && *token != plan.token {
                let refusal = Refusal::new(Reason::ConfirmationNeeded).with("files", plan.files());
                return Err(refusal.with("guard", plan.guard).into());
            }
            (plan.rule, plan.proposed, None)
        }
        None => (new.rule, false, Some(guard(conn, &new.rule).await?)),
    };
    let NewRun { id, request_id, trigger, plan, rule: _, tasks, by, node, now: _, lease_secs } = new;
    let tick = match trigger {
        Trigger::Cron(tick) => Some(tick.0),
        Trigger::Call => None,
    };
    let row = (
        runs::id.eq(id.0.as_slice()),
        runs::state.eq(RunState::Running.name()),
        runs::tick.eq(tick),
        runs::by_kind.eq(by.person.as_ref().map(|person| kind_name(person.kind()))),
        runs::by_id.eq(by.person.as_ref().map(|person| person.id())),
        runs::by_service.eq(by.acting_service.as_ref().map(|service| service.as_str())),
        runs::request_id.eq(request_id.as_ref().map(|id| id.as_str())),
        runs::plan_id.eq(plan.as_ref().map(|(id, _)| id.0.as_slice())),
        runs::rule.eq(rule.text()),
        runs::proposed.eq(proposed),
        runs::node.eq(&node),
        runs::fence.eq(1_i64),
        runs::lease_until.eq(from_now(now, lease_secs)),
        runs::cancel_requested.eq(false),
        runs::after_created.eq(i64::MIN),
        runs::after_number.eq(i64::MIN),
        runs::begun_at.eq(now.0),
    );
    let insert = diesel::insert_into(runs::table).values(row).on_conflict_do_nothing().returning(runs::number);
    // Another run began between our look and now: run again, this sees it.
    let number: Option<i64> = insert.get_result(conn).await.optional()?;
    let number = number.ok_or_else(|| StoreError::Conflict("another run has just begun".into()))?;
    let reports = tasks.iter().map(|task| match task {
        Task::Expire => TaskReport { guard, ..TaskReport::waiting(*task) },
        Task::Purge | Task::AbortUploads | Task::Sweep | Task::Check | Task::Rescan | Task::Trim => {
            TaskReport::waiting(*task)
        }
    });
    let reports: Vec<TaskReport> = reports.collect();
    let tasks: Vec<TaskRow> = reports.iter().enumerate().map(|(i, r)| TaskRow::new(number, i, r)).collect();
    for task in tasks {
        diesel::insert_into(run_tasks::table).values(task).execute(conn).await?;
    }
    let event = Event::new(EventKind::RunBegun, by.clone()).detail(id.to_string());
    events::write(conn, &event, now).await?;
    crate::fault_point!("M1-written");
    let plan = plan.map(|(id, _)| id);
    let run = Run {
        id,
        state: RunState::Running,
        trigger,
        plan,
        rule,
        tasks: reports,
        by,
        node,
        cancel_requested: false,
        begun_at: now,
        ended_at: None,
    };
    Ok(BegunRun::Started(Box::new(run), RunLease { run: number, fence: 1 }))
}

pub(in super::super) async fn find(conn: &mut Conn, id: RunId) -> Result<Option<Run>, StoreError> {
    let row = runs::table.filter(runs::id.eq(id.0.as_slice())).select(RunRow::as_select());
    let row = row.first(conn).await.optional()?;
    first(conn, row).await
}

pub(in super::super) async fn list(
    conn: &mut Conn,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, Run)>, StoreError> {
    let found = runs::table
        .filter(runs::number.lt(before.unwrap_or(i64::MAX)))
        .order(runs::number.desc())
        .limit(i64::from(limit))
        .select(RunRow::as_select())
        .load(conn)
        .await?;
    with_tasks(conn, found).await
}

pub(super) async fn cancel(conn: &mut Conn, id: RunId) -> Result<Run, Stop> {
    let running = runs::table.filter(runs::id.eq(id.0.as_slice())).filter(runs::state.eq("RUNNING"));
    diesel::update(running).set(runs::cancel_requested.eq(true)).execute(conn).await?;
    Ok(find(conn, id).await?.ok_or_else(Refusal::not_found)?)
}

pub(in super::super) async fn last_tick(conn: &mut Conn) -> Result<Option<Time>, StoreError> {
    let ticks = runs::table.filter(runs::tick.gt(i64::MIN)).order(runs::tick.desc());
    let newest: Option<Option<i64>> = ticks.select(runs::tick).first(conn).await.optional()?;
    Ok(newest.flatten().map(Time))
}

/// The row of a run that this node still carries out, locked.
pub(super) async fn leased(conn: &mut Conn, lease: RunLease) -> Result<RunRow, Stop> {
    let mine = runs::table
        .filter(runs::number.eq(lease.run))
        .filter(runs::fence.eq(lease.fence))
        .filter(runs::state.eq("RUNNING"))
        .select(RunRow::as_select());
    let row: Option<RunRow> = changing!(mine).first(conn).await.optional()?;
    let fenced = || Refusal::new(Reason::Fenced).because("another node has taken the run over");
    Ok(row.ok_or_else(fenced)?)
}

pub(super) async fn take(
    conn: &mut Conn,
    node: String,
    own: bool,
    now: Time,
    lease_secs: i64,
) -> Result<Option<(Run, RunLease)>, StoreError> {
    let dead = runs::table
        .filter(is_running())
        .filter(runs::lease_until.lt(from_now(now, 0)).or(runs::node.nullable().eq(own.then_some(&node))))
        .select(RunRow::as_select());
    let row: Option<RunRow> = changing!(dead).first(conn).await.optional()?;
    let Some(row) = row else { return Ok(None) };
    let lease = RunLease { run: row.number, fence: row.fence.saturating_add(1) };
    let taken = (runs::node.eq(&node), runs::fence.eq(lease.fence), runs::lease_until.eq(from_now(now, lease_secs)));
    diesel::update(runs::table.find(lease.run)).set(taken).execute(conn).await?;
    Ok(first(conn, Some(row)).await?.map(|run| (Run { node, ..run }, lease)))
}

pub(super) async fn renew(conn: &mut Conn, lease: RunLease, now: Time, lease_secs: i64) -> Result<bool, Stop> {
    let row = leased(conn, lease).await?;
    let longer = runs::lease_until.eq(from_now(now, lease_secs));
    diesel::update(runs::table.find(lease.run)).set(longer).execute(conn).await?;
    Ok(row.cancel_requested)
}

pub(super) async fn note_task(conn: &mut Conn, lease: RunLease, report: TaskReport) -> Result<(), Stop> {
    leased(conn, lease).await?;
    Ok(store_report(conn, lease.run, &report).await?)
}

/// How far a task is, as it is from now on.
pub(super) async fn store_report(conn: &mut Conn, run: i64, report: &TaskReport) -> Result<(), StoreError> {
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let of_task = run_tasks::table.filter(run_tasks::run_number.eq(run)).filter(run_tasks::task.eq(report.task.name()));
    diesel::update(of_task)
        .set((
            run_tasks::outcome.eq(report.outcome.name()),
            run_tasks::done.eq(count(report.done)),
            run_tasks::bytes.eq(count(report.bytes)),
            run_tasks::kept.eq(count(report.kept)),
            run_tasks::failed.eq(count(report.failed)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn end(conn: &mut Conn, lease: RunLease, state: RunState, now: Time) -> Result<(), Stop> {
    leased(conn, lease).await?;
    let now = time(conn, now).await?;
    let ended = (runs::state.eq(state.name()), runs::ended_at.eq(now.0));
    diesel::update(runs::table.find(lease.run)).set(ended).execute(conn).await?;
    Ok(())
}

/// Runs first, then files of plans that can be run no more, then those plans: whatever goes takes nothing else with it.
pub(super) async fn trim(conn: &mut Conn, keep_secs: i64, now: Time, limit: i64) -> Result<u64, StoreError> {
    let now = time(conn, now).await?;
    let old: Vec<i64> = runs::table
        .filter(runs::begun_at.le(now.plus_secs(keep_secs.saturating_neg()).0))
        .filter(runs::state.ne(RunState::Running.name()))
        .order(runs::begun_at)
        .limit(limit)
        .select(runs::number)
        .load(conn)
        .await?;
    if !old.is_empty() {
        diesel::delete(run_tasks::table.filter(run_tasks::run_number.eq_any(&old))).execute(conn).await?;
        return Ok(diesel::delete(runs::table.filter(runs::number.eq_any(old))).execute(conn).await? as u64);
    }
    // As long again as it could be run, it is told that it has ended.
    let over = plan_table::table.filter(plan_table::expires_at.lt(now.plus_secs(-PLAN_SECS).0));
    let plan: Option<i64> =
        over.order(plan_table::expires_at).select(plan_table::number).first(conn).await.optional()?;
    let Some(plan) = plan else { return Ok(0) };
    let mut gone = Statement::new("DELETE FROM plan_files WHERE plan_number = ");
    gone.int(plan).sql(" AND (created_at, file_number) IN (SELECT created_at, file_number FROM plan_files ");
    gone.sql("WHERE plan_number = ").int(plan).sql(" ORDER BY created_at, file_number LIMIT ").int(limit).sql(")");
    let files = gone.query().execute(conn).await?;
    if files > 0 {
        return Ok(files as u64);
    }
    diesel::delete(plan_groups::table.filter(plan_groups::plan_number.eq(plan))).execute(conn).await?;
    Ok(diesel::delete(plan_table::table.find(plan)).execute(conn).await? as u64)
}
