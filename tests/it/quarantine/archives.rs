//! Archives with parts that no scanner looks into: a rescan thinks of them as an upload does.
//!
//! Not here: which archives are so (`src/adapters/content/zip`), and their uploads (`threats/content.rs`, `settings.rs`).

use super::*;
use crate::harness::{
    archives::{Member, zip},
    pb::AntivirusUnscannable,
    signatures::{EVERY_ZIP, EVERY_ZIP_TOLD},
};

/// The result of a file that is scanned at once, as the command line tells it.
fn rescan(node: &Node, file: &str) -> Value {
    let until = Instant::now() + SOON;
    loop {
        let ended = cli(node, &["scanner", "rescan", "--file", file]);
        if ended.code != Some(3) {
            return ended.object();
        }
        ended.refused("UNAVAILABLE", "SCANNER_DOWN");
        assert!(Instant::now() < until, "the scanner is not proved");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archive_that_an_upload_is_refused_for_is_not_called_clean_by_a_rescan_and_a_hit_in_it_counts() {
    let scanner = Learning::start().await;
    let node = Node::start(Setup::new().external(scanner.address())).await;
    node.put_chat("42").await;
    node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = false).await.expect("a good value");
    let odd = || zip(&[Member::stored("a.txt", b"packed by nobody knows what").by_method(97)]);
    let good = upload(&node, "good.zip", zip(&[Member::stored("a.txt", b"good")])).await.file_id;
    let bad = upload(&node, "odd.zip", odd()).await.file_id;
    node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = true).await.expect("a good value");

    let all = async |verdict| {
        served_as(&node, &good, Some(pb::VerdictKind::Clean)).await;
        let (told, cause) = (rescan(&node, &bad), "a member's compression method cannot be read");
        assert_eq!((&told["result"], &told["cause"]), (&json!("RESCAN_RESULT_UNSCANNABLE"), &json!(cause)), "{told}");
        served_as(&node, &bad, Some(verdict)).await;
    };
    all(pb::VerdictKind::NotScanned).await;
    // In the background, too.
    let number = scanner.knows(&[]).await;
    rescanned(&node, number).await;
    all(pb::VerdictKind::NotScanned).await;
    let again = node.upload("again.zip", odd()).to_chat("42").by(&Operator::new()).await;
    assert_refused(again, Code::InvalidArgument, "UNSCANNABLE");

    let accept = |s: &mut pb::Settings| s.set_antivirus_unscannable(AntivirusUnscannable::Accept);
    node.set(&["antivirus_unscannable"], accept).await.expect("a good value");
    served_as(&node, &bad, Some(pb::VerdictKind::UnscannableAccepted)).await;
    let number = scanner.knows(&[]).await;
    rescanned(&node, number).await;
    all(pb::VerdictKind::UnscannableAccepted).await;
    assert_eq!(states(&node), ["ACTIVE"; 2]);

    let number = scanner.knows(&[EVERY_ZIP.to_owned()]).await;
    rescanned(&node, number).await;
    for file in [&good, &bad] {
        served_as(&node, file, None).await;
        assert_eq!(rescan(&node, file)["signature"], json!(EVERY_ZIP_TOLD));
    }
    assert_eq!(states(&node), ["QUARANTINED"; 2]);
    node.assert_consistent().await;
}
