//! The service over S3: killed at each point of publishing, large files in parts, a store that is away, its memory.
//!
//! Not here: the adapter alone (`blob_contract.rs`, `s3_faults.rs`), and the tests of every subject, which run over S3
//! too when `LHFILE_TEST_PAIR` says so.

use std::time::Duration;

use tonic::Code;

use crate::{
    harness::{
        Bucket, Node, Operator, Setup, assert_refused,
        faulty::{Fault, Faulty},
        refusal::has_retry,
        samples,
    },
    memory,
};

/// Three parts, and within the default limit of a file.
const LARGE: usize = (17 << 20) + 1;

async fn killed_at(point: &str, bytes: &[u8]) -> Node {
    let mut node = Node::start(Setup::on_s3().stops_at(point)).await;
    node.put_chat("42").await;
    let upload = node.upload("a.txt", bytes.to_vec()).to_chat("42").request_id("killed");
    let operator = Operator::new();
    tokio::select! {
        answer = upload.by(&operator) => panic!("it did not stop at {point}: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    node.kill9();
    node
}

/// `open`: uploads in parts that the kill leaves; `whole`: the object is there.
async fn leaves_nothing(point: &str, size: usize, open: usize, whole: bool) {
    let bytes = samples::text(size, point);
    let mut node = killed_at(point, &bytes).await;
    let bucket = node.bucket().expect("on S3").clone();
    assert_eq!((bucket.multiparts().len(), bucket.objects().len()), (open, usize::from(whole)), "what the kill left");
    node.start_again().await;
    let operator = Operator::new();
    assert!(node.chat_files("42", &operator).await.expect("known").is_empty());
    node.assert_nothing_left().await;
    let again = node.upload("a.txt", bytes.clone()).to_chat("42").request_id("killed");
    let file = again.passes_by(&operator).await;
    assert!(node.download(&file.file_id, &operator).await.expect("its own").bytes == bytes);
    node.assert_consistent().await;
}

macro_rules! killed_before_it_happened {
    ($($name:ident: $point:literal with $size:expr, $open:literal, $whole:literal;)+) => { $(
        #[tokio::test]
        async fn $name() {
            leaves_nothing($point, $size, $open, $whole).await;
        }
    )+ };
}

killed_before_it_happened! {
    kill_before_publishing_leaves_nothing: "U9" with LARGE, 0, false;
    kill_before_the_id_of_the_parts_is_noted_leaves_nothing: "U9-begun" with LARGE, 1, false;
    kill_after_the_id_of_the_parts_is_noted_leaves_nothing: "U9-noted" with LARGE, 1, false;
    kill_after_the_first_part_leaves_nothing: "U9-part" with LARGE, 1, false;
    kill_after_the_last_part_is_completed_leaves_nothing: "U9-put" with LARGE, 0, true;
    kill_after_a_small_put_leaves_nothing: "U9-put" with 600_000, 0, true;
    kill_after_publishing_leaves_nothing: "U10" with LARGE, 0, true;
    kill_before_the_transaction_leaves_nothing: "U11" with LARGE, 0, true;
}

#[tokio::test]
async fn kill_after_the_transaction_keeps_the_file_and_its_bytes() {
    let bytes = samples::text(LARGE, "kept");
    let mut node = killed_at("U12", &bytes).await;
    node.start_again().await;
    let operator = Operator::new();
    let files = node.chat_files("42", &operator).await.expect("known");
    assert_eq!(files.len(), 1);
    assert!(node.download(&files[0].file_id, &operator).await.expect("its own").bytes == bytes);
    let again = node.upload("a.txt", bytes).to_chat("42").request_id("killed");
    assert_eq!(again.passes_by(&operator).await.file_id, files[0].file_id);
    node.assert_consistent().await;
}

#[tokio::test]
async fn removal_that_is_killed_is_finished_by_the_next_start() {
    let bytes = samples::text(LARGE, "removal");
    let mut node = killed_at("U9-part", &bytes).await;
    node.start_again_to_be_killed_at("R1").await;
    node.start_again().await;
    node.assert_nothing_left().await;
}

struct Away {
    way: Faulty,
    node: Node,
}

async fn away() -> Away {
    let bucket = Bucket::new();
    let way = Faulty::way_to(bucket.address());
    let node = Node::start(Setup::in_bucket(&bucket, way.address())).await;
    node.put_chat("42").await;
    Away { way, node }
}

fn stop_all(way: &Faulty) {
    for method in ["PUT", "GET", "HEAD", "DELETE", "POST"] {
        way.plan(method, "/", usize::MAX, Fault::Answer(503, "ServiceUnavailable"));
    }
}

#[tokio::test]
async fn store_that_is_away_is_told_as_unavailable_and_leaves_nothing_when_it_is_back() {
    let Away { way, node } = away().await;
    let operator = Operator::new();
    let kept = samples::text(2_000, "kept");
    let file = node.upload("kept.txt", kept.clone()).to_chat("42").passes_by(&operator).await;
    stop_all(&way);
    for size in [2_001, LARGE] {
        let upload = node.upload("a.txt", samples::text(size, "away")).to_chat("42");
        let status = assert_refused(upload.by(&operator).await, Code::Unavailable, "STORE_DOWN");
        assert!(has_retry(&status), "{status:?}");
    }
    let status = assert_refused(node.download(&file.file_id, &operator).await, Code::Unavailable, "STORE_DOWN");
    assert!(has_retry(&status), "{status:?}");
    way.heal();
    assert_eq!(node.download(&file.file_id, &operator).await.expect("it is back").bytes, kept);
    // What could not be removed meanwhile is: it is tried until it succeeds, with growing pauses.
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while !node.find_inconsistencies().is_empty() {
        assert!(tokio::time::Instant::now() < until, "{:?}", node.find_inconsistencies());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    node.upload("a.txt", samples::text(LARGE, "away")).to_chat("42").passes_by(&operator).await;
    node.assert_consistent().await;
}

/// A put waits for the disk of a busy store: for longer than clients of HTTP are silent by habit.
#[tokio::test]
async fn part_that_a_busy_store_answers_late_is_waited_for() {
    let Away { way, node } = away().await;
    let operator = Operator::new();
    way.plan("PUT", "partNumber=1", 1, Fault::Late);
    let busy = async {
        while way.hits() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(25)).await;
        way.deliver();
    };
    let bytes = samples::text(LARGE, "busy");
    let upload = node.upload("a.txt", bytes.clone()).to_chat("42");
    let (file, ()) = tokio::join!(upload.passes_by(&operator), busy);
    assert!(node.download(&file.file_id, &operator).await.expect("its own").bytes == bytes);
    node.assert_consistent().await;
}

#[tokio::test]
async fn lost_answers_of_every_kind_change_nothing() {
    let Away { way, node } = away().await;
    let operator = Operator::new();
    way.plan("PUT", "partNumber=1", 1, Fault::LoseReply);
    way.plan("POST", "uploadId=", 1, Fault::LoseReply);
    let bytes = samples::text(LARGE, "lost");
    let file = node.upload("a.txt", bytes.clone()).to_chat("42").passes_by(&operator).await;
    assert!(node.download(&file.file_id, &operator).await.expect("its own").bytes == bytes);
    // The one that is asked once: the upload is refused, and its nameless parts are found.
    way.plan("POST", "uploads", 1, Fault::LoseReply);
    let upload = node.upload("b.txt", samples::text(LARGE, "nameless")).to_chat("42");
    assert_refused(upload.by(&operator).await, Code::Unavailable, "STORE_DOWN");
    node.assert_consistent().await;
    assert_eq!(way.hits(), 3);
}

#[tokio::test]
async fn damaged_object_is_told_and_never_served() {
    let node = Node::start(Setup::on_s3()).await;
    node.put_chat("42").await;
    let operator = Operator::new();
    let bytes = samples::text(700_000, "damaged");
    let file = node.upload("a.txt", bytes.clone()).to_chat("42").passes_by(&operator).await;
    let bucket = node.bucket().expect("on S3");
    let (name, size) = bucket.objects().pop().expect("one");
    assert_eq!(size, bytes.len() as u64);
    let mut other = bytes.clone();
    other[699_000] ^= 1;
    for damage in [&bytes[..300_000], &other[..]] {
        bucket.write(&name, damage);
        assert_refused(node.download(&file.file_id, &operator).await, Code::DataLoss, "CORRUPT");
    }
    bucket.remove(&name);
    assert_refused(node.download(&file.file_id, &operator).await, Code::DataLoss, "CORRUPT");
}

#[tokio::test]
async fn large_file_in_and_out_of_s3_costs_no_more_memory_than_one_of_three_parts() {
    memory::costs_no_more_than(&memory::node(Setup::on_s3(), 256, false).await, 6, 17, 256).await;
}

#[tokio::test]
#[ignore = "soak: moves 4 GiB through garage and needs 13 GiB of disk"]
async fn unscanned_4_gib_in_and_out_of_s3_cost_no_more_memory_than_three_parts() {
    memory::costs_no_more_than(&memory::node(Setup::on_s3(), 4096, false).await, 6, 17, 4096).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: moves 4 GiB to garage, and needs 9 GiB of disk"]
async fn kill_in_the_middle_of_4_gib_leaves_no_upload_in_parts() {
    let mut node = memory::node(Setup::on_s3(), 4096, false).await;
    node.put_chat("42").await;
    let bucket = node.bucket().expect("on S3").clone();
    let operator = Operator::new();
    let upload = node.send_upload(&operator, memory::messages(4096));
    let part_of_it = async {
        while bucket.multiparts().is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // Some of its 512 parts.
        tokio::time::sleep(Duration::from_secs(5)).await;
    };
    tokio::select! {
        answer = upload => panic!("it was faster than the kill: {answer:?}"),
        () = part_of_it => {}
    }
    node.kill9();
    assert_eq!((bucket.multiparts().len(), bucket.objects().len()), (1, 0), "what the kill left");
    node.start_again().await;
    node.assert_nothing_left().await;
    assert!(node.chat_files("42", &operator).await.expect("known").is_empty());
}
