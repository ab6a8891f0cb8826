//! Rescan, quarantine and releases as values: in which order blobs are scanned anew, which of them are due, when a
//! signature hits too much, and what a release says.
//!
//! Not here: which of two sets of signatures counts (`quarantine/taking.rs`), the carrying out (`app/rescan.rs`), and what a
//! hit is ([`super::Hit`]).

use super::{Actor, Blob, BlobState, FileId, Refusal, Settings, Sha256, Time, Verdict, VerdictKind};

mod taking;

pub use taking::{Holder, LEFT_SECS};

/// How long a node's lease on the rescan holds, in seconds.
pub const LEASE_SECS: i64 = 60;
/// A blob that has come with a lower id than one that is there is seen by then, in seconds.
pub const SETTLED_SECS: i64 = 60;
/// Over which time the budget counts, in seconds.
pub const BUDGET_SECS: i64 = 3_600;
/// So many scans that ended without a verdict show that it is the file's doing.
pub const KILLS: u32 = 2;
/// A signature may hit so many blobs of one rescan, whatever there is.
pub const LEAST_BRAKE: u64 = 10;
/// Most files that are scanned at once on demand.
pub const MAX_RESCANNED: usize = 500;
/// Most files that are named with a blob in quarantine.
pub const MAX_FILES_NAMED: usize = 20;
/// Blobs that one transaction releases.
pub const RELEASED_AT_ONCE: u32 = 1_000;
/// What an upload, or a blob, is told of that kills the scanner.
pub const KILLER: &str = "the scanner failed on it twice";

/// The signatures that blobs are judged by, with the engine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// For people.
    pub engine: String,
    /// Changes whenever signatures or engine do; empty: none yet.
    pub signatures: String,
    /// When they were made, if that is known.
    pub made: Option<Time>,
}

macro_rules! phases {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+) => {
        /// The parts of a rescan, in their order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Phase { $($(#[doc = $doc])+ $variant,)+ }

        impl Phase {
            /// All of them, in their order.
            pub const ALL: &'static [Phase] = &[$(Phase::$variant,)+];

            /// The stored name.
            pub const fn name(self) -> &'static str { match self { $(Phase::$variant => $text,)+ } }

            /// By its stored name.
            pub fn find(name: &str) -> Option<Self> { match name { $($text => Some(Phase::$variant),)+ _ => None } }
        }
    };
}

phases! {
    /// Those in quarantine: few, and newer signatures may clear them.
    Quarantined = "QUARANTINED",
    /// Those that nobody has scanned.
    NotScanned = "NOT_SCANNED",
    /// Those whose release has ended.
    Released = "RELEASED",
    /// All others that were there when it began, the newest first.
    Rest = "REST",
    /// Those that came since, the oldest first: it goes on for ever.
    New = "NEW",
}

impl Phase {
    /// Its blobs are walked from the lowest id on; those of all others from the highest on.
    pub const fn is_ascending(self) -> bool {
        matches!(self, Phase::New)
    }

    /// What follows.
    pub const fn next(self) -> Option<Phase> {
        match self {
            Phase::Quarantined => Some(Phase::NotScanned),
            Phase::NotScanned => Some(Phase::Released),
            Phase::Released => Some(Phase::Rest),
            Phase::Rest => Some(Phase::New),
            Phase::New => None,
        }
    }
}

/// A blob that may have to be scanned anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The blob.
    pub blob: Blob,
    /// By which signature it was found, if it was.
    pub signature: Option<String>,
    /// A release of it, or of its signature, is in force; told of RELEASED ones only.
    pub released: bool,
    /// A visitor uploaded one of its files; told of NOT_SCANNED ones only.
    pub of_visitor: bool,
    /// When its row came to be.
    pub created_at: Time,
}

/// What of the settings the rescan goes by. When it changes, all is looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RescanRule {
    /// Every NOT_SCANNED blob is scanned; else only those of visitors.
    pub everyone: bool,
    /// What cannot be scanned is accepted.
    pub accept: bool,
    /// Signatures that count as no hit.
    pub ignored: Vec<String>,
}

impl RescanRule {
    /// That of these settings; `None`: nothing is scanned.
    pub fn of(settings: &Settings) -> Option<Self> {
        use super::settings::{AntivirusScope, AntivirusUnscannable};
        let mut ignored = settings.ignored_signatures.0.clone();
        ignored.sort_unstable();
        settings.antivirus_enabled.then(|| Self {
            everyone: settings.antivirus_scope == AntivirusScope::Everyone,
            accept: settings.antivirus_unscannable == AntivirusUnscannable::Accept,
            ignored,
        })
    }

    /// As it is stored, and compared.
    pub fn text(&self) -> String {
        let scope = if self.everyone { "EVERYONE" } else { "VISITORS" };
        let unscannable = if self.accept { "ACCEPT" } else { "REFUSE" };
        format!("{scope} {unscannable} {}", self.ignored.join(" "))
    }

    /// The signatures that a rule ignores, from its text.
    pub fn ignored_in(text: &str) -> impl Iterator<Item = &str> {
        text.split(' ').skip(2).filter(|name| !name.is_empty())
    }

    /// This signature counts as no hit.
    pub fn ignores(&self, signature: &str) -> bool {
        self.ignored.iter().any(|name| name == signature)
    }
}

/// Whether a blob is to be scanned in this phase. Those that another phase has dealt with are not, nor those that the
/// target has judged already.
pub fn is_due(phase: Phase, candidate: &Candidate, target: &Target, rule: &RescanRule) -> bool {
    let verdict = &candidate.blob.verdict;
    let ignored = candidate.signature.as_ref().is_some_and(|name| rule.ignores(name));
    let own = match (candidate.blob.state, verdict.kind) {
        (BlobState::Purging, _) => return false,
        (BlobState::Quarantined, _) => Phase::Quarantined,
        (BlobState::Active, VerdictKind::NotScanned) => Phase::NotScanned,
        (BlobState::Active, VerdictKind::Released) if !candidate.released && !ignored => Phase::Released,
        (BlobState::Active, _) => Phase::Rest,
    };
    // What an upload to a node that lags behind put into quarantine meanwhile is not left there.
    let came_since = (own, phase) == (Phase::Quarantined, Phase::Rest);
    if own != phase && phase != Phase::New && !came_since {
        return false;
    }
    match own {
        Phase::NotScanned => rule.everyone || candidate.of_visitor,
        Phase::Released => true,
        // One whose signature is ignored by now need not wait for newer ones.
        Phase::Quarantined => ignored || verdict.signatures != target.signatures,
        Phase::Rest | Phase::New => verdict.signatures != target.signatures,
    }
}

/// Most blobs that a signature may hit in one rescan of so many, before somebody has to look.
pub const fn brake(blobs: u64) -> u64 {
    let part = blobs / 1_000;
    if part > LEAST_BRAKE { part } else { LEAST_BRAKE }
}

/// What an hour's budget has been spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// When the hour began.
    pub since: Time,
    /// Bytes.
    pub bytes: u64,
    /// Blobs.
    pub blobs: u64,
}

impl Spent {
    /// Spends so many bytes now, or tells when there is a budget again. The first blob of an hour always passes.
    ///
    /// # Errors
    /// From when on.
    pub fn spend(mut self, bytes: u64, budget: u64, now: Time) -> Result<Self, Time> {
        let end = self.since.plus_secs(BUDGET_SECS);
        // A clock that was set back begins a new hour, too.
        if now >= end || now < self.since {
            self = Self { since: now, bytes: 0, blobs: 0 };
        }
        if self.blobs > 0 && self.bytes.saturating_add(bytes) > budget {
            return Err(end);
        }
        Ok(Self { since: self.since, bytes: self.bytes.saturating_add(bytes), blobs: self.blobs + 1 })
    }

    /// What is left of a budget now.
    pub fn left(&self, budget: u64, now: Time) -> u64 {
        let over = now >= self.since.plus_secs(BUDGET_SECS);
        if over { budget } else { budget.saturating_sub(self.bytes) }
    }
}

/// What a scan anew found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing.
    Clean,
    /// A signature matched.
    Found {
        /// Its name.
        signature: String,
        /// The settings ignore it.
        ignored: bool,
    },
    /// It could not be scanned.
    Unscannable {
        /// The settings accept that.
        accept: bool,
    },
}

/// What became of a blob that was scanned anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It is CLEAN, or UNSCANNABLE_ACCEPTED, by the new signatures; one in quarantine is released.
    Cleared,
    /// It is in quarantine; so many blobs that were not.
    Quarantined(u64),
    /// It was found, and is RELEASED.
    Released,
    /// It was found by a signature that hits too much, and stays as it was.
    Braked,
    /// What was known of it stands.
    Kept,
    /// It is not what was scanned any more, or on its way out.
    Changed,
}

/// A blob in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedBlob {
    /// The hash of its bytes.
    pub sha256: Sha256,
    /// How many bytes.
    pub size: u64,
    /// What was found.
    pub signature: String,
    /// By what.
    pub verdict: Verdict,
    /// How many files have these bytes, deleted ones too.
    pub files: u64,
    /// Some of them, at most [`MAX_FILES_NAMED`].
    pub file_ids: Vec<FileId>,
    /// When it was found.
    pub quarantined_at: Time,
}

/// What is released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseOf {
    /// These bytes, from the signature that was found in them.
    Blob(Sha256),
    /// Whatever this signature hits.
    Signature(String),
}

/// A release from quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Grows with each.
    pub number: i64,
    /// These bytes alone.
    pub sha256: Option<Sha256>,
    /// From this signature.
    pub signature: String,
    /// Why, for people.
    pub reason: String,
    /// Who released it.
    pub by: Actor,
    /// When.
    pub at: Time,
    /// From when on it counts no more; `None`: never.
    pub until: Option<Time>,
}

/// A release's reason.
///
/// # Errors
/// `BAD_ARGUMENT`.
pub fn judge_reason(reason: &str) -> Result<(), Refusal> {
    if reason.is_empty() || reason.len() > 200 || reason.chars().any(char::is_control) {
        return Err(Refusal::argument("reason", "reason must be 1 to 200 bytes without control characters"));
    }
    Ok(())
}

/// A signature's name as it may be told: as scanners write it.
pub fn is_signature(name: &str) -> bool {
    (1..=200).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// A signature's name that an argument tells.
///
/// # Errors
/// `BAD_ARGUMENT`.
pub fn judge_signature(field: &'static str, name: &str) -> Result<(), Refusal> {
    if is_signature(name) {
        return Ok(());
    }
    let must = format!("{field} must be 1 to 200 printable ASCII characters without blanks and commas");
    Err(Refusal::argument(field, must))
}

#[cfg(test)]
mod tests;
