//! The rescan in memory, and what kills the scanner.
//!
//! Not here: releases and what lies in quarantine (`quarantine.rs`).

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{BlobRow, MemoryStore, Tables};
use crate::{
    domain::{
        BlobState, CallerKind, ChatId, FileId, FileState, Reason, Refusal, Sha256, Time, VerdictKind,
        quarantine::{Candidate, Judged, LEFT_SECS, Phase, RescanRule, Spent, Target},
        settings::SettingValue,
    },
    ports::{Braked, Counted, JudgeBlob, Rescan, RescanLease, RescanStore, Stop, StoreError, TakeRescan},
};

/// How far the rescan is, as it is stored.
#[derive(Clone)]
pub(super) struct RescanRow {
    pub(super) target: Target,
    rule: String,
    phase: Phase,
    cursor: i64,
    top: i64,
    pub(super) counted: Counted,
    done_blobs: u64,
    done_bytes: u64,
    hits: u64,
    node: String,
    fence: i64,
    pub(super) lease_until: Time,
    spent: Spent,
    started_at: Option<Time>,
    ended_at: Option<Time>,
}

impl Default for RescanRow {
    fn default() -> Self {
        Self {
            target: Target::default(),
            rule: String::new(),
            phase: Phase::Quarantined,
            cursor: i64::MAX,
            top: 0,
            counted: Counted::default(),
            done_blobs: 0,
            done_bytes: 0,
            hits: 0,
            node: String::new(),
            fence: 0,
            lease_until: Time(0),
            spent: Spent::default(),
            started_at: None,
            ended_at: None,
        }
    }
}

/// What a signature hit in this rescan.
#[derive(Clone, Default)]
pub(super) struct HitRow {
    pub(super) target: String,
    pub(super) hits: u64,
    pub(super) quarantined: u64,
    pub(super) confirmed: bool,
    pub(super) at: Option<Time>,
}

impl HitRow {
    /// As it is told.
    pub(super) fn columns(&self, signature: &str) -> [String; 5] {
        let counts = [self.hits, self.quarantined, u64::from(self.confirmed)].map(|n| n.to_string());
        let [hits, quarantined, confirmed] = counts;
        [signature.to_owned(), self.target.clone(), hits, quarantined, confirmed]
    }
}

impl Tables {
    fn newest(&self) -> i64 {
        self.blobs.keys().next_back().copied().unwrap_or(0)
    }

    fn is_stale(&self, now: Time) -> bool {
        let ended = |until: Time| self.rescan.started_at.is_some_and(|at| until > at) && until <= now;
        self.releases.values().filter_map(|release| release.until).any(ended)
    }

    fn is_left(&self, now: Time) -> bool {
        let since = |at: Time| at.plus_secs(LEFT_SECS) <= now;
        let new = || self.blobs.range(self.rescan.cursor.saturating_add(1)..).next();
        since(self.rescan.lease_until)
            && (self.rescan.phase != Phase::New || new().is_some_and(|(_, row)| since(row.created_at)))
    }

    fn rescan(&self, now: Time) -> Rescan {
        let row = self.rescan.clone();
        Rescan {
            target: row.target,
            rule: row.rule,
            phase: row.phase,
            cursor: row.cursor,
            top: row.top,
            counted: row.counted,
            done_blobs: row.done_blobs,
            done_bytes: row.done_bytes,
            hits: row.hits,
            node: row.node,
            is_leased: row.lease_until > now,
            spent: row.spent,
            started_at: row.started_at,
            ended_at: row.ended_at,
            is_stale: self.is_stale(now),
            is_left: self.is_left(now),
            newest: self.newest(),
            now,
        }
    }

    fn begin_rescan(&mut self, now: Time) {
        let top = self.newest();
        let row = &mut self.rescan;
        (row.phase, row.cursor, row.top) = (Phase::Quarantined, i64::MAX, top);
        (row.done_blobs, row.done_bytes, row.hits) = (0, 0, 0);
        (row.started_at, row.ended_at) = (Some(now), None);
        for hit in self.rescan_hits.values_mut() {
            hit.hits = hit.quarantined;
        }
    }

    /// Whoever scans is refused, and anyone may take it.
    pub(super) fn free_rescan(&mut self, now: Time) {
        self.rescan.fence += 1;
        self.rescan.lease_until = now;
    }

    /// What this signature hits counts for nothing: nobody need look.
    pub(super) fn settle(&mut self, signature: &str) {
        if let Some(hit) = self.rescan_hits.get_mut(signature) {
            hit.at = None;
        }
    }

    pub(super) fn rescan_leased(&mut self, lease: RescanLease) -> Result<&mut RescanRow, Stop> {
        if self.rescan.fence == lease.fence {
            return Ok(&mut self.rescan);
        }
        Err(Refusal::new(Reason::Fenced).because("another node scans, or the rescan has begun anew").into())
    }

    fn candidate(&self, row: &BlobRow, now: Time) -> Candidate {
        let blob = row.blob.clone();
        let found = row.signature.as_deref().unwrap_or_default();
        let released = blob.verdict.kind == VerdictKind::Released && self.is_released(blob.sha256, found, now);
        let theirs = |of: i64| {
            let visitors = |file: &&super::FileRow| file.blob == of && file.file.uploader.kind() == CallerKind::Visitor;
            self.files.values().find(visitors).is_some()
        };
        let of_visitor = blob.verdict.kind == VerdictKind::NotScanned && theirs(blob.id);
        Candidate { blob, signature: row.signature.clone(), released, of_visitor, created_at: row.created_at }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.settings.get("read_only") == Some(&SettingValue::Bool(true))
    }
}

/// Those of a phase, and where its walk goes on.
fn is_of(phase: Phase, row: &BlobRow, after: i64) -> bool {
    let blob = &row.blob;
    let of = match phase {
        Phase::Quarantined => blob.state == BlobState::Quarantined,
        Phase::NotScanned => blob.verdict.kind == VerdictKind::NotScanned,
        Phase::Released => blob.verdict.kind == VerdictKind::Released,
        Phase::Rest | Phase::New => true,
    };
    of && if phase.is_ascending() { blob.id > after } else { blob.id < after }
}

#[async_trait]
impl RescanStore for MemoryStore {
    async fn find_rescan(&self, now: Time) -> Result<Rescan, StoreError> {
        Ok(self.read(|t| t.rescan(now)))
    }

    async fn count_blobs(&self, signatures: &str) -> Result<Counted, StoreError> {
        Ok(self.read(|t| {
            let mut counted = Counted::default();
            for row in t.blobs.values().filter(|row| row.blob.state != BlobState::Purging) {
                counted.blobs += 1;
                if row.blob.verdict.signatures != signatures {
                    counted.left_blobs += 1;
                    counted.left_bytes += row.blob.size;
                }
            }
            counted
        }))
    }

    async fn take_rescan(&self, take: TakeRescan) -> Result<Option<(Rescan, RescanLease)>, StoreError> {
        self.write(|t| {
            let TakeRescan { node, target, rule, counted, now, lease_secs } = take;
            let known = t.rescan(now);
            let same = known.target.signatures == target.signatures;
            let over = target.takes_over(&node, &known.holder());
            if !over && (!same || known.is_leased && known.node != node) {
                return Ok(None);
            }
            t.rescan.node = node;
            t.rescan.fence += 1;
            t.rescan.lease_until = now.plus_secs(lease_secs);
            if over {
                t.rescan_hits.retain(|_, hit| hit.at.is_some() || hit.confirmed);
                t.rescan_hits.values_mut().for_each(|hit| hit.target.clone_from(&target.signatures));
                t.scan_failures.retain(|_, (by, _)| *by == target.signatures);
            }
            if over || t.rescan.rule != rule || t.is_stale(now) {
                t.begin_rescan(now);
                RescanRule::ignored_in(&rule).for_each(|name| t.settle(name));
                (t.rescan.target, t.rescan.rule) = (target, rule);
                t.rescan.counted = counted.unwrap_or(t.rescan.counted);
            }
            Ok(Some((t.rescan(now), RescanLease { fence: t.rescan.fence })))
        })
    }

    async fn renew_rescan(&self, lease: RescanLease, now: Time, lease_secs: i64) -> Result<(), Stop> {
        self.write(|t| {
            t.rescan_leased(lease)?.lease_until = now.plus_secs(lease_secs);
            Ok(())
        })
    }

    async fn list_candidates(
        &self,
        phase: Phase,
        after: i64,
        limit: u32,
        now: Time,
    ) -> Result<Vec<Candidate>, StoreError> {
        Ok(self.read(|t| {
            let of = t.blobs.values().filter(|row| is_of(phase, row, after));
            let mut found: Vec<Candidate> = of.map(|row| t.candidate(row, now)).collect();
            if !phase.is_ascending() {
                found.reverse();
            }
            found.truncate(limit as usize);
            found
        }))
    }

    async fn note_rescan(
        &self,
        lease: RescanLease,
        phase: Phase,
        cursor: i64,
        ended: bool,
        now: Time,
    ) -> Result<(), Stop> {
        self.write(|t| {
            let row = t.rescan_leased(lease)?;
            (row.phase, row.cursor) = (phase, cursor);
            if ended && row.ended_at.is_none() {
                row.ended_at = Some(now);
                let hits_still = |hit: &HitRow| hit.at.is_none() || hit.confirmed || hit.hits > hit.quarantined;
                t.rescan_hits.retain(|_, hit| hits_still(hit));
            }
            Ok(())
        })
    }

    async fn spend_budget(&self, lease: RescanLease, bytes: u64, budget: u64, now: Time) -> Result<Option<Time>, Stop> {
        self.write(|t| {
            let row = t.rescan_leased(lease)?;
            match row.spent.spend(bytes, budget, now) {
                Ok(spent) => {
                    row.spent = spent;
                    Ok(None)
                }
                Err(until) => Ok(Some(until)),
            }
        })
    }

    async fn judge_blob(&self, judge: JudgeBlob) -> Result<Judged, Stop> {
        self.write(|t| {
            let judged = t.judge(&judge)?;
            if judge.lease.is_some() {
                let row = &mut t.rescan;
                row.cursor = judge.seen.blob.id;
                row.done_blobs += 1;
                row.done_bytes += judge.seen.blob.size;
                row.hits += if let Judged::Quarantined(hits) = judged { hits } else { 0 };
            }
            Ok(judged)
        })
    }

    async fn restart_rescan(&self, confirm: Option<&str>, now: Time) -> Result<(), StoreError> {
        self.write(|t| {
            t.begin_rescan(now);
            t.rescan.rule = String::new();
            t.free_rescan(now);
            if let Some(signature) = confirm {
                let by = || HitRow { target: t.rescan.target.signatures.clone(), ..HitRow::default() };
                let hit = t.rescan_hits.entry(signature.to_owned()).or_insert_with(by);
                (hit.confirmed, hit.at) = (true, None);
            }
            Ok(())
        })
    }

    async fn list_braked(&self) -> Result<Vec<Braked>, StoreError> {
        let braked = |(signature, row): (&String, &HitRow)| {
            Some(Braked { signature: signature.clone(), hits: row.hits, at: row.at? })
        };
        Ok(self.read(|t| t.rescan_hits.iter().filter_map(braked).collect()))
    }

    async fn list_chat_blobs(
        &self,
        chat: &ChatId,
        limit: u32,
        now: Time,
    ) -> Result<Vec<(FileId, Candidate)>, StoreError> {
        Ok(self.read(|t| {
            let numbers = t.attachments.keys().filter(|(_, of)| of == chat).map(|(number, _)| *number);
            let files = numbers.filter_map(|number| t.files.get(&number));
            let ready = files.filter(|row| row.file.state == FileState::Ready);
            let mut by_age: BTreeMap<(Time, i64), _> = BTreeMap::new();
            by_age.extend(ready.map(|row| ((row.file.created_at, row.file.number), row)));
            let found = by_age.into_values().take(limit as usize);
            found.filter_map(|row| Some((row.file.id, t.candidate(t.blobs.get(&row.blob)?, now)))).collect()
        }))
    }

    async fn find_file_blob(&self, file: FileId, now: Time) -> Result<Option<Candidate>, StoreError> {
        Ok(self.read(|t| {
            let row = t.files.values().find(|row| row.file.id == file)?;
            Some(t.candidate(t.blobs.get(&row.blob)?, now))
        }))
    }

    async fn find_failures(&self, sha256: Sha256, signatures: &str) -> Result<u32, StoreError> {
        Ok(self
            .read(|t| t.scan_failures.get(&sha256).filter(|(by, _)| by == signatures).map_or(0, |(_, times)| *times)))
    }

    async fn note_failures(&self, sha256: Sha256, signatures: &str, times: u32, _now: Time) -> Result<u32, StoreError> {
        self.write(|t| {
            let known = t.scan_failures.get(&sha256).filter(|(by, _)| by == signatures).map_or(0, |(_, times)| *times);
            t.scan_failures.insert(sha256, (signatures.to_owned(), known + times));
            Ok(known + times)
        })
    }

    async fn forget_failures(&self, sha256: Sha256) -> Result<(), StoreError> {
        self.write(|t| {
            t.scan_failures.remove(&sha256);
            Ok(())
        })
    }
}
