//! The value of `Content-Disposition` by RFC 6266: safe whatever the name is.
//!
//! Not here: whether a file may be shown in place (`domain/media_type.rs`).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but `attr-char` of RFC 5987.
const NOT_ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// `attachment` or `inline` with the name twice: in ASCII for old clients, and as it is. Holds printable ASCII only.
pub fn disposition(name: &str, inline: bool) -> String {
    let kind = if inline { "inline" } else { "attachment" };
    // % too: some clients decode it in the plain form.
    let ascii: String = name
        .chars()
        .map(|c| if (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\' | '%') { c } else { '_' })
        .collect();
    format!("{kind}; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(name, NOT_ATTR_CHAR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_twice() {
        assert_eq!(disposition("a b.pdf", false), "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf");
        assert_eq!(disposition("é.png", true), "inline; filename=\"_.png\"; filename*=UTF-8''%C3%A9.png");
    }

    #[test]
    fn no_name_breaks_out_of_the_header() {
        for name in [
            "a\r\nSet-Cookie: x=1",
            "a\"; filename=\"b.exe",
            "a\\\"b",
            "\0",
            "a;b=c",
            "%22%0d%0a",
            "\u{202e}gpj.exe",
            "\u{1b}[2J",
            "日本.txt",
            "a'b''c",
            "\u{85}\u{2028}",
        ] {
            let value = disposition(name, false);
            assert!(value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{value}");
            assert_eq!(value.matches('"').count(), 2, "{value}");
            assert!(!value.contains('\\'), "{value}");
            let (plain, extended) = value.split_once("; filename*=UTF-8''").expect("both forms");
            assert!(plain.starts_with("attachment; filename=\"") && plain.ends_with('"'), "{value}");
            assert!(!extended.contains([';', '"', '\'', ' ', '=']), "{value}");
            let back = percent_encoding::percent_decode_str(extended).decode_utf8().expect("UTF-8");
            assert_eq!(back, name);
        }
    }
}
