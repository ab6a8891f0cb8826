//! Judges ZIP containers before the scanner does: what they unpack to, how deep, encrypted or not, and whether every
//! reader sees the same members. Nothing is kept: members are inflated into a counter.
//!
//! One forward pass, in constant memory, from the first local header to the end record. A member that is itself a
//! ZIP is judged in the same pass while it inflates, so nesting needs no second copy of its bytes. The members met
//! are compared with the directory as a set; since they lie end to end, overlapping and hidden ones cannot agree.
//! Not seen: archives of other kinds, and a ZIP behind other bytes *inside* a member (both are the scanner's).
//! Layouts of records are in `records`; finding a directory from the end of a file is in `locate`.

pub mod locate;
mod records;
mod stream;

use std::{
    cell::Cell,
    fmt,
    hash::{BuildHasher, RandomState},
    io::{self, BufRead, Read, SeekFrom},
};

use flate2::Crc;

use self::{
    records::{Directory, Entry, LocalHeader},
    stream::{Inflater, Stored, Stream},
};
use crate::{
    domain::media_type::{ArchiveLimits, ArchiveTrouble},
    ports::ByteSource,
};

const METHOD_STORED: u16 = 0;
const METHOD_DEFLATE: u16 = 8;
const METHOD_AES: u16 = 99;
/// Buffer of the file itself.
const FILE_BUFFER: usize = 256 * 1024;
/// Buffer of each level of nesting.
const MEMBER_BUFFER: usize = 32 * 1024;

/// Why the walk ended early.
#[derive(Debug)]
enum Stop {
    Trouble(ArchiveTrouble),
    Io(io::Error),
}

/// Carries a trouble through `std::io::Read`.
#[derive(Debug)]
struct Carried(ArchiveTrouble);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.cause())
    }
}

impl std::error::Error for Carried {}

impl From<ArchiveTrouble> for Stop {
    fn from(trouble: ArchiveTrouble) -> Self {
        Self::Trouble(trouble)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if let Some(Carried(trouble)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            return Self::Trouble(*trouble);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Self::Trouble(ArchiveTrouble::Malformed),
            _ => Self::Io(error),
        }
    }
}

/// Do these bytes begin a ZIP container?
pub fn is_archive(head: &[u8]) -> bool {
    head.get(..4).is_some_and(records::begins_archive)
}

/// Judges the archive whose first local header lies at `start`; its own offsets count from `start - origin`.
///
/// # Errors
/// Only those of reading `source`; everything about its content is an answer.
pub fn judge(
    source: &dyn ByteSource,
    start: u64,
    origin: u64,
    limits: ArchiveLimits,
) -> io::Result<Option<ArchiveTrouble>> {
    let mut reader = source.reader()?;
    reader.seek(SeekFrom::Start(start))?;
    let tally = Tally { limits, members: Cell::new(0), unpacked: Cell::new(0), keys: Default::default() };
    let mut stream = Stream::new(&mut reader, FILE_BUFFER, origin);
    match walk(&mut stream, 1, &tally) {
        Ok(()) => Ok(None),
        Err(Stop::Trouble(trouble)) => Ok(Some(trouble)),
        Err(Stop::Io(error)) => Err(error),
    }
}

/// What all depths together have used of the limits.
struct Tally {
    limits: ArchiveLimits,
    members: Cell<u32>,
    unpacked: Cell<u64>,
    /// Random per judgement, so that no archive can be made whose two sets only seem equal.
    keys: [RandomState; 2],
}

impl Tally {
    fn count_member(&self) -> Result<(), ArchiveTrouble> {
        self.members.set(self.members.get().saturating_add(1));
        if self.members.get() > self.limits.max_members { Err(ArchiveTrouble::TooManyMembers) } else { Ok(()) }
    }

    fn count_bytes(&self, more: u64, member: u64) -> Result<(), ArchiveTrouble> {
        self.unpacked.set(self.unpacked.get().saturating_add(more));
        if member > self.limits.max_member_bytes {
            Err(ArchiveTrouble::MemberTooLarge)
        } else if self.unpacked.get() > self.limits.max_unpacked_bytes {
            Err(ArchiveTrouble::UnpacksTooLarge)
        } else {
            Ok(())
        }
    }
}

/// A multiset of entries in constant memory: sums of keyed hashes, so the order does not matter.
#[derive(Default, PartialEq, Eq)]
struct EntrySet {
    count: u64,
    sums: [u64; 2],
}

impl EntrySet {
    fn add(&mut self, entry: &Entry, keys: &[RandomState; 2]) {
        self.count += 1;
        for (sum, key) in self.sums.iter_mut().zip(keys) {
            *sum = sum.wrapping_add(key.hash_one(entry));
        }
    }
}

/// One archive, from its first signature to the end of the stream.
fn walk(stream: &mut Stream<'_>, depth: u32, tally: &Tally) -> Result<(), Stop> {
    if depth > tally.limits.max_depth {
        return Err(ArchiveTrouble::TooDeep.into());
    }
    let mut met = EntrySet::default();
    while stream.peek(4)? == records::LOCAL {
        met.add(&member(stream, depth, tally)?, &tally.keys);
    }
    let mut listed = EntrySet::default();
    let mut directory = Directory::at(stream.position());
    while let Some(entry) = directory.next_entry(stream)? {
        listed.add(&entry, &tally.keys);
    }
    directory.read_end(stream, listed.count)?;
    if met != listed || !stream.peek(1)?.is_empty() {
        return Err(ArchiveTrouble::Malformed.into());
    }
    Ok(())
}

/// One member with its local header and descriptor; answers what the directory must say of it.
fn member(stream: &mut Stream<'_>, depth: u32, tally: &Tally) -> Result<Entry, Stop> {
    let offset = stream.position();
    let header = LocalHeader::read(stream)?;
    tally.count_member()?;
    if header.is_encrypted() || header.method == METHOD_AES {
        return Err(ArchiveTrouble::Encrypted.into());
    }
    if depth >= tally.limits.max_depth {
        return Err(ArchiveTrouble::TooDeep.into());
    }
    let begin = stream.position();
    let content = match (header.method, header.is_streamed()) {
        (METHOD_STORED, false) => bounded(stream, header.packed, |part| content(part, depth, tally))?,
        (METHOD_DEFLATE, false) if header.packed == 0 => Content::EMPTY,
        (METHOD_DEFLATE, false) => {
            bounded(stream, header.packed, |part| content(&mut Inflater::new(part), depth, tally))?
        }
        (METHOD_STORED, true) => content(&mut Stored::new(stream), depth, tally)?,
        (METHOD_DEFLATE, true) => content(&mut Inflater::new(stream), depth, tally)?,
        _ => return Err(ArchiveTrouble::UnreadableMethod.into()),
    };
    let packed = stream.position() - begin;
    if header.is_streamed() {
        records::read_descriptor(stream, content.crc, packed, content.size)?;
    } else if content.size != header.unpacked || content.crc != header.crc {
        return Err(ArchiveTrouble::Malformed.into());
    }
    Ok(Entry { offset, method: header.method, crc: content.crc, packed, unpacked: content.size, name: header.name })
}

/// Hands out exactly `length` bytes of the stream, and insists that all of them were used.
fn bounded<T>(
    stream: &mut Stream<'_>,
    length: u64,
    work: impl FnOnce(&mut io::Take<&mut Stream<'_>>) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let mut part = stream.by_ref().take(length);
    let done = work(&mut part)?;
    if part.limit() == 0 { Ok(done) } else { Err(ArchiveTrouble::Malformed.into()) }
}

/// What a member unpacked to.
struct Content {
    size: u64,
    crc: u32,
}

impl Content {
    const EMPTY: Self = Self { size: 0, crc: 0 };
}

/// Unpacks a member into the counter, and judges it on the way if it is an archive itself.
fn content(unpacked: &mut dyn Read, depth: u32, tally: &Tally) -> Result<Content, Stop> {
    let mut metered = Metered { unpacked, tally, size: 0, crc: Crc::new() };
    let mut stream = Stream::new(&mut metered, MEMBER_BUFFER, 0);
    if records::begins_archive(stream.peek(4)?) {
        walk(&mut stream, depth + 1, tally)?;
    }
    loop {
        let ready = stream.fill_buf()?.len();
        if ready == 0 {
            break;
        }
        stream.consume(ready);
    }
    Ok(Content { size: metered.size, crc: metered.crc.sum() })
}

/// Counts and sums what passes, and stops it at the limits.
struct Metered<'a> {
    unpacked: &'a mut dyn Read,
    tally: &'a Tally,
    size: u64,
    crc: Crc,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let more = self.unpacked.read(buffer)?;
        self.crc.update(&buffer[..more]);
        self.size += more as u64;
        self.tally.count_bytes(more as u64, self.size).map_err(|trouble| io::Error::other(Carried(trouble)))?;
        Ok(more)
    }
}

#[cfg(test)]
mod tests;
