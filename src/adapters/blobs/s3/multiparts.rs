//! Uploads in parts: begun once, aborted by their id and by a look at what is open under their key.
//!
//! The look is for an upload whose id was lost: the answer that told it, or the process that was to write it down.
//! object_store does not list them, so this one request is signed here. Not here: the parts (`publish.rs`).

use std::{io, time::Duration};

use bytes::Bytes;
use http::Method;
use object_store::{
    ObjectStoreExt as _,
    aws::AmazonS3,
    client::{HttpClient, HttpConnector as _, HttpRequestBody, ReqwestConnector},
    multipart::MultipartStore as _,
    path::Path,
    signer::{SignedUrlOptions, Signer as _},
};
use serde::Deserialize;

use super::{
    S3Place, broken, failed, is_not_there,
    place::{ASKING, within},
};
use crate::{
    domain::BlobKey,
    ports::{BlobError, MultipartId},
};

/// How long the signature of a look holds.
const SIGNED_FOR: Duration = Duration::from_secs(60);
/// Looks under one key. There is one upload in parts, or one more for each answer that was lost.
const LOOKS: usize = 10;
/// A look that fails is taken again so often, after a pause.
const RETRIES: u32 = 2;
const PAUSE: Duration = Duration::from_millis(300);

/// The uploads in parts of a bucket.
pub(super) struct Multiparts {
    once: AmazonS3,
    http: HttpClient,
}

/// What the store answers to a look.
#[derive(Deserialize)]
struct Listing {
    #[serde(rename = "Upload", default)]
    uploads: Vec<Open>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Open {
    key: String,
    upload_id: String,
}

fn still_there() -> BlobError {
    broken(io::ErrorKind::Other, "uploads in parts are still there after they were aborted")
}

impl Multiparts {
    pub(super) fn new(place: &S3Place) -> Result<Self, BlobError> {
        let http = ReqwestConnector::default().connect(&place.client_options()).map_err(failed)?;
        Ok(Self { once: place.store_that_asks_once()?, http })
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
            for Open { key, upload_id } in open {
                any |= self.abort(&Path::from(key), &upload_id).await?;
            }
            if !any {
                // What lies under these keys may be wanted: it is not removed to end them.
                return Err(still_there());
            }
        }
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
        let mut tried = 0;
        loop {
            let asked = tokio::time::timeout(ASKING, self.look(prefix)).await;
            match asked.unwrap_or_else(|_| Err(broken(io::ErrorKind::TimedOut, "no list of uploads in parts"))) {
                Err(_) if tried < RETRIES => {
                    tried += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    async fn look(&self, prefix: &str) -> Result<Vec<Open>, BlobError> {
        let asked = SignedUrlOptions::new().with_query([("prefix", prefix), ("uploads", "")]);
        let url = self.once.signed_url_opts(Method::GET, &Path::default(), SIGNED_FOR, &asked).await.map_err(failed)?;
        let request = http::Request::get(url.as_str()).body(HttpRequestBody::from(Bytes::new()));
        let answer = self.http.execute(request.map_err(io::Error::other)?).await.map_err(io::Error::other)?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(io::Error::other)?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
            return Err(io::Error::other(format!("uploads in parts are not listed: {status} {text}")).into());
        }
        let listing: Listing = quick_xml::de::from_reader(&body[..]).map_err(io::Error::other)?;
        Ok(listing.uploads)
    }
}
