//! clamd's protocol: PING, VERSION, RELOAD and INSTREAM, one connection each, with every answer told apart.
//!
//! Not here: what a set of signatures is called (`signatures.rs`), restarts (`managed/`). Sockets block, on threads
//! made for that; they wake up every 100 ms to see whether the deadline passed or nobody waits any more.

use std::{
    fmt,
    io::{self, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::ports::{ByteSource, ScanError, ScanReply};

/// A connection that takes longer is none: clamd answers at once or its queue is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For PING, VERSION and RELOAD, connecting included. clamd answers these also while all its threads scan.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a blocked read or write looks up.
const TICK: Duration = Duration::from_millis(100);
/// Bytes of the file in one frame of INSTREAM.
const FRAME_BYTES: usize = 256 * 1024;
/// No answer is longer; a signature's name has at most some hundred bytes.
const REPLY_BYTES: usize = 4096;

/// Where a clamd listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClamdAddress {
    /// A socket file, its path at most 107 bytes.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl fmt::Display for ClamdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(host_port) => write!(f, "tcp:{host_port}"),
        }
    }
}

impl FromStr for ClamdAddress {
    type Err = String;

    /// Reads `unix:/path`, `/path`, `tcp:host:port` and `host:port`.
    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(path.into()));
        }
        let host_port = text.strip_prefix("tcp:").unwrap_or(text);
        match host_port.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p != 0) => {
                Ok(Self::Tcp(host_port.to_owned()))
            }
            _ => Err(format!("{text:?} is no address of clamd: write unix:/path or tcp:host:port")),
        }
    }
}

/// True when clamd answers PING within 3 s.
pub async fn ping(address: &ClamdAddress) -> Result<(), ScanError> {
    match command(address, b"zPING\0").await?.as_str() {
        "PONG" => Ok(()),
        other => Err(ScanError::Down(nonsense("PING", other))),
    }
}

/// The line that VERSION answers: `ClamAV 1.4.3/27000/Sun Nov 22 08:25:10 2026`, or `ClamAV 1.4.3` without an
/// official database.
pub async fn version(address: &ClamdAddress) -> Result<String, ScanError> {
    let line = command(address, b"zVERSION\0").await?;
    if line.starts_with("ClamAV ") { Ok(line) } else { Err(ScanError::Down(nonsense("VERSION", &line))) }
}

/// Has clamd load its signatures again; it answers before it has.
pub async fn reload(address: &ClamdAddress) -> Result<(), ScanError> {
    match command(address, b"zRELOAD\0").await?.as_str() {
        "RELOADING" => Ok(()),
        other => Err(ScanError::Down(nonsense("RELOAD", other))),
    }
}

/// Sends all of `source` and tells what clamd says of it, `deadline` after the call at the latest (and 3 s more for
/// the PING that follows a deadline passed). Dropping the future ends the connection.
pub async fn scan(
    address: &ClamdAddress,
    source: Arc<dyn ByteSource>,
    deadline: Duration,
) -> Result<ScanReply, ScanError> {
    let until = Instant::now() + deadline;
    let stream = connect(address, deadline).await.map_err(ScanError::Down)?;
    let line = on_own_thread(stream, until, move |conn| send_and_hear(conn, &*source)).await;
    match line {
        Ok(line) => verdict(&line),
        Err(Failure::Late) => {
            ping(address).await?;
            Err(ScanError::TooLong(deadline))
        }
        Err(Failure::Source(e)) => Err(ScanError::Source(e)),
        // It had taken the connection: the file may have killed it, or only its thread.
        Err(Failure::Peer(e)) => Err(ScanError::NoVerdict(e)),
    }
}

/// What clamd's answer to INSTREAM means. Clean is exactly one of them.
fn verdict(line: &str) -> Result<ScanReply, ScanError> {
    if line == "stream: OK" {
        return Ok(ScanReply::Clean);
    }
    if line == "INSTREAM size limit exceeded. ERROR" {
        return Ok(ScanReply::Unscannable { cause: "StreamMaxLength".to_owned() });
    }
    let name = line.strip_prefix("stream: ").and_then(|rest| rest.strip_suffix(" FOUND")).map(str::trim);
    match name {
        Some(name) if name.starts_with("Heuristics.Limits.") || name.starts_with("Heuristics.Encrypted.") => {
            Ok(ScanReply::Unscannable { cause: name.to_owned() })
        }
        Some(name) if !name.is_empty() => Ok(ScanReply::Found { signature: name.to_owned() }),
        _ => Err(ScanError::NoVerdict(nonsense("INSTREAM", line))),
    }
}

fn nonsense(command: &str, answer: &str) -> io::Error {
    let text = if answer.is_empty() {
        format!("{command}: the connection ended without an answer")
    } else {
        format!("{command} was answered with {:?}", answer.chars().take(200).collect::<String>())
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

async fn command(address: &ClamdAddress, line: &'static [u8]) -> Result<String, ScanError> {
    let until = Instant::now() + COMMAND_TIMEOUT;
    let stream = connect(address, COMMAND_TIMEOUT).await.map_err(ScanError::Down)?;
    let answer = on_own_thread(stream, until, move |conn| {
        conn.write_all(line)?;
        conn.hear()
    });
    match answer.await {
        Ok(line) => Ok(line),
        Err(Failure::Late) => Err(ScanError::Down(late("it took the command and did not answer within 3 s"))),
        Err(Failure::Source(e) | Failure::Peer(e)) => Err(ScanError::Down(e)),
    }
}

fn late(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// Connects without blocking: a unix socket whose queue is full refuses at once instead of hanging.
async fn connect(address: &ClamdAddress, within: Duration) -> io::Result<Stream> {
    let connected = tokio::time::timeout(within.min(CONNECT_TIMEOUT), async {
        io::Result::Ok(match address {
            ClamdAddress::Unix(path) => Stream::Unix(tokio::net::UnixStream::connect(path).await?.into_std()?),
            ClamdAddress::Tcp(host_port) => {
                let stream = tokio::net::TcpStream::connect(host_port).await?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream.into_std()?)
            }
        })
    });
    let stream = connected.await.map_err(|_| late("it did not take the connection in time"))?;
    let stream = stream.map_err(|e| io::Error::new(e.kind(), format!("{address}: {e}")))?;
    stream.block_for(TICK)?;
    Ok(stream)
}

/// Runs `talk` where it may block. It ends by itself soon after the deadline, or after this future was dropped.
async fn on_own_thread<T: Send + 'static>(
    stream: Stream,
    until: Instant,
    talk: impl FnOnce(&mut Conn) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let unwanted = Unwanted::default();
    let mut conn = Conn { stream, until, unwanted: Arc::clone(&unwanted.0) };
    tokio::task::spawn_blocking(move || talk(&mut conn)).await.map_err(|e| Failure::Peer(io::Error::other(e)))?
}

/// Tells the thread when nobody waits for it any more.
#[derive(Default)]
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Failure {
    /// The deadline passed.
    Late,
    /// Our own bytes could not be read.
    Source(io::Error),
    /// The connection failed.
    Peer(io::Error),
}

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn block_for(&self, tick: Duration) -> io::Result<()> {
        match self {
            Self::Unix(s) => {
                s.set_nonblocking(false)?;
                s.set_read_timeout(Some(tick))?;
                s.set_write_timeout(Some(tick))
            }
            Self::Tcp(s) => {
                s.set_nonblocking(false)?;
                s.set_read_timeout(Some(tick))?;
                s.set_write_timeout(Some(tick))
            }
        }
    }
}

struct Conn {
    stream: Stream,
    until: Instant,
    unwanted: Arc<AtomicBool>,
}

impl Conn {
    /// One read or write, tried again at every tick until the deadline.
    fn patiently(&mut self, mut io: impl FnMut(&mut Stream) -> io::Result<usize>) -> Result<usize, Failure> {
        loop {
            if Instant::now() >= self.until || self.unwanted.load(Ordering::Relaxed) {
                return Err(Failure::Late);
            }
            match io(&mut self.stream) {
                Err(e) if is_tick(&e) => {}
                other => return other.map_err(Failure::Peer),
            }
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let n = self.patiently(|s| match s {
                Stream::Unix(s) => s.write(bytes),
                Stream::Tcp(s) => s.write(bytes),
            })?;
            if n == 0 {
                return Err(Failure::Peer(io::ErrorKind::WriteZero.into()));
            }
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// The answer up to its NUL, at which reading stops: behind it there may be a reset. Without a NUL it is nothing.
    fn hear(&mut self) -> Result<String, Failure> {
        let mut line = Vec::new();
        let mut part = [0; 512];
        while line.len() <= REPLY_BYTES {
            let n = self.patiently(|s| match s {
                Stream::Unix(s) => s.read(&mut part),
                Stream::Tcp(s) => s.read(&mut part),
            })?;
            let ended = part[..n].iter().position(|b| *b == 0);
            line.extend_from_slice(&part[..ended.unwrap_or(n)]);
            if ended.is_some() {
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if n == 0 {
                break;
            }
        }
        let text = if line.is_empty() { "the connection ended without an answer" } else { "it broke off its answer" };
        Err(Failure::Peer(io::Error::new(io::ErrorKind::UnexpectedEof, text)))
    }
}

fn is_tick(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// INSTREAM. The command goes out with the first bytes of the file: half-open ones would block clamd for everybody.
fn send_and_hear(conn: &mut Conn, source: &dyn ByteSource) -> Result<String, Failure> {
    const COMMAND: &[u8] = b"zINSTREAM\0";
    const LENGTH: usize = size_of::<u32>();
    let mut reader = source.reader().map_err(Failure::Source)?;
    let mut buffer = vec![0; COMMAND.len() + LENGTH + FRAME_BYTES];
    buffer[..COMMAND.len()].copy_from_slice(COMMAND);
    let (mut sent, mut start) = (0_u64, 0);
    loop {
        let data = COMMAND.len() + LENGTH;
        let n = read_some(&mut *reader, &mut buffer[data..]).map_err(Failure::Source)?;
        let length = u32::try_from(n).expect("a frame is 256 KiB at most");
        buffer[COMMAND.len()..data].copy_from_slice(&length.to_be_bytes());
        sent += n as u64;
        if n == 0 && sent != source.size() {
            let text = format!("{sent} bytes instead of {}", source.size());
            return Err(Failure::Source(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
        }
        // The frame of length 0 ends the stream.
        match conn.write_all(&buffer[start..data + n]) {
            Ok(()) if n == 0 => return conn.hear(),
            Ok(()) => start = COMMAND.len(),
            // clamd says why and closes while we still write: what it said is there to be read.
            Err(Failure::Peer(e)) => {
                return conn.hear().map_err(|heard| if let Failure::Late = heard { heard } else { Failure::Peer(e) });
            }
            Err(other) => return Err(other),
        }
    }
}

fn read_some(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests;
