//! Carries things from one decision of `domain/` to the next: uploads, downloads, lists, chats, settings, keys, scanning.
//!
//! Not here: gRPC (`rpc/`), SQL, files and sockets (`adapters/`, behind `ports/`). Start with [`upload`], whose steps
//! have the names of the upload's way.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use gate::Most;

use crate::domain::StoreId;
use crate::ports::{BlobStore, Changes, Clock, ContentInspector, Ids, Scanner, Spool, Store};
use crate::telemetry::names;

mod antivirus_test;
mod changes;
mod chats;
mod consistency;
mod deleting;
mod download;
mod draft;
mod erasing;
mod error;
mod fences;
mod gate;
mod health;
mod holds;
mod judging;
mod keys;
mod library;
mod maintenance;
pub mod moving;
mod outlive;
mod pages;
mod publish;
mod purging;
mod quarantine;
mod recovery;
mod repeat;
mod rescan;
mod scanning;
mod seal;
mod settings;
mod staging;
mod stats;
mod upload;
mod vitals;

pub use antivirus_test::{AntivirusTest, TestResult};
pub use chats::ChatPage;
pub use consistency::{
    CheckAsked, CheckCounts, CheckPhase, CheckProgress, CheckSummary, CheckTold, RepairSummary, RepairTold, Repaired,
    ToldFinding,
};
pub use deleting::{DeletedFiles, MAX_DELETED};
pub use download::{Download, DownloadBy};
pub use error::Error;
pub use health::{Health, Part as HealthPart};
pub use holds::HoldPage;
pub use keys::{KEY_PREFIX, KeyPage, KeyRing, KeySecret};
pub use library::{FilePage, ListRequest};
pub use maintenance::{Explained, PlanPage, RunAsked, RunPage};
pub use purging::PurgeBatch;
pub use quarantine::{QuarantinePage, QuarantinedBlob, Release, ReleaseAsked, ReleaseOf};
pub use rescan::{RescanAsked, RescanProgress, RescanResult, Rescanned};
pub use scanning::{CanaryResult, MemberStatus, ScannerState, ScannerStatus, Scanning};
pub use seal::{Purpose, Secrets, TokenKey, token_keys};
pub use settings::settings_etag;
pub use staging::{Part, UploadSource};

/// Limits of one node that are not settings.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Uploads at once of one visitor.
    pub uploads_per_visitor: u32,
    /// Uploads at once of one operator.
    pub uploads_per_operator: u32,
    /// Uploads at once of all.
    pub uploads: u32,
    /// Downloads at once of one visitor or operator: each holds a file and up to 2 MiB.
    pub downloads_per_person: u32,
    /// Downloads at once of all.
    pub downloads: u32,
    /// Least bytes in [`Limits::progress_window`].
    pub progress_bytes: u64,
    /// Over which time progress is judged.
    pub progress_window: Duration,
    /// Longest reading of one upload.
    pub reading: Duration,
    /// Longest wait for a scanner's slot.
    pub slot_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            uploads_per_visitor: 2,
            uploads_per_operator: 8,
            uploads: 4_096,
            downloads_per_person: 64,
            downloads: 1_024,
            progress_bytes: 30 * 1_024,
            progress_window: Duration::from_secs(30),
            reading: Duration::from_secs(15 * 60),
            slot_wait: Duration::from_secs(5 * 60),
        }
    }
}

/// What the service is made of; `server.rs` fills it.
pub struct Parts {
    /// The database.
    pub store: Arc<dyn Store>,
    /// What it tells by itself of other nodes, if it can.
    pub changes: Option<Arc<dyn Changes>>,
    /// Where uploads lie while they are judged.
    pub spool: Arc<dyn Spool>,
    /// Where bytes are kept.
    pub blobs: Arc<dyn BlobStore>,
    /// Its id, which the database named when this node started.
    pub store_id: StoreId,
    /// The virus scanners, at least one.
    pub scanners: Vec<Arc<dyn Scanner>>,
    /// Looks at content.
    pub inspector: Arc<dyn ContentInspector>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<dyn Ids>,
    /// Seal links and page tokens.
    pub secrets: Secrets,
    /// This node's name: its intents are its own to recover.
    pub node: String,
    /// Uploads may be served while only test signatures are loaded.
    pub accept_test_signatures: bool,
    /// Limits of this node.
    pub limits: Limits,
}

/// Looks at content at once: each holds a blocking thread, for seconds where an archive is large, and up to 1 MiB.
/// Those threads are few, and the scanner's PING needs one, too.
const LOOKS: usize = 32;

/// The service.
pub struct App {
    store: Arc<dyn Store>,
    spool: Arc<dyn Spool>,
    blobs: Arc<dyn BlobStore>,
    store_id: StoreId,
    inspector: Arc<dyn ContentInspector>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    secrets: Secrets,
    node: String,
    limits: Limits,
    settings: settings::Cache,
    key_ring: Arc<KeyRing>,
    key_loads: tokio::sync::Mutex<()>,
    woken: tokio::sync::watch::Sender<()>,
    scanning: Scanning,
    uploads: Arc<gate::Gate>,
    fences: Arc<fences::Fences>,
    downloads: Arc<gate::Gate>,
    looks: tokio::sync::Semaphore,
    health: health::Board,
    alive: draft::Alive,
    purging: purging::Next,
    rescanning: rescan::Rescanning,
    blamed: judging::Blamed,
    counted: stats::Counted,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl App {
    /// Recovers what a kill left, loads the settings, fits the scanner to them, and starts the work beside the calls.
    /// Ready for calls when it answers; the scanner may still have to prove itself.
    pub async fn start(parts: Parts) -> Result<Arc<Self>, Error> {
        let settings = settings::Cache::load(&*parts.store, parts.store_id).await?;
        let now = parts.clock.now();
        let keys = parts.store.load_keys(now).await?;
        let app = Arc::new(Self {
            scanning: Scanning::new(
                parts.scanners,
                Arc::clone(&parts.clock),
                parts.accept_test_signatures,
                parts.limits.slot_wait,
            ),
            settings,
            key_ring: Arc::new(KeyRing::new(keys, now)),
            key_loads: tokio::sync::Mutex::default(),
            woken: tokio::sync::watch::Sender::new(()),
            uploads: gate::Gate::new(Most {
                what: "uploads",
                limit: "limit_uploads",
                visitor: parts.limits.uploads_per_visitor,
                operator: parts.limits.uploads_per_operator,
                all: parts.limits.uploads,
                gauge: names::UPLOADS_RUNNING,
            }),
            fences: Arc::default(),
            downloads: gate::Gate::new(Most {
                what: "downloads",
                limit: "limit_downloads",
                visitor: parts.limits.downloads_per_person,
                operator: parts.limits.downloads_per_person,
                all: parts.limits.downloads,
                gauge: names::DOWNLOADS_RUNNING,
            }),
            looks: tokio::sync::Semaphore::new(LOOKS),
            health: health::Board::default(),
            alive: draft::Alive::default(),
            purging: purging::Next::default(),
            rescanning: rescan::Rescanning::default(),
            blamed: judging::Blamed::default(),
            counted: stats::Counted::default(),
            store: parts.store,
            spool: parts.spool,
            blobs: parts.blobs,
            store_id: parts.store_id,
            inspector: parts.inspector,
            clock: parts.clock,
            ids: parts.ids,
            secrets: parts.secrets,
            node: parts.node,
            limits: parts.limits,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        app.recover_own().await?;
        app.spawn_until_stop(|app| async move { app.scanning.watch(&app.stop).await });
        app.spawn_until_stop(|app| async move { app.watch_settings().await });
        app.spawn_until_stop(|app| async move { app.watch_keys().await });
        if let Some(changes) = parts.changes {
            app.spawn_until_stop(|app| async move { app.hear(changes).await });
        }
        app.spawn_until_stop(|app| async move { app.keep_leases().await });
        app.spawn_until_stop(|app| async move { app.clear_away().await });
        app.spawn_until_stop(|app| async move { app.watch_health().await });
        app.spawn_until_stop(App::mind_runs);
        app.spawn_until_stop(App::tell_vitals);
        Ok(app)
    }

    /// The tracker of tasks that outlive a call. The server waits for it at the end.
    pub const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// The scanner's state and how to wait for it.
    pub const fn scanning(&self) -> &Scanning {
        &self.scanning
    }

    /// Ends the work beside the calls and waits until every upload that was committed is answered, at most `grace`.
    pub async fn stop(&self, grace: Duration) {
        self.tasks.close();
        self.stop.cancel();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "work was still under way when the grace ended");
        }
    }

    /// Runs work beside the calls until [`App::stop`].
    pub fn spawn_until_stop<F, Fut>(self: &Arc<Self>, work: F)
    where
        F: FnOnce(Arc<Self>) -> Fut,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        let work = work(Arc::clone(self));
        self.tasks.spawn(async move {
            tokio::select! { () = stop.cancelled() => {}, () = work => {} }
        });
    }
}

#[cfg(test)]
mod tests;
