//! Files that later signatures find: looked at again, taken out of reach, let out again by an administrator or by newer
//! signatures. Against a real clamd that learns while the server runs.
//!
//! `quarantine/brake.rs`: a signature that hits too much; `quarantine/demand.rs`: what an administrator asks to be scanned
//! again; `quarantine/order.rs`: what comes first, and how much in an hour; `quarantine/killer.rs`: files that the scanner
//! does not survive; `quarantine/archives.rs`: parts that it does not look into; `quarantine/known.rs`: the antivirus off, and
//! purging. Not here: the rules one by one (`src/domain/quarantine.rs`, the contract of the stores).

mod archives;
mod brake;
mod demand;
mod killer;
mod known;
mod order;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tonic::Code;

use crate::{
    cli::program::{Ended, lhfile},
    harness::{
        Bucket, Caller as _, Node, Operator, Service, Setup, assert_refused, pb,
        postgres::cluster,
        refusal::facts_of,
        samples,
        setup::new_database,
        signatures::{Learning, of_text},
    },
};

/// What the signature of these tests looks for.
const MARKER: &str = "the words that newer signatures look for";
/// What it is called in an answer.
const MARKED: &str = "Test.Marker.UNOFFICIAL";
/// How long the service may take to have looked at a few files again; the machine may be busy.
const SOON: Duration = Duration::from_secs(90);

fn marker() -> String {
    of_text("Test.Marker", MARKER)
}

/// A text with the marker in it, unlike that of any other seed.
fn marked(seed: &str) -> Vec<u8> {
    samples::text(900, &format!("{MARKER}, {seed}"))
}

/// All nodes of the pair: two where they can share database and store.
async fn nodes(scanner: &Learning) -> Vec<Node> {
    let setup = Setup::new().external(scanner.address());
    let pair = std::env::var("LHFILE_TEST_PAIR").unwrap_or_default();
    let nodes = if pair == "postgres+s3" {
        let (database, bucket) = (new_database(cluster()), Bucket::new());
        let url = cluster().url(&database);
        let setup = Setup::in_bucket(&bucket, bucket.address()).external(scanner.address());
        let setup = setup.on_database(cluster(), &database, &url);
        let (one, other) = tokio::join!(Node::start(setup.clone()), Node::start(setup));
        vec![one, other]
    } else {
        vec![Node::start(setup).await]
    };
    nodes[0].put_chat("42").await;
    nodes
}

/// The command line against this node, as the backend.
fn cli(node: &Node, words: &[&str]) -> Ended {
    let (address, token) = (node.address().to_string(), Service::all().token());
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    lhfile(&words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], node.folder())
}

async fn progress(node: &Node) -> pb::RescanProgress {
    node.scanner_status().await.expect("an administrator may ask").rescan.unwrap_or_default()
}

/// Waits until the progress is such; answers it.
async fn once(node: &Node, what: &str, holds: impl Fn(&pb::RescanProgress) -> bool) -> pb::RescanProgress {
    let until = Instant::now() + SOON;
    loop {
        let progress = progress(node).await;
        if holds(&progress) {
            return progress;
        }
        assert!(Instant::now() < until, "not within {SOON:?}: {what}: {progress:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until all was looked at by the signatures of this number.
async fn rescanned(node: &Node, number: u64) -> pb::RescanProgress {
    let target = format!("{number}/");
    once(node, &target, |p| p.target_signatures.starts_with(&target) && p.end_time.is_some()).await
}

/// Waits until the answer to a download is this one: a verdict, or none that can be told.
async fn served_as(node: &Node, file: &str, wanted: Option<pb::VerdictKind>) {
    let until = Instant::now() + SOON;
    loop {
        let told = match node.file(file, &Operator::new()).await {
            Ok(file) => Some(file.verdict.expect("told").kind()),
            Err(status) => {
                assert_eq!(status.code(), Code::NotFound, "{status:?}");
                None
            }
        };
        if told == wanted {
            break;
        }
        assert!(Instant::now() < until, "{told:?}, and not {wanted:?} within {SOON:?}: {:?}", progress(node).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let download = node.download(file, &Operator::new()).await;
    match wanted {
        Some(_) => assert!(!download.expect("it is served").bytes.is_empty()),
        None => drop(assert_refused(download, Code::NotFound, "NOT_FOUND")),
    }
}

async fn upload(node: &Node, name: &str, bytes: Vec<u8>) -> pb::File {
    node.upload(name, bytes).to_chat("42").passes_by(&Operator::new()).await
}

async fn assert_infected(node: &Node, bytes: Vec<u8>) {
    let refused = node.upload("again.txt", bytes).to_chat("42").by(&Operator::new()).await;
    let status = assert_refused(refused, Code::InvalidArgument, "INFECTED");
    assert_eq!(facts_of(&status)["signature"], MARKED);
}

/// Details of all events of this kind, the oldest first.
fn events(node: &Node, kind: &str) -> Vec<String> {
    node.texts(&format!("SELECT coalesce(detail, '') AS t FROM events WHERE kind = '{kind}' ORDER BY seq"))
}

fn states(node: &Node) -> Vec<String> {
    node.texts("SELECT state AS t FROM blobs ORDER BY state")
}

#[tokio::test(flavor = "multi_thread")]
async fn file_that_newer_signatures_find_is_out_of_reach_on_every_node_until_it_is_released() {
    let scanner = Learning::start().await;
    let nodes = nodes(&scanner).await;
    let node = &nodes[0];
    let file = upload(node, "marked.txt", marked("one")).await;
    let other = upload(node, "other.txt", samples::text(900, "other")).await;
    assert_eq!(file.verdict.as_ref().expect("told").kind(), pb::VerdictKind::Clean);

    let number = scanner.knows(&[marker()]).await;
    let done = rescanned(node, number).await;
    assert_eq!(done.hit_count, 1, "{done:?}");
    for node in &nodes {
        served_as(node, &file.file_id, None).await;
        served_as(node, &other.file_id, Some(pb::VerdictKind::Clean)).await;
        let listed = node.chat_files("42", &Operator::new()).await.expect("known");
        assert_eq!(listed.iter().map(|f| f.file_id.as_str()).collect::<Vec<_>>(), [other.file_id.as_str()]);
        assert_infected(node, marked("one")).await;
        assert_infected(node, marked("two")).await;
    }
    assert_eq!(states(node), ["ACTIVE", "QUARANTINED"]);
    assert_eq!(events(node, "BLOB_QUARANTINED"), [MARKED]);
    let held = cli(node, &["quarantine", "ls"]).object();
    let told = [&held["sha256"], &held["size_bytes"], &held["signature"], &held["file_count"], &held["file_ids"]];
    let wanted = [json!(file.sha256), json!(900), json!(MARKED), json!(1), json!([file.file_id])];
    assert_eq!(told, wanted.each_ref());
    assert!(held["signature_version"].as_str().is_some_and(|v| v.starts_with(&format!("{number}/"))), "{held}");
    assert!(cli(node, &["quarantine", "ls", "--signature", "Test.Other"]).lines().is_empty());

    let words = ["quarantine", "release", "--sha256", &file.sha256, "--reason", "false alarm, case 7"];
    let answer = cli(node, &words).object();
    let release = &answer["release"];
    assert_eq!(
        [&answer["blob_count"], &release["sha256"], &release["signature"], &release["reason"], &release["expire_time"]],
        [&json!(1), &json!(file.sha256), &json!(MARKED), &json!("false alarm, case 7"), &Value::Null]
    );
    for node in &nodes {
        served_as(node, &file.file_id, Some(pb::VerdictKind::Released)).await;
        // It is these bytes that are released, and no others.
        let again = upload(node, "again.txt", marked("one")).await;
        assert_eq!(again.verdict.expect("told").kind(), pb::VerdictKind::Released);
        assert_infected(node, marked("two")).await;
    }
    assert!(cli(node, &["quarantine", "ls"]).lines().is_empty());
    assert_eq!(events(node, "QUARANTINE_RELEASED"), [MARKED]);
    assert_eq!(cli(node, &["quarantine", "releases"]).lines(), std::slice::from_ref(release));

    // Other signatures that find it, too, change nothing; its end does.
    let number = scanner.knows(&[marker(), of_text("Test.Another", "and something else")]).await;
    rescanned(node, number).await;
    for node in &nodes {
        served_as(node, &file.file_id, Some(pb::VerdictKind::Released)).await;
    }
    let end = release["number"].to_string();
    let ended = cli(node, &["quarantine", "end", &end]).object();
    assert!(ended["expire_time"].is_string(), "{ended}");
    for node in &nodes {
        served_as(node, &file.file_id, None).await;
        assert_infected(node, marked("one")).await;
    }
    cli(node, &["quarantine", "end", "999999"]).refused("NOT_FOUND", "NOT_FOUND");
    node.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signature_is_released_until_a_time_and_newer_signatures_that_do_not_hit_release_by_themselves() {
    let scanner = Learning::start().await;
    let nodes = nodes(&scanner).await;
    let node = &nodes[0];
    let mut files = Vec::new();
    for seed in ["one", "two"] {
        files.push(upload(node, "marked.txt", marked(seed)).await.file_id);
    }
    let number = scanner.knows(&[marker()]).await;
    rescanned(node, number).await;
    for file in &files {
        served_as(node, file, None).await;
    }
    let until = prost_types::Timestamp { seconds: i64::try_from(now() + 8).expect("far from the end"), nanos: 0 };
    let words = ["quarantine", "release", "--signature", MARKED, "--reason", "until they mend it", "--until"];
    let until = until.to_string();
    let answer = cli(node, &[&words[..], &[until.as_str()]].concat()).object();
    assert_eq!((&answer["blob_count"], &answer["release"]["sha256"]), (&json!(2), &json!("")));
    assert_eq!(answer["release"]["expire_time"], json!(until));
    for file in &files {
        served_as(node, file, Some(pb::VerdictKind::Released)).await;
    }
    let third = upload(node, "third.txt", marked("three")).await;
    assert_eq!(third.verdict.expect("told").kind(), pb::VerdictKind::Released, "all that it hits");
    files.push(third.file_id);

    // Its time comes by itself.
    for node in &nodes {
        for file in &files {
            served_as(node, file, None).await;
        }
        assert_infected(node, marked("four")).await;
    }
    assert_eq!(states(node), ["QUARANTINED"; 3]);

    let number = scanner.knows(&[]).await;
    rescanned(node, number).await;
    for node in &nodes {
        for file in &files {
            served_as(node, file, Some(pb::VerdictKind::Clean)).await;
        }
    }
    assert_eq!(states(node), ["ACTIVE"; 3]);
    upload(node, "four.txt", marked("four")).await;
    node.assert_consistent().await;
}

fn now() -> u64 {
    crate::harness::callers::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_that_say_nothing_are_refused() {
    let scanner = Learning::start().await;
    let node = Node::start(Setup::new().external(scanner.address())).await;
    for (words, field) in [
        (["--signature", "", "--reason", "x"], "signature"),
        (["--signature", "with a\nbreak", "--reason", "x"], "signature"),
        (["--signature", MARKED, "--reason", ""], "reason"),
        (["--signature", MARKED, "--reason", "a\nb"], "reason"),
        (["--sha256", "xyz", "--reason", "x"], "sha256"),
    ] {
        let refused = cli(&node, &[&["quarantine", "release"][..], &words].concat());
        let refusal = refused.refused("INVALID_ARGUMENT", "BAD_ARGUMENT");
        assert_eq!(refusal["metadata"]["field"], json!(field), "{words:?}");
    }
    let long = "x".repeat(201);
    cli(&node, &["quarantine", "release", "--signature", MARKED, "--reason", &long])
        .refused("INVALID_ARGUMENT", "BAD_ARGUMENT");
    let past = ["quarantine", "release", "--signature", MARKED, "--reason", "x", "--until", "2020-01-01T00:00:00Z"];
    cli(&node, &past).refused("INVALID_ARGUMENT", "BAD_ARGUMENT");
    let never = ["quarantine", "release", "--sha256", &"0a".repeat(32), "--reason", "x"];
    cli(&node, &never).refused("NOT_FOUND", "NOT_FOUND");
    assert!(cli(&node, &["quarantine", "releases"]).lines().is_empty());
    node.set(&["read_only"], |s| s.read_only = true).await.expect("a good value");
    cli(&node, &["quarantine", "release", "--signature", MARKED, "--reason", "x"]).refused("UNAVAILABLE", "READ_ONLY");
}
