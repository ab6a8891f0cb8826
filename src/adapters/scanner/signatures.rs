//! Which signatures the managed clamd loads, and the name of exactly that set.
//!
//! clamd tells a number only for the official databases, so the set is named by a digest of its files' contents. Not
//! here: the test signatures themselves (`test_database.rs`), when clamd loads them (`managed/supervisor.rs`).

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::test_database;
use crate::domain::Time;

/// Endings of databases that can find something, official and own. Allow-lists, settings and bytecode alone cannot.
const DETECTING: [&str; 18] = [
    "cvd", "cld", "hdb", "hdu", "hsb", "hsu", "mdb", "mdu", "msb", "msu", "ndb", "ndu", "ldb", "ldu", "db", "zmd",
    "yar", "yara",
];

/// Endings that change what is found without finding anything themselves.
const INFLUENCING: [&str; 13] =
    ["fp", "sfp", "ign", "ign2", "ftm", "cdb", "idb", "cbc", "pdb", "gdb", "wdb", "crb", "imp"];

/// One set of signatures on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureSet {
    /// The folder clamd has to load.
    pub folder: PathBuf,
    /// 16 hex digits over names and contents; equal on every machine with the same files.
    pub digest: String,
    /// When the newest official database in it was built; `None` if there is none.
    pub built: Option<Time>,
    /// True for the bundled test signatures.
    pub test_only: bool,
}

/// Reads signature folders; remembers the digest of files that did not change.
#[derive(Debug, Default)]
pub struct SignatureReader {
    known: HashMap<PathBuf, (Stat, FileDigest)>,
}

/// A file that has the same of these is the same file with the same content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    inode: u64,
    size: u64,
    mtime: (i64, i64),
}

#[derive(Debug, Clone, Copy)]
struct FileDigest {
    sha256: [u8; 32],
    built: Option<Time>,
}

impl SignatureReader {
    /// The set to load: that of `wanted` if it holds a database, else the test signatures, written into `fallback`.
    /// Blocking: reads every new or changed file once, at about the disk's speed.
    pub fn choose(&mut self, wanted: &Path, fallback: &Path) -> io::Result<SignatureSet> {
        if let Some(set) = self.read(wanted)? {
            return Ok(set);
        }
        test_database::write_into(fallback)?;
        let set = self.read(fallback)?.ok_or_else(|| io::Error::other("the test signatures vanished"))?;
        Ok(SignatureSet { test_only: true, ..set })
    }

    /// `None` if nothing in `folder` finds anything, or there is no such folder.
    fn read(&mut self, folder: &Path) -> io::Result<Option<SignatureSet>> {
        let mut names = match database_names(folder) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        names.sort();
        if !names.iter().any(|n| ending_is_among(n, &DETECTING)) {
            return Ok(None);
        }
        let mut all = Sha256::new();
        let mut built = None;
        for name in &names {
            let file = self.file(&folder.join(name))?;
            all.update(name.as_bytes());
            all.update([0]);
            all.update(file.sha256);
            built = built.max(file.built);
        }
        let digest = HEXLOWER.encode(&all.finalize()[..8]);
        Ok(Some(SignatureSet { folder: folder.to_owned(), digest, built, test_only: false }))
    }

    fn file(&mut self, path: &Path) -> io::Result<FileDigest> {
        let mut file = File::open(path)?;
        let meta = file.metadata()?;
        let stat = Stat { inode: meta.ino(), size: meta.size(), mtime: (meta.mtime(), meta.mtime_nsec()) };
        if let Some((_, digest)) = self.known.get(path).filter(|(seen, _)| *seen == stat) {
            return Ok(*digest);
        }
        let mut hash = Sha256::new();
        let mut head = Vec::new();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            if head.len() < HEADER_BYTES {
                head.extend_from_slice(&buffer[..n.min(HEADER_BYTES - head.len())]);
            }
            hash.update(&buffer[..n]);
        }
        let digest = FileDigest { sha256: hash.finalize().into(), built: official_build_time(&head) };
        self.known.insert(path.to_owned(), (stat, digest));
        Ok(digest)
    }
}

/// The length of the text header of `.cvd` and `.cld`.
const HEADER_BYTES: usize = 512;

/// The last field of an official header, `ClamAV-VDB:<date>:<version>:…:<unix seconds>`, padded with spaces.
fn official_build_time(head: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(head.get(..HEADER_BYTES)?).ok()?;
    let fields = text.strip_prefix("ClamAV-VDB:")?;
    Some(Time::from_secs(fields.trim_end().rsplit(':').next()?.parse().ok()?))
}

fn database_names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // clamd could not read a name that is not text either.
        let Ok(name) = entry.file_name().into_string() else { continue };
        if (ending_is_among(&name, &DETECTING) || ending_is_among(&name, &INFLUENCING)) && entry.path().is_file() {
            names.push(name);
        }
    }
    Ok(names)
}

fn ending_is_among(name: &str, endings: &[&str]) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, end)| !stem.is_empty() && endings.contains(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_falls_back_to_the_test_signatures() {
        let dir = tempfile::tempdir().expect("a folder");
        let (wanted, fallback) = (dir.path().join("db"), dir.path().join("test"));
        let mut reader = SignatureReader::default();
        let absent = reader.choose(&wanted, &fallback).expect("no folder is no database");
        fs::create_dir(&wanted).expect("made");
        fs::write(wanted.join("freshclam.dat"), b"x").expect("written");
        let empty = reader.choose(&wanted, &fallback).expect("readable");
        assert!(absent.test_only && empty.test_only);
        assert_eq!((absent.folder.as_path(), absent.digest), (fallback.as_path(), empty.digest));
    }

    #[test]
    fn the_digest_changes_with_content_and_names_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let none = dir.path().join("none");
        let file = dir.path().join("own.hdb");
        let mut reader = SignatureReader::default();
        fs::write(&file, "a").expect("written");
        let first = reader.choose(dir.path(), &none).expect("readable").digest;
        fs::write(dir.path().join("freshclam.dat"), "x").expect("written");
        assert_eq!(SignatureReader::default().choose(dir.path(), &none).expect("readable").digest, first);
        fs::remove_file(&file).expect("removed");
        fs::write(&file, "b").expect("written");
        let changed = reader.choose(dir.path(), &none).expect("readable").digest;
        assert_ne!(changed, first);
        fs::rename(&file, dir.path().join("other.hdb")).expect("renamed");
        assert_ne!(reader.choose(dir.path(), &none).expect("readable").digest, changed);
    }

    #[test]
    fn the_build_time_is_that_of_the_newest_official_database() {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, secs) in [("main.cvd", 1_600_000_000), ("daily.cld", 1_700_000_000)] {
            let header = format!("ClamAV-VDB:22 Nov 2026 08-25 -0500:27000:1:90:md5:sig:raynman:{secs}");
            fs::write(dir.path().join(name), format!("{header:<512}rest")).expect("written");
        }
        let set = SignatureReader::default().choose(dir.path(), Path::new("/nonexistent")).expect("readable");
        assert_eq!((set.built, set.test_only), (Some(Time::from_secs(1_700_000_000)), false));
    }
}
