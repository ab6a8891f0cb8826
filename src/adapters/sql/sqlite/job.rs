//! A body of a transaction on its way to SQLite's threads and back: run there, answered here.
//!
//! Not here: the threads and the transactions (`sqlite.rs`), and what the bodies do (their own files).

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::oneshot;

use super::super::on_sqlite::Conn;
use crate::ports::{Stop, StoreError};

/// A failure that can be told for the whole transaction, to each body in it.
pub(in super::super) trait Failure: From<StoreError> + Send + 'static {
    /// The engine's failure, if it is one.
    fn of_engine(&self) -> Option<&StoreError>;
}

impl Failure for StoreError {
    fn of_engine(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl Failure for Stop {
    fn of_engine(&self) -> Option<&StoreError> {
        match self {
            Stop::Failed(error) => Some(error),
            Stop::Refused(_) => None,
        }
    }
}

/// How a body's commit meets the disk.
pub(super) enum Commits<T> {
    /// It does not wait for it: see `watermark.rs`.
    Lazily,
    /// It waits.
    Durably,
    /// It waits, and the body has written if this says so of its answer: a commit of nothing would not wait.
    Surely(fn(&T) -> bool),
}

/// Something to be done in a transaction, whose answer waits for the commit.
pub(super) trait Job: Send {
    /// The commit need not wait for the disk.
    fn is_lazy(&self) -> bool;
    /// The body is known to have written something that is kept.
    fn has_written(&self) -> bool;
    /// Runs the body; true if its writes are to be kept.
    fn run(&mut self, conn: &mut Conn) -> bool;
    /// What the engine failed with in the body.
    fn failure(&self) -> Option<StoreError>;
    /// Answers: with what the body said, or with the failure of its whole transaction.
    fn answer(self: Box<Self>, failed: Option<&StoreError>);
}

pub(super) struct Body<F, T, E> {
    commits: Commits<T>,
    body: Option<F>,
    result: Option<Result<T, E>>,
    to: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Body<F, T, E> {
    /// A body whose answer goes `to` its caller.
    pub(super) fn new(commits: Commits<T>, body: F, to: oneshot::Sender<Result<T, E>>) -> Self {
        Self { commits, body: Some(body), result: None, to }
    }
}

impl<F, T, E> Job for Body<F, T, E>
where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send,
    T: Send,
    E: Failure,
{
    fn is_lazy(&self) -> bool {
        matches!(self.commits, Commits::Lazily)
    }

    fn has_written(&self) -> bool {
        match (&self.commits, &self.result) {
            (Commits::Surely(has_written), Some(Ok(answer))) => has_written(answer),
            (Commits::Surely(_) | Commits::Durably | Commits::Lazily, _) => false,
        }
    }

    fn run(&mut self, conn: &mut Conn) -> bool {
        let Some(body) = self.body.take() else { return false };
        // A panic of one body must not end the thread that everybody needs.
        let result = catch_unwind(AssertUnwindSafe(|| body(conn).now_or_never().expect("ready at once, see Inline")))
            .unwrap_or_else(|_| Err(StoreError::Refused("the body of a transaction panicked".to_owned()).into()));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
    }

    fn failure(&self) -> Option<StoreError> {
        self.result.as_ref()?.as_ref().err()?.of_engine().map(again)
    }

    fn answer(self: Box<Self>, failed: Option<&StoreError>) {
        let result = match (failed, self.result) {
            (None, Some(result)) => result,
            (Some(failed), _) => Err(again(failed).into()),
            (None, None) => Err(closed().into()),
        };
        // Nobody waits any more: the work is done all the same.
        let _ = self.to.send(result);
    }
}

/// The same failure for another body of the transaction.
fn again(failed: &StoreError) -> StoreError {
    match failed {
        StoreError::Conflict(text) => StoreError::Conflict(text.clone()),
        StoreError::NoSpace(text) => StoreError::NoSpace(text.clone()),
        other => StoreError::Unavailable(io::Error::other(other.to_string())),
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable(io::Error::new(io::ErrorKind::NotConnected, "the database is closed"))
}
