//! Several clamd for one node: each killed in turn, both gone, one back.
//!
//! Not here: one scanner and its faults (`scanner_faults.rs`), who is asked first (unit tests of `app/scanning`).

use std::time::{Duration, Instant};

use tonic::Code;

use crate::harness::{Node, Operator, Setup, assert_refused, clamd::Clamd, pb, reason_of, samples};

async fn upload(node: &Node, number: u32) -> Result<pb::UploadFileResponse, tonic::Status> {
    let text = samples::text(2000, &format!("file {number}"));
    node.upload("a.txt", text).to_chat("42").by(&Operator::new()).await
}

/// Which of the scanners files are given to, once it is so.
async fn assert_in_use(node: &Node, wanted: [bool; 2]) {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let status = node.scanner_status().await.expect("an administrator may ask");
        let in_use: Vec<bool> = status.scanners.iter().map(|one| one.in_use).collect();
        if in_use == wanted {
            assert_eq!(status.healthy, wanted.contains(&true));
            assert!(status.scanners.iter().all(|one| one.in_use == one.reason.is_empty()), "{status:?}");
            return;
        }
        assert!(Instant::now() < until, "{in_use:?} are in use, and not {wanted:?}: {status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn uploads_go_on_while_each_scanner_is_killed_in_turn_and_stop_only_without_any() {
    let (mut first, mut second) = (Clamd::on_unix_socket().await, Clamd::on_tcp().await);
    let both = format!("{}, {}", first.address(), second.address());
    let node = Node::start(Setup::new().external(&both)).await;
    node.put_chat("42").await;
    assert_in_use(&node, [true, true]).await;

    first.kill9();
    for number in 0..5 {
        upload(&node, number).await.expect("the second one is there");
    }
    assert_in_use(&node, [false, true]).await;
    first.launch().await;
    assert_in_use(&node, [true, true]).await;

    // Stopped, it takes connections and says nothing.
    second.signal("STOP");
    for number in 5..10 {
        upload(&node, number).await.expect("the first one is there");
    }
    assert_in_use(&node, [true, false]).await;
    second.signal("CONT");
    assert_in_use(&node, [true, true]).await;

    first.kill9();
    second.kill9();
    let status = assert_refused(upload(&node, 10).await, Code::Unavailable, "SCANNER_DOWN");
    assert_eq!(reason_of(&status), "SCANNER_DOWN");
    assert_in_use(&node, [false, false]).await;
    second.launch().await;
    assert_in_use(&node, [false, true]).await;
    upload(&node, 11).await.expect("one is enough");
    assert_eq!(node.chat_files("42", &Operator::new()).await.expect("known").len(), 11);
    node.assert_consistent().await;
}
