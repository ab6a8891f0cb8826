//! The ports, method by method: which body, and whether it writes.
//!
//! Not here: what the bodies do. Each method's time, queue included, is a histogram.

use std::time::Instant;

use async_trait::async_trait;
use futures_util::FutureExt;

use super::{SqlStore, chats, content, events, files, holds, keys, listing, pairing, restoring, settings, uploads};
use crate::{
    domain::{
        Actor, Blob, BlobKey, Caller, Chat, ChatId, Event, FileView, Hit, Hold, HoldOn, KeyId, Matter, Person, Refusal,
        RequestId, Settings, Sha256, StoreId, Time, Verdict,
        access::Deletion,
        key::{Key, Reach},
        listing::{FileQuery, FileRef, Page},
        settings::SettingValue,
    },
    ports::{
        Admit, AttachTo, Before, Begun, ChatDeleted, ChatQuery, ChatStore, ChatTold, Commit, Committed, Dead,
        FileChange, FileStore, HoldQuery, HoldStore, Intent, KeyQuery, KeyStore, LiveKeys, MultipartId, NewUpload,
        PairingStore, SettingsStore, Stop, Store, StoreClaim, StoreError, StoredSettings, UploadStore,
    },
    telemetry::names,
};

/// Runs a body by `read` or `write` and records how long that took.
macro_rules! timed {
    ($self:ident . $way:ident, $name:literal, |$conn:ident| $body:expr) => {{
        let begun = Instant::now();
        let result = $self.engine.$way(move |$conn| async move { $body.await }.boxed()).await;
        metrics::histogram!(names::DATABASE_SECONDS, names::OP => $name).record(begun.elapsed().as_secs_f64());
        result
    }};
}

pub(super) use timed;

#[async_trait]
impl UploadStore for SqlStore {
    async fn begin_upload(&self, new: NewUpload, admit: Admit) -> Result<Begun, Stop> {
        timed!(self.write_intent, "begin_upload", |conn| uploads::begin(conn, new, admit))
    }

    async fn secure(&self, intent: Intent) -> Result<(), StoreError> {
        let begun = Instant::now();
        let secured = self.engine.secure(intent).await;
        metrics::histogram!(names::DATABASE_SECONDS, names::OP => "secure").record(begun.elapsed().as_secs_f64());
        secured
    }

    async fn find_before(
        &self,
        person: &Person,
        request_id: &RequestId,
        now: Time,
    ) -> Result<Option<Before>, StoreError> {
        let (person, request_id) = (person.clone(), request_id.clone());
        timed!(self.read, "find_before", |conn| uploads::find_before(conn, person, request_id, now))
    }

    async fn note_multipart(&self, intent: Intent, parts: &MultipartId) -> Result<(), Stop> {
        let parts = parts.clone();
        timed!(self.write, "note_multipart", |conn| uploads::note_multipart(conn, intent, parts))
    }

    async fn find_multipart(&self, intent: Intent) -> Result<Option<MultipartId>, StoreError> {
        timed!(self.read, "find_multipart", |conn| uploads::find_multipart(conn, intent))
    }

    async fn commit_upload(&self, commit: Commit) -> Result<Committed, Stop> {
        timed!(self.write_upload, "commit_upload", |conn| uploads::commit(conn, commit))
    }

    async fn fence_upload(&self, intent: Intent) -> Result<bool, StoreError> {
        timed!(self.write, "fence_upload", |conn| uploads::fence(conn, intent))
    }

    async fn abort_upload(&self, intent: Intent, event: Event, now: Time, stays_secs: i64) -> Result<(), StoreError> {
        timed!(self.write, "abort_upload", |conn| uploads::abort(conn, intent, event, now, stays_secs))
    }

    async fn end_buried(&self, intent: Intent) -> Result<(), StoreError> {
        timed!(self.write, "end_buried", |conn| uploads::end_buried(conn, intent))
    }

    async fn renew_leases(&self, alive: &[Intent], now: Time, secs: i64) -> Result<(), StoreError> {
        let alive = alive.iter().map(|intent| intent.id).collect();
        timed!(self.write, "renew_leases", |conn| uploads::renew_leases(conn, alive, now, secs))
    }

    async fn list_dead_uploads(&self, own: Option<&str>, now: Time, limit: i64) -> Result<Vec<Dead>, StoreError> {
        let own = own.map(str::to_owned);
        timed!(self.read, "list_dead_uploads", |conn| uploads::list_dead(conn, own, now, limit))
    }

    async fn trim_request_ids(&self, now: Time) -> Result<u64, StoreError> {
        timed!(self.write, "trim_request_ids", |conn| uploads::trim_request_ids(conn, now))
    }

    async fn find_blob(&self, sha256: Sha256, size: u64) -> Result<Option<Blob>, StoreError> {
        timed!(self.read, "find_blob", |conn| content::find_blob(conn, sha256, size))
    }

    async fn quarantine(
        &self,
        sha256: Sha256,
        verdict: Verdict,
        signature: &str,
        made: Option<Time>,
    ) -> Result<u64, StoreError> {
        let hit = Hit { number: 0, signature: signature.to_owned(), verdict, made };
        timed!(self.write, "quarantine", |conn| content::quarantine(conn, sha256, hit))
    }

    async fn record(&self, event: Event, now: Time) -> Result<(), StoreError> {
        timed!(self.write, "record", |conn| events::write(conn, &event, now))
    }
}

#[async_trait]
impl FileStore for SqlStore {
    async fn find_file(&self, file: FileRef, caller: &Caller) -> Result<Option<FileView>, StoreError> {
        let caller = caller.clone();
        timed!(self.read, "find_file", |conn| files::find(conn, file, &caller))
    }

    async fn list_files(&self, query: FileQuery, caller: &Caller) -> Result<Page<FileView>, StoreError> {
        let caller = caller.clone();
        timed!(self.read, "list_files", |conn| listing::list(conn, query, &caller))
    }

    async fn attach(
        &self,
        file: FileRef,
        to: Vec<AttachTo>,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<Vec<Result<(), Refusal>>, Stop> {
        let (caller, settings) = (caller.clone(), settings.clone());
        timed!(self.write, "attach", |conn| files::attach(conn, file, to, &caller, &settings, now))
    }

    async fn detach(
        &self,
        file: FileRef,
        chat: ChatId,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<(), Stop> {
        let (caller, settings) = (caller.clone(), settings.clone());
        timed!(self.write, "detach", |conn| files::detach(conn, file, chat, &caller, &settings, now))
    }

    async fn update_file(
        &self,
        file: FileRef,
        change: FileChange,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<FileView, Stop> {
        let (caller, settings) = (caller.clone(), settings.clone());
        timed!(self.write, "update_file", |conn| files::update(conn, file, change, &caller, &settings, now))
    }

    async fn delete_file(
        &self,
        file: FileRef,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<Deletion, Stop> {
        let (caller, settings) = (caller.clone(), settings.clone());
        timed!(self.write, "delete_file", |conn| files::delete(conn, file, &caller, &settings, now))
    }

    async fn restore_file(
        &self,
        file: FileRef,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<FileView, Stop> {
        let (caller, settings) = (caller.clone(), settings.clone());
        timed!(self.write, "restore_file", |conn| restoring::restore(conn, file, &caller, &settings, now))
    }
}

#[async_trait]
impl ChatStore for SqlStore {
    async fn find_chat(&self, id: &ChatId) -> Result<Option<Chat>, StoreError> {
        let id = id.clone();
        timed!(self.read, "find_chat", |conn| chats::find(conn, id))
    }

    async fn put_chats(&self, told: Vec<ChatTold>, actor: Actor, now: Time) -> Result<Vec<Chat>, StoreError> {
        timed!(self.write, "put_chats", |conn| chats::put(conn, told, actor, now))
    }

    async fn list_chats(&self, query: ChatQuery) -> Result<Vec<Chat>, StoreError> {
        timed!(self.read, "list_chats", |conn| chats::list(conn, query))
    }

    async fn delete_chat(&self, id: &ChatId, version: i64, actor: Actor, now: Time) -> Result<ChatDeleted, Stop> {
        let id = id.clone();
        timed!(self.write, "delete_chat", |conn| chats::delete(conn, id, version, actor, now))
    }
}

#[async_trait]
impl SettingsStore for SqlStore {
    async fn load_settings(&self) -> Result<StoredSettings, StoreError> {
        timed!(self.read, "load_settings", |conn| settings::load(conn))
    }

    async fn settings_version(&self) -> Result<i64, StoreError> {
        timed!(self.read, "settings_version", |conn| settings::version(conn))
    }

    async fn save_settings(
        &self,
        changes: Vec<(&'static str, SettingValue)>,
        expected: i64,
        actor: Actor,
        now: Time,
    ) -> Result<i64, Stop> {
        timed!(self.write, "save_settings", |conn| settings::save(conn, changes, expected, actor, now))
    }
}

#[async_trait]
impl PairingStore for SqlStore {
    async fn find_store_claim(&self) -> Result<Option<StoreClaim>, StoreError> {
        timed!(self.read, "find_store_claim", |conn| pairing::find(conn))
    }

    async fn claim_store_id(&self, id: StoreId, place: &str) -> Result<StoreClaim, StoreError> {
        let place = place.to_owned();
        timed!(self.write, "claim_store_id", |conn| pairing::claim(conn, id, place))
    }

    async fn confirm_store_id(&self) -> Result<(), StoreError> {
        timed!(self.write, "confirm_store_id", |conn| pairing::confirm(conn))
    }

    async fn list_newest_keys(&self) -> Result<Vec<BlobKey>, StoreError> {
        timed!(self.read, "list_newest_keys", |conn| pairing::newest_keys(conn))
    }
}

#[async_trait]
impl HoldStore for SqlStore {
    async fn put_hold(&self, on: HoldOn, matter: Matter, caller: &Caller, now: Time) -> Result<Hold, Stop> {
        let caller = caller.clone();
        timed!(self.write, "put_hold", |conn| holds::put(conn, on, matter, &caller, now))
    }

    async fn lift_hold(&self, on: HoldOn, matter: Matter, caller: &Caller, now: Time) -> Result<bool, Stop> {
        let caller = caller.clone();
        timed!(self.write, "lift_hold", |conn| holds::lift(conn, on, matter, &caller, now))
    }

    async fn list_holds(&self, query: HoldQuery, caller: &Caller) -> Result<Vec<(i64, Hold)>, Stop> {
        let caller = caller.clone();
        timed!(self.read, "list_holds", |conn| holds::list(conn, query, &caller))
    }
}

#[async_trait]
impl KeyStore for SqlStore {
    async fn create_key(&self, key: Key, hash: Sha256) -> Result<(), Stop> {
        timed!(self.write, "create_key", |conn| keys::create(conn, key, hash))
    }

    async fn list_keys(&self, query: KeyQuery) -> Result<Vec<(i64, Key)>, StoreError> {
        timed!(self.read, "list_keys", |conn| keys::list(conn, query))
    }

    async fn retire_key(&self, id: KeyId, reach: Reach, actor: Actor, now: Time) -> Result<Key, Stop> {
        timed!(self.write, "retire_key", |conn| keys::retire(conn, id, reach, actor, now))
    }

    async fn load_keys(&self, now: Time) -> Result<LiveKeys, StoreError> {
        timed!(self.read, "load_keys", |conn| keys::load(conn, now))
    }

    async fn keys_version(&self) -> Result<i64, StoreError> {
        timed!(self.read, "keys_version", |conn| keys::version(conn))
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn ping(&self) -> Result<(), StoreError> {
        // Both ways: reads alone would go on while nothing can be written any more.
        let _: i64 = timed!(self.read, "ping", |conn| settings::version(conn))?;
        timed!(self.write, "ping", |conn| settings::version(conn)).map(|_: i64| ())
    }
}
