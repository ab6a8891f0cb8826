//! The rescan where something changes meanwhile or does not fit: a node's own set of signatures, a release that ends, blobs
//! that have just come, and those too large.
//!
//! Not here: its course over nodes that live and die (`rescan.rs`), who takes it over (the contract of the stores).

use std::time::Duration;

use super::{
    node::World,
    purging::{backend, upload},
    rescan::{node, now_at},
    schedules::live,
};
use crate::{
    adapters::memory::MemorySpool,
    app::{App, ReleaseAsked, ReleaseOf, RescanAsked, RescanResult, RunAsked},
    domain::{
        BlobState,
        run::{Outcome, RunState, Task},
    },
    ports::{Rescan, RescanStore as _},
};

fn text(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

async fn told(world: &World, app: &App) -> Rescan {
    world.store.find_rescan(app.clock.now()).await.expect("in memory")
}

#[test]
fn a_set_that_is_no_newer_by_name_or_day_is_scanned_by_on_the_node_that_has_it() {
    let world = World::new();
    live(async {
        // These two do not say when they were made.
        let app = node(&world, 0, 1).await;
        let id = upload(&app, "one").await;
        app.rescan_once().await;
        world.tell().finds = vec![(b"one", "Own")];
        now_at(&world, &app, 0, 0).await;
        let asked = app.rescan(&backend(), RescanAsked::File(id)).await.expect("it is the only node");
        assert_eq!(asked.files, [(id, RescanResult::Quarantined { signature: "Own".into() })]);
        app.rescan_once().await;
        assert_eq!(told(&world, &app).await.target.signatures, "0");
        world.tell().finds.clear();
        now_at(&world, &app, 0, -1).await;
        app.rescan_once().await;
        let blob = world.blob("one");
        assert_eq!((blob.state, blob.verdict.signatures.as_str()), (BlobState::Active, "-1"), "another set clears it");
    });
}

#[test]
fn two_nodes_with_sets_of_their_own_do_not_take_turns_and_the_one_that_is_left_takes_over() {
    let world = World::new();
    live(async {
        let (first, second) = (node(&world, 0, 1).await, node(&world, 1, 0).await);
        upload(&first, "one").await;
        for _ in 0..3 {
            first.rescan_once().await;
            second.rescan_once().await;
            assert_eq!(told(&world, &second).await.target.signatures, "1");
        }
        // The first one is gone, and nothing is to be done.
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        second.rescan_once().await;
        assert_eq!(told(&world, &second).await.target.signatures, "1");
        upload(&second, "two").await;
        second.rescan_once().await;
        assert_eq!(told(&world, &second).await.target.signatures, "1", "it may come any moment");
        tokio::time::sleep(Duration::from_secs(601)).await;
        second.rescan_once().await;
        assert_eq!(world.blob("one").verdict.signatures, "0");
    });
}

#[test]
fn a_release_whose_time_comes_while_all_are_scanned_has_the_walk_begin_anew() {
    let world = World::new();
    live(async {
        let app = node(&world, 0, 2).await;
        upload(&app, "false alarm").await;
        for n in 0..20 {
            upload(&app, text(format!("text {n}"))).await;
        }
        now_at(&world, &app, 0, 3).await;
        world.tell().finds = vec![(b"false", "False")];
        app.rescan_once().await;
        let what = ReleaseOf::Blob(world.blob("false alarm").sha256);
        now_at(&world, &app, 0, 4).await;
        let until = Some(app.clock.now().plus_secs(3));
        let asked = ReleaseAsked { what, reason: "for now".into(), until };
        app.release_quarantine(&backend(), asked).await.expect("releases");
        world.tell().takes = Duration::from_secs(1);
        app.rescan_once().await;
        let now = told(&world, &app).await;
        assert!((1..10).contains(&now.done_blobs) && now.is_stale && !now.is_leased, "{now:?}");
        app.rescan_once().await;
        assert_eq!(world.blob("false alarm").state, BlobState::Quarantined);
        assert!(told(&world, &app).await.ended_at.is_some());
    });
}

#[test]
fn the_walk_of_new_blobs_stays_before_young_ones_as_one_with_a_lower_id_may_still_come() {
    let world = World::new();
    live(async {
        let (app, older) = (node(&world, 0, 3).await, node(&world, 1, 2).await);
        upload(&app, "one").await;
        app.rescan_once().await;
        let before = told(&world, &app).await;
        tokio::time::sleep(Duration::from_secs(70)).await;
        upload(&older, "two").await;
        app.rescan_once().await;
        let now = told(&world, &app).await;
        assert_eq!((now.cursor, now.done_blobs), (before.cursor, before.done_blobs + 1));
        assert!(now.cursor < now.newest && world.blob("two").verdict.signatures == "3", "{now:?}");
        app.rescan_once().await;
        assert_eq!(told(&world, &app).await.done_blobs, now.done_blobs, "it is judged already");
        tokio::time::sleep(Duration::from_secs(61)).await;
        app.rescan_once().await;
        let now = told(&world, &app).await;
        assert_eq!(now.cursor, now.newest);
    });
}

#[test]
fn what_a_lagging_node_put_into_quarantine_while_others_were_scanned_is_not_left_there() {
    let world = World::new();
    live(async {
        let (app, older) = (node(&world, 0, 3).await, node(&world, 1, 2).await);
        for n in 0..12 {
            upload(&app, text(format!("text {n}"))).await;
        }
        now_at(&world, &app, 0, 4).await;
        world.tell().takes = Duration::from_secs(1);
        let meanwhile = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            world.tell().finds = vec![(b"text 0", "Old"), (b"text 11", "Old")];
            for known in ["text 0", "text 11"] {
                super::purging::try_upload(&older, known).await.expect_err("it is found");
            }
            world.tell().finds.clear();
            assert_eq!(world.blob("text 0").state, BlobState::Quarantined);
            assert_eq!(world.blob("text 11").state, BlobState::Active, "newer ones called it clean");
        };
        tokio::join!(app.rescan_once(), meanwhile);
        assert_eq!((world.quarantined(), world.blob("text 0").verdict.signatures.as_str()), (0, "4"));
    });
}

#[test]
fn a_blob_that_fits_neither_the_scanner_nor_the_spool_stops_no_other_and_costs_no_budget() {
    let mut world = World::new();
    let big = text("b".repeat(300 << 10));
    live(async {
        let app = node(&world, 0, 2).await;
        upload(&app, "one").await;
        upload(&app, big).await;
        upload(&app, "two").await;
        app.stop(Duration::from_secs(1)).await;
    });
    for (day, most_bytes, spool) in [(3, 100 << 10, 64 << 20), (4, 1 << 30, 100 << 10)] {
        world.spools[0] = MemorySpool::new(spool);
        world.tell().most_bytes = most_bytes;
        let scans = world.tell().scans;
        live(async {
            let app = node(&world, 0, day).await;
            app.rescan_once().await;
            let now = told(&world, &app).await;
            assert!(now.ended_at.is_some() && now.spent.bytes < 100, "{now:?}");
            app.stop(Duration::from_secs(1)).await;
        });
        assert_eq!(world.tell().scans - scans, 2, "it is not sent");
        assert!(["one", "two"].iter().all(|text| world.blob(text).verdict.signatures == day.to_string()));
        assert_eq!((world.blob(big).state, world.blob(big).verdict.signatures.as_str()), (BlobState::Active, "2"));
        world.wait(3_600);
    }
}

#[test]
fn a_full_spool_is_waited_for_before_the_budget_is_spent() {
    let world = World::new();
    let big = text("b".repeat(300 << 10));
    live(async {
        let app = node(&world, 0, 2).await;
        upload(&app, big).await;
        app.stop(Duration::from_secs(1)).await;
    });
    live(async {
        let app = node(&world, 0, 3).await;
        let mut writer = crate::ports::Spool::writer(&world.spools[0], crate::domain::BlobKey([9; 16]));
        writer.write(&[vec![0; (64 << 20) - 1].into()]).expect("it has room");
        app.rescan_once().await;
        let now = told(&world, &app).await;
        assert_eq!((now.spent.bytes, now.ended_at), (0, None));
        crate::ports::Spool::discard(&world.spools[0], crate::domain::BlobKey([9; 16])).await.expect("in memory");
        app.rescan_once().await;
        assert_eq!(world.blob(big).verdict.signatures, "3");
    });
}

#[test]
fn a_run_that_has_scanned_for_long_is_not_failed_by_signatures_that_change() {
    let world = World::new();
    live(async {
        let app = node(&world, 0, 2).await;
        for n in 0..4 {
            upload(&app, text(format!("text {n}"))).await;
        }
        now_at(&world, &app, 0, 3).await;
        world.tell().takes = Duration::from_secs(25);
        let asked = RunAsked { tasks: vec![Task::Rescan], ..Default::default() };
        let mut run = app.run_maintenance(&backend(), asked).await.expect("begins");
        tokio::time::sleep(Duration::from_secs(85)).await;
        world.tell().days[0] = 4;
        while run.state == RunState::Running {
            run = app.watch_run(&run).await.expect("told");
        }
        assert_eq!(run.tasks[0].outcome, Outcome::Done);
        assert!(world.store.blobs().iter().all(|blob| blob.verdict.signatures == "4"));
    });
}
