//! Batches of files that are deleted or purged, and visitors that are erased.
//!
//! Not here: the filter's fields, which are those of a list (`files.rs`).

use super::{Batch, batch_of_files, count, files, size};
use crate::{
    domain::{
        ChatId, FileId, Reason, Refusal, VisitorId,
        erasure::{Erased, MOST_CHATS, Why},
        listing::FileFilter,
    },
    rpc::pb,
};

/// Which files are to be deleted.
pub enum Deleted {
    /// Those that are named.
    Named(Batch<FileId>),
    /// Those that a filter hits, if they are so many.
    Matching(Box<FileFilter>, u64),
}

/// Which files `BatchDeleteFiles` is to delete.
///
/// # Errors
/// `BAD_ARGUMENT`.
pub fn deleted(request: pb::BatchDeleteFilesRequest) -> Result<Deleted, Refusal> {
    let pb::BatchDeleteFilesRequest { file_ids, filter, expected_count } = request;
    let Some(filter) = filter else {
        if expected_count != 0 {
            return Err(Refusal::argument("expected_count", "expected_count goes with filter only"));
        }
        return Ok(Deleted::Named(batch_of_files(file_ids)?));
    };
    if !file_ids.is_empty() {
        return Err(Refusal::argument("filter", "exactly one of file_ids and filter must be given"));
    }
    if filter.order != 0 || filter.page_size != 0 || !filter.page_token.is_empty() || filter.with_total {
        return Err(Refusal::argument("filter", "filter must set neither order nor page nor total"));
    }
    let expected = size("expected_count", expected_count)?;
    Ok(Deleted::Matching(Box::new(files::list_request(filter)?.filter), expected))
}

/// What became of each file.
pub fn results(results: impl IntoIterator<Item = (String, Result<(), Refusal>)>) -> Vec<pb::FileResult> {
    let one = |(file_id, result): (String, Result<(), Refusal>)| {
        let (reason, message) =
            result.map_or_else(|r| (r.reason.name().to_owned(), r.message.into_owned()), |()| Default::default());
        pb::FileResult { file_id, reason, message }
    };
    results.into_iter().map(one).collect()
}

/// Who is to be erased.
pub struct Asked {
    /// The visitor.
    pub visitor: VisitorId,
    /// Chats in which every visitor is.
    pub chats: Vec<ChatId>,
    /// Why.
    pub why: Why,
}

/// What `EraseVisitor` is asked.
///
/// # Errors
/// `BAD_ARGUMENT`.
pub fn asked(request: pb::EraseVisitorRequest) -> Result<Asked, Refusal> {
    let pb::EraseVisitorRequest { visitor_id, chat_ids, reason } = request;
    if chat_ids.len() > MOST_CHATS {
        let most = format!("chat_ids must be at most {MOST_CHATS}");
        return Err(Refusal::argument("chat_ids", most).with("limit", MOST_CHATS));
    }
    let mut chats = chat_ids.into_iter().map(|id| id.parse()).collect::<Result<Vec<ChatId>, _>>()?;
    chats.sort_unstable();
    chats.dedup();
    Ok(Asked { visitor: visitor_id.parse()?, chats, why: Why::new(&reason)? })
}

/// What was erased.
pub fn erased(erased: Erased) -> pb::EraseVisitorResponse {
    let Erased { files, bytes, uploads, events, keys, shared_blobs, pending_bytes, held } = erased;
    let held = held.into_iter().map(|id| (id.to_string(), Err(Refusal::new(Reason::OnHold))));
    pb::EraseVisitorResponse {
        purged_count: count(files),
        purged_bytes: count(bytes),
        pending_bytes: count(pending_bytes),
        ended_upload_count: count(uploads),
        event_count: count(events),
        retired_key_count: count(keys),
        shared_blob_count: count(shared_blobs),
        kept: results(held),
    }
}
