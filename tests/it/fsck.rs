//! `lhfile fsck` against a service with planted faults: each is named and nothing else, what can be repaired is, the rest is
//! told to a person; and a client's own journal.
//!
//! `fsck/planted.rs` makes the faults, `fsck/thousand.rs` finds them, `fsck/bounds.rs` is what is not named and who may not
//! ask, `fsck/broken.rs` connections, nodes and stores that fail meanwhile, `fsck/journal.rs` the journal. Not here: the rules
//! one by one (unit tests in `src/app`), and what every store of bytes tells of itself (`blob_contract.rs`).

mod bounds;
mod broken;
mod cutting;
mod journal;
mod planted;
mod thousand;

use serde_json::Value;

use crate::{
    cli::program::{Ended, lhfile},
    harness::{Caller, Node, Service},
};

/// `lhfile fsck --json` with these words, as this caller; spoken to at the node's own address.
fn fsck_as(node: &Node, caller: &(impl Caller + ?Sized), words: &[&str]) -> Ended {
    fsck_at(node, &node.address().to_string(), caller, words)
}

/// The same, spoken to at this address.
fn fsck_at(node: &Node, address: &str, caller: &(impl Caller + ?Sized), words: &[&str]) -> Ended {
    let words: Vec<&str> = ["fsck", "--json"].iter().chain(words).copied().collect();
    lhfile(&words, &[("LHFILE_ADDR", address), ("LHFILE_TOKEN", &caller.token())], node.folder())
}

/// As people see it, as the backend with all rights.
fn told(node: &Node, words: &[&str]) -> Ended {
    let (address, token) = (node.address().to_string(), Service::all().token());
    let words: Vec<&str> = ["fsck"].iter().chain(words).copied().collect();
    lhfile(&words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], node.folder())
}

/// Lines of a command that ended with this code.
#[track_caller]
fn lines(ended: &Ended, code: i32) -> Vec<Value> {
    assert_eq!(ended.code, Some(code), "{} {}", ended.text(), ended.err);
    ended.text().lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

/// What a check, and the repair after it, told.
#[derive(Debug, Default)]
struct Told {
    /// Kind and subject of each finding, sorted.
    findings: Vec<(String, String)>,
    /// The end of the check.
    summary: Value,
    /// Outcome, kind and subject of each repaired finding, sorted.
    repaired: Vec<(String, String, String)>,
    /// The end of the repair; null without one.
    repair: Value,
}

impl Told {
    /// As `--json` tells it.
    fn read(lines: Vec<Value>) -> Self {
        let mut told = Self::default();
        for line in lines {
            if line.get("outcomes").is_some() {
                told.repair = line;
            } else if let Some(outcome) = line.get("outcome") {
                let (kind, subject) = subject(&line["finding"]);
                told.repaired.push((short(outcome, "REPAIR_OUTCOME_"), kind, subject));
            } else if line.get("consistent").is_some() {
                told.summary = line;
            } else {
                told.findings.push(subject(&line));
            }
        }
        told.findings.sort();
        told.repaired.sort();
        told
    }

    /// `fsck --json` with these words, by all rights.
    fn of(node: &Node, words: &[&str], code: i32) -> Self {
        Self::read(lines(&fsck_as(node, &Service::all(), words), code))
    }

    /// How many findings of this kind the summary counts.
    fn counted(&self, kind: &str) -> i64 {
        let found = self.summary["counts"]["found"].as_array().expect("a list");
        let of = found.iter().filter(|found| short(&found["kind"], "FINDING_KIND_") == kind);
        of.filter_map(|found| found["count"].as_i64()).sum()
    }
}

fn short(value: &Value, prefix: &str) -> String {
    let name = value.as_str().expect("a name");
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

/// Kind, and what tells a finding from others of its kind.
fn subject(finding: &Value) -> (String, String) {
    let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let kind = short(&finding["kind"], "FINDING_KIND_");
    let subject = match kind.as_str() {
        "STRANGE_NAME" => text("name"),
        "DANGLING_ROW" => {
            let ids: Vec<&str> =
                finding["file_ids"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
            format!("{} {}", short(&finding["row"], "DANGLING_ROW_"), ids.join(" ")).trim().to_owned()
        }
        _ => text("key"),
    };
    (kind, subject)
}
