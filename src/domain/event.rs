//! What is recorded: each effect and each refusal of an upload, with ids and enums only, never names or contents.
//!
//! Not here: writing them (in the transaction of their cause, `adapters/sql/`) and reading them (a later issue's RPC).

use super::{ChatId, FileId, Person, Reason, ServiceId};

macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind { $($(#[doc = $doc])+ $variant,)+ }

        impl EventKind {
            /// The stored name.
            pub const fn name(self) -> &'static str { match self { $(EventKind::$variant => $name,)+ } }
        }
    };
}

event_kinds! {
    /// A file became READY.
    FileUploaded = "FILE_UPLOADED",
    /// An upload was refused, with the reason.
    UploadRefused = "UPLOAD_REFUSED",
    /// An upload ended without commit, or its node died.
    UploadAbandoned = "UPLOAD_ABANDONED",
    /// A file was attached to a chat.
    FileAttached = "FILE_ATTACHED",
    /// A file was detached from a chat.
    FileDetached = "FILE_DETACHED",
    /// A row was changed.
    FileUpdated = "FILE_UPDATED",
    /// A file was deleted.
    FileDeleted = "FILE_DELETED",
    /// A deleted file was brought back.
    FileRestored = "FILE_RESTORED",
    /// A file was purged: nobody can bring it back any more.
    FilePurged = "FILE_PURGED",
    /// A visitor was erased, under the pseudonym that stands in its place.
    VisitorErased = "VISITOR_ERASED",
    /// A hold was put.
    HoldPut = "HOLD_PUT",
    /// A hold was lifted.
    HoldLifted = "HOLD_LIFTED",
    /// A run of maintenance began.
    RunBegun = "RUN_BEGUN",
    /// What a check of consistency found was removed.
    FindingRepaired = "FINDING_REPAIRED",
    /// Stored bytes were found infected.
    BlobQuarantined = "BLOB_QUARANTINED",
    /// A blob came out of quarantine.
    QuarantineReleased = "QUARANTINE_RELEASED",
    /// Bytes, or what a signature hits, were released from quarantine.
    ReleasePut = "RELEASE_PUT",
    /// A release counts no more.
    ReleaseEnded = "RELEASE_ENDED",
    /// A signature hit too much: nothing more is put into quarantine for it.
    SignatureBraked = "SIGNATURE_BRAKED",
    /// Stored bytes do not have their hash.
    BlobCorrupt = "BLOB_CORRUPT",
    /// A chat was told.
    ChatPut = "CHAT_PUT",
    /// A chat was deleted.
    ChatDeleted = "CHAT_DELETED",
    /// Settings were changed.
    SettingsUpdated = "SETTINGS_UPDATED",
    /// An opaque key was made.
    KeyCreated = "KEY_CREATED",
    /// An opaque key was ended.
    KeyRetired = "KEY_RETIRED",
}

impl EventKind {
    /// Something was changed that `read_only` forbids; all others are told in any case.
    pub const fn is_change(self) -> bool {
        match self {
            Self::FileUploaded
            | Self::FileAttached
            | Self::FileDetached
            | Self::FileUpdated
            | Self::FileDeleted
            | Self::FileRestored
            | Self::FilePurged
            | Self::VisitorErased
            | Self::HoldPut
            | Self::HoldLifted
            | Self::RunBegun
            | Self::QuarantineReleased
            | Self::ReleasePut
            | Self::ReleaseEnded
            | Self::SignatureBraked
            | Self::FindingRepaired
            | Self::ChatPut
            | Self::ChatDeleted
            | Self::KeyCreated
            | Self::KeyRetired => true,
            Self::UploadRefused
            | Self::UploadAbandoned
            | Self::BlobQuarantined
            | Self::BlobCorrupt
            | Self::SettingsUpdated => false,
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The person; `None` for the service itself (recovery).
    pub person: Option<Person>,
    /// The service that acted for the person.
    pub acting_service: Option<ServiceId>,
}

impl Actor {
    /// The service itself.
    pub const SYSTEM: Actor = Actor { person: None, acting_service: None };
}

impl From<&super::Caller> for Actor {
    fn from(caller: &super::Caller) -> Self {
        Self { person: Some(caller.person.clone()), acting_service: caller.ceiling.as_ref().map(|c| c.service.clone()) }
    }
}

/// An event to be written. Its number and time come from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// Who.
    pub actor: Actor,
    /// Which file.
    pub file: Option<FileId>,
    /// Which chat.
    pub chat: Option<ChatId>,
    /// Why, of a refusal.
    pub reason: Option<Reason>,
    /// A signature's name, a setting's key, a version, a key's id, what is held: never anything a client chose freely.
    pub detail: Option<String>,
}

impl Event {
    /// An event of a kind.
    pub fn new(kind: EventKind, actor: Actor) -> Self {
        Self { kind, actor, file: None, chat: None, reason: None, detail: None }
    }

    /// About a file.
    #[must_use]
    pub fn file(mut self, id: FileId) -> Self {
        self.file = Some(id);
        self
    }

    /// About a chat.
    #[must_use]
    pub fn chat(mut self, id: Option<ChatId>) -> Self {
        self.chat = id;
        self
    }

    /// With a reason.
    #[must_use]
    pub fn reason(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// With a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
