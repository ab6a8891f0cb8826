//! The clock that a server goes by: the system's.
//!
//! With the cargo feature `fault-points` a test can set it ahead while the server runs (`faults.rs`), and nobody else's.
//! Not here: the database's clock, which counts where nodes share one (`adapters/sql/on_postgres.rs`).

use crate::{
    domain::Time,
    ports::{Clock, SystemClock},
};

/// The system's clock, and what a test adds to it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NodeClock;

impl Clock for NodeClock {
    fn now(&self) -> Time {
        SystemClock.now().plus_secs(crate::faults::clock_ahead())
    }
}
