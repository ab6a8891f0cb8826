//! Nodes that share a PostgreSQL and a bucket: what one does the others see, what one leaves another clears away, and
//! connections that are cut lose nothing that was acknowledged.
//!
//! Not here: the rules of the store itself, raced and cut statement by statement (`src/adapters/sql/tests/`).

use std::time::{Duration, Instant};

use tonic::Code;

use crate::harness::{Bucket, Node, Operator, Setup, node::new_database, postgres::cluster, reason_of, samples};

/// Two nodes on one database and one bucket, the first of them perhaps to stop somewhere.
async fn two_nodes(stops_at: Option<&str>) -> (Node, Node) {
    let (database, bucket) = (new_database(), Bucket::new());
    let url = cluster().url(&database);
    let other = Setup::in_bucket(&bucket, bucket.address()).on_database(&database, &url);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_lose_no_acknowledged_upload() {
    let node = Node::start(Setup::new().on_postgres()).await;
    node.put_chat("42").await;
    let database = node.postgres().expect("on PostgreSQL").to_owned();
    let cutter = tokio::task::spawn_blocking(move || {
        let cut = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND random() < 0.5"
        );
        for _ in 0..40 {
            cluster().psql("postgres", &cut);
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let operator = Operator::new();
    let client = async |client: u32| {
        let (mut acknowledged, mut refused) = (Vec::new(), 0);
        for i in 0..30 {
            let bytes = samples::text(2_000, &format!("{client} {i}"));
            match node.upload("a.txt", bytes.clone()).to_chat("42").by(&operator).await {
                Ok(answer) => acknowledged.push((answer.file.expect("every answer names it").file_id, bytes)),
                Err(status) => {
                    assert_eq!((status.code(), reason_of(&status)), (Code::Unavailable, "DATABASE_DOWN".to_owned()));
                    refused += 1;
                }
            }
        }
        (acknowledged, refused)
    };
    let clients = futures_util::future::join_all((0..4).map(client)).await;
    cutter.await.expect("no panic");
    let refused: i32 = clients.iter().map(|(_, refused)| refused).sum();
    let acknowledged: Vec<_> = clients.into_iter().flat_map(|(acknowledged, _)| acknowledged).collect();
    println!("{} acknowledged, {refused} told to come again", acknowledged.len());
    assert!(!acknowledged.is_empty());
    for (id, bytes) in &acknowledged {
        assert_eq!(&node.download(id, &operator).await.expect("acknowledged").bytes, bytes);
    }
    // What a begun upload left whose answer was lost ends with its lease.
    node.change("UPDATE uploads SET lease_until = 0");
    until("nothing is left", Duration::from_secs(60), || node.find_inconsistencies().is_empty()).await;
    let files = node.number("SELECT count(*) AS n FROM files");
    let known = acknowledged.len() as i64;
    assert!((known..=known + i64::from(refused)).contains(&files), "{files} files, {known} acknowledged");
}
