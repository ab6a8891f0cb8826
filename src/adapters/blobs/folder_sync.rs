//! The folder fsync that neighbours share: one runs at a time for each folder, and all who renamed before it started
//! are answered by it.
//!
//! Also makes the folders of the store on demand. Not here: the renames (`disk.rs`).

use std::{
    collections::HashMap,
    fs::{DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use rustix::fs::OFlags;
use tokio::sync::oneshot;

use super::layout::open_no_follow;
use crate::ports::BlobError;

/// Open folders that are kept. Keys made in the same hour share one, so that few are in use.
const KEPT_OPEN: usize = 8;

/// Who waits for a folder's fsync.
pub(super) type Waiter = oneshot::Sender<Result<(), BlobError>>;

/// The folders of the store.
#[derive(Debug)]
pub(super) struct Folders {
    blobs: PathBuf,
    open: Mutex<HashMap<String, Arc<Folder>>>,
    syncs: Arc<AtomicU64>,
}

impl Folders {
    pub(super) fn new(blobs: PathBuf) -> Self {
        Self { blobs, open: Mutex::default(), syncs: Arc::default() }
    }

    /// How many folder fsyncs have been made for publishing.
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Relaxed)
    }

    /// The folder of that name, made if it is missing and durable in its parent. Blocks.
    pub(super) fn get(&self, name: &str) -> io::Result<Arc<Folder>> {
        let mut open = locked(&self.open);
        if let Some(folder) = open.get(name) {
            return Ok(folder.clone());
        }
        let path = self.blobs.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            // Synced also if it was there: its maker may have been killed before this line.
            _ => File::open(&self.blobs)?.sync_all()?,
        }
        let folder = Arc::new(Folder::open(&path, self.syncs.clone())?);
        if open.len() >= KEPT_OPEN {
            // Those in use stay: two handles of one folder would be two groups.
            open.retain(|_, folder| Arc::strong_count(folder) > 1);
        }
        open.insert(name.to_owned(), folder.clone());
        Ok(folder)
    }

    /// Forgets an open folder that somebody removed.
    pub(super) fn forget(&self, name: &str) {
        locked(&self.open).remove(name);
    }
}

/// One folder of the store, kept open.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) handle: File,
    group: SyncGroup,
    syncs: Arc<AtomicU64>,
}

impl Folder {
    fn open(path: &Path, syncs: Arc<AtomicU64>) -> io::Result<Self> {
        Ok(Self { handle: open_no_follow(path, OFlags::DIRECTORY)?, group: SyncGroup::default(), syncs })
    }

    /// Answers the waiter when what happened in this folder before this call is durable. Blocks while it leads.
    pub(super) fn sync(&self, waiter: Waiter) {
        self.group.join(waiter, || {
            self.syncs.fetch_add(1, Relaxed);
            self.handle.sync_all()
        });
    }
}

/// Turns many wishes for the same fsync into few.
#[derive(Debug, Default)]
pub(super) struct SyncGroup {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiter>,
    led: bool,
}

impl SyncGroup {
    /// Queues the waiter. If nobody leads, leads: syncs for all who wait, again for those who came meanwhile, and
    /// returns when nobody waits. Otherwise returns at once, and the leader answers.
    pub(super) fn join(&self, waiter: Waiter, sync: impl Fn() -> io::Result<()>) {
        {
            let mut queue = locked(&self.queue);
            queue.waiting.push(waiter);
            if queue.led {
                return;
            }
            queue.led = true;
        }
        loop {
            let batch = {
                let mut queue = locked(&self.queue);
                if queue.waiting.is_empty() {
                    queue.led = false;
                    return;
                }
                std::mem::take(&mut queue.waiting)
            };
            // Never tried again for this batch: after a failed fsync the next one may lie.
            let result = sync();
            for waiter in batch {
                // One who does not wait any more needs no answer.
                let _ = waiter.send(result.as_ref().copied().map_err(|e| copy_of(e).into()));
            }
        }
    }
}

fn copy_of(e: &io::Error) -> io::Error {
    e.raw_os_error().map_or_else(|| io::Error::new(e.kind(), e.to_string()), io::Error::from_raw_os_error)
}

/// The lock's content also after a panic elsewhere: every section here leaves it whole.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
