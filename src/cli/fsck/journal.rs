//! A client's own journal: what it was told, a JSON object a line, as `lhfile upload`, `rm`, `purge` and `restore` print
//! it with `--json`. Of several lines of one file the last one counts.
//!
//! Read several times, a part of the files each time, so that a long journal takes no more memory than a short one. Not
//! here: asking the server whether it is so (`comparing.rs`).

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use serde_json::Value;

use crate::domain::FileId;

/// Most files that are kept in memory.
const AT_ONCE: u64 = 100_000;
/// Longest line, in bytes: many times what a row takes.
const LONGEST: u64 = 1 << 20;

/// What an acknowledged upload promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Promise {
    /// Of the bytes that are stored.
    pub(super) sha256: [u8; 32],
    /// Their number.
    pub(super) size: u64,
}

/// What a file must be by the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// The line that says so, from 1.
    pub(super) line: u64,
    pub(super) file: FileId,
    /// There, with these bytes; or deleted.
    pub(super) promise: Option<Promise>,
}

/// A line that says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadLine {
    /// Its number, from 1.
    pub(super) line: u64,
    pub(super) why: &'static str,
}

/// A journal as long as it was when it was opened: its client may go on with it.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    length: u64,
    at_once: u64,
    /// Lines that say something.
    lines: u64,
    /// The first of those that say nothing, and how many there are.
    pub(super) bad: (Vec<BadLine>, u64),
}

/// Most bad lines that are named.
const MOST_NAMED: usize = 1_000;

impl Journal {
    /// Reads it once, and remembers which lines say nothing.
    ///
    /// # Errors
    /// It cannot be read, or it is no file that can be read again.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is read several times: give a plain file"));
        }
        let mut journal = Self { file, length: meta.len(), at_once: AT_ONCE, lines: 0, bad: (Vec::new(), 0) };
        let (mut lines, mut bad, mut many) = (0, Vec::new(), 0);
        journal.read(|line, said| match said {
            Ok(_) => lines += 1,
            Err(why) => {
                many += 1;
                if bad.len() < MOST_NAMED {
                    bad.push(BadLine { line, why });
                }
            }
        })?;
        (journal.lines, journal.bad) = (lines, (bad, many));
        Ok(journal)
    }

    /// How many times it has to be read.
    pub(super) fn parts(&self) -> u64 {
        self.lines.div_ceil(self.at_once).max(1)
    }

    /// The files of a part (from 0), in the order of the lines that count.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn part(&self, part: u64) -> io::Result<Vec<Expected>> {
        let parts = self.parts();
        let mut found: HashMap<FileId, (u64, Option<Promise>)> = HashMap::new();
        self.read(|line, said| {
            if let Ok((file, promise)) = said
                && share(file, parts) == part
            {
                found.insert(file, (line, promise));
            }
        })?;
        let mut expected: Vec<_> =
            found.into_iter().map(|(file, (line, promise))| Expected { line, file, promise }).collect();
        expected.sort_unstable_by_key(|expected| expected.line);
        Ok(expected)
    }

    fn read(&self, mut each: impl FnMut(u64, Result<(FileId, Option<Promise>), &'static str>)) -> io::Result<()> {
        let mut file = &self.file;
        io::Seek::rewind(&mut file)?;
        let mut reader = BufReader::new(file.take(self.length));
        let (mut number, mut line) = (0, Vec::new());
        loop {
            line.clear();
            if reader.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            number += 1;
            if line.len() as u64 == LONGEST && !line.ends_with(b"\n") {
                each(number, Err("it is longer than 1 MiB"));
                reader.skip_until(b'\n')?;
            } else if !line.trim_ascii().is_empty() {
                each(number, said(&line));
            }
        }
    }
}

/// The part that a file belongs to: its id is random.
fn share(file: FileId, parts: u64) -> u64 {
    let bytes = file.0.first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(bytes) % parts
}

/// `{"file_id", "sha256", "size_bytes", …}`: it is there. `{"deleted": ID}`, or `{"file_id"}` alone as `rm` prints it: it is
/// not.
fn said(line: &[u8]) -> Result<(FileId, Option<Promise>), &'static str> {
    let value: Value = serde_json::from_slice(line).map_err(|_| "it is no JSON object")?;
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let id = text("deleted").or_else(|| text("file_id")).ok_or("it names no file_id")?;
    let file: FileId = id.parse().map_err(|_| "its file_id cannot be one")?;
    if value.get("deleted").is_some() || (value.get("sha256").is_none() && value.get("size_bytes").is_none()) {
        return Ok((file, None));
    }
    let sha256 = text("sha256").and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok());
    let sha256 = sha256.and_then(|bytes| bytes.try_into().ok()).ok_or("its sha256 is not 64 lower-case hex digits")?;
    let size = value.get("size_bytes").and_then(Value::as_u64).ok_or("its size_bytes is no number")?;
    Ok((file, Some(Promise { sha256, size })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> FileId {
        FileId([n; 16])
    }

    fn there(n: u8, size: u64) -> String {
        format!(
            "{{\"file_id\":\"{}\",\"sha256\":\"{}\",\"size_bytes\":{size},\"display_name\":\"x\"}}\n",
            id(n),
            "ab".repeat(32)
        )
    }

    fn journal(text: &str) -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        std::fs::write(&path, text).expect("our own folder");
        let journal = Journal::open(&path).expect("readable");
        (folder, journal)
    }

    #[test]
    fn last_line_of_a_file_counts_and_bad_ones_are_told_by_their_number() {
        let text = [
            there(1, 5),
            there(2, 6),
            format!("{{\"file_id\":\"{}\"}}\n", id(1)),
            "\n".to_owned(),
            format!("{{\"deleted\":\"{}\"}}\n", id(3)),
            "no JSON\n".to_owned(),
            format!("{{\"file_id\":\"{}\",\"sha256\":\"AB\",\"size_bytes\":1}}\n", id(4)),
            "{\"file_id\":\"../x\"}\n".to_owned(),
            format!("\"{}\"\n", "x".repeat(2 << 20)),
            there(3, 7),
            there(5, 8).trim_end_matches("}\n").to_owned(),
        ];
        let (_folder, journal) = journal(&text.concat());
        let bad: Vec<u64> = journal.bad.0.iter().map(|bad| bad.line).collect();
        assert_eq!((bad, journal.bad.1), (vec![6, 7, 8, 9, 11], 5));
        let promise = |size| Some(Promise { sha256: [0xab; 32], size });
        assert_eq!(
            journal.part(0).expect("readable"),
            [
                Expected { line: 2, file: id(2), promise: promise(6) },
                Expected { line: 3, file: id(1), promise: None },
                Expected { line: 10, file: id(3), promise: promise(7) },
            ]
        );
    }

    #[test]
    fn long_journal_is_read_in_parts_that_together_hold_each_file_once() {
        let text: String = (0..200).map(|n| there(n, u64::from(n))).collect();
        let (_folder, mut journal) = journal(&text);
        assert_eq!(journal.parts(), 1);
        journal.at_once = 30;
        assert_eq!(journal.parts(), 7);
        let mut lines = Vec::new();
        for part in 0..journal.parts() {
            let files = journal.part(part).expect("readable");
            assert!(files.is_sorted_by_key(|expected| expected.line));
            lines.extend(files.into_iter().map(|expected| expected.line));
        }
        lines.sort_unstable();
        assert!(lines.into_iter().eq(1..=200));
    }

    #[test]
    fn what_a_client_writes_while_it_is_read_is_not_looked_at() {
        let (folder, journal) = journal(&there(1, 5));
        let mut file = std::fs::File::options().append(true).open(folder.path().join("journal")).expect("ours");
        io::Write::write_all(&mut file, there(2, 5).as_bytes()).expect("ours");
        assert_eq!(journal.part(0).expect("readable").len(), 1);
    }

    #[test]
    fn what_cannot_be_read_twice_is_no_journal() {
        let folder = tempfile::tempdir().expect("a folder");
        Journal::open(folder.path()).expect_err("a folder");
    }
}
