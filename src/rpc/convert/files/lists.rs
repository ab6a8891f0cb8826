//! Lists of files: what is asked for, and the pages that answer.
//!
//! Not here: a file's row (the parent module).

use super::{
    super::{count, order, page_size, size, time, timestamp},
    file,
};
use crate::{
    app::{FilePage, ListRequest},
    domain::{
        self, Caller, CallerKind, ChatId, FileView, Person, Refusal, VerdictKind, VisitorId, listing::FileFilter,
        name::is_extension,
    },
    rpc::pb,
};

/// Most ids in one filter.
const MAX_FILTER_IDS: usize = 100;

/// A row of a deleted file for a caller who may restore it so many days long.
fn deleted_file(view: FileView, caller: &Caller, grace_days: i64) -> pb::File {
    let purge_time = view.file.restorable_until(grace_days).map(timestamp);
    pb::File { purge_time, ..file(view, caller) }
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
        visitor_id,
        origin,
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
        visitor: unless_empty(visitor_id).map(|id| id.parse()).transpose()?,
        origin: super::origin(origin)?,
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
    let pb::ListChatFilesRequest { chat_id, order, page_size, page_token } = request;
    Ok((chat_id.parse()?, plain_list(order, page_size, page_token)?))
}

/// Which files for an online visitor are to be listed.
pub fn visitor_list_request(request: pb::ListVisitorFilesRequest) -> Result<(VisitorId, ListRequest), Refusal> {
    let pb::ListVisitorFilesRequest { visitor_id, order, page_size, page_token } = request;
    Ok((visitor_id.parse()?, plain_list(order, page_size, page_token)?))
}

/// A list without filters of its own.
fn plain_list(order: i32, page_size: i32, token: String) -> Result<ListRequest, Refusal> {
    let (order, page_size) = (super::super::order(order)?, super::super::page_size(page_size)?);
    Ok(ListRequest { filter: FileFilter::default(), order, page_size, token, with_total: false })
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
        Ok(pb::VerdictKind::Released) => Ok(Some(VerdictKind::Released)),
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

/// A page of a chat's files.
pub fn chat_page(page: FilePage, caller: &Caller) -> pb::ListChatFilesResponse {
    let pb::ListFilesResponse { files, next_page_token, total: _, total_is_lower_bound: _ } = self::page(page, caller);
    pb::ListChatFilesResponse { files, next_page_token }
}

/// A page of the files for an online visitor.
pub fn visitor_page(page: FilePage, caller: &Caller) -> pb::ListVisitorFilesResponse {
    let pb::ListFilesResponse { files, next_page_token, total: _, total_is_lower_bound: _ } = self::page(page, caller);
    pb::ListVisitorFilesResponse { files, next_page_token }
}

/// A page of deleted files.
pub fn deleted_page(page: FilePage, caller: &Caller, grace_days: i64) -> pb::ListDeletedFilesResponse {
    let FilePage { rows, next_token, total: _ } = page;
    pb::ListDeletedFilesResponse {
        files: rows.into_iter().map(|view| deleted_file(view, caller, grace_days)).collect(),
        next_page_token: next_token,
    }
}
