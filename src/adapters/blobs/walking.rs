//! The folders of the local store walked as they are: by names, page by page, with all that lies there.
//!
//! A page is the first names after a place. No symlink is followed, and nothing but a plain file is ever removed. Not here:
//! the names that are read ahead (`ahead.rs`), and what is concluded from it (`app/`).

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::{
        ffi::{OsStrExt as _, OsStringExt as _},
        fs::MetadataExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, openat, statat, unlinkat},
    io::Errno,
};

use super::{
    ahead::{Ahead, names_after},
    layout::{PROBE, STORE_ID},
};
use crate::{
    domain::{BlobKey, Time, consistency::StrangeName},
    ports::{Found, Removal, WalkPage, WalkPlace},
};

/// Names of the top folder that are ours and no keys.
const OWN: [&str; 2] = [PROBE, STORE_ID];

/// When a file was changed last, by its file system.
fn modified(meta: &fs::Metadata) -> Time {
    Time(meta.mtime().saturating_mul(Time::SECOND).saturating_add(meta.mtime_nsec() / 1_000))
}

/// A folder of kept bytes is named by the first 8 digits of their keys.
fn is_shard(name: &OsStr) -> bool {
    let digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    name.len() == 8 && name.as_bytes().iter().all(digit)
}

/// It is a folder, and no symlink to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// What lies at a path; `None`: nothing any more. `key`: whose bytes they are, if it is a plain file.
fn look(path: &Path, key: Option<BlobKey>, name: impl FnOnce() -> Vec<u8>) -> io::Result<Option<Found>> {
    let meta = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        meta => meta?,
    };
    let (plain, modified) = (meta.is_file(), modified(&meta));
    Ok(Some(match key {
        Some(key) if plain => Found::Bytes { key, size: meta.len(), modified },
        Some(_) | None => {
            let size = if plain { meta.len() } else { 0 };
            Found::Strange { name: StrangeName(name()), size, modified, plain }
        }
    }))
}

/// The key that a file of this name has in this folder.
fn key_in(shard: &OsStr, name: &OsStr) -> Option<BlobKey> {
    let key = name.to_str()?.parse().ok()?;
    name.as_bytes().starts_with(shard.as_bytes()).then_some(key)
}

fn joined(shard: &OsStr, name: &OsStr) -> Vec<u8> {
    [shard.as_bytes(), b"/", name.as_bytes()].concat()
}

/// A place is the name of what was dealt with last: `NAME` in the top folder, `SHARD/NAME` below.
fn split(place: &[u8]) -> (OsString, Option<OsString>) {
    let text = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    match place.iter().position(|byte| *byte == b'/') {
        Some(at) => (text(&place[..at]), Some(text(&place[at + 1..]))),
        None => (text(place), None),
    }
}

/// The names of one folder of keys after one, as far as the page has room; with where it goes on, if it may hold more.
fn walk_shard(
    (blobs, ahead): (&Path, &Ahead),
    shard: &OsStr,
    after: Option<&OsStr>,
    limit: usize,
    found: &mut Vec<Found>,
) -> io::Result<Option<WalkPlace>> {
    let (folder, left) = (blobs.join(shard), limit - found.len());
    let known = after.and_then(|after| ahead.take(&WalkPlace(joined(shard, after))));
    let mut names = match known.map_or_else(|| ahead.read(&folder, after), Ok) {
        // A folder that went meanwhile has none.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        names => names?,
    };
    let mut last = None;
    for name in names.next.by_ref().take(left) {
        found.extend(look(&folder.join(&name), key_in(shard, &name), || joined(shard, &name))?);
        last = Some(name);
    }
    let is_over = names.whole && names.next.peek().is_none();
    let Some(last) = last.filter(|_| !is_over) else { return Ok(None) };
    let place = WalkPlace(joined(shard, &last));
    ahead.keep(place.clone(), names);
    Ok(Some(place))
}

/// A page of what lies under the folder of kept bytes. Blocks.
pub(super) fn walk(blobs: &Path, ahead: &Ahead, after: Option<&WalkPlace>, limit: usize) -> io::Result<WalkPage> {
    let mut found = Vec::new();
    let mut top = None;
    if let Some(place) = after {
        let (name, below) = split(&place.0);
        // It was told to a client: of a folder that is none of ours nothing is read, wherever it is said to lie.
        if below.is_some() && !is_shard(&name) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the walk's place is none of this store"));
        }
        if below.is_some() && is_folder(&blobs.join(&name)) {
            let next = walk_shard((blobs, ahead), &name, below.as_deref(), limit, &mut found)?;
            if next.is_some() {
                return Ok(WalkPage { found, next });
            }
        }
        top = Some(name);
    }
    loop {
        let names = names_after(blobs, top.as_deref(), limit)?;
        let more = names.len() == limit;
        for name in names {
            if found.len() == limit {
                return Ok(WalkPage { found, next: top.map(|top| WalkPlace(top.into_vec())) });
            }
            let path = blobs.join(&name);
            if is_shard(&name) && is_folder(&path) {
                let next = walk_shard((blobs, ahead), &name, None, limit, &mut found)?;
                if next.is_some() {
                    return Ok(WalkPage { found, next });
                }
            } else if !OWN.iter().any(|own| name == *own) {
                found.extend(look(&path, None, || name.as_bytes().to_vec())?);
            }
            top = Some(name);
        }
        if !more {
            return Ok(WalkPage { found, next: None });
        }
    }
}

/// All that lies in the spool. Blocks.
pub(super) fn look_at_spool(spool: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(spool)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != PROBE {
            let key = name.to_str().and_then(|name| name.parse().ok());
            found.extend(look(&entry.path(), key, || name.as_bytes().to_vec())?);
        }
    }
    Ok(found)
}

/// Removes a file under a folder whose name is none of ours. The folders on the way are opened without following, and the
/// name is removed in what was opened. Blocks.
pub(super) fn remove_strange(root: &Path, name: &StrangeName, before: Time) -> io::Result<Removal> {
    let (first, below) = split(&name.0);
    let is_name = |name: &OsStr| !matches!(name.as_bytes(), b"" | b"." | b"..") && !name.as_bytes().contains(&0);
    let top = File::open(root)?;
    let (folder, last, key) = match below {
        None => (top, first.clone(), first.to_str().and_then(|name| name.parse::<BlobKey>().ok())),
        Some(below) => {
            if !is_shard(&first) || below.as_bytes().contains(&b'/') {
                return Ok(Removal::Refused);
            }
            let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            match openat(&top, &first, flags, Mode::empty()) {
                Ok(folder) => (File::from(folder), below.clone(), key_in(&first, &below)),
                Err(Errno::NOENT) => return Ok(Removal::Gone),
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Removal::Refused),
                Err(e) => return Err(e.into()),
            }
        }
    };
    // What looks like a key of ours is never removed by its name.
    if key.is_some() || !is_name(&last) || OWN.iter().any(|own| last == *own) {
        return Ok(Removal::Refused);
    }
    let stat = match statat(&folder, &last, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(Removal::Gone),
        Err(e) => return Err(e.into()),
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(Removal::Refused);
    }
    let micros = i64::try_from(stat.st_mtime_nsec / 1_000).unwrap_or(0);
    if Time(stat.st_mtime.saturating_mul(Time::SECOND).saturating_add(micros)) >= before {
        return Ok(Removal::Young);
    }
    match unlinkat(&folder, &last, AtFlags::empty()) {
        Ok(()) => {
            folder.sync_all()?;
            Ok(Removal::Removed)
        }
        Err(Errno::NOENT) => Ok(Removal::Gone),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages of so many.
    fn walked(blobs: &Path, ahead: &Ahead, limit: usize) -> Vec<Found> {
        let (mut all, mut place) = (Vec::new(), None);
        for _ in 0..100 {
            let page = walk(blobs, ahead, place.as_ref(), limit).expect("walks");
            assert!(page.found.len() <= limit);
            all.extend(page.found);
            place = page.next;
            if place.is_none() {
                return all;
            }
        }
        panic!("the walk never ends");
    }

    fn shown(found: &[Found]) -> Vec<String> {
        let shown = found.iter().map(|found| match found {
            Found::Bytes { key, size, .. } => format!("{key} {size}"),
            Found::Strange { name, plain, .. } => {
                format!("{} {plain}", name.shown(crate::domain::consistency::Place::Blobs))
            }
            Found::Parts { .. } => "parts".to_owned(),
        });
        shown.collect()
    }

    #[test]
    fn everything_under_the_root_is_walked_in_order_whatever_the_page() {
        let dir = tempfile::tempdir().expect("a folder");
        let put = |name: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, b"four").expect("written");
        };
        let (a, b) = (format!("0000000a{}", "1".repeat(24)), format!("0000000b{}", "2".repeat(24)));
        for name in [format!("0000000a/{a}"), format!("0000000b/{b}"), format!("0000000b/{b}#1")] {
            put(&name);
        }
        for name in ["store_id", "probe", "store_id.next", ".hidden", "0000000b/.tmp", "elsewhere/deep/file"] {
            put(name);
        }
        put(&format!("0000000c/{a}"));
        fs::create_dir(dir.path().join("0000000d")).expect("made");
        std::os::unix::fs::symlink("/etc", dir.path().join("0000000e")).expect("linked");
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join(format!("0000000a/{}", a.replace('1', "3"))))
            .expect("linked");
        let expected = [
            "blobs/.hidden true".to_owned(),
            format!("{a} 4"),
            format!("blobs/0000000a/{} false", a.replace('1', "3")),
            "blobs/0000000b/.tmp true".to_owned(),
            format!("{b} 4"),
            format!("blobs/0000000b/{b}#1 true"),
            format!("blobs/0000000c/{a} true"),
            "blobs/0000000e false".to_owned(),
            "blobs/elsewhere false".to_owned(),
            "blobs/store_id.next true".to_owned(),
        ];
        for limit in [1, 2, 3, 1_000] {
            assert_eq!(shown(&walked(dir.path(), &Ahead::default(), limit)), expected, "{limit} at once");
            for most in [1, 2, 3] {
                let ahead = Ahead::of(most);
                assert_eq!(shown(&walked(dir.path(), &ahead, limit)), expected, "{limit} at once, {most} ahead");
            }
        }
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_an_error_and_no_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let shard = dir.path().join("0000000a");
        fs::create_dir(&shard).expect("made");
        fs::write(dir.path().join("notes"), b"x").expect("written");
        let place = WalkPlace(b"notes/x".to_vec());
        assert!(walk(dir.path(), &Ahead::default(), Some(&place), 10).is_err(), "a file is no folder");
        assert!(walk(&dir.path().join("notes"), &Ahead::default(), None, 10).is_err());
        assert!(
            walk(&dir.path().join("gone"), &Ahead::default(), None, 10).is_err(),
            "an empty store is another thing"
        );
        assert!(look_at_spool(&dir.path().join("gone")).is_err());
    }

    #[test]
    fn a_place_that_no_page_has_given_leads_into_no_folder() {
        let outside = tempfile::tempdir().expect("a folder");
        let blobs = outside.path().join("blobs");
        fs::create_dir_all(&blobs).expect("made");
        fs::write(outside.path().join("theirs"), b"x").expect("written");
        std::os::unix::fs::symlink(outside.path(), blobs.join("0000000b")).expect("linked");
        let at = |place: &[u8]| walk(&blobs, &Ahead::default(), Some(&WalkPlace(place.to_vec())), 10);
        for place in ["../a", "..//", "/etc/a", "./a", "/", "0000000g/a", "0000000b0/a"] {
            let refused = at(place.as_bytes()).map_err(|e| e.kind());
            assert_eq!(refused.map(|page| page.found), Err(io::ErrorKind::InvalidInput), "{place}");
        }
        assert_eq!(at(b"0000000b/a").map(|page| page.found).expect("it ends"), [], "a symlink is no folder");
        assert_eq!(at(b"0000000c/a").map(|page| page.found).expect("it ends"), [], "a folder that went");
    }

    #[test]
    fn only_an_old_plain_file_of_a_strange_name_is_removed_and_only_under_the_root() {
        let dir = tempfile::tempdir().expect("a folder");
        let outside = tempfile::tempdir().expect("a folder");
        fs::write(outside.path().join("theirs"), b"x").expect("written");
        let blobs = dir.path().join("blobs");
        fs::create_dir_all(blobs.join("0000000a")).expect("made");
        let key = format!("0000000a{}", "1".repeat(24));
        for name in ["notes", "0000000a/tmp#1", "store_id", "fresh", &format!("0000000a/{key}")] {
            fs::write(blobs.join(name), b"x").expect("written");
        }
        std::os::unix::fs::symlink(outside.path(), blobs.join("0000000b")).expect("linked");
        std::os::unix::fs::symlink(outside.path().join("theirs"), blobs.join("link")).expect("linked");
        fs::create_dir(blobs.join("folder")).expect("made");
        let remove = |name: &str, before| {
            remove_strange(&blobs, &StrangeName(name.as_bytes().to_vec()), before).expect("an answer")
        };
        let old = Time(i64::MAX);
        for name in ["../notes", "..", "", "0000000a/../notes", "0000000b/theirs", "link", "folder", "store_id", "/etc"]
        {
            assert_eq!(remove(name, old), Removal::Refused, "{name}");
        }
        assert_eq!(remove(&format!("0000000a/{key}"), old), Removal::Refused, "ours");
        assert_eq!(remove("fresh", Time(0)), Removal::Young);
        assert_eq!((remove("gone", old), remove("0000000c/gone", old)), (Removal::Gone, Removal::Gone));
        assert_eq!((remove("notes", old), remove("0000000a/tmp#1", old)), (Removal::Removed, Removal::Removed));
        assert!(!blobs.join("notes").exists() && !blobs.join("0000000a/tmp#1").exists());
        for name in ["fresh", "store_id", "link", "folder"] {
            assert!(fs::symlink_metadata(blobs.join(name)).is_ok(), "{name} stays");
        }
        assert!(blobs.join(format!("0000000a/{key}")).exists() && outside.path().join("theirs").exists());
    }
}
