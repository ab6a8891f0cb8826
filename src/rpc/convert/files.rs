//! Files: rows to `File`, upload headers and filters to the domain's.
//!
//! Not here: which chats concern a caller; the store's view names no others.

use super::{count, disposition::disposition, mask, message_id, order, page_size, size, time, timestamp};
use crate::{
    app::{Download, DownloadBy, FilePage, ListRequest},
    domain::{
        self, Caller, CallerKind, ChatId, FileState, FileView, Person, Reason, Refusal, VerdictKind,
        admission::{Declared, Target, UploadOptions},
        listing::{FileFilter, FileRef},
        media_type,
        name::{DisplayName, is_extension},
    },
    ports::{AttachTo, FileChange},
    rpc::{access::Identity, credential::bad_credential, pb},
};

/// Most ids in one filter.
const MAX_FILTER_IDS: usize = 100;

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
        persistent,
        pixels,
        uploaded_sha256,
        revision: _,
        created_at,
        deleted_at,
        restored_at: _,
    } = file;
    let domain::Blob { id: _, key: _, sha256, size, state: _, verdict } = blob;
    pb::File {
        file_id: id.to_string(),
        display_name: display_name.to_string(),
        extension: extension.to_string(),
        media_type,
        size_bytes: count(size),
        sha256: sha256.to_string(),
        uploaded_sha256: uploaded_sha256.to_string(),
        uploader: Some(person(&uploader)),
        home_chat_id: home.map(|id| id.to_string()).unwrap_or_default(),
        chat_ids,
        persistent,
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

/// A row of a deleted file for a caller who may restore it so many days long.
fn deleted_file(view: FileView, caller: &Caller, grace_days: i64) -> pb::File {
    let purge_time = view.file.restorable_until(grace_days).map(timestamp);
    pb::File { purge_time, ..file(view, caller) }
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
        target,
    } = header;
    Ok(Declared {
        target: match target {
            Some(Sent::ChatId(id)) => Target::Chat(id.parse()?),
            Some(Sent::Library(library)) => self::library(library)?,
            None => return Err(no_target()),
        },
        name: display_name,
        content_type,
        size: size_bytes.map(|n| size("size_bytes", n)).transpose()?,
        sha256: sha256.map(|s| s.parse()).transpose()?,
        persistent,
        request_id: if request_id.is_empty() { None } else { Some(request_id.parse()?) },
        message_id: message_id(message)?,
    })
}

/// The target whose options are asked for.
pub fn options_target(request: pb::GetUploadOptionsRequest) -> Result<Target, Refusal> {
    use pb::get_upload_options_request::Target as Sent;
    match request.target {
        Some(Sent::ChatId(id)) => Ok(Target::Chat(id.parse()?)),
        Some(Sent::Library(library)) => self::library(library),
        None => Err(no_target()),
    }
}

fn library(library: bool) -> Result<Target, Refusal> {
    if library { Ok(Target::Library) } else { Err(Refusal::argument("library", "library is true or absent")) }
}

fn no_target() -> Refusal {
    Refusal::argument("target", "exactly one of chat_id and library must be given")
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

/// Which files `ListFiles` is to list.
pub fn list_request(request: pb::ListFilesRequest) -> Result<ListRequest, Refusal> {
    let pb::ListFilesRequest {
        chat_ids,
        operator_ids,
        visitor_only,
        name_contains,
        persistent,
        attached,
        extension,
        media_type,
        sha256,
        min_size_bytes,
        max_size_bytes,
        created_after,
        created_before,
        verdict,
        order: sent_order,
        page_size: sent_page_size,
        page_token,
        with_total,
    } = request;
    if name_contains.len() > domain::name::MAX_NAME_BYTES || name_contains.contains('\0') {
        return Err(Refusal::argument("name_contains", "name_contains has at most 255 bytes and no NUL"));
    }
    if !extension.is_empty() && !is_extension(&extension) {
        return Err(Refusal::argument("extension", "extension must be 1 to 10 of a-z 0-9, without a dot"));
    }
    if media_type.len() > 127 || !media_type.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Refusal::argument("media_type", "media_type is not a media type"));
    }
    let filter = FileFilter {
        chats: ids("chat_ids", &chat_ids, |id| id.parse())?,
        uploaders: ids("operator_ids", &operator_ids, |id| Person::new(CallerKind::Operator, id))?,
        visitors_only: visitor_only,
        name_contains: unless_empty(name_contains),
        persistent,
        attached,
        extension: unless_empty(extension),
        media_type: unless_empty(media_type),
        sha256: unless_empty(sha256).map(|s| s.parse()).transpose()?,
        min_size: min_size_bytes.map(|n| size("min_size_bytes", n)).transpose()?,
        max_size: max_size_bytes.map(|n| size("max_size_bytes", n)).transpose()?,
        from: created_after.map(|t| time("created_after", t)).transpose()?,
        before: created_before.map(|t| time("created_before", t)).transpose()?,
        verdict: wanted_verdict(verdict)?,
    };
    let (order, page_size) = (order(sent_order)?, page_size(sent_page_size)?);
    Ok(ListRequest { filter, order, page_size, token: page_token, with_total })
}

/// Which deleted files are to be listed.
pub fn deleted_list_request(request: pb::ListDeletedFilesRequest) -> Result<ListRequest, Refusal> {
    let pb::ListDeletedFilesRequest {
        chat_ids,
        operator_ids,
        visitor_only,
        name_contains,
        order,
        page_size,
        page_token,
    } = request;
    list_request(pb::ListFilesRequest {
        chat_ids,
        operator_ids,
        visitor_only,
        name_contains,
        order,
        page_size,
        page_token,
        ..Default::default()
    })
}

/// Which files of a chat are to be listed.
pub fn chat_list_request(request: pb::ListChatFilesRequest) -> Result<(ChatId, ListRequest), Refusal> {
    let pb::ListChatFilesRequest { chat_id, order: sent_order, page_size: sent_page_size, page_token } = request;
    let (order, page_size) = (order(sent_order)?, page_size(sent_page_size)?);
    let filter = FileFilter::default();
    Ok((chat_id.parse()?, ListRequest { filter, order, page_size, token: page_token, with_total: false }))
}

fn ids<T>(field: &'static str, sent: &[String], read: impl Fn(&str) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
    if sent.len() > MAX_FILTER_IDS {
        return Err(
            Refusal::argument(field, format!("{field} has at most {MAX_FILTER_IDS} ids")).with("limit", MAX_FILTER_IDS)
        );
    }
    sent.iter().map(|id| read(id)).collect()
}

fn unless_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn wanted_verdict(number: i32) -> Result<Option<VerdictKind>, Refusal> {
    match pb::VerdictKind::try_from(number) {
        Ok(pb::VerdictKind::Unspecified) => Ok(None),
        Ok(pb::VerdictKind::Clean) => Ok(Some(VerdictKind::Clean)),
        Ok(pb::VerdictKind::NotScanned) => Ok(Some(VerdictKind::NotScanned)),
        Ok(pb::VerdictKind::UnscannableAccepted) => Ok(Some(VerdictKind::UnscannableAccepted)),
        Err(_) => Err(Refusal::argument("verdict", "verdict is not one of VerdictKind")),
    }
}

/// A page of all files.
pub fn page(page: FilePage, caller: &Caller) -> pb::ListFilesResponse {
    let FilePage { rows, next_token, total } = page;
    pb::ListFilesResponse {
        files: rows.into_iter().map(|view| file(view, caller)).collect(),
        next_page_token: next_token,
        total: total.map(|total| count(total.files)),
        total_is_lower_bound: total.is_some_and(|total| total.is_lower_bound),
    }
}

/// A page of deleted files.
pub fn deleted_page(page: FilePage, caller: &Caller, grace_days: i64) -> pb::ListDeletedFilesResponse {
    let FilePage { rows, next_token, total: _ } = page;
    pb::ListDeletedFilesResponse {
        files: rows.into_iter().map(|view| deleted_file(view, caller, grace_days)).collect(),
        next_page_token: next_token,
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
