//! Rules of uploads: intents, request ids, fencing, the commit, sharing, quarantine, what a kill leaves.
//!
//! Not here: the world they are tried in (`world.rs`).

use super::*;
use crate::{
    domain::{Event, EventKind, Hit, Reason},
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
    w.pass(61);
    assert_eq!(w.dead(None).await, running(&[older]));
    let event = Event::new(EventKind::UploadAbandoned, Actor::SYSTEM);
    w.store.abort_upload(older, event.clone(), w.now(), 0).await.expect("aborts");
    w.store.abort_upload(older, event.clone(), w.now(), 0).await.expect("aborts nothing");
    w.store.abort_upload(newer, event, w.now(), 0).await.expect("a file that happened is not aborted");
    assert!(w.dead(None).await.is_empty());
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
    assert_eq!(w.dead(Some("n1")).await, running(&[older]), "no other row, and this one is still running");
    w.put("42", ChatStatus::Active, Some("17")).await;
    ready(w.store.commit_upload(w.commit(&caller, &upload, older)).await.expect("it was not fenced"));
}

pub async fn a_refused_upload_frees_its_request_id(w: World) {
    let caller = operator("17", &[], &[]);
    let upload = Upload { request_id: Some("r1".into()), ..Upload::to(Target::Library) };
    let intent = w.started(&caller, &upload).await;
    let event = Event::new(EventKind::UploadRefused, Actor::from(&caller)).reason(Reason::Infected);
    w.store.abort_upload(intent, event, w.now(), 0).await.expect("aborts");
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
    assert_eq!(w.dead(Some("n1")).await, running(&[second, fourth]));
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
    assert_eq!(w.store.quarantine(sha(0), found.clone(), "Eicar", None).await.expect("quarantines"), 1);
    assert_eq!(w.store.quarantine(sha(0), found, "Eicar", None).await.expect("quarantines"), 0);
    let events = w.events();
    let known = hit(share(VerdictKind::Clean, "4", blob).await).number;
    for blob in [blob, 999] {
        let intent = w.started(&caller, &upload).await;
        let mut commit = Commit { weighed: Some(known), ..w.commit(&caller, &upload, intent) };
        (commit.cleared, commit.verdict, commit.bytes) =
            (w.cleared(&upload, VerdictKind::NotScanned), verdict(VerdictKind::NotScanned, ""), BytesAt::Shared(blob));
        assert!(matches!(w.store.commit_upload(commit).await.expect("no failure"), Committed::BlobGone));
    }
    assert_eq!(w.events(), events, "nothing changed");
    let intent = w.started(&caller, &upload).await;
    let commit = Commit { weighed: Some(known), ..w.commit(&caller, &upload, intent) };
    let fresh = ready(w.store.commit_upload(commit).await.expect("commits"));
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

/// Commits an upload of 10 bytes with such a verdict, which was made in knowledge of a hit or of none.
async fn commit_as(w: &World, upload: &Upload, verdict: Verdict, weighed: Option<i64>) -> Committed {
    let caller = operator("17", &[], &[]);
    let intent = w.started(&caller, upload).await;
    let mut commit = w.commit(&caller, upload, intent);
    (commit.cleared, commit.weighed) = (w.cleared(upload, verdict.kind), weighed);
    commit.verdict = verdict;
    w.store.commit_upload(commit).await.expect("no failure")
}

fn hit(committed: Committed) -> Hit {
    match committed {
        Committed::Hit(hit) => *hit,
        Committed::Ready(_) | Committed::BlobGone => panic!("nothing is known of a hit"),
    }
}

pub async fn a_verdict_that_knows_nothing_of_a_hit_on_the_same_bytes_is_not_stored(w: World) {
    let upload = Upload::to(Target::Library);
    let stored = w.upload(&operator("17", &[], &[]), &upload).await;
    let found = verdict(VerdictKind::Infected, "2");
    let made = Some(Time::from_secs(2));
    assert_eq!(w.store.quarantine(sha(0), found.clone(), "Eicar", made).await.expect("quarantines"), 1);
    let events = w.events();
    let first = hit(commit_as(&w, &upload, verdict(VerdictKind::Clean, "1"), None).await);
    assert_eq!((first.signature.as_str(), &first.verdict, first.made), ("Eicar", &found, made));
    for kind in [VerdictKind::Clean, VerdictKind::UnscannableAccepted] {
        // Whatever time each clock has, and whatever signatures: what was not weighed may be older.
        for (signatures, at) in [("1", -1_000_000), ("2", 1), ("3", 1_000_000)] {
            let verdict = Verdict { at: Time::from_secs(at), ..verdict(kind, signatures) };
            assert_eq!(hit(commit_as(&w, &upload, verdict, None).await), first);
        }
    }
    assert_eq!(w.events(), events, "nothing changed");
    // Other bytes are not concerned; these are, though no scan was due.
    ready(commit_as(&w, &Upload { tag: 1, ..upload.clone() }, verdict(VerdictKind::Clean, "1"), None).await);
    assert_eq!(hit(commit_as(&w, &upload, verdict(VerdictKind::NotScanned, ""), None).await), first);
    // Weighed and not cleared, it stays.
    ready(commit_as(&w, &upload, verdict(VerdictKind::UnscannableAccepted, "3"), Some(first.number)).await);
    assert_eq!(hit(commit_as(&w, &upload, verdict(VerdictKind::Clean, "3"), None).await), first);
    let anew = ready(commit_as(&w, &upload, verdict(VerdictKind::Clean, "3"), Some(first.number)).await);
    assert_ne!(anew.blob.id, stored.blob.id);
    ready(commit_as(&w, &upload, verdict(VerdictKind::Clean, "3"), None).await);
}

pub async fn a_hit_is_remembered_where_no_blob_has_the_bytes_and_a_later_one_is_another(w: World) {
    let upload = Upload::to(Target::Library);
    let quarantine = async |signatures: &str, day: Option<i64>| {
        let found = verdict(VerdictKind::Infected, signatures);
        let made = day.map(|day| Time::from_secs(day * 86_400));
        w.store.quarantine(sha(0), found, "Eicar", made).await.expect("remembers")
    };
    assert_eq!(quarantine("2", Some(2)).await, 0, "there is no blob");
    let clean = || verdict(VerdictKind::Clean, "9");
    let first = hit(commit_as(&w, &upload, clean(), None).await);
    // The same again, or by signatures that are older, says nothing new.
    for (signatures, day) in [("2", Some(2)), ("1", Some(1))] {
        quarantine(signatures, day).await;
        assert_eq!(hit(commit_as(&w, &upload, clean(), None).await), first);
    }
    // By newer ones, or by such as nobody knows the time of, it does.
    for (signatures, day) in [("3", Some(3)), ("x", None)] {
        let before = hit(commit_as(&w, &upload, clean(), None).await);
        quarantine(signatures, day).await;
        let since = hit(commit_as(&w, &upload, clean(), Some(before.number)).await);
        assert!(since.number != before.number && since.verdict.signatures == signatures, "{since:?}");
    }
    assert_eq!(w.store.find_blob(sha(0), 10).await.expect("finds"), None);
}

pub async fn a_dead_nodes_intents_are_listed_when_their_lease_is_over_and_own_ones_at_start(w: World) {
    let caller = operator("17", &[], &[]);
    let intent = w.started(&caller, &Upload::to(Target::Library)).await;
    assert!(w.dead(None).await.is_empty() && w.dead(Some("n2")).await.is_empty());
    assert_eq!(w.dead(Some("n1")).await, running(&[intent]));
    w.store.renew_leases(&[intent], w.now(), 600).await.expect("renews");
    let other = Intent { id: intent.id + 1, ..intent };
    w.store.renew_leases(&[other], w.now(), 0).await.expect("renews nothing of another's");
    w.pass(540);
    assert!(w.dead(None).await.is_empty());
    w.pass(61);
    assert_eq!(w.dead(None).await, running(&[intent]));
}

pub async fn a_buried_intent_frees_its_request_id_tells_its_event_once_and_comes_up_again_when_its_time_is_over(
    w: World,
) {
    let caller = operator("17", &[], &[]);
    let upload = Upload { request_id: Some("r1".into()), ..Upload::to(Target::Library) };
    let intent = w.started(&caller, &upload).await;
    w.store.note_multipart(intent, &MultipartId("m".into())).await.expect("notes");
    let event = Event::new(EventKind::UploadAbandoned, Actor::SYSTEM);
    assert!(!w.store.fence_upload(intent).await.expect("fences"));
    for _ in 0..2 {
        w.store.abort_upload(intent, event.clone(), w.now(), 300).await.expect("buries");
    }
    w.store.abort_upload(intent, event, w.now(), 0).await.expect("ends no sooner");
    assert_eq!(w.events(), ["UPLOAD_ABANDONED"]);
    assert_eq!(reason(w.store.commit_upload(w.commit(&caller, &upload, intent)).await), Reason::Fenced);
    // Neither for a start of its node, nor by a stream that still runs, before the time is over.
    w.store.renew_leases(&[intent], w.now(), 1_000).await.expect("renews nothing");
    w.pass(280);
    assert!(w.dead(Some("n1")).await.is_empty());
    w.pass(30);
    assert_eq!(w.dead(None).await, [Dead { intent, buried: true }], "for any node");
    assert_eq!(w.store.find_multipart(intent).await.expect("finds"), Some(MultipartId("m".into())));
    let newer = w.started(&caller, &upload).await;
    for intent in [intent, intent, newer] {
        w.store.end_buried(intent).await.expect("ends what is buried");
    }
    assert!(w.dead(None).await.is_empty());
    ready(w.store.commit_upload(w.commit(&caller, &upload, newer)).await.expect("it was not buried"));
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
    assert_eq!(w.dead(Some("n1")).await.len(), 1);
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
    w.store.abort_upload(intent, event, w.now(), 0).await.expect("aborts");
    assert_eq!(w.store.find_multipart(intent).await.expect("finds"), None);
    assert_eq!(reason(w.store.note_multipart(intent, &parts("c")).await), Reason::Fenced);
}
