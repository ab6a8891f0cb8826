//! The end of files for good, and of bytes that nobody needs any more: at once for those who may, or after the grace.
//!
//! D4 of the way of a delete is a transaction of the store (`ports/purging.rs`), which leaves blobs that are PURGING; D5
//! removes their bytes, D6 looks whether they are gone, D7 removes their rows. Those rows are the list of what is to be
//! done: whichever node takes it up goes on where another died, and two that do the same do no harm. Not here: when that
//! is (maintenance), and the tombstone before it (`library.rs`).

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};

use super::{App, Error, outlive::outlive};
use crate::{
    domain::{Caller, FileId, Permission, Refusal, Time, listing::FileRef},
    fault_point,
    ports::{BlobError, Leaving, MAX_PURGED, Stop},
    telemetry::names,
};

/// Files that are purged at once, and blobs whose bytes are removed at once.
const AT_ONCE: usize = 16;
/// A call of somebody who waits takes up so many blobs that others left.
const OF_OTHERS: u32 = 100;
/// And waits for the store of bytes so long.
const REMOVE_WITHIN: Duration = Duration::from_secs(20);

/// The row of `blobs` after which the next call goes on: bytes that cannot be removed keep none of those behind them.
#[derive(Debug, Default)]
pub(super) struct Next(AtomicI64);

/// What one call has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PurgeBatch {
    /// Deleted files whose grace was over.
    pub files: u64,
    /// Blobs that are gone, those too that earlier calls could not remove.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs whose bytes cannot be removed now: the next call tries again.
    pub failed: u64,
    /// There is more to be done at once.
    pub more: bool,
}

impl App {
    /// Purges files that were deleted `deleted_grace_days` ago or earlier, at most `limit` (1 to 1,000), and removes the
    /// bytes of as many blobs that no file needs any more. Called again after any end, it goes on. `now`: what time it is, as
    /// somebody has judged it.
    ///
    /// # Errors
    /// `READ_ONLY`; the database fails. What was done before counts.
    pub async fn purge_batch(&self, limit: u32, now: Time) -> Result<PurgeBatch, Error> {
        self.need_writable()?;
        let limit = limit.clamp(1, MAX_PURGED);
        let grace_secs = self.settings().deleted_grace_days.saturating_mul(86_400);
        fault_point!("D4");
        let purged = self.store.purge_deleted(grace_secs, limit, now).await?;
        let left = self.remove_left(limit, now).await?;
        Ok(PurgeBatch { files: purged.files, more: left.more || purged.more, ..left })
    }

    /// Purges these files at once, READY or deleted; an answer for each, in order. Their bytes are removed, too, unless
    /// the store of bytes does not answer in time: then by a later call.
    ///
    /// # Errors
    /// `MISSING_PERMISSION`, `READ_ONLY`; the database fails, and some may be purged.
    pub async fn purge_files(
        self: &Arc<Self>,
        caller: &Caller,
        files: Vec<FileId>,
    ) -> Result<Vec<Result<(), Refusal>>, Error> {
        caller.need(&[Permission::Erase])?;
        self.need_writable()?;
        let (app, caller) = (Arc::clone(self), caller.clone());
        outlive(&self.tasks, async move { app.purge_all(&caller, files).await }).await
    }

    async fn purge_all(&self, caller: &Caller, files: Vec<FileId>) -> Result<Vec<Result<(), Refusal>>, Error> {
        fault_point!("D4");
        // One that is named twice is purged once.
        let mut asked = files.clone();
        asked.sort_unstable();
        asked.dedup();
        let purged = stream::iter(asked)
            .map(|id| async move { (id, self.store.purge_file(FileRef::Id(id), caller, self.clock.now()).await) });
        let purged: Vec<_> = purged.buffer_unordered(AT_ONCE).collect().await;
        let (mut answers, mut left, mut failed) = (HashMap::new(), Vec::new(), None);
        for (id, ended) in purged {
            match ended {
                Ok(blob) => {
                    left.extend(blob);
                    answers.insert(id, Ok(()));
                }
                Err(Stop::Refused(refusal)) => drop(answers.insert(id, Err(refusal))),
                Err(Stop::Failed(error)) => failed = Some(error),
            }
        }
        self.remove_soon(left).await;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(files.iter().map(|id| answers.get(id).cloned().unwrap_or(Ok(()))).collect()),
        }
    }

    /// Removes these bytes, and some that others left, for somebody who waits: as long as that is worth it.
    pub(super) async fn remove_soon(&self, left: Vec<Leaving>) {
        let removing = async {
            self.remove(left, self.clock.now()).await?;
            self.remove_left(OF_OTHERS, self.clock.now()).await
        };
        match tokio::time::timeout(REMOVE_WITHIN, removing).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "bytes of purged files stay for the next call"),
            Err(_) => tracing::warn!("bytes of purged files stay for the next call: the store of bytes is slow"),
        }
    }

    /// Takes up so many blobs that are PURGING, whoever made them so, the oldest first.
    async fn remove_left(&self, limit: u32, now: Time) -> Result<PurgeBatch, Error> {
        let after = self.purging.0.load(Relaxed);
        let late = self.late_secs();
        let mut list = self.store.list_leaving(after, limit, late, now).await?;
        let missing = limit.saturating_sub(u32::try_from(list.len()).unwrap_or(limit));
        if after > 0 && missing > 0 {
            let first = self.store.list_leaving(0, missing, late, now).await?;
            list.extend(first.into_iter().filter(|blob| blob.id <= after));
        }
        let full = list.len() >= limit as usize;
        let last = list.last().map_or(0, |blob| blob.id);
        self.purging.0.store(if full { last } else { 0 }, Relaxed);
        let removed = self.remove(list, now).await?;
        // Where none can be removed, asking again at once changes nothing.
        Ok(PurgeBatch { more: full && removed.blobs > 0, ..removed })
    }

    /// The bytes of these blobs, and then the rows of those whose bytes are gone.
    async fn remove(&self, list: Vec<Leaving>, now: Time) -> Result<PurgeBatch, Error> {
        if list.is_empty() {
            return Ok(PurgeBatch::default());
        }
        let removing = stream::iter(list).map(|blob| async move { (blob, self.remove_bytes(blob).await) });
        let (mut gone, mut failed) = (HashMap::new(), 0);
        let mut removing = removing.buffer_unordered(AT_ONCE);
        while let Some((blob, removed)) = removing.next().await {
            match removed {
                Ok(()) => drop(gone.insert(blob.id, blob.size)),
                Err(error) => {
                    failed += 1;
                    tracing::warn!(key = %blob.key, %error, "bytes that nobody needs cannot be removed; it is tried again");
                }
            }
        }
        fault_point!("D7");
        let ids: Vec<i64> = gone.keys().copied().collect();
        let ended = self.store.delete_blobs(&ids, self.store_id, self.late_secs(), now).await?;
        let bytes = ended.iter().filter_map(|id| gone.get(id)).sum();
        Ok(PurgeBatch { blobs: ended.len() as u64, bytes, failed, ..PurgeBatch::default() })
    }

    async fn remove_bytes(&self, blob: Leaving) -> Result<(), Error> {
        // Set meanwhile: a backup or a move reads them.
        self.need_writable()?;
        fault_point!("D5");
        let started = tokio::time::Instant::now();
        self.blobs.delete(blob.key).await?;
        metrics::histogram!(names::BLOB_SECONDS, names::OP => "delete").record(started.elapsed());
        fault_point!("D6");
        match self.blobs.size(blob.key).await? {
            None => Ok(()),
            Some(_) => Err(BlobError::Unavailable(io::Error::other("they are there after their removal")).into()),
        }
    }

    /// What was stored less than so many seconds ago may be stored once more by a request that nobody waits for: until
    /// then its row stays, and names it.
    fn late_secs(&self) -> i64 {
        self.blobs.lateness().as_secs().cast_signed()
    }
}
