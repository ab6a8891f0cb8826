//! Random calls on the rescan, on what it finds, and on releases.
//!
//! Not here: the other calls (`uploads.rs`, `files.rs`, `chats.rs`). Nothing is asked that a clock decides: an engine has
//! its own.

use super::{
    super::sha,
    calls::{Side, plain, sure},
    draw::Draw,
};
use crate::{
    domain::{
        Actor, Time,
        quarantine::{Judgement, Phase, ReleaseOf, Target},
    },
    ports::{Counted, JudgeBlob, NewRelease, QuarantineQuery, TakeRescan},
};

fn target(draw: &mut Draw) -> Target {
    let day = draw.below(4) as i64;
    Target { engine: "clamav".into(), signatures: day.to_string(), made: Some(Time::from_secs(day * 86_400)) }
}

fn signature(draw: &mut Draw) -> String {
    draw.of(&["Eicar", "Zip", "Bad"]).to_owned()
}

impl Side {
    pub async fn rescan(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let store = &self.world.store;
        match draw.below(8) {
            0 => {
                let (sha256, by, times) = (sha(draw.below(5)), draw.of(&["1", "2"]), draw.below(3) as u32);
                let noted = match times {
                    0 => sure(store.forget_failures(sha256).await),
                    times => sure(store.note_failures(sha256, by, times, now).await),
                };
                let found = sure(store.find_failures(sha256, "1").await);
                (format!("failures of {sha256} by {by}: {times}"), format!("{noted} {found}"))
            }
            1 => {
                let (target, rule) = (target(draw), draw.of(&["a", "b"]).to_owned());
                let counted = Some(Counted { blobs: draw.below(100), left_blobs: 1, left_bytes: 2 });
                let take = TakeRescan { node: "n".into(), target, rule, counted, now, lease_secs: 60 };
                let call = format!("{take:?}");
                let taken = store.take_rescan(take).await.map(|taken| {
                    taken.map(|(rescan, lease)| {
                        self.lease = Some(lease);
                        let done = (rescan.done_blobs, rescan.done_bytes, rescan.hits);
                        (rescan.target, rescan.rule, rescan.phase, rescan.counted, done, lease)
                    })
                });
                (call, sure(taken))
            }
            2 => {
                let confirm = draw.maybe(signature);
                let asked = sure(store.restart_rescan(confirm.as_deref(), now).await);
                let braked = store.list_braked().await;
                let braked = braked.map(|all| all.into_iter().map(|one| (one.signature, one.hits)).collect::<Vec<_>>());
                (format!("restart, {confirm:?}"), format!("{asked} {}", sure(braked)))
            }
            3 => {
                let phase = draw.of(Phase::ALL);
                let after = if phase.is_ascending() { 0 } else { i64::MAX };
                let found = store.list_candidates(phase, after, 1_000, now).await.map(|found| {
                    let one = |one: crate::domain::quarantine::Candidate| {
                        (one.blob.key, one.blob.state, one.blob.verdict, one.signature, one.released, one.of_visitor)
                    };
                    found.into_iter().map(one).collect::<Vec<_>>()
                });
                let counted = store.count_blobs("1").await;
                (format!("candidates of {phase:?}"), format!("{} {}", sure(found), sure(counted)))
            }
            _ => self.judge_one(draw, now).await,
        }
    }

    async fn judge_one(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let store = &self.world.store;
        let Some(made) = (!self.made.is_empty()).then(|| draw.of(&self.made)) else { return Default::default() };
        let (target, signature) = (target(draw), signature(draw));
        let found = match draw.below(6) {
            0 => Judgement::Clean,
            1 => Judgement::Unscannable { accept: draw.once_in(2) },
            _ => Judgement::Found { signature, ignored: draw.once_in(5) },
        };
        let lease = self.lease.filter(|_| draw.once_in(2));
        let seen = match store.find_file_blob(made.id, now).await {
            Ok(Some(seen)) => seen,
            other => return ("judge nothing".into(), sure(other)),
        };
        let call = format!("{found:?} by {target:?} in {}, {lease:?}", seen.blob.sha256);
        let judged = store.judge_blob(JudgeBlob { lease, seen, found, target, at: now, now }).await;
        (call, plain(judged))
    }

    pub async fn releases(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let store = &self.world.store;
        let by = Actor::from(&draw.caller());
        match draw.below(4) {
            0 | 1 => {
                let what = match draw.below(3) {
                    0 => ReleaseOf::Signature(signature(draw)),
                    _ => ReleaseOf::Blob(sha(draw.below(5))),
                };
                let call = format!("release {what:?} as {by:?}");
                let made = store.create_release(NewRelease { what, reason: "r".into(), by, until: None, now }).await;
                let made = made.map(|(release, out)| {
                    self.releases.push(release.number);
                    (release.sha256, release.signature, release.by, release.until, out)
                });
                (call, plain(made))
            }
            2 => {
                let Some(number) = self.releases.last().copied() else { return Default::default() };
                let (limit, end) = (draw.of(&[1, 100]), draw.once_in(3));
                let out = store.release_batch(number, limit, by.clone(), now).await;
                let ended = if end { Some(plain(store.end_release(number, by, now).await.map(drop))) } else { None };
                (format!("the last release: {limit} come out; then it ends: {end}"), format!("{} {ended:?}", sure(out)))
            }
            _ => {
                let (signature, limit) = (draw.maybe(signature), draw.of(&[0, 1, 100]));
                let call = format!("quarantine of {signature:?}, {limit}");
                let found = store.list_quarantine(QuarantineQuery { signature, before: None, limit }).await;
                let found = found.map(|found| {
                    let mut found: Vec<_> = found.into_iter().map(|(_, one)| one).collect();
                    found.iter_mut().for_each(|one| one.file_ids.sort_unstable());
                    found
                });
                (call, sure(found))
            }
        }
    }
}
