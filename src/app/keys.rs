//! Opaque keys: made, listed, ended; and seen by every node within two seconds.
//!
//! Not here: whom a key may stand for (`domain/lending.rs`), its bounds (`domain/key.rs`), its text (`keys/secret.rs`) and
//! who believes it (`keys/ring.rs`).

use std::time::Duration;

use super::{App, Error};
use crate::{
    domain::{
        Caller, KeyId,
        key::{self, Key, Reach},
        lending::{self, Asked},
    },
    ports::KeyQuery,
};

mod ring;
mod secret;

pub use ring::KeyRing;
pub use secret::{KeySecret, PREFIX as KEY_PREFIX};

/// A page of keys.
#[derive(Debug, Clone)]
pub struct KeyPage {
    /// The keys, the newest first.
    pub keys: Vec<Key>,
    /// Where the next page starts; empty at the end.
    pub next_token: String,
}

impl App {
    /// Who believes the keys.
    pub const fn key_ring(&self) -> &std::sync::Arc<KeyRing> {
        &self.key_ring
    }

    /// Makes a key for whom is asked, within the caller's own rights. Its secret is told here and never again.
    pub async fn create_key(
        &self,
        caller: &Caller,
        asked: Asked,
        label: String,
        ttl: Duration,
    ) -> Result<(KeySecret, Key), Error> {
        self.need_writable()?;
        let now = self.clock.now();
        let holder = lending::grant(caller, asked)?;
        key::fits(&holder)?;
        let key = Key {
            id: KeyId(self.ids.random()),
            holder,
            label: key::label(label)?,
            created_by: caller.into(),
            created_at: now,
            expires_at: key::end(now, ttl)?,
            retired_at: None,
        };
        let secret = KeySecret::new([self.ids.random(), self.ids.random()]);
        self.store.create_key(key.clone(), secret.hash()).await?;
        self.reload_keys().await;
        Ok((secret, key))
    }

    /// Keys that this caller may see, from a token on.
    pub async fn list_keys(
        &self,
        caller: &Caller,
        show_ended: bool,
        limit: u32,
        token: &str,
    ) -> Result<KeyPage, Error> {
        let reach = Reach::of(caller);
        let bound = format!("keys\0{}\0{show_ended}\0{reach:?}", caller.person);
        let before = self.page_before(token, &bound)?;
        let counting_at = (!show_ended).then(|| self.clock.now());
        let found = self.store.list_keys(KeyQuery { reach, counting_at, before, limit }).await?;
        let next_token = self.next_page(&found, limit, &bound);
        Ok(KeyPage { keys: found.into_iter().map(|(_, key)| key).collect(), next_token })
    }

    /// Ends a key that this caller may see.
    pub async fn retire_key(&self, caller: &Caller, id: KeyId) -> Result<Key, Error> {
        self.need_writable()?;
        let key = self.store.retire_key(id, Reach::of(caller), caller.into(), self.clock.now()).await?;
        self.reload_keys().await;
        // Whatever became of that look.
        self.key_ring.forget(id);
        Ok(key)
    }

    /// What is stored now. A failure is told; the next look mends it.
    pub(super) async fn reload_keys(&self) {
        let _alone = self.key_loads.lock().await;
        let now = self.clock.now();
        match self.store.load_keys(now).await {
            Ok(live) => self.key_ring.replace(live, now),
            Err(error) => tracing::warn!(%error, "the keys could not be read: the last ones stay in force for a while"),
        }
    }

    /// Follows what other nodes store.
    pub(super) async fn watch_keys(&self) {
        let mut woken = self.woken();
        loop {
            match self.store.keys_version().await {
                Ok(version) if self.key_ring.is_at(version, self.clock.now()) => {}
                Ok(_) => self.reload_keys().await,
                Err(error) => tracing::debug!(%error, "the keys' version could not be asked for"),
            }
            super::changes::pause(&mut woken).await;
        }
    }
}
