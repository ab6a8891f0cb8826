//! Plans: which files a rule would delete, written down so that a run deletes these and no others.
//!
//! Not here: the predicate that finds them (`expiring.rs`), and how they are forgotten (`runs.rs`).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Conn,
    expiring::{Aging, IS_ATTACHED, PLANNED},
    rows::{self, corrupt, kind_name},
    run_row::{actor, owner, rule},
    runs::{guard, judge_clock},
    schema::{plan_files, plan_groups, plans},
    statement::Statement,
};
use crate::{
    domain::{
        Actor, FileId, PlanId, Reason, Refusal, Time,
        retention::Rule,
        run::{Checkpoint, MOST_PLANS, PLAN_SECS, Plan, PlanGroup, PlannedFile},
    },
    ports::{ClockSays, NewPlan, Stop, StoreError},
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = plans)]
struct PlanRow {
    number: i64,
    id: Vec<u8>,
    rule: String,
    proposed: bool,
    token: String,
    guard: i64,
    by_kind: Option<String>,
    by_id: Option<String>,
    by_service: Option<String>,
    created_at: i64,
    expires_at: i64,
}

impl PlanRow {
    fn plan(self, groups: Vec<PlanGroup>) -> Result<Plan, StoreError> {
        let bad = |column| corrupt("plans", column, self.number);
        Ok(Plan {
            id: PlanId(rows::bytes("plans", "id", self.number, &self.id)?),
            rule: rule("plans", self.number, &self.rule)?,
            proposed: self.proposed,
            groups,
            guard: u64::try_from(self.guard).map_err(|_| bad("guard"))?,
            by: actor(self.by_kind.as_deref(), self.by_id.as_deref(), self.by_service.as_deref(), bad)?,
            created_at: Time(self.created_at),
            expires_at: Time(self.expires_at),
            token: self.token,
        })
    }
}

/// Its clock is the run's that carries it out: ages are judged by this moment.
pub(super) async fn begin(conn: &mut Conn, new: NewPlan) -> Result<Plan, Stop> {
    let NewPlan { id, rule, proposed, token, by, now } = new;
    let ClockSays::Now(now) = judge_clock(conn, now, false).await? else {
        return Err(Reason::ClockJumped.into());
    };
    let live: i64 = plans::table.filter(plans::expires_at.gt(now.0)).count().get_result(conn).await?;
    if live >= MOST_PLANS {
        let many = format!("there are {MOST_PLANS} plans of the last day: run one of them, or wait until they end");
        return Err(Refusal::new(Reason::Busy).because(many).into());
    }
    let guard = guard(conn, &rule).await?;
    let expires_at = now.plus_secs(PLAN_SECS);
    let Actor { person, acting_service } = &by;
    diesel::insert_into(plans::table)
        .values((
            plans::id.eq(id.0.as_slice()),
            plans::rule.eq(rule.text()),
            plans::proposed.eq(proposed),
            plans::token.eq(&token),
            plans::guard.eq(i64::try_from(guard).unwrap_or(i64::MAX)),
            plans::by_kind.eq(person.as_ref().map(|person| kind_name(person.kind()))),
            plans::by_id.eq(person.as_ref().map(|person| person.id())),
            plans::by_service.eq(acting_service.as_ref().map(|service| service.as_str())),
            plans::created_at.eq(now.0),
            plans::expires_at.eq(expires_at.0),
            plans::complete.eq(false),
            plans::after_created.eq(i64::MIN),
            plans::after_number.eq(i64::MIN),
        ))
        .execute(conn)
        .await?;
    Ok(Plan { id, rule, proposed, groups: Vec::new(), guard, token, by, created_at: now, expires_at })
}

/// Number, rule and moment of a plan that a run carries out.
pub(super) async fn rule_of(conn: &mut Conn, id: &[u8]) -> Result<(i64, Rule, Time), StoreError> {
    let asked = plans::table.filter(plans::id.eq(id)).select((plans::number, plans::rule, plans::created_at));
    let (number, text, created_at): (i64, String, i64) = asked.first(conn).await?;
    Ok((number, rule("plans", number, &text)?, Time(created_at)))
}

/// It looks at the next `limit` files that can age, after those that it has looked at.
pub(super) async fn grow(conn: &mut Conn, id: PlanId, limit: i64) -> Result<bool, StoreError> {
    let (number, rule, judged_at) = rule_of(conn, &id.0).await?;
    let row = plans::table.find(number).select((plans::after_created, plans::after_number));
    let (created_at, after): (i64, i64) = changing!(row).first(conn).await?;
    let after = Checkpoint { created_at: Time(created_at), number: after };
    let Some(aging) = Aging::new(&rule, judged_at, after, limit) else { return Ok(false) };
    let end = aging.window_end(conn).await?;
    let mut insert = Statement::new(
        "INSERT INTO plan_files (plan_number, created_at, file_number, file_id, owner, attached, size) SELECT ",
    );
    insert.int(number).sql(", ").sql(PLANNED).sql(IS_ATTACHED).sql(", files.size");
    aging.due(&mut insert, &rule);
    // A step that is run again finds what is there.
    insert.sql(" ON CONFLICT DO NOTHING");
    insert.query().execute(conn).await?;
    if let Some(end) = end {
        let reached = (plans::after_created.eq(end.created_at.0), plans::after_number.eq(end.number));
        diesel::update(plans::table.find(number)).set(reached).execute(conn).await?;
    }
    Ok(end.is_some())
}

/// Ended twice, after an answer that was lost, it is as it was.
pub(super) async fn end(conn: &mut Conn, id: PlanId) -> Result<Plan, Stop> {
    let (number, ..) = rule_of(conn, &id.0).await?;
    let mut groups = Statement::new("INSERT INTO plan_groups (plan_number, owner, attached, files, bytes) SELECT ");
    groups
        .int(number)
        .sql(", owner, attached, COUNT(*), CAST(SUM(size) AS BIGINT) FROM plan_files WHERE plan_number = ");
    groups.int(number).sql(" GROUP BY owner, attached ON CONFLICT DO NOTHING");
    groups.query().execute(conn).await?;
    diesel::update(plans::table.find(number)).set(plans::complete.eq(true)).execute(conn).await?;
    Ok(find(conn, id).await?.ok_or_else(Refusal::not_found)?)
}

pub(in super::super) async fn find(conn: &mut Conn, id: PlanId) -> Result<Option<Plan>, StoreError> {
    let complete = plans::table.filter(plans::id.eq(id.0.as_slice())).filter(plans::complete.eq(true));
    let row: Option<PlanRow> = complete.select(PlanRow::as_select()).first(conn).await.optional()?;
    let Some(row) = row else { return Ok(None) };
    let groups: Vec<(String, bool, i64, i64)> = plan_groups::table
        .filter(plan_groups::plan_number.eq(row.number))
        .order((plan_groups::owner, plan_groups::attached))
        .select((plan_groups::owner, plan_groups::attached, plan_groups::files, plan_groups::bytes))
        .load(conn)
        .await?;
    let groups = groups.into_iter().map(|(name, attached, files, bytes)| {
        let owner = owner(Some(&name)).ok_or_else(|| corrupt("plan_groups", "owner", row.number))?;
        Ok(PlanGroup { owner, attached, files: files.unsigned_abs(), bytes: bytes.unsigned_abs() })
    });
    let groups = groups.collect::<Result<_, StoreError>>()?;
    row.plan(groups).map(Some)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = plan_files)]
struct PlannedRow {
    created_at: i64,
    file_number: i64,
    file_id: Vec<u8>,
    owner: String,
    attached: bool,
    size: i64,
}

pub(in super::super) async fn list_files(
    conn: &mut Conn,
    id: PlanId,
    after: Checkpoint,
    limit: u32,
) -> Result<Vec<PlannedFile>, StoreError> {
    let number: Option<i64> =
        plans::table.filter(plans::id.eq(id.0.as_slice())).select(plans::number).first(conn).await.optional()?;
    let later = plan_files::created_at
        .gt(after.created_at.0)
        .or(plan_files::created_at.eq(after.created_at.0).and(plan_files::file_number.gt(after.number)));
    let found: Vec<PlannedRow> = plan_files::table
        .filter(plan_files::plan_number.eq(number.unwrap_or(-1)))
        .filter(plan_files::created_at.ge(after.created_at.0))
        .filter(later)
        .order((plan_files::created_at, plan_files::file_number))
        .limit(i64::from(limit))
        .select(PlannedRow::as_select())
        .load(conn)
        .await?;
    let files =
        found.into_iter().map(|PlannedRow { created_at, file_number, file_id, owner: name, attached, size }| {
            Ok(PlannedFile {
                at: Checkpoint { created_at: Time(created_at), number: file_number },
                id: FileId(rows::bytes("plan_files", "file_id", file_number, &file_id)?),
                owner: owner(Some(&name)).ok_or_else(|| corrupt("plan_files", "owner", file_number))?,
                attached,
                size: size.unsigned_abs(),
            })
        });
    files.collect()
}
