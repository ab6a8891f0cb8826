//! What the listener proves itself with, and whose clients it believes: read from files at start, and again when they
//! change.
//!
//! Not here: the handshakes (`handshakes.rs`), and whom a client's certificate stands for (`rpc/certified.rs`).

use std::{fs, path::Path, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::{sync::watch, time::sleep};
use tokio_rustls::rustls::{
    self, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{
    certificate::{self, Said},
    reread,
};
use crate::{
    config::{ClientCertificates, TlsConfig},
    domain::Time,
    ports::Clock,
    telemetry::names,
};

/// How often the files are looked at. What has changed is taken when two looks agree: it is written to its end then.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is told that the certificate ends soon.
const TELL_EVERY_SECS: i64 = 86_400;
/// What is spoken over TLS.
const HTTP2: &[u8] = b"h2";
/// The least time that a certificate should have left.
pub const WARN_BEFORE: Duration = Duration::from_secs(14 * 86_400);

/// The listener's TLS, renewed when its files change.
pub struct Tls {
    config: TlsConfig,
    current: watch::Sender<Arc<ServerConfig>>,
    /// Of the files that were judged last, good or bad.
    judged: [u8; 32],
    /// Of the certificate that is shown, and when that was told last.
    said: Said,
    told: Time,
}

impl Tls {
    /// Reads the files. Blocking: small files, at start.
    ///
    /// # Errors
    /// Files that cannot be read or used, with what to do about it.
    pub fn load(config: &TlsConfig, now: Time) -> Result<Self, String> {
        let files = Files::read(config);
        let judged = digest(&files);
        let (current, said) = files?.judge(config, now)?;
        tell(&said, now);
        Ok(Self { config: config.clone(), current: watch::Sender::new(current), judged, said, told: now })
    }

    /// What new connections are secured by.
    pub fn subscribe(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.current.subscribe()
    }

    /// Takes what the files hold now, whenever they change and when `hangup` says so; until it is dropped. What cannot be
    /// used changes nothing.
    pub async fn follow(mut self, mut hangup: watch::Receiver<()>, clock: Arc<dyn Clock>) {
        let mut seen = self.judged;
        loop {
            let asked = tokio::select! {
                () = sleep(LOOK_EVERY) => false,
                () = reread(&mut hangup) => true,
            };
            let config = self.config.clone();
            let read = tokio::task::spawn_blocking(move || Files::read(&config)).await;
            let files = read.unwrap_or_else(|error| Err(error.to_string()));
            let found = digest(&files);
            let settled = std::mem::replace(&mut seen, found) == found;
            let now = clock.now();
            if now.secs() - self.told.secs() >= TELL_EVERY_SECS {
                tell(&self.said, now);
                self.told = now;
            }
            if !asked && (found == self.judged || !settled) {
                continue;
            }
            self.judged = found;
            match files.and_then(|files| files.judge(&self.config, now)) {
                Ok((config, said)) => {
                    tracing::info!("the TLS files were read again: new connections get the new certificate");
                    tell(&said, now);
                    (self.said, self.told) = (said, now);
                    self.current.send_replace(config);
                }
                Err(error) => {
                    tracing::error!(error, "the new TLS files cannot be used: the certificate before them stays")
                }
            }
        }
    }
}

/// What the certificate in use says, for the metrics, and for the log if it ends soon.
fn tell(said: &Said, now: Time) {
    metrics::gauge!(names::TLS_CERTIFICATE_ENDS).set(said.ends.secs() as f64);
    let left = said.ends.secs() - now.secs();
    if left < WARN_BEFORE.as_secs().cast_signed() {
        tracing::warn!(
            days = left / 86_400,
            "the TLS certificate ends soon, or has ended: put a new one into tls.cert_file"
        );
    }
}

/// What the certificate of the configuration says, and whether it could be served with. Blocking.
///
/// # Errors
/// As [`Tls::load`].
pub fn look(config: &TlsConfig, now: Time) -> Result<Said, String> {
    Files::read(config)?.judge(config, now).map(|(_, said)| said)
}

/// The files' content.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// What a state of the files is known by, also of those that cannot be read.
fn digest(files: &Result<Files, String>) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update(bytes.len().to_be_bytes());
        digest.update(bytes);
    };
    match files {
        Ok(Files { certificate, key, client_ca }) => {
            [certificate, key].into_iter().chain(client_ca).for_each(|bytes| add(bytes));
        }
        Err(error) => add(error.as_bytes()),
    }
    digest.finalize().into()
}

impl Files {
    fn read(config: &TlsConfig) -> Result<Self, String> {
        let read = |key: &str, path: &Path| {
            fs::read(path).map_err(|error| format!("tls.{key}: {} cannot be read: {error}", path.display()))
        };
        Ok(Self {
            certificate: read("cert_file", &config.cert_file)?,
            key: read("key_file", &config.key_file)?,
            client_ca: config.client_ca().map(|path| read("client_ca_file", path)).transpose()?,
        })
    }

    /// Whether one can serve with them.
    fn judge(&self, config: &TlsConfig, now: Time) -> Result<(Arc<ServerConfig>, Said), String> {
        let (cert_file, key_file) = (config.cert_file.display(), config.key_file.display());
        let chain = certificates(&self.certificate).map_err(|error| format!("tls.cert_file: {cert_file} {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| {
            format!("tls.key_file: {key_file} holds no private key in PEM without passphrase: {error}")
        })?;
        let said = certificate::read(&chain[0]).map_err(|error| format!("tls.cert_file: {cert_file}: {error}"))?;
        if now >= said.ends || now < said.begins {
            let when = if now >= said.ends { ("expired", said.ends) } else { ("counts only from", said.begins) };
            return Err(format!(
                "tls.cert_file: the certificate in {cert_file} {} {}: put one there that counts now, or set the clock",
                when.0,
                told(when.1)
            ));
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3");
        let builder = match self.clients(config, provider)? {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut server = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                "tls.key_file: {key_file} is not the key of the first certificate in {cert_file}: put the pair there that \
                 belongs together, our own certificate first"
            ),
            error => format!("tls.cert_file: {cert_file} and tls.key_file: {key_file} cannot be used: {error}"),
        })?;
        server.alpn_protocols = vec![HTTP2.to_vec()];
        if self.client_ca.is_some() {
            // A resumed session would not ask for the certificate again, which may have ended.
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        }
        Ok((Arc::new(server), said))
    }

    /// Who judges the clients' certificates, if they are asked for any.
    fn clients(
        &self,
        config: &TlsConfig,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
        let Some(pem) = &self.client_ca else { return Ok(None) };
        let bad =
            |error: &dyn std::fmt::Display| format!("tls.client_ca_file: {} {error}", config.client_ca_file.display());
        let mut roots = RootCertStore::empty();
        for root in certificates(pem).map_err(|error| bad(&error))? {
            roots.add(root).map_err(|error| bad(&format!("cannot be used: {error}")))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = match config.client_certificates {
            ClientCertificates::Required => verifier,
            ClientCertificates::Optional | ClientCertificates::None => verifier.allow_unauthenticated(),
        };
        verifier.build().map(Some).map_err(|error| bad(&format!("cannot be used: {error}")))
    }
}

/// At least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err("holds no certificate in PEM".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("holds no certificate in PEM: {error}")),
    }
}

/// A time for people.
pub fn told(time: Time) -> String {
    prost_types::Timestamp { seconds: time.secs(), nanos: 0 }.to_string()
}
