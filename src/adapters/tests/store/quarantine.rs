//! Rules of releases: what comes out of quarantine, stays out, and goes back.
//!
//! Not here: how something comes to lie there (`rescan.rs`, `uploads.rs`).

use super::{
    rescan::{day, found},
    *,
};
use crate::{
    domain::{
        BlobState, Reason, Sha256,
        quarantine::{Judged, Judgement, Release, ReleaseOf},
    },
    ports::{NewRelease, QuarantineQuery},
};

impl World {
    async fn release(&self, what: ReleaseOf, until: Option<Time>) -> (Release, u64) {
        let by = Actor::from(&service(&["*"]));
        let new = NewRelease { what, reason: "a false alarm".into(), by, until, now: self.now() };
        self.store.create_release(new).await.expect("releases")
    }

    /// Stored, and found infected.
    async fn infected(&self, tag: u64, signature: &str) -> FileView {
        let view = self.stored(tag).await;
        self.judge(None, &view, found(signature), &day(2)).await.expect("judged");
        view
    }

    async fn is_released(&self, sha256: Sha256, signature: &str) -> bool {
        self.store.is_released(sha256, signature, self.now()).await.expect("asks")
    }

    /// By the clock that judges.
    async fn by_now(&self) -> Time {
        self.store.find_rescan(self.now()).await.expect("told").now
    }
}

pub async fn bytes_are_released_from_what_was_found_in_them_and_from_nothing_else(w: World) {
    let (view, other) = (w.infected(1, "Bad").await, w.infected(2, "Bad").await);
    let (release, out) = w.release(ReleaseOf::Blob(sha(1)), None).await;
    assert_eq!((out, release.sha256, release.signature.as_str(), release.until), (1, Some(sha(1)), "Bad", None));
    let now = w.candidate(&view).await;
    assert_eq!((now.blob.state, now.blob.verdict.kind, now.released), (BlobState::Active, VerdictKind::Released, true));
    assert_eq!(now.signature.as_deref(), Some("Bad"));
    assert_eq!(w.candidate(&other).await.blob.state, BlobState::Quarantined);
    assert_eq!([w.told_of("RELEASE_PUT").await, w.told_of("QUARANTINE_RELEASED").await], [1, 1]);
    assert!(w.is_released(sha(1), "Bad").await);
    assert!(!w.is_released(sha(1), "Worse").await && !w.is_released(sha(2), "Bad").await);
    // Another change of signatures: the same hit counts for nothing, another one does.
    assert_eq!(w.judge(None, &view, found("Bad"), &day(3)).await.expect("judged"), Judged::Released);
    let now = w.candidate(&view).await.blob;
    assert_eq!((now.verdict.kind, now.verdict.signatures.as_str()), (VerdictKind::Released, "3"));
    assert_eq!(w.judge(None, &view, found("Worse"), &day(4)).await.expect("judged"), Judged::Quarantined(1));
    let nothing =
        NewRelease { what: ReleaseOf::Blob(sha(9)), reason: "x".into(), by: Actor::SYSTEM, until: None, now: w.now() };
    assert_eq!(reason(w.store.create_release(nothing).await), Reason::NotFound);
}

pub async fn a_signature_is_released_in_batches_and_what_it_hits_later_is_let_through(w: World) {
    let mut views = Vec::new();
    for tag in 0..3 {
        views.push(w.infected(tag, "Bad").await);
    }
    let worse = w.infected(7, "Worse").await;
    let (release, out) = w.release(ReleaseOf::Signature("Bad".into()), None).await;
    assert_eq!((out, release.sha256), (0, None));
    let mut batches = Vec::new();
    for _ in 0..3 {
        batches.push(w.store.release_batch(release.number, 2, Actor::SYSTEM, w.now()).await.expect("releases"));
    }
    assert_eq!(batches, [2, 1, 0]);
    for view in &views {
        let now = w.candidate(view).await;
        assert_eq!((now.blob.verdict.kind, now.released), (VerdictKind::Released, true));
    }
    assert_eq!(w.candidate(&worse).await.blob.state, BlobState::Quarantined);
    let later = w.stored(8).await;
    assert_eq!(w.judge(None, &later, found("Bad"), &day(2)).await.expect("judged"), Judged::Released);
    assert!(w.is_released(sha(99), "Bad").await);
    let (again, _) = w.release(ReleaseOf::Signature("Bad".into()), None).await;
    let listed = w.store.list_releases(None, 10).await.expect("lists");
    let in_force: Vec<_> = listed.iter().map(|(number, one)| (*number, one.until.is_none())).collect();
    assert_eq!(in_force, [(again.number, true), (release.number, false)], "the newer one stands in its place");
    assert_eq!(w.store.release_batch(release.number, 2, Actor::SYSTEM, w.now()).await.expect("asks"), 0);
    let page = w.store.list_releases(Some(again.number), 10).await.expect("lists");
    assert_eq!(page.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [release.number]);
}

pub async fn a_release_that_has_ended_has_its_blobs_scanned_and_found_again(w: World) {
    let view = w.infected(1, "Bad").await;
    w.take_rescan("n1", &day(2)).await.expect("free");
    let (release, _) = w.release(ReleaseOf::Blob(sha(1)), None).await;
    assert!(!w.store.find_rescan(w.now()).await.expect("told").is_stale);
    let ended = w.store.end_release(release.number, Actor::SYSTEM, w.now()).await.expect("ends");
    assert!(ended.until.is_some_and(|until| until >= ended.at));
    let again = w.store.end_release(release.number, Actor::SYSTEM, w.now()).await.expect("as it is");
    assert_eq!((again, w.told_of("RELEASE_ENDED").await), (ended, 1));
    assert_eq!(reason(w.store.end_release(99, Actor::SYSTEM, w.now()).await), Reason::NotFound);
    assert!(!w.is_released(sha(1), "Bad").await && !w.candidate(&view).await.released);
    assert!(w.store.find_rescan(w.now()).await.expect("told").is_stale, "it is to begin anew");
    w.take_rescan("n1", &day(2)).await.expect("its own");
    assert!(!w.store.find_rescan(w.now()).await.expect("told").is_stale);
    assert_eq!(w.judge(None, &view, found("Bad"), &day(2)).await.expect("judged"), Judged::Quarantined(1));
    assert_eq!(w.candidate(&view).await.blob.state, BlobState::Quarantined);
}

pub async fn a_release_counts_until_its_time_and_newer_signatures_that_find_nothing_end_its_need(w: World) {
    let view = w.infected(1, "Bad").await;
    let until = w.by_now().await.plus_secs(-1);
    w.release(ReleaseOf::Blob(sha(1)), Some(until)).await;
    assert!(!w.is_released(sha(1), "Bad").await, "over already");
    let until = w.by_now().await.plus_secs(3_600);
    let again = w.judge(None, &view, found("Bad"), &day(2)).await.expect("judged");
    assert_eq!(again, Judged::Quarantined(1));
    w.release(ReleaseOf::Blob(sha(1)), Some(until)).await;
    assert!(w.is_released(sha(1), "Bad").await);
    assert_eq!(w.judge(None, &view, Judgement::Clean, &day(3)).await.expect("judged"), Judged::Cleared);
    let now = w.candidate(&view).await;
    assert_eq!((now.blob.verdict.kind, now.signature), (VerdictKind::Clean, None));
}

pub async fn a_hit_that_is_ignored_lets_its_blobs_out_as_released(w: World) {
    let view = w.infected(1, "Bad").await;
    let ignored = Judgement::Found { signature: "Bad".into(), ignored: true };
    assert_eq!(w.judge(None, &view, ignored, &day(3)).await.expect("judged"), Judged::Released);
    let now = w.candidate(&view).await;
    assert_eq!(
        (now.blob.state, now.blob.verdict.kind, now.released),
        (BlobState::Active, VerdictKind::Released, false)
    );
    assert_eq!(w.told_of("QUARANTINE_RELEASED").await, 1);
}

pub async fn what_lies_in_quarantine_is_listed_with_its_files_the_newest_blob_first(w: World) {
    let all = service(&["*"]);
    let view = w.stored(1).await;
    for _ in 0..2 {
        let upload = Upload { tag: 1, ..Upload::to(Target::Library) };
        let intent = w.started(&all, &upload).await;
        let mut commit = w.commit(&all, &upload, intent);
        commit.bytes = BytesAt::Shared(view.blob.id);
        ready(w.store.commit_upload(commit).await.expect("commits"));
    }
    w.judge(None, &view, found("Bad"), &day(2)).await.expect("judged");
    let worse = w.infected(2, "Worse").await;
    let list = async |signature: Option<&str>, before: Option<i64>, limit: u32| {
        let query = QuarantineQuery { signature: signature.map(str::to_owned), before, limit };
        w.store.list_quarantine(query).await.expect("lists")
    };
    let page = list(None, None, 1).await;
    assert_eq!(page.iter().map(|(id, one)| (*id, one.files)).collect::<Vec<_>>(), [(worse.blob.id, 1)]);
    let next = list(None, Some(page[0].0), 5).await;
    let (id, bad) = &next[0];
    assert_eq!((next.len(), *id, bad.files, bad.file_ids.len()), (1, view.blob.id, 3, 3));
    assert_eq!((bad.sha256, bad.size, bad.signature.as_str()), (sha(1), 10, "Bad"));
    assert_eq!((bad.verdict.kind, bad.verdict.signatures.as_str()), (VerdictKind::Infected, "2"));
    assert!(bad.file_ids.contains(&view.file.id));
    assert_eq!(list(Some("Bad"), None, 5).await, next);
    assert_eq!(list(Some("None"), None, 5).await, []);
}

pub async fn what_is_released_by_then_is_not_put_into_quarantine_by_the_hit_of_an_upload(w: World) {
    let (view, other) = (w.stored(1).await, w.infected(2, "Bad").await);
    let hit = async |tag: u64, signature: &str| {
        let found = Verdict { at: w.by_now().await, ..verdict(VerdictKind::Infected, "3") };
        w.store.quarantine(sha(tag), found, signature, day(3).made).await.expect("asks")
    };
    let upload = Upload { tag: 1, ..Upload::to(Target::Library) };
    let commit = async || {
        let all = service(&["*"]);
        let intent = w.started(&all, &upload).await;
        w.store.commit_upload(w.commit(&all, &upload, intent)).await.expect("an answer")
    };
    // Released since the upload asked: by signature, and by bytes.
    let (of_all, _) = w.release(ReleaseOf::Signature("Bad".into()), None).await;
    let (_, out) = w.release(ReleaseOf::Blob(sha(2)), None).await;
    assert_eq!((out, hit(1, "Bad").await, hit(2, "Bad").await), (1, 0, 0));
    for view in [&view, &other] {
        assert_eq!(w.candidate(view).await.blob.state, BlobState::Active);
    }
    assert!(matches!(commit().await, Committed::Ready(_)), "nothing is remembered of these bytes");
    assert_eq!(w.told_of("BLOB_QUARANTINED").await, 1);
    // Another signature counts, and the same one once the release has ended.
    assert_eq!(hit(2, "Worse").await, 1);
    w.store.end_release(of_all.number, Actor::SYSTEM, w.now()).await.expect("ends");
    assert_eq!(hit(1, "Bad").await, 2);
    assert!(matches!(commit().await, Committed::Hit(_)));
}

pub async fn since_when_it_lies_in_quarantine_stays_while_newer_signatures_find_it_again(w: World) {
    let view = w.infected(1, "Bad").await;
    let since = async || {
        let query = QuarantineQuery { signature: None, before: None, limit: 1 };
        let (_, one) = w.store.list_quarantine(query).await.expect("lists").pop().expect("one");
        (one.quarantined_at, one.verdict.at, one.signature)
    };
    let (first, scanned, _) = since().await;
    assert_eq!(first, scanned);
    w.pass(86_400);
    assert_eq!(w.judge(None, &view, found("Worse"), &day(3)).await.expect("judged"), Judged::Quarantined(0));
    let (again, scanned, signature) = since().await;
    assert!(again == first && scanned > first && signature == "Worse", "{again:?} {scanned:?} {signature}");
    // Out, and in again: from then on.
    w.release(ReleaseOf::Blob(sha(1)), None).await;
    w.pass(86_400);
    assert_eq!(w.judge(None, &view, found("Worst"), &day(4)).await.expect("judged"), Judged::Quarantined(1));
    let (anew, scanned, _) = since().await;
    assert!(anew > again && anew == scanned, "{anew:?} {scanned:?}");
}
