//! The bytes of one blob to another store: through a spool, where their hash is known before they go on.
//!
//! Not here: which of them, and how many at once (`blobs.rs`).

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt as _;
use sha2::Digest as _;

use crate::{
    domain::Sha256,
    ports::{BlobError, BlobStore, BlobTarget, NamedBytes, Spool, SpoolWriter, Spooled},
};

/// Bytes that are written at once.
const PIECE: usize = 1 << 20;
/// A store that fails is asked again so often, after a pause that grows.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// How it went with one blob.
#[derive(Debug)]
pub(super) enum Copied {
    /// Whole and durable there.
    There,
    /// The source has other bytes than the row says, or none.
    Lost(String),
    /// The source does not give them now.
    Unreadable(String),
}

impl From<BlobError> for Copied {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Missing(_) => Self::Lost("not there, or not whole".to_owned()),
            BlobError::NoSpace(_) | BlobError::Unavailable(_) => Self::Unreadable(error.to_string()),
        }
    }
}

/// Copies one. An error is the target's.
pub(super) async fn copy(
    named: NamedBytes,
    from: &dyn BlobStore,
    spool: &dyn Spool,
    to: &dyn BlobTarget,
) -> Result<Copied, BlobError> {
    // What an earlier run left under this name.
    spool.discard(named.key).await?;
    let copied = fill(named, from, spool.writer(named.key)).await;
    let spooled = match copied {
        Ok(Ok(spooled)) => spooled,
        Ok(Err(copied)) => {
            spool.discard(named.key).await?;
            return Ok(copied);
        }
        Err(error) => {
            // The first failure is the one that is told.
            let _ = spool.discard(named.key).await;
            return Err(error.into());
        }
    };
    let published = publish(named, &spooled, to).await;
    if published.is_err() {
        let _ = spool.discard(named.key).await;
    }
    published.map(|()| Copied::There)
}

async fn publish(named: NamedBytes, spooled: &Arc<dyn Spooled>, to: &dyn BlobTarget) -> Result<(), BlobError> {
    let mut tried = 1;
    loop {
        let parts = to.begin_parts(named.key, named.size).await;
        let published = match parts {
            Ok(parts) => {
                let published = to.publish(Arc::clone(spooled), parts.clone()).await;
                if let (Err(_), Some(parts)) = (&published, parts) {
                    // Best effort: what stays, the next run clears.
                    let _ = to.discard(named.key, Some(parts)).await;
                }
                published
            }
            Err(error) => Err(error),
        };
        match published {
            Err(BlobError::Unavailable(error)) if tried < TRIES && error.kind() != io::ErrorKind::AlreadyExists => {
                tokio::time::sleep(PAUSE * tried * tried).await;
                tried += 1;
            }
            published => return published,
        }
    }
}

type Writing = (Box<dyn SpoolWriter>, sha2::Sha256);

/// Writes the source's bytes into the spool. An error is the spool's.
async fn fill(
    named: NamedBytes,
    from: &dyn BlobStore,
    writer: Box<dyn SpoolWriter>,
) -> io::Result<Result<Arc<dyn Spooled>, Copied>> {
    let mut stream = match from.open(named.key, 0..named.size, None).await {
        Ok(stream) => stream,
        Err(error) => return Ok(Err(error.into())),
    };
    let mut writing: Writing = (writer, sha2::Sha256::new());
    let (mut piece, mut held) = (Vec::<Bytes>::new(), 0);
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => {
                held += chunk.len();
                piece.push(chunk);
            }
            Err(error) => return Ok(Err(error.into())),
        }
        if held >= PIECE {
            held = 0;
            writing = off_thread(write(writing, std::mem::take(&mut piece))).await?;
        }
    }
    let last = write(writing, piece);
    let (spooled, found) = off_thread(move || {
        let (writer, hash) = last()?;
        let spooled = writer.seal()?;
        spooled.sync()?;
        Ok((spooled, Sha256(hash.finalize().into())))
    })
    .await?;
    if found == named.sha256 && spooled.size() == named.size {
        return Ok(Ok(spooled));
    }
    Ok(Err(Copied::Lost(format!("their SHA-256 is {found}"))))
}

fn write((mut writer, mut hash): Writing, piece: Vec<Bytes>) -> impl FnOnce() -> io::Result<Writing> {
    move || {
        for chunk in &piece {
            hash.update(chunk);
        }
        writer.write(&piece)?;
        Ok((writer, hash))
    }
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Whether the bytes that lie at the target are those of the row.
pub(super) async fn verify(named: NamedBytes, to: &dyn BlobTarget) -> Result<bool, BlobError> {
    let mut stream = match to.open(named.key, 0..named.size, None).await {
        Ok(stream) => stream,
        Err(BlobError::Missing(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut hash = sha2::Sha256::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => hash.update(&chunk),
            Err(BlobError::Missing(_)) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(Sha256(hash.finalize().into()) == named.sha256)
}
