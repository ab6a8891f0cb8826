//! Uploads from intent to file: the bodies of `UploadStore`'s transactions.
//!
//! Not here: what happens to the bytes (`app/upload.rs`). Read [`commit`] first: it is the moment a file happens.

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    Conn, chats, events, files,
    rows::{self, BlobRow, corrupt},
    schema::{attachments, blobs, uploads},
};
use crate::{
    domain::{
        Actor, Blob, BlobKey, BlobState, Event, EventKind, FileId, FileView, Person, Reason, RequestId, Sha256, Time,
        Verdict, VerdictKind,
        admission::{self, Target},
    },
    ports::{Admit, Before, Begun, BytesAt, Commit, Committed, Intent, NewUpload, REQUEST_ID_SECS, Stop, StoreError},
};

/// The intent may still be committed.
const RUNNING: &str = "RUNNING";
/// A newer stream took over, or it is being removed: it can only end.
const FENCED: &str = "FENCED";
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
    state: &'static str,
    lease_until: i64,
    created_at: i64,
}

/// What a remembered request id says.
#[derive(Queryable, Selectable)]
#[diesel(table_name = uploads)]
struct Remembered {
    id: i64,
    state: String,
    target_chat_id: Option<String>,
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
        let Self { id, target_chat_id, uploaded_sha256, file_id, .. } = self;
        let target = match target_chat_id {
            Some(chat) => Target::Chat(chat.parse().map_err(|_| corrupt("uploads", "target_chat_id", id))?),
            None => Target::Library,
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

async fn find_remembered(
    conn: &mut Conn,
    person: &Person,
    request_id: &RequestId,
) -> Result<Option<Remembered>, StoreError> {
    Ok(uploads::table
        .filter(uploads::person_kind.eq(rows::kind_name(person.kind())))
        .filter(uploads::person_id.eq(person.id()))
        .filter(uploads::request_id.eq(request_id.as_str()))
        .select(Remembered::as_select())
        .first(conn)
        .await
        .optional()?)
}

pub(super) async fn find_before(
    conn: &mut Conn,
    person: Person,
    request_id: RequestId,
    now: Time,
) -> Result<Option<Before>, StoreError> {
    let row = find_remembered(conn, &person, &request_id).await?;
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
        match find_remembered(conn, &new.person, request_id).await? {
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
        state: RUNNING,
        lease_until: new.lease_until.0,
        created_at: new.now.0,
    };
    let id = diesel::insert_into(uploads::table).values(row).returning(uploads::id).get_result(conn).await?;
    crate::fault_point!("U2-written");
    Ok(Begun::Started(Intent { id, key: new.key }, admitted))
}

/// One transaction makes a file of an intent. Everything that can refuse stands before the first write.
pub(super) async fn commit(conn: &mut Conn, commit: Commit) -> Result<Committed, Stop> {
    let Commit { intent, cleared, caller, file_id, code_hash, bytes, verdict, grace_secs, now } = commit;
    let remembers: Option<bool> = uploads::table
        .filter(uploads::id.eq(intent.id))
        .filter(uploads::key.eq(intent.key.0.as_slice()))
        .filter(uploads::state.eq(RUNNING))
        .select(uploads::request_id.is_not_null())
        .first(conn)
        .await
        .optional()?;
    let remembers = remembers.ok_or(Reason::Fenced)?;
    let chat = match &cleared.declared.target {
        Target::Library => None,
        Target::Chat(id) => {
            let chat = chats::find(conn, id.clone()).await?;
            admission::judge_again(caller.kind(), chat.as_ref(), grace_secs, now)?;
            chat
        }
    };
    if is_looked(&verdict) && was_hit_since(conn, &cleared, &verdict).await? {
        return Ok(Committed::HitSince);
    }
    let blob = match bytes {
        BytesAt::Published => new_blob(conn, &cleared, intent.key, verdict, now).await?,
        BytesAt::Shared(id) => match shared_blob(conn, id, verdict).await? {
            Some(blob) if blob.sha256 == cleared.received.sha256 && blob.size == cleared.received.size => blob,
            Some(_) | None => return Ok(Committed::BlobGone),
        },
    };
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
    let event = Event::new(EventKind::FileUploaded, Actor::from(&caller))
        .file(file_id)
        .chat(chat.as_ref().map(|c| c.id.clone()));
    events::write(conn, &event, now).await?;
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
    crate::fault_point!("U11-written");
    let chats = chat.into_iter().filter(|c| caller.may_access(&c.id, c.owner.as_ref())).collect();
    Ok(Committed::Ready(Box::new(FileView { file, blob, chats, chats_truncated: false })))
}

/// A scanner looked, and nothing was found.
const fn is_looked(verdict: &Verdict) -> bool {
    matches!(verdict.kind, VerdictKind::Clean | VerdictKind::UnscannableAccepted)
}

/// The same bytes are in quarantine by a hit that is later than the beginning of this verdict's scan.
async fn was_hit_since(conn: &mut Conn, cleared: &admission::Cleared, verdict: &Verdict) -> Result<bool, StoreError> {
    let hit = blobs::table
        .filter(blobs::sha256.eq(cleared.received.sha256.0.as_slice()))
        .filter(blobs::size.eq(i64::try_from(cleared.received.size).unwrap_or(i64::MAX)))
        .filter(blobs::state.eq(rows::blob_state_name(BlobState::Quarantined)))
        .filter(blobs::scanned_at.gt(verdict.at.0));
    Ok(diesel::select(exists(hit)).get_result(conn).await?)
}

async fn new_blob(
    conn: &mut Conn,
    cleared: &admission::Cleared,
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
            blobs::created_at.eq(now.0),
        ))
        .returning(blobs::id)
        .get_result(conn)
        .await?;
    Ok(Blob { id, key, sha256, size, state: BlobState::Active, verdict })
}

/// The blob to be shared, if it is still ACTIVE, with the better of the two verdicts stored.
async fn shared_blob(conn: &mut Conn, id: i64, verdict: Verdict) -> Result<Option<Blob>, StoreError> {
    let row: Option<BlobRow> = blobs::table
        .filter(blobs::id.eq(id))
        .filter(blobs::state.eq(rows::blob_state_name(BlobState::Active)))
        .select(BlobRow::as_select())
        .first(conn)
        .await
        .optional()?;
    let Some(row) = row else { return Ok(None) };
    let mut blob = Blob::try_from(row)?;
    let news = blob.verdict.kind == VerdictKind::NotScanned || blob.verdict.signatures != verdict.signatures;
    if is_looked(&verdict) && news {
        diesel::update(blobs::table.find(id))
            .set((
                blobs::verdict.eq(rows::verdict_name(verdict.kind)),
                blobs::engine.eq(&verdict.engine),
                blobs::signatures.eq(&verdict.signatures),
                blobs::scanned_at.eq(verdict.at.0),
            ))
            .execute(conn)
            .await?;
        blob.verdict = verdict;
    }
    Ok(Some(blob))
}

pub(super) async fn abort(conn: &mut Conn, intent: Intent, event: Event, now: Time) -> Result<(), StoreError> {
    let gone = diesel::delete(uploads::table.filter(uploads::id.eq(intent.id)).filter(uploads::state.ne(DONE)))
        .execute(conn)
        .await?;
    if gone > 0 {
        events::write(conn, &event, now).await?;
    }
    Ok(())
}

pub(super) async fn renew_leases(conn: &mut Conn, node: String, until: Time) -> Result<(), StoreError> {
    // Fenced ones too: their streams still run, and end by themselves with that answer.
    let alive = uploads::state.eq(RUNNING).or(uploads::state.eq(FENCED));
    diesel::update(uploads::table.filter(alive).filter(uploads::node.eq(node)))
        .set(uploads::lease_until.eq(until.0))
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn list_dead(
    conn: &mut Conn,
    own: Option<String>,
    now: Time,
    limit: i64,
) -> Result<Vec<Intent>, StoreError> {
    let found: Vec<(i64, Vec<u8>)> = uploads::table
        .filter(uploads::state.eq(RUNNING).or(uploads::state.eq(FENCED)))
        .filter(uploads::lease_until.lt(now.0).or(uploads::node.nullable().eq(own)))
        .order(uploads::id)
        .limit(limit)
        .select((uploads::id, uploads::key))
        .load(conn)
        .await?;
    found
        .into_iter()
        .map(|(id, key)| Ok(Intent { id, key: BlobKey(rows::bytes("uploads", "key", id, &key)?) }))
        .collect()
}

pub(super) async fn trim_request_ids(conn: &mut Conn, now: Time) -> Result<u64, StoreError> {
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

pub(super) async fn find_blob(conn: &mut Conn, sha256: Sha256, size: u64) -> Result<Option<Blob>, StoreError> {
    let usable = blobs::state
        .eq(rows::blob_state_name(BlobState::Active))
        .and(blobs::verdict.eq(rows::verdict_name(VerdictKind::Clean)));
    let row: Option<BlobRow> = blobs::table
        .filter(blobs::sha256.eq(sha256.0.as_slice()))
        .filter(blobs::size.eq(i64::try_from(size).unwrap_or(i64::MAX)))
        .order((usable.desc(), blobs::scanned_at.desc(), blobs::id.desc()))
        .select(BlobRow::as_select())
        .first(conn)
        .await
        .optional()?;
    row.map(Blob::try_from).transpose()
}

pub(super) async fn quarantine(
    conn: &mut Conn,
    sha256: Sha256,
    verdict: Verdict,
    signature: String,
) -> Result<u64, StoreError> {
    let active = blobs::table
        .filter(blobs::sha256.eq(sha256.0.as_slice()))
        .filter(blobs::state.eq(rows::blob_state_name(BlobState::Active)));
    let hit = diesel::update(active)
        .set((
            blobs::state.eq(rows::blob_state_name(BlobState::Quarantined)),
            blobs::verdict.eq(rows::verdict_name(verdict.kind)),
            blobs::engine.eq(&verdict.engine),
            blobs::signatures.eq(&verdict.signatures),
            blobs::scanned_at.eq(verdict.at.0),
            blobs::signature.eq(&signature),
        ))
        .execute(conn)
        .await?;
    for _ in 0..hit {
        let event = Event::new(EventKind::BlobQuarantined, Actor::SYSTEM).detail(signature.clone());
        events::write(conn, &event, verdict.at).await?;
    }
    Ok(hit as u64)
}

/// A COMMIT that failed may have left its pages in the log, whole: they count again after a kill, unless another
/// transaction has written over them. That is this one. An intent that is fenced already has been written to since its
/// commit could have been.
pub(super) async fn fence(conn: &mut Conn, intent: Intent) -> Result<bool, StoreError> {
    let running = uploads::table.filter(uploads::id.eq(intent.id)).filter(uploads::state.eq(RUNNING));
    diesel::update(running).set(uploads::state.eq(FENCED)).execute(conn).await?;
    Ok(diesel::select(exists(blobs::table.filter(blobs::key.eq(intent.key.0.as_slice())))).get_result(conn).await?)
}
