//! The connection of a client command: address, TLS, token, act-as, and the clients of the services.
//!
//! Not here: what is called with them. A server that does not answer is [`Failure::Unreachable`].

use std::{path::PathBuf, time::Duration};

use clap::Args;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::failure::Failure;
use crate::rpc::pb::{
    access_service_client::AccessServiceClient, chat_service_client::ChatServiceClient,
    config_service_client::ConfigServiceClient, file_service_client::FileServiceClient,
    maintenance_service_client::MaintenanceServiceClient,
};

/// Longest wait for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Where the server is and who asks.
#[derive(Debug, Clone, Default, Args)]
pub struct Connection {
    /// The server: http://HOST:PORT or HOST:PORT, https://HOST:PORT, unix:/path
    #[arg(long, global = true, env = "LHFILE_ADDR", default_value = "http://127.0.0.1:50051", value_name = "ADDR")]
    pub addr: String,
    /// The bearer token: a JWT, as `lhfile token` mints one, or a key of `lhfile key create`
    #[arg(long, global = true, env = "LHFILE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// For whom a service with the permission act_as calls: `operator:17; chat=42,43; lhfile=use_operator`
    #[arg(long, global = true, env = "LHFILE_ACT_AS", value_name = "WHO")]
    pub act_as: Option<String>,
    /// Who vouches for the certificate of an https:// server, in PEM, instead of this machine's certificates
    #[arg(long, global = true, env = "LHFILE_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Our own certificate, in PEM, for an https:// server that asks for one
    #[arg(long, global = true, env = "LHFILE_CLIENT_CERT", value_name = "FILE", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, global = true, env = "LHFILE_CLIENT_KEY", value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    /// The name that an https:// server's certificate must hold, instead of the address's
    #[arg(skip)]
    pub server_name: Option<String>,
}

/// A channel that names the caller in every call.
pub type Authorized = InterceptedService<Channel, Credential>;

/// What names the caller.
#[derive(Debug, Clone)]
pub struct Credential {
    authorization: Option<MetadataValue<Ascii>>,
    act_as: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        if let Some(value) = &self.act_as {
            request.metadata_mut().insert("lhfile-act-as", value.clone());
        }
        Ok(request)
    }
}

impl Connection {
    /// Connects, which takes at most 5 s.
    ///
    /// # Errors
    /// An address or token that cannot be one: usage. No server: unreachable.
    pub async fn connect(&self) -> Result<Authorized, Failure> {
        let credential = self.credential()?;
        let endpoint = self.endpoint()?;
        let channel = endpoint.connect().await.map_err(|error| {
            let deepest = deepest(&error);
            // As rustls begins what it says of a certificate that nobody vouches for.
            let own = if deepest.contains("peer certificate") { " (--ca FILE names who vouches for it)" } else { "" };
            Failure::Unreachable(format!("{}: {deepest}{own}", self.addr))
        })?;
        Ok(InterceptedService::new(channel, credential))
    }

    fn endpoint(&self) -> Result<Endpoint, Failure> {
        let unusable = || {
            let forms = "write http://HOST:PORT, HOST:PORT, https://HOST:PORT or unix:/path";
            Failure::Usage(format!("--addr {}: {forms}", self.addr))
        };
        let local = self.addr.strip_prefix("unix:").map(|path| path.starts_with('/') && !path.starts_with("//"));
        let addr = if local.is_some() || self.addr.contains("://") {
            self.addr.clone()
        } else {
            format!("http://{}", self.addr)
        };
        let (secured, plain) = (addr.starts_with("https://"), addr.starts_with("http://"));
        if local == Some(false) || !(local.is_some() || secured || plain) {
            return Err(unusable());
        }
        let mut endpoint = Endpoint::from_shared(addr).map_err(|_| unusable())?;
        if local.is_none() && endpoint.uri().host().is_none_or(str::is_empty) {
            return Err(unusable());
        }
        if secured {
            let refused =
                |error| Failure::Usage(format!("--ca, --client-cert or --client-key cannot be used: {error}"));
            endpoint = endpoint.tls_config(self.tls()?).map_err(|error| refused(deepest(&error)))?;
        } else if self.ca.is_some() || self.client_cert.is_some() {
            return Err(Failure::Usage(format!(
                "--ca and --client-cert are for https:// servers, and --addr is {}: write https://HOST:PORT",
                self.addr
            )));
        }
        Ok(endpoint
            .connect_timeout(CONNECT_WITHIN)
            .tcp_nodelay(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(2 << 20)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20)))
    }

    /// Who vouches for the server, and who we are.
    fn tls(&self) -> Result<ClientTlsConfig, Failure> {
        let read = |flag: &str, path: &PathBuf| {
            std::fs::read(path).map_err(|e| Failure::Usage(format!("{flag} {} cannot be read: {e}", path.display())))
        };
        let mut tls = ClientTlsConfig::new().timeout(CONNECT_WITHIN);
        tls = match &self.ca {
            None => tls.with_native_roots(),
            Some(path) => tls.ca_certificate(Certificate::from_pem(read("--ca", path)?)),
        };
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            tls = tls.identity(Identity::from_pem(read("--client-cert", certificate)?, read("--client-key", key)?));
        }
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        Ok(tls)
    }

    fn credential(&self) -> Result<Credential, Failure> {
        let header = |text: String, what: &str| {
            text.parse().map_err(|_| Failure::Usage(format!("{what} holds characters that no header may hold")))
        };
        let token = self.token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        Ok(Credential {
            authorization: token.map(|token| header(format!("Bearer {token}"), "--token")).transpose()?,
            act_as: self.act_as.clone().map(|who| header(who, "--act-as")).transpose()?,
        })
    }

    /// A client of the files.
    pub async fn files(&self) -> Result<FileServiceClient<Authorized>, Failure> {
        Ok(FileServiceClient::new(self.connect().await?).max_decoding_message_size(16 << 20))
    }

    /// A client of the chats.
    pub async fn chats(&self) -> Result<ChatServiceClient<Authorized>, Failure> {
        Ok(ChatServiceClient::new(self.connect().await?))
    }

    /// A client of the credentials.
    pub async fn access(&self) -> Result<AccessServiceClient<Authorized>, Failure> {
        Ok(AccessServiceClient::new(self.connect().await?).max_decoding_message_size(32 << 20))
    }

    /// A client of the settings.
    pub async fn config(&self) -> Result<ConfigServiceClient<Authorized>, Failure> {
        Ok(ConfigServiceClient::new(self.connect().await?))
    }

    /// A client of the maintenance.
    pub async fn maintenance(&self) -> Result<MaintenanceServiceClient<Authorized>, Failure> {
        Ok(MaintenanceServiceClient::new(self.connect().await?))
    }
}

/// What an error comes down to.
fn deepest(error: &tonic::transport::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(addr: &str, token: Option<&str>) -> Connection {
        Connection { addr: addr.to_owned(), token: token.map(str::to_owned), ..Connection::default() }
    }

    #[test]
    fn address_with_or_without_scheme_is_taken_and_any_other_is_usage() {
        for good in ["http://127.0.0.1:50051", "127.0.0.1:50051", "localhost:1", "http://[::1]:50051", "unix:/run/s"] {
            connection(good, None).endpoint().expect(good);
        }
        for bad in ["ftp://h", "http://", "a b:1", "https://", "unix:", "unix:run/s", "unix://run/s"] {
            assert_eq!(connection(bad, None).endpoint().expect_err(bad).exit_code(), 2, "{bad}");
        }
    }

    #[test]
    fn certificates_are_read_for_https_and_refused_for_anything_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        let with_ca = |addr: &str| Connection { ca: Some(file.clone()), ..connection(addr, None) }.endpoint();
        assert!(with_ca("https://h:1").expect_err("not there").as_line().contains("cannot be read"));
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
        std::fs::write(&file, certificate.pem()).expect("our own folder");
        with_ca("https://h:1").expect("a certificate");
        for plain in ["http://h:1", "h:1", "unix:/run/s"] {
            assert!(with_ca(plain).expect_err(plain).as_line().contains("https://"), "{plain}");
        }
    }

    #[test]
    fn token_with_a_line_break_at_its_end_is_taken_and_one_inside_is_usage() {
        assert!(connection("h:1", Some("abc\n")).credential().expect("trimmed").authorization.is_some());
        assert!(connection("h:1", Some(" ")).credential().expect("none").authorization.is_none());
        assert_eq!(connection("h:1", Some("a\nb")).credential().expect_err("a header").exit_code(), 2);
    }

    #[tokio::test]
    async fn server_that_is_not_there_exits_4() {
        let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = probe.local_addr().expect("bound").to_string();
        drop(probe);
        assert_eq!(connection(&addr, None).connect().await.expect_err("nobody listens").exit_code(), 4);
    }
}
