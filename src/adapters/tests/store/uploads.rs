//! Rules of uploads: intents, request ids, fencing, the commit, sharing, quarantine, what a kill leaves.
//!
//! Not here: the world they are tried in (`world.rs`).

use super::*;
use crate::{
    domain::{Event, EventKind, Reason},
    ports::{Before, MultipartId, REQUEST_ID_SECS},
};

pub async fn a_committed_upload_is_found_with_everything_it_was_made_of(w: World) {
    w.put("42", ChatStatus::Active, Some("17")).await;
    let caller = operator("17", &[], &[]);
    let upload = Upload { message_id: Some("m1".into()), ..Upload::to(chat("42")) };
    let view = w.upload(&caller, &upload).await;
    assert_eq!(w.find(&view, &caller).await.as_ref(), Some(&view));
    assert_eq!(view.file.number, 1 << 32, "numbers start at 2^32");
    assert_eq!(view.chats.len(), 1);
    assert_eq!(view.file.home_chat, Some("42".parse().expect("valid")));
    assert_eq!(view.blob.verdict, verdict(VerdictKind::Clean, "27000"));
    assert_eq!(w.events(), ["CHAT_PUT", "FILE_UPLOADED"]);
    let library = w.upload(&caller, &Upload { tag: 1, ..Upload::to(Target::Library) }).await;
    assert_eq!((library.chats.len(), library.file.home_chat.clone(), library.file.persistent), (0, None, true));
    assert_eq!(library.file.number, (1 << 32) + 1);
}

pub async fn the_same_request_id_gets_the_same_file_for_24_hours_and_for_its_person_only(w: World) {
    let caller = operator("17", &[], &[]);
    let upload = Upload { request_id: Some("r1".into()), ..Upload::to(Target::Library) };
    let view = w.upload(&caller, &upload).await;
    let Begun::Before(Before { target, uploaded_sha256, file }) = w.begin(&caller, &upload).await.expect("begins")
    else {
        panic!("forgotten");
    };
    assert_eq!((target, uploaded_sha256, file), (Target::Library, sha(0), view.file.id));
    w.started(&operator("18", &[], &[]), &upload).await;
    w.now.fetch_add(REQUEST_ID_SECS * Time::SECOND, Ordering::Relaxed);
    w.started(&caller, &upload).await;
}

pub async fn a_newer_stream_with_the_same_request_id_fences_the_older(w: World) {
    let caller = operator("17", &[], &[]);
    let upload = Upload { request_id: Some("r1".into()), ..Upload::to(Target::Library) };
    let older = w.started(&caller, &upload).await;
    let newer = w.started(&caller, &upload).await;
    assert_eq!(reason(w.store.commit_upload(w.commit(&caller, &upload, older)).await), Reason::Fenced);
    let view = ready(w.store.commit_upload(w.commit(&caller, &upload, newer)).await.expect("commits"));
    assert!(w.find(&view, &caller).await.is_some());
    // The fenced one is still to be buried by its lease's end, and ends like any other.
    let later = w.now().plus_secs(61);
    assert_eq!(w.store.list_dead_uploads(None, later, 10).await.expect("lists"), [older]);
    let event = Event::new(EventKind::UploadAbandoned, Actor::SYSTEM);
    w.store.abort_upload(older, event.clone(), later).await.expect("aborts");
    w.store.abort_upload(older, event.clone(), later).await.expect("aborts nothing");
    w.store.abort_upload(newer, event, later).await.expect("a file that happened is not aborted");
    assert!(w.store.list_dead_uploads(None, later, 10).await.expect("lists").is_empty());
    assert_eq!(w.events(), ["FILE_UPLOADED", "UPLOAD_ABANDONED"]);
    assert!(matches!(w.begin(&caller, &upload).await.expect("begins"), Begun::Before(_)));
}

pub async fn an_upload_is_admitted_with_its_chat_as_it_is_and_a_refused_one_writes_and_fences_nothing(w: World) {
    w.put("42", ChatStatus::Closed, Some("17")).await;
    let caller = operator("17", &[], &[]);
    let upload = Upload { request_id: Some("r1".into()), ..Upload::to(chat("42")) };
    let older = w.started(&caller, &upload).await;
    let refuse = |status: Option<ChatStatus>| -> Admit {
        Arc::new(move |chat| {
            assert_eq!(chat.map(|chat| chat.status), status);
            Err(Reason::ChatClosed.into())
        })
    };
    assert_eq!(reason(w.begin_if(&caller, &upload, refuse(Some(ChatStatus::Closed))).await), Reason::ChatClosed);
    for target in [chat("43"), Target::Library] {
        let upload = Upload { target, ..upload.clone() };
        assert_eq!(reason(w.begin_if(&caller, &upload, refuse(None)).await), Reason::ChatClosed);
    }
    let left = w.store.list_dead_uploads(Some("n1"), w.now(), 10).await.expect("lists");
    assert_eq!(left, [older], "no other row, and this one is still running");
    w.put("42", ChatStatus::Active, Some("17")).await;
    ready(w.store.commit_upload(w.commit(&caller, &upload, older)).await.expect("it was not fenced"));
}

pub async fn a_refused_upload_frees_its_request_id(w: World) {
    let caller = operator("17", &[], &[]);
    let upload = Upload { request_id: Some("r1".into()), ..Upload::to(Target::Library) };
    let intent = w.started(&caller, &upload).await;
    let event = Event::new(EventKind::UploadRefused, Actor::from(&caller)).reason(Reason::Infected);
    w.store.abort_upload(intent, event, w.now()).await.expect("aborts");
    w.started(&caller, &upload).await;
    assert_eq!(reason(w.store.commit_upload(w.commit(&caller, &upload, intent)).await), Reason::Fenced);
}

pub async fn a_commit_happens_once(w: World) {
    let caller = operator("17", &[], &[]);
    let upload = Upload::to(Target::Library);
    let intent = w.started(&caller, &upload).await;
    w.store.commit_upload(w.commit(&caller, &upload, intent)).await.expect("commits");
    assert_eq!(reason(w.store.commit_upload(w.commit(&caller, &upload, intent)).await), Reason::Fenced);
    assert_eq!(w.events(), ["FILE_UPLOADED"]);
}

pub async fn the_chat_is_judged_again_inside_the_commit(w: World) {
    w.put("1", ChatStatus::Active, None).await;
    let someone = visitor("v", &["1"]);
    let upload = Upload::to(chat("1"));
    let (first, second, third) =
        (w.started(&someone, &upload).await, w.started(&someone, &upload).await, w.started(&someone, &upload).await);
    w.put("1", ChatStatus::Closed, None).await;
    ready(w.store.commit_upload(w.commit(&someone, &upload, first)).await.expect("within the grace"));
    w.now.fetch_add(GRACE * Time::SECOND, Ordering::Relaxed);
    assert_eq!(reason(w.store.commit_upload(w.commit(&someone, &upload, second)).await), Reason::ChatClosed);
    let own = operator("17", &["1"], &[]);
    ready(w.store.commit_upload(w.commit(&own, &upload, third)).await.expect("operators always"));
    let fourth = w.started(&own, &upload).await;
    w.store.delete_chat(&"1".parse().expect("valid"), 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    assert_eq!(reason(w.store.commit_upload(w.commit(&own, &upload, fourth)).await), Reason::NotFound);
    // What was refused is still an intent, to be ended with its reason.
    let dead = w.store.list_dead_uploads(Some("n1"), Time(0), 10).await.expect("lists");
    assert_eq!(dead, [second, fourth]);
}

pub async fn a_shared_blob_must_be_active_and_takes_the_better_verdict(w: World) {
    let caller = operator("17", &[], &[]);
    let upload = Upload::to(Target::Library);
    let share = async |kind, signatures: &str, blob| {
        let intent = w.started(&caller, &upload).await;
        let mut commit = w.commit(&caller, &upload, intent);
        (commit.cleared, commit.verdict, commit.bytes) =
            (w.cleared(&upload, kind), verdict(kind, signatures), BytesAt::Shared(blob));
        w.store.commit_upload(commit).await.expect("no failure")
    };
    let intent = w.started(&caller, &upload).await;
    let mut commit = w.commit(&caller, &upload, intent);
    (commit.cleared, commit.verdict) =
        (w.cleared(&upload, VerdictKind::NotScanned), verdict(VerdictKind::NotScanned, ""));
    let first = ready(w.store.commit_upload(commit).await.expect("commits"));
    let blob = first.blob.id;
    let second = ready(share(VerdictKind::Clean, "1", blob).await);
    assert_eq!((second.blob.id, second.blob.verdict.kind), (blob, VerdictKind::Clean));
    assert_ne!(second.file.id, first.file.id);
    let third = ready(share(VerdictKind::NotScanned, "", blob).await);
    assert_eq!(third.blob.verdict, verdict(VerdictKind::Clean, "1"), "a verdict is never lost");
    let fourth = ready(share(VerdictKind::Clean, "2", blob).await);
    assert_eq!(fourth.blob.verdict.signatures, "2");
    assert_eq!(w.store.find_blob(sha(0), 10).await.expect("finds").expect("there").verdict.signatures, "2");
    assert_eq!(w.store.find_blob(sha(0), 11).await.expect("finds"), None);

    let found = verdict(VerdictKind::Infected, "3");
    assert_eq!(w.store.quarantine(sha(0), found.clone(), "Eicar").await.expect("quarantines"), 1);
    assert_eq!(w.store.quarantine(sha(0), found, "Eicar").await.expect("quarantines"), 0);
    let events = w.events();
    assert!(matches!(share(VerdictKind::Clean, "4", blob).await, Committed::BlobGone));
    assert!(matches!(share(VerdictKind::Clean, "4", 999).await, Committed::BlobGone));
    assert_eq!(w.events(), events, "nothing changed");
    let intent = w.started(&caller, &upload).await;
    let fresh = ready(w.store.commit_upload(w.commit(&caller, &upload, intent)).await.expect("commits"));
    assert_ne!(fresh.blob.id, blob, "sha256 is not unique");
    assert_eq!(w.store.find_blob(sha(0), 10).await.expect("finds").map(|b| b.id), Some(fresh.blob.id));
    let of = |key| Intent { id: -1, key };
    assert!(w.store.fence_upload(of(fresh.blob.key)).await.expect("looks"), "its bytes are a blob's");
    assert!(!w.store.fence_upload(of(BlobKey([9; 16]))).await.expect("looks"));
}

pub async fn a_blob_of_other_bytes_is_not_shared_and_takes_no_verdict_of_them(w: World) {
    let caller = operator("17", &[], &[]);
    let upload = Upload::to(Target::Library);
    let stored = w.upload(&caller, &upload).await;
    for other in [Upload { tag: 1, ..upload.clone() }, Upload { size: 11, ..upload }] {
        let intent = w.started(&caller, &other).await;
        let mut commit = w.commit(&caller, &other, intent);
        (commit.bytes, commit.verdict) = (BytesAt::Shared(stored.blob.id), verdict(VerdictKind::Clean, "9"));
        assert!(matches!(w.store.commit_upload(commit).await.expect("no failure"), Committed::BlobGone));
    }
    assert_eq!(w.find(&stored, &caller).await, Some(stored));
}

pub async fn a_verdict_older_than_a_hit_on_the_same_bytes_is_not_stored(w: World) {
    let caller = operator("17", &[], &[]);
    let upload = Upload::to(Target::Library);
    let stored = w.upload(&caller, &upload).await;
    let hit = |secs| Verdict { at: Time::from_secs(secs), ..verdict(VerdictKind::Infected, "2") };
    assert_eq!(w.store.quarantine(sha(0), hit(100), "Eicar").await.expect("quarantines"), 1);
    let events = w.events();
    let commit = async |kind, secs, signatures: &str, size| {
        let upload = Upload { size, ..upload.clone() };
        let intent = w.started(&caller, &upload).await;
        let mut commit = w.commit(&caller, &upload, intent);
        (commit.cleared, commit.verdict) =
            (w.cleared(&upload, kind), Verdict { at: Time::from_secs(secs), ..verdict(kind, signatures) });
        w.store.commit_upload(commit).await.expect("no failure")
    };
    for kind in [VerdictKind::Clean, VerdictKind::UnscannableAccepted] {
        // Whatever signatures each was made by: of scans that overlap, nobody knows which were newer.
        for signatures in ["1", "2", "3"] {
            assert!(matches!(commit(kind, 99, signatures, 10).await, Committed::HitSince));
        }
    }
    assert_eq!(w.events(), events, "nothing changed");
    let anew = ready(commit(VerdictKind::Clean, 101, "3", 10).await);
    assert_ne!(anew.blob.id, stored.blob.id);
    // Other bytes, and bytes that nobody looked at, are not concerned.
    ready(commit(VerdictKind::Clean, 99, "1", 11).await);
    ready(commit(VerdictKind::NotScanned, 99, "", 10).await);
}

pub async fn a_dead_nodes_intents_are_listed_when_their_lease_is_over_and_own_ones_at_start(w: World) {
    let caller = operator("17", &[], &[]);
    let intent = w.started(&caller, &Upload::to(Target::Library)).await;
    let now = w.now();
    assert!(w.store.list_dead_uploads(None, now, 10).await.expect("lists").is_empty());
    assert!(w.store.list_dead_uploads(Some("n2"), now, 10).await.expect("lists").is_empty());
    assert_eq!(w.store.list_dead_uploads(Some("n1"), now, 10).await.expect("lists"), [intent]);
    w.store.renew_leases(&[intent], now.plus_secs(600)).await.expect("renews");
    let other = Intent { id: intent.id + 1, ..intent };
    w.store.renew_leases(&[other], now).await.expect("renews nothing of another's");
    assert!(w.store.list_dead_uploads(None, now.plus_secs(599), 10).await.expect("lists").is_empty());
    assert_eq!(w.store.list_dead_uploads(None, now.plus_secs(601), 10).await.expect("lists"), [intent]);
}

pub async fn old_request_ids_are_forgotten_and_running_ones_kept(w: World) {
    let caller = operator("17", &[], &[]);
    for id in ["r1", "r2"] {
        w.upload(&caller, &Upload { request_id: Some(id.into()), ..Upload::to(Target::Library) }).await;
    }
    w.started(&caller, &Upload { request_id: Some("r3".into()), ..Upload::to(Target::Library) }).await;
    assert_eq!(w.store.trim_request_ids(w.now()).await.expect("trims"), 0);
    let later = w.now().plus_secs(REQUEST_ID_SECS);
    assert_eq!(w.store.trim_request_ids(later).await.expect("trims"), 2);
    assert_eq!(w.store.list_dead_uploads(None, later, 10).await.expect("lists").len(), 1);
}

pub async fn upload_in_parts_is_noted_for_a_running_intent_only(w: World) {
    let caller = operator("17", &[], &[]);
    let upload = Upload { request_id: Some("r1".into()), ..Upload::to(Target::Library) };
    let parts = |id: &str| MultipartId(id.to_owned());
    let fenced = w.started(&caller, &upload).await;
    let intent = w.started(&caller, &upload).await;
    assert_eq!(w.store.find_multipart(intent).await.expect("finds"), None);
    assert_eq!(reason(w.store.note_multipart(fenced, &parts("a")).await), Reason::Fenced);
    w.store.note_multipart(intent, &parts("b")).await.expect("notes");
    assert_eq!(w.store.find_multipart(intent).await.expect("finds"), Some(parts("b")));
    assert_eq!(w.store.find_multipart(fenced).await.expect("finds"), None);
    let event = Event::new(EventKind::UploadAbandoned, Actor::SYSTEM);
    w.store.abort_upload(intent, event, w.now()).await.expect("aborts");
    assert_eq!(w.store.find_multipart(intent).await.expect("finds"), None);
    assert_eq!(reason(w.store.note_multipart(intent, &parts("c")).await), Reason::Fenced);
}
