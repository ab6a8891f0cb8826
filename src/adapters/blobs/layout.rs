//! The folders of the local store: `root/spool/<key>`, `root/blobs/<first 8 hex of key>/<key>`, `root/blobs/store_id`.
//!
//! Makes them (0700, each durable in its parent) and refuses a root that cannot be trusted: a symlink among the
//! folders, or two file systems, across which no rename works. Not here: the files in them (`spool.rs`, `disk.rs`).

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::domain::{BlobKey, StoreId};

/// The name of the canary's file, in the spool and in the store. No key looks like it.
pub(super) const PROBE: &str = "probe";

/// The name of the file with the store's id, in the store. No key looks like it.
pub(super) const STORE_ID: &str = "store_id";

/// Where things lie.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Uploads that are being judged.
    pub(super) spool: PathBuf,
    /// Folders of kept bytes.
    pub(super) blobs: PathBuf,
}

impl Layout {
    /// Where things lie under this root, whether they are there or not.
    pub(super) fn of(root: &Path) -> Self {
        Self { spool: root.join("spool"), blobs: root.join("blobs") }
    }

    /// Makes what is missing and checks what is there. The root itself may be reached through a symlink, which is
    /// followed once, here.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        create_durably(root)?;
        let root = fs::canonicalize(root)?;
        let layout = Self::of(&root);
        for folder in [&layout.spool, &layout.blobs] {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                _ => refuse_unless_folder(folder)?,
            }
            fs::set_permissions(folder, Permissions::from_mode(0o700))?;
            refuse_symlinks_in(folder)?;
        }
        // Even if both were there: a killed process may have made them and not come to this line. The root itself may
        // have been made by somebody who did not make it durable.
        File::open(&root)?.sync_all()?;
        sync_ancestors(&root)?;
        if fs::metadata(&layout.spool)?.dev() != fs::metadata(&layout.blobs)?.dev() {
            return Err(refused("spool and blobs lie on different file systems", &root));
        }
        for folder in [&layout.spool, &layout.blobs] {
            remove_if_there(&folder.join(PROBE))?;
        }
        Ok(layout)
    }

    /// Checks what is there, and makes nothing: another process serves it.
    pub(super) fn beside(root: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        let layout = Self { spool: root.join("spool"), blobs: root.join("blobs") };
        refuse_unless_folder(&layout.blobs)?;
        refuse_symlinks_in(&layout.blobs)?;
        Ok(layout)
    }

    /// The file of an upload.
    pub(super) fn spooled(&self, key: BlobKey) -> PathBuf {
        self.spool.join(key.to_string())
    }

    /// The file of kept bytes.
    pub(super) fn kept(&self, key: BlobKey) -> PathBuf {
        let name = key.to_string();
        let mut path = self.blobs.join(&name[..8]);
        path.push(name);
        path
    }

    /// The file with the store's id.
    pub(super) fn store_id(&self) -> PathBuf {
        self.blobs.join(STORE_ID)
    }

    /// Writes the store's id, durably: whole or not at all.
    pub(super) fn write_store_id(&self, id: StoreId) -> io::Result<()> {
        let next = self.blobs.join(format!("{STORE_ID}.next"));
        remove_if_there(&next)?;
        let mut file = create_file(&next)?;
        writeln!(file, "{id}")?;
        file.sync_all()?;
        fs::rename(&next, self.store_id())?;
        File::open(&self.blobs)?.sync_all()
    }
}

/// The id that a store's file holds, if there is one.
pub(super) fn read_store_id(path: &Path) -> io::Result<Option<StoreId>> {
    let text = match open_no_follow(path, OFlags::empty()) {
        Ok(file) => io::read_to_string(file.take(256))?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let id = text.trim_end().parse::<StoreId>();
    id.map(Some).map_err(|_| refused("holds no store id: restore it from a backup", path))
}

/// Makes a new file, readable and writable by us alone; an existing one is an error, never overwritten.
pub(super) fn create_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Opens for reading what is not a symlink.
pub(super) fn open_no_follow(path: &Path, more: OFlags) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | more).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

/// Unlinks a file; what is not there is fine, and `false`.
pub(super) fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Makes a folder and its missing parents, each durable in its own parent.
fn create_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => File::open(parent)?.sync_all(),
    }
}

/// Makes the folders that lead to this one durable, up to the root of the file system, or to one that is not ours to
/// open: that was there before us.
fn sync_ancestors(folder: &Path) -> io::Result<()> {
    let device = fs::metadata(folder)?.dev();
    for ancestor in folder.ancestors().skip(1) {
        match File::open(ancestor) {
            Ok(opened) if opened.metadata()?.dev() == device => opened.sync_all()?,
            Err(e) if e.kind() != io::ErrorKind::PermissionDenied => return Err(e),
            Ok(_) | Err(_) => break,
        }
    }
    Ok(())
}

fn refuse_unless_folder(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.file_type().is_dir() {
        return Ok(());
    }
    Err(refused("not a folder, or a symlink", path))
}

/// Looks at one level only: a store of a million files must open at once, and files are opened without following.
fn refuse_symlinks_in(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        if entry?.file_type()?.is_symlink() {
            return Err(refused("holds a symlink", folder));
        }
    }
    Ok(())
}

fn refused(why: &str, path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {why}", path.display()))
}
