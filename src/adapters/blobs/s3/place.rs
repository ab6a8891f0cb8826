//! Where a store in S3 is, how long it may take, and how often it is asked again.
//!
//! Not here: the configuration's text (`config/blobs.rs`), which says what each value means.

use std::{fmt, io, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, Result, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
};

use super::failed;
use crate::ports::BlobError;

/// A call without a body of note, all its retries included.
pub(in super::super) const ASKING: Duration = Duration::from_secs(15);
/// A connection that nobody used for so long is not used again: who stands between may have forgotten it.
const IDLE: Duration = Duration::from_secs(20);
/// Opening a connection.
const CONNECTING: Duration = Duration::from_secs(3);
/// What a transfer may take, and 1 MiB a second on top: a busy store answers a put late, since its disk is what it waits
/// for. (One of 8 MiB was seen to take more than 20 s.)
const MOVING: Duration = Duration::from_secs(45);
const SECONDS_PER_MIB: u32 = 1;

/// How long a request that we gave up, or were killed under, may go on without us: what of it was sent already is in
/// buffers, or with a proxy (a minute, unless told otherwise), and then with the store, whose putting together of parts
/// "may take several minutes" (AWS). With the lease of a dead node before it, this ends within the ten minutes after which
/// nothing of a fault is left.
pub(super) const LATENESS: Duration = Duration::from_secs(5 * 60);

/// How long a transfer of so many bytes may take.
pub(super) fn moving(bytes: u64) -> Duration {
    let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    MOVING + Duration::from_secs(u64::from(mib.saturating_mul(SECONDS_PER_MIB)))
}

/// A place in an object store, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Place {
    /// `https://HOST[:PORT]`, or `http://` where that was allowed; `None`: AWS's own address of the region.
    pub endpoint: Option<String>,
    /// Its region.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// What all names of ours begin with, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The id of our key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The bucket is part of the path, not of the host's name.
    pub path_style: bool,
}

/// Without the secret.
impl fmt::Debug for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Place")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl S3Place {
    /// A client that asks again, for a few seconds: for requests that may be sent twice.
    pub(super) fn store(&self) -> std::result::Result<AmazonS3, BlobError> {
        self.build(3)
    }

    /// A client that asks once: an upload in parts that is begun twice, because the first answer was lost, would be
    /// one whose id nobody knows.
    pub(super) fn store_that_asks_once(&self) -> std::result::Result<AmazonS3, BlobError> {
        self.build(0)
    }

    fn build(&self, max_retries: usize) -> std::result::Result<AmazonS3, BlobError> {
        let backoff =
            BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(1), base: 2.0 };
        let mut builder = AmazonS3Builder::new()
            .with_region(&self.region)
            .with_bucket_name(&self.bucket)
            .with_access_key_id(&self.access_key_id)
            .with_secret_access_key(&self.secret_access_key)
            .with_virtual_hosted_style_request(!self.path_style)
            .with_checksum_algorithm(Checksum::SHA256)
            // One DELETE each: every store has it.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { backoff, max_retries, retry_timeout: ASKING / 2 })
            .with_client_options(self.client_options());
        if let Some(endpoint) = self.endpoint() {
            builder = builder.with_endpoint(endpoint);
        }
        builder.build().map_err(failed)
    }

    /// The address, with the bucket in its host's name where it belongs there.
    fn endpoint(&self) -> Option<String> {
        let endpoint = self.endpoint.as_deref()?.trim_end_matches('/');
        Some(match endpoint.split_once("://") {
            Some((scheme, host)) if !self.path_style => format!("{scheme}://{}.{host}", self.bucket),
            Some(_) | None => endpoint.to_owned(),
        })
    }

    /// No limit on a whole transfer, which takes as long as its bytes, and none on a silence: the client counts it from the
    /// first byte that it sends, and cuts off what is slow to send or to answer. Deadlines are set where the call is made.
    pub(super) fn client_options(&self) -> ClientOptions {
        let plain = self.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        ClientOptions::new()
            .with_timeout_disabled()
            .with_connect_timeout(CONNECTING)
            .with_pool_idle_timeout(IDLE)
            .with_allow_http(plain)
            // Plain HTTP needs no certificates, and starts where none are installed.
            .with_no_system_certificates(plain)
    }
}

/// The call's answer, or that there was none in time.
pub(super) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T>>,
) -> std::result::Result<Result<T>, BlobError> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", limit.as_secs()));
    tokio::time::timeout(limit, call).await.map_err(|_| BlobError::Unavailable(late()))
}
