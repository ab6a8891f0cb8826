//! Streams out of the store: batches of chunks, read off the async threads, one batch ahead.
//!
//! No thread is held while a client is slow: a batch is one hop, and the next starts when this one is being taken.
//! Not here: where the file lies (`layout.rs`), the hash that is compared (`app/`, by the tap).

use std::{collections::VecDeque, fs::File, io, ops::Range, path::Path};

use bytes::Bytes;
use futures_util::stream;
use rustix::{
    buffer::spare_capacity,
    fs::{Advice, OFlags, fadvise},
    io::{Errno, pread},
};
use tokio::task::JoinHandle;

use super::{disk::off_thread, layout::open_no_follow};
use crate::{
    domain::BlobKey,
    ports::{BlobError, BlobStream, Tap},
};

/// Bytes of a chunk.
const CHUNK: u64 = 256 << 10;

/// Bytes of a batch. One is being taken and one is read ahead: the memory of a stream is twice this.
pub(super) const BATCH: u64 = 1 << 20;

/// Where a stream stands in its file.
struct Reader {
    file: File,
    key: BlobKey,
    at: u64,
    end: u64,
    tap: Option<Tap>,
}

/// The outcome of one hop: what was read, and the reader if there is more.
struct Batch {
    chunks: VecDeque<Result<Bytes, BlobError>>,
    reader: Option<Reader>,
}

/// Opens and reads the first batch in one hop: a small file needs no other.
pub(super) async fn open(
    path: impl AsRef<Path> + Send + 'static,
    key: BlobKey,
    range: Range<u64>,
    tap: Option<Tap>,
) -> Result<BlobStream, BlobError> {
    let first = off_thread(move || {
        let file = open_no_follow(path.as_ref(), OFlags::empty()).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => BlobError::Missing(key),
            _ => BlobError::Unavailable(e),
        })?;
        if range.end.saturating_sub(range.start) > BATCH {
            // Only advice: a file system without it reads all the same.
            let _ = fadvise(&file, range.start, None, Advice::Sequential);
        }
        Ok(Reader { file, key, at: range.start, end: range.end, tap }.batch())
    })
    .await?;
    let state = (first.chunks, Next::of(first.reader));
    Ok(Box::pin(stream::unfold(state, |(mut chunks, next)| async move {
        // Taking from one batch starts the reading of the next.
        let mut next = next.started();
        if chunks.is_empty()
            && let Next::Runs(task) = next
        {
            let batch = task.await.unwrap_or_else(|e| Batch::failed(io::Error::other(e)));
            (chunks, next) = (batch.chunks, Next::of(batch.reader));
        }
        Some((chunks.pop_front()?, (chunks, next)))
    })))
}

/// The batch after this one.
enum Next {
    Waits(Reader),
    Runs(JoinHandle<Batch>),
    None,
}

impl Next {
    fn of(reader: Option<Reader>) -> Self {
        reader.map_or(Next::None, Next::Waits)
    }

    fn started(self) -> Self {
        match self {
            Next::Waits(reader) => Next::Runs(tokio::task::spawn_blocking(|| reader.batch())),
            other => other,
        }
    }
}

impl Batch {
    fn failed(e: io::Error) -> Self {
        Self { chunks: VecDeque::from([Err(BlobError::Unavailable(e))]), reader: None }
    }
}

impl Reader {
    /// Reads up to a batch. Blocks. An error takes the place of the chunk that it broke, and ends the stream.
    fn batch(mut self) -> Batch {
        let mut chunks = VecDeque::new();
        let last = self.end.min(self.at.saturating_add(BATCH));
        while self.at < last {
            match self.chunk((last - self.at).min(CHUNK)) {
                Ok(chunk) => chunks.push_back(Ok(chunk)),
                Err(e) => {
                    // Bytes that a row names and the file has not will not come back by trying again.
                    let ended = e.kind() == io::ErrorKind::UnexpectedEof;
                    chunks.push_back(Err(if ended { BlobError::Missing(self.key) } else { BlobError::Unavailable(e) }));
                    return Batch { chunks, reader: None };
                }
            }
        }
        let reader = (self.at < self.end).then_some(self);
        Batch { chunks, reader }
    }

    /// Reads exactly `len` bytes, into memory that nobody has cleared before.
    fn chunk(&mut self, len: u64) -> io::Result<Bytes> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut chunk = Vec::with_capacity(len);
        while chunk.len() < len {
            match pread(&self.file, spare_capacity(&mut chunk), self.at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.at += read as u64,
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        if let Some(tap) = &mut self.tap {
            tap(&chunk);
        }
        Ok(chunk.into())
    }
}
