//! Connections as the server takes them: no more than so many at once, and none that stays silent from the start.
//!
//! Not here: what they come from (`listener.rs`), how TLS secures them (`handshakes.rs`), what is said on them (`tonic`),
//! and streams on one connection (its HTTP/2 settings).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use super::{
    handshakes::{Handshakes, Secured},
    listener::{Accepted, Listener, Wire},
};
use crate::{ports::Ids, rpc::certified::CertificateNames, telemetry::names};

/// How long a new connection may take for what every client says first.
const PREFACE_WITHIN: Duration = Duration::from_secs(30);
/// HTTP/2's client preface, in bytes. Who has said it is asked by keepalive from then on.
const PREFACE_BYTES: usize = 24;
/// The pause after an accept that failed: descriptors that are used up do not come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What takes connections, and how they end.
pub struct Incoming {
    /// Where they come from.
    pub listener: Listener,
    /// Secures those from a port, if the service speaks TLS.
    pub handshakes: Option<Handshakes>,
    /// Most at once, those in their handshake included.
    pub most: u32,
    /// After about which one takes no new calls. Each has its own, a tenth more or less.
    pub age: Duration,
    /// After which, then, it is closed whatever is going on.
    pub grace: Duration,
    /// Draws them.
    pub ids: Arc<dyn Ids>,
    /// Cancelled, it ends them all.
    pub cut: CancellationToken,
}

impl Incoming {
    /// The connections, each with its place. One too many is closed at once.
    pub fn connections(self) -> impl Stream<Item = io::Result<Connection>> {
        let places = Arc::new(Semaphore::new(self.most as usize));
        stream::unfold((self, places), async |(mut incoming, places)| {
            let next = incoming.next(&places).await;
            Some((Ok(next), (incoming, places)))
        })
    }

    async fn next(&mut self, places: &Arc<Semaphore>) -> Connection {
        loop {
            let Self { listener, handshakes, .. } = &mut *self;
            let secured = async {
                match handshakes {
                    Some(handshakes) => handshakes.next().await,
                    None => std::future::pending().await,
                }
            };
            let accepted = tokio::select! {
                Secured { stream, names, place } = secured => return self.take(Box::new(stream), names, place),
                accepted = listener.accept() => accepted,
            };
            match (accepted, Arc::clone(places).try_acquire_owned()) {
                (Ok(accepted), Ok(place)) => match (accepted, &mut self.handshakes) {
                    (Accepted::Tcp(stream), Some(handshakes)) => handshakes.begin(stream, place),
                    (Accepted::Tcp(stream), None) => {
                        return self.take(Box::new(stream), CertificateNames::default(), place);
                    }
                    (Accepted::Unix(stream), _) => {
                        return self.take(Box::new(stream), CertificateNames::default(), place);
                    }
                },
                (Ok(_), Err(_)) => metrics::counter!(names::CONNECTIONS_REFUSED).increment(1),
                // Accepting goes on: an error here is of one connection, or passes (descriptors used up).
                (Err(error), _) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn take(&self, stream: Box<dyn Wire>, names: CertificateNames, place: OwnedSemaphorePermit) -> Connection {
        let age = drawn(self.age, self.ids.random());
        Connection::new(stream, names, place, age, end(age + self.grace, self.cut.clone()))
    }
}

/// An age that is up to a tenth less or more, by chance.
fn drawn(age: Duration, chance: [u8; 16]) -> Duration {
    let chance = u32::from(u16::from_be_bytes([chance[0], chance[1]]));
    age * 9 / 10 + age / 5 * chance / u32::from(u16::MAX)
}

/// Lets the process hold a descriptor for each connection, and files besides: the usual soft limit is 1,024.
pub fn raise_descriptors(connections: u32) {
    let wanted = 2 * u64::from(connections) + 1_024;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let possible = maximum.map_or(wanted, |most| most.min(wanted));
    if current.is_some_and(|now| now < possible)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum })
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    if possible < wanted {
        tracing::warn!(possible, wanted, "few files may be open: raise the hard limit, or lower limits.connections");
    }
}

/// Why and when a connection ends whatever is going on.
async fn end(lifetime: Duration, cut: CancellationToken) -> &'static str {
    tokio::select! {
        () = sleep(lifetime) => "the connection is too old",
        () = cut.cancelled() => "the server ends",
    }
}

/// A connection.
pub struct Connection {
    stream: Box<dyn Wire>,
    names: CertificateNames,
    age: Duration,
    /// Cancelled when it is gone.
    gone: CancellationToken,
    /// Set until the preface is there: how many bytes came, and until when they must be all.
    preface: Option<(usize, Pin<Box<Sleep>>)>,
    end: Pin<Box<dyn Future<Output = &'static str> + Send>>,
    /// Why it has ended.
    ended: Option<&'static str>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(
        stream: Box<dyn Wire>,
        names: CertificateNames,
        place: OwnedSemaphorePermit,
        age: Duration,
        end: impl Future<Output = &'static str> + Send + 'static,
    ) -> Self {
        metrics::gauge!(names::CONNECTIONS).increment(1);
        let preface = Some((0, Box::pin(sleep(PREFACE_WITHIN))));
        let (gone, end) = (CancellationToken::new(), Box::pin(end));
        Self { stream, names, age, gone, preface, end, ended: None, _place: place }
    }

    /// After which it takes no new calls.
    pub fn age(&self) -> Duration {
        self.age
    }

    /// Cancelled when it is gone.
    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        metrics::gauge!(names::CONNECTIONS).decrement(1);
        self.gone.cancel();
    }
}

/// What every request of the connection may ask in its extensions.
impl Connected for Connection {
    type ConnectInfo = CertificateNames;

    fn connect_info(&self) -> CertificateNames {
        self.names.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let came = buf.filled().len() - before;
        if let Some((heard, until)) = &mut self.preface {
            *heard += came;
            if *heard >= PREFACE_BYTES {
                self.preface = None;
            } else if read.is_pending() && until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the connection said nothing")));
            }
        }
        if read.is_pending() {
            if self.ended.is_none()
                && let Poll::Ready(why) = self.end.as_mut().poll(cx)
            {
                self.ended = Some(why);
            }
            if let Some(why) = self.ended {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tokio::{io::AsyncReadExt as _, net::TcpStream};

    use super::*;
    use crate::ports::SystemIds;

    #[test]
    fn ages_are_up_to_a_tenth_less_or_more_and_not_all_the_same() {
        let age = Duration::from_secs(1_800);
        assert_eq!(drawn(age, [0; 16]), Duration::from_secs(1_620));
        assert_eq!(drawn(age, [255; 16]), Duration::from_secs(1_980));
        let ages: Vec<_> = (0..100).map(|_| drawn(age, SystemIds.random())).collect();
        let (least, most) = (ages.iter().min().expect("some"), ages.iter().max().expect("some"));
        assert!(*most - *least > Duration::from_secs(180), "{least:?} to {most:?}");
    }

    #[tokio::test]
    async fn a_cut_ends_every_connection_and_says_why_as_often_as_it_is_asked() {
        let listener = Listener::bind(&"127.0.0.1:0".parse().expect("an address"), 0o600).expect("a port");
        let address = listener.address().expect("bound").to_string();
        let (cut, age, ids) = (CancellationToken::new(), Duration::from_secs(600), Arc::new(SystemIds));
        let incoming = Incoming { listener, handshakes: None, most: 2, age, grace: age, ids, cut: cut.clone() };
        let mut accepted = Box::pin(incoming.connections());
        let _clients =
            [TcpStream::connect(&address).await, TcpStream::connect(&address).await].map(|c| c.expect("heard"));
        let mut reads = Vec::new();
        for _ in 0..2 {
            let mut connection = accepted.next().await.expect("a connection").expect("accepted");
            reads.push(async move {
                let mut said = [0; 64];
                let first = connection.read(&mut said).await.expect_err("nothing was said");
                (first, connection.read(&mut said).await.expect_err("it stays ended"))
            });
        }
        cut.cancel();
        for (first, second) in futures_util::future::join_all(reads).await {
            assert_eq!(
                (first.to_string().as_str(), second.to_string().as_str()),
                ("the server ends", "the server ends")
            );
        }
    }
}
