//! Maintenance by itself: at each moment of `maintenance_cron` one run, over all nodes; what was missed is made up for
//! once.
//!
//! Not here: which moments an expression names (`src/domain/cron.rs`), and which are due (`src/server/cron.rs`).

use std::time::{Duration, Instant};

use serde_json::json;

use super::{DAY, cli, set};
use crate::harness::{Bucket, Node, Setup, postgres::cluster, setup::new_database};

async fn until(what: &str, at_most: Duration, holds: impl Fn() -> bool) {
    let end = Instant::now() + at_most;
    while !holds() {
        assert!(Instant::now() < end, "not within {at_most:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn ticks(node: &Node) -> i64 {
    node.number("SELECT count(*) AS n FROM runs WHERE tick IS NOT NULL")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_moment_has_one_run_over_all_nodes() {
    let (database, bucket) = (new_database(cluster()), Bucket::new());
    let url = cluster().url(&database);
    let setup = Setup::in_bucket(&bucket, bucket.address()).on_database(cluster(), &database, &url);
    let (one, other) = tokio::join!(Node::start(setup.clone()), Node::start(setup));
    set(&one, "maintenance_cron", &["* * * * * *"]);
    until("six moments have their run", Duration::from_secs(60), || ticks(&other) >= 6).await;
    set(&other, "maintenance_cron", &[""]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let all = ticks(&one);
    assert_eq!(one.number("SELECT count(DISTINCT tick) AS n FROM runs"), all, "none twice");
    assert_eq!(one.number("SELECT count(*) AS n FROM runs WHERE tick % 1000000 <> 0"), 0, "whole seconds");
    let runs = cli(&one, &["maintenance", "runs", "--limit", "500"]).lines();
    assert!(runs.iter().all(|run| run["trigger"] == json!("RUN_TRIGGER_CRON") && run["creator"].is_null()), "{runs:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(ticks(&one), all, "switched off on both");
    for node in [&one, &other] {
        let log = node.log();
        assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_missed_while_no_node_ran_are_made_up_for_once_and_those_before_the_setting_are_not() {
    let mut node = Node::start(Setup::new()).await;
    // It comes once a year, and not while this runs.
    let month = node.number(match node.postgres() {
        Some(_) => "SELECT extract(month FROM now())::bigint AS n",
        None => "SELECT CAST(strftime('%m', 'now') AS INTEGER) AS n",
    });
    let expression = format!("0 3 15 {} *", if month >= 7 { 2 } else { 8 });
    set(&node, "maintenance_cron", &[&expression]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(ticks(&node), 0, "what came before the setting is nobody's");
    node.terminate().await;
    // Two years without a node.
    assert_eq!(node.change(&format!("UPDATE settings_version SET updated_at = updated_at - {}", 731 * DAY)), 1);
    node.start_again().await;
    until("it is made up for", Duration::from_secs(30), || ticks(&node) == 1).await;
    node.restart().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(ticks(&node), 1, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn moment_that_meets_read_only_has_its_run_as_soon_as_changes_are_taken_again() {
    let mut node = Node::start(Setup::new()).await;
    set(&node, "maintenance_cron", &["0 3 15 2 *"]);
    set(&node, "read_only", &["true"]);
    node.terminate().await;
    // As if the last moment had come since the setting was made, while it is read-only.
    assert_eq!(node.change(&format!("UPDATE settings_version SET updated_at = updated_at - {}", 731 * DAY)), 1);
    node.start_again().await;
    let told = || node.log().contains("maintenance does not run at its time");
    until("it is told", Duration::from_secs(30), told).await;
    assert_eq!(ticks(&node), 0, "no run while nothing may change");
    set(&node, "read_only", &["false"]);
    until("it is made up for", Duration::from_secs(30), || ticks(&node) == 1).await;
    assert_eq!(node.log().matches("maintenance does not run at its time").count(), 1, "told once");
}
