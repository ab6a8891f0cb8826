//! What a server of the tests is started with.
//!
//! Not here: starting it (`node.rs`).

use std::net::{Ipv4Addr, SocketAddr};

use tonic::transport::ClientTlsConfig;

use super::{
    Bucket,
    postgres::{Cluster, cluster},
};

/// How a server is to be started.
#[derive(Debug, Clone)]
pub struct Setup {
    pub(super) config: Vec<String>,
    pub(super) wrapper: Vec<String>,
    pub(super) fault: Option<String>,
    pub(super) polls: Option<u32>,
    pub(super) left_age: Option<u32>,
    pub(super) movable_clock: bool,
    pub(super) disk: Option<String>,
    pub(super) ip: Ipv4Addr,
    pub(super) wait_for_scanner: bool,
    pub(super) tls: Option<ClientTlsConfig>,
    pub(super) database: Database,
    pub(super) blobs: Blobs,
}

/// Which database a server has.
#[derive(Debug, Clone)]
pub(super) enum Database {
    Sqlite,
    /// A database of its own on the tests' PostgreSQL, made with the server.
    NewPostgres,
    /// This one, which others may share, at this URL.
    Postgres(&'static Cluster, String, String),
}

impl Database {
    /// The same, made if it is to be new.
    pub(super) fn made(self) -> Self {
        match self {
            Self::NewPostgres => {
                let name = new_database(cluster());
                let url = cluster().url(&name);
                Self::Postgres(cluster(), name, url)
            }
            Self::Sqlite | Self::Postgres(..) => self,
        }
    }
}

/// Where a server keeps its files.
#[derive(Debug, Clone)]
pub(super) enum Blobs {
    Disk,
    /// A bucket of its own, made with the server.
    NewBucket,
    /// This bucket, spoken to at this address.
    Bucket(Bucket, SocketAddr),
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: Vec::new(),
            wrapper: Vec::new(),
            fault: None,
            polls: None,
            left_age: None,
            movable_clock: false,
            disk: None,
            ip: Ipv4Addr::LOCALHOST,
            wait_for_scanner: true,
            tls: None,
            database: Database::Sqlite,
            blobs: Blobs::Disk,
        }
    }
}

impl Setup {
    /// A managed clamd, database and store as `LHFILE_TEST_PAIR` names them (`sqlite+disk` unless set), everything else
    /// by default.
    pub fn new() -> Self {
        let (database, blobs) = match std::env::var("LHFILE_TEST_PAIR").as_deref() {
            Err(_) | Ok("sqlite+disk") => (Database::Sqlite, Blobs::Disk),
            Ok("sqlite+s3") => (Database::Sqlite, Blobs::NewBucket),
            Ok("postgres+disk") => (Database::NewPostgres, Blobs::Disk),
            Ok("postgres+s3") => (Database::NewPostgres, Blobs::NewBucket),
            Ok(other) => {
                panic!("LHFILE_TEST_PAIR = {other:?}: sqlite+disk, sqlite+s3, postgres+disk or postgres+s3")
            }
        };
        Self { database, blobs, ..Self::default() }
    }
    /// Its files on the local disk, whatever the pair; the database is the pair's.
    pub fn on_disk() -> Self {
        Self { blobs: Blobs::Disk, ..Self::new() }
    }
    /// Its files in a bucket of its own, whatever the pair.
    pub fn on_s3() -> Self {
        Self { blobs: Blobs::NewBucket, ..Self::new() }
    }
    /// Its files in this bucket, spoken to at this address.
    pub fn in_bucket(bucket: &Bucket, at: SocketAddr) -> Self {
        Self { blobs: Blobs::Bucket(bucket.clone(), at), ..Self::new() }
    }
    /// On SQLite, whatever the pair.
    pub fn on_sqlite(mut self) -> Self {
        self.database = Database::Sqlite;
        self
    }
    /// On a PostgreSQL database of its own, whatever the pair.
    pub fn on_postgres(mut self) -> Self {
        self.database = Database::NewPostgres;
        self
    }
    /// On this database of this PostgreSQL, reached at this URL.
    pub fn on_database(mut self, cluster: &'static Cluster, name: &str, url: &str) -> Self {
        self.database = Database::Postgres(cluster, name.to_owned(), url.to_owned());
        self
    }
    /// Listens on 127.0.0.x.
    pub fn at(mut self, x: u8) -> Self {
        self.ip = Ipv4Addr::new(127, 0, 0, x);
        self
    }
    /// One line of the configuration, with a dotted key: `limits.uploads_per_visitor = 3`.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }
    /// Speaks TLS as these lines say, and is spoken to by clients that are like this.
    pub fn secured(mut self, config: Vec<String>, client: ClientTlsConfig) -> Self {
        self.config.extend(config);
        self.tls = Some(client);
        self
    }
    /// Until the next restart: an upload that reaches this point stops there for ever.
    pub fn stops_at(mut self, point: &str) -> Self {
        self.fault = Some(point.to_owned());
        self
    }
    /// Asks for what other nodes changed every so many seconds only.
    pub fn asks_every(mut self, seconds: u32) -> Self {
        self.polls = Some(seconds);
        self
    }
    /// What lies about without a row counts as left after so many seconds, not after a day.
    pub fn calls_left_after(mut self, seconds: u32) -> Self {
        self.left_age = Some(seconds);
        self
    }
    /// Its clock can be set, by `set_clock_ahead`.
    pub fn with_movable_clock(mut self) -> Self {
        self.movable_clock = true;
        self
    }
    /// Runs it under another program, as `strace -f -o FILE`.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|w| (*w).to_owned()).collect();
        self
    }
    /// Its data folder is a disk of its own, in memory, of this size as `mount` takes it: `64m`.
    pub fn on_disk_of(mut self, size: &str) -> Self {
        self.disk = Some(size.to_owned());
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

/// An empty PostgreSQL database, in which statements of the tests mean what they mean on SQLite.
pub fn new_database(cluster: &Cluster) -> String {
    let name = cluster.create_database("template0");
    let hex = "CREATE FUNCTION hex(bytea) RETURNS text LANGUAGE sql IMMUTABLE RETURN encode($1, 'hex')";
    cluster.psql(&name, hex);
    name
}
