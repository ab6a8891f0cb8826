//! The port to what is counted: pages of rows in the order of their numbers, each a short transaction.
//!
//! Not here: the counting ([`crate::domain::stats`]), and how often it is done (`app/stats.rs`).

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{
    Time,
    retention::Rule,
    run::{Checkpoint, PlanGroup},
    stats::{BlobFact, FileFact},
};

/// Rows that are counted.
#[async_trait]
pub trait StatsStore: Send + Sync + 'static {
    /// Most files that a run by this rule deletes unattended now, and what time it is.
    async fn find_guard(&self, rule: &Rule, now: Time) -> Result<(u64, Time), StoreError>;
    /// The next files after a number, at most so many, whatever their state.
    async fn read_files(&self, after: i64, limit: u32) -> Result<Vec<FileFact>, StoreError>;
    /// The next blobs after a row.
    async fn read_blobs(&self, after: i64, limit: u32) -> Result<Vec<BlobFact>, StoreError>;
    /// What a rule deletes at a moment among the next files that can age, at most so many looked at, the oldest first; and
    /// where to go on, if there may be more.
    async fn read_due(
        &self,
        rule: &Rule,
        at: Time,
        after: Checkpoint,
        limit: u32,
    ) -> Result<(Vec<PlanGroup>, Option<Checkpoint>), StoreError>;
}
