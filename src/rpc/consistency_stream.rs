//! A check of consistency, or its repair, told as it goes; whoever leaves ends it.
//!
//! An orderly end of the node ends it with `LEAVING`: it goes on elsewhere, from the last message. Not here: messages
//! (`convert/consistency.rs`).

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{request_id, status};
use crate::{app::Error, domain::Reason};

/// What is told.
pub type Telling<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;

/// Each thing as its message, until the end, an error, or `leaving`.
pub fn tell<T, M>(
    told: impl Stream<Item = Result<T, Error>> + Send + 'static,
    message: fn(T) -> M,
    leaving: CancellationToken,
) -> Telling<M>
where
    T: Send + 'static,
    M: Send + 'static,
{
    let id = request_id::current();
    let told = Some(Box::pin(told));
    Box::pin(futures_util::stream::unfold(told, move |told| {
        let (leaving, id) = (leaving.clone(), id.clone());
        async move {
            let mut told = told?;
            tokio::select! {
                next = told.next() => Some(match next? {
                    Ok(next) => (Ok(message(next)), Some(told)),
                    // Logged with the id of the call, which has answered long ago.
                    Err(error) => (Err(request_id::within(&id, || status::status(error))), None),
                }),
                () = leaving.cancelled() => Some((Err(status::refused(&Reason::Leaving.into())), None)),
            }
        }
    }))
}
