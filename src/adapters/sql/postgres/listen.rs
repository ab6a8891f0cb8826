//! LISTEN and NOTIFY: a change that one node commits wakes the others at once.
//!
//! One connection for each node, outside the pool: it waits all the time. Not here: what is changed (the bodies call
//! `announce`), and the asking now and then that finds what was not heard (`app/`).

use std::{pin::Pin, time::Duration};

use async_trait::async_trait;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Mutex,
    time::{sleep, timeout},
};
use tokio_postgres::{AsyncMessage, Client, Connection, Error, NoTls};

use super::{
    connect::{CONNECT, Server, told},
    tls::Tls,
};
use crate::ports::Changes;

/// Said in the transaction that changes what nodes follow; heard when it has committed.
pub(in super::super) const ANNOUNCE: &str = "NOTIFY lhfile_changes";
const LISTEN: &str = "LISTEN lhfile_changes";
/// How the connection is called in `pg_stat_activity`.
const NAME: &str = "lhfile-listen";
/// Pauses between two tries to connect: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

type Messages = Pin<Box<dyn Stream<Item = Result<AsyncMessage, Error>> + Send>>;

/// A connection that listens. The client is kept because the connection ends with it.
struct Line {
    _client: Client,
    messages: Messages,
}

/// What other nodes announce.
pub(in super::super) struct Listener {
    config: tokio_postgres::Config,
    tls: Option<Tls>,
    line: Mutex<Option<Line>>,
}

impl Listener {
    /// Connects when it is first asked.
    pub(in super::super) fn new(server: &Server) -> Self {
        let Server { config, tls } = server.clone();
        let mut config = config;
        config.application_name(NAME);
        Self { config, tls, line: Mutex::new(None) }
    }

    async fn connect(&self) -> Result<Line, String> {
        let failed = |error: Error| told(&error);
        let connected = timeout(CONNECT, async {
            match &self.tls {
                None => {
                    let (client, connection) = self.config.connect(NoTls).await.map_err(failed)?;
                    listening(client, connection).await.map_err(failed)
                }
                Some(tls) => {
                    let (client, connection) = self.config.connect(tls.clone()).await.map_err(failed)?;
                    listening(client, connection).await.map_err(failed)
                }
            }
        });
        connected.await.unwrap_or_else(|_| Err(format!("no answer within {CONNECT:?}")))
    }
}

/// Says LISTEN. Whatever the server says meanwhile is old: the first look comes afterwards.
async fn listening<S, T>(client: Client, mut connection: Connection<S, T>) -> Result<Line, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut messages: Messages = Box::pin(stream::poll_fn(move |cx| connection.poll_message(cx)));
    {
        let listen = client.batch_execute(LISTEN);
        tokio::pin!(listen);
        loop {
            tokio::select! {
                said = &mut listen => break said?,
                // None: the connection has ended, and LISTEN says so.
                Some(message) = messages.next() => drop(message?),
            }
        }
    }
    Ok(Line { _client: client, messages })
}

#[async_trait]
impl Changes for Listener {
    async fn next(&self) {
        let mut line = self.line.lock().await;
        if let Some(Line { messages, .. }) = &mut *line {
            loop {
                match messages.next().await {
                    Some(Ok(AsyncMessage::Notification(_))) => return,
                    // A notice of the server.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        tracing::info!(error = told(&error), "the connection that hears of changes is lost");
                        break;
                    }
                    None => break,
                }
            }
            *line = None;
        }
        let (mut pause, longest) = PAUSES;
        loop {
            match self.connect().await {
                Ok(connected) => {
                    *line = Some(connected);
                    // What was changed meanwhile nobody told us.
                    return;
                }
                Err(error) => tracing::debug!(error, "changes of other nodes are not heard: they are asked for"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }
}
