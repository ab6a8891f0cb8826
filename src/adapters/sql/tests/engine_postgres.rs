//! What is PostgreSQL's own: many at once, connections that die, commits whose answer is lost, TLS, the first start.
//!
//! Not here: the world they are tried in (`super`) and the query plans (`plans.rs`).

use std::time::{Duration, Instant};

use diesel_async::{RunQueryDsl as _, SimpleAsyncConnection as _};
use futures_util::future::join_all;

use super::{
    super::proxy::{Cut, Proxy},
    *,
};
use crate::{
    domain::{Event, EventKind, Reason},
    ports::{Clock as _, SettingsStore as _, StoreError, SystemClock, UploadStore as _},
};

/// A store behind a proxy, in the same world.
fn behind_proxy(w: World) -> (World, Proxy) {
    let proxy = Proxy::before(([127, 0, 0, 1], cluster().port).into());
    let database = w.database.clone().expect("on PostgreSQL");
    let url = format!("postgres://{}@{}/{database}", super::super::cluster::USER, proxy.address());
    (World { store: Box::new(connect(&url)), ..w }, proxy)
}

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    ssl: bool,
}

fn event() -> Event {
    Event::new(EventKind::ChatPut, Actor::SYSTEM)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_migrate_once() {
    let database = cluster().create_database("template0");
    let url = cluster().url(&database);
    let opened = join_all((0..3).map(|_| PostgresStore::open(&url))).await;
    for store in opened {
        let store = store.expect("opens");
        assert_eq!(store.settings_version().await.expect("asks"), 0);
    }
    let steps = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres")).expect("steps").count();
    let ran = cluster().psql(&database, "SELECT count(*) FROM __diesel_schema_migrations");
    assert_eq!(ran, [steps.to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_told_as_it_ended() {
    let (w, proxy) = behind_proxy(world());
    w.put("42", ChatStatus::Active, None).await;
    let caller = operator("17", &["42"], &[]);
    for (i, how) in [Cut::After, Cut::Before, Cut::Late(Duration::from_secs(2))].into_iter().enumerate() {
        let tag = i as u64;
        let upload = Upload { tag, request_id: Some(format!("r{i}")), ..Upload::to(chat("42")) };
        let intent = w.started(&caller, &upload).await;
        let commit = w.commit(&caller, &upload, intent);
        let (id, unheard) = (commit.file_id, proxy.unheard());
        proxy.cut(how);
        let view = ready(w.store.commit_upload(commit).await.unwrap_or_else(|e| panic!("{how:?}: {e}")));
        assert!(proxy.has_cut(), "{how:?}");
        let did = tokio::time::timeout(Duration::from_secs(if how == Cut::Before { 0 } else { 10 }), async {
            while proxy.unheard() == unheard {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        assert_eq!(did.await.is_ok(), how != Cut::Before, "{how:?}: whether the server did it the first time");
        assert_eq!(view.file.id, id);
        assert_eq!(w.find(&view, &caller).await.as_ref(), Some(&view));
        assert_eq!(view.chats.len(), 1);
        assert!(matches!(w.begin(&caller, &upload).await.expect("begins"), Begun::Before(b) if b.file == id));
    }
    assert_eq!(w.events(), ["CHAT_PUT", "FILE_UPLOADED", "FILE_UPLOADED", "FILE_UPLOADED"], "each happened once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_write_whose_answer_is_lost_is_neither_done_nor_refused() {
    let (w, proxy) = behind_proxy(world());
    for (how, happened) in [(Cut::After, 1), (Cut::Before, 1)] {
        proxy.cut(how);
        let lost = w.store.record(event(), Time(1)).await;
        assert!(matches!(&lost, Err(StoreError::Unavailable(_))), "{lost:?}");
        assert!(lost.expect_err("lost").to_string().contains("may have happened"));
        assert!(proxy.has_cut(), "{how:?}");
        assert_eq!(w.events().len(), happened, "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_is_not_buried_while_its_commit_may_still_happen() {
    let (w, proxy) = behind_proxy(world());
    let caller = operator("17", &[], &[]);
    let upload = Upload::to(Target::Library);
    let intent = w.started(&caller, &upload).await;
    let commit = w.commit(&caller, &upload, intent);
    // Another node, which takes this one for dead, while the server hears the COMMIT late.
    let other = connect(&cluster().url(w.database.as_deref().expect("on PostgreSQL")));
    proxy.cut(Cut::Late(Duration::from_secs(2)));
    let bury = async {
        while !proxy.has_cut() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        other.fence_upload(intent).await.expect("fences")
    };
    let (committed, published) = tokio::join!(w.store.commit_upload(commit), bury);
    ready(committed.expect("it happened"));
    assert!(published, "its bytes are a file's");
    // The other way round: once fenced, nothing follows.
    let intent = w.started(&caller, &upload).await;
    assert!(!other.fence_upload(intent).await.expect("fences"), "its bytes may go");
    assert_eq!(reason(w.store.commit_upload(w.commit(&caller, &upload, intent)).await), Reason::Fenced);
}

#[tokio::test]
async fn leases_hold_whatever_the_clocks_of_the_nodes_say() {
    let w = world();
    let caller = operator("17", &[], &[]);
    let other = connect(&cluster().url(w.database.as_deref().expect("on PostgreSQL")));
    const HOUR: i64 = 3_600;
    // The node's clock is an hour behind, the other's an hour ahead of it, and of the database's.
    let right = SystemClock.now();
    let (behind, ahead) = (right.plus_secs(-HOUR), right.plus_secs(HOUR));
    w.now.store(behind.0, Ordering::Relaxed);
    let intent = w.started(&caller, &Upload::to(Target::Library)).await;
    let dead = async |now| other.list_dead_uploads(None, now, 10).await.expect("lists");
    for now in [behind, right, ahead] {
        assert!(dead(now).await.is_empty(), "granted, it holds");
    }
    w.pass(61);
    for now in [behind, right, ahead] {
        assert_eq!(dead(now).await, running(&[intent]), "over, it is over");
    }
    w.store.renew_leases(&[intent], behind, 60).await.expect("renews");
    assert!(dead(ahead).await.is_empty(), "renewed, it holds");
    // What is buried stays for its time, whoever buries it.
    other.abort_upload(intent, event(), behind, 60).await.expect("buries");
    assert!(dead(ahead).await.is_empty());
    w.pass(61);
    assert_eq!(dead(behind).await, [Dead { intent, buried: true }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_events_by_seq_never_skips_one() {
    let w = world();
    let database = w.database.clone().expect("on PostgreSQL");
    let reader = tokio::task::spawn_blocking(move || {
        let (mut last, mut seen) = (0_i64, Vec::new());
        let until = Instant::now() + Duration::from_secs(60);
        while seen.len() < 400 {
            assert!(Instant::now() < until, "{} of 400 events were seen", seen.len());
            let news = format!("SELECT seq FROM events WHERE seq > {last} ORDER BY seq");
            for seq in cluster().psql(&database, &news) {
                last = seq.parse().expect("a number");
                seen.push(seq);
            }
        }
        (seen, cluster().psql(&database, "SELECT seq FROM events ORDER BY seq"))
    });
    let writers = (0..8).map(|_| async {
        for i in 0..50 {
            w.store.record(event(), Time(i)).await.expect("writes");
        }
    });
    join_all(writers).await;
    let (seen, all) = reader.await.expect("no panic");
    assert_eq!(seen, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_chat_keeps_no_event_waiting_for_its_long_statements() {
    let w = world();
    for id in ["1", "2"] {
        w.put(id, ChatStatus::Active, None).await;
    }
    let (all, settings) = (service(&["*"]), Settings::default());
    let guest = w.upload(&all, &Upload::to(chat("2"))).await;
    w.upload(&all, &Upload { tag: 1, ..Upload::to(chat("1")) }).await;
    let to = vec![crate::ports::AttachTo { chat: "1".parse().expect("valid"), message_id: None }];
    w.store.attach(FileRef::Id(guest.file.id), to, &all, &settings, w.now()).await.expect("attaches");
    // As if detaching took as long as this.
    let slow = connect(&cluster().url(w.database.as_deref().expect("on PostgreSQL")));
    let hold = "SELECT * FROM attachments FOR UPDATE; SELECT pg_sleep(4)";
    let hold =
        slow.engine.write::<_, (), StoreError>(move |c| Box::pin(async move { Ok(c.batch_execute(hold).await?) }));
    let one = "1".parse().expect("valid");
    let delete = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        w.store.delete_chat(&one, 0, Actor::SYSTEM, w.now()).await.expect("deletes")
    };
    let others = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let begun = Instant::now();
        w.store.record(event(), Time(1)).await.expect("writes");
        begun.elapsed()
    };
    let (held, deleted, waited) = tokio::join!(hold, delete, others);
    held.expect("it only waits");
    assert_eq!((deleted.files_deleted, deleted.files_detached), (1, 1));
    assert!(waited < Duration::from_millis(1_000), "an event of others waited {waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_new_chats_in_opposite_orders_never_wait_in_a_circle() {
    let w = world();
    for round in 0..40 {
        let ids: Vec<String> = (0..20).map(|i| format!("r{round}-{i}")).collect();
        let batch = |ids: Vec<String>| {
            let tellings = ids.iter().map(|id| told(id, ChatStatus::Active, None, 0)).collect();
            w.store.put_chats(tellings, Actor::SYSTEM, w.now())
        };
        let backwards: Vec<String> = ids.iter().rev().cloned().collect();
        let (one, other) = tokio::join!(batch(ids.clone()), batch(backwards.clone()));
        for (put, ids) in [(one, ids), (other, backwards)] {
            let answered: Vec<String> = put.expect("put").into_iter().map(|chat| chat.id.to_string()).collect();
            assert_eq!(answered, ids, "answers are in the order in which they were told");
        }
    }
    let database = w.database.clone().expect("on PostgreSQL");
    // The server counts what a connection met when that has ended.
    drop(w.store);
    let deadlocks = format!("SELECT deadlocks FROM pg_stat_database WHERE datname = '{database}'");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(cluster().psql("postgres", &deadlocks), ["0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_died_in_the_pool_are_replaced() {
    let w = world();
    join_all((0..10).map(|i| w.store.record(event(), Time(i)))).await.into_iter().for_each(|r| r.expect("writes"));
    let database = w.database.as_deref().expect("on PostgreSQL");
    let kill = format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}'");
    assert_ne!(cluster().psql("postgres", &kill), ["0"]);
    for i in 0..10 {
        w.store.record(event(), Time(i)).await.expect("another connection");
        w.store.settings_version().await.expect("another connection");
    }
    assert_eq!(w.events().len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_ends_is_unavailable_and_a_deadlock_is_run_again() {
    let store = connect(&cluster().url(&database()));
    let run = async |sql: &'static str| -> Result<(), StoreError> {
        store.engine.write(move |c| Box::pin(async move { Ok(c.batch_execute(sql).await?) })).await
    };
    for sql in ["SET LOCAL statement_timeout = 50; SELECT pg_sleep(5)", "SELECT pg_terminate_backend(pg_backend_pid())"]
    {
        let ended = run(sql).await;
        assert!(matches!(ended, Err(StoreError::Unavailable(_))), "{sql}: {ended:?}");
    }
    assert!(matches!(run("SELECT nonsense").await, Err(StoreError::Refused(_))));
    // Each has one row and wants the other's: the server ends one, which runs again when the other is done.
    let one =
        "UPDATE settings_version SET version = version; SELECT pg_sleep(0.3); LOCK TABLE settings IN EXCLUSIVE MODE";
    let two =
        "LOCK TABLE settings IN EXCLUSIVE MODE; SELECT pg_sleep(0.3); UPDATE settings_version SET version = version";
    let (one, two) = tokio::join!(run(one), run(two));
    one.and(two).expect("both in the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_outlives_its_caller_a_panic_ends_it_alone_and_an_end_is_orderly() {
    let w = world();
    for i in 0..30 {
        let mut write = Box::pin(w.store.record(event(), Time(i)));
        let _ = futures_util::poll!(&mut write);
    }
    let until = Instant::now() + Duration::from_secs(20);
    while w.events().len() < 30 {
        assert!(Instant::now() < until, "a write was dropped with its caller");
    }
    let store = connect(&cluster().url(&database()));
    for _ in 0..20 {
        let failed: Result<(), StoreError> = store.engine.write(|_| Box::pin(async { panic!("a bug") })).await;
        assert!(matches!(failed, Err(StoreError::Refused(_))));
    }
    let (queued, ()) = tokio::join!(store.record(event(), Time(1)), store.close());
    queued.expect("what was asked before the end is done");
    assert!(matches!(store.record(event(), Time(1)).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_server_that_is_not_there_or_not_durable_is_refused_without_its_password() {
    let url = "postgres://someone:s3cr3t@127.0.0.1:1/nowhere";
    let gone = PostgresStore::open(url).await.err().expect("not there");
    assert!(matches!(gone, StoreError::Unavailable(_)) && !gone.to_string().contains("s3cr3t"), "{gone}");
    let database = database();
    for (options, said) in [
        ("options=-c%20synchronous_commit%3Doff", "synchronous_commit is off"),
        ("sslmode=prefer", "sslmode"),
        ("nonsense=1", "nonsense"),
        ("sslmode=require&sslrootcert=/x", "sslrootcert"),
    ] {
        let refused = PostgresStore::open(&format!("{}?{options}", cluster().url(&database))).await;
        let refused = refused.err().expect(options);
        assert!(matches!(&refused, StoreError::Refused(text) if text.contains(said)), "{options}: {refused}");
    }
    let away = PostgresStore::open("postgres://someone:s3cr3t@db.example/x").await.err().expect("in the open");
    assert!(matches!(&away, StoreError::Refused(text) if text.contains("sslmode=verify-full")), "{away}");
    let looked = PostgresStore::look(&cluster().url(&database)).await.expect("looks");
    assert!(looked.told.starts_with("PostgreSQL 1") && looked.told.contains(&database), "{looked:?}");
}

#[tokio::test]
async fn a_standby_that_no_commit_waits_for_is_told() {
    let url = cluster().url(&database());
    assert_eq!(PostgresStore::look(&url).await.expect("looks").lossy_standbys, 0);
    // It follows the server's log as a standby does, which is all that the server knows of one.
    let folder = tempfile::tempdir().expect("a folder");
    let follow = format!(
        "exec $(ls -d /usr/lib/postgresql/*/bin | tail -n 1)/pg_receivewal --no-loop -U {} -h 127.0.0.1 -p {} -D {}",
        super::super::cluster::USER,
        cluster().port,
        folder.path().display()
    );
    let mut follower = std::process::Command::new("sh").args(["-c", &follow]).spawn().expect("it is installed");
    let until = Instant::now() + Duration::from_secs(20);
    while PostgresStore::look(&url).await.expect("looks").lossy_standbys == 0 {
        assert!(Instant::now() < until, "it follows: {:?}", follower.try_wait());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    follower.kill().and_then(|()| follower.wait()).expect("it ends");
}

#[tokio::test]
async fn tls_is_asked_for_by_the_url_and_a_stranger_is_not_believed() {
    let database = database();
    let (port, user) = (cluster().port, super::super::cluster::USER);
    let certificate = cluster().folder.join("data/server.crt");
    // Readable by us: the folder's owner is the server's user.
    let roots = tempfile::NamedTempFile::new().expect("a file");
    std::fs::copy(certificate, roots.path()).expect("the certificate is there");
    let roots = roots.path().display();
    for (host, parameters) in
        [("127.0.0.1", "sslmode=require".to_owned()), ("localhost", format!("sslmode=verify-full&sslrootcert={roots}"))]
    {
        let store = connect(&format!("postgres://{user}@{host}:{port}/{database}?{parameters}"));
        let line: Result<Line, StoreError> = store
            .engine
            .read(|c| {
                let of_ours = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                Box::pin(async move { Ok(diesel::sql_query(of_ours).get_result(c).await?) })
            })
            .await;
        assert!(line.unwrap_or_else(|e| panic!("{host} {parameters}: {e}")).ssl);
    }
    for (host, parameters) in [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={roots}")),
        ("localhost", "sslmode=verify-full".to_owned()),
    ] {
        let store = connect(&format!("postgres://{user}@{host}:{port}/{database}?{parameters}"));
        let stranger = store.settings_version().await;
        assert!(matches!(&stranger, Err(StoreError::Unavailable(_))), "{host} {parameters}: {stranger:?}");
    }
}
