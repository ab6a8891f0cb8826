//! A clamd of our own: started, kept alive and ended by the server, on the signatures that are there.
//!
//! `supervisor.rs` keeps it alive, `daemon.rs` is the process, `home.rs` its folder and what a killed server left,
//! `config_text.rs` its configuration. Not here: the protocol (`../clamd.rs`), which signatures (`../signatures.rs`).

mod config_text;
mod daemon;
mod home;
mod supervisor;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};

use self::{
    config_text::limits_for,
    supervisor::{Command, Phase, Status, Supervisor, open_home},
};
use super::{
    CLAMD_MAX_FILE_BYTES,
    canary::canaries,
    clamd::{self, ClamdAddress},
    external::{engine_version, too_large},
};
use crate::ports::{ByteSource, Canary, EngineVersion, FitError, ScanError, ScanReply, Scanner, ScannerLimits};

/// What the managed clamd is made of.
#[derive(Debug, Clone)]
pub struct ManagedConfig {
    /// The server's data folder: where the process is recorded. One server for each.
    pub data_dir: PathBuf,
    /// The signatures, if there are any in it; else the bundled test signatures are taken. Looked at every 5 s.
    pub signature_dir: PathBuf,
    /// A path, or a name to be looked for in PATH and /usr/sbin.
    pub clamd_binary: PathBuf,
    /// Scans at once; 0 for one more than there are cores, at least 3: large files leave one to the small.
    pub threads: u32,
    /// Largest file at first, in bytes; 2 MiB to 2 GiB - 3, brought into that range.
    pub max_file_bytes: u64,
}

impl ManagedConfig {
    /// Debian's places, for a server with this data folder and files up to `max_file_bytes`.
    pub fn debian(data_dir: PathBuf, max_file_bytes: u64) -> Self {
        Self {
            data_dir,
            signature_dir: "/var/lib/clamav".into(),
            clamd_binary: "clamd".into(),
            threads: 0,
            max_file_bytes,
        }
    }
}

/// The scanner that is a clamd of our own. Dropped, it ends; [`ManagedClamd::stop`] also waits for that.
pub struct ManagedClamd {
    address: ClamdAddress,
    status: watch::Receiver<Status>,
    commands: mpsc::Sender<Command>,
    canaries: Vec<Canary>,
}

/// Where the clamd of the server that runs with `data_dir` listens, for a second process that wants to ask it. It may
/// be the record of a server that was killed: PING tells. Blocking.
pub fn running_address(data_dir: &Path) -> Option<ClamdAddress> {
    home::recorded_socket(data_dir).map(ClamdAddress::Unix)
}

impl ManagedClamd {
    /// Ends the orphan of a killed server, then starts clamd in the background: scans wait for it; a clamd that cannot
    /// start is [`ScanError::Down`] with the reason, and tried again. Fails only if the folders cannot be made, or
    /// another server runs on this data folder.
    #[expect(clippy::disallowed_methods, reason = "stop() waits for the supervisor, and a drop ends it")]
    pub async fn start(config: ManagedConfig) -> io::Result<Self> {
        let home = open_home(&config.data_dir).await?;
        let threads = match config.threads {
            // One for each core, and one that large files never take (app/scanning.rs).
            0 => std::thread::available_parallelism().map_or(2, |n| u32::try_from(n.get()).unwrap_or(2)).max(2) + 1,
            given => given,
        };
        let address = ClamdAddress::Unix(home.socket());
        let limits = limits_for(config.max_file_bytes, threads);
        let (told, status) =
            watch::channel(Status { phase: Phase::Starting, limits, signatures: None, planned_restarts: 0 });
        let (commands, asked) = mpsc::channel(8);
        tokio::spawn(Supervisor::new(config, threads, home, told, asked).run());
        Ok(Self { address, status, commands, canaries: canaries(&limits) })
    }

    /// Ends clamd and removes its folder. Afterwards every scan is [`ScanError::Down`].
    pub async fn stop(&self) {
        // No receiver: it has stopped already.
        if self.commands.send(Command::Stop).await.is_ok() {
            let _ = self.status.clone().wait_for(|s| s.phase == Phase::Stopped).await;
        }
    }

    /// Waits while clamd is starting on purpose; tells at once why it is down.
    async fn ready(&self, until: Instant) -> Result<Status, ScanError> {
        let mut status = self.status.clone();
        let settled = timeout_at(until, status.wait_for(|s| s.phase != Phase::Starting)).await;
        let status = match settled {
            Ok(Ok(status)) => status.clone(),
            Ok(Err(_)) => return Err(down("it has been stopped")),
            Err(_) => return Err(down("it is still starting")),
        };
        match &status.phase {
            Phase::Down(reason) => Err(down(reason)),
            Phase::Stopped => Err(down("it has been stopped")),
            Phase::Starting | Phase::Ready => Ok(status),
        }
    }

    fn phase(&self) -> Phase {
        self.status.borrow().phase.clone()
    }
}

/// How long a question waits for a restart on purpose; with real signatures one takes half a minute.
const STARTS_WITHIN: Duration = Duration::from_secs(90);

/// A scan that waited longer for clamd to start was not given its whole time.
const STARTING_UNSEEN: Duration = Duration::from_secs(1);

fn down(reason: &str) -> ScanError {
    ScanError::Down(io::Error::new(io::ErrorKind::NotConnected, reason.to_owned()))
}

#[async_trait]
impl Scanner for ManagedClamd {
    async fn scan(&self, source: Arc<dyn ByteSource>, deadline: Duration) -> Result<ScanReply, ScanError> {
        let until = Instant::now() + deadline;
        loop {
            if let Some(refusal) = too_large(&*source, &self.limits()) {
                return Ok(refusal);
            }
            let before = self.ready(until).await?.planned_restarts;
            let left = until.saturating_duration_since(Instant::now());
            match clamd::scan(&self.address, Arc::clone(&source), left).await {
                // Cut off by our own restart: once more, in the time that is left.
                Err(ScanError::Down(_) | ScanError::NoVerdict(_))
                    if self.status.borrow().planned_restarts != before => {}
                // Its time went by while clamd started: that tells nothing of the file.
                Err(ScanError::TooLong(_)) if left + STARTING_UNSEEN < deadline => {
                    return Err(down("it was starting, and the time left was too short for the scan"));
                }
                Err(ScanError::TooLong(_)) => return Err(ScanError::TooLong(deadline)),
                other => return other,
            }
        }
    }

    async fn ping(&self) -> Result<(), ScanError> {
        clamd::ping(&self.address).await.map_err(|e| match self.phase() {
            Phase::Down(reason) => down(&reason),
            Phase::Starting => down("it is still starting"),
            Phase::Stopped => down("it has been stopped"),
            Phase::Ready => e,
        })
    }

    /// The signatures are a digest of the files that were loaded, after the official number if there is one. Ask
    /// before a scan: then a verdict is never taken for that of signatures newer than it.
    async fn version(&self) -> Result<EngineVersion, ScanError> {
        // A restart on purpose (other limits, other signatures) is waited for: it is no reason to call it down.
        let status = self.ready(Instant::now() + STARTS_WITHIN).await?;
        let Some(set) = status.signatures else { return Err(down("it has no signatures")) };
        let line = clamd::version(&self.address).await?;
        let told = engine_version(&line);
        let number = line.split('/').nth(1).map(|n| format!("{n}+")).unwrap_or_default();
        let kind = if set.test_only { "test+" } else { "" };
        Ok(EngineVersion {
            engine: told.engine,
            signatures: format!("{number}{kind}{}", set.digest),
            signatures_time: set.built,
            test_only: set.test_only,
        })
    }

    fn limits(&self) -> ScannerLimits {
        self.status.borrow().limits
    }

    async fn fit(&self, max_file_bytes: u64) -> Result<(), FitError> {
        if max_file_bytes > CLAMD_MAX_FILE_BYTES {
            return Err(FitError::Declared { limit: "MaxFileSize", allowed: CLAMD_MAX_FILE_BYTES });
        }
        let (answer, answered) = oneshot::channel();
        let stopped = || down("it has been stopped");
        self.commands.send(Command::Fit(max_file_bytes, answer)).await.map_err(|_| stopped())?;
        Ok(answered.await.map_err(|_| stopped())?.map_err(|reason| down(&reason))?)
    }

    fn canaries(&self) -> &[Canary] {
        &self.canaries
    }

    fn address(&self) -> String {
        format!("managed, {}", self.address)
    }
}

#[cfg(test)]
mod tests;
