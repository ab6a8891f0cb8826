//! Where an upload goes, and who may send one there.
//!
//! Not here: the other checks (the parent module).

use super::Declared;
use crate::domain::{
    Caller, CallerKind, Chat, ChatId, Reason, Refusal, VisitorId, permission::Permission, settings::Settings,
};

/// Where an upload goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a chat: its home.
    Chat(ChatId),
    /// To no chat.
    Library,
    /// To no chat, for an online visitor.
    Visitor(VisitorId),
}

impl Target {
    /// The chat, if there is one.
    pub const fn chat(&self) -> Option<&ChatId> {
        match self {
            Target::Chat(id) => Some(id),
            Target::Library | Target::Visitor(_) => None,
        }
    }

    /// The online visitor, if it is for one.
    pub const fn visitor(&self) -> Option<&VisitorId> {
        match self {
            Target::Visitor(id) => Some(id),
            Target::Chat(_) | Target::Library => None,
        }
    }
}

/// Checks 2 to 4 for the place an upload goes to. A visitor without a chat has none whose status or override counts.
pub(super) fn judge_target(
    caller: &Caller,
    target: &Target,
    chat: Option<&Chat>,
    settings: &Settings,
) -> Result<(), Refusal> {
    let chat = match target {
        Target::Library => {
            caller.need(&[Permission::UploadNewFile])?;
            None
        }
        Target::Chat(id) => {
            need_use_operator(caller)?;
            Some(caller.see_chat(id, chat)?)
        }
        Target::Visitor(id) => {
            need_use_operator(caller)?;
            caller.see_visitor(id)?;
            None
        }
    };
    let disabled = match (caller.kind(), chat) {
        (CallerKind::Visitor, Some(chat)) => {
            if !chat.is_open() {
                return Err(Reason::ChatClosed.into());
            }
            !chat.upload_override.unwrap_or(settings.visitor_upload_enabled)
        }
        (CallerKind::Visitor, None) => !settings.visitor_upload_enabled,
        (CallerKind::Operator, _) => !settings.operator_upload_enabled,
        (CallerKind::Service, _) => false,
    };
    if disabled { Err(Reason::UploadsDisabled.into()) } else { Ok(()) }
}

fn need_use_operator(caller: &Caller) -> Result<(), Refusal> {
    if caller.kind() == CallerKind::Visitor { Ok(()) } else { caller.need(&[Permission::UseOperator]) }
}

/// A library file is persistent unless the caller says otherwise; others only if a holder of `use_operator` asks.
pub(super) fn judge_persistent(caller: &Caller, declared: &Declared) -> Result<bool, Refusal> {
    match (&declared.target, declared.persistent) {
        (Target::Library, asked) => Ok(asked.unwrap_or(true)),
        (Target::Chat(_) | Target::Visitor(_), None | Some(false)) => Ok(false),
        (Target::Chat(_) | Target::Visitor(_), Some(true)) if caller.kind() == CallerKind::Visitor => {
            Err(Refusal::argument("persistent", "a visitor's file cannot be persistent"))
        }
        (Target::Chat(_) | Target::Visitor(_), Some(true)) => caller.need(&[Permission::UseOperator]).map(|()| true),
    }
}

/// The origin decides how a file ages, so that persons do not name one: they have an age of their own.
pub(super) fn judge_origin(caller: &Caller, declared: &Declared) -> Result<(), Refusal> {
    match caller.kind() {
        CallerKind::Visitor | CallerKind::Operator if declared.origin.is_some() => {
            Err(Refusal::argument("origin", "only a service says where a file comes from"))
        }
        CallerKind::Visitor | CallerKind::Operator | CallerKind::Service => Ok(()),
    }
}
