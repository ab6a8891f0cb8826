//! What an administrator asks to be scanned again: a file, the files of a chat, all.
//!
//! Not here: who may (`matrix/quarantine.rs`).

use super::*;
use crate::harness::calls::request;

fn results(ended: &Ended) -> Vec<(String, String, String)> {
    let text = |file: &Value, field: &str| file[field].as_str().expect("text").to_owned();
    let lines = ended.lines();
    lines.iter().map(|file| (text(file, "file_id"), text(file, "result"), text(file, "signature"))).collect()
}

fn one(file: &str, result: &str, signature: &str) -> (String, String, String) {
    (file.to_owned(), format!("RESCAN_RESULT_{result}"), signature.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn file_and_chat_are_scanned_at_once_and_all_in_the_background() {
    let scanner = Learning::start().await;
    let nodes = nodes(&scanner).await;
    let node = &nodes[0];
    let bad = upload(node, "marked.txt", marked("one")).await.file_id;
    let good = upload(node, "good.txt", samples::text(900, "good")).await.file_id;
    // While it proves the scanner with new signatures it says so.
    let rescan = |words: &[&str]| {
        let until = Instant::now() + SOON;
        loop {
            let ended = cli(node, &[&["scanner", "rescan"][..], words].concat());
            if ended.code != Some(3) {
                return ended;
            }
            ended.refused("UNAVAILABLE", "SCANNER_DOWN");
            assert!(Instant::now() < until, "the scanner is not proved");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    assert_eq!(results(&rescan(&["--file", &good])), [one(&good, "CLEAN", "")]);

    scanner.knows(&[marker()]).await;
    // As soon as the server knows of them, whether the rescan of all has come to it or not.
    let until = Instant::now() + SOON;
    while results(&rescan(&["--file", &bad])) != [one(&bad, "QUARANTINED", MARKED)] {
        assert!(Instant::now() < until, "it is not found");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    served_as(node, &bad, None).await;
    let mut chat = results(&rescan(&["--chat", "42"]));
    chat.sort_unstable();
    let mut wanted = vec![one(&bad, "QUARANTINED", MARKED), one(&good, "CLEAN", "")];
    wanted.sort_unstable();
    assert_eq!(chat, wanted, "also what is in quarantine");

    let number = scanner.knows(&[]).await;
    rescanned(node, number).await;
    assert!(rescan(&["--all"]).object()["target_signatures"].as_str().is_some_and(|t| !t.is_empty()));
    once(node, "the end", |p| p.end_time.is_some()).await;
    assert_eq!(results(&rescan(&["--file", &bad])), [one(&bad, "CLEAN", "")]);

    node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = false).await.expect("a good value");
    assert_eq!(results(&rescan(&["--file", &good])), [one(&good, "NOT_SCANNED", "")]);
    node.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_not_to_be_reached_is_not_scanned() {
    let scanner = Learning::start().await;
    let node = Node::start(Setup::new().external(scanner.address())).await;
    node.put_chat("42").await;
    let file = upload(&node, "a.txt", samples::text(900, "a")).await.file_id;
    let ask = async |caller: &Service, what| {
        use pb::rescan_request::What;
        let (what, confirm_signature) = match what {
            "file" => (What::FileId(file.clone()), String::new()),
            "never" => (What::FileId("a".repeat(26)), String::new()),
            "unknown" => (What::ChatId("unknown".to_owned()), String::new()),
            "confirmed file" => (What::FileId(file.clone()), MARKED.to_owned()),
            "nothing" => (What::All(false), String::new()),
            _ => (What::All(true), String::new()),
        };
        let rescan = pb::RescanRequest { what: Some(what), confirm_signature };
        node.maintenance().rescan(request(caller, rescan)).await.map(tonic::Response::into_inner)
    };
    let all = Service::all();
    assert_refused(ask(&all, "never").await, Code::NotFound, "NOT_FOUND");
    assert_refused(ask(&all, "unknown").await, Code::NotFound, "CHAT_UNKNOWN");
    assert_refused(ask(&all, "nothing").await, Code::InvalidArgument, "BAD_ARGUMENT");
    assert_refused(ask(&all, "confirmed file").await, Code::InvalidArgument, "BAD_ARGUMENT");
    let bounded = Service::with(&["maintenance_run"]).of_chats(&["42"]);
    for what in ["file", "all"] {
        assert_refused(ask(&bounded, what).await, Code::PermissionDenied, "MISSING_PERMISSION");
    }
    assert_eq!(ask(&all, "file").await.expect("the backend may").files.len(), 1);
}
