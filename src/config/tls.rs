//! TLS of the listener, as configured: our certificate, whose client certificates are believed, and which services some
//! of them stand for.
//!
//! Not here: the files' content, which is read at start and whenever it changes (`server/tls.rs`).

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Config, ConfigError, Listen};

/// TLS of the listener. Off while both files of our own are empty. Ask [`TlsConfig::is_on`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Our certificate and those that lead to its root, in PEM.
    pub cert_file: PathBuf,
    /// Its private key, in PEM.
    pub key_file: PathBuf,
    /// Whose client certificates are believed, in PEM. Ask [`TlsConfig::client_ca`].
    pub client_ca_file: PathBuf,
    /// Whether clients show certificates.
    pub client_certificates: ClientCertificates,
    /// Services that need no token, by their certificates.
    pub callers: Vec<CertifiedConfig>,
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They are not asked for one.
    None,
    /// They may.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// A service that needs no token: its certificate says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifiedConfig {
    /// A name in the certificate: `dns:NAME`, `uri:URI`, or `cn:NAME`.
    pub certificate: String,
    /// The service's id.
    pub service: String,
    /// Names of permissions, or `*`.
    pub permissions: Vec<String>,
    /// Ids of chats, or `*`.
    pub chats: Vec<String>,
}

impl TlsConfig {
    /// The listener speaks TLS.
    pub fn is_on(&self) -> bool {
        !self.cert_file.as_os_str().is_empty()
    }

    /// The file of those whose client certificates are believed, if clients are asked for any.
    pub fn client_ca(&self) -> Option<&Path> {
        Some(self.client_ca_file.as_path()).filter(|_| self.client_certificates != ClientCertificates::None)
    }
}

impl Config {
    pub(super) fn judge_tls(&self) -> Result<(), ConfigError> {
        let tls = &self.tls;
        let refused = |why: String| Err(ConfigError::new(why));
        let no_ca = tls.client_ca_file.as_os_str().is_empty();
        if tls.is_on() == tls.key_file.as_os_str().is_empty() {
            return refused("tls needs both cert_file and key_file, or neither: set the one that is empty".to_owned());
        }
        if tls.is_on() && matches!(self.listen, Listen::Unix(_)) {
            return refused(format!(
                "listen = {}: a socket of this machine speaks no TLS: clear tls.cert_file and tls.key_file, or listen on \
                 IP:PORT",
                self.listen
            ));
        }
        match tls.client_certificates {
            ClientCertificates::None if !no_ca => {
                return refused(
                    "tls.client_ca_file is set, and clients are asked for no certificate: set tls.client_certificates to \
                     \"optional\" or \"required\", or clear the file"
                        .to_owned(),
                );
            }
            ClientCertificates::Optional | ClientCertificates::Required if no_ca || !tls.is_on() => {
                return refused(
                    "tls.client_certificates asks clients for certificates: set tls.client_ca_file to the PEM of those \
                     who vouch for them, and cert_file and key_file to our own"
                        .to_owned(),
                );
            }
            ClientCertificates::None if !tls.callers.is_empty() => {
                return refused(
                    "tls.callers name certificates, and clients are asked for none: set tls.client_certificates"
                        .to_owned(),
                );
            }
            ClientCertificates::None | ClientCertificates::Optional | ClientCertificates::Required => {}
        }
        let mut seen = BTreeSet::new();
        for caller in &tls.callers {
            let name = caller.certificate.as_str();
            if !["dns:", "uri:", "cn:"].iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()))
            {
                return refused(format!("tls.callers: certificate = {name:?}: write dns:NAME, uri:URI or cn:NAME"));
            }
            if !seen.insert(name) {
                return refused(format!("tls.callers: {name} is there twice: one certificate stands for one service"));
            }
        }
        Ok(())
    }
}
