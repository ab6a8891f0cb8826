//! The port to holds: each method is one transaction.
//!
//! Not here: the transactions that ask for them before a file ends (`store.rs`).

use async_trait::async_trait;

use super::Stop;
use crate::domain::{Caller, Hold, HoldOn, Matter, Time};

/// A page of holds to be listed, the newest first.
#[derive(Debug, Clone)]
pub struct HoldQuery {
    /// On this alone.
    pub on: Option<HoldOn>,
    /// After this one, by its number.
    pub before: Option<i64>,
    /// At most.
    pub limit: u32,
}

/// Holds.
#[async_trait]
pub trait HoldStore: Send + Sync + 'static {
    /// Puts a hold, with its event, and answers it; one on the same for the same matter stays as it is. From its answer on
    /// nothing that it holds is ended: a transaction under way that would is waited for. What is not there, or not within
    /// this caller's reach, is refused.
    async fn put_hold(&self, on: HoldOn, matter: Matter, caller: &Caller, now: Time) -> Result<Hold, Stop>;
    /// Lifts a hold, with its event; `false` if there is none. What it is on may be gone by now.
    async fn lift_hold(&self, on: HoldOn, matter: Matter, caller: &Caller, now: Time) -> Result<bool, Stop>;
    /// Holds by number, the newest first; the number of the last is where the next page starts. A caller whose service
    /// has some chats only names what it asks for, and reaches it.
    async fn list_holds(&self, query: HoldQuery, caller: &Caller) -> Result<Vec<(i64, Hold)>, Stop>;
}
