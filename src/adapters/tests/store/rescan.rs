//! Rules of the rescan: one node goes on with it, where it was; what a scan anew does to a blob; where a signature stops.
//!
//! Not here: releases (`quarantine.rs`), and which blobs are due (`domain/quarantine.rs`).

use super::*;
use crate::{
    domain::{
        BlobState, Reason,
        quarantine::{BUDGET_SECS, Candidate, Judged, Judgement, Phase, Target as Signatures},
    },
    ports::{Counted, JudgeBlob, RescanLease, Stop, TakeRescan},
};

/// Signatures by their day.
pub fn day(n: i64) -> Signatures {
    Signatures { engine: "clamav".into(), signatures: n.to_string(), made: Some(Time::from_secs(n * 86_400)) }
}

pub fn found(signature: &str) -> Judgement {
    Judgement::Found { signature: signature.into(), ignored: false }
}

impl World {
    pub async fn take_rescan(&self, node: &str, target: &Signatures) -> Option<RescanLease> {
        let take = TakeRescan {
            node: node.into(),
            target: target.clone(),
            rule: "EVERYONE REFUSE ".into(),
            counted: Some(Counted { blobs: 100, left_blobs: 50, left_bytes: 500 }),
            now: self.now(),
            lease_secs: 60,
        };
        self.store.take_rescan(take).await.expect("takes").map(|(_, lease)| lease)
    }

    /// A library file of its own bytes; its verdict is by the signatures `27000`.
    pub async fn stored(&self, tag: u64) -> FileView {
        self.upload(&service(&["*"]), &Upload { tag, ..Upload::to(Target::Library) }).await
    }

    pub async fn candidate(&self, view: &FileView) -> Candidate {
        self.store.find_file_blob(view.file.id, self.now()).await.expect("finds").expect("there")
    }

    /// As if it had been scanned just now.
    pub async fn judge(
        &self,
        lease: Option<RescanLease>,
        view: &FileView,
        found: Judgement,
        target: &Signatures,
    ) -> Result<Judged, Stop> {
        let (at, now) = (self.now(), self.now());
        let judge = JudgeBlob { lease, seen: self.candidate(view).await, found, target: target.clone(), at, now };
        self.store.judge_blob(judge).await
    }

    pub async fn told_of(&self, kind: &str) -> usize {
        self.events().iter().filter(|told| *told == kind).count()
    }
}

pub async fn one_node_goes_on_with_the_rescan_and_newer_signatures_take_it_over(w: World) {
    let first = w.take_rescan("n1", &day(1)).await.expect("free");
    assert_eq!(w.take_rescan("n2", &day(1)).await, None, "the first one is at it");
    assert_eq!(w.take_rescan("n2", &day(0)).await, None, "its signatures are older");
    let same = w.take_rescan("n1", &day(1)).await.expect("an earlier life of its own");
    assert_eq!(reason(w.store.renew_rescan(first, w.now(), 60).await), Reason::Fenced);
    w.store.note_rescan(same, Phase::Rest, 7, false, w.now()).await.expect("its own");
    w.pass(61);
    let second = w.take_rescan("n2", &day(1)).await.expect("the first one is dead");
    let now = w.store.find_rescan(w.now()).await.expect("told");
    assert_eq!((now.phase, now.cursor, now.node.as_str(), now.is_leased), (Phase::Rest, 7, "n2", true));
    assert_eq!(reason(w.store.note_rescan(same, Phase::Rest, 9, false, w.now()).await), Reason::Fenced);
    assert_eq!(reason(w.store.spend_budget(same, 1, 1, w.now()).await), Reason::Fenced);
    // Newer ones do not wait, and begin from the top.
    let third = w.take_rescan("n3", &day(2)).await.expect("newer");
    assert_eq!(reason(w.store.renew_rescan(second, w.now(), 60).await), Reason::Fenced);
    let now = w.store.find_rescan(w.now()).await.expect("told");
    assert_eq!((now.phase, now.cursor, now.target, now.counted.left_blobs), (Phase::Quarantined, i64::MAX, day(2), 50));
    w.store.renew_rescan(third, w.now(), 0).await.expect("ends it");
    assert_eq!(w.take_rescan("n1", &day(1)).await, None, "free, and of no use for older ones");
}

pub async fn a_rescan_begins_anew_under_another_rule_or_when_asked_and_an_old_lease_is_fenced(w: World) {
    let lease = w.take_rescan("n1", &day(1)).await.expect("free");
    w.store.note_rescan(lease, Phase::New, 3, true, w.now()).await.expect("its own");
    assert!(w.store.find_rescan(w.now()).await.expect("told").ended_at.is_some());
    w.store.restart_rescan(None, w.now()).await.expect("asks");
    assert_eq!(reason(w.store.renew_rescan(lease, w.now(), 60).await), Reason::Fenced);
    let now = w.store.find_rescan(w.now()).await.expect("told");
    assert_eq!((now.phase, now.ended_at, now.is_leased), (Phase::Quarantined, None, false));
    let lease = w.take_rescan("n2", &day(1)).await.expect("free");
    w.store.note_rescan(lease, Phase::Rest, 3, false, w.now()).await.expect("its own");
    let other = TakeRescan {
        node: "n2".into(),
        target: day(1),
        rule: "VISITORS REFUSE ".into(),
        counted: None,
        now: w.now(),
        lease_secs: 60,
    };
    let (now, _) = w.store.take_rescan(other).await.expect("takes").expect("its own");
    assert_eq!((now.phase, now.rule.as_str(), now.counted.left_blobs), (Phase::Quarantined, "VISITORS REFUSE ", 50));
}

pub async fn a_scan_anew_stores_its_verdict_and_is_refused_for_what_has_changed_meanwhile(w: World) {
    let view = w.stored(1).await;
    let lease = w.take_rescan("n1", &day(30_000)).await.expect("free");
    let seen = w.candidate(&view).await;
    let judged = w.judge(Some(lease), &view, Judgement::Clean, &day(30_000)).await;
    assert_eq!(judged.expect("judged"), Judged::Cleared);
    let now = w.candidate(&view).await;
    assert_eq!((now.blob.verdict.kind, now.blob.verdict.signatures.as_str()), (VerdictKind::Clean, "30000"));
    let told = w.store.find_rescan(w.now()).await.expect("told");
    assert_eq!((told.cursor, told.done_blobs, told.done_bytes, told.hits), (view.blob.id, 1, 10, 0));
    let late =
        JudgeBlob { lease: Some(lease), seen, found: found("x"), target: day(30_000), at: w.now(), now: w.now() };
    assert_eq!(w.store.judge_blob(late).await.expect("judged"), Judged::Changed);
    assert_eq!(w.candidate(&view).await.blob.state, BlobState::Active);
    w.set_read_only(true).await;
    let judged = w.judge(Some(lease), &view, Judgement::Clean, &day(30_001)).await;
    assert!(matches!(judged, Err(Stop::Failed(crate::ports::StoreError::ReadOnly))), "{judged:?}");
}

pub async fn a_hit_of_a_rescan_is_that_of_an_upload_and_newer_signatures_alone_clear_it(w: World) {
    let all = service(&["*"]);
    let (view, twin) = (w.stored(1).await, w.stored(1).await);
    let lease = w.take_rescan("n1", &day(2)).await.expect("free");
    let judged = w.judge(Some(lease), &view, found("Bad"), &day(2)).await.expect("judged");
    assert_eq!((judged, w.told_of("BLOB_QUARANTINED").await), (Judged::Quarantined(2), 2), "all blobs of these bytes");
    for view in [&view, &twin] {
        let blob = w.candidate(view).await;
        assert_eq!((blob.blob.state, blob.signature.as_deref()), (BlobState::Quarantined, Some("Bad")));
    }
    // An upload of the same bytes that knows nothing of it.
    let upload = Upload { tag: 1, ..Upload::to(Target::Library) };
    let intent = w.started(&all, &upload).await;
    let commit = w.commit(&all, &upload, intent);
    assert!(matches!(w.store.commit_upload(commit).await.expect("an answer"), Committed::Hit(_)));
    for target in [day(1), day(2)] {
        let judged = w.judge(None, &view, Judgement::Clean, &target).await.expect("judged");
        assert_eq!((judged, w.candidate(&view).await.blob.state), (Judged::Kept, BlobState::Quarantined), "{target:?}");
    }
    let unscannable = Judgement::Unscannable { accept: true };
    assert_eq!(w.judge(None, &view, unscannable, &day(3)).await.expect("judged"), Judged::Kept);
    let again = w.judge(None, &view, found("Worse"), &day(3)).await.expect("judged");
    assert_eq!((again, w.candidate(&twin).await.signature.as_deref()), (Judged::Quarantined(0), Some("Worse")));
    assert_eq!(w.judge(None, &view, Judgement::Clean, &day(4)).await.expect("judged"), Judged::Cleared);
    for view in [&view, &twin] {
        let now = w.candidate(view).await;
        assert_eq!((now.blob.state, now.blob.verdict.kind), (BlobState::Active, VerdictKind::Clean));
        assert_eq!((now.blob.verdict.signatures.as_str(), now.signature), ("4", None));
    }
    assert_eq!(w.told_of("QUARANTINE_RELEASED").await, 2);
    w.upload(&all, &upload).await;
}

pub async fn what_cannot_be_scanned_stays_served_and_is_marked_only_where_that_is_accepted(w: World) {
    let view = w.stored(1).await;
    let judged = w.judge(None, &view, Judgement::Unscannable { accept: false }, &day(2)).await.expect("judged");
    let now = w.candidate(&view).await.blob;
    assert_eq!((judged, now.verdict, now.state), (Judged::Kept, view.blob.verdict.clone(), BlobState::Active));
    let judged = w.judge(None, &view, Judgement::Unscannable { accept: true }, &day(2)).await.expect("judged");
    let now = w.candidate(&view).await.blob;
    assert_eq!((judged, now.verdict.kind), (Judged::Cleared, VerdictKind::UnscannableAccepted));
    let judged = w.judge(None, &view, Judgement::Unscannable { accept: false }, &day(3)).await.expect("judged");
    let now = w.candidate(&view).await.blob;
    assert_eq!((judged, now.verdict.kind), (Judged::Cleared, VerdictKind::UnscannableAccepted));
    assert_eq!(now.verdict.signatures, "3");
}

pub async fn a_signature_that_hits_too_much_is_stopped_told_once_and_goes_on_when_it_is_confirmed(w: World) {
    let mut views = Vec::new();
    for tag in 0..13 {
        views.push(w.stored(tag).await);
    }
    let lease = w.take_rescan("n1", &day(2)).await.expect("free");
    let mut judged = Vec::new();
    for view in &views {
        judged.push(w.judge(Some(lease), view, found("Zip"), &day(2)).await.expect("judged"));
    }
    let expected: Vec<_> = (0..13).map(|n| if n < 10 { Judged::Quarantined(1) } else { Judged::Braked }).collect();
    assert_eq!(judged, expected);
    let last = w.candidate(&views[12]).await.blob;
    assert_eq!((last.state, last.verdict), (BlobState::Active, views[12].blob.verdict.clone()), "as it was");
    let other = w.judge(Some(lease), &views[12], found("Other"), &day(2)).await.expect("judged");
    assert_eq!(other, Judged::Quarantined(1), "another signature is not concerned");
    let braked = w.store.list_braked().await.expect("lists");
    assert_eq!(braked.iter().map(|one| (one.signature.as_str(), one.hits)).collect::<Vec<_>>(), [("Zip", 13)]);
    assert_eq!((w.told_of("SIGNATURE_BRAKED").await, w.store.find_rescan(w.now()).await.expect("told").hits), (1, 11));
    w.store.restart_rescan(Some("Zip"), w.now()).await.expect("asks");
    assert_eq!(w.store.list_braked().await.expect("lists"), []);
    let lease = w.take_rescan("n1", &day(2)).await.expect("free");
    for view in &views[10..12] {
        let judged = w.judge(Some(lease), view, found("Zip"), &day(2)).await.expect("judged");
        assert_eq!(judged, Judged::Quarantined(1));
    }
    assert_eq!(w.told_of("SIGNATURE_BRAKED").await, 1);
}

pub async fn the_budget_of_an_hour_is_the_same_for_all_nodes_and_its_first_blob_passes(w: World) {
    let lease = w.take_rescan("n1", &day(1)).await.expect("free");
    assert_eq!(w.store.spend_budget(lease, 500, 100, w.now()).await.expect("spends"), None);
    let until = w.store.spend_budget(lease, 1, 100, w.now()).await.expect("asks").expect("none is left");
    let spent = w.store.find_rescan(w.now()).await.expect("told").spent;
    assert_eq!((spent.bytes, spent.blobs, until), (500, 1, spent.since.plus_secs(BUDGET_SECS)));
    let newer = w.take_rescan("n2", &day(2)).await.expect("newer");
    assert_eq!(w.store.spend_budget(newer, 1, 100, w.now()).await.expect("asks"), Some(until), "no restart resets it");
    assert_eq!(w.store.spend_budget(newer, 500, 1_000, w.now()).await.expect("spends"), None, "a larger budget");
}

pub async fn each_phase_walks_its_own_blobs_and_tells_what_decides(w: World) {
    let all = service(&["*"]);
    let clean = w.stored(1).await;
    let hit = w.stored(2).await;
    w.judge(None, &hit, found("Bad"), &day(2)).await.expect("judged");
    w.put("a", ChatStatus::Active, None).await;
    let mut unscanned = Vec::new();
    for (caller, tag) in [(all.clone(), 3), (visitor("v", &["a"]), 4)] {
        let upload = Upload { tag, ..Upload::to(chat("a")) };
        let intent = w.started(&caller, &upload).await;
        let mut commit = w.commit(&caller, &upload, intent);
        (commit.cleared, commit.verdict) =
            (w.cleared(&upload, VerdictKind::NotScanned), verdict(VerdictKind::NotScanned, ""));
        unscanned.push(ready(w.store.commit_upload(commit).await.expect("commits")));
    }
    let walk = async |phase: Phase| {
        let start = if phase.is_ascending() { 0 } else { i64::MAX };
        let (mut ids, mut at) = (Vec::new(), start);
        loop {
            let page = w.store.list_candidates(phase, at, 1, w.now()).await.expect("lists");
            let Some(last) = page.last() else { return ids };
            at = last.blob.id;
            ids.extend(page.into_iter().map(|one| (one.blob.id, one.of_visitor)));
        }
    };
    let [one, two] = [0, 1].map(|at: usize| unscanned[at].blob.id);
    assert_eq!(walk(Phase::Quarantined).await, [(hit.blob.id, false)]);
    assert_eq!(walk(Phase::NotScanned).await, [(two, true), (one, false)]);
    assert_eq!(walk(Phase::Released).await, []);
    let all_down = [(two, true), (one, false), (hit.blob.id, false), (clean.blob.id, false)];
    assert_eq!(walk(Phase::Rest).await, all_down);
    assert_eq!(walk(Phase::New).await, all_down.iter().rev().copied().collect::<Vec<_>>());
    let in_chat = w.store.list_chat_blobs(&"a".parse().expect("valid"), 1, w.now()).await.expect("lists");
    assert_eq!(in_chat.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [unscanned[0].file.id], "the oldest first");
    let counted = w.store.count_blobs("2").await.expect("counts");
    assert_eq!((counted.blobs, counted.left_blobs, counted.left_bytes), (4, 3, 30));
    assert_eq!(w.store.find_rescan(w.now()).await.expect("told").newest, two);
}

pub async fn scans_without_a_verdict_are_counted_for_the_same_signatures_until_there_is_one(w: World) {
    let note = |by: &'static str, times| w.store.note_failures(sha(1), by, times, Time(1));
    assert_eq!(w.store.find_failures(sha(1), "1").await.expect("asks"), 0);
    assert_eq!([note("1", 1).await.expect("notes"), note("1", 1).await.expect("notes")], [1, 2]);
    assert_eq!(w.store.find_failures(sha(1), "1").await.expect("asks"), 2);
    assert_eq!(w.store.find_failures(sha(1), "2").await.expect("asks"), 0, "others may fare better");
    assert_eq!(w.store.find_failures(sha(2), "1").await.expect("asks"), 0);
    assert_eq!(note("2", 1).await.expect("notes"), 1);
    w.store.forget_failures(sha(1)).await.expect("forgets");
    assert_eq!(w.store.find_failures(sha(1), "2").await.expect("asks"), 0);
    // Nothing is kept of what older signatures failed on.
    assert_eq!(note("1", 2).await.expect("notes"), 2);
    w.store.note_failures(sha(2), "2", 1, Time(1)).await.expect("notes");
    w.take_rescan("n1", &day(2)).await.expect("newer");
    assert_eq!(w.store.find_failures(sha(1), "1").await.expect("asks"), 0);
    assert_eq!(w.store.find_failures(sha(2), "2").await.expect("asks"), 1, "it was by these");
}

pub async fn a_node_that_lags_behind_does_not_undo_what_newer_signatures_found(w: World) {
    let all = service(&["*"]);
    let view = w.stored(1).await;
    let lease = w.take_rescan("n1", &day(9)).await.expect("free");
    w.judge(Some(lease), &view, Judgement::Clean, &day(9)).await.expect("judged");
    let upload = Upload { tag: 1, ..Upload::to(Target::Library) };
    let share = async |signatures: &str| {
        let intent = w.started(&all, &upload).await;
        let mut commit = w.commit(&all, &upload, intent);
        (commit.bytes, commit.verdict) = (BytesAt::Shared(view.blob.id), verdict(VerdictKind::Clean, signatures));
        ready(w.store.commit_upload(commit).await.expect("commits")).blob.verdict.signatures
    };
    assert_eq!(share("8").await, "9");
    w.take_rescan("n1", &day(10)).await.expect("newer");
    assert_eq!(share("10").await, "10");
}
