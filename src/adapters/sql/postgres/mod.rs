//! The PostgreSQL engine: a pool of connections, each body in a transaction and a task of its own.
//!
//! A write runs under READ COMMITTED: what decides is locked by the bodies (see the parent module), and the serialization
//! failures and deadlocks that remain are run again, a few times. A read sees one state (REPEATABLE READ). The answer of
//! a COMMIT may be lost with its connection: then nobody knows yet whether it happened, and [`Engine::settle`] asks.
//! Not here: how a connection is made (`connect.rs`), the tables (`migrate.rs`), what the bodies do (their own files).

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::{
    AsyncPgConnection, SimpleAsyncConnection as _,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{Object, Pool},
    },
};
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::on_postgres::Conn;
use crate::ports::{Begun, Committed, Ids as _, Intent, Stop, StoreError, SystemIds};

mod connect;
mod listen;
mod migrate;
mod tls;

pub(super) use connect::{Server, look};
pub(super) use listen::{ANNOUNCE, Listener};
pub(super) use migrate::MIGRATIONS;

/// Connections of one node: three nodes stay below a server's usual hundred.
const CONNECTIONS: usize = 16;
/// Longest wait for one that is free, or made.
const WAIT: Duration = Duration::from_secs(5);
/// Longest run of a body, and of a commit: a little more than the server lets one statement take, for a server that
/// does not answer at all.
const PATIENCE: Duration = Duration::from_secs(20);
/// Runs of a body that met another transaction.
const RUNS: u32 = 6;
/// How long a lost commit is asked after: the server ends what a dead connection left within this.
const SETTLE: Duration = Duration::from_secs(40);
/// Between two questions.
const SETTLE_PAUSE: Duration = Duration::from_millis(250);

/// A failure that can be told for the whole transaction.
pub(super) trait Failure: From<StoreError> + Send + 'static {
    /// What the database failed with, if it is not a rule that said no.
    fn failed(&self) -> Option<&StoreError>;
}

impl Failure for StoreError {
    fn failed(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl Failure for Stop {
    fn failed(&self) -> Option<&StoreError> {
        match self {
            Stop::Refused(_) => None,
            Stop::Failed(error) => Some(error),
        }
    }
}

/// How a transaction that was not answered with success ended.
enum Ended<E> {
    /// Nothing of it happened.
    Undone(E),
    /// The answer of its commit did not come: it happened, or not.
    Unknown(String),
}

impl<E: Failure> Ended<E> {
    /// For a caller who may ask again, where asking again does no harm.
    fn told(self) -> E {
        match self {
            Ended::Undone(error) => error,
            Ended::Unknown(why) => {
                let text = format!("the answer of a commit was lost, it may have happened: {why}");
                StoreError::Unavailable(io::Error::new(io::ErrorKind::ConnectionAborted, text)).into()
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Way {
    Read,
    Write,
}

impl Way {
    const fn begin(self) -> &'static str {
        match self {
            Way::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Way::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        }
    }
}

/// The pool, and the transactions under way.
pub(super) struct Engine {
    pool: Pool<AsyncPgConnection>,
    /// A transaction runs to its end even if its caller goes away: each is a task.
    running: TaskTracker,
    closed: AtomicBool,
}

impl Engine {
    /// Connects, makes or migrates the tables, checks that commits are durable.
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let target = Server::parse(url)?;
        migrate::run(target.connect().await?).await?;
        Self::over(target)
    }

    /// Over tables that are there. Connects when it is first asked.
    pub(super) fn over(target: Server) -> Result<Self, StoreError> {
        let mut config = ManagerConfig::default();
        // Not asked before each use: a connection that died is found by its BEGIN, and replaced.
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |_| {
            let target = target.clone();
            async move { target.connect().await.map_err(|e| diesel::ConnectionError::BadConnection(e.to_string())) }
                .boxed()
        });
        let manager = AsyncDieselConnectionManager::new_with_config(String::new(), config);
        let pool = Pool::builder(manager).max_size(CONNECTIONS).build().map_err(unavailable)?;
        Ok(Self { pool, running: TaskTracker::new(), closed: AtomicBool::new(false) })
    }

    /// Runs a body in a write transaction, again if it met another one. It runs to its end even if the caller goes away.
    pub(super) async fn write<F, T, E>(&self, body: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Clone + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        self.write_once(body).await.map_err(Ended::told)
    }

    /// Writes an intent: durable when it answers, as every commit here.
    pub(super) async fn write_intent<F>(&self, body: F) -> Result<Begun, Stop>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<Begun, Stop>> + Clone + Send + 'static,
    {
        self.write(body).await
    }

    /// An intent that was answered is durable already.
    pub(super) async fn secure(&self, _intent: Intent) -> Result<(), StoreError> {
        Ok(())
    }

    /// Commits an upload, and asks what became of it if the answer is lost.
    pub(super) async fn write_upload<F>(&self, body: F) -> Result<Committed, Stop>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<Committed, Stop>> + Clone + Send + 'static,
    {
        self.settle(body).await
    }

    /// As [`Engine::write`], for a body that may run again after it was committed, and then answers what it answered: it
    /// does so until it is known what became of it. Where even that takes too long, the answer says that it is unknown.
    async fn settle<F, T, E>(&self, body: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Clone + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        let until = Instant::now() + SETTLE;
        let mut lost: Option<String> = None;
        loop {
            let ended = match self.write_once(body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(ended) => ended,
            };
            let why = match (ended, &lost) {
                (Ended::Unknown(why), _) => why,
                // A database that is not there says nothing of what became of the commit before.
                (Ended::Undone(error), Some(before))
                    if matches!(
                        error.failed(),
                        Some(StoreError::Unavailable(_) | StoreError::NoSpace(_) | StoreError::Conflict(_))
                    ) =>
                {
                    before.clone()
                }
                (Ended::Undone(error), _) => return Err(error),
            };
            if Instant::now() > until {
                return Err(Ended::Unknown(why).told());
            }
            lost = Some(why);
            sleep(SETTLE_PAUSE).await;
        }
    }

    /// Runs a body in a read transaction: all its statements see one state.
    pub(super) async fn read<F, T, E>(&self, body: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        self.run(Way::Read, body).await.map_err(Ended::told)
    }

    async fn write_once<F, T, E>(&self, body: F) -> Result<T, Ended<E>>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Clone + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        let mut runs = 1;
        loop {
            match self.run(Way::Write, body.clone()).await {
                Err(Ended::Undone(error)) if runs < RUNS && error.failed().is_some_and(StoreError::is_retryable) => {
                    sleep(jitter(runs)).await;
                    runs += 1;
                }
                ended => return ended,
            }
        }
    }

    async fn run<F, T, E>(&self, way: Way, body: F) -> Result<T, Ended<E>>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        if self.closed.load(Ordering::Acquire) {
            return Err(Ended::Undone(closed().into()));
        }
        let (to, answer) = oneshot::channel();
        let pool = self.pool.clone();
        self.running.spawn(async move { transact(pool, way, body, to).await });
        // The sender is dropped without an answer by a panic alone.
        let panicked = || StoreError::Refused("the body of a transaction panicked".to_owned());
        answer.await.unwrap_or_else(|_| Err(Ended::Undone(panicked().into())))
    }

    /// Takes no more work, finishes what was asked, closes the connections.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.running.close();
        self.running.wait().await;
        self.pool.close();
    }
}

/// A connection out of the pool. Unless it is given back it is closed, and the server undoes what was begun on it: also
/// where the body panics.
struct Lease(Option<Object<AsyncPgConnection>>);

impl Lease {
    async fn take(pool: &Pool<AsyncPgConnection>) -> Result<Self, StoreError> {
        match timeout(WAIT, pool.get()).await {
            Ok(Ok(object)) => Ok(Self(Some(object))),
            Ok(Err(error)) => Err(unavailable(error)),
            Err(_) => Err(unavailable(format!("no connection to the database was free within {WAIT:?}"))),
        }
    }

    fn conn(&mut self) -> &mut Conn {
        self.0.as_mut().expect("only the end takes it")
    }

    fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// One run of a body, answered as soon as the answer is known.
async fn transact<F, T, E>(pool: Pool<AsyncPgConnection>, way: Way, body: F, to: oneshot::Sender<Result<T, Ended<E>>>)
where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    E: Failure,
{
    // Where nobody waits any more the work is done all the same.
    let tell = |result| drop(to.send(result));
    let mut lease = match begin(&pool, way).await {
        Ok(lease) => lease,
        Err(error) => return tell(Err(Ended::Undone(error.into()))),
    };
    let result = match timeout(PATIENCE, body(lease.conn())).await {
        Ok(result) => result,
        Err(_) => return tell(Err(Ended::Undone(unavailable("the database does not answer").into()))),
    };
    let written = matches!((&result, way), (Ok(_), Way::Write));
    if matches!(way, Way::Read) {
        // What was read is known: its end is nobody's concern.
        tell(result.map_err(Ended::Undone));
        if let Ok(Ok(())) = timeout(PATIENCE, lease.conn().batch_execute("ROLLBACK")).await {
            lease.give_back();
        }
        return;
    }
    if !written {
        if let Ok(Ok(())) = timeout(PATIENCE, lease.conn().batch_execute("ROLLBACK")).await {
            lease.give_back();
        }
        return tell(result.map_err(Ended::Undone));
    }
    let committed = timeout(PATIENCE, lease.conn().batch_execute("COMMIT")).await;
    let committed =
        committed.map_err(|_| Ended::Unknown("the database does not answer".to_owned())).and_then(|answer| {
            answer.map_err(|error| {
                if is_verdict(&error) {
                    Ended::Undone(E::from(error.into()))
                } else {
                    Ended::Unknown(error.to_string())
                }
            })
        });
    // Closed before it is told: the server then undoes what it did not hear the end of.
    if committed.is_ok() {
        lease.give_back()
    } else {
        drop(lease)
    }
    tell(committed.and_then(|()| result.map_err(Ended::Undone)));
}

/// A connection with a transaction on it. One that died in the pool (the server was started anew) is replaced: nothing
/// was asked on it yet.
async fn begin(pool: &Pool<AsyncPgConnection>, way: Way) -> Result<Lease, StoreError> {
    let mut dead = 0;
    loop {
        let mut lease = Lease::take(pool).await?;
        match timeout(PATIENCE, lease.conn().batch_execute(way.begin())).await {
            Ok(Ok(())) => return Ok(lease),
            Ok(Err(_)) if dead < CONNECTIONS => dead += 1,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(unavailable("the database does not answer")),
        }
    }
}

/// The server's own no to a COMMIT: it was undone. Anything else leaves open what became of it.
fn is_verdict(error: &Error) -> bool {
    use DatabaseErrorKind as Kind;
    let Error::DatabaseError(kind, _) = error else { return false };
    matches!(
        kind,
        Kind::UniqueViolation
            | Kind::ForeignKeyViolation
            | Kind::SerializationFailure
            | Kind::NotNullViolation
            | Kind::CheckViolation
            | Kind::RestrictViolation
            | Kind::ExclusionViolation
            | Kind::ReadOnlyTransaction
    )
}

/// A pause before the next run: longer each time, and of another length for each, so that those who met do not meet
/// again.
fn jitter(runs: u32) -> Duration {
    let most = 4_000_u64 << runs.min(6);
    let chance = SystemIds.random();
    Duration::from_micros(u64::from(u16::from_be_bytes([chance[0], chance[1]])) * most / u64::from(u16::MAX))
}

fn unavailable(why: impl ToString) -> StoreError {
    StoreError::Unavailable(io::Error::new(io::ErrorKind::NotConnected, why.to_string()))
}

fn closed() -> StoreError {
    unavailable("the database is closed")
}
