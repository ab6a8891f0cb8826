//! `lhfile rm FILE_ID…`: deletes files; `lhfile rm --chat 42 --expect N`: those that a list would show.
//!
//! Not here: deleting a chat with its files (`chat.rs`), and purging what is deleted (`purge.rs`).

use clap::Args;

use super::{Context, failure::Failure, ls::Filter, results};
use crate::rpc::pb;

/// Which files: by their ids, or by what `lhfile ls` filters by.
#[derive(Debug, Args)]
pub struct Rm {
    /// The files
    #[arg(required_unless_present = "expect", conflicts_with = "expect", value_name = "FILE_ID")]
    files: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Delete what the filters find, if they find exactly so many files; at most 1,000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    expect: Option<i64>,
}

impl Rm {
    /// Prints a line for each file that is deleted.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { files, filter, expect } = self;
        let filter = filter.request();
        let mut client = context.connection.files().await?;
        if let Some(expected_count) = expect {
            let request = pb::BatchDeleteFilesRequest { filter: Some(filter), expected_count, ..Default::default() };
            let answer = client.batch_delete_files(request).await?.into_inner();
            results::print(context, &answer.results, "deleted")?;
            return results::all_done(&answer.results);
        }
        if filter != pb::ListFilesRequest::default() {
            return Err(Failure::Usage("filters go with --expect N, and with no FILE_ID".to_owned()));
        }
        if let [file_id] = files.as_slice() {
            client.delete_file(pb::DeleteFileRequest { file_id: file_id.clone() }).await?;
            let done = pb::FileResult { file_id: file_id.clone(), ..Default::default() };
            return results::print(context, &[done], "deleted");
        }
        let mut deleted = Vec::with_capacity(files.len());
        for file_ids in files.chunks(results::BATCH) {
            let request = pb::BatchDeleteFilesRequest { file_ids: file_ids.to_vec(), ..Default::default() };
            let answer = client.batch_delete_files(request).await?.into_inner();
            results::print(context, &answer.results, "deleted")?;
            deleted.extend(answer.results);
        }
        results::all_done(&deleted)
    }
}
