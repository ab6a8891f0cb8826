//! The port to the end of files and of what is known of their bytes: each method is one transaction.
//!
//! Not here: the bytes themselves (`blobs.rs`), and the order of calls (`app/purging.rs`). A blob is PURGING from the
//! transaction on that takes the last row which needs it. From there it never comes back, and its key is never used again:
//! whatever nodes remove its bytes, and however late or often, they remove what nobody needs. So nothing is fenced.

use async_trait::async_trait;

use super::{Stop, StoreError};
use crate::domain::{BlobKey, Caller, StoreId, Time, listing::FileRef};

/// Most files of one transaction, and most blobs.
pub const MAX_PURGED: u32 = 1_000;

/// A blob that is PURGING: its bytes are to be removed, and then its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Its row.
    pub id: i64,
    /// Where its bytes lie.
    pub key: BlobKey,
    /// How many.
    pub size: u64,
}

/// Files that were purged together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// How many: fewer than were found, where others restored, held or purged some of them meanwhile.
    pub files: u64,
    /// As many were found as were asked for: there may be more.
    pub more: bool,
}

/// The end of files.
#[async_trait]
pub trait PurgeStore: Send + Sync + 'static {
    /// Purges files that were deleted so many seconds ago or earlier, at most `limit` (1 to [`MAX_PURGED`]), those that
    /// were deleted first; held ones stay. Of each a stub is left, and an event is written; blobs that no file needs any
    /// more are PURGING. A database that nodes share judges the time by its own clock; `now` is what time it is where one
    /// node has the database for itself.
    async fn purge_deleted(&self, grace_secs: i64, limit: u32, now: Time) -> Result<Purged, StoreError>;
    /// Purges one file at once, READY or deleted, as [`crate::domain::access::purge`] decides. Answers its blob, if no
    /// other file needs it. A file whose blob has no row is seen by nobody; who reaches all files purges it.
    async fn purge_file(&self, file: FileRef, caller: &Caller, now: Time) -> Result<Option<Leaving>, Stop>;
    /// The first blobs after a row that are PURGING, but for those that were stored less than `late_secs` ago: the store
    /// of bytes may still put something there. One that a file needs, against the rules, is left to a check to tell.
    async fn list_leaving(&self, after: i64, limit: u32, late_secs: i64, now: Time)
    -> Result<Vec<Leaving>, StoreError>;
    /// Removes the rows of those of these blobs that are PURGING, that no file needs, and that were stored `late_secs` ago or
    /// earlier; their bytes must be gone. Answers which. [`StoreError::ReadOnly`] where `read_only` is set, and where the database belongs to
    /// another store of bytes than this: there nobody has looked.
    async fn delete_blobs(
        &self,
        gone: &[i64],
        from: StoreId,
        late_secs: i64,
        now: Time,
    ) -> Result<Vec<i64>, StoreError>;
}
