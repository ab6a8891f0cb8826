//! `lhfile purge FILE_ID…`: removes files for good, deleted or not.
//!
//! Not here: deleting them so that they can be restored (`rm.rs`).

use clap::Args;

use super::{Context, failure::Failure, question, results};
use crate::rpc::pb;

/// Which files.
#[derive(Debug, Args)]
pub struct Purge {
    /// The files
    #[arg(required = true, value_name = "FILE_ID")]
    files: Vec<String>,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
}

impl Purge {
    /// Prints a line for each file that is purged.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { files, yes } = self;
        if !yes {
            let many = if files.len() == 1 { "This file is".to_owned() } else { format!("{} files are", files.len()) };
            question::must_agree(&format!("{many} removed for good: nobody can restore what is purged."), "Say --yes")?;
        }
        let mut client = context.connection.files().await?;
        let mut purged = Vec::with_capacity(files.len());
        for file_ids in files.chunks(results::BATCH) {
            let request = pb::PurgeFilesRequest { file_ids: file_ids.to_vec() };
            let answer = client.purge_files(request).await?.into_inner();
            results::print(context, &answer.results, "purged")?;
            purged.extend(answer.results);
        }
        results::all_done(&purged)
    }
}
