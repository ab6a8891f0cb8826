//! `lhfile erase --visitor V`: a visitor's files removed for good, and its id replaced wherever it stands.
//!
//! Not here: single files (`purge.rs`), and how the server does it.

use clap::Args;

use super::{Context, arguments, failure::Failure, output, question};
use crate::rpc::pb;

/// Who is erased.
#[derive(Debug, Args)]
pub struct Erase {
    /// The visitor: the id of its tokens, or of an online visitor
    #[arg(long, value_name = "ID")]
    visitor: String,
    /// Erase what any visitor brought into this chat, too (may be given up to 500 times)
    #[arg(long = "chat", value_name = "CHAT_ID", value_parser = arguments::chat)]
    chats: Vec<String>,
    /// Why, such as the number of a request; it is kept, and must not name the visitor
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Do not ask first
    #[arg(long)]
    yes: bool,
}

impl Erase {
    /// Prints what was erased, and what stays.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { visitor: visitor_id, chats: chat_ids, reason, yes } = self;
        if !yes {
            let chats = match chat_ids.len() {
                0 => String::new(),
                1 => ", and what visitors brought into a chat,".to_owned(),
                n => format!(", and what visitors brought into {n} chats,"),
            };
            let asks =
                format!("All files of this visitor{chats} are removed for good, and its id from all that is told.");
            question::must_agree(&asks, "Say --yes")?;
        }
        let request = pb::EraseVisitorRequest { visitor_id, chat_ids, reason };
        let answer = context.connection.files().await?.erase_visitor(request).await?.into_inner();
        output::one(context.json, "EraseVisitorResponse", &answer, people)
    }
}

fn people(answer: &pb::EraseVisitorResponse) -> String {
    let some = |n: i64| if n == 0 { String::new() } else { n.to_string() };
    let size = |bytes| if bytes == 0 { String::new() } else { output::size(bytes) };
    let facts = output::facts(&[
        ("files purged", answer.purged_count.to_string()),
        ("bytes removed", output::size(answer.purged_bytes - answer.pending_bytes)),
        ("bytes that follow", size(answer.pending_bytes)),
        ("uploads ended", some(answer.ended_upload_count)),
        ("events changed", some(answer.event_count)),
        ("keys retired", some(answer.retired_key_count)),
        ("blobs that others share", some(answer.shared_blob_count)),
    ]);
    let kept = answer.kept.iter().map(|file| format!("\n{} stays: {}", file.file_id, output::printable(&file.message)));
    facts + &kept.collect::<String>()
}
