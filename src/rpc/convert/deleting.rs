//! Batches of files that are deleted or purged.
//!
//! Not here: the filter's fields, which are those of a list (`files.rs`).

use super::{Batch, batch_of_files, files, size};
use crate::{
    domain::{FileId, Refusal, listing::FileFilter},
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
