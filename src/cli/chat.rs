//! `lhfile chat put|get|ls|rm`: what the server knows of chats.
//!
//! Not here: the files of a chat (`ls.rs`).

use clap::{Args, Subcommand};
use prost_types::Timestamp;

use super::{
    Context,
    arguments::{self, short_enum},
    failure::Failure,
    output, pages,
};
use crate::rpc::pb;

short_enum! {
    /// Where a conversation is.
    Status: pb::ChatStatus {
        /// Waits for an operator
        Pending,
        /// An operator answers
        Active,
        /// A bot answers
        Bot,
        /// Over
        Closed,
    }
}
short_enum! {
    /// What one chat says of its visitors' uploads.
    Override: pb::UploadOverride {
        /// Visitors may upload, whatever the setting says
        Allow,
        /// Visitors may not upload, whatever the setting says
        Deny,
    }
}

/// What to do with chats.
#[derive(Debug, Subcommand)]
pub enum Chat {
    /// Tell a chat as it is now
    Put(Put),
    /// Show one chat
    Get(Get),
    /// List the chats that the caller may access
    Ls(Ls),
    /// Delete a chat, and the files that are of no other chat
    Rm(Rm),
}

/// A chat as it is now.
#[derive(Debug, Args)]
pub struct Put {
    /// Its id
    #[arg(value_parser = arguments::chat)]
    chat: String,
    /// Where it is
    #[arg(long, value_enum, ignore_case = true)]
    status: Status,
    /// The operator who owns it
    #[arg(long, value_name = "OPERATOR")]
    owner: Option<String>,
    /// When it was closed, e.g. 2026-11-23T16:00:00Z; now, if it is closed and this is not given
    #[arg(long, value_parser = arguments::time, value_name = "TIME")]
    close_time: Option<Timestamp>,
    /// Whether visitors may upload to it; the setting decides, if this is not given
    #[arg(long, value_enum)]
    uploads: Option<Override>,
    /// 0 always applies; a higher one than stored applies; any other changes nothing
    #[arg(long, default_value_t = 0, value_name = "N")]
    version: i64,
}

/// Which chat.
#[derive(Debug, Args)]
pub struct Get {
    /// Its id
    chat: String,
}

/// Which chats.
#[derive(Debug, Args)]
pub struct Ls {
    /// Only this status
    #[arg(long, value_enum, ignore_case = true)]
    status: Option<Status>,
    /// Only chats of this operator
    #[arg(long, value_name = "OPERATOR")]
    owner: Option<String>,
    /// Most chats
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Which chat, at which version.
#[derive(Debug, Args)]
pub struct Rm {
    /// Its id
    chat: String,
    /// As of `chat put`
    #[arg(long, default_value_t = 0, value_name = "N")]
    version: i64,
}

impl Chat {
    /// Does it and prints the chat, the chats, or what was deleted.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let mut chats = context.connection.chats().await?;
        match self {
            Chat::Put(put) => {
                let request = pb::PutChatRequest { chat: Some(put.chat()) };
                let answer = chats.put_chat(request).await?.into_inner();
                output::one(context.json, "Chat", &output::expected(answer.chat)?, facts)
            }
            Chat::Get(Get { chat }) => {
                let answer = chats.get_chat(pb::GetChatRequest { chat_id: chat }).await?.into_inner();
                output::one(context.json, "Chat", &output::expected(answer.chat)?, facts)
            }
            Chat::Ls(ls) => {
                let found = ls.chats(&mut chats).await?;
                if context.json {
                    return found.iter().try_for_each(|chat| output::line(&output::json("Chat", chat)));
                }
                output::line(&output::table(&HEADER, found.iter().map(|chat| row(chat).to_vec())))
            }
            Chat::Rm(Rm { chat, version }) => {
                let answer = chats.delete_chat(pb::DeleteChatRequest { chat_id: chat, version }).await?.into_inner();
                output::one(context.json, "DeleteChatResponse", &answer, |answer| {
                    format!("deleted, with {} files; {} detached", answer.files_deleted, answer.files_detached)
                })
            }
        }
    }
}

impl Put {
    fn chat(self) -> pb::Chat {
        pb::Chat {
            chat_id: self.chat,
            status: self.status.into(),
            owner_operator: self.owner.unwrap_or_default(),
            close_time: self.close_time,
            upload_override: self.uploads.map_or(0, Into::into),
            version: self.version,
        }
    }
}

impl Ls {
    async fn chats(
        self,
        chats: &mut pb::chat_service_client::ChatServiceClient<super::client::Authorized>,
    ) -> Result<Vec<pb::Chat>, Failure> {
        let request = pb::ListChatsRequest {
            status: self.status.map_or(0, Into::into),
            owner_operator: self.owner.unwrap_or_default(),
            ..pb::ListChatsRequest::default()
        };
        let (found, _) = pages::rows(self.limit, async |page_size, page_token| {
            let request = pb::ListChatsRequest { page_size, page_token, ..request.clone() };
            let page = chats.list_chats(request).await?.into_inner();
            Ok((page.chats, page.next_page_token))
        })
        .await?;
        Ok(found)
    }
}

const HEADER: [&str; 6] = ["CHAT", "STATUS", "OWNER", "CLOSED", "UPLOADS", "VERSION"];

fn row(chat: &pb::Chat) -> [String; 6] {
    let uploads = match chat.upload_override() {
        pb::UploadOverride::Unspecified => String::new(),
        told => output::short(told.as_str_name(), "UPLOAD_OVERRIDE_"),
    };
    [
        chat.chat_id.clone(),
        output::short(chat.status().as_str_name(), "CHAT_STATUS_"),
        chat.owner_operator.clone(),
        output::time(chat.close_time.as_ref()),
        uploads,
        chat.version.to_string(),
    ]
}

fn facts(chat: &pb::Chat) -> String {
    let names = HEADER.map(str::to_lowercase);
    let facts: Vec<_> = names.iter().map(String::as_str).zip(row(chat)).collect();
    output::facts(&facts)
}
