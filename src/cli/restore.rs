//! `lhfile restore FILE_ID…`: brings deleted files back.
//!
//! Not here: which there are (`ls.rs --deleted`).

use clap::Args;

use super::{Context, failure::Failure, output};
use crate::rpc::pb;

/// Which files.
#[derive(Debug, Args)]
pub struct Restore {
    /// The files
    #[arg(required = true, value_name = "FILE_ID")]
    files: Vec<String>,
}

impl Restore {
    /// Prints each row that is there again; stops at the first refusal.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut client = context.connection.files().await?;
        for file_id in self.files {
            let answer = client.undelete_file(pb::UndeleteFileRequest { file_id }).await?.into_inner();
            output::one(context.json, "File", &output::expected(answer.file)?, output::file_facts)?;
        }
        Ok(())
    }
}
