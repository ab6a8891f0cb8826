//! The process's configuration: addresses, data folder, keys, scanner, limits. Read once at start: the defaults of
//! `examples/lhfile.toml`, then the user's file, then `LHFILE_…`, then the command line. Of all this the keys alone are
//! read again while the process runs (`config/origin.rs`).
//!
//! Not here: what may be uploaded by whom, which changes at run time (`domain/settings.rs`), and the data folder's own
//! secret (`secret.rs`). Go next to `config/judge.rs`: what must hold, and what to do if it does not.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use figment::{
    Figment,
    providers::{Env, Format as _, Serialized, Toml},
};
use serde::{Deserialize, Deserializer, de};

mod blobs;
mod database;
mod judge;
mod keys;
mod listen;
mod origin;
mod tls;
mod unknown;
pub use blobs::{BlobPlace, S3Config};
pub use database::{DatabasePlace, DatabaseUrl};
pub use keys::{Algorithm, KeyConfig, KeyMaterial};
pub use listen::Listen;
pub use origin::Origin;
pub use tls::{CertifiedConfig, ClientCertificates, TlsConfig};

/// The commented defaults, as shipped: the first layer of every configuration.
pub const DEFAULTS: &str = include_str!("../examples/lhfile.toml");

/// Before each variable of the environment.
const PREFIX: &str = "LHFILE_";
/// Variables with our prefix that belong to the command line, to make, or to the tests.
const NOT_CONFIG: &[&str] = &[
    "ADDR",
    "TOKEN",
    "ACT_AS",
    "CA",
    "CLIENT_CERT",
    "CLIENT_KEY",
    "CONFIG",
    "CACHE",
    "BLESS",
    "FAULT_POINT",
    "FAULT_MARKER",
    "FAULT_POLL",
    "FAULT_CLOCK",
    "FAULT_LEFT_AGE",
    "TEST_PAIR",
    "TO",
];

/// The process's configuration. Every key is explained in `examples/lhfile.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the service listens.
    pub listen: Listen,
    /// Who may connect to a socket of `listen`, as a file's mode.
    #[serde(deserialize_with = "listen::socket_mode")]
    pub socket_mode: u32,
    /// The folder of database, files and secret.
    pub data_dir: PathBuf,
    /// Which database. Ask [`DatabaseUrl::place`].
    pub database_url: DatabaseUrl,
    /// The secret that nodes share. Empty: the data folder's own. Ask [`Config::shared_secret`].
    pub secret_file: PathBuf,
    /// Where the files are kept. Ask [`Config::blob_place`].
    pub blob_url: String,
    /// Where Prometheus reads. `None`: nowhere.
    #[serde(deserialize_with = "empty_is_none")]
    pub metrics_listen: Option<SocketAddr>,
    /// Listens beyond loopback without TLS.
    pub allow_plaintext_beyond_loopback: bool,
    /// Reflection asks for no token beyond loopback. Ask [`Config::is_reflection_public`].
    pub reflection_public: bool,
    /// Longest life of a token, in seconds, at least 1.
    pub max_token_ttl_seconds: u64,
    /// What running calls have to end after SIGTERM, in seconds.
    pub shutdown_grace_seconds: u64,
    /// Keys of tokens. Empty: the data folder's own secret.
    pub keys: Vec<KeyConfig>,
    /// TLS of the listener.
    pub tls: TlsConfig,
    /// The virus scanner.
    pub scanner: ScannerConfig,
    /// The object store, if `blob_url` names one.
    pub s3: S3Config,
    /// Room for uploads under way.
    pub spool: SpoolConfig,
    /// HTTP/2.
    pub grpc: GrpcConfig,
    /// How much at once.
    pub limits: LimitsConfig,
    /// Logs.
    pub log: LogConfig,
}

/// Where the scanner is and what it takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScannerConfig {
    /// Whose clamd.
    pub mode: ScannerMode,
    /// Of an external clamd: `unix:/path` or `tcp:HOST:PORT`; of several, with commas between. Empty with managed.
    pub address: String,
    /// Folder of the signatures.
    pub signature_dir: PathBuf,
    /// The clamd to start: a path, or a name.
    pub clamd_binary: PathBuf,
    /// Uploads are taken beyond loopback on test signatures alone.
    pub accept_test_signatures: bool,
    /// Declared limits.
    pub limits: ScannerLimitsConfig,
}

impl ScannerConfig {
    /// Each address.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.address.split(',').map(str::trim)
    }
}

/// Whose clamd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScannerMode {
    /// Started and minded by the service.
    Managed,
    /// Somebody else's, at an address.
    External,
}

/// What an external clamd is declared to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScannerLimitsConfig {
    /// Scans at once; 0, managed only: one more than there are cores, at least 3.
    pub threads: u32,
    /// The smaller of `StreamMaxLength` and `MaxFileSize`, in bytes.
    pub max_file_bytes: u64,
    /// `MaxScanSize`, in bytes.
    pub max_scan_bytes: u64,
    /// `MaxFiles`.
    pub max_files: u32,
    /// `MaxRecursion`.
    pub max_recursion: u32,
}

/// Room for uploads under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolConfig {
    /// Most bytes of all of them.
    pub budget_bytes: u64,
    /// Share of the disk that stays free, in percent, 0 to 90.
    pub reserve_percent: u8,
}

/// HTTP/2: throughput against memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrpcConfig {
    /// Window of a stream, in bytes.
    pub stream_window_bytes: u32,
    /// Window of a connection, in bytes.
    pub connection_window_bytes: u32,
    /// Largest frame, in bytes.
    pub max_frame_bytes: u32,
    /// Most calls at once on a connection.
    pub max_streams: u32,
    /// Largest header list, in bytes.
    pub max_header_list_bytes: u32,
    /// Silence after which a connection is asked, in seconds.
    pub keepalive_seconds: u64,
    /// What it has to answer, in seconds.
    pub keepalive_timeout_seconds: u64,
    /// Age after which a connection takes no new calls, in seconds.
    pub connection_age_seconds: u64,
    /// After which it is closed then, in seconds.
    pub connection_age_grace_seconds: u64,
}

/// How much at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Uploads of one visitor.
    pub uploads_per_visitor: u32,
    /// Uploads of one operator.
    pub uploads_per_operator: u32,
    /// Connections.
    pub connections: u32,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged, as `tracing_subscriber::EnvFilter` reads it.
    pub filter: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text.
    Text,
    /// JSON.
    Json,
}

/// What the command line says over file and environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `listen`.
    pub listen: Option<Listen>,
    /// `data_dir`.
    pub data_dir: Option<PathBuf>,
}

/// Why there is no configuration, with what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads all layers and judges the result.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, a value of the wrong type or out of bounds; the message names where
    /// it was found and says what to do.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        if let Some(path) = path {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError(format!("{} cannot be read: {error}", path.display())))?;
            let layer = Figment::from(Toml::string(&text));
            unknown::refuse_unknown_keys(&layer, &path.display().to_string(), ".")?;
            // By path, so that an error names the file.
            figment = figment.merge(Toml::file_exact(path));
        }
        let environment = Env::prefixed(PREFIX).ignore(NOT_CONFIG).split("__");
        unknown::refuse_unknown_keys(&Figment::from(environment.clone()), "the environment (LHFILE_…)", "__")?;
        figment = figment.merge(environment);
        if let Some(listen) = &overrides.listen {
            figment = figment.merge(Serialized::default("listen", listen.to_string()));
        }
        if let Some(data_dir) = &overrides.data_dir {
            figment = figment.merge(Serialized::default("data_dir", data_dir));
        }
        let config: Config = figment.extract().map_err(|error| ConfigError(error.to_string()))?;
        config.judge()?;
        Ok(config)
    }

    /// Reflection asks for no token.
    pub fn is_reflection_public(&self) -> bool {
        self.reflection_public || self.is_loopback()
    }

    /// Only this machine can reach the service.
    pub fn is_loopback(&self) -> bool {
        self.listen.is_loopback()
    }

    /// The file of the secret that nodes share, if one is configured.
    pub fn shared_secret(&self) -> Option<&Path> {
        Some(self.secret_file.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// What running calls have to end.
    pub fn shutdown_grace(&self) -> Duration {
        Duration::from_secs(self.shutdown_grace_seconds)
    }
}

/// An address, or nothing.
fn empty_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| de::Error::custom(format!("{text:?} is no IP:port; empty means off")))
}

#[cfg(test)]
mod tests;
