//! Uploads under way as the database knows them: their intents, what a commit needs, how it went.
//!
//! Not here: the port that is asked with them (`store.rs`).

use std::sync::Arc;

use crate::domain::{
    BlobKey, Caller, Chat, CodeHash, FileId, FileView, Hit, Person, Refusal, RequestId, Sha256, Time, Verdict,
    admission::{Admitted, Cleared, Target},
};

/// An upload under way: its intent row, committed before the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// The row's id.
    pub id: i64,
    /// Where its bytes will lie, in the spool and in the store.
    pub key: BlobKey,
}

/// An intent that nobody stands behind any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dead {
    /// Which.
    pub intent: Intent,
    /// It was ended before, with its event; its row stayed for what the store may have finished since.
    pub buried: bool,
}

/// What an intent row holds.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Where the bytes will lie.
    pub key: BlobKey,
    /// Which node writes.
    pub node: String,
    /// Whose it is.
    pub person: Person,
    /// The client's name for it.
    pub request_id: Option<RequestId>,
    /// Where it goes.
    pub target: Target,
    /// Now.
    pub now: Time,
    /// How long the node's lease holds, in seconds.
    pub lease_secs: i64,
}

/// Whether an upload may start, asked with its chat in the transaction that would begin it; asked again where that
/// transaction met another one.
pub type Admit = Arc<dyn Fn(Option<&Chat>) -> Result<Admitted, Refusal> + Send + Sync>;

/// How an upload begins.
#[derive(Debug, Clone)]
pub enum Begun {
    /// The intent is written, for what was admitted. An older stream with the same request id is fenced.
    Started(Intent, Box<Admitted>),
    /// The same person uploaded with the same request id within 24 h, and it succeeded.
    Before(Before),
}

/// An upload that ended with success under a request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// To where.
    pub target: Target,
    /// The hash of the bytes as sent.
    pub uploaded_sha256: Sha256,
    /// What came of it.
    pub file: FileId,
}

/// Where the bytes of a commit are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BytesAt {
    /// Published under the intent's own key.
    Published,
    /// In this blob, which must still be ACTIVE.
    Shared(i64),
}

/// Everything the committing transaction needs.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Whose rows become the file's.
    pub intent: Intent,
    /// The proof, with the values of the rows.
    pub cleared: Cleared,
    /// Who uploads.
    pub caller: Caller,
    /// The new file's id and code.
    pub file_id: FileId,
    /// See `file_id`.
    pub code_hash: CodeHash,
    /// Where the bytes are.
    pub bytes: BytesAt,
    /// The verdict; stored with a shared blob too unless what is there was made by the same signatures.
    pub verdict: Verdict,
    /// The hit on the same bytes in whose knowledge that was judged, by its number.
    pub weighed: Option<i64>,
    /// The grace of closed chats, in seconds.
    pub grace_secs: i64,
    /// Now.
    pub now: Time,
}

/// How a commit went.
#[derive(Debug, Clone)]
pub enum Committed {
    /// It is there.
    Ready(Box<FileView>),
    /// The blob to be shared is not ACTIVE any more: publish under the own key and commit again.
    BlobGone,
    /// The same bytes were found infected, and this verdict knows nothing of it: judge them anew.
    Hit(Box<Hit>),
}
