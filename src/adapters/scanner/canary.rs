//! The canaries: a clean file, EICAR, EICAR in a zip, and a zip of more members than the scanner takes.
//!
//! Not here: when they are sent and what follows from a wrong answer (`app/scanning.rs`).

use std::io::{self, Write};

use bytes::Bytes;
use rawzip::{CompressionMethod, ZipArchiveWriter};

use super::test_database::eicar;
use crate::ports::{Canary, Expect, ScannerLimits};

/// Made once per scanner. The last one is about 90 bytes for each of `limits.max_files`: 0.9 MiB for clamd's default.
pub fn canaries(limits: &ScannerLimits) -> Vec<Canary> {
    let infected = eicar();
    // One more than allowed is enough: clamd counts the members it would look into, and the zip itself.
    let members = u64::from(limits.max_files) + 1;
    vec![
        Canary {
            name: "clean",
            bytes: Bytes::from_static(b"This file is harmless, and the scanner has to say so.\n"),
            expect: Expect::Clean,
        },
        Canary { name: "eicar", bytes: Bytes::copy_from_slice(&infected), expect: Expect::Infected },
        Canary { name: "eicar-in-zip", bytes: zip_of(std::iter::once(&infected[..])), expect: Expect::Infected },
        Canary {
            name: "too-many-members",
            // Empty members would not be counted.
            bytes: zip_of((0..members).map(|_| &b"x"[..])),
            expect: Expect::Unscannable,
        },
    ]
}

/// A zip with these members, stored, named `0`, `1`, ….
pub fn zip_of<'a>(members: impl Iterator<Item = &'a [u8]>) -> Bytes {
    write_zip(members).expect("writing to memory does not fail, and the names are short and valid").into()
}

fn write_zip<'a>(members: impl Iterator<Item = &'a [u8]>) -> io::Result<Vec<u8>> {
    let mut archive = ZipArchiveWriter::new(Vec::new());
    for (number, content) in members.enumerate() {
        let name = number.to_string();
        let (mut entry, config) = archive
            .new_file(name.as_str())
            .compression_method(CompressionMethod::STORE)
            .start()
            .map_err(io::Error::other)?;
        let mut data = config.wrap(&mut entry);
        data.write_all(content)?;
        let (_, descriptor) = data.finish().map_err(io::Error::other)?;
        entry.finish(descriptor).map_err(io::Error::other)?;
    }
    archive.finish().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ScannerLimits = ScannerLimits {
        max_file_bytes: 1 << 20,
        max_scan_bytes: 1 << 22,
        max_files: 50,
        max_recursion: 16,
        threads: 2,
    };

    #[test]
    fn canaries_expect_yes_no_and_unscannable() {
        let all = canaries(&LIMITS);
        for expected in [Expect::Clean, Expect::Infected, Expect::Unscannable] {
            assert!(all.iter().any(|c| c.expect == expected), "none expects {expected:?}");
        }
    }

    #[test]
    fn too_many_members_is_one_more_than_the_limit() {
        let all = canaries(&LIMITS);
        let zip = all.iter().find(|c| c.name == "too-many-members").expect("it is among them");
        let archive = rawzip::ZipArchive::from_slice(&zip.bytes).expect("a well-formed zip");
        assert_eq!(archive.entries().count(), 51);
    }
}
