//! Serves each connection by a transport of its own, which ends when that connection has its age: of clients that came at
//! once not all have to come back at once.
//!
//! One transport for all has one age for all. Not here: what takes connections and gives them their age
//! (`connections.rs`), and the layers of the service (`server.rs`).

use std::{convert::Infallible, io, pin::pin};

use futures_util::{Stream, StreamExt as _, stream};
use http::{Request, Response};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{body::Body, transport::Server};
use tower::Service;

use super::connections::Connection;

/// Serves what comes until `stop`; answers when all that came has ended. Ending, a connection takes no new calls and lets
/// running ones finish.
pub(super) async fn serve<S>(
    transport: Server,
    service: S,
    incoming: impl Stream<Item = io::Result<Connection>>,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let (connections, ending) = (TaskTracker::new(), CancellationToken::new());
    {
        // What listens is gone after this: nobody waits in its queue for an answer that does not come.
        let (mut incoming, mut stop) = (pin!(incoming), pin!(stop));
        loop {
            let connection = tokio::select! {
                () = &mut stop => break,
                next = incoming.next() => next,
            };
            let Some(connection) = connection else { break };
            let Ok(connection) = connection else { continue };
            let (age, gone, ending) = (tokio::time::sleep(connection.age()), connection.gone(), ending.clone());
            let end = async move {
                tokio::select! { () = age => {}, () = gone.cancelled_owned() => {}, () = ending.cancelled_owned() => {} }
            };
            // The one, and then no end: with an end it would be told to go at once.
            let one = stream::iter([io::Result::Ok(connection)]).chain(stream::pending());
            let served = transport.clone().serve_with_incoming_shutdown(service.clone(), one, end);
            connections.spawn(async move {
                if let Err(error) = served.await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        }
    }
    ending.cancel();
    connections.close();
    connections.wait().await;
}
