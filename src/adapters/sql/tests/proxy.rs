//! A TCP proxy before a database, which cuts a connection in the middle of a COMMIT.
//!
//! Also the tests of the service are built with this file. Not here: what must hold then (`engine_postgres.rs`, and
//! `tests/it/database.rs`).

#![expect(clippy::disallowed_methods, reason = "its threads are its own, and may sleep")]

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// The simple query, as it goes over the wire; also how the server's word that it was done begins.
const COMMIT: &[u8] = b"COMMIT\0";
/// How the server says that a row was written. A node's pings commit, too, and write none: they are let through.
const WRITTEN: &[u8] = b"INSERT 0 1\0";

/// What happens to the next COMMIT of a row. Later ones pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing.
    Never,
    /// It does not arrive: the server undoes the transaction.
    Before,
    /// It arrives, and its answer does not.
    After,
    /// The client loses its connection; the server hears the COMMIT this much later.
    Late(Duration),
}

/// A running proxy; it ends with the process.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    next: Arc<Mutex<Cut>>,
    unheard: Arc<AtomicUsize>,
}

impl Proxy {
    /// Listens on a port of its own.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let next = Arc::new(Mutex::new(Cut::Never));
        let unheard = Arc::new(AtomicUsize::new(0));
        let (shared, count) = (Arc::clone(&next), Arc::clone(&unheard));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
                let (from, to) =
                    (client.try_clone().expect("a descriptor"), upstream.try_clone().expect("a descriptor"));
                let (next, count) = (Arc::clone(&shared), Arc::clone(&count));
                let written = Arc::new(AtomicBool::new(false));
                let told = Arc::clone(&written);
                thread::spawn(move || forward(from, to, &next, &told));
                thread::spawn(move || copy(upstream, client, &count, &written));
            }
        });
        Self { address, next, unheard }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says what happens to the next COMMIT.
    pub fn cut(&self, how: Cut) {
        *self.next.lock().expect("no panic") = how;
    }

    /// The COMMIT that was to be cut came.
    pub fn has_cut(&self) -> bool {
        *self.next.lock().expect("no panic") == Cut::Never
    }

    /// How often the server said that a COMMIT was done, and nobody heard it.
    pub fn unheard(&self) -> usize {
        self.unheard.load(Ordering::Acquire)
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

fn copy(mut from: TcpStream, mut to: TcpStream, unheard: &AtomicUsize, written: &AtomicBool) {
    let (mut buffer, mut hears) = ([0; 16 << 10], true);
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        let said = &buffer[..n];
        if has(said, WRITTEN) {
            written.store(true, Ordering::Release);
        }
        // What is said of a COMMIT comes after what is said of all that was sent before it.
        hears = hears && to.write_all(said).is_ok();
        if !hears && has(said, COMMIT) {
            unheard.fetch_add(1, Ordering::Release);
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn forward(mut client: TcpStream, mut server: TcpStream, next: &Mutex<Cut>, written: &AtomicBool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        let sent = &buffer[..n];
        let mut how = Cut::Never;
        if has(sent, COMMIT) && written.swap(false, Ordering::AcqRel) {
            how = std::mem::replace(&mut *next.lock().expect("no panic"), Cut::Never);
        }
        match how {
            Cut::Never => {
                if server.write_all(sent).is_err() {
                    break;
                }
                continue;
            }
            Cut::Before => {}
            Cut::After => {
                // The client hears nothing more; the server gets the time to do it.
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.write_all(sent);
                thread::sleep(Duration::from_millis(300));
            }
            Cut::Late(by) => {
                let _ = client.shutdown(Shutdown::Both);
                thread::sleep(by);
                let _ = server.write_all(sent);
                thread::sleep(Duration::from_millis(300));
            }
        }
        break;
    }
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}
