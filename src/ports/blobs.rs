//! The ports to bytes: the spool where an upload lies while it is judged, and the store where it is kept.
//!
//! Not here: hashing, deadlines and who may read (`app/`). Implemented by `adapters/blobs/`. A key names the bytes in
//! both: an intent row or a blob row holds it before the first byte is written.

use std::{io, ops::Range, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;

use super::{ByteSource, Found, Removal, WalkPage, WalkPlace};
use crate::domain::{BlobKey, StoreId, Time, consistency::StrangeName};

/// What a store of bytes can fail with.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// A row names bytes that are not there.
    #[error("the bytes {0} are not in the store")]
    Missing(BlobKey),
    /// The disk or the spool's budget is full.
    #[error("no room for the bytes: {0}")]
    NoSpace(#[source] io::Error),
    /// The store does not answer, or fails.
    #[error("the store of bytes failed: {0}")]
    Unavailable(#[source] io::Error),
}

impl From<io::Error> for BlobError {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                BlobError::NoSpace(e)
            }
            _ => BlobError::Unavailable(e),
        }
    }
}

/// An upload in parts that is under way, as the store named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipartId(pub String);

/// The local spool.
#[async_trait]
pub trait Spool: Send + Sync + 'static {
    /// Bytes that it may take now: the smaller of its budget's rest and the disk's free space above the reserve.
    /// Cheap: may be a second old.
    fn room_bytes(&self) -> u64;
    /// Bytes that it takes at most, however empty it is.
    fn budget_bytes(&self) -> u64;
    /// A writer for one upload. Makes nothing before the first write.
    fn writer(&self, key: BlobKey) -> Box<dyn SpoolWriter>;
    /// Removes what lies under the key; answers whether anything did.
    async fn discard(&self, key: BlobKey) -> Result<bool, BlobError>;
    /// Every key that lies in the spool, and every other name found there as an error to be told.
    async fn list(&self) -> Result<Vec<BlobKey>, BlobError>;
    /// All that lies there, hidden names too; the times are the disk's. No symlink is followed.
    async fn look(&self) -> Result<Vec<Found>, BlobError>;
    /// Removes a plain file of a name that is none of ours, which was changed before this moment.
    async fn remove_strange(&self, name: &StrangeName, before: Time) -> Result<Removal, BlobError>;
}

/// Writes one upload into the spool. Every method blocks: off the async threads only.
pub trait SpoolWriter: Send {
    /// Appends the chunks, in order, without copying them. `StorageFull` when the disk or the budget ends.
    fn write(&mut self, chunks: &[Bytes]) -> io::Result<()>;
    /// No more bytes come.
    fn seal(self: Box<Self>) -> io::Result<Arc<dyn Spooled>>;
}

/// A whole upload in the spool. Dropping it removes nothing.
pub trait Spooled: ByteSource {
    /// Its key.
    fn key(&self) -> BlobKey;
    /// Makes the bytes durable. Blocks. A failed one is never retried: the upload fails.
    fn sync(&self) -> io::Result<()>;
    /// True once [`Spooled::sync`] has succeeded. Does not block.
    fn is_synced(&self) -> bool;
}

/// Sees every chunk of a stream before it is passed on, off the async threads where reading blocks.
pub type Tap = Box<dyn FnMut(&[u8]) + Send>;

/// Bytes on their way out, in chunks of at most 256 KiB.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes, BlobError>> + Send>>;

/// The store of bytes.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Begins an upload in parts, where the store takes so many bytes in parts. The id must be durable before
    /// [`BlobStore::publish`] gets it: parts outlive a process that is killed.
    async fn begin_parts(&self, key: BlobKey, size: u64) -> Result<Option<MultipartId>, BlobError>;
    /// Moves a synced upload into the store under its own key; durable when it answers (rename and folder fsync, or a
    /// whole put). The spooled bytes are gone afterwards.
    async fn publish(&self, spooled: Arc<dyn Spooled>, parts: Option<MultipartId>) -> Result<(), BlobError>;
    /// A stream of the range's bytes; `Missing` at once if they are not there.
    async fn open(&self, key: BlobKey, range: Range<u64>, tap: Option<Tap>) -> Result<BlobStream, BlobError>;
    /// Removes the bytes; removing what is not there is fine.
    async fn delete(&self, key: BlobKey) -> Result<(), BlobError>;
    /// Removes all that an upload which became no file left under its key: its bytes, and its uploads in parts, those
    /// too whose id was lost.
    async fn discard(&self, key: BlobKey, parts: Option<MultipartId>) -> Result<(), BlobError>;
    /// Spooled bytes may stay after a [`BlobStore::publish`], whose removal failed: whoever publishes removes them.
    fn leaves_spooled(&self) -> bool {
        false
    }
    /// How long after nobody waits for it any more a request may still be carried out: bytes and uploads in parts that
    /// come into being after a [`BlobStore::discard`] has removed what was there. Zero: never.
    fn lateness(&self) -> Duration;
    /// Ends one upload in parts. [`Removal::Refused`]: it is listed, and cannot be ended by its id; a
    /// [`BlobStore::discard`] of all that is under the key ends it.
    async fn abort_parts(&self, key: BlobKey, parts: MultipartId) -> Result<Removal, BlobError>;
    /// What lies there after a place, in an order that does not change, at most `limit` (1 to 1,000) things: bytes, names
    /// that are none of ours, uploads in parts. What comes into being meanwhile may be missed. A listing that ended early
    /// is an error, and no end; a place that no page has given is `Unavailable` of the kind `InvalidInput`. No symlink is
    /// followed.
    async fn walk(&self, after: Option<&WalkPlace>, limit: usize) -> Result<WalkPage, BlobError>;
    /// Removes a plain file or object of a name that is none of ours, which was changed before this moment.
    async fn remove_strange(&self, name: &StrangeName, before: Time) -> Result<Removal, BlobError>;
    /// How many bytes lie there.
    async fn size(&self, key: BlobKey) -> Result<Option<u64>, BlobError>;
    /// Writes, reads and removes a few bytes: the store's own canary. Where each request costs money it reads only,
    /// and writes now and then. The first one tries all that the service does there, and names what is not allowed.
    async fn probe(&self) -> Result<(), BlobError>;
    /// The id that it shares with its database, once it has one.
    async fn store_id(&self) -> Result<Option<StoreId>, BlobError>;
    /// Gives it its id, durably.
    async fn put_store_id(&self, id: StoreId) -> Result<(), BlobError>;
}
