//! One clamd process: started, listened to, killed.
//!
//! Not here: when (`supervisor.rs`), where its files lie (`home.rs`).

use std::{
    io,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
};

use super::home::config_argument;

/// How often it said that it loaded its signatures again, or could not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reloads {
    /// The new signatures are in force.
    pub done: u64,
    /// The old ones stay.
    pub failed: u64,
}

/// A running clamd. Dropped, it is killed.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    pid: u32,
    last_words: Arc<Mutex<Vec<String>>>,
    reloads: watch::Receiver<Reloads>,
    errors: JoinHandle<()>,
}

impl Daemon {
    /// Starts `binary` on `config`. A bare name is looked for in PATH, then where Debian has it: the PATH of ordinary
    /// users lacks /usr/sbin. The error for a missing one says what to install.
    pub fn spawn(binary: &Path, config: &Path) -> io::Result<Self> {
        // Joined to a path, the folder is dropped.
        let places =
            [binary.to_owned(), Path::new("/usr/sbin").join(binary), Path::new("/usr/local/sbin").join(binary)];
        let found = places
            .iter()
            .map(|program| start(program, config))
            .find(|started| !started.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound));
        let absent = || {
            let text = format!("{} is not installed: apt-get install clamav-daemon", binary.display());
            io::Error::new(io::ErrorKind::NotFound, text)
        };
        Self::listen(found.ok_or_else(absent)??)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "they end with the pipes of the process, which kill() or a drop ends"
    )]
    fn listen(mut child: Child) -> io::Result<Self> {
        let pid = child.id().expect("a child that was not waited for has a number");
        let (told, reloads) = watch::channel(Reloads::default());
        let told = Arc::new(told);
        let last_words = Arc::new(Mutex::new(Vec::new()));
        if let Some(output) = child.stdout.take() {
            let told = Arc::clone(&told);
            tokio::spawn(each_line(output, move |line| {
                if line.starts_with("Activating the newly loaded database") {
                    told.send_modify(|r| r.done += 1);
                }
            }));
        }
        let words = Arc::clone(&last_words);
        let errors = child.stderr.take();
        let errors = tokio::spawn(async move {
            let Some(errors) = errors else { return };
            each_line(errors, move |line| {
                if line.contains("Database reload failed") {
                    told.send_modify(|r| r.failed += 1);
                }
                let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
                if words.len() == 2 {
                    words.remove(0);
                }
                words.push(line.chars().take(300).collect());
            })
            .await;
        });
        Ok(Self { child, pid, last_words, reloads, errors })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What it said of reloads so far.
    pub fn reloads(&self) -> Reloads {
        *self.reloads.borrow()
    }

    /// Waits until it ended, and tells how, with the last lines of its errors. May be dropped and called again.
    pub async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        // A grandchild could hold the pipe open: do not wait for its end for ever.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), &mut self.errors).await;
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner).join(" | ");
        let how = status.map_or_else(|e| e.to_string(), |s| s.to_string());
        if words.is_empty() { format!("clamd ended ({how})") } else { format!("clamd ended ({how}): {words}") }
    }

    /// SIGKILL, and waits for its end. SIGTERM would not end the scans in order either, and take seconds.
    pub async fn kill(mut self) {
        // It fails only for a process that ended already.
        let _ = self.child.kill().await;
    }
}

async fn each_line(stream: impl AsyncRead + Unpin, mut told: impl FnMut(&str)) {
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        if !line.trim().is_empty() {
            told(line.trim());
        }
    }
}

/// In a process group of its own: Ctrl-C in a terminal must not end it before the uploads that still need it.
fn start(program: &Path, config: &Path) -> io::Result<Child> {
    Command::new(program)
        .arg(config_argument(config))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", program.display())))
}
