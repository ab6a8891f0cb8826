//! What SQLite has committed without waiting for the disk, and what of that is durable by now.
//!
//! Intents alone are committed so: until their bytes leave the spool, which a start sweeps whole, a power cut may take
//! both. Every commit that does wait makes those before it durable, so that under load nobody syncs for an intent.
//! Not here: the commits themselves (`sqlite.rs`).

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::atomic::{AtomicI64, Ordering::SeqCst},
};

/// Ids of intents; they grow in the order of their commits.
pub(super) struct Watermark {
    /// SQLite's write-ahead log.
    log: PathBuf,
    committed: AtomicI64,
    durable: AtomicI64,
}

impl Watermark {
    pub(super) fn new(database: &str) -> Self {
        Self { log: format!("{database}-wal").into(), committed: 0.into(), durable: 0.into() }
    }

    /// Notes an intent whose commit was answered.
    pub(super) fn note(&self, id: i64) {
        self.committed.fetch_max(id, SeqCst);
    }

    /// The newest intent that the next commit makes durable.
    pub(super) fn committed(&self) -> i64 {
        self.committed.load(SeqCst)
    }

    /// A commit that began when `mark` was the newest has written and is durable.
    pub(super) fn rise(&self, mark: i64) {
        self.durable.fetch_max(mark, SeqCst);
    }

    /// Whether a power cut leaves this intent.
    pub(super) fn covers(&self, id: i64) -> bool {
        self.durable.load(SeqCst) >= id
    }

    /// Makes all that was committed durable. Blocks. A failed one is not tried again: the upload fails.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mark = self.committed();
        // Whoever moved the log into the database has synced both.
        File::open(&self.log)?.sync_data()?;
        self.rise(mark);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_is_covered_by_a_later_durable_commit_or_by_a_sync_and_by_no_earlier_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let database = dir.path().join("a.db");
        std::fs::write(dir.path().join("a.db-wal"), b"log").expect("our own folder");
        let mark = Watermark::new(database.to_str().expect("UTF-8"));
        mark.note(1);
        let begun = mark.committed();
        mark.note(2);
        mark.rise(begun);
        assert!(mark.covers(1) && !mark.covers(2));
        mark.sync().expect("it is there");
        assert!(mark.covers(2) && !mark.covers(3));
        std::fs::remove_file(dir.path().join("a.db-wal")).expect("it is there");
        mark.note(3);
        assert!(mark.sync().is_err() && !mark.covers(3), "what cannot be synced is not called durable");
    }
}
