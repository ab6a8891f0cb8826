//! The records of a ZIP, read from a stream: local header, descriptor, directory, end, each with its ZIP64 form.
//!
//! Not here: what members hold. Any field that contradicts what was met on the way is `InvalidData`.

use std::io::{self, Read};

use super::stream::Stream;

/// Begins a member.
pub const LOCAL: &[u8] = b"PK\x03\x04";
/// May begin a descriptor.
pub const DESCRIPTOR: &[u8] = b"PK\x07\x08";
/// Begins an entry of the directory.
pub const CENTRAL: &[u8] = b"PK\x01\x02";
/// Begins the signature of a directory.
const SIGNATURE: &[u8] = b"PK\x05\x05";
/// Begins the 64-bit end record.
pub const END64: &[u8] = b"PK\x06\x06";
/// Points to the 64-bit end record.
pub const LOCATOR64: &[u8] = b"PK\x06\x07";
/// Begins the end record.
pub const END: &[u8] = b"PK\x05\x06";
/// Fewest and most bytes of a descriptor with its signature.
pub const DESCRIPTOR_LEAST: usize = 16;
/// See [`DESCRIPTOR_LEAST`].
pub const DESCRIPTOR_MOST: usize = 24;

/// Traditional, strong, or with a masked directory.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
const STREAMED: u16 = 1 << 3;
const ZIP64: u16 = 1;
/// This 32-bit field stands in its 64-bit form elsewhere.
const ELSEWHERE: u32 = u32::MAX;

fn contradiction() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn insist(holds: bool) -> io::Result<()> {
    if holds { Ok(()) } else { Err(contradiction()) }
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

/// Do these bytes begin an archive: a member, an empty archive's end, or the mark of a split one?
pub fn begins_archive(head: &[u8]) -> bool {
    head == LOCAL || head == END || head == DESCRIPTOR
}

/// What the directory says of a member, and what was met.
#[derive(Debug, Hash, PartialEq, Eq)]
pub struct Entry {
    /// Where its local header begins.
    pub offset: u64,
    /// How it is packed.
    pub method: u16,
    /// CRC-32 of the unpacked bytes.
    pub crc: u32,
    /// Bytes packed.
    pub packed: u64,
    /// Bytes unpacked.
    pub unpacked: u64,
    /// The name, as bytes.
    pub name: Vec<u8>,
}

/// The header in front of a member.
pub struct LocalHeader {
    flags: u16,
    /// How it is packed.
    pub method: u16,
    /// CRC-32 of the unpacked bytes; not to be used if streamed.
    pub crc: u32,
    /// Bytes packed; not to be used if streamed.
    pub packed: u64,
    /// Bytes unpacked; not to be used if streamed.
    pub unpacked: u64,
    /// The name, as bytes.
    pub name: Vec<u8>,
}

impl LocalHeader {
    /// Reads one, signature included.
    pub fn read(stream: &mut Stream<'_>) -> io::Result<Self> {
        let fixed: [u8; 30] = stream.array()?;
        let name = bytes(stream, le16(&fixed, 26))?;
        let extra = bytes(stream, le16(&fixed, 28))?;
        let mut wide = Wide::of(&extra);
        let unpacked = wide.widen(le32(&fixed, 22))?;
        let packed = wide.widen(le32(&fixed, 18))?;
        Ok(Self { flags: le16(&fixed, 6), method: le16(&fixed, 8), crc: le32(&fixed, 14), packed, unpacked, name })
    }

    /// By whatever means.
    pub fn is_encrypted(&self) -> bool {
        self.flags & ENCRYPTED != 0
    }

    /// Do checksum and lengths stand behind the data?
    pub fn is_streamed(&self) -> bool {
        self.flags & STREAMED != 0
    }
}

/// The 64-bit values of an entry, in the order in which its 32-bit fields ask for them.
struct Wide<'a>(&'a [u8]);

impl<'a> Wide<'a> {
    fn of(extra: &'a [u8]) -> Self {
        let mut rest = extra;
        while rest.len() >= 4 {
            let length = usize::from(le16(rest, 2));
            let Some(field) = rest.get(4..4 + length) else { break };
            if le16(rest, 0) == ZIP64 {
                return Self(field);
            }
            rest = &rest[4 + length..];
        }
        Self(&[])
    }

    /// The value itself, or the next wide one in its place.
    fn widen(&mut self, narrow: u32) -> io::Result<u64> {
        if narrow != ELSEWHERE {
            return Ok(u64::from(narrow));
        }
        let (value, rest) = self.0.split_at_checked(8).ok_or_else(contradiction)?;
        self.0 = rest;
        Ok(le64(value, 0))
    }
}

fn bytes(stream: &mut Stream<'_>, count: u16) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(count)];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Do the bytes hold a descriptor, with its signature, of data with this checksum, stored in this many bytes?
pub fn is_descriptor(ahead: &[u8], crc: u32, size: u64) -> bool {
    ahead.len() >= DESCRIPTOR_LEAST
        && ahead.starts_with(DESCRIPTOR)
        && le32(ahead, 4) == crc
        && (u64::from(le32(ahead, 8)) == size && u64::from(le32(ahead, 12)) == size
            || ahead.len() >= DESCRIPTOR_MOST && le64(ahead, 8) == size && le64(ahead, 16) == size)
}

/// Reads the descriptor behind a member: with or without signature, narrow or wide, as writers differ.
pub fn read_descriptor(stream: &mut Stream<'_>, crc: u32, packed: u64, unpacked: u64) -> io::Result<()> {
    let narrow = u32::try_from(packed).ok().zip(u32::try_from(unpacked).ok());
    let ahead = stream.peek(DESCRIPTOR_MOST + 4)?;
    for skipped in [4, 0] {
        let signed = skipped == 0 || ahead.starts_with(DESCRIPTOR);
        let Some(body) = ahead.get(skipped..).filter(|body| signed && body.len() >= 12) else { continue };
        if le32(body, 0) != crc {
            continue;
        }
        // the wide form first: read as a narrow one it would leave zeros before the next signature
        if body.len() >= 20 && le64(body, 4) == packed && le64(body, 12) == unpacked {
            return stream.skip(skipped as u64 + 20);
        }
        if narrow == Some((le32(body, 4), le32(body, 8))) {
            return stream.skip(skipped as u64 + 12);
        }
    }
    Err(contradiction())
}

/// The directory and what ends it.
pub struct Directory {
    offset: u64,
    size: u64,
}

impl Directory {
    /// One that begins here.
    pub fn at(offset: u64) -> Self {
        Self { offset, size: 0 }
    }

    /// The next entry; `None` behind the last.
    pub fn next_entry(&mut self, stream: &mut Stream<'_>) -> io::Result<Option<Entry>> {
        if stream.peek(4)? != CENTRAL {
            self.size = stream.position() - self.offset;
            return Ok(None);
        }
        let fixed: [u8; 46] = stream.array()?;
        let name = bytes(stream, le16(&fixed, 28))?;
        let extra = bytes(stream, le16(&fixed, 30))?;
        stream.skip(u64::from(le16(&fixed, 32)))?;
        let mut wide = Wide::of(&extra);
        let unpacked = wide.widen(le32(&fixed, 24))?;
        let packed = wide.widen(le32(&fixed, 20))?;
        let offset = wide.widen(le32(&fixed, 42))?;
        insist(le16(&fixed, 8) & ENCRYPTED == 0 && le16(&fixed, 34) == 0)?;
        Ok(Some(Entry { offset, method: le16(&fixed, 10), crc: le32(&fixed, 16), packed, unpacked, name }))
    }

    /// Reads everything behind the entries, of which there were `count`, up to and including the comment.
    pub fn read_end(&self, stream: &mut Stream<'_>, count: u64) -> io::Result<()> {
        if stream.peek(4)? == SIGNATURE {
            let fixed: [u8; 6] = stream.array()?;
            stream.skip(u64::from(le16(&fixed, 4)))?;
        }
        let wide = stream.peek(4)? == END64;
        if wide {
            let position = stream.position();
            let fixed: [u8; 56] = stream.array()?;
            stream.skip(le64(&fixed, 4).checked_sub(44).ok_or_else(contradiction)?)?;
            insist([24, 32].iter().all(|&at| le64(&fixed, at) == count))?;
            insist(le64(&fixed, 40) == self.size && le64(&fixed, 48) == self.offset)?;
            let locator: [u8; 20] = stream.array()?;
            insist(locator.starts_with(LOCATOR64) && le64(&locator, 8) == position)?;
        }
        let fixed: [u8; 22] = stream.array()?;
        insist(fixed.starts_with(END) && (le32(&fixed, 4) == 0 || wide))?;
        let narrow = |found: u64, said: u64, elsewhere: u64| found == said || wide && said == elsewhere;
        insist([8, 10].iter().all(|&at| narrow(count, u64::from(le16(&fixed, at)), u64::from(u16::MAX))))?;
        insist(narrow(self.size, u64::from(le32(&fixed, 12)), u64::from(ELSEWHERE)))?;
        insist(narrow(self.offset, u64::from(le32(&fixed, 16)), u64::from(ELSEWHERE)))?;
        stream.skip(u64::from(le16(&fixed, 20)))
    }
}
