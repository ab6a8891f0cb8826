//! Certificates of the tests: an authority, the servers and clients that it vouches for, and the files and connections
//! that show them.
//!
//! Not here: what the server makes of them (`tls.rs` of the tests).

use std::{fs, path::PathBuf, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::aws_lc_rs, pki_types::ServerName, version::TLS13,
    },
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::{Node, place::new_folder};

/// Somebody who vouches for certificates, and the files of a server that shows one of them.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Pair {
    /// For a client that shows it.
    pub fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }
}

impl Authority {
    /// A new one, with a server's certificate for 127.0.0.1 in its files.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
        let authority = Self { issuer, folder: new_folder() };
        fs::write(authority.path("ca.pem"), authority.issuer.pem()).expect("our own folder");
        authority.serve(&authority.server(|_| {}));
        authority
    }

    /// One of its files: `ca.pem`, `cert.pem`, `key.pem`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A certificate with nothing but what is said.
    pub fn vouch(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A server's, for 127.0.0.1.
    pub fn server(&self, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        self.vouch(|params| {
            params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
            change(params);
        })
    }

    /// A server's that has ended.
    pub fn expired(&self) -> Pair {
        self.server(|params| {
            params.not_before = date_time_ymd(2025, 1, 1);
            params.not_after = date_time_ymd(2025, 2, 1);
        })
    }

    /// A client's, by the name of its subject.
    pub fn client(&self, common_name: &str) -> Pair {
        self.vouch(|params| params.distinguished_name.push(DnType::CommonName, common_name))
    }

    /// A client's, by the name of a host.
    pub fn host(&self, name: &str) -> Pair {
        let name = SanType::DnsName(name.try_into().expect("ASCII"));
        self.vouch(|params| params.subject_alt_names = vec![name])
    }

    /// Puts it into the server's files, the key first.
    pub fn serve(&self, pair: &Pair) {
        fs::write(self.path("key.pem"), &pair.key).expect("our own folder");
        fs::write(self.path("cert.pem"), &pair.certificate).expect("our own folder");
    }

    /// The lines that make a server show the certificate of its files.
    pub fn config(&self) -> Vec<String> {
        let line = |key: &str, name: &str| format!("tls.{key} = {:?}", self.path(name));
        vec![line("cert_file", "cert.pem"), line("key_file", "key.pem")]
    }

    /// The lines that make it ask for certificates of this authority: `optional` or `required`.
    pub fn asking(&self, how: &str) -> Vec<String> {
        let ca = format!("tls.client_ca_file = {:?}", self.path("ca.pem"));
        [self.config(), vec![ca, format!("tls.client_certificates = {how:?}")]].concat()
    }

    /// A client that believes this authority.
    pub fn trusting(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.issuer.pem()))
    }

    /// A handshake of a client that believes this authority, in this version of TLS.
    pub async fn handshake_in(
        &self,
        node: &Node,
        version: &'static SupportedProtocolVersion,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .expect("the provider knows it")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::IpAddress(std::net::IpAddr::from([127, 0, 0, 1]).into());
        let tcp = TcpStream::connect(node.address()).await?;
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    /// Whether the server shows a certificate that this authority vouches for.
    pub async fn is_shown_by(&self, node: &Node) -> bool {
        self.handshake_in(node, &TLS13).await.is_ok()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
