//! The scanner is clamd, in a process of its own: hostile files are parsed outside of this one.
//!
//! `clamd.rs` speaks its protocol, `external.rs` is a clamd that somebody else runs, `managed/` one that we start and
//! keep alive ourselves; `canary.rs` makes the files that prove one able to say no, `signatures.rs` and
//! `test_database.rs` are what it finds with. Not here: slots, the reuse of verdicts, when canaries are sent
//! (`app/scanning.rs`), what an answer means under the settings (`domain/admission.rs`).

mod canary;
mod clamd;
mod external;
mod managed;
mod signatures;
mod test_database;

pub use clamd::ClamdAddress;
pub use external::{ClamdConfig, ExternalClamd};
pub use managed::{ManagedClamd, ManagedConfig, running_address};

/// clamd lowers `MaxFileSize` to this by itself: 2 GiB - 3 bytes.
pub const CLAMD_MAX_FILE_BYTES: u64 = 2 * 1024 * 1024 * 1024 - 3;

/// `MaxScanSize` has to be this many times the largest file, so that what the file unpacks to has room.
pub const SCAN_SIZE_FACTOR: u64 = 4;
