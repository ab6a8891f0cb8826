//! Maintenance of a million old files: planned, deleted and told in steady memory, while uploads go on.
//!
//! A long run, which prints its figures: `make soak`. `MILLION=20000` before the test's own command makes it short.
//! Not here: which files are deleted (`maintenance.rs`), the goals of the figures (`benches/budgets/maintained.rs`).

use std::time::{Duration, Instant};

use tokio_stream::StreamExt as _;

use crate::harness::{
    Node, Operator, Service, Setup,
    calls::request,
    old::old_files,
    pb::{
        self, DeleteOwner, GetRunRequest, MaintenanceTask, PlanMaintenanceRequest, Run, RunMaintenanceRequest,
        RunState, TaskOutcome,
    },
    process,
    runs::{DAY, report},
};

const MIB: u64 = 1 << 20;
/// Uploads whose times are told beside those of uploads during the run.
const UPLOADS: usize = 1_000;
/// Files purged at the end.
const PURGED: i64 = 20_000;
/// What the server may have grown by between the first tenth of the run and its end.
const GROWTH: u64 = 64 * MIB;

/// Time of one upload after the other by one connection: `next` tells whether there is to be another.
async fn upload_times(node: &Node, chat: &str, seed: &str, next: impl AsyncFn(usize) -> bool) -> Vec<Duration> {
    let (operator, mut files, mut times) = (Operator::new(), node.files(), Vec::new());
    while next(times.len()).await {
        let content = format!("{seed} {} ", times.len()).repeat(600).into_bytes();
        let messages = node.upload("new.txt", content).to_chat(chat).messages();
        let begun = Instant::now();
        files.upload_file(request(&operator, tokio_stream::iter(messages))).await.expect("it is taken");
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times
}

fn told(times: &[Duration]) -> (f64, f64) {
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1_000.0;
    (at(50), at(99))
}

async fn begin(node: &Node, asked: RunMaintenanceRequest) -> String {
    let answer = node.maintenance().run_maintenance(request(&Service::all(), asked)).await.expect("the backend may");
    let first = answer.into_inner().next().await.expect("it says something").expect("of the run");
    first.run.expect("the run").run_id
}

async fn look(node: &Node, run_id: &str) -> Run {
    let asked = GetRunRequest { run_id: run_id.to_owned() };
    node.maintenance().get_run(request(&Service::all(), asked)).await.expect("told").into_inner().run.expect("the run")
}

async fn ended(node: &Node, run_id: &str) -> Run {
    loop {
        let run = look(node, run_id).await;
        if run.state() != RunState::Running {
            return run;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn seconds(run: &Run) -> f64 {
    let at = |time: Option<prost_types::Timestamp>| {
        let time = time.expect("told");
        time.seconds as f64 + f64::from(time.nanos) / 1e9
    };
    at(run.end_time) - at(run.start_time)
}

/// So many old files on a server without a scanner's part in it.
async fn node_with_old_files(files: i64) -> (Node, String) {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    node.upload("first.txt", "the first").to_chat(&chat).passes_by(&Operator::new()).await;
    let begun = Instant::now();
    for statement in old_files(node.postgres().is_some(), "old.txt", 0, files, 100) {
        node.change(&statement);
    }
    if let Some((cluster, name)) = node.postgres() {
        cluster.psql(name, "VACUUM ANALYZE");
    }
    println!("{files} files written in {:.0} s", begun.elapsed().as_secs_f64());
    let keys = ["antivirus_enabled", "delete_owners", "operator_days"];
    let changed = node.set(&keys, |settings| {
        settings.antivirus_enabled = false;
        settings.delete_owners = vec![DeleteOwner::Operators.into()];
        settings.operator_days = 30;
    });
    changed.await.expect("the backend may");
    (node, chat)
}

async fn old_files_are_deleted_and_purged(files: i64) {
    let (node, chat) = node_with_old_files(files).await;
    let idle = told(&upload_times(&node, &chat, "idle", async |count| count < UPLOADS).await);

    let begun = Instant::now();
    let asked = PlanMaintenanceRequest::default();
    let answer = node.maintenance().plan_maintenance(request(&Service::all(), asked)).await.expect("planned");
    let plan = answer.into_inner().plan.expect("the plan");
    assert_eq!(plan.file_count, files);
    let planning = files as f64 / begun.elapsed().as_secs_f64();

    let run_id = begin(
        &node,
        RunMaintenanceRequest {
            plan_id: plan.plan_id,
            confirmation_token: plan.confirmation_token,
            tasks: vec![MaintenanceTask::Expire.into()],
            ..RunMaintenanceRequest::default()
        },
    )
    .await;
    let early = async {
        loop {
            let run = look(&node, &run_id).await;
            if run.state() != RunState::Running || report(&run, MaintenanceTask::Expire).done_count >= files / 10 {
                return process::peak_memory(node.pid());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let over = tokio::sync::watch::Sender::new(false);
    let beside = upload_times(&node, &chat, "busy", async |_| !*over.borrow());
    let run = async {
        let run = ended(&node, &run_id).await;
        over.send_replace(true);
        run
    };
    let (early, beside, run) = tokio::join!(early, beside, run);
    let late = process::peak_memory(node.pid());
    let expired = report(&run, MaintenanceTask::Expire);
    assert_eq!((run.state(), expired.outcome()), (RunState::Done, TaskOutcome::Done), "{run:?}");
    assert_eq!((expired.done_count, expired.failed_count), (files, 0));
    let count = |sql: &str| node.number(&format!("SELECT count(*) AS n FROM {sql}"));
    assert_eq!(count("files WHERE display_name = 'old.txt' AND state = 'DELETED'"), files);
    assert_eq!(count("files WHERE display_name = 'old.txt' AND state = 'READY'"), 0);
    assert_eq!(count("files WHERE display_name = 'first.txt' AND state = 'READY'"), 1, "it is young");
    assert_eq!(count("events WHERE kind = 'FILE_DELETED'"), files, "each has its event");

    let (rate, uploads, beside) = (files as f64 / seconds(&run), beside.len(), told(&beside));
    println!(
        "planned {planning:.0} files/s, deleted {rate:.0} files/s with their events (goal: 30000 on SQLite, 20000 on \
         PostgreSQL)"
    );
    println!(
        "upload of 4 KiB idle p50 {:.2} ms p99 {:.2} ms; beside the run p50 {:.2} ms p99 {:.2} ms over {uploads} \
         uploads: p99 {:.2} times (goal: 2)",
        idle.0,
        idle.1,
        beside.0,
        beside.1,
        beside.1 / idle.1
    );
    println!("memory: {} MiB after a tenth of the run, {} MiB after all", early / MIB, late / MIB);
    assert!(late <= early + GROWTH, "memory grows with the number of files: {early} then {late} bytes");

    // Of what was deleted a part is old enough to go for good; its bytes are the first file's, and stay.
    let purged = PURGED.min(files);
    let oldest = format!("SELECT number FROM files WHERE state = 'DELETED' ORDER BY number LIMIT {purged}");
    node.change(&format!("UPDATE files SET deleted_at = deleted_at - {} WHERE number IN ({oldest})", 40 * DAY));
    let tasks = vec![MaintenanceTask::Purge.into()];
    let run_id = begin(&node, RunMaintenanceRequest { tasks, ..RunMaintenanceRequest::default() }).await;
    over.send_replace(false);
    let beside = upload_times(&node, &chat, "purging", async |_| !*over.borrow());
    let run = async {
        let run = ended(&node, &run_id).await;
        over.send_replace(true);
        run
    };
    let (beside, run) = tokio::join!(beside, run);
    assert_eq!(report(&run, MaintenanceTask::Purge).done_count, purged, "{run:?}");
    let (rate, beside) = (purged as f64 / seconds(&run), (beside.len(), told(&beside)));
    println!(
        "purged {rate:.0} files/s, their rows alone; beside it upload of 4 KiB p50 {:.2} ms p99 {:.2} ms over {} uploads: \
         p99 {:.2} times (goal: 2)",
        beside.1.0,
        beside.1.1,
        beside.0,
        beside.1.1 / idle.1
    );
    let all = pb::ListFilesRequest::default();
    node.files().list_files(request(&Service::all(), all)).await.expect("it serves as before");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "soak: a million old files, up to 25 minutes"]
async fn a_million_old_files_are_deleted_in_steady_memory_while_uploads_go_on() {
    let files = std::env::var("MILLION").map_or(1_000_000, |count| count.parse().expect("a number"));
    old_files_are_deleted_and_purged(files).await;
}
