//! Where the service listens: at an address of the network, or at a socket in the file system.
//!
//! Not here: the listening itself (`server/listener.rs`), and who may listen without TLS (`judge.rs`).

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, de};

/// A socket path holds this many bytes.
pub(super) const MAX_SOCKET_PATH: usize = 107;
/// Before the path of a socket.
const UNIX: &str = "unix:";

/// Where the service listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `IP:PORT`.
    Tcp(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Listen {
    /// Only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl FromStr for Listen {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix(UNIX) else {
            return text.parse().map(Self::Tcp).map_err(|_| format!("{text:?}: write IP:PORT, or unix:/path"));
        };
        let path = PathBuf::from(path);
        if !path.is_absolute() || path.file_name().is_none() || path.as_os_str().len() > MAX_SOCKET_PATH {
            return Err(format!("{text:?}: a socket's path begins with / and has at most {MAX_SOCKET_PATH} bytes"));
        }
        Ok(Self::Unix(path))
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Who may connect to a socket, as `chmod` takes it: `0600`, `660`.
pub(super) fn socket_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| (3..=4).contains(&text.len()) && *mode <= 0o777);
    mode.filter(|mode| mode & 0o600 == 0o600).ok_or_else(|| {
        de::Error::custom(format!("{text:?} is no mode of a socket: write 0600 (its owner) or 0660 (its group, too)"))
    })
}
