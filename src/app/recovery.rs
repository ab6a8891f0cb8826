//! What is left behind is removed: by a kill, by a dead node, by a cancelled call. Rows first tell what there is.
//!
//! Not here: retention by rule (a later issue). No bytes without a row: the intents name all debris, so that the spool
//! and the store need never be guessed at.

use std::time::Duration;

use super::{App, Error, upload::LEASE_SECS};
use crate::{
    domain::{Actor, Event, EventKind},
    ports::Intent,
    telemetry::names,
};

/// How often leases are renewed and the dead looked for.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// Dead intents taken up at once.
const BATCH: i64 = 500;

impl App {
    /// At start: every intent of this node is of an earlier life; and what lies in the spool without an intent goes.
    pub(super) async fn recover_own(&self) -> Result<(), Error> {
        let mut recovered = 0_usize;
        loop {
            let dead = self.store.list_dead_uploads(Some(&self.node), self.clock.now(), BATCH).await?;
            for intent in &dead {
                self.bury(*intent, Event::new(EventKind::UploadAbandoned, Actor::SYSTEM)).await?;
            }
            recovered += dead.len();
            if dead.is_empty() {
                break;
            }
        }
        let mut strays = 0_usize;
        for key in self.spool.list().await? {
            // The spool is this node's own, and no call is served yet: nothing in it is needed any more.
            self.spool.discard(key).await?;
            strays += 1;
        }
        if recovered + strays > 0 {
            tracing::info!(recovered, strays, "removed what uploads of an earlier life left");
        }
        Ok(())
    }

    /// While the node lives: the leases of its uploads renewed, the intents of dead nodes ended, old request ids forgotten.
    pub(super) async fn keep_leases(&self) {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            if let Err(error) = self.keep_leases_once().await {
                tracing::warn!(%error, "leases could not be renewed; it is tried again");
            }
        }
    }

    async fn keep_leases_once(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let alive = self.alive.list();
        if !alive.is_empty() {
            self.store.renew_leases(&alive, now.plus_secs(LEASE_SECS)).await?;
        }
        for intent in self.store.list_dead_uploads(None, now, BATCH).await? {
            self.bury(intent, Event::new(EventKind::UploadAbandoned, Actor::SYSTEM)).await?;
        }
        while self.store.trim_request_ids(now).await? == 1_000 {}
        Ok(())
    }

    /// Ends an upload without a file, however long the database or the disk takes to come back.
    pub(super) async fn abandon(&self, intent: Intent, event: Event) {
        let mut pause = Duration::from_millis(200);
        while let Err(error) = self.bury(intent, event.clone()).await {
            tracing::warn!(%error, "an abandoned upload could not be removed yet; it is tried again");
            if self.stop.is_cancelled() {
                // The intent stays, and the next start recovers it.
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }

    /// Fence first: its node may only have been slow, or the answer of its commit been lost, and a file whose bytes we
    /// remove must not appear; nor are parts begun any more that nobody would find. Then the bytes, the row last: a kill
    /// in between leaves the row, which names them.
    async fn bury(&self, intent: Intent, event: Event) -> Result<(), Error> {
        let published = self.store.fence_upload(intent).await?;
        self.spool.discard(intent.key).await?;
        if !published {
            let parts = self.store.find_multipart(intent).await?;
            let started = tokio::time::Instant::now();
            self.blobs.discard(intent.key, parts).await?;
            metrics::histogram!(names::BLOB_SECONDS, names::OP => "delete").record(started.elapsed());
        }
        crate::fault_point!("R1");
        Ok(self.store.abort_upload(intent, event, self.clock.now()).await?)
    }

    /// Removes spooled bytes that a shared blob made needless. What cannot be removed now, the next start removes.
    pub(super) async fn discard(&self, intent: Intent) {
        if let Err(error) = self.spool.discard(intent.key).await {
            tracing::warn!(%error, "spooled bytes could not be removed; the next start removes them");
        }
    }
}
