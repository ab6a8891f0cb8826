//! A clamd that does what a file asks for: the real one behind a door that looks into each stream.
//!
//! So it is with a file that trips a bug of clamd: this scan ends in an ERROR or without a word, others go on. And so it
//! is when signatures change: what was clean a moment ago is found now.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::Notify,
    task::JoinHandle,
};

use super::clamd::Clamd;

/// In a file: answered with an ERROR.
pub const ERROR: &str = "this file makes clamd answer ERROR";
/// In a file: the connection ends without an answer.
pub const BREAK: &str = "this file makes clamd break off";

/// In a file: its first scan waits at the door until [`Grudging::let_go`], and is clean then; any other is a hit.
pub const OVERTAKEN: &str = "this file is found by newer signatures";

/// The door and the clamd behind it.
pub struct Grudging {
    address: String,
    held: Arc<Held>,
    door: JoinHandle<()>,
    clamd: Clamd,
    _folder: tempfile::TempDir,
}

/// The scan that waits at the door, and how often one broke off there.
#[derive(Default)]
struct Held {
    came: AtomicBool,
    go: Notify,
    broke_off: AtomicUsize,
}

impl Grudging {
    /// Starts both.
    pub async fn start() -> Self {
        let clamd = Clamd::on_unix_socket().await;
        let folder = tempfile::Builder::new().prefix("lhfile-it-").tempdir_in("/tmp").expect("a folder under /tmp");
        let path = folder.path().join("door.sock");
        let listener = UnixListener::bind(&path).expect("our own folder");
        let behind = clamd.address().strip_prefix("unix:").expect("a unix socket").to_owned();
        let held = Arc::new(Held::default());
        let waiting = Arc::clone(&held);
        let door = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // A client that leaves in the middle ends its own connection only.
                tokio::spawn(pass_on(client, behind.clone(), Arc::clone(&waiting)));
            }
        });
        Self { address: format!("unix:{}", path.display()), held, door, clamd, _folder: folder }
    }

    /// As the configuration's `scanner.address`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits until a scan is held at the door.
    pub async fn holds_one(&self) {
        while !self.held.came.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// The scan that is held is clean.
    pub fn let_go(&self) {
        self.held.go.notify_one();
    }

    /// How many scans it broke off.
    pub fn broke_off(&self) -> usize {
        self.held.broke_off.load(Ordering::SeqCst)
    }

    /// The one behind the door.
    pub fn clamd(&mut self) -> &mut Clamd {
        &mut self.clamd
    }
}

impl Drop for Grudging {
    fn drop(&mut self) {
        self.door.abort();
    }
}

/// One command and its answer.
async fn pass_on(mut client: UnixStream, behind: String, held: Arc<Held>) -> std::io::Result<()> {
    let said = whole_command(&mut client).await?;
    let asks = |text: &str| said.windows(text.len()).any(|part| part == text.as_bytes());
    if asks(BREAK) {
        held.broke_off.fetch_add(1, Ordering::SeqCst);
        return Ok(());
    }
    if asks(ERROR) {
        return client.write_all(b"stream: Can't do that ERROR\0").await;
    }
    if asks(OVERTAKEN) {
        if held.came.swap(true, Ordering::SeqCst) {
            return client.write_all(b"stream: Test.Newer FOUND\0").await;
        }
        held.go.notified().await;
        return client.write_all(b"stream: OK\0").await;
    }
    let mut clamd = UnixStream::connect(behind).await?;
    clamd.write_all(&said).await?;
    let mut answer = Vec::new();
    clamd.read_to_end(&mut answer).await?;
    client.write_all(&answer).await
}

/// Up to its NUL; of INSTREAM all frames, too.
async fn whole_command(client: &mut UnixStream) -> std::io::Result<Vec<u8>> {
    let mut said = Vec::new();
    while said.last() != Some(&0) {
        said.push(client.read_u8().await?);
    }
    while said.starts_with(b"zINSTREAM") {
        let length = client.read_u32().await?;
        said.extend_from_slice(&length.to_be_bytes());
        let start = said.len();
        said.resize(start + length as usize, 0);
        client.read_exact(&mut said[start..]).await?;
        if length == 0 {
            break;
        }
    }
    Ok(said)
}
