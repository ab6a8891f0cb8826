//! `lhfile rm FILE_ID…`: deletes files.
//!
//! Not here: deleting a chat with its files (`chat.rs`).

use clap::Args;
use serde_json::json;

use super::{Context, failure::Failure, output};
use crate::rpc::pb;

/// Which files.
#[derive(Debug, Args)]
pub struct Rm {
    /// The files
    #[arg(required = true, value_name = "FILE_ID")]
    files: Vec<String>,
}

impl Rm {
    /// Prints a line for each file; stops at the first refusal.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut client = context.connection.files().await?;
        for file_id in self.files {
            client.delete_file(pb::DeleteFileRequest { file_id: file_id.clone() }).await?;
            output::line(&if context.json {
                json!({"file_id": file_id}).to_string()
            } else {
                format!("deleted {}", output::printable(&file_id))
            })?;
        }
        Ok(())
    }
}
