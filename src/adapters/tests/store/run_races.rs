//! A run that meets those who change the files it deletes: whoever is first is obeyed, and nobody is told otherwise.
//!
//! Not here: what a run deletes when it is alone (`runs.rs`).

use std::{collections::BTreeMap, time::Instant};

use futures_util::{StreamExt as _, future::join, stream};

use super::*;
use crate::{
    domain::{
        FileState, HoldOn, Matter, Reason,
        retention::Rule,
        run::{RunState, TaskReport},
    },
    ports::{AttachTo, BegunRun, FileChange, RunLease, Stop},
};

/// Ways to change a file while a run passes; two of them are none.
const WAYS: u64 = 7;
/// Those that keep a file, and are refused if it is gone: attached to one chat or another, made persistent.
const KEEPING: [u64; 3] = [0, 1, 3];
/// Numbers of planted files.
const FIRST: u64 = 1 << 33;

async fn begun(w: &World, rule: Rule) -> RunLease {
    match w.store.begin_run(w.new_run(rule)).await.expect("begins") {
        BegunRun::Started(_, lease) => lease,
        BegunRun::Before(_) => panic!("nobody asked before"),
    }
}

/// So many visitors' files that are old enough by whichever clock counts, each younger than the one before by nearly
/// nothing. Past the store, where that can be done: a hundred thousand uploads would be most of the time.
async fn planted(w: &World, from: u64, files: u64) -> Vec<FileId> {
    let old = |i: u64| Time(i64::try_from(i).expect("few")).plus_secs(-2 * 86_400);
    if w.memory.is_some() {
        let mut ids = Vec::new();
        for i in from..from + files {
            let upload = Upload { tag: i, persistent: Some(false), ..Upload::to(Target::Library) };
            let view = w.upload(&visitor("v", &["a"]), &upload).await;
            w.age(&view, old(i));
            ids.push(view.file.id);
        }
        return ids;
    }
    let (first, last) = (FIRST + from, FIRST + from + files - 1);
    let (id, numbers, hash) = if w.database.is_some() {
        let numbers = format!("WITH s(i) AS (SELECT generate_series({first}::bigint, {last}::bigint))");
        ("decode(lpad(to_hex(i), 32, '0'), 'hex')", numbers, "decode(repeat('07', 32), 'hex')")
    } else {
        let numbers = format!("WITH RECURSIVE s(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM s WHERE i < {last})");
        ("unhex(printf('%032x', i))", numbers, "unhex(printf('%032d', 0) || printf('%032d', 7))")
    };
    if from == 0 {
        w.execute(&format!(
            "INSERT INTO blobs (id, key, sha256, size, state, verdict, engine, signatures, scanned_at, created_at) \
             SELECT 1, {id}, {hash}, 10, 'ACTIVE', 'CLEAN', '', '', 1, 1 FROM (SELECT {FIRST} AS i) s"
        ));
    }
    w.execute(&format!(
        "INSERT INTO files (number, id, code_hash, blob_id, state, display_name, extension, media_type, uploader_kind, \
         uploader_id, persistent, sha256, size, uploaded_sha256, revision, created_at, ages_as) {numbers} SELECT i, {id}, \
         {id}, 1, 'READY', 'a', 'txt', 'text/plain', 'VISITOR', 'v', FALSE, {hash}, 10, {hash}, 1, {} + i - {FIRST}, \
         'VISITOR' FROM s",
        old(0).0,
    ));
    (first..=last).map(|number| FileId(u128::from(number).to_be_bytes())).collect()
}

/// Where these files are now.
async fn states(w: &World, from: u64, ids: &[FileId]) -> Vec<FileState> {
    let all = service(&["*"]);
    if w.memory.is_some() {
        let mut states = Vec::new();
        for id in ids {
            let found = w.store.find_file(FileRef::Id(*id), &all).await.expect("finds");
            states.push(found.expect("the row stays").file.state);
        }
        return states;
    }
    let (first, end) = (FIRST + from, FIRST + from + ids.len() as u64);
    let lines =
        w.query(&format!("SELECT state AS line FROM files WHERE number >= {first} AND number < {end} ORDER BY number"));
    lines.iter().map(|line| if line == "READY" { FileState::Ready } else { FileState::Deleted }).collect()
}

/// Keeps a file from the run, in a way of its own, or deletes it before; what was done is told.
async fn meet(w: &World, way: u64, file: FileId) -> Result<(), Stop> {
    let (all, settings) = (service(&["*"]), Settings::default());
    let by = FileRef::Id(file);
    let matter = || Matter::new("x").expect("valid");
    let change = FileChange { persistent: Some(true), ..FileChange::default() };
    match way {
        0 | 1 => {
            let to =
                vec![AttachTo { chat: if way == 0 { "a" } else { "b" }.parse().expect("valid"), message_id: None }];
            w.store.attach(by, to, &all, &settings, w.now()).await.map(drop)
        }
        2 => w.store.put_hold(HoldOn::File(file), matter(), &all, w.now()).await.map(drop),
        3 => w.store.update_file(by, change, &all, &settings, w.now()).await.map(drop),
        4 => w.store.delete_file(by, &all, &settings, w.now()).await.map(drop),
        _ => Ok(()),
    }
}

/// To its end, in batches of so many: others come between.
async fn run_to_its_end(w: &World, lease: RunLease, limit: u32, files: usize) -> TaskReport {
    for _ in 0..=2 * files {
        let batch = w.store.expire_batch(lease, limit, w.now()).await.expect("deletes");
        if !batch.more {
            w.store.end_run(lease, RunState::Done, w.now()).await.expect("ends");
            return batch.report;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never ends");
}

/// How often each way was first, and how often the run was.
#[derive(Default)]
struct Firsts(BTreeMap<(u64, bool), u64>);

/// Rounds of so many files each; of each file one schedule.
async fn rounds(w: &World, rounds: u64, files: u64, at_once: usize, tell: bool) -> Firsts {
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, Some("17")).await;
    }
    let rule = Rule { visitors: true, unassigned: true, visitor_days: 1, ..Rule::default() };
    let (mut firsts, mut deleted, began) = (Firsts::default(), 0, Instant::now());
    for round in 0..rounds {
        let from = round * files;
        let ids = planted(w, from, files).await;
        let lease = begun(w, rule).await;
        let run = run_to_its_end(w, lease, [1, 3, 20][(round % 3) as usize], ids.len());
        // In the run's order, or the other way round.
        let mut order: Vec<usize> = (0..ids.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        let met = stream::iter(order).map(|i| {
            let (way, id) = (i as u64 % WAYS, ids[i]);
            async move { (i, meet(w, way, id).await) }
        });
        let met = met.buffer_unordered(at_once).collect::<Vec<_>>();
        let (report, met) = join(run, met).await;
        let states = states(w, from, &ids).await;
        let (mut by_run, mut by_hand) = (0, 0);
        for (i, answer) in met {
            let (way, state) = (i as u64 % WAYS, states[i]);
            let gone = state == FileState::Deleted;
            match (way, answer) {
                (way, Ok(())) if KEEPING.contains(&way) => {
                    assert_eq!(state, FileState::Ready, "round {round}: way {way} was answered OK");
                }
                // A deleted file can still be held, against its purge.
                (2, Ok(())) => by_run += u64::from(gone),
                // By whom, the run or the hand before it, is not told.
                (4, Ok(())) => {
                    assert!(gone);
                    by_hand += 1;
                }
                (5 | 6, Ok(())) => {
                    assert!(gone, "round {round}: nobody kept it");
                    by_run += 1;
                }
                (_, refused) => {
                    assert_eq!(reason(refused), Reason::NotFound, "round {round}: way {way}");
                    assert!(gone);
                    by_run += 1;
                }
            }
            *firsts.0.entry((way, gone)).or_default() += 1;
            deleted += u64::from(gone);
        }
        assert!((by_run..=by_run + by_hand).contains(&report.done), "{report:?} {by_run}");
        assert_eq!((report.failed, report.bytes), (0, 10 * report.done));
        if w.memory.is_none() {
            // What stays is out of the next run's way.
            let (first, end) = (FIRST + from, FIRST + from + files);
            w.execute(&format!("UPDATE files SET persistent = TRUE WHERE number >= {first} AND number < {end}"));
        }
        if tell && (round + 1) % (rounds / 20).max(1) == 0 {
            println!("{:>6.1} s  {} files", began.elapsed().as_secs_f64(), (round + 1) * files);
        }
    }
    assert_eq!(w.events().iter().filter(|kind| *kind == "FILE_DELETED").count() as u64, deleted, "each once");
    if w.memory.is_none() {
        // Nor is one deleted after its hold was answered.
        let late = "SELECT CAST(count(*) AS TEXT) AS line FROM events h JOIN events d ON d.file_id = h.file_id \
                    AND d.kind = 'FILE_DELETED' AND d.seq > h.seq WHERE h.kind = 'HOLD_PUT'";
        assert_eq!(w.query(late), ["0"]);
        let files = "SELECT CAST(count(DISTINCT file_id) AS TEXT) AS line FROM events WHERE kind = 'FILE_DELETED'";
        assert_eq!(w.query(files), [deleted.to_string()]);
    }
    firsts
}

pub async fn a_file_that_is_kept_while_a_run_passes_is_alive_or_was_refused_and_never_both(w: World) {
    rounds(&w, 12, 35, 4, false).await;
}

async fn a_hundred_thousand(w: World) {
    let firsts = rounds(&w, 143, 700, 4, true).await;
    for way in KEEPING.into_iter().chain([2]) {
        let count = |gone| firsts.0.get(&(way, gone)).copied().unwrap_or(0);
        println!("way {way}: kept {}, the run was first {}", count(false), count(true));
        assert!(count(false) > 0 && count(true) > 0, "way {way}: both are first now and then");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: 100,000 files that a run meets, some minutes"]
async fn of_a_hundred_thousand_files_that_a_run_meets_none_is_both_kept_and_deleted_on_sqlite() {
    a_hundred_thousand(engines::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: 100,000 files that a run meets, some minutes"]
async fn of_a_hundred_thousand_files_that_a_run_meets_none_is_both_kept_and_deleted_on_postgres() {
    a_hundred_thousand(engines::on_postgres().await).await;
}
