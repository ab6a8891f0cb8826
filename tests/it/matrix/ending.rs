//! The blocks of batches that end files: how each cell is asked and answered.
//!
//! Not here: the other blocks (`calls.rs`).

use tonic::{Code, Status};

use super::{callers::Who, table, world::World};
use crate::harness::{pb, reason_of};

/// What `BatchDeleteFiles` is asked about.
pub const DELETED: &[&str] =
    &["home", "attached", "detached", "own", "library", "foreign", "closed", "deleted", "never", "by filter"];
/// What a filter is asked with: more than there are.
const TOO_MANY: i64 = 999_999;

/// Asks one cell. `column` is the file's relation, if there is a file.
pub async fn ask(
    world: &mut World,
    who: &Who,
    method: &str,
    column: &'static str,
    file_id: String,
) -> Result<String, Status> {
    if column == "by filter" {
        let filter = Some(pb::ListFilesRequest::default());
        let request = pb::BatchDeleteFilesRequest { filter, expected_count: TOO_MANY, ..Default::default() };
        let status = world.files.batch_delete_files(who.request(request)).await.expect_err("it hits fewer");
        return match status.code() {
            Code::FailedPrecondition => Ok(reason_of(&status)),
            _ => Err(status),
        };
    }
    let before = world.print(&file_id).await?;
    let file_ids = vec![file_id.clone()];
    let results = match method {
        "PurgeFiles" => {
            let request = who.request(pb::PurgeFilesRequest { file_ids });
            world.files.purge_files(request).await?.into_inner().results
        }
        "BatchDeleteFiles" => {
            let request = who.request(pb::BatchDeleteFilesRequest { file_ids, ..Default::default() });
            world.files.batch_delete_files(request).await?.into_inner().results
        }
        other => panic!("{other} has a block and no call"),
    };
    let [result] = results.as_slice() else { panic!("one file, one answer: {results:?}") };
    let after = world.print(&file_id).await?;
    if !result.reason.is_empty() {
        assert_eq!(before, after, "refused, and yet it changed: {method}, {column}, {}", who.name);
        return Ok(table::short(&result.reason).to_owned());
    }
    assert_eq!(after, "gone", "{method}, {column}, {}", who.name);
    if before != after || method == "PurgeFiles" {
        world.spoil(column);
    }
    Ok("OK".to_owned())
}

/// Asks the cell of an erasure: of one whom nothing names, so that the other cells miss nobody.
pub async fn erase(world: &mut World, who: &Who) -> Result<String, Status> {
    let (visitor_id, reason) = ("nobody".to_owned(), "of the table".to_owned());
    let erase = pb::EraseVisitorRequest { visitor_id, reason, chat_ids: Vec::new() };
    let erased = world.files.erase_visitor(who.request(erase)).await?.into_inner();
    assert_eq!(erased, pb::EraseVisitorResponse::default());
    Ok("OK".to_owned())
}
