//! Rules that must hold whoever is faster: calls that meet each other on the same rows, as from many nodes.
//!
//! Not here: the world they are tried in (`world.rs`). Each is tried often: a race that is lost once in a while is lost.

use futures_util::future::{join, join_all};

use super::*;
use crate::{
    domain::{BlobState, FileState, Reason, settings::SettingValue},
    ports::{AttachTo, Purged},
};

const ROUNDS: u64 = 25;

fn to(id: &str) -> Vec<AttachTo> {
    vec![AttachTo { chat: id.parse().expect("valid"), message_id: None }]
}

pub async fn streams_with_one_request_id_that_begin_at_once_leave_one_file(w: World) {
    let caller = operator("17", &[], &[]);
    for round in 0..ROUNDS {
        let upload = Upload { tag: round, request_id: Some(format!("r{round}")), ..Upload::to(Target::Library) };
        let stream = async || match w.begin(&caller, &upload).await.expect("begins") {
            Begun::Started(intent, _) => match w.store.commit_upload(w.commit(&caller, &upload, intent)).await {
                Ok(committed) => Some(ready(committed).file.id),
                refused => {
                    assert_eq!(reason(refused), Reason::Fenced);
                    None
                }
            },
            Begun::Before(before) => Some(before.file),
        };
        let mut files: Vec<_> = join_all((0..4).map(|_| stream())).await.into_iter().flatten().collect();
        files.dedup();
        assert_eq!(files.len(), 1, "one file, whoever asks");
    }
    assert_eq!(w.events().len() as u64, ROUNDS);
}

pub async fn of_tellings_that_meet_the_highest_version_stays_and_none_is_lost(w: World) {
    let tell = async |id: &str, version| {
        let telling = vec![told(id, ChatStatus::Active, None, version)];
        w.store.put_chats(telling, Actor::SYSTEM, w.now()).await.expect("put");
    };
    let version =
        async |id: &str| w.store.find_chat(&id.parse().expect("valid")).await.expect("finds").expect("there").version;
    for round in 0..ROUNDS {
        let (named, counted) = (format!("n{round}"), format!("c{round}"));
        // A new chat each time: nobody has a row to wait for.
        join(join_all([2, 5, 1, 4, 3].map(|v| tell(&named, v))), join_all([0; 5].map(|v| tell(&counted, v)))).await;
        assert_eq!((version(&named).await, version(&counted).await), (5, 5));
    }
    // Batches that name the same chats in different orders.
    let batch = |ids: Vec<String>| {
        let tellings = ids.iter().map(|id| told(id, ChatStatus::Active, None, 0)).collect();
        w.store.put_chats(tellings, Actor::SYSTEM, w.now())
    };
    let ids: Vec<String> = (0..ROUNDS).map(|i| format!("n{i}")).collect();
    let backwards: Vec<String> = ids.iter().rev().cloned().collect();
    join_all([batch(ids), batch(backwards)]).await.into_iter().for_each(|put| drop(put.expect("put")));
    assert_eq!(version("n0").await, 7);
}

pub async fn an_upload_and_the_end_of_its_chat_agree_on_who_was_first(w: World) {
    let all = service(&["*"]);
    for round in 0..ROUNDS {
        let id = format!("c{round}");
        w.put(&id, ChatStatus::Active, None).await;
        let upload = Upload { tag: round, ..Upload::to(chat(&id)) };
        let intent = w.started(&all, &upload).await;
        let commit = w.commit(&all, &upload, intent);
        let (file, chat_id) = (commit.file_id, id.parse().expect("valid"));
        let delete = w.store.delete_chat(&chat_id, 0, Actor::SYSTEM, w.now());
        let (committed, deleted) = join(w.store.commit_upload(commit), delete).await;
        let deleted = deleted.expect("deletes").files_deleted;
        let found = w.store.find_file(FileRef::Id(file), &all).await.expect("finds");
        match committed {
            Ok(_) => assert_eq!((found.map(|v| v.file.state), deleted), (Some(FileState::Deleted), 1)),
            refused => {
                assert_eq!(reason(refused), Reason::NotFound);
                assert_eq!((found, deleted), (None, 0));
            }
        }
    }
}

pub async fn attaching_elsewhere_and_the_end_of_the_home_chat_agree_on_who_was_first(w: World) {
    let (all, settings) = (service(&["*"]), Settings::default());
    w.put("elsewhere", ChatStatus::Active, None).await;
    for round in 0..ROUNDS {
        let id = format!("c{round}");
        w.put(&id, ChatStatus::Active, None).await;
        let view = w.upload(&all, &Upload { tag: round, ..Upload::to(chat(&id)) }).await;
        let chat_id = id.parse().expect("valid");
        let attach = w.store.attach(FileRef::Id(view.file.id), to("elsewhere"), &all, &settings, w.now());
        let delete = w.store.delete_chat(&chat_id, 0, Actor::SYSTEM, w.now());
        let (attached, deleted) = join(attach, delete).await;
        let state = w.find(&view, &all).await.expect("the row stays").file.state;
        let deleted = deleted.expect("deletes");
        match attached {
            Ok(_) => assert_eq!((state, deleted.files_deleted, deleted.files_detached), (FileState::Ready, 0, 1)),
            refused => {
                assert_eq!(reason(refused), Reason::NotFound);
                assert_eq!((state, deleted.files_deleted), (FileState::Deleted, 1));
            }
        }
    }
}

pub async fn attaching_twice_at_once_is_one_attachment_and_deleting_twice_one_tombstone(w: World) {
    let (all, settings) = (service(&["*"]), Settings::default());
    w.put("a", ChatStatus::Active, None).await;
    for round in 0..ROUNDS {
        let view = w.upload(&all, &Upload { tag: round, ..Upload::to(Target::Library) }).await;
        let by = FileRef::Id(view.file.id);
        let attach = || w.store.attach(by, to("a"), &all, &settings, w.now());
        join_all([attach(), attach(), attach()]).await.into_iter().for_each(|a| drop(a.expect("attaches")));
        let delete = || w.store.delete_file(by, &all, &settings, w.now());
        let attach = w.store.attach(by, to("a"), &all, &settings, w.now());
        let (deleted, _) = join(join_all([delete(), delete(), delete()]), attach).await;
        assert!(deleted.iter().all(Result::is_ok), "{deleted:?}");
    }
    let count = |kind| w.events().iter().filter(|k| *k == kind).count() as u64;
    assert_eq!((count("FILE_ATTACHED"), count("FILE_DELETED")), (ROUNDS, ROUNDS));
}

pub async fn a_blob_found_infected_is_shared_by_nobody_who_comes_later(w: World) {
    let caller = operator("17", &[], &[]);
    for round in 0..ROUNDS {
        let upload = Upload { tag: round, ..Upload::to(Target::Library) };
        let first = w.upload(&caller, &upload).await;
        let intent = w.started(&caller, &upload).await;
        let mut commit = w.commit(&caller, &upload, intent);
        commit.bytes = BytesAt::Shared(first.blob.id);
        let quarantine = w.store.quarantine(sha(round), verdict(VerdictKind::Infected, "9"), "Eicar", None);
        let (committed, hit) = join(w.store.commit_upload(commit), quarantine).await;
        assert_eq!(hit.expect("quarantines"), 1);
        if let Committed::Ready(view) = committed.expect("no failure") {
            let found = w.find(&view, &caller).await.expect("the row stays");
            assert_eq!(found.blob.state, crate::domain::BlobState::Quarantined);
        }
        let served = w.store.find_blob(sha(round), 10).await.expect("finds").expect("there");
        assert_eq!(served.state, crate::domain::BlobState::Quarantined);
    }
}

pub async fn a_hit_and_a_commit_of_the_same_bytes_under_another_key_leave_none_that_is_served(w: World) {
    let caller = operator("17", &[], &[]);
    for round in 0..ROUNDS {
        let upload = Upload { tag: round, ..Upload::to(Target::Library) };
        w.upload(&caller, &upload).await;
        let intent = w.started(&caller, &upload).await;
        let commit = w.commit(&caller, &upload, intent);
        assert_eq!(commit.bytes, BytesAt::Published);
        let quarantine = w.store.quarantine(sha(round), verdict(VerdictKind::Infected, "9"), "Eicar", None);
        let (committed, hit) = join(w.store.commit_upload(commit), quarantine).await;
        match (committed.expect("no failure"), hit.expect("quarantines")) {
            (Committed::Ready(_), 2) | (Committed::Hit(_), 1) => {}
            (committed, hit) => panic!("{hit} were hit, and it is {committed:?}"),
        }
    }
}

pub async fn of_changes_of_settings_under_one_etag_one_applies(w: World) {
    for version in 0..ROUNDS as i64 {
        let save = |bytes| {
            let change = vec![("max_file_bytes", SettingValue::Int(bytes))];
            w.store.save_settings(change, version, Actor::SYSTEM, w.now())
        };
        let saved = join_all((1..=4).map(|i| save(version * 10 + i))).await;
        let applied = saved.iter().filter(|s| s.is_ok()).count();
        let refused = saved.into_iter().filter_map(Result::err).map(|e| reason::<()>(Err(e)));
        assert!(applied == 1 && refused.into_iter().all(|r| r == Reason::EtagMismatch));
        assert_eq!(w.store.settings_version().await.expect("asks"), version + 1);
    }
}

pub async fn of_a_purge_and_a_restore_that_meet_exactly_one_wins(w: World) {
    let (all, settings) = (service(&["*"]), Settings::default());
    let mut purged = 0;
    for round in 0..ROUNDS {
        let view = w.upload(&all, &Upload { tag: round, ..Upload::to(Target::Library) }).await;
        w.delete_at_once(&view).await;
        let by = FileRef::Id(view.file.id);
        let purge = async {
            if round % 2 == 0 {
                w.store.purge_deleted(0, 10, w.now()).await.expect("purges").files
            } else {
                w.store.purge_deleted(0, 10, w.now()).await.expect("purges");
                // At once it goes whatever became of it.
                u64::from(w.store.purge_file(by, &all, w.now()).await.is_ok())
            }
        };
        let (restored, ended) = join(w.store.restore_file(by, &all, &settings, w.now()), purge).await;
        let found = w.find(&view, &all).await;
        if round % 2 == 0 {
            assert_eq!((restored.is_ok(), ended), (found.is_some(), u64::from(found.is_none())));
        }
        match &found {
            Some(there) => assert_eq!((there.file.state, there.blob.state), (FileState::Ready, BlobState::Active)),
            None => purged += 1,
        }
        if let Err(refused) = restored {
            assert_eq!(reason(Err::<(), _>(refused)), Reason::NotFound);
        }
    }
    assert_eq!(w.events().iter().filter(|kind| *kind == "FILE_PURGED").count(), purged);
    assert_eq!((w.rows_of("stubs").len(), w.leaving(w.now()).await.len()), (purged, purged));
}

pub async fn a_purge_and_an_upload_that_shares_its_bytes_agree_on_who_was_first(w: World) {
    let all = service(&["*"]);
    for round in 0..ROUNDS {
        let upload = Upload { tag: round, ..Upload::to(Target::Library) };
        let first = w.upload(&all, &upload).await;
        w.delete_at_once(&first).await;
        let intent = w.started(&all, &upload).await;
        let commit = Commit { bytes: BytesAt::Shared(first.blob.id), ..w.commit(&all, &upload, intent) };
        let purge = w.store.purge_deleted(0, 10, w.now());
        let (committed, purged) = join(w.store.commit_upload(commit), purge).await;
        assert_eq!(purged.expect("purges").files, 1);
        let leaves = w.leaving(w.now()).await.iter().any(|blob| blob.id == first.blob.id);
        match committed.expect("no failure") {
            Committed::Ready(view) => {
                let found = w.find(&view, &all).await.expect("there");
                assert_eq!((found.blob.state, leaves), (BlobState::Active, false));
            }
            Committed::BlobGone => assert!(leaves),
            Committed::Hit(hit) => panic!("{hit:?}"),
        }
    }
}

pub async fn purges_of_all_files_of_one_blob_that_meet_leave_none_that_nobody_needs(w: World) {
    let all = service(&["*"]);
    for round in 0..ROUNDS {
        let upload = Upload { tag: round, ..Upload::to(Target::Library) };
        let mut files = vec![w.upload(&all, &upload).await];
        for _ in 0..5 {
            let intent = w.started(&all, &upload).await;
            let commit = Commit { bytes: BytesAt::Shared(files[0].blob.id), ..w.commit(&all, &upload, intent) };
            files.push(ready(w.store.commit_upload(commit).await.expect("commits")));
        }
        for deleted in &files[..3] {
            w.delete_at_once(deleted).await;
        }
        let one = |view: &FileView| w.store.purge_file(FileRef::Id(view.file.id), &all, w.now());
        let batch = || w.store.purge_deleted(0, 2, w.now());
        let (ones, batches) = join(join_all(files[3..].iter().map(one)), join_all([batch(), batch(), batch()])).await;
        for purged in ones {
            assert!(purged.expect("purges").is_none_or(|blob| blob.id == files[0].blob.id));
        }
        let met: Vec<Purged> = batches.into_iter().map(|purged| purged.expect("purges")).collect();
        let mut batches: u64 = met.iter().map(|purged| purged.files).sum();
        // Whoever found as many as it asked for says so, though others were before it: it is asked again.
        assert!(met.iter().all(|purged| purged.more || purged.files < 2), "{met:?}");
        let mut more = met.iter().any(|purged| purged.more);
        while more {
            let purged = batch().await.expect("purges");
            (batches, more) = (batches + purged.files, purged.more);
        }
        assert_eq!((batches, w.leaving(w.now()).await.len() as u64), (3, round + 1));
        assert!(w.rows_of("files").is_empty());
    }
}
