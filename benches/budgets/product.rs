//! The product under measurement: `lhfile serve` in a process of its own, on a fresh data folder, with the pair's database
//! and store, the bench's signatures and a token for everything.
//!
//! Not here: what is asked of it (`client.rs`). Nothing is deleted while the bench runs.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use lhfile::{
    ports::{Clock as _, SystemClock},
    rpc::credential::{Claims, mint},
};

use crate::{Bench, Fallible, client::Client, pair::Place, process::Ended};

/// The key that the bench's servers believe.
const SECRET: &str = "only for measurements, not for any other use";
/// Longest start.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server.
pub struct Product {
    pub address: SocketAddr,
    pub token: String,
    pub data: PathBuf,
    pub place: Place,
    folder: PathBuf,
    child: Ended,
}

impl Product {
    /// Starts one in a folder of this name, which must not exist yet. With `signatures` it scans, by a clamd of its own;
    /// without, the antivirus is off. Answers when it serves.
    pub async fn start(bench: &Bench, name: &str, signatures: Option<&Path>) -> Fallible<Self> {
        let (folder, place) = (bench.folder(name), bench.pair.place());
        fs::create_dir_all(&folder)?;
        // Free now; nobody else takes them in between on a machine that only measures.
        let listeners = [TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?];
        let (address, metrics) = (listeners[0].local_addr()?, listeners[1].local_addr()?);
        drop(listeners);
        let (data, config) = (folder.join("data"), folder.join("lhfile.toml"));
        let scanner = match signatures {
            Some(signatures) => format!("signature_dir = {:?}", signatures.display().to_string()),
            // One that never answers: it costs nothing and is not asked.
            None => "mode = \"external\"\naddress = \"unix:/nonexistent/clamd.sock\"\nlimits.threads = 2".to_owned(),
        };
        // All uploads are of one operator; the budget lets 64 large ones lie in the spool at once.
        let secret = folder.join("secret");
        fs::write(&secret, "5e".repeat(32))?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
        let database = place.lines().join("\n");
        let text = format!(
            "listen = \"{address}\"\ndata_dir = {:?}\nmetrics_listen = \"{metrics}\"\n\
             secret_file = {secret:?}\n{database}\n\n\
             [[keys]]\nkid = \"bench\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n\n[scanner]\n{scanner}\n\n[spool]\nbudget_bytes = 17179869184\n\n\
             [limits]\nuploads_per_operator = 4000\n\n[log]\nformat = \"json\"\nfilter = \"warn\"\n",
            data.display().to_string(),
        );
        fs::write(&config, text)?;
        let child = serve(&folder)?;
        let mut server = Self { address, token: token()?, data, place, folder, child };
        let client = server.wait_until_it_serves().await?;
        client.prepare(signatures.is_some()).await?;
        let started = Instant::now();
        while signatures.is_some() && !client.is_scanner_healthy().await? {
            if started.elapsed() > PATIENCE {
                return Err(format!("the scanner is not healthy: see {}", server.folder.join("log").display()).into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(server)
    }

    /// Ends it and starts it again, with what is there; answers how long it took from the start until it served.
    pub async fn restarted(self) -> Fallible<(Self, Duration)> {
        let Self { address, token, data, place, folder, child } = self;
        child.end()?;
        let started = Instant::now();
        let mut server = Self { address, token, data, place, child: serve(&folder)?, folder };
        server.wait_until_it_serves().await?;
        Ok((server, started.elapsed()))
    }

    async fn wait_until_it_serves(&mut self) -> Fallible<Client> {
        let started = Instant::now();
        loop {
            if let Ok(client) = Client::connect(self.address, &self.token).await {
                return Ok(client);
            }
            if self.child.0.try_wait()?.is_some() || started.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("lhfile serve did not start:\n{log}").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    pub async fn clients(&self, count: usize) -> Fallible<Vec<Client>> {
        Client::several(self.address, &self.token, count).await
    }

    /// The socket of its clamd.
    pub fn clamd_socket(&self) -> Fallible<PathBuf> {
        let record: serde_json::Value = serde_json::from_slice(&fs::read(self.data.join("clamd.json"))?)?;
        let folder = record.get("folder").and_then(|f| f.as_str()).ok_or("clamd.json names no folder")?;
        Ok(Path::new(folder).join("clamd.sock"))
    }

    /// Its database, where that is a file.
    pub fn database_file(&self) -> Fallible<PathBuf> {
        let files = fs::read_dir(&self.data)?.filter_map(|entry| Some(entry.ok()?.path()));
        let mut databases = files.filter(|path| path.extension().is_some_and(|e| e == "sqlite" || e == "db"));
        Ok(databases.next().ok_or("no database in the data folder")?)
    }

    /// SIGTERM, and waits for its end.
    pub fn end(self) -> Fallible<()> {
        self.child.end()
    }
}

/// The process, on the folder's configuration.
fn serve(folder: &Path) -> Fallible<Ended> {
    let log = File::options().create(true).append(true).open(folder.join("log"))?;
    let mut serve = Command::new(env!("CARGO_BIN_EXE_lhfile"));
    serve.args(["serve", "--config"]).arg(folder.join("lhfile.toml"));
    Ok(Ended(serve.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?))
}

fn token() -> Fallible<String> {
    let claims = Claims {
        sub: "operator:17".parse().map_err(|_| "operator:17 is no person")?,
        lhfile: vec!["*".to_owned()],
        chats: vec!["*".to_owned()],
        vid: None,
        exp: SystemClock.now().secs() + 3600,
    };
    Ok(mint(SECRET.as_bytes(), &claims))
}
