//! Streams out of the store in S3: ranges asked for one after another, passed on in chunks, never more than was taken.
//!
//! A range each, so that a slow client holds no request of hours, and every one of them has retries of its own. Not
//! here: the hash that is compared (`app/`, by the tap).

use std::{collections::VecDeque, io, ops::Range, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::{Error, GetOptions, GetRange, ObjectStore as _, aws::AmazonS3, path::Path};

use super::{
    broken, failed, is_not_there,
    place::{ASKING, within},
};
use crate::{
    domain::BlobKey,
    ports::{BlobError, BlobStream, Tap},
};

/// Bytes of a chunk.
const CHUNK: usize = 256 << 10;
/// Bytes of one request.
const WINDOW: u64 = 16 << 20;
/// How long the next bytes may take, retries included.
const NEXT_BYTES: Duration = Duration::from_secs(30);

/// Where a stream stands in its object.
struct Reader {
    store: Arc<AmazonS3>,
    object: Path,
    key: BlobKey,
    /// What was received, and what this request and all of them end with.
    at: u64,
    window_end: u64,
    end: u64,
    body: BoxStream<'static, Result<Bytes, Error>>,
    /// Received and not passed on: less than a chunk, or what came with its last byte.
    held: VecDeque<Bytes>,
    held_len: usize,
    tap: Option<Tap>,
}

/// Asks for the first range before it answers, so that what is not there is told at once.
pub(super) async fn open(
    store: Arc<AmazonS3>,
    object: Path,
    key: BlobKey,
    range: Range<u64>,
    tap: Option<Tap>,
) -> Result<BlobStream, BlobError> {
    let mut reader = Reader {
        store,
        object,
        key,
        at: range.start,
        window_end: range.start,
        end: range.end,
        body: stream::empty().boxed(),
        held: VecDeque::new(),
        held_len: 0,
        tap,
    };
    reader.ask().await?;
    Ok(stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(None) => None,
            Ok(Some(chunk)) => Some((Ok(chunk), Some(reader))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed())
}

impl Reader {
    /// The next request.
    async fn ask(&mut self) -> Result<(), BlobError> {
        let wanted = self.at..self.end.min(self.at.saturating_add(WINDOW));
        let options = GetOptions { range: Some(GetRange::Bounded(wanted.clone())), ..GetOptions::default() };
        match within(ASKING, self.store.get_opts(&self.object, options)).await? {
            // An object shorter than the range: bytes that a row names, and which will not come by trying again.
            Ok(got) if got.range != wanted => Err(BlobError::Missing(self.key)),
            Ok(got) => {
                self.window_end = wanted.end;
                self.body = got.into_stream();
                Ok(())
            }
            Err(error) if is_not_there(&error) || is_beyond_the_end(&error) => Err(BlobError::Missing(self.key)),
            Err(error) => Err(failed(error)),
        }
    }

    /// The next chunk; `None` after the last byte of the range.
    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        while self.held_len < CHUNK && self.at < self.end {
            if self.at == self.window_end {
                self.ask().await?;
            }
            let received = tokio::time::timeout(NEXT_BYTES, self.body.next()).await;
            match received.map_err(|_| broken(io::ErrorKind::TimedOut, "the store fell silent"))? {
                Some(Ok(bytes)) => {
                    self.at += bytes.len() as u64;
                    self.held_len += bytes.len();
                    self.held.push_back(bytes);
                }
                Some(Err(error)) => return Err(failed(error)),
                None => return Err(broken(io::ErrorKind::UnexpectedEof, "the store's answer ended early")),
            }
            if self.at > self.window_end {
                return Err(broken(io::ErrorKind::InvalidData, "the store sent more than was asked for"));
            }
        }
        let chunk = self.take();
        if let (Some(chunk), Some(tap)) = (&chunk, &mut self.tap) {
            tap(chunk);
        }
        Ok(chunk)
    }

    /// A chunk of what is held: cut out where one piece has it all, else put together.
    fn take(&mut self) -> Option<Bytes> {
        let len = self.held_len.min(CHUNK);
        let first = self.held.front_mut().filter(|_| len > 0)?;
        self.held_len -= len;
        if first.len() > len {
            return Some(first.split_to(len));
        }
        if first.len() == len {
            return self.held.pop_front();
        }
        let mut chunk = BytesMut::with_capacity(len);
        while chunk.len() < len {
            let piece = self.held.front_mut()?;
            chunk.extend_from_slice(&piece.split_to(piece.len().min(len - chunk.len())));
            if piece.is_empty() {
                self.held.pop_front();
            }
        }
        Some(chunk.freeze())
    }
}

/// The store's word for a range that begins where the object has ended.
fn is_beyond_the_end(error: &Error) -> bool {
    error.to_string().contains("InvalidRange")
}
