//! A store that finishes what it was asked for after nobody waits for it any more: a put, the beginning and the completion
//! of an upload in parts. What it makes then has no row, and is removed all the same.
//!
//! The way to a real garage holds the request back until the upload is over. Not here: other faults of a store (`s3.rs`,
//! `s3_faults.rs`).

use std::time::{Duration, Instant};

use tonic::Code;

use crate::harness::{
    Bucket, Node, Operator, Setup, assert_refused,
    faulty::{Fault, Faulty},
    samples,
};

const SMALL: usize = 600_000;
/// Three parts.
const LARGE: usize = (17 << 20) + 1;
/// Keys begin with their hour, which has these digits until the year 2109; the store's own objects do not.
const A_KEY: &str = "/000";
/// How long a node may take to look at buried rows: it does so every 20 s.
const SEEN: Duration = Duration::from_secs(45);

struct Late {
    way: Faulty,
    node: Node,
    bucket: Bucket,
}

async fn late() -> Late {
    let bucket = Bucket::new();
    let way = Faulty::way_to(bucket.address());
    let node = Node::start(Setup::in_bucket(&bucket, way.address())).await;
    node.put_chat("42").await;
    Late { way, node, bucket }
}

async fn until(what: &str, at_most: Duration, holds: impl Fn() -> bool) {
    let end = Instant::now() + at_most;
    while !holds() {
        assert!(Instant::now() < end, "not within {at_most:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

impl Late {
    fn in_bucket(&self) -> usize {
        self.bucket.objects().len() + self.bucket.multiparts().len()
    }

    fn rows(&self, state: &str) -> i64 {
        self.node.number(&format!("SELECT count(*) AS n FROM uploads WHERE state = '{state}'"))
    }

    /// Its upload is over, and buried; nothing is in the store. Then the store does what it was asked for.
    async fn is_found_when_it_comes(&self) {
        until("it is buried", Duration::from_secs(30), || self.rows("BURIED") == 1).await;
        assert_eq!((self.in_bucket(), self.rows("RUNNING"), self.rows("FENCED")), (0, 0, 0));
        // The request id is free at once.
        let again = self.node.upload("a.txt", samples::text(1_000, "again")).to_chat("42").request_id("late");
        again.passes_by(&Operator::new()).await;
        let before = self.in_bucket();
        self.way.deliver();
        until("the store does it late", Duration::from_secs(20), || self.in_bucket() == before + 1).await;
        assert_eq!(self.node.change("UPDATE uploads SET lease_until = 0 WHERE state = 'BURIED'"), 1);
        until("it is buried again", SEEN, || self.rows("BURIED") == 0).await;
        assert_eq!(self.in_bucket(), before);
        self.node.assert_consistent().await;
        let told = self.node.texts("SELECT kind AS t FROM events WHERE kind LIKE 'UPLOAD%' ORDER BY seq");
        assert_eq!(told.len(), 1, "once: {told:?}");
    }

    async fn is_refused(&self, size: usize) {
        let upload = self.node.upload("a.txt", samples::text(size, "late")).to_chat("42").request_id("late");
        assert_refused(upload.by(&Operator::new()).await, Code::Unavailable, "STORE_DOWN");
    }
}

#[tokio::test]
async fn put_that_the_store_finishes_late_is_found_and_removed() {
    let late = late().await;
    late.way.plan("PUT", A_KEY, 1, Fault::Late);
    late.is_refused(SMALL).await;
    late.is_found_when_it_comes().await;
}

#[tokio::test]
async fn upload_in_parts_that_the_store_begins_late_is_found_and_aborted() {
    let late = late().await;
    late.way.plan("POST", "uploads", 1, Fault::Late);
    late.is_refused(LARGE).await;
    late.is_found_when_it_comes().await;
}

#[tokio::test]
async fn parts_that_the_store_puts_together_late_are_found_and_removed() {
    let late = late().await;
    late.way.plan("POST", "uploadId=", 1, Fault::Late);
    // As where the store is at it already: what it was told to abort and to remove, and lists no more, is put together yet.
    late.way.plan("DELETE", A_KEY, 2, Fault::Answer(200, "None"));
    late.way.plan("GET", "uploads", 1, Fault::Answer(200, "None"));
    let upload = late.node.upload("a.txt", samples::text(LARGE, "late")).to_chat("42").request_id("late");
    assert_refused(upload.by(&Operator::new()).await, Code::Unavailable, "STORE_DOWN");
    until("it is buried", Duration::from_secs(30), || late.rows("BURIED") == 1).await;
    assert_eq!((late.bucket.objects().len(), late.bucket.multiparts().len()), (0, 1), "it is being put together");
    late.way.deliver();
    until("it is put together", Duration::from_secs(20), || late.bucket.objects().len() == 1).await;
    assert_eq!(late.node.change("UPDATE uploads SET lease_until = 0"), 1);
    until("it is buried again", SEEN, || late.rows("BURIED") == 0).await;
    late.node.assert_nothing_left().await;
}

#[tokio::test]
async fn put_of_a_killed_node_that_the_store_finishes_late_is_found_and_removed() {
    let mut late = late().await;
    late.way.plan("PUT", A_KEY, 1, Fault::Late);
    let upload = late.node.upload("a.txt", samples::text(SMALL, "late")).to_chat("42").request_id("late");
    let operator = Operator::new();
    let asked = async {
        while late.way.hits() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! { answer = upload.by(&operator) => panic!("it waits for the store: {answer:?}"), () = asked => {} }
    late.node.kill9();
    late.node.start_again().await;
    late.is_found_when_it_comes().await;
}

#[tokio::test]
async fn upload_that_is_refused_before_the_store_is_asked_leaves_no_row() {
    let late = late().await;
    let upload = late.node.upload("a.png", samples::text(SMALL, "no image")).to_chat("42");
    assert_refused(upload.by(&Operator::new()).await, Code::InvalidArgument, "TYPE_MISMATCH");
    until("its row ends", Duration::from_secs(10), || late.node.number("SELECT count(*) AS n FROM uploads") == 0).await;
}
