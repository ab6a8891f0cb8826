//! From the spool into the store: small uploads in one put, large ones in parts, both out of a bounded memory.
//!
//! An object is there whole or not at all, so neither way needs a second step to be visible. Not here: the removal of
//! parts whose upload ended (`multiparts.rs`).

use std::{
    io::{self, SeekFrom},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{
    ObjectStoreExt as _, PutPayload,
    multipart::{MultipartStore as _, PartId},
    path::Path,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    super::disk::off_thread,
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
const PIECE: u64 = 1 << 20;

/// Bytes of all uploads on their way at once, counted in units.
const MEMORY: u64 = 64 << 20;
const UNIT: u64 = 64 << 10;

/// The memory that uploads on their way share. Who finds none left waits: in the order of asking, so that small ones
/// pass between the parts of large ones.
pub(super) struct Memory(Semaphore);

impl Default for Memory {
    fn default() -> Self {
        Self(Semaphore::new(usize::try_from(MEMORY / UNIT).unwrap_or(usize::MAX)))
    }
}

impl Memory {
    async fn take(&self, bytes: u64) -> SemaphorePermit<'_> {
        // A part larger than all of it has it for itself.
        let units = bytes.min(MEMORY).div_ceil(UNIT).max(1);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        self.0.acquire_many(units).await.expect("it is never closed")
    }
}

/// Bytes of each part of an upload of this size.
fn part_size(size: u64) -> u64 {
    PART.max(size.div_ceil(MAX_PARTS).next_multiple_of(PIECE))
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
        let _taken = self.memory.take(size).await;
        let payload = read(spooled, 0, size).await?;
        within(moving(size), self.store.put(object, payload)).await?.map_err(failed).map(drop)
    }

    async fn put_parts(&self, object: &Path, spooled: &Arc<dyn Spooled>, id: MultipartId) -> Result<(), BlobError> {
        let (size, part) = (spooled.size(), part_size(spooled.size()));
        let id = &id.0;
        let puts = (0..size.div_ceil(part)).map(|number| async move {
            let (at, len) = (number * part, part.min(size - number * part));
            let _taken = self.memory.take(len).await;
            let payload = read(spooled, at, len).await?;
            let number = usize::try_from(number).map_err(io::Error::other)?;
            let put = within(moving(len), self.store.put_part(object, id, number, payload)).await?.map_err(failed)?;
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

/// Exactly these bytes of the spooled upload, read off the async threads.
async fn read(spooled: &Arc<dyn Spooled>, at: u64, len: u64) -> Result<PutPayload, BlobError> {
    let spooled = Arc::clone(spooled);
    off_thread(move || {
        let mut reader = spooled.reader()?;
        reader.seek(SeekFrom::Start(at))?;
        let mut pieces = Vec::new();
        let mut left = len;
        while left > 0 {
            let mut piece = vec![0; usize::try_from(left.min(PIECE)).map_err(io::Error::other)?];
            reader.read_exact(&mut piece)?;
            left -= piece.len() as u64;
            pieces.push(Bytes::from(piece));
        }
        Ok(PutPayload::from_iter(pieces))
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
