//! What lies in quarantine, and releases from it.
//!
//! A release is written with the rescan's row locked: whoever puts something into quarantine for what it releases is over by
//! then, or sees it. Not here: what a release means for a scan (`judging.rs`, `app/`).

use std::collections::HashMap;

use diesel::{dsl::exists, prelude::*, sql_types::BigInt};
use diesel_async::RunQueryDsl;

use super::{
    Conn, by_index, candidates, change_content,
    content::find_hit,
    events, lock, rescan,
    rows::{self, corrupt},
    run_row::actor,
    schema::{blobs, files, quarantine::releases},
    statement::Statement,
    time,
};
use crate::{
    domain::{
        Actor, BlobState, Event, EventKind, FileId, Refusal, Sha256, Time,
        quarantine::{Candidate, MAX_FILES_NAMED, QuarantinedBlob, Release, ReleaseOf},
    },
    ports::{NewRelease, QuarantineQuery, Stop, StoreError},
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = releases)]
struct ReleaseRow {
    number: i64,
    sha256: Option<Vec<u8>>,
    signature: String,
    reason: String,
    by_kind: Option<String>,
    by_id: Option<String>,
    by_service: Option<String>,
    at: i64,
    until: Option<i64>,
}

impl ReleaseRow {
    fn release(self) -> Result<Release, StoreError> {
        let number = self.number;
        let bad = |column| corrupt("releases", column, number);
        let sha256 = self.sha256.as_deref().map(|sha256| rows::bytes("releases", "sha256", number, sha256));
        Ok(Release {
            number,
            sha256: sha256.transpose()?.map(Sha256),
            by: actor(self.by_kind.as_deref(), self.by_id.as_deref(), self.by_service.as_deref(), bad)?,
            signature: self.signature,
            reason: self.reason,
            at: Time(self.at),
            until: self.until.map(Time),
        })
    }

    fn is_in_force(&self, now: Time) -> bool {
        self.until.is_none_or(|until| until > now.0)
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

pub(in super::super) async fn is_released(
    conn: &mut Conn,
    sha256: Sha256,
    signature: &str,
    now: Time,
) -> Result<bool, StoreError> {
    let in_force = || releases::until.is_null().or(releases::until.assume_not_null().gt(now.0));
    let of_bytes = releases::table
        .filter(releases::sha256.assume_not_null().eq(sha256.0.as_slice()))
        .filter(releases::signature.eq(signature))
        .filter(in_force());
    if diesel::select(exists(of_bytes)).get_result(conn).await? {
        return Ok(true);
    }
    let of_all = releases::table.filter(releases::sha256.is_null()).filter(releases::signature.eq(signature));
    Ok(diesel::select(exists(of_all.filter(in_force()))).get_result(conn).await?)
}

/// The same by the clock that counts.
pub(in super::super) async fn is_released_now(
    conn: &mut Conn,
    sha256: Sha256,
    signature: String,
    now: Time,
) -> Result<bool, StoreError> {
    let now = time(conn, now).await?;
    is_released(conn, sha256, &signature, now).await
}

/// What was found in these bytes, as it is remembered, or as a blob in quarantine says.
async fn found_in(conn: &mut Conn, sha256: &Sha256) -> Result<String, Stop> {
    if let Some(hit) = find_hit(conn, sha256).await? {
        return Ok(hit.signature);
    }
    let quarantined = blobs::table
        .filter(blobs::sha256.eq(sha256.0.as_slice()))
        .filter(blobs::state.eq(rows::blob_state_name(BlobState::Quarantined)))
        .select(blobs::signature);
    let signature: Option<Option<String>> = quarantined.first(conn).await.optional()?;
    Ok(signature.flatten().ok_or_else(Refusal::not_found)?)
}

pub(super) async fn create(conn: &mut Conn, new: NewRelease) -> Result<(Release, u64), Stop> {
    let NewRelease { what, reason, by, until, now: told_at } = new;
    let now = time(conn, told_at).await?;
    rescan::changed(conn).await?;
    let (sha256, signature) = match what {
        ReleaseOf::Blob(sha256) => {
            change_content(conn, &sha256).await?;
            (Some(sha256), found_in(conn, &sha256).await?)
        }
        ReleaseOf::Signature(signature) => (None, signature),
    };
    let ended = releases::until.eq(now.0);
    let in_force = || releases::until.is_null().or(releases::until.assume_not_null().gt(now.0));
    match &sha256 {
        Some(sha256) => {
            let same = releases::table
                .filter(releases::sha256.assume_not_null().eq(sha256.0.as_slice()))
                .filter(releases::signature.eq(&signature));
            diesel::update(same.filter(in_force())).set(ended).execute(conn).await?;
        }
        None => {
            let same = releases::table.filter(releases::sha256.is_null()).filter(releases::signature.eq(&signature));
            diesel::update(same.filter(in_force())).set(ended).execute(conn).await?;
            rescan::settle(conn, &signature).await?;
        }
    }
    let (by_kind, by_id, by_service) = events::actor_columns(&by);
    let number: i64 = diesel::insert_into(releases::table)
        .values((
            releases::sha256.eq(sha256.as_ref().map(|sha256| sha256.0.as_slice())),
            releases::signature.eq(&signature),
            releases::reason.eq(&reason),
            releases::by_kind.eq(by_kind),
            releases::by_id.eq(by_id),
            releases::by_service.eq(by_service),
            releases::at.eq(now.0),
            releases::until.eq(until.map(|until| until.0)),
        ))
        .returning(releases::number)
        .get_result(conn)
        .await?;
    let out = match &sha256 {
        Some(sha256) => {
            let theirs = blobs::table
                .filter(blobs::sha256.eq(sha256.0.as_slice()))
                .filter(blobs::state.eq(rows::blob_state_name(BlobState::Quarantined)));
            diesel::update(theirs).set(released()).execute(conn).await?
        }
        None => 0,
    };
    let put = Event::new(EventKind::ReleasePut, by.clone()).detail(&signature);
    let mut told = vec![put];
    told.extend(came_out(&by, &signature, out));
    events::write_all(conn, &told, told_at).await?;
    Ok((Release { number, sha256, signature, reason, by, at: now, until }, out as u64))
}

/// What of a blob changes when it is released: by which signatures it was found stays.
#[diesel::dsl::auto_type(no_type_alias)]
fn released() -> _ {
    let state: &'static str = rows::blob_state_name(BlobState::Active);
    let verdict: &'static str = rows::verdict_name(crate::domain::VerdictKind::Released);
    (blobs::state.eq(state), blobs::verdict.eq(verdict))
}

fn came_out(by: &Actor, signature: &str, blobs: usize) -> Vec<Event> {
    vec![Event::new(EventKind::QuarantineReleased, by.clone()).detail(signature); blobs]
}

pub(super) async fn batch(
    conn: &mut Conn,
    number: i64,
    limit: u32,
    by: Actor,
    told_at: Time,
) -> Result<u64, StoreError> {
    let now = time(conn, told_at).await?;
    let release = releases::table.find(number).select(ReleaseRow::as_select());
    let release: Option<ReleaseRow> = holding!(release).first(conn).await.optional()?;
    let Some(release) = release.filter(|release| release.sha256.is_none() && release.is_in_force(now)) else {
        return Ok(0);
    };
    let mut found = Statement::new("SELECT id FROM blobs");
    found.sql(&by_index("blobs_hit")).sql(" WHERE state = 'QUARANTINED' AND signature = ").text(&release.signature);
    found.sql(" ORDER BY id LIMIT ").int(i64::from(limit));
    let found: Vec<Found> = found.query().load(conn).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let ids = || found.iter().map(|row| row.id);
    let mut locked = Statement::new("SELECT id FROM blobs WHERE id IN ");
    locked.ints(ids()).sql(" ORDER BY id");
    lock(conn, "blobs", locked).await?;
    let theirs = blobs::table
        .filter(blobs::id.eq_any(ids()))
        .filter(blobs::state.eq(rows::blob_state_name(BlobState::Quarantined)));
    let out = diesel::update(theirs).set(released()).execute(conn).await?;
    events::write_all(conn, &came_out(&by, &release.signature, out), told_at).await?;
    Ok(out as u64)
}

pub(in super::super) async fn list(
    conn: &mut Conn,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<(i64, Release)>, StoreError> {
    let found: Vec<ReleaseRow> = releases::table
        .filter(releases::number.lt(before.unwrap_or(i64::MAX)))
        .order(releases::number.desc())
        .limit(i64::from(limit))
        .select(ReleaseRow::as_select())
        .load(conn)
        .await?;
    found.into_iter().map(|row| Ok((row.number, row.release()?))).collect()
}

pub(super) async fn end(conn: &mut Conn, number: i64, by: Actor, told_at: Time) -> Result<Release, Stop> {
    let now = time(conn, told_at).await?;
    // Before the release, as whoever makes one.
    rescan::changed(conn).await?;
    let row = releases::table.find(number).select(ReleaseRow::as_select());
    let row: Option<ReleaseRow> = changing!(row).first(conn).await.optional()?;
    let row = row.ok_or_else(Refusal::not_found)?;
    if !row.is_in_force(now) {
        return Ok(row.release()?);
    }
    diesel::update(releases::table.find(number)).set(releases::until.eq(now.0)).execute(conn).await?;
    // A walk that is under way begins anew.
    rescan::free(conn, now).await?;
    events::write(conn, &Event::new(EventKind::ReleaseEnded, by).detail(&row.signature), told_at).await?;
    Ok(Release { until: Some(now), ..row.release()? })
}

pub(in super::super) async fn list_quarantine(
    conn: &mut Conn,
    query: QuarantineQuery,
) -> Result<Vec<(i64, QuarantinedBlob)>, StoreError> {
    let QuarantineQuery { signature, before, limit } = query;
    let found = candidates::quarantined(conn, signature, before.unwrap_or(i64::MAX), limit).await?;
    let since = blobs::table
        .filter(blobs::id.eq_any(found.iter().map(|one| one.blob.id)))
        .select((blobs::id, blobs::quarantined_at))
        .load::<(i64, Option<i64>)>(conn)
        .await?;
    let since: HashMap<i64, Time> = since.into_iter().filter_map(|(id, at)| Some((id, Time(at?)))).collect();
    let mut page = Vec::with_capacity(found.len());
    for Candidate { blob, signature, .. } in found {
        let theirs = files::table.filter(files::blob_id.eq(blob.id));
        let count: i64 = theirs.count().get_result(conn).await?;
        let most = i64::try_from(MAX_FILES_NAMED).unwrap_or(i64::MAX);
        let ids: Vec<Vec<u8>> = theirs.limit(most).select(files::id).load(conn).await?;
        let ids = ids.iter().map(|id| Ok(FileId(rows::bytes("files", "id", blob.id, id)?)));
        let quarantined = QuarantinedBlob {
            sha256: blob.sha256,
            size: blob.size,
            signature: signature.unwrap_or_default(),
            quarantined_at: since.get(&blob.id).copied().unwrap_or(blob.verdict.at),
            files: count.unsigned_abs(),
            file_ids: ids.collect::<Result<_, StoreError>>()?,
            verdict: blob.verdict,
        };
        page.push((blob.id, quarantined));
    }
    Ok(page)
}
