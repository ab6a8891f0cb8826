//! The scanner's status and the answer of an antivirus test.
//!
//! Not here: how either comes to be (`app/scanning.rs`, `app/antivirus_test.rs`).

use super::{count, quarantine, timestamp};
use crate::{
    app::{AntivirusTest, CanaryResult, MemberStatus, RescanProgress, ScannerStatus, TestResult},
    ports::{EngineVersion, ScannerLimits},
    rpc::pb,
};

/// The answer of a test.
pub fn tested(test: AntivirusTest) -> pb::TestAntivirusResponse {
    let AntivirusTest { result, version, took, explanation } = test;
    let EngineVersion { engine, signatures, signatures_time: _, test_only: _ } = version;
    let (result, signature, cause) = match result {
        TestResult::Clean => (pb::ScanResult::Clean, String::new(), String::new()),
        TestResult::Infected { signature } => (pb::ScanResult::Infected, signature, String::new()),
        TestResult::Unscannable { cause } => (pb::ScanResult::Unscannable, String::new(), cause),
    };
    pb::TestAntivirusResponse {
        result: result.into(),
        signature,
        cause,
        engine,
        signature_version: signatures,
        scan_duration: took.try_into().ok(),
        explanation,
    }
}

/// The scanner's status, and how far the rescan is, if that is known.
pub fn status(status: ScannerStatus, rescan: Option<RescanProgress>) -> pb::GetScannerStatusResponse {
    let ScannerStatus {
        healthy,
        cause,
        at,
        address,
        version,
        signatures_too_old,
        warning,
        limits,
        canaries,
        slots,
        slots_used,
        waiting,
        members,
    } = status;
    let test_signatures_only = version.as_ref().is_some_and(|v| v.test_only);
    let signature_time = version.as_ref().and_then(|v| v.signatures_time).map(timestamp);
    let (engine, signature_version) = version.map(|v| (v.engine, v.signatures)).unwrap_or_default();
    pb::GetScannerStatusResponse {
        healthy,
        reason: cause.unwrap_or_default(),
        address,
        engine,
        signature_version,
        signature_time,
        signatures_too_old,
        test_signatures_only,
        warning: warning.unwrap_or_default().to_owned(),
        limits: Some(self::limits(limits)),
        canaries: canaries.into_iter().map(canary).collect(),
        slots_total: small(slots),
        slots_used: small(slots_used),
        state_time: at.map(timestamp),
        scanners: members.into_iter().map(member).collect(),
        rescan: rescan.map(quarantine::progress),
        scans_waiting: small(waiting),
    }
}

fn member(member: MemberStatus) -> pb::ScannerState {
    let MemberStatus { address, used, cause, at, version, canaries, slots, slots_used, waiting } = member;
    let signature_time = version.as_ref().and_then(|v| v.signatures_time).map(timestamp);
    let (engine, signature_version) = version.map(|v| (v.engine, v.signatures)).unwrap_or_default();
    pb::ScannerState {
        address,
        in_use: used,
        reason: cause.unwrap_or_default(),
        engine,
        signature_version,
        signature_time,
        canaries: canaries.into_iter().map(canary).collect(),
        slots_total: small(slots),
        slots_used: small(slots_used),
        state_time: at.map(timestamp),
        scans_waiting: small(waiting),
    }
}

fn limits(limits: ScannerLimits) -> pb::ScannerLimits {
    // Threads are told as slots.
    let ScannerLimits { max_file_bytes, max_scan_bytes, max_files, max_recursion, threads: _ } = limits;
    pb::ScannerLimits {
        max_file_bytes: count(max_file_bytes),
        max_scan_bytes: count(max_scan_bytes),
        max_files: small(max_files),
        max_recursion: small(max_recursion),
    }
}

fn canary(canary: CanaryResult) -> pb::Canary {
    let CanaryResult { name, expected, got, passed } = canary;
    pb::Canary { name: name.to_owned(), expected: expected.to_owned(), got, passed }
}

fn small(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
