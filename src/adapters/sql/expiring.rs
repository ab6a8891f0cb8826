//! Files that are old enough to be deleted: found by the rule, judged again one by one, deleted batch by batch.
//!
//! The predicate here only finds; [`crate::domain::retention::keeps`] decides, inside the transaction that deletes, on rows
//! that are locked. Not here: the run that does so (`runs.rs`).

use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    Conn, by_index, events, files as rows_of_files, holds, keep_holds, lock, plans,
    rows::{self, corrupt},
    run_row::{owner, rule},
    runs::{leased, store_report},
    schema::{run_tasks, runs},
    statement::Statement,
    time,
};
use crate::{
    domain::{
        Actor, AgesAs, Caller, ChatId, Event, EventKind, FileId, FileState, FileView, RunId, Time,
        listing::FileRef,
        retention::{self, Facts, Rule},
        run::{Checkpoint, Outcome, Task, TaskReport},
    },
    ports::{Expired, RunLease, Stop, StoreError},
};

const ATTACHED: &str = "EXISTS (SELECT 1 FROM attachments a WHERE a.file_number = files.number)";

/// A place in the order of age.
#[derive(QueryableByName)]
pub(super) struct Spot {
    #[diesel(sql_type = BigInt)]
    pub created_at: i64,
    #[diesel(sql_type = BigInt)]
    pub number: i64,
}

impl From<Spot> for Checkpoint {
    fn from(spot: Spot) -> Self {
        Checkpoint { created_at: Time(spot.created_at), number: spot.number }
    }
}

/// Rows of the index that one transaction looks at: it is short, whatever the filters let through.
const WINDOW: i64 = 10_000;

/// A walk through the files that can age, the oldest first, as far as any is old enough: window by window, so that nobody
/// waits for rows that a rule does not choose.
pub(super) struct Aging {
    /// Who ages, and before which moment.
    ends: Vec<(AgesAs, Time)>,
    latest: Time,
    after: Checkpoint,
    window: i64,
}

impl Aging {
    /// `None`: the rule deletes nothing.
    pub(super) fn new(rule: &Rule, now: Time, after: Checkpoint, window: i64) -> Option<Self> {
        let kinds = [
            (AgesAs::Visitor, rule.visitors, rule.visitor_days),
            (AgesAs::Operator, rule.operators, rule.operator_days),
        ];
        let chosen = kinds.into_iter().filter(|(_, chosen, days)| *chosen && *days > 0);
        let ends: Vec<(AgesAs, Time)> = chosen.map(|(owner, _, days)| (owner, retention::cut_off(now, days))).collect();
        let latest = ends.iter().map(|(_, end)| *end).max()?;
        Some(Self { ends, latest, after, window })
    }

    /// The conditions are spelled out, as in the index.
    fn walk(&self, s: &mut Statement) {
        s.sql(" FROM files").sql(&by_index("files_aging"));
        s.sql(" WHERE files.state = 'READY' AND NOT files.persistent AND files.ages_as IS NOT NULL AND ");
        s.sql("(files.created_at, files.number) > (").int(self.after.created_at.0).sql(", ").int(self.after.number);
        s.sql(") AND files.created_at < ").int(self.latest.0).sql(" ORDER BY files.created_at, files.number LIMIT ");
    }

    /// The last row of the window; `None`: it has the last of all.
    pub(super) async fn window_end(&self, conn: &mut Conn) -> Result<Option<Checkpoint>, StoreError> {
        let mut s = Statement::new("SELECT files.created_at, files.number");
        self.walk(&mut s);
        s.sql("1 OFFSET ").int(self.window.saturating_sub(1));
        let end: Vec<Spot> = s.query().load(conn).await?;
        Ok(end.into_iter().next().map(Checkpoint::from))
    }

    /// The rest of a statement that reads `files`: those of the window that the rule deletes, in their order.
    pub(super) fn due(&self, s: &mut Statement, rule: &Rule) {
        s.sql(
            " FROM (SELECT files.number, files.id, files.ages_as, files.uploader_kind, files.uploader_id, files.visitor_id, \
             files.home_chat_id, files.size, files.created_at, files.restored_at",
        );
        self.walk(s);
        s.int(self.window).sql(") files");
        for (i, (owner, end)) in self.ends.iter().enumerate() {
            s.sql(if i == 0 { " WHERE ((files.ages_as = " } else { " OR (files.ages_as = " });
            s.nullable_text(rows::ages_as_name(*owner)).sql(" AND files.created_at < ").int(end.0);
            s.sql(" AND (files.restored_at IS NULL OR files.restored_at < ").int(end.0).sql("))");
        }
        s.sql(")");
        match (rule.unassigned, rule.assigned) {
            (true, false) => s.sql(" AND NOT ").sql(ATTACHED),
            (false, true) => s.sql(" AND ").sql(ATTACHED),
            (false, false) | (true, true) => s,
        };
        s.sql(" AND NOT ").sql(holds::HELD).sql(" ORDER BY files.created_at, files.number");
    }
}

/// What a plan remembers of a file, in the columns of `plan_files`.
pub(super) const PLANNED: &str = "files.created_at, files.number, files.id, files.ages_as, ";
/// See [`PLANNED`].
pub(super) const IS_ATTACHED: &str = ATTACHED;

#[derive(QueryableByName)]
struct FactsRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Binary)]
    id: Vec<u8>,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Nullable<Text>)]
    ages_as: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    home_chat_id: Option<String>,
    #[diesel(sql_type = Bool)]
    persistent: bool,
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    restored_at: Option<i64>,
    #[diesel(sql_type = Bool)]
    attached: bool,
    #[diesel(sql_type = Bool)]
    held: bool,
}

/// A file as the rule and its event need it.
struct Known {
    number: i64,
    id: FileId,
    home_chat: Option<ChatId>,
    size: u64,
    facts: Facts,
}

impl TryFrom<FactsRow> for Known {
    type Error = StoreError;

    fn try_from(row: FactsRow) -> Result<Self, StoreError> {
        let number = row.number;
        let bad = |column| corrupt("files", column, number);
        Ok(Known {
            number,
            id: FileId(rows::bytes("files", "id", number, &row.id)?),
            home_chat: row.home_chat_id.map(|id| id.parse()).transpose().map_err(|_| bad("home_chat_id"))?,
            size: u64::try_from(row.size).map_err(|_| bad("size"))?,
            facts: Facts {
                state: rows::find_file_state(&row.state).ok_or_else(|| bad("state"))?,
                owner: owner(row.ages_as.as_deref()).ok_or_else(|| bad("ages_as"))?,
                persistent: row.persistent,
                held: row.held,
                attached: row.attached,
                created_at: Time(row.created_at),
                restored_at: row.restored_at.map(Time),
            },
        })
    }
}

/// What the rule asks of these files; no hold is put on one until this transaction ends.
async fn facts(conn: &mut Conn, numbers: &[i64]) -> Result<Vec<Result<Known, StoreError>>, StoreError> {
    keep_holds(conn).await?;
    let mut asked = Statement::new(
        "SELECT files.number, files.id, files.state, files.ages_as, files.home_chat_id, files.persistent, \
         files.size, files.created_at, files.restored_at, ",
    );
    asked.sql(ATTACHED).sql(" AS attached, ").sql(holds::HELD).sql(" AS held FROM files WHERE files.number IN ");
    asked.ints(numbers.iter().copied());
    let mut found: Vec<FactsRow> = asked.query().load(conn).await?;
    found.sort_unstable_by_key(|row| (row.created_at, row.number));
    Ok(found.into_iter().map(Known::try_from).collect())
}

/// What the rule asks of one file, with the file as this caller sees it, and what time it is.
pub(in super::super) async fn find_facts(
    conn: &mut Conn,
    file: FileId,
    caller: &Caller,
    now: Time,
) -> Result<Option<(FileView, Facts, Time)>, StoreError> {
    let now = time(conn, now).await?;
    let view = rows_of_files::find(conn, FileRef::Id(file), caller).await?;
    let found = facts(conn, &[view.as_ref().map_or(-1, |view| view.file.number)]).await?.pop().transpose()?;
    Ok(view.zip(found).map(|(view, found)| (view, found.facts, now)))
}

/// The rule of a run, the moment by which it judges, and where its files come from.
struct Walk {
    rule: Rule,
    judged_at: Time,
    plan: Option<i64>,
    after: Checkpoint,
}

/// Places that a walk has come to.
struct Found {
    /// At most so many as were asked for.
    places: Vec<Checkpoint>,
    /// One more was found.
    beyond: bool,
    /// Where the walk goes on; `None`: that was all.
    next: Option<Checkpoint>,
}

impl Found {
    /// Of at most one more than `limit`; `end` is how far was looked, if there is more to look at.
    fn new(mut places: Vec<Checkpoint>, limit: usize, end: Option<Checkpoint>) -> Self {
        let beyond = places.len() > limit;
        places.truncate(limit);
        let next = if beyond { places.last().copied() } else { end };
        Self { places, beyond, next }
    }
}

impl Walk {
    /// The next places, at most so many.
    async fn next(&self, conn: &mut Conn, limit: usize) -> Result<Found, StoreError> {
        let most = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
        let (mut s, mut end) = (Statement::default(), None);
        match self.plan {
            Some(plan) => {
                s.sql("SELECT created_at, file_number AS number FROM plan_files WHERE plan_number = ").int(plan);
                s.sql(" AND (created_at, file_number) > (").int(self.after.created_at.0).sql(", ");
                s.int(self.after.number).sql(") ORDER BY created_at, file_number");
            }
            None => {
                let Some(aging) = Aging::new(&self.rule, self.judged_at, self.after, WINDOW) else {
                    return Ok(Found::new(Vec::new(), limit, None));
                };
                end = aging.window_end(conn).await?;
                s.sql("SELECT files.created_at, files.number");
                aging.due(&mut s, &self.rule);
            }
        }
        s.sql(" LIMIT ").int(most);
        let found: Vec<Spot> = s.query().load(conn).await?;
        Ok(Found::new(found.into_iter().map(Checkpoint::from).collect(), limit, end))
    }
}

/// The files are locked by their numbers, as everywhere, then judged as they are: one that was attached, held, made
/// persistent, restored or deleted meanwhile stays as it is; what comes later waits, and finds it deleted.
pub(super) async fn expire_batch(conn: &mut Conn, lease: RunLease, limit: u32, now: Time) -> Result<Expired, Stop> {
    let run = leased(conn, lease).await?;
    let mut report = report(conn, run.number).await?;
    if run.cancel_requested {
        return Ok(Expired { report, more: false, kept_by_guard: false, cancelled: true });
    }
    let now = time(conn, now).await?;
    let after = Checkpoint { created_at: Time(run.after_created), number: run.after_number };
    let walk = match &run.plan_id {
        Some(id) => {
            let (plan, rule, judged_at) = plans::rule_of(conn, id).await?;
            Walk { rule, judged_at, plan: Some(plan), after }
        }
        // It may have begun by a clock that was set back since.
        None => {
            let judged_at = run.begun_at().min(now);
            Walk { rule: rule("runs", run.number, &run.rule)?, judged_at, plan: None, after }
        }
    };
    crate::fault_point!("M2");
    let left = report.guard.map_or(u64::MAX, |guard| guard.saturating_sub(report.done));
    let allowed = usize::try_from(left.min(u64::from(limit))).unwrap_or(usize::MAX);
    let Found { places, beyond, next } = walk.next(conn, allowed).await?;
    let kept_by_guard = beyond && left <= u64::from(limit);
    let expired = |report| Expired { report, more: next.is_some(), kept_by_guard, cancelled: false };
    if let Some(place) = next.or(places.last().copied()) {
        diesel::update(runs::table.find(run.number))
            .set((runs::after_created.eq(place.created_at.0), runs::after_number.eq(place.number)))
            .execute(conn)
            .await?;
    }
    if places.is_empty() {
        return Ok(expired(report));
    }

    let mut numbers: Vec<i64> = places.iter().map(|place| place.number).collect();
    numbers.sort_unstable();
    let mut locked = Statement::new("SELECT files.number FROM files WHERE files.number IN ");
    locked.ints(numbers.iter().copied()).sql(" ORDER BY files.number");
    lock(conn, "files", locked).await?;
    let mut due = Vec::with_capacity(numbers.len());
    let found = facts(conn, &numbers).await?;
    // What was purged meanwhile has no row.
    report.kept += (numbers.len() - found.len()) as u64;
    for file in found {
        match file {
            Ok(file) if retention::keeps(&walk.rule, &file.facts, walk.judged_at).is_none() => due.push(file),
            Ok(_) => report.kept += 1,
            Err(error) => {
                tracing::error!(%error, "a file that makes no sense is not deleted");
                report.failed += 1;
            }
        }
    }
    report.done += due.len() as u64;
    report.bytes += due.iter().map(|file| file.size).sum::<u64>();
    report.outcome = Outcome::Running;
    store_report(conn, run.number, &report).await?;
    delete(conn, due, run.who()?, now).await?;
    crate::fault_point!("M4-written");
    Ok(expired(report))
}

async fn report(conn: &mut Conn, run: i64) -> Result<TaskReport, StoreError> {
    use super::run_row::TaskRow;
    let row: TaskRow = run_tasks::table
        .filter(run_tasks::run_number.eq(run))
        .filter(run_tasks::task.eq(Task::Expire.name()))
        .select(TaskRow::as_select())
        .first(conn)
        .await?;
    row.report()
}

async fn delete(conn: &mut Conn, due: Vec<Known>, (by, run): (Actor, RunId), now: Time) -> Result<(), StoreError> {
    if due.is_empty() {
        return Ok(());
    }
    let mut tombstones = Statement::new("UPDATE files SET state = ");
    tombstones.text(rows::file_state_name(FileState::Deleted)).sql(", deleted_at = ").int(now.0);
    tombstones.sql(", revision = revision + 1 WHERE number IN ").ints(due.iter().map(|file| file.number));
    tombstones.query().execute(conn).await?;
    let told = due.into_iter().map(|file| {
        Event::new(EventKind::FileDeleted, by.clone()).file(file.id).chat(file.home_chat).detail(run.to_string())
    });
    events::write_all(conn, &told.collect::<Vec<_>>(), now).await
}
