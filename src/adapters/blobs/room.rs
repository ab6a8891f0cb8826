//! How many bytes may lie in the spool: its own budget, and what the disk has free above the reserve.
//!
//! Every byte is charged before it is written and released when it has left the spool. Not here: who writes them
//! (`spool.rs`).

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

/// How old the figure of the disk's free bytes gets.
const REFRESH: Duration = Duration::from_millis(500);

/// The bounds of the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Bytes that may lie in the spool at once, over all uploads.
    pub budget_bytes: u64,
    /// Percent of the file system, 0 to 100, that uploads leave free.
    pub reserve_percent: u8,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        Self { budget_bytes: 4 << 30, reserve_percent: 5 }
    }
}

/// The account of the spool's bytes.
#[derive(Debug)]
pub(super) struct Room {
    limits: SpoolLimits,
    folder: PathBuf,
    used: AtomicU64,
    /// Free on the disk above the reserve, at the last look, less what was charged since.
    pub(super) free: AtomicU64,
    /// Ends the thread that looks, by being dropped.
    _looked_at: mpsc::Sender<()>,
}

impl Room {
    /// Looks at the disk now, and from now on twice a second on a thread of its own, so that asking never blocks.
    pub(super) fn open(folder: PathBuf, limits: SpoolLimits) -> io::Result<Arc<Self>> {
        let (alive, ended) = mpsc::channel::<()>();
        let room = Arc::new(Self { limits, folder, used: 0.into(), free: 0.into(), _looked_at: alive });
        room.look()?;
        let watched = Arc::downgrade(&room);
        thread::Builder::new().name("lhfile-room".into()).spawn(move || {
            while ended.recv_timeout(REFRESH) == Err(mpsc::RecvTimeoutError::Timeout) {
                // A file system that does not answer keeps its last figure: the writes will tell.
                if let Some(Err(e)) = watched.upgrade().map(|room| room.look()) {
                    tracing::warn!(error = %e, "the disk does not tell its free bytes");
                }
            }
        })?;
        Ok(room)
    }

    /// Bytes that may ever be charged at once.
    pub(super) fn budget(&self) -> u64 {
        self.limits.budget_bytes
    }

    /// Bytes that may be charged now. Never blocks.
    pub(super) fn left(&self) -> u64 {
        self.limits.budget_bytes.saturating_sub(self.used.load(Relaxed)).min(self.free.load(Relaxed))
    }

    /// Charges bytes that are about to be written: `StorageFull` if they have no room. May ask the disk.
    pub(super) fn charge(&self, bytes: u64) -> io::Result<()> {
        let within = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limits.budget_bytes);
        if self.used.fetch_update(Relaxed, Relaxed, within).is_err() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the spool's budget is used up"));
        }
        let taken = self.take_free(bytes).or_else(|| {
            self.look().ok()?;
            self.take_free(bytes)
        });
        taken.ok_or_else(|| {
            self.release(bytes);
            io::Error::new(io::ErrorKind::StorageFull, "the disk is full up to its reserve")
        })
    }

    /// Counts bytes that lie in the spool already.
    pub(super) fn count(&self, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
    }

    /// Gives back bytes that have left the spool.
    pub(super) fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    fn take_free(&self, bytes: u64) -> Option<()> {
        self.free.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(bytes)).ok().map(|_| ())
    }

    fn look(&self) -> io::Result<()> {
        let fs = rustix::fs::statvfs(&self.folder)?;
        let reserve = u128::from(fs.f_blocks) * u128::from(fs.f_frsize) * u128::from(self.limits.reserve_percent) / 100;
        let free = u128::from(fs.f_bavail) * u128::from(fs.f_frsize);
        self.free.store(u64::try_from(free.saturating_sub(reserve)).unwrap_or(u64::MAX), Relaxed);
        Ok(())
    }
}
