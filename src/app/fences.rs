//! Uploads with a request id that run on this node: when a newer one of the same begins, the older is told at once, so
//! that it gives back its place and its room instead of waiting for a client that has gone.
//!
//! Not here: the fence that counts, which is the intent's row (`ports::UploadStore::begin_upload`): an older upload on
//! another node, or one that is past its bytes, finds out when it commits.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Person, RequestId},
    ports::Intent,
};

/// Who names an upload, and how.
type Name = (Person, RequestId);

/// The newest upload under each name.
#[derive(Default)]
pub struct Fences(Mutex<HashMap<Name, Newest>>);

struct Newest {
    intent: i64,
    fenced: CancellationToken,
}

/// One upload among them, until dropped.
pub struct Fence {
    fences: Arc<Fences>,
    name: Name,
    intent: i64,
    fenced: CancellationToken,
}

impl Fences {
    /// Enters an upload whose intent was just written, and tells the one before it. Intents that fence each other have
    /// their ids in that order, whichever comes here first.
    pub fn enter(self: &Arc<Self>, person: Person, request_id: RequestId, intent: Intent) -> Fence {
        let (name, intent, fenced) = ((person, request_id), intent.id, CancellationToken::new());
        let newest = Newest { intent, fenced: fenced.clone() };
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()) {
            Entry::Vacant(entry) => drop(entry.insert(newest)),
            Entry::Occupied(entry) if entry.get().intent > intent => fenced.cancel(),
            Entry::Occupied(mut entry) => entry.insert(newest).fenced.cancel(),
        }
        Fence { fences: Arc::clone(self), name, intent, fenced }
    }
}

impl Fence {
    /// Cancelled when a newer upload took over.
    pub fn fenced(&self) -> CancellationToken {
        self.fenced.clone()
    }
}

impl Drop for Fence {
    fn drop(&mut self) {
        let mut newest = self.fences.0.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.get(&self.name).is_some_and(|newest| newest.intent == self.intent) {
            newest.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::BlobKey;

    fn enter(fences: &Arc<Fences>, person: &str, id: i64) -> Fence {
        let intent = Intent { id, key: BlobKey([0; 16]) };
        fences.enter(person.parse().expect("valid"), "r1".parse().expect("valid"), intent)
    }

    #[test]
    fn the_newest_intent_stays_whichever_enters_first_and_nobody_elses_is_concerned() {
        let fences = Arc::new(Fences::default());
        let second = enter(&fences, "visitor:a", 2);
        let other = enter(&fences, "visitor:b", 1);
        let first = enter(&fences, "visitor:a", 1);
        assert!(first.fenced().is_cancelled(), "it was fenced before it came here");
        drop(first);
        let third = enter(&fences, "visitor:a", 3);
        assert!(second.fenced().is_cancelled());
        drop(second);
        assert!(!third.fenced().is_cancelled() && !other.fenced().is_cancelled());
        drop((third, other));
        assert!(fences.0.lock().expect("no panic").is_empty());
    }
}
