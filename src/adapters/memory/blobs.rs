//! The spool and the store of bytes in memory.
//!
//! As strict as the local disk: only what was synced is published, a discarded upload does not come back by its writer,
//! a key is written once. Where it is told to, it takes bytes in parts as an object store does. Not here: durability,
//! which memory cannot show.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;

use crate::{
    domain::{BlobKey, StoreId, Time, consistency::StrangeName},
    ports::{
        BlobError, BlobStore, BlobStream, ByteSource, Found, MultipartId, ReadSeek, Removal, Spool, SpoolWriter,
        Spooled, Tap, WalkPage, WalkPlace,
    },
};

mod walking;

/// Most bytes of a chunk on its way out.
const CHUNK: u64 = 256 << 10;

/// The spool. Clones are the same one.
#[derive(Clone)]
pub struct MemorySpool(Arc<Mutex<Spooling>>);

/// The store, which takes its bytes from one spool. Clones are the same one.
#[derive(Clone)]
pub struct MemoryBlobs {
    spool: MemorySpool,
    store: Arc<Mutex<Keeping>>,
    part: u64,
    lateness: Duration,
}

/// What lies in the spool.
struct Spooling {
    budget: u64,
    spooled: HashMap<BlobKey, Entry>,
    strange: BTreeMap<Vec<u8>, walking::Strange>,
    writers: u64,
}

/// What the store keeps.
#[derive(Default)]
struct Keeping {
    kept: BTreeMap<BlobKey, Bytes>,
    times: BTreeMap<BlobKey, Time>,
    strange: BTreeMap<Vec<u8>, walking::Strange>,
    parts: BTreeMap<String, BlobKey>,
    begun: u64,
    id: Option<StoreId>,
}

/// What lies in the spool under one key, or is about to.
struct Entry {
    writer: u64,
    bytes: Vec<u8>,
    /// Something was written: it is listed.
    lies: bool,
    synced: bool,
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spooling {
    fn left(&self) -> u64 {
        let used: u64 = self.spooled.values().map(|entry| entry.bytes.len() as u64).sum();
        self.budget.saturating_sub(used)
    }

    /// What this writer's upload has become, unless it was discarded or published.
    fn entry(&mut self, key: BlobKey, writer: u64) -> io::Result<&mut Entry> {
        let entry = self.spooled.get_mut(&key).filter(|entry| entry.writer == writer);
        entry.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the upload has left the spool"))
    }
}

impl MemorySpool {
    /// An empty one that takes so many bytes.
    pub fn new(budget: u64) -> Self {
        let (spooled, strange) = (HashMap::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(Spooling { budget, spooled, strange, writers: 0 })))
    }

    /// A store beside it, which takes what is larger than `part` bytes in parts.
    pub fn store(&self, part: u64) -> MemoryBlobs {
        MemoryBlobs { spool: self.clone(), store: Arc::default(), part, lateness: Duration::ZERO }
    }
}

#[async_trait]
impl Spool for MemorySpool {
    fn room_bytes(&self) -> u64 {
        locked(&self.0).left()
    }

    fn budget_bytes(&self) -> u64 {
        locked(&self.0).budget
    }

    fn writer(&self, key: BlobKey) -> Box<dyn SpoolWriter> {
        let mut spooling = locked(&self.0);
        spooling.writers += 1;
        let number = spooling.writers;
        let fresh = Entry { writer: number, bytes: Vec::new(), lies: false, synced: false };
        spooling.spooled.entry(key).or_insert(fresh);
        Box::new(Writer { spool: self.clone(), key, number, failed: false })
    }

    async fn discard(&self, key: BlobKey) -> Result<bool, BlobError> {
        Ok(locked(&self.0).spooled.remove(&key).is_some_and(|entry| entry.lies))
    }

    async fn list(&self) -> Result<Vec<BlobKey>, BlobError> {
        Ok(locked(&self.0).spooled.iter().filter(|(_, entry)| entry.lies).map(|(key, _)| *key).collect())
    }

    async fn look(&self) -> Result<Vec<Found>, BlobError> {
        Ok(self.look_at_all())
    }

    async fn remove_strange(&self, name: &StrangeName, before: Time) -> Result<Removal, BlobError> {
        Ok(self.remove_name(name, before))
    }
}

struct Writer {
    spool: MemorySpool,
    key: BlobKey,
    number: u64,
    failed: bool,
}

impl Writer {
    fn append(&self, chunks: &[Bytes]) -> io::Result<()> {
        let mut spooling = locked(&self.spool.0);
        let left = spooling.left();
        let entry = spooling.entry(self.key, self.number)?;
        entry.lies = true;
        if chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>() > left {
            return Err(io::ErrorKind::StorageFull.into());
        }
        chunks.iter().for_each(|chunk| entry.bytes.extend_from_slice(chunk));
        Ok(())
    }
}

impl SpoolWriter for Writer {
    fn write(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        if self.failed {
            return Err(io::Error::other("an earlier write of this upload failed"));
        }
        let result = self.append(chunks);
        self.failed = result.is_err();
        result
    }

    fn seal(mut self: Box<Self>) -> io::Result<Arc<dyn Spooled>> {
        // An upload of no bytes is a file, too.
        self.write(&[])?;
        let bytes = Bytes::from(locked(&self.spool.0).entry(self.key, self.number)?.bytes.clone());
        Ok(Arc::new(Sealed { spool: self.spool.clone(), key: self.key, number: self.number, bytes }))
    }
}

impl Drop for Writer {
    /// A writer that made nothing leaves nothing.
    fn drop(&mut self) {
        let mut spooling = locked(&self.spool.0);
        if spooling.entry(self.key, self.number).is_ok_and(|entry| !entry.lies) {
            spooling.spooled.remove(&self.key);
        }
    }
}

/// A whole upload.
struct Sealed {
    spool: MemorySpool,
    key: BlobKey,
    number: u64,
    bytes: Bytes,
}

impl Spooled for Sealed {
    fn key(&self) -> BlobKey {
        self.key
    }

    fn sync(&self) -> io::Result<()> {
        // What was discarded meanwhile can be synced, too, and is no more for it.
        if let Ok(entry) = locked(&self.spool.0).entry(self.key, self.number) {
            entry.synced = true;
        }
        Ok(())
    }

    fn is_synced(&self) -> bool {
        locked(&self.spool.0).entry(self.key, self.number).is_ok_and(|entry| entry.synced)
    }
}

impl ByteSource for Sealed {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn reader(&self) -> io::Result<Box<dyn ReadSeek>> {
        self.bytes.reader()
    }
}

impl MemoryBlobs {
    /// The same store as another node has it, beside that node's spool.
    pub fn beside(&self, spool: &MemorySpool) -> Self {
        Self { spool: spool.clone(), ..self.clone() }
    }

    /// The same store, which may be so late with what was asked of it.
    pub fn late_by(&self, lateness: Duration) -> Self {
        Self { lateness, ..self.clone() }
    }

    /// Every key that is kept, with its bytes.
    pub fn kept(&self) -> BTreeMap<BlobKey, Bytes> {
        locked(&self.store).kept.clone()
    }

    /// The keys of the uploads in parts that are open, one for each.
    pub fn open_parts(&self) -> Vec<BlobKey> {
        locked(&self.store).parts.values().copied().collect()
    }
}

/// What the store answers that takes no such bytes.
fn refused(why: &str) -> BlobError {
    BlobError::Unavailable(io::Error::other(why.to_owned()))
}

#[async_trait]
impl BlobStore for MemoryBlobs {
    async fn begin_parts(&self, key: BlobKey, size: u64) -> Result<Option<MultipartId>, BlobError> {
        if size <= self.part {
            return Ok(None);
        }
        let mut store = locked(&self.store);
        store.begun += 1;
        let id = format!("parts-{}", store.begun);
        store.parts.insert(id.clone(), key);
        Ok(Some(MultipartId(id)))
    }

    async fn publish(&self, spooled: Arc<dyn Spooled>, parts: Option<MultipartId>) -> Result<(), BlobError> {
        let key = spooled.key();
        let (mut spooling, mut store) = (locked(&self.spool.0), locked(&self.store));
        let entry = spooling.spooled.get(&key).filter(|entry| entry.lies).ok_or(BlobError::Missing(key))?;
        if !entry.synced {
            return Err(refused("the upload was not synced"));
        }
        let in_parts = entry.bytes.len() as u64 > self.part;
        if in_parts && parts.as_ref().is_none_or(|id| store.parts.get(&id.0) != Some(&key)) {
            return Err(refused("there is no such upload in parts"));
        }
        if store.kept.contains_key(&key) {
            return Err(refused("the key is taken"));
        }
        if let Some(id) = parts {
            store.parts.remove(&id.0);
        }
        if let Some(entry) = spooling.spooled.remove(&key) {
            store.kept.insert(key, entry.bytes.into());
        }
        Ok(())
    }

    async fn open(&self, key: BlobKey, range: Range<u64>, tap: Option<Tap>) -> Result<BlobStream, BlobError> {
        let bytes = locked(&self.store).kept.get(&key).cloned().ok_or(BlobError::Missing(key))?;
        Ok(Box::pin(stream::unfold((range, tap), move |(range, mut tap)| {
            let chunk = next_chunk(&bytes, &range, key);
            if let (Some(Ok(chunk)), Some(tap)) = (&chunk, &mut tap) {
                tap(chunk);
            }
            let read = match &chunk {
                Some(Ok(chunk)) => chunk.len() as u64,
                // An error ends the stream.
                Some(Err(_)) | None => range.end.saturating_sub(range.start),
            };
            std::future::ready(chunk.map(|chunk| (chunk, (range.start + read..range.end, tap))))
        })))
    }

    async fn delete(&self, key: BlobKey) -> Result<(), BlobError> {
        locked(&self.store).kept.remove(&key);
        Ok(())
    }

    async fn discard(&self, key: BlobKey, _parts: Option<MultipartId>) -> Result<(), BlobError> {
        let mut store = locked(&self.store);
        store.parts.retain(|_, of| *of != key);
        store.kept.remove(&key);
        Ok(())
    }

    fn lateness(&self) -> Duration {
        self.lateness
    }

    async fn abort_parts(&self, key: BlobKey, parts: MultipartId) -> Result<Removal, BlobError> {
        Ok(self.abort(key, &parts))
    }

    async fn walk(&self, after: Option<&WalkPlace>, limit: usize) -> Result<WalkPage, BlobError> {
        Ok(self.walk_page(after, limit))
    }

    async fn remove_strange(&self, name: &StrangeName, before: Time) -> Result<Removal, BlobError> {
        Ok(self.remove_name(name, before))
    }

    async fn size(&self, key: BlobKey) -> Result<Option<u64>, BlobError> {
        Ok(locked(&self.store).kept.get(&key).map(|bytes| bytes.len() as u64))
    }

    async fn probe(&self) -> Result<(), BlobError> {
        Ok(())
    }

    async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        Ok(locked(&self.store).id)
    }

    async fn put_store_id(&self, id: StoreId) -> Result<(), BlobError> {
        locked(&self.store).id = Some(id);
        Ok(())
    }
}

/// The first bytes of a range; `Missing` where they end before it does.
fn next_chunk(bytes: &Bytes, range: &Range<u64>, key: BlobKey) -> Option<Result<Bytes, BlobError>> {
    let to = range.end.min(range.start.saturating_add(CHUNK));
    if range.start >= to {
        return None;
    }
    let there = usize::try_from(range.start).ok().zip(usize::try_from(to).ok()).filter(|(_, to)| *to <= bytes.len());
    Some(there.map(|(from, to)| bytes.slice(from..to)).ok_or(BlobError::Missing(key)))
}
