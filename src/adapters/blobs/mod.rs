//! Bytes: the spool on the local disk, where uploads lie while they are judged, and two stores where they are kept, the
//! same disk or an S3-compatible object store.
//!
//! Read in this order: `layout.rs` (the folders), `room.rs` (how much may lie in the spool), `spool.rs` (writing),
//! `folder_sync.rs` and `disk.rs` (publishing, durable), `read.rs` (streams out); then `s3.rs`; `outside.rs` only looks,
//! `filling.rs` is for moves, `walking.rs` and `ahead.rs` for checks. Not here: which bytes
//! are kept and who may have them (`app/`, `domain/`).

mod ahead;
mod disk;
mod filling;
mod folder_sync;
mod layout;
mod outside;
mod read;
mod room;
mod s3;
mod spool;
mod walking;

pub use disk::{DiskBlobs, open};
pub use filling::open_beside;
pub use outside::Outside;
pub use room::SpoolLimits;
pub use s3::{S3Blobs, S3Place};
pub use spool::DiskSpool;

#[cfg(test)]
mod tests;
