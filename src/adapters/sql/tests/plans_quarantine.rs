//! The statements of the rescan, of the quarantine and of releases, run once each for their plans.
//!
//! Not here: the judge of the plans, and all other statements (`plans.rs`).

use futures_util::FutureExt;

use super::{
    bodies::{candidates, judging, releases, rescan},
    explain::{Explained, body},
    *,
};
use crate::{
    adapters::tests::store::rescan::{day, found},
    domain::quarantine::{Judgement, Phase, ReleaseOf},
    ports::{NewRelease, QuarantineQuery},
};

/// Each method, on whatever is there.
pub(super) async fn every_call(w: &World, store: &Explained) {
    let (target, now) = (day(40_000), w.now());
    let views = [w.stored(901).await, w.stored(902).await, w.stored(903).await];
    let lease = w.take_rescan("n1", &target).await.expect("free");
    w.store.renew_rescan(lease, w.now(), 60).await.expect("renews");
    w.store.note_rescan(lease, Phase::Rest, 1, false, w.now()).await.expect("notes");
    w.store.spend_budget(lease, 1, 1, w.now()).await.expect("spends");
    w.judge(Some(lease), &views[0], Judgement::Clean, &target).await.expect("judged");
    for view in &views[1..] {
        w.judge(Some(lease), view, found("Plan"), &target).await.expect("judged");
    }
    w.judge(None, &views[1], Judgement::Clean, &day(40_001)).await.expect("judged");
    w.judge(None, &views[1], Judgement::Unscannable { accept: true }, &target).await.expect("judged");
    w.store.note_failures(sha(1), "1", 1, now).await.expect("notes");
    w.store.forget_failures(sha(1)).await.expect("forgets");
    let mut last = 0;
    for what in [ReleaseOf::Blob(sha(903)), ReleaseOf::Signature("Plan".into())] {
        let new = NewRelease { what, reason: "r".into(), by: Actor::SYSTEM, until: None, now };
        last = w.store.create_release(new).await.expect("releases").0.number;
    }
    w.store.release_batch(last, 5, Actor::SYSTEM, now).await.expect("releases");
    w.store.end_release(last, Actor::SYSTEM, now).await.expect("ends");
    w.store.restart_rescan(Some("Plan"), now).await.expect("asks");
    w.store.restart_rescan(Some("Another"), now).await.expect("asks");

    body(store, |c| async { rescan::find(c, Time(1 << 51)).await }.boxed()).await;
    body(store, |c| async { rescan::list_braked(c).await }.boxed()).await;
    body(store, |c| async { rescan::count_blobs(c, "1".into()).await }.boxed()).await;
    for phase in Phase::ALL {
        let after = if phase.is_ascending() { 0 } else { i64::MAX };
        body(store, move |c| async move { candidates::list(c, *phase, after, 5, Time(1)).await }.boxed()).await;
    }
    let id = views[0].file.id;
    body(store, move |c| async move { candidates::of_file(c, id, Time(1)).await }.boxed()).await;
    body(store, |c| async { candidates::of_chat(c, "a".parse().expect("valid"), 5, Time(1)).await }.boxed()).await;
    body(store, |c| async { judging::find_failures(c, sha(1), "1".into()).await }.boxed()).await;
    body(store, |c| async { releases::list(c, Some(7), 5).await }.boxed()).await;
    body(store, |c| async { releases::is_released_now(c, sha(1), "Plan".into(), Time(1)).await }.boxed()).await;
    for signature in [None, Some("Plan".to_owned())] {
        let query = QuarantineQuery { signature, before: Some(i64::MAX), limit: 5 };
        body(store, move |c| async move { releases::list_quarantine(c, query).await }.boxed()).await;
    }
}
