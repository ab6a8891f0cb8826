//! What every test needs: a server to talk to, callers, requests in one line, and eyes for what is left.
//!
//! `setup.rs` says how servers are started, `node.rs` starts them, `process.rs` their processes, `orphan.rs` ends what a
//! kill leaves; `clamd.rs` and `grudging.rs` are scanners of our own, `signatures.rs` one that learns; `postgres.rs` a
//! database server, `outage.rs` stops one, `proxy.rs` is a bad way to it; `garage.rs` an object store, `garages.rs` three
//! that are one, `faulty.rs` a bad way to it; `callers.rs` mints tokens, `keys.rs` has them made, `upload.rs` and
//! `calls.rs` are the requests, `certificates.rs` makes those of TLS, `refusal.rs` reads answers, `left.rs` looks into
//! folder and database, `fsck.rs` asks the service for its own look, `rude.rs` is the bad client, `million.rs` fills a database, `old.rs` makes old files, `runs.rs` has maintenance run,
//! `samples.rs` and `archives.rs` are what is uploaded.

pub mod archives;
pub mod callers;
pub mod calls;
pub mod certificates;
pub mod clamd;
pub mod faulty;
pub mod fsck;
pub mod garage;
pub mod garages;
pub mod grudging;
pub mod keys;
pub mod left;
pub mod node;
pub mod old;
pub mod orphan;
pub mod outage;
pub mod place;
pub mod postgres;
pub mod process;
#[path = "../../../src/adapters/sql/tests/proxy.rs"]
pub mod proxy;
pub mod refusal;
pub mod rude;
pub mod runs;
pub mod samples;
pub mod setup;
pub mod signatures;
pub mod upload;

pub use callers::{Caller, Operator, Service, Visitor};
pub use certificates::Authority;
pub use garage::Bucket;
pub use node::{Node, shared};
pub use refusal::{assert_refused, reason_of};
pub use setup::Setup;

/// The generated messages and clients.
pub use lhfile::rpc::pb;
