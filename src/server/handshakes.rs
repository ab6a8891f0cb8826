//! TLS handshakes under way: each has its time, all of them their number, and none keeps another waiting.
//!
//! Not here: certificates and what they must be (`tls.rs`), and the connections that come of it (`connections.rs`).

use std::{collections::BTreeMap, future::pending, io, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, watch},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use super::certificate;
use crate::{rpc::certified::CertificateNames, telemetry::names};

/// How long a handshake may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Most handshakes at once, however many connections there may be.
const MOST: usize = 1_000;

/// A connection that TLS secures, with its place among the connections, and what its client's certificate says.
pub struct Secured {
    /// What was encrypted on its way.
    pub stream: TlsStream<TcpStream>,
    /// The client's certificate; no name without one.
    pub names: CertificateNames,
    /// Its place.
    pub place: OwnedSemaphorePermit,
}

/// The handshakes under way. They end with it.
pub struct Handshakes {
    config: watch::Receiver<Arc<ServerConfig>>,
    most: usize,
    running: JoinSet<(u64, Option<Secured>)>,
    /// By age.
    handles: BTreeMap<u64, AbortHandle>,
    next: u64,
}

impl Handshakes {
    /// By the newest of `config`. Of `connections` at most half are in their handshakes, so that who dawdles there takes
    /// no place from those who are through.
    pub fn new(config: watch::Receiver<Arc<ServerConfig>>, connections: u32) -> Self {
        let most = (connections as usize / 2).clamp(1, MOST);
        Self { config, most, running: JoinSet::new(), handles: BTreeMap::new(), next: 0 }
    }

    /// Begins one. If there are too many, the oldest makes room: an honest one takes some milliseconds, so the oldest are
    /// those that dawdle.
    pub fn begin(&mut self, stream: TcpStream, place: OwnedSemaphorePermit) {
        if self.handles.len() >= self.most
            && let Some((_, oldest)) = self.handles.pop_first()
        {
            oldest.abort();
            count("crowded_out");
        }
        let (id, acceptor) = (self.next, TlsAcceptor::from(Arc::clone(&self.config.borrow())));
        self.next += 1;
        let handle = self.running.spawn(async move {
            let done = timeout(WITHIN, acceptor.accept(stream)).await;
            (id, secured(done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())), place))
        });
        self.handles.insert(id, handle);
    }

    /// The next one that is done; waits while there is none. May be dropped while it waits.
    pub async fn next(&mut self) -> Secured {
        loop {
            match self.running.join_next().await {
                Some(Ok((id, secured))) => {
                    self.handles.remove(&id);
                    if let Some(secured) = secured {
                        return secured;
                    }
                }
                // One that was crowded out.
                Some(Err(_)) => {}
                None => pending().await,
            }
        }
    }
}

fn secured(done: io::Result<TlsStream<TcpStream>>, place: OwnedSemaphorePermit) -> Option<Secured> {
    match done {
        Ok(stream) => {
            count("done");
            let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let names = shown.map(|leaf| certificate::names(leaf)).unwrap_or_default();
            Some(Secured { stream, names, place })
        }
        Err(error) => {
            count(if error.kind() == io::ErrorKind::TimedOut { "late" } else { "failed" });
            // Not louder: whoever can connect could fill the log.
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!(names::TLS_HANDSHAKES, names::OUTCOME => outcome).increment(1);
}
