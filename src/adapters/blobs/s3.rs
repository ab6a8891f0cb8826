//! The store of bytes in an S3-compatible object store: one object for each key, under a prefix of its own.
//!
//! Nothing is relied upon that such stores differ in: no conditional puts (keys are fresh, the database decides), no
//! presigned reading (it would bypass the rules). Read next `s3/place.rs` (where it is, deadlines, retries), then
//! `s3/publish.rs`, `s3/read.rs`, `s3/asking.rs` (lists), `s3/multiparts.rs`, `s3/walking.rs`, `s3/permissions.rs`. Not here: the spool, which stays on the local disk (`spool.rs`).

use std::{
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use object_store::{Error, GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _, aws::AmazonS3, path::Path};

use self::{
    asking::Asking,
    multiparts::Multiparts,
    place::{ASKING, LATENESS, within},
    publish::Memory,
};
use crate::{
    domain::{BlobKey, StoreId, Time, consistency::StrangeName},
    ports::{BlobError, BlobStore, BlobStream, MultipartId, Removal, Spool, Spooled, Tap, WalkPage, WalkPlace},
};

mod asking;
mod multiparts;
mod permissions;
pub(super) mod place;
mod publish;
mod read;
mod walking;

pub use place::S3Place;

/// The object with the store's id, under the prefix. No key looks like it.
pub(super) const STORE_ID: &str = "lhfile-store-id";
/// The canary's object, under the prefix. It comes and goes.
pub(super) const PROBE: &str = "lhfile-probe";
/// One probe in so many writes; the others read.
const WRITE_EVERY: u32 = 20;

/// The store in S3. Cheap to clone.
#[derive(Debug, Clone)]
pub struct S3Blobs(Arc<Bucket>);

/// What the methods share.
struct Bucket {
    store: Arc<AmazonS3>,
    multiparts: Multiparts,
    asking: Asking,
    place: S3Place,
    spool: Arc<dyn Spool>,
    memory: Memory,
    /// Probes that passed.
    probes: AtomicU32,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("store", &self.store).field("place", &self.place).finish_non_exhaustive()
    }
}

impl S3Blobs {
    /// A store at this place that takes its bytes from this spool. Asks nothing yet.
    ///
    /// # Errors
    /// `Unavailable` if the address is none, or the machine has no certificates to trust.
    pub fn new(place: &S3Place, spool: Arc<dyn Spool>) -> Result<Self, BlobError> {
        Ok(Self(Arc::new(Bucket {
            store: Arc::new(place.store()?),
            multiparts: Multiparts::new(place)?,
            asking: Asking::new(place)?,
            place: place.clone(),
            spool,
            memory: Memory::default(),
            probes: 0.into(),
        })))
    }
}

impl S3Blobs {
    /// The bucket itself.
    pub(super) fn store(&self) -> &AmazonS3 {
        &self.0.store
    }

    /// What all names begin with.
    pub(super) fn prefix(&self) -> Option<Path> {
        Some(self.0.place.prefix.as_str()).filter(|prefix| !prefix.is_empty()).map(Path::from)
    }

    /// Leaves no upload in parts open, whatever its key: of a store that nobody else writes to.
    pub(super) async fn abort_parts_of_all(&self) -> Result<(), BlobError> {
        self.0.multiparts.abort_under(&self.0.place.prefix).await
    }
}

impl Bucket {
    /// The object of this name.
    fn path(&self, name: &str) -> Path {
        named(&self.place.prefix, name)
    }

    fn object(&self, key: BlobKey) -> Path {
        self.path(&key.to_string())
    }

    /// How many bytes the object has; `None` if it is not there.
    async fn size(&self, object: &Path) -> Result<Option<u64>, BlobError> {
        size(&self.store, object).await
    }

    /// Removes the object; what is not there is fine.
    async fn remove(&self, object: &Path) -> Result<(), BlobError> {
        match within(ASKING, self.store.delete(object)).await? {
            Err(error) if !is_not_there(&error) => Err(failed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        read_store_id(&self.store, &self.path(STORE_ID)).await
    }
}

impl S3Place {
    /// The id of the store there, for a look from outside.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer us, or holds what is no id.
    pub async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        read_store_id(&self.store()?, &named(&self.prefix, STORE_ID)).await
    }

    /// The bytes are there, for a look from outside.
    pub(super) async fn holds(&self, key: BlobKey) -> Result<bool, BlobError> {
        Ok(size(&self.store()?, &named(&self.prefix, &key.to_string())).await?.is_some())
    }
}

/// How many bytes the object has; `None` if it is not there. The answer to a HEAD does not say whether it is the bucket
/// that is not there: then it is asked once more in a way whose answer does.
async fn size(store: &AmazonS3, object: &Path) -> Result<Option<u64>, BlobError> {
    match within(ASKING, store.head(object)).await? {
        Ok(meta) => return Ok(Some(meta.size)),
        Err(error) if is_not_there(&error) => {}
        Err(error) => return Err(failed(error)),
    }
    let first = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
    match within(ASKING, store.get_opts(object, first)).await? {
        Ok(got) => Ok(Some(got.meta.size)),
        Err(error) if is_not_there(&error) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// The object of this name under a prefix.
fn named(prefix: &str, name: &str) -> Path {
    if prefix.is_empty() { Path::from(name) } else { Path::from(format!("{prefix}/{name}")) }
}

async fn read_store_id(store: &AmazonS3, object: &Path) -> Result<Option<StoreId>, BlobError> {
    let read = async { store.get(object).await?.bytes().await };
    let bytes = match within(ASKING, read).await? {
        Ok(bytes) => bytes,
        Err(error) if is_not_there(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let id = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim_end().parse::<StoreId>().ok());
    id.map(Some).ok_or_else(|| broken(io::ErrorKind::InvalidData, "the object lhfile-store-id holds no store id"))
}

#[async_trait]
impl BlobStore for S3Blobs {
    async fn begin_parts(&self, key: BlobKey, size: u64) -> Result<Option<MultipartId>, BlobError> {
        self.0.begin_parts(&self.0.object(key), size).await
    }

    async fn publish(&self, spooled: Arc<dyn Spooled>, parts: Option<MultipartId>) -> Result<(), BlobError> {
        let key = spooled.key();
        self.0.publish(&self.0.object(key), spooled, parts).await?;
        crate::fault_point!("U9-put");
        if let Err(error) = self.0.spool.discard(key).await {
            // They are durable where they belong, and the upload goes on.
            tracing::debug!(%error, "published bytes could not be removed from the spool yet");
        }
        Ok(())
    }

    async fn open(&self, key: BlobKey, range: Range<u64>, tap: Option<Tap>) -> Result<BlobStream, BlobError> {
        if range.is_empty() {
            // S3 has no empty ranges.
            let there = self.0.size(&self.0.object(key)).await?;
            return there.map(|_| Box::pin(futures_util::stream::empty()) as BlobStream).ok_or(BlobError::Missing(key));
        }
        read::open(Arc::clone(&self.0.store), self.0.object(key), key, range, tap).await
    }

    async fn delete(&self, key: BlobKey) -> Result<(), BlobError> {
        self.0.remove(&self.0.object(key)).await
    }

    /// Parts first: one that is completed in between becomes bytes, which go last.
    async fn discard(&self, key: BlobKey, parts: Option<MultipartId>) -> Result<(), BlobError> {
        let object = self.0.object(key);
        self.0.multiparts.abort_all(&object, parts).await?;
        self.0.remove(&object).await
    }

    async fn abort_parts(&self, key: BlobKey, parts: MultipartId) -> Result<Removal, BlobError> {
        self.0.multiparts.abort_one(&self.0.object(key), &parts.0).await
    }

    async fn walk(&self, after: Option<&WalkPlace>, limit: usize) -> Result<WalkPage, BlobError> {
        self.0.walk(after, limit).await
    }

    async fn remove_strange(&self, name: &StrangeName, before: Time) -> Result<Removal, BlobError> {
        self.0.remove_strange(name, before).await
    }

    fn leaves_spooled(&self) -> bool {
        true
    }

    fn lateness(&self) -> Duration {
        LATENESS
    }

    async fn size(&self, key: BlobKey) -> Result<Option<u64>, BlobError> {
        self.0.size(&self.0.object(key)).await
    }

    async fn probe(&self) -> Result<(), BlobError> {
        if self.0.store_id().await?.is_none() {
            return Err(broken(io::ErrorKind::NotFound, "the object lhfile-store-id is gone from the store"));
        }
        let probes = self.0.probes.load(Relaxed);
        if probes == 0 {
            permissions::check(&self.0.place, &self.0.store, &self.0.multiparts).await?;
        } else if probes.is_multiple_of(WRITE_EVERY) {
            let object = self.0.path(PROBE);
            within(ASKING, self.0.store.put(&object, "lhfile".into())).await?.map_err(failed)?;
            self.0.remove(&object).await?;
        }
        self.0.probes.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        self.0.store_id().await
    }

    async fn put_store_id(&self, id: StoreId) -> Result<(), BlobError> {
        let object = self.0.path(STORE_ID);
        within(ASKING, self.0.store.put(&object, format!("{id}\n").into())).await?.map_err(failed).map(drop)
    }
}

/// The key is not there. A bucket that is not there is a failure of the store, though it has the same status.
fn is_not_there(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !error.to_string().contains("NoSuchBucket")
}

pub(super) fn failed(error: Error) -> BlobError {
    BlobError::Unavailable(io::Error::other(error))
}

fn broken(kind: io::ErrorKind, why: &'static str) -> BlobError {
    BlobError::Unavailable(io::Error::new(kind, why))
}
