//! The port to what the database tells of how the service fares: asked for by every node once a minute, for its metrics.
//!
//! Not here: the metrics themselves (`app/vitals.rs`), and whether the database answers at all ([`super::Store::ping`]).

use async_trait::async_trait;

use super::StoreError;
use crate::domain::Time;

/// How the service fares, as far as the database knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vitals {
    /// When the newest good run of maintenance ended ([`crate::domain::run::is_good`]), if it is remembered.
    pub last_run_end: Option<Time>,
    /// Blobs in quarantine.
    pub quarantined: u64,
}

/// How the service fares.
#[async_trait]
pub trait VitalsStore: Send + Sync + 'static {
    /// All of it. Cheap: the newest runs, and an index of what is in quarantine.
    async fn get_vitals(&self) -> Result<Vitals, StoreError>;
}
