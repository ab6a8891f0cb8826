//! What is known of bytes: blobs that have them, the verdicts on them, quarantine.
//!
//! Not here: the commit that makes a file of them (`uploads.rs`), and where they lie (`adapters/blobs`).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Conn, change_content, events, releases, rescan,
    rows::{self, BlobRow},
    schema::{blobs, hits},
    time,
};
use crate::{
    domain::{
        Actor, Blob, BlobKey, BlobState, Event, EventKind, Hit, Sha256, Time, Verdict, VerdictKind, admission::Cleared,
    },
    ports::StoreError,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = hits)]
struct HitRow {
    id: i64,
    signature: String,
    engine: String,
    signatures: String,
    made: Option<i64>,
    at: i64,
}

/// A scanner looked, and nothing was found.
const fn is_looked(verdict: &Verdict) -> bool {
    matches!(verdict.kind, VerdictKind::Clean | VerdictKind::UnscannableAccepted | VerdictKind::Released)
}

/// What was found in these bytes, if anything was and no newer signatures have cleared them since.
pub(super) async fn find_hit(conn: &mut Conn, sha256: &Sha256) -> Result<Option<Hit>, StoreError> {
    let row: Option<HitRow> = hits::table
        .filter(hits::sha256.eq(sha256.0.as_slice()))
        .select(HitRow::as_select())
        .first(conn)
        .await
        .optional()?;
    Ok(row.map(|HitRow { id, signature, engine, signatures, made, at }| {
        let verdict = Verdict { kind: VerdictKind::Infected, engine, signatures, at: Time(at) };
        Hit { number: id, signature, verdict, made: made.map(Time) }
    }))
}

/// Who knew of it called the bytes clean: the next one need not weigh it again.
pub(super) async fn forget_hit(conn: &mut Conn, number: i64) -> Result<(), StoreError> {
    diesel::delete(hits::table.find(number)).execute(conn).await?;
    Ok(())
}

pub(super) async fn new_blob(
    conn: &mut Conn,
    cleared: &Cleared,
    key: BlobKey,
    verdict: Verdict,
    now: Time,
) -> Result<Blob, StoreError> {
    let (sha256, size) = (cleared.received.sha256, cleared.received.size);
    let id = diesel::insert_into(blobs::table)
        .values((
            blobs::key.eq(key.0.as_slice()),
            blobs::sha256.eq(sha256.0.as_slice()),
            blobs::size.eq(i64::try_from(size).unwrap_or(i64::MAX)),
            blobs::state.eq(rows::blob_state_name(BlobState::Active)),
            blobs::verdict.eq(rows::verdict_name(verdict.kind)),
            blobs::engine.eq(&verdict.engine),
            blobs::signatures.eq(&verdict.signatures),
            blobs::scanned_at.eq(verdict.at.0),
            blobs::signature.eq(cleared.signature.as_deref()),
            blobs::created_at.eq(now.0),
        ))
        .returning(blobs::id)
        .get_result(conn)
        .await?;
    Ok(Blob { id, key, sha256, size, state: BlobState::Active, verdict })
}

/// Called clean by the signatures that the rescan goes by: those of a node that lags behind say nothing better.
async fn is_by_target(conn: &mut Conn, verdict: &Verdict) -> Result<bool, StoreError> {
    use super::schema::quarantine::rescan as row;
    if verdict.kind != VerdictKind::Clean {
        return Ok(false);
    }
    let target: String = row::table.find(1_i64).select(row::target).first(conn).await?;
    Ok(!target.is_empty() && target == verdict.signatures)
}

/// These signatures call a blob of these bytes clean.
async fn is_clean_by(conn: &mut Conn, sha256: &Sha256, signatures: &str) -> Result<bool, StoreError> {
    let clean = blobs::table
        .filter(blobs::sha256.eq(sha256.0.as_slice()))
        .filter(blobs::state.eq(rows::blob_state_name(BlobState::Active)))
        .filter(blobs::verdict.eq(rows::verdict_name(VerdictKind::Clean)))
        .filter(blobs::signatures.eq(signatures));
    Ok(diesel::select(diesel::dsl::exists(clean)).get_result(conn).await?)
}

/// The blob to be shared, if it is still ACTIVE and of the same bytes, with the better of the two verdicts stored: one on
/// other bytes says nothing of it.
pub(super) async fn shared_blob(
    conn: &mut Conn,
    id: i64,
    cleared: &Cleared,
    verdict: Verdict,
) -> Result<Option<Blob>, StoreError> {
    let active = blobs::table
        .filter(blobs::id.eq(id))
        .filter(blobs::sha256.eq(cleared.received.sha256.0.as_slice()))
        .filter(blobs::size.eq(i64::try_from(cleared.received.size).unwrap_or(i64::MAX)))
        .filter(blobs::state.eq(rows::blob_state_name(BlobState::Active)))
        .select(BlobRow::as_select());
    let row: Option<BlobRow> = changing!(active).first(conn).await.optional()?;
    let Some(row) = row else { return Ok(None) };
    let mut blob = Blob::try_from(row)?;
    let news = blob.verdict.kind == VerdictKind::NotScanned || blob.verdict.signatures != verdict.signatures;
    if is_looked(&verdict) && news && !is_by_target(conn, &blob.verdict).await? {
        diesel::update(blobs::table.find(id))
            .set((
                blobs::verdict.eq(rows::verdict_name(verdict.kind)),
                blobs::engine.eq(&verdict.engine),
                blobs::signatures.eq(&verdict.signatures),
                blobs::scanned_at.eq(verdict.at.0),
                blobs::signature.eq(cleared.signature.as_deref()),
            ))
            .execute(conn)
            .await?;
        blob.verdict = verdict;
    }
    Ok(Some(blob))
}

pub(in super::super) async fn find_blob(
    conn: &mut Conn,
    sha256: Sha256,
    size: u64,
) -> Result<Option<Blob>, StoreError> {
    let usable = blobs::state
        .eq(rows::blob_state_name(BlobState::Active))
        .and(blobs::verdict.eq(rows::verdict_name(VerdictKind::Clean)));
    let row: Option<BlobRow> = blobs::table
        .filter(blobs::sha256.eq(sha256.0.as_slice()))
        .filter(blobs::size.eq(i64::try_from(size).unwrap_or(i64::MAX)))
        // Those may be gone by now, and what was found in them is remembered elsewhere.
        .filter(blobs::state.ne(rows::blob_state_name(BlobState::Purging)))
        .order((usable.desc(), blobs::scanned_at.desc(), blobs::id.desc()))
        .select(BlobRow::as_select())
        .first(conn)
        .await
        .optional()?;
    row.map(Blob::try_from).transpose()
}

/// The hit of an upload: none, if somebody has released it since the upload asked, or if newer signatures, by which blobs
/// are judged, call the bytes clean. The rescan's row is locked as by who releases, so that one of the two sees the other.
pub(super) async fn quarantine(conn: &mut Conn, sha256: Sha256, hit: Hit) -> Result<u64, StoreError> {
    let target = rescan::changed(conn).await?.target();
    change_content(conn, &sha256).await?;
    let now = time(conn, hit.verdict.at).await?;
    if releases::is_released(conn, sha256, &hit.signature, now).await?
        || target.is_later_than(hit.made) && is_clean_by(conn, &sha256, &target.signatures).await?
    {
        return Ok(0);
    }
    put_into_quarantine(conn, sha256, hit).await
}

/// With the content locked: a commit of the same bytes was waited for and its blob is hit, or it finds what was found: by
/// the number that the database gives each hit, whatever the clocks of the nodes say.
pub(super) async fn put_into_quarantine(conn: &mut Conn, sha256: Sha256, hit: Hit) -> Result<u64, StoreError> {
    let Hit { signature, verdict, made, number: _ } = hit;
    let known = find_hit(conn, &sha256).await?;
    // One by the same signatures, or by newer ones, says more than this.
    if !known.as_ref().is_some_and(|known| known.stands_against(&verdict.signatures, made)) {
        diesel::delete(hits::table.filter(hits::sha256.eq(sha256.0.as_slice()))).execute(conn).await?;
        diesel::insert_into(hits::table)
            .values((
                hits::sha256.eq(sha256.0.as_slice()),
                hits::signature.eq(&signature),
                hits::engine.eq(&verdict.engine),
                hits::signatures.eq(&verdict.signatures),
                hits::made.eq(made.map(|made| made.0)),
                hits::at.eq(verdict.at.0),
            ))
            .execute(conn)
            .await?;
    }
    let active = blobs::table
        .filter(blobs::sha256.eq(sha256.0.as_slice()))
        .filter(blobs::state.eq(rows::blob_state_name(BlobState::Active)));
    let quarantined = diesel::update(active)
        .set((
            blobs::state.eq(rows::blob_state_name(BlobState::Quarantined)),
            blobs::verdict.eq(rows::verdict_name(verdict.kind)),
            blobs::engine.eq(&verdict.engine),
            blobs::signatures.eq(&verdict.signatures),
            blobs::scanned_at.eq(verdict.at.0),
            blobs::signature.eq(&signature),
            blobs::quarantined_at.eq(verdict.at.0),
        ))
        .execute(conn)
        .await?;
    let event = Event::new(EventKind::BlobQuarantined, Actor::SYSTEM).detail(signature);
    events::write_all(conn, &vec![event; quarantined], verdict.at).await?;
    Ok(quarantined as u64)
}
