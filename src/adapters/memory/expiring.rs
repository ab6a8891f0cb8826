//! Files that are old enough to be deleted, in memory.
//!
//! Not here: which those are ([`crate::domain::retention`]), and runs (`runs.rs`).

use super::{MemoryStore, Tables, runs::RunRow};
use crate::{
    domain::{
        AgesAs, Event, EventKind, File, FileId, FileState, PlanId, Refusal, RunId, Time,
        retention::{Facts, Rule, keeps},
        run::{Checkpoint, Outcome, PlannedFile, Task},
    },
    ports::{Expired, RunLease, Stop, StoreError},
};

impl Tables {
    pub(super) fn facts(&self, file: &File) -> Facts {
        Facts {
            state: file.state,
            owner: AgesAs::of(file.uploader.kind(), file.origin),
            persistent: file.persistent,
            held: self.is_held(file),
            attached: self.attachments.keys().any(|(number, _)| *number == file.number),
            created_at: file.created_at,
            restored_at: file.restored_at,
        }
    }

    pub(super) fn bytes_of(&self, blob: i64) -> u64 {
        self.blobs.get(&blob).map_or(0, |row| row.blob.size)
    }

    /// What a rule deletes at a moment, after a place, the oldest first.
    pub(super) fn due(&self, rule: &Rule, at: Time, after: Checkpoint) -> Vec<PlannedFile> {
        let all = self.files.values().filter(|row| keeps(rule, &self.facts(&row.file), at).is_none());
        let due = all.map(|row| {
            let Facts { owner, attached, created_at, .. } = self.facts(&row.file);
            let at = Checkpoint { created_at, number: row.file.number };
            PlannedFile { at, id: row.file.id, owner, attached, size: self.bytes_of(row.blob) }
        });
        let mut due: Vec<_> = due.filter(|file| file.at > after).collect();
        due.sort_unstable_by_key(|file| file.at);
        due
    }

    pub(super) fn expire_batch(&mut self, lease: RunLease, limit: u32, now: Time) -> Result<Expired, Stop> {
        let RunRow { run, after, .. } = self.leased(lease)?.clone();
        let mut report = run
            .tasks
            .into_iter()
            .find(|report| report.task == Task::Expire)
            .ok_or_else(|| StoreError::Corrupt { table: "run_tasks", column: "task", id: lease.run.to_string() })?;
        if run.cancel_requested {
            return Ok(Expired { report, more: false, kept_by_guard: false, cancelled: true });
        }
        let (rule, judged_at, mut next) = match run.plan {
            Some(id) => {
                let row = self.plans.get(&id).ok_or_else(Refusal::not_found)?;
                let next = row.files.iter().filter(|file| file.at > after).copied().collect();
                (row.plan.rule, row.plan.created_at, next)
            }
            None => {
                let judged_at = run.begun_at.min(now);
                (run.rule, judged_at, self.due(&run.rule, judged_at, after))
            }
        };
        let left = report.guard.map_or(u64::MAX, |guard| guard.saturating_sub(report.done));
        let allowed = usize::try_from(left.min(u64::from(limit))).unwrap_or(usize::MAX);
        let more = next.len() > allowed;
        let kept_by_guard = more && left <= u64::from(limit);
        next.truncate(allowed);
        let Some(last) = next.last().copied() else {
            return Ok(Expired { report, more: more && !kept_by_guard, kept_by_guard, cancelled: false });
        };
        for planned in next {
            let row = self.files.get(&planned.at.number).cloned();
            let Some(row) = row.filter(|row| keeps(&rule, &self.facts(&row.file), judged_at).is_none()) else {
                report.kept += 1;
                continue;
            };
            self.revise(row.file.number, |file| (file.state, file.deleted_at) = (FileState::Deleted, Some(now)));
            let event = Event::new(EventKind::FileDeleted, run.by.clone()).file(row.file.id).chat(row.file.home_chat);
            self.record(event.detail(run.id.to_string()), now);
            report.done += 1;
            report.bytes += self.bytes_of(row.blob);
        }
        report.outcome = Outcome::Running;
        let row = self.leased(lease)?;
        row.after = last.at;
        row.note(report);
        Ok(Expired { report, more, kept_by_guard, cancelled: false })
    }
}

/// What time would change, for the tests.
impl MemoryStore {
    /// The file was uploaded then.
    pub fn age(&self, id: FileId, created_at: Time) {
        for row in self.lock().files.values_mut().filter(|row| row.file.id == id) {
            row.file.created_at = created_at;
        }
    }

    /// The plan was made with this guard.
    pub fn set_guard(&self, id: PlanId, guard: u64) {
        if let Some(row) = self.lock().plans.get_mut(&id) {
            row.plan.guard = guard;
        }
    }

    /// The run was begun with this guard.
    pub fn set_run_guard(&self, id: RunId, guard: u64) {
        for row in self.lock().runs.values_mut().filter(|row| row.run.id == id) {
            row.run.tasks.iter_mut().for_each(|report| report.guard = Some(guard));
        }
    }

    /// All plans were made so many seconds earlier.
    pub fn let_plans_end(&self, secs: i64) {
        for row in self.lock().plans.values_mut() {
            row.plan.expires_at = row.plan.expires_at.plus_secs(-secs);
        }
    }

    /// The highest time that was seen.
    pub fn set_clock(&self, seen: Time) {
        self.lock().clock = Some(seen);
    }
}
