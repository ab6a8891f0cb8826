//! From the spool into the store: small uploads in one put, large ones in parts, both out of a bounded memory.
//!
//! An object is there whole or not at all, so neither way needs a second step to be visible. Not here: the removal of
//! parts whose upload ended (`multiparts.rs`).

use std::{
    io::{self, SeekFrom},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{
    ObjectStoreExt as _, PutPayload,
    multipart::{MultipartStore as _, PartId},
    path::Path,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    super::{disk::off_thread, folder_sync::locked},
    Bucket, failed,
    place::{ASKING, moving, within},
};
use crate::ports::{BlobError, MultipartId, Spooled};

/// An upload up to this size is one put; beyond it each part has so many bytes.
const PART: u64 = 8 << 20;
/// Parts that an object may have.
const MAX_PARTS: u64 = 10_000;
/// Parts of one upload on their way at once: one is sent while the next is read.
const AT_ONCE: usize = 2;
/// Bytes of one piece of a part in memory.
const PIECE: usize = 1 << 20;
/// Pieces that are kept to be filled again: those of one upload in parts.
const KEPT: usize = 16;

/// Bytes of all uploads on their way at once, counted in units.
const MEMORY: u64 = 64 << 20;
const UNIT: u64 = 64 << 10;
/// Longest wait for it: behind a store that has become slow the next uploads are refused, not piled up.
const WAIT: Duration = Duration::from_secs(60);

/// The memory that uploads on their way share. Who finds none left waits: in the order of asking, so that small ones
/// pass between the parts of large ones.
pub(super) struct Memory {
    units: Semaphore,
    /// Pieces to be filled again. Fresh ones for each part would come from a heap of each thread, and stay there.
    pieces: Mutex<Vec<BytesMut>>,
}

impl Default for Memory {
    fn default() -> Self {
        let units = Semaphore::new(usize::try_from(MEMORY / UNIT).unwrap_or(usize::MAX));
        Self { units, pieces: Mutex::default() }
    }
}

impl Memory {
    async fn take(&self, bytes: u64) -> Result<SemaphorePermit<'_>, BlobError> {
        // A part larger than all of it has it for itself.
        let units = bytes.min(MEMORY).div_ceil(UNIT).max(1);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        match tokio::time::timeout(WAIT, self.units.acquire_many(units)).await {
            Ok(taken) => Ok(taken.expect("it is never closed")),
            Err(_) => {
                let why = format!("the uploads before this one did not get through within {} s", WAIT.as_secs());
                Err(BlobError::Unavailable(io::Error::new(io::ErrorKind::TimedOut, why)))
            }
        }
    }

    /// Empty pieces for so many bytes.
    fn pieces(&self, bytes: u64) -> io::Result<Vec<BytesMut>> {
        let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
        let mut kept = locked(&self.pieces);
        let whole = (0..bytes / PIECE).map(|_| kept.pop().unwrap_or_else(|| BytesMut::with_capacity(PIECE)));
        let mut pieces: Vec<BytesMut> = whole.collect();
        if bytes % PIECE > 0 {
            pieces.push(BytesMut::with_capacity(bytes % PIECE));
        }
        Ok(pieces)
    }

    /// Takes back whole pieces that nobody holds any more.
    fn give_back(&self, pieces: Vec<Bytes>) {
        let mut kept = locked(&self.pieces);
        for piece in pieces.into_iter().filter(|piece| piece.len() == PIECE) {
            if kept.len() < KEPT
                && let Ok(mut piece) = piece.try_into_mut()
            {
                piece.clear();
                kept.push(piece);
            }
        }
    }
}

/// Bytes of each part of an upload of this size.
fn part_size(size: u64) -> u64 {
    PART.max(size.div_ceil(MAX_PARTS).next_multiple_of(PIECE as u64))
}

impl Bucket {
    pub(super) async fn begin_parts(&self, object: &Path, size: u64) -> Result<Option<MultipartId>, BlobError> {
        if size <= PART {
            return Ok(None);
        }
        self.multiparts.begin(object).await.map(Some)
    }

    pub(super) async fn publish(
        &self,
        object: &Path,
        spooled: Arc<dyn Spooled>,
        parts: Option<MultipartId>,
    ) -> Result<(), BlobError> {
        match parts {
            None => self.put(object, &spooled).await,
            Some(id) => self.put_parts(object, &spooled, id).await,
        }
    }

    async fn put(&self, object: &Path, spooled: &Arc<dyn Spooled>) -> Result<(), BlobError> {
        let size = spooled.size();
        let _taken = self.memory.take(size).await?;
        let pieces = read(spooled, 0, self.memory.pieces(size)?, size).await?;
        let payload = PutPayload::from_iter(pieces.iter().cloned());
        let put = within(moving(size), self.store.put(object, payload)).await;
        self.memory.give_back(pieces);
        put?.map_err(failed).map(drop)
    }

    async fn put_parts(&self, object: &Path, spooled: &Arc<dyn Spooled>, id: MultipartId) -> Result<(), BlobError> {
        let (size, part) = (spooled.size(), part_size(spooled.size()));
        let id = &id.0;
        let puts = (0..size.div_ceil(part)).map(|number| async move {
            let (at, len) = (number * part, part.min(size - number * part));
            let _taken = self.memory.take(len).await?;
            let pieces = read(spooled, at, self.memory.pieces(len)?, len).await?;
            let payload = PutPayload::from_iter(pieces.iter().cloned());
            let number = usize::try_from(number).map_err(io::Error::other)?;
            let put = within(moving(len), self.store.put_part(object, id, number, payload)).await;
            self.memory.give_back(pieces);
            let put = put?.map_err(failed)?;
            crate::fault_point!("U9-part");
            Ok::<PartId, BlobError>(put)
        });
        let parts: Vec<PartId> = stream::iter(puts).buffered(AT_ONCE).try_collect().await?;
        // The store puts the parts together: as long as it takes for their bytes.
        let completed = within(moving(size), self.store.complete_multipart(object, id, parts)).await;
        match completed.and_then(|answer| answer.map_err(failed)) {
            Ok(_) => Ok(()),
            // The answer may only have been lost. Under a fresh key nothing else can lie: an object of this size is ours.
            Err(error) => match within(ASKING, self.store.head(object)).await {
                Ok(Ok(meta)) if meta.size == size => Ok(()),
                Ok(Ok(_) | Err(_)) | Err(_) => Err(error),
            },
        }
    }
}

/// Exactly `len` bytes of the spooled upload from `at` on, read into these pieces off the async threads.
async fn read(spooled: &Arc<dyn Spooled>, at: u64, pieces: Vec<BytesMut>, len: u64) -> Result<Vec<Bytes>, BlobError> {
    let spooled = Arc::clone(spooled);
    off_thread(move || {
        let mut reader = spooled.reader()?;
        reader.seek(SeekFrom::Start(at))?;
        let mut left = usize::try_from(len).map_err(io::Error::other)?;
        let mut filled = Vec::with_capacity(pieces.len());
        for mut piece in pieces {
            piece.resize(left.min(PIECE), 0);
            reader.read_exact(&mut piece)?;
            left -= piece.len();
            filled.push(piece.freeze());
        }
        Ok(filled)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_size_has_parts_enough_and_no_part_is_too_small() {
        for size in [PART + 1, 4 << 30, PART * MAX_PARTS, PART * MAX_PARTS + 1, 5 << 40] {
            let part = part_size(size);
            assert!(part >= 5 << 20 && size.div_ceil(part) <= MAX_PARTS, "{size}: {part}");
        }
        assert_eq!(part_size(4 << 30), PART);
    }
}
