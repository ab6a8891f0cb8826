//! A store of bytes seen from outside, by who only looks: nothing is made, nothing is moved, no spool is needed.
//!
//! Not here: the stores themselves (`disk.rs`, `s3.rs`).

use std::{fs, io, path::PathBuf};

use super::{S3Place, disk::off_thread, layout};
use crate::{
    domain::{BlobKey, StoreId},
    ports::BlobError,
};

/// Which store.
#[derive(Debug, Clone)]
pub enum Outside {
    /// The one under this root folder, which need not be there.
    Disk(PathBuf),
    /// The one in this bucket.
    S3(S3Place),
}

impl Outside {
    /// The id of the store, if it has one.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer us, or holds what is no id.
    pub async fn store_id(&self) -> Result<Option<StoreId>, BlobError> {
        match self.clone() {
            Self::S3(place) => place.store_id().await,
            Self::Disk(root) => {
                off_thread(move || Ok(layout::read_store_id(&layout::Layout::of(&root).store_id())?)).await
            }
        }
    }

    /// The bytes are there.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer us.
    pub async fn holds(&self, key: BlobKey) -> Result<bool, BlobError> {
        match self.clone() {
            Self::S3(place) => place.holds(key).await,
            Self::Disk(root) => {
                off_thread(move || match fs::symlink_metadata(layout::Layout::of(&root).kept(key)) {
                    Ok(meta) => Ok(meta.is_file()),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
                    Err(e) => Err(e.into()),
                })
                .await
            }
        }
    }
}
