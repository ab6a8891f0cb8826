//! `lhfile serve`: reads the configuration, starts the logs, makes the secret, runs the server.
//!
//! Not here: the server (`server.rs`), which also starts the metrics and says when it is ready.

use std::{io::IsTerminal as _, path::PathBuf};

use clap::Args;

use super::failure::Failure;
use crate::{
    config::{Listen, LogFormat, Origin, Overrides},
    secret, server, telemetry,
};

/// Where, on what data.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration file; examples/lhfile.toml explains every key
    #[arg(long, env = "LHFILE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder, instead of the configuration's [default: ./data]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Where to listen, instead of the configuration's [default: 127.0.0.1:50051]
    #[arg(long, value_name = "IP:PORT|unix:/PATH")]
    listen: Option<Listen>,
}

impl Serve {
    /// Serves until SIGTERM or SIGINT.
    pub async fn run(self) -> Result<(), Failure> {
        let overrides = Overrides { listen: self.listen, data_dir: self.data_dir };
        let origin = Origin::new(self.config.as_deref(), overrides);
        let config =
            origin.load().map_err(|error| Failure::Failed(format!("the configuration does not hold: {error}")))?;
        let json = match config.log.format {
            LogFormat::Auto => !std::io::stderr().is_terminal(),
            LogFormat::Text => false,
            LogFormat::Json => true,
        };
        telemetry::start_logs(json, &config.log.filter).map_err(|error| Failure::Failed(error.to_string()))?;
        if config.keys.is_empty() && config.shared_secret().is_none() {
            let data_dir = &config.data_dir;
            let first = !secret::path(data_dir).exists();
            secret::open_or_create(data_dir).map_err(|error| Failure::Failed(error.to_string()))?;
            if first {
                eprintln!(
                    "made {}; mint a token: lhfile token --operator 17 --permission '*' --chat '*' --data-dir {}",
                    secret::path(data_dir).display(),
                    data_dir.display()
                );
            }
        }
        server::serve(config, origin).await.map_err(|error| Failure::Failed(error.to_string()))
    }
}
