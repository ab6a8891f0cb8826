//! The task SWEEP (M6): what lies in the store of bytes and in this node's spool, is older than a day, and no row names.
//!
//! The rows are asked after the listing, so that nothing is removed that a row began to name meanwhile; and from a listing
//! that failed nothing follows. Strange names are counted, never removed: they are told by a check. Not here: what is named
//! (`app/consistency/looking.rs`).

use futures_util::{StreamExt as _, stream};

use super::{
    super::{App, Error},
    carrying::{LEASE_SECS, stop},
};
use crate::{
    domain::{
        Time,
        consistency::{Place, What, YOUNG_SECS},
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
}

impl App {
    /// Removes what no row names, in pages. Half of the time is left to others.
    pub(super) async fn sweep(&self, lease: RunLease, report: &mut TaskReport) -> Result<Outcome, Error> {
        let told = self.retried(|| async { Ok(self.store.judge_clock(self.clock.now(), false).await?) }).await?;
        let ClockSays::Now(now) = told else { return Ok(Outcome::ClockJumped) };
        let mut sweep = Sweep { lease, cut: now.plus_secs(-left_age(YOUNG_SECS)), strange: 0 };
        // A task that is carried on by another node begins anew: what it removed is not there to be counted again.
        let mut place = None;
        loop {
            let begun = tokio::time::Instant::now();
            let page =
                self.retried(|| async { self.blobs.walk(place.as_ref(), PAGE).await.map_err(|e| stop(e.into())) });
            let page = page.await?;
            if self.sweep_some(&mut sweep, page.found, Place::Blobs, report).await? {
                return Ok(Outcome::Cancelled);
            }
            place = page.next;
            if place.is_none() {
                break;
            }
            tokio::time::sleep(begun.elapsed()).await;
        }
        let mut lying = self.retried(|| async { self.spool.look().await.map_err(|e| stop(e.into())) }).await?;
        while !lying.is_empty() {
            let rest = lying.split_off(lying.len().min(PAGE));
            if self.sweep_some(&mut sweep, lying, Place::Spool, report).await? {
                return Ok(Outcome::Cancelled);
            }
            lying = rest;
        }
        if sweep.strange > 0 {
            tracing::warn!(
                names = sweep.strange,
                "names that are none of ours lie in the store of bytes or the spool; lhfile fsck tells them"
            );
        }
        Ok(Outcome::Done)
    }

    /// Of some things that were listed those removed that no row names; `true`: the run was asked to end.
    async fn sweep_some(
        &self,
        sweep: &mut Sweep,
        found: Vec<Found>,
        place: Place,
        report: &mut TaskReport,
    ) -> Result<bool, Error> {
        if self.retried(|| self.store.renew_run(sweep.lease, self.clock.now(), LEASE_SECS)).await? {
            return Ok(true);
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
        self.retried(|| self.store.note_task(sweep.lease, told)).await?;
        Ok(false)
    }
}
