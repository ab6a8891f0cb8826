//! Checks of consistency as they are kept: begun, filled with what was found, read again for a repair, forgotten.
//!
//! Not here: what a check asks of the other tables (`consistency.rs`), and rows of findings (`finding_row.rs`).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Conn, events,
    finding_row::FindingRow,
    is_read_only_by_now, lock,
    rows::{self, corrupt},
    run_row::actor,
    schema::{checks, findings},
    statement::Statement,
    time,
};
use crate::{
    domain::{
        Actor, CheckId, Event, EventKind, Reason, Refusal, StoreId, Time,
        consistency::{
            CHECK_SECS, Check, Dangling, DanglingRow, Finding, FindingKind, IDLE_CHECK_SECS, MOST_CHECKS,
            MOST_FINDINGS, StoredFinding,
        },
    },
    ports::{NewCheck, Stop, StoreError},
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = checks)]
struct CheckRow {
    number: i64,
    id: Vec<u8>,
    store_id: Vec<u8>,
    by_kind: Option<String>,
    by_id: Option<String>,
    by_service: Option<String>,
    stored: i64,
    created_at: i64,
    expires_at: i64,
}

impl TryFrom<CheckRow> for Check {
    type Error = StoreError;

    fn try_from(row: CheckRow) -> Result<Self, StoreError> {
        let bad = |column| corrupt("checks", column, row.number);
        Ok(Self {
            id: CheckId(rows::bytes("checks", "id", row.number, &row.id)?),
            of: StoreId(rows::bytes("checks", "store_id", row.number, &row.store_id)?),
            by: actor(row.by_kind.as_deref(), row.by_id.as_deref(), row.by_service.as_deref(), bad)?,
            stored: row.stored.unsigned_abs(),
            created_at: Time(row.created_at),
            expires_at: Time(row.expires_at),
        })
    }
}

/// No change, not even of what is only kept for a while: a move copies it.
async fn need_writable(conn: &mut Conn) -> Result<(), StoreError> {
    if is_read_only_by_now(conn).await? { Err(StoreError::ReadOnly) } else { Ok(()) }
}

pub(super) async fn begin(conn: &mut Conn, new: NewCheck) -> Result<Check, Stop> {
    need_writable(conn).await?;
    let NewCheck { id, of, by, now } = new;
    let now = time(conn, now).await?;
    let live: i64 = checks::table.filter(checks::expires_at.gt(now.0)).count().get_result(conn).await?;
    if live >= MOST_CHECKS && !make_room(conn, now).await? {
        let many = format!("{MOST_CHECKS} checks are under way: go on with one of them, or wait until they end");
        return Err(Refusal::new(Reason::Busy).because(many).into());
    }
    let expires_at = now.plus_secs(CHECK_SECS);
    let (by_kind, by_id, by_service) = events::actor_columns(&by);
    diesel::insert_into(checks::table)
        .values((
            checks::id.eq(id.0.as_slice()),
            checks::store_id.eq(of.0.as_slice()),
            checks::by_kind.eq(by_kind),
            checks::by_id.eq(by_id),
            checks::by_service.eq(by_service),
            checks::stored.eq(0_i64),
            checks::created_at.eq(now.0),
            checks::expires_at.eq(expires_at.0),
        ))
        .execute(conn)
        .await?;
    Ok(Check { id, of, by, stored: 0, created_at: now, expires_at })
}

/// The check that ends first is forgotten soon, if nobody goes on with it; `false`: there is none.
pub(in super::super) async fn make_room(conn: &mut Conn, now: Time) -> Result<bool, StoreError> {
    let idle = now.plus_secs(CHECK_SECS - IDLE_CHECK_SECS);
    let left = checks::table.filter(checks::expires_at.gt(now.0)).filter(checks::expires_at.lt(idle.0));
    let first: Option<i64> = left.order(checks::expires_at).select(checks::number).first(conn).await.optional()?;
    let Some(first) = first else { return Ok(false) };
    let long_ago = now.plus_secs(-CHECK_SECS - 1);
    diesel::update(checks::table.find(first)).set(checks::expires_at.eq(long_ago.0)).execute(conn).await?;
    Ok(true)
}

pub(super) async fn renew(conn: &mut Conn, id: CheckId, secs: i64, now: Time) -> Result<Check, Stop> {
    need_writable(conn).await?;
    let ends = time(conn, now).await?.plus_secs(secs);
    let row = checks::table.filter(checks::id.eq(id.0.as_slice()));
    diesel::update(row).set(checks::expires_at.eq(ends.0)).execute(conn).await?;
    Ok(find(conn, id).await?.ok_or_else(Refusal::not_found)?)
}

pub(in super::super) async fn find(conn: &mut Conn, id: CheckId) -> Result<Option<Check>, StoreError> {
    let row = checks::table.filter(checks::id.eq(id.0.as_slice())).select(CheckRow::as_select());
    let row: Option<CheckRow> = row.first(conn).await.optional()?;
    row.map(Check::try_from).transpose()
}

/// The check's row is locked: of two that add at once the second has its numbers after the first one's.
pub(super) async fn add(conn: &mut Conn, id: CheckId, found: Vec<Finding>) -> Result<u64, Stop> {
    need_writable(conn).await?;
    let row = checks::table.filter(checks::id.eq(id.0.as_slice())).select((checks::number, checks::stored));
    let row: Option<(i64, i64)> = changing!(row).first(conn).await.optional()?;
    let (check, mut last) = row.ok_or_else(Refusal::not_found)?;
    for finding in &found {
        if last.unsigned_abs() >= MOST_FINDINGS {
            break;
        }
        let row = FindingRow::new(check, last + 1, finding);
        let added = diesel::insert_into(findings::table).values(row).on_conflict_do_nothing().execute(conn).await?;
        last += i64::from(added > 0);
    }
    diesel::update(checks::table.find(check)).set(checks::stored.eq(last)).execute(conn).await?;
    Ok(last.unsigned_abs())
}

async fn number(conn: &mut Conn, id: CheckId) -> Result<Option<i64>, StoreError> {
    let row = checks::table.filter(checks::id.eq(id.0.as_slice())).select(checks::number);
    Ok(row.first(conn).await.optional()?)
}

pub(in super::super) async fn list(
    conn: &mut Conn,
    id: CheckId,
    kinds: Vec<FindingKind>,
    after: i64,
    limit: u32,
) -> Result<Vec<StoredFinding>, StoreError> {
    let Some(check) = number(conn, id).await? else { return Ok(Vec::new()) };
    let kinds: Vec<&str> = kinds.into_iter().map(FindingKind::name).collect();
    let found: Vec<FindingRow> = findings::table
        .filter(findings::check_number.eq(check))
        .filter(findings::number.gt(after))
        .filter(findings::kind.eq_any(kinds))
        .order(findings::number)
        .limit(i64::from(limit))
        .select(FindingRow::as_select())
        .load(conn)
        .await?;
    found.into_iter().map(StoredFinding::try_from).collect()
}

pub(super) async fn note_repaired(
    conn: &mut Conn,
    id: CheckId,
    finding: i64,
    actor: Actor,
    now: Time,
) -> Result<(), Stop> {
    let Some(check) = number(conn, id).await? else { return Err(Refusal::not_found().into()) };
    let now = time(conn, now).await?;
    let row = findings::table.find((check, finding));
    let kind: String = row.select(findings::kind).first(conn).await?;
    diesel::update(row).set(findings::repaired_at.eq(now.0)).execute(conn).await?;
    let event = Event::new(EventKind::FindingRepaired, actor).detail(format!("{id} {finding} {kind}"));
    Ok(events::write(conn, &event, now).await?)
}

pub(super) async fn delete_dangling(
    conn: &mut Conn,
    id: CheckId,
    finding: i64,
    row: DanglingRow,
    actor: Actor,
    now: Time,
) -> Result<bool, Stop> {
    let ended = match row.rule {
        Dangling::AttachmentWithoutFile => {
            let mut gone = Statement::new("DELETE FROM attachments WHERE file_number = ");
            gone.int(row.number).sql(" AND chat_id = ").text(row.chat.as_deref().unwrap_or_default());
            gone.sql(" AND NOT EXISTS (SELECT 1 FROM files WHERE files.number = attachments.file_number)");
            gone
        }
        Dangling::BlobWithoutFile => {
            // An upload that shares it has locked it before, and its file is seen; or waits, and finds it PURGING.
            let mut needed = Statement::new("SELECT id FROM blobs WHERE id = ");
            needed.int(row.number);
            lock(conn, "blobs", needed).await?;
            let mut leaves = Statement::new("UPDATE blobs SET state = 'PURGING' WHERE id = ");
            leaves.int(row.number).sql(" AND state <> 'PURGING'");
            leaves.sql(" AND NOT EXISTS (SELECT 1 FROM files WHERE files.blob_id = blobs.id)");
            leaves
        }
        Dangling::FileWithoutBlob
        | Dangling::FileOfLeavingBlob
        | Dangling::AttachmentWithoutChat
        | Dangling::PurgedFile => return Ok(false),
    };
    let ended = ended.query().execute(conn).await?;
    if ended > 0 {
        note_repaired(conn, id, finding, actor, now).await?;
    }
    Ok(ended > 0)
}

/// Findings first, then their check: whatever goes takes nothing else with it.
pub(super) async fn trim(conn: &mut Conn, now: Time, limit: i64) -> Result<u64, StoreError> {
    let now = time(conn, now).await?;
    // As long again as it could be repaired by, it is told that it has ended.
    let over = checks::table.filter(checks::expires_at.lt(now.plus_secs(-CHECK_SECS).0));
    let check: Option<i64> = over.order(checks::expires_at).select(checks::number).first(conn).await.optional()?;
    let Some(check) = check else { return Ok(0) };
    let mut gone = Statement::new("DELETE FROM findings WHERE check_number = ");
    gone.int(check).sql(" AND number IN (SELECT number FROM findings WHERE check_number = ").int(check);
    gone.sql(" ORDER BY number LIMIT ").int(limit).sql(")");
    let gone = gone.query().execute(conn).await?;
    if gone > 0 {
        return Ok(gone as u64);
    }
    Ok(diesel::delete(checks::table.find(check)).execute(conn).await? as u64)
}
