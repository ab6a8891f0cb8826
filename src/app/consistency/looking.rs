//! What is looked at, and what it is: a blob's bytes, and a thing that lies in a store and that a row may name.
//!
//! Both the checks that people ask for and the tasks of maintenance go by this. Names are asked for after the listing, so
//! that what a row began to name meanwhile is named. Not here: the walks (the parent module, `maintenance/`), and removing.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::StreamExt as _;
use sha2::Digest as _;

use super::super::{App, Error};
use crate::{
    domain::{
        Blob, BlobKey, BlobState, Settings, Sha256, Time, VerdictKind,
        consistency::{FindingKind, Place, What},
        settings::AntivirusScope,
    },
    ports::{BlobError, Found, NamedBy},
};

/// The system's number for what a disk cannot read.
const EIO: i32 = 5;

/// What the store does not give is asked for again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Most characters of a store's words that are told.
const LONGEST_ERROR: usize = 300;

/// What a blob's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Looked {
    /// As they should be.
    Sound,
    /// The blob is on its way out, or gone: it needs none.
    Leaving,
    /// Not as they should be; and how many there are.
    Damaged(FindingKind, u64),
    /// The store works, and does not give these. `sized`: it told how many there are.
    Unreadable {
        /// Why, in its words.
        error: String,
        sized: bool,
    },
}

impl Looked {
    fn unreadable(error: &BlobError, sized: bool) -> Self {
        Self::Unreadable { error: error.to_string().chars().take(LONGEST_ERROR).collect(), sized }
    }
}

/// What of some things that lie in a store is not named.
#[derive(Debug, Default)]
pub(in super::super) struct Unnamed {
    /// What is old enough.
    pub(in super::super) old: Vec<What>,
    /// How many things are too young to be told.
    pub(in super::super) young: u64,
}

/// The blob is served though nobody knows its bytes to be clean, while scanning is in force. Whose upload it was is not
/// known of a blob: where only visitors' are scanned, one that was not scanned says nothing.
pub(in super::super) fn is_unscanned(blob: &Blob, settings: &Settings) -> bool {
    if !settings.antivirus_enabled || blob.state != BlobState::Active {
        return false;
    }
    match blob.verdict.kind {
        VerdictKind::Clean | VerdictKind::UnscannableAccepted | VerdictKind::Released => false,
        VerdictKind::Infected => true,
        VerdictKind::NotScanned => settings.antivirus_scope == AntivirusScope::Everyone,
    }
}

impl App {
    /// Looks for a blob's bytes, and reads them if it is to hash them. Told as damaged, or not to be had, only what a second
    /// look finds so, with the row as it is by then. An error where the store does not work at all, or the database.
    pub(in super::super) async fn look_at_blob(&self, blob: &Blob, hash: bool) -> Result<Looked, Error> {
        if blob.state == BlobState::Purging {
            return Ok(Looked::Leaving);
        }
        let mut looked = self.look_once(blob, hash).await;
        if looked == Looked::Sound {
            return Ok(looked);
        }
        if let Looked::Unreadable { .. } = looked {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        if self.is_leaving(blob).await? {
            return Ok(Looked::Leaving);
        }
        looked = self.look_once(blob, hash).await;
        if let Looked::Unreadable { error, .. } = &looked {
            tracing::warn!(key = %blob.key, error, "the store does not give these bytes");
            match self.blobs.probe().await {
                // A store that has no more room gives what it has.
                Ok(()) | Err(BlobError::NoSpace(_)) => {}
                Err(down) => return Err(down.into()),
            }
        }
        if looked != Looked::Sound && self.is_leaving(blob).await? {
            return Ok(Looked::Leaving);
        }
        Ok(looked)
    }

    async fn is_leaving(&self, blob: &Blob) -> Result<bool, Error> {
        let now = self.store.find_blob_to_check(blob.id).await?;
        Ok(now.is_none_or(|now| now.state == BlobState::Purging))
    }

    async fn look_once(&self, blob: &Blob, hash: bool) -> Looked {
        let size = match self.blobs.size(blob.key).await {
            Ok(size) => size,
            // There is something that is no file.
            Err(BlobError::Unavailable(e)) if e.kind() == io::ErrorKind::InvalidData => None,
            Err(error) => return Looked::unreadable(&error, false),
        };
        match size {
            None => return Looked::Damaged(FindingKind::BytesMissing, 0),
            Some(found) if found != blob.size => return Looked::Damaged(FindingKind::WrongSize, found),
            Some(_) => {}
        }
        if !hash {
            return Looked::Sound;
        }
        match self.hash(blob.key, blob.size).await {
            Ok(found) if found == blob.sha256 => Looked::Sound,
            Ok(_) => Looked::Damaged(FindingKind::WrongHash, blob.size),
            Err(BlobError::Missing(_)) => Looked::Damaged(FindingKind::BytesMissing, 0),
            // The disk itself says that it lost some of them.
            Err(BlobError::Unavailable(e)) if e.raw_os_error() == Some(EIO) => {
                Looked::Damaged(FindingKind::WrongHash, 0)
            }
            Err(error) => Looked::unreadable(&error, true),
        }
    }

    /// Read to the end, and hashed where reading blocks.
    async fn hash(&self, key: BlobKey, size: u64) -> Result<Sha256, BlobError> {
        let hash = Arc::new(Mutex::new(sha2::Sha256::new()));
        let seen = Arc::clone(&hash);
        let tap = move |chunk: &[u8]| seen.lock().unwrap_or_else(PoisonError::into_inner).update(chunk);
        let mut stream = self.blobs.open(key, 0..size, Some(Box::new(tap))).await?;
        while let Some(chunk) = stream.next().await {
            chunk?;
        }
        let hash = hash.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Sha256(hash.finalize().into()))
    }

    /// Which of these things no row names, asked now. Those that were changed at `cut` or later are young. `to_remove`:
    /// refused where nothing may be removed.
    pub(in super::super) async fn find_unnamed(
        &self,
        found: Vec<Found>,
        place: Place,
        cut: Time,
        to_remove: bool,
    ) -> Result<Unnamed, Error> {
        let keys = found.iter().filter_map(|found| match found {
            Found::Bytes { key, .. } | Found::Parts { key, .. } => Some(*key),
            Found::Strange { .. } => None,
        });
        let keys: Vec<BlobKey> = keys.collect();
        let named = self.store.list_named(&keys, self.store_id, to_remove).await?;
        let named: HashMap<BlobKey, NamedBy> = named.into_iter().collect();
        let mut unnamed = Unnamed::default();
        for found in found {
            let (at, what) = match found {
                Found::Bytes { key, .. } if is_named(&named, key, place == Place::Blobs) => continue,
                // A blob needs no upload in parts any more.
                Found::Parts { key, .. } if is_named(&named, key, false) => continue,
                Found::Bytes { key, size, modified: at } if place == Place::Blobs => {
                    (at, What::Bytes { key, size, at })
                }
                Found::Bytes { key, size, modified: at } => (at, What::Spooled { key, size, at }),
                Found::Parts { key, id, begun: at } => (at, What::Parts { key, id: id.0, at }),
                Found::Strange { name, size, modified: at, plain } => {
                    (at, What::Strange { place, name, size, at, plain })
                }
            };
            if at < cut {
                unnamed.old.push(what);
            } else {
                unnamed.young += 1;
            }
        }
        Ok(unnamed)
    }
}

/// An upload names the key; `or_blob`: or a blob does.
fn is_named(named: &HashMap<BlobKey, NamedBy>, key: BlobKey, or_blob: bool) -> bool {
    named.get(&key).is_some_and(|by| by.upload || (or_blob && by.blob))
}
