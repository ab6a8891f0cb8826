//! Text: what markup it begins with, and whether it is text to its last byte.
//!
//! The rules are the browsers' (whatwg mimesniff): what they would take for HTML is HTML here.

use std::io::{self, BufRead, BufReader};

use crate::{domain::media_type::Format, ports::ByteSource};

/// Tags with which a browser takes text for HTML.
const HTML_TAGS: &[&str] = &[
    "html", "head", "body", "script", "iframe", "h1", "div", "font", "table", "a", "style", "title", "b", "br", "p",
    "meta", "link", "img", "form", "object", "embed",
];

/// Bytes that no text has: control characters but tab, line feed, form feed, carriage return and escape.
pub fn is_binary(byte: u8) -> bool {
    byte < 0x20 && !matches!(byte, b'\t' | b'\n' | 0x0C | b'\r' | 0x1B)
}

/// UTF-16, by its byte order mark: is it big-endian?
fn utf16(head: &[u8]) -> Option<bool> {
    match head {
        [0xFE, 0xFF, ..] => Some(true),
        [0xFF, 0xFE, ..] => Some(false),
        _ => None,
    }
}

/// Might the file be text, as far as its head shows?
pub fn looks_like_text(head: &[u8]) -> bool {
    utf16(head).is_some() || !head.iter().copied().any(is_binary)
}

/// Is it text to its last byte? One pass.
pub fn is_text(source: &dyn ByteSource, head: &[u8]) -> io::Result<bool> {
    let mut reader = BufReader::with_capacity(256 * 1024, source.reader()?);
    let Some(big) = utf16(head) else {
        loop {
            let ready = reader.fill_buf()?;
            if ready.is_empty() {
                return Ok(true);
            }
            if ready.iter().copied().any(is_binary) {
                return Ok(false);
            }
            let count = ready.len();
            reader.consume(count);
        }
    };
    let (mut pending, mut surrogate) = (None, false);
    loop {
        let ready = reader.fill_buf()?;
        if ready.is_empty() {
            return Ok(pending.is_none() && !surrogate);
        }
        for &byte in ready {
            let Some(first) = pending.take() else {
                pending = Some(byte);
                continue;
            };
            let unit = if big { u16::from_be_bytes([first, byte]) } else { u16::from_le_bytes([first, byte]) };
            let low = (0xDC00..0xE000).contains(&unit);
            if low != surrogate || u8::try_from(unit).is_ok_and(is_binary) {
                return Ok(false);
            }
            surrogate = (0xD800..0xDC00).contains(&unit);
        }
        let count = ready.len();
        reader.consume(count);
    }
}

/// The markup, or other format made of text, that the head begins with.
pub fn markup(head: &[u8]) -> Option<Format> {
    // markup is ASCII: of UTF-16 the other halves are left out
    let text: Vec<u8> = match utf16(head) {
        Some(_) => head[2..].iter().copied().filter(|byte| *byte != 0).collect(),
        None => head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).to_vec(),
    };
    if super::format::has_pdf_header(&text) {
        return Some(Format::Pdf);
    }
    let mut rest = text.trim_ascii_start();
    if rest.starts_with(b"{\\rtf") {
        return Some(Format::Rtf);
    }
    let is_xml = rest.starts_with(b"<?xml");
    let mut is_comment = false;
    while let Some(inner) = rest.strip_prefix(b"<") {
        let end = if inner.starts_with(b"?") {
            find(inner, b"?>").map(|at| at + 2)
        } else if inner.starts_with(b"!--") {
            is_comment = true;
            find(inner, b"-->").map(|at| at + 3)
        } else if has_prefix(inner, b"!doctype") {
            if has_prefix(inner[8..].trim_ascii_start(), b"html") {
                return Some(Format::Html);
            }
            end_of_doctype(inner)
        } else {
            return root(inner).or(is_xml.then_some(Format::Xml)).or(is_comment.then_some(Format::Html));
        };
        let Some(end) = end else { break };
        rest = inner[end..].trim_ascii_start();
    }
    if is_xml { Some(Format::Xml) } else { is_comment.then_some(Format::Html) }
}

/// What a root element makes of the file.
fn root(tag: &[u8]) -> Option<Format> {
    let length = tag.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
    let name = String::from_utf8_lossy(&tag[..length]).to_ascii_lowercase();
    if HTML_TAGS.contains(&name.as_str()) {
        return Some(Format::Html);
    }
    (name.rsplit(':').next() == Some("svg")).then_some(Format::Svg)
}

/// Behind the declaration, whose internal subset may hold `>`.
fn end_of_doctype(text: &[u8]) -> Option<usize> {
    let close = text.iter().position(|byte| *byte == b'>')?;
    match text[..close].iter().position(|byte| *byte == b'[') {
        None => Some(close + 1),
        Some(open) => {
            let subset = open + find(&text[open..], b"]")?;
            Some(subset + find(&text[subset..], b">")? + 1)
        }
    }
}

/// Where `needle` is.
pub fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// Does it begin so, in whatever case?
pub fn has_prefix(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}
