//! Rows to be counted, in memory.
//!
//! Not here: the counting ([`crate::domain::stats`]).

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{
        Time,
        retention::Rule,
        run::{Checkpoint, PlanGroup},
        stats::{BlobFact, FileFact, Stats},
    },
    ports::{StatsStore, StoreError},
};

#[async_trait]
impl StatsStore for MemoryStore {
    async fn find_guard(&self, rule: &Rule, now: Time) -> Result<(u64, Time), StoreError> {
        Ok((self.read(|t| t.guard(rule)), now))
    }

    async fn read_files(&self, after: i64, limit: u32) -> Result<Vec<FileFact>, StoreError> {
        Ok(self.read(|t| {
            let page = t.files.range(after.saturating_add(1)..).take(limit as usize);
            let facts = page.map(|(number, row)| FileFact {
                number: *number,
                state: row.file.state,
                uploader: row.file.uploader.kind(),
                origin: row.file.origin,
                extension: row.file.extension.to_string(),
                size: t.bytes_of(row.blob),
                since: row.file.restored_at.map_or(row.file.created_at, |at| at.max(row.file.created_at)),
            });
            facts.collect()
        }))
    }

    async fn read_blobs(&self, after: i64, limit: u32) -> Result<Vec<BlobFact>, StoreError> {
        Ok(self.read(|t| {
            let page = t.blobs.range(after.saturating_add(1)..).take(limit as usize);
            let facts = page.map(|(id, row)| BlobFact {
                id: *id,
                state: row.blob.state,
                size: row.blob.size,
                shared: t.files.values().filter(|file| file.blob == *id).count() > 1,
            });
            facts.collect()
        }))
    }

    async fn read_due(
        &self,
        rule: &Rule,
        at: Time,
        after: Checkpoint,
        limit: u32,
    ) -> Result<(Vec<PlanGroup>, Option<Checkpoint>), StoreError> {
        Ok(self.read(|t| {
            let mut due = t.due(rule, at, after);
            let more = due.len() > limit as usize;
            due.truncate(limit as usize);
            let next = due.last().map(|file| file.at).filter(|_| more);
            let mut counted = Stats::at(at);
            for file in due {
                let (owner, attached, bytes) = (file.owner, file.attached, file.size);
                counted.count_due(vec![PlanGroup { owner, attached, files: 1, bytes }]);
            }
            (counted.due, next)
        }))
    }
}
