//! The rescan over nodes that live, die and lag behind: where it goes on, what it costs, where it stops.
//!
//! Not here: changes while it goes on (`rescan_anew.rs`), what a scan anew does to a blob (the contract of the stores), and
//! real scanners (`tests/it/quarantine.rs`).

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    faults::{Fault, How},
    node::{INFECTED, Told, World},
    purging::{backend, upload},
    schedules::live,
};
use crate::{
    app::{App, ReleaseAsked, ReleaseOf, RescanAsked, RescanResult, RunAsked},
    domain::{
        Actor, Blob, BlobState, Reason, Time, VerdictKind,
        run::{Outcome, RunState, Task},
        settings::{SettingValue, SignatureNames},
    },
    ports::{RescanStore as _, RunStore as _, SettingsStore as _},
};

impl World {
    pub fn tell(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the blob whose bytes are these.
    pub fn blob(&self, bytes: &str) -> Blob {
        let sha256 = super::node::sha256(bytes.as_bytes());
        let mut blobs = self.store.blobs();
        blobs.retain(|blob| blob.sha256 == sha256);
        blobs.pop().expect("it is stored")
    }

    pub fn quarantined(&self) -> usize {
        self.store.blobs().iter().filter(|blob| blob.state == BlobState::Quarantined).count()
    }

    pub async fn set(&self, app: &App, key: &'static str, value: SettingValue) {
        let version = self.store.settings_version().await.expect("in memory");
        self.store.save_settings(vec![(key, value)], version, Actor::SYSTEM, Time(0)).await.expect("saves");
        app.get_settings().await.expect("reads");
    }
}

/// A node whose scanner is at these signatures.
pub async fn node(world: &World, node: usize, day: i64) -> Arc<App> {
    world.tell().days[node] = day;
    world.start(node, &[]).await.expect("no faults").0
}

/// The watch over the scanner sees another version within some seconds.
pub async fn now_at(world: &World, app: &App, node: usize, day: i64) {
    world.tell().days[node] = day;
    let mut state = app.scanning().subscribe();
    let seen = |state: &crate::app::ScannerState| matches!(state, crate::app::ScannerState::Proved { version, .. } if version.signatures == day.to_string());
    state.wait_for(seen).await.expect("the sender lives");
}

/// A library of so many text files of their own bytes, by the node's first signatures.
const TEXTS: [&str; 6] = ["zero", "one", "two", "three", "four", "five"];

#[test]
fn all_are_scanned_by_newer_signatures_and_a_hit_is_quarantined_and_cleared_by_still_newer_ones() {
    let world = World::new();
    live(async {
        let app = node(&world, 0, 2).await;
        let mut ids = Vec::new();
        for text in TEXTS {
            ids.push(upload(&app, text).await);
        }
        app.rescan_once().await;
        assert_eq!(app.rescan_progress().await.expect("told").done_blobs, 0, "all are by these signatures");
        now_at(&world, &app, 0, 3).await;
        world.tell().finds = vec![(b"two", "Bad")];
        app.rescan_once().await;
        let told = app.rescan_progress().await.expect("told");
        assert_eq!((told.done_blobs, told.left_blobs, told.hits, told.ended_at.is_some()), (6, 0, 1, true));
        assert_eq!(world.blob("two").state, BlobState::Quarantined);
        assert_eq!(world.blob("one").verdict.signatures, "3");
        let asked = app.rescan(&backend(), RescanAsked::File(ids[2])).await.expect("scans");
        let infected = RescanResult::Quarantined { signature: "Bad".into() };
        assert_eq!(asked.files, [(ids[2], infected)]);
        let page = app.list_quarantine(&backend(), None, 10, "").await.expect("lists");
        assert_eq!((page.blobs.len(), page.blobs[0].file_ids.as_slice()), (1, &ids[2..3]));
        now_at(&world, &app, 0, 4).await;
        world.tell().finds.clear();
        app.rescan_once().await;
        assert_eq!((world.quarantined(), world.blob("two").verdict.kind), (0, VerdictKind::Clean));
        app.stop(Duration::from_secs(1)).await;
        assert_eq!(world.judge().await, Ok(()), "nothing is left in the spool");
    });
}

#[test]
fn another_node_goes_on_at_the_cursor_when_the_one_that_scans_dies() {
    let world = World::new();
    live(async {
        let app = node(&world, 0, 2).await;
        for text in TEXTS {
            upload(&app, text).await;
        }
    });
    world.tell().days = [3, 3];
    let scanned = live(async {
        let (app, plan) = world.start(0, &[]).await.expect("no faults");
        // Its third blob is judged, and it lives no more.
        let how = How::ALL.iter().copied().find(|how| how.kills()).expect("one");
        plan.arm(&[Fault { call: "RescanStore.judge_blob", nth: 3, how, lasts: false }]);
        tokio::select! { _ = app.rescan_once() => panic!("it lives"), () = plan.died() => {} }
        world.tell().scans
    });
    world.wait(1);
    let before = world.store.blobs().iter().filter(|blob| blob.verdict.signatures == "3").count();
    live(async {
        let (app, _plan) = world.start(1, &[]).await.expect("no faults");
        app.rescan_once().await;
        assert_eq!(world.tell().scans, scanned, "the lease of the first one holds");
    });
    world.wait(61);
    live(async {
        let (app, _plan) = world.start(1, &[]).await.expect("no faults");
        app.rescan_once().await;
        let after = world.tell().scans - scanned;
        assert!((2..=3).contains(&before) && after == 6 - before as u64, "{before} before, {after} after");
        assert!(world.store.blobs().iter().all(|blob| blob.verdict.signatures == "3"));
        let told = app.rescan_progress().await.expect("told");
        assert_eq!((told.done_blobs, told.ended_at.is_some()), (6, true));
    });
}

#[test]
fn a_node_with_older_signatures_does_not_undo_what_one_with_newer_ones_found() {
    let world = World::new();
    live(async {
        let (newer, older) = (node(&world, 0, 2).await, node(&world, 1, 1).await);
        let id = upload(&newer, "one").await;
        newer.rescan_once().await;
        now_at(&world, &newer, 0, 3).await;
        newer.rescan_once().await;
        let scans = world.tell().scans;
        older.rescan_once().await;
        assert_eq!((world.tell().scans, world.blob("one").verdict.signatures), (scans, "3".into()));
        let refused = older.rescan(&backend(), RescanAsked::File(id)).await.expect_err("it lags behind");
        assert_eq!(refused.reason(), Some(Reason::ScannerDown));
        // Bytes that it brings in are the newer one's to scan.
        upload(&older, "two").await;
        assert_eq!(world.blob("two").verdict.signatures, "1");
        newer.rescan_once().await;
        assert_eq!(world.blob("two").verdict.signatures, "3");
        upload(&older, "one").await;
        assert_eq!(world.blob("one").verdict.signatures, "3", "shared, and not worse than before");
    });
}

#[test]
fn a_signature_that_hits_everything_stops_at_ten_and_is_ignored_or_confirmed_by_hand() {
    let texts: Vec<&'static str> = (0..14).map(|n| &*Box::leak(format!("zip {n}").into_boxed_str())).collect();
    for ignored in [false, true] {
        let world = World::new();
        live(async {
            let app = node(&world, 0, 2).await;
            for text in &texts {
                upload(&app, text).await;
            }
            now_at(&world, &app, 0, 3).await;
            world.tell().finds = vec![(b"zip", "Zip")];
            app.rescan_once().await;
            let told = app.rescan_progress().await.expect("told");
            assert_eq!((world.quarantined(), told.hits, told.braked), (10, 10, vec![("Zip".to_owned(), 14)]));
            let kinds = world.store.event_kinds();
            assert_eq!(kinds.iter().filter(|kind| *kind == "SIGNATURE_BRAKED").count(), 1);
            if ignored {
                let names = SettingValue::from(SignatureNames(vec!["Zip".into()]));
                world.set(&app, "ignored_signatures", names).await;
                app.rescan_once().await;
                assert_eq!(world.quarantined(), 0);
                assert!(world.store.blobs().iter().all(|blob| blob.verdict.kind == VerdictKind::Released));
                upload(&app, "zip 99").await;
                assert_eq!(world.blob("zip 99").verdict.kind, VerdictKind::Released);
            } else {
                let all = RescanAsked::All { confirm_signature: Some("Zip".into()) };
                let asked = app.rescan(&backend(), all).await.expect("asks");
                assert_eq!((asked.progress.braked.len(), asked.progress.ended_at), (0, None));
                app.rescan_once().await;
                assert_eq!(world.quarantined(), 14);
            }
        });
    }
}

#[test]
fn a_file_that_brings_the_scanner_down_twice_is_not_tried_a_third_time_on_any_node() {
    let world = World::new();
    live(async {
        let nodes = [node(&world, 0, 2).await, node(&world, 1, 2).await];
        world.tell().kills = Some(b"killer");
        let mut reasons = Vec::new();
        for app in [&nodes[0], &nodes[1], &nodes[0], &nodes[1]] {
            reasons.push(super::purging::try_upload(app, "killer").await.map_err(|error| error.reason()));
            // The canaries come back right, and it is written down.
            tokio::time::sleep(Duration::from_secs(70)).await;
        }
        let expected = [Reason::ScannerDown, Reason::ScannerDown, Reason::Unscannable, Reason::Unscannable];
        assert_eq!(reasons, expected.map(|reason| Err(Some(reason))));
        assert_eq!(world.tell().scans, 2);
        // Others are not concerned, and newer signatures try again.
        upload(&nodes[0], "other").await;
        now_at(&world, &nodes[0], 0, 3).await;
        world.tell().kills = None;
        upload(&nodes[0], "killer").await;
        let sha256 = world.blob("killer").sha256;
        assert_eq!(world.store.find_failures(sha256, "3").await.expect("in memory"), 0);
    });
}

#[test]
fn a_stored_file_that_brings_the_scanner_down_is_passed_by_and_stays_served() {
    let world = World::new();
    live(async {
        let app = node(&world, 0, 2).await;
        for text in ["one", "killer", "two"] {
            upload(&app, text).await;
        }
        world.tell().kills = Some(b"killer");
        now_at(&world, &app, 0, 3).await;
        let scans = world.tell().scans;
        app.rescan_once().await;
        assert_eq!(world.tell().scans - scans, 4, "it twice, the others once");
        let killer = world.blob("killer");
        assert_eq!((killer.state, killer.verdict.signatures.as_str()), (BlobState::Active, "2"));
        assert!(["one", "two"].iter().all(|text| world.blob(text).verdict.signatures == "3"));
        assert!(app.rescan_progress().await.expect("told").ended_at.is_some());
    });
}

#[test]
fn an_hours_budget_is_kept_over_nodes_and_restarts_and_a_run_says_that_it_is_spent() {
    let world = World::new();
    let big = |letter: char| &*Box::leak(letter.to_string().repeat(400 << 10).into_boxed_str());
    let texts: Vec<&'static str> = ['a', 'b', 'c', 'd'].map(big).to_vec();
    live(async {
        let app = node(&world, 0, 2).await;
        world.set(&app, "rescan_budget_bytes_per_hour", SettingValue::Int(1 << 20)).await;
        for text in &texts {
            upload(&app, text).await;
        }
        world.tell().days = [3, 3];
    });
    let scanned = || world.store.blobs().iter().filter(|blob| blob.verdict.signatures == "3").count();
    live(async {
        let (app, _plan) = world.start(0, &[]).await.expect("no faults");
        app.rescan_once().await;
        assert_eq!(scanned(), 2, "a third one would be more than 1 MiB");
    });
    world.wait(60);
    live(async {
        let (app, _plan) = world.start(1, &[]).await.expect("no faults");
        let asked = RunAsked { tasks: vec![Task::Rescan], ..Default::default() };
        let mut run = app.run_maintenance(&backend(), asked).await.expect("begins");
        while run.state == RunState::Running {
            run = app.watch_run(&run).await.expect("told");
        }
        assert_eq!((run.tasks[0].outcome, run.tasks[0].done, scanned()), (Outcome::BudgetSpent, 0, 2));
        let told = app.rescan_progress().await.expect("told");
        assert!(told.budget_left_bytes < 400 << 10 && told.left_blobs == 2, "{told:?}");
    });
    world.wait(3_600);
    live(async {
        let (app, _plan) = world.start(1, &[]).await.expect("no faults");
        let asked = RunAsked { tasks: vec![Task::Rescan], ..Default::default() };
        let mut run = app.run_maintenance(&backend(), asked).await.expect("begins");
        while run.state == RunState::Running {
            run = app.watch_run(&run).await.expect("told");
        }
        let report = run.tasks[0];
        assert_eq!((report.outcome, report.done, report.bytes, scanned()), (Outcome::Done, 2, 800 << 10, 4));
        assert!(world.store.list_runs(None, 5).await.expect("in memory").len() == 2);
    });
}

#[test]
fn a_release_lets_bytes_and_their_uploads_through_until_it_ends() {
    let world = World::new();
    live(async {
        let app = node(&world, 0, 2).await;
        let id = upload(&app, "false alarm").await;
        now_at(&world, &app, 0, 3).await;
        world.tell().finds = vec![(b"false", "False")];
        app.rescan_once().await;
        let refused = super::purging::try_upload(&app, "false alarm").await.expect_err("it is infected");
        assert_eq!(refused.reason(), Some(Reason::Infected));
        let sha256 = world.blob("false alarm").sha256;
        let asked = ReleaseAsked { what: ReleaseOf::Blob(sha256), reason: "ticket 7".into(), until: None };
        let (release, out) = app.release_quarantine(&backend(), asked).await.expect("releases");
        assert_eq!(
            (out, release.signature.as_str(), world.blob("false alarm").verdict.kind),
            (1, "False", VerdictKind::Released)
        );
        upload(&app, "false alarm").await;
        let asked = app.rescan(&backend(), RescanAsked::File(id)).await.expect("scans");
        assert_eq!(asked.files, [(id, RescanResult::Released)]);
        app.rescan_once().await;
        assert_eq!(world.quarantined(), 0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        app.end_release(&backend(), release.number).await.expect("ends");
        app.rescan_once().await;
        assert_eq!(world.quarantined(), world.store.blobs().len(), "found again");
        assert_eq!(app.list_releases(&backend(), 10, "").await.expect("lists").0.len(), 1);
    });
}

#[test]
fn what_was_stored_unscanned_is_scanned_first_when_scanning_is_switched_on_and_nothing_is_while_it_is_off() {
    let world = World::new();
    live(async {
        let app = node(&world, 0, 2).await;
        world.set(&app, "antivirus_enabled", SettingValue::Bool(false)).await;
        let infected = std::str::from_utf8(INFECTED).expect("ASCII");
        let id = upload(&app, infected).await;
        upload(&app, "later").await;
        app.rescan_once().await;
        let asked = app.rescan(&backend(), RescanAsked::File(id)).await.expect("an answer");
        assert_eq!((asked.files[0].1.clone(), world.tell().scans), (RescanResult::NotScanned, 0));
        world.set(&app, "antivirus_enabled", SettingValue::Bool(true)).await;
        app.rescan_once().await;
        assert_eq!(
            (world.blob(infected).state, world.blob("later").verdict.kind),
            (BlobState::Quarantined, VerdictKind::Clean)
        );
    });
}

#[test]
fn damaged_bytes_are_told_and_stop_no_other_and_keep_their_verdict() {
    let world = World::new();
    live(async {
        let app = node(&world, 0, 2).await;
        for text in ["one", "two"] {
            upload(&app, text).await;
        }
        let damaged = world.blob("two");
        world.blobs.plant(damaged.key, b"owt", Time(0));
        now_at(&world, &app, 0, 3).await;
        app.rescan_once().await;
        assert_eq!(world.blob("two").verdict, damaged.verdict);
        assert_eq!(world.blob("one").verdict.signatures, "3");
        assert!(world.store.event_kinds().contains(&"BLOB_CORRUPT".to_owned()));
    });
}
