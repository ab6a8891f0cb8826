//! The port to what lies in quarantine and to releases from it: each method is one transaction.
//!
//! Not here: how something comes to lie there (`store.rs`, `rescan.rs`), and who may release (`app/quarantine.rs`).

use async_trait::async_trait;

use super::{Stop, StoreError};
use crate::domain::{
    Actor, Sha256, Time,
    quarantine::{QuarantinedBlob, Release, ReleaseOf},
};

/// A page of blobs in quarantine, the newest blob first.
#[derive(Debug, Clone)]
pub struct QuarantineQuery {
    /// Only what this signature hit.
    pub signature: Option<String>,
    /// Before this blob.
    pub before: Option<i64>,
    /// At most.
    pub limit: u32,
}

/// A release to be made.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// Of what.
    pub what: ReleaseOf,
    /// Why.
    pub reason: String,
    /// Who releases it.
    pub by: Actor,
    /// From when on it counts no more.
    pub until: Option<Time>,
    /// What time this node believes it is.
    pub now: Time,
}

/// Quarantine.
#[async_trait]
pub trait QuarantineStore: Send + Sync + 'static {
    /// What lies there; the number of the last is where the next page starts.
    async fn list_quarantine(&self, query: QuarantineQuery) -> Result<Vec<(i64, QuarantinedBlob)>, StoreError>;
    /// Writes a release down, in the place of one of the same that is in force; with one of bytes its blobs come out, too,
    /// and are counted. `NOT_FOUND` for bytes in which nothing was found.
    async fn create_release(&self, new: NewRelease) -> Result<(Release, u64), Stop>;
    /// Has the next blobs that the release of a signature is about come out, at most `limit`; answers how many. None, once
    /// it is not in force any more.
    async fn release_batch(&self, number: i64, limit: u32, by: Actor, now: Time) -> Result<u64, StoreError>;
    /// Releases by number, the newest first.
    async fn list_releases(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, Release)>, StoreError>;
    /// A release counts no more from now on; one that has ended stays as it is. `NOT_FOUND`.
    async fn end_release(&self, number: i64, by: Actor, now: Time) -> Result<Release, Stop>;
    /// Whether a release is in force for what this signature hit in these bytes.
    async fn is_released(&self, sha256: Sha256, signature: &str, now: Time) -> Result<bool, StoreError>;
}
