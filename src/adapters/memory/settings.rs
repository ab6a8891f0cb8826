//! Settings in memory, and the id that is shared with the store of bytes.
//!
//! Not here: types, bounds and defaults ([`crate::domain::settings`]).

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{Actor, BlobKey, BlobState, Event, EventKind, Reason, StoreId, Time, settings::SettingValue},
    ports::{PairingStore, SettingsStore, Stop, StoreClaim, StoreError, StoredSettings},
};

/// A line of the history.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) version: i64,
    pub(super) key: &'static str,
    pub(super) old: Option<SettingValue>,
    pub(super) new: SettingValue,
    pub(super) actor: Actor,
    pub(super) at: Time,
}

#[async_trait]
impl SettingsStore for MemoryStore {
    async fn load_settings(&self) -> Result<StoredSettings, StoreError> {
        self.read(|t| {
            let (version, updated_at) = (t.settings_version, t.settings_changed_at);
            Ok(StoredSettings { settings: t.settings()?, version, updated_at })
        })
    }

    async fn settings_version(&self) -> Result<i64, StoreError> {
        Ok(self.read(|t| t.settings_version))
    }

    async fn save_settings(
        &self,
        changes: Vec<(&'static str, SettingValue)>,
        expected: i64,
        actor: Actor,
        now: Time,
    ) -> Result<i64, Stop> {
        self.write(|t| {
            if t.settings_version != expected {
                return Err(Reason::EtagMismatch.into());
            }
            let version = expected.saturating_add(1);
            for (key, new) in changes {
                let old = t.settings.insert(key, new.clone());
                if t.settings_history.iter().any(|change| (change.version, change.key) == (version, key)) {
                    return Err(StoreError::Duplicate("setting".to_owned()).into());
                }
                t.settings_history.push(Change { version, key, old, new, actor: actor.clone(), at: now });
            }
            (t.settings_version, t.settings_changed_at) = (version, Some(now));
            t.record(Event::new(EventKind::SettingsUpdated, actor).detail(version.to_string()), now);
            Ok(version)
        })
    }
}

#[async_trait]
impl PairingStore for MemoryStore {
    async fn find_store_claim(&self) -> Result<Option<StoreClaim>, StoreError> {
        Ok(self.read(|t| t.claim.clone()))
    }

    async fn claim_store_id(&self, id: StoreId, place: &str) -> Result<StoreClaim, StoreError> {
        self.write(|t| {
            let claim = || StoreClaim { id, place: place.to_owned(), confirmed: false };
            Ok(t.claim.get_or_insert_with(claim).clone())
        })
    }

    async fn confirm_store_id(&self) -> Result<(), StoreError> {
        self.write(|t| {
            if let Some(claim) = &mut t.claim {
                claim.confirmed = true;
            }
            Ok(())
        })
    }

    async fn list_newest_keys(&self) -> Result<Vec<BlobKey>, StoreError> {
        Ok(self.read(|t| {
            let kept = t.blobs.values().rev().map(|row| &row.blob).filter(|blob| blob.state != BlobState::Purging);
            kept.map(|blob| blob.key).take(8).collect()
        }))
    }
}
