//! A way to a server on which the first connections end in the middle of what the server says.
//!
//! Not here: ways on which databases and stores fail (`harness/proxy.rs`, `harness/faulty.rs`).

use std::{
    io::{self, Read as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A way to a server. It stays open until the tests end.
#[derive(Debug)]
pub struct Cutting {
    address: SocketAddr,
    cut: Arc<AtomicUsize>,
}

impl Cutting {
    /// Cuts so many connections, each after so many bytes of what the server says.
    pub fn way_to(server: SocketAddr, connections: usize, after: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let cut = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&cut);
        thread::spawn(move || {
            for (number, client) in listener.incoming().flatten().enumerate() {
                let count = (number < connections).then(|| Arc::clone(&count));
                let Ok(server) = TcpStream::connect(server) else { continue };
                pass(client, server, after, count);
            }
        });
        Self { address, cut }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that were cut.
    pub fn cuts(&self) -> usize {
        self.cut.load(Ordering::Acquire)
    }
}

/// Both ways, until either ends or what the server says is cut.
fn pass(client: TcpStream, server: TcpStream, after: u64, cut: Option<Arc<AtomicUsize>>) {
    let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone()) else { return };
    thread::spawn(move || {
        // Who leaves early is no failure of the way.
        let _ = io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    thread::spawn(move || {
        let (mut client, mut server) = (client, server);
        match cut {
            None => drop(io::copy(&mut server, &mut client)),
            Some(count) => {
                if io::copy(&mut (&mut server).take(after), &mut client).is_ok_and(|said| said == after) {
                    count.fetch_add(1, Ordering::Release);
                }
            }
        }
        let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    });
}
