//! Uploads from intent to file: the bodies of `UploadStore`'s transactions.
//!
//! Not here: what happens to the bytes (`app/upload.rs`), and what is known of them (`content.rs`). Read [`commit`] first:
//! it is the moment a file happens.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    Conn, chats, content, events, files, from_now, hold_content,
    rows::{self, corrupt},
    schema::{attachments, blobs, uploads},
};
use crate::{
    domain::{
        Actor, BlobKey, CallerKind, Event, EventKind, FileId, FileView, Person, Reason, RequestId, Sha256, Time,
        VerdictKind,
        admission::{self, Target},
        listing::FileRef,
    },
    ports::{
        Admit, Before, Begun, BytesAt, Commit, Committed, Dead, Intent, MultipartId, NewUpload, REQUEST_ID_SECS, Stop,
        StoreError,
    },
};

/// The intent may still be committed.
const RUNNING: &str = "RUNNING";
/// A newer stream took over, or it is being removed: it can only end.
const FENCED: &str = "FENCED";
/// It ended without a file. Until its lease is over, which then says so, the store may still finish what was asked of it.
const BURIED: &str = "BURIED";
/// It became a file; the row remembers its request id.
const DONE: &str = "DONE";

#[derive(Insertable)]
#[diesel(table_name = uploads)]
struct NewRow<'a> {
    key: &'a [u8],
    node: &'a str,
    person_kind: &'static str,
    person_id: &'a str,
    request_id: Option<&'a str>,
    target_chat_id: Option<&'a str>,
    target_visitor_id: Option<&'a str>,
    state: &'static str,
    created_at: i64,
}

/// What a remembered request id says.
#[derive(Queryable, Selectable)]
#[diesel(table_name = uploads)]
struct Remembered {
    id: i64,
    state: String,
    target_chat_id: Option<String>,
    target_visitor_id: Option<String>,
    uploaded_sha256: Option<Vec<u8>>,
    file_id: Option<Vec<u8>>,
    ended_at: Option<i64>,
}

impl Remembered {
    /// Ended with success, and not yet forgotten.
    fn counts(&self, now: Time) -> bool {
        self.state == DONE && now < Time(self.ended_at.unwrap_or_default()).plus_secs(REQUEST_ID_SECS)
    }

    fn into_before(self) -> Result<Before, StoreError> {
        let Self { id, target_chat_id, target_visitor_id, uploaded_sha256, file_id, .. } = self;
        let bad = |column| move |_| corrupt("uploads", column, id);
        let target = match (target_chat_id, target_visitor_id) {
            (Some(chat), _) => Target::Chat(chat.parse().map_err(bad("target_chat_id"))?),
            (None, Some(visitor)) => Target::Visitor(visitor.parse().map_err(bad("target_visitor_id"))?),
            (None, None) => Target::Library,
        };
        let sha = uploaded_sha256.unwrap_or_default();
        let file = file_id.unwrap_or_default();
        Ok(Before {
            target,
            uploaded_sha256: Sha256(rows::bytes("uploads", "uploaded_sha256", id, &sha)?),
            file: FileId(rows::bytes("uploads", "file_id", id, &file)?),
        })
    }
}

/// The row that remembers this person's request id.
#[diesel::dsl::auto_type(no_type_alias)]
fn remembered<'a>(person: &'a Person, request_id: &'a RequestId) -> _ {
    let kind: &'static str = rows::kind_name(person.kind());
    let id: &'a str = person.id();
    let request_id: &'a str = request_id.as_str();
    uploads::table
        .filter(uploads::person_kind.eq(kind))
        .filter(uploads::person_id.eq(id))
        .filter(uploads::request_id.eq(request_id))
}

pub(super) async fn find_before(
    conn: &mut Conn,
    person: Person,
    request_id: RequestId,
    now: Time,
) -> Result<Option<Before>, StoreError> {
    let row: Option<Remembered> =
        remembered(&person, &request_id).select(Remembered::as_select()).first(conn).await.optional()?;
    row.filter(|row| row.counts(now)).map(Remembered::into_before).transpose()
}

pub(super) async fn begin(conn: &mut Conn, new: NewUpload, admit: Admit) -> Result<Begun, Stop> {
    let chat = match new.target.chat() {
        Some(id) => chats::find(conn, id.clone()).await?,
        None => None,
    };
    let admitted = Box::new(admit(chat.as_ref())?);
    let person_kind = rows::kind_name(new.person.kind());
    if let Some(request_id) = &new.request_id {
        // Waits for a commit of the older one, and sees what became of it.
        let row = changing!(remembered(&new.person, request_id).select(Remembered::as_select()));
        match row.first(conn).await.optional()? {
            Some(row) if row.counts(new.now) => return Ok(Begun::Before(row.into_before()?)),
            Some(row) if row.state == DONE => {
                diesel::delete(uploads::table.find(row.id)).execute(conn).await?;
            }
            Some(row) => {
                diesel::update(uploads::table.find(row.id))
                    .set((uploads::state.eq(FENCED), uploads::request_id.eq(None::<String>)))
                    .execute(conn)
                    .await?;
            }
            None => {}
        }
    }
    let row = NewRow {
        key: &new.key.0,
        node: &new.node,
        person_kind,
        person_id: new.person.id(),
        request_id: new.request_id.as_ref().map(|id| id.as_str()),
        target_chat_id: new.target.chat().map(|id| id.as_str()),
        target_visitor_id: new.target.visitor().map(|id| id.as_str()),
        state: RUNNING,
        created_at: new.now.0,
    };
    let row = (row, uploads::lease_until.eq(from_now(new.now, new.lease_secs)));
    let insert = diesel::insert_into(uploads::table).values(row).on_conflict_do_nothing().returning(uploads::id);
    // Another stream with this request id began between our look and now: run again, this fences it.
    let id: Option<i64> = insert.get_result(conn).await.optional()?;
    let id = id.ok_or_else(|| StoreError::Conflict("another upload with this request id has just begun".into()))?;
    crate::fault_point!("U2-written");
    Ok(Begun::Started(Intent { id, key: new.key }, admitted))
}

pub(super) async fn note_multipart(conn: &mut Conn, intent: Intent, parts: MultipartId) -> Result<(), Stop> {
    let running = uploads::table.filter(uploads::id.eq(intent.id)).filter(uploads::state.eq(RUNNING));
    let noted = diesel::update(running).set(uploads::multipart.eq(parts.0)).execute(conn).await?;
    if noted == 0 { Err(Reason::Fenced.into()) } else { Ok(()) }
}

pub(in super::super) async fn find_multipart(
    conn: &mut Conn,
    intent: Intent,
) -> Result<Option<MultipartId>, StoreError> {
    let found: Option<Option<String>> =
        uploads::table.find(intent.id).select(uploads::multipart).first(conn).await.optional()?;
    Ok(found.flatten().map(MultipartId))
}

/// One transaction makes a file of an intent. Everything that can refuse stands before the first write, and is read in
/// such a way that it stays true to the end: the intent, so that nothing fences or buries it meanwhile; the chat, so that
/// it is neither closed nor deleted; the content, so that no hit on it comes between; the blob that is shared, so that it
/// is not put into quarantine.
///
/// It may run again after its commit whose answer was lost: then it finds the file that it made.
pub(super) async fn commit(conn: &mut Conn, commit: Commit) -> Result<Committed, Stop> {
    let Commit { intent, cleared, caller, file_id, code_hash, bytes, verdict, weighed, grace_secs, now } = commit;
    let running = uploads::table
        .filter(uploads::id.eq(intent.id))
        .filter(uploads::key.eq(intent.key.0.as_slice()))
        .filter(uploads::state.eq(RUNNING))
        .select(uploads::request_id.is_not_null());
    let remembers: Option<bool> = changing!(running).first(conn).await.optional()?;
    let Some(remembers) = remembers else {
        let made = files::find(conn, FileRef::Id(file_id), &caller).await?.ok_or(Reason::Fenced)?;
        return Ok(Committed::Ready(Box::new(made)));
    };
    let chat = match &cleared.declared.target {
        Target::Library | Target::Visitor(_) => None,
        Target::Chat(id) => {
            let chat = chats::hold(conn, id.clone()).await?;
            admission::judge_again(caller.kind(), chat.as_ref(), grace_secs, now)?;
            chat
        }
    };
    // First: a hit that is under way is waited for, and then seen.
    hold_content(conn, &cleared.received.sha256).await?;
    match content::find_hit(conn, &cleared.received.sha256).await? {
        Some(hit) if weighed != Some(hit.number) => return Ok(Committed::Hit(Box::new(hit))),
        Some(_) | None => {}
    }
    let cleared_hit = weighed.filter(|_| verdict.kind == VerdictKind::Clean);
    let blob = match bytes {
        BytesAt::Published => content::new_blob(conn, &cleared, intent.key, verdict, now).await?,
        BytesAt::Shared(id) => match content::shared_blob(conn, id, &cleared, verdict).await? {
            Some(blob) => blob,
            None => return Ok(Committed::BlobGone),
        },
    };
    if let Some(number) = cleared_hit {
        content::forget_hit(conn, number).await?;
    }
    let new = files::NewFile { id: file_id, code_hash, cleared: &cleared, blob: &blob, uploader: &caller.person, now };
    let file = files::insert(conn, &new).await?;
    if let Some(chat) = &chat {
        diesel::insert_into(attachments::table)
            .values((
                attachments::chat_id.eq(chat.id.as_str()),
                attachments::file_number.eq(file.number),
                attachments::message_id.eq(cleared.declared.message_id.as_deref()),
                attachments::by_kind.eq(rows::kind_name(caller.kind())),
                attachments::by_id.eq(caller.person.id()),
                attachments::at.eq(now.0),
                attachments::file_created_at.eq(now.0),
                attachments::file_size.eq(i64::try_from(blob.size).unwrap_or(i64::MAX)),
            ))
            .execute(conn)
            .await?;
    }
    if remembers {
        diesel::update(uploads::table.find(intent.id))
            .set((
                uploads::state.eq(DONE),
                uploads::ended_at.eq(now.0),
                uploads::uploaded_sha256.eq(cleared.received.sha256.0.as_slice()),
                uploads::file_id.eq(file_id.0.as_slice()),
            ))
            .execute(conn)
            .await?;
    } else {
        diesel::delete(uploads::table.find(intent.id)).execute(conn).await?;
    }
    let event = Event::new(EventKind::FileUploaded, Actor::from(&caller))
        .file(file_id)
        .chat(chat.as_ref().map(|c| c.id.clone()));
    events::write(conn, &event, now).await?;
    crate::fault_point!("U11-written");
    let chats = chat.into_iter().filter(|c| caller.may_access(&c.id, c.owner.as_ref())).collect();
    Ok(Committed::Ready(Box::new(FileView { file, blob, chats, chats_truncated: false })))
}

/// Deletes the row, or buries it, unless it became a file: a commit that is under way is waited for.
pub(super) async fn abort(
    conn: &mut Conn,
    intent: Intent,
    event: Event,
    now: Time,
    stays_secs: i64,
) -> Result<(), StoreError> {
    let under_way = uploads::table.filter(uploads::id.eq(intent.id)).filter(uploads::state.ne_all([BURIED, DONE]));
    let whose = (uploads::person_kind, uploads::person_id);
    let ended: Option<(String, String)> = if stays_secs == 0 {
        diesel::delete(under_way).returning(whose).get_result(conn).await.optional()?
    } else {
        let until = uploads::lease_until.eq(from_now(now, stays_secs));
        let buried = (uploads::state.eq(BURIED), uploads::request_id.eq(None::<String>), until);
        diesel::update(under_way).set(buried).returning(whose).get_result(conn).await.optional()?
    };
    if let Some((kind, id)) = ended {
        let event = told_of(event, &kind, &id);
        events::write(conn, &event, now).await?;
        crate::fault_point!("M7-written");
    }
    Ok(())
}

/// A visitor that was erased meanwhile is told of under the pseudonym, which its row has.
fn told_of(mut event: Event, kind: &str, id: &str) -> Event {
    if let Some(Person::Visitor(visitor)) = &mut event.actor.person
        && kind == rows::kind_name(CallerKind::Visitor)
        && let Ok(now) = id.parse()
    {
        *visitor = now;
    }
    event
}

pub(super) async fn end_buried(conn: &mut Conn, intent: Intent) -> Result<(), StoreError> {
    let buried = uploads::table.filter(uploads::id.eq(intent.id)).filter(uploads::state.eq(BURIED));
    diesel::delete(buried).execute(conn).await?;
    Ok(())
}

pub(super) async fn renew_leases(conn: &mut Conn, alive: Vec<i64>, now: Time, secs: i64) -> Result<(), StoreError> {
    // Fenced ones too: their streams still run, and end by themselves with that answer.
    let running = uploads::state.eq(RUNNING).or(uploads::state.eq(FENCED));
    // One that is being committed needs no lease just now, and may wait for its chat: the others do not wait with it.
    let free = uploads::table.filter(uploads::id.eq_any(alive)).filter(running).select(uploads::id);
    let free: Vec<i64> = changing_free!(free).load(conn).await?;
    if free.is_empty() {
        return Ok(());
    }
    diesel::update(uploads::table.filter(uploads::id.eq_any(free)))
        .set(uploads::lease_until.eq(from_now(now, secs)))
        .execute(conn)
        .await?;
    Ok(())
}

pub(in super::super) async fn list_dead(
    conn: &mut Conn,
    own: Option<String>,
    now: Time,
    limit: i64,
) -> Result<Vec<Dead>, StoreError> {
    let over = uploads::lease_until.lt(from_now(now, 0));
    let running = uploads::state.eq(RUNNING).or(uploads::state.eq(FENCED));
    let dead = uploads::state.eq(BURIED).and(over).or(running.and(over.or(uploads::node.nullable().eq(own))));
    let found: Vec<(i64, Vec<u8>, String)> = uploads::table
        .filter(dead)
        .order(uploads::id)
        .limit(limit)
        .select((uploads::id, uploads::key, uploads::state))
        .load(conn)
        .await?;
    let dead = found.into_iter().map(|(id, key, state)| {
        let intent = Intent { id, key: BlobKey(rows::bytes("uploads", "key", id, &key)?) };
        Ok(Dead { intent, buried: state == BURIED })
    });
    dead.collect()
}

pub(super) async fn trim_request_ids(conn: &mut Conn, now: Time) -> Result<u64, StoreError> {
    // By the clock of the node, which noted when they ended, unless it is ahead of the one that all share.
    let now = now.min(super::time(conn, now).await?);
    let old: Vec<i64> = uploads::table
        .filter(uploads::state.eq(DONE))
        .filter(uploads::ended_at.le(now.plus_secs(-REQUEST_ID_SECS).0))
        .order(uploads::ended_at)
        .limit(1_000)
        .select(uploads::id)
        .load(conn)
        .await?;
    if old.is_empty() {
        return Ok(0);
    }
    let gone = diesel::delete(uploads::table.filter(uploads::id.eq_any(old))).execute(conn).await?;
    Ok(gone as u64)
}

/// From here on the intent can only end: a commit that is under way is waited for, and its blob seen; a later one is
/// refused.
///
/// On SQLite a COMMIT that failed may have left its pages in the log, whole: they count again after a kill, unless another
/// transaction has written over them. That is this one. An intent that is fenced already has been written to since its
/// commit could have been.
pub(in super::super) async fn fence(conn: &mut Conn, intent: Intent) -> Result<bool, StoreError> {
    let running = uploads::table.filter(uploads::id.eq(intent.id)).filter(uploads::state.eq(RUNNING));
    diesel::update(running).set(uploads::state.eq(FENCED)).execute(conn).await?;
    Ok(diesel::select(exists(blobs::table.filter(blobs::key.eq(intent.key.0.as_slice())))).get_result(conn).await?)
}
