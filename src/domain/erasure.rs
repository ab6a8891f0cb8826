//! The erasure of a visitor, as values: why it is done, who is named in its place afterwards, and what was done.
//!
//! Not here: what is found and ended (`adapters/`), and the order in which that happens (`app/erasing.rs`).

use data_encoding::BASE32_NOPAD;

use super::{Caller, ChatId, FileId, Permission, Reason, Refusal, VisitorId, hold::is_unbounded};

/// Most chats of one erasure.
pub const MOST_CHATS: usize = 500;
/// Longest reason, in bytes.
pub const LONGEST_WHY: usize = 200;
/// Most held files that are named in a report.
pub const MOST_HELD: usize = 1_000;

/// What every pseudonym begins with: what bears it is erased already. No client gives such ids.
pub const PSEUDONYM: &str = "erased~";

/// Why a visitor is erased: for people, such as a request's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why(String);

impl Why {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text that an auditor can read.
    ///
    /// # Errors
    /// `BAD_ARGUMENT`.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() || text.len() > LONGEST_WHY || text.chars().any(char::is_control) {
            let must = format!("reason must be 1 to {LONGEST_WHY} bytes, without control characters");
            return Err(Refusal::argument("reason", must));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Who stands in a visitor's place afterwards: drawn by lot, so that nothing leads back.
pub fn pseudonym(random: [u8; 16]) -> Result<VisitorId, Refusal> {
    format!("{PSEUDONYM}{}", BASE32_NOPAD.encode(&random).to_ascii_lowercase()).parse()
}

/// What is erased: everything of one visitor, and what visitors brought into some chats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasing {
    /// The row that says how far it is.
    pub number: i64,
    /// Who stands in the visitor's place from now on.
    pub pseudonym: VisitorId,
    /// Who is erased.
    pub visitor: VisitorId,
    /// In these chats every visitor is.
    pub chats: Vec<ChatId>,
}

/// What an erasure has done, over all calls that it took to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Erased {
    /// Files that were purged.
    pub files: u64,
    /// Bytes that no file needs any more.
    pub bytes: u64,
    /// Uploads under way that were ended.
    pub uploads: u64,
    /// Events in which the pseudonym stands now.
    pub events: u64,
    /// Opaque keys that were retired.
    pub keys: u64,
    /// Blobs that stay, because a file of somebody else has the same bytes.
    pub shared_blobs: u64,
    /// Bytes of blobs that could not be removed yet: the next purge does it.
    pub pending_bytes: u64,
    /// Files that a hold keeps, at most [`MOST_HELD`].
    pub held: Vec<FileId>,
}

/// May this caller erase visitors? They reach beyond any chat.
///
/// # Errors
/// `MISSING_PERMISSION`.
pub fn may_erase(caller: &Caller) -> Result<(), Refusal> {
    caller.need(&[Permission::Erase])?;
    if is_unbounded(caller) {
        return Ok(());
    }
    Err(Refusal::new(Reason::MissingPermission)
        .because("a visitor is erased in all chats: it needs a caller whose service may access all of them")
        .with("any_of", Permission::Erase.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_has_its_bounds() {
        for good in ["x", "request 7 of 2026-11-27", &"é".repeat(100)] {
            assert_eq!(Why::new(good).expect(good).as_str(), good);
        }
        for bad in ["", "a\nb", "\u{7f}", &"é".repeat(101)] {
            assert_eq!(Why::new(bad).expect_err(bad).get("field"), Some("reason"));
        }
    }

    #[test]
    fn pseudonym_is_an_id_that_is_told_from_others_and_differs_with_its_lot() {
        let [one, other] = [[0; 16], [255; 16]].map(|random| pseudonym(random).expect("an id"));
        assert_ne!(one, other);
        assert!(one.as_str().starts_with(PSEUDONYM) && one.as_str().len() == 33);
    }
}
