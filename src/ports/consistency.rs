//! The port to what a check of consistency asks the database, and to what is kept of it: each method is one transaction.
//!
//! Not here: the walks through stores (`walking.rs`), and the order of calls (`app/consistency.rs`).

use async_trait::async_trait;

use super::{RunLease, Stop, StoreError};
use crate::domain::{
    Actor, Blob, BlobKey, CheckId, FileId, StoreId, Time,
    consistency::{Check, CheckPlace, DanglingRow, Finding, FindingKind, StoredFinding},
    run::TaskReport,
};

/// What names a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NamedBy {
    /// A row of `uploads`, whatever its state.
    pub upload: bool,
    /// A row of `blobs`, whatever its state.
    pub blob: bool,
}

/// Rows that are walked for those that break a rule, by a number each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowWalk {
    /// Files, and their blobs.
    Files,
    /// Attachments, by their files' numbers.
    Attachments,
    /// What stays of purged files.
    Stubs,
    /// Blobs, and whether a file needs them.
    Blobs,
}

impl RowWalk {
    /// All of them, in their order.
    pub const ALL: &'static [Self] = &[Self::Files, Self::Attachments, Self::Stubs, Self::Blobs];
}

/// The files that need a blob.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilesOfBlob {
    /// How many, at most [`crate::domain::consistency::MOST_COUNTED`].
    pub count: u64,
    /// Some of them, at most [`crate::domain::consistency::MOST_NAMED`], in the order of their ids.
    pub first: Vec<FileId>,
}

/// A blob that the task CHECK found damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged {
    /// What is wrong.
    pub kind: FindingKind,
    /// One of its files, if there is any.
    pub file: Option<FileId>,
}

/// A check to be begun.
#[derive(Debug, Clone)]
pub struct NewCheck {
    /// Its id.
    pub id: CheckId,
    /// Of which store of bytes.
    pub of: StoreId,
    /// Who asks.
    pub by: Actor,
    /// What time this node believes it is.
    pub now: Time,
}

/// What consistency asks.
#[async_trait]
pub trait ConsistencyStore: Send + Sync + 'static {
    /// What time it is, by the one clock that counts; notes nothing.
    async fn tell_time(&self, now: Time) -> Result<Time, StoreError>;
    /// Which of these keys (at most 1,000) are named, and by what. A key goes from an upload to a blob and is named by both
    /// or either at every moment, of which this is one. [`StoreError::ReadOnly`] where the database belongs to another
    /// store of bytes than this one, and, `to_remove`, where `read_only` is set.
    async fn list_named(
        &self,
        keys: &[BlobKey],
        of: StoreId,
        to_remove: bool,
    ) -> Result<Vec<(BlobKey, NamedBy)>, StoreError>;
    /// The first blobs after a row, in the order of their rows, those on their way out too.
    async fn list_blobs_to_check(&self, after: i64, limit: u32) -> Result<Vec<Blob>, StoreError>;
    /// One of them, as it is now.
    async fn find_blob_to_check(&self, id: i64) -> Result<Option<Blob>, StoreError>;
    /// The files that need it.
    async fn list_files_of_blob(&self, id: i64) -> Result<FilesOfBlob, StoreError>;
    /// Looks at the next rows after a number, about `limit` of them, and tells those that break a rule; with the number after
    /// which the next look goes on, if there are more.
    async fn list_dangling(
        &self,
        walk: RowWalk,
        after: i64,
        limit: u32,
    ) -> Result<(Vec<DanglingRow>, Option<i64>), StoreError>;

    /// Where the task CHECK goes on.
    async fn find_check_place(&self) -> Result<CheckPlace, StoreError>;
    /// Notes where it goes on and how far it is, with an event for each damaged blob. `FENCED`.
    async fn note_checked(
        &self,
        lease: RunLease,
        report: TaskReport,
        place: CheckPlace,
        damaged: &[Damaged],
        now: Time,
    ) -> Result<(), Stop>;

    /// Begins a check. Where there are [`crate::domain::consistency::MOST_CHECKS`], the one that ends first makes room, if it
    /// was not renewed for [`crate::domain::consistency::IDLE_CHECK_SECS`]; else `BUSY`. [`StoreError::ReadOnly`] where
    /// `read_only` is set.
    async fn begin_check(&self, new: NewCheck) -> Result<Check, Stop>;
    /// A check ends so many seconds from now, whenever it would have. `NOT_FOUND`; [`StoreError::ReadOnly`] where `read_only`
    /// is set.
    async fn renew_check(&self, id: CheckId, secs: i64, now: Time) -> Result<Check, Stop>;
    /// A check, ended ones too as long as they are remembered.
    async fn find_check(&self, id: CheckId) -> Result<Option<Check>, StoreError>;
    /// Adds findings to a check, those that it has not yet, up to [`crate::domain::consistency::MOST_FINDINGS`]; answers how
    /// many it has now. `NOT_FOUND`; [`StoreError::ReadOnly`] where `read_only` is set.
    async fn add_findings(&self, id: CheckId, found: &[Finding]) -> Result<u64, Stop>;
    /// Its findings after a number, in their order, those of these kinds.
    async fn list_findings(
        &self,
        id: CheckId,
        kinds: &[FindingKind],
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredFinding>, StoreError>;
    /// Notes that a finding was repaired, with its event.
    async fn note_repaired(&self, id: CheckId, number: i64, actor: Actor, now: Time) -> Result<(), Stop>;
    /// Ends what nobody needs, if it is so still: removes an attachment whose file is not there; a blob that no file needs is
    /// PURGING from then on, and goes with the next purge. Answers whether it did. With the event.
    async fn delete_dangling(
        &self,
        id: CheckId,
        number: i64,
        row: &DanglingRow,
        actor: Actor,
        now: Time,
    ) -> Result<bool, Stop>;
    /// Forgets checks that have ended a day ago, with their findings; at most `limit` rows. Answers how many.
    async fn trim_checks(&self, now: Time, limit: i64) -> Result<u64, StoreError>;
}
