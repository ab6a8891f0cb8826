//! Every reason to say no: its stable name, its kind and its message, once.
//!
//! Not here: how a kind becomes a gRPC code (`rpc/status.rs`) and who decides to refuse (`admission.rs`,
//! `access.rs`). Go next to [`super::admission`].

use std::{borrow::Cow, fmt, time::Duration};

/// What sort of failure a refusal is. One to one with a gRPC status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The credential is missing or bad.
    Unauthenticated,
    /// The caller is known and lacks the right.
    PermissionDenied,
    /// Not there, or not for this caller: the same answer.
    NotFound,
    /// The request itself is wrong; sending it again does not help.
    InvalidArgument,
    /// A range or cursor beyond what exists.
    OutOfRange,
    /// The state of the chat, file or service forbids it now.
    FailedPrecondition,
    /// Something changed meanwhile; read again and retry.
    Aborted,
    /// It exists already, and differently.
    AlreadyExists,
    /// A quota or rate is used up.
    ResourceExhausted,
    /// The caller was too slow.
    DeadlineExceeded,
    /// A part of the service is down; the same call may pass later.
    Unavailable,
    /// Stored bytes are not what was stored.
    DataLoss,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident, $name:literal, $kind:ident, $message:literal;)+) => {
        /// The stable reason, as `google.rpc.ErrorInfo.reason`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $variant,)+ }

        impl Reason {
            /// All of them, in the order of the reference page.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// The name clients match on.
            pub const fn name(self) -> &'static str { match self { $(Reason::$variant => $name,)+ } }

            /// The kind, from which the status code follows.
            pub const fn kind(self) -> Kind { match self { $(Reason::$variant => Kind::$kind,)+ } }

            /// What a person reads when nothing more specific is known: what is wrong and what to do next.
            pub const fn message(self) -> &'static str { match self { $(Reason::$variant => $message,)+ } }
        }
    };
}

reasons! {
    /// No credential, or one that does not hold. Nothing else is told.
    BadCredential, "BAD_CREDENTIAL", Unauthenticated, "a valid bearer token is needed";
    /// The caller lacks a permission; metadata `any_of` names what would do.
    MissingPermission, "MISSING_PERMISSION", PermissionDenied, "the caller lacks the permission for this call";
    /// Within reach, but the download rules say no.
    DownloadNotAllowed, "DOWNLOAD_NOT_ALLOWED", PermissionDenied, "this file may not be downloaded by this caller now";
    /// Foreign, deleted, quarantined, not there yet or never there: one answer.
    NotFound, "NOT_FOUND", NotFound, "not found";
    /// The chat is not known; told only to a service entitled to all chats.
    ChatUnknown, "CHAT_UNKNOWN", NotFound, "the chat is not known: tell it with PutChat first";
    /// A visitor's upload to a chat that is not open.
    ChatClosed, "CHAT_CLOSED", FailedPrecondition, "the chat does not take uploads any more";
    /// Uploads are off for this kind of caller or for this chat.
    UploadsDisabled, "UPLOADS_DISABLED", FailedPrecondition, "uploads are switched off for this caller";
    /// A hold forbids what would end it; a caller with `legal_hold` finds it by ListHolds.
    OnHold, "ON_HOLD", FailedPrecondition, "it is on hold: nobody may delete, purge or detach it until the hold is lifted";
    /// A run of maintenance is under way; metadata `run_id`.
    RunInProgress, "RUN_IN_PROGRESS", FailedPrecondition, "a run of maintenance is under way: watch it, or cancel it";
    /// A plan that is too old to be run.
    PlanExpired, "PLAN_EXPIRED", FailedPrecondition, "the plan has ended: make a new one";
    /// More, or others, would be deleted than goes without saying so; metadata `files` and `guard`, or `count`.
    ConfirmationNeeded, "CONFIRMATION_NEEDED", FailedPrecondition, "so many files need a confirmation, and nothing was deleted: look at them, and say how many are meant";
    /// The clock is far ahead of what it was.
    ClockJumped, "CLOCK_JUMPED", FailedPrecondition, "the clock is more than 48 hours ahead of what it was: set it, or confirm it by a run with confirm_clock";
    /// The service is in read-only mode.
    ReadOnly, "READ_ONLY", Unavailable, "the service is in read-only mode: try again later";
    /// The display name is not acceptable.
    BadName, "BAD_NAME", InvalidArgument, "the file name is not acceptable";
    /// The extension is not in the list of this kind of caller.
    TypeNotAllowed, "TYPE_NOT_ALLOWED", InvalidArgument, "files of this type are not allowed";
    /// More bytes than allowed; metadata `limit_bytes`.
    TooLarge, "TOO_LARGE", InvalidArgument, "the file is larger than allowed";
    /// No room left on the disk or in the spool.
    NoSpace, "NO_SPACE", Unavailable, "no room to store it: try again later";
    /// No scanner that is proved to work.
    ScannerDown, "SCANNER_DOWN", Unavailable, "the virus scanner is not available: try again later";
    /// Too much at once.
    Busy, "BUSY", Unavailable, "too many uploads at once: try again later";
    /// As many opaque keys as there may be; metadata `limit`.
    QuotaKeys, "QUOTA_KEYS", ResourceExhausted, "there are as many keys as there may be: retire some";
    /// Messages in the wrong order, oversized, or a stream without commit.
    BadStream, "BAD_STREAM", InvalidArgument, "the stream of messages is not well-formed";
    /// A checksum does not hold.
    ChecksumMismatch, "CHECKSUM_MISMATCH", InvalidArgument, "a checksum does not match the bytes received: send them again";
    /// The sender made too little progress.
    TooSlow, "TOO_SLOW", DeadlineExceeded, "the bytes arrive too slowly";
    /// The time that the caller itself gave the call is over; what it was to change may have happened.
    DeadlinePassed, "DEADLINE_PASSED", DeadlineExceeded, "the call's own deadline has passed, and its outcome is not known: look, or try again";
    /// The size declared is not the size received.
    SizeMismatch, "SIZE_MISMATCH", InvalidArgument, "the declared size is not the size received";
    /// A file of no bytes.
    Empty, "EMPTY", InvalidArgument, "an empty file is not stored";
    /// The content is not what the extension says.
    TypeMismatch, "TYPE_MISMATCH", InvalidArgument, "the content does not agree with the file's extension";
    /// An image of more pixels than allowed; metadata `limit_pixels`.
    ImageTooLarge, "IMAGE_TOO_LARGE", InvalidArgument, "the image has more pixels than allowed";
    /// The scanner cannot judge it (limits, encryption, depth, unreadable method).
    Unscannable, "UNSCANNABLE", InvalidArgument, "the file cannot be scanned, so it is not stored";
    /// The scanner found something; metadata `signature`.
    Infected, "INFECTED", InvalidArgument, "the file is infected";
    /// Any other argument that cannot be taken; metadata `field`.
    BadArgument, "BAD_ARGUMENT", InvalidArgument, "an argument is not acceptable";
    /// A setting out of bounds or of the wrong type; metadata `setting`.
    BadSetting, "BAD_SETTING", InvalidArgument, "a setting is not acceptable";
    /// A page token that is not ours, or of another list.
    BadPageToken, "BAD_PAGE_TOKEN", InvalidArgument, "the page token does not belong to this list: start without one";
    /// An offset or limit beyond the file.
    BadRange, "BAD_RANGE", OutOfRange, "the range lies outside the file";
    /// The request id was used for something else.
    RequestIdReused, "REQUEST_ID_REUSED", AlreadyExists, "this request id was used for another upload: take a new one";
    /// The etag is not the current one.
    EtagMismatch, "ETAG_MISMATCH", Aborted, "it was changed meanwhile: read it again";
    /// A newer stream took over this upload.
    Fenced, "FENCED", Aborted, "a newer stream with the same request id took over";
    /// The node ends, and with it the calls that watch something; what they watch goes on.
    Leaving, "LEAVING", Unavailable, "this node is ending: ask again, another one or this one will answer";
    /// The database does not answer.
    DatabaseDown, "DATABASE_DOWN", Unavailable, "the database is not available: try again later";
    /// The blob store does not answer.
    StoreDown, "STORE_DOWN", Unavailable, "the file store is not available: try again later";
    /// Stored bytes do not have their hash.
    Corrupt, "CORRUPT", DataLoss, "the stored bytes are damaged";
}

/// A decision to say no: reason, message and what a program needs to know of it.
///
/// Invariant: neither message nor metadata holds a name, token or content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For people; specific where that helps.
    pub message: Cow<'static, str>,
    /// For programs: `limit_bytes`, `signature`, `field`, …
    pub metadata: Vec<(&'static str, String)>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with the reason's own message.
    pub fn new(reason: Reason) -> Self {
        Self { reason, message: Cow::Borrowed(reason.message()), metadata: Vec::new(), retry_after: None }
    }

    /// A more specific message.
    #[must_use]
    pub fn because(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = message.into();
        self
    }

    /// One more fact for programs.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// When to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// `BAD_ARGUMENT` of a field, with what it must be.
    pub fn argument(field: &'static str, must: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::BadArgument).because(must).with("field", field)
    }

    /// The one `NOT_FOUND`: always equal, whatever its cause.
    pub fn not_found() -> Self {
        Self::new(Reason::NotFound)
    }

    /// The value of a metadata key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(k, _)| *k == key).map(|(_, v)| v.as_str())
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.name(), self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_names_are_unique_and_upper_snake_case() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|r| r.name()).collect();
        assert!(names.iter().all(|n| n.chars().all(|c| c.is_ascii_uppercase() || c == '_')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn every_not_found_is_equal() {
        assert_eq!(Refusal::not_found(), Refusal::from(Reason::NotFound));
    }
}
