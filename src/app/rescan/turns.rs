//! Whose turn it is to scan anew on this node: the background's, or that of a run of maintenance.
//!
//! Not here: the walk itself (`walking.rs`), and which node has the lease (the database says that).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard, Notify};

use super::{
    super::App,
    walking::{Ended, Tally, Watched},
};
use crate::{domain::Reason, ports::Stop, telemetry::names};

/// How often the background looks whether something is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How soon after something failed, or when nothing can be done.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Who scans on this node, and what wakes the background.
#[derive(Default)]
pub(in super::super) struct Rescanning {
    turn: Mutex<()>,
    wanted: AtomicU32,
    look: Notify,
}

/// Counts one who waits for its turn.
struct Wanted<'a>(&'a AtomicU32);

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Rescanning {
    /// There is something to be done.
    pub(in super::super) fn look_now(&self) {
        self.look.notify_one();
    }

    /// The turn, taken from the background after the blob that it has at hand.
    pub(super) async fn take_turn(&self) -> MutexGuard<'_, ()> {
        self.wanted.fetch_add(1, Relaxed);
        let _wanted = Wanted(&self.wanted);
        self.turn.lock().await
    }
}

/// The background gives way to whoever waits.
struct Background<'a>(&'a Rescanning);

#[async_trait]
impl Watched for Background<'_> {
    async fn may_go_on(&mut self, _tally: &Tally) -> Result<bool, Stop> {
        Ok(self.0.wanted.load(Relaxed) == 0)
    }
}

impl App {
    /// While the node lives: blobs scanned anew whenever the signatures have changed, or what is scanned, or a release has
    /// ended; also those that a node which died had begun.
    pub async fn mind_rescan(self: Arc<Self>) {
        let mut scanner = self.scanning.subscribe();
        loop {
            let pause = if self.is_moved() { LOOK_AGAIN } else { self.rescan_once().await };
            self.tell_rescan().await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.rescanning.look.notified() => {}
                // The sender is our own: it lives as long as this.
                _ = scanner.changed() => {}
            }
        }
    }

    /// One turn of the background; answers when the next look is due.
    pub(in super::super) async fn rescan_once(self: &Arc<Self>) -> Duration {
        let Ok(_turn) = self.rescanning.turn.try_lock() else { return LOOK_EVERY };
        let mut tally = Tally::default();
        let walked = self.walk_blobs(&mut Background(&self.rescanning), &mut tally).await;
        let Tally { blobs, bytes, failed } = tally;
        if blobs + failed > 0 {
            tracing::info!(blobs, bytes, failed, "blobs were scanned anew");
        }
        match walked {
            Ok(Ended::AllDone | Ended::Off | Ended::Elsewhere | Ended::Asked | Ended::NoScanner | Ended::Changed) => {
                LOOK_EVERY
            }
            Ok(Ended::BudgetSpent(until)) => {
                let left = until.0.saturating_sub(self.clock.now().0).unsigned_abs();
                Duration::from_micros(left).clamp(LOOK_EVERY, LOOK_AGAIN)
            }
            Err(error) if error.reason() == Some(Reason::ReadOnly) => LOOK_EVERY,
            Err(error) => {
                tracing::warn!(%error, "the rescan stops here; it is gone on with soon");
                LOOK_AGAIN
            }
        }
    }

    /// Every node tells it from the database, so that an alert does not depend on who scans; and not only between two turns,
    /// of which one may take hours (`app/vitals.rs`).
    pub(in super::super) async fn tell_rescan(&self) {
        match self.rescan_progress().await {
            Ok(progress) => {
                let left = if self.settings().antivirus_enabled { progress.left_bytes } else { 0 };
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                metrics::gauge!(names::RESCAN_LEFT).set(left as f64);
                let braked = u32::try_from(progress.braked.len()).unwrap_or(u32::MAX);
                metrics::gauge!(names::BRAKED_SIGNATURES).set(f64::from(braked));
            }
            Err(error) => tracing::debug!(%error, "how far the rescan is could not be asked for"),
        }
    }
}
