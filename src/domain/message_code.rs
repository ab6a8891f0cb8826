//! The message code `[file=NUMBER_HASH]` that Live Helper Chat puts into messages. Knowing one gives no right.
//!
//! Not here: finding the file (`ports::FileStore`), and codes inside longer texts.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;

use super::Refusal;

/// The random half of a message code: 128 bits, 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeHash(pub [u8; 16]);

impl fmt::Display for CodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// Number and hash of a file, and whether it is written as an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageCode {
    /// The file's number.
    pub number: i64,
    /// The file's code hash.
    pub hash: CodeHash,
    /// Written with `_img`.
    pub image: bool,
}

impl fmt::Display for MessageCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[file={}_{}{}]", self.number, self.hash, if self.image { "_img" } else { "" })
    }
}

impl FromStr for MessageCode {
    type Err = Refusal;

    /// Takes the code with its brackets. Anything else is `NOT_FOUND`, like a code that was never given.
    fn from_str(s: &str) -> Result<Self, Refusal> {
        let read = || {
            let inner = s.strip_prefix("[file=")?.strip_suffix(']')?;
            let (number, rest) = inner.split_once('_')?;
            let (hash, image) = match rest.strip_suffix("_img") {
                Some(hash) => (hash, true),
                None => (rest, false),
            };
            // One file has one code: no sign, no leading zero.
            let digits = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0');
            Some(Self {
                number: digits.then(|| number.parse().ok())??,
                hash: CodeHash(HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()?),
                image,
            })
        };
        read().ok_or_else(Refusal::not_found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_with_and_without_img() {
        for image in [true, false] {
            let code = MessageCode { number: 1 << 32, hash: CodeHash([0x5a; 16]), image };
            assert_eq!(code.to_string().parse(), Ok(code));
        }
    }

    #[test]
    fn a_broken_code_is_not_found() {
        for bad in [
            "",
            "[file=]",
            "[file=1]",
            "[file=+1_5a]",
            "[file=1_zz]",
            "[file=01_00000000000000000000000000000000]",
            "file=1_00000000000000000000000000000000",
        ] {
            assert_eq!(bad.parse::<MessageCode>(), Err(Refusal::not_found()), "{bad}");
        }
    }
}
