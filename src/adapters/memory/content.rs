//! What is known of bytes, in memory: blobs, the verdicts on them, quarantine.
//!
//! Not here: the commit that makes a file of them (`uploads.rs`), and the bytes (`blobs.rs`).

use super::{BlobRow, Tables};
use crate::{
    domain::{
        Actor, Blob, BlobKey, BlobState, Event, EventKind, Hit, Sha256, Time, Verdict, VerdictKind, admission::Received,
    },
    ports::StoreError,
};

/// A scanner looked, and nothing was found.
fn is_looked(verdict: &Verdict) -> bool {
    matches!(verdict.kind, VerdictKind::Clean | VerdictKind::UnscannableAccepted | VerdictKind::Released)
}

fn is_of(blob: &Blob, received: &Received) -> bool {
    blob.sha256 == received.sha256 && blob.size == received.size
}

impl Tables {
    /// What was found in these bytes, where this verdict was made without knowing of it.
    pub(super) fn unknown_hit(&self, received: &Received, weighed: Option<i64>) -> Option<Hit> {
        self.hits.get(&received.sha256).filter(|hit| weighed != Some(hit.number)).cloned()
    }

    /// Unless one by the same signatures, or by newer ones, is known.
    pub(super) fn remember_hit(&mut self, sha256: Sha256, verdict: &Verdict, signature: &str, made: Option<Time>) {
        if self.hits.get(&sha256).is_some_and(|known| known.stands_against(&verdict.signatures, made)) {
            return;
        }
        self.last_hit += 1;
        let verdict = Verdict { kind: VerdictKind::Infected, ..verdict.clone() };
        self.hits.insert(sha256, Hit { number: self.last_hit, signature: signature.to_owned(), verdict, made });
    }

    pub(super) fn new_blob(
        &mut self,
        key: BlobKey,
        received: &Received,
        verdict: Verdict,
        signature: Option<String>,
        now: Time,
    ) -> Result<Blob, StoreError> {
        if self.blobs.values().any(|row| row.blob.key == key) {
            return Err(StoreError::Duplicate("blob key".to_owned()));
        }
        self.last_blob += 1;
        let (id, state) = (self.last_blob, BlobState::Active);
        let blob = Blob { id, key, sha256: received.sha256, size: received.size, state, verdict };
        self.blobs.insert(id, BlobRow { blob: blob.clone(), created_at: now, signature, quarantined_at: None });
        Ok(blob)
    }

    /// The blob to be shared, if it is ACTIVE and of these bytes, with the better of the two verdicts.
    pub(super) fn share_blob(
        &mut self,
        id: i64,
        received: &Received,
        verdict: Verdict,
        signature: Option<String>,
    ) -> Option<Blob> {
        // Those of a node that lags behind say nothing better.
        let target = self.rescan.target.signatures.clone();
        let row = self.blobs.get_mut(&id)?;
        if row.blob.state != BlobState::Active || !is_of(&row.blob, received) {
            return None;
        }
        let known = &mut row.blob.verdict;
        let by_target = known.kind == VerdictKind::Clean && !target.is_empty() && known.signatures == target;
        let news = known.kind == VerdictKind::NotScanned || known.signatures != verdict.signatures;
        if is_looked(&verdict) && news && !by_target {
            *known = verdict;
            row.signature = signature;
        }
        Some(row.blob.clone())
    }

    /// Newer signatures than those, by which blobs are judged, call these bytes clean.
    pub(super) fn is_cleared(&self, sha256: Sha256, made: Option<Time>) -> bool {
        let target = &self.rescan.target;
        let by_target = |b: &Blob| b.verdict.kind == VerdictKind::Clean && b.verdict.signatures == target.signatures;
        let mut active = self.blobs.values().map(|row| &row.blob).filter(|b| b.state == BlobState::Active);
        target.is_later_than(made) && active.any(|b| b.sha256 == sha256 && by_target(b))
    }

    /// ACTIVE and CLEAN before others, then the newest verdict, then the newest blob; none that is on its way out.
    pub(super) fn best_blob(&self, sha256: Sha256, size: u64) -> Option<Blob> {
        let kept = self.blobs.values().map(|row| &row.blob).filter(|b| b.state != BlobState::Purging);
        let same = kept.filter(|b| b.sha256 == sha256 && b.size == size);
        let usable = |b: &Blob| b.state == BlobState::Active && b.verdict.kind == VerdictKind::Clean;
        same.max_by_key(|b| (usable(b), b.verdict.at, b.id)).cloned()
    }

    pub(super) fn quarantine(&mut self, sha256: Sha256, verdict: &Verdict, signature: &str) -> u64 {
        let mut hits = 0;
        for row in self.blobs.values_mut() {
            if row.blob.sha256 == sha256 && row.blob.state == BlobState::Active {
                (row.blob.state, row.blob.verdict) = (BlobState::Quarantined, verdict.clone());
                (row.signature, row.quarantined_at) = (Some(signature.to_owned()), Some(verdict.at));
                hits += 1;
            }
        }
        for _ in 0..hits {
            self.record(Event::new(EventKind::BlobQuarantined, Actor::SYSTEM).detail(signature), verdict.at);
        }
        hits
    }
}
