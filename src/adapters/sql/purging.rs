//! The end of files: rows that become stubs, blobs that nobody needs any more, and the end of their rows.
//!
//! Not here: their bytes (`app/purging.rs`), who may purge at once ([`crate::domain::access::purge`]), and what is held
//! (`holds.rs`).

use std::{collections::BTreeSet, time::Instant};

use async_trait::async_trait;
use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;

use super::{
    Conn, SqlStore, by_index, events, files as rows_of_files, from_now, holds, is_read_only_by_now, keep_holds, lock,
    pairing,
    rows::{self, corrupt},
    statement::Statement,
};
use crate::{
    domain::{
        Actor, BlobKey, Caller, ChatId, Event, EventKind, FileId, Permission, Reason, Refusal, StoreId, Time, access,
        hold::is_unbounded, listing::FileRef,
    },
    ports::{Leaving, PurgeStore, Purged, Stop, StoreError},
    telemetry::names,
};

/// No file needs the blob.
pub(super) const UNNEEDED: &str = "NOT EXISTS (SELECT 1 FROM files WHERE files.blob_id = blobs.id)";

/// A file that is purged.
pub(super) struct Ended {
    number: i64,
    id: FileId,
    home_chat: Option<ChatId>,
    /// Whose bytes it needed.
    pub(super) blob: i64,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Ripe {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Binary)]
    id: Vec<u8>,
    #[diesel(sql_type = Nullable<Text>)]
    home_chat_id: Option<String>,
    #[diesel(sql_type = BigInt)]
    blob_id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    deleted_at: Option<i64>,
}

impl Ripe {
    fn ended(self) -> Result<Ended, StoreError> {
        let Self { number, id, home_chat_id, blob_id: blob, deleted_at: _ } = self;
        let home_chat = home_chat_id.map(|id| id.parse()).transpose();
        Ok(Ended {
            number,
            id: FileId(rows::bytes("files", "id", number, &id)?),
            home_chat: home_chat.map_err(|_| corrupt("files", "home_chat_id", number))?,
            blob,
        })
    }
}

#[derive(QueryableByName)]
struct LeavingRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Binary)]
    key: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

impl LeavingRow {
    fn leaving(self) -> Result<Leaving, StoreError> {
        let Self { id, key, size } = self;
        // A size that makes no sense keeps no bytes from their end: it is only told.
        let size = u64::try_from(size).unwrap_or(0);
        Ok(Leaving { id, key: BlobKey(rows::bytes("blobs", "key", id, &key)?), size })
    }
}

/// The moment that is so many seconds from now, by the clock that judges.
async fn moment(conn: &mut Conn, now: Time, secs: i64) -> Result<i64, StoreError> {
    Ok(diesel::select(from_now(now, secs).into_sql::<BigInt>()).get_result(conn).await?)
}

/// Deleted by then, and held by nobody. The state is spelled out, as in the index.
fn where_ripe(found: &mut Statement, until: i64) {
    found.sql("files.state = 'DELETED' AND files.deleted_at <= ").int(until).sql(" AND NOT ").sql(holds::HELD);
}

/// Files that may be purged, those deleted first before others. However many are held and looked at in vain, no writer
/// waits for that.
pub(in super::super) async fn find_ripe(
    conn: &mut Conn,
    grace_secs: i64,
    limit: u32,
    now: Time,
) -> Result<Vec<i64>, StoreError> {
    let until = moment(conn, now, grace_secs.saturating_neg()).await?;
    let mut found = Statement::new("SELECT files.number FROM files");
    found.sql(&by_index("files_deleted")).sql(" WHERE ");
    where_ripe(&mut found, until);
    found.sql(" ORDER BY files.deleted_at, files.number LIMIT ").int(i64::from(limit));
    let found: Vec<Number> = found.query().load(conn).await?;
    Ok(found.into_iter().map(|row| row.number).collect())
}

/// Those that were found are judged again: locked, so that whoever restores one of them, or ends its chat, is over, or
/// waits and finds it gone; and with no hold on its way.
async fn purge_deleted(conn: &mut Conn, found: Vec<i64>, grace_secs: i64, now: Time) -> Result<u64, StoreError> {
    let until = moment(conn, now, grace_secs.saturating_neg()).await?;
    lock_ending(conn, &found).await?;
    let mut ripe = ending(&found);
    where_ripe(&mut ripe, until);
    let mut ripe: Vec<Ripe> = ripe.query().load(conn).await?;
    ripe.sort_unstable_by_key(|row| (row.deleted_at, row.number));
    // A damaged row stays where it is, and keeps no other from its end.
    let readable = |row: Ripe| {
        let told = |error: &StoreError| tracing::error!(%error, "a deleted file cannot be purged");
        row.ended().inspect_err(told).ok()
    };
    let ended: Vec<Ended> = ripe.into_iter().filter_map(readable).collect();
    end(conn, &ended, &Actor::SYSTEM, now).await?;
    Ok(ended.len() as u64)
}

/// Files that are to end, and what they need, locked in the one order; nobody puts a hold from here on.
pub(super) async fn lock_ending(conn: &mut Conn, found: &[i64]) -> Result<(), StoreError> {
    let numbers = || found.iter().copied();
    let mut locked = Statement::new("SELECT number FROM files WHERE number IN ");
    locked.ints(numbers()).sql(" ORDER BY number");
    lock(conn, "files", locked).await?;
    let mut needed = Statement::new("SELECT id FROM blobs WHERE id IN (SELECT blob_id FROM files WHERE number IN ");
    needed.ints(numbers()).sql(") ORDER BY id");
    lock(conn, "blobs", needed).await?;
    keep_holds(conn).await
}

/// Asks for files that are to end; a condition follows.
fn ending(found: &[i64]) -> Statement {
    let mut asked = Statement::new(
        "SELECT files.number, files.id, files.home_chat_id, files.blob_id, files.deleted_at FROM files \
         WHERE files.number IN ",
    );
    asked.ints(found.iter().copied()).sql(" AND ");
    asked
}

/// Those of the locked files that are there and not held.
pub(super) async fn find_free(conn: &mut Conn, found: &[i64]) -> Result<Vec<Ended>, StoreError> {
    let mut free = ending(found);
    free.sql("NOT ").sql(holds::HELD);
    let mut free: Vec<Ripe> = free.query().load(conn).await?;
    free.sort_unstable_by_key(|row| row.number);
    free.into_iter().map(Ripe::ended).collect()
}

async fn purge_file(conn: &mut Conn, file: FileRef, caller: &Caller, now: Time) -> Result<Option<Leaving>, Stop> {
    let found = rows_of_files::find_to_change(conn, file, caller).await?;
    if found.is_none() && is_unbounded(caller) {
        return purge_without_blob(conn, file, caller, now).await;
    }
    let held = holds::is_held(conn, found.as_ref().map_or(-1, |view| view.file.number)).await?;
    let view = access::purge(caller, found.as_ref(), held)?;
    let (file, blob) = (&view.file, &view.blob);
    let ended = Ended { number: file.number, id: file.id, home_chat: file.home_chat.clone(), blob: blob.id };
    end(conn, &[ended], &Actor::from(caller), now).await?;
    let mut leaves = Statement::new("SELECT id, key, size FROM blobs WHERE state = 'PURGING' AND id = ");
    leaves.int(blob.id).sql(" AND ").sql(UNNEEDED);
    let leaves: Vec<LeavingRow> = leaves.query().load(conn).await?;
    Ok(leaves.into_iter().map(LeavingRow::leaving).next().transpose()?)
}

/// A file whose blob has no row, as no rule allows, is in no view: where all files are in reach, it is ended by its own row.
async fn purge_without_blob(
    conn: &mut Conn,
    file: FileRef,
    caller: &Caller,
    now: Time,
) -> Result<Option<Leaving>, Stop> {
    caller.need(&[Permission::Erase])?;
    let FileRef::Id(id) = file else { return Err(Refusal::not_found().into()) };
    let mut found = Statement::new("SELECT number FROM files WHERE id = ");
    found.bytes(&id.0).sql(" AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.id = files.blob_id)");
    let found: Vec<Number> = found.query().load(conn).await?;
    let found: Vec<i64> = found.into_iter().map(|row| row.number).collect();
    if found.is_empty() {
        return Err(Refusal::not_found().into());
    }
    lock_ending(conn, &found).await?;
    let free = find_free(conn, &found).await?;
    if free.is_empty() {
        return Err(Reason::OnHold.into());
    }
    end(conn, &free, &Actor::from(caller), now).await?;
    Ok(None)
}

/// Files that are not held become stubs; blobs that they alone needed are PURGING. Their events last. All are locked, the
/// blobs too, and each statement from here on sees what was committed by then: an upload that shares a blob has locked it
/// before, and its file is seen, or waits and finds it PURGING; and of two transactions that end the last two files of a
/// blob the one that got the lock last does not see the other's file any more.
pub(super) async fn end(conn: &mut Conn, ended: &[Ended], actor: &Actor, now: Time) -> Result<(), StoreError> {
    if ended.is_empty() {
        return Ok(());
    }
    let numbers = || ended.iter().map(|file| file.number);
    let purged_at = moment(conn, now, 0).await?;
    let mut stubs = Statement::new(
        "INSERT INTO stubs (number, id, created_at, deleted_at, purged_at) \
         SELECT number, id, created_at, COALESCE(deleted_at, ",
    );
    // One that was READY is deleted and purged at once.
    stubs.int(now.0).sql("), ").int(purged_at).sql(" FROM files WHERE number IN ").ints(numbers());
    // One that was brought back from outside has its stub: it is purged once more, and keeps no other from it.
    stubs.sql(" ON CONFLICT DO NOTHING");
    stubs.query().execute(conn).await?;
    let mut detached = Statement::new("DELETE FROM attachments WHERE file_number IN ");
    detached.ints(numbers());
    detached.query().execute(conn).await?;
    let mut gone = Statement::new("DELETE FROM files WHERE number IN ");
    gone.ints(numbers());
    gone.query().execute(conn).await?;

    let named: BTreeSet<i64> = ended.iter().map(|file| file.blob).collect();
    let mut leave = Statement::new("UPDATE blobs SET state = 'PURGING' WHERE id IN ");
    leave.ints(named);
    leave.sql(" AND ").sql(UNNEEDED);
    leave.query().execute(conn).await?;

    let event = Event::new(EventKind::FilePurged, actor.clone());
    let told = ended.iter().map(|file| event.clone().file(file.id).chat(file.home_chat.clone()));
    events::write_all(conn, &told.collect::<Vec<_>>(), now).await?;
    crate::fault_point!("D4-written");
    Ok(())
}

pub(in super::super) async fn list_leaving(
    conn: &mut Conn,
    after: i64,
    limit: u32,
    late_secs: i64,
    now: Time,
) -> Result<Vec<Leaving>, StoreError> {
    let until = moment(conn, now, late_secs.saturating_neg()).await?;
    let mut found = Statement::new("SELECT id, key, size FROM blobs");
    found.sql(&by_index("blobs_purging")).sql(" WHERE state = 'PURGING' AND id > ").int(after);
    found.sql(" AND created_at <= ").int(until).sql(" AND ").sql(UNNEEDED);
    found.sql(" ORDER BY id LIMIT ").int(i64::from(limit));
    let found: Vec<LeavingRow> = found.query().load(conn).await?;
    found.into_iter().map(LeavingRow::leaving).collect()
}

/// A move of the bytes copies what rows name, while `read_only` is set, and then says whose the database is: a row whose
/// bytes were only removed from the store before must not go, or they would lie in the new one for ever.
async fn delete_blobs(
    conn: &mut Conn,
    gone: Vec<i64>,
    from: StoreId,
    late_secs: i64,
    now: Time,
) -> Result<Vec<i64>, StoreError> {
    if is_read_only_by_now(conn).await? {
        return Err(StoreError::ReadOnly);
    }
    if pairing::find(conn).await?.is_some_and(|claim| claim.id != from) {
        return Err(StoreError::ReadOnly);
    }
    let until = moment(conn, now, late_secs.saturating_neg()).await?;
    let mut delete = Statement::new("DELETE FROM blobs WHERE id IN ");
    delete.ints(gone).sql(" AND state = 'PURGING' AND created_at <= ").int(until);
    delete.sql(" AND ").sql(UNNEEDED).sql(" RETURNING id AS number");
    let gone: Vec<Number> = delete.query().load(conn).await?;
    Ok(gone.into_iter().map(|row| row.number).collect())
}

#[async_trait]
impl PurgeStore for SqlStore {
    async fn purge_deleted(&self, grace_secs: i64, limit: u32, now: Time) -> Result<Purged, StoreError> {
        let found = timed!(self.read, "find_ripe", |conn| find_ripe(conn, grace_secs, limit, now))?;
        if found.is_empty() {
            return Ok(Purged::default());
        }
        let more = found.len() >= limit as usize;
        let files = timed!(self.write, "purge_deleted", |conn| purge_deleted(conn, found, grace_secs, now))?;
        Ok(Purged { files, more })
    }

    async fn purge_file(&self, file: FileRef, caller: &Caller, now: Time) -> Result<Option<Leaving>, Stop> {
        let caller = caller.clone();
        timed!(self.write, "purge_file", |conn| purge_file(conn, file, &caller, now))
    }

    async fn list_leaving(
        &self,
        after: i64,
        limit: u32,
        late_secs: i64,
        now: Time,
    ) -> Result<Vec<Leaving>, StoreError> {
        timed!(self.read, "list_leaving", |conn| list_leaving(conn, after, limit, late_secs, now))
    }

    async fn delete_blobs(
        &self,
        gone: &[i64],
        from: StoreId,
        late_secs: i64,
        now: Time,
    ) -> Result<Vec<i64>, StoreError> {
        let gone = gone.to_vec();
        timed!(self.write, "delete_blobs", |conn| delete_blobs(conn, gone, from, late_secs, now))
    }
}
