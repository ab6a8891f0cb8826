//! Checks of consistency and their repairs, between the proto and the application.
//!
//! Not here: the streams that tell them (`rpc/consistency_stream.rs`).

use super::timestamp;
use crate::{
    app::{
        CheckAsked, CheckCounts, CheckPhase, CheckProgress, CheckSummary, CheckTold, RepairSummary, RepairTold,
        Repaired, ToldFinding,
    },
    domain::{
        Refusal,
        consistency::{Dangling, DanglingRow, FindingKind, MOST_FINDINGS, Repair, What},
    },
    rpc::pb::{self, check_consistency_response as checked, repair_consistency_response as repaired},
};

/// What to check.
///
/// # Errors
/// `BAD_ARGUMENT`, `NOT_FOUND`.
pub fn asked(request: pb::CheckConsistencyRequest) -> Result<CheckAsked, Refusal> {
    let pb::CheckConsistencyRequest { hash_bytes, check_id, after } = request;
    let hash_bytes =
        match hash_bytes {
            -1 => None,
            bytes => Some(u64::try_from(bytes).map_err(|_| {
                Refusal::argument("hash_bytes", "hash_bytes must be 0, a number of bytes, or -1 for all")
            })?),
        };
    let id = if check_id.is_empty() { None } else { Some(check_id.parse()?) };
    Ok(CheckAsked { hash_bytes, id, after })
}

/// The kinds that are to be repaired.
///
/// # Errors
/// `BAD_ARGUMENT`.
pub fn kinds(numbers: &[i32]) -> Result<Vec<FindingKind>, Refusal> {
    let kind = |number: &i32| {
        Ok(match pb::FindingKind::try_from(*number) {
            Ok(pb::FindingKind::BytesMissing) => FindingKind::BytesMissing,
            Ok(pb::FindingKind::WrongSize) => FindingKind::WrongSize,
            Ok(pb::FindingKind::WrongHash) => FindingKind::WrongHash,
            Ok(pb::FindingKind::UnnamedBytes) => FindingKind::UnnamedBytes,
            Ok(pb::FindingKind::OpenMultipart) => FindingKind::OpenMultipart,
            Ok(pb::FindingKind::StaleSpool) => FindingKind::StaleSpool,
            Ok(pb::FindingKind::StrangeName) => FindingKind::StrangeName,
            Ok(pb::FindingKind::DanglingRow) => FindingKind::DanglingRow,
            Ok(pb::FindingKind::Unreadable) => FindingKind::Unreadable,
            Ok(pb::FindingKind::Unspecified) | Err(_) => {
                return Err(Refusal::argument("kinds", "kinds must be kinds of findings"));
            }
        })
    };
    numbers.iter().map(kind).collect()
}

const fn kind(kind: FindingKind) -> pb::FindingKind {
    match kind {
        FindingKind::BytesMissing => pb::FindingKind::BytesMissing,
        FindingKind::WrongSize => pb::FindingKind::WrongSize,
        FindingKind::WrongHash => pb::FindingKind::WrongHash,
        FindingKind::UnnamedBytes => pb::FindingKind::UnnamedBytes,
        FindingKind::OpenMultipart => pb::FindingKind::OpenMultipart,
        FindingKind::StaleSpool => pb::FindingKind::StaleSpool,
        FindingKind::StrangeName => pb::FindingKind::StrangeName,
        FindingKind::DanglingRow => pb::FindingKind::DanglingRow,
        FindingKind::Unreadable => pb::FindingKind::Unreadable,
    }
}

const fn dangling(rule: Dangling) -> pb::DanglingRow {
    match rule {
        Dangling::FileWithoutBlob => pb::DanglingRow::FileWithoutBlob,
        Dangling::FileOfLeavingBlob => pb::DanglingRow::FileOfLeavingBlob,
        Dangling::AttachmentWithoutFile => pb::DanglingRow::AttachmentWithoutFile,
        Dangling::AttachmentWithoutChat => pb::DanglingRow::AttachmentWithoutChat,
        Dangling::PurgedFile => pb::DanglingRow::PurgedFile,
        Dangling::BlobWithoutFile => pb::DanglingRow::BlobWithoutFile,
    }
}

const fn outcome(outcome: Repair) -> pb::RepairOutcome {
    match outcome {
        Repair::Repaired => pb::RepairOutcome::Repaired,
        Repair::Gone => pb::RepairOutcome::Gone,
        Repair::Skipped => pb::RepairOutcome::Skipped,
        Repair::NeedsAPerson => pb::RepairOutcome::NeedsAPerson,
        Repair::Failed => pb::RepairOutcome::Failed,
    }
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn finding(told: ToldFinding) -> pb::Finding {
    let ToldFinding { finding, files, error } = told;
    let mut message = pb::Finding {
        kind: kind(finding.what.kind()).into(),
        size_bytes: number(finding.what.size()),
        file_ids: files.iter().map(ToString::to_string).collect(),
        node: finding.node,
        error,
        ..pb::Finding::default()
    };
    match finding.what {
        What::Blob { key, sha256, found, files, .. } => {
            (message.key, message.sha256) = (key.to_string(), sha256.to_string());
            (message.found_bytes, message.file_count) = (number(found), number(files));
        }
        What::Bytes { key, at, .. } | What::Spooled { key, at, .. } => {
            (message.key, message.time) = (key.to_string(), Some(timestamp(at)));
        }
        What::Parts { key, id, at } => {
            (message.key, message.multipart_id, message.time) = (key.to_string(), id, Some(timestamp(at)));
        }
        What::Strange { place, name, at, plain, .. } => {
            (message.name, message.time, message.irregular) = (name.shown(place), Some(timestamp(at)), !plain);
        }
        What::Row(DanglingRow { rule, .. }) => {
            let files = i64::from(rule != Dangling::BlobWithoutFile);
            (message.row, message.file_count) = (dangling(rule).into(), files);
        }
    }
    message
}

fn counts(seen: &CheckCounts) -> pb::CheckCounts {
    let found = seen.found().map(|(of, count, bytes)| pb::FoundCount {
        kind: kind(of).into(),
        count: number(count),
        size_bytes: number(bytes),
    });
    pb::CheckCounts {
        blob_count: number(seen.blobs),
        blob_bytes: number(seen.blob_bytes),
        hashed_bytes: number(seen.hashed_bytes),
        stored_count: number(seen.stored),
        young_count: number(seen.young),
        unscanned_count: number(seen.unscanned),
        skipped_count: number(seen.skipped),
        found: found.collect(),
    }
}

/// What is told of a check.
pub fn check_told(told: CheckTold) -> pb::CheckConsistencyResponse {
    let told = match told {
        CheckTold::Finding(told) => checked::Told::Finding(finding(told)),
        CheckTold::Progress(CheckProgress { id, after, phase, counts: seen }) => {
            let phase = match phase {
                CheckPhase::Rows => pb::CheckPhase::Rows,
                CheckPhase::Blobs => pb::CheckPhase::Blobs,
                CheckPhase::Store => pb::CheckPhase::Store,
                CheckPhase::Spool => pb::CheckPhase::Spool,
            };
            let check_id = id.map(|id| id.to_string()).unwrap_or_default();
            checked::Told::Progress(pb::CheckProgress {
                check_id,
                after,
                phase: phase.into(),
                counts: Some(counts(&seen)),
            })
        }
        CheckTold::Summary(CheckSummary { check, counts: seen, unscanned }) => {
            checked::Told::Summary(pb::CheckSummary {
                check_id: check.as_ref().map(|check| check.id.to_string()).unwrap_or_default(),
                counts: Some(counts(&seen)),
                stored_findings: check.as_ref().map_or(0, |check| number(check.stored.min(MOST_FINDINGS))),
                expire_time: check.map(|check| timestamp(check.expires_at)),
                consistent: seen.is_consistent(),
                unscanned_file_ids: unscanned.iter().map(ToString::to_string).collect(),
            })
        }
    };
    pb::CheckConsistencyResponse { told: Some(told) }
}

/// What is told of a repair.
pub fn repair_told(told: RepairTold) -> pb::RepairConsistencyResponse {
    let told = match told {
        RepairTold::Repaired(Repaired { told, outcome: became, explanation }) => {
            let outcome = outcome(became).into();
            let finding = Some(finding(told));
            repaired::Told::Repaired(Box::new(pb::RepairedFinding { finding, outcome, explanation }))
        }
        RepairTold::Summary(RepairSummary { outcomes, removed_bytes }) => {
            let all = Repair::ALL.iter().zip(outcomes).filter(|(_, count)| *count > 0);
            let outcomes =
                all.map(|(of, count)| pb::RepairCount { outcome: outcome(*of).into(), count: number(count) });
            let (outcomes, removed_bytes) = (outcomes.collect(), number(removed_bytes));
            repaired::Told::Summary(pb::RepairSummary { outcomes, removed_bytes })
        }
    };
    pb::RepairConsistencyResponse { told: Some(told) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Reason;

    #[test]
    fn kinds_are_those_of_the_proto_and_what_is_none_is_refused() {
        let all: Vec<i32> = FindingKind::ALL.iter().map(|of| kind(*of).into()).collect();
        assert_eq!(kinds(&all).as_deref(), Ok(FindingKind::ALL));
        for wrong in [0, 99] {
            assert_eq!(kinds(&[wrong]).map_err(|refusal| refusal.reason), Err(Reason::BadArgument));
        }
        for (of, name) in FindingKind::ALL.iter().map(|of| (kind(*of), of.name())) {
            assert_eq!(of.as_str_name(), format!("FINDING_KIND_{name}"));
        }
        for rule in Dangling::ALL {
            assert_eq!(dangling(*rule).as_str_name(), format!("DANGLING_ROW_{}", rule.name()));
        }
        for repair in Repair::ALL {
            assert_eq!(outcome(*repair).as_str_name(), format!("REPAIR_OUTCOME_{}", repair.name()));
        }
    }

    #[test]
    fn bytes_to_hash_are_none_all_or_so_many() {
        let ask = |hash_bytes| asked(pb::CheckConsistencyRequest { hash_bytes, ..Default::default() });
        assert_eq!(ask(0).map(|asked| asked.hash_bytes), Ok(Some(0)));
        assert_eq!(ask(7).map(|asked| asked.hash_bytes), Ok(Some(7)));
        assert_eq!(ask(-1).map(|asked| asked.hash_bytes), Ok(None));
        assert_eq!(ask(-2).map_err(|refusal| refusal.reason).map(drop), Err(Reason::BadArgument));
    }
}
