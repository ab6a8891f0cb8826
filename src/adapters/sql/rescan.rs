//! The one row of the rescan: who scans, how far it is, what it may spend; and the signatures that hit too much.
//!
//! Whoever changes the row as the one that scans has it locked and has seen its own fence there. Not here: which blobs there
//! are (`candidates.rs`), and what becomes of one (`judging.rs`).

use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool},
};
use diesel_async::RunQueryDsl;

use super::{
    Conn,
    rows::corrupt,
    schema::{
        blobs,
        quarantine::{braked_signatures, releases, rescan, scan_failures},
    },
    statement::Statement,
    time,
};
use crate::{
    domain::{
        Reason, Refusal, Time,
        quarantine::{Holder, LEFT_SECS, Phase, RescanRule, Spent, Target},
    },
    ports::{Braked, Counted, Rescan, RescanLease, Stop, StoreError, TakeRescan},
};

/// The row.
#[derive(Queryable, Selectable)]
#[diesel(table_name = rescan)]
pub(super) struct RescanRow {
    pub target: String,
    engine: String,
    made: Option<i64>,
    rule: String,
    phase: String,
    position: i64,
    top: i64,
    pub blobs: i64,
    left_blobs: i64,
    left_bytes: i64,
    done_blobs: i64,
    done_bytes: i64,
    hits: i64,
    node: String,
    fence: i64,
    lease_until: i64,
    window_since: i64,
    window_bytes: i64,
    window_blobs: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
}

#[derive(QueryableByName)]
struct CountedRow {
    #[diesel(sql_type = BigInt)]
    blobs: i64,
    #[diesel(sql_type = BigInt)]
    left_blobs: i64,
    #[diesel(sql_type = BigInt)]
    left_bytes: i64,
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl RescanRow {
    /// The signatures that it goes by.
    pub(super) fn target(&self) -> Target {
        Target { engine: self.engine.clone(), signatures: self.target.clone(), made: self.made.map(Time) }
    }

    fn spent(&self) -> Spent {
        let (bytes, blobs) = (self.window_bytes.unsigned_abs(), self.window_blobs.unsigned_abs());
        Spent { since: Time(self.window_since), bytes, blobs }
    }

    fn rescan(self, (is_stale, is_left): (bool, bool), newest: i64, now: Time) -> Result<Rescan, StoreError> {
        let target = self.target();
        let spent = self.spent();
        Ok(Rescan {
            target,
            phase: Phase::find(&self.phase).ok_or_else(|| corrupt("rescan", "phase", 1))?,
            cursor: self.position,
            top: self.top,
            counted: Counted {
                blobs: self.blobs.unsigned_abs(),
                left_blobs: self.left_blobs.unsigned_abs(),
                left_bytes: self.left_bytes.unsigned_abs(),
            },
            done_blobs: self.done_blobs.unsigned_abs(),
            done_bytes: self.done_bytes.unsigned_abs(),
            hits: self.hits.unsigned_abs(),
            is_leased: self.lease_until > now.0,
            spent,
            started_at: self.started_at.map(Time),
            ended_at: self.ended_at.map(Time),
            is_stale,
            is_left,
            newest,
            now,
            rule: self.rule,
            node: self.node,
        })
    }
}

/// A release has ended since the rescan began.
async fn is_stale(conn: &mut Conn, row: &RescanRow, now: Time) -> Result<bool, StoreError> {
    let Some(started_at) = row.started_at else { return Ok(false) };
    let ended = releases::table
        .filter(releases::until.assume_not_null().gt(started_at))
        .filter(releases::until.assume_not_null().le(now.0));
    Ok(diesel::select(diesel::dsl::exists(ended)).get_result(conn).await?)
}

/// Something is to be done, and nobody has done it for long.
async fn is_left(conn: &mut Conn, row: &RescanRow, now: Time) -> Result<bool, StoreError> {
    let since = now.plus_secs(-LEFT_SECS).0;
    if row.lease_until > since || row.phase != Phase::New.name() {
        return Ok(row.lease_until <= since);
    }
    let next = blobs::table.filter(blobs::id.gt(row.position)).order(blobs::id).select(blobs::created_at);
    let next: Option<i64> = next.first(conn).await.optional()?;
    Ok(next.is_some_and(|at| at <= since))
}

async fn newest(conn: &mut Conn) -> Result<i64, StoreError> {
    let newest = blobs::table.filter(blobs::id.gt(0)).order(blobs::id.desc()).select(blobs::id);
    Ok(newest.first(conn).await.optional()?.unwrap_or(0))
}

pub(in super::super) async fn find(conn: &mut Conn, now: Time) -> Result<Rescan, StoreError> {
    let now = time(conn, now).await?;
    let row: RescanRow = rescan::table.find(1_i64).select(RescanRow::as_select()).first(conn).await?;
    let seen = (is_stale(conn, &row, now).await?, is_left(conn, &row, now).await?);
    let newest = newest(conn).await?;
    row.rescan(seen, newest, now)
}

pub(in super::super) async fn count_blobs(conn: &mut Conn, signatures: String) -> Result<Counted, StoreError> {
    let mut counted = Statement::new(
        "SELECT CAST(COUNT(*) AS BIGINT) AS blobs, CAST(COALESCE(SUM(left_one), 0) AS BIGINT) AS left_blobs, \
         CAST(COALESCE(SUM(left_one * size), 0) AS BIGINT) AS left_bytes FROM (SELECT size, CASE WHEN signatures = ",
    );
    counted.text(&signatures).sql(" THEN 0 ELSE 1 END AS left_one FROM blobs WHERE state <> 'PURGING') counted");
    let CountedRow { blobs, left_blobs, left_bytes } = counted.query().get_result(conn).await?;
    let [blobs, left_blobs, left_bytes] = [blobs, left_blobs, left_bytes].map(i64::unsigned_abs);
    Ok(Counted { blobs, left_blobs, left_bytes })
}

/// The row, locked: whoever scans, releases or begins anew is waited for.
pub(super) async fn changed(conn: &mut Conn) -> Result<RescanRow, StoreError> {
    Ok(changing!(rescan::table.find(1_i64).select(RescanRow::as_select())).first(conn).await?)
}

/// The same, for the node that still scans.
pub(super) async fn leased(conn: &mut Conn, lease: RescanLease) -> Result<RescanRow, Stop> {
    let row = changed(conn).await?;
    if row.fence == lease.fence {
        return Ok(row);
    }
    Err(Refusal::new(Reason::Fenced).because("another node scans, or the rescan has begun anew").into())
}

pub(super) async fn take(conn: &mut Conn, take: TakeRescan) -> Result<Option<(Rescan, RescanLease)>, StoreError> {
    let TakeRescan { node, target, rule, counted, now, lease_secs } = take;
    let now = time(conn, now).await?;
    let row = changed(conn).await?;
    let (known, is_left) = (row.target(), is_left(conn, &row, now).await?);
    let over = target.takes_over(&node, &Holder { target: &known, node: &row.node, is_left });
    let elsewhere = row.lease_until > now.0 && row.node != node;
    if !over && (row.target != target.signatures || elsewhere) {
        return Ok(None);
    }
    let lease = RescanLease { fence: row.fence.saturating_add(1) };
    let until = now.plus_secs(lease_secs).0;
    let taken = (rescan::node.eq(&node), rescan::fence.eq(lease.fence), rescan::lease_until.eq(until));
    diesel::update(rescan::table.find(1_i64)).set(taken).execute(conn).await?;
    if over {
        // What hit too much, and what somebody has confirmed, is nothing new to these signatures.
        let plain = braked_signatures::at.is_null().and(braked_signatures::confirmed.eq(false));
        diesel::delete(braked_signatures::table.filter(plain)).execute(conn).await?;
        let by = braked_signatures::target.eq(&target.signatures);
        diesel::update(braked_signatures::table).set(by).execute(conn).await?;
        // What older signatures failed on counts no more.
        let older = scan_failures::table.filter(scan_failures::signatures.ne(&target.signatures));
        diesel::delete(older).execute(conn).await?;
    }
    if over || row.rule != rule || is_stale(conn, &row, now).await? {
        begin(conn, now).await?;
        for signature in RescanRule::ignored_in(&rule) {
            settle(conn, signature).await?;
        }
        let Counted { blobs, left_blobs, left_bytes } = counted.unwrap_or(Counted {
            blobs: row.blobs.unsigned_abs(),
            left_blobs: row.left_blobs.unsigned_abs(),
            left_bytes: row.left_bytes.unsigned_abs(),
        });
        diesel::update(rescan::table.find(1_i64))
            .set((
                rescan::target.eq(&target.signatures),
                rescan::engine.eq(&target.engine),
                rescan::made.eq(target.made.map(|made| made.0)),
                rescan::rule.eq(&rule),
                rescan::blobs.eq(count(blobs)),
                rescan::left_blobs.eq(count(left_blobs)),
                rescan::left_bytes.eq(count(left_bytes)),
            ))
            .execute(conn)
            .await?;
    }
    Ok(Some((find(conn, now).await?, lease)))
}

/// From the top again. What is stopped stays so, and counts from what it put into quarantine.
async fn begin(conn: &mut Conn, now: Time) -> Result<(), StoreError> {
    let top = newest(conn).await?;
    diesel::update(rescan::table.find(1_i64))
        .set((
            rescan::phase.eq(Phase::Quarantined.name()),
            rescan::position.eq(i64::MAX),
            rescan::top.eq(top),
            rescan::done_blobs.eq(0_i64),
            rescan::done_bytes.eq(0_i64),
            rescan::hits.eq(0_i64),
            rescan::started_at.eq(now.0),
            rescan::ended_at.eq(None::<i64>),
        ))
        .execute(conn)
        .await?;
    let fewer = braked_signatures::hits.eq(braked_signatures::quarantined);
    diesel::update(braked_signatures::table).set(fewer).execute(conn).await?;
    Ok(())
}

/// What this signature hits counts for nothing: nobody need look.
pub(super) async fn settle(conn: &mut Conn, signature: &str) -> Result<(), StoreError> {
    let settled = braked_signatures::at.eq(None::<i64>);
    diesel::update(braked_signatures::table.find(signature)).set(settled).execute(conn).await?;
    Ok(())
}

/// Whoever scans is refused, and anyone may take it.
pub(super) async fn free(conn: &mut Conn, now: Time) -> Result<(), StoreError> {
    let row = changed(conn).await?;
    let freed = (rescan::fence.eq(row.fence.saturating_add(1)), rescan::lease_until.eq(now.0));
    diesel::update(rescan::table.find(1_i64)).set(freed).execute(conn).await?;
    Ok(())
}

/// Without a rule, whoever takes it next begins anew.
pub(super) async fn restart(conn: &mut Conn, confirm: Option<String>, now: Time) -> Result<(), StoreError> {
    let now = time(conn, now).await?;
    let row = changed(conn).await?;
    begin(conn, now).await?;
    free(conn, now).await?;
    diesel::update(rescan::table.find(1_i64)).set(rescan::rule.eq("")).execute(conn).await?;
    let Some(signature) = confirm else { return Ok(()) };
    let word = (braked_signatures::confirmed.eq(true), braked_signatures::at.eq(None::<i64>));
    let found = diesel::update(braked_signatures::table.find(&signature)).set(word).execute(conn).await?;
    if found == 0 {
        diesel::insert_into(braked_signatures::table)
            .values((
                braked_signatures::signature.eq(&signature),
                braked_signatures::target.eq(&row.target),
                braked_signatures::hits.eq(0_i64),
                braked_signatures::quarantined.eq(0_i64),
                word,
            ))
            .execute(conn)
            .await?;
    }
    Ok(())
}

pub(super) async fn renew(conn: &mut Conn, lease: RescanLease, now: Time, lease_secs: i64) -> Result<(), Stop> {
    leased(conn, lease).await?;
    let until = time(conn, now).await?.plus_secs(lease_secs).0;
    diesel::update(rescan::table.find(1_i64)).set(rescan::lease_until.eq(until)).execute(conn).await?;
    Ok(())
}

pub(super) async fn note(
    conn: &mut Conn,
    lease: RescanLease,
    phase: Phase,
    cursor: i64,
    ended: bool,
    now: Time,
) -> Result<(), Stop> {
    let row = leased(conn, lease).await?;
    let now = time(conn, now).await?;
    let ended_at = row.ended_at.or(ended.then_some(now.0));
    let noted = (rescan::phase.eq(phase.name()), rescan::position.eq(cursor), rescan::ended_at.eq(ended_at));
    diesel::update(rescan::table.find(1_i64)).set(noted).execute(conn).await?;
    if ended && row.ended_at.is_none() {
        // Stopped by what it hit before, and hits nothing more.
        let no_more = braked_signatures::at.is_not_null().and(braked_signatures::confirmed.eq(false));
        let no_more = no_more.and(braked_signatures::hits.le(braked_signatures::quarantined));
        diesel::delete(braked_signatures::table.filter(no_more)).execute(conn).await?;
    }
    Ok(())
}

pub(super) async fn spend(
    conn: &mut Conn,
    lease: RescanLease,
    bytes: u64,
    budget: u64,
    now: Time,
) -> Result<Option<Time>, Stop> {
    let row = leased(conn, lease).await?;
    let now = time(conn, now).await?;
    let spent = match row.spent().spend(bytes, budget, now) {
        Ok(spent) => spent,
        Err(until) => return Ok(Some(until)),
    };
    diesel::update(rescan::table.find(1_i64))
        .set((
            rescan::window_since.eq(spent.since.0),
            rescan::window_bytes.eq(count(spent.bytes)),
            rescan::window_blobs.eq(count(spent.blobs)),
        ))
        .execute(conn)
        .await?;
    Ok(None)
}

/// One more blob is dealt with.
pub(super) async fn add(conn: &mut Conn, cursor: i64, bytes: u64, hits: u64) -> Result<(), StoreError> {
    diesel::update(rescan::table.find(1_i64))
        .set((
            rescan::position.eq(cursor),
            rescan::done_blobs.eq(rescan::done_blobs + 1_i64),
            rescan::done_bytes.eq(rescan::done_bytes + count(bytes)),
            rescan::hits.eq(rescan::hits + count(hits)),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

pub(in super::super) async fn list_braked(conn: &mut Conn) -> Result<Vec<Braked>, StoreError> {
    // As the index says it.
    let stopped = diesel::dsl::sql::<Bool>("braked_signatures.at IS NOT NULL");
    let found: Vec<(String, i64, Option<i64>)> = braked_signatures::table
        .filter(stopped)
        .filter(braked_signatures::signature.gt(""))
        .order(braked_signatures::signature)
        .limit(1_000)
        .select((braked_signatures::signature, braked_signatures::hits, braked_signatures::at))
        .load(conn)
        .await?;
    let braked = |(signature, hits, at): (String, i64, Option<i64>)| Braked {
        signature,
        hits: hits.unsigned_abs(),
        at: Time(at.unwrap_or_default()),
    };
    Ok(found.into_iter().map(braked).collect())
}
