//! The SQLite engine: one thread that writes, a few that read, each with its own connection.
//!
//! The writer takes up to [`MAX_GROUP`] queued bodies as savepoints into one transaction, so that one fsync serves them
//! all (group commit), and answers them after the commit. Not here: what the bodies do (their own files).

use std::{
    collections::VecDeque,
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use diesel::{Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_types};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::oneshot;

use super::on_sqlite::Conn;
use crate::ports::{Stop, StoreError};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
/// Most bodies in one transaction.
pub(super) const MAX_GROUP: usize = 64;
/// Threads that read.
const READERS: usize = 4;

/// Runs what diesel-async would send to a pool of threads at once, here: these connections live on threads of their
/// own, so every future is ready when it is polled first.
pub struct Inline;

impl SpawnBlocking for Inline {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn std::error::Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        futures_util::future::ready(Ok(task())).boxed()
    }

    fn get_runtime() -> Self {
        Inline
    }
}

/// A failure that can be told for the whole transaction, to each body in it.
pub(super) trait Failure: From<StoreError> + Send + 'static {}
impl Failure for StoreError {}
impl Failure for Stop {}

/// Something to be done in a transaction, whose answer waits for the commit.
trait Job: Send {
    /// Runs the body; true if its writes are to be kept.
    fn run(&mut self, conn: &mut Conn) -> bool;
    /// Answers: with what the body said, or with the failure of its whole transaction.
    fn answer(self: Box<Self>, failed: Option<&StoreError>);
}

struct Body<F, T, E> {
    body: Option<F>,
    result: Option<Result<T, E>>,
    to: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Body<F, T, E>
where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send,
    T: Send,
    E: Failure,
{
    fn run(&mut self, conn: &mut Conn) -> bool {
        let Some(body) = self.body.take() else { return false };
        // A panic of one body must not end the thread that everybody needs.
        let result = catch_unwind(AssertUnwindSafe(|| body(conn).now_or_never().expect("ready at once, see Inline")))
            .unwrap_or_else(|_| Err(StoreError::Refused("the body of a transaction panicked".to_owned()).into()));
        let keep = result.is_ok();
        self.result = Some(result);
        keep
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
        other => StoreError::Unavailable(io::Error::other(other.to_string())),
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable(io::Error::new(io::ErrorKind::NotConnected, "the database is closed"))
}

struct Queues {
    writes: mpsc::Sender<Box<dyn Job>>,
    reads: mpsc::Sender<Box<dyn Job>>,
}

/// The threads and the ways to them.
pub(super) struct Engine {
    queues: Mutex<Option<Queues>>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Engine {
    /// Opens the file, makes or migrates the tables, checks that commits are durable, starts the threads. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let path = path.to_str().ok_or_else(|| {
            StoreError::Unavailable(io::Error::new(io::ErrorKind::InvalidInput, "the database's path is not UTF-8"))
        })?;
        create(path).map_err(StoreError::Unavailable)?;
        let mut writer = connect(path)?;
        writer
            .run_pending_migrations(MIGRATIONS)
            .map_err(|e| StoreError::Refused(format!("the migrations failed: {e}")))?;
        let (writes, queue) = mpsc::channel();
        let mut threads = vec![spawn("sql-writer", move || write_all(SyncConnectionWrapper::new(writer), &queue))?];
        let (reads, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..READERS {
            let conn = SyncConnectionWrapper::new(connect(path)?);
            let queue = Arc::clone(&queue);
            threads.push(spawn("sql-reader", move || read_all(conn, &queue))?);
        }
        Ok(Self { queues: Mutex::new(Some(Queues { writes, reads })), threads: Mutex::new(threads) })
    }

    /// Runs a body in a write transaction. It runs to its end even if the caller goes away.
    pub(super) async fn write<F, T, E>(&self, body: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        self.send(body, |queues| &queues.writes).await
    }

    /// Runs a body in a read transaction: all its statements see one state.
    pub(super) async fn read<F, T, E>(&self, body: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        self.send(body, |queues| &queues.reads).await
    }

    async fn send<F, T, E>(&self, body: F, to: fn(&Queues) -> &mpsc::Sender<Box<dyn Job>>) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        let (tx, answer) = oneshot::channel();
        let job = Box::new(Body { body: Some(body), result: None, to: tx });
        {
            let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            queues.as_ref().and_then(|q| to(q).send(job).ok()).ok_or_else(closed)?;
        }
        answer.await.unwrap_or_else(|_| Err(closed().into()))
    }

    /// Takes no more work, finishes what is queued, closes the connections. Blocks.
    pub(super) fn close(&self) {
        drop(self.queues.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has nothing left to finish.
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>, StoreError> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(StoreError::Unavailable)
}

/// Makes the file if it is missing, for us alone: its log and its index take its mode.
fn create(path: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// A connection whose OK is durable; anything else is refused (start-up check S1).
fn connect(path: &str) -> Result<SqliteConnection, StoreError> {
    let mut conn = SqliteConnection::establish(path)
        .map_err(|e| StoreError::Unavailable(io::Error::other(format!("the database does not open: {e}"))))?;
    conn.batch_execute(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY;",
    )
    .map_err(StoreError::from)?;
    for (pragma, wanted) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
        let found = diesel::sql_query(format!("SELECT CAST({pragma} AS TEXT) AS value FROM pragma_{pragma}"))
            .get_result::<Pragma>(&mut conn)
            .map_err(StoreError::from)?
            .value;
        if found != wanted {
            return Err(StoreError::Refused(format!(
                "{pragma} is {found} and must be {wanted}: commits would not be durable"
            )));
        }
    }
    Ok(conn)
}

#[derive(diesel::QueryableByName)]
struct Pragma {
    #[diesel(sql_type = sql_types::Text)]
    value: String,
}

fn execute(conn: &mut Conn, sql: &'static str) -> Result<(), StoreError> {
    conn.spawn_blocking(move |c| c.batch_execute(sql))
        .now_or_never()
        .expect("ready at once, see Inline")
        .map_err(StoreError::from)
}

fn write_all(mut conn: Conn, queue: &mpsc::Receiver<Box<dyn Job>>) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            let Ok(job) = queue.recv() else { return };
            waiting.push_back(job);
        }
        while waiting.len() < MAX_GROUP {
            let Ok(job) = queue.try_recv() else { break };
            waiting.push_back(job);
        }
        let mut group = Vec::with_capacity(waiting.len());
        let failed = write_group(&mut conn, &mut waiting, &mut group).err();
        if failed.is_some() {
            // Ended already by the engine, or ended now; either way the next group starts afresh.
            let _ = execute(&mut conn, "ROLLBACK");
        }
        metrics::histogram!(crate::telemetry::names::DATABASE_GROUP).record(group.len() as f64);
        for job in group {
            job.answer(failed.as_ref());
        }
    }
}

/// One transaction. Moves what ran, or can never run, from `waiting` to `group`.
fn write_group(
    conn: &mut Conn,
    waiting: &mut VecDeque<Box<dyn Job>>,
    group: &mut Vec<Box<dyn Job>>,
) -> Result<(), StoreError> {
    if let Err(e) = execute(conn, "BEGIN IMMEDIATE") {
        group.extend(waiting.drain(..));
        return Err(e);
    }
    while let Some(mut job) = waiting.pop_front() {
        let begun = execute(conn, "SAVEPOINT body");
        let keep = begun.is_ok() && job.run(conn);
        group.push(job);
        begun?;
        // Where the engine itself ended the transaction (disk full), this fails, and with it the group.
        execute(conn, if keep { "RELEASE body" } else { "ROLLBACK TO body; RELEASE body" })?;
    }
    execute(conn, "COMMIT")
}

fn read_all(mut conn: Conn, queue: &Mutex<mpsc::Receiver<Box<dyn Job>>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut job) = job else { return };
        let mut failed = execute(&mut conn, "BEGIN").err();
        if failed.is_none() {
            job.run(&mut conn);
            failed = execute(&mut conn, "ROLLBACK").err();
        }
        job.answer(failed.as_ref());
    }
}
