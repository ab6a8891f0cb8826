//! Keeps one clamd alive: starts it, watches it, starts it again with other limits or signatures.
//!
//! One task owns the process; what others may know of it is the [`Status`]. Not here: the port (`mod.rs`), the process
//! itself (`daemon.rs`), its files (`home.rs`).

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    super::{
        clamd::{self, ClamdAddress},
        signatures::{SignatureReader, SignatureSet},
    },
    ManagedConfig,
    config_text::{config_text, limits_for},
    daemon::{Daemon, Reloads},
    home::Home,
};
use crate::ports::ScannerLimits;

/// Loading more than a million signatures takes half a minute; on a slow machine some of them.
const LOADING: Duration = Duration::from_secs(300);
/// Between two PINGs.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A clamd that was silent for so long is killed.
const SILENCE: Duration = Duration::from_secs(30);
/// Between two looks at the folder of signatures.
const SIGNATURE_LOOK: Duration = Duration::from_secs(5);
/// Time for clamd to switch after it said that it is about to.
const SWITCHING: Duration = Duration::from_secs(1);
/// The first pause after a death; doubled at each that follows, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A clamd that lived so long died of something new.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// What is known of the managed clamd.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether it can be asked.
    pub phase: Phase,
    /// What it takes, or will take once it is up.
    pub limits: ScannerLimits,
    /// What it loaded. Never newer than what it finds with.
    pub signatures: Option<SignatureSet>,
    /// Restarts that we wanted: a scan that one of them cut off is sent again.
    pub planned_restarts: u64,
}

/// Whether it can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// It will answer soon, because we just started it, on purpose: worth waiting for.
    Starting,
    /// It answered the last PING.
    Ready,
    /// It died, cannot be started or does not answer; the reason. It is being seen to.
    Down(Arc<str>),
    /// It was ended for good.
    Stopped,
}

/// What the supervisor is asked for.
#[derive(Debug)]
pub enum Command {
    /// Take files of so many bytes; answered when it is up again, or with why it is not.
    Fit(u64, oneshot::Sender<Result<(), String>>),
    /// End it for good.
    Stop,
}

/// Why one clamd's life ended.
enum End {
    Died(String),
    Restart,
    Stop,
}

/// The task's own state.
pub struct Supervisor {
    config: ManagedConfig,
    threads: u32,
    home: Arc<Home>,
    address: ClamdAddress,
    status: watch::Sender<Status>,
    commands: mpsc::Receiver<Command>,
    fits: Vec<oneshot::Sender<Result<(), String>>>,
    reader: SignatureReader,
}

impl Supervisor {
    /// Nothing is started before [`Supervisor::run`].
    pub fn new(
        config: ManagedConfig,
        threads: u32,
        home: Home,
        status: watch::Sender<Status>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let address = ClamdAddress::Unix(home.socket());
        let (home, fits, reader) = (Arc::new(home), Vec::new(), SignatureReader::default());
        Self { config, threads, home, address, status, commands, fits, reader }
    }

    /// Until it is stopped, or nobody can ask any more.
    pub async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let born = Instant::now();
            let end = self.one_life().await;
            if born.elapsed() > LONG_LIFE {
                pause = FIRST_PAUSE;
            }
            let end = match end {
                End::Died(reason) => {
                    tracing::warn!(reason, "the managed clamd is down, starting it again");
                    self.set_phase(Phase::Down(reason.into()));
                    let until = Instant::now() + pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    self.wait_out(until).await
                }
                other => other,
            };
            if let End::Stop = end {
                break;
            }
        }
        let Self { home, status, .. } = self;
        // No other clone lives: they are moved only into the blocking tasks awaited here.
        if let Some(home) = Arc::into_inner(home) {
            report_removal(blocking(move || home.remove()).await);
        }
        status.send_modify(|s| s.phase = Phase::Stopped);
    }

    /// Starts clamd and stays with it to its end.
    async fn one_life(&mut self) -> End {
        let (mut daemon, loaded) = match self.spawn().await {
            Ok(started) => started,
            Err(e) => return End::Died(e.to_string()),
        };
        let end = match self.until_ready(&mut daemon).await {
            Some(end) => end,
            None => {
                let signatures = loaded.digest.as_str();
                tracing::info!(pid = daemon.pid(), signatures, test_only = loaded.test_only, "the managed clamd is up");
                self.status.send_modify(|s| {
                    s.signatures = Some(loaded.clone());
                    s.phase = Phase::Ready;
                });
                self.answer_fits(&Ok(()));
                self.while_ready(&mut daemon, loaded).await
            }
        };
        daemon.kill().await;
        end
    }

    async fn spawn(&mut self) -> io::Result<(Daemon, SignatureSet)> {
        let set = self.choose_signatures().await?;
        let limits = self.status.borrow().limits;
        let text = config_text(&self.home, &set.folder, &limits);
        let home = Arc::clone(&self.home);
        blocking(move || home.prepare(&text)).await?;
        let daemon = Daemon::spawn(&self.config.clamd_binary, &self.home.config())?;
        let (home, pid) = (Arc::clone(&self.home), daemon.pid());
        blocking(move || home.record_child(pid)).await?;
        Ok((daemon, set))
    }

    async fn choose_signatures(&mut self) -> io::Result<SignatureSet> {
        let mut reader = std::mem::take(&mut self.reader);
        let (wanted, fallback) = (self.config.signature_dir.clone(), self.home.test_signatures());
        let (reader, set) = blocking(move || {
            let set = reader.choose(&wanted, &fallback);
            Ok((reader, set))
        })
        .await?;
        self.reader = reader;
        set
    }

    /// `None` once it answers.
    async fn until_ready(&mut self, daemon: &mut Daemon) -> Option<End> {
        let until = Instant::now() + LOADING;
        loop {
            tokio::select! {
                how = daemon.ended() => return Some(End::Died(how)),
                command = self.commands.recv() => {
                    if let Some(end) = self.obey(command) {
                        return Some(end);
                    }
                }
                () = sleep(Duration::from_millis(50)) => {
                    if clamd::ping(&self.address).await.is_ok() {
                        return None;
                    }
                    if Instant::now() > until {
                        return Some(End::Died(format!("clamd did not answer within {LOADING:?} of its start")));
                    }
                }
            }
        }
    }

    async fn while_ready(&mut self, daemon: &mut Daemon, loaded: SignatureSet) -> End {
        let mut signatures = Watched::new(loaded);
        let mut heard = Instant::now();
        let (mut next_ping, mut next_look) = (heard + HEARTBEAT, heard + SIGNATURE_LOOK);
        loop {
            tokio::select! {
                how = daemon.ended() => return End::Died(how),
                command = self.commands.recv() => {
                    if let Some(end) = self.obey(command) {
                        return end;
                    }
                }
                () = sleep_until(next_ping) => {
                    match clamd::ping(&self.address).await {
                        Ok(()) => {
                            heard = Instant::now();
                            self.set_phase(Phase::Ready);
                        }
                        Err(_) if heard.elapsed() > SILENCE => {
                            return End::Died(format!("clamd was silent for {SILENCE:?} and was killed"));
                        }
                        Err(e) => self.set_phase(Phase::Down(e.to_string().into())),
                    }
                    next_ping = Instant::now() + HEARTBEAT;
                }
                () = sleep_until(next_look) => {
                    if let Some(end) = self.look_at_signatures(&mut signatures, daemon.reloads()).await {
                        return end;
                    }
                    next_look = Instant::now() + SIGNATURE_LOOK;
                }
            }
        }
    }

    /// Has clamd reload when the files changed, and tells of the new set when clamd has it in force.
    async fn look_at_signatures(&mut self, watched: &mut Watched, seen: Reloads) -> Option<End> {
        if let Some((set, asked)) = watched.loading.take() {
            if seen.done > asked.done {
                sleep(SWITCHING).await;
                tracing::info!(signatures = set.digest, "the managed clamd loaded new signatures");
                self.status.send_modify(|s| s.signatures = Some(set.clone()));
                watched.loaded = set;
            } else if seen.failed > asked.failed {
                tracing::error!(
                    signatures = set.digest,
                    "the managed clamd cannot load the new signatures, keeps the old"
                );
                watched.refused = Some(set.digest);
            } else {
                watched.loading = Some((set, asked));
                return None;
            }
        }
        // A file may vanish between listing and reading while they are being replaced: the next look will tell.
        let set = self.choose_signatures().await.ok()?;
        if set.folder != watched.loaded.folder {
            return Some(self.planned_restart());
        }
        if set.digest != watched.loaded.digest
            && watched.refused.as_ref() != Some(&set.digest)
            && clamd::reload(&self.address).await.is_ok()
        {
            watched.loading = Some((set, seen));
        }
        None
    }

    /// What a command makes of the present clamd. `None`: it lives on.
    fn obey(&mut self, command: Option<Command>) -> Option<End> {
        match command {
            None | Some(Command::Stop) => Some(End::Stop),
            Some(Command::Fit(max_file_bytes, answer)) => {
                let limits = limits_for(max_file_bytes, self.threads);
                let same = self.status.borrow().limits == limits;
                let phase = self.status.borrow().phase.clone();
                if same && phase == Phase::Ready {
                    // Whoever asked may have given up.
                    let _ = answer.send(Ok(()));
                    return None;
                }
                self.fits.push(answer);
                if same && phase == Phase::Starting {
                    // It is loading with these limits: answered when it is up.
                    return None;
                }
                self.status.send_modify(|s| s.limits = limits);
                Some(self.planned_restart())
            }
        }
    }

    fn planned_restart(&self) -> End {
        self.status.send_modify(|s| {
            s.phase = Phase::Starting;
            s.planned_restarts += 1;
        });
        End::Restart
    }

    /// The pause after a death; a command ends it.
    async fn wait_out(&mut self, until: Instant) -> End {
        loop {
            tokio::select! {
                () = sleep_until(until) => return End::Restart,
                command = self.commands.recv() => {
                    if let Some(end) = self.obey(command) {
                        return end;
                    }
                }
            }
        }
    }

    fn set_phase(&mut self, phase: Phase) {
        if let Phase::Down(reason) = &phase {
            self.answer_fits(&Err(reason.to_string()));
        }
        self.status.send_if_modified(|s| {
            let changed = s.phase != phase;
            s.phase = phase;
            changed
        });
    }

    fn answer_fits(&mut self, answer: &Result<(), String>) {
        for fit in self.fits.drain(..) {
            // Whoever asked may have given up.
            let _ = fit.send(answer.clone());
        }
    }
}

/// The signatures of a running clamd.
struct Watched {
    loaded: SignatureSet,
    /// Asked for, and what clamd had said of reloads until then.
    loading: Option<(SignatureSet, Reloads)>,
    /// A digest that clamd could not load.
    refused: Option<String>,
}

impl Watched {
    fn new(loaded: SignatureSet) -> Self {
        Self { loaded, loading: None, refused: None }
    }
}

fn report_removal(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the folder of the managed clamd stays behind; the next start removes it");
    }
}

/// Opens the home where it may block.
pub async fn open_home(data_dir: &Path) -> io::Result<Home> {
    let data_dir = data_dir.to_owned();
    blocking(move || Home::open(&data_dir)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
