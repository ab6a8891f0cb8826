//! A signature that hits too much: most of what it hits is served on, somebody is told, and decides.
//!
//! Not here: the threshold (`src/domain/quarantine.rs`).

use super::*;
use crate::harness::{
    archives::{Member, zip},
    signatures::{EVERY_ZIP, EVERY_ZIP_TOLD},
};

/// How many ZIPs are there; the brake comes after 10.
const ZIPS: usize = 14;

fn archive(seed: usize) -> Vec<u8> {
    zip(&[Member::stored("a.txt", format!("the text of number {seed}").as_bytes())])
}

/// ZIPs, and a signature that hits all of them, up to its brake.
async fn braked(scanner: &Learning) -> (Vec<Node>, Vec<String>) {
    let nodes = nodes(scanner).await;
    let mut files = Vec::new();
    for seed in 0..ZIPS {
        files.push(upload(&nodes[0], "a.zip", archive(seed)).await.file_id);
    }
    let number = scanner.knows(&[EVERY_ZIP.to_owned()]).await;
    rescanned(&nodes[0], number).await;
    (nodes, files)
}

/// How many of them are served.
async fn served(node: &Node, files: &[String]) -> usize {
    let mut served = 0;
    for file in files {
        match node.download(file, &Operator::new()).await {
            Ok(_) => served += 1,
            Err(status) => assert_eq!(status.code(), Code::NotFound, "{status:?}"),
        }
    }
    served
}

async fn until_served(node: &Node, files: &[String], wanted: usize) {
    let until = Instant::now() + SOON;
    loop {
        let served = served(node, files).await;
        if served == wanted {
            return;
        }
        assert!(Instant::now() < until, "{served} are served, and not {wanted}: {:?}", progress(node).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signature_that_hits_every_zip_stops_at_its_brake_is_told_and_can_be_ignored() {
    let scanner = Learning::start().await;
    let (nodes, files) = braked(&scanner).await;
    let node = &nodes[0];
    for node in &nodes {
        assert_eq!(served(node, &files).await, ZIPS - 10, "10 were taken for infected before it stopped");
    }
    let status = node.scanner_status().await.expect("an administrator may ask");
    assert!(status.healthy, "it is the signature that is wrong, and not the scanner: {status:?}");
    let told = status.rescan.expect("the database answers").braked;
    assert_eq!(told.iter().map(|one| one.signature.as_str()).collect::<Vec<_>>(), [EVERY_ZIP_TOLD]);
    assert!(usize::try_from(told[0].hit_count).is_ok_and(|hits| (11..=ZIPS).contains(&hits)), "{told:?}");
    assert_eq!(events(node, "SIGNATURE_BRAKED"), [EVERY_ZIP_TOLD]);
    assert!(node.log().contains(EVERY_ZIP_TOLD) || nodes.iter().any(|n| n.log().contains(EVERY_ZIP_TOLD)));
    let people = lhfile(
        &["scanner", "status"],
        &[("LHFILE_ADDR", &node.address().to_string()), ("LHFILE_TOKEN", &Service::all().token())],
        node.folder(),
    );
    assert!(
        people.text().contains(EVERY_ZIP_TOLD) && people.text().contains("quarantine release --signature"),
        "{people:?}"
    );
    let until = Instant::now() + SOON;
    while node.metric("lhfile_braked_signatures").await < 1.0 {
        assert!(Instant::now() < until, "the metric does not tell it");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // Other uploads go on; those that it hits are refused as any hit is.
    upload(node, "a.txt", samples::text(700, "others")).await;
    let refused = node.upload("new.zip", archive(99)).to_chat("42").by(&Operator::new()).await;
    assert_eq!(facts_of(&assert_refused(refused, Code::InvalidArgument, "INFECTED"))["signature"], EVERY_ZIP_TOLD);

    assert_eq!(
        cli(node, &["settings", "set", "ignored_signatures", EVERY_ZIP_TOLD]).object(),
        json!({"ignored_signatures": [EVERY_ZIP_TOLD]})
    );
    for node in &nodes {
        until_served(node, &files, ZIPS).await;
    }
    let new = upload(node, "new.zip", archive(99)).await;
    assert_eq!(new.verdict.expect("told").kind(), pb::VerdictKind::Released);
    assert!(cli(node, &["quarantine", "ls"]).lines().is_empty());
    node.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signature_that_is_confirmed_quarantines_all_that_it_hits() {
    let scanner = Learning::start().await;
    let (nodes, files) = braked(&scanner).await;
    let node = &nodes[0];
    assert_eq!(served(node, &files).await, ZIPS - 10);
    let words = ["scanner", "rescan", "--all", "--confirm-signature", EVERY_ZIP_TOLD];
    assert!(cli(node, &words).object()["start_time"].is_string());
    for node in &nodes {
        until_served(node, &files, 0).await;
    }
    let done = once(node, "the end", |p| p.end_time.is_some()).await;
    assert!(done.braked.is_empty(), "{done:?}");
    let held = cli(node, &["quarantine", "ls", "--signature", EVERY_ZIP_TOLD, "--limit", "100"]).lines();
    assert_eq!(held.len(), ZIPS);
    node.assert_consistent().await;
}
