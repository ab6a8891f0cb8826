//! Bytes that are known to be infected, whatever the antivirus does now; and how to be rid of them.
//!
//! Not here: purging as such (`purge.rs`), the word of an administrator that they are not (`quarantine.rs`).

use super::*;

/// A file in quarantine.
async fn infected(node: &Node, scanner: &Learning, bytes: Vec<u8>) -> String {
    let file = upload(node, "marked.txt", bytes).await.file_id;
    scanner.knows(&[marker()]).await;
    served_as(node, &file, None).await;
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn known_infected_bytes_are_refused_also_while_the_antivirus_is_off_unless_they_are_released() {
    let scanner = Learning::start().await;
    let nodes = nodes(&scanner).await;
    let node = &nodes[0];
    // In an object store the larger one goes up in parts.
    let large = || samples::text(9 << 20, &format!("{MARKER}, large"));
    let first = infected(node, &scanner, marked("one")).await;
    assert_infected(node, large()).await;
    node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = false).await.expect("a good value");
    let eventually_off = async |node: &Node| {
        let until = Instant::now() + SOON;
        loop {
            // Another node hears of it within seconds.
            let plain = upload(node, "plain.txt", samples::text(900, "plain")).await;
            if plain.verdict.expect("told").kind() == pb::VerdictKind::NotScanned {
                break;
            }
            assert!(Instant::now() < until, "it is on still");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    // What was never found is not known.
    let unknown = || marked("never seen");
    for node in &nodes {
        eventually_off(node).await;
        assert_infected(node, marked("one")).await;
        assert_infected(node, large()).await;
        let by_id = node.upload("again.txt", marked("one")).to_chat("42").request_id("r1");
        assert_refused(by_id.by(&Operator::new()).await, Code::InvalidArgument, "INFECTED");
        let new = upload(node, "new.txt", unknown()).await;
        assert_eq!(new.verdict.expect("told").kind(), pb::VerdictKind::NotScanned);
        served_as(node, &first, None).await;
    }

    let words = ["quarantine", "release", "--signature", MARKED, "--reason", "false alarm, case 8"];
    let release = cli(node, &words).object()["release"]["number"].to_string();
    for node in &nodes {
        served_as(node, &first, Some(pb::VerdictKind::Released)).await;
        for bytes in [marked("one"), large()] {
            let again = upload(node, "again.txt", bytes).await;
            assert_eq!(again.verdict.expect("told").kind(), pb::VerdictKind::Released);
        }
    }
    cli(node, &["quarantine", "end", &release]).object();
    for node in &nodes {
        assert_infected(node, large()).await;
    }
    let ignore = |s: &mut pb::Settings| s.ignored_signatures = vec![MARKED.to_owned()];
    node.set(&["ignored_signatures"], ignore).await.expect("a good value");
    let again = upload(node, "again.txt", marked("one")).await;
    assert_eq!(again.verdict.expect("told").kind(), pb::VerdictKind::Released);
    node.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn infected_file_is_purged_by_the_id_that_the_quarantine_tells_as_its_list_says() {
    let scanner = Learning::start().await;
    let nodes = nodes(&scanner).await;
    let node = &nodes[0];
    let file = infected(node, &scanner, marked("one")).await;
    let (address, token) = (node.address().to_string(), Service::all().token());
    let people = lhfile(&["quarantine", "ls"], &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], node.folder());
    assert!(people.err.contains("lhfile purge FILE_ID"), "{people:?}");
    let told = cli(node, &["quarantine", "ls"]).object()["file_ids"][0].clone();
    assert_eq!(told, json!(file));

    let removed = cli(node, &["rm", &file]);
    assert!(removed.code != Some(0) && format!("{removed:?}").contains("NOT_FOUND"), "{removed:?}");
    assert_eq!(states(node), ["QUARANTINED"]);
    // A store may be late with a put, which is waited for.
    node.set_deletes_back(1);
    let purged = cli(node, &["purge", "--yes", &file]);
    assert_eq!((purged.code, &purged.object()["file_id"]), (Some(0), &told), "{purged:?}");
    assert!(cli(node, &["quarantine", "ls"]).lines().is_empty());
    assert_eq!(states(node), [""; 0]);
    // It is remembered what they were.
    assert_infected(node, marked("one")).await;
    node.assert_consistent().await;
}
