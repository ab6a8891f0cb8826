//! The walk through all blobs, from where the last one stopped: those that are due are scanned anew.
//!
//! One node walks at a time, under a lease; whoever lost it is refused with the next thing it writes. Not here: when a node
//! walks (`turns.rs`), one blob of it (`one.rs`), which blobs are due ([`crate::domain::quarantine`]).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    super::{App, Error},
    one::One,
};
use crate::{
    domain::{
        Reason, Time,
        quarantine::{LEASE_SECS, Phase, RescanRule, SETTLED_SECS, Target, is_due},
    },
    ports::{Counted, Rescan, RescanLease, Stop, TakeRescan},
};

/// Blobs that are looked at by one question.
const PAGE: u32 = 500;
/// How often the lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// After a failure, how soon it is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked whether a release has ended.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing is left.
    AllDone,
    /// The antivirus is off.
    Off,
    /// The hour's budget is spent, until then.
    BudgetSpent(Time),
    /// Another node goes on, or has the signatures that count.
    Elsewhere,
    /// No scanner may judge, or none has a slot to spare.
    NoScanner,
    /// Signatures or settings are not those of its beginning, or a release has ended: another walk begins anew.
    Changed,
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

/// By what a walk judges.
pub(super) struct Walk {
    pub(super) lease: RescanLease,
    pub(super) target: Target,
    pub(super) rule: RescanRule,
    /// When it was last looked whether a release has ended.
    looked: Instant,
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
        // Before all is counted: whoever goes on with it sees by itself that it has to begin anew.
        let elsewhere = known.is_leased && known.node != self.node;
        let may_take = if same { !elsewhere } else { target.takes_over(&self.node, &known.holder()) };
        if !may_take {
            return Ok(Ended::Elsewhere);
        }
        let mut anew = !same || known.rule != rule.text() || known.is_stale;
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
        let mut walk = Walk { lease, target, rule, looked: Instant::now() };
        let walked = tokio::select! {
            walked = self.walk(&mut walk, rescan, watched, tally) => walked,
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
        let since = last.first().filter(|one| one.blob.id > known.cursor && Some(one.created_at) > known.started_at);
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
        walk: &mut Walk,
        rescan: Rescan,
        watched: &mut dyn Watched,
        tally: &mut Tally,
    ) -> Result<Ended, Error> {
        let Rescan { mut phase, mut cursor, top, mut ended_at, now, .. } = rescan;
        // Where the next walk goes on: not behind blobs so young that one with a lower id may still come. And what is stored.
        let young = now.plus_secs(-SETTLED_SECS);
        let (mut place, mut stored, mut settled) = (cursor, cursor, true);
        loop {
            let page = self.store.list_candidates(phase, cursor, PAGE, self.clock.now()).await?;
            let full = page.len() >= PAGE as usize;
            for candidate in page {
                let (bytes, id) = (candidate.blob.size, candidate.blob.id);
                settled &= phase != Phase::New || candidate.created_at <= young;
                cursor = id;
                place = if settled { id } else { place };
                if !is_due(phase, &candidate, &walk.target, &walk.rule) {
                    continue;
                }
                if let Some(ended) = self.may_walk(walk, watched, tally).await? {
                    return Ok(ended);
                }
                match self.rescan_one(walk, phase, candidate).await? {
                    One::Done => {
                        tally.blobs += 1;
                        tally.bytes += bytes;
                        stored = id;
                    }
                    One::Failed => tally.failed += 1,
                    One::Stopped(ended) => return Ok(ended),
                }
                if place != stored {
                    self.store.note_rescan(walk.lease, phase, place, false, self.clock.now()).await?;
                    stored = place;
                }
            }
            if full {
                self.store.note_rescan(walk.lease, phase, place, false, self.clock.now()).await?;
                stored = place;
                if let Some(ended) = self.may_walk(walk, watched, tally).await? {
                    return Ok(ended);
                }
                tokio::task::yield_now().await;
                continue;
            }
            let Some(next) = phase.next() else {
                if place != stored {
                    self.store.note_rescan(walk.lease, phase, place, true, self.clock.now()).await?;
                }
                return Ok(Ended::AllDone);
            };
            phase = next;
            cursor = if phase.is_ascending() { top } else { i64::MAX };
            (place, stored) = (cursor, cursor);
            let ends = phase == Phase::New;
            self.store.note_rescan(walk.lease, phase, cursor, ends, self.clock.now()).await?;
            if ends && ended_at.is_none() {
                ended_at = Some(self.clock.now());
                tracing::info!(signatures = walk.target.signatures, "every blob was scanned anew");
            }
        }
    }

    /// Whether the walk may go on, as it began.
    async fn may_walk(
        &self,
        walk: &mut Walk,
        watched: &mut dyn Watched,
        tally: &Tally,
    ) -> Result<Option<Ended>, Error> {
        if !watched.may_go_on(tally).await? {
            return Ok(Some(Ended::Asked));
        }
        self.need_writable()?;
        if walk.looked.elapsed() >= LOOK_EVERY {
            walk.looked = Instant::now();
            if self.store.find_rescan(self.clock.now()).await?.is_stale {
                return Ok(Some(Ended::Changed));
            }
        }
        Ok(match (RescanRule::of(&self.settings()), self.scanning.judging()) {
            (None, _) => Some(Ended::Off),
            (Some(rule), _) if rule != walk.rule => Some(Ended::Changed),
            (Some(_), Err(_)) => Some(Ended::NoScanner),
            (Some(_), Ok(target)) if target != walk.target => Some(Ended::Changed),
            (Some(_), Ok(_)) => None,
        })
    }
}
