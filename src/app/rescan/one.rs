//! One blob of the walk: read, scanned anew, and what was found stored. What cannot be scanned here stops no other.
//!
//! Not here: the walk (`walking.rs`), how a blob's bytes come (`fetching.rs`), what a scan changes (`adapters/`).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    super::{App, Error},
    budget,
    fetching::Fetch,
    judgement, tell,
    walking::{Ended, Walk},
};
use crate::{
    domain::{
        Reason,
        admission::Finding,
        quarantine::{Candidate, Judged, KILLER, KILLS, Phase, is_due},
    },
    ports::{BlobError, JudgeBlob},
};

/// How long a scan waits for a slot that no upload needs, and for room in the spool.
const SPARE_WITHIN: Duration = Duration::from_secs(60);
/// How often room is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes that cannot be read are tried so often.
const READS: u32 = 3;
/// How soon again.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// A blob that changes while it is scanned is looked at so often.
const LOOKS: u32 = 3;

/// What became of one blob.
pub(super) enum One {
    Done,
    Failed,
    Stopped(Ended),
}

impl App {
    /// What scanners do not take is not read; they would say so by this name.
    pub(super) fn find_too_large(&self, size: u64) -> Option<Finding> {
        let cause = || "Heuristics.Limits.Exceeded.MaxFileSize".to_owned();
        (size > self.scanning.limits().max_file_bytes).then(|| Finding::Unscannable { cause: cause() })
    }

    /// Waits for room in the spool.
    async fn wait_room(&self, size: u64) -> Result<(), Error> {
        let until = Instant::now() + SPARE_WITHIN;
        while self.spool.room_bytes() < size {
            if Instant::now() >= until {
                let full = std::io::Error::new(std::io::ErrorKind::StorageFull, "the spool has no room for a rescan");
                return Err(BlobError::NoSpace(full).into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// A blob that an upload has changed meanwhile is looked at again: the walk does not come back to it.
    pub(super) async fn rescan_one(
        self: &Arc<Self>,
        walk: &Walk,
        phase: Phase,
        mut candidate: Candidate,
    ) -> Result<One, Error> {
        let id = candidate.blob.id;
        for _ in 0..LOOKS {
            let Some(one) = self.rescan_seen(walk, candidate).await? else {
                let now = self.clock.now();
                let mut found = self.store.list_candidates(Phase::Rest, id.saturating_add(1), 1, now).await?;
                let again = found.pop().filter(|one| one.blob.id == id);
                match again.filter(|one| is_due(phase, one, &walk.target, &walk.rule)) {
                    Some(again) => candidate = again,
                    None => return Ok(One::Done),
                }
                continue;
            };
            return Ok(one);
        }
        Ok(One::Done)
    }

    /// `None`: it is not what was seen any more.
    async fn rescan_seen(self: &Arc<Self>, walk: &Walk, candidate: Candidate) -> Result<Option<One>, Error> {
        let Walk { lease, target, rule, .. } = walk;
        let (sha256, size) = (candidate.blob.sha256, candidate.blob.size);
        let (finding, at) = loop {
            let before = match self.count_failures(sha256, &target.signatures).await {
                Err(error) if error.reason() == Some(Reason::ScannerDown) => {
                    return Ok(Some(One::Stopped(Ended::NoScanner)));
                }
                counted => counted?,
            };
            if before >= KILLS {
                break (Finding::Unscannable { cause: KILLER.to_owned() }, self.clock.now());
            }
            if let Some(finding) = self.find_too_large(size) {
                break (finding, self.clock.now());
            }
            if size > self.spool.budget_bytes() {
                tracing::warn!(size, "a blob is larger than the spool of this node: it is not scanned");
                return Ok(Some(One::Failed));
            }
            if !self.scanning.wait_spare(target, SPARE_WITHIN).await {
                return Ok(Some(One::Stopped(Ended::NoScanner)));
            }
            self.wait_room(size).await?;
            let hour = budget(&self.settings());
            if let Some(until) = self.store.spend_budget(*lease, size, hour, self.clock.now()).await? {
                return Ok(Some(One::Stopped(Ended::BudgetSpent(until))));
            }
            let fetched = match self.read_blob(&candidate).await? {
                Some(Fetch::Whole(fetched)) => fetched,
                Some(Fetch::Corrupt) => {
                    self.record_corrupt_blob().await;
                    return Ok(Some(One::Failed));
                }
                Some(Fetch::Gone) | None => return Ok(Some(One::Failed)),
            };
            let mut failed = false;
            let begun = self.clock.now();
            let found = self.scan_anew(fetched.source(), begun, &mut failed).await;
            match found {
                Ok((finding, verdict)) if verdict.signatures == target.signatures => {
                    if before > 0 {
                        self.forget_failures(sha256).await;
                    }
                    break (finding, verdict.at);
                }
                Ok(_) => return Ok(Some(One::Stopped(Ended::Changed))),
                // Perhaps its doing: once more, as soon as the scanner works again.
                Err(_) if failed => {
                    let since = self.clock.now();
                    self.scanning.doubt();
                    if !self.is_proved_after(since).await {
                        return Ok(Some(One::Stopped(Ended::NoScanner)));
                    }
                    let now = self.clock.now();
                    let times = self.store.note_failures(sha256, &target.signatures, 1, now).await?;
                    tracing::warn!(times, %sha256, "a file brings the scanner down");
                }
                Err(error) if matches!(error.reason(), Some(Reason::ScannerDown | Reason::Busy)) => {
                    return Ok(Some(One::Stopped(Ended::NoScanner)));
                }
                Err(error) => return Err(error),
            }
        };
        let judge = JudgeBlob {
            lease: Some(*lease),
            seen: candidate,
            found: judgement(&finding, rule),
            target: target.clone(),
            at,
            now: self.clock.now(),
        };
        crate::fault_point!("Q1");
        let judged = self.store.judge_blob(judge).await?;
        crate::fault_point!("Q2");
        tell(&judged);
        if judged == Judged::Braked
            && let Finding::Found { signature, .. } = &finding
        {
            tracing::warn!(signature, "this signature hits too many blobs: it puts no more into quarantine");
        }
        Ok((judged != Judged::Changed).then_some(One::Done))
    }

    /// The bytes; `None` for some that cannot be read while others can: they stop no other.
    async fn read_blob(self: &Arc<Self>, candidate: &Candidate) -> Result<Option<Fetch>, Error> {
        let mut pause = READ_AGAIN;
        for _ in 1..READS {
            match self.fetch(&candidate.blob).await {
                Err(Error::Blob(BlobError::Unavailable(error))) => {
                    tracing::warn!(%error, "a blob could not be read to be scanned; it is tried again");
                }
                fetched => return fetched.map(Some),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let began = Instant::now();
        match self.fetch(&candidate.blob).await {
            Err(Error::Blob(BlobError::Unavailable(error))) => {
                self.blobs.probe().await?;
                let took = began.elapsed();
                tracing::error!(%error, ?took, "a blob cannot be read while the store works: it is not scanned");
                Ok(None)
            }
            fetched => fetched.map(Some),
        }
    }
}
