//! The moment in which nothing changes: `read_only` for every node, and the end of what was under way.
//!
//! Not here: what is done in it (`database.rs`, `blobs.rs`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::sleep;

use super::{MoveError, Progress};
use crate::{
    domain::{Actor, Person, Reason, settings::SettingValue},
    ports::{Clock, MovedStore, Stop},
};

/// Who changes the setting, in its history and in the events: the service `lhfile-migrate`.
pub const ACTOR: &str = "lhfile-migrate";

/// Every node has noticed a setting by then.
const NOTICED: Duration = Duration::from_millis(2_500);
/// How often it is looked whether uploads have ended.
const LOOK: Duration = Duration::from_millis(500);
/// A line for people who wait, once in so many looks.
const TELL_EVERY: u32 = 20;
/// Others change settings, too.
const TRIES: u32 = 5;

/// Whether `read_only` was set by this move, and has to be taken back.
pub struct Switch {
    store: Arc<dyn MovedStore>,
    clock: Arc<dyn Clock>,
    set: AtomicBool,
    complete: AtomicBool,
}

/// What became of `read_only` after a move that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenBack {
    /// It is off again.
    Yes,
    /// This move had not set it.
    NotOurs,
    /// It stays on: the other side may count already.
    PerhapsSwitched,
}

impl Switch {
    /// Nothing is set yet.
    pub fn new(store: Arc<dyn MovedStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, set: AtomicBool::new(false), complete: AtomicBool::new(false) }
    }

    /// Sets `read_only`, and waits until every node has noticed and no upload is under way.
    pub(super) async fn close(&self, progress: &dyn Progress) -> Result<(), MoveError> {
        if self.store.load_settings().await?.settings.read_only {
            progress.tell("read_only is on already, and stays as it is");
        } else {
            // Before: a change whose answer is lost is taken back, too.
            self.set.store(true, Relaxed);
            self.change(true).await?;
            progress.tell(
                "read_only is on: uploads and changes are refused now; if this is killed, \
                 `lhfile settings set read_only false` lets them in again",
            );
        }
        crate::fault_point!("M-closed");
        sleep(NOTICED).await;
        self.wait_for_uploads(progress).await
    }

    async fn wait_for_uploads(&self, progress: &dyn Progress) -> Result<(), MoveError> {
        let mut looks = 0_u32;
        loop {
            let under_way = self.store.list_under_way(self.clock.now()).await?;
            let (dead, alive): (Vec<_>, Vec<_>) = under_way.into_iter().partition(|upload| upload.lease_over);
            if alive.is_empty() {
                for upload in &dead {
                    // A node that was only asleep must not make a file of it any more.
                    self.store.fence_upload(upload.intent).await?;
                }
                if let Some(upload) = dead.first() {
                    progress.tell(&format!(
                        "{} uploads of nodes that are gone were left ({} is one), and can become no files any more",
                        dead.len(),
                        upload.node
                    ));
                }
                return Ok(());
            }
            if looks.is_multiple_of(TELL_EVERY) {
                progress.tell(&format!("waiting for the end of {} uploads that are under way", alive.len()));
            }
            looks = looks.wrapping_add(1);
            sleep(LOOK).await;
        }
    }

    /// From here on the other side counts: `read_only` stays on here.
    pub(super) fn complete(&self) {
        self.complete.store(true, Relaxed);
    }

    /// The other side does not count after all.
    pub(super) fn reopen(&self) {
        self.complete.store(false, Relaxed);
    }

    /// Lets uploads in again, if this move keeps them out and did not come to its end.
    ///
    /// # Errors
    /// The setting cannot be changed.
    pub async fn take_back(&self) -> Result<TakenBack, MoveError> {
        if self.complete.load(Relaxed) {
            return Ok(TakenBack::PerhapsSwitched);
        }
        if !self.set.load(Relaxed) {
            return Ok(TakenBack::NotOurs);
        }
        self.change(false).await?;
        self.set.store(false, Relaxed);
        Ok(TakenBack::Yes)
    }

    async fn change(&self, to: bool) -> Result<(), MoveError> {
        let person: Person = format!("service:{ACTOR}").parse().map_err(Stop::Refused)?;
        let actor = Actor { person: Some(person), acting_service: None };
        let mut tries = 0;
        loop {
            let stored = self.store.load_settings().await?;
            // Taken back it is written in any case: over a change of ours that may still be under way.
            if to && stored.settings.read_only {
                return Ok(());
            }
            let changes = vec![("read_only", SettingValue::Bool(to))];
            match self.store.save_settings(changes, stored.version, actor.clone(), self.clock.now()).await {
                Ok(_) => return Ok(()),
                Err(Stop::Refused(refusal)) if refusal.reason == Reason::EtagMismatch && tries < TRIES => tries += 1,
                Err(stop) => return Err(stop.into()),
            }
        }
    }
}
