//! Finds a ZIP's directory from the end of a file, as unzippers do, and reads the names in it.
//!
//! This is how an archive behind other bytes is found (a GIF that is a JAR too) and office files are told from ZIP.
//! Not here: judging the archive ([`super::judge`]).

use std::io::{self, BufReader, Read, SeekFrom};

use super::records::{CENTRAL, END, END64, LOCAL, LOCATOR64};
use crate::{domain::media_type::Format, ports::ReadSeek};

/// An end record and the longest comment.
const SEARCHED: u64 = 22 + 65_535;
/// A 64-bit end record with its locator.
const WIDE: u64 = 56 + 20;
/// Entries looked at to tell office files; their own parts come first.
const NAMES_READ: u32 = 4_096;

/// An archive found from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// Where its first member begins in the file.
    pub start: u64,
    /// What its own offsets say `start` is.
    pub origin: u64,
    /// Where its directory begins in the file.
    directory: u64,
    /// Is nothing behind its end record and comment?
    pub ends_file: bool,
}

/// The last archive whose end record lies in the last 64 KiB, whose directory lies right before that, and whose
/// first entry points to a member. An empty archive is none.
pub fn locate(reader: &mut dyn ReadSeek, size: u64) -> io::Result<Option<Located>> {
    let from = size.saturating_sub(SEARCHED);
    let mut tail = Vec::new();
    reader.seek(SeekFrom::Start(from))?;
    Read::take(&mut *reader, SEARCHED).read_to_end(&mut tail)?;
    let ends = (0..tail.len().saturating_sub(21)).rev().filter(|&at| tail[at..].starts_with(END));
    for at in ends {
        let comment = usize::from(u16::from_le_bytes([tail[at + 20], tail[at + 21]]));
        let ends_file = at + 22 + comment == tail.len();
        if let Some(located) = check(reader, from + at as u64, &tail[at..at + 22], ends_file)? {
            return Ok(Some(located));
        }
    }
    Ok(None)
}

fn check(reader: &mut dyn ReadSeek, end: u64, record: &[u8], ends_file: bool) -> io::Result<Option<Located>> {
    let le32 = |at: usize| u64::from(u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]));
    let (mut end, mut length) = (end, le32(12));
    if let Some(wide) = end.checked_sub(WIDE)
        && let Some(bytes) = read_at::<{ WIDE as usize }>(reader, wide)?
        && bytes.starts_with(END64)
        && bytes[56..].starts_with(LOCATOR64)
    {
        end = wide;
        length = u64::from_le_bytes(*bytes[40..].first_chunk().expect("76 bytes were read"));
    }
    let Some(directory) = end.checked_sub(length) else { return Ok(None) };
    let Some(entry) = read_at::<46>(reader, directory)? else { return Ok(None) };
    if !entry.starts_with(CENTRAL) {
        return Ok(None);
    }
    // its offsets count from the file's first byte, or from its own
    let origin = u64::from(u32::from_le_bytes(*entry[42..].first_chunk().expect("46 bytes were read")));
    let prelude = directory.saturating_sub(le32(16));
    for shift in [prelude, 0] {
        let start = origin.saturating_add(shift);
        if start < directory && read_at::<4>(reader, start)?.is_some_and(|bytes| bytes == LOCAL) {
            return Ok(Some(Located { start, origin, directory, ends_file }));
        }
    }
    Ok(None)
}

fn read_at<const N: usize>(reader: &mut dyn ReadSeek, at: u64) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    reader.seek(SeekFrom::Start(at))?;
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Which ZIP container it is, by the names of its members; the type of an OpenDocument stands in its first bytes.
pub fn kind(reader: &mut dyn ReadSeek, head: &[u8], located: Option<&Located>) -> io::Result<Format> {
    const OPEN_DOCUMENT: [(&[u8], Format); 3] =
        [(b"text", Format::Odt), (b"spreadsheet", Format::Ods), (b"presentation", Format::Odp)];
    if let Some(kind) =
        head.get(30..).and_then(|name| name.strip_prefix(b"mimetypeapplication/vnd.oasis.opendocument."))
        && let Some((_, format)) = OPEN_DOCUMENT.iter().find(|(name, _)| kind.starts_with(name))
    {
        return Ok(*format);
    }
    let Some(located) = located else { return Ok(Format::Zip) };
    reader.seek(SeekFrom::Start(located.directory))?;
    let mut reader = BufReader::new(reader);
    let (mut types, mut part, mut fixed) = (false, None, [0; 46]);
    for _ in 0..NAMES_READ {
        if reader.read_exact(&mut fixed).is_err() || !fixed.starts_with(CENTRAL) {
            break;
        }
        let length = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
        let mut name = vec![0; usize::from(length(28))];
        if reader.read_exact(&mut name).is_err() {
            break;
        }
        match name.as_slice() {
            b"[Content_Types].xml" => types = true,
            b"META-INF/MANIFEST.MF" | b"AndroidManifest.xml" => return Ok(Format::Jar),
            name if name.starts_with(b"word/") => part = part.or(Some(Format::Docx)),
            name if name.starts_with(b"xl/") => part = part.or(Some(Format::Xlsx)),
            name if name.starts_with(b"ppt/") => part = part.or(Some(Format::Pptx)),
            _ => {}
        }
        if let (true, Some(format)) = (types, part) {
            return Ok(format);
        }
        reader.seek_relative(i64::from(length(30)) + i64::from(length(32)))?;
    }
    Ok(Format::Zip)
}
