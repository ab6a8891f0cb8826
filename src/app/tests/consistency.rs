//! SWEEP, CHECK, checks and repairs over the twins in memory: what is removed, what never is, and what a check tells.
//!
//! Not here: the walks of real stores (`adapters/tests/blobs.rs`), and the calls (`tests/it/`).

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;

use super::{
    faults::{Fault, How},
    node::World,
    purging::{backend, upload},
    schedules::live,
};
use crate::{
    app::{App, CheckAsked, CheckTold, Error, RepairTold, RunAsked},
    domain::{
        BlobKey, Reason, Time,
        consistency::{FindingKind, Repair},
        run::{Outcome, RunState, Task, TaskReport},
    },
};

/// The n-th key that nobody gave.
fn key(n: u8) -> BlobKey {
    BlobKey([n; 16])
}

/// A run of one task, to its end.
pub async fn run(app: &Arc<App>, task: Task) -> TaskReport {
    let asked = RunAsked { tasks: vec![task], ..RunAsked::default() };
    let mut run = app.run_maintenance(&backend(), asked).await.expect("it begins");
    while run.state == RunState::Running {
        run = app.watch_run(&run).await.expect("it is there");
    }
    run.tasks[0]
}

/// Everything that a check tells.
pub async fn check(app: &Arc<App>, asked: CheckAsked) -> Result<Vec<CheckTold>, Error> {
    let told = Box::pin(app.check_consistency(&backend(), asked).await?);
    told.collect::<Vec<_>>().await.into_iter().collect()
}

pub fn kinds(told: &[CheckTold]) -> Vec<FindingKind> {
    let kinds = told.iter().filter_map(|told| match told {
        CheckTold::Finding(told) => Some(told.finding.what.kind()),
        CheckTold::Progress(_) | CheckTold::Summary(_) => None,
    });
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort_unstable();
    kinds
}

pub async fn repair(app: &Arc<App>, told: &[CheckTold], kinds: Vec<FindingKind>) -> Vec<(FindingKind, Repair)> {
    let Some(CheckTold::Summary(summary)) = told.last() else { panic!("{told:?}") };
    let id = summary.check.as_ref().expect("it is kept").id;
    let told = Box::pin(app.repair_consistency(&backend(), id, kinds).await.expect("it may"));
    let told = told.map(|told| told.expect("no faults")).collect::<Vec<_>>().await;
    assert!(matches!(told.last(), Some(RepairTold::Summary(_))));
    let repaired = told.into_iter().filter_map(|told| match told {
        RepairTold::Repaired(repaired) => Some((repaired.told.finding.what.kind(), repaired.outcome)),
        RepairTold::Summary(_) => None,
    });
    repaired.collect()
}

/// One old thing of each sort that nobody names, and one young one.
pub async fn world() -> (World, Arc<App>, Arc<super::faults::Plan>) {
    let world = World::new();
    let (app, plan) = world.start(0, &[]).await.expect("no faults");
    upload(&app, "kept").await;
    world.blobs.plant(key(1), b"old", Time(0));
    world.blobs.plant(key(2), b"young", Time::from_secs(1_000_000));
    world.blobs.plant_parts(key(3), "parts");
    world.blobs.plant_strange("name#1", Time(0));
    world.spools[0].plant(key(4));
    (world, app, plan)
}

#[test]
fn a_sweep_removes_what_is_old_and_unnamed_and_nothing_else() {
    live(async {
        let (world, app, _plan) = world().await;
        let swept = run(&app, Task::Sweep).await;
        assert_eq!((swept.outcome, swept.done, swept.bytes, swept.failed), (Outcome::Done, 3, 4, 1), "{swept:?}");
        assert_eq!(world.blobs.kept().len(), 2, "the file's and the young one's");
        assert!(world.blobs.kept().contains_key(&key(2)));
        assert!(world.blobs.open_parts().is_empty());
        assert_eq!(world.blobs.strange_names(), 1, "strange names are only counted");
        assert!(crate::ports::Spool::list(&world.spools[0]).await.expect("in memory").is_empty());
        let again = run(&app, Task::Sweep).await;
        assert_eq!((again.outcome, again.done, again.failed), (Outcome::Done, 0, 1));
    });
}

#[test]
fn nothing_is_removed_after_a_listing_that_failed_or_names_that_were_not_told() {
    for call in ["BlobStore.walk", "ConsistencyStore.list_named"] {
        live(async {
            let (world, app, plan) = world().await;
            plan.arm(&[Fault { call, nth: 1, how: How::Failed, lasts: true }]);
            let swept = run(&app, Task::Sweep).await;
            assert_eq!((swept.outcome, swept.done), (Outcome::Failed, 0), "{call}: {swept:?}");
            assert_eq!((world.blobs.kept().len(), world.blobs.open_parts().len()), (3, 1), "{call}");
            plan.heal();
            assert_eq!(run(&app, Task::Sweep).await.done, 3, "the next run does");
        });
    }
}

#[test]
fn bytes_that_a_row_began_to_name_after_the_listing_survive() {
    live(async {
        let (world, app, _plan) = world().await;
        // Listed before the row was written, asked for after it.
        let named = world.store.blobs()[0].key;
        let running = crate::ports::NewUpload {
            key: key(5),
            node: "n1".into(),
            person: backend().person,
            request_id: None,
            target: crate::domain::admission::Target::Library,
            now: Time::from_secs(1_000_000),
            lease_secs: 86_400,
        };
        let admit = admitted(&running);
        crate::ports::UploadStore::begin_upload(&world.store, running, admit).await.expect("begins");
        for key in [named, key(5)] {
            world.blobs.plant(key, b"kept", Time(0));
        }
        world.blobs.plant_parts(key(5), "running");
        world.blobs.plant_parts(named, "left over");
        let swept = run(&app, Task::Sweep).await;
        assert_eq!((swept.outcome, swept.done), (Outcome::Done, 4), "with what a blob's upload in parts left");
        let kept = world.blobs.kept();
        assert!(kept.contains_key(&named) && kept.contains_key(&key(5)));
        assert_eq!(world.blobs.open_parts(), [key(5)]);
    });
}

#[test]
fn what_cannot_be_removed_is_counted_and_stops_nothing() {
    live(async {
        let (_world, app, plan) = world().await;
        plan.arm(&[Fault { call: "BlobStore.delete", nth: 1, how: How::Failed, lasts: true }]);
        let swept = run(&app, Task::Sweep).await;
        assert_eq!((swept.outcome, swept.done, swept.failed), (Outcome::Done, 2, 2), "{swept:?}");
        plan.heal();
        assert_eq!(run(&app, Task::Sweep).await.done, 1);
    });
}

#[test]
fn the_check_of_maintenance_tells_damage_once_in_each_pass_and_removes_nothing() {
    live(async {
        let (world, app, _plan) = world().await;
        upload(&app, "missing").await;
        upload(&app, "shorter").await;
        upload(&app, "changed").await;
        let blobs = world.store.blobs();
        let corrupt = || world.store.event_kinds().iter().filter(|kind| *kind == "BLOB_CORRUPT").count();
        let sound = run(&app, Task::Check).await;
        assert_eq!((sound.outcome, sound.done, sound.failed), (Outcome::Done, 4, 0), "{sound:?}");
        assert_eq!(sound.bytes, 4 + 3 * 7, "all of them are read");
        crate::ports::BlobStore::delete(&world.blobs, blobs[1].key).await.expect("in memory");
        world.blobs.plant(blobs[2].key, b"short", Time(0));
        world.blobs.plant(blobs[3].key, b"CHANGED", Time(0));
        for pass in 1..=2 {
            let damaged = run(&app, Task::Check).await;
            assert_eq!((damaged.outcome, damaged.done, damaged.failed), (Outcome::Done, 4, 3), "{damaged:?}");
            assert_eq!(corrupt(), 3 * pass);
        }
        assert_eq!(world.store.blobs(), blobs);
        assert_eq!(world.blobs.kept().len(), 5);
    });
}

#[test]
fn bytes_that_a_working_store_does_not_give_are_told_and_keep_nothing_behind_them() {
    live(async {
        let (world, app, plan) = world().await;
        for text in ["2", "3", "4", "5", "6", "7", "8"] {
            upload(&app, text).await;
        }
        let corrupt = || world.store.event_kinds().iter().filter(|kind| *kind == "BLOB_CORRUPT").count();
        let refused = |call| plan.arm(&[Fault { call, nth: 1, how: How::Failed, lasts: true }]);
        for (at, call) in (1..).zip(["BlobStore.size", "BlobStore.open"]) {
            refused(call);
            let checked = run(&app, Task::Check).await;
            assert_eq!((checked.outcome, checked.done, checked.failed), (Outcome::Done, 8, 8), "{call}: {checked:?}");
            assert_eq!(corrupt(), 8 * at, "{call}: each once");
            let told = check(&app, CheckAsked::default()).await.expect("the store works");
            let unreadable = kinds(&told).into_iter().filter(|kind| *kind == FindingKind::Unreadable).count();
            assert_eq!(unreadable, 8, "{call}");
            assert!(kinds(&told).contains(&FindingKind::UnnamedBytes), "{call}: it went on");
            let words = told.iter().filter_map(|told| match told {
                CheckTold::Finding(told) => Some(told.error.as_str()),
                CheckTold::Progress(_) | CheckTold::Summary(_) => None,
            });
            assert_eq!(words.filter(|error| error.contains("a fault of the schedule")).count(), 8, "{call}");
            let repaired = repair(&app, &told, vec![FindingKind::Unreadable]).await;
            assert_eq!(repaired, [(FindingKind::Unreadable, Repair::NeedsAPerson); 8], "{call}");
        }
        // Once is no finding.
        plan.arm(&[Fault { call: "BlobStore.size", nth: 1, how: How::Failed, lasts: false }]);
        let told = check(&app, CheckAsked::default()).await.expect("the store works");
        assert!(!kinds(&told).contains(&FindingKind::Unreadable), "{told:?}");
        plan.heal();
        assert_eq!(run(&app, Task::Check).await.failed, 0);
    });
}

#[test]
fn a_store_that_does_not_work_at_all_ends_a_check_and_damages_nothing() {
    live(async {
        let (world, app, plan) = world().await;
        let down = ["BlobStore.size", "BlobStore.probe"];
        plan.arm(&down.map(|call| Fault { call, nth: 1, how: How::Failed, lasts: true }));
        let told = check(&app, CheckAsked::default()).await;
        assert_eq!(told.map(drop).map_err(|error| error.reason()), Err(Some(Reason::StoreDown)));
        let checked = run(&app, Task::Check).await;
        assert_eq!((checked.outcome, checked.failed), (Outcome::Failed, 0), "{checked:?}");
        assert!(!world.store.event_kinds().contains(&"BLOB_CORRUPT".to_owned()));
        plan.heal();
        let checked = run(&app, Task::Check).await;
        assert_eq!((checked.outcome, checked.done, checked.failed), (Outcome::Done, 1, 0), "{checked:?}");
    });
}

#[test]
fn a_check_that_is_gone_on_with_is_repaired_a_day_after_that() {
    live(async {
        let (world, app, _plan) = world().await;
        let told = check(&app, CheckAsked::default()).await.expect("no faults");
        let Some(CheckTold::Progress(place)) = told.first() else { panic!("{told:?}") };
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(20 * 3_600)).await;
            let on = CheckAsked { id: place.id, after: place.after.clone(), ..CheckAsked::default() };
            check(&app, on).await.expect("it is kept");
        }
        tokio::time::sleep(Duration::from_secs(20 * 3_600)).await;
        let repaired = repair(&app, &told, vec![FindingKind::UnnamedBytes]).await;
        assert_eq!(repaired, [(FindingKind::UnnamedBytes, Repair::Repaired)]);
        repair(&app, &told, vec![FindingKind::StrangeName, FindingKind::OpenMultipart]).await;
        repair(&app, &told, vec![FindingKind::StaleSpool]).await;
        // By now it is old.
        crate::ports::BlobStore::delete(&world.blobs, key(2)).await.expect("in memory");
        let clean = check(&app, CheckAsked::default()).await.expect("no faults");
        let Some(CheckTold::Summary(summary)) = clean.last() else { panic!("{clean:?}") };
        let check = summary.check.as_ref().expect("it is kept");
        assert_eq!((check.stored, summary.counts.is_consistent()), (0, true), "{summary:?}");
        let left = check.expires_at.0 - check.created_at.0;
        assert!((0..3_600 * Time::SECOND).contains(&left), "nobody will repair it: {left}");
    });
}

#[test]
fn a_check_tells_everything_once_goes_on_from_any_place_and_changes_nothing() {
    live(async {
        let (world, app, _plan) = world().await;
        upload(&app, "missing").await;
        upload(&app, "changed").await;
        let blobs = world.store.blobs();
        crate::ports::BlobStore::delete(&world.blobs, blobs[1].key).await.expect("in memory");
        world.blobs.plant(blobs[2].key, b"CHANGED", Time(0));
        let kept = world.blobs.kept();
        let sizes = check(&app, CheckAsked { hash_bytes: Some(0), ..CheckAsked::default() }).await.expect("no faults");
        let all = check(&app, CheckAsked::default()).await.expect("no faults");
        let mut expected = vec![
            FindingKind::BytesMissing,
            FindingKind::UnnamedBytes,
            FindingKind::OpenMultipart,
            FindingKind::StaleSpool,
            FindingKind::StrangeName,
        ];
        assert_eq!(kinds(&sizes), expected);
        expected.insert(1, FindingKind::WrongHash);
        assert_eq!(kinds(&all), expected);
        let Some(CheckTold::Summary(summary)) = all.last() else { panic!("{all:?}") };
        assert!(!summary.counts.is_consistent());
        assert_eq!((summary.counts.blobs, summary.counts.young), (3, 1));
        assert_eq!(summary.check.as_ref().map(|check| check.stored), Some(6));
        let id = summary.check.as_ref().map(|check| check.id);
        let mut places = 0;
        for (at, told) in all.iter().enumerate() {
            let CheckTold::Progress(progress) = told else { continue };
            assert_eq!(progress.id, id);
            let on = CheckAsked { id, after: progress.after.clone(), ..CheckAsked::default() };
            let rest = check(&app, on).await.expect("no faults");
            assert_eq!(kinds(&rest), kinds(&all[at..]), "from {}", progress.after);
            let Some(CheckTold::Summary(again)) = rest.last() else { panic!("{rest:?}") };
            assert_eq!(again.counts, summary.counts);
            assert_eq!(again.check.as_ref().map(|check| check.stored), Some(6), "told twice, it is kept once");
            places += 1;
        }
        assert!(places >= 4, "{all:?}");
        assert_eq!(world.blobs.kept(), kept);
        assert_eq!((world.blobs.open_parts().len(), world.blobs.strange_names()), (1, 1));
        let bad = check(&app, CheckAsked { after: "x".into(), ..CheckAsked::default() }).await;
        assert_eq!(bad.map(drop).map_err(|error| error.reason()), Err(Some(Reason::BadPageToken)));
    });
}

#[test]
fn a_repair_removes_what_is_unnamed_still_and_tells_what_a_person_must_do() {
    live(async {
        let (world, app, _plan) = world().await;
        upload(&app, "missing").await;
        let blobs = world.store.blobs();
        crate::ports::BlobStore::delete(&world.blobs, blobs[1].key).await.expect("in memory");
        let told = check(&app, CheckAsked::default()).await.expect("no faults");
        let mut repaired = repair(&app, &told, Vec::new()).await;
        repaired.sort_unstable();
        assert_eq!(
            repaired,
            [
                (FindingKind::BytesMissing, Repair::NeedsAPerson),
                (FindingKind::UnnamedBytes, Repair::Repaired),
                (FindingKind::OpenMultipart, Repair::Repaired),
                (FindingKind::StaleSpool, Repair::Repaired),
            ]
        );
        assert_eq!(world.blobs.strange_names(), 1, "only where it is asked for by name");
        let strange = repair(&app, &told, vec![FindingKind::StrangeName]).await;
        assert_eq!(strange, [(FindingKind::StrangeName, Repair::Repaired)]);
        assert_eq!(world.blobs.strange_names(), 0);
        let again = repair(&app, &told, Vec::new()).await;
        assert_eq!(again, [(FindingKind::BytesMissing, Repair::NeedsAPerson)], "what is repaired is not told again");
        let after = check(&app, CheckAsked::default()).await.expect("no faults");
        assert_eq!(kinds(&after), [FindingKind::BytesMissing]);
        let repaired = world.store.event_kinds().iter().filter(|kind| *kind == "FINDING_REPAIRED").count();
        assert_eq!(repaired, 4);
    });
}

#[test]
fn a_repair_of_another_node_leaves_this_ones_spool_and_judges_each_thing_again() {
    let (world, told) = live(async {
        let (world, app, _plan) = world().await;
        let told = check(&app, CheckAsked::default()).await.expect("no faults");
        (world, told)
    });
    live(async {
        let (app, _plan) = world.start(1, &[]).await.expect("no faults");
        // Gone meanwhile.
        crate::ports::BlobStore::delete(&world.blobs, key(1)).await.expect("in memory");
        let mut repaired = repair(&app, &told, Vec::new()).await;
        repaired.sort_unstable();
        assert_eq!(
            repaired,
            [
                (FindingKind::UnnamedBytes, Repair::Gone),
                (FindingKind::OpenMultipart, Repair::Repaired),
                (FindingKind::StaleSpool, Repair::Skipped),
            ]
        );
    });
    world.wait(90_000);
    live(async {
        let (app, _plan) = world.start(1, &[]).await.expect("no faults");
        let Some(CheckTold::Summary(summary)) = told.last() else { panic!("{told:?}") };
        let id = summary.check.as_ref().expect("it is kept").id;
        let refused = app.repair_consistency(&backend(), id, Vec::new()).await.map(drop);
        assert_eq!(refused.map_err(|error| error.reason()), Err(Some(Reason::PlanExpired)));
    });
}

/// Whatever is admitted.
fn admitted(new: &crate::ports::NewUpload) -> crate::ports::Admit {
    use crate::domain::admission::{self, Declared};
    let declared = Declared {
        target: new.target.clone(),
        name: "a.txt".to_owned(),
        content_type: String::new(),
        size: None,
        sha256: None,
        persistent: None,
        request_id: None,
        message_id: None,
        origin: None,
    };
    let settings = crate::domain::Settings::default();
    let health = admission::Service { scanner_healthy: true, room_bytes: u64::MAX };
    let admitted = admission::admit(&backend(), declared, None, &settings, health).expect("admitted");
    Arc::new(move |_| Ok(admitted.clone()))
}
