//! What becomes of a blob that was scanned anew, in memory.
//!
//! Not here: the rescan itself (`rescan.rs`), and what a hit does (`content.rs`).

use super::{BlobRow, Tables, rescan::HitRow};
use crate::{
    domain::{
        Actor, Blob, BlobState, Event, EventKind, Sha256, Time, Verdict, VerdictKind,
        quarantine::{Judged, Judgement, brake},
    },
    ports::{JudgeBlob, Stop, StoreError},
};

impl Tables {
    /// All blobs of these bytes in this state get a state, a verdict and a signature; answers how many.
    pub(super) fn turn(
        &mut self,
        sha256: Sha256,
        from: BlobState,
        to: (BlobState, &Verdict),
        signature: Option<&str>,
    ) -> usize {
        let theirs = |row: &&mut BlobRow| row.blob.sha256 == sha256 && row.blob.state == from;
        let mut turned = 0;
        for row in self.blobs.values_mut().filter(theirs) {
            (row.blob.state, row.blob.verdict) = (to.0, to.1.clone());
            row.signature = signature.map(str::to_owned);
            turned += 1;
        }
        turned
    }

    /// A blob that is served gets another verdict.
    fn store_verdict(&mut self, id: i64, verdict: Verdict, signature: Option<&str>) -> Result<(), StoreError> {
        if self.is_read_only() {
            return Err(StoreError::ReadOnly);
        }
        if let Some(row) = self.blobs.get_mut(&id) {
            row.blob.verdict = verdict;
            row.signature = signature.map(str::to_owned);
        }
        Ok(())
    }

    fn let_out(&mut self, sha256: Sha256, verdict: &Verdict, signature: Option<&str>, told: &str) {
        let out = self.turn(sha256, BlobState::Quarantined, (BlobState::Active, verdict), signature);
        for _ in 0..out {
            let event = Event::new(EventKind::QuarantineReleased, Actor::SYSTEM).detail(told);
            self.record(event, verdict.at);
        }
    }

    fn is_braked(&mut self, sha256: Sha256, signature: &str, at: Time, now: Time) -> bool {
        let served = |row: &&BlobRow| row.blob.sha256 == sha256 && row.blob.state == BlobState::Active;
        let served = self.blobs.values().filter(served).count() as u64;
        if served == 0 {
            return false;
        }
        let most = brake(self.rescan.counted.blobs);
        let by = || HitRow { target: self.rescan.target.signatures.clone(), ..HitRow::default() };
        let hit = self.rescan_hits.entry(signature.to_owned()).or_insert_with(by);
        let over = !hit.confirmed && (hit.at.is_some() || hit.quarantined + served > most);
        hit.hits += served;
        if !over {
            hit.quarantined += served;
        }
        if over && hit.at.is_none() {
            hit.at = Some(now);
            self.record(Event::new(EventKind::SignatureBraked, Actor::SYSTEM).detail(signature), at);
        }
        over
    }

    pub(super) fn judge(&mut self, judge: &JudgeBlob) -> Result<Judged, Stop> {
        let JudgeBlob { lease, seen, found, target, at, now } = judge;
        let (lease, at, now) = (*lease, *at, *now);
        if let Some(lease) = lease {
            self.rescan_leased(lease)?;
        }
        let blob = match self.blobs.get(&seen.blob.id).map(|row| row.blob.clone()) {
            Some(blob) if is_as_seen(&blob, &seen.blob) => blob,
            Some(_) | None => return Ok(Judged::Changed),
        };
        let quarantined = blob.state == BlobState::Quarantined;
        Ok(match found {
            Judgement::Clean => {
                let verdict = target.verdict(VerdictKind::Clean, at);
                let hit = self.hits.get(&blob.sha256).cloned();
                let stands = hit.as_ref().is_some_and(|hit| !target.clears(hit));
                let by = hit.as_ref().map_or(&blob.verdict.signatures, |hit| &hit.verdict.signatures);
                if stands || quarantined && *by == target.signatures {
                    return Ok(Judged::Kept);
                }
                if quarantined {
                    let told = hit.map(|hit| hit.signature).unwrap_or_default();
                    self.let_out(blob.sha256, &verdict, None, &told);
                } else {
                    self.store_verdict(blob.id, verdict, None)?;
                }
                self.hits.remove(&blob.sha256);
                Judged::Cleared
            }
            Judgement::Found { signature, ignored } => {
                if *ignored || self.is_released(blob.sha256, signature, now) {
                    let verdict = target.verdict(VerdictKind::Released, at);
                    if quarantined {
                        self.let_out(blob.sha256, &verdict, Some(signature), signature);
                    } else {
                        self.store_verdict(blob.id, verdict, Some(signature))?;
                    }
                    return Ok(Judged::Released);
                }
                if lease.is_some() && self.is_braked(blob.sha256, signature, at, now) {
                    return Ok(Judged::Braked);
                }
                let verdict = target.verdict(VerdictKind::Infected, at);
                self.remember_hit(blob.sha256, &verdict, signature, target.made);
                let hits = self.quarantine(blob.sha256, &verdict, signature);
                if let Some(hit) = self.hits.get(&blob.sha256).cloned() {
                    let to = (BlobState::Quarantined, &hit.verdict);
                    self.turn(blob.sha256, BlobState::Quarantined, to, Some(&hit.signature));
                }
                Judged::Quarantined(hits)
            }
            Judgement::Unscannable { accept } => {
                let counts = match blob.verdict.kind {
                    VerdictKind::UnscannableAccepted => true,
                    VerdictKind::Clean | VerdictKind::NotScanned => *accept,
                    VerdictKind::Infected | VerdictKind::Released => false,
                };
                if !counts || blob.state != BlobState::Active {
                    return Ok(Judged::Kept);
                }
                self.store_verdict(blob.id, target.verdict(VerdictKind::UnscannableAccepted, at), None)?;
                Judged::Cleared
            }
        })
    }
}

fn is_as_seen(is: &Blob, was: &Blob) -> bool {
    is.key == was.key
        && is.state == was.state
        && (is.verdict.kind, &is.verdict.signatures) == (was.verdict.kind, &was.verdict.signatures)
}
