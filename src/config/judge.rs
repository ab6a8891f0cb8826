//! What must hold of a configuration, each rule with what to do when it does not.
//!
//! Not here: types and unknown keys, which are found while reading (`config.rs`).

use std::{collections::BTreeSet, path::Path};

use super::{Algorithm, Config, ConfigError, KeyConfig, Listen, ScannerMode, listen::MAX_SOCKET_PATH};

/// What a `kid` may not begin with (`app/seal.rs`).
const RESERVED: &str = "lhfile.";

impl Config {
    /// The first rule that does not hold.
    pub(super) fn judge(&self) -> Result<(), ConfigError> {
        self.judge_addresses()?;
        self.judge_tls()?;
        self.judge_database()?;
        self.judge_keys()?;
        self.judge_scanner()?;
        self.judge_blobs()?;
        self.judge_grpc()?;
        within("max_token_ttl_seconds", self.max_token_ttl_seconds, 1, 366 * 86_400)?;
        within("shutdown_grace_seconds", self.shutdown_grace_seconds, 0, 3_600)?;
        within("spool.budget_bytes", self.spool.budget_bytes, 1 << 20, u64::MAX)?;
        within("spool.reserve_percent", self.spool.reserve_percent.into(), 0, 90)?;
        within("limits.uploads_per_visitor", self.limits.uploads_per_visitor.into(), 1, 10_000)?;
        within("limits.uploads_per_operator", self.limits.uploads_per_operator.into(), 1, 10_000)?;
        within("limits.connections", self.limits.connections.into(), 1, 1_000_000)
    }

    fn judge_addresses(&self) -> Result<(), ConfigError> {
        if !self.is_loopback() && !self.tls.is_on() && !self.allow_plaintext_beyond_loopback {
            return Err(ConfigError::new(format!(
                "listen = {} can be reached from other machines, and without TLS everybody between may read tokens and \
                 files: set cert_file and key_file in [tls], or listen on 127.0.0.1, or set \
                 allow_plaintext_beyond_loopback = true for a network that you trust",
                self.listen
            )));
        }
        let own = self.metrics_listen.filter(|metrics| metrics.port() != 0).map(Listen::Tcp);
        if own.as_ref() == Some(&self.listen) {
            return Err(ConfigError::new("metrics_listen is the same as listen: give it a port of its own"));
        }
        if self.data_dir.as_os_str().is_empty() {
            return Err(ConfigError::new("data_dir is empty: name a folder"));
        }
        Ok(())
    }

    fn judge_keys(&self) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        for key in &self.keys {
            if key.kid.is_empty() {
                return Err(ConfigError::new("keys: a key has an empty kid: give each a name of its own"));
            }
            if key.kid.starts_with(RESERVED) {
                let why = "names of this kind are those of the keys that the service makes itself";
                return Err(ConfigError::new(format!("keys: kid {} begins with {RESERVED}: {why}", key.kid)));
            }
            if !seen.insert(key.kid.as_str()) {
                return Err(ConfigError::new(format!("keys: kid {} is there twice: give each its own", key.kid)));
            }
            judge_key(key)?;
        }
        Ok(())
    }

    fn judge_scanner(&self) -> Result<(), ConfigError> {
        let scanner = &self.scanner;
        match scanner.mode {
            ScannerMode::Managed if !scanner.address.is_empty() => {
                return Err(ConfigError::new(
                    "scanner.address is set, but scanner.mode is managed: set mode = \"external\", or clear the address",
                ));
            }
            ScannerMode::Managed => return Ok(()),
            ScannerMode::External => {}
        }
        let mut known = BTreeSet::new();
        for address in scanner.addresses() {
            if !is_clamd_address(address) {
                return Err(ConfigError::new(format!(
                    "scanner.address = {:?}: an external scanner needs unix:/path (at most {MAX_SOCKET_PATH} bytes) or \
                     tcp:HOST:PORT, several of them with commas between",
                    scanner.address
                )));
            }
            if !known.insert(address) {
                return Err(ConfigError::new(format!("scanner.address names {address} twice: name each clamd once")));
            }
        }
        let limits = &scanner.limits;
        within("scanner.limits.threads of an external scanner (its MaxThreads)", limits.threads.into(), 1, 1_024)?;
        within("scanner.limits.max_file_bytes", limits.max_file_bytes, 1, (2 << 30) - 3)?;
        within("scanner.limits.max_scan_bytes", limits.max_scan_bytes, limits.max_file_bytes, u64::MAX)?;
        within("scanner.limits.max_files", limits.max_files.into(), 1, u32::MAX.into())?;
        within("scanner.limits.max_recursion", limits.max_recursion.into(), 1, 100)
    }

    fn judge_grpc(&self) -> Result<(), ConfigError> {
        let grpc = &self.grpc;
        let (stream, connection) = (u64::from(grpc.stream_window_bytes), u64::from(grpc.connection_window_bytes));
        within("grpc.stream_window_bytes", stream, 65_535, 16 << 20)?;
        within("grpc.connection_window_bytes", connection, stream, 64 << 20)?;
        within("grpc.max_frame_bytes", grpc.max_frame_bytes.into(), 16_384, 1 << 20)?;
        within("grpc.max_streams", grpc.max_streams.into(), 1, 100_000)?;
        within("grpc.max_header_list_bytes", grpc.max_header_list_bytes.into(), 4_096, 1 << 20)?;
        within("grpc.keepalive_seconds", grpc.keepalive_seconds, 1, 86_400)?;
        within("grpc.keepalive_timeout_seconds", grpc.keepalive_timeout_seconds, 1, 3_600)?;
        within("grpc.connection_age_seconds", grpc.connection_age_seconds, 1, 31 * 86_400)?;
        within("grpc.connection_age_grace_seconds", grpc.connection_age_grace_seconds, 1, 31 * 86_400)
    }
}

fn is_clamd_address(address: &str) -> bool {
    let unix = address.strip_prefix("unix:");
    let tcp = address.strip_prefix("tcp:").and_then(|a| a.rsplit_once(':'));
    match (unix, tcp) {
        (Some(path), _) => Path::new(path).is_absolute() && path.len() <= MAX_SOCKET_PATH,
        (None, Some((host, port))) => !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0),
        (None, None) => false,
    }
}

/// One source, and the one that fits the algorithm.
fn judge_key(key: &KeyConfig) -> Result<(), ConfigError> {
    let secrets = usize::from(key.secret.is_some()) + usize::from(key.secret_file.is_some());
    let (fits, wanted) = match key.algorithm {
        Algorithm::Hs256 => (
            secrets == 1 && key.public_key_file.is_none(),
            "exactly one of secret and secret_file, and no public_key_file",
        ),
        Algorithm::Es256 | Algorithm::Rs256 | Algorithm::EdDsa => {
            (secrets == 0 && key.public_key_file.is_some(), "public_key_file, and no secret")
        }
    };
    if !fits {
        return Err(ConfigError::new(format!("keys: {} ({:?}) needs {wanted}", key.kid, key.algorithm)));
    }
    if key.secret.is_some() { key.read().map(drop) } else { Ok(()) }
}

fn within(key: &str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::new(format!("{key} = {value} is out of bounds: set it to {min} to {max}")))
}
