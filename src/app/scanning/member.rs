//! One scanner among those of a node: its state, its slots, and the watch over both.
//!
//! Not here: which of them is asked, and what a verdict of it is worth (the parent module).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{CanaryResult, ScannerState, canaries, deadline};
use crate::{
    ports::{ByteSource, Clock, EngineVersion, ScanError, ScanReply, Scanner},
    telemetry::names,
};

/// Files above this share all slots but one, so that a crowd of archives never holds up the photos.
const LARGE_BYTES: u64 = 1 << 20;

/// One scanner.
pub(super) struct Member {
    pub(super) scanner: Arc<dyn Scanner>,
    clock: Arc<dyn Clock>,
    state: watch::Sender<ScannerState>,
    canaries: watch::Sender<Vec<CanaryResult>>,
    probe_now: Notify,
    slots: Arc<Semaphore>,
    large: Arc<Semaphore>,
    pub(super) total: u32,
    /// Scans that run or wait for a slot.
    load: AtomicU32,
    /// Those of them that wait.
    waiting: AtomicU32,
}

/// A slot, given back when dropped.
pub(super) struct Slot {
    _slot: OwnedSemaphorePermit,
    _large: Option<OwnedSemaphorePermit>,
}

/// Counts one scan while it runs or waits.
struct Counted<'m>(&'m Member);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Relaxed);
    }
}

/// How a scan by one scanner went.
pub(super) enum Scanned {
    /// It answered, or could not.
    Replied(Result<ScanReply, ScanError>, Duration),
    /// It was not proved any more while the file waited for it, or lay with it.
    Left,
    /// It went down while the file lay with it.
    Lost,
    /// No slot became free in time.
    Busy,
}

impl Member {
    /// Unproved.
    pub(super) fn new(scanner: Arc<dyn Scanner>, clock: Arc<dyn Clock>) -> Self {
        let total = scanner.limits().threads.max(1);
        Self {
            slots: Arc::new(Semaphore::new(total as usize)),
            large: Arc::new(Semaphore::new(total.saturating_sub(1).max(1) as usize)),
            total,
            load: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            scanner,
            clock,
            state: watch::Sender::new(ScannerState::Unproved),
            canaries: watch::Sender::new(Vec::new()),
            probe_now: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> ScannerState {
        self.state.borrow().clone()
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<ScannerState> {
        self.state.subscribe()
    }

    /// How the canaries fared last.
    pub(super) fn canaries(&self) -> Vec<CanaryResult> {
        self.canaries.borrow().clone()
    }

    /// Slots in use.
    pub(super) fn used(&self) -> u32 {
        self.total.saturating_sub(u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX))
    }

    /// Scans that wait for a slot.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Relaxed)
    }

    /// Scans that run or wait, for each of its slots, in thousandths.
    pub(super) fn load(&self) -> u64 {
        u64::from(self.load.load(Relaxed)) * 1_000 / u64::from(self.total)
    }

    fn is_down(&self) -> bool {
        matches!(&*self.state.borrow(), ScannerState::Down { .. })
    }

    /// Proved with exactly this.
    pub(super) fn judges_with(&self, version: &EngineVersion) -> bool {
        is_proved_with(&self.state.borrow(), version)
    }

    /// One scan in a slot of its own. With `version` it is over as soon as the scanner is not proved with it any more.
    pub(super) async fn scan(
        &self,
        bytes: Arc<dyn ByteSource>,
        version: Option<&EngineVersion>,
        until: tokio::time::Instant,
    ) -> Scanned {
        self.load.fetch_add(1, Relaxed);
        let _counted = Counted(self);
        let mut state = self.state.subscribe();
        let left = async {
            match version {
                Some(version) => drop(state.wait_for(|state| !is_proved_with(state, version)).await),
                None => std::future::pending().await,
            }
        };
        tokio::pin!(left);
        let size = bytes.size();
        let slot = tokio::select! {
            biased;
            () = &mut left => return Scanned::Left,
            slot = tokio::time::timeout_at(until, self.take_slot(size)) => slot,
        };
        let Ok(slot) = slot else { return Scanned::Busy };
        let started = tokio::time::Instant::now();
        let reply = tokio::select! {
            // What it said counts, if it said it.
            biased;
            reply = self.scanner.scan(bytes, deadline(size)) => reply,
            () = &mut left => return if self.is_down() { Scanned::Lost } else { Scanned::Left },
        };
        self.give_back(slot, size, &reply);
        Scanned::Replied(reply, started.elapsed())
    }

    async fn take_slot(&self, size: u64) -> Slot {
        let _queued = Queued::new(&self.waiting);
        let large = match size > LARGE_BYTES {
            true => Some(Arc::clone(&self.large).acquire_owned().await.expect("it is never closed")),
            false => None,
        };
        Slot { _slot: Arc::clone(&self.slots).acquire_owned().await.expect("it is never closed"), _large: large }
    }

    /// Frees the slot. The scanner goes on with a file that was given up: its slot stays taken for as long as that can
    /// last, else the next file would wait inside the scanner and be called unscannable for it.
    #[expect(clippy::disallowed_methods, reason = "it only sleeps, and nothing is lost if the process ends before")]
    fn give_back(&self, slot: Slot, size: u64, reply: &Result<ScanReply, ScanError>) {
        if let Err(ScanError::TooLong(_)) = reply {
            // What the managed clamd is told as MaxScanTime.
            let longest = deadline(self.scanner.limits().max_file_bytes) + Duration::from_secs(30);
            let left = longest.saturating_sub(deadline(size));
            tokio::spawn(async move {
                tokio::time::sleep(left).await;
                drop(slot);
            });
        }
    }

    /// It does not answer, or answers wrongly: out of use until the canaries come back right.
    pub(super) fn mark_down(&self, error: &dyn std::fmt::Display) {
        let at = self.clock.now();
        let cause = error.to_string();
        self.state.send_if_modified(|state| match state {
            ScannerState::Down { cause: known, .. } if *known == cause => false,
            ScannerState::Down { .. } | ScannerState::Unproved | ScannerState::Proved { .. } => {
                tracing::warn!(%cause, address = self.scanner.address(), "a scanner is down: nothing is asked of it");
                *state = ScannerState::Down { cause: cause.clone(), at };
                true
            }
        });
    }

    /// Something about it is in doubt: it is proved anew, now.
    pub(super) fn doubt(&self) {
        self.probe_now.notify_one();
    }

    /// Proves the scanner, and keeps proving it: canaries at start, every minute, after every change of its signatures
    /// and whenever something about it is in doubt; PING every two seconds; while it does not answer, five times a
    /// second; while a canary comes back wrong, every second. Ends with `stop`.
    pub(super) async fn watch(&self, stop: &CancellationToken) {
        let mut last_canaries = None;
        while !stop.is_cancelled() {
            let pause = self.watch_once(&mut last_canaries).await;
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.probe_now.notified() => {
                    last_canaries = None;
                    tokio::time::sleep(DOUBTED_FOR).await;
                }
                () = stop.cancelled() => {}
            }
        }
    }

    /// One look; answers when the next is due.
    pub(super) async fn watch_once(&self, last_canaries: &mut Option<tokio::time::Instant>) -> Duration {
        let proved = match self.state() {
            ScannerState::Proved { version, .. } => Some(version),
            ScannerState::Unproved | ScannerState::Down { .. } => None,
        };
        let version = match self.scanner.version().await {
            Ok(version) => version,
            Err(error) => {
                self.mark_down(&error);
                return KNOCK_EVERY;
            }
        };
        let due = last_canaries.is_none_or(|at| at.elapsed() >= CANARIES_EVERY);
        if proved.as_ref() == Some(&version) && !due {
            return PING_EVERY;
        }
        let results = canaries::run(self.scanner.as_ref()).await;
        let wrong = results
            .iter()
            .find(|r| !r.passed)
            .map(|r| format!("canary {}: expected {}, got {}", r.name, r.expected, r.got));
        self.canaries.send_replace(results);
        if let Some(cause) = wrong {
            self.mark_down(&cause);
            return RETRY_EVERY;
        }
        *last_canaries = Some(tokio::time::Instant::now());
        if proved.as_ref() != Some(&version) {
            let (engine, signatures) = (&version.engine, &version.signatures);
            let address = self.scanner.address();
            tracing::info!(address, engine, signatures, test_only = version.test_only, "the scanner is proved");
        }
        self.state.send_replace(ScannerState::Proved { version, at: self.clock.now() });
        PING_EVERY
    }
}

/// Counts one scan in the queue until it is dropped.
struct Queued<'m>(&'m AtomicU32);

impl<'m> Queued<'m> {
    fn new(waiting: &'m AtomicU32) -> Self {
        waiting.fetch_add(1, Relaxed);
        metrics::gauge!(names::SCAN_QUEUE).increment(1);
        Self(waiting)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
        metrics::gauge!(names::SCAN_QUEUE).decrement(1);
    }
}

fn is_proved_with(state: &ScannerState, version: &EngineVersion) -> bool {
    matches!(state, ScannerState::Proved { version: proved, .. } if proved == version)
}

const CANARIES_EVERY: Duration = Duration::from_secs(60);
const PING_EVERY: Duration = Duration::from_secs(2);
const RETRY_EVERY: Duration = Duration::from_secs(1);
const KNOCK_EVERY: Duration = Duration::from_millis(200);
/// Before a scanner in doubt is probed: one that is dying has died by then, and who sends bad files all the time does
/// not have the canaries run all the time.
const DOUBTED_FOR: Duration = Duration::from_millis(100);
