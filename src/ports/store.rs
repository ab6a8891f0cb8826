//! The ports to the database: each method is one transaction, named after what it means.
//!
//! Not here: SQL (`adapters/sql/`) and the order of calls (`app/`). A method that must decide inside its transaction
//! asks the pure functions of `domain/` and answers [`Stop::Refused`] with their refusal.

use std::io;

use async_trait::async_trait;

use super::{
    Admit, Before, Begun, Commit, Committed, ConsistencyStore, Dead, EraseStore, HoldStore, Intent, KeyStore,
    MultipartId, NewUpload, PurgeStore, QuarantineStore, RescanStore, RunStore, StatsStore, VitalsStore,
};
use crate::domain::{
    Actor, Blob, BlobKey, Caller, Chat, ChatId, ChatStatus, Event, FileView, OperatorId, Person, Reason, Refusal,
    RequestId, Settings, Sha256, StoreId, Time, Verdict,
    access::Deletion,
    listing::{FileQuery, FileRef, Page},
    name::DisplayName,
    settings::SettingValue,
};

/// What a database can fail with.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique value was there already.
    #[error("a row with this {0} exists already")]
    Duplicate(String),
    /// Another transaction was faster; the same call may pass.
    #[error("the transaction met another one: {0}")]
    Conflict(String),
    /// No answer, no connection.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] io::Error),
    /// The database's disk is full.
    #[error("the database has no room: {0}")]
    NoSpace(String),
    /// A row holds what no row may hold.
    #[error("the row {table} {id} is damaged: column {column}")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// Which column.
        column: &'static str,
        /// Which row.
        id: String,
    },
    /// `read_only` was set, and a change came after it.
    #[error("the service is in read-only mode")]
    ReadOnly,
    /// A statement that the engine refuses: a bug of ours.
    #[error("the database refuses a statement: {0}")]
    Refused(String),
}

impl StoreError {
    /// The same call may pass at once.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, StoreError::Conflict(_))
    }
}

/// Why a transaction changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A rule says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed.
    #[error(transparent)]
    Failed(#[from] StoreError),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Stop::Refused(reason.into())
    }
}

/// How long a request id is remembered, in seconds.
pub const REQUEST_ID_SECS: i64 = 86_400;

/// Uploads, from intent to file.
#[async_trait]
pub trait UploadStore: Send + Sync + 'static {
    /// Writes the intent of an upload that is admitted with the chat as it is: it is there for everybody, and after a
    /// kill. Fences an older running one with the same person and request id. Refused, nothing is written.
    async fn begin_upload(&self, new: NewUpload, admit: Admit) -> Result<Begun, Stop>;
    /// The intent outlives a power cut, too, when this answers. To be asked before its bytes leave the spool: what lies
    /// in there without a row, the next start removes.
    async fn secure(&self, intent: Intent) -> Result<(), StoreError>;
    /// What this person's upload with this request id became, if it succeeded within 24 h.
    async fn find_before(
        &self,
        person: &Person,
        request_id: &RequestId,
        now: Time,
    ) -> Result<Option<Before>, StoreError>;
    /// Writes down the upload in parts that an intent's bytes go through. `FENCED` if the intent is not running any more.
    async fn note_multipart(&self, intent: Intent, parts: &MultipartId) -> Result<(), Stop>;
    /// The upload in parts that was written down for an intent.
    async fn find_multipart(&self, intent: Intent) -> Result<Option<MultipartId>, StoreError>;
    /// The moment it happens: the chat judged again ([`crate::domain::admission::judge_again`]), blob, file READY,
    /// attachment to the home chat, event, the intent ended. `FENCED` if the intent is not there any more.
    async fn commit_upload(&self, commit: Commit) -> Result<Committed, Stop>;
    /// Sees to it that an intent is never committed any more, and answers whether a blob's row names its key: then its
    /// commit went through before, and its bytes are that blob's. Waits for a commit that is under way, and is durable when
    /// it answers: no commit, nor one whose failure was told too soon, makes a file of bytes that are removed next.
    async fn fence_upload(&self, intent: Intent) -> Result<bool, StoreError>;
    /// Ends an intent without a file; writes the event with it. Ending one that is gone, or buried, writes nothing. With
    /// `stays_secs` its row stays so long, buried: [`UploadStore::list_dead_uploads`] names it once more then. Its
    /// request id is free at once.
    async fn abort_upload(&self, intent: Intent, event: Event, now: Time, stays_secs: i64) -> Result<(), StoreError>;
    /// Ends the row of a buried intent.
    async fn end_buried(&self, intent: Intent) -> Result<(), StoreError>;
    /// Has the leases of those of these intents that have not ended, fenced ones too, hold so many seconds from now on.
    async fn renew_leases(&self, alive: &[Intent], now: Time, secs: i64) -> Result<(), StoreError>;
    /// Running intents whose lease is over, and buried ones whose time is; with `own` also all running ones that this
    /// node's earlier life left, leased or not. A database that nodes share judges by its own clock, so that none of
    /// theirs ends what another does; `now` is what time it is where one node has the database for itself.
    async fn list_dead_uploads(&self, own: Option<&str>, now: Time, limit: i64) -> Result<Vec<Dead>, StoreError>;
    /// Forgets ended request ids older than [`REQUEST_ID_SECS`]; at most 1,000 a call. Answers how many.
    async fn trim_request_ids(&self, now: Time) -> Result<u64, StoreError>;
    /// The best known blob with these bytes: ACTIVE and CLEAN before others, then the newest verdict. None that is PURGING.
    async fn find_blob(&self, sha256: Sha256, size: u64) -> Result<Option<Blob>, StoreError>;
    /// Remembers the hit: an upload of the same bytes that was judged without knowing of it is not committed. Puts every
    /// ACTIVE blob with these bytes into quarantine, with an event each. Answers how many: none, and nothing is remembered,
    /// where a release of the bytes or the signature is in force.
    async fn quarantine(
        &self,
        sha256: Sha256,
        verdict: Verdict,
        signature: &str,
        made: Option<Time>,
    ) -> Result<u64, StoreError>;
    /// Writes an event that has no other transaction.
    async fn record(&self, event: Event, now: Time) -> Result<(), StoreError>;
}

/// A change of a file's row.
#[derive(Debug, Clone, Default)]
pub struct FileChange {
    /// The new name.
    pub display_name: Option<DisplayName>,
    /// The new flag.
    pub persistent: Option<bool>,
    /// What the caller believes the etag to be.
    pub etag: Option<String>,
}

/// One chat of an attach.
#[derive(Debug, Clone)]
pub struct AttachTo {
    /// Which chat.
    pub chat: ChatId,
    /// The chat backend's id of the message.
    pub message_id: Option<String>,
}

/// Files that are there. The decisions are those of [`crate::domain::access`], taken inside the transaction.
#[async_trait]
pub trait FileStore: Send + Sync + 'static {
    /// The file by id or code, whatever its state, as rows tell it to this caller. The same statements run whether it
    /// is there or not.
    async fn find_file(&self, file: FileRef, caller: &Caller) -> Result<Option<FileView>, StoreError>;
    /// A page. `scope` and the filters hold; only files with ACTIVE blobs, READY ones unless deleted ones are asked for.
    async fn list_files(&self, query: FileQuery, caller: &Caller) -> Result<Page<FileView>, StoreError>;
    /// Attaches a file to chats, each judged on its own: `see` and `read` for the file, `see_chat` for the chat.
    /// Attaching twice is one attachment; a later call may fill `message_id`. Refused as a whole only for the file.
    async fn attach(
        &self,
        file: FileRef,
        to: Vec<AttachTo>,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<Vec<Result<(), Refusal>>, Stop>;
    /// Detaches. Detaching what is not attached changes nothing and is OK if it would have been allowed.
    async fn detach(
        &self,
        file: FileRef,
        chat: ChatId,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<(), Stop>;
    /// Changes the row; `ETAG_MISMATCH` if it is not the one believed.
    async fn update_file(
        &self,
        file: FileRef,
        change: FileChange,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<FileView, Stop>;
    /// Writes the tombstone, as [`crate::domain::access::delete`] decides.
    async fn delete_file(
        &self,
        file: FileRef,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<Deletion, Stop>;
    /// Brings a deleted file back with its attachments to living chats, as [`crate::domain::access::restore`] decides;
    /// answers it as it is then.
    async fn restore_file(
        &self,
        file: FileRef,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<FileView, Stop>;
}

/// A chat as it is told. Version 0 always applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatTold {
    /// Which.
    pub id: ChatId,
    /// Where it stands.
    pub status: ChatStatus,
    /// Its owner.
    pub owner: Option<OperatorId>,
    /// When it was closed; CLOSED without it means now.
    pub closed_at: Option<Time>,
    /// Overrides the settings for visitors' uploads.
    pub upload_override: Option<bool>,
    /// Which telling.
    pub version: i64,
}

/// What deleting a chat did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChatDeleted {
    /// Files whose home it was and that were attached nowhere else.
    pub files_deleted: u64,
    /// Other files detached from it.
    pub files_detached: u64,
}

/// A page of chats to be listed, by id.
#[derive(Debug, Clone, Default)]
pub struct ChatQuery {
    /// Only with this status.
    pub status: Option<ChatStatus>,
    /// Only of this owner.
    pub owner: Option<OperatorId>,
    /// Only these, for a caller whose claim names some chats.
    pub scope: Option<Vec<ChatId>>,
    /// After this id.
    pub after: Option<ChatId>,
    /// At most.
    pub limit: u32,
}

/// Chats.
#[async_trait]
pub trait ChatStore: Send + Sync + 'static {
    /// The chat, tombstones too.
    async fn find_chat(&self, id: &ChatId) -> Result<Option<Chat>, StoreError>;
    /// Applies each telling by the version rule ([`crate::domain::chat::next_version`]), all in one transaction.
    /// Answers each chat as it is stored afterwards. A telling that changes nothing writes no event.
    async fn put_chats(&self, told: Vec<ChatTold>, actor: Actor, now: Time) -> Result<Vec<Chat>, StoreError>;
    /// Chats that are not deleted, by id; the last id is where the next page starts.
    async fn list_chats(&self, query: ChatQuery) -> Result<Vec<Chat>, StoreError>;
    /// Leaves a tombstone (an older or equal version changes nothing), deletes the files whose home it is and that are
    /// attached nowhere else, persistent ones too, and detaches the rest. `ON_HOLD`, and nothing changes, if the chat is
    /// held or one of these files.
    async fn delete_chat(&self, id: &ChatId, version: i64, actor: Actor, now: Time) -> Result<ChatDeleted, Stop>;
}

/// Settings with the version they were stored under; version 0 is the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSettings {
    /// The values.
    pub settings: Settings,
    /// Grows with every change.
    pub version: i64,
    /// When they were last changed.
    pub updated_at: Option<Time>,
}

/// Settings at rest: a row per key that differs from what was never stored, one version for all.
#[async_trait]
pub trait SettingsStore: Send + Sync + 'static {
    /// All of them. A stored key that is not in the table, or out of bounds, is an error that names it.
    async fn load_settings(&self) -> Result<StoredSettings, StoreError>;
    /// The version alone: asked every second by every node.
    async fn settings_version(&self) -> Result<i64, StoreError>;
    /// Stores the values if the version is still `expected`, else `ETAG_MISMATCH`. With history and event. Answers
    /// the new version.
    async fn save_settings(
        &self,
        changes: Vec<(&'static str, SettingValue)>,
        expected: i64,
        actor: Actor,
        now: Time,
    ) -> Result<i64, Stop>;
}

/// The id of a database and its store of bytes, as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreClaim {
    /// The id.
    pub id: StoreId,
    /// Where the store of bytes was whose node claimed it.
    pub place: String,
    /// The store of bytes has it, too. Without this a start was killed between the two.
    pub confirmed: bool,
}

/// Which store of bytes belongs to this database.
#[async_trait]
pub trait PairingStore: Send + Sync + 'static {
    /// The id, once there is one.
    async fn find_store_claim(&self) -> Result<Option<StoreClaim>, StoreError>;
    /// Takes this id for the store at this place unless there is one already; answers the one that counts, also where
    /// many nodes start at once.
    async fn claim_store_id(&self, id: StoreId, place: &str) -> Result<StoreClaim, StoreError>;
    /// Notes that the store of bytes has the id.
    async fn confirm_store_id(&self) -> Result<(), StoreError>;
    /// Keys that rows of blobs name, a few of the newest that are not PURGING: where none of them is there, the bytes are
    /// elsewhere.
    async fn list_newest_keys(&self) -> Result<Vec<BlobKey>, StoreError>;
}

/// Everything the database does.
#[async_trait]
pub trait Store:
    UploadStore
    + FileStore
    + ChatStore
    + SettingsStore
    + PairingStore
    + KeyStore
    + HoldStore
    + PurgeStore
    + ConsistencyStore
    + EraseStore
    + StatsStore
    + RunStore
    + RescanStore
    + QuarantineStore
    + VitalsStore
{
    /// A cheap round trip that also writes nothing.
    async fn ping(&self) -> Result<(), StoreError>;
}
