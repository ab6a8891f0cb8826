//! Runs as they are watched, asked for again, refused, cancelled, and told after the node has ended.
//!
//! Not here: what they delete (the parent module, `guard.rs`).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tonic::{Code, Streaming};

use super::{cli, task};
use crate::{
    cli::program::lhfile,
    harness::{
        Caller as _, Node, Operator, Service, Setup, assert_refused, calls::request, pb, reason_of, refusal::facts_of,
    },
};

async fn begin(
    node: &Node,
    request_id: &str,
) -> Result<(Streaming<pb::RunMaintenanceResponse>, pb::Run), tonic::Status> {
    let run = pb::RunMaintenanceRequest { request_id: request_id.to_owned(), ..Default::default() };
    let mut stream = node.maintenance().run_maintenance(request(&Service::all(), run)).await?.into_inner();
    let first = stream.message().await?.expect("the run as it is");
    Ok((stream, first.run.expect("every message has it")))
}

async fn get(node: &Node, run_id: &str) -> pb::Run {
    let get = pb::GetRunRequest { run_id: run_id.to_owned() };
    let answer = node.maintenance().get_run(request(&Service::all(), get)).await;
    answer.expect("the backend may").into_inner().run.expect("every answer has it")
}

async fn ended(node: &Node, run_id: &str) -> pb::Run {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let run = get(node, run_id).await;
        if run.state() != pb::RunState::Running {
            return run;
        }
        assert!(Instant::now() < until, "it never ends: {run:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_tells_the_run_until_its_end_and_a_request_id_tells_the_same_one_again() {
    let node = Node::start(Setup::new()).await;
    let (mut stream, first) = begin(&node, "night-1").await.expect("the backend may");
    let mut last = first.clone();
    while let Some(message) = stream.message().await.expect("no error") {
        let run = message.run.expect("every message has it");
        assert_ne!(run, last, "only what is new");
        last = run;
    }
    assert_eq!((last.state(), &last.run_id), (pb::RunState::Done, &first.run_id));
    assert!(last.end_time.is_some() && last.tasks.iter().all(|t| t.outcome() == pb::TaskOutcome::Done), "{last:?}");
    assert!(last.creator.as_ref().is_some_and(|by| by.id == "backend") && !last.node.is_empty());
    let (mut again, same) = begin(&node, "night-1").await.expect("the same");
    assert_eq!(same, last);
    assert!(again.message().await.expect("no error").is_none(), "it has ended");
    let other = pb::RunMaintenanceRequest {
        request_id: "night-1".to_owned(),
        tasks: vec![pb::MaintenanceTask::Trim.into()],
        ..Default::default()
    };
    let answer = node.maintenance().run_maintenance(request(&Service::all(), other)).await;
    assert_refused(answer.map(drop), Code::AlreadyExists, "REQUEST_ID_REUSED");
    // Another person's is another's.
    let operator = Operator::with(&["maintenance_run"]);
    let own = pb::RunMaintenanceRequest { request_id: "night-1".to_owned(), ..Default::default() };
    let mut stream = node.maintenance().run_maintenance(request(&operator, own)).await.expect("it may").into_inner();
    let run = stream.message().await.expect("no error").and_then(|message| message.run).expect("a run");
    assert_ne!(run.run_id, first.run_id);
    assert_eq!(ended(&node, &run.run_id).await.state(), pb::RunState::Done);
    for bad in ["a b", &"x".repeat(65), "é"] {
        let refused = begin(&node, bad).await.map(drop);
        assert_refused(refused, Code::InvalidArgument, "BAD_ARGUMENT");
    }
    let unknown = pb::GetRunRequest { run_id: "a".repeat(26) };
    let answer = node.maintenance().get_run(request(&Service::all(), unknown)).await;
    assert_refused(answer, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_runs_at_a_time_a_watcher_that_leaves_stops_nothing_and_a_cancelled_one_ends() {
    // The run stands still before its first batch, as one of hours would; where it stands, connections to PostgreSQL do, too.
    let mut node = Node::start(Setup::new().on_sqlite().stops_at("M3")).await;
    let (stream, run) = begin(&node, "long").await.expect("the backend may");
    node.wait_for_fault().await;
    let refused = assert_refused(begin(&node, "other").await.map(drop), Code::FailedPrecondition, "RUN_IN_PROGRESS");
    assert_eq!(facts_of(&refused)["run_id"], run.run_id);
    let (second, same) = begin(&node, "long").await.expect("asked for again");
    assert_eq!((same.run_id.as_str(), same.state()), (run.run_id.as_str(), pb::RunState::Running));
    drop((stream, second));
    let told = cli(&node, &["maintenance", "run", "--wait"]).refused("FAILED_PRECONDITION", "RUN_IN_PROGRESS");
    assert_eq!(told["metadata"]["run_id"], json!(run.run_id));
    assert_eq!(get(&node, &run.run_id).await.state(), pb::RunState::Running, "nobody watches, and it goes on");

    let cancelled = cli(&node, &["maintenance", "cancel", &run.run_id]).object();
    assert_eq!((&cancelled["state"], &cancelled["cancel_requested"]), (&json!("RUN_STATE_RUNNING"), &json!(true)));
    node.kill9();
    node.start_again().await;
    let run = ended(&node, &run.run_id).await;
    assert_eq!(run.state(), pb::RunState::Cancelled);
    assert!(run.tasks.iter().all(|task| task.outcome() == pb::TaskOutcome::Cancelled), "{run:?}");
    let again = cli(&node, &["maintenance", "cancel", &run.run_id]).object();
    assert_eq!(again["state"], json!("RUN_STATE_CANCELLED"), "as it ended");
    assert_eq!(begin(&node, "other").await.expect("the place is free").1.state(), pb::RunState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn deadline_of_a_watcher_is_its_own() {
    let node = Node::start(Setup::new().on_sqlite().stops_at("M3")).await;
    let mut run =
        request(&Service::all(), pb::RunMaintenanceRequest { request_id: "r".to_owned(), ..Default::default() });
    run.set_timeout(Duration::from_secs(2));
    let mut stream = node.maintenance().run_maintenance(run).await.expect("the backend may").into_inner();
    let status = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some(), "it has not ended"),
            Err(status) => break status,
        }
    };
    // The client's own clock may be the first.
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    assert_eq!(begin(&node, "r").await.expect("it goes on").1.state(), pb::RunState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn command_line_waits_for_its_run_beyond_the_death_of_the_node() {
    let mut node = Node::start(Setup::new().stops_at("M3")).await;
    let (address, token) = (node.address().to_string(), Service::all().token());
    let folder = node.folder().to_owned();
    let waits = std::thread::spawn(move || {
        let words = ["maintenance", "run", "--wait", "--json"];
        lhfile(&words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], &folder)
    });
    node.wait_for_fault().await;
    node.kill9();
    tokio::time::sleep(Duration::from_secs(2)).await;
    node.start_again().await;
    let ended = tokio::task::spawn_blocking(move || waits.join().expect("it ran")).await.expect("it ran");
    let told = ended.lines();
    let (first, last): (&Value, &Value) = (&told[0], &told[told.len() - 1]);
    assert_eq!((&last["run_id"], &last["state"]), (&first["run_id"], &json!("RUN_STATE_DONE")));
    assert_eq!(task(last, "EXPIRE")["outcome"], json!("TASK_OUTCOME_DONE"));
    assert_eq!(cli(&node, &["maintenance", "runs"]).lines().len(), 1, "one run, however often it was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_are_told_that_the_node_ends() {
    let mut node = Node::start(Setup::new()).await;
    // One that never ends: it is said to be another node's, which lives.
    let (_, run) = begin(&node, "mine").await.expect("the backend may");
    ended(&node, &run.run_id).await;
    assert_eq!(
        node.change(
            "UPDATE runs SET state = 'RUNNING', node = 'another', ended_at = NULL, lease_until = 9000000000000000"
        ),
        1
    );
    let (mut stream, run) = begin(&node, "mine").await.expect("the same");
    assert_eq!(run.state(), pb::RunState::Running);
    node.ask_to_end();
    let begun = Instant::now();
    let status = loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some(), "it has not ended"),
            Err(status) => break status,
        }
    };
    assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unavailable, "LEAVING"));
    assert!(
        node.ended_well(Duration::from_secs(20)).await && begun.elapsed() < Duration::from_secs(20),
        "{}",
        node.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_in_read_only_mode() {
    let node = Node::start(Setup::new()).await;
    node.set(&["read_only"], |s| s.read_only = true).await.expect("the backend may");
    assert_refused(begin(&node, "").await.map(drop), Code::Unavailable, "READ_ONLY");
    let plan =
        node.maintenance().plan_maintenance(request(&Service::all(), pb::PlanMaintenanceRequest { rule: None })).await;
    assert_refused(plan, Code::Unavailable, "READ_ONLY");
    let list = pb::ListRunsRequest::default();
    let runs = node.maintenance().list_runs(request(&Service::all(), list)).await.expect("it changes nothing");
    assert_eq!(runs.into_inner().runs, []);
}
