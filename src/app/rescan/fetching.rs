//! A blob's bytes brought into the spool, to be scanned: hashed on the way, and removed after that.
//!
//! Not here: the spool and its room (`adapters/blobs/`), and the scan.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use sha2::Digest as _;

use super::super::{App, Error, staging::blocking};
use crate::{
    domain::{Actor, Blob, BlobKey, Event, EventKind, Reason, Sha256},
    ports::{BlobError, ByteSource, SpoolWriter, Spooled},
    telemetry::names,
};

/// So many bytes are written by one job.
const JOB_BYTES: usize = 1 << 20;
/// The store of bytes has so long for a chunk.
const CHUNK_WITHIN: Duration = Duration::from_secs(60);

/// What became of it.
pub(super) enum Fetch {
    /// All of it, with the hash that it must have.
    Whole(Fetched),
    /// It has another hash or size, or is not there although its row says so.
    Corrupt,
    /// Its row is gone, too.
    Gone,
}

/// Bytes in the spool. Dropped, they are removed.
pub(super) struct Fetched {
    spooled: Arc<dyn Spooled>,
    _lying: Lying,
}

impl Fetched {
    /// To be read.
    pub(super) fn source(&self) -> Arc<dyn ByteSource> {
        self.spooled.clone()
    }
}

/// Something may lie under the key.
struct Lying {
    app: Arc<App>,
    key: BlobKey,
}

impl Drop for Lying {
    fn drop(&mut self) {
        let (app, key) = (Arc::clone(&self.app), self.key);
        // What is left by a node that dies is removed by its next start.
        self.app.tasks.spawn(async move { app.discard(key).await });
    }
}

/// What a job works on.
struct Work {
    writer: Box<dyn SpoolWriter>,
    hasher: sha2::Sha256,
    size: u64,
}

impl App {
    /// `NO_SPACE` where the spool has no room for it now: then uploads need what there is.
    pub(super) async fn fetch(self: &Arc<Self>, blob: &Blob) -> Result<Fetch, Error> {
        if self.spool.room_bytes() < blob.size {
            let full = std::io::Error::new(std::io::ErrorKind::StorageFull, "the spool has no room for a rescan");
            return Err(BlobError::NoSpace(full).into());
        }
        let started = tokio::time::Instant::now();
        let mut stream = match self.blobs.open(blob.key, 0..blob.size, None).await {
            Ok(stream) => stream,
            Err(BlobError::Missing(_)) => return self.missing(blob).await,
            Err(error) => return Err(error.into()),
        };
        metrics::histogram!(names::BLOB_SECONDS, names::OP => "open").record(started.elapsed());
        let key = self.ids.blob_key(self.clock.now());
        let lying = Lying { app: Arc::clone(self), key };
        let mut work = Work { writer: self.spool.writer(key), hasher: sha2::Sha256::new(), size: 0 };
        let mut ended = false;
        while !ended {
            let (mut chunks, mut bytes) = (Vec::new(), 0);
            while bytes < JOB_BYTES {
                let late = || BlobError::Unavailable(std::io::ErrorKind::TimedOut.into());
                match tokio::time::timeout(CHUNK_WITHIN, stream.next()).await.map_err(|_| late())? {
                    Some(Ok(chunk)) => {
                        bytes += chunk.len();
                        chunks.push(chunk);
                    }
                    Some(Err(BlobError::Missing(_))) => return self.missing(blob).await,
                    Some(Err(error)) => return Err(error.into()),
                    None => {
                        ended = true;
                        break;
                    }
                }
            }
            work = blocking(move || {
                chunks.iter().for_each(|chunk| work.hasher.update(chunk));
                work.size += bytes as u64;
                work.writer.write(&chunks)?;
                Ok(work)
            })
            .await?;
        }
        let Work { writer, hasher, size } = work;
        if size != blob.size || Sha256(hasher.finalize().into()) != blob.sha256 {
            return Ok(Fetch::Corrupt);
        }
        let spooled = blocking(move || writer.seal()).await?;
        Ok(Fetch::Whole(Fetched { spooled, _lying: lying }))
    }

    /// A purge may have been faster.
    async fn missing(&self, blob: &Blob) -> Result<Fetch, Error> {
        use crate::domain::{BlobState, quarantine::Phase};
        let above = blob.id.saturating_add(1);
        let found = self.store.list_candidates(Phase::Rest, above, 1, self.clock.now()).await?;
        let there = found.iter().any(|one| one.blob.id == blob.id && one.blob.state != BlobState::Purging);
        Ok(if there { Fetch::Corrupt } else { Fetch::Gone })
    }

    /// Stored bytes do not have their hash: told, and nothing else is done to them.
    pub(super) async fn record_corrupt_blob(&self) {
        tracing::error!("stored bytes do not have their hash, or are not there: see lhfile fsck");
        metrics::counter!(names::CORRUPT).increment(1);
        let event = Event::new(EventKind::BlobCorrupt, Actor::SYSTEM).reason(Reason::Corrupt);
        if let Err(error) = self.store.record(event, self.clock.now()).await {
            tracing::error!(%error, "the event of damaged bytes could not be written");
        }
    }
}
