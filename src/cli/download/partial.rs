//! A file that is being written beside its final name, and takes that name when it is complete and on the disk.
//!
//! Not here: whether its bytes are right (`download.rs`). Dropped before that, it is removed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::ports::{Ids as _, SystemIds};

/// The file under its temporary name.
pub struct Partial {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    replaces: bool,
}

impl Partial {
    /// Opens it. Without `replaces` the final name must be free, now and at the end.
    pub fn create(path: PathBuf, replaces: bool) -> io::Result<Self> {
        let name =
            path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it is no file's name"))?;
        if path.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, format!("{} is a folder", path.display())));
        }
        if !replaces && path.symlink_metadata().is_ok() {
            return Err(taken(&path));
        }
        let random = data_encoding::HEXLOWER.encode(&SystemIds.random()[..4]);
        // Short enough, however long the final name.
        let stem: String = name.to_string_lossy().chars().take(40).collect();
        let temporary = folder(&path).join(format!(".{stem}.{random}.part"));
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        Ok(Self { file, temporary, path, replaces })
    }

    /// Appends.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.file.write_all(data)
    }

    /// Puts it on the disk and gives it its name, which is returned.
    pub fn finish(self) -> io::Result<PathBuf> {
        self.file.sync_all()?;
        if self.replaces {
            fs::rename(&self.temporary, &self.path)?;
        } else {
            // Unlike a rename this never replaces; the temporary name goes when this is dropped.
            fs::hard_link(&self.temporary, &self.path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => taken(&self.path),
                _ => error,
            })?;
        }
        Ok(self.path.clone())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a rename it is gone already.
        drop(fs::remove_file(&self.temporary));
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn taken(path: &Path) -> io::Error {
    let why = format!("{} is there already: say -o PATH to replace it", path.display());
    io::Error::new(io::ErrorKind::AlreadyExists, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_has_its_name_only_when_finished_and_leaves_nothing_when_dropped() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("out.pdf");
        let mut partial = Partial::create(path.clone(), true).expect("opened");
        partial.write(b"half").expect("written");
        assert!(!path.exists());
        drop(partial);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);

        for content in ["one", "two"] {
            let mut partial = Partial::create(path.clone(), true).expect("opened");
            partial.write(content.as_bytes()).expect("written");
            assert_eq!(partial.finish().expect("finished"), path);
            assert_eq!(fs::read_to_string(&path).expect("there"), content);
        }
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn name_of_the_servers_choice_never_replaces_a_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("out.pdf");
        let partial = Partial::create(path.clone(), false).expect("free");
        fs::write(&path, "mine").expect("written meanwhile");
        assert_eq!(partial.finish().expect_err("taken").kind(), io::ErrorKind::AlreadyExists);
        assert!(Partial::create(path.clone(), false).is_err());
        assert_eq!(fs::read_to_string(&path).expect("there"), "mine");
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }
}
