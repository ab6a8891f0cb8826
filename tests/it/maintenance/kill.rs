//! kill -9 at each point of a run: after the restart the same run goes on where it was, and deletes each file once.
//!
//! Not here: another node that goes on with it (the stores' contract, and `chaos`).

use std::time::Duration;

use super::*;
use crate::harness::{Bucket, postgres::cluster, process::signal, setup::new_database};

/// Files that are old enough, all of them within the guard.
const FILES: i64 = 901;

async fn killed_at(point: &str) {
    let mut node = Node::start(Setup::new().stops_at(point)).await;
    let chat = node.new_chat().await;
    node.upload("old.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    age(&node, "old.pdf", 31);
    copy(&node, "old.pdf", FILES - 1);
    set(&node, "delete_owners", &["VISITORS"]);
    set(&node, "visitor_days", &["30"]);
    let asked = pb::RunMaintenanceRequest { request_id: "night".into(), ..Default::default() };
    let run = async {
        let mut told = node.maintenance().run_maintenance(request(&Service::all(), asked.clone())).await?.into_inner();
        while told.message().await?.is_some() {}
        std::future::pending::<Result<(), tonic::Status>>().await
    };
    tokio::select! {
        answer = run => panic!("it did not stop at {point}: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    node.kill9();
    node.start_again().await;
    // The lost reply is asked for again.
    let mut told =
        node.maintenance().run_maintenance(request(&Service::all(), asked)).await.expect("told").into_inner();
    let mut last = None;
    while let Some(message) = told.message().await.expect("to its end") {
        last = message.run;
    }
    let run = last.expect("at least one message");
    assert_eq!(run.state(), pb::RunState::Done, "{point}");
    let expired = &run.tasks[0];
    assert_eq!((expired.done_count, expired.failed_count, expired.kept_count), (FILES, 0, 0), "{point}");
    assert_eq!(node.number("SELECT count(*) AS n FROM files WHERE state = 'DELETED'"), FILES);
    assert_eq!(node.number("SELECT count(*) AS n FROM events WHERE kind = 'FILE_DELETED'"), FILES, "each once");
    assert_eq!(node.number("SELECT count(*) AS n FROM runs"), 1, "the same run");
}

macro_rules! goes_on_after_a_kill {
    ($($name:ident: $point:literal;)+) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            tokio::time::timeout(Duration::from_secs(120), killed_at($point)).await.expect("soon");
        }
    )+ };
}

goes_on_after_a_kill! {
    kill_at_m1_after_it_was_begun: "M1";
    kill_at_m3_before_a_batch: "M3";
    kill_at_m4_within_a_batch: "M4-written";
    kill_at_m5_after_a_batch: "M5";
    kill_at_m8_before_its_end: "M8";
    kill_at_m9_after_its_end: "M9";
}

/// Two nodes; the first begins a run of a plan of so many files, and is stopped in the middle.
async fn paused(files: i64) -> (Node, Node, String) {
    let (database, bucket) = (new_database(cluster()), Bucket::new());
    let url = cluster().url(&database);
    let setup = Setup::in_bucket(&bucket, bucket.address()).on_database(cluster(), &database, &url);
    let (one, other) = tokio::join!(Node::start(setup.clone()), Node::start(setup));
    let chat = one.new_chat().await;
    one.upload("old.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    age(&one, "old.pdf", 31);
    copy(&one, "old.pdf", files - 1);
    let plan = cli(&one, &["maintenance", "plan", "--owners", "VISITORS", "--visitor-days", "30"]).object();
    let asked = pb::RunMaintenanceRequest {
        plan_id: plan["plan_id"].as_str().expect("an id").to_owned(),
        confirmation_token: plan["confirmation_token"].as_str().expect("so many need one").to_owned(),
        ..Default::default()
    };
    let mut told =
        one.maintenance().run_maintenance(request(&Service::all(), asked)).await.expect("begins").into_inner();
    let run = told.message().await.expect("told").and_then(|message| message.run).expect("a run").run_id;
    let deleted = || other.number("SELECT count(*) AS n FROM files WHERE state = 'DELETED'");
    while deleted() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    signal(one.pid(), "STOP");
    assert!(deleted() < files, "it was stopped too late to be of use");
    (one, other, run)
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_is_paused_for_longer_than_its_lease_finds_its_run_taken_over_and_stops() {
    let files = 30_000;
    let (one, other, run) = paused(files).await;
    assert_eq!(other.change("UPDATE runs SET lease_until = 0 WHERE state = 'RUNNING'"), 1);
    let show = || cli(&other, &["maintenance", "show", &run]).object();
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while show()["state"] != json!("RUN_STATE_DONE") {
        assert!(std::time::Instant::now() < until, "another node goes on: {}", show());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    signal(one.pid(), "CONT");
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while !one.log().contains("a run of maintenance stops here") {
        assert!(std::time::Instant::now() < until, "the old leader is told: {}", one.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let report = show();
    assert_eq!(task(&report, "EXPIRE")["done_count"], json!(files), "{report}");
    assert_eq!(other.number("SELECT count(*) AS n FROM events WHERE kind = 'FILE_DELETED'"), files, "each once");
    assert_eq!(other.number("SELECT count(*) AS n FROM files WHERE state = 'DELETED'"), files);
}
