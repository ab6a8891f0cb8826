//! `lhfile scanner status|rescan`: whether the scanner works, how the server knows, and files scanned again.
//!
//! Not here: the scan of a file of yours (`test_antivirus.rs`), what was found infected (`quarantine.rs`).

use clap::{Args, Subcommand};

use super::{Context, failure::Failure, output};
use crate::rpc::pb::{self, rescan_request::What};

/// What to ask the scanner.
#[derive(Debug, Subcommand)]
pub enum Scanner {
    /// Is it healthy, on which signatures, what did the probes say, what is still to be scanned again
    Status,
    /// Scan stored files again: one or a chat's at once, all of them in the background
    Rescan(Rescan),
}

/// What to scan again.
#[derive(Debug, Args)]
pub struct Rescan {
    #[command(flatten)]
    what: Rescanned,
    /// Quarantine what this signature hits although it hits so much
    #[arg(long, value_name = "NAME", conflicts_with_all = ["file", "chat"])]
    confirm_signature: Option<String>,
}

/// One of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Rescanned {
    /// This file
    #[arg(long, value_name = "FILE_ID")]
    file: Option<String>,
    /// The files of this chat
    #[arg(long, value_name = "CHAT_ID")]
    chat: Option<String>,
    /// All files, in the background
    #[arg(long)]
    all: bool,
}

impl Scanner {
    /// Prints the status, or what the rescan found.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut maintenance = context.connection.maintenance().await?;
        match self {
            Scanner::Status => {
                let status = maintenance.get_scanner_status(pb::GetScannerStatusRequest {}).await?.into_inner();
                output::one(context.json, "GetScannerStatusResponse", &status, people)
            }
            Scanner::Rescan(rescan) => {
                let all = rescan.what.all;
                let answer = maintenance.rescan(rescan.request()).await?.into_inner();
                if all {
                    let progress = output::expected(answer.progress)?;
                    return output::one(context.json, "RescanProgress", &progress, backlog);
                }
                if context.json {
                    return answer.files.iter().try_for_each(|file| output::line(&output::json("RescannedFile", file)));
                }
                output::line(&output::table(&["FILE_ID", "RESULT", "WHY"], answer.files.iter().map(rescanned)))
            }
        }
    }
}

impl Rescan {
    fn request(self) -> pb::RescanRequest {
        let Self { what: Rescanned { file, chat, all }, confirm_signature } = self;
        let what = file.map(What::FileId).or(chat.map(What::ChatId)).or(all.then_some(What::All(true)));
        pb::RescanRequest { what, confirm_signature: confirm_signature.unwrap_or_default() }
    }
}

fn rescanned(file: &pb::RescannedFile) -> Vec<String> {
    let why = format!("{}{}", file.signature, file.cause);
    vec![file.file_id.clone(), output::short(file.result().as_str_name(), "RESCAN_RESULT_"), why]
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
        ("queue", format!("{} wait for a slot", status.scans_waiting)),
        ("proved", output::time(status.state_time.as_ref())),
    ]);
    let mut parts = vec![facts];
    parts.extend(status.rescan.as_ref().map(backlog));
    if status.scanners.len() > 1 {
        let rows = status.scanners.iter().map(|one| {
            let used = if one.in_use { "yes".to_owned() } else { format!("NO: {}", one.reason) };
            let slots = format!("{} of {}", one.slots_used, one.slots_total);
            vec![one.address.clone(), one.signature_version.clone(), slots, one.scans_waiting.to_string(), used]
        });
        parts.push(output::table(&["SCANNER", "SIGNATURES", "SLOTS", "WAITING", "IN USE"], rows));
    }
    if !status.canaries.is_empty() {
        parts.push(probes(&status.canaries));
    }
    parts.join("\n\n")
}

/// What is still to be scanned again, and what a brake holds.
fn backlog(rescan: &pb::RescanProgress) -> String {
    let of = |count: i64, bytes: i64| format!("{count} contents, {}", output::size(bytes));
    let state = match (&rescan.start_time, &rescan.end_time) {
        (None, _) => "none yet".to_owned(),
        (Some(_), Some(_)) => "done".to_owned(),
        (Some(_), None) if rescan.node.is_empty() => "waits".to_owned(),
        (Some(_), None) => format!("under way on {}", rescan.node),
    };
    let mut facts = vec![("rescan", state)];
    if rescan.start_time.is_some() {
        facts.extend([
            ("by signatures", rescan.target_signatures.clone()),
            ("since", output::time(rescan.start_time.as_ref())),
            ("ended", output::time(rescan.end_time.as_ref())),
            ("scanned", of(rescan.done_count, rescan.done_bytes)),
            ("left", of(rescan.left_count, rescan.left_bytes)),
            ("found infected", rescan.hit_count.to_string()),
        ]);
    }
    facts.push(("budget left", format!("{} in this hour", output::size(rescan.budget_left_bytes))));
    let mut parts = vec![output::facts(&facts)];
    if !rescan.braked.is_empty() {
        let rows = rescan.braked.iter().map(|one| vec![one.signature.clone(), one.hit_count.to_string()]);
        let table = output::table(&["SIGNATURE THAT HITS TOO MUCH", "CONTENTS"], rows);
        parts.push(format!("{table}\n{BRAKED}"));
    }
    parts.join("\n\n")
}

const BRAKED: &str = "what they hit is served on: `lhfile quarantine release --signature NAME --reason TEXT` if the alarm is \
                      false, `lhfile scanner rescan --all --confirm-signature NAME` if it is not";

fn probes(canaries: &[pb::Canary]) -> String {
    let rows = canaries.iter().map(|canary| {
        let passed = if canary.passed { "yes" } else { "NO" };
        vec![canary.name.clone(), canary.expected.clone(), canary.got.clone(), passed.to_owned()]
    });
    output::table(&["PROBE", "EXPECTED", "GOT", "PASSED"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_how_far_the_rescan_is_and_what_to_do_about_a_brake() {
        assert!(backlog(&pb::RescanProgress::default()).starts_with("rescan       none yet"));
        let time = Some(prost_types::Timestamp { seconds: 0, nanos: 0 });
        let braked = vec![pb::BrakedSignature { signature: "Zip.Any".into(), hit_count: 14 }];
        let going =
            pb::RescanProgress { start_time: time, left_count: 7, left_bytes: 1_536, braked, ..Default::default() };
        let text = backlog(&going);
        for part in
            ["waits", "7 contents, 1.5 KiB", "Zip.Any", "14", "quarantine release --signature", "--confirm-signature"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
        let done = pb::RescanProgress { end_time: time, braked: Vec::new(), ..going };
        assert!(backlog(&done).contains("done") && !backlog(&done).contains("quarantine release"));
    }

    #[test]
    fn people_read_how_many_scans_wait_by_all_scanners_and_by_each() {
        let scanner = |address: &str, scans_waiting| {
            let address = address.to_owned();
            pb::ScannerState { address, in_use: true, scans_waiting, slots_total: 2, ..Default::default() }
        };
        let scanners = vec![scanner("one:3310", 3), scanner("two:3310", 14)];
        let text = people(&pb::GetScannerStatusResponse { scans_waiting: 17, scanners, ..Default::default() });
        let words = |begin: &str| {
            let line = text.lines().find(|line| line.trim_start().starts_with(begin)).unwrap_or_default();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(words("queue"), ["queue", "17", "wait", "for", "a", "slot"], "{text}");
        assert_eq!(words("two:3310"), ["two:3310", "0", "of", "2", "14", "yes"], "{text}");
    }

    #[test]
    fn rescan_of_all_confirms_a_signature_and_each_way_names_what_it_is_about() {
        let of = |file: Option<&str>, chat: Option<&str>, all| {
            let what = Rescanned { file: file.map(str::to_owned), chat: chat.map(str::to_owned), all };
            Rescan { what, confirm_signature: all.then(|| "Zip.Any".to_owned()) }.request()
        };
        assert_eq!(of(Some("f"), None, false).what, Some(What::FileId("f".into())));
        assert_eq!(of(None, Some("42"), false).what, Some(What::ChatId("42".into())));
        let all = of(None, None, true);
        assert_eq!((all.what, all.confirm_signature.as_str()), (Some(What::All(true)), "Zip.Any"));
    }
}
