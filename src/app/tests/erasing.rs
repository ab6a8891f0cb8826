//! Erasing with a fault at every call that it makes: whatever goes wrong, one more call comes to the end, under one pseudonym,
//! and leaves nothing that names the visitor.
//!
//! Not here: what an erasure takes (the contract of the stores), real kills and databases (`tests/it/erase.rs`).

use std::sync::Arc;

use super::{
    faults::{Fault, How},
    node::World,
    purging::{backend, upload_to},
    schedules::{faults, live},
};
use crate::{
    app::{App, Error},
    domain::{
        Actor, BlobState, Event, EventKind, Person, Time,
        admission::Target,
        erasure::{Erased, Why},
    },
    ports::UploadStore as _,
};

const GONE: &str = "gone9f2c";

async fn erase(app: &Arc<App>) -> Result<Erased, Error> {
    let why = Why::new("request 7").expect("valid");
    app.erase_visitor(&backend(), GONE.parse().expect("valid"), Vec::new(), why).await
}

/// Three files of a visitor, two of the same bytes, one of which somebody else has, too; and what is told of it.
fn world() -> World {
    let world = World::new();
    live(async {
        let (app, _plan) = world.start(0, &[]).await.expect("no faults");
        for text in ["twice", "twice", "shared"] {
            upload_to(&app, Target::Visitor(GONE.parse().expect("valid")), text).await.expect("it passes");
        }
        upload_to(&app, Target::Library, "shared").await.expect("it passes");
        for _ in 0..3 {
            let person = Some(Person::Visitor(GONE.parse().expect("valid")));
            let event = Event::new(EventKind::UploadAbandoned, Actor { person, acting_service: None });
            world.store.record(event, Time(0)).await.expect("in memory");
        }
    });
    world.wait(3_600);
    world
}

async fn judge(world: &World) -> Result<(), String> {
    world.judge().await?;
    let named: Vec<_> = world.store.lines().into_iter().filter(|line| line.contains(GONE)).collect();
    let told = world.store.event_kinds().iter().filter(|kind| *kind == "VISITOR_ERASED").count();
    let (files, blobs) = (world.store.files().len(), world.store.blobs().len());
    if named.is_empty() && (told, files, blobs) == (1, 1, 1) {
        return Ok(());
    }
    Err(format!("{told} ends, {files} files, {blobs} blobs, {named:#?}"))
}

#[test]
fn every_call_of_an_erasure_may_fail_or_be_the_last_and_one_more_comes_to_its_end() {
    let calls = {
        let world = world();
        live(async {
            let (app, plan) = world.start(0, &[]).await.expect("no faults");
            plan.arm(&[]);
            let erased = erase(&app).await.expect("no faults");
            assert_eq!((erased.files, erased.events, erased.shared_blobs, erased.pending_bytes), (3, 3, 1, 0));
            assert_eq!(judge(&world).await, Ok(()));
            assert_eq!(erase(&app).await.expect("again"), Erased::default());
            assert_eq!(judge(&world).await, Ok(()), "once");
            plan.calls()
        })
    };
    for call in ["EraseStore.begin_erasure", "EraseStore.erase_files", "EraseStore.erase_events", "BlobStore.delete"] {
        assert!(calls.contains_key(call), "{calls:?}");
    }
    let (mut failures, faults) = (Vec::new(), faults(&calls));
    for fault in &faults {
        let world = world();
        live(async {
            let (app, plan) = world.start(0, &[]).await.expect("no faults");
            plan.arm(&[*fault]);
            // It may say that it failed.
            tokio::select! { _ = erase(&app) => {}, () = plan.died() => {} }
        });
        live(async {
            let (app, _plan) = world.start(1, &[]).await.expect("no faults");
            let erased = erase(&app).await.map_err(|error| error.to_string());
            // Whichever call did it: what came to its end now tells what another file needs, and what is still to be removed.
            let left = world.store.blobs().into_iter().filter(|blob| blob.state == BlobState::Purging);
            let whole = (3, 3, 1, left.map(|blob| blob.size).sum());
            let ended = erased.and_then(|Erased { files, events, shared_blobs, pending_bytes, .. }| {
                let told = (files, events, shared_blobs, pending_bytes);
                let before = told == (0, 0, 0, 0);
                if before || told == whole { Ok(()) } else { Err(format!("{told:?} is told of {whole:?}")) }
            });
            // Bytes that could not be removed go with the next purge.
            let purged = app.purge_batch(10, app.clock.now()).await.map(drop).map_err(|error| error.to_string());
            let judged = judge(&world).await;
            failures.extend(ended.and(purged).and(judged).err().map(|what| format!("{fault:?}: {what}")));
        });
    }
    assert!(failures.is_empty(), "{} of {} faults:\n{}", failures.len(), faults.len(), failures.join("\n"));
}

#[test]
fn bytes_that_cannot_be_removed_are_told_and_keep_nothing_else() {
    let world = world();
    live(async {
        let (app, plan) = world.start(0, &[]).await.expect("no faults");
        plan.arm(&[Fault { call: "BlobStore.delete", nth: 1, how: How::Failed, lasts: true }]);
        let erased = erase(&app).await.expect("the answer says so");
        assert_eq!((erased.files, erased.bytes, erased.pending_bytes), (3, 5, 5));
        plan.heal();
        assert_eq!(app.purge_batch(10, app.clock.now()).await.expect("no faults").blobs, 1);
        assert_eq!(judge(&world).await, Ok(()));
    });
}
