//! The port to the reading of content: bytes that can be read again, and what a look at them shows.
//!
//! Not here: whether what was seen is acceptable (`domain/media_type.rs`, `domain/admission.rs`). Implemented by
//! `adapters/content/`, which extracts and decodes nothing.

use std::io::{self, Cursor, Read, Seek};

use bytes::Bytes;

use crate::domain::media_type::{ArchiveLimits, Observed};

/// A reader that can go back.
pub trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// Bytes that can be read from the start as often as needed. Reading blocks: off the async threads only.
pub trait ByteSource: Send + Sync + 'static {
    /// How many bytes.
    fn size(&self) -> u64;
    /// A new, unbuffered reader at the start.
    fn reader(&self) -> io::Result<Box<dyn ReadSeek>>;
}

impl ByteSource for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn reader(&self) -> io::Result<Box<dyn ReadSeek>> {
        Ok(Box::new(Cursor::new(self.clone())))
    }
}

/// Looks at bytes and tells what they are.
pub trait ContentInspector: Send + Sync + 'static {
    /// Blocking. `limits` bound the look into archives; `None` leaves archives closed (no scan is due). The time it
    /// takes is bounded by the limits, the memory is constant.
    fn inspect(&self, source: &dyn ByteSource, limits: Option<ArchiveLimits>) -> io::Result<Observed>;
}
