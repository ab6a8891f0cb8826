//! The connection of a client command: address, token, act-as, and the clients of the four services.
//!
//! Not here: what is called with them. A server that does not answer is [`Failure::Unreachable`].

use std::time::Duration;

use clap::Args;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::failure::Failure;
use crate::rpc::pb::{
    chat_service_client::ChatServiceClient, config_service_client::ConfigServiceClient,
    file_service_client::FileServiceClient, maintenance_service_client::MaintenanceServiceClient,
};

/// Where the server is and who asks.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// The server: http://HOST:PORT, or HOST:PORT
    #[arg(long, global = true, env = "LHFILE_ADDR", default_value = "http://127.0.0.1:50051", value_name = "ADDR")]
    pub addr: String,
    /// The bearer token; `lhfile token` mints one
    #[arg(long, global = true, env = "LHFILE_TOKEN", hide_env_values = true, value_name = "JWT")]
    pub token: Option<String>,
    /// For whom a service with the permission act_as calls: `operator:17; chat=42,43; lhfile=use_operator`
    #[arg(long, global = true, env = "LHFILE_ACT_AS", value_name = "WHO")]
    pub act_as: Option<String>,
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
            let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
            let deepest = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
            Failure::Unreachable(format!("{}: {deepest}", self.addr))
        })?;
        Ok(InterceptedService::new(channel, credential))
    }

    fn endpoint(&self) -> Result<Endpoint, Failure> {
        let addr = if self.addr.contains("://") { self.addr.clone() } else { format!("http://{}", self.addr) };
        let unusable = || Failure::Usage(format!("--addr {}: write http://HOST:PORT or HOST:PORT", self.addr));
        if !addr.starts_with("http://") {
            return Err(unusable());
        }
        let endpoint = Endpoint::from_shared(addr).map_err(|_| unusable())?;
        if endpoint.uri().host().is_none_or(str::is_empty) {
            return Err(unusable());
        }
        Ok(endpoint
            .connect_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(2 << 20)
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20)))
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

    /// A client of the settings.
    pub async fn config(&self) -> Result<ConfigServiceClient<Authorized>, Failure> {
        Ok(ConfigServiceClient::new(self.connect().await?))
    }

    /// A client of the maintenance.
    pub async fn maintenance(&self) -> Result<MaintenanceServiceClient<Authorized>, Failure> {
        Ok(MaintenanceServiceClient::new(self.connect().await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(addr: &str, token: Option<&str>) -> Connection {
        Connection { addr: addr.to_owned(), token: token.map(str::to_owned), act_as: None }
    }

    #[test]
    fn address_with_or_without_scheme_is_taken_and_any_other_is_usage() {
        for good in ["http://127.0.0.1:50051", "127.0.0.1:50051", "localhost:1", "http://[::1]:50051"] {
            connection(good, None).endpoint().expect(good);
        }
        for bad in ["https://h:1", "ftp://h", "http://", "a b:1"] {
            assert_eq!(connection(bad, None).endpoint().expect_err(bad).exit_code(), 2, "{bad}");
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
