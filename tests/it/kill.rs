//! kill -9 at each point of the protocol of an upload: before the moment it happens nothing is visible and nothing is
//! left after the restart; from that moment on the file is there, and the same request id gets it.
//!
//! The points are `fault_point!`s in `src/app`, compiled in by the feature `fault-points`, which `make test` sets.

use std::time::Duration;

use crate::harness::{Node, Operator, Setup, samples};

async fn killed_at(point: &str) -> (Node, Vec<u8>) {
    if !cfg!(feature = "fault-points") {
        panic!("run the tests by `make test`, or with --features fault-points");
    }
    let mut node = Node::start(Setup::new().stops_at(point)).await;
    node.put_chat("42").await;
    let bytes = samples::text(600_000, point);
    let upload = node.upload("a.txt", bytes.clone()).to_chat("42").request_id("killed");
    let operator = Operator::new();
    tokio::select! {
        answer = upload.by(&operator) => panic!("it did not stop at {point}: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    node.kill9();
    node.start_again().await;
    (node, bytes)
}

async fn leaves_nothing(point: &str) {
    let (node, bytes) = killed_at(point).await;
    let operator = Operator::new();
    assert!(node.chat_files("42", &operator).await.expect("known").is_empty());
    node.assert_nothing_left().await;
    // The id is free, and the way is open.
    let again = node.upload("a.txt", bytes.clone()).to_chat("42").request_id("killed");
    let file = again.passes_by(&operator).await;
    assert_eq!(node.download(&file.file_id, &operator).await.expect("its own").bytes, bytes);
    node.assert_consistent().await;
}

macro_rules! killed_before_it_happened {
    ($($name:ident: $point:literal;)+) => { $(
        #[tokio::test]
        async fn $name() {
            leaves_nothing($point).await;
        }
    )+ };
}

killed_before_it_happened! {
    kill_at_u2_before_the_intent_is_written_leaves_nothing: "U2";
    kill_at_u3_after_the_intent_leaves_nothing: "U3";
    kill_at_u4_after_the_first_write_leaves_nothing: "U4";
    kill_at_u5_after_a_chunk_leaves_nothing: "U5";
    kill_at_u6_after_the_commit_message_leaves_nothing: "U6";
    kill_at_u7_after_the_content_was_looked_at_leaves_nothing: "U7";
    kill_at_u8_after_the_verdict_leaves_nothing: "U8";
    kill_at_u9_before_the_rename_leaves_nothing: "U9";
    kill_at_u10_after_the_rename_leaves_nothing: "U10";
    kill_at_u11_before_the_transaction_leaves_nothing: "U11";
}

#[tokio::test]
async fn kill_at_u12_after_the_transaction_keeps_the_file_and_the_request_id_gets_it() {
    let (node, bytes) = killed_at("U12").await;
    let operator = Operator::new();
    let files = node.chat_files("42", &operator).await.expect("known");
    assert_eq!(files.len(), 1);
    assert_eq!(node.download(&files[0].file_id, &operator).await.expect("its own").bytes, bytes);
    let again = node.upload("a.txt", bytes).to_chat("42").request_id("killed");
    assert_eq!(again.passes_by(&operator).await.file_id, files[0].file_id);
    assert_eq!(node.chat_files("42", &operator).await.expect("known").len(), 1);
    node.assert_consistent().await;
}

#[tokio::test]
async fn kill_at_u12_of_shared_bytes_keeps_the_file_and_no_second_copy() {
    let mut node = Node::start(Setup::new()).await;
    node.put_chat("42").await;
    let operator = Operator::new();
    let bytes = samples::text(600_000, "shared");
    node.upload("a.txt", bytes.clone()).to_chat("42").passes_by(&operator).await;
    node.terminate().await;
    node.start_again_to_stop_at("U12").await;
    let upload = node.upload("b.txt", bytes.clone()).to_chat("42").request_id("killed");
    tokio::select! {
        answer = upload.by(&operator) => panic!("it did not stop: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    node.kill9();
    node.start_again().await;
    assert_eq!(node.chat_files("42", &operator).await.expect("known").len(), 2);
    node.assert_consistent().await;
    assert_eq!(node.stored().len(), 1);
}

#[tokio::test]
async fn upload_on_its_way_is_visible_to_no_one() {
    let node = Node::start(Setup::new().stops_at("U11")).await;
    node.put_chat("42").await;
    let operator = Operator::with(&["*"]);
    let upload = node.upload("a.txt", samples::text(600_000, "invisible")).to_chat("42");
    tokio::select! {
        answer = upload.by(&operator) => panic!("it did not stop: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    let files = tokio::time::timeout(Duration::from_secs(10), node.chat_files("42", &operator)).await;
    assert!(files.expect("the others go on").expect("known").is_empty());
    assert_eq!(node.number("SELECT count(*) AS n FROM files"), 0);
}
