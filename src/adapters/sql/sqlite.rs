//! The SQLite engine: one thread that writes, a few that read, each with its own connection.
//!
//! The writer takes up to [`MAX_GROUP`] queued bodies as savepoints into one transaction, so that one fsync serves them
//! all (group commit), and answers them after the commit. A reader takes what is its share of the queue into one
//! transaction, too: what is queued may see any state from then on. Not here: what the bodies do (their own files).

use std::{
    collections::VecDeque,
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use crossbeam_channel::{Receiver, Sender};
use diesel::{Connection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_types};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::oneshot;

use super::on_sqlite::{Conn, pairing};
use crate::{
    domain::BlobKey,
    ports::{Begun, Committed, Intent, Stop, StoreClaim, StoreError},
};

mod job;
mod watermark;

use job::{Body, Commits, Failure, Job, closed};
use watermark::Watermark;

pub(super) const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
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

struct Queues {
    writes: Sender<Box<dyn Job>>,
    reads: Sender<Box<dyn Job>>,
}

/// The threads and the ways to them.
pub(super) struct Engine {
    watermark: Arc<Watermark>,
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
        migrate(&mut writer)?;
        let watermark = Arc::new(Watermark::new(path));
        let (writes, queue) = crossbeam_channel::unbounded();
        let (writer, rising) = (SyncConnectionWrapper::new(writer), Arc::clone(&watermark));
        let mut threads = vec![spawn("sql-writer", move || write_all(writer, &queue, &rising))?];
        let (reads, queue) = crossbeam_channel::unbounded();
        for _ in 0..READERS {
            let conn = SyncConnectionWrapper::new(connect(path)?);
            let queue = queue.clone();
            threads.push(spawn("sql-reader", move || read_all(conn, &queue))?);
        }
        Ok(Self { watermark, queues: Mutex::new(Some(Queues { writes, reads })), threads: Mutex::new(threads) })
    }

    /// Runs a body in a write transaction. It runs to its end even if the caller goes away.
    pub(super) async fn write<F, T, E>(&self, body: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        self.send(Commits::Durably, body, |queues| &queues.writes).await
    }

    /// Writes an intent: committed, and not yet durable when it answers.
    pub(super) async fn write_intent<F>(&self, body: F) -> Result<Begun, Stop>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<Begun, Stop>> + Send + 'static,
    {
        let begun = self.send(Commits::Lazily, body, |queues| &queues.writes).await?;
        if let Begun::Started(intent, _) = &begun {
            self.watermark.note(intent.id);
        }
        Ok(begun)
    }

    /// Makes an intent durable, unless a commit since has done it.
    pub(super) async fn secure(&self, intent: Intent) -> Result<(), StoreError> {
        if self.watermark.covers(intent.id) {
            return Ok(());
        }
        let watermark = Arc::clone(&self.watermark);
        let synced = tokio::task::spawn_blocking(move || watermark.sync()).await;
        synced.map_err(io::Error::other).flatten().map_err(StoreError::Unavailable)
    }

    /// Commits an upload: what the intents of others become durable with.
    pub(super) async fn write_upload<F>(&self, body: F) -> Result<Committed, Stop>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<Committed, Stop>> + Send + 'static,
    {
        let has_written = |committed: &Committed| matches!(committed, Committed::Ready(_));
        self.send(Commits::Surely(has_written), body, |queues| &queues.writes).await
    }

    /// Runs a body in a read transaction: all its statements see one state.
    pub(super) async fn read<F, T, E>(&self, body: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        self.send(Commits::Durably, body, |queues| &queues.reads).await
    }

    async fn send<F, T, E>(
        &self,
        commits: Commits<T>,
        body: F,
        to: fn(&Queues) -> &Sender<Box<dyn Job>>,
    ) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Failure,
    {
        let (tx, answer) = oneshot::channel();
        let job = Box::new(Body::new(commits, body, tx));
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

/// Runs the steps that never ran, all or none; whoever else would do so at the same time waits.
fn migrate(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let failed =
        |e: Box<dyn std::error::Error + Send + Sync>| StoreError::Refused(format!("the migrations failed: {e}"));
    if conn.has_pending_migration(MIGRATIONS).map_err(failed)? {
        conn.immediate_transaction(|conn| conn.run_pending_migrations(MIGRATIONS).map(drop).map_err(failed))?;
    }
    Ok(())
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>, StoreError> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(StoreError::Unavailable)
}

/// Makes the file if it is missing, for us alone: its log and its index take its mode.
fn create(path: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// A connection whose OK is durable; anything else is refused (start-up check S1).
pub(super) fn connect(path: &str) -> Result<SqliteConnection, StoreError> {
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

/// What a file that is there says of its store of bytes. Opened to be read only, beside whoever serves it. Blocks.
pub(super) fn look_pairing(path: &Path) -> Result<(Option<StoreClaim>, Vec<BlobKey>), StoreError> {
    let opened = SqliteConnection::establish(&format!("file:{}?mode=ro", path.display()));
    let mut conn =
        opened.map_err(|e| StoreError::Unavailable(io::Error::other(format!("the database does not open: {e}"))))?;
    conn.batch_execute("PRAGMA busy_timeout = 5000").map_err(StoreError::from)?;
    let mut conn = SyncConnectionWrapper::new(conn);
    pairing::look(&mut conn).now_or_never().expect("ready at once, see Inline")
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

fn write_all(mut conn: Conn, queue: &Receiver<Box<dyn Job>>, watermark: &Watermark) {
    let (mut waiting, mut lazy) = (VecDeque::<Box<dyn Job>>::new(), false);
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
        let mark = watermark.committed();
        let failed = heed_the_disk(&mut conn, &mut lazy, waiting.iter().all(|job| job.is_lazy()))
            .and_then(|()| write_group(&mut conn, &mut waiting, &mut group))
            .err();
        if failed.is_none() && !lazy && group.iter().any(|job| job.has_written()) {
            watermark.rise(mark);
        }
        if failed.is_some() {
            if group.is_empty() {
                // Nothing could be begun.
                group.extend(waiting.drain(..));
            }
            // Ended already by the engine, or ended now; either way the next group starts afresh.
            let _ = execute(&mut conn, "ROLLBACK");
        }
        metrics::histogram!(crate::telemetry::names::DATABASE_GROUP).record(group.len() as f64);
        for job in group {
            job.answer(failed.as_ref());
        }
    }
}

/// Has the next commits wait for the disk, or not.
fn heed_the_disk(conn: &mut Conn, lazy: &mut bool, wanted: bool) -> Result<(), StoreError> {
    if *lazy != wanted {
        execute(conn, if wanted { "PRAGMA synchronous = NORMAL" } else { "PRAGMA synchronous = FULL" })?;
        *lazy = wanted;
    }
    Ok(())
}

/// One transaction. Moves what ran from `waiting` to `group`.
fn write_group(
    conn: &mut Conn,
    waiting: &mut VecDeque<Box<dyn Job>>,
    group: &mut Vec<Box<dyn Job>>,
) -> Result<(), StoreError> {
    execute(conn, "BEGIN IMMEDIATE")?;
    if waiting.len() == 1 {
        return write_alone(conn, waiting, group);
    }
    while let Some(mut job) = waiting.pop_front() {
        let begun = execute(conn, "SAVEPOINT body");
        let keep = begun.is_ok() && job.run(conn);
        let failure = job.failure();
        group.push(job);
        begun?;
        // Where the engine itself ended the transaction (disk full), this fails, and with it the group: for the reason
        // that the engine had.
        execute(conn, if keep { "RELEASE body" } else { "ROLLBACK TO body; RELEASE body" })
            .map_err(|lost| failure.unwrap_or(lost))?;
    }
    execute(conn, "COMMIT")
}

/// A body that has the transaction for itself needs no savepoint.
fn write_alone(
    conn: &mut Conn,
    waiting: &mut VecDeque<Box<dyn Job>>,
    group: &mut Vec<Box<dyn Job>>,
) -> Result<(), StoreError> {
    let keep = waiting.front_mut().is_some_and(|job| job.run(conn));
    group.extend(waiting.drain(..));
    if keep {
        return execute(conn, "COMMIT");
    }
    // The body says why. Where the engine itself ended the transaction (disk full), there is none to roll back.
    execute(conn, "ROLLBACK").or(Ok(()))
}

fn read_all(mut conn: Conn, queue: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = queue.recv() {
        // No more than this thread's share: the other readers are free for the rest.
        let share = (queue.len() / READERS).min(MAX_GROUP);
        // All taken before the transaction begins: whoever asks after a write was answered sees it.
        let jobs: Vec<_> = std::iter::once(first).chain(queue.try_iter().take(share)).collect();
        let failed = execute(&mut conn, "BEGIN").err();
        for mut job in jobs {
            if failed.is_none() {
                job.run(&mut conn);
            }
            job.answer(failed.as_ref());
        }
        if failed.is_none() && execute(&mut conn, "ROLLBACK").is_err() {
            // Ended already by the engine, which told the body why.
            tracing::debug!("a transaction that only read had ended by itself");
        }
    }
}
