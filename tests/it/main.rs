//! The service from outside: the real binary, its own clamd, real files, and clients polite and rude.
//!
//! One file per subject, one rule per test. `harness/` starts servers, speaks for callers and looks at what is left.
//! Not here: the decisions one by one (unit tests in `src/domain`), the layering (`tests/architecture.rs`).

#![expect(
    clippy::disallowed_methods,
    reason = "the tests are not the service: they read clocks and environment, and wait, as a person would"
)]

mod admission;
mod antivirus;
mod blob_contract;
mod chaos;
mod cli;
mod content;
mod database;
mod deleting;
mod erase;
mod foreign;
mod fsck;
mod full_disk;
mod harness;
mod hold;
mod key_files;
mod keys;
mod kill;
mod late;
mod leaving;
mod limits;
mod lists;
mod maintenance;
mod matrix;
mod memory;
mod minting;
mod monitoring;
mod moving;
mod nodes;
mod not_found;
mod old_files;
mod online;
mod orderly;
mod purge;
mod quarantine;
mod request_id;
mod restore;
mod roundtrip;
mod s3;
mod s3_faults;
mod scanner_faults;
mod scanners;
mod settings;
mod stats;
mod store_id;
mod stream;
mod switches;
mod telling;
mod threats;
mod tls;
mod tls_clients;
mod unix_socket;
