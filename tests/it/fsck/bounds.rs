//! What is not named: what is young, and what is under way; who may not ask, and of which checks there is no repair.
//!
//! Not here: what is named (`thousand.rs`).

use tonic::Code;

use super::{
    Told, fsck_as, lines,
    planted::{Blob, Garden},
    told,
};
use crate::harness::{
    Caller, Node, Operator, Service, Setup, assert_refused,
    calls::request,
    fsck::assert_fsck_clean,
    pb::{self, repair_consistency_response},
    samples,
};

/// What became of each finding of this check.
async fn repair(node: &Node, check_id: &str, caller: &impl Caller) -> Result<Vec<pb::RepairedFinding>, tonic::Status> {
    let asked = pb::RepairConsistencyRequest { check_id: check_id.to_owned(), kinds: Vec::new() };
    let mut told = node.maintenance().repair_consistency(request(caller, asked)).await?.into_inner();
    let mut repaired = Vec::new();
    while let Some(message) = told.message().await? {
        match message.told.expect("no empty message") {
            repair_consistency_response::Told::Repaired(one) => repaired.push(*one),
            repair_consistency_response::Told::Summary(_) => return Ok(repaired),
        }
    }
    panic!("it ended without its summary")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_younger_than_a_day_is_counted_and_not_named() {
    let node = Node::start(Setup::new()).await;
    let garden = Garden::of(&node).await;
    let (young, old) = (Blob::numbered(1), Blob::numbered(2));
    garden.store(&[(old.key.clone(), old.bytes.clone())]);
    if node.bucket().is_none() {
        let path = garden.path(&young.key);
        std::fs::write(&path, &young.bytes).expect("our own folder");
        std::fs::write(node.data().join("spool").join(&young.key), &young.bytes).expect("our own folder");
        let told = Told::of(&node, &["--repair", "--yes"], 0);
        assert_eq!(told.findings, [("UNNAMED_BYTES".to_owned(), old.key.clone())]);
        assert_eq!(told.summary["counts"]["young_count"], 2);
        assert!(path.exists() && !garden.path(&old.key).exists());
    } else {
        let names = [young.key.clone()];
        node.bucket().expect("on S3").begin_multiparts(&names);
        let told = Told::of(&node, &["--repair", "--yes"], 0);
        assert_eq!((told.findings.len(), &told.summary["counts"]["young_count"]), (0, &2.into()));
        let open = node.bucket().expect("on S3").multiparts();
        assert!(open.len() == 1 && open[0].ends_with(&format!("/{}", young.key)), "{open:?}");
        assert_eq!(node.stored().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_that_is_under_way_is_not_named_wherever_its_bytes_lie() {
    // Points on threads that may block: all else of the node goes on.
    for point in ["U4-made", "U9-renamed"] {
        let node = Node::start(Setup::on_disk().stops_at(point).calls_left_after(0)).await;
        node.put_chat("42").await;
        let operator = Operator::new();
        let upload = node.upload("a.txt", samples::text(600_000, point)).to_chat("42");
        tokio::select! {
            answer = upload.by(&operator) => panic!("it did not stop at {point}: {answer:?}"),
            () = node.wait_for_fault() => {}
        }
        let (there, spooled) = (node.stored().len(), node.spooled().len());
        assert_eq!(there + spooled, 1, "{point}: {there} {spooled}");
        let told = Told::of(&node, &["--repair", "--yes"], 0);
        assert_eq!(told.findings, [], "{point}");
        assert_eq!((node.stored().len(), node.spooled().len()), (there, spooled), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_and_purged_files_are_no_finding() {
    let node = Node::start(Setup::new().calls_left_after(0)).await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let mut ids = Vec::new();
    for seed in ["a", "b", "c"] {
        let upload = node.upload(&format!("{seed}.txt"), samples::text(700, seed)).to_chat(&chat);
        ids.push(upload.passes_by(&all).await.file_id);
    }
    node.delete(&ids[0], &all).await.expect("the backend may");
    let purge = pb::PurgeFilesRequest { file_ids: vec![ids[1].clone()] };
    node.files().purge_files(request(&all, purge)).await.expect("the backend may");
    assert_fsck_clean(&node).await;
    node.restore(&ids[0], &all).await.expect("within the grace");
    assert_fsck_clean(&node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_check_or_repair_is_refused() {
    let node = Node::start(Setup::new().calls_left_after(0)).await;
    let garden = Garden::of(&node).await;
    let left = Blob::numbered(1);
    garden.store(&[(left.key.clone(), left.bytes.clone())]);

    let none = Service::with(&["chat_sync"]);
    fsck_as(&node, &none, &[]).refused("PERMISSION_DENIED", "MISSING_PERMISSION");
    let bounded = Service::all().of_chats(&[&garden.chat]);
    let refused = fsck_as(&node, &bounded, &[]);
    refused.refused("PERMISSION_DENIED", "MISSING_PERMISSION");
    assert_eq!(refused.out, b"", "it is told nothing");

    // To look is not to remove.
    let looks = Service::with(&["maintenance_run"]);
    assert_eq!(lines(&fsck_as(&node, &looks, &[]), 1).len(), 2);
    let refused = fsck_as(&node, &looks, &["--repair", "--yes"]);
    refused.refused("PERMISSION_DENIED", "MISSING_PERMISSION");
    assert_eq!(node.stored().len(), 2);

    node.set(&["read_only"], |s| s.read_only = true).await.expect("the backend may");
    lines(&fsck_as(&node, &looks, &[]), 1);
    let refused = fsck_as(&node, &Service::all(), &["--repair", "--yes"]);
    refused.refused("UNAVAILABLE", "READ_ONLY");
    assert_eq!(node.stored().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_unscanned_is_named_and_is_not_consistent() {
    // Nothing is scanned later either.
    let node = Node::start(Setup::new().without_scanner()).await;
    let (chat, operator) = (node.new_chat().await, Operator::new());
    node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = false).await.expect("the backend may");
    let file = node.upload("a.txt", samples::text(500, "unscanned")).to_chat(&chat).passes_by(&operator).await;
    let off = Told::of(&node, &[], 0);
    assert_eq!((&off.summary["counts"]["unscanned_count"], &off.summary["consistent"]), (&0.into(), &true.into()));
    node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = true).await.expect("the backend may");
    let on = Told::of(&node, &[], 1);
    assert_eq!((on.findings.len(), &on.summary["counts"]["unscanned_count"]), (0, &1.into()), "{on:?}");
    assert_eq!(on.summary["unscanned_file_ids"], serde_json::json!([file.file_id]));
    assert_eq!(on.summary["consistent"], false);
    let shown = told(&node, &[]);
    let text = shown.text();
    assert_eq!(shown.code, Some(1), "{text}");
    assert!(text.contains(&file.file_id) && text.contains("scanner rescan --all"), "{text}");
    assert!(!text.contains("nothing found"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn place_that_no_page_has_given_is_refused() {
    let node = Node::start(Setup::new().calls_left_after(0)).await;
    let all = Service::all();
    let check = async |after: String| {
        let asked = pb::CheckConsistencyRequest { after, ..Default::default() };
        let mut told = node.maintenance().check_consistency(request(&all, asked)).await?.into_inner();
        let mut last = None;
        while let Some(message) = told.message().await? {
            last = message.told;
        }
        Ok::<_, tonic::Status>(last.expect("its summary"))
    };
    // The first place that is told, with the walk through the store for its phase.
    let asked = pb::CheckConsistencyRequest::default();
    let mut told = node.maintenance().check_consistency(request(&all, asked)).await.expect("it may").into_inner();
    let first = told.message().await.expect("it goes on").and_then(|message| message.told);
    let Some(pb::check_consistency_response::Told::Progress(start)) = first else { panic!("{first:?}") };
    let mut words: Vec<String> = start.after.split('.').map(str::to_owned).collect();
    "2".clone_into(&mut words[1]);
    check(words.join(".")).await.expect("the walk from its beginning");
    for place in ["../x", "/etc/x", "0000000g/x"] {
        words[4] = format!("p{}", data_encoding::HEXLOWER.encode(place.as_bytes()));
        assert_refused(check(words.join(".")).await, Code::InvalidArgument, "BAD_PAGE_TOKEN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_that_is_unknown_or_forgotten_is_not_repaired() {
    let node = Node::start(Setup::new().calls_left_after(0)).await;
    let garden = Garden::of(&node).await;
    let left = Blob::numbered(1);
    garden.store(&[(left.key.clone(), left.bytes.clone())]);
    let all = Service::all();
    for unknown in ["", "no id", &"a".repeat(26)] {
        let answer = repair(&node, unknown, &all).await;
        let status = answer.expect_err("there is no such check");
        assert!(matches!(status.code(), Code::NotFound | Code::InvalidArgument), "{unknown:?}: {status:?}");
    }
    let (findings, summary) = node.check(0, &all).await.expect("the backend may");
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(node.change("UPDATE checks SET expires_at = expires_at - 86400000000") > 0);
    assert_refused(repair(&node, &summary.check_id, &all).await, Code::FailedPrecondition, "PLAN_EXPIRED");
    assert_eq!(node.stored().len(), 2, "nothing was removed");

    // What came to be named after it was found stays.
    let (_, summary) = node.check(0, &all).await.expect("the backend may");
    garden.rows(std::slice::from_ref(&left));
    let repaired = repair(&node, &summary.check_id, &all).await.expect("the backend may");
    assert_eq!(repaired.len(), 1);
    assert_eq!(repaired[0].outcome(), pb::RepairOutcome::Gone, "{repaired:?}");
    assert_eq!(node.download(&left.file_id(), &Operator::with(&["*"])).await.expect("there").bytes, left.bytes);
}
