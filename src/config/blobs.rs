//! Where the files are kept: the data folder, or a bucket of an S3-compatible object store and who we are there.
//!
//! Not here: how such a store is spoken to (`adapters/blobs/s3.rs`).

use std::{fmt, fs, net::IpAddr, path::PathBuf};

use serde::Deserialize;

use super::{Config, ConfigError};

/// Where the files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobPlace {
    /// In the data folder.
    DataFolder,
    /// In an object store.
    S3 {
        /// The bucket.
        bucket: String,
        /// What all names begin with; without slashes at its ends, may be empty.
        prefix: String,
    },
}

/// The object store that `blob_url` names a bucket of.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// Its address; empty: AWS's own of the region.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// The id of our key.
    pub access_key_id: String,
    /// Its secret. Ask [`S3Config::read_secret`].
    pub secret_access_key: String,
    /// A file with the secret. Empty: none.
    pub secret_access_key_file: PathBuf,
    /// The bucket stands in the path, not in the host's name.
    pub path_style: bool,
    /// An address without TLS beyond loopback.
    pub allow_http: bool,
}

/// Without the secret, so that a configuration may be logged.
impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &(!self.secret_access_key.is_empty()).then_some("…"))
            .field("secret_access_key_file", &self.secret_access_key_file)
            .field("path_style", &self.path_style)
            .field("allow_http", &self.allow_http)
            .finish()
    }
}

impl S3Config {
    /// The secret of the key, from its file if it has one. Blocking: a small file, at start.
    ///
    /// # Errors
    /// A file that cannot be read, or is empty.
    pub fn read_secret(&self) -> Result<String, ConfigError> {
        let file = &self.secret_access_key_file;
        if file.as_os_str().is_empty() {
            return Ok(self.secret_access_key.clone());
        }
        let named = |what: &str| format!("s3.secret_access_key_file: {} {what}", file.display());
        let text = fs::read_to_string(file).map_err(|e| ConfigError::new(named(&format!("cannot be read: {e}"))))?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() { Err(ConfigError::new(named("is empty"))) } else { Ok(secret.to_owned()) }
    }

    fn judge(&self) -> Result<(), ConfigError> {
        let refused = |why: String| Err(ConfigError::new(why));
        let (scheme, host) = match self.endpoint.split_once("://") {
            _ if self.endpoint.is_empty() => ("https", "amazonaws.com"),
            Some((scheme @ ("https" | "http"), rest)) => (scheme, rest.trim_end_matches('/')),
            Some(_) | None => ("", ""),
        };
        if host.is_empty() || host.contains(['/', '?', '#', '@']) {
            return refused(format!(
                "s3.endpoint = {:?}: write https://HOST[:PORT], or nothing for AWS",
                self.endpoint
            ));
        }
        if scheme == "http" && !self.allow_http && !is_loopback(host) {
            return refused(format!(
                "s3.endpoint = {:?} sends files and signatures without TLS: use https://, or set s3.allow_http = true \
                 for a network that you trust",
                self.endpoint
            ));
        }
        if self.region.is_empty() {
            return refused("s3.region is empty: set the one that the store tells, or us-east-1".to_owned());
        }
        let secrets = [self.secret_access_key.is_empty(), self.secret_access_key_file.as_os_str().is_empty()];
        if self.access_key_id.is_empty() || secrets.iter().filter(|empty| !**empty).count() != 1 {
            return refused(
                "blob_url names an object store: set s3.access_key_id, and one of s3.secret_access_key and \
                 s3.secret_access_key_file"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

impl Config {
    /// Where `blob_url` points.
    ///
    /// # Errors
    /// An address that is neither empty nor `s3://BUCKET[/PREFIX]`.
    pub fn blob_place(&self) -> Result<BlobPlace, ConfigError> {
        if self.blob_url.is_empty() {
            return Ok(BlobPlace::DataFolder);
        }
        let (bucket, prefix) = self
            .blob_url
            .strip_prefix("s3://")
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            .filter(|(bucket, prefix)| is_bucket(bucket) && is_prefix(prefix))
            .ok_or_else(|| {
                ConfigError::new(format!(
                    "blob_url = {:?}: write s3://BUCKET/PREFIX (a bucket of 3 to 63 of a-z 0-9 - . and a prefix of \
                     A-Z a-z 0-9 - _ . and / within), or nothing for the data folder",
                    self.blob_url
                ))
            })?;
        Ok(BlobPlace::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_end_matches('/').to_owned() })
    }

    /// The same, but for the place of the files, as a bucket's address.
    ///
    /// # Errors
    /// An address that is none, or that nothing says how to reach.
    pub fn with_blobs_at(&self, url: &str, s3: S3Config) -> Result<Self, ConfigError> {
        let moved = Self { blob_url: url.to_owned(), s3, ..self.clone() };
        moved.judge_blobs().map(|()| moved)
    }

    /// The same, but for the files, which are in this folder.
    #[must_use]
    pub fn with_blobs_in(&self, folder: PathBuf) -> Self {
        Self { blob_url: String::new(), data_dir: folder, ..self.clone() }
    }

    /// The place, and who we are there.
    pub(super) fn judge_blobs(&self) -> Result<(), ConfigError> {
        match self.blob_place()? {
            BlobPlace::DataFolder => Ok(()),
            BlobPlace::S3 { .. } => self.s3.judge(),
        }
    }
}

fn is_bucket(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    (3..=63).contains(&text.len()) && text.bytes().all(known) && !text.contains("..")
}

fn is_prefix(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let segment = |s: &str| !s.is_empty() && s != "." && s != ".." && s.bytes().all(known);
    let text = text.strip_suffix('/').unwrap_or(text);
    text.is_empty() || text.len() <= 512 && text.split('/').all(segment)
}

/// This machine, as a host with or without a port.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
