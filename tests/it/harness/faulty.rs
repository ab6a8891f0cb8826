//! The way to a store, with faults on it by a plan: what no real store can be made to do when it is asked to.
//!
//! Passes each request on to the real one, byte for byte, over a connection of its own.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
};

/// What happens to a request.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// It is answered with this status and code, and never passed on.
    Answer(u16, &'static str),
    /// The store does it, and nobody hears of it.
    LoseReply,
    /// So many bytes of the answer's body come, then the connection ends.
    CutBody(usize),
    /// The store hears of it late: when [`Faulty::deliver`] says so, whether somebody waits for it still or not.
    Late,
}

#[derive(Debug)]
struct Rule {
    method: &'static str,
    part: &'static str,
    times: usize,
    fault: Fault,
}

/// A way to a store.
#[derive(Debug)]
pub struct Faulty {
    address: SocketAddr,
    plan: Arc<Plan>,
}

/// What its connections share.
#[derive(Debug, Default)]
struct Plan {
    rules: Mutex<Vec<Rule>>,
    hits: Mutex<usize>,
    delivered: Mutex<bool>,
    deliver: Condvar,
}

impl Faulty {
    /// To what listens there. It stays open until the tests end.
    pub fn way_to(store: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let plan = Arc::<Plan>::default();
        let shared = Arc::clone(&plan);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let plan = Arc::clone(&shared);
                // A client that leaves early is no failure of the way.
                thread::spawn(move || pass(client, store, &plan));
            }
        });
        Self { address, plan }
    }

    /// Where it begins.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next so many requests with this method, whose target has this part, meet this fault.
    pub fn plan(&self, method: &'static str, part: &'static str, times: usize, fault: Fault) {
        self.plan.rules.lock().expect("no panic inside").push(Rule { method, part, times, fault });
    }

    /// No more faults.
    pub fn heal(&self) {
        self.plan.rules.lock().expect("no panic inside").clear();
    }

    /// The store hears of what is late, and of what will be.
    pub fn deliver(&self) {
        *self.plan.delivered.lock().expect("no panic inside") = true;
        self.plan.deliver.notify_all();
    }

    /// How many requests met a fault.
    pub fn hits(&self) -> usize {
        *self.plan.hits.lock().expect("no panic inside")
    }
}

/// One request of a connection, which ends with its answer.
fn pass(client: TcpStream, store: SocketAddr, plan: &Plan) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let start = head.len();
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&head[start..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        if line == "\r\n" {
            // The last header is ours: it is not among those that are signed.
            head.truncate(start);
            head.extend_from_slice(b"Connection: close\r\n\r\n");
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let first = String::from_utf8_lossy(head.split(|b| *b == b'\r').next().unwrap_or_default()).into_owned();
    let fault = due(&first, plan);
    if fault.is_some() {
        *plan.hits.lock().expect("no panic inside") += 1;
    }
    let mut client = client;
    if let Some(Fault::Answer(status, code)) = fault {
        let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>planned</Message></Error>");
        let text = if first.starts_with("HEAD ") { String::new() } else { text };
        write!(
            client,
            "HTTP/1.1 {status} Planned\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{text}",
            text.len()
        )?;
        return client.shutdown(Shutdown::Both);
    }
    if let Some(Fault::Late) = fault {
        let delivered = plan.delivered.lock().expect("no panic inside");
        drop(plan.deliver.wait_while(delivered, |delivered| !*delivered).expect("no panic inside"));
    }
    let mut upstream = TcpStream::connect(store)?;
    upstream.write_all(&head)?;
    upstream.write_all(&body)?;
    match fault {
        Some(Fault::LoseReply) => io::copy(&mut upstream, &mut io::sink()).map(drop)?,
        Some(Fault::CutBody(bytes)) => {
            let mut answer = BufReader::new(upstream);
            let mut line = Vec::new();
            while answer.read_until(b'\n', &mut line)? > 2 {
                client.write_all(&line)?;
                line.clear();
            }
            client.write_all(&line)?;
            io::copy(&mut answer.take(bytes as u64), &mut client)?;
        }
        Some(Fault::Late) => {
            let mut answer = Vec::new();
            upstream.read_to_end(&mut answer)?;
            client.write_all(&answer)?;
        }
        Some(Fault::Answer(..)) | None => io::copy(&mut upstream, &mut client).map(drop)?,
    }
    client.shutdown(Shutdown::Both)
}

fn due(line: &str, plan: &Plan) -> Option<Fault> {
    let mut rules = plan.rules.lock().expect("no panic inside");
    let (method, target) = line.split_once(' ')?;
    let rule = rules.iter_mut().find(|r| r.times > 0 && r.method == method && target.contains(r.part))?;
    rule.times -= 1;
    Some(rule.fault)
}
