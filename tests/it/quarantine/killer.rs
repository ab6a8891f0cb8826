//! Files that the scanner does not survive: sent to it twice, and never again.
//!
//! Not here: a scanner that fails by itself (`scanner_faults.rs`).

use super::*;
use crate::harness::{
    grudging::{BREAK, Grudging},
    refusal::reason_of,
};

#[tokio::test(flavor = "multi_thread")]
async fn file_that_the_scanner_does_not_survive_twice_is_unscannable_also_after_a_restart() {
    let scanner = Grudging::start().await;
    let mut node = Node::start(Setup::new().external(scanner.address())).await;
    node.put_chat("42").await;
    let killer = samples::text(500, BREAK);
    // Before it is known that the scanner works again nobody is blamed.
    let refused = async |node: &Node| {
        let refused = node.upload("bad.txt", killer.clone()).to_chat("42").by(&Operator::new()).await;
        let status = refused.expect_err("it is refused");
        let is_known = status.code() == Code::InvalidArgument;
        let told = if is_known { "UNSCANNABLE" } else { "SCANNER_DOWN" };
        assert_eq!(reason_of(&status), told, "{status:?}");
        is_known
    };
    for start in 0..2 {
        if start == 1 {
            node.restart().await;
        }
        let until = Instant::now() + SOON;
        while !refused(&node).await {
            assert!(start == 1 || scanner.broke_off() > 0, "it was not sent at all");
            assert!(Instant::now() < until, "it stays without an answer: sent {} times", scanner.broke_off());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(scanner.broke_off(), 2, "it is not sent a third time");
    }
    assert_eq!(node.number("SELECT count(*) AS n FROM files"), 0);
    // Others are judged, as ever.
    upload(&node, "good.txt", samples::text(500, "good")).await;
    node.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_file_that_the_scanner_does_not_survive_is_tried_twice_and_the_rescan_goes_on() {
    let scanner = Grudging::start().await;
    let mut node = Node::start(Setup::new().external(scanner.address())).await;
    node.put_chat("42").await;
    node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = false).await.expect("a good value");
    let good = upload(&node, "good.txt", samples::text(500, "good")).await.file_id;
    let killer = upload(&node, "bad.txt", samples::text(500, BREAK)).await.file_id;
    let infected = upload(&node, "eicar.txt", samples::eicar()).await.file_id;
    node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = true).await.expect("a good value");
    served_as(&node, &infected, None).await;
    served_as(&node, &good, Some(pb::VerdictKind::Clean)).await;
    once(&node, "the end", |p| p.end_time.is_some()).await;
    assert_eq!(scanner.broke_off(), 2);

    node.restart().await;
    let told = cli(&node, &["scanner", "rescan", "--file", &killer]).object();
    assert_eq!(told["result"], json!("RESCAN_RESULT_UNSCANNABLE"), "{told}");
    assert!(told["cause"].as_str().is_some_and(|cause| !cause.is_empty()), "{told}");
    assert_eq!(scanner.broke_off(), 2, "it is not sent a third time");
    // It is served as before: nothing says that it is infected.
    served_as(&node, &killer, Some(pb::VerdictKind::NotScanned)).await;
    assert!(node.scanner_status().await.expect("an administrator may ask").healthy);
    node.assert_consistent().await;
}
