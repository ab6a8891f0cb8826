//! Uploads in memory, from intent to file.
//!
//! Not here: what is known of bytes (`content.rs`).

use async_trait::async_trait;

use super::{
    MemoryStore, Tables,
    files::{Attached, FileRow},
};
use crate::{
    domain::{
        Actor, Blob, BlobKey, Event, EventKind, File, FileId, FileState, FileView, Person, Reason, RequestId, Sha256,
        Time, Verdict, VerdictKind,
        admission::{self, Target},
        listing::FileRef,
    },
    ports::{
        Admit, Before, Begun, BytesAt, Commit, Committed, Dead, Intent, MultipartId, NewUpload, REQUEST_ID_SECS, Stop,
        StoreError, UploadStore,
    },
};

/// An intent, or what is remembered of one under its request id.
#[derive(Clone)]
pub(super) struct Upload {
    pub(super) key: BlobKey,
    pub(super) node: String,
    pub(super) person: Person,
    pub(super) request_id: Option<RequestId>,
    pub(super) target: Target,
    pub(super) state: State,
    pub(super) lease_until: Time,
    pub(super) multipart: Option<MultipartId>,
}

/// How far an upload is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It may still be committed.
    Running,
    /// It can only end.
    Fenced,
    /// It ended without a file; until its lease is over the store may still finish what was asked of it.
    Buried,
    /// It became a file.
    Done { file: FileId, sha256: Sha256, at: Time },
}

impl Upload {
    /// What it became, if that is not to be forgotten yet.
    fn before(&self, now: Time) -> Option<Before> {
        match self.state {
            State::Done { file, sha256, at } if now < at.plus_secs(REQUEST_ID_SECS) => {
                Some(Before { target: self.target.clone(), uploaded_sha256: sha256, file })
            }
            State::Done { .. } | State::Running | State::Fenced | State::Buried => None,
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.state, State::Done { .. })
    }

    /// Neither a file nor buried.
    fn is_under_way(&self) -> bool {
        matches!(self.state, State::Running | State::Fenced)
    }

    /// Nobody stands behind it any more, or its time as a buried one is over.
    fn is_dead(&self, own: Option<&str>, now: Time) -> bool {
        let over = self.lease_until < now;
        match self.state {
            State::Running | State::Fenced => over || own.is_some_and(|own| self.node == own),
            State::Buried => over,
            State::Done { .. } => false,
        }
    }
}

impl MemoryStore {
    /// Lets time pass, for the leases.
    pub fn pass(&self, secs: i64) {
        let mut tables = self.lock();
        for upload in tables.uploads.values_mut() {
            upload.lease_until = upload.lease_until.plus_secs(-secs);
        }
        for run in tables.runs.values_mut() {
            run.lease_until = run.lease_until.plus_secs(-secs);
        }
        tables.rescan.lease_until = tables.rescan.lease_until.plus_secs(-secs);
    }
}

impl Tables {
    fn named(&self, person: &Person, request_id: &RequestId) -> Option<i64> {
        let named = |upload: &Upload| upload.person == *person && upload.request_id.as_ref() == Some(request_id);
        self.uploads.iter().find(|(_, upload)| named(upload)).map(|(id, _)| *id)
    }

    fn begin(&mut self, new: NewUpload, admit: &Admit) -> Result<Begun, Stop> {
        let admitted = admit(new.target.chat().and_then(|id| self.chats.get(id)))?;
        let older = new.request_id.as_ref().and_then(|id| self.named(&new.person, id));
        if let Some(id) = older
            && let Some(upload) = self.uploads.get_mut(&id)
        {
            if let Some(before) = upload.before(new.now) {
                return Ok(Begun::Before(before));
            }
            if upload.is_done() {
                self.uploads.remove(&id);
            } else {
                (upload.state, upload.request_id) = (State::Fenced, None);
            }
        }
        self.last_upload += 1;
        let NewUpload { key, node, person, request_id, target, now, lease_secs } = new;
        let lease_until = now.plus_secs(lease_secs);
        let upload =
            Upload { key, node, person, request_id, target, state: State::Running, lease_until, multipart: None };
        self.uploads.insert(self.last_upload, upload);
        Ok(Begun::Started(Intent { id: self.last_upload, key }, Box::new(admitted)))
    }

    fn commit(&mut self, commit: Commit) -> Result<Committed, Stop> {
        let Commit { intent, cleared, caller, file_id, code_hash, bytes, verdict, weighed, grace_secs, now } = commit;
        let running = |upload: &&Upload| upload.key == intent.key && upload.state == State::Running;
        if self.uploads.get(&intent.id).filter(running).is_none() {
            let made = self.find(FileRef::Id(file_id), &caller).ok_or(Reason::Fenced)?;
            return Ok(Committed::Ready(Box::new(made)));
        }
        let chat = match &cleared.declared.target {
            Target::Library | Target::Visitor(_) => None,
            Target::Chat(id) => {
                let chat = self.chats.get(id).cloned();
                admission::judge_again(caller.kind(), chat.as_ref(), grace_secs, now)?;
                chat
            }
        };
        let received = cleared.received;
        if let Some(hit) = self.unknown_hit(&received, weighed) {
            return Ok(Committed::Hit(Box::new(hit)));
        }
        let signature = cleared.signature.clone();
        let cleared_hit = weighed.filter(|_| verdict.kind == VerdictKind::Clean);
        let blob = match bytes {
            BytesAt::Published => self.new_blob(intent.key, &received, verdict, signature, now)?,
            BytesAt::Shared(id) => match self.share_blob(id, &received, verdict, signature) {
                Some(blob) => blob,
                None => return Ok(Committed::BlobGone),
            },
        };
        if let Some(number) = cleared_hit {
            self.hits.retain(|_, hit| hit.number != number);
        }
        if self.files.values().any(|row| row.file.id == file_id) {
            return Err(StoreError::Duplicate("file id".to_owned()).into());
        }
        self.last_file += 1;
        let file = File {
            id: file_id,
            number: self.last_file,
            code_hash,
            state: FileState::Ready,
            display_name: cleared.name,
            extension: cleared.extension,
            media_type: cleared.media_type.to_owned(),
            uploader: caller.person.clone(),
            home_chat: cleared.declared.target.chat().cloned(),
            visitor_id: cleared.declared.target.visitor().cloned(),
            origin: cleared.declared.origin,
            persistent: cleared.persistent,
            pixels: cleared.pixels,
            uploaded_sha256: received.sha256,
            revision: 1,
            created_at: now,
            deleted_at: None,
            restored_at: None,
        };
        self.files.insert(file.number, FileRow { file: file.clone(), blob: blob.id });
        if let Some(chat) = &chat {
            let attached = Attached { message_id: cleared.declared.message_id, by: caller.person.clone(), at: now };
            self.attachments.insert((file.number, chat.id.clone()), attached);
        }
        self.end(intent, State::Done { file: file_id, sha256: received.sha256, at: now });
        let home = chat.as_ref().map(|chat| chat.id.clone());
        self.record(Event::new(EventKind::FileUploaded, Actor::from(&caller)).file(file_id).chat(home), now);
        let chats = chat.into_iter().filter(|chat| caller.may_access(&chat.id, chat.owner.as_ref())).collect();
        Ok(Committed::Ready(Box::new(FileView { file, blob, chats, chats_truncated: false })))
    }

    /// Remembered under its request id, or gone.
    fn end(&mut self, intent: Intent, done: State) {
        match self.uploads.get_mut(&intent.id) {
            Some(upload) if upload.request_id.is_some() => upload.state = done,
            Some(_) | None => drop(self.uploads.remove(&intent.id)),
        }
    }
}

#[async_trait]
impl UploadStore for MemoryStore {
    async fn begin_upload(&self, new: NewUpload, admit: Admit) -> Result<Begun, Stop> {
        self.write(|t| t.begin(new, &admit))
    }

    /// What is written is as durable as this store can be.
    async fn secure(&self, _intent: Intent) -> Result<(), StoreError> {
        Ok(())
    }

    async fn find_before(
        &self,
        person: &Person,
        request_id: &RequestId,
        now: Time,
    ) -> Result<Option<Before>, StoreError> {
        Ok(self.read(|t| t.named(person, request_id).and_then(|id| t.uploads.get(&id)?.before(now))))
    }

    async fn note_multipart(&self, intent: Intent, parts: &MultipartId) -> Result<(), Stop> {
        self.write(|t| match t.uploads.get_mut(&intent.id) {
            Some(upload) if upload.state == State::Running => {
                upload.multipart = Some(parts.clone());
                Ok(())
            }
            Some(_) | None => Err(Reason::Fenced.into()),
        })
    }

    async fn find_multipart(&self, intent: Intent) -> Result<Option<MultipartId>, StoreError> {
        Ok(self.read(|t| t.uploads.get(&intent.id).and_then(|upload| upload.multipart.clone())))
    }

    async fn commit_upload(&self, commit: Commit) -> Result<Committed, Stop> {
        self.write(|t| t.commit(commit))
    }

    async fn fence_upload(&self, intent: Intent) -> Result<bool, StoreError> {
        self.write(|t| {
            if let Some(upload) = t.uploads.get_mut(&intent.id).filter(|upload| upload.state == State::Running) {
                upload.state = State::Fenced;
            }
            Ok(t.blobs.values().any(|row| row.blob.key == intent.key))
        })
    }

    async fn abort_upload(&self, intent: Intent, event: Event, now: Time, stays_secs: i64) -> Result<(), StoreError> {
        self.write(|t| {
            if let Some(upload) = t.uploads.get_mut(&intent.id).filter(|upload| upload.is_under_way()) {
                // A visitor that was erased meanwhile is told of under the pseudonym, which its row has.
                let mut event = event;
                if let (Some(Person::Visitor(_)), Person::Visitor(_)) = (&event.actor.person, &upload.person) {
                    event.actor.person = Some(upload.person.clone());
                }
                if stays_secs == 0 {
                    t.uploads.remove(&intent.id);
                } else {
                    (upload.state, upload.request_id) = (State::Buried, None);
                    upload.lease_until = now.plus_secs(stays_secs);
                }
                t.record(event, now);
            }
            Ok(())
        })
    }

    async fn end_buried(&self, intent: Intent) -> Result<(), StoreError> {
        self.write(|t| {
            if t.uploads.get(&intent.id).is_some_and(|upload| upload.state == State::Buried) {
                t.uploads.remove(&intent.id);
            }
            Ok(())
        })
    }

    async fn renew_leases(&self, alive: &[Intent], now: Time, secs: i64) -> Result<(), StoreError> {
        self.write(|t| {
            for intent in alive {
                if let Some(upload) = t.uploads.get_mut(&intent.id).filter(|upload| upload.is_under_way()) {
                    upload.lease_until = now.plus_secs(secs);
                }
            }
            Ok(())
        })
    }

    async fn list_dead_uploads(&self, own: Option<&str>, now: Time, limit: i64) -> Result<Vec<Dead>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(0);
        Ok(self.read(|t| {
            let dead = t.uploads.iter().filter(|(_, upload)| upload.is_dead(own, now)).take(limit);
            let named = dead.map(|(id, upload)| (Intent { id: *id, key: upload.key }, upload.state == State::Buried));
            named.map(|(intent, buried)| Dead { intent, buried }).collect()
        }))
    }

    async fn trim_request_ids(&self, now: Time) -> Result<u64, StoreError> {
        self.write(|t| {
            let mut old: Vec<(Time, i64)> = Vec::new();
            for (id, upload) in &t.uploads {
                if let State::Done { at, .. } = upload.state
                    && at <= now.plus_secs(-REQUEST_ID_SECS)
                {
                    old.push((at, *id));
                }
            }
            old.sort_unstable();
            old.truncate(1_000);
            for (_, id) in &old {
                t.uploads.remove(id);
            }
            Ok(old.len() as u64)
        })
    }

    async fn find_blob(&self, sha256: Sha256, size: u64) -> Result<Option<Blob>, StoreError> {
        Ok(self.read(|t| t.best_blob(sha256, size)))
    }

    async fn quarantine(
        &self,
        sha256: Sha256,
        verdict: Verdict,
        signature: &str,
        made: Option<Time>,
    ) -> Result<u64, StoreError> {
        self.write(|t| {
            if t.is_released(sha256, signature, verdict.at) || t.is_cleared(sha256, made) {
                return Ok(0);
            }
            t.remember_hit(sha256, &verdict, signature, made);
            Ok(t.quarantine(sha256, &verdict, signature))
        })
    }

    async fn record(&self, event: Event, now: Time) -> Result<(), StoreError> {
        self.write(|t| {
            t.record(event, now);
            Ok(())
        })
    }
}
