//! The same upload again: a client that lost the answer asks with the same request id, and gets the same file.
//!
//! Not here: the upload itself (`upload.rs`). The bytes are read, compared by their hash, and not kept: knowing a
//! request id alone tells nothing.

use super::{
    App, Error, UploadSource,
    staging::{End, Staging},
    upload::no_commit,
};
use crate::{
    domain::{
        Caller, FileView, Kind, Reason, Refusal, access,
        admission::{self, Declared, Received},
        listing::FileRef,
    },
    ports::Before,
};

impl App {
    /// What the upload became that was refused now: it may be done already, and only the answer lost. Asked for those
    /// only who may still see the place it went to.
    pub(super) async fn find_before(
        &self,
        caller: &Caller,
        declared: &Declared,
        refusal: &Refusal,
    ) -> Result<Option<Before>, Error> {
        match (&declared.request_id, refusal.reason.kind()) {
            (None, _) | (Some(_), Kind::PermissionDenied | Kind::NotFound) => Ok(None),
            (Some(id), _) => Ok(self.store.find_before(&caller.person, id, self.clock.now()).await?),
        }
    }

    /// The same answer, if target and bytes agree; else `REQUEST_ID_REUSED`.
    pub(super) async fn repeat(
        &self,
        caller: &Caller,
        declared: &Declared,
        before: Before,
        source: &mut dyn UploadSource,
    ) -> Result<FileView, Error> {
        let Before { target, uploaded_sha256, file } = before;
        let view = self.store.find_file(FileRef::Id(file), caller).await?;
        let settings = self.settings();
        let view = access::see(caller, view.as_ref(), &settings)?;
        if declared.target != target {
            return Err(Reason::RequestIdReused.into());
        }
        let most = settings.max_file_bytes.unsigned_abs().max(view.blob.size);
        let mut staging = Staging::nowhere();
        let (commit_size, commit_sha256) = match staging.receive(source, most, &self.limits).await? {
            End::Commit { size, sha256 } => (size, sha256),
            End::Abandoned => return Err(no_commit().into()),
        };
        let (size, sha256) = staging.digest().await?;
        admission::complete(declared, &Received { size, sha256, commit_size, commit_sha256 })?;
        if sha256 != uploaded_sha256 {
            return Err(Reason::RequestIdReused.into());
        }
        Ok(view.clone())
    }
}
