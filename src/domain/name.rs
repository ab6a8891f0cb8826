//! Display names of files and their extensions: what a name may be, and how long it may become.
//!
//! Not here: which extensions are allowed (`settings.rs`) and what they promise of the content (`media_type.rs`).

use std::fmt;

use super::{Reason, Refusal, media_type};

/// Longest display name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 255;

/// A display name: 1 to 255 bytes of UTF-8 without control or bidi-override characters, `/` or `\`; not `.` or `..`.
/// Device names, quotes and double extensions are allowed: a name is never a path here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DisplayName(String);

impl DisplayName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last extension, lower-case: what follows the last dot. Empty if there is none.
    pub fn extension(&self) -> Extension {
        match self.0.rsplit_once('.') {
            Some((_, ext)) if is_extension(&ext.to_ascii_lowercase()) => Extension(ext.to_ascii_lowercase()),
            _ => Extension(String::new()),
        }
    }

    /// Takes a name as sent. A nameless image becomes `clipboard.` and the extension of its content type.
    pub fn new(name: &str, content_type: &str) -> Result<Self, Refusal> {
        if name.is_empty() {
            let ext = media_type::extension_for_image_type(content_type).ok_or_else(|| {
                bad("a file needs a name (only an image may come without one, with its content type)")
            })?;
            return Ok(Self(format!("clipboard.{ext}")));
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(bad("a file name has at most 255 bytes").with("limit_bytes", MAX_NAME_BYTES));
        }
        if name == "." || name == ".." {
            return Err(bad("a file name is not . or .."));
        }
        if name.chars().any(is_forbidden) {
            return Err(bad("a file name has no control characters, no bidirectional overrides, no / and no \\"));
        }
        if name.trim().is_empty() {
            return Err(bad("a file name is not only white space"));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn bad(why: &'static str) -> Refusal {
    Refusal::new(Reason::BadName).because(why)
}

/// Control characters (C0, C1, line and paragraph separators) hide what follows; the bidi controls show `exe.gpj` as
/// `jpg.exe`.
fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '/' | '\\' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{feff}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// True for what an extension may be: `[a-z0-9]{1,10}`.
pub fn is_extension(s: &str) -> bool {
    (1..=10).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// A lower-case extension without the dot, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Extension(String);

impl Extension {
    /// The extension as text; empty if the name has none.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From a stored row, whose writer checked it.
    pub fn from_stored(s: String) -> Self {
        Self(s)
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        let long = "x".repeat(256);
        for bad in
            ["", ".", "..", "a/b", "a\\b", "a\0b", "a\r\nb", "a\x1b[2J", "a\u{202e}gpj.exe", "\u{2028}", "  ", &long]
        {
            let refusal = DisplayName::new(bad, "").expect_err(bad);
            assert_eq!(refusal.reason, Reason::BadName);
        }
    }

    #[test]
    fn strange_but_harmless_names_pass_and_the_last_extension_counts() {
        for (name, ext) in [
            ("CON", ""),
            ("aux.txt", "txt"),
            ("a.php.JPG", "jpg"),
            ("Größe \"x\".pdf", "pdf"),
            (".htaccess", "htaccess"),
            ("trailing.", ""),
            ("a.tar.gz", "gz"),
            ("a.ｐｄｆ", ""),
            ("x.toolongextension", ""),
        ] {
            assert_eq!(DisplayName::new(name, "").expect(name).extension().as_str(), ext, "{name}");
        }
        assert!(DisplayName::new(&"é".repeat(127), "").is_ok());
    }

    #[test]
    fn a_nameless_image_is_named_after_its_content_type_and_nothing_else_is() {
        assert_eq!(DisplayName::new("", "image/png").expect("named").as_str(), "clipboard.png");
        assert!(DisplayName::new("", "text/html").is_err());
    }
}
