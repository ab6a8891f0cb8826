//! What the store in memory tells of how the service fares.
//!
//! Not here: what is made of it (`app/vitals.rs`).

use async_trait::async_trait;

use super::MemoryStore;
use crate::{
    domain::{BlobState, run},
    ports::{StoreError, Vitals, VitalsStore},
};

#[async_trait]
impl VitalsStore for MemoryStore {
    async fn get_vitals(&self) -> Result<Vitals, StoreError> {
        Ok(self.read(|t| {
            let good = t.runs.values().rev().find(|row| run::is_good(&row.run));
            let quarantined = t.blobs.values().filter(|row| row.blob.state == BlobState::Quarantined).count();
            Vitals { last_run_end: good.and_then(|row| row.run.ended_at), quarantined: quarantined as u64 }
        }))
    }
}
