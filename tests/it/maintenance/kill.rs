//! kill -9 at each point of a run: after the restart the same run goes on where it was, and does everything once.
//!
//! Not here: another node that goes on with it (`nodes.rs`), and the points of a delete by hand (`tests/it/deleting.rs`).

use std::time::Duration;

use super::*;
use crate::harness::{fsck::assert_fsck_clean, pb::MaintenanceTask, runs::report};

/// Files that are old enough, all of them within the guard.
const FILES: i64 = 901;

/// Asks for a run that stops at the node's fault point, kills the node there and starts it again.
async fn kill(node: &mut Node, asked: &pb::RunMaintenanceRequest) {
    let run = async {
        let answer = node.run_to_its_end(asked.clone()).await;
        // It may have ended, and its node stops behind its end.
        answer.map(drop)?;
        std::future::pending::<Result<(), tonic::Status>>().await
    };
    tokio::select! {
        answer = run => panic!("it did not stop: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    node.kill9();
    node.start_again().await;
}

fn named(tasks: &[MaintenanceTask]) -> pb::RunMaintenanceRequest {
    let tasks = tasks.iter().map(|task| i32::from(*task)).collect();
    pb::RunMaintenanceRequest { request_id: "night".into(), tasks, ..Default::default() }
}

/// The lost reply asked for again: the run at its end.
async fn again(node: &Node, asked: pb::RunMaintenanceRequest) -> pb::Run {
    let run = node.run_to_its_end(asked).await.expect("it is told");
    assert_eq!(run.state(), pb::RunState::Done, "{run:?}");
    assert_eq!(node.number("SELECT count(*) AS n FROM runs"), 1, "the same run");
    run
}

async fn expiring(point: &str) {
    let mut node = Node::start(Setup::new().stops_at(point)).await;
    let chat = node.new_chat().await;
    let pdf = samples::sample("pdf");
    let bytes = i64::try_from(pdf.len()).expect("small");
    node.upload("old.pdf", pdf).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    age(&node, "old.pdf", 31);
    copy(&node, "old.pdf", FILES - 1);
    set(&node, "delete_owners", &["VISITORS"]);
    set(&node, "visitor_days", &["30"]);
    kill(&mut node, &named(&[])).await;
    let run = again(&node, named(&[])).await;
    let expired = report(&run, MaintenanceTask::Expire);
    assert_eq!((expired.done_count, expired.failed_count, expired.kept_count), (FILES, 0, 0), "{point}");
    assert_eq!(expired.size_bytes, FILES * bytes);
    assert_eq!(node.number("SELECT count(*) AS n FROM files WHERE state = 'DELETED'"), FILES);
    assert_eq!(node.events_each_once("FILE_DELETED"), FILES);
    assert_fsck_clean(&node).await;
}

/// Two files of the same bytes and one of others whose grace is over, and one file that stays.
async fn purging(point: &str) {
    let mut node = Node::start(Setup::new().stops_at(point)).await;
    let (chat, operator) = (node.new_chat().await, Operator::with(&["*"]));
    for (name, text) in [("a.txt", "shared"), ("b.txt", "shared"), ("c.txt", "alone")] {
        let file = node.upload(name, samples::text(600, text)).to_chat(&chat).passes_by(&operator).await;
        node.delete(&file.file_id, &operator).await.expect("its own");
    }
    let bytes = samples::text(700, "kept");
    let kept = node.upload("kept.txt", bytes.clone()).to_chat(&chat).passes_by(&operator).await;
    node.set_deletes_back(8);
    kill(&mut node, &named(&[MaintenanceTask::Purge])).await;
    let run = again(&node, named(&[MaintenanceTask::Purge])).await;
    let purged = report(&run, MaintenanceTask::Purge);
    assert_eq!((purged.outcome(), purged.failed_count), (pb::TaskOutcome::Done, 0), "{point}");
    assert_eq!(node.events_each_once("FILE_PURGED"), 3);
    assert_eq!(node.texts("SELECT display_name AS t FROM files"), ["kept.txt"]);
    assert_eq!((node.number("SELECT count(*) AS n FROM stubs"), node.stored().len()), (3, 1));
    assert_eq!(node.download(&kept.file_id, &operator).await.expect("its own").bytes, bytes);
    assert_fsck_clean(&node).await;
}

/// An upload whose bytes are in the store already, and whose node is no more.
async fn ending_an_upload(point: &str) {
    let mut node = Node::start(Setup::new().stops_at("U10")).await;
    let (chat, operator) = (node.new_chat().await, Operator::with(&["*"]));
    let upload = node.upload("a.txt", samples::text(600_000, point)).to_chat(&chat);
    tokio::select! {
        answer = upload.by(&operator) => panic!("it did not stop: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    node.kill9();
    assert_eq!(node.change("UPDATE uploads SET node = 'gone', lease_until = 9000000000000000"), 1);
    node.start_again_to_stop_at(point).await;
    assert_eq!((node.number("SELECT count(*) AS n FROM uploads"), node.stored().len()), (1, 1), "its lease holds");
    assert_eq!(node.change("UPDATE uploads SET lease_until = 0"), 1);
    kill(&mut node, &named(&[MaintenanceTask::AbortUploads])).await;
    let run = again(&node, named(&[MaintenanceTask::AbortUploads])).await;
    assert_eq!(report(&run, MaintenanceTask::AbortUploads).failed_count, 0);
    assert_eq!(node.texts("SELECT kind AS t FROM events WHERE kind LIKE 'UPLOAD%'"), ["UPLOAD_ABANDONED"], "once");
    // Where the store may finish late what it was asked for, the row stays for that.
    node.change("UPDATE uploads SET lease_until = 0");
    node.maintain(&[MaintenanceTask::AbortUploads]).await;
    assert_eq!(node.number("SELECT count(*) AS n FROM uploads"), 0);
    node.assert_nothing_left().await;
    assert_fsck_clean(&node).await;
}

/// Bytes in the store that no row names, and a file that stays.
async fn sweeping(point: &str) {
    let mut node = Node::start(Setup::new().stops_at("U10").calls_left_after(1)).await;
    let (chat, operator) = (node.new_chat().await, Operator::with(&["*"]));
    let upload = node.upload("a.txt", samples::text(600_000, point)).to_chat(&chat);
    tokio::select! {
        answer = upload.by(&operator) => panic!("it did not stop: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    node.kill9();
    assert_eq!(node.change("DELETE FROM uploads"), 1);
    node.start_again_to_stop_at(point).await;
    let bytes = samples::text(700, "kept");
    let kept = node.upload("kept.txt", bytes.clone()).to_chat(&chat).passes_by(&operator).await;
    assert_eq!(node.stored().len(), 2);
    // What is younger than a second is nobody's remains yet.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    kill(&mut node, &named(&[MaintenanceTask::Sweep])).await;
    let run = again(&node, named(&[MaintenanceTask::Sweep])).await;
    let swept = report(&run, MaintenanceTask::Sweep);
    assert_eq!((swept.outcome(), swept.failed_count), (pb::TaskOutcome::Done, 0), "{point}");
    assert_eq!(node.stored().len(), 1, "what nobody names is gone");
    assert_eq!(node.download(&kept.file_id, &operator).await.expect("its own").bytes, bytes);
    assert_fsck_clean(&node).await;
}

macro_rules! goes_on_after_a_kill {
    ($($name:ident: $of:ident $point:literal;)+) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            tokio::time::timeout(Duration::from_secs(120), $of($point)).await.expect("soon");
        }
    )+ };
}

goes_on_after_a_kill! {
    kill_within_m1_before_it_was_begun: expiring "M1-written";
    kill_at_m1_after_it_was_begun: expiring "M1";
    kill_at_m2_after_it_was_told_what_is_old: expiring "M2";
    kill_at_m3_before_a_batch: expiring "M3";
    kill_at_m4_within_a_batch: expiring "M4-written";
    kill_at_m5_after_a_batch: expiring "M5";
    kill_at_m6_before_a_sweep_removes_what_nobody_names: sweeping "M6";
    kill_at_m6_after_a_sweep_has_removed_what_nobody_names: sweeping "M6-removed";
    kill_at_m7_before_dead_uploads_are_ended: ending_an_upload "M7";
    kill_within_m7_before_the_end_of_a_dead_upload_is_committed: ending_an_upload "M7-written";
    kill_at_m8_before_its_end: expiring "M8";
    kill_at_m9_after_its_end: expiring "M9";
    kill_at_d4_before_the_purge_of_a_run: purging "D4";
    kill_within_d4_before_the_purge_of_a_run_is_committed: purging "D4-written";
    kill_at_d5_before_a_run_removes_bytes: purging "D5";
    kill_at_d6_after_a_run_has_removed_bytes: purging "D6";
    kill_at_d7_before_a_run_removes_the_rows_of_bytes: purging "D7";
}
