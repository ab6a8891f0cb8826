//! A real S3-compatible store of the tests' own: one garage for the whole process, a prefix for each user of it.
//!
//! `setup/install.sh test` builds it once, into `$LHFILE_CACHE`. Looks into the bucket go by its own address, past
//! whatever a server under test is given.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Child,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::TryStreamExt as _;
use http::Method;
use lhfile::adapters::blobs::S3Place;
use object_store::{
    ObjectStore as _, ObjectStoreExt as _,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
    signer::{SignedUrlOptions, Signer as _},
};

use super::{node, process};

const VERSION: &str = "2.5.0";
const BUCKET: &str = "lhfile-tests";
const REGION: &str = "garage";
const KEY_ID: &str = "GK0123456789abcdef01234567";
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The process and where it listens. It ends with the tests.
struct Garage {
    address: SocketAddr,
    _child: Child,
}

static SHARED: LazyLock<Garage> = LazyLock::new(Garage::start);

impl Garage {
    fn binary() -> PathBuf {
        let cache = std::env::var_os("LHFILE_CACHE").map(PathBuf::from).unwrap_or_else(|| {
            PathBuf::from(std::env::var_os("HOME").expect("HOME or LHFILE_CACHE")).join(".cache/lhfile")
        });
        let binary = cache.join(format!("garage-{VERSION}/bin/garage"));
        assert!(binary.exists(), "{} is not there: run `make test`, or setup/install.sh test", binary.display());
        binary
    }

    fn start() -> Self {
        let folder = node::new_folder();
        let (api, rpc) = (node::free_port(), node::free_port());
        let shown = folder.display();
        let config = format!(
            "metadata_dir = \"{shown}/meta\"\ndata_dir = \"{shown}/data\"\ndb_engine = \"sqlite\"\n\
             replication_factor = 1\nrpc_bind_addr = \"{rpc}\"\nrpc_public_addr = \"{rpc}\"\nrpc_secret = \"{SECRET}\"\n\
             [s3_api]\ns3_region = \"{REGION}\"\napi_bind_addr = \"{api}\"\n"
        );
        fs::write(folder.join("garage.toml"), config).expect("our own folder");
        let log = fs::File::create(folder.join("log")).expect("our own folder");
        let mut command = process::command(Self::binary());
        command.arg("-c").arg(folder.join("garage.toml")).args(["server", "--single-node", "--default-bucket"]);
        command.env("GARAGE_DEFAULT_ACCESS_KEY", KEY_ID).env("GARAGE_DEFAULT_SECRET_KEY", SECRET);
        command.env("GARAGE_DEFAULT_BUCKET", BUCKET).env("RUST_LOG", "warn");
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        let garage = Self { address: api, _child: process::spawn(command) };
        let until = Instant::now() + Duration::from_secs(30);
        // The bucket is made after the port is opened.
        let first = Bucket { address: api, prefix: "ready".to_owned() };
        while first.try_objects().is_err() {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "garage does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        garage
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

    fn try_objects(&self) -> object_store::Result<Vec<(String, u64)>> {
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
