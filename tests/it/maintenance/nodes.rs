//! Two nodes on one database and one bucket: one run, whichever of them is asked, killed, or stands still meanwhile.
//!
//! Not here: which node has the run of a moment (`cron.rs`), and the lease itself (the contract of the stores).

use std::time::{Duration, Instant};

use super::*;
use crate::harness::{
    Bucket,
    pb::MaintenanceTask,
    postgres::cluster,
    process::signal,
    refusal::{facts_of, reason_of},
    runs::report,
    setup::new_database,
};

async fn two_nodes() -> (Node, Node) {
    let (database, bucket) = (new_database(cluster()), Bucket::new());
    let url = cluster().url(&database);
    let setup = Setup::in_bucket(&bucket, bucket.address()).on_database(cluster(), &database, &url);
    tokio::join!(Node::start(setup.clone()), Node::start(setup))
}

/// So many files of a visitor that are 31 days old. Bytes of each.
async fn with_old_files(node: &Node, files: i64) -> i64 {
    let (chat, pdf) = (node.new_chat().await, samples::sample("pdf"));
    node.upload("old.pdf", pdf.clone()).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    age(node, "old.pdf", 31);
    copy(node, "old.pdf", files - 1);
    i64::try_from(pdf.len()).expect("small")
}

async fn until(what: &str, at_most: Duration, holds: impl Fn() -> bool) {
    let end = Instant::now() + at_most;
    while !holds() {
        assert!(Instant::now() < end, "not within {at_most:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn deleted(node: &Node) -> i64 {
    node.number("SELECT count(*) AS n FROM files WHERE state = 'DELETED'")
}

/// Two nodes; the first has begun a run of a plan of so many files, and was stopped in the middle. Bytes of each file, and
/// the run's id.
async fn stopped(files: i64, stop: impl FnOnce(&mut Node)) -> (Node, Node, i64, String) {
    let (mut one, other) = two_nodes().await;
    let bytes = with_old_files(&one, files).await;
    let plan = cli(&one, &["maintenance", "plan", "--owners", "VISITORS", "--visitor-days", "30"]).object();
    let asked = pb::RunMaintenanceRequest {
        plan_id: plan["plan_id"].as_str().expect("an id").to_owned(),
        confirmation_token: plan["confirmation_token"].as_str().expect("so many need one").to_owned(),
        ..Default::default()
    };
    let mut told =
        one.maintenance().run_maintenance(request(&Service::all(), asked)).await.expect("begins").into_inner();
    let run = told.message().await.expect("told").and_then(|message| message.run).expect("a run").run_id;
    while deleted(&other) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop(&mut one);
    assert!(deleted(&other) < files, "it was stopped too late to be of use");
    // As if its lease had run out meanwhile.
    assert_eq!(other.change("UPDATE runs SET lease_until = 0 WHERE state = 'RUNNING'"), 1);
    (one, other, bytes, run)
}

async fn ends_right(node: &Node, run: &str, files: i64, bytes: i64) {
    let show = || cli(node, &["maintenance", "show", run]).object();
    until("another node goes on to the end", Duration::from_secs(150), || show()["state"] == json!("RUN_STATE_DONE"))
        .await;
    let told = show();
    let expired = task(&told, "EXPIRE");
    assert_eq!((&expired["outcome"], &expired["done_count"]), (&json!("TASK_OUTCOME_DONE"), &json!(files)), "{told}");
    assert_eq!((&expired["size_bytes"], &expired["kept_count"]), (&json!(files * bytes), &json!(0)), "{told}");
    assert_eq!((deleted(node), node.events_each_once("FILE_DELETED")), (files, files));
    assert_eq!(node.number("SELECT count(*) AS n FROM runs"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_is_paused_for_longer_than_its_lease_finds_its_run_taken_over_and_stops() {
    let files = 15_000;
    let (one, other, bytes, run) = stopped(files, |one| signal(one.pid(), "STOP")).await;
    ends_right(&other, &run, files, bytes).await;
    signal(one.pid(), "CONT");
    let told = || one.log().contains("a run of maintenance stops here");
    until("the old leader is told", Duration::from_secs(30), told).await;
    ends_right(&other, &run, files, bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_that_is_killed_is_followed_by_another_node_and_each_file_is_deleted_once() {
    let files = 15_000;
    let (mut one, other, bytes, run) = stopped(files, Node::kill9).await;
    ends_right(&other, &run, files, bytes).await;
    // It comes back to nothing that is left to do.
    one.start_again().await;
    ends_right(&one, &run, files, bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_is_asked_of_two_nodes_at_once_deletes_each_file_once() {
    let (one, other) = two_nodes().await;
    let files = 901;
    let bytes = with_old_files(&one, files).await;
    set(&one, "delete_owners", &["VISITORS"]);
    set(&one, "visitor_days", &["30"]);
    // By one name it is one run, whoever is asked.
    let trim = pb::RunMaintenanceRequest {
        request_id: "trim".into(),
        tasks: vec![MaintenanceTask::Trim.into()],
        ..Default::default()
    };
    let (first, second) = tokio::join!(one.run_to_its_end(trim.clone()), other.run_to_its_end(trim));
    let (first, second) = (first.expect("the backend may"), second.expect("the backend may"));
    assert_eq!((&first.run_id, first.state()), (&second.run_id, pb::RunState::Done));

    // By two it is two, of which one is refused while the other runs, and names it.
    let named = |id: &str| pb::RunMaintenanceRequest {
        request_id: id.into(),
        tasks: vec![MaintenanceTask::Expire.into()],
        ..Default::default()
    };
    let (first, second) = tokio::join!(one.run_to_its_end(named("a")), other.run_to_its_end(named("b")));
    let (mut ended, mut refused) = (Vec::new(), Vec::new());
    for answer in [first, second] {
        match answer {
            Ok(run) => ended.push(run),
            Err(status) => refused.push(status),
        }
    }
    assert!(!ended.is_empty(), "{refused:?}");
    for status in refused {
        assert_eq!(reason_of(&status), "RUN_IN_PROGRESS");
        assert_eq!(facts_of(&status)["run_id"], ended[0].run_id);
    }
    let (mut done, mut size) = (0, 0);
    for run in &ended {
        let expired = report(run, MaintenanceTask::Expire);
        (done, size) = (done + expired.done_count, size + expired.size_bytes);
    }
    assert_eq!((done, size, deleted(&one)), (files, files * bytes, files));
    assert_eq!(other.events_each_once("FILE_DELETED"), files);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_that_one_node_was_told_counts_on_the_other_at_once() {
    let (one, other) = two_nodes().await;
    with_old_files(&one, 3).await;
    set(&one, "delete_owners", &["VISITORS"]);
    set(&one, "visitor_days", &["30"]);
    assert_eq!(cli(&other, &["maintenance", "plan"]).object()["file_count"], json!(3));
    set(&other, "visitor_days", &["40"]);
    let run = one.maintain(&[MaintenanceTask::Expire]).await;
    assert_eq!(report(&run, MaintenanceTask::Expire).done_count, 0);
    set(&one, "visitor_days", &["30"]);
    let run = other.maintain(&[MaintenanceTask::Expire]).await;
    assert_eq!((report(&run, MaintenanceTask::Expire).done_count, deleted(&one)), (3, 3));
    let rule = run.rule.expect("every run has one");
    assert_eq!((rule.visitors, rule.visitor_days), (true, 30));
}
