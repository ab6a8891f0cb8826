//! A PostgreSQL of the tests' own: one cluster in a temporary folder for each process of tests, a database for each test.
//!
//! Also the unit tests of `src/adapters/sql/` are built with this file. The cluster runs as a user of its own where the
//! tests run as root (it refuses root), ends with the process that started it however that ends, and then removes its
//! folder. What cannot be started fails the test: nothing is skipped. Not here: a cluster that a test stops and starts
//! (`outage.rs`).

#![expect(clippy::disallowed_methods, reason = "a test may wait as a person would")]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

/// How long it may take to be ready; the machine may be busy.
const READY: Duration = Duration::from_secs(120);
/// The superuser of the cluster.
pub const USER: &str = "lhfile";

/// How often a port may be taken by somebody else between our look and the server's.
const PORTS: u32 = 5;

/// Texts compare as people sort them, so that whoever relies on bytes without saying so is found out. A server that ends
/// by itself leaves its folder, with its log; one that was stopped while there is a file `hold` starts again without it.
const SCRIPT: &str = r#"
set -e
ended=
trap 'ended=1; kill -INT $server 2>/dev/null || true' TERM INT HUP
cd "$1"
"$2/initdb" -D data -U lhfile --auth=trust -E UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US -N >initdb.log 2>&1
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
    -keyout data/server.key -out data/server.crt >openssl.log 2>&1
chmod 600 data/server.key
while [ -z "$ended" ]; do
    "$2/postgres" -D data -k "$1" -p "$3" -c listen_addresses=127.0.0.1 -c ssl=on -c max_connections=400 \
        -c shared_buffers=64MB -c log_line_prefix='%d ' -c lc_messages=C >>log 2>&1 &
    server=$!
    while kill -0 $server 2>/dev/null; do wait $server || true; done
    [ -n "$ended" ] || [ -e hold ] || exit 1
    while [ -z "$ended" ] && [ -e hold ]; do sleep 0.1; done
done
cd /
rm -rf "$1"
"#;

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Where it lives: the server's `log`, its `data` with the certificate by which it proves to be `localhost`.
    pub folder: PathBuf,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

/// The cluster of this process of tests; started by who asks first.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
    &CLUSTER
}

impl Cluster {
    /// One more, for a test that needs its own.
    pub fn start() -> Self {
        for _ in 0..PORTS {
            match Self::try_start() {
                Ok(cluster) => return cluster,
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("PostgreSQL does not start: {log}"),
            }
        }
        panic!("PostgreSQL does not start: {PORTS} ports were free when they were looked for, and taken when it came");
    }

    /// Or what was tried, and what the logs say.
    #[expect(clippy::zombie_processes, reason = "it ends with this process, not before")]
    fn try_start() -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let programs = programs();
        // Short: the path of a socket holds 107 bytes.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/tmp/lhfile-pg-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let mut command = Command::new("setpriv");
        if is_root() {
            for user in ["postgres", "nobody"] {
                let known = Command::new("id").args(["-u", user]).output().is_ok_and(|o| o.status.success());
                if known {
                    let owned = Command::new("chown").arg(user).arg(&folder).status();
                    assert!(owned.is_ok_and(|s| s.success()), "{user} gets the folder");
                    command.args(["--reuid", user, "--regid", &group_of(user), "--clear-groups"]);
                    break;
                }
            }
        }
        command.args(["--pdeathsig", "TERM", "--", "sh", "-c", SCRIPT, "sh"]);
        command.arg(&folder).arg(&programs).arg(port.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = spawn_for_ever(command);
        let cluster = Self { folder, port };
        let until = Instant::now() + READY;
        while cluster.try_psql("postgres", "SELECT 1").is_err() {
            let ended = child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > until {
                let how = if ended { "ended".to_owned() } else { format!("was not ready within {READY:?}") };
                let (programs, folder) = (programs.display(), cluster.folder.display());
                return Err(format!(
                    "{programs}/postgres on port {port}, in {folder}, {how}; its logs:\n{}",
                    cluster.logs()
                ));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(cluster)
    }

    /// What it said.
    pub fn logs(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        ["initdb.log", "openssl.log", "log"].map(read).concat()
    }

    /// A new database, empty or a copy of another.
    pub fn create_database(&self, template: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        name
    }

    /// How a client connects to a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// The rows that a statement answers, their columns joined by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> Vec<String> {
        self.try_psql(database, sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// The same, or what the server or psql said.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<Vec<String>, String> {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-c", sql]);
        psql.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string()]);
        let output = psql.output().map_err(|e| format!("psql is not installed: {e}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

/// Where the server's programs are: Debian keeps them out of PATH.
pub fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path().join("bin"))
        .filter(|bin| bin.join("postgres").exists() && bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is not installed: setup/install.sh test")
}

fn is_root() -> bool {
    Path::new("/proc/self").exists()
        && fs::read_to_string("/proc/self/status")
            .is_ok_and(|s| s.lines().any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(2) == Some("0")))
}

fn group_of(user: &str) -> String {
    let output = Command::new("id").args(["-g", user]).output().expect("id is there");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Its signal comes when the thread that started it ends: one that never does.
fn spawn_for_ever(mut command: Command) -> Child {
    let (to, started) = channel();
    thread::spawn(move || {
        let _ = to.send(command.spawn());
        loop {
            thread::park();
        }
    });
    started.recv().expect("it answers").expect("setpriv is there")
}
