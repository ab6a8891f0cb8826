//! Moving: the tables, the database and the files, by the command as a person types it, beside servers that serve.
//!
//! `moving/program.rs` runs it, `moving/interrupted.rs` ends it in the middle, `moving/whole.rs` moves ten thousand files
//! while uploads go on. Both engines and both stores, whatever the pair. Not here: rows one by one
//! (`src/adapters/sql/tests/copies.rs`).

mod interrupted;
mod program;
mod whole;

use std::fs;

use program::{in_bucket, migrate, moved_to};

use crate::{
    cli::program::lhfile,
    harness::{
        Bucket, Node, Operator, Setup, place::new_folder, postgres::cluster, reason_of, samples, setup::new_database,
    },
};

/// A server with a few files: shared bytes, several chats, a deleted one, a request id; and the ids of those that are there.
async fn with_files(setup: Setup) -> (Node, Vec<(String, Vec<u8>)>) {
    let node = Node::start(setup.without_scanner()).await;
    let off = node.set(&["antivirus_enabled"], |s| s.antivirus_enabled = false).await;
    assert!(!off.expect("the backend may").antivirus_enabled);
    let operator = Operator::new();
    let mut files = Vec::new();
    for n in 0..12 {
        let chat = format!("{}", n % 3);
        node.put_chat(&chat).await;
        let bytes = samples::text(1_000 + n / 2, &format!("moved {}", n / 2));
        let upload = node.upload("a.txt", bytes.clone()).to_chat(&chat).request_id(&format!("r{n}"));
        files.push((upload.passes_by(&operator).await.file_id, bytes));
    }
    let (gone, _) = files.pop().expect("twelve");
    node.delete(&gone, &Operator::with(&["use_operator", "file_delete"])).await.expect("its own");
    (node, files)
}

async fn serves(node: &Node, files: &[(String, Vec<u8>)]) {
    let operator = Operator::new();
    for (id, bytes) in files {
        let back = node.download(id, &operator).await.unwrap_or_else(|e| panic!("{id}: {e:?}"));
        assert_eq!(&back.bytes, bytes, "{id}");
    }
}

/// It runs where it was moved to: serves all, is read_only until that is lifted, and then takes uploads.
async fn lives(node: &mut Node, files: &[(String, Vec<u8>)]) {
    node.start_again().await;
    serves(node, files).await;
    let upload = node.upload("b.txt", samples::text(500, "new")).to_chat("0");
    let status = upload.by(&Operator::new()).await.expect_err("read_only");
    assert_eq!(crate::harness::reason_of(&status), "READ_ONLY");
    node.set(&["read_only"], |s| s.read_only = false).await.expect("the backend may");
    upload.passes_by(&Operator::new()).await;
    node.assert_consistent().await;
}

#[test]
fn schema_is_checked_and_made_on_both_engines() {
    let folder = new_folder();
    let secret = folder.join("secret-of-all");
    fs::write(&secret, "5e".repeat(32)).expect("our own folder");
    let url = cluster().url(&new_database(cluster()));
    let secret = secret.to_string_lossy().into_owned();
    let postgres = [("LHFILE_DATABASE_URL", url.as_str()), ("LHFILE_SECRET_FILE", secret.as_str())];
    for env in [&[][..], &postgres[..]] {
        let run = |words: &[&str]| {
            let words = [&["migrate", "schema", "--data-dir", "data"], words].concat();
            let ended = lhfile(&words, env, &folder);
            (ended.code, ended.text(), ended.err)
        };
        let (code, out, err) = run(&["--check"]);
        assert!(code == Some(1) && out.contains("to be done: 00000000000001_files"), "{out}{err}");
        assert_eq!(run(&["--check"]).0, Some(1), "nothing was changed");
        let (code, out, err) = run(&[]);
        assert!(code == Some(0) && out.contains("done: 00000000000001_files"), "{out}{err}");
        for words in [&["--check"][..], &[][..]] {
            let (code, out, err) = run(words);
            assert!(code == Some(0) && out.contains("nothing is to be done"), "{out}{err}");
        }
    }
}

#[tokio::test]
async fn database_goes_to_the_other_engine_and_back_beside_its_server() {
    let (mut node, files) = with_files(Setup::on_disk().on_sqlite()).await;
    let name = new_database(cluster());
    let url = cluster().url(&name);
    let prepared = migrate(&node, &["database", "--to", &url, "--prepare"]);
    assert_eq!((prepared.code, moved_to(&prepared)), (Some(0), "prepared".to_owned()), "{}", prepared.err);
    // Rows come and go while it is copied.
    let operator = Operator::new();
    node.put_chat("9").await;
    node.upload("c.txt", samples::text(10, "later")).to_chat("9").passes_by(&operator).await;
    assert!(node.change("DELETE FROM attachments WHERE chat_id = '1'") > 0);
    let events = node.texts("SELECT seq || kind AS t FROM events ORDER BY seq");

    let ended = migrate(&node, &["database", "--to", &url, "--yes"]);
    assert_eq!((ended.code, moved_to(&ended)), (Some(0), "switched".to_owned()), "{}", ended.err);
    assert_eq!(node.number("SELECT count(*) AS n FROM settings WHERE key = 'read_only' AND value = 'true'"), 1);
    assert_eq!(cluster().psql(&name, "SELECT count(*) FROM attachments WHERE chat_id = '1'"), ["0"]);
    let copied = cluster().psql(&name, "SELECT seq || kind FROM events ORDER BY seq");
    assert_eq!(copied[..events.len()], events[..], "in the order in which they happened");
    assert!(copied.last().is_some_and(|last| last.contains("SETTINGS_UPDATED")), "{copied:?}");
    let actor = "SELECT person_id FROM settings_history WHERE key = 'read_only'";
    assert_eq!(cluster().psql(&name, actor), ["lhfile-migrate"]);
    serves(&node, &files).await;

    let again = migrate(&node, &["database", "--to", &url, "--yes"]);
    assert_eq!((again.code, moved_to(&again)), (Some(0), "moved before".to_owned()), "{}", again.err);

    node.terminate().await;
    node.move_to_database(Some(&name));
    lives(&mut node, &files).await;
    let numbers = cluster().psql(&name, "SELECT max(number) >= 4294967296 + 13 FROM files");
    assert_eq!(numbers, ["t"], "numbers go on where they were");

    // Both were used since: neither is written over.
    let back = migrate(&node, &["database", "--to", "sqlite", "--yes"]);
    assert!(back.code == Some(1) && back.err.contains("not written to"), "{}", back.err);
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(node.data().join(format!("lhfile.db{end}")));
    }
    let back = migrate(&node, &["database", "--to", "sqlite", "--yes"]);
    assert_eq!((back.code, moved_to(&back)), (Some(0), "switched".to_owned()), "{}", back.err);
    node.terminate().await;
    node.move_to_database(None);
    lives(&mut node, &files).await;
}

#[tokio::test]
async fn database_of_another_store_is_refused_and_so_is_its_own() {
    let (node, _) = with_files(Setup::on_disk().on_sqlite()).await;
    let (other, _) = with_files(Setup::on_disk().on_postgres()).await;
    let url = cluster().url(other.postgres().expect("on PostgreSQL").1);
    let before = other.texts("SELECT id AS t FROM chats ORDER BY id");
    let refused = migrate(&node, &["database", "--to", &url, "--yes"]);
    assert!(refused.code == Some(1) && refused.err.contains("name an empty one"), "{}", refused.err);
    assert_eq!(other.texts("SELECT id AS t FROM chats ORDER BY id"), before);
    assert_eq!(node.number("SELECT count(*) AS n FROM settings WHERE key = 'read_only'"), 0, "not even begun");
    let own = migrate(&node, &["database", "--to", "sqlite", "--yes"]);
    assert!(own.code == Some(1) && own.err.contains("the same database"), "{}", own.err);
    let strange = migrate(&node, &["database", "--to", "mysql://x", "--yes"]);
    assert_eq!(strange.code, Some(2), "{}", strange.err);
    let unasked = migrate(&node, &["database", "--to", &url]);
    assert!(unasked.code == Some(2) && unasked.err.contains("--yes"), "{}", unasked.err);

    let newer = new_database(cluster());
    let to = cluster().url(&newer);
    assert_eq!(migrate(&node, &["database", "--to", &to, "--prepare"]).code, Some(0));
    cluster().psql(&newer, "INSERT INTO __diesel_schema_migrations (version) VALUES ('00000000009999')");
    let refused = migrate(&node, &["database", "--to", &to, "--yes"]);
    assert!(refused.code == Some(1) && refused.err.contains("newer version"), "{}", refused.err);
}

#[tokio::test]
async fn files_go_to_a_bucket_and_back_and_the_old_store_is_refused() {
    let (mut node, files) = with_files(Setup::on_disk()).await;
    let bucket = Bucket::new();
    let s3 = in_bucket(&node, &bucket);
    let words = ["blobs", "--to", &bucket.url(), "--to-config", &s3];
    let prepared = migrate(&node, &[&words[..], &["--prepare"]].concat());
    assert_eq!((prepared.code, moved_to(&prepared)), (Some(0), "prepared".to_owned()), "{}", prepared.err);
    let later = samples::text(9 << 20, "in parts");
    let id = node.upload("c.txt", later.clone()).to_chat("0").passes_by(&Operator::new()).await.file_id;
    let files = [files, vec![(id, later)]].concat();
    let ended = migrate(&node, &[&words[..], &["--yes", "--verify"]].concat());
    assert_eq!((ended.code, moved_to(&ended)), (Some(0), "switched".to_owned()), "{}", ended.err);
    serves(&node, &files).await;
    let again = migrate(&node, &[&words[..], &["--yes"]].concat());
    assert_eq!((again.code, moved_to(&again)), (Some(0), "moved before".to_owned()), "{}", again.err);

    // A node that was not restarted lets nothing in, whoever lifts read_only.
    node.set(&["read_only"], |s| s.read_only = false).await.expect("the backend may");
    let upload = node.upload("late.txt", samples::text(1_000, "late")).to_chat("0");
    assert_eq!(reason_of(&upload.by(&Operator::new()).await.expect_err("it is the old store")), "READ_ONLY");
    serves(&node, &files).await;
    assert!(node.log().contains("moved to another store"), "{}", node.log());
    node.set(&["read_only"], |s| s.read_only = true).await.expect("the backend may");

    node.terminate().await;
    let said = node.refuses_to_start().await;
    assert!(said.contains(&bucket.url()), "it names the new place: {said}");
    node.move_to(&bucket, bucket.address());
    lives(&mut node, &files).await;

    // The old store is in the way, and is not taken for an empty place.
    let data = node.data();
    let to = format!("file://{}", data.display());
    let refused = migrate(&node, &["blobs", "--to", &to, "--yes"]);
    assert!(refused.code == Some(1) && refused.err.contains("empty place"), "{}", refused.err);
    fs::remove_dir_all(data.join("blobs")).expect("our own folder");
    let back = migrate(&node, &["blobs", "--to", &to, "--yes"]);
    assert_eq!((back.code, moved_to(&back)), (Some(0), "switched".to_owned()), "{}", back.err);
    node.terminate().await;
    node.move_to_disk();
    lives(&mut node, &files).await;
}

#[tokio::test]
async fn damaged_and_missing_bytes_are_told_and_stop_no_others() {
    let (mut node, files) = with_files(Setup::on_disk()).await;
    let mut stored = node.stored();
    let (damaged, missing) = (stored.pop().expect("six"), stored.pop().expect("six"));
    fs::write(damaged.path(), vec![b'x'; usize::try_from(damaged.size).expect("small")]).expect("our own folder");
    fs::remove_file(missing.path()).expect("our own folder");
    let bucket = Bucket::new();
    let s3 = in_bucket(&node, &bucket);
    let ended = migrate(&node, &["blobs", "--to", &bucket.url(), "--to-config", &s3, "--yes"]);
    assert_eq!((ended.code, moved_to(&ended)), (Some(1), "switched".to_owned()), "{}", ended.err);
    let told = ended.text();
    assert!(told.contains(&damaged.name) && told.contains(&missing.name), "{told}");
    assert!(told.contains("SHA-256") && told.contains("not there"), "{told}");
    assert_eq!(bucket.objects().len(), stored.len());
    node.terminate().await;
    node.move_to(&bucket, bucket.address());
    node.start_again().await;
    let mut lost = 0;
    for (id, bytes) in &files {
        match node.download(id, &Operator::new()).await {
            Ok(back) => assert_eq!(&back.bytes, bytes),
            Err(_) => lost += 1,
        }
    }
    assert!((3..=4).contains(&lost), "two share each blob, one of all is deleted: {lost}");
}

#[tokio::test]
async fn place_that_is_not_empty_is_refused_untouched() {
    let (node, _) = with_files(Setup::on_disk()).await;
    let bucket = Bucket::new();
    bucket.write("notes.txt", b"somebody's");
    let s3 = in_bucket(&node, &bucket);
    let refused = migrate(&node, &["blobs", "--to", &bucket.url(), "--to-config", &s3, "--yes"]);
    assert!(refused.code == Some(1) && refused.err.contains("notes.txt"), "{}", refused.err);
    assert_eq!(bucket.objects(), [("notes.txt".to_owned(), 10)]);

    let folder = new_folder();
    fs::create_dir_all(folder.join("blobs/00000000")).expect("our own folder");
    std::os::unix::fs::symlink("/etc", folder.join("blobs/11111111")).expect("our own folder");
    let to = format!("file://{}", folder.display());
    let refused = migrate(&node, &["blobs", "--to", &to, "--yes"]);
    assert!(refused.code == Some(1) && refused.err.contains("symlink"), "{}", refused.err);

    let wrong = fs::read_to_string(&s3).expect("ours").replace("0123456789abcdef0123", "ffffffffffffffffffff");
    fs::write(&s3, wrong).expect("our own folder");
    let refused = migrate(&node, &["blobs", "--to", &Bucket::new().url(), "--to-config", &s3, "--yes"]);
    assert!(refused.code == Some(1) && refused.err.contains("the target"), "{}", refused.err);
    assert_eq!(node.number("SELECT count(*) AS n FROM settings WHERE key = 'read_only'"), 0, "not even begun");
    assert!(!node.data().join("moving").exists(), "and nothing is left of it");
}
