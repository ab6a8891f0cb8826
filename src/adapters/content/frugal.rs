//! A reader for libraries that parse hostile headers: seeks cost nothing until bytes are read, and the number of
//! reads is limited, so no chain of tiny boxes can make a parser walk a gigabyte.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use crate::ports::{ByteSource, ReadSeek};

const BUFFER: usize = 16 * 1024;
/// Most reads: 32 MiB in all.
const READS: u32 = 2_048;

/// Buffered, lazy and limited; past the limit every read is an error.
pub struct Frugal {
    inner: Box<dyn ReadSeek>,
    size: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    position: u64,
    reads: u32,
    failure: Option<io::Error>,
}

impl Frugal {
    /// A reader at the start of the source.
    pub fn new(source: &dyn ByteSource) -> io::Result<Self> {
        let (inner, size) = (source.reader()?, source.size());
        Ok(Self { inner, size, buffer: Vec::new(), buffer_at: 0, position: 0, reads: 0, failure: None })
    }

    /// The source's own failure, if it had one: libraries mix it with their verdicts.
    ///
    /// # Errors
    /// That failure.
    pub fn finish(self) -> io::Result<()> {
        self.failure.map_or(Ok(()), Err)
    }

    fn refill(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.buffer_at = self.position;
        self.inner.seek(SeekFrom::Start(self.position))?;
        self.inner.by_ref().take(BUFFER as u64).read_to_end(&mut self.buffer)?;
        Ok(())
    }
}

impl BufRead for Frugal {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let end = self.buffer_at + self.buffer.len() as u64;
        if (self.position < self.buffer_at || self.position >= end) && self.position < self.size {
            self.reads += 1;
            if self.reads > READS {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "too many reads for a header"));
            }
            if let Err(error) = self.refill() {
                let kind = error.kind();
                self.failure = Some(error);
                return Err(kind.into());
            }
        }
        let from = self.position.saturating_sub(self.buffer_at);
        Ok(usize::try_from(from).ok().and_then(|from| self.buffer.get(from..)).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.position += count as u64;
    }
}

impl Read for Frugal {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl Seek for Frugal {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
