//! The opaque keys that this node believes: all that count, in memory, so that no call asks the database for one.
//!
//! Refreshed whenever the stored version has changed. A key that is not here is unknown, and nothing is asked about it:
//! guesses cost a hash. While the database does not answer, the keys go on for [`TRUST`]; what they may not do then is
//! told as what it is. Not here: how the version is followed (`app/keys.rs`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use tokio::time::Instant;

use super::secret::KeySecret;
use crate::{
    domain::{Caller, KeyId, Reason, Refusal, Sha256, Time},
    ports::{LiveKey, LiveKeys},
};

/// How long keys are believed that the database did not confirm: what was retired meanwhile on another node is not known
/// here, and some calls need no database.
const TRUST: Duration = Duration::from_secs(5 * 60);

/// The keys that count.
#[derive(Debug)]
pub struct KeyRing {
    live: RwLock<Live>,
    confirmed: Mutex<Instant>,
}

#[derive(Debug)]
struct Live {
    version: i64,
    /// When they were loaded: those that had ended by then are not among them.
    at: Time,
    by_hash: HashMap<Sha256, Arc<LiveKey>>,
}

impl Live {
    fn new(LiveKeys { version, keys }: LiveKeys, at: Time) -> Self {
        Self { version, at, by_hash: keys.into_iter().map(|key| (key.hash, Arc::new(key))).collect() }
    }
}

impl KeyRing {
    /// What was loaded at start.
    pub fn new(live: LiveKeys, now: Time) -> Self {
        Self { live: RwLock::new(Live::new(live, now)), confirmed: Mutex::new(Instant::now()) }
    }

    /// What was loaded now. Whoever loads does so alone, so that a slow one never brings back what a faster one replaced.
    pub(super) fn replace(&self, live: LiveKeys, now: Time) {
        self.confirm();
        let live = Live::new(live, now);
        let old = std::mem::replace(&mut *self.live.write().unwrap_or_else(PoisonError::into_inner), live);
        // Freed here, where nobody waits for it.
        drop(old);
    }

    /// Whether the keys are those of this version, which the database just told: then they are confirmed. A version that
    /// went back is another one, after a fail-over that lost the last; a clock that went back may let ended ones count.
    pub(super) fn is_at(&self, version: i64, now: Time) -> bool {
        let current = {
            let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
            live.version == version && live.at <= now
        };
        if current {
            self.confirm();
        }
        current
    }

    fn confirm(&self) {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Believes a key no more.
    pub(super) fn forget(&self, id: KeyId) {
        self.live.write().unwrap_or_else(PoisonError::into_inner).by_hash.retain(|_, key| key.id != id);
    }

    /// Who a key says that the caller is, and until when.
    ///
    /// # Errors
    /// `BAD_CREDENTIAL` for one that does not count, whyever; `DATABASE_DOWN` for one that nobody confirmed for too long.
    pub fn caller(&self, text: &str, now: Time) -> Result<(Caller, Time), Refusal> {
        let bad = || Refusal::new(Reason::BadCredential);
        let hash = KeySecret::read(text).ok_or_else(bad)?.hash();
        let found = self.live.read().unwrap_or_else(PoisonError::into_inner).by_hash.get(&hash).cloned();
        let key = found.filter(|key| now < key.expires_at).ok_or_else(bad)?;
        if self.confirmed.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > TRUST {
            return Err(Reason::DatabaseDown.into());
        }
        Ok((key.holder.clone(), key.expires_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChatSet, Permissions};

    fn secret(n: u8) -> KeySecret {
        KeySecret::new([[n; 16], [0; 16]])
    }

    fn key(n: u8) -> LiveKey {
        let holder = Caller {
            person: format!("service:s{n}").parse().expect("valid"),
            permissions: Permissions::NONE,
            chats: ChatSet::All,
            vid: None,
            ceiling: None,
        };
        LiveKey { id: KeyId([n; 16]), hash: secret(n).hash(), holder, expires_at: Time::from_secs(100) }
    }

    fn live(version: i64, keys: &[u8]) -> LiveKeys {
        LiveKeys { version, keys: keys.iter().map(|n| key(*n)).collect() }
    }

    fn at(ring: &KeyRing, n: u8, secs: i64) -> Result<String, Reason> {
        let told = ring.caller(&secret(n).reveal(), Time::from_secs(secs));
        told.map(|(caller, _)| caller.person.to_string()).map_err(|refusal| refusal.reason)
    }

    #[tokio::test]
    async fn key_counts_until_it_ends_and_is_the_caller_it_was_made_for() {
        let ring = KeyRing::new(live(1, &[1, 2]), Time(0));
        assert_eq!(at(&ring, 1, 99), Ok("service:s1".to_owned()));
        assert_eq!(at(&ring, 2, 0), Ok("service:s2".to_owned()));
        assert_eq!(at(&ring, 1, 100), Err(Reason::BadCredential), "the end is not within");
        assert_eq!(at(&ring, 3, 0), Err(Reason::BadCredential));
        let until = ring.caller(&secret(1).reveal(), Time(0)).expect("counts").1;
        assert_eq!(until, Time::from_secs(100));
    }

    #[tokio::test]
    async fn keys_are_those_loaded_last_and_stale_by_any_other_version_or_an_earlier_clock() {
        let ring = KeyRing::new(live(1, &[1]), Time::from_secs(5));
        assert!(ring.is_at(1, Time::from_secs(5)) && ring.is_at(1, Time::from_secs(6)));
        for (version, secs) in [(0, 5), (2, 5), (1, 4)] {
            assert!(!ring.is_at(version, Time::from_secs(secs)), "{version} at {secs}");
        }
        ring.replace(live(0, &[2]), Time::from_secs(5));
        assert!(ring.is_at(0, Time::from_secs(5)), "a fail-over lost the last change");
        assert_eq!((at(&ring, 1, 0), at(&ring, 2, 0)), (Err(Reason::BadCredential), Ok("service:s2".to_owned())));
        ring.forget(KeyId([2; 16]));
        assert_eq!(at(&ring, 2, 0), Err(Reason::BadCredential));
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_database_keys_go_on_for_five_minutes_and_the_answer_says_why_not_then() {
        let ring = KeyRing::new(live(1, &[1]), Time(0));
        tokio::time::advance(TRUST).await;
        assert!(at(&ring, 1, 0).is_ok());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(at(&ring, 1, 0), Err(Reason::DatabaseDown));
        assert_eq!(at(&ring, 2, 0), Err(Reason::BadCredential), "nothing is told of any other");
        assert!(ring.is_at(1, Time(0)));
        assert!(at(&ring, 1, 0).is_ok(), "the database answered");
    }
}
