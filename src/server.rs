//! Introduces everything to everything: adapters to ports, the service to gRPC, the process to its signals.
//!
//! The only place that names both a port and its adapter. Not here: rules, and the command line (`cli/`). Read
//! [`start`] for what a node is made of and its layers, each with what it does and why at its height.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;
use tower::Layer as _;

use crate::{
    adapters::{
        blobs::{SpoolLimits, open as open_disk},
        content::Inspector,
    },
    app::{self, App, Limits, Parts, ScannerState},
    config::{Config, Listen, Origin},
    ports::{Clock, Ids, Spool, StoreError, SystemIds},
    rpc::{
        self,
        access::{AccessLayer, Credentials},
        deadline::DeadlineLayer,
        methods::MethodTable,
        minting::Minting,
        request_id::RequestIdLayer,
    },
    telemetry,
};

mod antivirus;
pub mod blobs;
mod certificate;
pub mod certified;
mod clock;
mod connections;
mod cron;
mod database;
mod handshakes;
mod keys;
mod listener;
pub mod moving;
mod serving;
pub mod tls;

use antivirus::Antivirus;
use clock::NodeClock;
use connections::Incoming;
use database::Database;
use handshakes::Handshakes;
use keys::Keys;
use listener::Listener;
use tls::Tls;

/// How long the ready line waits for the scanner's first verdict on itself.
const SCANNER_PATIENCE: Duration = Duration::from_secs(15);

/// How long connections that are cut off may take to be gone.
const CUT_WITHIN: Duration = Duration::from_secs(2);

/// Why the server does not start, or ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0} ({1}): is another lhfile running there? Choose another with --listen")]
    Listen(Listen, #[source] io::Error),
    /// The certificates of the listener, or the services that certificates stand for.
    #[error("{0}")]
    Tls(String),
    /// The data folder cannot be used.
    #[error("the data folder {0} cannot be used: {1}")]
    Data(PathBuf, String),
    /// A key of the configuration, or the secret.
    #[error("keys: {0}")]
    Keys(String),
    /// The scanner's address or folders.
    #[error("scanner: {0}")]
    Scanner(String),
    /// Metrics, or the table of RPCs.
    #[error("{0}")]
    Start(String),
    /// The store of bytes cannot be used.
    #[error("the store of bytes: {0}")]
    Blobs(String),
    /// Database and store of bytes are not each other's.
    #[error("{0}")]
    Pair(String),
    /// The database.
    #[error("the database: {0}")]
    Database(#[from] StoreError),
    /// What an earlier life left could not be recovered.
    #[error("recovery: {0}")]
    Recovery(#[from] app::Error),
}

/// A node that serves.
pub struct Node {
    /// Where.
    pub address: Listen,
    /// Told, it reads its certificates and keys again.
    reread: watch::Sender<()>,
    app: Arc<App>,
    database: Database,
    antivirus: Antivirus,
    /// Held as long as the node lives: a second one on this folder would take the first one's uploads for debris.
    _lock: File,
    health: (HealthReporter, Arc<MethodTable>),
    /// Cancelled, it ends the calls that watch.
    leaving: CancellationToken,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    /// Cancelled once nothing is served any more, for whatever reason.
    ended: CancellationToken,
    /// Cancelled, it ends every connection.
    cut: CancellationToken,
    grace: Duration,
}

/// Serves until SIGTERM or SIGINT; prints one line when it is ready. On SIGHUP it reads its certificates and keys again.
///
/// # Errors
/// See [`ServeError`]; each says what to do.
pub async fn serve(config: Config, origin: Origin) -> Result<(), ServeError> {
    connections::raise_descriptors(config.limits.connections);
    if let Some(listen) = config.metrics_listen {
        telemetry::start_metrics(listen).map_err(|e| ServeError::Start(e.to_string()))?;
    }
    let mut terminate = signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut interrupt = signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut hangup = signal(tokio::signal::unix::SignalKind::hangup())?;
    // It may wait for another node's migration, or for a store that does not answer.
    let node = tokio::select! {
        node = start(&config, origin, Arc::new(NodeClock), Arc::new(SystemIds)) => node?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let reread = node.reread.clone();
    node.app.spawn_until_stop(|_| async move {
        while hangup.recv().await.is_some() {
            reread.send_replace(());
        }
    });
    let scanner = tokio::select! {
        scanner = node.scanner_line() => scanner,
        _ = terminate.recv() => return node.stop().await,
        _ = interrupt.recv() => return node.stop().await,
    };
    println!(
        "lhfile {} ready on {}{}, data in {}; {scanner}",
        env!("CARGO_PKG_VERSION"),
        node.address,
        if config.tls.is_on() { " (TLS)" } else { "" },
        config.data_dir.display()
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = node.ended.cancelled() => {}
    }
    tracing::info!(grace_seconds = node.grace.as_secs(), "ending: no new calls, running ones may finish");
    node.stop().await
}

/// Waits until somebody asks for the files to be read again. A node that is gone asks no more.
async fn reread(hangup: &mut watch::Receiver<()>) {
    if hangup.changed().await.is_err() {
        std::future::pending().await
    }
}

fn signal(kind: tokio::signal::unix::SignalKind) -> Result<tokio::signal::unix::Signal, ServeError> {
    tokio::signal::unix::signal(kind).map_err(|e| ServeError::Start(e.to_string()))
}

/// Makes a node of its parts and lets it serve. From `origin` it reads its keys again.
///
/// # Errors
/// See [`ServeError`].
pub async fn start(
    config: &Config,
    origin: Origin,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
) -> Result<Node, ServeError> {
    let data = &config.data_dir;
    let bad_data = |e: &dyn std::fmt::Display| ServeError::Data(data.clone(), e.to_string());
    let lock = lock(data).map_err(|e| bad_data(&e))?;
    let keys = Keys::load(config, origin).map_err(ServeError::Keys)?;
    let table = Arc::new(MethodTable::read().map_err(|e| ServeError::Start(e.to_string()))?);

    let certified = certified::callers(&config.tls).map_err(ServeError::Tls)?;
    let tls = config.tls.is_on().then(|| Tls::load(&config.tls, clock.now())).transpose().map_err(ServeError::Tls)?;

    // The port before the data: who cannot listen does not open the database.
    let unheard = |error| ServeError::Listen(config.listen.clone(), error);
    let listener = Listener::bind(&config.listen, config.socket_mode).map_err(unheard)?;
    let address = listener.address().map_err(unheard)?;

    let limits = SpoolLimits { budget_bytes: config.spool.budget_bytes, reserve_percent: config.spool.reserve_percent };
    let root = data.clone();
    let opened = tokio::task::spawn_blocking(move || open_disk(&root, limits).map_err(|e| e.to_string()));
    let (spool, disk) = opened.await.map_err(|e| ServeError::Start(e.to_string()))?.map_err(|e| bad_data(&e))?;
    let spool: Arc<dyn Spool> = Arc::new(spool);
    let database = Database::open(config).await?;
    let store = database.store();
    let shared = database.clock().await?;
    let counting = shared.clone().map_or_else(|| Arc::clone(&clock), |shared| shared as Arc<dyn Clock>);
    let node = database::node_name(config, &*ids).map_err(|e| bad_data(&e))?;
    let blobs = blobs::choose(config, Arc::clone(&spool), disk)?;
    let store_id = blobs::pair(&*store, &*blobs, &blobs::told_place(config)?, &*ids).await?;
    blobs.probe().await.map_err(|e| ServeError::Blobs(e.to_string()))?;

    let settings = store.load_settings().await?.settings;
    let antivirus = antivirus::open(config, settings.max_file_bytes.unsigned_abs()).await?;
    let app = App::start(Parts {
        store,
        changes: Database::changes(config)?,
        spool,
        blobs,
        store_id,
        scanners: antivirus.scanners(),
        inspector: Arc::new(Inspector),
        clock: Arc::clone(&counting),
        ids: Arc::clone(&ids),
        secrets: keys.secrets(),
        node,
        accept_test_signatures: config.is_loopback() || config.scanner.accept_test_signatures,
        limits: Limits {
            uploads_per_visitor: config.limits.uploads_per_visitor,
            uploads_per_operator: config.limits.uploads_per_operator,
            ..Limits::default()
        },
    })
    .await?;

    let opaque = Arc::clone(app.key_ring());
    let minting = Minting { keys: keys.subscribe(), clock: Arc::clone(&clock) };
    let believed = Credentials { keys: keys.subscribe(), opaque, certified, clock: Arc::clone(&clock) };
    let access = AccessLayer::new(&table, config.is_reflection_public(), believed, app.tasks().clone())
        .map_err(|e| ServeError::Start(e.to_string()))?;
    let reporter = HealthReporter::new();
    let leaving = CancellationToken::new();
    let services = rpc::routes::routes(&app, reporter.clone(), minting, leaving.clone())
        .map_err(|e| ServeError::Start(e.to_string()))?;
    let (telling, names) = (reporter.clone(), Arc::clone(&table));
    app.spawn_until_stop(|app| async move { rpc::health::follow(app.health(), telling, &names).await });
    app.spawn_until_stop(|app| cron::follow(app, counting));
    if let Some(shared) = shared {
        let own = Arc::clone(&clock);
        app.spawn_until_stop(|_| shared.follow(own));
    }
    app.spawn_until_stop(App::mind_rescan);

    // The tower stack, from the outside in: first every call gets its id, span, log line and metrics, so that refusals
    // have them too; then the caller's own deadline, over all the work; then the gate, so that nothing behind it is
    // reached without a right; then the services.
    let (stop, stopped) = oneshot::channel::<()>();
    let ided = RequestIdLayer::new(Arc::clone(&ids), Arc::clone(&table));
    let service = ided.layer(DeadlineLayer.layer(access.layer(services.prepare())));
    let (ended, cut) = (CancellationToken::new(), CancellationToken::new());
    let (most, reread) = (config.limits.connections, watch::Sender::new(()));
    let handshakes = tls.as_ref().map(|tls| Handshakes::new(tls.subscribe(), most));
    let age = Duration::from_secs(config.grpc.connection_age_seconds);
    let grace = Duration::from_secs(config.grpc.connection_age_grace_seconds);
    let incoming = Incoming { listener, handshakes, most, age, grace, ids, cut: cut.clone() }.connections();
    let hangup = reread.subscribe();
    app.spawn_until_stop(|_| keys.follow(hangup));
    if let Some(tls) = tls {
        let hangup = reread.subscribe();
        app.spawn_until_stop(|_| tls.follow(hangup, clock));
    }
    let serves = ended.clone().drop_guard();
    let transport = transport(config);
    let serving = app.tasks().spawn(async move {
        let _serves = serves;
        // A dropped sender ends the server too.
        serving::serve(transport, service, incoming, async { drop(stopped.await) }).await;
    });
    Ok(Node {
        address,
        reread,
        app,
        database,
        antivirus,
        _lock: lock,
        health: (reporter, table),
        leaving,
        stop,
        serving,
        ended,
        cut,
        grace: config.shutdown_grace(),
    })
}

/// Takes the data folder for this process.
fn lock(data: &Path) -> Result<File, String> {
    let private = DirBuilder::new().recursive(true).mode(0o700).create(data);
    private.map_err(|e| e.to_string())?;
    let file = File::create(data.join("lock")).map_err(|e| e.to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("another lhfile serves it: stop that one first".to_owned()),
        Err(TryLockError::Error(e)) => Err(e.to_string()),
    }
}

/// HTTP/2 with its limits, which bind before any layer. The age of a connection is its own (`serving.rs`).
fn transport(config: &Config) -> Server {
    let grpc = &config.grpc;
    Server::builder()
        .initial_stream_window_size(grpc.stream_window_bytes)
        .initial_connection_window_size(grpc.connection_window_bytes)
        .max_frame_size(grpc.max_frame_bytes)
        .max_concurrent_streams(grpc.max_streams)
        .http2_max_header_list_size(grpc.max_header_list_bytes)
        .http2_keepalive_interval(Some(Duration::from_secs(grpc.keepalive_seconds)))
        .http2_keepalive_timeout(Some(Duration::from_secs(grpc.keepalive_timeout_seconds)))
}

impl Node {
    /// What the ready line says of the scanner: waits for its first verdict on itself, but not for ever.
    async fn scanner_line(&self) -> String {
        let mut state = self.app.scanning().subscribe();
        let settled = state.wait_for(|s| matches!(s, ScannerState::Proved { .. }));
        let settled = tokio::time::timeout(SCANNER_PATIENCE, settled).await;
        match settled {
            Ok(Ok(state)) => match &*state {
                ScannerState::Proved { version, .. } if version.test_only => {
                    format!("{} proved, ON TEST SIGNATURES ONLY: run `freshclam` for real ones", version.engine)
                }
                ScannerState::Proved { version, .. } => format!("{} proved", version.engine),
                ScannerState::Unproved | ScannerState::Down { .. } => "the scanner is down".to_owned(),
            },
            Ok(Err(_)) | Err(_) => {
                "NO SCANNER YET, uploads that need one are refused: `lhfile doctor` says why".to_owned()
            }
        }
    }

    /// Takes no new calls, lets running ones finish for the grace, then ends scanner and database.
    ///
    /// # Errors
    /// What served panicked.
    pub async fn stop(self) -> Result<(), ServeError> {
        let Self {
            app, database, antivirus, health: (reporter, table), leaving, stop, mut serving, cut, grace, ..
        } = self;
        rpc::health::retire(&reporter, &table).await;
        leaving.cancel();
        drop(stop);
        let mut ended = tokio::time::timeout(grace, &mut serving).await;
        if ended.is_err() {
            tracing::warn!("calls were still running when the grace ended: they are cut off, with their connections");
            cut.cancel();
            ended = tokio::time::timeout(CUT_WITHIN, &mut serving).await;
            serving.abort();
        }
        app.stop(Duration::from_secs(5)).await;
        antivirus.stop().await;
        database.close().await;
        match ended {
            Ok(Err(panicked)) => Err(ServeError::Start(panicked.to_string())),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
