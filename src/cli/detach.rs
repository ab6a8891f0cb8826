//! `lhfile detach FILE_ID CHAT…`: takes a file out of chats; the file stays.
//!
//! Not here: attaching (`attach.rs`) and deleting (`rm.rs`).

use clap::Args;
use serde_json::json;

use super::{Context, failure::Failure, output};
use crate::rpc::pb;

/// Which file, out of which chats.
#[derive(Debug, Args)]
pub struct Detach {
    /// The file
    file_id: String,
    /// The chats
    #[arg(required = true, value_name = "CHAT")]
    chats: Vec<String>,
}

impl Detach {
    /// Prints a line for each chat; stops at the first refusal.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut files = context.connection.files().await?;
        for chat_id in self.chats {
            let file_id = self.file_id.clone();
            files.detach_file(pb::DetachFileRequest { file_id: file_id.clone(), chat_id: chat_id.clone() }).await?;
            output::line(&if context.json {
                json!({"file_id": file_id, "chat_id": chat_id}).to_string()
            } else {
                format!("detached from {}", output::printable(&chat_id))
            })?;
        }
        Ok(())
    }
}
