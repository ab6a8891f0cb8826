//! The private folder of the managed clamd, and what a killed server left of an earlier one.
//!
//! Debian's AppArmor profile lets clamd write in few places, and a socket's path holds 107 bytes: so the folder is made
//! under /tmp and recorded in the data folder, with the process. Not here: starting it (`daemon.rs`). All blocking.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

const PARENT: &str = "/tmp";
const PREFIX: &str = "lhfile-clamd-";
const RECORD: &str = "clamd.json";
const LOCK: &str = "clamd.lock";

/// A folder that only we can enter, held until dropped. One for each data folder.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    record: PathBuf,
    /// Keeps a second server off the same data folder: it would take our clamd for an orphan.
    _only: File,
    /// systemd-tmpfiles leaves locked folders alone.
    _kept: File,
}

/// What a later server has to know if this one is killed.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    folder: PathBuf,
    child: Option<Process>,
}

/// A process that is not taken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in ticks since boot (`/proc/<pid>/stat`, field 22).
    pub started: u64,
}

impl Home {
    /// Ends what an earlier server left, then makes the folder. An error of kind `WouldBlock` means that another
    /// server runs on this data folder.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(data_dir)?;
        let only = File::create(data_dir.join(LOCK))?;
        only.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "another lhfile runs its clamd for this data folder")
            }
            TryLockError::Error(e) => e,
        })?;
        let record = data_dir.join(RECORD);
        if let Some(left) = read_record(&record) {
            end_orphan(&left)?;
            remove_folder(&left.folder)?;
        }
        let mut random = [0; 8];
        random_name(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
        let folder = Path::new(PARENT).join(format!("{PREFIX}{}", HEXLOWER.encode(&random)));
        // Recorded first: a folder without a record would stay for ever.
        write_record(&record, &Record { folder: folder.clone(), child: None })?;
        DirBuilder::new().mode(0o700).create(&folder)?;
        let kept = File::open(&folder)?;
        kept.lock_shared()?;
        let home = Self { folder, record, _only: only, _kept: kept };
        fs::create_dir(home.temp())?;
        Ok(home)
    }

    /// The unix socket.
    pub fn socket(&self) -> PathBuf {
        socket_in(&self.folder)
    }

    /// `clamd.conf`.
    pub fn config(&self) -> PathBuf {
        config_in(&self.folder)
    }

    /// Where it unpacks.
    pub fn temp(&self) -> PathBuf {
        self.folder.join("temp")
    }

    /// Where the bundled test signatures are written, if they are needed.
    pub fn test_signatures(&self) -> PathBuf {
        self.folder.join("signatures")
    }

    /// Empties what an earlier run in this folder left, and writes the configuration.
    pub fn prepare(&self, config: &str) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.socket()))?;
        absent_is_fine(fs::remove_dir_all(self.temp()))?;
        // Recursive and private: the folder itself may have fallen to somebody who tidies /tmp.
        DirBuilder::new().recursive(true).mode(0o700).create(self.temp())?;
        fs::write(self.config(), config)
    }

    /// Records the process just started.
    pub fn record_child(&self, pid: u32) -> io::Result<()> {
        let child = start_time(pid).map(|started| Process { pid, started });
        write_record(&self.record, &Record { folder: self.folder.clone(), child })
    }

    /// Removes the folder and its record, after the process ended.
    pub fn remove(self) -> io::Result<()> {
        remove_folder(&self.folder)?;
        absent_is_fine(fs::remove_file(&self.record))
    }
}

#[expect(clippy::disallowed_methods, reason = "a name that nobody else under /tmp can foresee; no test needs to")]
fn random_name(name: &mut [u8]) -> Result<(), getrandom::Error> {
    getrandom::fill(name)
}

/// The socket of the clamd that a running server keeps for `data_dir`, if there is a record of one. Blocking.
pub fn recorded_socket(data_dir: &Path) -> Option<PathBuf> {
    read_record(&data_dir.join(RECORD)).map(|r| socket_in(&r.folder))
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join("clamd.sock")
}

fn config_in(folder: &Path) -> PathBuf {
    folder.join("clamd.conf")
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// `None` also for one that cannot be read or names a folder that is none of ours.
fn read_record(path: &Path) -> Option<Record> {
    let record: Record = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let name = record.folder.file_name()?.to_str()?;
    (record.folder.parent() == Some(Path::new(PARENT)) && name.starts_with(PREFIX)).then_some(record)
}

fn write_record(path: &Path, record: &Record) -> io::Result<()> {
    let new = path.with_extension("json.new");
    fs::write(&new, serde_json::to_vec(record)?)?;
    fs::rename(new, path)
}

/// Removes the folder if it is a folder and ours: names under /tmp can be taken by anybody.
fn remove_folder(folder: &Path) -> io::Result<()> {
    let meta = match fs::symlink_metadata(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    absent_is_fine(fs::remove_dir_all(folder))
}

/// Kills the clamd of a server that was killed itself: the recorded process, or one started just before it could be
/// recorded. In either case it must have been started with the configuration in our private folder.
fn end_orphan(left: &Record) -> io::Result<()> {
    let argument = config_argument(&config_in(&left.folder));
    let recorded = left.child.filter(|child| start_time(child.pid) == Some(child.started));
    let pids = match recorded {
        Some(child) => vec![child.pid],
        None => all_pids()?,
    };
    for pid in pids {
        kill_if(pid, || has_argument(pid, &argument))?;
    }
    Ok(())
}

/// The argument that tells our clamd from every other process.
pub fn config_argument(config: &Path) -> String {
    format!("--config-file={}", config.display())
}

#[expect(clippy::disallowed_methods, reason = "on a blocking thread: no channel tells of a process that is no child")]
fn a_moment() {
    thread::sleep(Duration::from_millis(10));
}

/// SIGKILL to `pid` if `ours` says so after its number has been pinned, and waits for its end, 5 s at most.
fn kill_if(pid: u32, ours: impl Fn() -> bool) -> io::Result<()> {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    if !ours() {
        return Ok(());
    }
    // The descriptor names this process for good; the second look is at the same one.
    match rustix::process::pidfd_open(raw, PidfdFlags::empty()) {
        Ok(pinned) if ours() => match rustix::process::pidfd_send_signal(pinned, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(e) => return Err(e.into()),
        },
        Ok(_) | Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(e) => return Err(e.into()),
    }
    let until = Instant::now() + Duration::from_secs(5);
    while ours() {
        if Instant::now() > until {
            return Err(io::Error::other(format!("the clamd of an earlier run, process {pid}, does not end")));
        }
        a_moment();
    }
    Ok(())
}

fn all_pids() -> io::Result<Vec<u32>> {
    let names = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

/// False also for a process that ended and was not waited for: it has no arguments any more.
fn has_argument(pid: u32, argument: &str) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    // The first is the program; nobody is called like the argument.
    line.split(|b| *b == 0).skip(1).any(|a| a == argument.as_bytes())
}

/// Field 22 of `/proc/<pid>/stat`. The name before it may hold spaces and brackets.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process::Command};

    use super::*;

    #[test]
    fn the_folder_is_private_and_its_socket_path_short() {
        let data = tempfile::tempdir().expect("a folder");
        let home = Home::open(data.path()).expect("made");
        let folder = home.folder.clone();
        assert_eq!(fs::metadata(&folder).expect("there").permissions().mode() & 0o777, 0o700);
        assert!(home.socket().as_os_str().len() < 100);
        assert_eq!(recorded_socket(data.path()), Some(home.socket()));
        home.remove().expect("removed");
        assert!(!folder.exists());
        assert_eq!(recorded_socket(data.path()), None);
    }

    #[test]
    fn a_second_server_is_kept_off() {
        let data = tempfile::tempdir().expect("a folder");
        let home = Home::open(data.path()).expect("made");
        assert_eq!(Home::open(data.path()).expect_err("locked").kind(), io::ErrorKind::WouldBlock);
        home.remove().expect("removed");
    }

    /// A stand-in that keeps its arguments: `sleep` would not take them.
    fn stand_in(argument: &str) -> std::process::Child {
        let loop_for_ever = "while :; do sleep 0.1; done";
        let child = Command::new("sh").args(["-c", loop_for_ever, "sh", argument]).spawn().expect("sh starts");
        // Its arguments are there a moment after the start.
        while !has_argument(child.id(), argument) {
            a_moment();
        }
        child
    }

    #[test]
    fn an_orphan_is_ended_recorded_or_not() {
        for recorded in [true, false] {
            let data = tempfile::tempdir().expect("a folder");
            let home = Home::open(data.path()).expect("made");
            let left = home.folder.clone();
            let mut orphan = stand_in(&config_argument(&home.config()));
            if recorded {
                home.record_child(orphan.id()).expect("recorded");
            }
            drop(home);
            let next = Home::open(data.path()).expect("made again");
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(orphan.wait().expect("ended").signal(), Some(9));
            assert!(!left.exists(), "its folder is gone too");
            next.remove().expect("removed");
        }
    }

    #[test]
    fn a_foreign_process_with_the_recorded_number_lives_on() {
        let data = tempfile::tempdir().expect("a folder");
        let home = Home::open(data.path()).expect("made");
        let mut foreign = stand_in("--config-file=/etc/clamav/clamd.conf");
        home.record_child(foreign.id()).expect("recorded");
        drop(home);
        let next = Home::open(data.path()).expect("made again");
        assert!(foreign.try_wait().expect("asked").is_none(), "it was killed");
        foreign.kill().expect("killed by the test");
        foreign.wait().expect("ended");
        next.remove().expect("removed");
    }

    #[test]
    fn a_record_that_names_another_folder_is_not_believed() {
        let data = tempfile::tempdir().expect("a folder");
        let precious = data.path().join("precious");
        fs::create_dir(&precious).expect("made");
        let record = Record { folder: precious.clone(), child: None };
        write_record(&data.path().join(RECORD), &record).expect("written");
        Home::open(data.path()).expect("made").remove().expect("removed");
        assert!(precious.exists());
    }
}
