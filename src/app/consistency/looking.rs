//! What is looked at, and what it is: a blob's bytes, and a thing that lies in a store and that a row may name.
//!
//! Both the checks that people ask for and the tasks of maintenance go by this. Names are asked for after the listing, so
//! that what a row began to name meanwhile is named. Not here: the walks (the parent module, `maintenance/`), and removing.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError},
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

/// What a blob's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Looked {
    /// As they should be.
    Sound,
    /// The blob is on its way out, or gone: it needs none.
    Leaving,
    /// Not as they should be; and how many there are.
    Damaged(FindingKind, u64),
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
    /// Looks for a blob's bytes, and reads them if it is to hash them. Told as damaged only what a second look finds so,
    /// with the row as it is by then.
    pub(in super::super) async fn look_at_blob(&self, blob: &Blob, hash: bool) -> Result<Looked, Error> {
        if blob.state == BlobState::Purging {
            return Ok(Looked::Leaving);
        }
        let mut looked = self.look_once(blob, hash).await?;
        if looked != Looked::Sound {
            match self.store.find_blob_to_check(blob.id).await? {
                Some(again) if again.state != BlobState::Purging => looked = self.look_once(blob, hash).await?,
                Some(_) | None => return Ok(Looked::Leaving),
            }
        }
        if let Looked::Damaged(..) = looked {
            match self.store.find_blob_to_check(blob.id).await? {
                Some(again) if again.state != BlobState::Purging => {}
                Some(_) | None => return Ok(Looked::Leaving),
            }
        }
        Ok(looked)
    }

    async fn look_once(&self, blob: &Blob, hash: bool) -> Result<Looked, Error> {
        let size = match self.blobs.size(blob.key).await {
            // There is something that is no file.
            Err(BlobError::Unavailable(e)) if e.kind() == io::ErrorKind::InvalidData => None,
            size => size?,
        };
        match size {
            None => return Ok(Looked::Damaged(FindingKind::BytesMissing, 0)),
            Some(found) if found != blob.size => return Ok(Looked::Damaged(FindingKind::WrongSize, found)),
            Some(_) => {}
        }
        if !hash {
            return Ok(Looked::Sound);
        }
        match self.hash(blob.key, blob.size).await {
            Ok(found) if found == blob.sha256 => Ok(Looked::Sound),
            Ok(_) => Ok(Looked::Damaged(FindingKind::WrongHash, blob.size)),
            Err(BlobError::Missing(_)) => Ok(Looked::Damaged(FindingKind::BytesMissing, 0)),
            // The disk itself says that it lost some of them.
            Err(BlobError::Unavailable(e)) if e.raw_os_error() == Some(EIO) => {
                Ok(Looked::Damaged(FindingKind::WrongHash, 0))
            }
            Err(error) => Err(error.into()),
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
