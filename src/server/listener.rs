//! What connections come from: a port, or a socket in the file system with its mode, its remains and its end.
//!
//! Not here: how many connections are taken, and what becomes of one (`connections.rs`); TLS (`handshakes.rs`).

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream},
};

use crate::config::Listen;

/// Connections that wait to be accepted, unless the kernel's limit (`net.core.somaxconn`) is lower. The usual 128 are
/// too few where clients come together, as after a restart: one too many is dropped, and some are reset.
const BACKLOG: u32 = 4_096;

/// What a connection's bytes come and go by.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection as the kernel hands it over.
pub enum Accepted {
    /// From a port.
    Tcp(TcpStream),
    /// From a socket of this machine.
    Unix(UnixStream),
}

/// What connections come from.
pub enum Listener {
    /// A port.
    Tcp(TcpListener),
    /// A socket of this machine.
    Unix(UnixListener, SocketPath),
}

impl Listener {
    /// Listens there. `socket_mode` says who may connect to a socket of this machine.
    pub fn bind(listen: &Listen, socket_mode: u32) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => bind_port(*address).map(Self::Tcp),
            Listen::Unix(path) => bind_path(path, socket_mode),
        }
    }

    /// Where, with the port that was chosen if none was named.
    pub fn address(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, socket) => Ok(Listen::Unix(socket.path.clone())),
        }
    }

    /// The next connection. May be dropped while it waits.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // Answers are small and awaited: never held back to be merged.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection may be slow");
                }
                Ok(Accepted::Tcp(stream))
            }
            Self::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

/// As `TcpListener::bind` does, with a longer queue.
fn bind_port(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart need not wait for the end of the last connections before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind_path(path: &Path, mode: u32) -> io::Result<Listener> {
    remove_stale(path)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(error.kind(), "its folder is not there: make it"),
        _ => error,
    })?;
    let ours = SocketPath::of(path)?;
    // Nobody can connect before it is listened on.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(Listener::Unix(socket.listen(BACKLOG)?, ours))
}

/// Removes a socket that a killed server has left. One that somebody listens on stays, and so does any other file.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file is there that is no socket"));
        }
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Also one that does not take us: somebody listens.
        Ok(_) | Err(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
    }
}

/// The path of our socket, removed at the end, unless another has taken its place.
pub struct SocketPath {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketPath {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), inode: inode(path)? })
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "the socket could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(path: &Path, mode: u32) -> io::Result<Listener> {
        Listener::bind(&Listen::Unix(path.to_owned()), mode)
    }

    #[tokio::test]
    async fn socket_has_its_mode_and_goes_with_its_listener() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        for mode in [0o600, 0o660] {
            let listener = bind(&path, mode).expect("nobody is there");
            assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, mode);
            assert_eq!(listener.address().expect("known"), Listen::Unix(path.clone()));
            drop(listener);
            assert!(!path.exists());
        }
    }

    #[tokio::test]
    async fn stale_socket_is_replaced_and_one_in_use_or_another_file_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        // As a killed server leaves it.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("nobody is there"));
        let listener = bind(&path, 0o600).expect("nobody listens");
        assert_eq!(bind(&path, 0o600).err().expect("somebody listens").kind(), io::ErrorKind::AddrInUse);
        std::os::unix::net::UnixStream::connect(&path).expect("it still listens");
        // Another has taken the path: not ours to remove.
        fs::remove_file(&path).expect("ours");
        fs::write(&path, "kept").expect("our own folder");
        drop(listener);
        assert_eq!(bind(&path, 0o600).err().expect("no socket").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("still there"), "kept");
        let nowhere = bind(&folder.path().join("not/there"), 0o600).err().expect("no folder");
        assert!(nowhere.to_string().contains("make it"), "{nowhere}");
    }
}
