//! Opaque keys: what is known of one, and within which bounds one is made.
//!
//! Not here: whom a key may stand for (`lending.rs`), its secret and who believes it (`app/keys.rs`).

use std::time::Duration;

use super::{Actor, Caller, ChatSet, KeyId, Person, Refusal, ServiceId, Time};

/// Longest label, in bytes.
pub const LONGEST_LABEL: usize = 100;
/// Most chats that a key names: every node has the keys that count in memory.
pub const MOST_CHATS: usize = 100;
/// Most keys that count at once.
pub const MOST_KEYS: i64 = 10_000;
/// Longest life of a key.
pub const LONGEST_LIFE: Duration = Duration::from_secs(366 * 86_400);

/// A key without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Who it says that the caller is.
    pub holder: Caller,
    /// For people.
    pub label: String,
    /// Who made it.
    pub created_by: Actor,
    /// When.
    pub created_at: Time,
    /// From when on it does not count.
    pub expires_at: Time,
    /// When it was retired, if it was.
    pub retired_at: Option<Time>,
}

/// A label that may be kept.
///
/// # Errors
/// `BAD_ARGUMENT`.
pub fn label(text: String) -> Result<String, Refusal> {
    if text.len() > LONGEST_LABEL || text.chars().any(char::is_control) {
        let must = format!("label must be at most {LONGEST_LABEL} bytes, without control characters");
        return Err(Refusal::argument("label", must));
    }
    Ok(text)
}

/// When a key made now ends.
///
/// # Errors
/// `BAD_ARGUMENT` for a life that is longer than [`LONGEST_LIFE`].
pub fn end(now: Time, ttl: Duration) -> Result<Time, Refusal> {
    if ttl > LONGEST_LIFE {
        let must = format!("ttl must be 1 second to {} days", LONGEST_LIFE.as_secs() / 86_400);
        return Err(Refusal::argument("ttl", must).with("limit_seconds", LONGEST_LIFE.as_secs()));
    }
    Ok(now.plus_secs(ttl.as_secs().cast_signed()))
}

/// Whether every node can keep what this key stands for.
///
/// # Errors
/// `BAD_ARGUMENT` for too many chats, of the key or of the service behind it.
pub fn fits(holder: &Caller) -> Result<(), Refusal> {
    let many = |chats: &ChatSet| matches!(chats, ChatSet::Only(ids) if ids.len() > MOST_CHATS);
    if many(&holder.chats) || holder.ceiling.as_ref().is_some_and(|ceiling| many(&ceiling.chats)) {
        let must = format!("a key, and the service that makes one for a person, may name {MOST_CHATS} chats or all");
        return Err(Refusal::argument("chats", must).with("limit", MOST_CHATS));
    }
    Ok(())
}

/// Whose keys somebody may list and retire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All.
    All,
    /// Those that this person made, and if a service acts for it, through that service.
    MadeBy(Person, Option<ServiceId>),
}

impl Reach {
    /// Of a caller who may manage keys.
    pub fn of(caller: &Caller) -> Self {
        if caller.is_entitled_to_all() {
            return Self::All;
        }
        Self::MadeBy(caller.person.clone(), caller.ceiling.as_ref().map(|ceiling| ceiling.service.clone()))
    }

    /// The key is among them.
    pub fn holds(&self, key: &Key) -> bool {
        match self {
            Self::All => true,
            Self::MadeBy(person, through) => {
                key.created_by.person.as_ref() == Some(person)
                    && (through.is_none() || key.created_by.acting_service == *through)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Ceiling, Permissions, Reason};

    fn caller(person: &str, chats: ChatSet, through: Option<&str>) -> Caller {
        let ceiling = |s: &str| Ceiling { service: s.parse().expect("valid"), chats: ChatSet::none() };
        let ceiling = through.map(ceiling);
        Caller { person: person.parse().expect("valid"), permissions: Permissions::all(), chats, vid: None, ceiling }
    }

    fn made_by(creator: &Caller) -> Key {
        Key {
            id: KeyId([1; 16]),
            holder: creator.clone(),
            label: String::new(),
            created_by: creator.into(),
            created_at: Time(0),
            expires_at: Time(1),
            retired_at: None,
        }
    }

    #[test]
    fn label_and_life_have_their_bounds() {
        assert_eq!(label("x".repeat(100)).map(|l| l.len()), Ok(100));
        assert_eq!(label(String::new()).as_deref(), Ok(""));
        for bad in ["x".repeat(101), "a\nb".to_owned(), "\u{7f}".to_owned()] {
            assert_eq!(label(bad).expect_err("refused").get("field"), Some("label"));
        }
        assert_eq!(end(Time::from_secs(5), Duration::from_secs(1)), Ok(Time::from_secs(6)));
        assert!(end(Time(0), LONGEST_LIFE).is_ok());
        for bad in [LONGEST_LIFE + Duration::from_secs(1), Duration::from_secs(u64::MAX)] {
            assert_eq!(end(Time(0), bad).expect_err("refused").get("field"), Some("ttl"));
        }
    }

    #[test]
    fn key_names_at_most_100_chats_and_so_does_its_ceiling() {
        let chats = |n: usize| ChatSet::Only((0..n).map(|i| format!("c{i}").parse().expect("valid")).collect());
        fits(&caller("operator:1", chats(100), None)).expect("at the limit");
        fits(&caller("service:b", ChatSet::All, None)).expect("all");
        let mut under = caller("operator:1", chats(1), Some("b"));
        fits(&under).expect("a small ceiling");
        under.ceiling.as_mut().expect("has one").chats = chats(101);
        for bad in [caller("operator:1", chats(101), None), under] {
            assert_eq!(fits(&bad).expect_err("refused").reason, Reason::BadArgument);
        }
    }

    #[test]
    fn keys_are_reached_by_who_made_them_and_by_a_service_of_all_chats() {
        let (direct, through) =
            (caller("operator:1", ChatSet::none(), None), caller("operator:1", ChatSet::none(), Some("b")));
        let other = caller("operator:2", ChatSet::All, None);
        let admin = caller("service:admin", ChatSet::All, None);
        for key in [made_by(&direct), made_by(&through), made_by(&other)] {
            assert!(Reach::of(&admin).holds(&key));
        }
        assert!(Reach::of(&direct).holds(&made_by(&direct)) && Reach::of(&direct).holds(&made_by(&through)));
        assert!(!Reach::of(&through).holds(&made_by(&direct)) && Reach::of(&through).holds(&made_by(&through)));
        assert!(!Reach::of(&other).holds(&made_by(&direct)), "an operator of all chats is no administrator");
    }
}
