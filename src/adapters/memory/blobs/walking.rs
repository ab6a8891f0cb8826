//! The walks of the store and the spool in memory: bytes by key, strange names, uploads in parts, in this order.
//!
//! What nobody gave a time was written at the beginning of all times. Not here: the store itself (the parent module).

use super::{MemoryBlobs, MemorySpool, locked};
use crate::{
    domain::{BlobKey, Time, consistency::StrangeName},
    ports::{Found, MultipartId, Removal, WalkPage, WalkPlace},
};

/// How ids of uploads in parts begin that a store left half begun.
const HALF_BEGUN: &str = "half-begun";

/// A name that is none of ours: how many bytes it has, and when they were written.
pub(super) type Strange = (u64, Time);

fn strange((name, (size, modified)): (&Vec<u8>, &Strange)) -> Found {
    Found::Strange { name: StrangeName(name.clone()), size: *size, modified: *modified, plain: true }
}

/// What became of a name that was to be removed.
fn remove(names: &mut std::collections::BTreeMap<Vec<u8>, Strange>, name: &StrangeName, before: Time) -> Removal {
    match names.get(&name.0) {
        None => Removal::Gone,
        Some((_, modified)) if *modified >= before => Removal::Young,
        Some(_) => {
            names.remove(&name.0);
            Removal::Removed
        }
    }
}

impl MemoryBlobs {
    /// Bytes under a key that nobody published, written at this time.
    pub fn plant(&self, key: BlobKey, bytes: &[u8], at: Time) {
        let mut store = locked(&self.store);
        store.kept.insert(key, bytes.to_vec().into());
        store.times.insert(key, at);
    }

    /// A name that is none of ours.
    pub fn plant_strange(&self, name: &str, at: Time) {
        locked(&self.store).strange.insert(name.as_bytes().to_vec(), (1, at));
    }

    /// An upload in parts of this id that nobody stands behind. One of an id that begins with `half-begun` only goes with all
    /// that is under its key.
    pub fn plant_parts(&self, key: BlobKey, id: &str) {
        locked(&self.store).parts.insert(id.to_owned(), key);
    }

    /// How many names lie there that are none of ours.
    pub fn strange_names(&self) -> usize {
        locked(&self.store).strange.len()
    }

    pub(super) fn walk_page(&self, after: Option<&WalkPlace>, limit: usize) -> WalkPage {
        let store = locked(&self.store);
        let time = |key: &BlobKey| store.times.get(key).copied().unwrap_or_default();
        let bytes = store.kept.iter().map(|(key, bytes)| {
            let found = Found::Bytes { key: *key, size: bytes.len() as u64, modified: time(key) };
            (format!("a{key}").into_bytes(), found)
        });
        let names = store.strange.iter().map(|entry| ([b"b", entry.0.as_slice()].concat(), strange(entry)));
        let parts = store.parts.iter().map(|(id, key)| {
            let found = Found::Parts { key: *key, id: MultipartId(id.clone()), begun: Time::default() };
            (format!("c{id}").into_bytes(), found)
        });
        let all = bytes.chain(names).chain(parts);
        let mut later = all.filter(|(place, _)| after.is_none_or(|after| *place > after.0)).peekable();
        let (mut found, mut last) = (Vec::new(), None);
        while found.len() < limit {
            let Some((place, one)) = later.next() else { return WalkPage { found, next: None } };
            found.push(one);
            last = Some(WalkPlace(place));
        }
        let next = if later.peek().is_some() { last } else { None };
        WalkPage { found, next }
    }

    /// What is half begun is listed, and not there to be ended.
    pub(super) fn abort(&self, key: BlobKey, parts: &MultipartId) -> Removal {
        let mut store = locked(&self.store);
        if store.parts.get(&parts.0) != Some(&key) {
            return Removal::Gone;
        }
        if parts.0.starts_with(HALF_BEGUN) {
            return Removal::Refused;
        }
        store.parts.remove(&parts.0);
        Removal::Removed
    }

    pub(super) fn remove_name(&self, name: &StrangeName, before: Time) -> Removal {
        remove(&mut locked(&self.store).strange, name, before)
    }
}

impl MemorySpool {
    /// Bytes under a key that no upload wrote.
    pub fn plant(&self, key: BlobKey) {
        let mut spooling = locked(&self.0);
        spooling.spooled.insert(key, super::Entry { writer: 0, bytes: vec![1], lies: true, synced: false });
    }

    pub(super) fn look_at_all(&self) -> Vec<Found> {
        let spooling = locked(&self.0);
        let mut lying: Vec<_> = spooling.spooled.iter().filter(|(_, entry)| entry.lies).collect();
        lying.sort_unstable_by_key(|(key, _)| **key);
        let bytes = lying.into_iter().map(|(key, entry)| {
            let size = entry.bytes.len() as u64;
            Found::Bytes { key: *key, size, modified: Time::default() }
        });
        bytes.chain(spooling.strange.iter().map(strange)).collect()
    }

    pub(super) fn remove_name(&self, name: &StrangeName, before: Time) -> Removal {
        remove(&mut locked(&self.0).strange, name, before)
    }
}
