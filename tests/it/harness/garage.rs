//! A real S3-compatible store of the tests' own: one garage for the whole process, a prefix for each user of it.
//!
//! `setup/install.sh test` builds it once, into `$LHFILE_CACHE`. Looks into the bucket go by its own address, past
//! whatever a server under test is given. Not here: three garages that are one store (`garages.rs`).

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{Connection as _, RunQueryDsl as _, sql_query, sqlite::SqliteConnection};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::Method;
use lhfile::adapters::blobs::S3Place;
use object_store::{
    ObjectStore as _, ObjectStoreExt as _,
    aws::{AmazonS3, AmazonS3Builder},
    multipart::MultipartStore as _,
    path::Path,
    signer::{SignedUrlOptions, Signer as _},
};

use super::{place, process};

const VERSION: &str = "2.5.0";
pub(super) const BUCKET: &str = "lhfile-tests";
const REGION: &str = "garage";
pub(super) const KEY_ID: &str = "GK0123456789abcdef01234567";
pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// How often a port may be taken by somebody else between our look and garage's.
const PORTS: u32 = 5;
/// How long it may take to be ready; the machine may be busy.
const READY: Duration = Duration::from_secs(60);

static SHARED: LazyLock<Garage> = LazyLock::new(|| {
    for _ in 0..PORTS {
        let mut garage = Garage::of(Ipv4Addr::LOCALHOST, 1);
        let alone = ["--single-node", "--default-bucket"];
        // The bucket is made after the port is opened.
        let first = Bucket { address: garage.address, prefix: "ready".to_owned() };
        match garage.launch(&alone, || first.try_objects().is_ok()) {
            Ok(()) => return garage,
            Err(log) if log.contains(TAKEN) => {}
            Err(log) => panic!("garage does not start: {log}"),
        }
    }
    panic!("garage does not start: {PORTS} ports were free when they were looked for, and taken when it came");
});

/// How a port is told that somebody else has.
pub(super) const TAKEN: &str = "Address already in use";

/// One garage: its folder, where it listens, its process while it runs. It ends with the tests.
#[derive(Debug)]
pub(super) struct Garage {
    folder: PathBuf,
    pub(super) address: SocketAddr,
    pub(super) rpc: SocketAddr,
    child: Option<Child>,
}

impl Garage {
    /// With its configuration, not started.
    pub(super) fn of(ip: Ipv4Addr, copies: u32) -> Self {
        let folder = place::new_folder();
        let (api, rpc) = (place::free_port_of(ip), place::free_port_of(ip));
        let shown = folder.display();
        let config = format!(
            "metadata_dir = \"{shown}/meta\"\ndata_dir = \"{shown}/data\"\ndb_engine = \"sqlite\"\n\
             replication_factor = {copies}\nrpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\n\
             rpc_secret = \"{SECRET}\"\n[s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"{api}\"\n"
        );
        let file = folder.join("garage.toml");
        fs::write(&file, config).expect("our own folder");
        // Its commands refuse a secret that others may read.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("our own file");
        Self { folder, address: api, rpc, child: None }
    }

    fn binary() -> PathBuf {
        let cache = std::env::var_os("LHFILE_CACHE").map(PathBuf::from).unwrap_or_else(|| {
            PathBuf::from(std::env::var_os("HOME").expect("HOME or LHFILE_CACHE")).join(".cache/lhfile")
        });
        let binary = cache.join(format!("garage-{VERSION}/bin/garage"));
        assert!(binary.exists(), "{} is not there: run `make test`, or setup/install.sh test", binary.display());
        binary
    }

    /// Starts it (again) and waits until it is ready; or what was tried, and what its log says.
    pub(super) fn launch(&mut self, arguments: &[&str], is_ready: impl Fn() -> bool) -> Result<(), String> {
        let (config, log) = (self.folder.join("garage.toml"), self.folder.join("log"));
        let file = fs::File::options().create(true).append(true).open(&log).expect("our own folder");
        let mut command = process::mortal(Self::binary());
        command.arg("-c").arg(&config).arg("server").args(arguments);
        command.env("GARAGE_DEFAULT_ACCESS_KEY", KEY_ID).env("GARAGE_DEFAULT_SECRET_KEY", SECRET);
        command.env("GARAGE_DEFAULT_BUCKET", BUCKET).env("RUST_LOG", "warn");
        command.stdout(file.try_clone().expect("a descriptor")).stderr(file);
        let mut child = process::spawn(command);
        let until = Instant::now() + READY;
        while !is_ready() {
            let ended = child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > until {
                let how = if ended { "ended".to_owned() } else { format!("was not ready within {READY:?}") };
                let _ = (child.kill(), child.wait());
                let said = fs::read_to_string(&log).unwrap_or_default();
                let (config, log) = (config.display(), log.display());
                return Err(format!("garage -c {config} server {arguments:?} {how}; its log, {log}:\n{said}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.child = Some(child);
        Ok(())
    }

    /// What a command of its own says, or why it failed.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(Self::binary());
        command.arg("-c").arg(self.folder.join("garage.toml")).args(arguments).env("RUST_LOG", "error");
        let output = command.output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(said)
        } else {
            Err(format!("garage {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr)))
        }
    }

    /// The whole of its bucket, by its own address.
    pub(super) fn bucket(&self, prefix: &str) -> Bucket {
        Bucket { address: self.address, prefix: prefix.to_owned() }
    }

    /// SIGKILL.
    pub(super) fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = (child.kill(), child.wait());
        }
    }
}

impl Drop for Garage {
    fn drop(&mut self) {
        self.kill9();
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A part of the bucket that is one user's alone.
#[derive(Debug, Clone)]
pub struct Bucket {
    address: SocketAddr,
    prefix: String,
}

impl Bucket {
    /// An empty one.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { address: SHARED.address, prefix: format!("it-{number}") }
    }

    /// Where the store itself listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As `blob_url`.
    pub fn url(&self) -> String {
        format!("s3://{BUCKET}/{}", self.prefix)
    }

    /// As the lines of a configuration, spoken to at this address.
    pub fn config(&self, at: SocketAddr) -> Vec<String> {
        vec![
            format!("blob_url = {:?}", self.url()),
            format!("s3.endpoint = \"http://{at}\""),
            format!("s3.region = {REGION:?}"),
            format!("s3.access_key_id = {KEY_ID:?}"),
            format!("s3.secret_access_key = {SECRET:?}"),
        ]
    }

    /// As the adapter takes it, spoken to at this address.
    pub fn place(&self, at: SocketAddr) -> S3Place {
        S3Place {
            endpoint: Some(format!("http://{at}")),
            region: REGION.to_owned(),
            bucket: BUCKET.to_owned(),
            prefix: self.prefix.clone(),
            access_key_id: KEY_ID.to_owned(),
            secret_access_key: SECRET.to_owned(),
            path_style: true,
        }
    }

    fn store(&self) -> AmazonS3 {
        let builder = AmazonS3Builder::new().with_endpoint(format!("http://{}", self.address)).with_allow_http(true);
        let builder = builder.with_region(REGION).with_bucket_name(BUCKET).with_disable_bulk_delete(true);
        builder.with_access_key_id(KEY_ID).with_secret_access_key(SECRET).build().expect("complete")
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.prefix))
    }

    /// The same as [`Bucket::objects`], or why not.
    pub(super) fn try_objects(&self) -> object_store::Result<Vec<(String, u64)>> {
        let (store, prefix) = (self.store(), Path::from(self.prefix.as_str()));
        let found: Vec<_> = apart(async move { store.list(Some(&prefix)).try_collect().await })?;
        let named = found.into_iter().map(|meta| (meta.location.filename().unwrap_or_default().to_owned(), meta.size));
        // The store's id stays, and its probe comes and goes.
        Ok(named.filter(|(name, _)| !name.starts_with("lhfile-")).collect())
    }

    /// Names and sizes of all objects but the store's own.
    pub fn objects(&self) -> Vec<(String, u64)> {
        self.try_objects().expect("garage answers")
    }

    /// Keys of the uploads in parts that are open, one for each.
    pub fn multiparts(&self) -> Vec<String> {
        let (store, prefix) = (self.store(), format!("{}/", self.prefix));
        let url = apart(async move {
            let asked = SignedUrlOptions::new().with_query([("uploads", ""), ("prefix", prefix.as_str())]);
            store.signed_url_opts(Method::GET, &Path::default(), Duration::from_secs(60), &asked).await
        });
        let url = url.expect("signed").to_string();
        let target = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).expect("a path").1.to_owned();
        let mut stream = TcpStream::connect(self.address).expect("garage listens");
        write!(stream, "GET /{target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
            .split("<Upload>")
            .skip(1)
            .filter_map(|u| Some(u.split_once("<Key>")?.1.split('<').next()?.to_owned()))
            .collect()
    }

    /// Takes from uploads in parts what a garage writes second: so it is left when garage is interrupted
    /// between its own two writes. Each is still listed, and is not there to be aborted.
    pub fn halve_multiparts(ids: &[String]) {
        let database = SHARED.folder.join("meta/db.sqlite").display().to_string();
        let mut connection = SqliteConnection::establish(&database).expect("garage's own");
        sql_query("PRAGMA busy_timeout = 5000").execute(&mut connection).expect("a pragma");
        for id in ids {
            let row = format!("DELETE FROM tree_multipart_upload_COLON_table WHERE lower(hex(k)) = '{id}'");
            assert_eq!(sql_query(row).execute(&mut connection).expect("garage's own"), 1, "{id}");
        }
    }

    /// The bytes of an object.
    pub fn read(&self, name: &str) -> Vec<u8> {
        let (store, path) = (self.store(), self.path(name));
        apart(async move { store.get(&path).await?.bytes().await }).expect("it is there").to_vec()
    }

    /// Puts bytes there, as somebody else would.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let (store, path, bytes) = (self.store(), self.path(name), bytes.to_vec());
        apart(async move { store.put(&path, bytes.into()).await }).expect("garage takes it");
    }

    /// Puts many there.
    pub fn write_all(&self, things: &[(String, Vec<u8>)]) {
        let store = &self.store();
        let puts = things.iter().map(|(name, bytes)| {
            let (path, bytes) = (self.path(name), bytes.clone());
            async move { store.put(&path, bytes.into()).await.map(drop) }
        });
        apart(futures_util::stream::iter(puts).buffer_unordered(16).try_collect::<()>()).expect("garage takes them");
    }

    /// Begins an upload in parts to each of these names, and puts none.
    pub fn begin_multiparts(&self, names: &[String]) {
        let store = &self.store();
        let begun = names.iter().map(|name| {
            let path = self.path(name);
            async move { store.create_multipart(&path).await.map(drop) }
        });
        apart(futures_util::stream::iter(begun).buffer_unordered(8).try_collect::<()>()).expect("garage begins them");
    }

    /// Removes an object, as somebody else would.
    pub fn remove(&self, name: &str) {
        let (store, path) = (self.store(), self.path(name));
        apart(async move { store.delete(&path).await }).expect("garage removes it");
    }
}

/// Waits for what is async from where nothing may wait, on a thread and a runtime of its own.
fn apart<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(work)
        });
        thread.join().expect("no panic inside")
    })
}
