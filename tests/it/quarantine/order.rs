//! What is looked at first, and how much of it in an hour.
//!
//! Not here: the order of all phases (`src/domain/quarantine.rs`).

use super::*;

/// Two of these are more than the least budget.
const LARGE: usize = 700 << 10;

/// The report of the rescan in a run of maintenance with no other task.
fn run(node: &Node) -> Value {
    let ended = cli(node, &["maintenance", "run", "--wait", "--task", "rescan"]);
    let run: Value = serde_json::from_str(ended.text().lines().last().expect("the end")).expect("JSON");
    let tasks = run["tasks"].as_array().expect("a list");
    assert_eq!(tasks.len(), 1, "{run}");
    assert_eq!(tasks[0]["task"], json!("MAINTENANCE_TASK_RESCAN"));
    tasks[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_never_scanned_come_first_when_scanning_is_switched_on_and_the_rest_waits_for_its_budget() {
    let scanner = Learning::start().await;
    scanner.knows(&[marker()]).await;
    let node = Node::start(Setup::new().external(scanner.address())).await;
    node.put_chat("42").await;
    let change = |s: &mut pb::Settings| s.rescan_budget_bytes_per_hour = 1 << 20;
    node.set(&["rescan_budget_bytes_per_hour"], change).await.expect("the least");
    let scan = async |on: bool| {
        node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = on).await.expect("a good value");
    };
    scan(false).await;
    let bad = upload(&node, "bad.txt", samples::text(LARGE, &format!("{MARKER}, never scanned"))).await;
    assert_eq!(bad.verdict.expect("told").kind(), pb::VerdictKind::NotScanned);
    served_as(&node, &bad.file_id, Some(pb::VerdictKind::NotScanned)).await;
    // Newer ones, judged by signatures that count no more.
    let mut clean = Vec::new();
    for seed in ["newer", "newest"] {
        clean.push(upload(&node, "clean.txt", samples::text(LARGE, seed)).await.file_id);
    }
    let judged = format!(
        "UPDATE blobs SET verdict = 'CLEAN', engine = 'ClamAV', signatures = '1' WHERE lower(hex(sha256)) <> '{}'",
        bad.sha256
    );
    assert_eq!(node.change(&judged), 2);
    scan(true).await;

    served_as(&node, &bad.file_id, None).await;
    assert_eq!(events(&node, "BLOB_QUARANTINED"), [MARKED]);
    let progress = once(&node, "the budget is spent", |p| p.done_count == 1 && p.left_count == 2).await;
    assert!(progress.end_time.is_none() && progress.hit_count == 1, "{progress:?}");
    assert!(progress.budget_left_bytes < i64::try_from(LARGE).expect("small"), "{progress:?}");
    for file in &clean {
        served_as(&node, file, Some(pb::VerdictKind::Clean)).await;
    }
    let waiting = || node.number("SELECT count(*) AS n FROM blobs WHERE signatures = '1'");
    let spent = run(&node);
    assert_eq!((&spent["outcome"], &spent["done_count"]), (&json!("TASK_OUTCOME_BUDGET_SPENT"), &json!(0)));
    assert_eq!(waiting(), 2);

    let change = |s: &mut pb::Settings| s.rescan_budget_bytes_per_hour = 10 << 30;
    node.set(&["rescan_budget_bytes_per_hour"], change).await.expect("the default");
    let report = run(&node);
    assert_eq!(report["outcome"], json!("TASK_OUTCOME_DONE"), "{report}");
    once(&node, "the end", |p| p.end_time.is_some()).await;
    assert_eq!(waiting(), 0);
    assert_eq!(run(&node)["done_count"], json!(0), "nothing is left");
    node.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_quarantined_while_the_service_is_read_only() {
    let scanner = Learning::start().await;
    let node = Node::start(Setup::new().external(scanner.address())).await;
    node.put_chat("42").await;
    let file = upload(&node, "marked.txt", marked("one")).await.file_id;
    node.set(&["read_only"], |s| s.read_only = true).await.expect("a good value");
    let number = scanner.knows(&[marker()]).await;
    let told = format!("{number}/");
    let until = Instant::now() + SOON;
    while !node.scanner_status().await.expect("an administrator may ask").signature_version.starts_with(&told) {
        assert!(Instant::now() < until, "the server does not hear of them");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cli(&node, &["scanner", "rescan", "--file", &file]).refused("UNAVAILABLE", "READ_ONLY");
    cli(&node, &["scanner", "rescan", "--all"]).refused("UNAVAILABLE", "READ_ONLY");
    assert_eq!(states(&node), ["ACTIVE"]);
    node.set(&["read_only"], |s| s.read_only = false).await.expect("a good value");
    served_as(&node, &file, None).await;
}
