//! The port to a virus scanner: what the service asks of one, and the answers it tells apart.
//!
//! Not here: which answer means what under the settings (`domain/admission.rs`), slots, canaries and the reuse of
//! verdicts (`app/scanning.rs`). The one implementation is `adapters/scanner/`.

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::ByteSource;
use crate::domain::Time;

/// What one scanner takes. Beyond it nothing can be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScannerLimits {
    /// Largest file, in bytes (clamd: the smaller of `StreamMaxLength` and `MaxFileSize`).
    pub max_file_bytes: u64,
    /// Most bytes unpacked out of one file (clamd: `MaxScanSize`).
    pub max_scan_bytes: u64,
    /// Most members of all containers of one file (clamd: `MaxFiles`).
    pub max_files: u32,
    /// Deepest nesting of containers (clamd: `MaxRecursion`).
    pub max_recursion: u32,
    /// Scans it runs at once (clamd: `MaxThreads`).
    pub threads: u32,
}

/// The engine and the signatures a verdict was made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineVersion {
    /// For people, e.g. `ClamAV 1.4.3`.
    pub engine: String,
    /// Changes whenever the signatures (or the engine) change; equal means a verdict may be reused.
    pub signatures: String,
    /// When the signatures were made, if it can be known.
    pub signatures_time: Option<Time>,
    /// True when only the bundled test signatures are loaded: real malware is not found.
    pub test_only: bool,
}

/// The answer of a scanner that looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanReply {
    /// Exactly `stream: OK`.
    Clean,
    /// A signature matched.
    Found {
        /// Its name, as the scanner tells it.
        signature: String,
    },
    /// It could not look at all of it: a limit, encryption, the size of the stream.
    Unscannable {
        /// What stopped it, e.g. `Heuristics.Limits.Exceeded.MaxFiles`.
        cause: String,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// No scanner answers: it takes no connection, or it answers neither the scan nor PING.
    #[error("the scanner does not answer: {0}")]
    Down(#[source] io::Error),
    /// It took this file and gave no verdict: it answered with an error or nonsense, or broke off. That may be the
    /// file's doing, and says nothing of the scanner.
    #[error("the scanner gave no verdict: {0}")]
    NoVerdict(#[source] io::Error),
    /// The deadline passed while the scanner still answers PING: this file is too much for it.
    #[error("the scan did not end within {0:?}, while the scanner answers")]
    TooLong(Duration),
    /// Our own spool could not be read. Not the scanner's fault.
    #[error("the bytes to scan could not be read: {0}")]
    Source(#[source] io::Error),
}

/// Why the scanner cannot be made to take files of some size.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// An external scanner is declared to take less; names the limit to raise.
    #[error("the scanner is declared to take {limit} = {allowed} bytes: raise it there and in the configuration first")]
    Declared {
        /// The limit's name in the scanner's own configuration.
        limit: &'static str,
        /// What is declared now, in bytes.
        allowed: u64,
    },
    /// The managed scanner did not come back.
    #[error(transparent)]
    Scanner(#[from] ScanError),
}

/// Bytes whose verdict is known beforehand: the proof that a scanner can say no, and yes.
#[derive(Debug, Clone)]
pub struct Canary {
    /// For people: `clean`, `eicar`, `eicar-in-zip`, `too-many-members`.
    pub name: &'static str,
    /// What to scan, at most some MiB.
    pub bytes: Bytes,
    /// What must come back.
    pub expect: Expect,
}

/// The verdict a canary must get, whatever the name of the signature or the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// [`ScanReply::Clean`].
    Clean,
    /// [`ScanReply::Found`].
    Infected,
    /// [`ScanReply::Unscannable`], or [`ScanReply::Found`]: what it proves is that its bytes are not called clean. A signature
    /// that hits every archive hits this one, too, and is no reason to do without the scanner.
    Unscannable,
}

impl Expect {
    /// True if `reply` is the expected verdict.
    pub const fn agrees(self, reply: &ScanReply) -> bool {
        matches!(
            (self, reply),
            (Self::Clean, ScanReply::Clean)
                | (Self::Infected, ScanReply::Found { .. })
                | (Self::Unscannable, ScanReply::Unscannable { .. } | ScanReply::Found { .. })
        )
    }
}

/// A virus scanner.
#[async_trait]
pub trait Scanner: Send + Sync + 'static {
    /// Judges all bytes of `source`, within `deadline` from now. Never `Clean` unless the scanner said exactly so.
    async fn scan(&self, source: Arc<dyn ByteSource>, deadline: Duration) -> Result<ScanReply, ScanError>;

    /// True when it answers PING within a short time of its own (3 s).
    async fn ping(&self) -> Result<(), ScanError>;

    /// Engine and signatures as loaded now.
    async fn version(&self) -> Result<EngineVersion, ScanError>;

    /// What it takes now.
    fn limits(&self) -> ScannerLimits;

    /// Sees to it that files of `max_file_bytes` can be judged: restarts a managed scanner with limits to match (scans
    /// wait meanwhile), compares with what is declared of an external one.
    async fn fit(&self, max_file_bytes: u64) -> Result<(), FitError>;

    /// Files whose verdicts are known, made once for this scanner's limits. A scanner that answers one of them wrongly
    /// must not be believed about anything else.
    fn canaries(&self) -> &[Canary];

    /// Where it is, for people: `managed, unix:/tmp/…`, `tcp:10.0.0.7:3310`.
    fn address(&self) -> String;
}
