//! The spool on the local disk: one file for each upload, written without copying, charged to the room.
//!
//! What lies there is an `Entry` in a table, so that a discarded upload cannot come back and only a synced one is
//! published. Not here: publishing (`disk.rs`), the account (`room.rs`).

use std::{
    fs::{self, File},
    io::{self, IoSlice, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    disk::{Disk, off_thread},
    folder_sync::locked,
    layout::{PROBE, create_file, remove_if_there},
    room::Room,
    walking,
};
use crate::{
    domain::{BlobKey, Time, consistency::StrangeName},
    ports::{BlobError, ByteSource, Found, ReadSeek, Removal, Spool, SpoolWriter, Spooled},
};

/// The spool of a local disk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DiskSpool(pub(super) Arc<Disk>);

/// What is known of one key in the spool.
#[derive(Debug)]
pub(super) struct Entry {
    room: Arc<Room>,
    bytes: AtomicU64,
    pub(super) life: Mutex<Life>,
    pub(super) durable: Mutex<Durable>,
}

/// Whether the key's file may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Nothing written yet.
    New,
    /// The file was made.
    Lies,
    /// It was discarded or published: nothing may come under this key again.
    Left,
}

/// What the disk said of the key's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durable {
    /// Nobody asked.
    Unknown,
    /// They are durable.
    Synced,
    /// They may be lost, whatever a later sync says.
    Failed,
}

impl Entry {
    pub(super) fn new(room: Arc<Room>, life: Life) -> Self {
        Self { room, bytes: 0.into(), life: Mutex::new(life), durable: Mutex::new(Durable::Unknown) }
    }

    /// What an earlier process left.
    pub(super) fn found(room: Arc<Room>, bytes: u64) -> Self {
        room.count(bytes);
        let entry = Self::new(room, Life::Lies);
        entry.bytes.store(bytes, Relaxed);
        entry
    }

    fn charge(&self, bytes: u64) -> io::Result<()> {
        self.room.charge(bytes)?;
        self.bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Its bytes do not lie in the spool any more.
    pub(super) fn settle(&self) {
        self.room.release(self.bytes.swap(0, Relaxed));
    }
}

impl Drop for Entry {
    /// A discarded file takes its room until the last handle of it is closed.
    fn drop(&mut self) {
        self.settle();
    }
}

#[async_trait]
impl Spool for DiskSpool {
    fn room_bytes(&self) -> u64 {
        self.0.room.left()
    }

    fn budget_bytes(&self) -> u64 {
        self.0.room.budget()
    }

    fn writer(&self, key: BlobKey) -> Box<dyn SpoolWriter> {
        let mut entries = locked(&self.0.entries);
        let entry = (!entries.contains_key(&key)).then(|| {
            let entry = Arc::new(Entry::new(self.0.room.clone(), Life::New));
            entries.insert(key, entry.clone());
            entry
        });
        Box::new(Writer { disk: self.0.clone(), key, entry, file: None, size: 0, failed: false })
    }

    async fn discard(&self, key: BlobKey) -> Result<bool, BlobError> {
        let disk = self.0.clone();
        off_thread(move || Ok(disk.discard(key)?)).await
    }

    async fn list(&self) -> Result<Vec<BlobKey>, BlobError> {
        let disk = self.0.clone();
        off_thread(move || {
            let found = scan(&disk.layout.spool)?;
            Ok(found.into_iter().map(|(key, _)| key).collect())
        })
        .await
    }

    async fn look(&self) -> Result<Vec<Found>, BlobError> {
        let disk = self.0.clone();
        off_thread(move || Ok(walking::look_at_spool(&disk.layout.spool)?)).await
    }

    async fn remove_strange(&self, name: &StrangeName, before: Time) -> Result<Removal, BlobError> {
        let (disk, name) = (self.0.clone(), name.clone());
        off_thread(move || Ok(walking::remove_strange(&disk.layout.spool, &name, before)?)).await
    }
}

/// The keys in the folder with their sizes. Foreign names are told by their number and left alone.
pub(super) fn scan(folder: &Path) -> io::Result<Vec<(BlobKey, u64)>> {
    let (mut keys, mut foreign) = (Vec::new(), 0_u64);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_name().to_str().map(str::parse::<BlobKey>) {
            Some(Ok(key)) if entry.file_type()?.is_file() => match entry.metadata() {
                Ok(meta) => keys.push((key, meta.len())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            },
            _ if entry.file_name() == PROBE => {}
            _ => foreign += 1,
        }
    }
    if foreign > 0 {
        tracing::warn!(foreign, "the spool holds names that are not ours; they are left alone");
    }
    Ok(keys)
}

impl Disk {
    /// Removes the key's file and sees to it that its writer makes no other. Blocks.
    fn discard(&self, key: BlobKey) -> io::Result<bool> {
        let entry = locked(&self.entries).get(&key).cloned();
        let Some(entry) = entry else { return remove_if_there(&self.layout.spooled(key)) };
        let mut there = false;
        {
            let mut life = locked(&entry.life);
            // Published already: the name in the spool is nobody's.
            if *life != Life::Left {
                there = remove_if_there(&self.layout.spooled(key))?;
                *life = Life::Left;
            }
        }
        self.forget(key, &entry);
        Ok(there)
    }

    /// Takes the entry off the table. Never under an entry's lock.
    pub(super) fn forget(&self, key: BlobKey, entry: &Arc<Entry>) {
        let mut entries = locked(&self.entries);
        if entries.get(&key).is_some_and(|known| Arc::ptr_eq(known, entry)) {
            entries.remove(&key);
        }
    }
}

struct Writer {
    disk: Arc<Disk>,
    key: BlobKey,
    /// None if the key was taken: every write fails.
    entry: Option<Arc<Entry>>,
    file: Option<File>,
    size: u64,
    failed: bool,
}

impl Writer {
    fn append(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        let total = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let entry = self.create()?;
        entry.charge(total)?;
        let Some(file) = &mut self.file else { return Err(left()) };
        let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = &mut slices[..];
        // Also drops leading empty slices, which would read as a disk that takes nothing.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.size += total;
        Ok(())
    }

    /// Makes the file before the first write. Fails after a discard.
    fn create(&mut self) -> io::Result<Arc<Entry>> {
        let entry = self.entry.clone().ok_or(io::ErrorKind::AlreadyExists)?;
        {
            // Held while the file is made: a discard comes wholly before, or finds the file.
            let mut life = locked(&entry.life);
            match *life {
                Life::New => {
                    self.file = Some(create_file(&self.disk.layout.spooled(self.key))?);
                    *life = Life::Lies;
                    crate::fault_point!("U4-made");
                }
                Life::Lies => {}
                Life::Left => return Err(left()),
            }
        }
        Ok(entry)
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
        match (self.entry.clone(), self.file.take()) {
            (Some(entry), Some(file)) => {
                Ok(Arc::new(SpooledFile { key: self.key, size: self.size, file: Arc::new(file), entry }))
            }
            _ => Err(left()),
        }
    }
}

impl Drop for Writer {
    /// A writer that made nothing leaves nothing, not even in the table.
    fn drop(&mut self) {
        let Some(entry) = &self.entry else { return };
        let new = *locked(&entry.life) == Life::New;
        if new {
            self.disk.forget(self.key, entry);
        }
    }
}

fn left() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the upload has left the spool")
}

/// A sealed upload. Keeps the descriptor it was written by: the one that is sure to be told of a lost write.
pub(super) struct SpooledFile {
    pub(super) key: BlobKey,
    pub(super) size: u64,
    pub(super) file: Arc<File>,
    pub(super) entry: Arc<Entry>,
}

impl Spooled for SpooledFile {
    fn key(&self) -> BlobKey {
        self.key
    }

    fn sync(&self) -> io::Result<()> {
        let mut durable = locked(&self.entry.durable);
        match *durable {
            Durable::Synced => Ok(()),
            Durable::Failed => Err(io::Error::other("an earlier sync of this upload failed")),
            Durable::Unknown => {
                let result = self.file.sync_data();
                *durable = if result.is_ok() { Durable::Synced } else { Durable::Failed };
                result
            }
        }
    }

    fn is_synced(&self) -> bool {
        // Held while it is being synced: not yet, then.
        self.entry.durable.try_lock().is_ok_and(|durable| *durable == Durable::Synced)
    }
}

impl ByteSource for SpooledFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn reader(&self) -> io::Result<Box<dyn ReadSeek>> {
        Ok(Box::new(Positioned { file: self.file.clone(), at: 0, size: self.size }))
    }
}

/// A reader with a position of its own on a shared descriptor.
struct Positioned {
    file: Arc<File>,
    at: u64,
    size: u64,
}

impl Read for Positioned {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Positioned {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
