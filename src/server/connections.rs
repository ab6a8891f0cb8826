//! Connections as the server takes them: no more than so many at once, and none that stays silent from the start.
//!
//! Not here: what is said on them (`tonic`), and streams on one connection (its HTTP/2 settings).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::telemetry::names;

/// How long a new connection may say nothing.
const FIRST_BYTES_WITHIN: Duration = Duration::from_secs(30);

/// The listener's connections, each with its place among `most`. One too many is closed at once.
pub fn accept(listener: TcpListener, most: u32) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(most as usize));
    TcpListenerStream::new(listener).filter_map(move |stream| {
        let place = Arc::clone(&places).try_acquire_owned();
        std::future::ready(match (stream, place) {
            (Ok(stream), Ok(place)) => Some(Connection::new(stream, place)),
            (Ok(_), Err(_)) => {
                metrics::counter!(names::CONNECTIONS_REFUSED).increment(1);
                None
            }
            // Accepting goes on: an error here is of one connection, or passes (descriptors used up).
            (Err(error), _) => {
                tracing::warn!(%error, "a connection could not be accepted");
                None
            }
        })
    })
}

/// A connection.
pub struct Connection {
    stream: TcpStream,
    silence: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> io::Result<Self> {
        // Answers are small and awaited: never held back to be merged.
        stream.set_nodelay(true)?;
        metrics::gauge!(names::CONNECTIONS).increment(1);
        Ok(Self { stream, silence: Some(Box::pin(sleep(FIRST_BYTES_WITHIN))), _place: place })
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
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.silence = None;
        } else if let Some(silence) = &mut self.silence
            && silence.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the connection said nothing")));
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
