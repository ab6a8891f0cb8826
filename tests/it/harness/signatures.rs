//! A real clamd that learns and forgets signatures while the server runs, as if `freshclam` had been there.
//!
//! They come as a database of their own with a number and a time, `daily.cud`, so that VERSION tells of each change. A
//! name is told with `.UNOFFICIAL` behind it. Not here: a clamd that does not do its work (`clamd.rs`, `grudging.rs`).

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::{clamd::Clamd, samples};

/// Hits every ZIP, as a signature with a mistake in it would.
pub const EVERY_ZIP: &str = "Test.EveryZip:0:0:504b0304";
/// What [`EVERY_ZIP`] is called in an answer.
pub const EVERY_ZIP_TOLD: &str = "Test.EveryZip.UNOFFICIAL";

/// The number before that of the first set.
const BEFORE_THE_FIRST: u64 = 27_000;

/// The signature `name` hits whatever holds this text.
pub fn of_text(name: &str, text: &str) -> String {
    format!("{name}:0:*:{}", data_encoding::HEXLOWER.encode(text.as_bytes()))
}

/// A clamd on a unix socket.
pub struct Learning {
    clamd: Clamd,
    number: AtomicU64,
    /// When the set of number 0 would have been made, in seconds since 1970.
    epoch: u64,
}

impl Learning {
    /// It knows the first set: EICAR and a signature that hits nothing.
    pub async fn start() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        // Sets are an hour apart, and never from the future, whatever the zone of the machine.
        let epoch = now - (BEFORE_THE_FIRST + 48) * 3_600;
        let clamd = Clamd::on_unix_socket().await;
        let learning = Self { clamd, number: AtomicU64::new(BEFORE_THE_FIRST), epoch };
        learning.knows(&[]).await;
        learning
    }

    /// As the configuration's `scanner.address`.
    pub fn address(&self) -> &str {
        self.clamd.address()
    }

    /// From now on it knows these signatures and EICAR, and no others; answers the number of this set, once it is in force.
    pub async fn knows(&self, signatures: &[String]) -> u64 {
        let number = self.number.fetch_add(1, Ordering::SeqCst) + 1;
        let nothing = of_text("Test.Nothing", "nobody ever uploads this line, whatever it may mean");
        let lines: String = signatures.iter().chain([&nothing]).map(|line| format!("{line}\n")).collect();
        let folder = self.clamd.folder();
        let fresh = folder.join("daily.fresh");
        fs::write(&fresh, database(number, self.epoch + number * 3_600, &lines)).expect("our own folder");
        fs::rename(fresh, folder.join("db/daily.cud")).expect("our own folder");
        assert_eq!(self.ask("zRELOAD\0").await, "RELOADING");
        let until = Instant::now() + Duration::from_secs(30);
        while !self.ask("zVERSION\0").await.contains(&format!("/{number}/")) {
            assert!(Instant::now() < until, "it does not load its signatures: {}", self.clamd.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        number
    }

    async fn ask(&self, command: &str) -> String {
        let path = self.address().strip_prefix("unix:").expect("a unix socket");
        let mut stream = UnixStream::connect(path).await.expect("it runs");
        stream.write_all(command.as_bytes()).await.expect("it runs");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it answers");
        String::from_utf8_lossy(&answer).trim_end_matches('\0').to_owned()
    }
}

/// A database as clamd takes it without a seal: a head of 512 bytes, then a TAR of what is in it and of its members.
fn database(number: u64, seconds: u64, lines: &str) -> Vec<u8> {
    let member = "daily.ndb";
    let head = format!("ClamAV-VDB:01 Jan 2026 00-00 +0000:{number}:1:90:X:X:lhfile:{seconds}");
    let digest = samples::sha256(lines.as_bytes());
    let inventory = format!("{head}\n{member}:{}:{digest}\n", lines.len());
    let mut out = format!("{head:<512}").into_bytes();
    for (name, content) in [("COPYING", "made by a test\n"), ("daily.info", &inventory), (member, lines)] {
        out.extend(tar_member(name, content.as_bytes()));
    }
    out.resize(out.len() + 1_024, 0);
    out
}

fn tar_member(name: &str, content: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 512];
    let mut put = |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    // The sum is made as if it were blanks.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head.extend(content);
    head.resize(head.len().next_multiple_of(512), 0);
    head
}
