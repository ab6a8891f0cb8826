//! What an administrator is told of the scanner.
//!
//! Not here: how it is found out (`canaries.rs`, and `watch` beside this) and how it is said (`rpc/convert/scanner.rs`).

use super::{CanaryResult, ScannerState, Scanning};
use crate::{
    app::App,
    domain::{Settings, Time},
    ports::{EngineVersion, ScannerLimits},
};

/// The scanner's status.
#[derive(Debug, Clone)]
pub struct ScannerStatus {
    /// Uploads that need a verdict are taken.
    pub healthy: bool,
    /// What went wrong, if anything did.
    pub cause: Option<String>,
    /// Since when, or when it was proved last.
    pub at: Option<Time>,
    /// Where it is.
    pub address: String,
    /// What it judges with, if it answers.
    pub version: Option<EngineVersion>,
    /// The signatures are older than `signature_max_age_days`.
    pub signatures_too_old: bool,
    /// Something an administrator should do, in one sentence.
    pub warning: Option<&'static str>,
    /// What it takes.
    pub limits: ScannerLimits,
    /// How the canaries fared last.
    pub canaries: Vec<CanaryResult>,
    /// Slots, and those in use.
    pub slots: u32,
    /// See `slots`.
    pub slots_used: u32,
}

impl Scanning {
    /// All of it.
    pub async fn status(&self, settings: &Settings) -> ScannerStatus {
        let state = self.state.borrow().clone();
        let (cause, at, version) = match state {
            ScannerState::Unproved => (Some("the canaries have not come back yet".to_owned()), None, None),
            ScannerState::Proved { version, at } => (None, Some(at), Some(version)),
            ScannerState::Down { cause, at } => (Some(cause), Some(at), self.scanner.version().await.ok()),
        };
        let too_old = self.are_signatures_old(settings);
        let test_only = version.as_ref().is_some_and(|v| v.test_only);
        ScannerStatus {
            healthy: self.is_healthy(),
            cause,
            at,
            address: self.scanner.address(),
            signatures_too_old: too_old,
            warning: match (test_only, too_old) {
                (true, _) => {
                    Some("ONLY TEST SIGNATURES are loaded, real malware is not found: run `freshclam` and restart")
                }
                (false, true) => Some("the signatures are old: check that freshclam runs"),
                (false, false) => None,
            },
            version,
            limits: self.scanner.limits(),
            canaries: self.canaries.borrow().clone(),
            slots: self.total,
            slots_used: self.total.saturating_sub(u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX)),
        }
    }
}

impl App {
    /// The scanner's status under the settings in force.
    pub async fn scanner_status(&self) -> ScannerStatus {
        self.scanning.status(&self.settings()).await
    }
}
