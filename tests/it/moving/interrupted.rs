//! A move that is killed or interrupted: nobody serves what is half there, and the next run goes on.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::{
    in_bucket, lives,
    program::{begin, migrate, moved_to},
    serves, with_files,
};
use crate::harness::{Bucket, Operator, Setup, postgres::cluster, samples, setup::new_database, upload};

#[tokio::test]
async fn copy_of_a_database_that_was_killed_is_served_by_nobody_and_goes_on() {
    let (mut node, files) = with_files(Setup::on_disk().on_sqlite()).await;
    let name = new_database(cluster());
    let to = ["database", "--to", &cluster().url(&name), "--yes"];
    for point in ["M-begun", "M-rows", "M-closed", "M-compared"] {
        begin(&node, &to, Some(point)).killed_where_it_stops(&node);
        let read_only = node.number("SELECT count(*) AS n FROM settings WHERE key = 'read_only' AND value = 'true'");
        assert_eq!(read_only > 0, ["M-closed", "M-compared"].contains(&point), "{point}");
        serves(&node, &files).await;
        if read_only > 0 {
            node.set(&["read_only"], |s| s.read_only = false).await.expect("the backend may");
        }
        node.terminate().await;
        node.move_to_database(Some(&name));
        let said = node.refuses_to_start().await;
        assert!(said.contains("an incomplete copy") && said.contains("lhfile migrate database"), "{point}: {said}");
        node.move_to_database(None);
        node.start_again().await;
    }
    let ended = migrate(&node, &to);
    assert_eq!((ended.code, moved_to(&ended)), (Some(0), "switched".to_owned()), "{}", ended.err);
    node.terminate().await;
    node.move_to_database(Some(&name));
    lives(&mut node, &files).await;
}

#[tokio::test]
async fn copy_of_files_that_was_killed_goes_on() {
    let (mut node, files) = with_files(Setup::on_disk()).await;
    let bucket = Bucket::new();
    let s3 = in_bucket(&node, &bucket);
    let to = ["blobs", "--to", &bucket.url(), "--to-config", &s3, "--yes"];
    let large = samples::text(20 << 20, "in parts");
    let id = node.upload("c.txt", large.clone()).to_chat("0").passes_by(&Operator::new()).await.file_id;
    let files = [files, vec![(id, large)]].concat();
    for point in ["U9-part", "M-bytes", "M-closed", "M-filled"] {
        begin(&node, &to, Some(point)).killed_where_it_stops(&node);
        node.set(&["read_only"], |s| s.read_only = false).await.expect("the backend may");
        node.restart().await;
        serves(&node, &files).await;
        if point == "U9-part" {
            assert_eq!(bucket.multiparts().len(), 1, "what a kill leaves");
        }
    }
    // Killed after the database was told: the target is opened by the next run, and nobody starts on it before.
    begin(&node, &to, Some("M-changed")).killed_where_it_stops(&node);
    assert_eq!(bucket.multiparts(), [] as [String; 0]);
    node.terminate().await;
    node.move_to(&bucket, bucket.address());
    let said = node.refuses_to_start().await;
    assert!(said.contains("killed before its last step") && said.contains("lhfile migrate blobs"), "{said}");
    node.move_to_disk();
    let ended = migrate(&node, &to);
    assert_eq!((ended.code, moved_to(&ended)), (Some(0), "moved before".to_owned()), "{}", ended.err);
    node.move_to(&bucket, bucket.address());
    lives(&mut node, &files).await;
}

#[tokio::test]
async fn store_in_service_is_not_filled_again_by_an_older_state_of_its_database() {
    let (mut node, files) = with_files(Setup::on_disk().on_sqlite()).await;
    node.terminate().await;
    let database = node.database();
    // With its log, if the end left one: rows may still be in it, and a log must not come to another state of them.
    let parts = ["", "-wal", "-shm"].map(|end| {
        let with = |of: &Path| PathBuf::from(format!("{}{end}", of.display()));
        (with(&database), with(&node.folder().join("older")))
    });
    for (now, older) in parts.iter().filter(|(now, _)| now.exists()) {
        fs::copy(now, older).expect("our own folder");
    }
    node.start_again().await;
    let bucket = Bucket::new();
    let s3 = in_bucket(&node, &bucket);
    let to = ["blobs", "--to", &bucket.url(), "--to-config", &s3, "--yes"];
    let ended = migrate(&node, &to);
    assert_eq!((ended.code, moved_to(&ended)), (Some(0), "switched".to_owned()), "{}", ended.err);
    node.terminate().await;
    node.move_to(&bucket, bucket.address());
    lives(&mut node, &files).await;
    node.terminate().await;
    let in_service = bucket.objects();

    for (now, older) in &parts {
        let _ = fs::remove_file(now);
        let _ = fs::rename(older, now);
    }
    node.move_to_disk();
    let refused = migrate(&node, &to);
    assert!(refused.code == Some(1) && refused.err.contains("in service"), "{}", refused.err);
    assert_eq!(bucket.objects(), in_service, "nothing was removed");
}

#[tokio::test]
async fn two_moves_of_one_database_do_not_meet() {
    let (node, _) = with_files(Setup::on_disk().on_postgres()).await;
    let to = cluster().url(&new_database(cluster()));
    let words = ["database", "--to", &to, "--yes"];
    let mut first = begin(&node, &words, Some("M-rows"));
    first.wait_where_it_stops(&node);
    // From another machine: nothing but the database is common.
    let elsewhere = node.folder().join("elsewhere").display().to_string();
    fs::create_dir(&elsewhere).expect("our own folder");
    let second = migrate(&node, &[&words[..], &["--data-dir", &elsewhere]].concat());
    assert!(second.code == Some(1) && second.err.contains("another move"), "{}", second.err);
    first.killed_where_it_stops(&node);
}

#[tokio::test]
async fn switch_waits_for_uploads_and_whoever_interrupts_it_gets_read_only_back() {
    let (node, _) = with_files(Setup::on_disk().on_sqlite()).await;
    let to = ["database", "--to", &cluster().url(&new_database(cluster())), "--yes"];
    let bytes = samples::text(600_000, "slow");
    let messages = node.upload("slow.txt", bytes).to_chat("0").messages();
    let last = messages.len() - 1;
    let (parts, sent) = tokio::sync::mpsc::channel(1);
    let operator = Operator::new();
    let answer = node.send_upload(&operator, ReceiverStream::new(sent).map(|message| message));
    let conversation = async {
        for message in &messages[..last] {
            parts.send(message.clone()).await.expect("it is read");
        }
        // Its intent is written by then.
        while node.number("SELECT count(*) AS n FROM uploads WHERE file_id IS NULL") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut running = begin(&node, &to, None);
        let running = tokio::task::spawn_blocking(move || {
            running.wait_to_say("waiting for the end of 1 uploads");
            running
        });
        let running = running.await.expect("no panic inside");
        let refused = node.upload("b.txt", samples::text(50, "no")).to_chat("0").by(&operator).await;
        assert_eq!(crate::harness::reason_of(&refused.expect_err("read_only")), "READ_ONLY");
        let (code, said) = running.ended_by("INT");
        assert!(code == Some(1) && said.contains("read_only is off again"), "{code:?} {said}");

        // Begun again, it comes to its end with the upload: what is committed in the switch is refused, and gone.
        let mut running = begin(&node, &to, None);
        let running = tokio::task::spawn_blocking(move || {
            running.wait_to_say("waiting for the end of 1 uploads");
            running
        });
        let running = running.await.expect("no panic inside");
        parts.send(upload::commit(Default::default())).await.expect("it is read");
        drop(parts);
        running
    };
    let (answer, running) = tokio::join!(answer, conversation);
    assert_eq!(crate::harness::reason_of(&answer.expect_err("read_only")), "READ_ONLY");
    let (code, said) = running.ended_within(Duration::from_secs(60));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("THE SAME ON BOTH SIDES") && said.contains("database_url"), "{said}");
    let url = to[2];
    let name = url.rsplit('/').next().expect("a name");
    let left =
        "SELECT count(*) FROM uploads WHERE file_id IS NULL UNION ALL SELECT count(*) FROM files WHERE size = 600000";
    assert_eq!(cluster().psql(name, left), ["0", "0"]);
}
