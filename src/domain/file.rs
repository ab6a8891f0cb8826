//! A file, its blob and the verdict on its bytes: states and what binds them.
//!
//! Not here: who may do what with a file (`access.rs`) and how one comes to be (`admission.rs`).

use super::{
    BlobKey, ChatId, FileId, MessageCode, Origin, Person, Sha256, Time, VisitorId,
    message_code::CodeHash,
    name::{DisplayName, Extension},
};

/// The state of a file. Legal moves: READY -> DELETED, and back within the grace. (An
/// upload under way is an intent row, not yet a file; of a purged one a stub is left, which is none any more.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileState {
    /// There.
    Ready,
    /// A tombstone: gone for everybody, its bytes kept for the grace time.
    Deleted,
}

/// The state of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlobState {
    /// Served.
    Active,
    /// Found infected after it was stored: masks its files.
    Quarantined,
    /// Its bytes are being removed.
    Purging,
}

/// What is known of the danger of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VerdictKind {
    /// Scanned, nothing found.
    Clean,
    /// Scanned, a signature matched.
    Infected,
    /// The antivirus was off or the uploader out of its scope.
    NotScanned,
    /// The scanner could not judge it, and the settings accept that.
    UnscannableAccepted,
    /// A signature matched, and somebody's word is that it does not count.
    Released,
}

/// A verdict with what it was made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What.
    pub kind: VerdictKind,
    /// The engine, empty if none looked.
    pub engine: String,
    /// The version of the signatures, empty if none looked.
    pub signatures: String,
    /// When.
    pub at: Time,
}

/// A row of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Our id.
    pub id: FileId,
    /// The number in the message code; grows with every file.
    pub number: i64,
    /// The random half of the message code.
    pub code_hash: CodeHash,
    /// There or deleted.
    pub state: FileState,
    /// As the uploader named it.
    pub display_name: DisplayName,
    /// The last extension of the name at the upload.
    pub extension: Extension,
    /// What we serve it as.
    pub media_type: String,
    /// Who uploaded it.
    pub uploader: Person,
    /// The chat it was uploaded to; `None` for a library file and one for an online visitor.
    pub home_chat: Option<ChatId>,
    /// The online visitor it was uploaded for.
    pub visitor_id: Option<VisitorId>,
    /// Where the service that uploaded it said that it comes from.
    pub origin: Option<Origin>,
    /// Maintenance never deletes it.
    pub persistent: bool,
    /// Pixels, of an image.
    pub pixels: Option<(u32, u32)>,
    /// The hash of the bytes as they were sent.
    pub uploaded_sha256: Sha256,
    /// Grows with every change of the row.
    pub revision: i64,
    /// When it became READY.
    pub created_at: Time,
    /// When it was deleted.
    pub deleted_at: Option<Time>,
    /// When it was last brought back.
    pub restored_at: Option<Time>,
}

impl File {
    /// The message code; an image's carries `_img`.
    pub fn message_code(&self) -> MessageCode {
        MessageCode { number: self.number, hash: self.code_hash, image: self.media_type.starts_with("image/") }
    }

    /// Uploaded for no chat and no online visitor.
    pub const fn is_library(&self) -> bool {
        self.home_chat.is_none() && self.visitor_id.is_none()
    }

    /// Until when it can be brought back, if it is deleted.
    pub fn restorable_until(&self, grace_days: i64) -> Option<Time> {
        self.deleted_at.map(|at| at.plus_secs(grace_days.saturating_mul(86_400)))
    }

    /// Changes whenever the row does.
    pub fn etag(&self) -> String {
        format!("{:x}-{:x}", self.number, self.revision)
    }
}

/// The bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The row's id.
    pub id: i64,
    /// Where the bytes lie.
    pub key: BlobKey,
    /// Their hash.
    pub sha256: Sha256,
    /// How many.
    pub size: u64,
    /// Whether they may be served.
    pub state: BlobState,
    /// What is known of them.
    pub verdict: Verdict,
}

/// That bytes were found infected, as the database remembers it for all nodes: also where no blob had them yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Given by the database: what was judged in knowledge of it is told by this from what was judged before.
    pub number: i64,
    /// What was found.
    pub signature: String,
    /// With what, and when.
    pub verdict: Verdict,
    /// When those signatures were made, if that is known.
    pub made: Option<Time>,
}

impl Hit {
    /// These signatures may not call the bytes clean: they found them infected themselves, or are older than those that
    /// did. Of two sets that do not say when they were made nobody knows which is newer: then a new scan decides.
    pub fn stands_against(&self, signatures: &str, made: Option<Time>) -> bool {
        self.verdict.signatures == signatures || made.zip(self.made).is_some_and(|(theirs, ours)| theirs < ours)
    }
}

/// A file as rows tell it to one caller: with the attachments that concern that caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileView {
    /// The row.
    pub file: File,
    /// Its bytes.
    pub blob: Blob,
    /// The chats it is attached to, those only that the caller may access, at most [`MAX_CHATS_SHOWN`].
    pub chats: Vec<super::Chat>,
    /// There are more than shown.
    pub chats_truncated: bool,
}

/// Most chats named in one file's answer.
pub const MAX_CHATS_SHOWN: usize = 500;
/// Most chats named with each file of a list: a page of 500 files stays below what clients take as one message.
pub const MAX_CHATS_LISTED: usize = 20;
