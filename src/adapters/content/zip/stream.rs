//! A buffered stream that can look ahead, and the two ways a member's bytes come out of it: inflated or as stored.
//!
//! Not here: limits and records. Every type reads no further than it must, so that what follows is still there.

use std::io::{self, BufRead, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::records;

/// Reads forward, counts, and looks ahead.
pub struct Stream<'a> {
    inner: &'a mut dyn Read,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    position: u64,
}

impl<'a> Stream<'a> {
    /// A stream that counts its position from `origin`; `capacity` is the most that can be looked ahead.
    pub fn new(inner: &'a mut dyn Read, capacity: usize, origin: u64) -> Self {
        Self { inner, buffer: vec![0; capacity], start: 0, end: 0, position: origin }
    }

    /// Bytes consumed so far, plus the origin.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next `count` bytes, fewer only at the end.
    pub fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        self.fill(count)?;
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }

    /// The next `N` bytes, consumed.
    pub fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Consumes `count` bytes unseen.
    pub fn skip(&mut self, count: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.by_ref().take(count), &mut io::sink())?;
        if skipped == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Everything in the buffer, at least `count` bytes unless the end is near.
    fn fill(&mut self, count: usize) -> io::Result<()> {
        if self.end - self.start >= count {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < count {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(more) => self.end += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Stream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill(1)?;
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.position += count as u64;
    }
}

/// Inflates one deflate stream and stops at its end. An end of the source before that is an error: flate2's own
/// reader would take it for the end of the data.
pub struct Inflater<'a> {
    source: &'a mut dyn BufRead,
    state: Decompress,
    ended: bool,
}

impl<'a> Inflater<'a> {
    /// Raw deflate, as in ZIP.
    pub fn new(source: &'a mut dyn BufRead) -> Self {
        Self { source, state: Decompress::new(false), ended: false }
    }
}

impl Read for Inflater<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !buffer.is_empty() {
            let input = self.source.fill_buf()?;
            let at_end = input.is_empty();
            let (taken, given) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(input, buffer, FlushDecompress::None)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let taken = usize::try_from(self.state.total_in() - taken).map_err(io::Error::other)?;
            let given = usize::try_from(self.state.total_out() - given).map_err(io::Error::other)?;
            self.source.consume(taken);
            self.ended = status == Status::StreamEnd;
            if given > 0 {
                return Ok(given);
            }
            if at_end && !self.ended {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if taken == 0 && !self.ended {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(0)
    }
}

/// A stored member whose length stands behind it: it ends where a descriptor with its own checksum and length
/// follows. Should the data itself hold such a descriptor, the directory will disagree.
pub struct Stored<'a, 'b> {
    stream: &'a mut Stream<'b>,
    crc: Crc,
    size: u64,
}

impl<'a, 'b> Stored<'a, 'b> {
    /// From the first byte of the data on.
    pub fn new(stream: &'a mut Stream<'b>) -> Self {
        Self { stream, crc: Crc::new(), size: 0 }
    }
}

impl Read for Stored<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.fill(records::DESCRIPTOR_MOST)?;
        let ready = &self.stream.buffer[self.stream.start..self.stream.end];
        if records::is_descriptor(ready, self.crc.sum(), self.size) || buffer.is_empty() {
            return Ok(0);
        }
        if ready.len() < records::DESCRIPTOR_LEAST {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // up to the next signature, or to where one might begin
        let rest = &ready[1..];
        let next = rest.windows(4).position(|window| window == records::DESCRIPTOR).unwrap_or(rest.len() - 3);
        let count = (1 + next).min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.crc.update(&buffer[..count]);
        self.size += count as u64;
        self.stream.consume(count);
        Ok(count)
    }
}
