//! Bytes on the local disk: the spool where uploads lie while they are judged, and the store where they are kept.
//!
//! Read in this order: `layout.rs` (the folders), `room.rs` (how much may lie in the spool), `spool.rs` (writing),
//! `folder_sync.rs` and `disk.rs` (publishing, durable), `read.rs` (streams out). Not here: which bytes are kept and
//! who may have them (`app/`, `domain/`).

mod disk;
mod folder_sync;
mod layout;
mod read;
mod room;
mod spool;

pub use disk::{DiskBlobs, open};
pub use room::SpoolLimits;
pub use spool::DiskSpool;

#[cfg(test)]
mod tests;
