//! A database whose connections are cut in the middle of COMMIT: before the server hears it, after it did, much later. What
//! was acknowledged is there, what happened is told so, and what nobody can know is not told as either.
//!
//! On PostgreSQL, whatever the pair. Not here: the store alone (`src/adapters/sql/tests/engine_postgres.rs`), a database
//! that is stopped (`chaos.rs`).

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::harness::{
    Node, Operator, Setup, assert_refused,
    postgres::{USER, cluster},
    proxy::{Cut, Proxy},
    reason_of,
    refusal::has_retry,
    samples,
    setup::new_database,
};

/// A node, and its way to the database.
async fn behind_proxy() -> (Node, Proxy) {
    let database = new_database(cluster());
    let proxy = Proxy::before(([127, 0, 0, 1], cluster().port).into());
    let url = format!("postgres://{USER}@{}/{database}", proxy.address());
    let node = Node::start(Setup::new().on_database(cluster(), &database, &url)).await;
    node.put_chat("42").await;
    (node, proxy)
}

/// Waits until something holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The COMMIT came, and the server has done it or has not, as it was to be.
async fn assert_cut(proxy: &Proxy, how: Cut) {
    until("a COMMIT comes and is cut", || proxy.has_cut()).await;
    match how {
        Cut::Before | Cut::Never => assert_eq!(proxy.unheard(), 0, "the server never heard of it"),
        Cut::After | Cut::Late(_) => until("the server does it, unheard", || proxy.unheard() == 1).await,
    }
}

/// Whether an intent was written is known to nobody: so it is told, and asking again is right either way.
async fn cut_at_the_intent(how: Cut) {
    let (node, proxy) = behind_proxy().await;
    let operator = Operator::new();
    let bytes = samples::text(2_000, "intent");
    let upload = node.upload("a.txt", bytes.clone()).to_chat("42").request_id("cut");
    proxy.cut(how);
    let status = assert_refused(upload.by(&operator).await, Code::Unavailable, "DATABASE_DOWN");
    assert!(has_retry(&status), "{status:?}");
    // Also while the server has not heard of it yet.
    let file = upload.passes_by(&operator).await;
    assert_cut(&proxy, how).await;
    assert_eq!(node.number("SELECT count(*) AS n FROM files"), 1);
    assert_eq!(node.download(&file.file_id, &operator).await.expect("its own").bytes, bytes);
    // The intent that nobody knew of ends with its lease.
    let left = node.number("SELECT count(*) AS n FROM uploads WHERE state = 'FENCED'");
    assert_eq!(left, i64::from(how != Cut::Before), "{how:?}");
    node.change("UPDATE uploads SET lease_until = 0 WHERE state <> 'DONE'");
    until("nothing is left", || node.find_inconsistencies().is_empty()).await;
}

/// An upload whose commit was cut is asked after, and told as it ended: once, and well.
async fn cut_at_the_commit(how: Cut) {
    let (node, proxy) = behind_proxy().await;
    let operator = Operator::new();
    let bytes = samples::text(2_000, "commit");
    let mut messages = node.upload("a.txt", bytes.clone()).to_chat("42").messages();
    let last = messages.pop().expect("the commit");
    let (to, stream) = tokio::sync::mpsc::channel(8);
    let sending = node.send_upload(&operator, ReceiverStream::new(stream));
    let cutting = async {
        for message in messages {
            to.send(message).await.expect("it reads");
        }
        until("its intent", || node.number("SELECT count(*) AS n FROM uploads") == 1).await;
        proxy.cut(how);
        to.send(last).await.expect("it reads");
        drop(to);
    };
    let (answer, ()) = tokio::join!(sending, cutting);
    let file = answer.expect("it is asked after until it is known").file.expect("told");
    assert_cut(&proxy, how).await;
    assert_eq!(node.texts("SELECT kind AS t FROM events WHERE file_id IS NOT NULL"), ["FILE_UPLOADED"]);
    assert_eq!(node.number("SELECT count(*) AS n FROM files"), 1);
    assert_eq!(node.download(&file.file_id, &operator).await.expect("its own").bytes, bytes);
    node.assert_consistent().await;
}

macro_rules! cut {
    ($($name:ident: $at:ident($how:expr);)+) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $at($how).await;
        }
    )+ };
}

cut! {
    intent_whose_commit_is_lost_is_not_there_and_may_be_asked_for_again: cut_at_the_intent(Cut::Before);
    intent_whose_answer_is_lost_is_there_and_gives_way_to_the_same_request: cut_at_the_intent(Cut::After);
    intent_whose_commit_comes_late_gives_way_to_the_same_request: cut_at_the_intent(Cut::Late(Duration::from_secs(1)));
    upload_whose_commit_is_lost_is_committed_again: cut_at_the_commit(Cut::Before);
    upload_whose_commits_answer_is_lost_is_told_as_the_file_it_is: cut_at_the_commit(Cut::After);
    upload_whose_commit_comes_late_is_told_as_the_file_it_is: cut_at_the_commit(Cut::Late(Duration::from_secs(1)));
}

/// Cuts one COMMIT after another, each kind so often, and between them connections at any other moment.
async fn cut_again_and_again(node: &Node, proxy: &Proxy, times: usize) {
    let database = node.postgres().expect("on PostgreSQL").1.to_owned();
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}' AND random() < 0.3"
    );
    for _ in 0..times {
        let unheard = proxy.unheard();
        for how in [Cut::Before, Cut::After, Cut::Late(Duration::from_millis(500))] {
            proxy.cut(how);
            until("a COMMIT comes and is cut", || proxy.has_cut()).await;
        }
        // Not by whom it is killed next.
        until("the server does those that it hears, unheard", || proxy.unheard() >= unheard + 2).await;
        let kill = kill.clone();
        tokio::task::spawn_blocking(move || cluster().psql("postgres", &kill)).await.expect("no panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_under_load_lose_no_acknowledged_upload() {
    let (node, proxy) = behind_proxy().await;
    let (operator, over) = (Operator::new(), AtomicBool::new(false));
    let client = async |client: u32| {
        let (mut acknowledged, mut refused) = (Vec::new(), 0);
        for i in 0.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let bytes = samples::text(2_000, &format!("{client} {i}"));
            match node.upload("a.txt", bytes.clone()).to_chat("42").by(&operator).await {
                Ok(answer) => acknowledged.push((answer.file.expect("every answer names it").file_id, bytes)),
                Err(status) => {
                    assert_eq!((status.code(), reason_of(&status)), (Code::Unavailable, "DATABASE_DOWN".to_owned()));
                    refused += 1;
                }
            }
        }
        (acknowledged, refused)
    };
    let cutter = async {
        cut_again_and_again(&node, &proxy, 8).await;
        over.store(true, Ordering::Relaxed);
    };
    let (clients, ()) = tokio::join!(futures_util::future::join_all((0..4).map(client)), cutter);
    let refused: i32 = clients.iter().map(|(_, refused)| refused).sum();
    let acknowledged: Vec<_> = clients.into_iter().flat_map(|(acknowledged, _)| acknowledged).collect();
    println!("{} acknowledged, {refused} told to come again, 24 COMMITs cut", acknowledged.len());
    assert!(!acknowledged.is_empty());
    for (id, bytes) in &acknowledged {
        assert_eq!(&node.download(id, &operator).await.expect("acknowledged").bytes, bytes);
    }
    // What a begun upload left whose answer was lost ends with its lease.
    node.change("UPDATE uploads SET lease_until = 0 WHERE state <> 'DONE'");
    until("nothing is left", || node.find_inconsistencies().is_empty()).await;
    let files = node.number("SELECT count(*) AS n FROM files");
    let known = acknowledged.len() as i64;
    assert!((known..=known + i64::from(refused)).contains(&files), "{files} files, {known} acknowledged");
}
