//! A run of maintenance, told as it changes, until it has ended.
//!
//! The run does not know who watches: a watcher that leaves, whose deadline passes or whose connection grows old stops
//! nothing. An orderly end of the node does not wait for watchers. Not here: messages (`convert/runs.rs`).

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{convert::runs, pb, request_id, status};
use crate::{
    app::App,
    domain::{
        Reason,
        run::{Run, RunState},
    },
};

/// What is told of a run.
pub type RunStream = Pin<Box<dyn Stream<Item = Result<pb::RunMaintenanceResponse, Status>> + Send>>;

/// The run as it is, then whenever it changes; the last message has its end. Cut short by `leaving`.
pub fn watch(app: Arc<App>, run: Run, leaving: CancellationToken) -> RunStream {
    let first = told(&run);
    let id = request_id::current();
    let rest = stream::unfold(Some(run), move |known| {
        let (app, leaving, id) = (Arc::clone(&app), leaving.clone(), id.clone());
        async move {
            let known = known.filter(|run| run.state == RunState::Running)?;
            let next = tokio::select! {
                // Logged with the id of the call, which has answered long ago.
                next = app.watch_run(&known) => next.map_err(|error| request_id::within(&id, || status::status(error))),
                () = leaving.cancelled() => Err(status::refused(&Reason::Leaving.into())),
            };
            Some(match next {
                Ok(run) => (Ok(told(&run)), Some(run)),
                Err(status) => (Err(status), None),
            })
        }
    });
    Box::pin(stream::once(async { Ok(first) }).chain(rest))
}

fn told(run: &Run) -> pb::RunMaintenanceResponse {
    pb::RunMaintenanceResponse { run: Some(runs::run(run)) }
}
