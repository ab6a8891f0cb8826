//! The port to the end of what is known of a visitor, and of what is old: each method is one transaction.
//!
//! An erasure is a row from its first transaction on, which keeps the visitor's id until the last one: whoever is asked for
//! the same visitor again after a kill goes on with it, under the same pseudonym. Not here: the order of calls
//! (`app/erasing.rs`), and bytes (`blobs.rs`).

use async_trait::async_trait;

use super::{Intent, Leaving, StoreError};
use crate::domain::{
    Caller, ChatId, FileId, Time, VisitorId,
    erasure::{Erased, Erasing, Why},
};

/// Most files of one transaction.
pub const MAX_ERASED_FILES: u32 = 200;
/// Most events of one transaction.
pub const MAX_ERASED_EVENTS: u32 = 1_000;

/// An erasure to be begun.
#[derive(Debug, Clone)]
pub struct NewErasure {
    /// Who is erased.
    pub visitor: VisitorId,
    /// In these chats every visitor is.
    pub chats: Vec<ChatId>,
    /// Who is to stand in its place.
    pub pseudonym: VisitorId,
    /// Why.
    pub why: Why,
    /// Who asks.
    pub caller: Caller,
    /// What time this node believes it is.
    pub now: Time,
}

/// What one transaction did with files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErasedFiles {
    /// It looked at some: there may be more.
    pub more: bool,
    /// Blobs that no file needs any more: their bytes are to be removed.
    pub leaving: Vec<Leaving>,
}

/// Erasing visitors, and forgetting what is old.
#[async_trait]
pub trait EraseStore: Send + Sync + 'static {
    /// Writes the row of an erasure, or finds that of the same visitor which has not come to its end, and retires the
    /// visitor's opaque keys, each with its event; from here on the pseudonym stands in them.
    async fn begin_erasure(&self, new: NewErasure) -> Result<Erasing, StoreError>;
    /// Fences the uploads under way, which can only end from here on, under the pseudonym; answers them. A commit that is
    /// under way is waited for. Request ids that are remembered are forgotten.
    async fn erase_uploads(&self, of: &Erasing) -> Result<Vec<Intent>, StoreError>;
    /// Purges files, READY or deleted, at most `limit` (1 to [`MAX_ERASED_FILES`]), each with its event; held ones stay.
    /// Their blobs are noted until the end.
    async fn erase_files(
        &self,
        of: &Erasing,
        limit: u32,
        caller: &Caller,
        now: Time,
    ) -> Result<ErasedFiles, StoreError>;
    /// Files that are there yet: those that a hold keeps, at most `limit`, by their numbers.
    async fn list_not_erased(&self, of: &Erasing, limit: u32) -> Result<Vec<FileId>, StoreError>;
    /// Writes the pseudonym into events, at most `limit` (1 to [`MAX_ERASED_EVENTS`]), and into what else names the visitor
    /// as the one who attached their files. Answers how many events; none: there are no more.
    async fn erase_events(&self, of: &Erasing, limit: u32) -> Result<u64, StoreError>;
    /// Forgets the visitor's id, with the event. Nothing is left of an erasure that has changed nothing. Answers what was
    /// counted over all calls, and what stays of the blobs that were noted: shared ones, and bytes to be removed. `held`:
    /// files that a hold keeps. Ended again, it is as it was.
    async fn end_erasure(&self, of: &Erasing, held: u64, caller: &Caller, now: Time) -> Result<Erased, StoreError>;

    /// Forgets events that were written so many seconds ago or earlier, and stubs of files that were purged then, at most
    /// `limit` rows: the oldest first. Answers how many. [`StoreError::ReadOnly`].
    async fn trim_events(&self, keep_secs: i64, now: Time, limit: u32) -> Result<u64, StoreError>;
}
