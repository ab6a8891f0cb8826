//! Rows as they lie in the tables, and how they become values of the domain.
//!
//! Not here: the statements that read and write them. A row that no rule allows is told as `Corrupt`, with table,
//! column and id, and never becomes a value.

use diesel::prelude::*;

use super::schema::{blobs, chats, files};
use crate::{
    domain::{
        AgesAs, Blob, BlobKey, BlobState, CallerKind, Chat, ChatStatus, CodeHash, File, FileId, FileState, Origin,
        Person, Sha256, Time, Verdict, VerdictKind,
        name::{DisplayName, Extension},
    },
    ports::StoreError,
};

macro_rules! names {
    ($kind:ty, $name:ident, $find:ident, $($variant:ident = $text:literal,)+) => {
        /// The stored name.
        pub(super) const fn $name(value: $kind) -> &'static str { match value { $(<$kind>::$variant => $text,)+ } }
        /// By stored name.
        pub(super) fn $find(text: &str) -> Option<$kind> { match text { $($text => Some(<$kind>::$variant),)+ _ => None } }
    };
}

names!(CallerKind, kind_name, find_kind, Visitor = "VISITOR", Operator = "OPERATOR", Service = "SERVICE",);
names!(Origin, origin_name, find_origin, Screenshot = "SCREENSHOT", Form = "FORM", Mail = "MAIL",);
names!(FileState, file_state_name, find_file_state, Ready = "READY", Deleted = "DELETED",);
names!(
    BlobState,
    blob_state_name,
    find_blob_state,
    Active = "ACTIVE",
    Quarantined = "QUARANTINED",
    Purging = "PURGING",
);
names!(
    VerdictKind,
    verdict_name,
    find_verdict,
    Clean = "CLEAN",
    Infected = "INFECTED",
    NotScanned = "NOT_SCANNED",
    UnscannableAccepted = "UNSCANNABLE_ACCEPTED",
    Released = "RELEASED",
);
names!(
    ChatStatus,
    chat_status_name,
    find_chat_status,
    Pending = "PENDING",
    Active = "ACTIVE",
    Bot = "BOT",
    Closed = "CLOSED",
);

/// As whose file one ages, as it is stored: nothing for one that never does.
pub(super) const fn ages_as_name(value: AgesAs) -> Option<&'static str> {
    match value {
        AgesAs::Visitor => Some(kind_name(CallerKind::Visitor)),
        AgesAs::Operator => Some(kind_name(CallerKind::Operator)),
        AgesAs::NoOne => None,
    }
}

/// Tells of a damaged row.
pub(super) fn corrupt(table: &'static str, column: &'static str, id: impl ToString) -> StoreError {
    StoreError::Corrupt { table, column, id: id.to_string() }
}

/// Bytes of a fixed length.
pub(super) fn bytes<const N: usize>(
    table: &'static str,
    column: &'static str,
    id: impl ToString,
    value: &[u8],
) -> Result<[u8; N], StoreError> {
    value.try_into().map_err(|_| corrupt(table, column, id))
}

/// A row of files.
#[derive(Queryable, Selectable)]
#[diesel(table_name = files)]
pub(super) struct FileRow {
    pub number: i64,
    id: Vec<u8>,
    code_hash: Vec<u8>,
    state: String,
    display_name: String,
    extension: String,
    media_type: String,
    uploader_kind: String,
    uploader_id: String,
    home_chat_id: Option<String>,
    persistent: bool,
    width: Option<i64>,
    height: Option<i64>,
    uploaded_sha256: Vec<u8>,
    revision: i64,
    created_at: i64,
    deleted_at: Option<i64>,
    restored_at: Option<i64>,
    visitor_id: Option<String>,
    origin: Option<String>,
}

impl TryFrom<FileRow> for File {
    type Error = StoreError;

    fn try_from(row: FileRow) -> Result<Self, StoreError> {
        let number = row.number;
        let bad = |column| move || corrupt("files", column, number);
        let side = |column, value: i64| u32::try_from(value).map_err(|_| corrupt("files", column, number));
        let pixels = match (row.width, row.height) {
            (Some(width), Some(height)) => Some((side("width", width)?, side("height", height)?)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(bad("width")()),
        };
        Ok(File {
            id: FileId(bytes("files", "id", number, &row.id)?),
            number,
            code_hash: CodeHash(bytes("files", "code_hash", number, &row.code_hash)?),
            state: find_file_state(&row.state).ok_or_else(bad("state"))?,
            display_name: DisplayName::new(&row.display_name, "").map_err(|_| bad("display_name")())?,
            extension: Extension::from_stored(row.extension),
            media_type: row.media_type,
            uploader: find_kind(&row.uploader_kind)
                .and_then(|kind| Person::new(kind, &row.uploader_id).ok())
                .ok_or_else(bad("uploader_id"))?,
            home_chat: row.home_chat_id.map(|id| id.parse()).transpose().map_err(|_| bad("home_chat_id")())?,
            visitor_id: row.visitor_id.map(|id| id.parse()).transpose().map_err(|_| bad("visitor_id")())?,
            origin: row.origin.map(|name| find_origin(&name).ok_or_else(bad("origin"))).transpose()?,
            persistent: row.persistent,
            pixels,
            uploaded_sha256: Sha256(bytes("files", "uploaded_sha256", number, &row.uploaded_sha256)?),
            revision: row.revision,
            created_at: Time(row.created_at),
            deleted_at: row.deleted_at.map(Time),
            restored_at: row.restored_at.map(Time),
        })
    }
}

/// A row of blobs.
#[derive(Queryable, Selectable)]
#[diesel(table_name = blobs)]
pub(super) struct BlobRow {
    id: i64,
    key: Vec<u8>,
    sha256: Vec<u8>,
    size: i64,
    state: String,
    verdict: String,
    engine: String,
    signatures: String,
    scanned_at: i64,
}

impl TryFrom<BlobRow> for Blob {
    type Error = StoreError;

    fn try_from(row: BlobRow) -> Result<Self, StoreError> {
        let id = row.id;
        let bad = |column| move || corrupt("blobs", column, id);
        Ok(Blob {
            id,
            key: BlobKey(bytes("blobs", "key", id, &row.key)?),
            sha256: Sha256(bytes("blobs", "sha256", id, &row.sha256)?),
            size: u64::try_from(row.size).map_err(|_| bad("size")())?,
            state: find_blob_state(&row.state).ok_or_else(bad("state"))?,
            verdict: Verdict {
                kind: find_verdict(&row.verdict).ok_or_else(bad("verdict"))?,
                engine: row.engine,
                signatures: row.signatures,
                at: Time(row.scanned_at),
            },
        })
    }
}

/// A row of chats.
#[derive(Queryable, QueryableByName, Selectable, Insertable)]
#[diesel(table_name = chats)]
pub(super) struct ChatRow {
    pub id: String,
    pub status: String,
    pub owner: Option<String>,
    pub closed_at: Option<i64>,
    pub upload_override: Option<bool>,
    pub version: i64,
    pub deleted: bool,
    pub updated_at: i64,
}

impl ChatRow {
    /// The row of a chat.
    pub(super) fn new(chat: &Chat, now: Time) -> Self {
        Self {
            id: chat.id.to_string(),
            status: chat_status_name(chat.status).to_owned(),
            owner: chat.owner.as_ref().map(ToString::to_string),
            closed_at: chat.closed_at.map(|t| t.0),
            upload_override: chat.upload_override,
            version: chat.version,
            deleted: chat.deleted,
            updated_at: now.0,
        }
    }
}

impl TryFrom<ChatRow> for Chat {
    type Error = StoreError;

    fn try_from(row: ChatRow) -> Result<Self, StoreError> {
        let bad = |column| corrupt("chats", column, &row.id);
        Ok(Chat {
            id: row.id.parse().map_err(|_| bad("id"))?,
            status: find_chat_status(&row.status).ok_or_else(|| bad("status"))?,
            owner: row.owner.as_ref().map(|id| id.parse()).transpose().map_err(|_| bad("owner"))?,
            closed_at: row.closed_at.map(Time),
            upload_override: row.upload_override,
            version: row.version,
            deleted: row.deleted,
        })
    }
}
