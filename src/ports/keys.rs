//! The port to opaque keys at rest: each method is one transaction.
//!
//! Not here: who believes a key (`app/keys/ring.rs`), and the other tables (`store.rs`).

use async_trait::async_trait;

use super::{Stop, StoreError};
use crate::domain::{
    Actor, Caller, KeyId, Sha256, Time,
    key::{Key, Reach},
};

/// A key that counts until it ends: what a node must know to believe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveKey {
    /// Its id.
    pub id: KeyId,
    /// SHA-256 of its secret.
    pub hash: Sha256,
    /// Who it says that the caller is.
    pub holder: Caller,
    /// From when on it does not count.
    pub expires_at: Time,
}

/// All keys that counted at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveKeys {
    /// Grows with every key that is made or retired.
    pub version: i64,
    /// Each of them.
    pub keys: Vec<LiveKey>,
}

/// A page of keys to be listed, the newest first.
#[derive(Debug, Clone)]
pub struct KeyQuery {
    /// Whose.
    pub reach: Reach,
    /// Those that do not count at this time are left out.
    pub counting_at: Option<Time>,
    /// After this one, by its number.
    pub before: Option<i64>,
    /// At most.
    pub limit: u32,
}

/// Opaque keys.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Keeps a key, with its event. `QUOTA_KEYS` if [`crate::domain::key::MOST_KEYS`] count already.
    async fn create_key(&self, key: Key, hash: Sha256) -> Result<(), Stop>;
    /// Keys by number, the newest first; the number of the last is where the next page starts.
    async fn list_keys(&self, query: KeyQuery) -> Result<Vec<(i64, Key)>, StoreError>;
    /// Ends a key within reach, with its event, and answers it; one that is retired already stays as it is. `NOT_FOUND`
    /// for any other.
    async fn retire_key(&self, id: KeyId, reach: Reach, actor: Actor, now: Time) -> Result<Key, Stop>;
    /// All keys that count now.
    async fn load_keys(&self, now: Time) -> Result<LiveKeys, StoreError>;
    /// Their version alone: asked every second by every node.
    async fn keys_version(&self) -> Result<i64, StoreError>;
}
