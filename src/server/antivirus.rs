//! The scanners of a node: one started and minded by us, or somebody else's.
//!
//! Not here: how a clamd is spoken to (`adapters/scanner`).

use std::sync::Arc;

use super::ServeError;
use crate::{
    adapters::scanner::{ClamdAddress, ClamdConfig, ExternalClamd, ManagedClamd, ManagedConfig},
    config::{Config, ScannerMode},
    ports::{Scanner, ScannerLimits},
};

/// The scanners of a node, and how they end.
pub enum Antivirus {
    /// Ours.
    Managed(Arc<ManagedClamd>),
    /// Somebody else's.
    External(Vec<Arc<ExternalClamd>>),
}

impl Antivirus {
    /// As the service asks them.
    pub fn scanners(&self) -> Vec<Arc<dyn Scanner>> {
        match self {
            Self::Managed(clamd) => vec![Arc::clone(clamd) as Arc<dyn Scanner>],
            Self::External(clamds) => clamds.iter().map(|clamd| Arc::clone(clamd) as Arc<dyn Scanner>).collect(),
        }
    }

    /// Ends what is ours.
    pub async fn stop(&self) {
        if let Self::Managed(clamd) = self {
            clamd.stop().await;
        }
    }
}

/// The scanners as configured. A managed clamd starts in the background, with limits to match the settings; one that
/// cannot start is down, and tried again.
pub async fn open(config: &Config, max_file_bytes: u64) -> Result<Antivirus, ServeError> {
    let scanner = &config.scanner;
    let limits = scanner.limits;
    match scanner.mode {
        ScannerMode::Managed => {
            let managed = ManagedConfig {
                data_dir: config.data_dir.clone(),
                signature_dir: scanner.signature_dir.clone(),
                clamd_binary: scanner.clamd_binary.clone(),
                threads: limits.threads,
                max_file_bytes,
            };
            let clamd = ManagedClamd::start(managed).await.map_err(|e| ServeError::Scanner(e.to_string()))?;
            Ok(Antivirus::Managed(Arc::new(clamd)))
        }
        ScannerMode::External => {
            let limits = ScannerLimits {
                max_file_bytes: limits.max_file_bytes,
                max_scan_bytes: limits.max_scan_bytes,
                max_files: limits.max_files,
                max_recursion: limits.max_recursion,
                threads: limits.threads,
            };
            let clamds = scanner.addresses().map(|address| {
                let address: ClamdAddress = address.parse().map_err(ServeError::Scanner)?;
                Ok(Arc::new(ExternalClamd::new(ClamdConfig { address, limits })))
            });
            Ok(Antivirus::External(clamds.collect::<Result<_, ServeError>>()?))
        }
    }
}
