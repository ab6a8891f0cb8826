//! Purging with a fault at every call that it makes: whatever goes wrong, one more purge leaves no row, no bytes, and
//! nothing less than what is to stay.
//!
//! Not here: what a purge takes (the contract of the stores), real kills, disks and object stores (`tests/it/purge.rs`).

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;

use super::{
    faults::{Fault, How},
    node::World,
    schedules::{faults, live},
};
use crate::{
    app::{App, Error, Part, PurgeBatch, UploadSource},
    domain::{
        BlobState, Caller, ChatSet, FileId, Permissions, Refusal, Settings,
        admission::{Declared, Target},
        listing::FileRef,
    },
    ports::{FileStore as _, PurgeStore as _},
};

struct Whole(VecDeque<Part>);

#[async_trait]
impl UploadSource for Whole {
    async fn next(&mut self) -> Result<Part, Refusal> {
        Ok(self.0.pop_front().unwrap_or(Part::Ended))
    }

    async fn drain(self: Box<Self>) {}
}

pub fn backend() -> Caller {
    Caller {
        person: "service:backend".parse().expect("valid"),
        permissions: Permissions::all(),
        chats: ChatSet::All,
        vid: None,
        ceiling: None,
    }
}

/// A library file with this text.
pub async fn try_upload(app: &Arc<App>, text: &'static str) -> Result<FileId, Error> {
    upload_to(app, Target::Library, text).await
}

/// A file with this text.
pub async fn upload_to(app: &Arc<App>, target: Target, text: &'static str) -> Result<FileId, Error> {
    let declared = Declared {
        target,
        name: "a.txt".to_owned(),
        content_type: String::new(),
        size: None,
        sha256: None,
        persistent: None,
        request_id: None,
        message_id: None,
        origin: None,
    };
    let parts = [Part::Chunk(text.into()), Part::Commit { size: None, sha256: None }];
    Ok(app.upload(backend(), declared, Box::new(Whole(parts.into()))).await?.file.id)
}

pub async fn upload(app: &Arc<App>, text: &'static str) -> FileId {
    try_upload(app, text).await.expect("it passes")
}

/// Two files of the same bytes and two of others, deleted eight days ago; one that stays, of the bytes of one of them.
fn world() -> World {
    let world = World::new();
    live(async {
        let (app, _plan) = world.start(0, &[]).await.expect("no faults");
        for text in ["shared", "shared", "one", "other", "kept"] {
            let id = upload(&app, text).await;
            app.delete_file(&backend(), FileRef::Id(id)).await.expect("deletes");
        }
        upload(&app, "kept").await;
    });
    world.wait(8 * 86_400);
    world
}

/// Until there is no more to be done at once.
async fn purge_all(app: &App, limit: u32) -> Result<PurgeBatch, Error> {
    let mut all = PurgeBatch::default();
    for _ in 0..20 {
        let done = app.purge_batch(limit, app.clock.now()).await?;
        all.files += done.files;
        all.blobs += done.blobs;
        all.bytes += done.bytes;
        all.failed += done.failed;
        if !done.more {
            return Ok(all);
        }
    }
    panic!("it never ends: {all:?}")
}

async fn judge(world: &World) -> Result<(), String> {
    world.judge().await?;
    let (files, blobs) = (world.store.files().len(), world.store.blobs().len());
    if (files, blobs) == (1, 1) { Ok(()) } else { Err(format!("{files} files and {blobs} blobs are there")) }
}

#[test]
fn one_purge_after_another_takes_all_that_is_over_and_counts_it() {
    for limit in [1, 2, 1_000] {
        let world = world();
        live(async {
            let (app, _plan) = world.start(0, &[]).await.expect("no faults");
            let all = purge_all(&app, limit).await.expect("no faults");
            let bytes = "sharedoneother".len() as u64;
            assert_eq!(all, PurgeBatch { files: 5, blobs: 3, bytes, failed: 0, more: false }, "{limit} at once");
            assert_eq!(app.purge_batch(limit, app.clock.now()).await.expect("no faults"), PurgeBatch::default());
            assert_eq!(judge(&world).await, Ok(()));
        });
    }
}

#[test]
fn every_call_of_a_purge_may_fail_or_be_the_last_and_one_more_purge_leaves_nothing() {
    let calls = {
        let world = world();
        live(async {
            let (app, plan) = world.start(0, &[]).await.expect("no faults");
            plan.arm(&[]);
            purge_all(&app, 2).await.expect("no faults");
            plan.calls()
        })
    };
    for call in ["PurgeStore.purge_deleted", "PurgeStore.delete_blobs", "BlobStore.delete", "BlobStore.size"] {
        assert!(calls.contains_key(call), "{calls:?}");
    }
    let (mut failures, faults) = (Vec::new(), faults(&calls));
    for fault in &faults {
        let world = world();
        live(async {
            let (app, plan) = world.start(0, &[]).await.expect("no faults");
            plan.arm(&[*fault]);
            // It may say that it failed.
            tokio::select! { _ = purge_all(&app, 2) => {}, () = plan.died() => {} }
        });
        live(async {
            let (app, _plan) = world.start(1, &[]).await.expect("no faults");
            let ended = purge_all(&app, 2).await.map(drop).map_err(|error| error.to_string());
            let judged = judge(&world).await;
            failures.extend(ended.and(judged).err().map(|what| format!("{fault:?}: {what}")));
        });
    }
    assert!(failures.is_empty(), "{} of {} faults:\n{}", failures.len(), faults.len(), failures.join("\n"));
}

#[test]
fn bytes_that_cannot_be_removed_are_counted_and_stop_no_other() {
    let first = |lasts| Fault { call: "BlobStore.delete", nth: 1, how: How::Failed, lasts };
    let world = world();
    live(async {
        let (app, plan) = world.start(0, &[]).await.expect("no faults");
        plan.arm(&[first(true)]);
        let all = app.purge_batch(2, app.clock.now()).await.expect("the files are purged");
        assert_eq!((all.files, all.blobs, all.failed, all.more), (2, 0, 1, true), "two of one blob");
        let all = purge_all(&app, 2).await.expect("the files are purged");
        assert_eq!((all.files, all.blobs), (3, 0), "and it ends");
        plan.arm(&[first(false)]);
        let one = purge_all(&app, 1).await.expect("no failure of the call");
        let rest = purge_all(&app, 1).await.expect("no failure of the call");
        assert_eq!((one.blobs + rest.blobs, one.failed + rest.failed), (3, 1), "the one that fails first is passed by");
        assert_eq!(judge(&world).await, Ok(()));
    });
}

#[test]
fn files_purged_at_once_are_gone_though_the_store_of_bytes_is_down_or_late() {
    let world = World::new();
    let leaving = |secs: i64| world.store.list_leaving(0, 10, 0, crate::domain::Time(i64::MAX - secs));
    live(async {
        let (app, plan) = world.start(0, &[]).await.expect("no faults");
        let (lost, late) = (upload(&app, "lost").await, upload(&app, "late").await);
        plan.arm(&[Fault { call: "BlobStore.delete", nth: 1, how: How::Failed, lasts: true }]);
        assert_eq!(app.purge_files(&backend(), vec![lost, lost]).await.expect("the answer says so"), [Ok(()), Ok(())]);
        assert_eq!((leaving(0).await.expect("lists").len(), world.blobs.kept().len()), (1, 2));
        plan.heal();
        assert_eq!(app.purge_files(&backend(), vec![late]).await.expect("it may"), [Ok(())]);
        assert_eq!(app.purge_files(&backend(), vec![late]).await.expect("it may"), [Err(Refusal::not_found())]);
        assert_eq!(world.blobs.kept().len(), 1, "what was just stored may come once more: its row stays");
        assert_eq!(leaving(0).await.expect("lists").len(), 2);
        assert!(world.store.blobs().iter().all(|blob| blob.state == BlobState::Purging));
        let found = world.store.find_file(FileRef::Id(lost), &backend()).await.expect("in memory");
        assert_eq!(found, None);
        let settings = Settings::default();
        let back = world.store.restore_file(FileRef::Id(late), &backend(), &settings, crate::domain::Time(0)).await;
        assert!(back.is_err());
    });
    world.wait(61);
    live(async {
        let (app, _plan) = world.start(0, &[]).await.expect("no faults");
        assert_eq!(app.purge_batch(10, app.clock.now()).await.expect("no faults").blobs, 2);
        assert_eq!(world.judge().await, Ok(()));
        assert!(world.store.blobs().is_empty() && world.blobs.kept().is_empty());
    });
}
