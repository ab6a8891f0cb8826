//! `lhfile fsck`: whether rows and bytes belong together, and with `--repair` what can be put right; `--journal FILE`: whether
//! what this client was told still holds.
//!
//! `fsck/checking.rs` follows a check and `fsck/repairing.rs` a repair, whatever becomes of the connection; `fsck/telling.rs`
//! writes for people; `fsck/journal.rs` and `fsck/comparing.rs` are the client's own journal. Not here: what is looked at and
//! what is removed (the server decides).

use std::{io::IsTerminal as _, path::PathBuf, process::ExitCode};

use clap::Args;

use super::{
    Context,
    arguments::short_enum,
    failure::{Failure, Refused},
    output, question,
};
use crate::{
    domain::{Reason, Refusal},
    rpc::{
        pb,
        status::{code_name, refused},
    },
};

mod checking;
mod comparing;
mod journal;
mod progress;
mod repairing;
mod telling;

use telling::Report;

/// What to check.
#[derive(Debug, Args)]
pub struct Fsck {
    /// Repair what was found, after the report; what only a person can repair stays
    #[arg(long, conflicts_with = "journal")]
    repair: bool,
    /// Repair these only; may be repeated [default: all but strange-name, which is removed only where it is named]
    #[arg(long = "kind", value_name = "KIND", ignore_case = true, requires = "repair")]
    kinds: Vec<Repairable>,
    /// Do not ask before the repair
    #[arg(long, requires = "repair")]
    yes: bool,
    /// Instead: compare this file, to which `lhfile upload`, `rm`, `purge` and `restore` wrote with --json, with the server
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How many bytes to read and to compare with their hashes: all, none (sizes alone, which is quick), or a number
    #[arg(long, value_name = "all|none|BYTES", default_value = "all", value_parser = bytes)]
    hash: Bytes,
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bytes {
    All,
    AtMost(i64),
}

impl Bytes {
    const fn as_request(self) -> i64 {
        match self {
            Self::All => -1,
            Self::AtMost(bytes) => bytes,
        }
    }
}

fn bytes(text: &str) -> Result<Bytes, String> {
    match text {
        "all" => Ok(Bytes::All),
        "none" => Ok(Bytes::AtMost(0)),
        _ => text
            .parse()
            .ok()
            .filter(|bytes| *bytes >= 0)
            .map(Bytes::AtMost)
            .ok_or_else(|| format!("{text:?} is no number of bytes: write all, none, or a whole number")),
    }
}

short_enum! {
    /// What a repair can remove.
    Repairable: pb::FindingKind {
        /// Bytes that no row names
        UnnamedBytes,
        /// Uploads in parts that no row names
        OpenMultipart,
        /// Bytes in the spool that no upload names
        StaleSpool,
        /// Names that are none of ours
        StrangeName,
        /// Rows that name what is not there
        DanglingRow,
    }
}

/// Those that are repaired unless others are named.
const USUAL: [Repairable; 4] =
    [Repairable::UnnamedBytes, Repairable::OpenMultipart, Repairable::StaleSpool, Repairable::DanglingRow];

impl Fsck {
    /// Prints the findings and what became of them. Exit code 0: there is nothing, or nothing any more; else 1.
    pub async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let Self { repair, kinds, yes, journal, hash } = self;
        if let Some(path) = journal {
            return comparing::compare(context, &path, hash).await;
        }
        // Not after an hour of checking.
        if repair && !yes && !std::io::stdin().is_terminal() {
            return Err(Failure::Usage(
                "a repair removes for good, and nobody is there to agree: say --yes".to_owned(),
            ));
        }
        let mut client = context.connection.maintenance().await?;
        let mut report = Report::new(context.json);
        let summary = match checking::check(context, &mut client, hash.as_request(), &mut report).await {
            Ok(summary) => summary,
            Err(failure) => {
                if let Some(found) = report.broken_off() {
                    output::line(&found)?;
                }
                return Err(failure);
            }
        };
        output::line(&report.end(&summary))?;
        if summary.consistent {
            return Ok(ExitCode::SUCCESS);
        }
        if !repair {
            return Ok(ExitCode::from(1));
        }
        let chosen = if kinds.is_empty() { USUAL.to_vec() } else { kinds };
        let chosen: Vec<i32> = chosen.into_iter().map(i32::from).collect();
        let removable = telling::counts(&summary, |kind| chosen.contains(&kind));
        if removable.is_empty() {
            output_for_people(context, "nothing of it is repaired by itself")?;
            return Ok(ExitCode::from(1));
        }
        if summary.check_id.is_empty() {
            return Err(read_only());
        }
        if !yes {
            question::must_agree(&format!("Removed for good, where it is still so: {removable}."), "Say --yes")?;
        }
        let request = pb::RepairConsistencyRequest { check_id: summary.check_id.clone(), kinds: chosen.clone() };
        let stay = repairing::repair(context, &mut client, request).await?;
        let others = telling::total(&summary, |kind| !chosen.contains(&kind));
        let unknown = telling::total(&summary, |_| true).saturating_sub(summary.stored_findings);
        let unscanned = summary.counts.as_ref().map_or(0, |counts| counts.unscanned_count);
        let left = stay + others + unknown + unscanned;
        if left == 0 {
            return Ok(ExitCode::SUCCESS);
        }
        output_for_people(context, &format!("{left} of the findings stay: see above what to do"))?;
        Ok(ExitCode::from(1))
    }
}

/// What was not kept cannot be repaired.
fn read_only() -> Failure {
    let refusal = Refusal::new(Reason::ReadOnly);
    Failure::Refused(Box::new(Refused {
        code: code_name(refused(&refusal).code()),
        reason: Reason::ReadOnly.name().to_owned(),
        message: refusal.message.into_owned(),
        metadata: Vec::new(),
    }))
}

fn output_for_people(context: &Context, line: &str) -> Result<(), Failure> {
    if context.json { Ok(()) } else { output::line(line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_all_none_or_a_number() {
        for (text, asked) in [("all", -1), ("none", 0), ("0", 0), ("1048576", 1 << 20)] {
            assert_eq!(bytes(text).map(Bytes::as_request), Ok(asked), "{text}");
        }
        for bad in ["", "-1", "1k", "ALL", "99999999999999999999"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }
}
