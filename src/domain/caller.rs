//! Who calls: a visitor, an operator or a service, with what it may do and which chats it may access.
//!
//! Not here: how a credential becomes a `Caller` (`rpc/credential.rs`) and what a caller may do with a file
//! (`access.rs`).

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::{
    Chat, ChatId, OperatorId, Refusal, ServiceId, VisitorId,
    permission::{Permission, Permissions},
};

/// The kind of a caller, and of an uploader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallerKind {
    /// A visitor of the site.
    Visitor,
    /// An operator of the chat.
    Operator,
    /// The chat backend, a scheduler, an administrator.
    Service,
}

/// Somebody by kind and id: `operator:17`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Person {
    /// A visitor, by the id in its token.
    Visitor(VisitorId),
    /// An operator.
    Operator(OperatorId),
    /// A service.
    Service(ServiceId),
}

impl Person {
    /// Its kind.
    pub const fn kind(&self) -> CallerKind {
        match self {
            Person::Visitor(_) => CallerKind::Visitor,
            Person::Operator(_) => CallerKind::Operator,
            Person::Service(_) => CallerKind::Service,
        }
    }

    /// Its id without the kind.
    pub fn id(&self) -> &str {
        match self {
            Person::Visitor(id) => id.as_str(),
            Person::Operator(id) => id.as_str(),
            Person::Service(id) => id.as_str(),
        }
    }

    /// From kind and id.
    pub fn new(kind: CallerKind, id: &str) -> Result<Self, Refusal> {
        Ok(match kind {
            CallerKind::Visitor => Person::Visitor(id.parse()?),
            CallerKind::Operator => Person::Operator(id.parse()?),
            CallerKind::Service => Person::Service(id.parse()?),
        })
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind() {
            CallerKind::Visitor => "visitor",
            CallerKind::Operator => "operator",
            CallerKind::Service => "service",
        };
        write!(f, "{kind}:{}", self.id())
    }
}

impl FromStr for Person {
    type Err = Refusal;
    fn from_str(s: &str) -> Result<Self, Refusal> {
        let (kind, id) = s.split_once(':').unwrap_or((s, ""));
        let kind = match kind {
            "visitor" => CallerKind::Visitor,
            "operator" => CallerKind::Operator,
            "service" => CallerKind::Service,
            _ => return Err(Refusal::argument("subject", "subject must be visitor:ID, operator:ID or service:ID")),
        };
        Self::new(kind, id)
    }
}

/// Which chats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChatSet {
    /// Every chat: `["*"]`.
    All,
    /// These.
    Only(BTreeSet<ChatId>),
}

impl ChatSet {
    /// No chat.
    pub const fn none() -> Self {
        ChatSet::Only(BTreeSet::new())
    }

    /// True if the chat is among them.
    pub fn contains(&self, chat: &ChatId) -> bool {
        match self {
            ChatSet::All => true,
            ChatSet::Only(ids) => ids.contains(chat),
        }
    }

    /// From ids as tokens carry them; `*` is all.
    pub fn from_ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> Result<Self, Refusal> {
        let mut set = BTreeSet::new();
        for id in ids {
            if id == "*" {
                return Ok(ChatSet::All);
            }
            set.insert(id.parse()?);
        }
        Ok(ChatSet::Only(set))
    }

    /// The first chat of `self` that `other` lacks; `None` if there is none. `All` within `Only` is told as `*`.
    pub fn first_beyond(&self, other: &ChatSet) -> Option<String> {
        match (self, other) {
            (_, ChatSet::All) => None,
            (ChatSet::All, ChatSet::Only(_)) => Some("*".to_owned()),
            (ChatSet::Only(mine), ChatSet::Only(theirs)) => mine.difference(theirs).next().map(ToString::to_string),
        }
    }
}

/// The service behind an act-as call: the person never has more than it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceiling {
    /// Which service.
    pub service: ServiceId,
    /// The chats that service may access.
    pub chats: ChatSet,
}

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who is judged, limited and recorded.
    pub person: Person,
    /// What it may do.
    pub permissions: Permissions,
    /// The chats its token names.
    pub chats: ChatSet,
    /// The online visitor's id, for visitors.
    pub vid: Option<VisitorId>,
    /// Set when a service acts for the person.
    pub ceiling: Option<Ceiling>,
}

impl Caller {
    /// Its kind.
    pub const fn kind(&self) -> CallerKind {
        self.person.kind()
    }

    /// Holds this permission.
    pub const fn has(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }

    /// The operator's id, if it is one.
    pub fn operator(&self) -> Option<&OperatorId> {
        match &self.person {
            Person::Operator(id) => Some(id),
            Person::Visitor(_) | Person::Service(_) => None,
        }
    }

    /// May access the chat: its token names it, or it owns it; and so may the service that acts for it.
    pub fn may_access(&self, chat: &ChatId, owner: Option<&OperatorId>) -> bool {
        let own = owner.is_some() && self.operator() == owner;
        (own || self.chats.contains(chat)) && self.within_ceiling(chat)
    }

    /// The acting service, if any, may access the chat.
    pub fn within_ceiling(&self, chat: &ChatId) -> bool {
        self.ceiling.as_ref().is_none_or(|c| c.chats.contains(chat))
    }

    /// A service entitled to all chats: it may be told that a chat is unknown.
    pub fn is_entitled_to_all(&self) -> bool {
        self.kind() == CallerKind::Service && self.chats == ChatSet::All
    }

    /// The refusal for a chat that is not there for this caller: foreign and absent are the same, save for a service
    /// entitled to all chats.
    pub fn chat_refusal(&self) -> Refusal {
        if self.is_entitled_to_all() { super::Reason::ChatUnknown.into() } else { Refusal::not_found() }
    }

    /// The chat, if it is there for this caller.
    pub fn see_chat<'c>(&self, id: &ChatId, chat: Option<&'c Chat>) -> Result<&'c Chat, Refusal> {
        chat.filter(|c| !c.deleted && self.may_access(id, c.owner.as_ref())).ok_or_else(|| self.chat_refusal())
    }

    /// It is this online visitor, by its token.
    pub fn is_visitor(&self, id: &VisitorId) -> bool {
        self.kind() == CallerKind::Visitor && self.vid.as_ref() == Some(id)
    }

    /// Reaches this online visitor: a visitor itself alone, and nobody through a service that may access some chats only,
    /// as no chat says whose visitor it is. Nobody is told whether there is such a visitor.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub fn see_visitor(&self, id: &VisitorId) -> Result<(), Refusal> {
        let reaches = match self.kind() {
            CallerKind::Visitor => self.is_visitor(id),
            CallerKind::Operator => true,
            CallerKind::Service => self.chats == ChatSet::All,
        };
        let within = self.ceiling.as_ref().is_none_or(|ceiling| ceiling.chats == ChatSet::All);
        if reaches && within { Ok(()) } else { Err(Refusal::not_found()) }
    }

    /// Asks for one of these permissions.
    pub fn need(&self, any_of: &[Permission]) -> Result<(), Refusal> {
        if self.permissions.has_any(any_of) {
            return Ok(());
        }
        let names: Vec<_> = any_of.iter().map(|p| p.name()).collect();
        Err(Refusal::new(super::Reason::MissingPermission)
            .because(format!("this call needs the permission {}", names.join(" or ")))
            .with("any_of", names.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(chats: ChatSet, ceiling: Option<ChatSet>) -> Caller {
        Caller {
            person: "operator:17".parse().expect("valid"),
            permissions: Permissions::NONE,
            chats,
            vid: None,
            ceiling: ceiling.map(|chats| Ceiling { service: "b".parse().expect("valid"), chats }),
        }
    }

    #[test]
    fn an_owner_has_access_without_the_claim_but_never_beyond_the_acting_service() {
        let chat: ChatId = "42".parse().expect("valid");
        let owner: OperatorId = "17".parse().expect("valid");
        assert!(operator(ChatSet::none(), None).may_access(&chat, Some(&owner)));
        assert!(!operator(ChatSet::none(), Some(ChatSet::none())).may_access(&chat, Some(&owner)));
        assert!(!operator(ChatSet::none(), None).may_access(&chat, None));
    }

    #[test]
    fn a_subject_needs_a_known_kind_and_an_id() {
        for bad in ["operator", "operator:", "root:1", "operator:a b", ""] {
            assert!(bad.parse::<Person>().is_err(), "{bad}");
        }
    }
}
