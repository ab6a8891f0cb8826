//! Real faults under load: nodes killed again and again, the database stopped, garages killed; and afterwards nothing that
//! was acknowledged is lost, nothing is left over, and nobody was told what is not so.
//!
//! `chaos/client.rs` is who makes the load and keeps a journal, `chaos/checker.rs` holds the journals against database and
//! store. Always on PostgreSQL and S3: several nodes share nothing else. Not here: each fault alone, where it is made to
//! happen at a certain point (`kill.rs`, `s3_faults.rs`, `database.rs`, `scanners.rs`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tonic::Code;

use crate::harness::{
    Node, Operator, assert_refused,
    postgres::{Cluster as Postgres, cluster},
    refusal::has_retry,
    samples,
};

mod calls;
mod checker;
mod client;
mod cluster;
mod journal;
mod model;

use checker::PROBE;
use client::{Field, HALLS};
use cluster::{Busy, Cluster, busy};

const CLIENTS: u32 = 16;

/// Kills one node after the other and starts it again, until the clients have begun all they do. How often.
async fn kill_in_turn(nodes: &mut [Node], busy: &Busy) -> u32 {
    let mut kills = 0;
    loop {
        for node in &mut *nodes {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            if busy.is_over() {
                return kills;
            }
            node.kill9();
            kills += 1;
            if kills % 25 == 0 {
                println!("{kills} kills, {}", busy.field.progress());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            node.start_again().await;
        }
    }
}

/// The last one stays dead: the others clear away what it left, once its leases are over.
async fn leave_one_dead(cluster: &mut Cluster) {
    let dead = cluster.nodes.last_mut().expect("three");
    dead.kill9();
    let name = std::fs::read_to_string(dead.data().join("node")).expect("it has a name");
    let running = format!("FROM uploads WHERE node = '{}' AND state NOT IN ('DONE', 'BURIED')", name.trim());
    let left = dead.number(&format!("SELECT count(*) AS n {running}"));
    // They hold for a minute; that they are kept until then is shown in `nodes.rs`.
    dead.change(&format!("UPDATE uploads SET lease_until = 0 WHERE node = '{}' AND state <> 'DONE'", name.trim()));
    let until = Instant::now() + Duration::from_secs(120);
    while dead.number(&format!("SELECT count(*) AS n {running}")) > 0 {
        assert!(Instant::now() < until, "what a dead node left is not cleared away by the others");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("{left} uploads of the last dead node were ended by the others");
    dead.start_again().await;
}

async fn nodes_are_killed(first: u8, operations: u32, pause: Duration, at_least: u32) {
    let begun = Instant::now();
    let mut all = Cluster::start(cluster(), first).await;
    let addresses = all.addresses();
    let busy = busy(addresses.clone(), CLIENTS, operations, pause);
    let kills = kill_in_turn(&mut all.nodes, &busy).await;
    assert_eq!(all.addresses(), addresses, "another program took the port of a dead node");
    let field = Arc::clone(&busy.field);
    tokio::join!(busy.ended(), leave_one_dead(&mut all));
    println!("{operations} operations, {kills} kills and one more, {:?}", begun.elapsed());
    all.check(&field, CLIENTS).await;
    assert!(kills >= at_least, "only {kills} kills");
    assert!(field.tally("lost") > 0, "no call was under way when its node was killed");
    println!("checked after {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_killed_in_turn_lose_nothing_and_leave_nothing() {
    nodes_are_killed(11, 1_000, Duration::from_millis(1_000), 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: 100,000 operations, an hour or more"]
async fn nodes_that_are_killed_in_turn_lose_nothing_in_100_000_operations() {
    nodes_are_killed(21, 100_000, Duration::ZERO, 100).await;
}

/// Tells this node's answers to those who ask it for what only the database knows.
async fn assert_database_is_told_as_down(node: &Node) {
    let unknown = "a".repeat(26);
    let status = assert_refused(node.file(&unknown, &Operator::new()).await, Code::Unavailable, "DATABASE_DOWN");
    assert!(has_retry(&status), "{status:?}");
    let upload = node.upload("a.txt", samples::text(500, "down")).to_chat(HALLS[0]);
    let status = assert_refused(upload.by(&Operator::new()).await, Code::Unavailable, "DATABASE_DOWN");
    assert!(has_retry(&status), "{status:?}");
}

/// Waits until a node takes uploads and serves them, at most this long.
async fn assert_serves_again(node: &Node, at_most: Duration) {
    let until = Instant::now() + at_most;
    let (probe, bytes) = (Operator::with(&["*"]).named(PROBE), samples::text(900, "again"));
    loop {
        match node.upload("again.txt", bytes.clone()).to_chat(HALLS[0]).by(&probe).await {
            Ok(answer) => {
                let id = answer.file.expect("told").file_id;
                assert_eq!(node.download(&id, &probe).await.expect("its own").bytes, bytes);
                return;
            }
            Err(status) => assert!(Instant::now() < until, "not again within {at_most:?}: {status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until something was told so many times more.
async fn more_of(field: &Field, what: &str, times: u32) {
    let (until, wanted) = (Instant::now() + Duration::from_secs(120), field.tally(what) + times);
    while field.tally(what) < wanted {
        assert!(Instant::now() < until, "not {times} more of {what}: {}", field.told());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_that_is_stopped_under_load_is_told_and_loses_nothing() {
    let postgres = tokio::task::spawn_blocking(Postgres::own).await.expect("no panic");
    let all = Cluster::start(postgres, 31).await;
    let busy = busy(all.addresses(), 8, u32::MAX, Duration::from_millis(100));
    let field = Arc::clone(&busy.field);
    for _ in 0..2 {
        more_of(&field, "Upload", 40).await;
        tokio::task::spawn_blocking(|| postgres.stop_at_once()).await.expect("no panic");
        for node in &all.nodes {
            assert_database_is_told_as_down(node).await;
        }
        more_of(&field, "DATABASE_DOWN", 20).await;
        tokio::task::spawn_blocking(|| postgres.start_again()).await.expect("no panic");
        for node in &all.nodes {
            assert_serves_again(node, Duration::from_secs(30)).await;
        }
    }
    more_of(&field, "Upload", 40).await;
    field.end();
    busy.ended().await;
    // Intents of which no node was told.
    all.nodes[0].change("UPDATE uploads SET lease_until = 0 WHERE state <> 'DONE'");
    assert_eq!(field.tally("lost"), 0, "every call was answered: {}", field.told());
    all.check(&field, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dead_garage_of_three_stops_nothing_and_two_are_told_and_lose_nothing() {
    let mut all = Cluster::start(cluster(), 41).await;
    let [one, two, _] = all.addresses()[..] else { panic!("three") };
    // The third node's own garage is the one that dies first.
    let busy = busy(vec![one, two], 8, u32::MAX, Duration::from_millis(100));
    let field = Arc::clone(&busy.field);
    more_of(&field, "Upload", 40).await;

    all.garages.kill9(2);
    more_of(&field, "Upload", 40).await;
    more_of(&field, "Download", 10).await;
    let probe = Operator::with(&["*"]).named(PROBE);
    let kept =
        all.nodes[0].upload("kept.txt", samples::text(900_000, "kept")).to_chat(HALLS[0]).passes_by(&probe).await;
    assert_store_is_told_as_down(&all.nodes[2], &kept.file_id).await;

    all.garages.kill9(1);
    for node in &all.nodes {
        assert_store_is_told_as_down(node, &kept.file_id).await;
    }
    more_of(&field, "STORE_DOWN", 20).await;

    for number in [1, 2] {
        all.garages.launch(number);
    }
    for (number, node) in all.nodes.iter().enumerate() {
        all.garages.wait_for(number);
        assert_serves_again(node, Duration::from_secs(30)).await;
    }
    more_of(&field, "Upload", 40).await;
    field.end();
    busy.ended().await;
    assert_eq!(field.tally("DATABASE_DOWN"), 0, "{}", field.told());
    all.check(&field, 8).await;
}

/// Tells this node's answers to those who want bytes in or out.
async fn assert_store_is_told_as_down(node: &Node, kept: &str) {
    let probe = Operator::with(&["*"]).named(PROBE);
    let status = assert_refused(node.download(kept, &probe).await, Code::Unavailable, "STORE_DOWN");
    assert!(has_retry(&status), "{status:?}");
    for size in [900, (8 << 20) + 1] {
        let upload = node.upload("a.txt", samples::text(size, "away")).to_chat(HALLS[0]);
        let status = assert_refused(upload.by(&probe).await, Code::Unavailable, "STORE_DOWN");
        assert!(has_retry(&status), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scanner_that_is_killed_under_load_stops_no_later_upload_and_only_both_do() {
    let mut all = Cluster::start(cluster(), 51).await;
    let busy = busy(all.addresses(), 8, u32::MAX, Duration::from_millis(100));
    let field = Arc::clone(&busy.field);
    for number in 0..2 {
        more_of(&field, "Upload", 30).await;
        let before = field.tally("SCANNER_DOWN");
        all.scanners[number].kill9();
        for node in &all.nodes {
            wait_for_scanners(node, 1).await;
        }
        more_of(&field, "Upload", 10).await;
        // What lay with it is given to no other, because it may have been the file's doing; it may be sent again.
        let lay_with_it = field.tally("SCANNER_DOWN") - before;
        assert!(lay_with_it <= 8, "each client sends one file at a time: {}", field.told());
        // Asked for again it is told the same until it is known whose doing it was.
        let mut is_enough = false;
        for _ in 0..3 {
            let told = field.tally("SCANNER_DOWN");
            more_of(&field, "Upload", 50).await;
            is_enough |= field.tally("SCANNER_DOWN") == told;
        }
        assert!(is_enough, "one is enough: {}", field.told());
        all.scanners[number].launch().await;
        for node in &all.nodes {
            wait_for_scanners(node, 2).await;
        }
    }
    let probe = Operator::with(&["*"]).named(PROBE);
    let kept = all.nodes[0].upload("kept.txt", samples::text(900, "kept")).to_chat(HALLS[0]).passes_by(&probe).await;

    for scanner in &mut all.scanners {
        scanner.kill9();
    }
    more_of(&field, "SCANNER_DOWN", 20).await;
    for node in &all.nodes {
        node.download(&kept.file_id, &probe).await.expect("what is clean is served all the same");
    }
    all.scanners[0].launch().await;
    for node in &all.nodes {
        assert_serves_again(node, Duration::from_secs(30)).await;
    }
    more_of(&field, "Upload", 30).await;
    field.end();
    busy.ended().await;
    all.check(&field, 8).await;
}

/// Waits until a node gives files to so many scanners.
async fn wait_for_scanners(node: &Node, wanted: usize) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let status = node.scanner_status().await.expect("an administrator may ask");
        if status.scanners.iter().filter(|one| one.in_use).count() == wanted {
            return;
        }
        assert!(Instant::now() < until, "not {wanted} in use: {status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
