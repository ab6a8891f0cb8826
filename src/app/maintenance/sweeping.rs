//! The task SWEEP (M6): what lies in the store of bytes and in this node's spool, is older than a day, and no row names.
//!
//! The rows are asked after the listing, so that nothing is removed that a row began to name meanwhile; and from a listing
//! that failed nothing follows. Bytes of the store go after the whole walk, and none where they are too many: then the
//! database is rather an older one than the store. Strange names are counted, never removed: they are told by a check. Not
//! here: what is named (`app/consistency/looking.rs`).

use futures_util::{StreamExt as _, stream};

use super::{
    super::{App, Error},
    carrying::{LEASE_SECS, stop},
};
use crate::{
    domain::{
        Time,
        consistency::{Place, What, YOUNG_SECS, most_swept},
        run::{Outcome, TaskReport},
    },
    fault_point,
    faults::left_age,
    ports::{ClockSays, Found, RunLease},
};

/// Things that are listed at once.
const PAGE: usize = 500;
/// And removed at once.
const AT_ONCE: usize = 16;

/// How far a sweep is.
struct Sweep {
    lease: RunLease,
    /// What was changed from then on is young.
    cut: Time,
    strange: u64,
    /// Bytes that lie in the store.
    lying: u64,
    /// Those of them that are to go.
    unnamed: Vec<Found>,
}

impl Sweep {
    /// More than is removed without a word.
    fn is_too_much(&self) -> bool {
        self.unnamed.len() as u64 > most_swept(self.lying)
    }
}

impl App {
    /// Removes what no row names, in pages. Half of the time is left to others.
    pub(super) async fn sweep(&self, lease: RunLease, report: &mut TaskReport) -> Result<Outcome, Error> {
        let told = self.retried(|| async { Ok(self.store.judge_clock(self.clock.now(), false).await?) }).await?;
        let ClockSays::Now(now) = told else { return Ok(Outcome::ClockJumped) };
        let cut = now.plus_secs(-left_age(YOUNG_SECS));
        let mut sweep = Sweep { lease, cut, strange: 0, lying: 0, unnamed: Vec::new() };
        // A task that is carried on by another node begins anew: only what it removed is not counted again.
        report.failed = 0;
        let mut place = None;
        loop {
            let begun = tokio::time::Instant::now();
            let page =
                self.retried(|| async { self.blobs.walk(place.as_ref(), PAGE).await.map_err(|e| stop(e.into())) });
            let page = page.await?;
            sweep.lying += page.found.iter().filter(|found| matches!(found, Found::Bytes { .. })).count() as u64;
            let Some(old) = self.find_old(&mut sweep, page.found, Place::Blobs, report).await? else {
                return Ok(Outcome::Cancelled);
            };
            let mut rest = Vec::with_capacity(old.len());
            for what in old {
                match what {
                    What::Bytes { key, size, at: modified } => sweep.unnamed.push(Found::Bytes { key, size, modified }),
                    what => rest.push(what),
                }
            }
            self.remove_old(&sweep, rest, report).await?;
            place = page.next;
            // However much more there is: it is not kept in mind.
            if place.is_none() || sweep.unnamed.len() as u64 > most_swept(u64::MAX) {
                break;
            }
            tokio::time::sleep(begun.elapsed()).await;
        }
        let lying = self.retried(|| async { self.spool.look().await.map_err(|e| stop(e.into())) }).await?;
        if !self.sweep_all(&mut sweep, lying, Place::Spool, report).await? {
            return Ok(Outcome::Cancelled);
        }
        if sweep.strange > 0 {
            tracing::warn!(
                names = sweep.strange,
                "names that are none of ours lie in the store of bytes or the spool; lhfile fsck tells them"
            );
        }
        if sweep.is_too_much() {
            report.failed += sweep.unnamed.len() as u64;
            tracing::error!(
                unnamed = sweep.unnamed.len(),
                lying = sweep.lying,
                "more bytes lie in the store that no row names than are removed without a word, as after a restore of an \
                 older database: none is removed; lhfile fsck tells them"
            );
            return Ok(Outcome::GuardReached);
        }
        let unnamed = std::mem::take(&mut sweep.unnamed);
        let ended = self.sweep_all(&mut sweep, unnamed, Place::Blobs, report).await?;
        Ok(if ended { Outcome::Done } else { Outcome::Cancelled })
    }

    /// Removes of these what is old and unnamed, page by page; `false`: the run was asked to end.
    async fn sweep_all(
        &self,
        sweep: &mut Sweep,
        mut lying: Vec<Found>,
        place: Place,
        report: &mut TaskReport,
    ) -> Result<bool, Error> {
        while !lying.is_empty() {
            let begun = tokio::time::Instant::now();
            let rest = lying.split_off(lying.len().min(PAGE));
            let Some(old) = self.find_old(sweep, lying, place, report).await? else { return Ok(false) };
            self.remove_old(sweep, old, report).await?;
            lying = rest;
            tokio::time::sleep(begun.elapsed()).await;
        }
        Ok(true)
    }

    /// Of some things that were listed those that are old and that no row names; `None`: the run was asked to end.
    async fn find_old(
        &self,
        sweep: &mut Sweep,
        found: Vec<Found>,
        place: Place,
        report: &mut TaskReport,
    ) -> Result<Option<Vec<What>>, Error> {
        if self.retried(|| self.store.renew_run(sweep.lease, self.clock.now(), LEASE_SECS)).await? {
            return Ok(None);
        }
        self.need_writable()?;
        let cut = sweep.cut;
        let unnamed = self.retried(|| {
            let found = found.clone();
            async move { self.find_unnamed(found, place, cut, true).await.map_err(stop) }
        });
        let mut old = unnamed.await?.old;
        let listed = old.len();
        old.retain(|what| !matches!(what, What::Strange { .. }));
        let strange = (listed - old.len()) as u64;
        sweep.strange += strange;
        report.failed += strange;
        Ok(Some(old))
    }

    async fn remove_old(&self, sweep: &Sweep, old: Vec<What>, report: &mut TaskReport) -> Result<(), Error> {
        if !old.is_empty() {
            fault_point!("M6");
        }
        let removing = stream::iter(old).map(|what| async move { (self.remove_unnamed(&what).await, what) });
        let mut removing = removing.buffer_unordered(AT_ONCE);
        while let Some((removed, what)) = removing.next().await {
            match removed {
                Ok(true) => {
                    fault_point!("M6-removed");
                    report.done += 1;
                    report.bytes += what.size();
                }
                Ok(false) => {}
                Err(error) => {
                    report.failed += 1;
                    tracing::warn!(what = what.kind().name(), %error, "what nobody needs cannot be removed; the next run tries");
                }
            }
        }
        drop(removing);
        let told = *report;
        Ok(self.retried(|| self.store.note_task(sweep.lease, told)).await?)
    }
}
