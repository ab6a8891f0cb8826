//! The keys that tokens may be signed with, as configured, and the reading of their files.
//!
//! Not here: the verification of a token (`rpc/credential.rs`) and the data folder's own secret (`secret.rs`).

use std::{fmt, fs, path::PathBuf};

use serde::Deserialize;

use super::ConfigError;

/// Least length of an HS256 secret, in bytes.
pub(super) const MIN_SECRET_BYTES: usize = 32;

/// One key, by id. The algorithm is the key's, never the token's.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Its id, as tokens name it in their header; unique.
    pub kid: String,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// HS256: the secret itself, at least 32 bytes.
    #[serde(default)]
    pub secret: Option<String>,
    /// HS256: a file with the secret.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Others: a file with the public key in PEM.
    #[serde(default)]
    pub public_key_file: Option<PathBuf>,
}

/// Without the secret, so that a configuration may be logged.
impl fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyConfig")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("secret", &self.secret.as_ref().map(|_| "…"))
            .field("secret_file", &self.secret_file)
            .field("public_key_file", &self.public_key_file)
            .finish()
    }
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256 and a shared secret.
    #[serde(rename = "HS256")]
    Hs256,
    /// ECDSA on P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// What a token is verified with.
#[derive(Clone, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A shared secret, at least 32 bytes.
    Secret(Vec<u8>),
    /// A public key in PEM.
    PublicPem(Vec<u8>),
}

impl KeyConfig {
    /// Reads the key, from its file if it has one. Blocking: a small file, at start or on reload.
    ///
    /// # Errors
    /// A file that cannot be read; a secret of less than 32 bytes.
    pub fn read(&self) -> Result<KeyMaterial, ConfigError> {
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|error| {
                ConfigError::new(format!("key {}: {} cannot be read: {error}", self.kid, path.display()))
            })
        };
        if let Some(path) = &self.public_key_file {
            return read(path).map(KeyMaterial::PublicPem);
        }
        let mut secret = match (&self.secret_file, &self.secret) {
            (Some(path), _) => read(path)?,
            (None, secret) => secret.clone().unwrap_or_default().into_bytes(),
        };
        while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            secret.pop();
        }
        if secret.len() < MIN_SECRET_BYTES {
            return Err(ConfigError::new(format!(
                "key {}: its secret has {} bytes, {MIN_SECRET_BYTES} are the least: make one with `openssl rand -hex 32`",
                self.kid,
                secret.len()
            )));
        }
        Ok(KeyMaterial::Secret(secret))
    }
}
