//! Connections, nodes and stores that fail while a check or a repair goes on.
//!
//! Not here: what is found (`thousand.rs`).

use std::time::Duration;

use super::{
    Told,
    cutting::Cutting,
    fsck_as, fsck_at, lines,
    planted::{Blob, Garden},
};
use crate::harness::{
    Bucket, Node, Service, Setup,
    faulty::{Fault, Faulty},
    fsck::assert_fsck_clean,
};

fn unnamed(count: usize) -> Vec<Blob> {
    (0..count).map(Blob::numbered).collect()
}

fn plant(garden: &Garden<'_>, blobs: &[Blob]) {
    garden.store(&blobs.iter().map(|blob| (blob.key.clone(), blob.bytes.clone())).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn check_goes_on_where_its_connection_broke_and_tells_each_finding_once() {
    let node = Node::start(Setup::new().calls_left_after(0)).await;
    let garden = Garden::of(&node).await;
    let blobs = unnamed(600);
    plant(&garden, &blobs);
    let way = Cutting::way_to(node.address(), 2, 20_000);
    let ended = fsck_at(&node, &way.address().to_string(), &Service::all(), &[]);
    let told = Told::read(lines(&ended, 1));
    assert!(way.cuts() > 0, "no connection was long enough to be cut");
    let expected: Vec<_> = blobs.iter().map(|blob| ("UNNAMED_BYTES".to_owned(), blob.key.clone())).collect();
    assert_eq!(told.findings, expected);
    assert_eq!(told.counted("UNNAMED_BYTES"), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn node_killed_during_a_repair_leaves_nothing_half_done() {
    let mut node = Node::start(Setup::new().calls_left_after(0)).await;
    let blobs = unnamed(400);
    let chat = {
        let garden = Garden::of(&node).await;
        plant(&garden, &blobs);
        garden.chat
    };
    let (address, folder) = (node.address().to_string(), node.folder().to_owned());
    let token = crate::harness::Caller::token(&Service::all());
    let repair = tokio::task::spawn_blocking(move || {
        let words = ["fsck", "--json", "--repair", "--yes"];
        crate::cli::program::lhfile(&words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], &folder)
    });
    // As soon as the first is gone; whether many are by then does not matter.
    while node.stored().len() > blobs.len() && !repair.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    node.kill9();
    node.start_again().await;
    let ended = repair.await.expect("no panic");
    // It waits for the node and goes on; a repair of which all was done, but its answer, ends the same way.
    let told = Told::read(lines(&ended, 0));
    assert_eq!(told.findings.len(), blobs.len());
    assert_eq!(node.stored().len(), 1, "the template's");
    assert_eq!(Told::of(&node, &["--repair", "--yes"], 0).findings, []);
    assert_fsck_clean(&node).await;
    assert_eq!(node.chat_files(&chat, &Service::all()).await.expect("known").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_that_fails_or_is_cut_names_nothing_and_is_waited_for() {
    let bucket = Bucket::new();
    let way = Faulty::way_to(bucket.address());
    let node = Node::start(Setup::in_bucket(&bucket, way.address()).calls_left_after(0)).await;
    let garden = Garden::of(&node).await;
    let (address, token) = (node.address().to_string(), crate::harness::Caller::token(&Service::all()));
    for fault in [Fault::Answer(403, "AccessDenied"), Fault::CutBody(300)] {
        plant(&garden, &unnamed(3));
        way.plan("GET", "list-type", usize::MAX, fault);
        let hits = way.hits();
        let (address, token, folder) = (address.clone(), token.clone(), node.folder().to_owned());
        let fsck = tokio::task::spawn_blocking(move || {
            let words = ["fsck", "--json", "--repair", "--yes"];
            crate::cli::program::lhfile(&words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], &folder)
        });
        // More often than one question to the store is repeated.
        while way.hits() < hits + 6 && !fsck.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!fsck.is_finished(), "{fault:?}: it gave up at once");
        assert_eq!(node.stored().len(), 4, "{fault:?}");
        way.heal();
        let told = Told::read(lines(&fsck.await.expect("no panic"), 0));
        assert_eq!(told.findings.len(), 3, "{fault:?}");
        assert_eq!(node.stored().len(), 1, "{fault:?}");
    }
    assert_fsck_clean(&node).await;
}

/// Of three planted blobs, whose rows are there, these findings, and the unnamed bytes of a fourth behind them.
fn assert_unreadable(node: &Node, blobs: &[Blob], expected: usize, words: &str) {
    let lines = lines(&fsck_as(node, &Service::all(), &["--repair", "--yes"]), 1);
    let errors: Vec<_> = lines.iter().filter_map(|line| line.get("error")?.as_str().map(str::to_owned)).collect();
    assert!(errors.iter().filter(|error| error.contains(words)).count() == expected, "{words}: {errors:?}");
    let told = Told::read(lines);
    let mut findings: Vec<_> =
        blobs[..expected].iter().map(|blob| ("UNREADABLE".to_owned(), blob.key.clone())).collect();
    findings.push(("UNNAMED_BYTES".to_owned(), blobs[3].key.clone()));
    findings.sort();
    assert_eq!(told.findings, findings);
    let repaired = ("REPAIRED".to_owned(), "UNNAMED_BYTES".to_owned(), blobs[3].key.clone());
    assert_eq!(told.repaired, [repaired], "what is not given stays");
    assert_eq!(told.summary["counts"]["blob_count"], 4, "with the template's");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_the_store_does_not_give_are_told_and_all_else_is_looked_at() {
    // Of folders of their own.
    let blobs: Vec<Blob> = (1..5).map(|number| Blob::numbered(number * 100)).collect();
    let on_disk = Node::start(Setup::on_disk()).await;
    let garden = Garden::of(&on_disk).await;
    garden.rows(&blobs[..3]);
    plant(&garden, &blobs[1..]);
    // Where the folder of its bytes should be lies something else.
    let folder = garden.path(&blobs[0].key).parent().expect("a folder of its own").to_owned();
    std::fs::write(&folder, b"in the way").expect("our own folder");
    assert_unreadable(&on_disk, &blobs, 1, "Not a directory");
    std::fs::remove_file(&folder).expect("our own file");
    plant(&garden, &blobs[..1]);
    assert_fsck_clean(&on_disk).await;

    let bucket = Bucket::new();
    let way = Faulty::way_to(bucket.address());
    let in_bucket = Node::start(Setup::in_bucket(&bucket, way.address()).calls_left_after(0)).await;
    let garden = Garden::of(&in_bucket).await;
    garden.rows(&blobs[..3]);
    plant(&garden, &blobs);
    let keys: Vec<&'static str> = blobs.iter().map(|blob| &*blob.key.clone().leak()).collect();
    way.plan("GET", keys[0], usize::MAX, Fault::Answer(403, "InvalidObjectState"));
    way.plan("HEAD", keys[1], usize::MAX, Fault::Answer(500, "InternalError"));
    assert_unreadable(&in_bucket, &blobs, 2, "Error performing");
    way.heal();
    assert_fsck_clean(&in_bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_is_not_there_exits_4() {
    let node = Node::start(Setup::new().without_scanner()).await;
    let nobody = crate::harness::place::free_port().to_string();
    for words in [&[][..], &["--repair", "--yes"]] {
        assert_eq!(fsck_at(&node, &nobody, &Service::all(), words).code, Some(4));
    }
}
