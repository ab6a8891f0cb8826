//! The bundled test signatures: EICAR and the ClamAV test file, written at run time, for a machine without a database.
//!
//! The EICAR text itself stands nowhere in the source, so that no checkout of it is flagged. Not here: which database
//! is taken (`signatures.rs`).

use std::{fs, io, path::Path};

use data_encoding::HEXLOWER;

/// The harmless program inside all of Debian's `clamav-testfiles`, by its md5 and size.
const CLAMAV_TEST_FILE: &str = "aa15bcf478d165efd2065190eb473bcb:544:ClamAV-Test-File\n";

/// The 68 bytes that every scanner calls infected, put together now.
pub fn eicar() -> [u8; 68] {
    let parts: [&[u8]; 4] = [br"X5O!P%@AP[4\PZX54(P^)7CC)7}$", b"EICAR-STANDARD-", b"ANTIVIRUS-", b"TEST-FILE!$H+H*"];
    let mut text = [0; 68];
    text.copy_from_slice(&parts.concat());
    text
}

/// The signatures, as file name and content.
///
/// EICAR matches as its standard says: the 68 bytes at the very start, then nothing but spaces, tabs, line ends and
/// Ctrl-Z, 128 bytes at most. A longer text that begins with it or quotes it is clean.
pub fn files() -> [(&'static str, String); 2] {
    let eicar = format!(
        "Eicar-Test-Signature;Engine:81-255,FileSize:68-128,Target:0;0&1;0:{};0/\\A.{{68}}[ \\t\\r\\n\\x1a]*\\z/s\n",
        HEXLOWER.encode(&eicar())
    );
    [("lhfile-test.hdb", CLAMAV_TEST_FILE.to_owned()), ("lhfile-test.ldb", eicar)]
}

/// Writes those that are missing into `folder`, which is made if it is missing too. Blocking.
pub fn write_into(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, content) in files() {
        let path = folder.join(name);
        // clamd may be reading them just now.
        if fs::read(&path).ok().is_none_or(|there| there != content.as_bytes()) {
            fs::write(path, content)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eicar_is_the_known_text() {
        use sha2::{Digest, Sha256};
        assert_eq!(
            HEXLOWER.encode(&Sha256::digest(eicar())),
            "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f"
        );
    }

    #[test]
    fn no_signature_file_holds_eicar_itself() {
        for (name, content) in files() {
            assert!(!content.as_bytes().windows(68).any(|w| w == eicar()), "{name} would be flagged");
        }
    }
}
