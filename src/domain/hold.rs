//! Holds: a file, all files of a chat or all of a person are neither deleted, purged nor detached as long as a matter
//! needs them.
//!
//! Not here: whether a file is held (asked inside each transaction that would end it, `adapters/`), and what is refused
//! then ([`super::access`]).

use std::fmt;

use super::{
    Actor, Caller, CallerKind, ChatId, ChatSet, Event, EventKind, FileId, OperatorId, Refusal, Time, VisitorId,
};

/// Longest matter, in bytes.
pub const LONGEST_MATTER: usize = 200;

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HoldOn {
    /// This file, also while it is deleted and can be restored.
    File(FileId),
    /// Every file whose home this chat is, or that is attached to it, now or later.
    Chat(ChatId),
    /// Every file that this visitor uploaded or uploads, or that anybody uploads for the online visitor of this id.
    Visitor(VisitorId),
    /// Every file that this operator uploaded or uploads.
    Operator(OperatorId),
}

impl HoldOn {
    /// The stored name of what it is; for persons the one that their files carry.
    pub const fn kind(&self) -> &'static str {
        match self {
            HoldOn::File(_) => "FILE",
            HoldOn::Chat(_) => "CHAT",
            HoldOn::Visitor(_) => "VISITOR",
            HoldOn::Operator(_) => "OPERATOR",
        }
    }

    /// Its id.
    pub fn id(&self) -> String {
        match self {
            HoldOn::File(id) => id.to_string(),
            HoldOn::Chat(id) => id.to_string(),
            HoldOn::Visitor(id) => id.to_string(),
            HoldOn::Operator(id) => id.to_string(),
        }
    }

    /// What is recorded when somebody puts or lifts a hold on it.
    pub fn event(&self, kind: EventKind, caller: &Caller) -> Event {
        let event = Event::new(kind, Actor::from(caller)).detail(self.to_string());
        match self {
            HoldOn::File(id) => event.file(*id),
            HoldOn::Chat(id) => event.chat(Some(id.clone())),
            HoldOn::Visitor(_) | HoldOn::Operator(_) => event,
        }
    }

    /// From its stored name and id.
    ///
    /// # Errors
    /// Any, for what cannot have been stored.
    pub fn new(kind: &str, id: &str) -> Result<Self, Refusal> {
        Ok(match kind {
            "FILE" => HoldOn::File(id.parse()?),
            "CHAT" => HoldOn::Chat(id.parse()?),
            "VISITOR" => HoldOn::Visitor(id.parse()?),
            "OPERATOR" => HoldOn::Operator(id.parse()?),
            _ => return Err(Refusal::argument("target", "target must be a file, a chat, a visitor or an operator")),
        })
    }
}

impl fmt::Display for HoldOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind().to_ascii_lowercase(), self.id())
    }
}

/// Why something is held: for people, such as a case's number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Matter(String);

impl Matter {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A matter that can be named again, letter by letter.
    ///
    /// # Errors
    /// `BAD_ARGUMENT`.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let plain = !text.chars().any(char::is_control) && text.trim() == text;
        if text.is_empty() || text.len() > LONGEST_MATTER || !plain {
            let must = format!(
                "matter must be 1 to {LONGEST_MATTER} bytes, without control characters, and no blank at either end"
            );
            return Err(Refusal::argument("matter", must));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A hold that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What is held.
    pub on: HoldOn,
    /// Why.
    pub matter: Matter,
    /// Who put it.
    pub put_by: Actor,
    /// When.
    pub put_at: Time,
}

/// Reaches every file and chat, as far as chats bound anybody: no visitor, and nobody whose service has some chats only.
pub fn is_unbounded(caller: &Caller) -> bool {
    match caller.kind() {
        CallerKind::Visitor => false,
        CallerKind::Operator => caller.ceiling.as_ref().is_none_or(|ceiling| ceiling.chats == ChatSet::All),
        CallerKind::Service => caller.is_entitled_to_all(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_reads_back_from_its_stored_name_and_id() {
        let all = [
            HoldOn::File(FileId([7; 16])),
            HoldOn::Chat("42".parse().expect("valid")),
            HoldOn::Visitor("v".parse().expect("valid")),
            HoldOn::Operator("17".parse().expect("valid")),
        ];
        for on in all {
            assert_eq!(HoldOn::new(on.kind(), &on.id()), Ok(on));
        }
        assert!(HoldOn::new("SERVICE", "b").is_err());
    }

    #[test]
    fn matter_has_its_bounds() {
        for good in ["x", "Az. 12 C 34/26", &"é".repeat(100)] {
            assert_eq!(Matter::new(good).expect(good).as_str(), good);
        }
        for bad in ["", " x", "x ", "a\nb", &"é".repeat(101)] {
            assert_eq!(Matter::new(bad).expect_err(bad).get("field"), Some("matter"));
        }
    }
}
