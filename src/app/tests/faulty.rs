//! The ports with the faults of a schedule around them: each method goes through the plan under its own name.
//!
//! Not here: what a fault is (`faults.rs`).

use std::{io, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::faults::Plan;
use crate::{
    adapters::memory::{MemoryBlobs, MemorySpool, MemoryStore},
    domain::{
        Actor, Blob, BlobKey, Caller, Chat, ChatId, CheckId, Event, FileId, FileView, Hold, HoldOn, KeyId, Matter,
        Person, PlanId, Refusal, RequestId, RunId, Settings, Sha256, StoreId, Time, Verdict,
        access::Deletion,
        consistency::{Check, CheckPlace, DanglingRow, Finding, FindingKind, StoredFinding, StrangeName},
        erasure::{Erased, Erasing},
        key::{Key, Reach},
        listing::{FileQuery, FileRef, Page},
        quarantine::{Candidate, Judged, Phase, QuarantinedBlob, Release},
        retention::{Facts, Rule},
        run::{Checkpoint, Plan as RunPlan, PlanGroup, PlannedFile, Run, RunState, TaskReport},
        settings::SettingValue,
        stats::{BlobFact, FileFact},
    },
    ports::{
        Admit, AttachTo, Before, Begun, BegunRun, BlobError, BlobStore, BlobStream, Braked, ByteSource, ChatDeleted,
        ChatQuery, ChatStore, ChatTold, ClockSays, Commit, Committed, ConsistencyStore, Counted, Damaged, Dead,
        EraseStore, ErasedFiles, Expired, FileChange, FileStore, FilesOfBlob, Found, HoldQuery, HoldStore, Intent,
        JudgeBlob, KeyQuery, KeyStore, Leaving, LiveKeys, MultipartId, NamedBy, NewCheck, NewErasure, NewPlan,
        NewRelease, NewRun, NewUpload, PairingStore, PurgeStore, Purged, QuarantineQuery, QuarantineStore, ReadSeek,
        Removal, Rescan, RescanLease, RescanStore, RowWalk, RunLease, RunStore, SettingsStore, Spool, SpoolWriter,
        Spooled, StatsStore, Stop, Store, StoreClaim, StoreError, StoredSettings, TakeRescan, Tap, UploadStore, Vitals,
        VitalsStore, WalkPage, WalkPlace,
    },
};

/// What is around a port: the twin, and what goes wrong.
#[derive(Clone)]
pub struct Faulty<P> {
    pub of: P,
    pub plan: Arc<Plan>,
}

/// Implements a port: one method for each line, through the plan.
macro_rules! through {
    ($port:ident for $twin:ident { $($method:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* } $(and $($plain:tt)*)?) => {
        #[async_trait]
        impl $port for Faulty<$twin> {
            $(async fn $method(&self, $($arg: $type),*) -> $answer {
                let name = concat!(stringify!($port), ".", stringify!($method));
                self.plan.through(name, self.of.$method($($arg),*)).await
            })*
            $($($plain)*)?
        }
    };
}

through! { UploadStore for MemoryStore {
    begin_upload(new: NewUpload, admit: Admit) -> Result<Begun, Stop>;
    secure(intent: Intent) -> Result<(), StoreError>;
    find_before(person: &Person, request_id: &RequestId, now: Time) -> Result<Option<Before>, StoreError>;
    note_multipart(intent: Intent, parts: &MultipartId) -> Result<(), Stop>;
    find_multipart(intent: Intent) -> Result<Option<MultipartId>, StoreError>;
    commit_upload(commit: Commit) -> Result<Committed, Stop>;
    fence_upload(intent: Intent) -> Result<bool, StoreError>;
    abort_upload(intent: Intent, event: Event, now: Time, stays_secs: i64) -> Result<(), StoreError>;
    end_buried(intent: Intent) -> Result<(), StoreError>;
    renew_leases(alive: &[Intent], now: Time, secs: i64) -> Result<(), StoreError>;
    list_dead_uploads(own: Option<&str>, now: Time, limit: i64) -> Result<Vec<Dead>, StoreError>;
    trim_request_ids(now: Time) -> Result<u64, StoreError>;
    find_blob(sha256: Sha256, size: u64) -> Result<Option<Blob>, StoreError>;
    quarantine(sha256: Sha256, verdict: Verdict, signature: &str, made: Option<Time>) -> Result<u64, StoreError>;
    record(event: Event, now: Time) -> Result<(), StoreError>;
} }

through! { FileStore for MemoryStore {
    find_file(file: FileRef, caller: &Caller) -> Result<Option<FileView>, StoreError>;
    list_files(query: FileQuery, caller: &Caller) -> Result<Page<FileView>, StoreError>;
    attach(file: FileRef, to: Vec<AttachTo>, caller: &Caller, settings: &Settings, now: Time)
        -> Result<Vec<Result<(), Refusal>>, Stop>;
    detach(file: FileRef, chat: ChatId, caller: &Caller, settings: &Settings, now: Time) -> Result<(), Stop>;
    update_file(file: FileRef, change: FileChange, caller: &Caller, settings: &Settings, now: Time)
        -> Result<FileView, Stop>;
    delete_file(file: FileRef, caller: &Caller, settings: &Settings, now: Time) -> Result<Deletion, Stop>;
    restore_file(file: FileRef, caller: &Caller, settings: &Settings, now: Time) -> Result<FileView, Stop>;
} }

through! { ChatStore for MemoryStore {
    find_chat(id: &ChatId) -> Result<Option<Chat>, StoreError>;
    put_chats(told: Vec<ChatTold>, actor: Actor, now: Time) -> Result<Vec<Chat>, StoreError>;
    list_chats(query: ChatQuery) -> Result<Vec<Chat>, StoreError>;
    delete_chat(id: &ChatId, version: i64, actor: Actor, now: Time) -> Result<ChatDeleted, Stop>;
} }

through! { SettingsStore for MemoryStore {
    load_settings() -> Result<StoredSettings, StoreError>;
    settings_version() -> Result<i64, StoreError>;
    save_settings(changes: Vec<(&'static str, SettingValue)>, expected: i64, actor: Actor, now: Time)
        -> Result<i64, Stop>;
} }

through! { PairingStore for MemoryStore {
    find_store_claim() -> Result<Option<StoreClaim>, StoreError>;
    claim_store_id(id: StoreId, place: &str) -> Result<StoreClaim, StoreError>;
    confirm_store_id() -> Result<(), StoreError>;
    list_newest_keys() -> Result<Vec<BlobKey>, StoreError>;
} }

through! { KeyStore for MemoryStore {
    create_key(key: Key, hash: Sha256) -> Result<(), Stop>;
    list_keys(query: KeyQuery) -> Result<Vec<(i64, Key)>, StoreError>;
    retire_key(id: KeyId, reach: Reach, actor: Actor, now: Time) -> Result<Key, Stop>;
    load_keys(now: Time) -> Result<LiveKeys, StoreError>;
    keys_version() -> Result<i64, StoreError>;
} }

through! { HoldStore for MemoryStore {
    put_hold(on: HoldOn, matter: Matter, caller: &Caller, now: Time) -> Result<Hold, Stop>;
    lift_hold(on: HoldOn, matter: Matter, caller: &Caller, now: Time) -> Result<bool, Stop>;
    list_holds(query: HoldQuery, caller: &Caller) -> Result<Vec<(i64, Hold)>, Stop>;
} }

through! { RunStore for MemoryStore {
    judge_clock(now: Time, confirmed: bool) -> Result<ClockSays, StoreError>;
    begin_plan(new: NewPlan) -> Result<RunPlan, Stop>;
    grow_plan(id: PlanId, limit: i64) -> Result<bool, StoreError>;
    end_plan(id: PlanId) -> Result<RunPlan, Stop>;
    find_plan(id: PlanId) -> Result<Option<RunPlan>, StoreError>;
    list_plan_files(id: PlanId, after: Checkpoint, limit: u32) -> Result<Vec<PlannedFile>, StoreError>;
    begin_run(new: NewRun) -> Result<BegunRun, Stop>;
    find_run(id: RunId) -> Result<Option<Run>, StoreError>;
    list_runs(before: Option<i64>, limit: u32) -> Result<Vec<(i64, Run)>, StoreError>;
    cancel_run(id: RunId) -> Result<Run, Stop>;
    last_tick() -> Result<Option<Time>, StoreError>;
    take_run(node: &str, own: bool, now: Time, lease_secs: i64) -> Result<Option<(Run, RunLease)>, StoreError>;
    renew_run(lease: RunLease, now: Time, lease_secs: i64) -> Result<bool, Stop>;
    note_task(lease: RunLease, report: TaskReport) -> Result<(), Stop>;
    end_run(lease: RunLease, state: RunState, now: Time) -> Result<(), Stop>;
    expire_batch(lease: RunLease, limit: u32, now: Time) -> Result<Expired, Stop>;
    trim_runs(keep_secs: i64, now: Time, limit: i64) -> Result<u64, StoreError>;
    find_facts(file: FileId, caller: &Caller, now: Time) -> Result<Option<(FileView, Facts, Time)>, StoreError>;
} }

through! { PurgeStore for MemoryStore {
    purge_deleted(grace_secs: i64, limit: u32, now: Time) -> Result<Purged, StoreError>;
    purge_file(file: FileRef, caller: &Caller, now: Time) -> Result<Option<Leaving>, Stop>;
    list_leaving(after: i64, limit: u32, late_secs: i64, now: Time) -> Result<Vec<Leaving>, StoreError>;
    delete_blobs(gone: &[i64], from: StoreId, late_secs: i64, now: Time) -> Result<Vec<i64>, StoreError>;
} }

through! { ConsistencyStore for MemoryStore {
    tell_time(now: Time) -> Result<Time, StoreError>;
    list_named(keys: &[BlobKey], of: StoreId, to_remove: bool) -> Result<Vec<(BlobKey, NamedBy)>, StoreError>;
    list_blobs_to_check(after: i64, limit: u32) -> Result<Vec<Blob>, StoreError>;
    find_blob_to_check(id: i64) -> Result<Option<Blob>, StoreError>;
    list_files_of_blob(id: i64) -> Result<FilesOfBlob, StoreError>;
    list_dangling(walk: RowWalk, after: i64, limit: u32) -> Result<(Vec<DanglingRow>, Option<i64>), StoreError>;
    find_check_place() -> Result<CheckPlace, StoreError>;
    note_checked(lease: RunLease, report: TaskReport, place: CheckPlace, damaged: &[Damaged], now: Time)
        -> Result<(), Stop>;
    begin_check(new: NewCheck) -> Result<Check, Stop>;
    renew_check(id: CheckId, secs: i64, now: Time) -> Result<Check, Stop>;
    find_check(id: CheckId) -> Result<Option<Check>, StoreError>;
    add_findings(id: CheckId, found: &[Finding]) -> Result<u64, Stop>;
    list_findings(id: CheckId, kinds: &[FindingKind], after: i64, limit: u32)
        -> Result<Vec<StoredFinding>, StoreError>;
    note_repaired(id: CheckId, number: i64, actor: Actor, now: Time) -> Result<(), Stop>;
    delete_dangling(id: CheckId, number: i64, row: &DanglingRow, actor: Actor, now: Time) -> Result<bool, Stop>;
    trim_checks(now: Time, limit: i64) -> Result<u64, StoreError>;
} }

through! { EraseStore for MemoryStore {
    begin_erasure(new: NewErasure) -> Result<Erasing, StoreError>;
    erase_uploads(of: &Erasing) -> Result<Vec<Intent>, StoreError>;
    erase_files(of: &Erasing, limit: u32, caller: &Caller, now: Time) -> Result<ErasedFiles, StoreError>;
    list_not_erased(of: &Erasing, limit: u32) -> Result<Vec<FileId>, StoreError>;
    erase_events(of: &Erasing, limit: u32) -> Result<u64, StoreError>;
    end_erasure(of: &Erasing, held: u64, caller: &Caller, now: Time) -> Result<Erased, StoreError>;
    trim_events(keep_secs: i64, now: Time, limit: u32) -> Result<u64, StoreError>;
} }

through! { StatsStore for MemoryStore {
    find_guard(rule: &Rule, now: Time) -> Result<(u64, Time), StoreError>;
    read_files(after: i64, limit: u32) -> Result<Vec<FileFact>, StoreError>;
    read_blobs(after: i64, limit: u32) -> Result<Vec<BlobFact>, StoreError>;
    read_due(rule: &Rule, at: Time, after: Checkpoint, limit: u32)
        -> Result<(Vec<PlanGroup>, Option<Checkpoint>), StoreError>;
} }

through! { VitalsStore for MemoryStore {
    get_vitals() -> Result<Vitals, StoreError>;
} }

through! { RescanStore for MemoryStore {
    find_rescan(now: Time) -> Result<Rescan, StoreError>;
    count_blobs(signatures: &str) -> Result<Counted, StoreError>;
    take_rescan(take: TakeRescan) -> Result<Option<(Rescan, RescanLease)>, StoreError>;
    renew_rescan(lease: RescanLease, now: Time, lease_secs: i64) -> Result<(), Stop>;
    list_candidates(phase: Phase, after: i64, limit: u32, now: Time) -> Result<Vec<Candidate>, StoreError>;
    note_rescan(lease: RescanLease, phase: Phase, cursor: i64, ended: bool, now: Time) -> Result<(), Stop>;
    spend_budget(lease: RescanLease, bytes: u64, budget: u64, now: Time) -> Result<Option<Time>, Stop>;
    judge_blob(judge: JudgeBlob) -> Result<Judged, Stop>;
    restart_rescan(confirm: Option<&str>, now: Time) -> Result<(), StoreError>;
    list_braked() -> Result<Vec<Braked>, StoreError>;
    list_chat_blobs(chat: &ChatId, limit: u32, now: Time) -> Result<Vec<(FileId, Candidate)>, StoreError>;
    find_file_blob(file: FileId, now: Time) -> Result<Option<Candidate>, StoreError>;
    find_failures(sha256: Sha256, signatures: &str) -> Result<u32, StoreError>;
    note_failures(sha256: Sha256, signatures: &str, times: u32, now: Time) -> Result<u32, StoreError>;
    forget_failures(sha256: Sha256) -> Result<(), StoreError>;
} }

through! { QuarantineStore for MemoryStore {
    list_quarantine(query: QuarantineQuery) -> Result<Vec<(i64, QuarantinedBlob)>, StoreError>;
    create_release(new: NewRelease) -> Result<(Release, u64), Stop>;
    release_batch(number: i64, limit: u32, by: Actor, now: Time) -> Result<u64, StoreError>;
    list_releases(before: Option<i64>, limit: u32) -> Result<Vec<(i64, Release)>, StoreError>;
    end_release(number: i64, by: Actor, now: Time) -> Result<Release, Stop>;
    is_released(sha256: Sha256, signature: &str, now: Time) -> Result<bool, StoreError>;
} }

through! { Store for MemoryStore {
    ping() -> Result<(), StoreError>;
} }

through! { BlobStore for MemoryBlobs {
    begin_parts(key: BlobKey, size: u64) -> Result<Option<MultipartId>, BlobError>;
    publish(spooled: Arc<dyn Spooled>, parts: Option<MultipartId>) -> Result<(), BlobError>;
    open(key: BlobKey, range: Range<u64>, tap: Option<Tap>) -> Result<BlobStream, BlobError>;
    delete(key: BlobKey) -> Result<(), BlobError>;
    discard(key: BlobKey, parts: Option<MultipartId>) -> Result<(), BlobError>;
    abort_parts(key: BlobKey, parts: MultipartId) -> Result<Removal, BlobError>;
    walk(after: Option<&WalkPlace>, limit: usize) -> Result<WalkPage, BlobError>;
    remove_strange(name: &StrangeName, before: Time) -> Result<Removal, BlobError>;
    size(key: BlobKey) -> Result<Option<u64>, BlobError>;
    probe() -> Result<(), BlobError>;
    store_id() -> Result<Option<StoreId>, BlobError>;
    put_store_id(id: StoreId) -> Result<(), BlobError>;
}
and
fn leaves_spooled(&self) -> bool {
    self.of.leaves_spooled()
}

fn lateness(&self) -> Duration {
    self.of.lateness()
} }

#[async_trait]
impl Spool for Faulty<MemorySpool> {
    fn room_bytes(&self) -> u64 {
        self.of.room_bytes()
    }

    fn budget_bytes(&self) -> u64 {
        self.of.budget_bytes()
    }

    fn writer(&self, key: BlobKey) -> Box<dyn SpoolWriter> {
        Box::new(Faulty { of: self.of.writer(key), plan: Arc::clone(&self.plan) })
    }

    async fn discard(&self, key: BlobKey) -> Result<bool, BlobError> {
        self.plan.through("Spool.discard", self.of.discard(key)).await
    }

    async fn list(&self) -> Result<Vec<BlobKey>, BlobError> {
        self.plan.through("Spool.list", self.of.list()).await
    }

    async fn look(&self) -> Result<Vec<Found>, BlobError> {
        self.plan.through("Spool.look", self.of.look()).await
    }

    async fn remove_strange(&self, name: &StrangeName, before: Time) -> Result<Removal, BlobError> {
        self.plan.through("Spool.remove_strange", self.of.remove_strange(name, before)).await
    }
}

impl SpoolWriter for Faulty<Box<dyn SpoolWriter>> {
    fn write(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        self.plan.blocking("SpoolWriter.write", || self.of.write(chunks))
    }

    fn seal(self: Box<Self>) -> io::Result<Arc<dyn Spooled>> {
        let Faulty { of, plan } = *self;
        let of = plan.blocking("SpoolWriter.seal", || of.seal())?;
        Ok(Arc::new(Faulty { of, plan }))
    }
}

impl Spooled for Faulty<Arc<dyn Spooled>> {
    fn key(&self) -> BlobKey {
        self.of.key()
    }

    fn sync(&self) -> io::Result<()> {
        self.plan.blocking("Spooled.sync", || self.of.sync())
    }

    fn is_synced(&self) -> bool {
        self.of.is_synced()
    }
}

impl ByteSource for Faulty<Arc<dyn Spooled>> {
    fn size(&self) -> u64 {
        self.of.size()
    }

    fn reader(&self) -> io::Result<Box<dyn ReadSeek>> {
        self.of.reader()
    }
}
