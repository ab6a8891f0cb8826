//! The end of what is known of a visitor: uploads fenced, files purged, and the pseudonym written where the visitor stood.
//!
//! Each transaction counts what it did in the row of the erasure. Whether changes are refused is asked last, where no event
//! says it: the lock that this takes is the writer of events', which is the last of all. Not here: what is forgotten for its
//! age (`forgetting.rs`), and opaque keys (`keys.rs`).

use std::collections::BTreeSet;

use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    Conn, by_index, events, holds, is_read_only_by_now, keys, lock, purging,
    rows::{self, corrupt, kind_name},
    schema::{erasure_blobs, erasures},
    statement::Statement,
};
use crate::{
    domain::{
        Actor, BlobKey, Caller, Event, EventKind, FileId, Time,
        erasure::{Erased, Erasing, PSEUDONYM},
    },
    ports::{ErasedFiles, Intent, Leaving, NewErasure, StoreError},
};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    id: Option<Vec<u8>>,
}

/// A file that is found.
#[derive(Clone, QueryableByName)]
pub(in super::super) struct FoundFile {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Binary)]
    id: Vec<u8>,
    #[diesel(sql_type = Text)]
    uploader_id: String,
}

#[derive(QueryableByName)]
struct BlobRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Binary)]
    key: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

async fn need_writable(conn: &mut Conn) -> Result<(), StoreError> {
    if is_read_only_by_now(conn).await? { Err(StoreError::ReadOnly) } else { Ok(()) }
}

/// Adds to what the row of an erasure counts.
async fn count(conn: &mut Conn, of: &Erasing, column: &str, more: usize) -> Result<(), StoreError> {
    if more > 0 {
        let mut counted = Statement::new("UPDATE erasures SET ");
        counted.sql(column).sql(" = ").sql(column).sql(" + ").int(i64::try_from(more).unwrap_or(i64::MAX));
        counted.sql(" WHERE number = ").int(of.number);
        counted.query().execute(conn).await?;
    }
    Ok(())
}

pub(super) async fn begin(conn: &mut Conn, new: NewErasure) -> Result<Erasing, StoreError> {
    let NewErasure { visitor, chats, pseudonym, why, caller, now } = new;
    let by = Actor::from(&caller);
    let row = (
        erasures::pseudonym.eq(pseudonym.as_str()),
        erasures::visitor_id.eq(visitor.as_str()),
        erasures::reason.eq(why.as_str()),
        erasures::by_kind.eq(kind_name(caller.kind())),
        erasures::by_id.eq(caller.person.id()),
        erasures::by_service.eq(by.acting_service.as_ref().map(|service| service.as_str())),
        erasures::begun_at.eq(now.0),
        (erasures::files.eq(0_i64), erasures::bytes.eq(0_i64), erasures::uploads.eq(0_i64)),
        (erasures::events.eq(0_i64), erasures::keys.eq(0_i64)),
        (erasures::held.eq(0_i64), erasures::shared_blobs.eq(0_i64)),
    );
    let insert = diesel::insert_into(erasures::table).values(row).on_conflict_do_nothing();
    let number: Option<i64> = insert.returning(erasures::number).get_result(conn).await.optional()?;
    let (number, pseudonym) = match number {
        Some(number) => (number, pseudonym),
        None => {
            let under_way = erasures::table.filter(erasures::visitor_id.assume_not_null().eq(visitor.as_str()));
            let row: Option<(i64, String)> =
                under_way.select((erasures::number, erasures::pseudonym)).first(conn).await.optional()?;
            let (number, name) =
                row.ok_or_else(|| StoreError::Conflict("this visitor's erasure has just ended".into()))?;
            (number, name.parse().map_err(|_| corrupt("erasures", "pseudonym", number))?)
        }
    };
    let of = Erasing { number, pseudonym, visitor, chats };
    let retired = keys::erase(conn, &of.visitor, &of.pseudonym, &by, now).await?;
    count(conn, &of, "keys", retired).await?;
    need_writable(conn).await?;
    Ok(of)
}

/// Intents and remembered request ids of the visitor, of the services that upload for it, and of visitors in the chats. The
/// states are spelled out: those that are few.
async fn uploads_of(conn: &mut Conn, of: &Erasing) -> Result<Vec<i64>, StoreError> {
    let visitor = of.visitor.as_str();
    let mut found = Statement::new("SELECT u.id AS number, NULL AS id FROM uploads AS u");
    found.sql(&by_index("uploads_lease")).sql(" WHERE u.state IN ('RUNNING', 'FENCED', 'BURIED') ");
    found.sql("AND u.person_kind = 'VISITOR' AND (u.person_id = ").text(visitor).sql(" OR u.target_chat_id IN ");
    found.texts(of.chats.iter().map(|chat| chat.as_str())).sql(") UNION ALL SELECT u.id AS number, NULL AS id ");
    found.sql("FROM uploads AS u").sql(&by_index("uploads_visitor")).sql(" WHERE u.target_visitor_id = ");
    found.text(visitor).sql(" UNION ALL SELECT u.id AS number, NULL AS id FROM uploads AS u");
    found.sql(&by_index("uploads_request")).sql(" WHERE u.person_kind = 'VISITOR' AND u.person_id = ").text(visitor);
    found.sql(" AND u.request_id IS NOT NULL");
    let found: Vec<Row> = found.query().load(conn).await?;
    Ok(found.into_iter().map(|row| row.number).collect())
}

/// A row that is fenced keeps its place until its node has removed what it named. Whatever is told of it from here on names
/// the pseudonym (`uploads.rs`).
pub(super) async fn erase_uploads(conn: &mut Conn, of: Erasing) -> Result<Vec<Intent>, StoreError> {
    let ids = uploads_of(conn, &of).await?;
    let (visitor, pseudonym) = (of.visitor.as_str(), of.pseudonym.as_str());
    let all = || ids.iter().copied();
    let mut locked = Statement::new("SELECT id FROM uploads WHERE id IN ");
    locked.ints(all()).sql(" ORDER BY id");
    lock(conn, "uploads", locked).await?;
    let mut fence = Statement::new("UPDATE uploads SET state = 'FENCED' WHERE id IN ");
    fence.ints(all()).sql(" AND state = 'RUNNING' RETURNING id AS number, key AS id");
    let fenced: Vec<Row> = fence.query().load(conn).await?;
    let mut forgotten = Statement::new("DELETE FROM uploads WHERE id IN ");
    forgotten.ints(all()).sql(" AND state = 'DONE'");
    forgotten.query().execute(conn).await?;
    let mut named =
        Statement::new("UPDATE uploads SET request_id = NULL, person_id = CASE person_kind WHEN 'VISITOR' THEN ");
    named.text(pseudonym).sql(" ELSE person_id END, target_visitor_id = CASE target_visitor_id WHEN ").text(visitor);
    named.sql(" THEN ").text(pseudonym).sql(" ELSE target_visitor_id END WHERE id IN ").ints(all());
    named.query().execute(conn).await?;
    count(conn, &of, "uploads", fenced.len()).await?;
    need_writable(conn).await?;
    let intents = fenced.into_iter().map(|Row { number, id }| {
        let key = id.unwrap_or_default();
        Ok(Intent { id: number, key: BlobKey(rows::bytes("uploads", "key", number, &key)?) })
    });
    intents.collect()
}

/// The visitor's files, those that somebody uploaded for it, and those that visitors brought into the chats.
fn where_its(s: &mut Statement, of: &Erasing) {
    let visitor = of.visitor.as_str();
    s.sql("files.number IN (");
    // Both states at once: an index of one alone would be walked.
    s.sql("SELECT f.number FROM files f WHERE f.state IN ").texts(["READY", "DELETED"]);
    s.sql(" AND f.uploader_kind = 'VISITOR' AND f.uploader_id = ").text(visitor).sql(" UNION ALL ");
    s.sql("SELECT f.number FROM files f WHERE f.visitor_id = ").text(visitor);
    if !of.chats.is_empty() {
        s.sql(" UNION ALL SELECT f.number FROM files f WHERE f.home_chat_id IN ");
        s.texts(of.chats.iter().map(|chat| chat.as_str())).sql(" AND f.uploader_kind = 'VISITOR'");
    }
    s.sql(")");
}

/// Those that no hold keeps, as far as is known before any is locked.
pub(in super::super) async fn find_files(
    conn: &mut Conn,
    of: Erasing,
    limit: u32,
) -> Result<Vec<FoundFile>, StoreError> {
    let mut found = Statement::new("SELECT files.number, files.id, files.uploader_id FROM files WHERE ");
    where_its(&mut found, &of);
    found.sql(" AND NOT ").sql(holds::HELD).sql(" LIMIT ").int(i64::from(limit));
    Ok(found.query().load(conn).await?)
}

pub(in super::super) async fn list_left(conn: &mut Conn, of: Erasing, limit: u32) -> Result<Vec<FileId>, StoreError> {
    let mut found = Statement::new("SELECT files.number, files.id, files.uploader_id FROM files WHERE ");
    where_its(&mut found, &of);
    found.sql(" LIMIT ").int(i64::from(limit));
    let mut found: Vec<FoundFile> = found.query().load(conn).await?;
    found.sort_unstable_by_key(|file| file.number);
    found.into_iter().map(|file| Ok(FileId(rows::bytes("files", "id", file.number, &file.id)?))).collect()
}

pub(super) async fn erase_files(
    conn: &mut Conn,
    of: Erasing,
    found: Vec<FoundFile>,
    caller: Caller,
    now: Time,
) -> Result<ErasedFiles, StoreError> {
    // Request ids that are remembered for these files: whose they are says who uploaded them.
    let mut forgotten = Statement::new("DELETE FROM uploads WHERE person_kind = 'VISITOR' AND person_id IN ");
    let persons: BTreeSet<&str> = found.iter().map(|file| file.uploader_id.as_str()).collect();
    forgotten.texts(persons).sql(" AND request_id IS NOT NULL AND state = 'DONE' AND file_id IN ");
    forgotten.byte_strings(found.iter().map(|file| file.id.as_slice()));
    forgotten.query().execute(conn).await?;

    let numbers: Vec<i64> = found.iter().map(|file| file.number).collect();
    purging::lock_ending(conn, &numbers).await?;
    let ended = purging::find_free(conn, &numbers).await?;
    let named: BTreeSet<i64> = ended.iter().map(|file| file.blob).collect();
    let files = ended.len();
    purging::end(conn, &ended, &Actor::from(&caller), now).await?;
    let mut noted = Statement::new("INSERT INTO erasure_blobs (erasure_number, blob_id) SELECT ");
    noted.int(of.number).sql(", id FROM blobs WHERE id IN ").ints(named.iter().copied()).sql(" ON CONFLICT DO NOTHING");
    noted.query().execute(conn).await?;
    let mut blobs = Statement::new("SELECT id, key, size FROM blobs WHERE state = 'PURGING' AND id IN ");
    blobs.ints(named).sql(" AND ").sql(purging::UNNEEDED);
    let blobs: Vec<BlobRow> = blobs.query().load(conn).await?;
    let mut erased = ErasedFiles { more: true, ..ErasedFiles::default() };
    let mut bytes = 0;
    for BlobRow { id, key, size } in blobs {
        let size = u64::try_from(size).map_err(|_| corrupt("blobs", "size", id))?;
        bytes += usize::try_from(size).unwrap_or(usize::MAX);
        erased.leaving.push(Leaving { id, key: BlobKey(rows::bytes("blobs", "key", id, &key)?), size });
    }
    count(conn, &of, "files", files).await?;
    count(conn, &of, "bytes", bytes).await?;
    Ok(erased)
}

/// Where the visitor stands; then, in the chats, where any visitor does who is not erased yet. The kind is spelled out, as in
/// the indexes.
async fn find_events(conn: &mut Conn, of: &Erasing, limit: i64) -> Result<Vec<Row>, StoreError> {
    let mut own = Statement::new("SELECT seq AS number, file_id AS id FROM events");
    own.sql(&by_index("events_visitor")).sql(" WHERE person_kind = 'VISITOR' AND person_id = ");
    own.text(of.visitor.as_str()).sql(" LIMIT ").int(limit);
    let found: Vec<Row> = own.query().load(conn).await?;
    if !found.is_empty() || of.chats.is_empty() {
        return Ok(found);
    }
    let mut chats = Statement::new("SELECT seq AS number, file_id AS id FROM events");
    chats.sql(&by_index("events_visitor_chat")).sql(" WHERE person_kind = 'VISITOR' AND chat_id IS NOT NULL ");
    chats.sql("AND chat_id IN ").texts(of.chats.iter().map(|chat| chat.as_str()));
    chats.sql(" AND person_id NOT LIKE ").text(&format!("{PSEUDONYM}%")).sql(" LIMIT ").int(limit);
    Ok(chats.query().load(conn).await?)
}

pub(super) async fn erase_events(conn: &mut Conn, of: Erasing, limit: u32) -> Result<u64, StoreError> {
    let found = find_events(conn, &of, i64::from(limit)).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let (visitor, pseudonym) = (of.visitor.as_str(), of.pseudonym.as_str());
    let files: BTreeSet<&[u8]> = found.iter().filter_map(|row| row.id.as_deref()).collect();
    let mut attached = Statement::new("UPDATE attachments SET by_id = ");
    attached.text(pseudonym).sql(" WHERE by_kind = 'VISITOR' AND by_id = ").text(visitor).sql(" AND file_number IN ");
    attached.sql("(SELECT f.number FROM files f WHERE f.id IN ").byte_strings(files).sql(")");
    attached.query().execute(conn).await?;
    let mut written = Statement::new("UPDATE events SET person_id = ");
    written.text(pseudonym).sql(" WHERE seq IN ").ints(found.iter().map(|row| row.number));
    let written = written.query().execute(conn).await?;
    count(conn, &of, "events", written).await?;
    need_writable(conn).await?;
    Ok(written as u64)
}

/// What is told of holds on the visitor: what was held once need not name it, what is held now has to.
async fn erase_holds(conn: &mut Conn, of: &Erasing) -> Result<u64, StoreError> {
    let mut held = Statement::new("UPDATE events SET detail = ");
    held.text(&format!("visitor:{}", of.pseudonym))
        .sql(" WHERE (kind = 'HOLD_PUT' OR kind = 'HOLD_LIFTED') AND detail = ");
    held.text(&format!("visitor:{}", of.visitor));
    held.sql(" AND NOT EXISTS (SELECT 1 FROM holds h WHERE h.what = 'VISITOR' AND h.target = ");
    held.text(of.visitor.as_str()).sql(")");
    let written = held.query().execute(conn).await?;
    count(conn, of, "events", written).await?;
    Ok(written as u64)
}

#[derive(QueryableByName)]
struct Staying {
    #[diesel(sql_type = BigInt)]
    shared: i64,
    #[diesel(sql_type = BigInt)]
    pending: i64,
}

/// Blobs that other files need, and bytes that are still to be removed, of all that this erasure has purged.
async fn staying(conn: &mut Conn, of: &Erasing) -> Result<Staying, StoreError> {
    let mut told = Statement::new("SELECT CAST(COALESCE(SUM(CASE b.state WHEN 'PURGING' THEN 0 ELSE 1 END), 0) AS ");
    told.sql(
        "BIGINT) AS shared, CAST(COALESCE(SUM(CASE b.state WHEN 'PURGING' THEN b.size ELSE 0 END), 0) AS BIGINT) ",
    );
    told.sql("AS pending FROM erasure_blobs e JOIN blobs b ON b.id = e.blob_id WHERE e.erasure_number = ");
    told.int(of.number);
    Ok(told.query().get_result(conn).await?)
}

type Counted = (Option<String>, i64, i64, i64, i64, i64, i64);

pub(super) async fn end(
    conn: &mut Conn,
    of: Erasing,
    held: u64,
    caller: Caller,
    now: Time,
) -> Result<Erased, StoreError> {
    let row = erasures::table.find(of.number).select((
        erasures::visitor_id,
        erasures::files,
        erasures::bytes,
        erasures::uploads,
        erasures::events,
        erasures::keys,
        erasures::shared_blobs,
    ));
    let row: Option<Counted> = changing!(row).first(conn).await.optional()?;
    // Another call for the same visitor came to its end first, and nothing had been changed.
    let Some((visitor, files, bytes, uploads, told, retired, shared)) = row else { return Ok(Erased::default()) };
    let mut erased = Erased {
        files: files.unsigned_abs(),
        bytes: bytes.unsigned_abs(),
        uploads: uploads.unsigned_abs(),
        events: told.unsigned_abs(),
        keys: retired.unsigned_abs(),
        shared_blobs: shared.unsigned_abs(),
        ..Erased::default()
    };
    if visitor.is_none() {
        return Ok(erased);
    }
    let Staying { shared, pending } = staying(conn, &of).await?;
    (erased.shared_blobs, erased.pending_bytes) = (shared.unsigned_abs(), pending.unsigned_abs());
    let noted = erasure_blobs::table.filter(erasure_blobs::erasure_number.eq(of.number));
    diesel::delete(noted).execute(conn).await?;
    erased.events += erase_holds(conn, &of).await?;
    if erased.files + erased.uploads + erased.events + erased.keys == 0 {
        diesel::delete(erasures::table.find(of.number)).execute(conn).await?;
        return Ok(erased);
    }
    diesel::update(erasures::table.find(of.number))
        .set((
            erasures::visitor_id.eq(None::<String>),
            erasures::ended_at.eq(now.0),
            erasures::held.eq(i64::try_from(held).unwrap_or(i64::MAX)),
            erasures::shared_blobs.eq(shared),
        ))
        .execute(conn)
        .await?;
    let event = Event::new(EventKind::VisitorErased, Actor::from(&caller)).detail(of.pseudonym.to_string());
    events::write(conn, &event, now).await?;
    crate::fault_point!("E2-written");
    Ok(erased)
}
