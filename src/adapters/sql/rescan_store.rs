//! The ports to the rescan and to the quarantine, method by method: which body, and whether it writes.
//!
//! Not here: what the bodies do (`rescan.rs`, `candidates.rs`, `judging.rs`, `releases.rs`).

use std::time::Instant;

use async_trait::async_trait;
use futures_util::FutureExt;

use super::{SqlStore, candidates, judging, releases, rescan, store::timed};
use crate::{
    domain::{
        Actor, ChatId, FileId, Sha256, Time,
        quarantine::{Candidate, Judged, Phase, QuarantinedBlob, Release},
    },
    ports::{
        Braked, Counted, JudgeBlob, NewRelease, QuarantineQuery, QuarantineStore, Rescan, RescanLease, RescanStore,
        Stop, StoreError, TakeRescan,
    },
    telemetry::names,
};

#[async_trait]
impl RescanStore for SqlStore {
    async fn find_rescan(&self, now: Time) -> Result<Rescan, StoreError> {
        timed!(self.read, "find_rescan", |conn| rescan::find(conn, now))
    }

    async fn count_blobs(&self, signatures: &str) -> Result<Counted, StoreError> {
        let signatures = signatures.to_owned();
        timed!(self.read, "count_blobs", |conn| rescan::count_blobs(conn, signatures))
    }

    async fn take_rescan(&self, take: TakeRescan) -> Result<Option<(Rescan, RescanLease)>, StoreError> {
        timed!(self.write, "take_rescan", |conn| rescan::take(conn, take))
    }

    async fn renew_rescan(&self, lease: RescanLease, now: Time, lease_secs: i64) -> Result<(), Stop> {
        timed!(self.write, "renew_rescan", |conn| rescan::renew(conn, lease, now, lease_secs))
    }

    async fn list_candidates(
        &self,
        phase: Phase,
        after: i64,
        limit: u32,
        now: Time,
    ) -> Result<Vec<Candidate>, StoreError> {
        timed!(self.read, "list_candidates", |conn| candidates::list(conn, phase, after, limit, now))
    }

    async fn note_rescan(
        &self,
        lease: RescanLease,
        phase: Phase,
        cursor: i64,
        ended: bool,
        now: Time,
    ) -> Result<(), Stop> {
        timed!(self.write, "note_rescan", |conn| rescan::note(conn, lease, phase, cursor, ended, now))
    }

    async fn spend_budget(&self, lease: RescanLease, bytes: u64, budget: u64, now: Time) -> Result<Option<Time>, Stop> {
        timed!(self.write, "spend_budget", |conn| rescan::spend(conn, lease, bytes, budget, now))
    }

    async fn judge_blob(&self, judge: JudgeBlob) -> Result<Judged, Stop> {
        timed!(self.write, "judge_blob", |conn| judging::judge(conn, judge))
    }

    async fn restart_rescan(&self, confirm: Option<&str>, now: Time) -> Result<(), StoreError> {
        let confirm = confirm.map(str::to_owned);
        timed!(self.write, "restart_rescan", |conn| rescan::restart(conn, confirm, now))
    }

    async fn list_braked(&self) -> Result<Vec<Braked>, StoreError> {
        timed!(self.read, "list_braked", |conn| rescan::list_braked(conn))
    }

    async fn list_chat_blobs(
        &self,
        chat: &ChatId,
        limit: u32,
        now: Time,
    ) -> Result<Vec<(FileId, Candidate)>, StoreError> {
        let chat = chat.clone();
        timed!(self.read, "list_chat_blobs", |conn| candidates::of_chat(conn, chat, limit, now))
    }

    async fn find_file_blob(&self, file: FileId, now: Time) -> Result<Option<Candidate>, StoreError> {
        timed!(self.read, "find_file_blob", |conn| candidates::of_file(conn, file, now))
    }

    async fn find_failures(&self, sha256: Sha256, signatures: &str) -> Result<u32, StoreError> {
        let signatures = signatures.to_owned();
        timed!(self.read, "find_failures", |conn| judging::find_failures(conn, sha256, signatures))
    }

    async fn note_failures(&self, sha256: Sha256, signatures: &str, times: u32, now: Time) -> Result<u32, StoreError> {
        let signatures = signatures.to_owned();
        timed!(self.write, "note_failures", |conn| judging::note_failures(conn, sha256, signatures, times, now))
    }

    async fn forget_failures(&self, sha256: Sha256) -> Result<(), StoreError> {
        timed!(self.write, "forget_failures", |conn| judging::forget_failures(conn, sha256))
    }
}

#[async_trait]
impl QuarantineStore for SqlStore {
    async fn list_quarantine(&self, query: QuarantineQuery) -> Result<Vec<(i64, QuarantinedBlob)>, StoreError> {
        timed!(self.read, "list_quarantine", |conn| releases::list_quarantine(conn, query))
    }

    async fn create_release(&self, new: NewRelease) -> Result<(Release, u64), Stop> {
        timed!(self.write, "create_release", |conn| releases::create(conn, new))
    }

    async fn release_batch(&self, number: i64, limit: u32, by: Actor, now: Time) -> Result<u64, StoreError> {
        timed!(self.write, "release_batch", |conn| releases::batch(conn, number, limit, by, now))
    }

    async fn list_releases(&self, before: Option<i64>, limit: u32) -> Result<Vec<(i64, Release)>, StoreError> {
        timed!(self.read, "list_releases", |conn| releases::list(conn, before, limit))
    }

    async fn end_release(&self, number: i64, by: Actor, now: Time) -> Result<Release, Stop> {
        timed!(self.write, "end_release", |conn| releases::end(conn, number, by, now))
    }

    async fn is_released(&self, sha256: Sha256, signature: &str, now: Time) -> Result<bool, StoreError> {
        let signature = signature.to_owned();
        timed!(self.read, "is_released", |conn| releases::is_released_now(conn, sha256, signature, now))
    }
}
