//! What the service does with a store, each thing tried once, so that a permission that is missing is told by its name at
//! the start and not by an upload, or by a removal, months later.
//!
//! Not here: the probe that goes on while the node lives (`s3.rs`).

use std::io;

use object_store::{Error, ObjectStoreExt as _, aws::AmazonS3};

use super::{
    PROBE, S3Place, broken, failed, is_not_there,
    multiparts::Multiparts,
    named,
    place::{ASKING, within},
};
use crate::ports::BlobError;

/// An object that is never there.
const NOTHING: &str = "lhfile-nothing";

/// Tries everything, under names of its own, and removes what it made.
pub(super) async fn check(place: &S3Place, store: &AmazonS3, multiparts: &Multiparts) -> Result<(), BlobError> {
    let allow =
        |permission: &'static str, what: &'static str| move |error: BlobError| told(place, permission, what, error);
    let probe = named(&place.prefix, PROBE);
    // Nodes probe at once, under one name, so that a killed one leaves nothing that another does not remove.
    let put = within(ASKING, store.put(&probe, "lhfile".into())).await;
    put.and_then(|put| put.map_err(failed)).map_err(allow("s3:PutObject", "put an object"))?;
    let read = within(ASKING, async { store.get(&probe).await?.bytes().await }).await;
    match read.map_err(allow("s3:GetObject", "read an object"))? {
        Ok(_) => {}
        // Another node's probe was faster with its removal.
        Err(error) if is_not_there(&error) => {}
        Err(error) => return Err(allow("s3:GetObject", "read an object")(failed(error))),
    }
    // Who may not list is told that what is not there is forbidden.
    let asked = within(ASKING, store.head(&named(&place.prefix, NOTHING))).await;
    match asked.map_err(allow("s3:ListBucket", "ask for an object that is not there"))? {
        Ok(_) => {
            return Err(broken(io::ErrorKind::AlreadyExists, "the object lhfile-nothing is in the store: remove it"));
        }
        Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(allow("s3:ListBucket", "ask for an object that is not there")(failed(error))),
    }
    let begun = multiparts.begin(&probe).await;
    let parts = begun.map_err(allow("s3:PutObject", "begin an upload in parts"))?;
    let aborted = multiparts.abort(&probe, &parts.0).await;
    aborted.map_err(allow("s3:AbortMultipartUpload", "abort an upload in parts"))?;
    // With it goes what a probe left that was killed.
    let left = multiparts.abort_all(&probe, None).await;
    left.map_err(allow("s3:ListBucketMultipartUploads", "list uploads in parts"))?;
    let removed = match within(ASKING, store.delete(&probe)).await {
        Ok(Err(error)) if !is_not_there(&error) => Err(failed(error)),
        Ok(Ok(()) | Err(_)) => Ok(()),
        Err(late) => Err(late),
    };
    removed.map_err(allow("s3:DeleteObject", "remove an object"))
}

/// The failure, with what to do where it is a permission that is missing.
fn told(place: &S3Place, permission: &str, what: &str, error: BlobError) -> BlobError {
    let text = match &error {
        BlobError::Unavailable(cause) => cause.to_string(),
        BlobError::Missing(_) | BlobError::NoSpace(_) => error.to_string(),
    };
    // The words of the protocol, and those of the library.
    let denied = ["AccessDenied", "403", "Forbidden", "lacked the necessary privileges"];
    if !denied.iter().any(|word| text.contains(word)) {
        return error;
    }
    let S3Place { bucket, prefix, access_key_id, .. } = place;
    let why = format!(
        "the key {access_key_id} may not {what} in s3://{bucket}/{prefix}: allow it {permission} (the service needs \
         s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload on the objects, and s3:ListBucket, \
         s3:ListBucketMultipartUploads on the bucket): {text}"
    );
    BlobError::Unavailable(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

impl S3Place {
    /// Whether all that the service does there is allowed.
    ///
    /// # Errors
    /// `Unavailable`, with the permission that is missing and what to do.
    pub async fn check(&self) -> Result<(), BlobError> {
        check(self, &self.store()?, &Multiparts::new(self)?).await
    }
}
