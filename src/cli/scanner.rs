//! `lhfile scanner status`: whether the scanner works, and how the server knows.
//!
//! Not here: the scan of a file of yours (`test_antivirus.rs`).

use clap::Subcommand;

use super::{Context, failure::Failure, output};
use crate::rpc::pb;

/// What to ask the scanner.
#[derive(Debug, Subcommand)]
pub enum Scanner {
    /// Is it healthy, on which signatures, what did the probes say
    Status,
}

impl Scanner {
    /// Prints the status.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Status = self;
        let mut maintenance = context.connection.maintenance().await?;
        let status = maintenance.get_scanner_status(pb::GetScannerStatusRequest {}).await?.into_inner();
        output::one(context.json, "GetScannerStatusResponse", &status, people)
    }
}

fn people(status: &pb::GetScannerStatusResponse) -> String {
    let mut signatures = vec![status.signature_version.clone(), output::time(status.signature_time.as_ref())];
    if status.signatures_too_old {
        signatures.push("TOO OLD: run freshclam".to_owned());
    }
    if status.test_signatures_only {
        signatures.push("TEST SIGNATURES ONLY: real malware is not found; run freshclam".to_owned());
    }
    signatures.retain(|part| !part.is_empty());
    let limits = status.limits.as_ref().map_or_else(String::new, |limits| {
        format!(
            "file {}, unpacked {}, {} members, depth {}",
            output::size(limits.max_file_bytes),
            output::size(limits.max_scan_bytes),
            limits.max_files,
            limits.max_recursion
        )
    });
    let facts = output::facts(&[
        ("healthy", if status.healthy { "yes" } else { "NO: uploads that need a scan are refused" }.to_owned()),
        ("reason", status.reason.clone()),
        ("address", status.address.clone()),
        ("engine", status.engine.clone()),
        ("signatures", signatures.join(", ")),
        ("warning", status.warning.clone()),
        ("limits", limits),
        ("slots", format!("{} of {} used", status.slots_used, status.slots_total)),
        ("proved", output::time(status.state_time.as_ref())),
    ]);
    let mut parts = vec![facts];
    if status.scanners.len() > 1 {
        let rows = status.scanners.iter().map(|one| {
            let used = if one.in_use { "yes".to_owned() } else { format!("NO: {}", one.reason) };
            let slots = format!("{} of {}", one.slots_used, one.slots_total);
            vec![one.address.clone(), one.signature_version.clone(), slots, used]
        });
        parts.push(output::table(&["SCANNER", "SIGNATURES", "SLOTS", "IN USE"], rows));
    }
    if !status.canaries.is_empty() {
        parts.push(probes(&status.canaries));
    }
    parts.join("\n\n")
}

fn probes(canaries: &[pb::Canary]) -> String {
    let rows = canaries.iter().map(|canary| {
        let passed = if canary.passed { "yes" } else { "NO" };
        vec![canary.name.clone(), canary.expected.clone(), canary.got.clone(), passed.to_owned()]
    });
    output::table(&["PROBE", "EXPECTED", "GOT", "PASSED"], rows)
}
