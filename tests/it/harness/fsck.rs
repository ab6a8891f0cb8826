//! What the service says of its own consistency: a whole check with every byte read (`CheckConsistency`).
//!
//! Not here: what the tests see by themselves (`left.rs`).

use std::time::{Duration, Instant};

use tonic::Status;

use super::{
    Caller, Node, Service,
    calls::request,
    pb::{self, check_consistency_response::Told},
};

/// How long what a fault left may take to be tidied up by itself.
const TIDY: Duration = Duration::from_secs(20);

impl Node {
    /// Checks, reading so many bytes (-1: all): the findings, and the summary that ends them.
    pub async fn check(
        &self,
        hash_bytes: i64,
        caller: &(impl Caller + ?Sized),
    ) -> Result<(Vec<pb::Finding>, pb::CheckSummary), Status> {
        let asked = pb::CheckConsistencyRequest { hash_bytes, ..Default::default() };
        let mut told = self.maintenance().check_consistency(request(caller, asked)).await?.into_inner();
        let mut findings = Vec::new();
        while let Some(message) = told.message().await? {
            match message.told.expect("no empty message") {
                Told::Finding(finding) => findings.push(finding),
                Told::Progress(progress) => assert!(!progress.after.is_empty(), "a place to go on from"),
                Told::Summary(summary) => return Ok((findings, summary)),
            }
        }
        Err(Status::aborted("the check ended without its summary"))
    }
}

/// Fails unless within 20 s a whole check with all hashes, by all rights, finds nothing at all: no byte without a row, no row
/// without its bytes, nothing served unscanned. What nobody names and is younger than a day is no finding, and fails this
/// all the same: after a fault it is a leak. Nothing may be under way meanwhile.
pub async fn assert_fsck_clean(node: &Node) {
    let until = Instant::now() + TIDY;
    loop {
        let (findings, summary) = node.check(-1, &Service::all()).await.expect("the backend may");
        let counts = summary.counts.clone().expect("always told");
        if summary.consistent && counts.young_count == 0 {
            assert_eq!(findings, [], "consistent, and yet");
            let bytes = node.number("SELECT coalesce(sum(size), 0) AS n FROM blobs WHERE state <> 'PURGING'");
            assert_eq!(counts.hashed_bytes, bytes, "all of them were read");
            return;
        }
        assert!(Instant::now() < until, "still not consistent after {TIDY:?}: {summary:#?} {findings:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
