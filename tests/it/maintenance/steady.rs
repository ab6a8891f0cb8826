//! A rule night after night: what it deletes each night needs nobody, and a rule that is new or was changed does, once.
//!
//! Not here: how many files need a word, run by run (`src/domain/run.rs`), and a plan beyond that (`guard.rs`).

use super::*;
use crate::harness::{
    pb::{MaintenanceTask, TaskOutcome},
    runs::report,
};

/// Files that grow old enough each night, of thirty times as many: three times as many as go without a word by themselves.
const NIGHTLY: i64 = 3_000;

/// Another night's files are beyond the age of the rule.
fn falls(node: &Node) {
    copy(node, "first.pdf", NIGHTLY);
    age(node, "copy", 31);
    node.change("UPDATE files SET display_name = 'old' WHERE display_name = 'copy'");
}

async fn night(node: &Node) -> (TaskOutcome, i64) {
    let run = node.maintain(&[MaintenanceTask::Expire]).await;
    let expired = report(&run, MaintenanceTask::Expire);
    (expired.outcome(), expired.done_count)
}

/// Plans, and runs the plan with its word.
async fn by_hand(node: &Node) -> i64 {
    let all = Service::all();
    let plan = pb::PlanMaintenanceRequest { rule: None };
    let plan = node.maintenance().plan_maintenance(request(&all, plan)).await.expect("the backend may").into_inner();
    let plan = plan.plan.expect("every answer has it");
    assert!(!plan.confirmation_token.is_empty(), "so many need a word: {plan:?}");
    let asked = |token: &str| pb::RunMaintenanceRequest {
        plan_id: plan.plan_id.clone(),
        confirmation_token: token.to_owned(),
        tasks: vec![MaintenanceTask::Expire.into()],
        ..Default::default()
    };
    let without = node.run_to_its_end(asked("")).await;
    assert_refused(without, Code::FailedPrecondition, "CONFIRMATION_NEEDED");
    let run = node.run_to_its_end(asked(&plan.confirmation_token)).await.expect("it was confirmed");
    let expired = report(&run, MaintenanceTask::Expire);
    assert_eq!((expired.outcome(), expired.done_count), (TaskOutcome::Done, plan.file_count));
    plan.file_count
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_of_thirty_days_needs_a_hand_once_and_then_no_more_until_it_is_changed() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    node.upload("first.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    set(&node, "delete_owners", &["VISITORS"]);
    set(&node, "visitor_days", &["30"]);
    falls(&node);
    assert_eq!(night(&node).await, (TaskOutcome::GuardReached, 1_000), "the first one stops");
    assert_eq!(by_hand(&node).await, NIGHTLY - 1_000);
    // Three times two thousand from now on.
    for _ in 0..4 {
        falls(&node);
        assert_eq!(night(&node).await, (TaskOutcome::Done, NIGHTLY), "needs nobody");
    }
    // A rule that reaches further is another one.
    copy(&node, "first.pdf", 4 * NIGHTLY);
    age(&node, "copy", 29);
    node.change("UPDATE files SET display_name = 'old' WHERE display_name = 'copy'");
    assert_eq!(night(&node).await, (TaskOutcome::Done, 0), "by the rule as it is none is due");
    set(&node, "visitor_days", &["28"]);
    assert_eq!(night(&node).await, (TaskOutcome::GuardReached, 1_000));
    assert_eq!(by_hand(&node).await, 4 * NIGHTLY - 1_000);
    falls(&node);
    assert_eq!(night(&node).await, (TaskOutcome::Done, NIGHTLY), "and then it needs nobody, too");
    assert_eq!((count(&node, "old", "DELETED"), count(&node, "old", "READY")), (10 * NIGHTLY, 0));
    assert_eq!(node.events_each_once("FILE_DELETED"), 10 * NIGHTLY);
    assert_eq!(count(&node, "first.pdf", "READY"), 1, "the young one stays");
}
