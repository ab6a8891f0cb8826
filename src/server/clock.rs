//! The clocks that a server goes by: the system's, and that of the database where nodes share one.
//!
//! Files age, and their grace ends, by one clock. Where each node has its own, a file deleted through one that is a week
//! behind would have had its week at once. Tokens, certificates and the like are judged by the node's own: their makers
//! have nothing to do with the database. With the cargo feature `fault-points` a test can set the node's own ahead while
//! the server runs (`faults.rs`). Not here: leases, which the database judges itself (`adapters/sql/on_postgres.rs`).

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use crate::{
    adapters::sql::PostgresStore,
    domain::Time,
    ports::{Clock, StoreError, SystemClock},
};

/// How often the database is asked.
const ASK_EVERY: Duration = Duration::from_secs(20);
/// An answer that took longer says too little.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
/// From here on an administrator is told, in seconds.
const TELL_FROM: i64 = 60;

/// The system's clock, and what a test adds to it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NodeClock;

impl Clock for NodeClock {
    fn now(&self) -> Time {
        SystemClock.now().plus_secs(crate::faults::clock_ahead())
    }
}

/// What time it was there, at a moment here.
#[derive(Debug, Clone, Copy)]
struct Known {
    time: Time,
    at: Instant,
}

/// The clock of a database that nodes share: asked now and then, and counted on here in between, whatever this node's own
/// clock does meanwhile.
pub(super) struct SharedClock {
    store: PostgresStore,
    known: RwLock<Known>,
}

impl SharedClock {
    /// Asks for the first time.
    pub(super) async fn ask(store: PostgresStore) -> Result<Arc<Self>, StoreError> {
        let known = RwLock::new(ask(&store).await?.0);
        Ok(Arc::new(Self { store, known }))
    }

    /// Asks again and again. A database that does not answer changes nothing: time goes on.
    pub(super) async fn follow(self: Arc<Self>, own: Arc<dyn Clock>) {
        let mut told = false;
        loop {
            let apart = (own.now().secs() - self.now().secs()).abs();
            if apart >= TELL_FROM && !told {
                tracing::warn!(
                    seconds = apart,
                    "the clock of this node is not that of the database, by which files age: set it right (tokens are \
                     judged by this node's)"
                );
            }
            told = apart >= TELL_FROM;
            tokio::time::sleep(ASK_EVERY).await;
            match ask(&self.store).await {
                Ok((known, took)) if took <= ANSWERED_WITHIN => {
                    *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the database could not be asked what time it is"),
            }
        }
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Time {
        let Known { time, at } = *self.known.read().unwrap_or_else(PoisonError::into_inner);
        Time(time.0.saturating_add(i64::try_from(at.elapsed().as_micros()).unwrap_or(i64::MAX)))
    }
}

/// What time it is there, and how long the answer took: it was so in the middle of that.
async fn ask(store: &PostgresStore) -> Result<(Known, Duration), StoreError> {
    let asked = Instant::now();
    let time = store.time().await?;
    let took = asked.elapsed();
    Ok((Known { time, at: asked + took / 2 }, took))
}
