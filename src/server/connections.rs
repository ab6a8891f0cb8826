//! Connections as the server takes them: no more than so many at once, and none that stays silent from the start.
//!
//! Not here: what is said on them (`tonic`), and streams on one connection (its HTTP/2 settings).

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::telemetry::names;

/// How long a new connection may take for what every client says first.
const PREFACE_WITHIN: Duration = Duration::from_secs(30);
/// HTTP/2's client preface, in bytes. Who has said it is asked by keepalive from then on.
const PREFACE_BYTES: usize = 24;
/// Connections that wait to be accepted, unless the kernel's limit (`net.core.somaxconn`) is lower. The usual 128 are
/// too few where clients come together, as after a restart: one too many is dropped, and some are reset.
const BACKLOG: u32 = 4_096;
/// The pause after an accept that failed: descriptors that are used up do not come back at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens there, as `TcpListener::bind` does, with a longer queue.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart need not wait for the end of the last connections before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The listener's connections, each with its place among `most`, closed after `lifetime`, or once `cut` is cancelled,
/// whatever is going on. One too many is closed at once.
pub fn accept(
    listener: TcpListener,
    most: u32,
    lifetime: Duration,
    cut: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(most as usize));
    TcpListenerStream::new(listener).filter_map(move |stream| {
        let place = Arc::clone(&places).try_acquire_owned();
        let cut = cut.clone();
        async move {
            match (stream, place) {
                (Ok(stream), Ok(place)) => Some(Connection::new(stream, place, end(lifetime, cut))),
                (Ok(_), Err(_)) => {
                    metrics::counter!(names::CONNECTIONS_REFUSED).increment(1);
                    None
                }
                // Accepting goes on: an error here is of one connection, or passes (descriptors used up).
                (Err(error), _) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    None
                }
            }
        }
    })
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
    stream: TcpStream,
    /// Set until the preface is there: how many bytes came, and until when they must be all.
    preface: Option<(usize, Pin<Box<Sleep>>)>,
    end: Pin<Box<dyn Future<Output = &'static str> + Send>>,
    /// Why it has ended.
    ended: Option<&'static str>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        end: impl Future<Output = &'static str> + Send + 'static,
    ) -> io::Result<Self> {
        // Answers are small and awaited: never held back to be merged.
        stream.set_nodelay(true)?;
        metrics::gauge!(names::CONNECTIONS).increment(1);
        let preface = Some((0, Box::pin(sleep(PREFACE_WITHIN))));
        Ok(Self { stream, preface, end: Box::pin(end), ended: None, _place: place })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        metrics::gauge!(names::CONNECTIONS).decrement(1);
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
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
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn a_cut_ends_every_connection_and_says_why_as_often_as_it_is_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let cut = CancellationToken::new();
        let mut accepted = Box::pin(accept(listener, 2, Duration::from_secs(600), cut.clone()));
        let _clients =
            [TcpStream::connect(address).await, TcpStream::connect(address).await].map(|c| c.expect("heard"));
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
