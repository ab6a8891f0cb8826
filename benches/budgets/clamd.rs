//! clamd alone: its generated signatures, and files sent to it by INSTREAM with nothing of the product in between.
//!
//! It is the product's own clamd that is asked, so that both have the same signatures, limits and threads.

use std::{
    fs,
    io::{BufWriter, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use data_encoding::HEXLOWER;

use crate::{Fallible, made::CHUNK, made::Noise};

const HASHES: usize = 300_000;
const BODIES: usize = 50_000;
/// MD5 and size of the test file of all scanners: the product's canaries ask for it.
const TEST_FILE: &str = "44d88612fea8a8f36de82e1278abb02f:68:Test-File";

/// Writes hashes of files of up to 4 MiB, and body signatures of 16 to 47 bytes that may stand anywhere in any file.
/// A scanner with three signatures looks fast.
pub fn make_signatures(folder: &Path) -> Fallible<()> {
    fs::create_dir_all(folder)?;
    let mut noise = Noise(17);
    let mut hashes = BufWriter::new(fs::File::create(folder.join("made.hdb"))?);
    writeln!(hashes, "{TEST_FILE}")?;
    for number in 0..HASHES {
        let (hash, size) = (HEXLOWER.encode(&noise.bytes(16)), 1 + noise.number() % (4 << 20));
        writeln!(hashes, "{hash}:{size}:Made.Hash-{number}")?;
    }
    hashes.flush()?;
    let mut bodies = BufWriter::new(fs::File::create(folder.join("made.ndb"))?);
    for number in 0..BODIES {
        let length = 16 + usize::try_from(noise.number() % 32)?;
        writeln!(bodies, "Made.Body-{number}:0:*:{}", HEXLOWER.encode(&noise.bytes(length)))?;
    }
    Ok(bodies.flush()?)
}

/// One scan; answers how long it took from the connection to the reply, which must be clean.
pub fn scan(socket: &Path, bytes: &Bytes) -> Fallible<Duration> {
    let started = Instant::now();
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"zINSTREAM\0")?;
    for chunk in bytes.chunks(CHUNK) {
        stream.write_all(&u32::try_from(chunk.len())?.to_be_bytes())?;
        stream.write_all(chunk)?;
    }
    stream.write_all(&0_u32.to_be_bytes())?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let took = started.elapsed();
    stream.shutdown(Shutdown::Both).ok();
    match reply.trim_end_matches('\0') {
        "stream: OK" => Ok(took),
        other => Err(format!("clamd says {other}").into()),
    }
}

/// Files per second when `threads` send these.
pub fn files_per_second(socket: &Path, files: &[Bytes], threads: usize) -> Fallible<f64> {
    let (started, next) = (Instant::now(), AtomicUsize::new(0));
    thread::scope(|scope| {
        let lane = || {
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                scan(socket, file)?;
            }
            Fallible::Ok(())
        };
        let lanes: Vec<_> = (0..threads).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().expect("it does not panic"))
    })?;
    Ok(files.len() as f64 / started.elapsed().as_secs_f64())
}
