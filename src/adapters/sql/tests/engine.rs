//! What is the engine's own: group commit, an orderly end, durability, callers that go away.
//!
//! Not here: the world they are tried in (`super`) and the query plans (`plans.rs`).

use std::{sync::Arc, time::Instant};

use futures_util::future::join_all;

use super::*;
use crate::{
    domain::{
        Event, EventKind, Reason,
        listing::{FileQuery, Total},
    },
    ports::{FileStore, StoreError, UploadStore},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_body_among_many_leaves_the_others_and_nothing_of_itself() {
    let w = world();
    let caller = operator("17", &[], &[]);
    let upload = Upload::to(Target::Library);
    let mut commits = Vec::new();
    for i in 0..64_u64 {
        let intent = w.started(&caller, &upload).await;
        let mut commit = w.commit(&caller, &upload, intent);
        if i == 20 {
            commit.intent.id = -1;
        }
        if i == 40 {
            // Fails in its second write: the blob's row must go with it.
            let first: &Commit = &commits[0];
            commit.file_id = first.file_id;
        }
        commits.push(commit);
    }
    let keys: Vec<_> = commits.iter().map(|c| c.intent.key).collect();
    let none = |key| Intent { id: -2, key };
    let answers = join_all(commits.into_iter().map(|commit| w.store.commit_upload(commit))).await;
    for (i, answer) in answers.into_iter().enumerate() {
        let published = w.store.fence_upload(none(keys[i])).await.expect("looks");
        match i {
            20 => assert_eq!(reason(answer), Reason::Fenced),
            40 => assert!(matches!(answer, Err(Stop::Failed(StoreError::Duplicate(_)))), "{answer:?}"),
            _ => drop(ready(answer.expect("commits"))),
        }
        assert_eq!(published, i != 20 && i != 40, "{i}");
    }
    assert_eq!(w.events().len(), 62);
}

#[tokio::test]
async fn a_file_outlives_the_store_and_an_ended_store_is_unavailable() {
    let w = world();
    let caller = operator("17", &[], &[]);
    let view = w.upload(&caller, &Upload::to(Target::Library)).await;
    let World { store, dir, .. } = w;
    drop(store);
    let again = open(&dir);
    let found = crate::ports::FileStore::find_file(&again, FileRef::Id(view.file.id), &caller).await.expect("finds");
    assert_eq!(found, Some(view));
    let queued = again.record(Event::new(EventKind::ChatPut, Actor::SYSTEM), Time(1));
    let (queued, ()) = tokio::join!(queued, again.close());
    queued.expect("what was asked before the end is done");
    let late = again.record(Event::new(EventKind::ChatPut, Actor::SYSTEM), Time(1)).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))));
    // The first store's threads end on their own; whoever is last folds the log in.
    for _ in 0..100 {
        if !dir.path().join("lhfile.sqlite-wal").exists() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("closed in order, and the log is not folded in");
}

/// A second life on what a kill would leave now of the database in `dir`.
fn killed(dir: &tempfile::TempDir) -> (SqliteStore, tempfile::TempDir) {
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["lhfile.sqlite", "lhfile.sqlite-wal"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).expect("copied");
    }
    (open(&copy), copy)
}

#[tokio::test]
async fn a_commit_that_failed_does_not_come_back_once_its_intent_is_fenced() {
    use std::os::unix::fs::FileExt as _;
    let w = world();
    let caller = operator("17", &[], &[]);
    let upload = Upload::to(Target::Library);
    let intent = w.started(&caller, &upload).await;
    let commit = w.commit(&caller, &upload, intent);
    let file = FileRef::Id(commit.file_id);
    let log = w.dir.path().join("lhfile.sqlite-wal");
    let before = std::fs::read(&log).expect("a log");
    // The pages that this very commit writes, made by another life on the same log.
    let (twin, twins) = killed(&w.dir);
    twin.commit_upload(commit).await.expect("commits");
    let written = std::fs::read(twins.path().join("lhfile.sqlite-wal")).expect("a log");
    assert!(written.starts_with(&before) && written.len() > before.len());
    // They reached the log, and then its sync failed: the engine tells a failure and goes on before them.
    let log = std::fs::OpenOptions::new().write(true).open(&log).expect("a log");
    log.write_all_at(&written[before.len()..], before.len() as u64).expect("written");
    assert_eq!(w.store.find_file(file, &caller).await.expect("looks"), None);
    let (risen, _risen) = killed(&w.dir);
    assert!(risen.find_file(file, &caller).await.expect("looks").is_some(), "this is what must not meet removed bytes");

    assert!(!w.store.fence_upload(intent).await.expect("fences"), "its bytes may go");
    let (dead, _dead) = killed(&w.dir);
    assert_eq!(dead.find_file(file, &caller).await.expect("looks"), None);
    assert!(!dead.fence_upload(intent).await.expect("looks"));
    let left = dead.list_dead_uploads(Some("n1"), w.now(), 10).await.expect("lists");
    assert_eq!(left, running(&[intent]), "to be buried again");
    let again = w.commit(&caller, &upload, intent);
    assert_eq!(reason(w.store.commit_upload(again).await), Reason::Fenced);
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_stop_its_write() {
    let w = world();
    for i in 0..100 {
        let event = Event::new(EventKind::ChatPut, Actor::SYSTEM);
        let mut write = Box::pin(w.store.record(event, Time(i)));
        // Polled once: the body is queued, its answer is never asked for.
        let _ = futures_util::poll!(&mut write);
    }
    w.store.record(Event::new(EventKind::ChatDeleted, Actor::SYSTEM), Time(1)).await.expect("writes");
    assert_eq!(w.events().len(), 101);
}

#[tokio::test]
async fn a_panicking_body_fails_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&dir);
    let failed: Result<(), StoreError> = store.engine.write(|_| Box::pin(async { panic!("a bug") })).await;
    assert!(matches!(failed, Err(StoreError::Refused(_))));
    store.record(Event::new(EventKind::ChatPut, Actor::SYSTEM), Time(1)).await.expect("the writer lives");
}

#[tokio::test]
async fn a_full_disk_is_no_space_for_all_of_the_group_and_passes() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&dir);
    let most = async |pages: &'static str| {
        let set: Result<(), StoreError> = store.engine.write(move |conn| execute(conn, pages)).await;
        set.expect("sets");
    };
    let event = || Event::new(EventKind::ChatPut, Actor::SYSTEM).detail("x".repeat(3_000));
    let write = || store.record(event(), Time(1));
    write().await.expect("there is room");
    // Fewer than there are: SQLite takes as many as there are.
    most("PRAGMA max_page_count = 1").await;
    let mut full = 0;
    for _ in 0..20 {
        for answer in join_all((0..8).map(|_| write())).await {
            match answer {
                Ok(()) => {}
                Err(StoreError::NoSpace(_)) => full += 1,
                Err(other) => panic!("{other:?} instead of NoSpace"),
            }
        }
    }
    assert!(full >= 19 * 8, "{full}");
    let upload = store.quarantine(sha(0), verdict(VerdictKind::Infected, "1"), "Eicar", None).await;
    assert_eq!(upload.expect("changes nothing, and needs no room"), 0);
    most("PRAGMA max_page_count = 1000000").await;
    write().await.expect("there is room again");
}

fn execute<'c>(
    conn: &'c mut bodies::Conn,
    sql: &'static str,
) -> futures_util::future::BoxFuture<'c, Result<(), StoreError>> {
    use diesel_async::SimpleAsyncConnection as _;
    Box::pin(async move { Ok(conn.batch_execute(sql).await?) })
}

#[tokio::test]
async fn a_damaged_row_is_told_with_table_column_and_id() {
    use diesel::{Connection, connection::SimpleConnection};
    let w = world();
    let all = service(&["*"]);
    let view = w.upload(&all, &Upload::to(Target::Library)).await;
    let path = w.dir.path().join("lhfile.sqlite");
    let mut conn = diesel::SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("opens");
    conn.batch_execute("UPDATE files SET state = 'LOST'; INSERT INTO settings VALUES ('nope', '1')").expect("damages");
    let found = w.store.find_file(FileRef::Id(view.file.id), &all).await;
    assert!(
        matches!(&found, Err(StoreError::Corrupt { table: "files", column: "state", id }) if *id == view.file.number.to_string()),
        "{found:?}"
    );
    let settings = w.store.load_settings().await;
    assert!(matches!(&settings, Err(StoreError::Corrupt { id, .. }) if id == "nope"), "{settings:?}");
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let missing = SqliteStore::open(&dir.path().join("nowhere").join("lhfile.sqlite"));
    assert!(matches!(missing, Err(StoreError::Unavailable(_))));
    std::fs::write(dir.path().join("other"), "not a database, and long enough to be seen as none".repeat(20))
        .expect("writes");
    assert!(SqliteStore::open(&dir.path().join("other")).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_uploads_at_once_all_happen_once() {
    const TASKS: u64 = 64;
    const EACH: u64 = 8;
    let w = Arc::new(world());
    let begun = Instant::now();
    let tasks = (0..TASKS).map(|task| {
        let w = Arc::clone(&w);
        async move {
            let caller = operator("17", &[], &[]);
            for i in 0..EACH {
                let upload = Upload { tag: task * EACH + i, ..Upload::to(Target::Library) };
                w.upload(&caller, &upload).await;
            }
        }
    });
    join_all(tasks).await;
    let pairs = TASKS * EACH;
    println!("{:.0} uploads (intent and commit) a second", pairs as f64 / begun.elapsed().as_secs_f64());
    assert_eq!(w.events().len() as u64, pairs);
    let page =
        w.store.list_files(FileQuery { with_total: true, ..lists::query(1) }, &service(&["*"])).await.expect("lists");
    assert_eq!(page.total, Some(Total::exactly(pairs)));
}
