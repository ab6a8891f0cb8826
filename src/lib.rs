//! lhfile: the file service of a live chat.
//!
//! > rpc speaks, app acts, domain decides, ports ask, adapters answer, server introduces them.
//!
//! The rooms in reading order: [`domain`] (values and decisions, no IO), [`ports`] (what the service needs of the
//! world), [`app`] (carries things from one decision to the next), [`rpc`] (gRPC), [`adapters`] (database, disk,
//! scanner, content), [`server`] (introduces them), [`cli`] (a client like any other), [`config`], [`secret`],
//! [`telemetry`].
//!
//! The upload's way, step by step:
//!
//! 0. [`rpc::access`]: credential and permission.
//! 1. [`rpc::upload_stream`]: the stream of messages becomes a header and a source of bytes.
//! 2. [`domain::admission::admit`]: may it start?
//! 3. [`app::App::upload`]: the intent row, then one pass into the spool.
//! 4. [`domain::admission::accept`]: is it what it says?
//! 5. [`app::Scanning::find_verdict`]: the verdict of exactly these bytes.
//! 6. [`domain::admission::clear`]: what does the verdict mean?
//! 7. [`ports::UploadStore::commit_upload`]: the moment it happens.
//!
//! ARCHITECTURE.md tells the same with the invariants and the reasons.

#![warn(missing_docs)]

pub mod adapters;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
pub mod faults;
pub mod ports;
pub mod rpc;
pub mod secret;
pub mod server;
pub mod telemetry;
