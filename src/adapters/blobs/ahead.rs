//! Names of a folder that are read at once, and kept for the pages of a walk that need them.
//!
//! A folder may hold a million names, and is read as a whole to tell the first after one: not anew for each page. How many
//! are kept is bound, whatever lies there. Not here: what lies under the names (`walking.rs`).

use std::{
    collections::{BTreeSet, VecDeque, btree_set},
    ffi::{OsStr, OsString},
    fs, io,
    iter::Peekable,
    path::Path,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::folder_sync::locked;
use crate::ports::WalkPlace;

/// Names of one folder that are read at once.
const AHEAD: usize = 20_000;
/// Walks whose names are kept, and how long for a page that may never be asked for.
const WALKS: usize = 4;
const KEPT: Duration = Duration::from_secs(600);

/// The first names of a folder after one, at most `limit`, in the order of their bytes.
pub(super) fn names_after(folder: &Path, after: Option<&OsStr>, limit: usize) -> io::Result<BTreeSet<OsString>> {
    let mut first = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if after.is_some_and(|after| name.as_os_str() <= after) {
            continue;
        }
        first.insert(name);
        if first.len() > limit {
            first.pop_last();
        }
    }
    Ok(first)
}

/// Names that follow a place in a folder, in the order of their bytes.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) next: Peekable<btree_set::IntoIter<OsString>>,
    /// The folder has no more than these.
    pub(super) whole: bool,
}

/// What walks have read ahead, for the page that goes on there. It is taken once: another page reads the folder itself.
#[derive(Debug)]
pub(super) struct Ahead {
    kept: Mutex<VecDeque<(WalkPlace, Instant, Names)>>,
    most: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        Self::of(AHEAD)
    }
}

impl Ahead {
    /// Of at most so many names of a walk.
    pub(super) fn of(most: usize) -> Self {
        Self { kept: Mutex::default(), most }
    }

    /// Those after this place, if it was kept.
    pub(super) fn take(&self, place: &WalkPlace) -> Option<Names> {
        let mut kept = locked(&self.kept);
        kept.retain(|(_, at, _)| at.elapsed() < KEPT);
        let at = kept.iter().position(|(of, ..)| of == place)?;
        kept.remove(at).map(|(.., names)| names)
    }

    /// Keeps those after this place. None are nothing to keep: there the folder is read again.
    pub(super) fn keep(&self, place: WalkPlace, mut names: Names) {
        if names.next.peek().is_none() {
            return;
        }
        let mut kept = locked(&self.kept);
        if kept.len() >= WALKS {
            kept.pop_front();
        }
        kept.push_back((place, Instant::now(), names));
    }

    /// Reads them now, the first ones.
    pub(super) fn read(&self, folder: &Path, after: Option<&OsStr>) -> io::Result<Names> {
        let names = names_after(folder, after, self.most)?;
        Ok(Names { whole: names.len() < self.most, next: names.into_iter().peekable() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Names {
        let next: BTreeSet<OsString> = names.iter().map(OsString::from).collect();
        Names { next: next.into_iter().peekable(), whole: false }
    }

    fn place(name: &str) -> WalkPlace {
        WalkPlace(name.as_bytes().to_vec())
    }

    #[test]
    fn what_was_read_ahead_is_taken_once_by_the_page_that_goes_on_and_only_so_many_are_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["a", "b", "c", "d", "e"] {
            fs::write(dir.path().join(name), b"x").expect("written");
        }
        let ahead = Ahead::of(4);
        let mut read = ahead.read(dir.path(), Some(OsStr::new("a"))).expect("reads");
        assert_eq!((read.next.next().as_deref(), read.whole), (Some(OsStr::new("b")), false));
        ahead.keep(place("b"), read);
        fs::remove_dir_all(dir.path()).expect("removed");
        assert!(ahead.take(&place("a")).is_none(), "another place");
        let rest = ahead.take(&place("b")).expect("the folder is not read again");
        assert!(rest.next.eq(["c", "d", "e"]));
        assert!(ahead.take(&place("b")).is_none(), "once");
        for name in ["1", "2", "3", "4", "5"] {
            ahead.keep(place(name), names(&["x"]));
        }
        assert!(ahead.take(&place("1")).is_none() && ahead.take(&place("2")).is_some());
        ahead.keep(place("6"), names(&[]));
        assert!(ahead.take(&place("6")).is_none(), "nothing is left of them");
    }
}
