//! Files purged at once, and many deleted by one call: what becomes of each, of their bytes, and of who asks too much; and
//! kill -9 at each point of a purge.
//!
//! Not here: who may, row by row (`matrix/ending.rs`); the grace, and purges that meet others (the contract of the stores,
//! `src/adapters/tests/store/purging.rs`); what fails in between (`src/app/tests/purging.rs`).

use tonic::{Code, Status};

use crate::harness::{
    Caller, Node, Operator, Service, Setup, assert_refused,
    calls::request,
    fsck::assert_fsck_clean,
    pb::{self, hold_target::On},
    samples, shared,
};

async fn purge(node: &Node, file_ids: &[&str], caller: &impl Caller) -> Result<Vec<String>, Status> {
    let purge = pb::PurgeFilesRequest { file_ids: file_ids.iter().map(|id| (*id).to_owned()).collect() };
    let answer = node.files().purge_files(request(caller, purge)).await?.into_inner();
    assert!(answer.results.iter().map(|result| result.file_id.as_str()).eq(file_ids.iter().copied()), "in their order");
    Ok(answer.results.into_iter().map(|result| result.reason).collect())
}

/// So that nothing more is expected from the store of bytes: without it rows of what was just stored stay for a while.
fn store_long_ago(node: &Node) {
    assert!(node.change("UPDATE blobs SET created_at = created_at - 3600000000") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_files_are_gone_for_everybody_with_the_bytes_that_no_other_needs() {
    let node = Node::start(Setup::new()).await;
    let (chat, operator, all) = (node.new_chat().await, Operator::with(&["*"]), Service::all());
    let bytes = samples::text(5_000, "shared");
    let first = node.upload("a.txt", bytes.clone()).to_chat(&chat).passes_by(&operator).await.file_id;
    let second = node.upload("b.txt", bytes.clone()).to_chat(&chat).passes_by(&operator).await.file_id;
    let deleted = node.upload("c.txt", samples::text(700, "c")).to_chat(&chat).passes_by(&operator).await.file_id;
    let held = node.upload("d.txt", samples::text(800, "d")).to_chat(&chat).passes_by(&operator).await.file_id;
    node.delete(&deleted, &all).await.expect("the backend may");
    let target = Some(pb::HoldTarget { on: Some(On::FileId(held.clone())) });
    let hold = pb::PutHoldRequest { target, matter: "case 7".to_owned() };
    node.maintenance().put_hold(request(&all, hold)).await.expect("the backend may");
    let link = node.link(&first, &operator).await.expect("it may");
    store_long_ago(&node);
    assert_eq!(node.stored().len(), 3);

    let never = "a".repeat(26);
    let answers = purge(&node, &[&first, &deleted, &held, &never, "no id", &first], &all).await.expect("it may");
    assert_eq!(answers, ["", "", "ON_HOLD", "NOT_FOUND", "NOT_FOUND", ""]);
    for gone in [
        node.file(&first, &all).await.map(drop),
        node.download_link(&link).await.map(drop),
        node.restore(&first, &all).await.map(drop),
        node.restore(&deleted, &all).await.map(drop),
        node.delete(&deleted, &all).await,
    ] {
        assert_refused(gone, Code::NotFound, "NOT_FOUND");
    }
    assert_eq!(node.download(&second, &operator).await.expect("it is there").bytes, bytes, "another file needs them");
    assert_eq!(node.stored().len(), 2, "those of the deleted file are gone");
    assert_eq!(purge(&node, &[&first, &second], &all).await.expect("again"), ["NOT_FOUND", ""]);
    assert_eq!((node.stored().len(), node.number("SELECT count(*) AS n FROM stubs")), (1, 3));
    node.assert_consistent().await;
    assert_eq!(node.number("SELECT count(*) AS n FROM events WHERE kind = 'FILE_PURGED'"), 3);

    for bad in [vec![], vec![never.as_str(); 1_001]] {
        assert_refused(purge(&node, &bad, &all).await, Code::InvalidArgument, "BAD_ARGUMENT");
    }
    node.set(&["read_only"], |s| s.read_only = true).await.expect("the backend may");
    assert_refused(purge(&node, &[&held], &all).await, Code::Unavailable, "READ_ONLY");
}

async fn delete_by_filter(node: &Node, filter: pb::ListFilesRequest, expected_count: i64) -> Result<usize, Status> {
    let delete = pb::BatchDeleteFilesRequest { filter: Some(filter), expected_count, ..Default::default() };
    let results = node.files().batch_delete_files(request(&Service::all(), delete)).await?.into_inner().results;
    assert!(results.iter().all(|result| result.reason.is_empty()), "{results:?}");
    Ok(results.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_are_deleted_by_name_or_by_a_filter_that_hits_as_many_as_expected() {
    let node = shared().await;
    let (chat, other, all) = (node.new_chat().await, node.new_chat().await, Service::all());
    let operator = Operator::with(&["use_operator", "file_delete_chat"]);
    let mut files = Vec::new();
    for n in 0..5 {
        let upload = node.upload("many.txt", samples::text(500, &format!("{chat} {n}"))).to_chat(&chat);
        files.push(upload.passes_by(&operator).await.file_id);
    }
    let foreign = node.upload("f.txt", samples::text(500, &other)).to_chat(&other).passes_by(&all).await.file_id;
    let named = vec![files[0].clone(), foreign.clone(), "a".repeat(26), files[0].clone(), "no id".to_owned()];
    let delete = pb::BatchDeleteFilesRequest { file_ids: named, ..Default::default() };
    let mut answers = Vec::new();
    for _ in 0..2 {
        let answer = node.files().batch_delete_files(request(&operator, delete.clone())).await.expect("it may");
        answers.push(answer.into_inner().results.into_iter().map(|result| result.reason).collect::<Vec<_>>());
    }
    assert_eq!(answers[0], answers[1], "after a lost answer it is asked again");
    let one = node.delete(&foreign, &operator).await.expect_err("foreign");
    assert_eq!(answers[0], ["", crate::harness::reason_of(&one).as_str(), "NOT_FOUND", "", "NOT_FOUND"]);

    let of_chat = || pb::ListFilesRequest { chat_ids: vec![chat.clone()], ..Default::default() };
    for expected in [0, 3, 5, 1_001] {
        let answer = delete_by_filter(node, of_chat(), expected).await;
        let status = assert_refused(answer, Code::FailedPrecondition, "CONFIRMATION_NEEDED");
        assert!(status.message().starts_with("4 files match"), "{status:?}");
    }
    assert_eq!(node.chat_files(&chat, &all).await.expect("it may").len(), 4, "nothing is deleted");
    assert_eq!(delete_by_filter(node, of_chat(), 4).await.expect("as many as there are"), 4);
    assert_eq!(delete_by_filter(node, of_chat(), 0).await.expect("none are left"), 0);
    assert!(node.chat_files(&chat, &all).await.expect("it may").is_empty());
    assert!(node.file(&foreign, &all).await.is_ok());

    let paged = pb::ListFilesRequest { page_size: 5, ..of_chat() };
    assert_refused(delete_by_filter(node, paged, 0).await, Code::InvalidArgument, "BAD_ARGUMENT");
    assert_refused(delete_by_filter(node, of_chat(), -1).await, Code::InvalidArgument, "BAD_ARGUMENT");
    for bad in [
        pb::BatchDeleteFilesRequest::default(),
        pb::BatchDeleteFilesRequest { filter: Some(of_chat()), ..delete.clone() },
        pb::BatchDeleteFilesRequest { expected_count: 5, ..delete.clone() },
        pb::BatchDeleteFilesRequest { file_ids: vec![foreign; 1_001], ..Default::default() },
    ] {
        let answer = node.files().batch_delete_files(request(&operator, bad)).await;
        assert_refused(answer, Code::InvalidArgument, "BAD_ARGUMENT");
    }
}

/// Kills a purge at a point, starts again and purges the same file once more: nothing at all is left. Answers what that
/// purge said.
async fn killed_at(point: &str) -> Vec<String> {
    if !cfg!(feature = "fault-points") {
        panic!("run the tests by `make test`, or with --features fault-points");
    }
    let mut node = Node::start(Setup::new().stops_at(point)).await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let upload = node.upload("a.txt", samples::text(600_000, point)).to_chat(&chat);
    let file = upload.passes_by(&Operator::new()).await.file_id;
    store_long_ago(&node);
    let one = [file.as_str()];
    tokio::select! {
        answer = purge(&node, &one, &all) => panic!("it did not stop at {point}: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    node.kill9();
    node.start_again().await;
    let there = node.file(&file, &all).await.is_ok();
    assert_eq!(there, node.number("SELECT count(*) AS n FROM files") == 1, "there, or gone");
    assert_eq!(there, node.number("SELECT count(*) AS n FROM blobs WHERE state = 'ACTIVE'") == 1);
    let answer = purge(&node, &one, &all).await.expect("the backend may");
    node.assert_nothing_left().await;
    assert!(node.stored().is_empty());
    assert_fsck_clean(&node).await;
    answer
}

macro_rules! killed {
    ($($name:ident: $point:literal, $answer:literal;)+) => { $(
        #[tokio::test]
        async fn $name() {
            assert_eq!(killed_at($point).await, [$answer]);
        }
    )+ };
}

killed! {
    kill_at_d4_before_the_transaction_of_a_purge_leaves_the_file_to_the_next: "D4", "";
    kill_in_the_transaction_of_a_purge_leaves_the_file_to_the_next: "D4-written", "";
    kill_at_d5_before_the_bytes_go_leaves_them_to_the_next_purge: "D5", "NOT_FOUND";
    kill_at_d6_after_the_bytes_went_leaves_their_row_to_the_next_purge: "D6", "NOT_FOUND";
    kill_at_d7_before_the_row_of_bytes_goes_leaves_it_to_the_next_purge: "D7", "NOT_FOUND";
}
