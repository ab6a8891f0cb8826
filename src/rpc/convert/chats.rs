//! Chats: tellings in, rows out.
//!
//! Not here: which telling wins (`domain/chat.rs`).

use super::{count, time, timestamp};
use crate::{
    app::ChatPage,
    domain::{self, ChatStatus, OperatorId, Refusal},
    ports::{ChatDeleted, ChatTold},
    rpc::pb,
};

/// A telling.
pub fn told(sent: Option<pb::Chat>) -> Result<ChatTold, Refusal> {
    let sent = sent.ok_or_else(|| Refusal::argument("chat", "chat must be given"))?;
    let pb::Chat { chat_id, status: sent_status, owner_operator, close_time, upload_override, version } = sent;
    let status = status(sent_status)?.ok_or_else(|| Refusal::argument("status", "status must be given"))?;
    if close_time.is_some() && status != ChatStatus::Closed {
        return Err(Refusal::argument("close_time", "close_time goes with status CLOSED only"));
    }
    Ok(ChatTold {
        id: chat_id.parse()?,
        status,
        owner: owner(&owner_operator)?,
        closed_at: close_time.map(|t| time("close_time", t)).transpose()?,
        upload_override: match pb::UploadOverride::try_from(upload_override) {
            Ok(pb::UploadOverride::Unspecified) => None,
            Ok(pb::UploadOverride::Allow) => Some(true),
            Ok(pb::UploadOverride::Deny) => Some(false),
            Err(_) => return Err(Refusal::argument("upload_override", "upload_override is not one of UploadOverride")),
        },
        version: self::version(version)?,
    })
}

/// The number of a telling.
pub fn version(version: i64) -> Result<i64, Refusal> {
    if version < 0 { Err(Refusal::argument("version", "version must not be negative")) } else { Ok(version) }
}

/// A status; `None` if it is not told.
pub fn status(number: i32) -> Result<Option<ChatStatus>, Refusal> {
    match pb::ChatStatus::try_from(number) {
        Ok(pb::ChatStatus::Unspecified) => Ok(None),
        Ok(pb::ChatStatus::Pending) => Ok(Some(ChatStatus::Pending)),
        Ok(pb::ChatStatus::Active) => Ok(Some(ChatStatus::Active)),
        Ok(pb::ChatStatus::Bot) => Ok(Some(ChatStatus::Bot)),
        Ok(pb::ChatStatus::Closed) => Ok(Some(ChatStatus::Closed)),
        Err(_) => Err(Refusal::argument("status", "status is not one of ChatStatus")),
    }
}

/// A chat as stored.
pub fn chat(chat: domain::Chat) -> pb::Chat {
    // A tombstone is shown to nobody as a chat.
    let domain::Chat { id, status, owner, closed_at, upload_override, version, deleted: _ } = chat;
    pb::Chat {
        chat_id: id.to_string(),
        status: match status {
            ChatStatus::Pending => pb::ChatStatus::Pending,
            ChatStatus::Active => pb::ChatStatus::Active,
            ChatStatus::Bot => pb::ChatStatus::Bot,
            ChatStatus::Closed => pb::ChatStatus::Closed,
        }
        .into(),
        owner_operator: owner.map(|id| id.to_string()).unwrap_or_default(),
        close_time: closed_at.map(timestamp),
        upload_override: match upload_override {
            None => pb::UploadOverride::Unspecified,
            Some(true) => pb::UploadOverride::Allow,
            Some(false) => pb::UploadOverride::Deny,
        }
        .into(),
        version,
    }
}

/// A page of chats.
pub fn page(page: ChatPage) -> pb::ListChatsResponse {
    let ChatPage { chats, next_token } = page;
    pb::ListChatsResponse { chats: chats.into_iter().map(chat).collect(), next_page_token: next_token }
}

/// What went with a chat.
pub fn deleted(deleted: ChatDeleted) -> pb::DeleteChatResponse {
    let ChatDeleted { files_deleted, files_detached } = deleted;
    pb::DeleteChatResponse { files_deleted: count(files_deleted), files_detached: count(files_detached) }
}

/// The owner asked for; empty is whoever.
pub fn owner(id: &str) -> Result<Option<OperatorId>, Refusal> {
    if id.is_empty() { Ok(None) } else { Ok(Some(id.parse()?)) }
}

/// What became of one chat of a batch.
pub fn result(chat_id: String, result: Result<domain::Chat, Refusal>) -> pb::PutChatResult {
    match result {
        Ok(chat) => pb::PutChatResult { chat_id, reason: String::new(), message: String::new(), version: chat.version },
        Err(refusal) => pb::PutChatResult {
            chat_id,
            reason: refusal.reason.name().to_owned(),
            message: refusal.message.into_owned(),
            version: 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> pb::Chat {
        pb::Chat {
            chat_id: "42".into(),
            status: pb::ChatStatus::Closed.into(),
            owner_operator: "17".into(),
            close_time: Some(prost_types::Timestamp { seconds: 5, nanos: 7_000 }),
            upload_override: pb::UploadOverride::Deny.into(),
            version: 3,
        }
    }

    #[test]
    fn a_chat_told_and_shown_is_the_same() {
        let ChatTold { id, status, owner, closed_at, upload_override, version } = told(Some(sent())).expect("good");
        let stored = domain::Chat { id, status, owner, closed_at, upload_override, version, deleted: false };
        assert_eq!(chat(stored), sent());
    }

    #[test]
    fn a_telling_that_makes_no_sense_names_its_field() {
        let active = pb::ChatStatus::Active.into();
        for (bad, field) in [
            (None, "chat"),
            (Some(pb::Chat { chat_id: "a b".into(), ..sent() }), "chat_id"),
            (Some(pb::Chat { chat_id: String::new(), ..sent() }), "chat_id"),
            (Some(pb::Chat { status: 0, ..sent() }), "status"),
            (Some(pb::Chat { status: 99, ..sent() }), "status"),
            (Some(pb::Chat { status: active, ..sent() }), "close_time"),
            (Some(pb::Chat { owner_operator: "é".into(), ..sent() }), "operator_id"),
            (Some(pb::Chat { upload_override: 9, ..sent() }), "upload_override"),
            (Some(pb::Chat { version: -1, ..sent() }), "version"),
        ] {
            assert_eq!(told(bad).expect_err(field).get("field"), Some(field));
        }
    }
}
