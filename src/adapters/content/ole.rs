//! OLE compound files: told apart by the names of their streams, as the class id of the root is often missing.
//!
//! Not here: what each format may be named (`domain/media_type/rules.rs`).

use std::io::{self, BufRead, Seek, SeekFrom};

use super::frugal::Frugal;
use crate::{domain::media_type::Format, ports::ByteSource};

/// The first bytes of every compound file.
pub const MAGIC: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";
/// Directory sectors read: the streams that tell the kind are among the first entries.
const SECTORS: usize = 64;
/// Streams and what they make of the file.
const STREAMS: &[(&str, Format)] = &[
    ("WordDocument", Format::OleDoc),
    ("Workbook", Format::OleXls),
    ("Book", Format::OleXls),
    ("PowerPoint Document", Format::OlePpt),
    ("EncryptedPackage", Format::OleEncrypted),
];

/// Which compound file it is; `Ole` if none of the known streams is in its directory.
pub fn kind(source: &dyn ByteSource) -> io::Result<Format> {
    let mut reader = Frugal::new(source)?;
    // a directory that cannot be read is one without known streams
    let format = read_kind(&mut reader).unwrap_or(Format::Ole);
    reader.finish()?;
    Ok(format)
}

fn read_kind<R: BufRead + Seek>(reader: &mut R) -> io::Result<Format> {
    let mut header = [0; 512];
    reader.read_exact(&mut header)?;
    let le32 = |bytes: &[u8], at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let size: u64 = if header[30] == 12 { 4096 } else { 512 };
    let mut sector = le32(&header, 48);
    for _ in 0..SECTORS {
        reader.seek(SeekFrom::Start((u64::from(sector) + 1) * size))?;
        for _ in 0..size / 128 {
            let mut entry = [0; 128];
            reader.read_exact(&mut entry)?;
            let length = usize::from(u16::from_le_bytes([entry[64], entry[65]])).clamp(2, 64);
            let name = entry[..length - 2].chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
            let name: String = char::decode_utf16(name).filter_map(Result::ok).collect();
            if let Some((_, format)) = STREAMS.iter().find(|(stream, _)| *stream == name) {
                return Ok(*format);
            }
        }
        // the next sector stands in the allocation table, whose first 109 sectors the header names
        let table = u64::from(sector) / (size / 4);
        let Some(at) = usize::try_from(table).ok().filter(|at| *at < 109) else { break };
        let place = (u64::from(le32(&header, 76 + 4 * at)) + 1) * size + u64::from(sector) % (size / 4) * 4;
        reader.seek(SeekFrom::Start(place))?;
        let mut next = [0; 4];
        reader.read_exact(&mut next)?;
        sector = u32::from_le_bytes(next);
        if sector >= 0xFFFF_FFF0 {
            break;
        }
    }
    Ok(Format::Ole)
}
