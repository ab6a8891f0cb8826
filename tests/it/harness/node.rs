//! A server of the tests: the real binary on a folder of its own, with a clamd of its own on the test signatures.
//!
//! Most tests take the [`shared`] one and a chat of their own; those that kill, stop or reconfigure start one.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tokio::{sync::OnceCell, time::sleep};

use super::{callers::SECRET, postgres::cluster, process};

/// How long a server may take to be ready. It starts in a second; the machine may be busy.
const READY: Duration = Duration::from_secs(60);

/// How a server is to be started.
#[derive(Debug, Clone)]
pub struct Setup {
    config: Vec<String>,
    wrapper: Vec<String>,
    fault: Option<String>,
    wait_for_scanner: bool,
    database: Database,
}

/// Which database a server has.
#[derive(Debug, Clone)]
enum Database {
    Sqlite,
    /// A database of its own on the tests' PostgreSQL, made with the server.
    NewPostgres,
    /// This one, which others may share, at this URL.
    Postgres(String, String),
}

impl Default for Setup {
    fn default() -> Self {
        let database = match std::env::var("LHFILE_TEST_PAIR").as_deref() {
            Err(_) | Ok("sqlite+disk") => Database::Sqlite,
            Ok("postgres+disk") => Database::NewPostgres,
            Ok(other) => panic!("LHFILE_TEST_PAIR = {other:?}: sqlite+disk or postgres+disk"),
        };
        Self { config: Vec::new(), wrapper: Vec::new(), fault: None, wait_for_scanner: true, database }
    }
}

impl Setup {
    /// A managed clamd, the database that `LHFILE_TEST_PAIR` names, everything else by default.
    pub fn new() -> Self {
        Self::default()
    }
    /// On a PostgreSQL database of its own, whatever the pair.
    pub fn on_postgres(mut self) -> Self {
        self.database = Database::NewPostgres;
        self
    }
    /// On this PostgreSQL database, reached at this URL.
    pub fn on_database(mut self, name: &str, url: &str) -> Self {
        self.database = Database::Postgres(name.to_owned(), url.to_owned());
        self
    }
    /// One line of the configuration, with a dotted key: `limits.uploads_per_visitor = 3`.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }
    /// Until the next restart: an upload that reaches this point stops there for ever.
    pub fn stops_at(mut self, point: &str) -> Self {
        self.fault = Some(point.to_owned());
        self
    }
    /// Runs it under another program, as `strace -f -o FILE`.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|w| (*w).to_owned()).collect();
        self
    }
    /// Ready is ready without a scanner.
    pub fn without_scanner(mut self) -> Self {
        self.wait_for_scanner = false;
        self
    }
    /// An external clamd at this address, as `unix:/…` or `tcp:HOST:PORT`.
    pub fn external(self, address: &str) -> Self {
        let address = format!("scanner.address = {address:?}");
        self.config("scanner.mode = \"external\"").config(address).config("scanner.limits.threads = 4")
    }
}

/// A running server.
#[derive(Debug)]
pub struct Node {
    setup: Setup,
    folder: PathBuf,
    address: SocketAddr,
    metrics: SocketAddr,
    child: Option<Child>,
}

/// The server that most tests share. It ends with the process of the tests.
pub async fn shared() -> &'static Node {
    static SHARED: OnceCell<Node> = OnceCell::const_new();
    SHARED.get_or_init(|| Node::start(Setup::new())).await
}

impl Node {
    /// Starts one and waits until it serves.
    pub async fn start(setup: Setup) -> Self {
        let folder = new_folder();
        let mut setup = setup;
        if let Database::NewPostgres = setup.database {
            let name = new_database();
            setup.database = Database::Postgres(name.clone(), cluster().url(&name));
        }
        let mut node = Self { setup, folder, address: free_port(), metrics: free_port(), child: None };
        node.launch().await;
        node
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
            (self.address, self.metrics) = (free_port(), free_port());
        }
        panic!("no port stayed free:\n{}", self.log());
    }

    fn write_config(&self) {
        let mut text = String::new();
        let folder = self.folder.display();
        let _ = writeln!(text, "listen = \"{}\"\nmetrics_listen = \"{}\"", self.address, self.metrics);
        let _ = writeln!(text, "data_dir = \"{folder}/data\"\nscanner.signature_dir = \"{folder}/no-signatures\"");
        if let Database::Postgres(_, url) = &self.setup.database {
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
    /// The name of its PostgreSQL database.
    pub fn postgres(&self) -> Option<&str> {
        match &self.setup.database {
            Database::Postgres(name, _) => Some(name),
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
        let record: serde_json::Value = serde_json::from_slice(&fs::read(self.data().join("clamd.json")).ok()?).ok()?;
        record["child"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
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
    pub fn ended_well(&mut self, at_most: Duration) -> bool {
        let Some(mut child) = self.child.take() else { return false };
        if !process::wait_for_end(&mut child, at_most) {
            self.child = Some(child);
            return false;
        }
        child.wait().is_ok_and(|status| status.success())
    }

    /// Ends it in good order.
    pub fn terminate(&mut self) {
        if self.child.is_some() {
            self.ask_to_end();
            assert!(self.ended_well(Duration::from_secs(45)), "it did not end well:\n{}", self.log());
        }
    }

    /// Starts it again on the same folder, without the fault.
    pub async fn restart(&mut self) {
        self.terminate();
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
            let wrapped = process::children(child.id(), "lhfile").first().copied();
            let _ = Command::new("kill").arg(wrapped.unwrap_or(child.id()).to_string()).status();
            if !process::wait_for_end(&mut child, Duration::from_secs(5)) {
                let _ = child.kill();
                let _ = child.wait();
                if let Some(clamd) = self.clamd_pid() {
                    let _ = Command::new("kill").args(["-9", &clamd.to_string()]).status();
                }
            }
        }
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
            if let Database::Postgres(name, _) = &self.setup.database {
                let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                cluster().psql("postgres", &drop);
            }
        }
    }
}

/// An empty PostgreSQL database, in which statements of the tests mean what they mean on SQLite.
pub fn new_database() -> String {
    let name = cluster().create_database("template0");
    let hex = "CREATE FUNCTION hex(bytea) RETURNS text LANGUAGE sql IMMUTABLE RETURN encode($1, 'hex')";
    cluster().psql(&name, hex);
    name
}

/// A port that is free now.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port")
}

/// A folder for one server. What earlier runs of the tests left is removed.
pub fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    if number == 0 {
        remove_leftovers(parent);
    }
    let folder = parent.join(format!("it-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn remove_leftovers(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix("it-")?.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
