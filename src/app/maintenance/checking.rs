//! The task CHECK: whether the bytes of blobs are there, and what was stored; the blobs in the order of their rows.
//!
//! Two walks go on where they were left: sizes, to the end of all blobs, and bytes, as many in a run as
//! `check_budget_bytes`; each begins anew after its end. Each blob is told once in each pass. What the store does not give
//! while it works is told, and keeps none of those behind it. Nothing is removed. Not here: what is sound
//! (`app/consistency/looking.rs`).

use std::time::Duration;

use futures_util::{StreamExt as _, stream};

use super::{
    super::{App, Error, consistency::looking::Looked},
    carrying::{LEASE_SECS, stop},
};
use crate::{
    domain::{
        Blob,
        consistency::{CheckPlace, FindingKind},
        run::{Outcome, TaskReport},
    },
    ports::{Damaged, RunLease, Stop},
    telemetry::names,
};

/// Blobs whose bytes are looked for by one step, and at once.
const PAGE: u32 = 500;
const AT_ONCE: usize = 16;
/// Blobs that are read by one step, and bytes after which it begins no other: between two steps a cancel is heard.
const READ: u32 = 16;
const READ_BYTES: u64 = 256 << 20;
/// Between two steps, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl App {
    /// Sizes, then bytes.
    pub(super) async fn check(&self, lease: RunLease, report: &mut TaskReport) -> Result<Outcome, Error> {
        let mut place = self.retried(|| async { Ok(self.store.find_check_place().await?) }).await?;
        loop {
            let blobs = self.blobs_after(place.sized, PAGE).await?;
            let ended = blobs.len() < PAGE as usize;
            place.sized = if ended { 0 } else { blobs.last().map_or(0, |blob| blob.id) };
            if self.check_some(lease, report, place, blobs, false).await? {
                return Ok(Outcome::Cancelled);
            }
            if ended {
                break;
            }
        }
        let budget = u64::try_from(self.settings().check_budget_bytes).unwrap_or(0);
        let mut read = 0_u64;
        while read < budget {
            let mut blobs = self.blobs_after(place.hashed, READ).await?;
            let mut ended = blobs.len() < READ as usize;
            // One that is begun is read whole.
            let (mut within, step_end) = (0, read.saturating_add(READ_BYTES));
            for blob in &blobs {
                if read >= budget.min(step_end) {
                    ended = false;
                    break;
                }
                (within, read) = (within + 1, read.saturating_add(blob.size));
            }
            blobs.truncate(within);
            place.hashed = if ended { 0 } else { blobs.last().map_or(0, |blob| blob.id) };
            if self.check_some(lease, report, place, blobs, true).await? {
                return Ok(Outcome::Cancelled);
            }
            if ended {
                break;
            }
        }
        Ok(Outcome::Done)
    }

    async fn blobs_after(&self, after: i64, limit: u32) -> Result<Vec<Blob>, Stop> {
        self.retried(|| async { Ok(self.store.list_blobs_to_check(after, limit).await?) }).await
    }

    /// Looks at some blobs, and notes what it found with the place that it has come to; `true`: the run was asked to end.
    async fn check_some(
        &self,
        lease: RunLease,
        report: &mut TaskReport,
        place: CheckPlace,
        blobs: Vec<Blob>,
        hash: bool,
    ) -> Result<bool, Error> {
        if self.retried(|| self.store.renew_run(lease, self.clock.now(), LEASE_SECS)).await? {
            return Ok(true);
        }
        self.need_writable()?;
        let begun = tokio::time::Instant::now();
        let at_once = if hash { 1 } else { AT_ONCE };
        let looks = stream::iter(blobs).map(|blob| async move {
            // A store that does not work at all is waited for, and then ends the task before the place is noted.
            (self.retried(|| async { self.look_at_blob(&blob, hash).await.map_err(stop) }).await, blob)
        });
        let mut looks = looks.buffer_unordered(at_once);
        let mut damaged = Vec::new();
        while let Some((looked, blob)) = looks.next().await {
            let wrong = match looked? {
                Looked::Leaving => continue,
                Looked::Sound => None,
                // Told by the walk of sizes.
                Looked::Damaged(FindingKind::BytesMissing | FindingKind::WrongSize, _)
                | Looked::Unreadable { sized: false, .. }
                    if hash =>
                {
                    None
                }
                Looked::Damaged(kind, _) => Some(kind),
                Looked::Unreadable { .. } => Some(FindingKind::Unreadable),
            };
            if let Some(kind) = wrong {
                tracing::error!(key = %blob.key, kind = kind.name(), "stored bytes are not as they were stored");
                let files = self.retried(|| async { Ok(self.store.list_files_of_blob(blob.id).await?) }).await?;
                damaged.push(Damaged { kind, file: files.first.first().copied() });
                report.failed += 1;
            }
            if hash {
                report.bytes += blob.size;
            } else {
                report.done += 1;
            }
        }
        drop(looks);
        let told = *report;
        self.retried(|| self.store.note_checked(lease, told, place, &damaged, self.clock.now())).await?;
        metrics::counter!(names::CORRUPT).increment(damaged.len() as u64);
        tokio::time::sleep(begun.elapsed().min(LONGEST_PAUSE)).await;
        Ok(false)
    }
}
