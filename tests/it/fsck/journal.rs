//! A client's own journal against the server: what was acknowledged is there, what was deleted is not.
//!
//! Not here: how a journal is read (unit tests in `src/cli/fsck/journal.rs`).

use std::{fs, io::Write as _, path::PathBuf};

use serde_json::{Value, json};

use super::{fsck_as, fsck_at, lines, told};
use crate::{
    cli::program::lhfile,
    harness::{Caller as _, Node, Service, Setup, samples},
};

/// A client that writes down what it is told.
struct Client<'n> {
    node: &'n Node,
    journal: PathBuf,
}

impl Client<'_> {
    /// Runs a command with --json, and appends what it printed.
    fn does(&self, words: &[&str]) -> Value {
        let (address, token) = (self.node.address().to_string(), Service::all().token());
        let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        let ended = lhfile(&words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], self.node.folder());
        let told = ended.object();
        self.append(&ended.text());
        told
    }

    fn append(&self, text: &str) {
        let file = fs::File::options().create(true).append(true).open(&self.journal);
        file.expect("our own folder").write_all(text.as_bytes()).expect("our own file");
    }

    fn uploads(&self, name: &str) -> String {
        let path = self.node.folder().join(name);
        fs::write(&path, samples::text(3_000, name)).expect("our own folder");
        let file = self.does(&["upload", path.to_str().expect("UTF-8"), "--library"]);
        file["file_id"].as_str().expect("an id").to_owned()
    }

    /// Each line but the last as kind, line and file; then the last.
    fn compares(&self, words: &[&str], code: i32) -> (Vec<(String, u64, String)>, Value) {
        let words = [&["--journal", self.journal.to_str().expect("UTF-8")], words].concat();
        let mut lines = lines(&fsck_as(self.node, &Service::all(), &words), code);
        let summary = lines.pop().expect("the summary");
        let text = |line: &Value, name: &str| line[name].as_str().expect("text").to_owned();
        let told = lines.iter().map(|line| {
            assert!(!text(line, "message").is_empty());
            (text(line, "kind"), line["line"].as_u64().expect("a number"), text(line, "file_id"))
        });
        (told.collect(), summary)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn journal_finds_files_that_are_lost_altered_unreadable_or_not_deleted() {
    let node = Node::start(Setup::new()).await;
    let client = Client { node: &node, journal: node.folder().join("journal") };
    let ids: Vec<String> = ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt"].map(|name| client.uploads(name)).to_vec();
    client.does(&["rm", &ids[3]]);
    client.does(&["rm", &ids[4]]);
    client.does(&["restore", &ids[4]]);
    let (found, summary) = client.compares(&[], 0);
    assert_eq!(found, []);
    assert_eq!(
        summary,
        json!({
            "uploaded_count": 4, "deleted_count": 1, "hashed_count": 4, "bad_line_count": 0, "lost_count": 0,
            "altered_count": 0, "unreadable_count": 0, "undeleted_count": 0
        })
    );
    let (_, summary) = client.compares(&["--hash", "none"], 0);
    assert_eq!(summary["hashed_count"], 0);
    let (_, summary) = client.compares(&["--hash", "7000"], 0);
    assert_eq!(summary["hashed_count"], 2, "as many as fit");

    // Behind this client's back: one is deleted, one restored; one has other bytes, those of one are gone.
    node.delete(&ids[0], &Service::all()).await.expect("the backend may");
    node.restore(&ids[3], &Service::all()).await.expect("within the grace");
    let stored = |name: &str| {
        let bytes = samples::text(3_000, name);
        node.stored().into_iter().find(|stored| node.stored_bytes(stored) == bytes).expect("it is there")
    };
    let b = stored("b.txt");
    match node.bucket() {
        Some(bucket) => bucket.remove(&b.name),
        None => fs::remove_file(b.path()).expect("it is there"),
    }
    let other = samples::sha256(b"other");
    let other = if node.postgres().is_some() { format!("decode('{other}', 'hex')") } else { format!("X'{other}'") };
    let of_c = "(SELECT blob_id FROM files WHERE display_name = 'c.txt')";
    assert_eq!(node.change(&format!("UPDATE blobs SET sha256 = {other} WHERE id = {of_c}")), 1);
    let expected =
        [("LOST", 1, &ids[0]), ("UNREADABLE", 2, &ids[1]), ("ALTERED", 3, &ids[2]), ("UNDELETED", 6, &ids[3])];
    let expected: Vec<_> = expected.map(|(kind, line, id)| (kind.to_owned(), line, id.clone())).to_vec();
    let (found, summary) = client.compares(&[], 1);
    assert_eq!(found, expected);
    assert_eq!((&summary["lost_count"], &summary["undeleted_count"]), (&json!(1), &json!(1)));
    // The rows alone tell nothing of the bytes.
    let (found, _) = client.compares(&["--hash", "none"], 1);
    assert_eq!(found.iter().map(|(kind, ..)| kind.as_str()).collect::<Vec<_>>(), ["LOST", "ALTERED", "UNDELETED"]);
    let people = told(&node, &["--journal", "journal"]);
    assert_eq!(people.code, Some(1));
    assert!(people.text().contains(&format!("LOST  line 1: {}: ", ids[0])), "{}", people.text());
    assert!(people.text().lines().last().is_some_and(|line| line.contains("1 LOST, 1 ALTERED")), "{}", people.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn journal_lines_that_say_nothing_are_told_by_their_number() {
    let node = Node::start(Setup::new()).await;
    let client = Client { node: &node, journal: node.folder().join("journal") };
    let id = client.uploads("a.txt");
    client.append("half a line\n\n{\"file_id\": \"../../etc\"}\n");
    client.append(&format!("{{\"deleted\": \"{}\"}}\n", "a".repeat(26)));
    client.append(&format!("{{\"file_id\": \"{id}\", \"sha25"));
    let (found, summary) = client.compares(&[], 1);
    let bad = |line| ("BAD_LINE".to_owned(), line, String::new());
    assert_eq!(found, [bad(2), bad(4), bad(6)]);
    assert_eq!(
        (&summary["bad_line_count"], &summary["deleted_count"], &summary["lost_count"]),
        (&json!(3), &json!(1), &json!(0))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn journal_needs_only_its_clients_own_rights_and_a_file_that_is_there() {
    let node = Node::start(Setup::new()).await;
    let client = Client { node: &node, journal: node.folder().join("journal") };
    client.uploads("a.txt");
    let journal = client.journal.to_str().expect("UTF-8");
    let own = Service::with(&["upload_new_file"]);
    lines(&fsck_as(&node, &own, &["--journal", journal]), 0);
    assert_eq!(fsck_as(&node, &own, &["--journal", "nowhere"]).code, Some(1));
    assert_eq!(fsck_as(&node, &own, &["--journal", journal, "--repair"]).code, Some(2));
    let nobody = crate::harness::place::free_port().to_string();
    assert_eq!(fsck_at(&node, &nobody, &own, &["--journal", journal]).code, Some(4));
    let refused = fsck_as(&node, "no token", &["--journal", journal]);
    refused.refused("UNAUTHENTICATED", "BAD_CREDENTIAL");
}
