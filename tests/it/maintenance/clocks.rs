//! Maintenance by a clock that is ten years ahead: whatever it says, nothing goes that is not old by the time that counts.
//!
//! Not here: how a jump is told (the contract of the stores), and moments of `maintenance_cron` (`src/server/cron.rs`).

use super::*;
use crate::harness::{
    Caller,
    callers::now,
    pb::{MaintenanceTask, TaskOutcome},
    runs::report,
};

const TEN_YEARS: i64 = 3_653 * 86_400;

/// The backend with a token that ends then, in seconds since 1970.
struct Until(u64);

impl Caller for Until {
    fn claims(&self) -> serde_json::Value {
        json!({"aud": "lhfile", "sub": "service:backend", "exp": self.0, "lhfile": ["*"], "chats": ["*"]})
    }
}

/// A file that is due in a month, one that can be restored for days, a plan, and a run: all of it young.
async fn node_with_young_things() -> (Node, String) {
    let node = Node::start(Setup::new().with_movable_clock()).await;
    let chat = node.new_chat().await;
    let (visitor, pdf) = (Visitor::of_chat(&chat), samples::sample("pdf"));
    set(&node, "delete_owners", &["VISITORS"]);
    set(&node, "visitor_days", &["30"]);
    node.upload("young.pdf", pdf.clone()).to_chat(&chat).passes_by(&visitor).await;
    let gone = node.upload("deleted.pdf", pdf).to_chat(&chat).request_id("once").passes_by(&visitor).await;
    node.delete(&gone.file_id, &Service::all()).await.expect("the backend may");
    cli(&node, &["maintenance", "plan"]).object();
    node.maintain(&[]).await;
    (node, gone.file_id)
}

/// How many rows there are of all that a run can end.
fn rows(node: &Node) -> Vec<i64> {
    let tables = ["files", "attachments", "blobs", "uploads", "plans", "plan_files", "stubs"];
    tables.iter().map(|table| node.number(&format!("SELECT count(*) AS n FROM {table}"))).collect()
}

/// How many runs and events.
fn told(node: &Node) -> (i64, i64) {
    (node.number("SELECT count(*) AS n FROM runs"), node.number("SELECT count(*) AS n FROM events"))
}

#[tokio::test(flavor = "multi_thread")]
async fn run_of_a_node_whose_clock_is_ten_years_ahead_deletes_nothing() {
    let (node, gone) = node_with_young_things().await;
    let (before, told_before) = (rows(&node), told(&node));
    node.set_clock_ahead(TEN_YEARS);
    // By that clock every other token has ended.
    let exp = now() + TEN_YEARS.unsigned_abs() + 600;
    let late = Until(exp);
    let deleting = [MaintenanceTask::Expire, MaintenanceTask::Purge, MaintenanceTask::Sweep, MaintenanceTask::Trim];
    let asked = pb::RunMaintenanceRequest { tasks: deleting.map(i32::from).to_vec(), ..Default::default() };
    let mut stream = node.maintenance().run_maintenance(request(&late, asked)).await.expect("it may").into_inner();
    let mut run = None;
    while let Some(message) = stream.message().await.expect("to its end") {
        run = message.run;
    }
    let run = run.expect("at least one message");
    // Where nodes share a database, its clock is the one that counts, and is right.
    let outcome = if node.postgres().is_some() { TaskOutcome::Done } else { TaskOutcome::ClockJumped };
    for task in &run.tasks {
        assert_eq!((task.outcome(), task.done_count), (outcome, 0), "{run:?}");
    }
    assert_eq!(rows(&node), before, "nothing was deleted, purged or forgotten");
    assert_eq!(told(&node), (told_before.0 + 1, told_before.1 + 1), "the run and its event");
    node.set_clock_ahead(0);
    node.restore(&gone, &Service::all()).await.expect("within its grace");
    assert_eq!(count(&node, "young.pdf", "READY") + count(&node, "deleted.pdf", "READY"), 2);
    let run = node.maintain(&[]).await;
    assert_eq!(report(&run, MaintenanceTask::Expire).outcome(), TaskOutcome::Done, "the right time needs no word");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_age_by_the_clock_that_counts_also_through_a_node_that_is_a_week_behind() {
    let node = Node::start(Setup::new().with_movable_clock()).await;
    let behind = 8 * 86_400;
    node.set_clock_ahead(-behind);
    // By that clock every other token is to come.
    let early = Until(now() - behind.unsigned_abs() + 600);
    let mut ids = Vec::new();
    for name in ["kept.pdf", "gone.pdf"] {
        let upload = node.upload(name, samples::sample("pdf")).to_library();
        ids.push(upload.passes_by(&early).await.file_id);
    }
    let gone = ids.pop().expect("two");
    node.delete(&gone, &early).await.expect("the backend may");
    node.restore(&gone, &early).await.expect("within its grace");
    node.delete(&gone, &early).await.expect("the backend may");
    let wrong = if node.postgres().is_some() { 0 } else { behind };
    for (column, name) in [("created_at", "kept.pdf"), ("created_at", "gone.pdf"), ("deleted_at", "gone.pdf")] {
        let told = format!("SELECT CAST({column} / 1000000 AS BIGINT) AS n FROM files WHERE display_name = '{name}'");
        let apart = now().cast_signed() - node.number(&told) - wrong;
        assert!(apart.abs() < 300, "{column} of {name} is {apart} seconds off");
    }
    node.set_clock_ahead(0);
    if wrong == 0 {
        // Its grace has just begun, whatever clock that node had.
        let run = node.maintain(&[MaintenanceTask::Purge]).await;
        assert_eq!(report(&run, MaintenanceTask::Purge).done_count, 0, "{run:?}");
        node.restore(&gone, &Service::all()).await.expect("within its grace");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jump_of_the_clock_that_counts_stops_every_task_that_deletes_until_somebody_confirms_it() {
    let (node, _) = node_with_young_things().await;
    // What is old by the new time.
    age(&node, "young.pdf", 3_653);
    node.set_deletes_back(3_653);
    node.change(&format!("UPDATE runs SET begun_at = begun_at - {}", 3_653 * DAY));
    let (before, told_before) = (rows(&node), told(&node));
    // As if it had been ten years earlier until now.
    assert_eq!(node.change(&format!("UPDATE clock SET seen = seen - {}", TEN_YEARS * 1_000_000)), 1);
    let plan = pb::PlanMaintenanceRequest { rule: None };
    let answer = node.maintenance().plan_maintenance(request(&Service::all(), plan)).await;
    assert_refused(answer, Code::FailedPrecondition, "CLOCK_JUMPED");
    let run = node.maintain(&[]).await;
    for task in [MaintenanceTask::Expire, MaintenanceTask::Purge, MaintenanceTask::Sweep, MaintenanceTask::Trim] {
        let of_task = report(&run, task);
        assert_eq!((of_task.outcome(), of_task.done_count), (TaskOutcome::ClockJumped, 0), "{run:?}");
    }
    assert_eq!(rows(&node), before);
    assert_eq!(told(&node), (told_before.0 + 1, told_before.1 + 1), "the run and its event");
    let confirmed = pb::RunMaintenanceRequest { confirm_clock: true, ..Default::default() };
    let run = node.run_to_its_end(confirmed).await.expect("the backend may");
    for task in [MaintenanceTask::Expire, MaintenanceTask::Purge, MaintenanceTask::Trim] {
        let of_task = report(&run, task);
        assert!(of_task.outcome() == TaskOutcome::Done && of_task.done_count > 0, "{run:?}");
    }
}
