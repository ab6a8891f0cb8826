//! What lies in quarantine, and releases from it, in memory.
//!
//! Not here: the rescan (`rescan.rs`), and hits (`content.rs`).

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::{
    domain::{
        Actor, BlobState, Event, EventKind, Refusal, Sha256, Time, VerdictKind,
        quarantine::{MAX_FILES_NAMED, QuarantinedBlob, Release, ReleaseOf},
    },
    ports::{NewRelease, QuarantineQuery, QuarantineStore, Stop, StoreError},
};

fn is_in_force(release: &Release, now: Time) -> bool {
    release.until.is_none_or(|until| until > now)
}

impl Tables {
    pub(super) fn is_released(&self, sha256: Sha256, signature: &str, now: Time) -> bool {
        self.releases.values().any(|release| {
            release.signature == signature && release.sha256.is_none_or(|of| of == sha256) && is_in_force(release, now)
        })
    }

    /// These blobs come out; the verdict keeps by what it was made.
    fn release(&mut self, blobs: &[i64], by: &Actor, signature: &str, now: Time) {
        for id in blobs {
            if let Some(row) = self.blobs.get_mut(id) {
                row.blob.state = BlobState::Active;
                row.blob.verdict.kind = VerdictKind::Released;
            }
            self.record(Event::new(EventKind::QuarantineReleased, by.clone()).detail(signature), now);
        }
    }

    fn quarantined(&self, is: impl Fn(&super::BlobRow) -> bool) -> Vec<i64> {
        let rows = self.blobs.iter().filter(|(_, row)| row.blob.state == BlobState::Quarantined && is(row));
        rows.map(|(id, _)| *id).collect()
    }
}

#[async_trait]
impl QuarantineStore for MemoryStore {
    async fn list_quarantine(&self, query: QuarantineQuery) -> Result<Vec<(i64, QuarantinedBlob)>, StoreError> {
        let QuarantineQuery { signature, before, limit } = query;
        Ok(self.read(|t| {
            let of = |row: &super::BlobRow| signature.is_none() || row.signature == signature;
            let mut ids = t.quarantined(of);
            ids.retain(|id| before.is_none_or(|before| *id < before));
            ids.reverse();
            ids.truncate(limit as usize);
            let one = |id: i64| {
                let row = t.blobs.get(&id)?;
                let files: Vec<_> = t.files.values().filter(|file| file.blob == id).map(|file| file.file.id).collect();
                let blob = row.blob.clone();
                let quarantined = QuarantinedBlob {
                    sha256: blob.sha256,
                    size: blob.size,
                    signature: row.signature.clone().unwrap_or_default(),
                    quarantined_at: row.quarantined_at.unwrap_or(blob.verdict.at),
                    verdict: blob.verdict,
                    files: files.len() as u64,
                    file_ids: files.into_iter().take(MAX_FILES_NAMED).collect(),
                };
                Some((id, quarantined))
            };
            ids.into_iter().filter_map(one).collect()
        }))
    }

    async fn create_release(&self, new: NewRelease) -> Result<(Release, u64), Stop> {
        self.write(|t| {
            let NewRelease { what, reason, by, until, now } = new;
            let (sha256, signature, out) = match what {
                ReleaseOf::Blob(sha256) => {
                    let theirs = t.quarantined(|row| row.blob.sha256 == sha256);
                    let hit = t.hits.get(&sha256).map(|hit| hit.signature.clone());
                    let row = theirs.first().and_then(|id| t.blobs.get(id)?.signature.clone());
                    (Some(sha256), hit.or(row).ok_or_else(Refusal::not_found)?, theirs)
                }
                ReleaseOf::Signature(signature) => {
                    t.settle(&signature);
                    (None, signature, Vec::new())
                }
            };
            for other in t.releases.values_mut() {
                if (other.sha256, &other.signature) == (sha256, &signature) && is_in_force(other, now) {
                    other.until = Some(now);
                }
            }
            t.last_release += 1;
            let release = Release { number: t.last_release, sha256, signature, reason, by, at: now, until };
            t.releases.insert(release.number, release.clone());
            let put = Event::new(EventKind::ReleasePut, release.by.clone()).detail(&release.signature);
            t.record(put, now);
            t.release(&out, &release.by, &release.signature, now);
            Ok((release, out.len() as u64))
        })
    }

    async fn release_batch(&self, number: i64, limit: u32, by: Actor, now: Time) -> Result<u64, StoreError> {
        self.write(|t| {
            let release =
                t.releases.get(&number).filter(|release| release.sha256.is_none() && is_in_force(release, now));
            let Some(release) = release.cloned() else { return Ok(0) };
            let mut out = t.quarantined(|row| row.signature.as_ref() == Some(&release.signature));
            out.truncate(limit as usize);
            t.release(&out, &by, &release.signature, now);
            Ok(out.len() as u64)
        })
    }

    async fn list_releases(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, Release)>, StoreError> {
        Ok(self.read(|t| {
            let older = t.releases.range(..before.unwrap_or(i64::MAX)).rev().take(limit as usize);
            older.map(|(number, release)| (*number, release.clone())).collect()
        }))
    }

    async fn end_release(&self, number: i64, by: Actor, now: Time) -> Result<Release, Stop> {
        self.write(|t| {
            let release = t.releases.get_mut(&number).ok_or_else(Refusal::not_found)?;
            if is_in_force(release, now) {
                release.until = Some(now);
                let event = Event::new(EventKind::ReleaseEnded, by).detail(&release.signature);
                let ended = release.clone();
                t.free_rescan(now);
                t.record(event, now);
                return Ok(ended);
            }
            Ok(release.clone())
        })
    }

    async fn is_released(&self, sha256: Sha256, signature: &str, now: Time) -> Result<bool, StoreError> {
        Ok(self.read(|t| t.is_released(sha256, signature, now)))
    }
}
