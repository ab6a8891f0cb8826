//! What a sweep and a repair do where the store is not as it should be: uploads in parts that cannot be ended by their id, what
//! is gone meanwhile, and more unnamed bytes than a sweep removes without a word.
//!
//! Not here: what is removed and what never is (`consistency.rs`).

use super::{
    consistency::{check, kinds, repair, run, world},
    schedules::live,
};
use crate::{
    app::CheckAsked,
    domain::{
        BlobKey, Time,
        consistency::{FindingKind, Repair},
        run::{Outcome, Task},
    },
    ports::{BlobStore as _, MultipartId, Spool as _},
};

/// The n-th of many keys that nobody gave.
fn key(n: u128) -> BlobKey {
    BlobKey((1 << 100 | n).to_be_bytes())
}

#[test]
fn an_upload_that_the_store_began_by_half_goes_with_all_that_is_under_its_key() {
    live(async {
        let (world, app, _plan) = world().await;
        world.blobs.plant_parts(key(1), "half-begun 1");
        let swept = run(&app, Task::Sweep).await;
        assert_eq!((swept.outcome, swept.done, swept.failed), (Outcome::Done, 4, 1), "the strange name stays");
        assert!(world.blobs.open_parts().is_empty());
        world.blobs.plant_parts(key(1), "half-begun 2");
        let told = check(&app, CheckAsked::default()).await.expect("no faults");
        let repaired = repair(&app, &told, Vec::new()).await;
        assert_eq!(repaired, [(FindingKind::OpenMultipart, Repair::Repaired)]);
        assert!(world.blobs.open_parts().is_empty());
    });
}

#[test]
fn an_upload_that_was_begun_by_half_stays_and_is_told_where_bytes_are_under_its_key() {
    live(async {
        let (world, app, _plan) = world().await;
        let named = world.store.blobs()[0].key;
        world.blobs.plant_parts(named, "half-begun");
        let swept = run(&app, Task::Sweep).await;
        assert_eq!((swept.outcome, swept.done, swept.failed), (Outcome::Done, 3, 2), "{swept:?}");
        assert!(world.blobs.kept().contains_key(&named), "a row names them");
        let told = check(&app, CheckAsked::default()).await.expect("no faults");
        let repaired = repair(&app, &told, Vec::new()).await;
        assert_eq!(repaired, [(FindingKind::OpenMultipart, Repair::Failed)]);
        assert!(world.blobs.kept().contains_key(&named));
        assert_eq!(world.blobs.open_parts(), [named]);
    });
}

#[test]
fn what_is_gone_before_its_repair_is_told_as_gone_with_no_event() {
    live(async {
        let (world, app, _plan) = world().await;
        let told = check(&app, CheckAsked::default()).await.expect("no faults");
        for key in world.blobs.open_parts() {
            world.blobs.abort_parts(key, MultipartId("parts".into())).await.expect("in memory");
        }
        for key in world.spools[0].list().await.expect("in memory") {
            assert!(world.spools[0].discard(key).await.expect("in memory"));
        }
        let mut repaired = repair(&app, &told, vec![FindingKind::OpenMultipart, FindingKind::StaleSpool]).await;
        repaired.sort_unstable();
        let gone = [(FindingKind::OpenMultipart, Repair::Gone), (FindingKind::StaleSpool, Repair::Gone)];
        assert_eq!(repaired, gone);
        assert!(!world.store.event_kinds().iter().any(|kind| kind == "FINDING_REPAIRED"));
    });
}

/// As after a restore of an older database beside the store.
#[test]
fn a_sweep_that_would_remove_too_much_removes_no_bytes_and_says_so() {
    live(async {
        let (world, app, _plan) = world().await;
        // One is there already.
        for n in 1..=1_000 {
            world.blobs.plant(key(n), b"x", Time(0));
        }
        let kept = world.blobs.kept();
        let swept = run(&app, Task::Sweep).await;
        assert_eq!((swept.outcome, swept.done, swept.bytes), (Outcome::GuardReached, 2, 1), "{swept:?}");
        assert_eq!(swept.failed, 1_002, "and a strange name");
        assert_eq!(world.blobs.kept(), kept);
        world.blobs.delete(key(1)).await.expect("in memory");
        let swept = run(&app, Task::Sweep).await;
        assert_eq!((swept.outcome, swept.done, swept.failed), (Outcome::Done, 1_000, 1), "{swept:?}");
        assert_eq!(world.blobs.kept().len(), 2, "the file's and the young one's");
        let told = check(&app, CheckAsked::default()).await.expect("no faults");
        assert_eq!(kinds(&told), [FindingKind::StrangeName]);
    });
}
