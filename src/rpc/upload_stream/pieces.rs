//! The messages of an upload, taken from the request's body without gathering each whole: of a chunk, what has arrived
//! is passed on, in the memory it arrived in.
//!
//! tonic's own reader keeps a buffer as large as the largest message for as long as a stream lives: a thousand uploads
//! that stall held a thousand chunks. Not here: what messages mean (the parent module), the RPC (`file_service.rs`).

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::Stream;
use http_body::Body as _;
use prost::Message as _;
use tonic::{body::Body, server::NamedService};
use tower::Service;

use super::{MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES, StreamFault};
use crate::rpc::pb::{UploadChunk, UploadFileRequest, upload_file_request::Part};

/// The RPC whose body is taken.
const UPLOAD: &str = "/lhfile.v1.FileService/UploadFile";
/// Of each message: whether it is compressed, and its length.
const FRAME_HEADER: usize = 5;
/// Tag and length of the chunk, tag and length of its data: no more bytes than this stand before the data.
const LONGEST_PRELUDE: usize = FRAME_HEADER + 12;
/// What follows the data in a chunk is a checksum of 5 bytes; with more than this the message is gathered whole.
const LONGEST_TAIL: usize = 32;
/// Arrivals smaller than this are put together, so that a byte at a time costs no job each.
const SMALL: usize = 8 << 10;

/// Tags of `UploadFileRequest.chunk` and `UploadChunk.data`.
const CHUNK_TAG: u8 = 3 << 3 | 2;
const DATA_TAG: u8 = 1 << 3 | 2;

/// Takes the body off each upload's request before tonic reads it; [`Pieces::of`] finds it.
#[derive(Debug, Clone)]
pub struct TakeBody<S>(pub S);

#[derive(Clone)]
struct Taken(Arc<Mutex<Option<Body>>>);

impl<S: NamedService> NamedService for TakeBody<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<http::Request<Body>>> Service<http::Request<Body>> for TakeBody<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> S::Future {
        if request.uri().path() != UPLOAD {
            return self.0.call(request);
        }
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(Taken(Arc::new(Mutex::new(Some(body)))));
        self.0.call(http::Request::from_parts(parts, Body::empty()))
    }
}

/// Where in a message the reader stands.
enum At {
    /// Before the data, or before a message that is not a plain chunk.
    Prelude,
    /// In the data of a chunk: so much of it is left, and so much of the message after it.
    Data { left: usize, tail: usize, checksum: Option<Box<crc_fast::Digest>> },
    /// After the data: what was held back of it, and how much of the message is left.
    Tail { held: Bytes, left: usize, checksum: u32 },
    /// In a message that is gathered whole.
    Whole { left: usize },
}

/// The stream of messages. A chunk comes as several: the last one has a checksum, a wrong one, if that of the whole
/// chunk was wrong.
pub struct Pieces {
    body: Body,
    input: Bytes,
    /// The part of a prelude, tail or message, or the small arrivals, seen so far.
    gathered: BytesMut,
    at: At,
    /// Something was wrong: nothing is read any more.
    over: bool,
}

impl Pieces {
    /// The upload's body from where [`TakeBody`] put it; an empty one if it is not there.
    pub fn of(extensions: &tonic::Extensions) -> Self {
        let taken = extensions.get::<Taken>();
        let body = taken.and_then(|t| t.0.lock().unwrap_or_else(PoisonError::into_inner).take());
        Self::new(body.unwrap_or_default())
    }

    fn new(body: Body) -> Self {
        Self { body, input: Bytes::new(), gathered: BytesMut::new(), at: At::Prelude, over: false }
    }

    /// The next message within what has arrived.
    fn step(&mut self) -> Result<Option<UploadFileRequest>, StreamFault> {
        loop {
            let complete = matches!(self.at, At::Whole { left: 0 });
            if self.input.is_empty() && !complete {
                return Ok(None);
            }
            match std::mem::replace(&mut self.at, At::Prelude) {
                At::Prelude => self.prelude()?,
                At::Data { left, tail, checksum } => {
                    if let Some(piece) = self.data(left, tail, checksum) {
                        return Ok(Some(chunk(piece, None)));
                    }
                }
                At::Tail { held, left, checksum } => match self.gather(left) {
                    0 => return self.last_piece(held, checksum).map(Some),
                    left => self.at = At::Tail { held, left, checksum },
                },
                At::Whole { left: 0 } => {
                    // Taken, not split off: the stream must not keep what the message took.
                    let whole = std::mem::take(&mut self.gathered).freeze();
                    return UploadFileRequest::decode(whole).map(Some).map_err(|_| StreamFault::Broken);
                }
                At::Whole { left } => self.at = At::Whole { left: self.gather(left) },
            }
        }
    }

    /// The last of a chunk whose checksum was told.
    fn last_piece(&mut self, held: Bytes, checksum: u32) -> Result<UploadFileRequest, StreamFault> {
        let rest = UploadChunk::decode(std::mem::take(&mut self.gathered)).map_err(|_| StreamFault::Broken)?;
        if !rest.data.is_empty() {
            return Err(StreamFault::Broken);
        }
        let wrong = rest.crc32c.is_some_and(|told| told != checksum);
        let told = wrong.then(|| !crc_fast::crc32_iscsi(&held));
        Ok(chunk(held, told))
    }

    /// Moves up to `count` bytes of the input to what is gathered; answers how many are still missing.
    fn gather(&mut self, count: usize) -> usize {
        let now = count.min(self.input.len());
        self.gathered.extend_from_slice(&self.input.split_to(now));
        count - now
    }

    /// Reads on before the data; moves to the next place as soon as it is known.
    fn prelude(&mut self) -> Result<(), StreamFault> {
        let before = self.gathered.len();
        let seen = self.input.len().min(LONGEST_PRELUDE - before);
        self.gathered.extend_from_slice(&self.input[..seen]);
        let Some((used, at)) = judge(&self.gathered)? else {
            self.input.advance(seen);
            return Ok(());
        };
        // What was seen of a message that is gathered whole is part of it.
        let (have, at) = match at {
            At::Whole { left } => {
                let have = left.min(self.gathered.len() - used);
                (have, At::Whole { left: left - have })
            }
            other => (0, other),
        };
        self.input.advance(used + have - before);
        self.gathered.truncate(used + have);
        self.gathered.advance(used);
        self.at = at;
        Ok(())
    }

    /// Passes data on, or holds it back: what is small, and the last of a chunk that a checksum follows.
    fn data(&mut self, left: usize, tail: usize, mut checksum: Option<Box<crc_fast::Digest>>) -> Option<Bytes> {
        let arrived = self.input.split_to(left.min(self.input.len()));
        let left = left - arrived.len();
        if let Some(checksum) = &mut checksum {
            checksum.update(&arrived);
        }
        let piece = if self.gathered.is_empty() && (arrived.len() >= SMALL || left == 0) {
            arrived
        } else {
            self.gathered.extend_from_slice(&arrived);
            if self.gathered.len() < SMALL && left > 0 {
                self.at = At::Data { left, tail, checksum };
                return None;
            }
            std::mem::take(&mut self.gathered).freeze()
        };
        match (left, checksum) {
            (0, None) => self.at = At::Prelude,
            (0, Some(checksum)) => {
                let checksum = u32::try_from(checksum.finalize()).expect("CRC32C has 32 bits");
                self.at = At::Tail { held: piece, left: tail, checksum };
                return None;
            }
            (left, checksum) => self.at = At::Data { left, tail, checksum },
        }
        Some(piece)
    }
}

fn chunk(data: Bytes, crc32c: Option<u32>) -> UploadFileRequest {
    UploadFileRequest { part: Some(Part::Chunk(UploadChunk { data, crc32c })) }
}

/// What the beginning of a message says: how much of it was read, and what follows. `None`: too little was seen.
fn judge(seen: &[u8]) -> Result<Option<(usize, At)>, StreamFault> {
    let Some((frame, message)) = seen.split_at_checked(FRAME_HEADER) else { return Ok(None) };
    let length = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]) as usize;
    if frame[0] != 0 {
        return Err(StreamFault::Broken);
    }
    if length > MAX_MESSAGE_BYTES {
        return Err(StreamFault::TooLarge);
    }
    let whole = Ok(Some((FRAME_HEADER, At::Whole { left: length })));
    // A short message is no gain, and one of another kind is read by who knows it.
    if length < SMALL || message.first().is_some_and(|tag| *tag != CHUNK_TAG) {
        return whole;
    }
    let Some((inner, chunk)) = message.get(1..).and_then(length_of) else { return Ok(None) };
    if chunk.first().is_some_and(|tag| *tag != DATA_TAG) {
        return whole;
    }
    let Some((data, rest)) = chunk.get(1..).and_then(length_of) else { return Ok(None) };
    let used = seen.len() - rest.len();
    let (before_chunk, before_data) = (message.len() - chunk.len(), chunk.len() - rest.len());
    if data > MAX_CHUNK_BYTES {
        return Err(StreamFault::TooLarge);
    }
    let tail = inner.checked_sub(before_data + data);
    match tail {
        Some(tail) if before_chunk + inner == length && tail <= LONGEST_TAIL && data > 0 => {
            let checksum = (tail > 0).then(|| Box::new(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi)));
            Ok(Some((used, At::Data { left: data, tail, checksum })))
        }
        Some(_) | None => whole,
    }
}

/// A length as protobuf writes it, of at most 5 bytes, and what follows. `None`: it goes on beyond what was seen.
fn length_of(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = bytes.iter().take(5).position(|byte| byte & 0x80 == 0);
    // One that is longer than any of ours is no length: so large that the message does not fit it.
    let Some(end) = end else { return (bytes.len() >= 5).then_some((usize::MAX >> 8, &bytes[bytes.len().min(5)..])) };
    let value = bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7F));
    Some((value, &bytes[end + 1..]))
}

impl Stream for Pieces {
    type Item = Result<UploadFileRequest, StreamFault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            if let Some(next) = self.step().transpose() {
                self.over = next.is_err();
                return Poll::Ready(Some(next));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                // In the middle of a message too: it is an end without a commit either way.
                None => return Poll::Ready(None),
                Some(Err(_)) => {
                    self.over = true;
                    return Poll::Ready(Some(Err(StreamFault::Broken)));
                }
                Some(Ok(frame)) => self.input = frame.into_data().unwrap_or_default(),
            }
        }
    }
}

#[cfg(test)]
mod tests;
