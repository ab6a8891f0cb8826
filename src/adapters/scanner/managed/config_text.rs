//! The configuration of the managed clamd, and the limits it declares.
//!
//! Every line differs from clamd's default for a reason told here. Not here: where the files lie (`home.rs`).

use std::path::Path;

use super::{
    super::{CLAMD_MAX_FILE_BYTES, SCAN_SIZE_FACTOR},
    home::Home,
};
use crate::ports::ScannerLimits;

/// Below this the largest canary would not fit.
pub const MIN_FILE_BYTES: u64 = 2 * 1024 * 1024;
/// clamd's own defaults.
const MAX_FILES: u32 = 10_000;
const MAX_RECURSION: u32 = 17;

/// The limits of a clamd made for files of `max_file_bytes`, which is brought into clamd's range first.
pub fn limits_for(max_file_bytes: u64, threads: u32) -> ScannerLimits {
    let max_file_bytes = max_file_bytes.clamp(MIN_FILE_BYTES, CLAMD_MAX_FILE_BYTES);
    ScannerLimits {
        max_file_bytes,
        max_scan_bytes: max_file_bytes * SCAN_SIZE_FACTOR,
        max_files: MAX_FILES,
        max_recursion: MAX_RECURSION,
        threads,
    }
}

/// The text of `clamd.conf`.
pub fn config_text(home: &Home, signatures: &Path, limits: &ScannerLimits) -> String {
    // 30 s and the size at 2 MiB/s is the service's own deadline; clamd's must not be the shorter one.
    let scan_time_ms = (60 + limits.max_file_bytes / (2 * 1024 * 1024)) * 1000;
    let (socket, temp, signatures) = (home.socket(), home.temp(), signatures.display());
    let (socket, temp) = (socket.display(), temp.display());
    let ScannerLimits { max_file_bytes, max_scan_bytes, max_files, max_recursion, threads } = limits;
    // One more than there are slots: the canaries take none, and must not wait behind archives to be believed.
    let threads = threads + 1;
    let queue = 100 + 2 * threads;
    format!(
        "# Written by lhfile at every start of its clamd. Changes are lost.\n\
         LocalSocket {socket}\n\
         LocalSocketMode 600\n\
         TemporaryDirectory {temp}\n\
         DatabaseDirectory {signatures}\n\
         Foreground yes\n\
         # What was not looked at must not be called OK.\n\
         AlertExceedsMax yes\n\
         AlertEncrypted yes\n\
         AlertEncryptedArchive yes\n\
         AlertEncryptedDoc yes\n\
         StreamMaxLength {max_file_bytes}\n\
         MaxFileSize {max_file_bytes}\n\
         PCREMaxFileSize {max_file_bytes}\n\
         MaxScanSize {max_scan_bytes}\n\
         MaxScanTime {scan_time_ms}\n\
         MaxFiles {max_files}\n\
         MaxRecursion {max_recursion}\n\
         MaxThreads {threads}\n\
         MaxQueue {queue}\n\
         # It remembers clean files by MD5, for which two files can be made: one to be remembered, one to be let in.\n\
         DisableCache yes\n\
         # lhfile has it reload, so that it knows which signatures a verdict was made with.\n\
         SelfCheck 0\n\
         ConcurrentDatabaseReload yes\n\
         ExitOnOOM yes\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scan_size_is_four_times_the_file_size_within_clamds_range() {
        for asked in [0, 100 << 20, 1536 << 20, u64::MAX] {
            let limits = limits_for(asked, 2);
            assert!((MIN_FILE_BYTES..=CLAMD_MAX_FILE_BYTES).contains(&limits.max_file_bytes));
            assert_eq!(limits.max_scan_bytes, 4 * limits.max_file_bytes);
        }
        assert_eq!(limits_for(100 << 20, 2).max_file_bytes, 100 << 20);
    }
}
