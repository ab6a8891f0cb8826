//! Findings as people read them: how many of each kind, what it means and what to do next; as lines of JSON for programs.
//!
//! Not here: asking for them (`checking.rs`, `repairing.rs`).

use std::collections::BTreeMap;

use crate::{
    cli::{failure::Failure, output},
    rpc::pb::{self, FindingKind},
};

/// Most findings of a kind that people are shown.
const MOST_SHOWN: usize = 1_000;

/// What was found up to now: printed at once for programs, kept to be grouped for people.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    kept: BTreeMap<i32, Kept>,
}

/// Findings of a kind: how many there are, and the first of them.
#[derive(Debug, Default)]
struct Kept {
    all: i64,
    lines: Vec<String>,
}

impl Report {
    pub(super) const fn new(json: bool) -> Self {
        Self { json, kept: BTreeMap::new() }
    }

    /// One more.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(super) fn add(&mut self, finding: &pb::Finding) -> Result<(), Failure> {
        if self.json {
            return output::line(&output::json("Finding", finding));
        }
        let kept = self.kept.entry(finding.kind).or_default();
        kept.all += 1;
        if kept.lines.len() < MOST_SHOWN {
            kept.lines.push(line(finding));
        }
        Ok(())
    }

    fn groups(&self) -> Vec<String> {
        let kept = self.kept.iter();
        kept.map(|(kind, kept)| group(FindingKind::try_from(*kind).unwrap_or_default(), kept)).collect()
    }

    /// What was found before a check broke off, if people have not seen it yet.
    pub(super) fn broken_off(&self) -> Option<String> {
        let mut parts = self.groups();
        if parts.is_empty() {
            return None;
        }
        parts.push("the check did not come to its end: there may be more".to_owned());
        Some(parts.join("\n\n"))
    }

    /// All of it, once the check has ended; for programs its summary.
    pub(super) fn end(&self, summary: &pb::CheckSummary) -> String {
        if self.json {
            return output::json("CheckSummary", summary);
        }
        let counts = summary.counts.clone().unwrap_or_default();
        let mut parts = self.groups();
        let found = counts.found.iter().filter(|found| found.count > 0);
        let rows = found.map(|f| vec![name(f.kind()), f.count.to_string(), output::size(f.size_bytes)]);
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            parts.push(output::table(&["FOUND", "COUNT", "SIZE"], rows));
        }
        parts.push(looked_at(summary, &counts));
        parts.join("\n\n")
    }
}

/// The kind, what it means, what to do; then each finding.
fn group(kind: FindingKind, Kept { all, lines }: &Kept) -> String {
    let (meaning, next) = explained(kind);
    let mut text = format!("{}: {meaning}\nnext: {next}", name(kind));
    for line in lines {
        text += "\n  ";
        text += line;
    }
    let more = usize::try_from(*all).unwrap_or(0).saturating_sub(lines.len());
    if more > 0 {
        text += &format!("\n  and {more} more: --json shows all");
    }
    text
}

/// What was looked at, and the verdict.
fn looked_at(summary: &pb::CheckSummary, counts: &pb::CheckCounts) -> String {
    let unscanned = match counts.unscanned_count {
        0 => String::new(),
        n => {
            let files = &summary.unscanned_file_ids;
            let more = if usize::try_from(n).is_ok_and(|n| n > files.len()) { " …" } else { "" };
            format!("{n} blobs are served without a verdict that lets them, files: {}{more}", files.join(" "))
        }
    };
    let next = match counts.unscanned_count {
        0 => "",
        _ => {
            "`lhfile scanner rescan --all` scans them; what no scanner can judge stays so while antivirus_unscannable is \
             REFUSE: delete those files, or accept them (ACCEPT) and scan once more"
        }
    };
    let stored = total(summary, |_| true) - summary.stored_findings;
    let beyond = if stored > 0 { format!("{stored} findings are beyond what a repair knows") } else { String::new() };
    let count = |n: i64| if n == 0 { String::new() } else { n.to_string() };
    output::facts(&[
        ("check_id", summary.check_id.clone()),
        ("blobs", format!("{}, {}", counts.blob_count, output::size(counts.blob_bytes))),
        ("read", output::size(counts.hashed_bytes)),
        ("in the store", counts.stored_count.to_string()),
        ("too young to tell", count(counts.young_count)),
        ("gone meanwhile", count(counts.skipped_count)),
        ("not scanned", unscanned),
        ("next", next.to_owned()),
        ("not stored", beyond),
        ("result", if summary.consistent { "nothing found" } else { "see above" }.to_owned()),
    ])
}

/// How many of these kinds were found, in words; empty if none was.
pub(super) fn counts(summary: &pb::CheckSummary, of: impl Fn(i32) -> bool) -> String {
    let found = summary.counts.iter().flat_map(|counts| &counts.found).filter(|f| f.count > 0 && of(f.kind));
    let told: Vec<_> =
        found.map(|f| format!("{} {} ({})", f.count, name(f.kind()), output::size(f.size_bytes))).collect();
    told.join(", ")
}

/// How many of these kinds were found.
pub(super) fn total(summary: &pb::CheckSummary, of: impl Fn(i32) -> bool) -> i64 {
    let found = summary.counts.iter().flat_map(|counts| &counts.found).filter(|found| of(found.kind));
    found.map(|found| found.count).sum()
}

/// Kinds that no repair removes: the bytes are those of files.
#[cfg(test)]
fn is_of_blob(kind: i32) -> bool {
    let of_blobs = [FindingKind::BytesMissing, FindingKind::WrongSize, FindingKind::WrongHash, FindingKind::Unreadable];
    of_blobs.into_iter().any(|known| i32::from(known) == kind)
}

/// A finding that a repair leaves: what, why, what to do.
pub(super) fn stays(repaired: &pb::RepairedFinding) -> String {
    let outcome = output::short(repaired.outcome().as_str_name(), "REPAIR_OUTCOME_");
    let finding = repaired.finding.as_ref();
    let kind = finding.map(|finding| name(finding.kind())).unwrap_or_default();
    let what = finding.map(line).unwrap_or_default();
    format!("{kind} {outcome}: {what}: {}", output::printable(&repaired.explanation))
}

/// `12 repaired, 3 needs_a_person; 4 KiB removed`.
pub(super) fn repaired(summary: &pb::RepairSummary) -> String {
    let told = summary.outcomes.iter().filter(|outcome| outcome.count > 0).map(|outcome| {
        format!("{} {}", outcome.count, output::short(outcome.outcome().as_str_name(), "REPAIR_OUTCOME_"))
    });
    let told: Vec<_> = told.collect();
    let told = if told.is_empty() { "nothing to repair".to_owned() } else { told.join(", ") };
    format!("{told}; {} removed", output::size(summary.removed_bytes))
}

/// `BYTES_MISSING`.
fn name(kind: FindingKind) -> String {
    let name = kind.as_str_name();
    name.strip_prefix("FINDING_KIND_").unwrap_or(name).to_owned()
}

/// What a kind means, and what to do.
const fn explained(kind: FindingKind) -> (&'static str, &'static str) {
    let restore = "put the bytes back from a backup of the store, under the same key, or purge the files: `lhfile purge \
                   FILE_ID`";
    match kind {
        FindingKind::BytesMissing => {
            ("the bytes of these blobs are not in the store; their files cannot be read", restore)
        }
        FindingKind::WrongSize => ("the bytes of these blobs are more or fewer than were stored", restore),
        FindingKind::WrongHash => {
            ("the bytes of these blobs are not those that were stored; nobody is served them", restore)
        }
        FindingKind::UnnamedBytes => {
            ("bytes that no row names, and that are older than a day: nobody can read them", "`lhfile fsck --repair`")
        }
        FindingKind::OpenMultipart => {
            ("uploads in parts that no row names; their parts cost room", "`lhfile fsck --repair`")
        }
        FindingKind::StaleSpool => (
            "bytes in the spool of the node that answered, which no upload of it names",
            "`lhfile fsck --repair` with --addr of that node",
        ),
        FindingKind::StrangeName => (
            "names that are none of ours, where only our bytes should lie",
            "move them elsewhere, or `lhfile fsck --repair --kind strange-name` to remove the plain files among them",
        ),
        FindingKind::DanglingRow => (
            "rows that name what is not there",
            "`lhfile fsck --repair` removes attachments of what is gone; of the others tell the makers, with a copy of the \
             database",
        ),
        FindingKind::Unreadable => (
            "the store works, and does not give the bytes of these blobs; their files cannot be read",
            "look why (access rights, an archive tier, a name that is in the way), and let the service read them; if they are \
             lost, put them back from a backup of the store",
        ),
        FindingKind::Unspecified => ("this program is too old to know", "ask with a newer lhfile"),
    }
}

/// One finding.
fn line(finding: &pb::Finding) -> String {
    let mut facts = Vec::new();
    let mut say = |name: &str, value: &str| {
        if !value.is_empty() {
            facts.push(format!("{name}{value}"));
        }
    };
    say("", &finding.name);
    say("", &finding.key);
    if finding.kind() == FindingKind::DanglingRow {
        say("", &output::short(finding.row().as_str_name(), "DANGLING_ROW_"));
    } else {
        say("", &output::size(finding.size_bytes));
    }
    if finding.kind() == FindingKind::WrongSize {
        say("found ", &output::size(finding.found_bytes));
    }
    say("sha256 ", &finding.sha256);
    say("upload ", &finding.multipart_id);
    if finding.irregular {
        say("", "no plain file");
    }
    say("since ", &output::time(finding.time.as_ref()));
    say("on ", &finding.node);
    say("", &finding.error);
    if finding.file_count > 0 {
        let more = usize::try_from(finding.file_count).unwrap_or(0) > finding.file_ids.len();
        let ids = finding.file_ids.join(" ");
        say(&format!("{} files: ", finding.file_count), &format!("{ids}{}", if more { " …" } else { "" }));
    }
    output::printable(&facts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> pb::Finding {
        pb::Finding {
            kind: FindingKind::BytesMissing.into(),
            key: "ab".repeat(16),
            size_bytes: 2_048,
            file_count: 21,
            file_ids: vec!["f1".to_owned(), "f2".to_owned()],
            ..Default::default()
        }
    }

    fn summary(found: &[(FindingKind, i64)]) -> pb::CheckSummary {
        let found =
            found.iter().map(|(kind, count)| pb::FoundCount { kind: (*kind).into(), count: *count, size_bytes: 4_096 });
        let counts = pb::CheckCounts { blob_count: 7, found: found.collect(), ..Default::default() };
        let consistent = counts.found.is_empty();
        pb::CheckSummary {
            check_id: "c1".to_owned(),
            counts: Some(counts),
            stored_findings: 3,
            consistent,
            ..Default::default()
        }
    }

    #[test]
    fn people_read_each_kind_with_what_it_means_and_what_to_do_next() {
        let mut report = Report::new(false);
        assert_eq!(report.broken_off(), None);
        (0..=MOST_SHOWN).for_each(|_| report.add(&missing()).expect("kept"));
        let strange = pb::Finding {
            kind: FindingKind::StrangeName.into(),
            name: "blobs/x%1b".to_owned(),
            irregular: true,
            ..Default::default()
        };
        report.add(&strange).expect("kept");
        let text = report.end(&summary(&[(FindingKind::BytesMissing, 2), (FindingKind::StrangeName, 1)]));
        for part in [
            "BYTES_MISSING: the bytes",
            "next: put the bytes back",
            "2 KiB, 21 files: f1 f2 …",
            "and 1 more: --json shows all",
            "blobs/x%1b, 0 B, no plain file",
            "--kind strange-name",
            "see above",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let broken_off = report.broken_off().expect("two kinds");
        assert!(broken_off.starts_with("BYTES_MISSING") && broken_off.contains("blobs/x%1b"), "{broken_off}");
        assert!(broken_off.ends_with("there may be more") && !broken_off.contains("result"), "{broken_off}");
        let clean = Report::new(false).end(&summary(&[]));
        assert!(clean.contains("nothing found") && !clean.contains("FOUND"), "{clean}");
    }

    #[test]
    fn what_is_served_unscanned_is_named_with_what_helps_and_is_not_nothing() {
        let mut unscanned = summary(&[]);
        unscanned.consistent = false;
        unscanned.counts = Some(pb::CheckCounts { unscanned_count: 2, ..Default::default() });
        unscanned.unscanned_file_ids = vec!["f1".to_owned()];
        let text = Report::new(false).end(&unscanned);
        for part in ["2 blobs are served", "files: f1 …", "scanner rescan --all", "antivirus_unscannable", "see above"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("nothing found"), "{text}");
    }

    #[test]
    fn every_kind_is_explained_and_only_blobs_need_a_backup() {
        let known = (1..).map_while(|number| FindingKind::try_from(number).ok());
        let mut many = 0;
        for kind in known {
            let (meaning, next) = explained(kind);
            assert!(!meaning.contains("too old"), "{}", name(kind));
            assert_eq!(next.contains("backup"), is_of_blob(kind.into()), "{}", name(kind));
            many += 1;
        }
        assert_eq!(many, 9);
    }

    #[test]
    fn what_is_left_is_counted_by_kind() {
        let told =
            summary(&[(FindingKind::UnnamedBytes, 5), (FindingKind::WrongHash, 2), (FindingKind::StaleSpool, 0)]);
        assert_eq!((total(&told, is_of_blob), total(&told, |_| true)), (2, 7));
        assert_eq!(counts(&told, |kind| !is_of_blob(kind)), "5 UNNAMED_BYTES (4 KiB)");
        let outcome = pb::RepairCount { outcome: pb::RepairOutcome::NeedsAPerson.into(), count: 2 };
        let summary = pb::RepairSummary { outcomes: vec![outcome], removed_bytes: 1_024 };
        assert_eq!(repaired(&summary), "2 needs_a_person; 1 KiB removed");
        assert_eq!(repaired(&pb::RepairSummary::default()), "nothing to repair; 0 B removed");
    }
}
