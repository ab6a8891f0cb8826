//! The end of files in memory: stubs, and blobs that are PURGING.
//!
//! Not here: who may purge at once ([`crate::domain::access::purge`]).

use async_trait::async_trait;

use super::{MemoryStore, Tables, files::FileRow};
use crate::{
    domain::{
        Actor, BlobState, Caller, Event, EventKind, FileId, FileState, StoreId, Time, access, listing::FileRef,
        settings::SettingValue,
    },
    ports::{Leaving, PurgeStore, Purged, Stop, StoreError},
};

/// What stays of a file.
#[derive(Clone)]
pub(super) struct Stub {
    pub(super) id: FileId,
    pub(super) created_at: Time,
    pub(super) deleted_at: Time,
    /// Not among what is compared: an engine says it by a clock of its own.
    pub(super) purged_at: Time,
}

impl Tables {
    /// Answers its blob, if no other file needs it.
    pub(super) fn end_file(&mut self, number: i64, actor: &Actor, now: Time) -> Result<Option<Leaving>, StoreError> {
        let Some(FileRow { file, blob }) = self.files.remove(&number) else { return Ok(None) };
        let deleted_at = file.deleted_at.unwrap_or(now);
        // One that was brought back from outside has its stub.
        if !self.stubs.values().any(|stub| stub.id == file.id) {
            let stub = Stub { id: file.id, created_at: file.created_at, deleted_at, purged_at: now };
            self.stubs.entry(number).or_insert(stub);
        }
        self.attachments.retain(|(of, _), _| *of != number);
        self.record(Event::new(EventKind::FilePurged, actor.clone()).file(file.id).chat(file.home_chat), now);
        if self.files.values().any(|row| row.blob == blob) {
            return Ok(None);
        }
        Ok(self.blobs.get_mut(&blob).map(|row| {
            row.blob.state = BlobState::Purging;
            Leaving { id: blob, key: row.blob.key, size: row.blob.size }
        }))
    }

    /// Blobs that are PURGING and were stored so many seconds ago.
    fn leaving(&self, late_secs: i64, now: Time) -> impl Iterator<Item = Leaving> {
        let until = now.plus_secs(-late_secs);
        let leaving =
            self.blobs.values().filter(move |row| row.blob.state == BlobState::Purging && row.created_at <= until);
        let leaving = leaving.filter(|row| !self.files.values().any(|file| file.blob == row.blob.id));
        leaving.map(|row| Leaving { id: row.blob.id, key: row.blob.key, size: row.blob.size })
    }
}

#[async_trait]
impl PurgeStore for MemoryStore {
    async fn purge_deleted(&self, grace_secs: i64, limit: u32, now: Time) -> Result<Purged, StoreError> {
        self.write(|t| {
            let until = now.plus_secs(-grace_secs);
            let ripe = t.files.values().map(|row| &row.file).filter(|file| file.state == FileState::Deleted);
            let ripe = ripe.filter(|file| !t.is_held(file));
            let mut ripe: Vec<_> = ripe.filter_map(|file| Some((file.deleted_at?, file.number))).collect();
            ripe.retain(|(deleted_at, _)| *deleted_at <= until);
            ripe.sort_unstable();
            ripe.truncate(limit as usize);
            for (_, number) in &ripe {
                t.end_file(*number, &Actor::SYSTEM, now)?;
            }
            Ok(Purged { files: ripe.len() as u64, more: ripe.len() >= limit as usize })
        })
    }

    async fn purge_file(&self, file: FileRef, caller: &Caller, now: Time) -> Result<Option<Leaving>, Stop> {
        self.write(|t| {
            let found = t.find(file, caller);
            let held = found.as_ref().is_some_and(|view| t.is_held(&view.file));
            let number = access::purge(caller, found.as_ref(), held)?.file.number;
            Ok(t.end_file(number, &Actor::from(caller), now)?)
        })
    }

    async fn list_leaving(
        &self,
        after: i64,
        limit: u32,
        late_secs: i64,
        now: Time,
    ) -> Result<Vec<Leaving>, StoreError> {
        Ok(self.read(|t| t.leaving(late_secs, now).filter(|blob| blob.id > after).take(limit as usize).collect()))
    }

    async fn delete_blobs(
        &self,
        gone: &[i64],
        from: StoreId,
        late_secs: i64,
        now: Time,
    ) -> Result<Vec<i64>, StoreError> {
        self.write(|t| {
            let read_only = t.settings.get("read_only") == Some(&SettingValue::Bool(true));
            if read_only || t.claim.as_ref().is_some_and(|claim| claim.id != from) {
                return Err(StoreError::ReadOnly);
            }
            let ids: Vec<i64> = t.leaving(late_secs, now).map(|blob| blob.id).filter(|id| gone.contains(id)).collect();
            t.blobs.retain(|id, _| !ids.contains(id));
            Ok(ids)
        })
    }
}
