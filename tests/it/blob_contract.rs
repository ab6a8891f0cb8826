//! The contract of a store of bytes (`src/adapters/tests/blobs.rs`), held against S3 on a real garage.
//!
//! Not here: the rules, and what only S3 can do (`s3_faults.rs`). Memory and the local disk are held to the same rules in
//! the unit tests.

use std::sync::Arc;

use lhfile::{
    adapters::blobs::{S3Blobs, SpoolLimits, open},
    domain, ports,
};

use crate::harness::Bucket;

#[path = "../../src/adapters/tests/blobs.rs"]
mod rules;

pub use rules::{World, key, pattern};

impl World {
    /// In this bucket, spoken to at this address.
    pub fn in_bucket(bucket: &Bucket, at: std::net::SocketAddr) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let limits = SpoolLimits { budget_bytes: rules::BUDGET, reserve_percent: 0 };
        let (spool, _) = open(root.path(), limits).expect("it opens");
        let blobs = S3Blobs::new(&bucket.place(at), Arc::new(spool.clone())).expect("a client");
        Self::new(root, spool, blobs)
    }

    fn on_s3() -> Self {
        let bucket = Bucket::new();
        Self::in_bucket(&bucket, bucket.address())
    }
}

mod s3 {
    use super::{
        World,
        rules::{self, contract},
    };

    contract!(rules, World::on_s3);
}
