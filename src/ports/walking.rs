//! What lies in a store of bytes and in a spool, as their walks find it.
//!
//! Not here: the ports that are walked (`blobs.rs`), and what is concluded from it (`app/consistency.rs`,
//! `app/maintenance/sweeping.rs`).

use super::MultipartId;
use crate::domain::{BlobKey, Time, consistency::StrangeName};

/// Where a walk goes on: what the store's adapter makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkPlace(pub Vec<u8>);

/// One thing that lies there. Times are the store's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Bytes under a key of ours.
    Bytes {
        /// The key.
        key: BlobKey,
        /// How many.
        size: u64,
        /// When they were written.
        modified: Time,
    },
    /// An upload in parts that is open.
    Parts {
        /// To which key.
        key: BlobKey,
        /// Its id.
        id: MultipartId,
        /// When it was begun.
        begun: Time,
    },
    /// A name that is none of ours.
    Strange {
        /// The name.
        name: StrangeName,
        /// How many bytes are there.
        size: u64,
        /// When it was changed last.
        modified: Time,
        /// It is a plain file or object of one name: [`super::BlobStore::remove_strange`] may remove it.
        plain: bool,
    },
}

/// Some of what lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkPage {
    /// What was found; may be nothing though there is more.
    pub found: Vec<Found>,
    /// Where the next page begins. `None`: the walk has come to its end.
    pub next: Option<WalkPlace>,
}

/// What became of a name that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone now.
    Removed,
    /// It was not there.
    Gone,
    /// It was changed at the given moment or later.
    Young,
    /// It is none that may be removed: ours, a symlink, a folder, or of a place that is not ours.
    Refused,
}
