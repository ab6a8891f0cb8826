//! What an administrator is told of the scanner.
//!
//! Not here: how it is found out (`canaries.rs`, and `watch` beside this) and how it is said (`rpc/convert/scanner.rs`).

use super::{CanaryResult, Member, ScannerState, Scanning};
use crate::{
    app::App,
    domain::{Settings, Time},
    ports::{EngineVersion, ScannerLimits},
};

/// The status of the scanners together, and of each.
#[derive(Debug, Clone)]
pub struct ScannerStatus {
    /// Uploads that need a verdict are taken.
    pub healthy: bool,
    /// What went wrong, if anything did.
    pub cause: Option<String>,
    /// Since when, or when it was proved last.
    pub at: Option<Time>,
    /// Where they are.
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
    /// Scans that wait for a slot.
    pub waiting: u32,
    /// Each, in the order of the configuration.
    pub members: Vec<MemberStatus>,
}

/// The status of one scanner.
#[derive(Debug, Clone)]
pub struct MemberStatus {
    /// Where it is.
    pub address: String,
    /// Uploads are given to it: it is proved, and has the newest signatures.
    pub used: bool,
    /// Why not.
    pub cause: Option<String>,
    /// Since when, or when it was proved last.
    pub at: Option<Time>,
    /// What it judges with, if it answers.
    pub version: Option<EngineVersion>,
    /// How the canaries fared last.
    pub canaries: Vec<CanaryResult>,
    /// Slots, and those in use.
    pub slots: u32,
    /// See `slots`.
    pub slots_used: u32,
    /// Scans that wait for one.
    pub waiting: u32,
}

impl Scanning {
    /// All of it.
    pub async fn status(&self, settings: &Settings) -> ScannerStatus {
        let together = self.united();
        let current = match &together {
            ScannerState::Proved { version, .. } => Some(version.clone()),
            ScannerState::Unproved | ScannerState::Down { .. } => None,
        };
        let each = self.members.iter().map(|member| one(member, current.as_ref()));
        let members = futures_util::future::join_all(each).await;
        let (cause, at, version) = match together {
            ScannerState::Unproved => (Some(UNPROVED.to_owned()), None, None),
            ScannerState::Proved { version, at } => (None, Some(at), Some(version)),
            ScannerState::Down { cause, at } => {
                (Some(cause), Some(at), members.iter().find_map(|member| member.version.clone()))
            }
        };
        let too_old = version.as_ref().is_some_and(|version| self.is_old(version, settings));
        let test_only = version.as_ref().is_some_and(|v| v.test_only);
        // Those of one that is left out tell more than those of one that is well.
        let telling = members.iter().find(|member| !member.used && !member.canaries.is_empty());
        let canaries = telling.or(members.iter().find(|member| member.used)).map(|member| member.canaries.clone());
        ScannerStatus {
            healthy: self.is_healthy(),
            cause,
            at,
            address: members.iter().map(|member| member.address.as_str()).collect::<Vec<_>>().join(", "),
            signatures_too_old: too_old,
            warning: if test_only {
                Some("ONLY TEST SIGNATURES are loaded, real malware is not found: run `freshclam` and restart")
            } else if too_old {
                Some("the signatures are old: check that freshclam runs")
            } else if current.is_some() && members.iter().any(|member| !member.used) {
                Some("not every scanner is in use: see what is told of each")
            } else {
                None
            },
            version,
            limits: self.limits(),
            canaries: canaries.unwrap_or_default(),
            slots: members.iter().map(|member| member.slots).sum(),
            slots_used: members.iter().map(|member| member.slots_used).sum(),
            waiting: members.iter().map(|member| member.waiting).sum(),
            members,
        }
    }
}

const UNPROVED: &str = "the canaries have not come back yet";

async fn one(member: &Member, current: Option<&EngineVersion>) -> MemberStatus {
    let (cause, at, version) = match member.state() {
        ScannerState::Unproved => (Some(UNPROVED.to_owned()), None, None),
        ScannerState::Proved { version, at } if current == Some(&version) => (None, Some(at), Some(version)),
        ScannerState::Proved { version, at } => {
            (Some("others have newer signatures: check that freshclam runs there".to_owned()), Some(at), Some(version))
        }
        ScannerState::Down { cause, at } => (Some(cause), Some(at), member.scanner.version().await.ok()),
    };
    MemberStatus {
        address: member.scanner.address(),
        used: cause.is_none(),
        cause,
        at,
        version,
        canaries: member.canaries(),
        slots: member.total,
        slots_used: member.used(),
        waiting: member.waiting(),
    }
}

impl App {
    /// The scanner's status under the settings in force.
    pub async fn scanner_status(&self) -> ScannerStatus {
        self.scanning.status(&self.settings()).await
    }
}
