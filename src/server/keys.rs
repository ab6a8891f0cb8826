//! The keys whose tokens are believed, and the secrets that links, pages and our own tokens are made with: read from the
//! configuration's file, the keys' files and the secret's file, at start and again when these change.
//!
//! Not here: the verification (`rpc/credential.rs`), what a secret makes (`app/seal.rs`), opaque keys, which are in the
//! database (`app/keys.rs`).

use std::{path::PathBuf, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::reread;
use crate::{
    app::{Secrets, token_keys},
    config::{self, Algorithm, Config, KeyMaterial, Origin},
    rpc::credential::{KeyAlgorithm, KeyConfig, KeySet},
    secret,
    telemetry::names,
};

/// How often the files are looked at. What has changed is taken when two looks agree: it is written to its end then.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How often it is told that files cannot be used.
const TELL_EVERY: Duration = Duration::from_secs(600);

/// The keys, renewed when their files change.
pub(super) struct Keys {
    source: Source,
    current: watch::Sender<Arc<KeySet>>,
    secrets: Secrets,
    /// Of the files that were judged last, good or bad.
    judged: [u8; 32],
}

/// Where they are read from.
#[derive(Clone)]
struct Source {
    origin: Origin,
    /// What the configuration's file held when the keys were last read from it, and these keys.
    content: Vec<u8>,
    configured: Vec<config::KeyConfig>,
    secret_file: PathBuf,
    max_ttl: Duration,
}

/// What the files hold.
struct Material {
    keys: Vec<KeyConfig>,
    secrets: Vec<Vec<u8>>,
}

impl Keys {
    /// Reads the files; makes the data folder's own secret if no other is configured and it is not there. Blocking: small
    /// files, at start.
    ///
    /// # Errors
    /// Files that cannot be read or used, with what to do about it.
    pub(super) fn load(config: &Config, origin: Origin) -> Result<Self, String> {
        secret::obtain(config.shared_secret(), &config.data_dir).map_err(|e| e.to_string())?;
        let own = || secret::path(&config.data_dir);
        let mut source = Source {
            content: origin.content().map_err(|e| e.to_string())?,
            origin,
            configured: config.keys.clone(),
            secret_file: config.shared_secret().map_or_else(own, ToOwned::to_owned),
            max_ttl: Duration::from_secs(config.max_token_ttl_seconds),
        };
        let material = source.read();
        let judged = digest(&material);
        let material = material?;
        let keys = material.judge(source.max_ttl)?;
        let secrets = Secrets::new(&material.secrets).ok_or("the secret has less than 32 bytes")?;
        metrics::gauge!(names::KEYS_UNUSABLE).set(0.0);
        Ok(Self { source, current: watch::Sender::new(Arc::new(keys)), secrets, judged })
    }

    /// Whose tokens are believed.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<KeySet>> {
        self.current.subscribe()
    }

    /// What seals links and pages.
    pub(super) fn secrets(&self) -> Secrets {
        self.secrets.clone()
    }

    /// Takes what the files hold now, whenever they change and when `hangup` says so; until it is dropped. What cannot be
    /// used changes nothing. Tokens that were believed are judged anew by the new keys.
    pub(super) async fn follow(mut self, mut hangup: watch::Receiver<()>) {
        let mut seen = self.judged;
        let mut unusable: Option<(String, Instant)> = None;
        loop {
            let asked = tokio::select! {
                () = sleep(LOOK_EVERY) => false,
                () = reread(&mut hangup) => true,
            };
            let mut source = self.source.clone();
            let read = tokio::task::spawn_blocking(move || {
                let material = source.read();
                (source, material)
            });
            let (source, material) = match read.await {
                Ok(read) => read,
                Err(error) => (self.source.clone(), Err(error.to_string())),
            };
            let found = digest(&material);
            let settled = std::mem::replace(&mut seen, found) == found;
            if let Some((why, told)) = unusable.as_mut().filter(|(_, told)| told.elapsed() > TELL_EVERY) {
                tracing::error!(error = why, "the key files still cannot be used: the keys before them stay");
                *told = Instant::now();
            }
            if !asked && (found == self.judged || !settled) {
                continue;
            }
            self.judged = found;
            unusable = match material.and_then(|material| self.take(&material)) {
                Ok(()) => {
                    self.source = source;
                    tracing::info!("the key files were read again: tokens are judged by the new keys");
                    None
                }
                Err(error) => {
                    tracing::error!(error, "the new key files cannot be used: the keys before them stay");
                    Some((error, Instant::now()))
                }
            };
            metrics::gauge!(names::KEYS_UNUSABLE).set(if unusable.is_some() { 1.0 } else { 0.0 });
        }
    }

    /// All of it or nothing.
    fn take(&self, material: &Material) -> Result<(), String> {
        let keys = material.judge(self.source.max_ttl)?;
        if !self.secrets.replace(&material.secrets) {
            return Err("the secret has less than 32 bytes".to_owned());
        }
        self.current.send_replace(Arc::new(keys));
        Ok(())
    }
}

impl Source {
    /// Reads all files. The configuration is judged as a whole only where its file has changed, and of a new one the keys
    /// alone are taken.
    fn read(&mut self) -> Result<Material, String> {
        let content = self.origin.content().map_err(|e| format!("the configuration cannot be read: {e}"))?;
        if content != self.content {
            let configured = self.origin.load().map_err(|e| format!("the configuration does not hold: {e}"))?.keys;
            if configured.is_empty() && !self.configured.is_empty() {
                // A file that is being written, or was cut short, is empty, too.
                return Err("the configuration names no [[keys]] any more: to go back to the tokens of the secret, \
                            restart the server"
                    .to_owned());
            }
            (self.configured, self.content) = (configured, content);
        }
        let mut keys = Vec::with_capacity(self.configured.len());
        for key in &self.configured {
            let algorithm = match key.algorithm {
                Algorithm::Hs256 => KeyAlgorithm::HS256,
                Algorithm::Es256 => KeyAlgorithm::ES256,
                Algorithm::Rs256 => KeyAlgorithm::RS256,
                Algorithm::EdDsa => KeyAlgorithm::EdDSA,
            };
            let (KeyMaterial::Secret(key_bytes) | KeyMaterial::PublicPem(key_bytes)) =
                key.read().map_err(|e| e.to_string())?;
            keys.push(KeyConfig { kid: Some(key.kid.clone()), algorithm, key: key_bytes });
        }
        Ok(Material { keys, secrets: secret::read_file(self.secret_file.clone()).map_err(|e| e.to_string())? })
    }
}

impl Material {
    /// The keys configured, else the secrets of this server or of all nodes; and those of our own tokens.
    fn judge(&self, max_ttl: Duration) -> Result<KeySet, String> {
        let keys = if self.keys.is_empty() {
            KeySet::of_secrets(&self.secrets, max_ttl)
        } else {
            KeySet::new(self.keys.clone(), max_ttl)
        };
        Ok(keys.map_err(|e| e.to_string())?.minting(token_keys(&self.secrets)))
    }
}

/// What a state of the files is known by, also of those that cannot be read.
fn digest(material: &Result<Material, String>) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update(bytes.len().to_be_bytes());
        digest.update(bytes);
    };
    match material {
        Ok(Material { keys, secrets }) => {
            for KeyConfig { kid, algorithm, key } in keys {
                add(kid.as_deref().unwrap_or_default().as_bytes());
                add(format!("{algorithm:?}").as_bytes());
                add(key);
            }
            add(b"secrets");
            secrets.iter().for_each(|secret| add(secret));
        }
        Err(error) => add(error.as_bytes()),
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests;
