//! Files to upload: the real samples of `tests/samples`, and texts of any size.

use std::{fs, path::PathBuf};

/// The real file of this extension.
pub fn sample(extension: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/samples/sample.{extension}"));
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A text of exactly so many bytes, unlike that of any other `seed`.
pub fn text(size: usize, seed: &str) -> Vec<u8> {
    let line = format!("the quick brown fox of {seed} jumps over the lazy dog\n");
    line.into_bytes().into_iter().cycle().take(size).collect()
}

/// The 68 bytes that every scanner calls infected; put together now, so that no source file holds them.
pub fn eicar() -> Vec<u8> {
    [br"X5O!P%@AP[4\PZX54(P^)7CC)7}$".as_slice(), b"EICAR-STANDARD-", b"ANTIVIRUS-", b"TEST-FILE!$H+H*"].concat()
}

/// Lower-case hex of the SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(bytes))
}
