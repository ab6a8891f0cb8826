//! Opaque keys in memory.
//!
//! Not here: whose keys somebody reaches ([`crate::domain::key`]).

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{
        Actor, Event, EventKind, KeyId, Reason, Refusal, Sha256, Time,
        key::{Key, MOST_KEYS, Reach},
    },
    ports::{KeyQuery, KeyStore, LiveKey, LiveKeys, Stop, StoreError},
};

/// A key with the hash of its secret.
#[derive(Clone)]
pub(super) struct KeyRow {
    pub(super) key: Key,
    pub(super) hash: Sha256,
}

fn counts(key: &Key, now: Time) -> bool {
    key.retired_at.is_none() && key.expires_at > now
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn create_key(&self, key: Key, hash: Sha256) -> Result<(), Stop> {
        self.write(|t| {
            let counting = t.keys.values().filter(|row| counts(&row.key, key.created_at)).count();
            if i64::try_from(counting).is_ok_and(|counting| counting >= MOST_KEYS) {
                return Err(Refusal::new(Reason::QuotaKeys).with("limit", MOST_KEYS).into());
            }
            let event = Event::new(EventKind::KeyCreated, key.created_by.clone()).detail(key.id.to_string());
            t.record(event, key.created_at);
            t.last_key += 1;
            t.keys_version += 1;
            t.keys.insert(t.last_key, KeyRow { key, hash });
            Ok(())
        })
    }

    async fn list_keys(&self, query: KeyQuery) -> Result<Vec<(i64, Key)>, StoreError> {
        let KeyQuery { reach, counting_at, before, limit } = query;
        Ok(self.read(|t| {
            let rows = t.keys.range(..before.unwrap_or(i64::MAX)).rev();
            rows.filter(|(_, row)| reach.holds(&row.key) && counting_at.is_none_or(|now| counts(&row.key, now)))
                .take(limit as usize)
                .map(|(number, row)| (*number, row.key.clone()))
                .collect()
        }))
    }

    async fn retire_key(&self, id: KeyId, reach: Reach, actor: Actor, now: Time) -> Result<Key, Stop> {
        self.write(|t| {
            let found = t.keys.values_mut().find(|row| row.key.id == id && reach.holds(&row.key));
            let key = &mut found.ok_or_else(Refusal::not_found)?.key;
            let was_retired = key.retired_at.is_some();
            key.retired_at.get_or_insert(now);
            let key = key.clone();
            if !was_retired {
                t.keys_version += 1;
                t.record(Event::new(EventKind::KeyRetired, actor).detail(id.to_string()), now);
            }
            Ok(key)
        })
    }

    async fn load_keys(&self, now: Time) -> Result<LiveKeys, StoreError> {
        Ok(self.read(|t| {
            let live = t.keys.values().filter(|row| counts(&row.key, now)).map(|KeyRow { key, hash }| LiveKey {
                id: key.id,
                hash: *hash,
                holder: key.holder.clone(),
                expires_at: key.expires_at,
            });
            LiveKeys { version: t.keys_version, keys: live.collect() }
        }))
    }

    async fn keys_version(&self) -> Result<i64, StoreError> {
        Ok(self.read(|t| t.keys_version))
    }
}
