//! Many files: what is deleted without a word, and how a plan says that more is meant.
//!
//! Not here: how many that is, run by run (`src/domain/run.rs`).

use serde_json::json;
use tonic::Code;

use super::{age, cli, copy, count, set, task};
use crate::harness::{Node, Service, Setup, Visitor, assert_refused, calls::request, pb, refusal::facts_of, samples};

/// A node that has so many visitors' files beyond 30 days, the age that its settings name.
async fn node_with(old: i64) -> Node {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    node.upload("first.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    age(&node, "first.pdf", 29);
    copy(&node, "first.pdf", old);
    age(&node, "copy", 2);
    set(&node, "delete_owners", &["visitors"]);
    set(&node, "visitor_days", &["30"]);
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn unattended_run_stops_at_the_guard_and_a_plan_with_its_token_deletes_the_rest() {
    let node = node_with(4_500).await;
    let plan = cli(&node, &["maintenance", "plan"]).object();
    assert_eq!((&plan["file_count"], &plan["guard_files"]), (&json!(4_500), &json!(1_000)));
    let (id, token) = (plan["plan_id"].as_str().expect("an id"), plan["confirmation_token"].as_str().expect("a token"));
    assert!(!token.is_empty());
    for wrong in ["", "0123456789abcdef"] {
        let words = ["maintenance", "run", "--plan", id, "--confirm", wrong, "--wait"];
        let refusal = cli(&node, &words).refused("FAILED_PRECONDITION", "CONFIRMATION_NEEDED");
        assert_eq!(refusal["metadata"], json!({"files": "4500", "guard": "1000"}));
    }
    assert_eq!(count(&node, "copy", "READY"), 4_500);

    let ended = cli(&node, &["maintenance", "run", "--wait"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("lhfile maintenance plan") && ended.err.lines().count() == 1, "{}", ended.err);
    let runs = cli(&node, &["maintenance", "runs"]).lines();
    let (expired, trimmed) = (task(&runs[0], "EXPIRE"), task(&runs[0], "TRIM"));
    assert_eq!((&runs.len(), &runs[0]["state"]), (&1, &json!("RUN_STATE_DONE")), "refused ones are none");
    assert_eq!((&expired["outcome"], &expired["done_count"]), (&json!("TASK_OUTCOME_GUARD_REACHED"), &json!(1_000)));
    assert_eq!(trimmed["outcome"], json!("TASK_OUTCOME_DONE"), "the other tasks go on");
    assert_eq!((count(&node, "copy", "DELETED"), count(&node, "copy", "READY")), (1_000, 3_500));
    let youngest = "SELECT max(created_at) AS n FROM files WHERE state = 'DELETED'";
    let oldest = "SELECT min(created_at) AS n FROM files WHERE state = 'READY'";
    assert!(node.number(youngest) < node.number(oldest), "the oldest went");

    let ended = cli(&node, &["maintenance", "run", "--plan", id, "--confirm", token, "--wait"]);
    let run = ended.lines().pop().expect("the end");
    let expired = task(&run, "EXPIRE");
    assert_eq!((&run["plan_id"], &expired["outcome"]), (&json!(id), &json!("TASK_OUTCOME_DONE")));
    assert_eq!((&expired["done_count"], &expired["kept_count"]), (&json!(3_500), &json!(1_000)));
    assert_eq!((count(&node, "copy", "READY"), count(&node, "first.pdf", "READY")), (0, 1));
    let events = node.number("SELECT count(*) AS n FROM events WHERE kind = 'FILE_DELETED'");
    assert_eq!(events, 4_500, "each has its event");
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_deletes_what_it_found_and_no_more_and_ends_after_a_day() {
    let node = node_with(3).await;
    let all = Service::all();
    let plan = cli(&node, &["maintenance", "plan"]).object();
    let id = plan["plan_id"].as_str().expect("an id");
    // One grew old since, one became persistent.
    age(&node, "first.pdf", 2);
    let kept =
        node.texts("SELECT lower(hex(id)) AS t FROM files WHERE display_name = 'copy' ORDER BY created_at")[0].clone();
    assert_eq!(node.change(&format!("UPDATE files SET persistent = TRUE WHERE lower(hex(id)) = '{kept}'")), 1);
    let run = cli(&node, &["maintenance", "run", "--plan", id, "--wait"]).lines().pop().expect("the end");
    let expired = task(&run, "EXPIRE");
    assert_eq!((&expired["done_count"], &expired["kept_count"]), (&json!(2), &json!(1)));
    assert_eq!((count(&node, "copy", "READY"), count(&node, "first.pdf", "READY")), (1, 1));

    assert_eq!(node.change("UPDATE plans SET expires_at = 0"), 1);
    let run = || pb::RunMaintenanceRequest { plan_id: id.to_owned(), ..Default::default() };
    let answer = node.maintenance().run_maintenance(request(&all, run())).await;
    assert_refused(answer.map(drop), Code::FailedPrecondition, "PLAN_EXPIRED");
    let get = pb::GetPlanRequest { plan_id: id.to_owned(), ..Default::default() };
    assert_refused(node.maintenance().get_plan(request(&all, get)).await, Code::FailedPrecondition, "PLAN_EXPIRED");
    let never = pb::RunMaintenanceRequest { plan_id: "a".repeat(26), ..Default::default() };
    let answer = node.maintenance().run_maintenance(request(&all, never)).await;
    assert_refused(answer.map(drop), Code::NotFound, "NOT_FOUND");
    let lonely = pb::RunMaintenanceRequest { confirmation_token: "x".to_owned(), ..Default::default() };
    let answer = node.maintenance().run_maintenance(request(&all, lonely)).await;
    let status = assert_refused(answer.map(drop), Code::InvalidArgument, "BAD_ARGUMENT");
    assert_eq!(facts_of(&status)["field"], "confirmation_token");
    let trim = pb::RunMaintenanceRequest { tasks: vec![pb::MaintenanceTask::Trim.into()], ..run() };
    let answer = node.maintenance().run_maintenance(request(&all, trim)).await;
    assert_refused(answer.map(drop), Code::InvalidArgument, "BAD_ARGUMENT");
}
