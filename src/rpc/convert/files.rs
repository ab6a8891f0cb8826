//! Files: rows to `File`, upload headers and filters to the domain's.
//!
//! Not here: lists of them (`files/lists.rs`), and which chats concern a caller; the store's view names no others.

use super::{count, disposition::disposition, mask, message_id, size, timestamp};
use crate::{
    app::{Download, DownloadBy},
    domain::{
        self, Caller, CallerKind, FileState, FileView, Origin, Person, Reason, Refusal, VerdictKind,
        admission::{Declared, Target, UploadOptions},
        listing::FileRef,
        media_type,
        name::DisplayName,
    },
    ports::{AttachTo, FileChange},
    rpc::{access::Identity, credential::bad_credential, pb},
};

mod lists;
pub use lists::{
    chat_list_request, chat_page, deleted_list_request, deleted_page, list_request, page, visitor_list_request,
    visitor_page,
};

/// What whoever holds a link is told: what it takes to serve the file, and nothing of people, chats or verdicts.
fn file_by_link(view: &FileView) -> pb::File {
    let FileView { file, blob, chats: _, chats_truncated: _ } = view;
    pb::File {
        file_id: file.id.to_string(),
        display_name: file.display_name.to_string(),
        media_type: file.media_type.clone(),
        size_bytes: count(blob.size),
        sha256: blob.sha256.to_string(),
        ..pb::File::default()
    }
}

/// A row for a caller.
pub fn file(view: FileView, caller: &Caller) -> pb::File {
    let home = view
        .file
        .home_chat
        .clone()
        .filter(|home| view.chats.iter().any(|chat| chat.id == *home) || caller.may_access(home, None));
    let mut chat_ids: Vec<_> = view.chats.iter().map(|chat| chat.id.to_string()).collect();
    chat_ids.sort_unstable();
    let etag = view.file.etag();
    let message_code = view.file.message_code().to_string();
    let FileView { file, blob, chats: _, chats_truncated } = view;
    let domain::File {
        id,
        number: _,
        code_hash: _,
        state,
        display_name,
        extension,
        media_type,
        uploader,
        home_chat: _,
        visitor_id,
        origin,
        persistent,
        pixels,
        uploaded_sha256,
        revision: _,
        created_at,
        deleted_at,
        restored_at: _,
    } = file;
    let domain::Blob { id: _, key: _, sha256, size, state: _, verdict } = blob;
    // A visitor is not told of another one.
    let visitor_id = visitor_id.filter(|id| caller.kind() != CallerKind::Visitor || caller.is_visitor(id));
    pb::File {
        file_id: id.to_string(),
        display_name: display_name.to_string(),
        extension: extension.to_string(),
        media_type,
        size_bytes: count(size),
        sha256: sha256.to_string(),
        uploaded_sha256: uploaded_sha256.to_string(),
        uploader: Some(person(&uploader)),
        visitor_id: visitor_id.map(|id| id.to_string()).unwrap_or_default(),
        home_chat_id: home.map(|id| id.to_string()).unwrap_or_default(),
        chat_ids,
        persistent,
        origin: origin.map_or(pb::Origin::Unspecified, sent_origin).into(),
        width: pixels.and_then(|(width, _)| width.try_into().ok()),
        height: pixels.and_then(|(_, height)| height.try_into().ok()),
        state: match state {
            FileState::Ready => pb::FileState::Ready,
            FileState::Deleted => pb::FileState::Deleted,
        }
        .into(),
        verdict: Some(self::verdict(verdict)),
        create_time: Some(timestamp(created_at)),
        message_code,
        etag,
        chat_ids_truncated: chats_truncated,
        delete_time: deleted_at.map(timestamp),
        purge_time: None,
    }
}

const fn sent_origin(origin: Origin) -> pb::Origin {
    match origin {
        Origin::Screenshot => pb::Origin::Screenshot,
        Origin::Form => pb::Origin::Form,
        Origin::Mail => pb::Origin::Mail,
    }
}

/// An origin, if one is named.
fn origin(number: i32) -> Result<Option<Origin>, Refusal> {
    match pb::Origin::try_from(number) {
        Ok(pb::Origin::Unspecified) => Ok(None),
        Ok(pb::Origin::Screenshot) => Ok(Some(Origin::Screenshot)),
        Ok(pb::Origin::Form) => Ok(Some(Origin::Form)),
        Ok(pb::Origin::Mail) => Ok(Some(Origin::Mail)),
        Err(_) => Err(Refusal::argument("origin", "origin is not one of Origin")),
    }
}

pub(super) fn person(person: &Person) -> pb::Caller {
    let kind = match person.kind() {
        CallerKind::Visitor => pb::CallerKind::Visitor,
        CallerKind::Operator => pb::CallerKind::Operator,
        CallerKind::Service => pb::CallerKind::Service,
    };
    pb::Caller { kind: kind.into(), id: person.id().to_owned() }
}

fn verdict(verdict: domain::Verdict) -> pb::Verdict {
    let domain::Verdict { kind, engine, signatures, at } = verdict;
    let kind = match kind {
        VerdictKind::Clean => pb::VerdictKind::Clean,
        VerdictKind::NotScanned => pb::VerdictKind::NotScanned,
        VerdictKind::UnscannableAccepted => pb::VerdictKind::UnscannableAccepted,
        VerdictKind::Released => pb::VerdictKind::Released,
        // Quarantined: never shown.
        VerdictKind::Infected => pb::VerdictKind::Unspecified,
    };
    let time = (!engine.is_empty()).then(|| timestamp(at));
    pb::Verdict { kind: kind.into(), engine, signature_version: signatures, time }
}

/// What an upload declares.
pub fn declared(header: pb::UploadHeader) -> Result<Declared, Refusal> {
    use pb::upload_header::Target as Sent;
    let pb::UploadHeader {
        display_name,
        content_type,
        size_bytes,
        sha256,
        persistent,
        request_id,
        message_id: message,
        origin: sent_origin,
        target,
    } = header;
    Ok(Declared {
        target: match target {
            Some(Sent::ChatId(id)) => Target::Chat(id.parse()?),
            Some(Sent::Library(library)) => self::library(library)?,
            Some(Sent::VisitorId(id)) => Target::Visitor(id.parse()?),
            None => return Err(no_target()),
        },
        name: display_name,
        content_type,
        size: size_bytes.map(|n| size("size_bytes", n)).transpose()?,
        sha256: sha256.map(|s| s.parse()).transpose()?,
        persistent,
        request_id: if request_id.is_empty() { None } else { Some(request_id.parse()?) },
        message_id: message_id(message)?,
        origin: sent_origin.map(origin).transpose()?.flatten(),
    })
}

/// The target whose options are asked for.
pub fn options_target(request: pb::GetUploadOptionsRequest) -> Result<Target, Refusal> {
    use pb::get_upload_options_request::Target as Sent;
    match request.target {
        Some(Sent::ChatId(id)) => Ok(Target::Chat(id.parse()?)),
        Some(Sent::Library(library)) => self::library(library),
        Some(Sent::VisitorId(id)) => Ok(Target::Visitor(id.parse()?)),
        None => Err(no_target()),
    }
}

fn library(library: bool) -> Result<Target, Refusal> {
    if library { Ok(Target::Library) } else { Err(Refusal::argument("library", "library is true or absent")) }
}

fn no_target() -> Refusal {
    Refusal::argument("target", "exactly one of chat_id, library and visitor_id must be given")
}

/// What may be uploaded.
pub fn options(options: UploadOptions) -> pb::GetUploadOptionsResponse {
    let UploadOptions { extensions, max_file_bytes, one_file_at_a_time, voice, voice_max_seconds, reasons } = options;
    pb::GetUploadOptionsResponse {
        allowed: reasons.is_empty(),
        reasons: reasons.into_iter().map(|reason| reason.name().to_owned()).collect(),
        extensions,
        max_file_bytes: count(max_file_bytes),
        one_file_at_a_time,
        voice: Some(pb::VoiceOptions { allowed: voice, max_seconds: voice_max_seconds.into() }),
    }
}

/// How `GetFile` names a file.
pub fn file_ref(request: pb::GetFileRequest) -> Result<FileRef, Refusal> {
    use pb::get_file_request::By;
    match request.by {
        Some(By::FileId(id)) => Ok(FileRef::Id(id.parse()?)),
        Some(By::MessageCode(code)) => Ok(FileRef::Code(code.parse()?)),
        None => Err(Refusal::argument("by", "exactly one of file_id and message_code must be given")),
    }
}

/// What to change of which file.
pub fn change(request: pb::UpdateFileRequest) -> Result<(FileRef, FileChange), Refusal> {
    let pb::UpdateFileRequest { file_id, display_name, persistent, update_mask, etag } = request;
    let fields = mask(update_mask, &["display_name", "persistent"])?;
    let renamed = fields.contains(&"display_name").then(|| DisplayName::new(&display_name, "")).transpose()?;
    let persistent = fields.contains(&"persistent").then_some(persistent);
    Ok((FileRef::Id(file_id.parse()?), FileChange { display_name: renamed, persistent, etag }))
}

/// One chat of a batch of attachments.
pub fn attach_to(chat_id: String) -> Result<AttachTo, Refusal> {
    Ok(AttachTo { chat: chat_id.parse()?, message_id: None })
}

/// What became of it.
pub fn attach_result(chat_id: String, result: Result<(), Refusal>) -> pb::AttachFileResult {
    let (reason, message) =
        result.map_or_else(|r| (r.reason.name().to_owned(), r.message.into_owned()), |()| Default::default());
    pb::AttachFileResult { chat_id, reason, message }
}

/// What a download asks for.
pub struct Wanted {
    /// Which file, for whom.
    pub by: DownloadBy,
    /// First byte.
    pub offset: u64,
    /// Most bytes; 0 is to the end.
    pub limit: u64,
    /// To be shown, not saved.
    pub inline: bool,
}

/// What a download asks for.
///
/// # Errors
/// `BAD_CREDENTIAL` for a file by id without a caller; `BAD_RANGE` for negative numbers.
pub fn wanted(request: pb::DownloadFileRequest, identity: &Identity) -> Result<Wanted, Refusal> {
    use pb::download_file_request::By;
    let pb::DownloadFileRequest { offset, limit, inline, by } = request;
    let by = match (by, identity) {
        (Some(By::FileId(id)), Identity::Known(caller)) => DownloadBy::File(caller.clone(), id.parse()?),
        (Some(By::FileId(_)) | None, Identity::Anonymous) => return Err(bad_credential()),
        (Some(By::Link(link)), Identity::Known(_) | Identity::Anonymous) => DownloadBy::Link(link),
        (None, Identity::Known(_)) => {
            return Err(Refusal::argument("by", "exactly one of file_id and link must be given"));
        }
    };
    let bytes = |n: i64| {
        u64::try_from(n).map_err(|_| Refusal::new(Reason::BadRange).because("offset and limit must not be negative"))
    };
    Ok(Wanted { by, offset: bytes(offset)?, limit: bytes(limit)?, inline })
}

/// The first message of a download. `caller` is who asked by id; a link's holder is told less.
pub fn download_header(download: &Download, caller: Option<&Caller>) -> pb::DownloadHeader {
    let view = &download.view;
    let name = view.file.display_name.to_string();
    let served = media_type::served_as(view.file.extension.as_str());
    let total_bytes = count(view.blob.size);
    let file = match caller {
        Some(caller) if !download.by_link => file(view.clone(), caller),
        Some(_) | None => file_by_link(view),
    };
    pb::DownloadHeader {
        file: Some(file),
        disposition: disposition(&name, download.inline && served.inline),
        media_type: served.media_type.to_owned(),
        total_bytes,
        offset: count(download.offset),
        length: count(download.length),
    }
}

#[cfg(test)]
mod tests;
