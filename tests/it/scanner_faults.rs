//! The scanner killed, stopped, back again, or unable to say no: uploads are refused, downloads go on.
//!
//! Not here: what a working scanner finds (`antivirus.rs`).

use std::time::{Duration, Instant};

use tonic::{Code, Status};

use crate::harness::{
    Node, Operator, Setup, assert_refused,
    clamd::Clamd,
    grudging::{BREAK, ERROR, Grudging},
    orphan, pb, process, reason_of,
    refusal::has_retry,
    samples,
};

/// Longest a scan of a small file may take: 30 s and its size at 2 MiB/s, and some for a busy machine.
const DEADLINE: Duration = Duration::from_secs(36);
/// How soon it must work again.
const BACK: Duration = Duration::from_secs(10);

/// A server with a chat and a file in it.
async fn with_a_file(setup: Setup) -> (Node, pb::File) {
    let node = Node::start(setup).await;
    node.put_chat("42").await;
    let upload = node.upload("first.pdf", samples::sample("pdf")).to_chat("42");
    let file = upload.passes_by(&Operator::new()).await;
    (node, file)
}

/// A text that was never scanned.
async fn upload_fresh(node: &Node) -> Result<pb::UploadFileResponse, Status> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let text = samples::text(2000, &format!("fresh {}", NEXT.fetch_add(1, Ordering::Relaxed)));
    node.upload("a.txt", text).to_chat("42").by(&Operator::new()).await
}

async fn assert_downloads_go_on(node: &Node, file: &pb::File) {
    let back = node.download(&file.file_id, &Operator::new()).await.expect("no scanner is needed for it");
    assert_eq!(back.bytes, samples::sample("pdf"));
}

async fn assert_works_again_soon(node: &Node) {
    let from = Instant::now();
    loop {
        match upload_fresh(node).await {
            Ok(_) => return,
            Err(status) => {
                assert_eq!(reason_of(&status), "SCANNER_DOWN", "{status:?}");
                assert!(from.elapsed() < BACK, "still down after {:?}", from.elapsed());
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn killed_clamd_refuses_uploads_within_the_deadline_and_works_10_s_after_it_is_back() {
    let mut clamd = Clamd::on_unix_socket().await;
    let (node, file) = with_a_file(Setup::new().external(clamd.address())).await;
    clamd.kill9();
    for _ in 0..3 {
        let from = Instant::now();
        let status = assert_refused(upload_fresh(&node).await, Code::Unavailable, "SCANNER_DOWN");
        assert!(has_retry(&status));
        assert!(from.elapsed() < DEADLINE, "{:?}", from.elapsed());
        assert_downloads_go_on(&node, &file).await;
    }
    assert_eq!(node.chat_files("42", &Operator::new()).await.expect("known").len(), 1);
    node.assert_consistent().await;
    clamd.launch().await;
    assert_works_again_soon(&node).await;
}

#[tokio::test]
async fn stopped_clamd_refuses_uploads_within_the_deadline_and_works_10_s_after_it_goes_on() {
    let clamd = Clamd::on_unix_socket().await;
    let (node, file) = with_a_file(Setup::new().external(clamd.address())).await;
    clamd.signal("STOP");
    let from = Instant::now();
    assert_refused(upload_fresh(&node).await, Code::Unavailable, "SCANNER_DOWN");
    assert!(from.elapsed() < DEADLINE, "{:?}", from.elapsed());
    assert_downloads_go_on(&node, &file).await;
    // Known to be down by now: refused before the first byte.
    let from = Instant::now();
    assert_refused(upload_fresh(&node).await, Code::Unavailable, "SCANNER_DOWN");
    assert!(from.elapsed() < Duration::from_secs(5), "{:?}", from.elapsed());
    node.assert_consistent().await;
    clamd.signal("CONT");
    assert_works_again_soon(&node).await;
}

#[tokio::test]
async fn files_that_clamd_gives_no_verdict_on_are_refused_alone() {
    let mut scanner = Grudging::start().await;
    let (node, _) = with_a_file(Setup::new().external(scanner.address())).await;
    // Bytes of their own each time: the third time the same ones are not sent any more.
    let mut bad_ones = 0;
    let mut bad = async |text: &str| {
        bad_ones += 1;
        let file = node.upload("bad.txt", samples::text(500, &format!("{bad_ones}, {text}"))).to_chat("42");
        let status = assert_refused(file.by(&Operator::new()).await, Code::Unavailable, "SCANNER_DOWN");
        assert!(has_retry(&status));
    };
    // Longer than the pause before a probe, so that canaries come and go between the bad files.
    let until = Instant::now() + Duration::from_secs(3);
    let mut good = 0;
    while Instant::now() < until {
        bad(ERROR).await;
        upload_fresh(&node).await.expect("only the bad file is refused");
        bad(BREAK).await;
        upload_fresh(&node).await.expect("only the bad file is refused");
        good += 2;
    }
    assert!(node.scanner_status().await.expect("an administrator may ask").healthy);
    assert_eq!(node.number("SELECT count(*) AS n FROM files"), 1 + good);
    node.assert_consistent().await;
    // Without a verdict because there is no scanner: everybody is told so, within the deadline.
    scanner.clamd().kill9();
    let from = Instant::now();
    assert_refused(upload_fresh(&node).await, Code::Unavailable, "SCANNER_DOWN");
    while node.scanner_status().await.expect("an administrator may ask").healthy {
        assert!(from.elapsed() < DEADLINE, "the probe did not find it out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    scanner.clamd().launch().await;
    assert_works_again_soon(&node).await;
}

#[tokio::test]
async fn managed_clamd_that_is_killed_comes_back_by_itself_within_10_s() {
    let (node, file) = with_a_file(Setup::new()).await;
    for _ in 0..2 {
        let pid = node.clamd_pid().expect("the data folder tells it");
        process::signal(pid, "KILL");
        assert_downloads_go_on(&node, &file).await;
        match upload_fresh(&node).await {
            Ok(_) => {}
            Err(status) => assert_eq!(reason_of(&status), "SCANNER_DOWN", "{status:?}"),
        }
        assert_works_again_soon(&node).await;
        assert_ne!(node.clamd_pid(), Some(pid));
    }
    node.assert_consistent().await;
}

#[tokio::test]
async fn managed_clamd_that_is_stopped_refuses_uploads_and_works_10_s_after_it_goes_on() {
    let (node, file) = with_a_file(Setup::new()).await;
    let pid = node.clamd_pid().expect("the data folder tells it");
    process::signal(pid, "STOP");
    let from = Instant::now();
    assert_refused(upload_fresh(&node).await, Code::Unavailable, "SCANNER_DOWN");
    assert!(from.elapsed() < DEADLINE, "{:?}", from.elapsed());
    assert_downloads_go_on(&node, &file).await;
    // The server may have replaced it by now.
    let _ = std::process::Command::new("kill").args(["-CONT", &pid.to_string()]).status();
    assert_works_again_soon(&node).await;
    node.assert_consistent().await;
}

#[tokio::test]
async fn clamd_that_passes_what_it_did_not_scan_is_found_out_by_the_canaries() {
    let clamd = Clamd::start(&["AlertExceedsMax no"]).await;
    let node = Node::start(Setup::new().external(clamd.address()).without_scanner()).await;
    node.put_chat("42").await;
    let status = canaries_came_back(&node).await;
    assert!(!status.healthy, "{status:?}");
    assert!(status.canaries.iter().any(|c| !c.passed), "{status:?}");
    assert_refused(upload_fresh(&node).await, Code::Unavailable, "SCANNER_DOWN");
    node.assert_nothing_left().await;
}

#[tokio::test]
async fn clamd_without_signatures_is_found_out_by_the_canaries() {
    // One signature that finds nothing: clamd does not start without any.
    let blind = tempfile::Builder::new().prefix("lhfile-it-blind-").tempdir_in("/tmp").expect("a folder under /tmp");
    let nothing = "00000000000000000000000000000000:1:Nothing\n";
    std::fs::write(blind.path().join("nothing.hdb"), nothing).expect("our own folder");
    let clamd = Clamd::start(&[&format!("DatabaseDirectory {}", blind.path().display())]).await;
    let node = Node::start(Setup::new().external(clamd.address()).without_scanner()).await;
    node.put_chat("42").await;
    let status = canaries_came_back(&node).await;
    assert!(!status.healthy, "{status:?}");
    assert_refused(upload_fresh(&node).await, Code::Unavailable, "SCANNER_DOWN");
    node.assert_nothing_left().await;
}

async fn canaries_came_back(node: &Node) -> pb::GetScannerStatusResponse {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let status = node.scanner_status().await.expect("an administrator may ask");
        if status.canaries.iter().any(|c| !c.passed) {
            return status;
        }
        assert!(Instant::now() < until, "{status:?}\n{}", node.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn external_clamd_works_over_unix_socket_and_tcp() {
    for clamd in [Clamd::on_unix_socket().await, Clamd::on_tcp().await] {
        let (node, file) = with_a_file(Setup::new().external(clamd.address())).await;
        assert_downloads_go_on(&node, &file).await;
        let eicar = node.upload("a.txt", samples::eicar()).to_chat("42");
        assert_refused(eicar.by(&Operator::new()).await, Code::InvalidArgument, "INFECTED");
    }
}

#[tokio::test]
async fn without_antivirus_uploads_pass_though_no_scanner_is_there() {
    let setup = Setup::new().external("unix:/tmp/lhfile-it-nobody-listens").without_scanner();
    let node = Node::start(setup).await;
    node.put_chat("42").await;
    assert_refused(upload_fresh(&node).await, Code::Unavailable, "SCANNER_DOWN");
    node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = false).await.expect("a good value");
    let file = upload_fresh(&node).await.expect("no scan is due").file.expect("told");
    assert_eq!(file.verdict.expect("told").kind(), pb::VerdictKind::NotScanned);
}

#[tokio::test]
async fn orphaned_clamd_of_a_killed_server_is_ended_by_the_next_one() {
    let (mut node, _) = with_a_file(Setup::new()).await;
    let orphan = node.clamd_pid().expect("the data folder tells it");
    node.kill9();
    node.start_again().await;
    let state = std::fs::read_to_string(format!("/proc/{orphan}/status")).unwrap_or_default();
    assert!(state.is_empty() || state.contains("Z (zombie)"), "{state}");
    let own = node.clamd_pid().expect("its own");
    node.terminate().await;
    assert!(!std::path::Path::new(&format!("/proc/{own}")).exists(), "an orderly end takes it along");
}

#[tokio::test]
async fn these_tests_leave_nothing_of_a_server_that_they_killed() {
    let (mut node, _) = with_a_file(Setup::new()).await;
    let record = orphan::record(&node.data()).expect("a managed clamd is recorded");
    let folder = std::path::PathBuf::from(record["folder"].as_str().expect("a path"));
    let clamd = node.clamd_pid().expect("its own");
    node.kill9();
    assert!(folder.exists(), "a killed server leaves it");
    drop(node);
    let command = std::fs::read(format!("/proc/{clamd}/cmdline")).unwrap_or_default();
    assert!(!folder.exists() && command.is_empty(), "clamd lives on, or its folder does");
}
