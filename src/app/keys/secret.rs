//! The secret of an opaque key as text: `lhf_`, then 256 random bits and their CRC-32C in lower-case base32.
//!
//! The prefix lets people and scanners of leaked secrets know it; the checksum tells a key that was cut or mistyped from
//! one that is not known, without a look at any other. Not here: the key's id, which is no part of it.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest as _, Sha256 as Digest};

use crate::domain::Sha256;

/// What every key begins with, and no other credential.
pub const PREFIX: &str = "lhf_";
/// Random bytes.
const SECRET: usize = 32;
/// Characters behind the prefix: 36 bytes of 5 bits each.
const CHARACTERS: usize = 58;

/// A secret that was just made, or one that a caller shows.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret([u8; SECRET]);

/// Never the secret.
impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(…)")
    }
}

impl KeySecret {
    /// Of these random bits.
    pub fn new(random: [[u8; SECRET / 2]; 2]) -> Self {
        let mut secret = [0; SECRET];
        secret.copy_from_slice(random.as_flattened());
        Self(secret)
    }

    /// As it is told to who asked for it.
    pub fn reveal(&self) -> String {
        let bytes = [self.0.as_slice(), &crc_fast::crc32_iscsi(&self.0).to_be_bytes()].concat();
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }

    /// Reads one. `None` for anything that no key of ours can be.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix(PREFIX)?;
        if text.len() != CHARACTERS || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()?;
        let (secret, checksum) = bytes.split_first_chunk::<SECRET>()?;
        (checksum == crc_fast::crc32_iscsi(secret).to_be_bytes()).then_some(Self(*secret))
    }

    /// What is kept of it. It has 256 random bits, so that a plain hash cannot be turned back by guessing, and comparing
    /// hashes tells nothing of the secret by the time it takes.
    pub fn hash(&self) -> Sha256 {
        Sha256(Digest::digest(self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> KeySecret {
        KeySecret::new([[7; 16], [9; 16]])
    }

    #[test]
    fn secret_reads_back_and_is_known_by_its_beginning() {
        let text = secret().reveal();
        assert_eq!((text.len(), &text[..4]), (4 + CHARACTERS, "lhf_"));
        assert!(text[4..].bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)), "{text}");
        assert_eq!(KeySecret::read(&text), Some(secret()));
        assert_ne!(secret().hash(), KeySecret::new([[9; 16], [7; 16]]).hash());
        assert!(!format!("{:?}", secret()).contains('7'));
    }

    #[test]
    fn text_that_was_cut_changed_or_is_of_another_kind_is_none() {
        let text = secret().reveal();
        for i in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[i] = if changed[i] == b'a' { b'b' } else { b'a' };
            assert_eq!(KeySecret::read(&String::from_utf8(changed).expect("ASCII")), None, "character {i}");
            assert_eq!(KeySecret::read(&text[..i]), None, "cut at {i}");
        }
        for bad in [
            text.to_uppercase(),
            text.replace("lhf_", "lhf-"),
            text.replace("lhf_", "ghp_"),
            format!("{text}a"),
            format!(" {text}"),
            format!("lhf_{}", "é".repeat(29)),
            String::new(),
        ] {
            assert_eq!(KeySecret::read(&bad), None, "{bad}");
        }
        // The last character carries two bits that mean nothing: one text for one secret.
        let last = &text[text.len() - 1..];
        let loose = "abcdefghijklmnopqrstuvwxyz234567".split("").filter(|c| !c.is_empty() && *c != last);
        for other in loose {
            assert_eq!(KeySecret::read(&format!("{}{other}", &text[..text.len() - 1])), None, "{other}");
        }
    }
}
