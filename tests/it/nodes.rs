//! Nodes that share a PostgreSQL and a bucket: what one does the others see, what one leaves another clears away.
//!
//! Not here: nodes under load that are killed (`chaos.rs`), a database whose connections are cut (`database.rs`), the
//! rules of the store itself (`src/adapters/sql/tests/`).

use std::time::{Duration, Instant};

use crate::harness::{Bucket, Node, Operator, Setup, postgres::cluster, reason_of, samples, setup::new_database};

/// Two nodes on one database and one bucket, the first of them perhaps to stop somewhere.
async fn two_nodes(stops_at: Option<&str>) -> (Node, Node) {
    let (database, bucket) = (new_database(cluster()), Bucket::new());
    let url = cluster().url(&database);
    let other = Setup::in_bucket(&bucket, bucket.address()).on_database(cluster(), &database, &url);
    let one = stops_at.map_or_else(|| other.clone(), |point| other.clone().stops_at(point));
    tokio::join!(Node::start(one), Node::start(other))
}

/// Waits until something holds.
async fn until(what: &str, at_most: Duration, holds: impl Fn() -> bool) {
    let end = Instant::now() + at_most;
    while !holds() {
        assert!(Instant::now() < end, "not within {at_most:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn settings_and_chats_of_one_node_are_seen_by_the_other_within_two_seconds() {
    let (one, other) = two_nodes(None).await;
    one.put_chat("42").await;
    let upload = other.upload("a.txt", samples::text(100, "seen")).to_chat("42");
    let file = upload.passes_by(&Operator::new()).await;
    assert_eq!(one.file(&file.file_id, &Operator::new()).await.expect("the same rows").file_id, file.file_id);
    one.set(&["operator_upload_enabled"], |s| s.operator_upload_enabled = false).await.expect("may be set");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let refused = other.upload("b.txt", samples::text(100, "late")).to_chat("42").by(&Operator::new()).await;
    assert_eq!(reason_of(&refused.expect_err("switched off")), "UPLOADS_DISABLED");
}

#[tokio::test]
async fn what_a_dead_node_began_is_cleared_away_by_another_after_its_lease_and_not_before() {
    let (mut one, other) = two_nodes(Some("U3")).await;
    one.put_chat("42").await;
    let operator = Operator::new();
    let upload = one.upload("a.txt", samples::text(100, "left")).to_chat("42");
    tokio::select! { _ = upload.by(&operator) => panic!("it stops"), () = one.wait_for_fault() => {} }
    one.kill9();
    let running = || other.number("SELECT count(*) AS n FROM uploads WHERE state <> 'BURIED'");
    let rows = || other.number("SELECT count(*) AS n FROM uploads");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(running(), 1, "its lease still holds");
    assert_eq!(other.change("UPDATE uploads SET lease_until = 0"), 1);
    until("another node buries it", Duration::from_secs(40), || running() == 0).await;
    let told = other.texts("SELECT kind AS t FROM events WHERE kind LIKE 'UPLOAD%'");
    assert_eq!(told, ["UPLOAD_ABANDONED"]);
    assert_eq!(other.change("UPDATE uploads SET lease_until = 0"), 1, "it stays for what the store may finish late");
    until("another node ends it", Duration::from_secs(40), || rows() == 0).await;
    // It comes back under its name, and ends the scanner that it had.
    one.start_again().await;
    one.upload("b.txt", samples::text(100, "back")).to_chat("42").passes_by(&operator).await;
}
