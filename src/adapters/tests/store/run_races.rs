//! A run that meets those who change the files it deletes: whoever is first is obeyed, and nobody is told otherwise.
//!
//! Not here: what a run deletes when it is alone (`runs.rs`).

use futures_util::future::{join, join_all};

use super::*;
use crate::{
    domain::{
        FileState, HoldOn, Matter, RunId,
        retention::Rule,
        run::{RunState, Task, Trigger},
    },
    ports::{AttachTo, BegunRun, FileChange, NewRun, RunLease, Stop},
};

/// Files of one round: one for each way to change it, and two that nobody changes.
const FILES: u64 = 7;

async fn begun(w: &World, rule: Rule) -> RunLease {
    let new = NewRun {
        id: RunId(w.id()),
        request_id: None,
        trigger: Trigger::Call,
        plan: None,
        rule,
        tasks: vec![Task::Expire],
        by: Actor::SYSTEM,
        node: "n1".into(),
        now: w.now(),
        lease_secs: 60,
    };
    match w.store.begin_run(new).await.expect("begins") {
        BegunRun::Started(_, lease) => lease,
        BegunRun::Before(_) => panic!("nobody asked before"),
    }
}

/// Keeps a file from the run, in a way of its own; what was kept is told.
async fn keep(w: &World, way: u64, view: &FileView) -> Result<(), Stop> {
    let (all, settings) = (service(&["*"]), Settings::default());
    let by = FileRef::Id(view.file.id);
    let matter = || Matter::new("x").expect("valid");
    let change = FileChange { persistent: Some(true), ..FileChange::default() };
    match way {
        0 | 1 => {
            let to =
                vec![AttachTo { chat: if way == 0 { "a" } else { "b" }.parse().expect("valid"), message_id: None }];
            w.store.attach(by, to, &all, &settings, w.now()).await.map(drop)
        }
        2 => w.store.put_hold(HoldOn::File(view.file.id), matter(), &all, w.now()).await.map(drop),
        3 => w.store.update_file(by, change, &all, &settings, w.now()).await.map(drop),
        4 => {
            let deleted = w.store.delete_file(by, &all, &settings, w.now()).await;
            deleted.map(drop)
        }
        _ => Ok(()),
    }
}

async fn rounds(w: World, rounds: u64) {
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, Some("17")).await;
    }
    let rule = Rule { visitors: true, unassigned: true, visitor_days: 1, ..Rule::default() };
    let all = service(&["*"]);
    for round in 0..rounds {
        let mut files = Vec::new();
        for i in 0..FILES {
            let upload = Upload { tag: round * FILES + i, persistent: Some(false), ..Upload::to(Target::Library) };
            let view = w.upload(&visitor("v", &["a"]), &upload).await;
            // By whichever clock counts.
            w.age(&view, Time(i64::try_from(i).expect("few")).plus_secs(-2 * 86_400));
            files.push(view);
        }
        let lease = begun(&w, rule).await;
        // One batch or several: others come between.
        let limit = [1, 3, 100][(round % 3) as usize];
        let run = async {
            let mut batches = 0;
            loop {
                let batch = w.store.expire_batch(lease, limit, w.now()).await.expect("deletes");
                batches += 1;
                if !batch.more || batches == 2 * FILES {
                    w.store.end_run(lease, RunState::Done, w.now()).await.expect("ends");
                    return batch.report;
                }
            }
        };
        let kept = join_all(files.iter().zip(0..).map(|(view, way)| keep(&w, way, view)));
        let (report, kept) = join(run, kept).await;
        let mut deleted_by_run = 0;
        for ((view, kept), way) in files.iter().zip(kept).zip(0..) {
            let state = w.find(view, &all).await.expect("the row stays").file.state;
            match (way, kept) {
                (0 | 1 | 3, Ok(())) => assert_eq!(state, FileState::Ready, "round {round}: way {way} was answered OK"),
                // A deleted file can still be held, against its purge.
                (2, Ok(())) => deleted_by_run += u64::from(state == FileState::Deleted),
                (4, Ok(())) => assert_eq!(state, FileState::Deleted),
                (5 | 6, Ok(())) => {
                    assert_eq!(state, FileState::Deleted, "round {round}: nobody kept it");
                    deleted_by_run += 1;
                }
                (_, refused) => {
                    assert_eq!(reason(refused), crate::domain::Reason::NotFound, "round {round}: way {way}");
                    assert_eq!(state, FileState::Deleted);
                    deleted_by_run += 1;
                }
            }
        }
        // The one that was deleted by hand may have been the run's before.
        assert!((deleted_by_run..=deleted_by_run + 1).contains(&report.done), "{report:?} {deleted_by_run}");
        assert_eq!(report.failed, 0);
    }
}

pub async fn a_file_that_is_kept_while_a_run_passes_is_alive_or_was_refused_and_never_both(w: World) {
    rounds(w, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "soak: 100,000 files that a run meets, some minutes"]
async fn of_a_hundred_thousand_files_that_a_run_meets_none_is_both_kept_and_deleted() {
    rounds(engines::on_postgres().await, 100_000 / FILES).await;
}
