//! Rules of the rescan where signatures change or differ between nodes: who takes it over, which hits they clear, what of a
//! brake stays, and that a release which ends stops a walk.
//!
//! Not here: the lease, the phases and what a scan changes (`rescan.rs`), the order of signatures (`domain/quarantine/`).

use super::{
    rescan::{day, found},
    *,
};
use crate::{
    domain::{
        BlobState, Reason,
        quarantine::{Judged, Judgement, LEFT_SECS, Phase, ReleaseOf, Target as Signatures},
    },
    ports::{Counted, NewRelease, RescanLease, TakeRescan},
};

/// Another set of the same day.
fn set(name: &str, made: Option<Time>) -> Signatures {
    Signatures { engine: "clamav".into(), signatures: name.into(), made }
}

impl World {
    /// So many files of their own bytes, the first with this tag, are hit.
    async fn hit(&self, lease: RescanLease, tags: std::ops::Range<u64>, signature: &str, by: &Signatures) -> usize {
        let mut braked = 0;
        for tag in tags {
            let view = self.stored(tag).await;
            let judged = self.judge(Some(lease), &view, found(signature), by).await.expect("judged");
            braked += usize::from(judged == Judged::Braked);
        }
        braked
    }

    async fn braked(&self) -> Vec<(String, u64)> {
        let braked = self.store.list_braked().await.expect("lists");
        braked.into_iter().map(|one| (one.signature, one.hits)).collect()
    }

    async fn end_walk(&self, lease: RescanLease) {
        self.store.note_rescan(lease, Phase::New, 1_000_000, true, self.now()).await.expect("its own");
    }
}

/// Nothing tells which of two sets is newer.
async fn change_own_set(w: World, made: Option<Time>) {
    let (known, changed) = (set("8", made), set("7", made));
    let old = w.take_rescan("n1", &known).await.expect("free");
    assert_eq!(w.take_rescan("n2", &changed).await, None, "another node has as good a set");
    let lease = w.take_rescan("n1", &changed).await.expect("its own set has changed");
    assert_eq!(reason(w.store.renew_rescan(old, w.now(), 60).await), Reason::Fenced);
    let now = w.store.find_rescan(w.now()).await.expect("told");
    assert_eq!((&now.target, now.phase), (&changed, Phase::Quarantined));
    w.store.renew_rescan(lease, w.now(), 0).await.expect("ends it");
    // One that has the other set takes it by its name, once: it stays there, leased or not.
    w.take_rescan("n2", &known).await.expect("by its name");
    w.pass(61);
    for _ in 0..3 {
        assert_eq!(w.take_rescan("n1", &changed).await, None);
    }
    w.pass(LEFT_SECS);
    assert!(w.store.find_rescan(w.now()).await.expect("told").is_left);
    let lease = w.take_rescan("n1", &changed).await.expect("nobody has gone on with it");
    // Where nothing is to be done nobody is late.
    w.end_walk(lease).await;
    w.pass(61 + LEFT_SECS);
    assert!(!w.store.find_rescan(w.now()).await.expect("told").is_left);
    assert_eq!(w.take_rescan("n3", &set("6", made)).await, None);
}

pub async fn of_sets_of_one_day_that_of_the_node_that_scans_counts_and_two_nodes_do_not_take_turns(w: World) {
    change_own_set(w, day(9).made).await;
}

pub async fn of_sets_without_a_day_that_of_the_node_that_scans_counts_and_two_nodes_do_not_take_turns(w: World) {
    change_own_set(w, None).await;
}

pub async fn another_set_of_the_same_day_clears_a_hit_and_an_older_one_does_not(w: World) {
    for (tag, by, other, cleared) in [
        (1, day(9), set("1", day(9).made), true),
        (2, set("9", None), set("1", None), true),
        (3, day(9), set("1", None), true),
        (4, day(9), day(8), false),
        (5, day(9), day(9), false),
    ] {
        let view = w.stored(tag).await;
        w.judge(None, &view, found("Bad"), &by).await.expect("judged");
        let judged = w.judge(None, &view, Judgement::Clean, &other).await.expect("judged");
        let expected = if cleared { BlobState::Active } else { BlobState::Quarantined };
        assert_eq!(w.candidate(&view).await.blob.state, expected, "{by:?} {other:?}");
        assert_eq!(judged, if cleared { Judged::Cleared } else { Judged::Kept });
    }
}

pub async fn a_brake_and_a_word_on_a_signature_outlast_newer_ones_until_it_hits_nothing_more(w: World) {
    let lease = w.take_rescan("n1", &day(2)).await.expect("free");
    w.store.restart_rescan(Some("Fine"), w.now()).await.expect("asks");
    assert_eq!(reason(w.store.renew_rescan(lease, w.now(), 60).await), Reason::Fenced);
    let lease = w.take_rescan("n1", &day(2)).await.expect("free");
    assert_eq!(w.hit(lease, 0..12, "Zip", &day(2)).await, 2);
    assert_eq!(w.hit(lease, 20..29, "Other", &day(2)).await, 0);
    assert_eq!(w.braked().await, [("Zip".to_owned(), 12)]);
    let lease = w.take_rescan("n1", &day(3)).await.expect("newer");
    assert_eq!(w.braked().await, [("Zip".to_owned(), 10)], "what it holds in quarantine");
    assert_eq!(w.hit(lease, 30..32, "Zip", &day(3)).await, 2, "not ten more");
    assert_eq!(w.hit(lease, 40..51, "Other", &day(3)).await, 1, "it counts from nothing");
    assert_eq!(w.hit(lease, 60..75, "Fine", &day(3)).await, 0, "somebody's word counts");
    assert_eq!(w.told_of("SIGNATURE_BRAKED").await, 2);
    w.end_walk(lease).await;
    assert_eq!(w.braked().await, [("Other".to_owned(), 11), ("Zip".to_owned(), 12)], "both hit still");
    let lease = w.take_rescan("n1", &day(4)).await.expect("newer");
    assert_eq!(w.hit(lease, 80..81, "Zip", &day(4)).await, 1);
    w.end_walk(lease).await;
    assert_eq!(w.braked().await, [("Zip".to_owned(), 11)], "the other one was mended");
    let lease = w.take_rescan("n1", &day(5)).await.expect("newer");
    assert_eq!(w.hit(lease, 90..105, "Fine", &day(5)).await, 0);
}

pub async fn a_signature_that_is_ignored_or_released_is_told_as_stopped_no_more(w: World) {
    let lease = w.take_rescan("n1", &day(2)).await.expect("free");
    for (first, signature) in [(0, "Zip"), (20, "Pdf"), (40, "Doc")] {
        assert_eq!(w.hit(lease, first..first + 11, signature, &day(2)).await, 1);
    }
    let what = ReleaseOf::Signature("Pdf".into());
    let release = NewRelease { what, reason: "r".into(), by: Actor::SYSTEM, until: None, now: w.now() };
    w.store.create_release(release).await.expect("releases");
    assert_eq!(w.braked().await.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["Doc", "Zip"]);
    let counted = Some(Counted { blobs: 100, left_blobs: 0, left_bytes: 0 });
    let rule = "EVERYONE REFUSE Bad Zip".to_owned();
    let take = TakeRescan { node: "n1".into(), target: day(2), rule, counted, now: w.now(), lease_secs: 60 };
    let (_, lease) = w.store.take_rescan(take).await.expect("takes").expect("its own");
    assert_eq!(w.braked().await, [("Doc".to_owned(), 10)]);
    assert_eq!(w.hit(lease, 60..61, "Zip", &day(2)).await, 1, "ignored no more, it is known");
    assert_eq!(w.braked().await.len(), 2);
}

pub async fn a_release_that_is_ended_by_hand_stops_the_walk_which_begins_anew(w: World) {
    let view = w.stored(1).await;
    w.judge(None, &view, found("Bad"), &day(2)).await.expect("judged");
    let release = async || {
        let what = ReleaseOf::Blob(sha(1));
        let new = NewRelease { what, reason: "r".into(), by: Actor::SYSTEM, until: None, now: w.now() };
        w.store.create_release(new).await.expect("releases").0.number
    };
    let number = release().await;
    let lease = w.take_rescan("n1", &day(2)).await.expect("free");
    w.store.note_rescan(lease, Phase::Rest, 5, false, w.now()).await.expect("its own");
    w.store.end_release(number, Actor::SYSTEM, w.now()).await.expect("ends");
    assert_eq!(reason(w.store.note_rescan(lease, Phase::Rest, 4, false, w.now()).await), Reason::Fenced);
    let lease = w.take_rescan("n2", &day(2)).await.expect("it is free");
    let now = w.store.find_rescan(w.now()).await.expect("told");
    assert_eq!((now.phase, now.is_stale), (Phase::Quarantined, false));
    // It has ended: once more changes nothing.
    w.store.end_release(number, Actor::SYSTEM, w.now()).await.expect("as it is");
    w.store.renew_rescan(lease, w.now(), 60).await.expect("its own");
}

pub async fn an_upload_to_a_node_that_lags_behind_puts_nothing_into_quarantine_that_newer_ones_call_clean(w: World) {
    let hit = async |view: &FileView, by: &Signatures| {
        let verdict = by.verdict(VerdictKind::Infected, w.now());
        let sha256 = view.blob.sha256;
        w.store.quarantine(sha256, verdict, "Old", by.made).await.expect("an answer")
    };
    let (clean, other) = (w.stored(1).await, w.stored(2).await);
    let lease = w.take_rescan("n1", &day(9)).await.expect("free");
    w.judge(Some(lease), &clean, Judgement::Clean, &day(9)).await.expect("judged");
    assert_eq!(hit(&clean, &day(8)).await, 0);
    assert_eq!(w.candidate(&clean).await.blob.state, BlobState::Active);
    assert_eq!(hit(&other, &day(8)).await, 1, "nobody has looked by newer ones");
    assert_eq!(hit(&clean, &set("1", day(9).made)).await, 1, "these are not older");
    assert_eq!(w.told_of("BLOB_QUARANTINED").await, 2);
}
