//! The tasks SWEEP and CHECK from outside: what they leave alone, and how much they read.
//!
//! Not here: planted faults (`tests/it/fsck.rs`), and the tasks over twins in memory (`src/app/tests/consistency.rs`).

use crate::harness::{
    Node, Operator, Service, Setup,
    calls::request,
    pb::{self, MaintenanceTask, TaskOutcome},
    samples,
};

/// A run of one task, to its end.
async fn run(node: &Node, task: MaintenanceTask) -> pb::TaskReport {
    let asked = pb::RunMaintenanceRequest { tasks: vec![task.into()], ..Default::default() };
    let mut told =
        node.maintenance().run_maintenance(request(&Service::all(), asked)).await.expect("it begins").into_inner();
    let mut last = None;
    while let Some(message) = told.message().await.expect("it goes on") {
        last = message.run;
    }
    let run = last.expect("every message has it");
    assert_eq!(run.tasks.len(), 1);
    run.tasks[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_reads_as_many_bytes_as_check_budget_bytes_and_the_next_one_goes_on() {
    let node = Node::start(Setup::new()).await;
    let operator = Operator::new();
    let chat = node.new_chat().await;
    for (name, size) in [("a.txt", 1_000), ("b.txt", 2_000), ("c.txt", 4_000)] {
        node.upload(name, samples::text(size, name)).to_chat(&chat).passes_by(&operator).await;
    }
    let read = async |budget: i64| {
        node.set(&["check_budget_bytes"], |s| s.check_budget_bytes = budget).await.expect("the backend may");
        let checked = run(&node, MaintenanceTask::Check).await;
        assert_eq!((checked.outcome(), checked.done_count, checked.failed_count), (TaskOutcome::Done, 3, 0));
        checked.size_bytes
    };
    assert_eq!(read(0).await, 0, "it looks for them alone");
    assert_eq!(read(1).await, 1_000, "one that is begun is read whole");
    assert_eq!(read(2_001).await, 6_000, "the next run goes on");
    assert_eq!(read(1 << 30).await, 7_000, "and begins anew after the last");
    for bad in [-1, (1 << 50) + 1] {
        let answer = node.set(&["check_budget_bytes"], |s| s.check_budget_bytes = bad).await;
        crate::harness::assert_refused(answer, tonic::Code::InvalidArgument, "BAD_SETTING");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_leaves_what_is_named_and_what_is_young() {
    let node = Node::start(Setup::new()).await;
    let (operator, chat) = (Operator::new(), node.new_chat().await);
    let content = samples::text(3_000, "kept");
    let file = node.upload("a.txt", content.clone()).to_chat(&chat).passes_by(&operator).await;
    let swept = run(&node, MaintenanceTask::Sweep).await;
    assert_eq!((swept.outcome(), swept.done_count, swept.failed_count), (TaskOutcome::Done, 0, 0), "{swept:?}");
    let read = node.download(&file.file_id, &operator).await.expect("it is there");
    assert!(read.bytes == content);
}
