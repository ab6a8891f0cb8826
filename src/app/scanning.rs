//! The scanners as the uploads see them: each proved by canaries or left out, the least loaded asked first, and verdicts
//! that are not asked twice.
//!
//! Not here: one scanner with its slots and its watch (`scanning/member.rs`), the protocol (`adapters/scanner/`) and what
//! a verdict means (`domain/admission.rs`). Fail closed: until the canaries of one came back right, nothing is called
//! clean. Of several the newest signatures win: who has older ones is left out until it has caught up, so that no verdict
//! depends on who was asked.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::{
    domain::{Blob, Hit, Reason, Refusal, Settings, Time, Verdict, VerdictKind, admission::Finding},
    ports::{ByteSource, Clock, EngineVersion, ScanError, ScanReply, Scanner, ScannerLimits},
    telemetry::names,
};

mod canaries;
mod member;
mod sparing;
mod status;
pub use canaries::CanaryResult;
use member::{Member, Scanned};
pub use status::{MemberStatus, ScannerStatus};

/// What is known of a scanner, or of all of them together.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// The scanners, and what they are together.
pub struct Scanning {
    members: Vec<Member>,
    clock: Arc<dyn Clock>,
    accept_test_signatures: bool,
    slot_wait: Duration,
    state: watch::Sender<ScannerState>,
}

impl Scanning {
    /// Unproved. At least one scanner; all take the same.
    pub fn new(
        scanners: Vec<Arc<dyn Scanner>>,
        clock: Arc<dyn Clock>,
        accept_test_signatures: bool,
        slot_wait: Duration,
    ) -> Self {
        let members = scanners.into_iter().map(|scanner| Member::new(scanner, Arc::clone(&clock))).collect();
        Self { members, clock, accept_test_signatures, slot_wait, state: watch::Sender::new(ScannerState::Unproved) }
    }

    /// One is proved, and with signatures that may judge.
    pub fn is_healthy(&self) -> bool {
        matches!(&*self.state.borrow(), ScannerState::Proved { version, .. } if self.may_judge(version))
    }

    fn may_judge(&self, version: &EngineVersion) -> bool {
        !version.test_only || self.accept_test_signatures
    }

    /// The state of all together as it changes: that of the best.
    pub fn subscribe(&self) -> watch::Receiver<ScannerState> {
        self.state.subscribe()
    }

    /// What answers now, proved or not.
    pub async fn version(&self) -> Result<EngineVersion, Error> {
        Ok(self.any().scanner.version().await?)
    }

    /// What each of them takes.
    pub fn limits(&self) -> ScannerLimits {
        self.any().scanner.limits()
    }

    /// Makes the scanners take files of this size; `BAD_SETTING` if they are declared to take less.
    pub async fn fit(&self, max_file_bytes: u64) -> Result<(), Error> {
        use crate::ports::FitError;
        let mut failed = None;
        for member in &self.members {
            match member.scanner.fit(max_file_bytes).await {
                Ok(()) => {}
                Err(FitError::Declared { limit, allowed }) => {
                    return Err(Refusal::new(Reason::BadSetting)
                        .because(format!(
                            "the scanner is declared to take {limit} = {allowed} bytes: raise it there and in the configuration first"
                        ))
                        .with("setting", "max_file_bytes")
                        .with("limit_bytes", allowed)
                        .into());
                }
                Err(FitError::Scanner(error)) => {
                    self.mark_down(member, &error);
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The verdict on exactly these bytes: known and CLEAN under the current signatures, or a scan in a slot. A hit that
    /// is remembered stands unless ours are newer signatures than those that made it (those of another node may be), and
    /// unless a scan by them calls the bytes clean: what cannot be scanned is not cleared. A
    /// scanner that fails is followed by the next; one that gives no verdict on these bytes is not, because that may be
    /// their doing. `failed_scan`: a scanner went down while it had them, which may be their doing; those that were down
    /// before say nothing of them, and of several one call tells once.
    pub async fn find_verdict(
        &self,
        known: Option<&Blob>,
        hit: Option<&Hit>,
        bytes: Arc<dyn ByteSource>,
        now: Time,
        failed_scan: &mut bool,
    ) -> Result<(Finding, Verdict), Error> {
        let until = tokio::time::Instant::now() + self.slot_wait;
        let mut failed = Vec::new();
        let standing = |hit: &Hit| {
            let found = Finding::Found { signature: hit.signature.clone(), made: hit.made };
            (found, hit.verdict.clone())
        };
        loop {
            let version = self.current()?;
            if let Some(hit) = hit.filter(|hit| hit.stands_against(&version.signatures, version.signatures_time)) {
                return Ok(standing(hit));
            }
            if let Some(blob) = known
                && blob.verdict.kind == VerdictKind::Clean
                && blob.verdict.signatures == version.signatures
            {
                metrics::counter!(names::VERDICTS, names::KIND => "reused").increment(1);
                return Ok((Finding::Clean, blob.verdict.clone()));
            }
            let Some((number, member)) = self.least_loaded(&version, &failed) else {
                return Err(crate::domain::admission::scanner_down().into());
            };
            let (reply, took) = match member.scan(Arc::clone(&bytes), Some(&version), until).await {
                Scanned::Replied(reply, took) => (reply, took),
                // It is asked no more until it is proved again: the next, or nobody.
                Scanned::Left => continue,
                Scanned::Lost => {
                    *failed_scan = true;
                    continue;
                }
                Scanned::Busy => return Err(busy().into()),
            };
            *failed_scan |= match &reply {
                Err(ScanError::NoVerdict(_)) => true,
                // It took them, and fell silent.
                Err(ScanError::Down(_)) => took >= deadline(bytes.size()),
                Ok(_) | Err(ScanError::TooLong(_) | ScanError::Source(_)) => false,
            };
            metrics::histogram!(names::SCAN_SECONDS, names::OUTCOME => outcome(&reply)).record(took);
            match (self.judge(member, &version, reply, now).await?, hit) {
                (Some((Finding::Unscannable { .. }, _)), Some(hit)) => return Ok(standing(hit)),
                (Some(verdict), _) => return Ok(verdict),
                (None, _) => failed.push(number),
            }
        }
    }

    /// What a scanner's reply is worth; `None` if another one has to be asked.
    async fn judge(
        &self,
        member: &Member,
        version: &EngineVersion,
        reply: Result<ScanReply, ScanError>,
        now: Time,
    ) -> Result<Option<(Finding, Verdict)>, Error> {
        let verdict =
            |kind| Verdict { kind, engine: version.engine.clone(), signatures: version.signatures.clone(), at: now };
        // Whoever calls it clean must have been proved still to be able to say no; and what cannot be scanned may be
        // accepted by the settings: not on the word of a scanner in doubt.
        let believed = member.judges_with(version);
        Ok(match reply {
            Ok(ScanReply::Clean) => match member.scanner.version().await {
                Ok(now) if now == *version => believed.then(|| (Finding::Clean, verdict(VerdictKind::Clean))),
                // Other signatures than those that were proved may have said so: nobody knows which.
                Ok(_) => {
                    member.doubt();
                    None
                }
                Err(error) => {
                    self.mark_down(member, &error);
                    None
                }
            },
            Ok(ScanReply::Found { signature }) => {
                let hit = Verdict { at: self.clock.now(), ..verdict(VerdictKind::Infected) };
                Some((Finding::Found { signature, made: version.signatures_time }, hit))
            }
            Ok(ScanReply::Unscannable { cause }) => {
                believed.then(|| (Finding::Unscannable { cause }, verdict(VerdictKind::UnscannableAccepted)))
            }
            Err(ScanError::TooLong(limit)) => {
                let cause = format!("the scan took longer than {} s", limit.as_secs());
                believed.then(|| (Finding::Unscannable { cause }, verdict(VerdictKind::UnscannableAccepted)))
            }
            Err(error @ ScanError::Down(_)) => {
                self.mark_down(member, &error);
                None
            }
            Err(error @ ScanError::NoVerdict(_)) => {
                // Perhaps the file's doing: it alone is refused, and whether the scanner is well the canaries tell.
                tracing::warn!(%error, "an upload is refused without a verdict; the scanner is probed");
                member.doubt();
                return Err(crate::domain::admission::scanner_down().into());
            }
            Err(error @ ScanError::Source(_)) => return Err(error.into()),
        })
    }

    /// One scan for its own sake, in a slot: the reply as it came, the version that made it, the time it took. Needs a
    /// scanner that answers, not one that is proved.
    pub async fn scan_once(
        &self,
        bytes: Arc<dyn ByteSource>,
    ) -> Result<(Result<ScanReply, ScanError>, EngineVersion, Duration), Error> {
        let member = self.any();
        let version = member.scanner.version().await?;
        let until = tokio::time::Instant::now() + self.slot_wait;
        match member.scan(bytes, None, until).await {
            Scanned::Replied(reply, took) => Ok((reply, version, took)),
            Scanned::Left | Scanned::Lost | Scanned::Busy => Err(busy().into()),
        }
    }

    /// The version that may judge now, or `SCANNER_DOWN`.
    fn current(&self) -> Result<EngineVersion, Refusal> {
        match self.united() {
            ScannerState::Proved { version, .. } if self.may_judge(&version) => Ok(version),
            ScannerState::Proved { .. } => Err(crate::domain::admission::scanner_down().because(
                "only test signatures are loaded: run freshclam, or accept test signatures in the configuration",
            )),
            ScannerState::Unproved | ScannerState::Down { .. } => Err(crate::domain::admission::scanner_down()),
        }
    }

    /// Whoever judges with this version, but not these, and has least to do for each of its slots.
    fn least_loaded(&self, version: &EngineVersion, but: &[usize]) -> Option<(usize, &Member)> {
        let judges = self.members.iter().enumerate().filter(|(i, m)| !but.contains(i) && m.judges_with(version));
        judges.min_by_key(|(_, member)| member.load())
    }

    /// One for questions that any may answer: proved rather than not, least loaded.
    fn any(&self) -> &Member {
        let rank = |member: &&Member| {
            let state = match member.state() {
                ScannerState::Proved { .. } => 0,
                ScannerState::Unproved => 1,
                ScannerState::Down { .. } => 2,
            };
            (state, member.load())
        };
        self.members.iter().min_by_key(rank).expect("there is at least one")
    }

    /// All are proved anew, now.
    pub(super) fn doubt(&self) {
        self.members.iter().for_each(Member::doubt);
    }

    fn mark_down(&self, member: &Member, error: &ScanError) {
        member.mark_down(error);
        member.doubt();
        self.unite();
    }

    /// What all of them are together now: as good as the best, and of equals with the newest signatures.
    fn united(&self) -> ScannerState {
        let states: Vec<_> = self.members.iter().map(|member| (member.scanner.address(), member.state())).collect();
        united(&states, |version| self.may_judge(version))
    }

    /// Tells it to those who wait for it.
    fn unite(&self) {
        let united = self.united();
        metrics::gauge!(names::SCANNER_UP).set(f64::from(u8::from(matches!(united, ScannerState::Proved { .. }))));
        self.state.send_if_modified(|known| {
            let changed = *known != united;
            if changed {
                *known = united;
            }
            changed
        });
    }

    /// Signatures older than the setting allows.
    fn is_old(&self, version: &EngineVersion, settings: &Settings) -> bool {
        let days = settings.signature_max_age_days;
        days > 0
            && version
                .signatures_time
                .is_some_and(|made| made.plus_secs(days.saturating_mul(86_400)) < self.clock.now())
    }

    /// Proves the scanners, and keeps proving them. Ends with `stop`.
    pub async fn watch(&self, stop: &CancellationToken) {
        let watching = self.members.iter().map(|member| async {
            let mut state = member.subscribe();
            let following = async {
                while state.changed().await.is_ok() {
                    self.unite();
                }
            };
            tokio::select! { () = member.watch(stop) => {}, () = following => {} }
        });
        futures_util::future::join_all(watching).await;
    }
}

/// The state of several scanners as one. Those that may judge come before those that may not.
fn united(states: &[(String, ScannerState)], may_judge: impl Fn(&EngineVersion) -> bool) -> ScannerState {
    let proved = states.iter().filter_map(|(_, state)| match state {
        ScannerState::Proved { version, at } => Some((version, at)),
        ScannerState::Unproved | ScannerState::Down { .. } => None,
    });
    // Signatures without a time are older than any with one; of equal times the greater name, so that all agree.
    let newest = proved.max_by_key(|(version, at)| {
        (may_judge(version), version.signatures_time, &version.signatures, &version.engine, **at)
    });
    if let Some((version, at)) = newest {
        return ScannerState::Proved { version: version.clone(), at: *at };
    }
    let mut down = states.iter().filter_map(|(address, state)| match state {
        ScannerState::Down { cause, at } if states.len() == 1 => Some((cause.clone(), *at)),
        ScannerState::Down { cause, at } => Some((format!("{address}: {cause}"), *at)),
        ScannerState::Unproved | ScannerState::Proved { .. } => None,
    });
    match down.next() {
        Some(first) => {
            let (cause, at) =
                down.fold(first, |(causes, since), (cause, at)| (format!("{causes}; {cause}"), since.max(at)));
            ScannerState::Down { cause, at }
        }
        None => ScannerState::Unproved,
    }
}

const fn outcome(reply: &Result<ScanReply, ScanError>) -> &'static str {
    match reply {
        Ok(ScanReply::Clean) => "clean",
        Ok(ScanReply::Found { .. }) => "found",
        Ok(ScanReply::Unscannable { .. }) | Err(ScanError::TooLong(_)) => "unscannable",
        Err(ScanError::Down(_) | ScanError::NoVerdict(_) | ScanError::Source(_)) => "failed",
    }
}

fn busy() -> Refusal {
    Refusal::new(Reason::Busy)
        .because("the scanner is busy: no slot became free in time")
        .retry_after(Duration::from_secs(30))
}

/// The longest a scan of so many bytes may take: 30 s and its size at 2 MiB/s.
pub fn deadline(size: u64) -> Duration {
    Duration::from_secs(30 + size.div_ceil(2 << 20))
}

#[cfg(test)]
mod tests;
