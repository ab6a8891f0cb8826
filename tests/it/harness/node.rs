//! A server of the tests: the real binary on a folder of its own, with a clamd of its own on the test signatures.
//!
//! Most tests take the [`shared`] one and a chat of their own; those that kill, stop or reconfigure start one. Not here:
//! what a server is started with (`setup.rs`).

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use tokio::{sync::OnceCell, time::sleep};
use tonic::transport::ClientTlsConfig;

use super::{
    Bucket,
    callers::SECRET,
    orphan,
    place::{free_port_of, mount, new_folder},
    postgres::{Cluster, cluster},
    process,
    setup::{Blobs, Database, Setup},
};

/// How long a server may take to be ready. It starts in a second; the machine may be busy.
const READY: Duration = Duration::from_secs(60);

/// A running server.
#[derive(Debug)]
pub struct Node {
    setup: Setup,
    folder: PathBuf,
    address: SocketAddr,
    metrics: SocketAddr,
    child: Option<Child>,
    bucket: Option<Bucket>,
}

/// The server that most tests share. It ends with the process of the tests.
pub async fn shared() -> &'static Node {
    static SHARED: OnceCell<Node> = OnceCell::const_new();
    SHARED.get_or_init(|| Node::start(Setup::new())).await
}

impl Node {
    /// Starts one and waits until it serves.
    pub async fn start(setup: Setup) -> Self {
        let mut node = Self::new(setup);
        node.launch().await;
        node
    }

    fn new(mut setup: Setup) -> Self {
        setup.database = setup.database.made();
        let bucket = match &setup.blobs {
            Blobs::Disk => None,
            Blobs::NewBucket => Some(Bucket::new()),
            Blobs::Bucket(bucket, _) => Some(bucket.clone()),
        };
        if let Some(bucket) = &bucket {
            let at = if let Blobs::Bucket(_, at) = setup.blobs { at } else { bucket.address() };
            setup.config.extend(bucket.config(at));
        }
        let folder = new_folder();
        if let Some(size) = &setup.disk {
            mount(&folder.join("data"), size);
        }
        let (address, metrics) = (free_port_of(setup.ip), free_port_of(setup.ip));
        Self { setup, folder, address, metrics, child: None, bucket }
    }

    /// Starts one that comes to the point of `stops_at` before it serves, and kills it there.
    pub async fn killed_at_start(setup: Setup) -> Self {
        let point = setup.fault.clone().expect("it is to stop somewhere");
        let mut node = Self::new(setup);
        node.start_again_to_be_killed_at(&point).await;
        node
    }

    /// Starts it again after its end and kills it where it comes to this point, before it serves.
    pub async fn start_again_to_be_killed_at(&mut self, point: &str) {
        assert!(self.child.is_none(), "it runs");
        let _ = fs::remove_file(self.marker());
        self.setup.fault = Some(point.to_owned());
        self.write_config();
        self.spawn();
        self.wait_for_fault().await;
        self.kill9();
    }

    /// From the next start on it looks for its files there, spoken to at this address.
    pub fn move_to(&mut self, bucket: &Bucket, at: SocketAddr) {
        self.setup.config.retain(|line| !line.starts_with("blob_url") && !line.starts_with("s3."));
        self.setup.config.extend(bucket.config(at));
        self.bucket = Some(bucket.clone());
        self.write_config();
    }

    /// From the next start on it keeps its files in its data folder.
    pub fn move_to_disk(&mut self) {
        self.setup.config.retain(|line| !line.starts_with("blob_url") && !line.starts_with("s3."));
        self.bucket = None;
        self.write_config();
    }

    /// From the next start on its database is this one on PostgreSQL, or the file in its data folder.
    pub fn move_to_database(&mut self, name: Option<&str>) {
        self.setup.database = match name {
            Some(name) => Database::Postgres(cluster(), name.to_owned(), cluster().url(name)),
            None => Database::Sqlite,
        };
        self.write_config();
    }

    /// Starts it again after its end; it must end by itself. What it said.
    pub async fn refuses_to_start(&mut self) -> String {
        assert!(self.child.is_none(), "it runs");
        self.setup.fault = None;
        let before = self.log().len();
        self.write_config();
        self.spawn();
        assert!(!self.wait_until_ready().await, "it started all the same");
        self.child = None;
        self.log().split_off(before)
    }

    /// What `lhfile doctor` says of it.
    pub fn doctor(&self) -> String {
        self.write_config();
        let mut doctor = process::command(env!("CARGO_BIN_EXE_lhfile"));
        let output = doctor.arg("doctor").arg("--config").arg(self.folder.join("lhfile.toml")).output();
        String::from_utf8_lossy(&output.expect("it runs").stdout).into_owned()
    }

    /// The bucket that it keeps its files in, if it does.
    pub fn bucket(&self) -> Option<&Bucket> {
        self.bucket.as_ref()
    }

    async fn launch(&mut self) {
        for _ in 0..3 {
            self.write_config();
            self.spawn();
            if self.wait_until_ready().await {
                return;
            }
            // Somebody else took the port between our look and the server's.
            assert!(self.log().contains("in use"), "the server ended at its start:\n{}", self.log());
            (self.address, self.metrics) = (free_port_of(self.setup.ip), free_port_of(self.setup.ip));
        }
        panic!("no port stayed free:\n{}", self.log());
    }

    fn write_config(&self) {
        let mut text = String::new();
        let folder = self.folder.display();
        let _ = writeln!(text, "listen = \"{}\"\nmetrics_listen = \"{}\"", self.address, self.metrics);
        let _ = writeln!(text, "data_dir = \"{folder}/data\"\nscanner.signature_dir = \"{folder}/no-signatures\"");
        if let Database::Postgres(_, _, url) = &self.setup.database {
            let secret = self.folder.join("shared-secret");
            fs::write(&secret, "5e".repeat(32)).expect("our own folder");
            fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("our own file");
            let _ = writeln!(text, "database_url = {url:?}\nsecret_file = {secret:?}");
        }
        for line in &self.setup.config {
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "[[keys]]\nkid = \"tests\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"");
        fs::write(self.folder.join("lhfile.toml"), text).expect("our own folder");
    }

    fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("our own folder");
        let mut command = match self.setup.wrapper.split_first() {
            None => process::command(env!("CARGO_BIN_EXE_lhfile")),
            Some((program, arguments)) => {
                // The server ends with its wrapper, as the wrapper with us.
                let inner = process::command(env!("CARGO_BIN_EXE_lhfile"));
                let mut command = process::command(program);
                command.args(arguments).arg(inner.get_program()).args(inner.get_args());
                command
            }
        };
        command.arg("serve").arg("--config").arg(self.folder.join("lhfile.toml"));
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log).stdin(std::process::Stdio::null());
        if let Some(point) = &self.setup.fault {
            command.env("LHFILE_FAULT_POINT", point).env("LHFILE_FAULT_MARKER", self.marker());
        }
        if let Some(seconds) = self.setup.polls {
            command.env("LHFILE_FAULT_POLL", seconds.to_string());
        }
        if let Some(seconds) = self.setup.left_age {
            command.env("LHFILE_FAULT_LEFT_AGE", seconds.to_string());
        }
        if self.setup.movable_clock {
            command.env("LHFILE_FAULT_CLOCK", self.folder.join("clock"));
        }
        self.child = Some(process::spawn(command));
    }

    /// `false` if it ended.
    async fn wait_until_ready(&mut self) -> bool {
        let until = Instant::now() + READY;
        loop {
            if self.child.as_mut().is_none_or(|c| c.try_wait().is_ok_and(|status| status.is_some())) {
                return false;
            }
            match self.scanner_status().await {
                Ok(status) if status.healthy || !self.setup.wait_for_scanner => return true,
                answer if Instant::now() > until => panic!("not ready: {answer:?}\n{}", self.log()),
                Ok(_) | Err(_) => sleep(Duration::from_millis(30)).await,
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Where it tells its metrics.
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }
    /// How its clients are secured, if it speaks TLS.
    pub fn tls(&self) -> Option<&ClientTlsConfig> {
        self.setup.tls.as_ref()
    }
    /// Its PostgreSQL, and the name of its database there.
    pub fn postgres(&self) -> Option<(&'static Cluster, &str)> {
        match &self.setup.database {
            Database::Postgres(cluster, name, _) => Some((cluster, name)),
            Database::Sqlite | Database::NewPostgres => None,
        }
    }
    /// Its own folder, with configuration and log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }
    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }
    /// All it said until now, over all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }
    fn marker(&self) -> PathBuf {
        self.folder.join("marker")
    }

    /// Sets its clock so many seconds ahead of the system's, from now on.
    pub fn set_clock_ahead(&self, seconds: i64) {
        assert!(self.setup.movable_clock, "its clock cannot be set");
        let (new, clock) = (self.folder.join("clock.new"), self.folder.join("clock"));
        fs::write(&new, seconds.to_string()).and_then(|()| fs::rename(&new, &clock)).expect("our own folder");
    }

    /// The process of the server itself.
    pub fn pid(&self) -> u32 {
        let child = self.child.as_ref().expect("it runs").id();
        if self.setup.wrapper.is_empty() {
            return child;
        }
        *process::children(child, "lhfile").first().expect("the wrapper runs it")
    }

    /// The process of its clamd, as the data folder tells.
    pub fn clamd_pid(&self) -> Option<u32> {
        orphan::record(&self.data())?["child"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// Waits until an upload has come to the point of `stops_at`.
    pub async fn wait_for_fault(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while !self.marker().exists() {
            assert!(Instant::now() < until, "nothing came to {:?}:\n{}", self.setup.fault, self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Kills it with SIGKILL, as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end, and goes on at once.
    pub fn ask_to_end(&self) {
        process::signal(self.pid(), "TERM");
    }

    /// Waits for its end; `true` if it ended by itself with success in this time.
    /// The clients of a test live in its own runtime, and the server waits for them: this must not block it.
    pub async fn ended_well(&mut self, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        while let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) if Instant::now() < until => sleep(Duration::from_millis(10)).await,
                Ok(None) | Err(_) => return false,
                Ok(Some(status)) => {
                    self.child = None;
                    return status.success();
                }
            }
        }
        false
    }

    /// Ends it in good order.
    pub async fn terminate(&mut self) {
        if self.child.is_some() {
            self.ask_to_end();
            assert!(self.ended_well(Duration::from_secs(45)).await, "it did not end well:\n{}", self.log());
        }
    }

    /// Starts it again on the same folder, without the fault.
    pub async fn restart(&mut self) {
        self.terminate().await;
        self.start_again().await;
    }

    /// Starts it again after its end, without the fault.
    pub async fn start_again(&mut self) {
        self.setup.fault = None;
        self.launch_again().await;
    }

    /// Starts it again after its end, to stop at this point.
    pub async fn start_again_to_stop_at(&mut self, point: &str) {
        self.setup.fault = Some(point.to_owned());
        self.launch_again().await;
    }

    async fn launch_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let _ = fs::remove_file(self.marker());
        self.launch().await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(6_000).map_or(0, |(at, _)| at);
            eprintln!("--- {} ---\n{}", self.log_path().display(), &log[from..]);
        }
        if let Some(mut child) = self.child.take() {
            // By force: the clients of the test, which an orderly end waits for, stand still while this runs.
            let wrapped = process::children(child.id(), "lhfile").first().copied();
            let _ = Command::new("kill").arg("-KILL").arg(wrapped.unwrap_or(child.id()).to_string()).status();
            if !process::wait_for_end(&mut child, Duration::from_secs(5)) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        orphan::end(&self.data());
        if self.setup.disk.is_some() {
            let _ = Command::new("umount").arg("--lazy").arg(self.data()).status();
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
            if let Some((cluster, name)) = self.postgres() {
                cluster.psql("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            }
        }
    }
}
