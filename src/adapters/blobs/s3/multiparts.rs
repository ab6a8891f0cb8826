//! Uploads in parts: begun once, aborted by their id and by a look at what is open under their key.
//!
//! The look is for an upload whose id was lost: the answer that told it, or the process that was to write it down.
//! Not here: the list that is looked at (`asking.rs`), and the parts (`publish.rs`).

use std::io;

use object_store::{ObjectStoreExt as _, aws::AmazonS3, multipart::MultipartStore as _, path::Path};

use super::{
    S3Place,
    asking::{Asking, Open},
    broken, failed, is_not_there,
    place::{ASKING, within},
};
use crate::{
    domain::BlobKey,
    ports::{BlobError, MultipartId, Removal},
};

/// Looks under one key. There is one upload in parts, or one more for each answer that was lost.
const LOOKS: usize = 10;
/// Uploads in parts that one look sees.
const SEEN: usize = 1_000;

/// The uploads in parts of a bucket.
pub(super) struct Multiparts {
    once: AmazonS3,
    asking: Asking,
}

fn still_there() -> BlobError {
    broken(io::ErrorKind::Other, "uploads in parts are still there after they were aborted")
}

impl Multiparts {
    pub(super) fn new(place: &S3Place) -> Result<Self, BlobError> {
        Ok(Self { once: place.store_that_asks_once()?, asking: Asking::new(place)? })
    }

    pub(super) async fn begin(&self, object: &Path) -> Result<MultipartId, BlobError> {
        within(ASKING, self.once.create_multipart(object)).await?.map_err(failed).map(MultipartId)
    }

    /// Leaves none under this key, whose bytes are to go too.
    pub(super) async fn abort_all(&self, object: &Path, known: Option<MultipartId>) -> Result<(), BlobError> {
        if let Some(MultipartId(id)) = known {
            self.abort(object, &id).await?;
        }
        for _ in 0..LOOKS {
            let mut open = self.list(object.as_ref()).await?;
            // The prefix is a whole key; one that only begins with it is none of ours.
            open.retain(|open| open.key == object.as_ref());
            if open.is_empty() {
                return Ok(());
            }
            let mut any = false;
            for Open { upload_id, .. } in open {
                any |= self.abort(object, &upload_id).await?;
            }
            if !any {
                // Listed, and not there to be aborted: a store that is interrupted while it begins one leaves half of it
                // (garage 2.5). What is removed under a key ends that, too.
                match within(ASKING, self.once.delete(object)).await? {
                    Err(error) if !is_not_there(&error) => return Err(failed(error)),
                    Ok(()) | Err(_) => {}
                }
            }
        }
        Err(still_there())
    }

    /// Leaves none under any key that begins with this prefix.
    pub(super) async fn abort_under(&self, prefix: &str) -> Result<(), BlobError> {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        loop {
            let mut open = self.list(&prefix).await?;
            // Below a prefix there may be another store's.
            open.retain(|open| open.key.strip_prefix(&prefix).is_some_and(|name| name.parse::<BlobKey>().is_ok()));
            if open.is_empty() {
                return Ok(());
            }
            let mut any = false;
            for Open { key, upload_id, .. } in open {
                any |= self.abort(&Path::from(key), &upload_id).await?;
            }
            if !any {
                // What lies under these keys may be wanted: it is not removed to end them.
                return Err(still_there());
            }
        }
    }

    /// Ends the one of this id, and looks whether it is gone where the store says that it was not there.
    pub(super) async fn abort_one(&self, object: &Path, id: &str) -> Result<Removal, BlobError> {
        if self.abort(object, id).await? {
            return Ok(Removal::Removed);
        }
        let open = self.list(object.as_ref()).await?;
        let listed = open.iter().any(|open| open.key == object.as_ref() && open.upload_id == id);
        Ok(if listed { Removal::Refused } else { Removal::Gone })
    }

    /// `false`: there was none of this id.
    pub(super) async fn abort(&self, object: &Path, id: &str) -> Result<bool, BlobError> {
        match within(ASKING, self.once.abort_multipart(object, &id.to_owned())).await? {
            Ok(()) => Ok(true),
            Err(error) if is_not_there(&error) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Open>, BlobError> {
        Ok(self.asking.uploads(prefix, ("", ""), SEEN).await?.uploads)
    }
}
