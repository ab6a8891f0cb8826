//! What a check of consistency asks, and what is kept of it, in memory.
//!
//! Not here: the stores of bytes (`blobs.rs`).

use async_trait::async_trait;

use super::{MemoryStore, Tables, purging::Stub};
use crate::{
    domain::{
        Actor, Blob, BlobKey, BlobState, CheckId, Event, EventKind, FileId, Reason, Refusal, StoreId, Time,
        consistency::{
            CHECK_SECS, Check, CheckPlace, Dangling, DanglingRow, Finding, FindingKind, IDLE_CHECK_SECS, MOST_CHECKS,
            MOST_COUNTED, MOST_FINDINGS, MOST_NAMED, StoredFinding,
        },
        run::TaskReport,
        settings::SettingValue,
    },
    ports::{ConsistencyStore, Damaged, FilesOfBlob, NamedBy, NewCheck, RowWalk, RunLease, Stop, StoreError},
};

/// A check with what it found.
#[derive(Clone)]
pub(super) struct CheckRow {
    check: Check,
    found: Vec<StoredFinding>,
}

impl Tables {
    fn need_writable(&self) -> Result<(), StoreError> {
        if self.settings.get("read_only") == Some(&SettingValue::Bool(true)) {
            Err(StoreError::ReadOnly)
        } else {
            Ok(())
        }
    }

    /// Rows that break a rule, each with the number by which it is walked.
    fn loose(&self, walk: RowWalk) -> Vec<(i64, Option<DanglingRow>)> {
        let row = |rule, number, file: Option<FileId>, chat| DanglingRow { rule, number, file, chat };
        match walk {
            RowWalk::Files => {
                let judged = self.files.values().map(|of| {
                    let (number, id) = (of.file.number, Some(of.file.id));
                    let rule = match self.blobs.get(&of.blob).map(|blob| blob.blob.state) {
                        None => Some(Dangling::FileWithoutBlob),
                        Some(BlobState::Purging) => Some(Dangling::FileOfLeavingBlob),
                        Some(BlobState::Active | BlobState::Quarantined) => None,
                    };
                    (number, rule.map(|rule| row(rule, number, id, None)))
                });
                judged.collect()
            }
            RowWalk::Attachments => {
                let judged = self.attachments.keys().map(|(number, chat)| {
                    let file = self.files.get(number);
                    let rule = match (file, self.chats.contains_key(chat)) {
                        (None, _) => Some(Dangling::AttachmentWithoutFile),
                        (Some(_), false) => Some(Dangling::AttachmentWithoutChat),
                        (Some(_), true) => None,
                    };
                    let id = file.map(|of| of.file.id);
                    (*number, rule.map(|rule| row(rule, *number, id, Some(chat.to_string()))))
                });
                judged.collect()
            }
            RowWalk::Stubs => {
                let judged = self.stubs.iter().map(|(number, stub)| {
                    let there = self.files.values().any(|of| of.file.id == stub.id);
                    (*number, there.then(|| row(Dangling::PurgedFile, *number, Some(stub.id), None)))
                });
                judged.collect()
            }
            RowWalk::Blobs => {
                let judged = self.blobs.keys().map(|id| {
                    let needless = self.is_needless(*id);
                    (*id, needless.then(|| row(Dangling::BlobWithoutFile, *id, None, None)))
                });
                judged.collect()
            }
        }
    }

    /// The blob is there, not on its way out, and no file needs it.
    fn is_needless(&self, id: i64) -> bool {
        self.blobs.get(&id).is_some_and(|row| row.blob.state != BlobState::Purging)
            && !self.files.values().any(|file| file.blob == id)
    }

    fn repaired(&mut self, id: CheckId, number: i64, actor: Actor, now: Time) -> Result<(), Stop> {
        let row = self.checks.get_mut(&id).ok_or_else(Refusal::not_found)?;
        let found = row.found.iter_mut().find(|found| found.number == number).ok_or_else(Refusal::not_found)?;
        found.repaired = true;
        let detail = format!("{id} {number} {}", found.finding.what.kind().name());
        self.record(Event::new(EventKind::FindingRepaired, actor).detail(detail), now);
        Ok(())
    }
}

impl MemoryStore {
    /// Lets the time of checks come so much nearer.
    pub fn let_checks_end(&self, secs: i64) {
        let mut tables = self.lock();
        tables.checks.values_mut().for_each(|row| row.check.expires_at = row.check.expires_at.plus_secs(-secs));
    }

    /// This blob is PURGING whatever needs it, and this file is purged though it is there: as nobody's rules allow.
    pub fn spoil_rows(&self, blob: i64, file: FileId) {
        let mut tables = self.lock();
        if let Some(row) = tables.blobs.get_mut(&blob) {
            row.blob.state = BlobState::Purging;
        }
        tables.stubs.insert(7, Stub { id: file, created_at: Time(1), deleted_at: Time(1), purged_at: Time(1) });
    }

    /// This file is gone, and its blob stays: as nobody's rules allow.
    pub fn lose_file(&self, number: i64) {
        let mut tables = self.lock();
        tables.files.remove(&number);
        tables.attachments.retain(|(of, _), _| *of != number);
    }
}

#[async_trait]
impl ConsistencyStore for MemoryStore {
    async fn tell_time(&self, now: Time) -> Result<Time, StoreError> {
        Ok(now)
    }

    async fn list_named(
        &self,
        keys: &[BlobKey],
        of: StoreId,
        to_remove: bool,
    ) -> Result<Vec<(BlobKey, NamedBy)>, StoreError> {
        self.read(|t| {
            if to_remove {
                t.need_writable()?;
            }
            if t.claim.as_ref().is_some_and(|claim| claim.id != of) {
                return Err(StoreError::ReadOnly);
            }
            let named = keys.iter().map(|key| {
                let upload = t.uploads.values().any(|row| row.key == *key);
                let blob = t.blobs.values().any(|row| row.blob.key == *key);
                (*key, NamedBy { upload, blob })
            });
            Ok(named.filter(|(_, by)| *by != NamedBy::default()).collect())
        })
    }

    async fn list_blobs_to_check(&self, after: i64, limit: u32) -> Result<Vec<Blob>, StoreError> {
        Ok(self.read(|t| t.blobs.range(after + 1..).take(limit as usize).map(|(_, row)| row.blob.clone()).collect()))
    }

    async fn find_blob_to_check(&self, id: i64) -> Result<Option<Blob>, StoreError> {
        Ok(self.read(|t| t.blobs.get(&id).map(|row| row.blob.clone())))
    }

    async fn list_files_of_blob(&self, id: i64) -> Result<FilesOfBlob, StoreError> {
        Ok(self.read(|t| {
            let of = t.files.values().filter(|row| row.blob == id).map(|row| row.file.id);
            let mut first: Vec<FileId> = of.take(usize::try_from(MOST_COUNTED).unwrap_or(usize::MAX)).collect();
            let count = first.len() as u64;
            first.sort_unstable();
            first.truncate(MOST_NAMED);
            FilesOfBlob { count, first }
        }))
    }

    async fn list_dangling(
        &self,
        walk: RowWalk,
        after: i64,
        limit: u32,
    ) -> Result<(Vec<DanglingRow>, Option<i64>), StoreError> {
        Ok(self.read(|t| {
            let rows: Vec<_> = t.loose(walk).into_iter().filter(|(number, _)| *number > after).collect();
            let end = rows.get(limit.max(1) as usize - 1).map(|(number, _)| *number);
            let seen = rows.into_iter().filter(|(number, _)| end.is_none_or(|end| *number <= end));
            (seen.filter_map(|(_, row)| row).collect(), end)
        }))
    }

    async fn find_check_place(&self) -> Result<CheckPlace, StoreError> {
        Ok(self.read(|t| t.check_place))
    }

    async fn note_checked(
        &self,
        lease: RunLease,
        report: TaskReport,
        place: CheckPlace,
        damaged: &[Damaged],
        now: Time,
    ) -> Result<(), Stop> {
        self.write(|t| {
            t.leased(lease)?.note(report);
            t.check_place = place;
            for Damaged { kind, file } in damaged {
                let event = Event::new(EventKind::BlobCorrupt, Actor::SYSTEM).reason(Reason::Corrupt);
                t.record(Event { file: *file, ..event.detail(kind.name()) }, now);
            }
            Ok(())
        })
    }

    async fn begin_check(&self, new: NewCheck) -> Result<Check, Stop> {
        self.write(|t| {
            t.need_writable()?;
            let NewCheck { id, of, by, now } = new;
            let live = t.checks.values_mut().map(|row| &mut row.check).filter(|check| check.expires_at > now);
            let mut live: Vec<&mut Check> = live.collect();
            live.sort_by_key(|check| check.expires_at);
            if live.len() as i64 >= MOST_CHECKS {
                let idle = now.plus_secs(CHECK_SECS - IDLE_CHECK_SECS);
                let first = live.into_iter().next().filter(|check| check.expires_at < idle);
                first.ok_or(Reason::Busy)?.expires_at = now.plus_secs(-CHECK_SECS - 1);
            }
            let check = Check { id, of, by, stored: 0, created_at: now, expires_at: now.plus_secs(CHECK_SECS) };
            t.checks.insert(id, CheckRow { check: check.clone(), found: Vec::new() });
            Ok(check)
        })
    }

    async fn renew_check(&self, id: CheckId, secs: i64, now: Time) -> Result<Check, Stop> {
        self.write(|t| {
            t.need_writable()?;
            let check = &mut t.checks.get_mut(&id).ok_or_else(Refusal::not_found)?.check;
            check.expires_at = now.plus_secs(secs);
            Ok(check.clone())
        })
    }

    async fn find_check(&self, id: CheckId) -> Result<Option<Check>, StoreError> {
        Ok(self.read(|t| t.checks.get(&id).map(|row| row.check.clone())))
    }

    async fn add_findings(&self, id: CheckId, found: &[Finding]) -> Result<u64, Stop> {
        self.write(|t| {
            t.need_writable()?;
            let row = t.checks.get_mut(&id).ok_or_else(Refusal::not_found)?;
            for finding in found {
                let name = (finding.what.kind(), finding.what.subject());
                let is_known =
                    row.found.iter().any(|known| (known.finding.what.kind(), known.finding.what.subject()) == name);
                if !is_known && (row.found.len() as u64) < MOST_FINDINGS {
                    let number = row.found.len() as i64 + 1;
                    row.found.push(StoredFinding { number, repaired: false, finding: finding.clone() });
                }
            }
            row.check.stored = row.found.len() as u64;
            Ok(row.check.stored)
        })
    }

    async fn list_findings(
        &self,
        id: CheckId,
        kinds: &[FindingKind],
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredFinding>, StoreError> {
        Ok(self.read(|t| {
            let found = t.checks.get(&id).map(|row| row.found.as_slice()).unwrap_or_default().iter();
            let asked = found.filter(|row| row.number > after && kinds.contains(&row.finding.what.kind()));
            asked.take(limit as usize).cloned().collect()
        }))
    }

    async fn note_repaired(&self, id: CheckId, number: i64, actor: Actor, now: Time) -> Result<(), Stop> {
        self.write(|t| t.repaired(id, number, actor, now))
    }

    async fn delete_dangling(
        &self,
        id: CheckId,
        number: i64,
        row: &DanglingRow,
        actor: Actor,
        now: Time,
    ) -> Result<bool, Stop> {
        self.write(|t| {
            match row.rule {
                Dangling::AttachmentWithoutFile => {
                    let Some(chat) = row.chat.as_deref().and_then(|chat| chat.parse().ok()) else { return Ok(false) };
                    if t.files.contains_key(&row.number) || t.attachments.remove(&(row.number, chat)).is_none() {
                        return Ok(false);
                    }
                }
                Dangling::BlobWithoutFile if t.is_needless(row.number) => {
                    if let Some(leaves) = t.blobs.get_mut(&row.number) {
                        leaves.blob.state = BlobState::Purging;
                    }
                }
                Dangling::BlobWithoutFile
                | Dangling::FileWithoutBlob
                | Dangling::FileOfLeavingBlob
                | Dangling::AttachmentWithoutChat
                | Dangling::PurgedFile => return Ok(false),
            }
            t.repaired(id, number, actor, now)?;
            Ok(true)
        })
    }

    async fn trim_checks(&self, now: Time, limit: i64) -> Result<u64, StoreError> {
        self.write(|t| {
            let over = t.checks.values_mut().filter(|row| row.check.expires_at < now.plus_secs(-CHECK_SECS));
            let Some(row) = over.min_by_key(|row| row.check.expires_at) else { return Ok(0) };
            let gone = row.found.len().min(usize::try_from(limit).unwrap_or(0));
            row.found.drain(..gone);
            if gone > 0 {
                return Ok(gone as u64);
            }
            let id = row.check.id;
            t.checks.remove(&id);
            Ok(1)
        })
    }
}
