//! Ids, hashes and times: values that cannot be wrong once they exist.
//!
//! Not here: where random ids come from (`ports::Ids`) and what time it is (`ports::Clock`).

use std::{fmt, str::FromStr};

use data_encoding::{BASE32_NOPAD, HEXLOWER};

use super::Refusal;

/// Microseconds since 1970-01-01T00:00:00Z. Every stored time has this resolution on every engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

impl Time {
    /// Microseconds in a second.
    pub const SECOND: i64 = 1_000_000;

    /// From unix seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(Self::SECOND))
    }

    /// Whole unix seconds, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(Self::SECOND)
    }

    /// Nanoseconds past the whole second.
    pub const fn subsec_nanos(self) -> i32 {
        (self.0.rem_euclid(Self::SECOND) * 1_000) as i32
    }

    /// Later by whole seconds; negative is earlier.
    #[must_use]
    pub const fn plus_secs(self, secs: i64) -> Self {
        Self(self.0.saturating_add(secs.saturating_mul(Self::SECOND)))
    }
}

/// True for the alphabet and length that ids of chats, operators and visitors have: `[A-Za-z0-9._~-]{1,64}`.
pub fn is_foreign_id(s: &str) -> bool {
    (1..=64).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-'))
}

macro_rules! foreign_id {
    ($(#[doc = $doc:literal])+ $name:ident, $field:literal) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }

        impl FromStr for $name {
            type Err = Refusal;
            fn from_str(s: &str) -> Result<Self, Refusal> {
                if is_foreign_id(s) {
                    Ok(Self(s.to_owned()))
                } else {
                    Err(Refusal::argument($field, concat!($field, " must be 1 to 64 of A-Z a-z 0-9 . _ ~ -")))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    };
}

foreign_id!(
    /// The chat backend's id of a chat.
    ChatId, "chat_id");
foreign_id!(
    /// The chat backend's id of an operator.
    OperatorId, "operator_id");
foreign_id!(
    /// The chat backend's id of a visitor: of a token, or of an online visitor.
    VisitorId, "visitor_id");
foreign_id!(
    /// The name of a service that calls us.
    ServiceId, "service_id");

/// The client's name for one upload, 1 to 64 bytes, printable ASCII: makes it idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = Refusal;
    fn from_str(s: &str) -> Result<Self, Refusal> {
        if (1..=64).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(s.to_owned()))
        } else {
            Err(Refusal::argument("request_id", "request_id must be 1 to 64 printable ASCII characters"))
        }
    }
}

macro_rules! own_id {
    ($(#[doc = $doc:literal])+ $name:ident) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, concat!(stringify!($name), "({})"), self) }
        }

        impl FromStr for $name {
            type Err = Refusal;
            /// A text that cannot be an id of ours is `NOT_FOUND`, like an id that was never given.
            fn from_str(s: &str) -> Result<Self, Refusal> {
                if s.len() != 26 || s.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(Refusal::not_found());
                }
                BASE32_NOPAD
                    .decode(s.to_ascii_uppercase().as_bytes())
                    .ok()
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or_else(Refusal::not_found)
            }
        }
    };
}

own_id!(
    /// A file's id: 128 random bits, written as 26 characters of lower-case base32.
    FileId);
own_id!(
    /// A run of maintenance: 128 random bits, written as 26 characters of lower-case base32.
    RunId);
own_id!(
    /// A plan of maintenance: 128 random bits, written as 26 characters of lower-case base32.
    PlanId);
own_id!(
    /// A check of consistency: 128 random bits, written as 26 characters of lower-case base32.
    CheckId);
own_id!(
    /// An opaque key's id, which is no part of its secret: 128 random bits, written as 26 characters of lower-case base32.
    KeyId);

macro_rules! hex_value {
    ($(#[doc = $doc:literal])+ $name:ident, $bytes:literal, $field:literal) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&HEXLOWER.encode(&self.0)) }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, concat!(stringify!($name), "({})"), self) }
        }

        impl FromStr for $name {
            type Err = Refusal;
            fn from_str(s: &str) -> Result<Self, Refusal> {
                let bytes = HEXLOWER.decode(s.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
                let must = || format!("{} must be {} lower-case hex digits", $field, 2 * $bytes);
                bytes.map(Self).ok_or_else(|| Refusal::argument($field, must()))
            }
        }
    };
}

hex_value!(
    /// A SHA-256, written as 64 lower-case hex digits.
    Sha256, 32, "sha256");
hex_value!(
    /// Where a blob's bytes lie in the store: when it was made and 96 random bits, written as 32 lower-case hex
    /// digits. Never reused.
    BlobKey, 16, "blob_key");
hex_value!(
    /// What a database and its store of bytes know each other by, written as 32 lower-case hex digits.
    StoreId, 16, "store_id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_id_has_26_lower_case_characters_and_reads_back() {
        let id = FileId([0xa7; 16]);
        let text = id.to_string();
        assert_eq!(text.len(), 26);
        assert_eq!(text.parse::<FileId>(), Ok(id));
        assert!(text.to_uppercase().parse::<FileId>().is_err());
    }

    #[test]
    fn a_file_id_with_loose_trailing_bits_is_not_found() {
        let mut text = FileId([0; 16]).to_string();
        text.replace_range(25.., "b");
        assert_eq!(text.parse::<FileId>(), Err(Refusal::not_found()));
    }

    #[test]
    fn foreign_ids_have_their_alphabet_and_bounds() {
        assert!("A.z_0~-9".parse::<ChatId>().is_ok());
        assert!("x".repeat(64).parse::<ChatId>().is_ok());
        for bad in ["", "a b", "a/b", "é", &"x".repeat(65)] {
            assert!(bad.parse::<ChatId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_before_1970_split_into_floor_seconds() {
        assert_eq!((Time(-1).secs(), Time(-1).subsec_nanos()), (-1, 999_999_000));
    }
}
