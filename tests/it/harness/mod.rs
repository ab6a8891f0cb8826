//! What every test needs: a server to talk to, callers, requests in one line, and eyes for what is left.
//!
//! `node.rs` starts servers, `process.rs` their processes, `clamd.rs` scanners of our own,
//! `garage.rs` an object store, `faulty.rs` a bad way to it; `callers.rs` mints tokens,
//! `upload.rs` and `calls.rs` are the requests, `refusal.rs` reads answers, `left.rs` looks into folder and database,
//! `rude.rs` is the bad client, `samples.rs` and `archives.rs` are what is uploaded.

pub mod archives;
pub mod callers;
pub mod calls;
pub mod clamd;
pub mod faulty;
pub mod garage;
pub mod left;
pub mod node;
pub mod process;
pub mod refusal;
pub mod rude;
pub mod samples;
pub mod upload;

pub use callers::{Caller, Operator, Service, Visitor};
pub use garage::Bucket;
pub use node::{Node, Setup, shared};
pub use refusal::{assert_refused, reason_of};

/// The generated messages and clients.
pub use lhfile::rpc::pb;
