//! The data folder's own secret: 32 random bytes in hex, in the file `secret`, readable by its owner alone. Made by
//! `serve` or `token`, whichever comes first; tokens are signed with it when no keys are configured. A file may hold
//! several, a line each: the first makes, all of them are believed.
//!
//! Not here: configured keys (`config/keys.rs`), what is derived from a secret (`app/seal.rs`), and when a file is read
//! again (`server/keys.rs`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;

use crate::ports::{Ids, SystemIds};

/// Length of the secret, in bytes.
const SECRET_BYTES: usize = 32;
/// Most secrets of a file: each token and link may be tried with every one.
const MOST: usize = 8;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The folder or the file cannot be read or written.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{0} does not hold 64 hex digits, or up to {MOST} such lines: restore it, or remove it, which ends every token made \
         with it"
    )]
    Malformed(PathBuf),
    /// Others may read it.
    #[error("{0} can be read by others: `chmod 600` it")]
    Open(PathBuf),
}

/// Where the secret of a data folder lies.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("secret")
}

/// The secrets that are in force, the newest first: those that nodes share, which must be there; else the data folder's
/// own, which is made if it is not.
///
/// # Errors
/// As [`read_file`] or [`open_or_create`].
pub fn obtain(shared: Option<&Path>, data_dir: &Path) -> Result<Vec<Vec<u8>>, SecretError> {
    shared.map_or_else(|| open_or_create(data_dir), |path| read_file(path.to_owned()))
}

/// Reads the data folder's own secrets, which must be there.
///
/// # Errors
/// As [`read_file`].
pub fn read(data_dir: &Path) -> Result<Vec<Vec<u8>>, SecretError> {
    read_file(path(data_dir))
}

/// Reads the secrets of a file, the newest first.
///
/// # Errors
/// Not there, not readable, readable by others, or not secrets.
pub fn read_file(path: PathBuf) -> Result<Vec<Vec<u8>>, SecretError> {
    let failed = |source| SecretError::Io { path: path.clone(), source };
    if fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(SecretError::Open(path));
    }
    let text = fs::read(&path).map_err(failed)?;
    let lines = text.trim_ascii().split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let secrets: Result<Vec<_>, _> = lines.map(|line| HEXLOWER.decode(line)).collect();
    match secrets {
        Ok(secrets) if secrets.len() <= MOST && secrets.iter().all(|secret| secret.len() == SECRET_BYTES) => {
            Ok(secrets)
        }
        _ => Err(SecretError::Malformed(path)),
    }
}

/// Reads the secret; makes folder and secret first if they are not there. Two processes that make it at once get the
/// same one. Blocking, short.
///
/// # Errors
/// As [`read`], and a folder that cannot be written.
pub fn open_or_create(data_dir: &Path) -> Result<Vec<Vec<u8>>, SecretError> {
    let path = path(data_dir);
    if !path.exists() {
        create(data_dir, &path).map_err(|source| SecretError::Io { path, source })?;
    }
    read(data_dir)
}

/// A complete file takes the name, or the one that was faster keeps it.
fn create(data_dir: &Path, path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let random = [SystemIds.random(), SystemIds.random()].concat();
    let temporary = data_dir.join(format!(".secret.{}", HEXLOWER.encode(&SystemIds.random())));
    let made = write(&temporary, &(HEXLOWER.encode(&random) + "\n")).and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| File::open(data_dir)?.sync_all()),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_made_once_with_32_bytes_for_its_owner_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        assert!(matches!(read(&data), Err(SecretError::Io { .. })));
        let secret = open_or_create(&data).expect("made");
        assert_eq!((secret.len(), secret[0].len()), (1, 32));
        assert_eq!(open_or_create(&data).expect("there"), secret);
        let mode = fs::metadata(path(&data)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data).expect("a folder").count(), 1, "no temporary file is left");
    }

    #[test]
    fn file_holds_several_secrets_the_newest_first() {
        let dir = tempfile::tempdir().expect("a folder");
        open_or_create(dir.path()).expect("made");
        let (one, two) = ("11".repeat(32), "22".repeat(32));
        let read = |text: &str| {
            fs::write(path(dir.path()), text).expect("written");
            read(dir.path())
        };
        assert_eq!(read(&format!("{two}\r\n{one}\n\n")).expect("two"), [vec![0x22; 32], vec![0x11; 32]]);
        assert_eq!(read(&[one.as_str(); MOST].join("\n")).expect("as many as there may be").len(), MOST);
        for bad in
            [String::new(), format!("{one}\nshort"), format!("{one}\n\n{two}"), [one.as_str(); MOST + 1].join("\n")]
        {
            assert!(matches!(read(&bad), Err(SecretError::Malformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn secret_that_others_may_read_or_that_is_none_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        open_or_create(dir.path()).expect("made");
        fs::set_permissions(path(dir.path()), fs::Permissions::from_mode(0o644)).expect("set");
        assert!(matches!(open_or_create(dir.path()), Err(SecretError::Open(_))));
        fs::set_permissions(path(dir.path()), fs::Permissions::from_mode(0o600)).expect("set");
        fs::write(path(dir.path()), "short").expect("written");
        assert!(matches!(open_or_create(dir.path()), Err(SecretError::Malformed(_))));
    }
}
