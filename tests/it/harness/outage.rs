//! A PostgreSQL of a test's own that is stopped in the middle of everything, and started again.
//!
//! Not here: the one that all others share (`postgres.rs`).

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    process::Command,
    time::{Duration, Instant},
};

use super::postgres::{Cluster, programs};

/// How long stopping and starting may take; the machine may be busy.
const SOON: Duration = Duration::from_secs(60);

impl Cluster {
    /// One for a test alone. Like the shared one it ends with the process of the tests.
    pub fn own() -> &'static Self {
        Box::leak(Box::new(Self::start()))
    }

    /// `pg_ctl stop -m immediate`: no checkpoint, every connection cut. It stays away until it is started again.
    pub fn stop_at_once(&self) {
        fs::write(self.folder.join("hold"), "").expect("our own folder");
        // As the user that it runs as: pg_ctl refuses root, too.
        let data = fs::metadata(self.folder.join("data")).expect("it is there");
        let mut command = Command::new("setpriv");
        if data.uid() != fs::metadata("/proc/self").expect("Linux").uid() {
            command.args(["--reuid", &data.uid().to_string(), "--regid", &data.gid().to_string(), "--clear-groups"]);
        }
        command.arg("--").arg(programs().join("pg_ctl")).arg("stop");
        let stopped = command.args(["-m", "immediate", "-w", "-D"]).arg(self.folder.join("data")).output();
        let stopped = stopped.expect("pg_ctl is there");
        assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
        assert!(self.try_psql("postgres", "SELECT 1").is_err(), "it is stopped");
    }

    /// Lets it come back, and waits until it has replayed its log and answers.
    pub fn start_again(&self) {
        fs::remove_file(self.folder.join("hold")).expect("it was stopped");
        let until = Instant::now() + SOON;
        while let Err(why) = self.try_psql("postgres", "SELECT 1") {
            assert!(Instant::now() < until, "{why}\n{}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
