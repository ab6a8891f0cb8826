//! The spooled bytes become the store's: in one go, or in parts whose id is durable before the first.
//!
//! Not here: the transaction that makes a file of them (`upload.rs`), and what a kill in the middle leaves
//! (`recovery.rs`).

use std::sync::Arc;

use super::{App, Error};
use crate::{
    fault_point,
    ports::{Intent, Spooled},
    telemetry::names,
};

impl App {
    /// U9: whole and durable under the intent's own key when it answers.
    pub(super) async fn publish(&self, spooled: &Arc<dyn Spooled>, intent: Intent) -> Result<(), Error> {
        self.alive.note_asked_store(intent);
        let started = tokio::time::Instant::now();
        let parts = self.blobs.begin_parts(intent.key, spooled.size()).await?;
        if let Some(parts) = &parts {
            fault_point!("U9-begun");
            self.store.note_multipart(intent, parts).await?;
            fault_point!("U9-noted");
        }
        self.blobs.publish(Arc::clone(spooled), parts).await?;
        metrics::histogram!(names::BLOB_SECONDS, names::OP => "publish").record(started.elapsed());
        Ok(())
    }
}
