//! The client against a clamd that lies, hangs, breaks off and closes early. The real one: `../managed/tests.rs`.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixListener,
    thread,
};

use bytes::Bytes;

use super::*;
use crate::ports::ReadSeek;

/// What the fake does with a connection.
#[derive(Clone)]
enum Act {
    /// Reads the whole stream, answers so many bytes, closes.
    Answer(&'static [u8]),
    /// Reads so many bytes, answers, closes with the rest unread.
    CloseAfter(usize, &'static [u8]),
    /// Reads nothing and never answers.
    Hang,
    /// Reads everything, then never answers.
    Swallow,
}

/// A fake on a unix socket. PING is answered if `pongs`; every stream gets `act`. Tells the bytes of each stream.
struct Fake {
    address: ClamdAddress,
    streams: std::sync::mpsc::Receiver<Vec<u8>>,
    _folder: tempfile::TempDir,
}

/// How long a fake that hangs does so: much longer than the deadline and the wait for an answer to a PING.
const HANG: Duration = Duration::from_secs(60);

fn fake(act: Act, pongs: bool) -> Fake {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("bound");
    let (told, streams) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for conn in listener.incoming() {
            let Ok(conn) = conn else { return };
            let (act, told) = (act.clone(), told.clone());
            thread::spawn(move || serve(conn, act, pongs, &told));
        }
    });
    Fake { address: ClamdAddress::Unix(path), streams, _folder: folder }
}

#[expect(clippy::disallowed_methods, reason = "a fake that hangs, on a thread of its own")]
fn serve<C: Read + Write>(mut conn: C, act: Act, pongs: bool, told: &std::sync::mpsc::Sender<Vec<u8>>) {
    let forever = || thread::sleep(HANG);
    let mut command = Vec::new();
    let mut byte = [0];
    while conn.read(&mut byte).is_ok_and(|n| n == 1) && byte[0] != 0 {
        command.push(byte[0]);
    }
    if command == b"zPING" {
        if pongs {
            let _ = conn.write_all(b"PONG\0");
        } else {
            forever();
        }
        return;
    }
    assert_eq!(command, b"zINSTREAM");
    match act {
        Act::Hang => forever(),
        Act::Answer(line) => {
            let _ = told.send(read_stream(&mut conn));
            let _ = conn.write_all(line);
        }
        Act::Swallow => {
            read_stream(&mut conn);
            forever();
        }
        Act::CloseAfter(bytes, line) => {
            let mut some = vec![0; bytes];
            let _ = conn.read_exact(&mut some);
            let _ = conn.write_all(line);
        }
    }
}

fn read_stream(conn: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let mut length = [0; 4];
        if conn.read_exact(&mut length).is_err() {
            return all;
        }
        let n = u32::from_be_bytes(length) as usize;
        if n == 0 {
            return all;
        }
        let start = all.len();
        all.resize(start + n, 0);
        conn.read_exact(&mut all[start..]).expect("a whole frame");
    }
}

fn bytes(n: usize) -> Arc<dyn ByteSource> {
    Arc::new(Bytes::from((0..n).map(|i| (i % 251) as u8).collect::<Vec<_>>()))
}

async fn answer_to(act: Act, n: usize) -> Result<ScanReply, ScanError> {
    let fake = fake(act, true);
    scan(&fake.address, bytes(n), Duration::from_secs(10)).await
}

fn assert_down(answer: Result<ScanReply, ScanError>) {
    assert!(matches!(answer, Err(ScanError::Down(_))), "{answer:?}");
}

fn assert_no_verdict(answer: Result<ScanReply, ScanError>) {
    assert!(matches!(answer, Err(ScanError::NoVerdict(_))), "{answer:?}");
}

#[tokio::test]
async fn clean_is_exactly_one_answer() {
    assert_eq!(answer_to(Act::Answer(b"stream: OK\0"), 10).await.expect("an answer"), ScanReply::Clean);
    for lie in [
        &b"stream: OK"[..],
        b"stream: ok\0",
        b"stream: OK \0",
        b" stream: OK\0",
        b"OK\0",
        b"stream: OK\n\0",
        b"stream: FOUND\0",
        b"stream:  FOUND\0",
        b"PONG\0",
        b"\0",
        b"",
        b"\xff\xfe\0",
        b"UNKNOWN COMMAND\0",
        b"stream: Can't allocate memory ERROR\0",
    ] {
        // Of this file only: whether the scanner is down is another question, which PING and the canaries answer.
        assert_no_verdict(answer_to(Act::Answer(lie), 10).await);
    }
}

#[tokio::test]
async fn found_and_unscannable_are_told_apart() {
    for (line, expected) in [
        (&b"stream: Win.Test.EICAR_HDB-1 FOUND\0"[..], None),
        (b"stream: Heuristics.Phishing.Email.SpoofedDomain FOUND\0", None),
        (b"stream: Heuristics.Limits.Exceeded.MaxFiles FOUND\0", Some("Heuristics.Limits.Exceeded.MaxFiles")),
        (b"stream: Heuristics.Encrypted.Zip FOUND\0", Some("Heuristics.Encrypted.Zip")),
        (b"INSTREAM size limit exceeded. ERROR\0", Some("StreamMaxLength")),
    ] {
        match (answer_to(Act::Answer(line), 10).await.expect("an answer"), expected) {
            (ScanReply::Found { signature }, None) => {
                assert_eq!(format!("stream: {signature} FOUND\0").as_bytes(), line);
            }
            (ScanReply::Unscannable { cause }, Some(expected)) => assert_eq!(cause, expected),
            (other, _) => panic!("{other:?} for {}", String::from_utf8_lossy(line)),
        }
    }
}

#[tokio::test]
async fn every_byte_is_sent_once_and_in_order() {
    for n in [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 3 * FRAME_BYTES + 7] {
        let fake = fake(Act::Answer(b"stream: OK\0"), true);
        let source = bytes(n);
        scan(&fake.address, Arc::clone(&source), Duration::from_secs(10)).await.expect("clean");
        let mut expected = Vec::new();
        source.reader().expect("memory").read_to_end(&mut expected).expect("memory");
        assert!(fake.streams.recv().expect("a stream") == expected, "{n} bytes differ");
    }
}

#[tokio::test]
async fn the_answer_is_read_after_a_failed_write() {
    let reply = answer_to(Act::CloseAfter(100, b"INSTREAM size limit exceeded. ERROR\0"), 50 << 20).await;
    assert_eq!(reply.expect("an answer"), ScanReply::Unscannable { cause: "StreamMaxLength".to_owned() });
    assert_no_verdict(answer_to(Act::CloseAfter(100, b""), 50 << 20).await);
}

#[tokio::test]
async fn tcp_is_spoken_too() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = ClamdAddress::Tcp(listener.local_addr().expect("bound").to_string());
    let (told, streams) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let (conn, _) = listener.accept().expect("a connection");
        serve(conn, Act::Answer(b"stream: X FOUND\0"), true, &told);
    });
    let reply = scan(&address, bytes(1 << 20), Duration::from_secs(10)).await.expect("an answer");
    assert_eq!(reply, ScanReply::Found { signature: "X".to_owned() });
    assert_eq!(streams.recv().expect("a stream").len(), 1 << 20);
}

#[tokio::test]
async fn deadline_passed_is_too_long_only_while_ping_answers() {
    for act in [Act::Hang, Act::Swallow] {
        let deadline = Duration::from_millis(300);
        let alive = fake(act.clone(), true);
        let answer = scan(&alive.address, bytes(5 << 20), deadline).await;
        assert!(matches!(answer, Err(ScanError::TooLong(d)) if d == deadline), "{answer:?}");
        let dead = fake(act, false);
        let started = Instant::now();
        assert_down(scan(&dead.address, bytes(5 << 20), deadline).await);
        assert!(started.elapsed() < HANG / 2, "it waited for the one that hangs");
    }
}

#[tokio::test]
async fn nobody_there_is_down_at_once() {
    let started = Instant::now();
    let absent = ClamdAddress::Unix("/tmp/lhfile-no-such-socket".into());
    assert_down(scan(&absent, bytes(1), Duration::from_secs(30)).await);
    let refused = ClamdAddress::Tcp("127.0.0.1:1".to_owned());
    assert_down(scan(&refused, bytes(1), Duration::from_secs(30)).await);
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_full_queue_of_connections_is_down_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let _listener = UnixListener::bind(&path).expect("bound");
    // Nobody accepts: fill the queue without blocking.
    let mut waiting = Vec::new();
    while let Ok(Ok(conn)) =
        tokio::time::timeout(Duration::from_millis(500), tokio::net::UnixStream::connect(&path)).await
    {
        waiting.push(conn);
        assert!(waiting.len() < 100_000, "the queue has no end");
    }
    let started = Instant::now();
    assert_down(scan(&ClamdAddress::Unix(path), bytes(1), Duration::from_secs(30)).await);
    assert!(started.elapsed() < CONNECT_TIMEOUT + Duration::from_secs(1));
}

/// Gives fewer bytes than it says.
struct Torn;

impl ByteSource for Torn {
    fn size(&self) -> u64 {
        1000
    }
    fn reader(&self) -> io::Result<Box<dyn ReadSeek>> {
        Ok(Box::new(io::Cursor::new(vec![0; 999])))
    }
}

#[tokio::test]
async fn a_torn_source_is_our_own_fault_and_never_clean() {
    let fake = fake(Act::Answer(b"stream: OK\0"), true);
    let answer = scan(&fake.address, Arc::new(Torn), Duration::from_secs(10)).await;
    assert!(matches!(answer, Err(ScanError::Source(_))), "{answer:?}");
}

#[tokio::test]
async fn a_dropped_scan_ends_its_connection() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("bound");
    let address = ClamdAddress::Unix(path);
    let ended = thread::spawn(move || {
        let (mut conn, _) = listener.accept().expect("a connection");
        let mut all = Vec::new();
        conn.read_to_end(&mut all).map(|_| Instant::now())
    });
    let dropped = tokio::time::timeout(Duration::from_millis(300), scan(&address, bytes(10), Duration::from_secs(60)));
    assert!(dropped.await.is_err(), "nothing answers");
    let now = Instant::now();
    let ended = tokio::task::spawn_blocking(move || ended.join().expect("ran")).await.expect("ran");
    assert!(ended.expect("an orderly end").duration_since(now) < Duration::from_secs(2));
}

#[test]
fn addresses_are_read_and_written() {
    for (text, written) in [
        ("unix:/run/clamav/clamd.ctl", "unix:/run/clamav/clamd.ctl"),
        ("/run/clamav/clamd.ctl", "unix:/run/clamav/clamd.ctl"),
        ("tcp:10.0.0.7:3310", "tcp:10.0.0.7:3310"),
        ("clamav:3310", "tcp:clamav:3310"),
        ("tcp:[::1]:3310", "tcp:[::1]:3310"),
    ] {
        assert_eq!(text.parse::<ClamdAddress>().expect(text).to_string(), written);
    }
    for wrong in ["", "clamav", "tcp:clamav", "tcp::3310", "clamav:0", "clamav:http", "unix:relative"] {
        assert!(wrong.parse::<ClamdAddress>().is_err(), "{wrong}");
    }
}
