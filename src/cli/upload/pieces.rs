//! A file as the messages of a stream: what opens it, chunks of 256 KiB with CRC32C, a commit with size and SHA-256.
//! Read once; nothing more than a chunk is held.
//!
//! Not here: what is uploaded where (`upload.rs`), what is only scanned (`test_antivirus.rs`).

use std::{
    fmt, io,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncReadExt as _},
};

use crate::rpc::pb::{
    TestAntivirusChunk, TestAntivirusCommit, UploadChunk, UploadCommit, test_antivirus_request, upload_file_request,
};

/// Bytes of a chunk.
const CHUNK: usize = 256 << 10;

/// Where bytes come from.
pub type Source = Pin<Box<dyn AsyncRead + Send>>;

/// Opens a file, or standard input for `-`, whose size is unknown.
pub async fn open(path: &Path) -> io::Result<(Source, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::pin(tokio::io::stdin()), None));
    }
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    }
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Box::pin(file), size))
}

/// Why reading ended early, for after the call.
#[derive(Debug, Default)]
pub struct Broken(Mutex<Option<io::Error>>);

impl Broken {
    /// The error, once.
    pub fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    fn put(&self, error: io::Error) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(error);
    }
}

/// The messages that a kind of stream is made of.
pub trait Messages: Send + 'static {
    /// A chunk with its CRC32C.
    fn chunk(data: Bytes, crc32c: u32) -> Self;
    /// The end, with the size and the SHA-256 in hex of all chunks.
    fn commit(size: i64, sha256: String) -> Self;
}

impl Messages for upload_file_request::Part {
    fn chunk(data: Bytes, crc32c: u32) -> Self {
        Self::Chunk(UploadChunk { data, crc32c: Some(crc32c) })
    }
    fn commit(size: i64, sha256: String) -> Self {
        Self::Commit(UploadCommit { size_bytes: Some(size), sha256: Some(sha256) })
    }
}

impl Messages for test_antivirus_request::Part {
    fn chunk(data: Bytes, crc32c: u32) -> Self {
        Self::Chunk(TestAntivirusChunk { data, crc32c: Some(crc32c) })
    }
    fn commit(size: i64, _: String) -> Self {
        Self::Commit(TestAntivirusCommit { size_bytes: Some(size) })
    }
}

/// A file being read.
pub struct Pieces {
    source: Source,
    hash: Sha256,
    size: i64,
    broken: Arc<Broken>,
    bar: ProgressBar,
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Pieces {
    /// Of a source; an error of it goes to `broken`, progress to `bar`.
    pub fn new(source: Source, broken: Arc<Broken>, bar: ProgressBar) -> Self {
        Self { source, hash: Sha256::new(), size: 0, broken, bar }
    }

    /// First `opening`, then the chunks, then the commit, unless reading failed.
    pub fn stream<P: Messages, M: Send + 'static>(
        self,
        opening: P,
        wrap: impl Fn(P) -> M + Send + 'static,
    ) -> impl Stream<Item = M> + Send + 'static {
        let rest = stream::unfold(Some(self), |pieces| async move {
            let mut pieces = pieces?;
            match pieces.next().await {
                Ok(Some((data, crc32c))) => Some((P::chunk(data, crc32c), Some(pieces))),
                Ok(None) => {
                    pieces.bar.set_message("scanning");
                    let sha256 = data_encoding::HEXLOWER.encode(&pieces.hash.finalize());
                    Some((P::commit(pieces.size, sha256), None))
                }
                Err(error) => {
                    pieces.broken.put(error);
                    None
                }
            }
        });
        stream::once(async move { opening }).chain(rest).map(wrap)
    }

    async fn next(&mut self) -> io::Result<Option<(Bytes, u32)>> {
        let mut data = BytesMut::with_capacity(CHUNK);
        while data.len() < CHUNK {
            let room = CHUNK - data.len();
            if (&mut self.source).take(room as u64).read_buf(&mut data).await? == 0 {
                break;
            }
        }
        if data.is_empty() {
            return Ok(None);
        }
        self.hash.update(&data);
        self.size += i64::try_from(data.len()).unwrap_or(0);
        self.bar.inc(data.len() as u64);
        let crc32c = crc_fast::crc32_iscsi(&data);
        Ok(Some((data.freeze(), crc32c)))
    }
}

#[cfg(test)]
mod tests {
    use upload_file_request::Part;

    use super::*;

    async fn parts(source: Source) -> (Vec<Part>, Option<io::Error>) {
        let broken = Arc::new(Broken::default());
        let pieces = Pieces::new(source, Arc::clone(&broken), ProgressBar::hidden());
        let parts = pieces.stream(Part::Header(Default::default()), |part| part).collect().await;
        (parts, broken.take())
    }

    #[tokio::test]
    async fn file_becomes_header_full_chunks_with_checksums_and_commit() {
        let bytes: Vec<u8> = (0..CHUNK + 9).map(|i| i as u8).collect();
        let (parts, error) = parts(Box::pin(io::Cursor::new(bytes.clone()))).await;
        assert!(error.is_none());
        let [Part::Header(_), Part::Chunk(first), Part::Chunk(last), Part::Commit(commit)] = parts.as_slice() else {
            panic!("{} parts", parts.len());
        };
        assert_eq!((first.data.len(), last.data.len()), (CHUNK, 9));
        assert_eq!(last.crc32c, Some(crc_fast::crc32_iscsi(&bytes[CHUNK..])));
        assert_eq!(crc_fast::crc32_iscsi(b"123456789"), 0xe306_9283, "it is Castagnoli's");
        assert_eq!(commit.size_bytes, Some((CHUNK + 9) as i64));
        assert_eq!(commit.sha256, Some(data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes))));
    }

    #[tokio::test]
    async fn file_that_breaks_ends_without_a_commit() {
        struct Bad;
        impl AsyncRead for Bad {
            fn poll_read(
                self: Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<io::Result<()>> {
                std::task::Poll::Ready(Err(io::Error::other("gone")))
            }
        }
        let (parts, error) = parts(Box::pin(Bad)).await;
        assert!(matches!(parts.as_slice(), [Part::Header(_)]));
        assert_eq!(error.expect("told").to_string(), "gone");
    }
}
