//! A store of bytes that is filled from another one, or that another process serves.
//!
//! What lies there is listed whole, because most of it is asked for; names that are none of ours are told and left alone.
//! Not here: which bytes are copied (`app/moving/`), and how they are published (`disk.rs`, `s3/publish.rs`).

use std::{fs, io, path::Path};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use object_store::ObjectStore as _;

use super::{
    disk::{DiskBlobs, off_thread},
    layout::{Layout, PROBE, STORE_ID as STORE_ID_FILE},
    s3::{PROBE as PROBE_OBJECT, S3Blobs, STORE_ID as STORE_ID_OBJECT, failed, place::ASKING},
};
use crate::{
    domain::BlobKey,
    ports::{BlobError, BlobTarget, Lying},
};

/// Counts one name.
fn note(lying: &mut Lying, name: &str, size: u64) {
    match name.parse::<BlobKey>() {
        Ok(key) => {
            lying.bytes.insert(key, size);
        }
        Err(_) => {
            let (number, _) = lying.strange.get_or_insert_with(|| (0, name.to_owned()));
            *number += 1;
        }
    }
}

/// Walks the folders. Blocks.
fn walk(layout: &Layout) -> io::Result<Lying> {
    let mut lying = Lying::default();
    for shard in fs::read_dir(&layout.blobs)? {
        let shard = shard?;
        let name = shard.file_name().to_string_lossy().into_owned();
        if !shard.file_type()?.is_dir() {
            if name != PROBE && name != STORE_ID_FILE && name != format!("{STORE_ID_FILE}.next") {
                note(&mut lying, &format!("blobs/{name}"), 0);
            }
            continue;
        }
        for file in fs::read_dir(shard.path())? {
            let file = file?;
            let own = file.file_name().to_string_lossy().into_owned();
            let plain = file.file_type()?.is_file() && own.starts_with(&name) && own.parse::<BlobKey>().is_ok();
            let size = if plain { file.metadata()?.len() } else { 0 };
            let shown = format!("blobs/{name}/{own}");
            note(&mut lying, if plain { &own } else { &shown }, size);
        }
    }
    Ok(lying)
}

#[async_trait]
impl BlobTarget for DiskBlobs {
    async fn list(&self) -> Result<Lying, BlobError> {
        let layout = self.layout();
        off_thread(move || Ok(walk(&layout)?)).await
    }

    /// A rename is whole; what lies in the spool is discarded when its name comes again.
    async fn clear(&self) -> Result<(), BlobError> {
        Ok(())
    }
}

#[async_trait]
impl BlobTarget for S3Blobs {
    async fn list(&self) -> Result<Lying, BlobError> {
        let prefix = self.prefix();
        let mut found = self.store().list(prefix.as_ref());
        let mut lying = Lying::default();
        loop {
            let next = tokio::time::timeout(ASKING * 2, found.try_next()).await;
            let late =
                |_| BlobError::Unavailable(io::Error::new(io::ErrorKind::TimedOut, "the objects are not listed"));
            let Some(object) = next.map_err(late)?.map_err(failed)? else { return Ok(lying) };
            let path = object.location.as_ref();
            let name = prefix.as_ref().map_or(path, |p| path.strip_prefix(p.as_ref()).unwrap_or(path));
            let name = name.trim_start_matches('/');
            if name != STORE_ID_OBJECT && name != PROBE_OBJECT {
                note(&mut lying, name, object.size);
            }
        }
    }

    async fn clear(&self) -> Result<(), BlobError> {
        self.abort_parts_of_all().await
    }
}

/// The store under a root that another process serves, for reading: nothing is made there, and nothing removed.
///
/// # Errors
/// `Unavailable` if there is none, or if it cannot be trusted (as [`super::open`]).
pub fn open_beside(root: &Path) -> Result<DiskBlobs, BlobError> {
    Ok(DiskBlobs::over(Layout::beside(root)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_lies_on_a_disk_is_told_and_what_is_strange_too() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(open_beside(dir.path()).is_err(), "nothing is made there");
        let key = "00".repeat(16);
        let shard = dir.path().join("blobs/00000000");
        fs::create_dir_all(&shard).expect("made");
        fs::create_dir_all(dir.path().join("spool")).expect("made");
        fs::write(shard.join(&key), b"four").expect("written");
        fs::write(dir.path().join("blobs/store_id"), b"x").expect("written");
        let blobs = open_beside(dir.path()).expect("there");
        let lying = blobs.list().await.expect("listed");
        assert_eq!((lying.bytes.get(&key.parse().expect("a key")), lying.strange), (Some(&4), None));
        for name in ["blobs/notes.txt", "blobs/00000000/notes.txt", "blobs/00000000/11111111111111111111111111111111"] {
            fs::write(dir.path().join(name), b"x").expect("written");
        }
        let strange = blobs.list().await.expect("listed").strange.expect("there are some");
        assert_eq!(strange.0, 3, "{strange:?}");
        std::os::unix::fs::symlink("/etc", dir.path().join("blobs/11111111")).expect("linked");
        assert!(open_beside(dir.path()).is_err(), "a symlink");
    }
}
