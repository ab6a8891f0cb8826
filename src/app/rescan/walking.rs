//! The walk through all blobs, from where the last one stopped: those that are due are scanned anew.
//!
//! One node walks at a time, under a lease; whoever lost it is refused with the next thing it writes. Not here: when a node
//! walks (`turns.rs`), which blobs are due ([`crate::domain::quarantine`]), what a scan changes (`adapters/`).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    super::{App, Error},
    budget,
    fetching::Fetch,
    judgement, tell,
};
use crate::{
    domain::{
        Reason, Time,
        admission::Finding,
        quarantine::{Candidate, Judged, KILLER, KILLS, LEASE_SECS, Phase, RescanRule, Target, is_due},
    },
    ports::{BlobError, Counted, JudgeBlob, Rescan, RescanLease, Stop, TakeRescan},
};

/// Blobs that are looked at by one question.
const PAGE: u32 = 500;
/// How often the lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// After a failure, how soon it is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(1);
/// How long a scan waits for a slot that no upload needs.
const SPARE_WITHIN: Duration = Duration::from_secs(60);
/// Bytes that cannot be read are tried so often.
const READS: u32 = 3;

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing is left.
    AllDone,
    /// The antivirus is off.
    Off,
    /// The hour's budget is spent, until then.
    BudgetSpent(Time),
    /// Another node goes on, or this one's signatures are older than those of the rescan.
    Elsewhere,
    /// No scanner may judge, or none has a slot to spare, or its signatures changed.
    NoScanner,
    /// It was asked to stop.
    Asked,
}

/// What a walk has scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) blobs: u64,
    pub(super) bytes: u64,
    pub(super) failed: u64,
}

/// Who has it done, and may stop it between two blobs.
#[async_trait]
pub(super) trait Watched: Send {
    /// Told of what was done so far.
    async fn may_go_on(&mut self, tally: &Tally) -> Result<bool, Stop>;
}

/// What became of one blob.
enum One {
    Done,
    Failed,
    Stopped(Ended),
}

/// By what a walk judges.
struct Walk {
    lease: RescanLease,
    target: Target,
    rule: RescanRule,
}

impl App {
    /// Goes on with the rescan until something ends it.
    pub(super) async fn walk_blobs(
        self: &Arc<Self>,
        watched: &mut dyn Watched,
        tally: &mut Tally,
    ) -> Result<Ended, Error> {
        self.need_writable()?;
        let Some(rule) = RescanRule::of(&self.settings()) else { return Ok(Ended::Off) };
        let Ok(target) = self.scanning.judging() else { return Ok(Ended::NoScanner) };
        let now = self.clock.now();
        let known = self.store.find_rescan(now).await?;
        let same = known.target.signatures == target.signatures;
        if !same && !target.is_newer_than(&known.target) {
            return Ok(Ended::Elsewhere);
        }
        let mut anew = !same || known.rule != rule.text() || known.is_stale;
        if !anew && known.is_leased && known.node != self.node {
            return Ok(Ended::Elsewhere);
        }
        if !anew && self.came_unscanned(&known, &target, &rule).await? {
            self.store.restart_rescan(None, now).await?;
            anew = true;
        }
        if !anew && known.ended_at.is_some() && known.phase == Phase::New && known.newest <= known.cursor {
            return Ok(Ended::AllDone);
        }
        let counted: Option<Counted> =
            if anew { Some(self.store.count_blobs(&target.signatures).await?) } else { None };
        let take = TakeRescan {
            node: self.node.clone(),
            target: target.clone(),
            rule: rule.text(),
            counted,
            now: self.clock.now(),
            lease_secs: LEASE_SECS,
        };
        let Some((rescan, lease)) = self.store.take_rescan(take).await? else { return Ok(Ended::Elsewhere) };
        if anew {
            let (signatures, blobs) = (&target.signatures, rescan.counted.left_blobs);
            tracing::info!(signatures, blobs, "blobs are scanned anew");
        }
        let walk = Walk { lease, target, rule };
        let walked = tokio::select! {
            walked = self.walk(&walk, rescan, watched, tally) => walked,
            lost = self.keep_rescan(lease) => Err(lost.into()),
        };
        // Another node need not wait for its end.
        let _ = self.store.renew_rescan(lease, self.clock.now(), 0).await;
        match walked {
            Err(error) if error.reason() == Some(Reason::Fenced) => Ok(Ended::Elsewhere),
            walked => walked,
        }
    }

    /// Scanning was off for a while, and is on again: what came in then goes first, from the top.
    async fn came_unscanned(&self, known: &Rescan, target: &Target, rule: &RescanRule) -> Result<bool, Error> {
        if known.phase != Phase::New {
            return Ok(false);
        }
        let last = self.store.list_candidates(Phase::NotScanned, i64::MAX, 1, self.clock.now()).await?;
        let since = last.first().filter(|one| one.blob.id > known.cursor);
        Ok(since.is_some_and(|one| is_due(Phase::NotScanned, one, target, rule)))
    }

    /// Renews the lease until it is lost.
    async fn keep_rescan(&self, lease: RescanLease) -> Stop {
        let mut pause = RENEW_EVERY;
        loop {
            tokio::time::sleep(pause).await;
            pause = match self.store.renew_rescan(lease, self.clock.now(), LEASE_SECS).await {
                Ok(()) => RENEW_EVERY,
                Err(Stop::Refused(lost)) => return lost.into(),
                Err(Stop::Failed(error)) => {
                    tracing::warn!(%error, "the lease of the rescan could not be renewed; it is tried again");
                    RENEW_AGAIN
                }
            };
        }
    }

    async fn walk(
        self: &Arc<Self>,
        walk: &Walk,
        rescan: Rescan,
        watched: &mut dyn Watched,
        tally: &mut Tally,
    ) -> Result<Ended, Error> {
        let Rescan { mut phase, mut cursor, top, mut ended_at, .. } = rescan;
        loop {
            let page = self.store.list_candidates(phase, cursor, PAGE, self.clock.now()).await?;
            let (full, some) = (page.len() >= PAGE as usize, !page.is_empty());
            for candidate in page {
                cursor = candidate.blob.id;
                if !is_due(phase, &candidate, &walk.target, &walk.rule) {
                    continue;
                }
                if let Some(ended) = self.may_walk(walk, watched, tally).await? {
                    return Ok(ended);
                }
                let (bytes, id) = (candidate.blob.size, candidate.blob.id);
                match self.rescan_one(walk, candidate).await? {
                    One::Done => {
                        tally.blobs += 1;
                        tally.bytes += bytes;
                    }
                    One::Failed => {
                        tally.failed += 1;
                        self.store.note_rescan(walk.lease, phase, id, false, self.clock.now()).await?;
                    }
                    One::Stopped(ended) => return Ok(ended),
                }
            }
            if full {
                self.store.note_rescan(walk.lease, phase, cursor, false, self.clock.now()).await?;
                if let Some(ended) = self.may_walk(walk, watched, tally).await? {
                    return Ok(ended);
                }
                tokio::task::yield_now().await;
                continue;
            }
            let Some(next) = phase.next() else {
                if some {
                    self.store.note_rescan(walk.lease, phase, cursor, true, self.clock.now()).await?;
                }
                return Ok(Ended::AllDone);
            };
            phase = next;
            cursor = if phase.is_ascending() { top } else { i64::MAX };
            let ends = phase == Phase::New;
            self.store.note_rescan(walk.lease, phase, cursor, ends, self.clock.now()).await?;
            if ends && ended_at.is_none() {
                ended_at = Some(self.clock.now());
                tracing::info!(signatures = walk.target.signatures, "every blob was scanned anew");
            }
        }
    }

    /// Whether the walk may go on, as it began.
    async fn may_walk(&self, walk: &Walk, watched: &mut dyn Watched, tally: &Tally) -> Result<Option<Ended>, Error> {
        if !watched.may_go_on(tally).await? {
            return Ok(Some(Ended::Asked));
        }
        self.need_writable()?;
        Ok(match RescanRule::of(&self.settings()) {
            None => Some(Ended::Off),
            Some(rule) if rule != walk.rule => Some(Ended::NoScanner),
            Some(_) if self.scanning.judging().ok().as_ref() != Some(&walk.target) => Some(Ended::NoScanner),
            Some(_) => None,
        })
    }

    async fn rescan_one(self: &Arc<Self>, walk: &Walk, candidate: Candidate) -> Result<One, Error> {
        let Walk { lease, target, rule } = walk;
        let (sha256, size) = (candidate.blob.sha256, candidate.blob.size);
        let (finding, at) = loop {
            let before = match self.count_failures(sha256, &target.signatures).await {
                Err(error) if error.reason() == Some(Reason::ScannerDown) => return Ok(One::Stopped(Ended::NoScanner)),
                counted => counted?,
            };
            if before >= KILLS {
                break (Finding::Unscannable { cause: KILLER.to_owned() }, self.clock.now());
            }
            if !self.scanning.wait_spare(target, SPARE_WITHIN).await {
                return Ok(One::Stopped(Ended::NoScanner));
            }
            let hour = budget(&self.settings());
            if let Some(until) = self.store.spend_budget(*lease, size, hour, self.clock.now()).await? {
                return Ok(One::Stopped(Ended::BudgetSpent(until)));
            }
            let fetched = match self.read_blob(&candidate).await? {
                Some(Fetch::Whole(fetched)) => fetched,
                Some(Fetch::Corrupt) => {
                    self.record_corrupt_blob().await;
                    return Ok(One::Failed);
                }
                Some(Fetch::Gone) | None => return Ok(One::Failed),
            };
            let mut failed = false;
            let begun = self.clock.now();
            let found = self.scanning.find_verdict(None, None, fetched.source(), begun, &mut failed).await;
            match found {
                Ok((finding, verdict)) if verdict.signatures == target.signatures => {
                    if before > 0 {
                        self.forget_failures(sha256).await;
                    }
                    break (finding, verdict.at);
                }
                Ok(_) => return Ok(One::Stopped(Ended::NoScanner)),
                // Perhaps its doing: once more, as soon as the scanner works again.
                Err(_) if failed => {
                    self.scanning.doubt();
                    if !self.is_proved_after(begun).await {
                        return Ok(One::Stopped(Ended::NoScanner));
                    }
                    let now = self.clock.now();
                    let times = self.store.note_failures(sha256, &target.signatures, 1, now).await?;
                    tracing::warn!(times, %sha256, "a file brings the scanner down");
                }
                Err(error) if matches!(error.reason(), Some(Reason::ScannerDown | Reason::Busy)) => {
                    return Ok(One::Stopped(Ended::NoScanner));
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
        Ok(One::Done)
    }

    /// The bytes; `None` for some that cannot be read while others can: they stop no other.
    async fn read_blob(self: &Arc<Self>, candidate: &Candidate) -> Result<Option<Fetch>, Error> {
        let mut pause = RENEW_AGAIN;
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
