//! The store of bytes on the local disk: publishing, reading, removing, and what spool and store share.
//!
//! Publishing is durable when it answers: the file was synced before (or it is refused), the rename never overwrites,
//! and the folder's fsync, shared among neighbours, comes after it. Not here: the spool's files (`spool.rs`).

use std::{
    collections::HashMap,
    fs,
    io::{self, Read, Write},
    ops::Range,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rustix::{
    fs::{CWD, OFlags, RenameFlags, renameat_with},
    io::Errno,
};
use tokio::sync::oneshot;

use super::{
    ahead::Ahead,
    folder_sync::{Folder, Folders, locked},
    layout::{self, Layout, PROBE, create_file, open_no_follow, remove_if_there},
    read,
    room::{Room, SpoolLimits},
    spool::{DiskSpool, Durable, Entry, Life, scan},
    walking,
};
use crate::{
    domain::{BlobKey, StoreId, Time, consistency::StrangeName},
    ports::{BlobError, BlobStore, BlobStream, MultipartId, Removal, Spooled, Tap, WalkPage, WalkPlace},
};

/// Opens the local store under a root folder, which is made if missing: `root/spool` and `root/blobs`. What lies in
/// the spool already counts against its budget until it is discarded. Blocks.
///
/// # Errors
/// `Unavailable` if a folder of the structure is a symlink, if spool and blobs lie on different file systems, or if
/// the disk fails; `NoSpace` if the folders have no room.
pub fn open(root: &Path, limits: SpoolLimits) -> Result<(DiskSpool, DiskBlobs), BlobError> {
    let layout = Layout::open(root)?;
    let room = Room::open(layout.spool.clone(), limits)?;
    let mut entries = HashMap::new();
    for (key, size) in scan(&layout.spool)? {
        entries.insert(key, Arc::new(Entry::found(room.clone(), size)));
    }
    let folders = Folders::new(layout.blobs.clone());
    let (entries, probing, ahead) = (Mutex::new(entries), Mutex::default(), Ahead::default());
    let disk = Arc::new(Disk { layout, room, entries, folders, probing, ahead });
    Ok((DiskSpool(disk.clone()), DiskBlobs(disk)))
}

/// What the spool and the store of one root share.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) layout: Layout,
    pub(super) room: Arc<Room>,
    /// Every key that lies in the spool or is being written there.
    pub(super) entries: Mutex<HashMap<BlobKey, Arc<Entry>>>,
    folders: Folders,
    probing: Mutex<()>,
    /// What walks through the kept bytes have read ahead.
    ahead: Ahead,
}

/// The store of a local disk. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DiskBlobs(Arc<Disk>);

impl DiskBlobs {
    /// A store without a spool, for reading.
    pub(super) fn over(layout: Layout) -> io::Result<Self> {
        let room = Room::open(layout.blobs.clone(), SpoolLimits::default())?;
        let folders = Folders::new(layout.blobs.clone());
        let (entries, probing, ahead) = (Mutex::default(), Mutex::default(), Ahead::default());
        Ok(Self(Arc::new(Disk { layout, room, entries, folders, probing, ahead })))
    }

    /// Where things lie.
    pub(super) fn layout(&self) -> Layout {
        self.0.layout.clone()
    }

    /// How many folder fsyncs publishing has taken since the start. Fewer than the published files when neighbours
    /// shared them.
    pub fn folder_syncs(&self) -> u64 {
        self.0.folders.syncs()
    }
}

#[async_trait]
impl BlobStore for DiskBlobs {
    /// A rename takes any size at once.
    async fn begin_parts(&self, _key: BlobKey, _size: u64) -> Result<Option<MultipartId>, BlobError> {
        Ok(None)
    }

    async fn publish(&self, spooled: Arc<dyn Spooled>, _parts: Option<MultipartId>) -> Result<(), BlobError> {
        let disk = self.0.clone();
        let (waiter, durable) = oneshot::channel();
        // One hop, not awaited: the leader of an fsync goes on for others after its own answer, and those who find
        // one running leave their thread at once. All are answered over the channel.
        tokio::task::spawn_blocking(move || match disk.rename(spooled.key()) {
            Ok(folder) => {
                crate::fault_point!("U9-renamed");
                folder.sync(waiter);
            }
            Err(e) => drop(waiter.send(Err(e))),
        });
        durable.await.map_err(io::Error::other)?
    }

    async fn open(&self, key: BlobKey, range: Range<u64>, tap: Option<Tap>) -> Result<BlobStream, BlobError> {
        read::open(self.0.layout.kept(key), key, range, tap).await
    }

    /// As durable as [`BlobStore::publish`]: the row that names them goes next, and no power cut brings them back.
    async fn delete(&self, key: BlobKey) -> Result<(), BlobError> {
        let disk = self.0.clone();
        let (waiter, durable) = oneshot::channel();
        tokio::task::spawn_blocking(move || match disk.remove(key) {
            Ok(Some(folder)) => folder.sync(waiter),
            Ok(None) => drop(waiter.send(Ok(()))),
            Err(e) => drop(waiter.send(Err(e.into()))),
        });
        durable.await.map_err(io::Error::other)?
    }

    async fn discard(&self, key: BlobKey, _parts: Option<MultipartId>) -> Result<(), BlobError> {
        self.delete(key).await
    }

    /// A rename goes before or after its discard as a whole, and ends with its process.
    fn lateness(&self) -> Duration {
        Duration::ZERO
    }

    /// There are none.
    async fn abort_parts(&self, _key: BlobKey, _parts: MultipartId) -> Result<Removal, BlobError> {
        Ok(Removal::Gone)
    }

    async fn walk(&self, after: Option<&WalkPlace>, limit: usize) -> Result<WalkPage, BlobError> {
        let (disk, after) = (self.0.clone(), after.cloned());
        off_thread(move || Ok(walking::walk(&disk.layout.blobs, &disk.ahead, after.as_ref(), limit)?)).await
    }

    async fn remove_strange(&self, name: &StrangeName, before: Time) -> Result<Removal, BlobError> {
        let (blobs, name) = (self.0.layout.blobs.clone(), name.clone());
        off_thread(move || Ok(walking::remove_strange(&blobs, &name, before)?)).await
    }

    async fn size(&self, key: BlobKey) -> Result<Option<u64>, BlobError> {
        let path = self.0.layout.kept(key);
        off_thread(move || match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_file() => Ok(Some(meta.len())),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "not a plain file").into()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        })
        .await
    }

    async fn probe(&self) -> Result<(), BlobError> {
        let disk = self.0.clone();
        off_thread(move || Ok(disk.probe()?)).await
    }

    async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        let path = self.0.layout.store_id();
        off_thread(move || Ok(layout::read_store_id(&path)?)).await
    }

    async fn put_store_id(&self, id: StoreId) -> Result<(), BlobError> {
        let disk = self.0.clone();
        off_thread(move || Ok(disk.layout.write_store_id(id)?)).await
    }
}

impl Disk {
    /// Moves a synced upload to its place and returns the folder that is to be synced. Blocks.
    fn rename(&self, key: BlobKey) -> Result<Arc<Folder>, BlobError> {
        let entry = locked(&self.entries).get(&key).cloned().ok_or(BlobError::Missing(key))?;
        if *locked(&entry.durable) != Durable::Synced {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the upload was not synced").into());
        }
        let folder = {
            // Held over the rename: a discard comes wholly before or wholly after it.
            let mut life = locked(&entry.life);
            if *life != Life::Lies {
                return Err(BlobError::Missing(key));
            }
            let folder = self.rename_into_folder(key)?;
            *life = Life::Left;
            folder
        };
        self.forget(key, &entry);
        entry.settle();
        Ok(folder)
    }

    /// Removes bytes and returns the folder that is to be synced, if there is one: also where they were gone, for that may
    /// not be durable yet. Blocks.
    fn remove(&self, key: BlobKey) -> io::Result<Option<Arc<Folder>>> {
        let path = self.layout.kept(key);
        remove_if_there(&path)?;
        match path.parent().is_some_and(std::path::Path::is_dir) {
            true => self.folders.get(&key.to_string()[..8]).map(Some),
            false => Ok(None),
        }
    }

    fn rename_into_folder(&self, key: BlobKey) -> Result<Arc<Folder>, BlobError> {
        let (from, name) = (self.layout.spooled(key), key.to_string());
        let shard = &name[..8];
        let mut folder = self.folders.get(shard)?;
        let attempt = |folder: &Folder| renameat_with(CWD, &from, &folder.handle, &name, RenameFlags::NOREPLACE);
        let mut result = attempt(&folder);
        if result == Err(Errno::NOENT) && from.exists() {
            // Somebody removed the folder that we hold open.
            self.folders.forget(shard);
            folder = self.folders.get(shard)?;
            result = attempt(&folder);
        }
        match result {
            Ok(()) => Ok(folder),
            Err(Errno::NOENT) => Err(BlobError::Missing(key)),
            Err(e) => Err(io::Error::from(e).into()),
        }
    }

    /// Takes a small file the whole way of an upload and removes it. Blocks.
    fn probe(&self) -> io::Result<()> {
        const CONTENT: &[u8] = b"lhfile";
        let _alone = locked(&self.probing);
        let (spooled, kept) = (self.layout.spool.join(PROBE), self.layout.blobs.join(PROBE));
        let outcome = (|| {
            remove_if_there(&spooled)?;
            remove_if_there(&kept)?;
            let mut file = create_file(&spooled)?;
            file.write_all(CONTENT)?;
            file.sync_data()?;
            renameat_with(CWD, &spooled, CWD, &kept, RenameFlags::NOREPLACE)?;
            let mut read = Vec::new();
            open_no_follow(&kept, OFlags::empty())?.take(64).read_to_end(&mut read)?;
            if read == CONTENT { Ok(()) } else { Err(io::Error::from(io::ErrorKind::InvalidData)) }
        })();
        let removed = remove_if_there(&spooled).and_then(|_| remove_if_there(&kept));
        outcome.and(removed.map(drop))
    }
}

/// Runs what blocks off the async threads. It goes on to its end also if nobody waits for it any more.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
