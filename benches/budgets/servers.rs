//! The servers of the second pair, those of the tests: a PostgreSQL and a garage, one of each for the whole run.
//!
//! Not here: which measurement uses them (`pair.rs`).

#[path = "../../tests/it/harness/garage.rs"]
mod garage;
#[path = "../../tests/it/harness/postgres.rs"]
mod postgres;
#[path = "../../tests/it/harness/process.rs"]
mod process;

pub use garage::Bucket;
pub use postgres::cluster;

/// What garage asks of the tests' own servers.
mod node {
    use std::{
        fs,
        net::{Ipv4Addr, SocketAddr, TcpListener},
        path::{Path, PathBuf},
    };

    pub fn free_port_of(ip: Ipv4Addr) -> SocketAddr {
        TcpListener::bind((ip, 0)).and_then(|l| l.local_addr()).expect("a free port")
    }

    /// Its folder, beside those of the bench.
    pub fn new_folder() -> PathBuf {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-garage-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }
}
