//! The scanner as the uploads see it: proved by canaries or down, with slots, and verdicts that are not asked twice.
//!
//! Not here: the protocol (`adapters/scanner/`) and what a verdict means (`domain/admission.rs`). Fail closed: until
//! the canaries came back right, and again once one did not, nothing is called clean.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::{
    domain::{Blob, Reason, Refusal, Settings, Time, Verdict, VerdictKind, admission::Finding},
    ports::{Clock, EngineVersion, ScanError, ScanReply, Scanner, ScannerLimits, Spooled},
    telemetry::names,
};

mod canaries;
mod status;
pub use canaries::CanaryResult;
pub use status::ScannerStatus;

/// What is known of the scanner.
#[derive(Debug, Clone)]
pub enum ScannerState {
    /// The canaries have not come back yet.
    Unproved,
    /// Every canary came back right.
    Proved {
        /// What it judges with.
        version: EngineVersion,
        /// When it was proved last.
        at: Time,
    },
    /// It does not answer, or a canary came back wrong.
    Down {
        /// What went wrong, for an administrator.
        cause: String,
        /// Since when.
        at: Time,
    },
}

/// Files above this share all slots but one, so that a crowd of archives never holds up the photos.
const LARGE_BYTES: u64 = 1 << 20;

/// The scanner, its state and its slots.
pub struct Scanning {
    scanner: Arc<dyn Scanner>,
    clock: Arc<dyn Clock>,
    accept_test_signatures: bool,
    slot_wait: Duration,
    state: watch::Sender<ScannerState>,
    canaries: watch::Sender<Vec<CanaryResult>>,
    probe_now: Notify,
    slots: Arc<Semaphore>,
    large: Arc<Semaphore>,
    total: u32,
}

/// A slot, given back when dropped.
struct Slot {
    _slot: OwnedSemaphorePermit,
    _large: Option<OwnedSemaphorePermit>,
}

impl Scanning {
    /// Unproved.
    pub fn new(
        scanner: Arc<dyn Scanner>,
        clock: Arc<dyn Clock>,
        accept_test_signatures: bool,
        slot_wait: Duration,
    ) -> Self {
        let total = scanner.limits().threads.max(1);
        Self {
            slots: Arc::new(Semaphore::new(total as usize)),
            large: Arc::new(Semaphore::new(total.saturating_sub(1).max(1) as usize)),
            total,
            scanner,
            clock,
            accept_test_signatures,
            slot_wait,
            state: watch::Sender::new(ScannerState::Unproved),
            canaries: watch::Sender::new(Vec::new()),
            probe_now: Notify::new(),
        }
    }

    /// Proved, and with signatures that may judge.
    pub fn is_healthy(&self) -> bool {
        matches!(&*self.state.borrow(), ScannerState::Proved { version, .. } if self.may_judge(version))
    }

    fn may_judge(&self, version: &EngineVersion) -> bool {
        !version.test_only || self.accept_test_signatures
    }

    /// The state as it changes.
    pub fn subscribe(&self) -> watch::Receiver<ScannerState> {
        self.state.subscribe()
    }

    /// What answers now, proved or not.
    pub async fn version(&self) -> Result<EngineVersion, Error> {
        Ok(self.scanner.version().await?)
    }

    /// What the scanner takes.
    pub fn limits(&self) -> ScannerLimits {
        self.scanner.limits()
    }

    /// Makes the scanner take files of this size; `BAD_SETTING` if it is declared to take less.
    pub async fn fit(&self, max_file_bytes: u64) -> Result<(), Error> {
        use crate::ports::FitError;
        match self.scanner.fit(max_file_bytes).await {
            Ok(()) => Ok(()),
            Err(FitError::Declared { limit, allowed }) => Err(Refusal::new(Reason::BadSetting)
                .because(format!(
                    "the scanner is declared to take {limit} = {allowed} bytes: raise it there and in the configuration first"
                ))
                .with("setting", "max_file_bytes")
                .with("limit_bytes", allowed)
                .into()),
            Err(FitError::Scanner(error)) => {
                self.mark_down(&error);
                self.probe_now.notify_one();
                Err(error.into())
            }
        }
    }

    /// The verdict on exactly these bytes: known and CLEAN under the current signatures, or a scan in a slot. A hit is
    /// of the moment it was told, any other verdict of `now`, before the scan: so of two scans that overlap the hit is
    /// the later one.
    pub async fn find_verdict(
        &self,
        known: Option<&Blob>,
        bytes: Arc<dyn Spooled>,
        now: Time,
    ) -> Result<(Finding, Verdict), Error> {
        let version = self.current()?;
        if let Some(blob) = known
            && blob.verdict.kind == VerdictKind::Clean
            && blob.verdict.signatures == version.signatures
        {
            metrics::counter!(names::VERDICTS, names::KIND => "reused").increment(1);
            return Ok((Finding::Clean, blob.verdict.clone()));
        }
        let verdict =
            |kind| Verdict { kind, engine: version.engine.clone(), signatures: version.signatures.clone(), at: now };
        let size = bytes.size();
        let slot = self.take_slot(size).await?;
        let started = tokio::time::Instant::now();
        let reply = self.scanner.scan(bytes, deadline(size)).await;
        self.give_back(slot, size, &reply);
        if matches!(reply, Ok(ScanReply::Clean)) && self.scanner.version().await? != version {
            // Other signatures than those that were proved may have said so: nobody knows which.
            self.probe_now.notify_one();
            return Err(crate::domain::admission::scanner_down().into());
        }
        let outcome = match &reply {
            Ok(ScanReply::Clean) => "clean",
            Ok(ScanReply::Found { .. }) => "found",
            Ok(ScanReply::Unscannable { .. }) | Err(ScanError::TooLong(_)) => "unscannable",
            Err(ScanError::Down(_) | ScanError::NoVerdict(_) | ScanError::Source(_)) => "failed",
        };
        metrics::histogram!(names::SCAN_SECONDS, names::OUTCOME => outcome).record(started.elapsed());
        Ok(match reply {
            Ok(ScanReply::Clean) => {
                // Whoever calls it clean must have been proved still to be able to say no.
                self.current()?;
                (Finding::Clean, verdict(VerdictKind::Clean))
            }
            Ok(ScanReply::Found { signature }) => {
                let hit = Verdict { at: self.clock.now(), ..verdict(VerdictKind::Infected) };
                (Finding::Found { signature }, hit)
            }
            Ok(ScanReply::Unscannable { cause }) => {
                // It may be accepted by the settings: not on the word of a scanner in doubt.
                self.current()?;
                (Finding::Unscannable { cause }, verdict(VerdictKind::UnscannableAccepted))
            }
            Err(ScanError::TooLong(limit)) => {
                self.current()?;
                let cause = format!("the scan took longer than {} s", limit.as_secs());
                (Finding::Unscannable { cause }, verdict(VerdictKind::UnscannableAccepted))
            }
            Err(error @ ScanError::Down(_)) => {
                self.mark_down(&error);
                self.probe_now.notify_one();
                return Err(crate::domain::admission::scanner_down().into());
            }
            Err(error @ ScanError::NoVerdict(_)) => {
                // Perhaps the file's doing: it alone is refused, and whether the scanner is well the canaries tell.
                tracing::warn!(%error, "an upload is refused without a verdict; the scanner is probed");
                self.probe_now.notify_one();
                return Err(crate::domain::admission::scanner_down().into());
            }
            Err(error @ ScanError::Source(_)) => return Err(error.into()),
        })
    }

    /// One scan for its own sake, in a slot: the reply as it came, the version that made it, the time it took. Needs a
    /// scanner that answers, not one that is proved.
    pub async fn scan_once(
        &self,
        bytes: Arc<dyn Spooled>,
    ) -> Result<(Result<ScanReply, ScanError>, EngineVersion, Duration), Error> {
        let version = self.scanner.version().await?;
        let size = bytes.size();
        let slot = self.take_slot(size).await?;
        let started = tokio::time::Instant::now();
        let reply = self.scanner.scan(bytes, deadline(size)).await;
        self.give_back(slot, size, &reply);
        Ok((reply, version, started.elapsed()))
    }

    /// The version that may judge now, or `SCANNER_DOWN`.
    fn current(&self) -> Result<EngineVersion, Refusal> {
        match &*self.state.borrow() {
            ScannerState::Proved { version, .. } if self.may_judge(version) => Ok(version.clone()),
            ScannerState::Proved { .. } => Err(crate::domain::admission::scanner_down().because(
                "only test signatures are loaded: run freshclam, or accept test signatures in the configuration",
            )),
            ScannerState::Unproved | ScannerState::Down { .. } => Err(crate::domain::admission::scanner_down()),
        }
    }

    async fn take_slot(&self, size: u64) -> Result<Slot, Refusal> {
        metrics::gauge!(names::SCAN_QUEUE).increment(1);
        let take = async {
            let large = match size > LARGE_BYTES {
                true => Some(Arc::clone(&self.large).acquire_owned().await.expect("it is never closed")),
                false => None,
            };
            Slot { _slot: Arc::clone(&self.slots).acquire_owned().await.expect("it is never closed"), _large: large }
        };
        let slot = tokio::time::timeout(self.slot_wait, take).await;
        metrics::gauge!(names::SCAN_QUEUE).decrement(1);
        slot.map_err(|_| {
            Refusal::new(Reason::Busy)
                .because("the scanner is busy: no slot became free in time")
                .retry_after(Duration::from_secs(30))
        })
    }

    /// Frees the slot. The scanner goes on with a file that was given up: its slot stays taken for as long as that can
    /// last, else the next file would wait inside the scanner and be called unscannable for it.
    #[expect(clippy::disallowed_methods, reason = "it only sleeps, and nothing is lost if the process ends before")]
    fn give_back(&self, slot: Slot, size: u64, reply: &Result<ScanReply, ScanError>) {
        if let Err(ScanError::TooLong(_)) = reply {
            // What the managed clamd is told as MaxScanTime.
            let longest = deadline(self.limits().max_file_bytes) + Duration::from_secs(30);
            let left = longest.saturating_sub(deadline(size));
            tokio::spawn(async move {
                tokio::time::sleep(left).await;
                drop(slot);
            });
        }
    }

    fn mark_down(&self, error: &dyn std::fmt::Display) {
        let at = self.clock.now();
        let cause = error.to_string();
        self.state.send_if_modified(|state| match state {
            ScannerState::Down { cause: known, .. } if *known == cause => false,
            ScannerState::Down { .. } | ScannerState::Unproved | ScannerState::Proved { .. } => {
                tracing::warn!(%cause, "the scanner is down: uploads that need it are refused");
                *state = ScannerState::Down { cause: cause.clone(), at };
                true
            }
        });
        metrics::gauge!(names::SCANNER_UP).set(0.0);
    }

    /// Signatures older than the setting allows.
    pub fn are_signatures_old(&self, settings: &Settings) -> bool {
        let days = settings.signature_max_age_days;
        let ScannerState::Proved { version, .. } = &*self.state.borrow() else { return false };
        days > 0
            && version
                .signatures_time
                .is_some_and(|made| made.plus_secs(days.saturating_mul(86_400)) < self.clock.now())
    }

    /// Proves the scanner, and keeps proving it: canaries at start, every minute, after every change of its signatures
    /// and whenever something about it is in doubt; PING every two seconds; while it does not answer, five times a second; while a canary comes back
    /// wrong, every second. Ends with `stop`.
    pub async fn watch(&self, stop: &CancellationToken) {
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
    async fn watch_once(&self, last_canaries: &mut Option<tokio::time::Instant>) -> Duration {
        let proved = match self.state.borrow().clone() {
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
            tracing::info!(engine = %version.engine, signatures = %version.signatures, test_only = version.test_only, "the scanner is proved");
        }
        metrics::gauge!(names::SCANNER_UP).set(1.0);
        self.state.send_replace(ScannerState::Proved { version, at: self.clock.now() });
        PING_EVERY
    }
}

const CANARIES_EVERY: Duration = Duration::from_secs(60);
const PING_EVERY: Duration = Duration::from_secs(2);
const RETRY_EVERY: Duration = Duration::from_secs(1);
const KNOCK_EVERY: Duration = Duration::from_millis(200);
/// Before a scanner in doubt is probed: one that is dying has died by then, and who sends bad files all the time does
/// not have the canaries run all the time.
const DOUBTED_FOR: Duration = Duration::from_millis(100);

/// The longest a scan of so many bytes may take: 30 s and its size at 2 MiB/s.
pub fn deadline(size: u64) -> Duration {
    Duration::from_secs(30 + size.div_ceil(2 << 20))
}
