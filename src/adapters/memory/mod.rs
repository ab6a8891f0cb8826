//! The twins of the stores in memory, for tests alone: the plainest implementation of `ports/store.rs` and
//! `ports/blobs.rs` that is right. One lock around plain maps; no index, no bound on what is looked at, no IO.
//!
//! They stand beside the real ones in the contracts (`adapters/tests/`), where two that share no code must agree, and
//! under `app/` where thousands of faults are tried in seconds. Not here: rules, which are the pure functions of
//! `domain/` as everywhere, and faults, which a test puts around a twin.
//!
//! To extend a port: the rows it needs become a field of [`Tables`], its methods a few lines in the file of its trait.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use self::{
    consistency::CheckRow,
    erasing::ErasureRow,
    files::{Attached, FileRow},
    keys::KeyRow,
    purging::Stub,
    rescan::{HitRow, RescanRow},
    runs::{PlanRow, RunRow},
    settings::Change,
    uploads::Upload,
};
use crate::{
    domain::{
        Actor, Blob, Chat, ChatId, CheckId, Event, File, Hit, Hold, PlanId, Settings, Sha256, Time,
        consistency::CheckPlace, quarantine::Release, settings::SettingValue,
    },
    ports::{Store, StoreClaim, StoreError},
};

mod blobs;
mod chats;
mod consistency;
mod content;
mod erasing;
mod expiring;
mod files;
mod holds;
mod judging;
mod keys;
mod lines;
mod listing;
mod purging;
mod quarantine;
mod rescan;
mod runs;
mod settings;
mod stats;
mod uploads;
mod vitals;

pub use blobs::{MemoryBlobs, MemorySpool};

/// All stores of the database, in memory. Clones are the same store: what one life of a node leaves, the next finds.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Tables>>);

/// What is stored. Ids count from 1 as the engines' do.
#[derive(Clone)]
struct Tables {
    uploads: BTreeMap<i64, Upload>,
    last_upload: i64,
    blobs: BTreeMap<i64, BlobRow>,
    last_blob: i64,
    hits: HashMap<Sha256, Hit>,
    last_hit: i64,
    files: BTreeMap<i64, FileRow>,
    last_file: i64,
    attachments: BTreeMap<(i64, ChatId), Attached>,
    stubs: BTreeMap<i64, Stub>,
    chats: BTreeMap<ChatId, Chat>,
    settings: BTreeMap<&'static str, SettingValue>,
    settings_version: i64,
    settings_changed_at: Option<Time>,
    settings_history: Vec<Change>,
    claim: Option<StoreClaim>,
    keys: BTreeMap<i64, KeyRow>,
    last_key: i64,
    keys_version: i64,
    holds: BTreeMap<i64, Hold>,
    last_hold: i64,
    runs: BTreeMap<i64, RunRow>,
    last_run: i64,
    plans: BTreeMap<PlanId, PlanRow>,
    clock: Option<Time>,
    rescan: RescanRow,
    rescan_hits: BTreeMap<String, HitRow>,
    scan_failures: HashMap<Sha256, (String, u32)>,
    releases: BTreeMap<i64, Release>,
    last_release: i64,
    checks: BTreeMap<CheckId, CheckRow>,
    check_place: CheckPlace,
    erasures: BTreeMap<i64, ErasureRow>,
    last_erasure: i64,
    events: Vec<(Time, Event)>,
}

/// A blob, when it was stored, by which signature it was found, and since when it is in quarantine.
#[derive(Clone)]
struct BlobRow {
    blob: Blob,
    created_at: Time,
    signature: Option<String>,
    quarantined_at: Option<Time>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            uploads: BTreeMap::new(),
            last_upload: 0,
            blobs: BTreeMap::new(),
            last_blob: 0,
            hits: HashMap::new(),
            last_hit: 0,
            files: BTreeMap::new(),
            // Numbers start at 2^32, so that those of imported files stay theirs.
            last_file: (1 << 32) - 1,
            attachments: BTreeMap::new(),
            stubs: BTreeMap::new(),
            chats: BTreeMap::new(),
            settings: BTreeMap::new(),
            settings_version: 0,
            settings_changed_at: None,
            settings_history: Vec::new(),
            claim: None,
            keys: BTreeMap::new(),
            last_key: 0,
            keys_version: 0,
            holds: BTreeMap::new(),
            last_hold: 0,
            runs: BTreeMap::new(),
            last_run: 0,
            plans: BTreeMap::new(),
            clock: None,
            rescan: RescanRow::default(),
            rescan_hits: BTreeMap::new(),
            scan_failures: HashMap::new(),
            releases: BTreeMap::new(),
            last_release: 0,
            checks: BTreeMap::new(),
            check_place: CheckPlace::default(),
            erasures: BTreeMap::new(),
            last_erasure: 0,
            events: Vec::new(),
        }
    }
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What does not change anything.
    fn read<T>(&self, ask: impl FnOnce(&Tables) -> T) -> T {
        ask(&self.lock())
    }

    /// One transaction: on a copy, which counts if nothing stopped it, and no change was made while `read_only` is set.
    fn write<T, E: From<StoreError>>(&self, change: impl FnOnce(&mut Tables) -> Result<T, E>) -> Result<T, E> {
        let mut tables = self.lock();
        let mut changed = tables.clone();
        let done = change(&mut changed)?;
        let mut new = changed.events.iter().skip(tables.events.len());
        let read_only = changed.settings.get("read_only") == Some(&SettingValue::Bool(true));
        if read_only && new.any(|(_, event)| event.kind.is_change()) {
            return Err(StoreError::ReadOnly.into());
        }
        *tables = changed;
        Ok(done)
    }

    /// Every blob, whatever its state.
    pub fn blobs(&self) -> Vec<Blob> {
        self.read(|t| t.blobs.values().map(|row| row.blob.clone()).collect())
    }

    /// Every file, whatever its state, with the id of its blob.
    pub fn files(&self) -> Vec<(File, i64)> {
        self.read(|t| t.files.values().map(|row| (row.file.clone(), row.blob)).collect())
    }

    /// The kinds of all events, in order.
    pub fn event_kinds(&self) -> Vec<String> {
        self.read(|t| t.events.iter().map(|(_, event)| event.kind.name().to_owned()).collect())
    }
}

impl Tables {
    fn record(&mut self, event: Event, now: Time) {
        self.events.push((now, event));
    }

    /// The settings with what was stored of them.
    fn settings(&self) -> Result<Settings, StoreError> {
        let mut settings = Settings::default();
        for (key, value) in &self.settings {
            settings.set(key, value.clone()).map_err(|_| StoreError::Corrupt {
                table: "settings",
                column: "value",
                id: (*key).to_owned(),
            })?;
        }
        Ok(settings)
    }
}

/// Kind, id and acting service of an actor, as they are stored.
fn actor_columns(actor: &Actor) -> [Option<String>; 3] {
    [
        actor.person.as_ref().map(|person| format!("{:?}", person.kind()).to_lowercase()),
        actor.person.as_ref().map(|person| person.id().to_owned()),
        actor.acting_service.as_ref().map(ToString::to_string),
    ]
}

#[async_trait]
impl Store for MemoryStore {
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
