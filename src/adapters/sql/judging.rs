//! What becomes of a blob that was scanned anew, and what kills the scanner.
//!
//! Locked in this order: the rescan, the content, its blobs. A commit of the same bytes is waited for, and a release of them.
//! Not here: what a hit does (`content.rs`), and the scan itself (`app/rescan.rs`).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Conn, change_content,
    content::{find_hit, forget_hit, put_into_quarantine},
    events, is_read_only_by_now, releases,
    rescan::{self, RescanRow},
    rows::{self, BlobRow},
    schema::{
        blobs,
        quarantine::{braked_signatures, scan_failures},
    },
    time,
};
use crate::{
    domain::{
        Actor, Blob, BlobState, Event, EventKind, Hit, Sha256, Time, Verdict, VerdictKind,
        quarantine::{Judged, Judgement, Target, brake},
    },
    ports::{JudgeBlob, Stop, StoreError},
};

/// A scan, on its way to be stored.
struct Scan<'a> {
    blob: &'a Blob,
    target: &'a Target,
    at: Time,
    now: Time,
}

pub(super) async fn judge(conn: &mut Conn, judge: JudgeBlob) -> Result<Judged, Stop> {
    let JudgeBlob { lease, seen, found, target, at, now } = judge;
    let row = match lease {
        Some(lease) => rescan::leased(conn, lease).await?,
        None => rescan::changed(conn).await?,
    };
    let now = time(conn, now).await?;
    let (id, sha256) = (seen.blob.id, seen.blob.sha256);
    change_content(conn, &sha256).await?;
    let there: Option<BlobRow> =
        changing!(blobs::table.find(id).select(BlobRow::as_select())).first(conn).await.optional()?;
    let blob = there.map(Blob::try_from).transpose()?;
    let unchanged = blob.filter(|blob| {
        let (is, was) = (&blob.verdict, &seen.blob.verdict);
        blob.key == seen.blob.key
            && blob.state == seen.blob.state
            && (is.kind, &is.signatures) == (was.kind, &was.signatures)
    });
    let judged = match &unchanged {
        None => Judged::Changed,
        Some(blob) => {
            let scan = Scan { blob, target: &target, at, now };
            match found {
                Judgement::Clean => clear(conn, &scan).await?,
                Judgement::Found { signature, ignored } => {
                    if ignored || releases::is_released(conn, sha256, &signature, now).await? {
                        release(conn, &scan, &signature).await?
                    } else if lease.is_some() && is_braked(conn, &scan, &signature, &row).await? {
                        Judged::Braked
                    } else {
                        hit(conn, &scan, signature).await?
                    }
                }
                Judgement::Unscannable { accept } => accept_unscannable(conn, &scan, accept).await?,
            }
        }
    };
    if lease.is_some() {
        let hits = if let Judged::Quarantined(hits) = judged { hits } else { 0 };
        rescan::add(conn, id, seen.blob.size, hits).await?;
    }
    Ok(judged)
}

/// Stores another verdict of a blob that is served, and stays so. No event tells of it, so `read_only` is asked for here.
async fn store(conn: &mut Conn, blob: i64, verdict: &Verdict, signature: Option<&str>) -> Result<(), StoreError> {
    if is_read_only_by_now(conn).await? {
        return Err(StoreError::ReadOnly);
    }
    diesel::update(blobs::table.find(blob))
        .set((
            blobs::verdict.eq(rows::verdict_name(verdict.kind)),
            blobs::engine.eq(&verdict.engine),
            blobs::signatures.eq(&verdict.signatures),
            blobs::scanned_at.eq(verdict.at.0),
            blobs::signature.eq(signature),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// All blobs of these bytes that are in quarantine come out of it.
async fn let_out(
    conn: &mut Conn,
    sha256: &Sha256,
    verdict: &Verdict,
    signature: Option<&str>,
    told: &str,
) -> Result<(), StoreError> {
    let theirs = blobs::table
        .filter(blobs::sha256.eq(sha256.0.as_slice()))
        .filter(blobs::state.eq(rows::blob_state_name(BlobState::Quarantined)));
    let out = diesel::update(theirs)
        .set((
            blobs::state.eq(rows::blob_state_name(BlobState::Active)),
            blobs::verdict.eq(rows::verdict_name(verdict.kind)),
            blobs::engine.eq(&verdict.engine),
            blobs::signatures.eq(&verdict.signatures),
            blobs::scanned_at.eq(verdict.at.0),
            blobs::signature.eq(signature),
        ))
        .execute(conn)
        .await?;
    let event = Event::new(EventKind::QuarantineReleased, Actor::SYSTEM).detail(told);
    events::write_all(conn, &vec![event; out], verdict.at).await
}

/// Nothing was found: that clears what others found, unless theirs are newer signatures.
async fn clear(conn: &mut Conn, scan: &Scan<'_>) -> Result<Judged, Stop> {
    let Scan { blob, target, at, now: _ } = scan;
    let known = find_hit(conn, &blob.sha256).await?;
    let verdict = target.verdict(VerdictKind::Clean, *at);
    let (signatures, signature) = match &known {
        Some(hit) => (&hit.verdict.signatures, hit.signature.as_str()),
        None => (&blob.verdict.signatures, ""),
    };
    let is_quarantined = blob.state == BlobState::Quarantined;
    let stands = known.as_ref().is_some_and(|hit| !target.clears(hit));
    if stands || is_quarantined && *signatures == target.signatures {
        return Ok(Judged::Kept);
    }
    if is_quarantined {
        let_out(conn, &blob.sha256, &verdict, None, signature).await?;
    } else {
        store(conn, blob.id, &verdict, None).await?;
    }
    if let Some(hit) = &known {
        forget_hit(conn, hit.number).await?;
    }
    Ok(Judged::Cleared)
}

/// What was found counts for nothing.
async fn release(conn: &mut Conn, scan: &Scan<'_>, signature: &str) -> Result<Judged, Stop> {
    let Scan { blob, target, at, now: _ } = scan;
    let verdict = target.verdict(VerdictKind::Released, *at);
    if blob.state == BlobState::Quarantined {
        let_out(conn, &blob.sha256, &verdict, Some(signature), signature).await?;
    } else {
        store(conn, blob.id, &verdict, Some(signature)).await?;
    }
    Ok(Judged::Released)
}

/// Counts what the signature hits, and stops it where that is too much.
async fn is_braked(conn: &mut Conn, scan: &Scan<'_>, signature: &str, row: &RescanRow) -> Result<bool, StoreError> {
    let served = blobs::table
        .filter(blobs::sha256.eq(scan.blob.sha256.0.as_slice()))
        .filter(blobs::state.eq(rows::blob_state_name(BlobState::Active)));
    let served: i64 = served.count().get_result(conn).await?;
    if served == 0 {
        return Ok(false);
    }
    let known = braked_signatures::table.find(signature).select((
        braked_signatures::hits,
        braked_signatures::quarantined,
        braked_signatures::confirmed,
        braked_signatures::at,
    ));
    let known: Option<(i64, i64, bool, Option<i64>)> = known.first(conn).await.optional()?;
    let is_known = known.is_some();
    let (hits, quarantined, confirmed, stopped) = known.unwrap_or_default();
    let many = (quarantined + served).unsigned_abs() > brake(row.blobs.unsigned_abs());
    let over = !confirmed && (stopped.is_some() || many);
    let counts = (
        braked_signatures::hits.eq(hits + served),
        braked_signatures::quarantined.eq(if over { quarantined } else { quarantined + served }),
        braked_signatures::at.eq(stopped.or(over.then_some(scan.now.0))),
    );
    if is_known {
        diesel::update(braked_signatures::table.find(signature)).set(counts).execute(conn).await?;
    } else {
        let named = (
            braked_signatures::signature.eq(signature),
            braked_signatures::target.eq(&row.target),
            braked_signatures::confirmed.eq(false),
        );
        diesel::insert_into(braked_signatures::table).values((named, counts)).execute(conn).await?;
    }
    if over && stopped.is_none() {
        let event = Event::new(EventKind::SignatureBraked, Actor::SYSTEM).detail(signature);
        events::write(conn, &event, scan.at).await?;
    }
    Ok(over)
}

/// As the hit of an upload, and those that are in quarantine already are so by the newer word.
async fn hit(conn: &mut Conn, scan: &Scan<'_>, signature: String) -> Result<Judged, Stop> {
    let Scan { blob, target, at, now: _ } = scan;
    let verdict = target.verdict(VerdictKind::Infected, *at);
    let found = Hit { number: 0, signature, verdict, made: target.made };
    let hits = put_into_quarantine(conn, blob.sha256, found).await?;
    if let Some(Hit { signature, verdict, .. }) = find_hit(conn, &blob.sha256).await? {
        let theirs = blobs::table
            .filter(blobs::sha256.eq(blob.sha256.0.as_slice()))
            .filter(blobs::state.eq(rows::blob_state_name(BlobState::Quarantined)));
        diesel::update(theirs)
            .set((
                blobs::verdict.eq(rows::verdict_name(VerdictKind::Infected)),
                blobs::engine.eq(&verdict.engine),
                blobs::signatures.eq(&verdict.signatures),
                blobs::scanned_at.eq(verdict.at.0),
                blobs::signature.eq(&signature),
            ))
            .execute(conn)
            .await?;
    }
    Ok(Judged::Quarantined(hits))
}

/// What was served stays so, and what was in quarantine, too: nobody has looked.
async fn accept_unscannable(conn: &mut Conn, scan: &Scan<'_>, accept: bool) -> Result<Judged, Stop> {
    let Scan { blob, target, at, now: _ } = scan;
    let counts = match blob.verdict.kind {
        VerdictKind::UnscannableAccepted => true,
        VerdictKind::Clean | VerdictKind::NotScanned => accept,
        VerdictKind::Infected | VerdictKind::Released => false,
    };
    if !counts || blob.state != BlobState::Active {
        return Ok(Judged::Kept);
    }
    store(conn, blob.id, &target.verdict(VerdictKind::UnscannableAccepted, *at), None).await?;
    Ok(Judged::Cleared)
}

pub(in super::super) async fn find_failures(
    conn: &mut Conn,
    sha256: Sha256,
    signatures: String,
) -> Result<u32, StoreError> {
    let times = scan_failures::table
        .filter(scan_failures::sha256.eq(sha256.0.as_slice()))
        .filter(scan_failures::signatures.eq(signatures))
        .select(scan_failures::times);
    let times: Option<i64> = times.first(conn).await.optional()?;
    Ok(times.map_or(0, |times| u32::try_from(times).unwrap_or(u32::MAX)))
}

pub(super) async fn note_failures(
    conn: &mut Conn,
    sha256: Sha256,
    signatures: String,
    times: u32,
    now: Time,
) -> Result<u32, StoreError> {
    change_content(conn, &sha256).await?;
    let times = find_failures(conn, sha256, signatures.clone()).await?.saturating_add(times);
    forget_failures(conn, sha256).await?;
    diesel::insert_into(scan_failures::table)
        .values((
            scan_failures::sha256.eq(sha256.0.as_slice()),
            scan_failures::signatures.eq(signatures),
            scan_failures::times.eq(i64::from(times)),
            scan_failures::at.eq(now.0),
        ))
        .execute(conn)
        .await?;
    Ok(times)
}

pub(super) async fn forget_failures(conn: &mut Conn, sha256: Sha256) -> Result<(), StoreError> {
    diesel::delete(scan_failures::table.find(sha256.0.as_slice())).execute(conn).await?;
    Ok(())
}
