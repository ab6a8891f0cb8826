//! What a server of the tests is started with.
//!
//! Not here: starting it (`node.rs`).

use std::net::SocketAddr;

use super::Bucket;

/// How a server is to be started.
#[derive(Debug, Clone)]
pub struct Setup {
    pub(super) config: Vec<String>,
    pub(super) wrapper: Vec<String>,
    pub(super) fault: Option<String>,
    pub(super) disk: Option<String>,
    pub(super) wait_for_scanner: bool,
    pub(super) blobs: Blobs,
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
            disk: None,
            wait_for_scanner: true,
            blobs: Blobs::Disk,
        }
    }
}

impl Setup {
    /// A managed clamd, the store that `LHFILE_TEST_PAIR` names (`sqlite+disk` unless set), everything else by default.
    pub fn new() -> Self {
        let blobs = match std::env::var("LHFILE_TEST_PAIR").as_deref() {
            Err(_) | Ok("sqlite+disk") => Blobs::Disk,
            Ok("sqlite+s3") => Blobs::NewBucket,
            Ok(other) => panic!("LHFILE_TEST_PAIR = {other:?}: sqlite+disk or sqlite+s3"),
        };
        Self { blobs, ..Self::default() }
    }
    /// On the local disk, whatever the pair.
    pub fn on_disk() -> Self {
        Self::default()
    }
    /// In a bucket of its own, whatever the pair.
    pub fn on_s3() -> Self {
        Self { blobs: Blobs::NewBucket, ..Self::default() }
    }
    /// In this bucket, spoken to at this address.
    pub fn in_bucket(bucket: &Bucket, at: SocketAddr) -> Self {
        Self { blobs: Blobs::Bucket(bucket.clone(), at), ..Self::default() }
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
