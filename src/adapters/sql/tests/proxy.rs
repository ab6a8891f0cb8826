//! A TCP proxy before a database, which cuts a connection in the middle of a COMMIT.
//!
//! Not here: what must hold then (`engine_postgres.rs`).

#![expect(clippy::disallowed_methods, reason = "its threads are its own, and may sleep")]

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// The simple query, as it goes over the wire.
const COMMIT: &[u8] = b"COMMIT\0";

/// What happens to the next COMMIT. Later ones pass.
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
}

impl Proxy {
    /// Listens on a port of its own.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let next = Arc::new(Mutex::new(Cut::Never));
        let shared = Arc::clone(&next);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
                let (from, to) =
                    (client.try_clone().expect("a descriptor"), upstream.try_clone().expect("a descriptor"));
                let next = Arc::clone(&shared);
                thread::spawn(move || forward(from, to, &next));
                thread::spawn(move || copy(upstream, client));
            }
        });
        Self { address, next }
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
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn forward(mut client: TcpStream, mut server: TcpStream, next: &Mutex<Cut>) {
    let mut buffer = [0; 16 << 10];
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        let sent = &buffer[..n];
        let mut how = Cut::Never;
        if sent.windows(COMMIT.len()).any(|w| w == COMMIT) {
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
