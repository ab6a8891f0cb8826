//! A clamd that somebody else runs: its limits are declared in our configuration, since they cannot be asked.
//!
//! Not here: the protocol (`clamd.rs`), a clamd of our own (`managed/`).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use super::{
    CLAMD_MAX_FILE_BYTES, SCAN_SIZE_FACTOR,
    canary::canaries,
    clamd::{self, ClamdAddress},
};
use crate::{
    domain::Time,
    ports::{ByteSource, Canary, EngineVersion, FitError, ScanError, ScanReply, Scanner, ScannerLimits},
};

/// Where an external clamd is and what its `clamd.conf` says.
#[derive(Debug, Clone)]
pub struct ClamdConfig {
    /// Its socket.
    pub address: ClamdAddress,
    /// Declared: a limit declared higher than it is makes the canaries fail, or ends scans without an answer.
    pub limits: ScannerLimits,
}

/// A client of that clamd.
pub struct ExternalClamd {
    config: ClamdConfig,
    canaries: Vec<Canary>,
}

impl ExternalClamd {
    /// Does not connect yet.
    pub fn new(config: ClamdConfig) -> Self {
        let canaries = canaries(&config.limits);
        Self { config, canaries }
    }
}

#[async_trait]
impl Scanner for ExternalClamd {
    async fn scan(&self, source: Arc<dyn ByteSource>, deadline: Duration) -> Result<ScanReply, ScanError> {
        if let Some(refusal) = too_large(&*source, &self.config.limits) {
            return Ok(refusal);
        }
        clamd::scan(&self.config.address, source, deadline).await
    }

    async fn ping(&self) -> Result<(), ScanError> {
        clamd::ping(&self.config.address).await
    }

    /// The signatures are known by what VERSION tells, no more: number and date of the official ones. Own signatures
    /// beside them, changed without a new official number, are not seen; nor is it known whether there are only test
    /// signatures (the canaries show that there are some).
    async fn version(&self) -> Result<EngineVersion, ScanError> {
        Ok(engine_version(&clamd::version(&self.config.address).await?))
    }

    fn limits(&self) -> ScannerLimits {
        self.config.limits
    }

    async fn fit(&self, max_file_bytes: u64) -> Result<(), FitError> {
        let ScannerLimits { max_file_bytes: largest, max_scan_bytes, .. } = self.config.limits;
        if max_file_bytes > largest.min(CLAMD_MAX_FILE_BYTES) {
            let allowed = largest.min(CLAMD_MAX_FILE_BYTES);
            return Err(FitError::Declared { limit: "StreamMaxLength and MaxFileSize", allowed });
        }
        if max_file_bytes.saturating_mul(SCAN_SIZE_FACTOR) > max_scan_bytes {
            return Err(FitError::Declared {
                limit: "MaxScanSize (four times the largest file)",
                allowed: max_scan_bytes,
            });
        }
        Ok(())
    }

    fn canaries(&self) -> &[Canary] {
        &self.canaries
    }

    fn address(&self) -> String {
        self.config.address.to_string()
    }
}

/// The answer for a file that need not be sent, named as clamd itself names it.
pub(super) fn too_large(source: &dyn ByteSource, limits: &ScannerLimits) -> Option<ScanReply> {
    (source.size() > limits.max_file_bytes)
        .then(|| ScanReply::Unscannable { cause: "Heuristics.Limits.Exceeded.MaxFileSize".to_owned() })
}

/// From the answer to VERSION: `ClamAV 1.4.3/27000/Sun Nov 22 08:25:10 2026`.
pub(super) fn engine_version(line: &str) -> EngineVersion {
    let (engine, signatures) = line.split_once('/').unwrap_or((line, line));
    let date = signatures.split_once('/').map(|(_, date)| date);
    EngineVersion {
        engine: engine.to_owned(),
        signatures: signatures.to_owned(),
        signatures_time: date.and_then(c_time),
        test_only: false,
    }
}

/// `Sun Nov 22 08:25:10 2026`, in the zone of clamd's machine, which is not told: exact to some hours.
fn c_time(text: &str) -> Option<Time> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_ascii_whitespace().skip(1);
    let month = words.next()?;
    let month = MONTHS.iter().position(|m| *m == month)? as i64 + 1;
    let day: i64 = words.next()?.parse().ok().filter(|d| (1..=31).contains(d))?;
    let clock = words.next()?;
    let year: i64 = words.next()?.parse().ok().filter(|y| (1970..=9999).contains(y))?;
    let mut secs = 0;
    for part in clock.splitn(3, ':') {
        secs = secs * 60 + part.parse::<u8>().ok().map(i64::from)?;
    }
    // Days since 1970 of a year that starts in March, so that the leap day is its last.
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    Some(Time::from_secs(days * 86_400 + secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_line_is_taken_apart() {
        let official = engine_version("ClamAV 1.4.3/27000/Sun Nov 22 08:25:10 2026");
        assert_eq!(official.engine, "ClamAV 1.4.3");
        assert_eq!(official.signatures, "27000/Sun Nov 22 08:25:10 2026");
        assert_eq!(official.signatures_time, Some(Time::from_secs(1_795_335_910)));
        let own = engine_version("ClamAV 1.4.6");
        assert_eq!((own.engine.as_str(), own.signatures.as_str()), ("ClamAV 1.4.6", "ClamAV 1.4.6"));
        assert_eq!(own.signatures_time, None);
    }

    #[test]
    fn leap_days_are_counted() {
        assert_eq!(c_time("Thu Feb 29 00:00:00 2024"), Some(Time::from_secs(1_709_164_800)));
        assert_eq!(c_time("Fri Mar  1 00:00:00 2024"), Some(Time::from_secs(1_709_251_200)));
        assert_eq!(c_time("nonsense"), None);
    }

    #[tokio::test]
    async fn fit_names_the_declared_limit_to_raise() {
        const MIB: u64 = 1 << 20;
        let limits = ScannerLimits {
            max_file_bytes: 100 * MIB,
            max_scan_bytes: 200 * MIB,
            max_files: 10,
            max_recursion: 16,
            threads: 2,
        };
        let address = ClamdAddress::Tcp("127.0.0.1:1".to_owned());
        let clamd = ExternalClamd::new(ClamdConfig { address, limits });
        assert!(clamd.fit(50 * MIB).await.is_ok());
        let scan = clamd.fit(50 * MIB + 1).await.expect_err("four times that is more than MaxScanSize");
        assert!(scan.to_string().contains("MaxScanSize"), "{scan}");
        let file = clamd.fit(101 * MIB).await.expect_err("more than MaxFileSize");
        assert!(file.to_string().contains("MaxFileSize") && file.to_string().contains("104857600"), "{file}");
    }
}
