//! The client's messages become a typed header and a source of checked bytes that ends in an explicit commit.
//!
//! Not here: what may be uploaded (`domain/admission.rs`) and how slowly (`app/`). Errors of the protocol end here.
//! Whoever refuses an upload drains its source, so that the client gets to read why.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use prost::Message;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};

use super::{convert, drain, pb};
use crate::{
    app::{Part, UploadSource},
    domain::{Reason, Refusal, Sha256, admission::Declared},
};

/// Most bytes of one chunk.
pub const MAX_CHUNK_BYTES: usize = 1 << 20;
/// Most bytes of one message: a chunk and what is around it. Larger ones are refused before they are read.
pub const MAX_MESSAGE_BYTES: usize = MAX_CHUNK_BYTES + (64 << 10);

mod pieces;
pub use pieces::{Pieces, TakeBody};

/// What is wrong with a stream that brings no next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamFault {
    /// The message is larger than any may be.
    TooLarge,
    /// It was reset, or does not speak gRPC: over, without a commit.
    Broken,
}

impl From<Status> for StreamFault {
    fn from(status: Status) -> Self {
        // tonic's own words for a message beyond the limit that we gave it.
        if status.code() == Code::OutOfRange { Self::TooLarge } else { Self::Broken }
    }
}

/// How long the first message may take.
const FIRST_MESSAGE: Duration = Duration::from_secs(30);

/// One message of a client stream, told apart. Both streams of ours speak so: header, chunks, commit.
pub trait ToPiece: Message + Default + Send + 'static {
    /// What the first message carries.
    type Header: Send;
    /// The message's part; `None` for an empty one.
    fn into_piece(self) -> Option<Piece<Self::Header>>;
}

/// A part of a client stream, as it came.
#[derive(Debug)]
pub enum Piece<H> {
    /// The first message.
    Header(H),
    /// Bytes, with their CRC32C if the client computed it.
    Chunk(Bytes, Option<u32>),
    /// The end, with size and hash if declared.
    Commit(Option<i64>, Option<String>),
}

impl ToPiece for pb::UploadFileRequest {
    type Header = pb::UploadHeader;
    fn into_piece(self) -> Option<Piece<Self::Header>> {
        use pb::upload_file_request::Part as Sent;
        Some(match self.part? {
            Sent::Header(header) => Piece::Header(header),
            Sent::Chunk(pb::UploadChunk { data, crc32c }) => Piece::Chunk(data, crc32c),
            Sent::Commit(pb::UploadCommit { size_bytes, sha256 }) => Piece::Commit(size_bytes, sha256),
        })
    }
}

impl ToPiece for pb::TestAntivirusRequest {
    type Header = pb::TestAntivirusOptions;
    fn into_piece(self) -> Option<Piece<Self::Header>> {
        use pb::test_antivirus_request::Part as Sent;
        Some(match self.part? {
            Sent::Options(options) => Piece::Header(options),
            Sent::Chunk(pb::TestAntivirusChunk { data, crc32c }) => Piece::Chunk(data, crc32c),
            Sent::Commit(pb::TestAntivirusCommit { size_bytes }) => Piece::Commit(size_bytes, None),
        })
    }
}

/// The messages after the header.
pub struct UploadStream<S> {
    /// `None` once it is over or broken.
    stream: Option<S>,
    /// The commit was read, or something was wrong.
    over: bool,
}

/// Reads the header of an upload and what it declares.
///
/// # Errors
/// `BAD_STREAM` if the first message is another one; `BAD_ARGUMENT` for what it declares. What follows is then drained
/// on `tracker`.
pub async fn open_upload<S, E>(stream: S, tracker: &TaskTracker) -> Result<(Declared, UploadStream<S>), Refusal>
where
    S: Stream<Item = Result<pb::UploadFileRequest, E>> + Send + Unpin + 'static,
    E: Into<StreamFault> + Send + 'static,
{
    let (header, source) = open(stream, tracker).await?;
    match convert::declared(header) {
        Ok(declared) => Ok((declared, source)),
        Err(refusal) => {
            tracker.spawn(Box::new(source).drain());
            Err(refusal)
        }
    }
}

/// Reads the first message of any stream of this shape.
///
/// # Errors
/// `BAD_STREAM` if it is no header; `TOO_SLOW` if it does not come within 30 s. What follows is then drained on `tracker`.
pub async fn open<S, M, E>(stream: S, tracker: &TaskTracker) -> Result<(M::Header, UploadStream<S>), Refusal>
where
    S: Stream<Item = Result<M, E>> + Send + Unpin + 'static,
    M: ToPiece,
    E: Into<StreamFault> + Send + 'static,
{
    let mut source = UploadStream { stream: Some(stream), over: false };
    let first = tokio::time::timeout(FIRST_MESSAGE, source.read()).await;
    let refusal = match first.unwrap_or_else(|_| Err(Reason::TooSlow.into())) {
        Ok(Some(Piece::Header(header))) => return Ok((header, source)),
        Ok(Some(Piece::Chunk(..) | Piece::Commit(..))) => bad_stream("the first message must be the header"),
        Ok(None) => bad_stream("the stream ended without a header"),
        Err(refusal) => refusal,
    };
    tracker.spawn(Box::new(source).drain());
    Err(refusal)
}

/// `BAD_STREAM` with what is wrong.
fn bad_stream(why: &'static str) -> Refusal {
    Refusal::new(Reason::BadStream).because(why)
}

fn chunk_too_large() -> Refusal {
    bad_stream("a chunk has at most 1 MiB").with("limit_bytes", MAX_CHUNK_BYTES)
}

impl<S, M, E> UploadStream<S>
where
    S: Stream<Item = Result<M, E>> + Unpin,
    M: ToPiece,
    E: Into<StreamFault>,
{
    /// The next message; `None` when the stream is over or broken, which tonic does not always tell apart.
    async fn read(&mut self) -> Result<Option<Piece<M::Header>>, Refusal> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        match stream.next().await {
            Some(Ok(message)) => message.into_piece().map(Some).ok_or_else(|| bad_stream("a message without a part")),
            Some(Err(fault)) => {
                self.stream = None;
                match fault.into() {
                    StreamFault::TooLarge => Err(chunk_too_large()),
                    StreamFault::Broken => Ok(None),
                }
            }
            None => {
                self.stream = None;
                Ok(None)
            }
        }
    }

    fn part(&mut self, piece: Option<Piece<M::Header>>) -> Result<Part, Refusal> {
        match piece {
            Some(Piece::Chunk(data, crc32c)) => {
                if data.is_empty() {
                    return Err(bad_stream("a chunk has at least 1 byte"));
                }
                if data.len() > MAX_CHUNK_BYTES {
                    return Err(chunk_too_large());
                }
                if crc32c.is_some_and(|crc| crc != crc_fast::crc32_iscsi(&data)) {
                    return Err(Refusal::new(Reason::ChecksumMismatch)
                        .because("the CRC32C of a chunk is not that of the bytes received"));
                }
                Ok(Part::Chunk(data))
            }
            Some(Piece::Commit(size, sha256)) => {
                self.over = true;
                let size = size.map(|n| convert::size("commit.size_bytes", n)).transpose()?;
                let sha256 = sha256.map(|s| s.parse::<Sha256>()).transpose()?;
                Ok(Part::Commit { size, sha256 })
            }
            Some(Piece::Header(_)) => Err(bad_stream("a second header")),
            None => {
                self.over = true;
                Ok(Part::Ended)
            }
        }
    }
}

#[async_trait]
impl<S, M, E> UploadSource for UploadStream<S>
where
    S: Stream<Item = Result<M, E>> + Send + Unpin + 'static,
    M: ToPiece,
    E: Into<StreamFault> + Send + 'static,
{
    async fn next(&mut self) -> Result<Part, Refusal> {
        if self.over {
            return Err(bad_stream("nothing may be read after the end"));
        }
        let part = match self.read().await {
            Ok(piece) => self.part(piece),
            Err(refusal) => Err(refusal),
        };
        if part.is_err() {
            self.over = true;
        }
        part
    }

    async fn drain(self: Box<Self>) {
        let Some(mut stream) = self.stream else { return };
        let reading = async move {
            let mut read = 0;
            while let Some(Ok(message)) = stream.next().await {
                read += message.encoded_len() as u64;
                if read > drain::MAX_BYTES {
                    break;
                }
            }
        };
        // Over in time or not: either way it is enough.
        tokio::time::timeout(drain::MAX_TIME, reading).await.ok();
    }
}

#[cfg(test)]
mod tests;
