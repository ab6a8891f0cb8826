//! A chat as the chat backend tells it, and which telling wins.
//!
//! Not here: who may tell (`chat_sync`, gated by the RPC) and who may access it (`caller.rs`).

use super::{ChatId, OperatorId, Time};

/// Where a chat stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChatStatus {
    /// Waiting for an operator.
    Pending,
    /// Going on.
    Active,
    /// A bot answers.
    Bot,
    /// Over.
    Closed,
}

/// A chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// The chat backend's id.
    pub id: ChatId,
    /// Where it stands.
    pub status: ChatStatus,
    /// The operator who owns it.
    pub owner: Option<OperatorId>,
    /// When it was closed; set if and only if it is.
    pub closed_at: Option<Time>,
    /// Overrides the settings for visitors' uploads: allowed, or not.
    pub upload_override: Option<bool>,
    /// Which telling this is.
    pub version: i64,
    /// A tombstone: the chat was deleted.
    pub deleted: bool,
}

impl Chat {
    /// Pending, active or bot.
    pub fn is_open(&self) -> bool {
        self.status != ChatStatus::Closed && !self.deleted
    }

    /// Open, or closed less than `grace_secs` ago.
    pub fn is_open_or_in_grace(&self, now: Time, grace_secs: i64) -> bool {
        !self.deleted && (self.is_open() || self.closed_at.is_some_and(|at| now < at.plus_secs(grace_secs)))
    }
}

/// What a telling (a put, or a delete) with this version stores as version over what is there: `None` if it is older
/// or equal and so changes nothing. Version 0 always applies and is stored as previous + 1.
pub fn next_version(stored: Option<i64>, told: i64) -> Option<i64> {
    match (stored, told) {
        (None, 0) => Some(1),
        (Some(previous), 0) => Some(previous.saturating_add(1)),
        (Some(previous), told) => (told > previous).then_some(told),
        (None, told) => Some(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_zero_always_applies_higher_applies_lower_or_equal_changes_nothing() {
        assert_eq!(next_version(None, 0), Some(1));
        assert_eq!(next_version(Some(7), 0), Some(8));
        assert_eq!(next_version(Some(7), 8), Some(8));
        assert_eq!(next_version(Some(7), 7), None);
        assert_eq!(next_version(Some(7), 6), None);
        assert_eq!(next_version(None, 5), Some(5));
    }

    #[test]
    fn grace_ends_strictly() {
        let chat = Chat {
            id: "1".parse().expect("valid"),
            status: ChatStatus::Closed,
            owner: None,
            closed_at: Some(Time::from_secs(100)),
            upload_override: None,
            version: 1,
            deleted: false,
        };
        assert!(chat.is_open_or_in_grace(Time::from_secs(109), 10));
        assert!(!chat.is_open_or_in_grace(Time::from_secs(110), 10));
    }
}
