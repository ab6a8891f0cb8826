//! Faults of a schedule, put around the ports: the n-th call of a kind fails before it does anything, or after it did all
//! and only its answer is lost, or the process dies there; once, or from then on until it is healed.
//!
//! Not here: which faults are tried (`schedules.rs`), and the twins in memory that they are put around.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::ports::{BlobError, ScanError, Stop, StoreError};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It fails, and has done nothing.
    Failed,
    /// It was done, and its answer was lost.
    AnswerLost,
    /// The process dies before it.
    DiesBefore,
    /// The process dies when it is done.
    DiesAfter,
    /// It never answers, as a disk may do; everything else goes on. Not among [`How::ALL`].
    Hangs,
}

impl How {
    pub const ALL: [How; 4] = [How::Failed, How::AnswerLost, How::DiesBefore, How::DiesAfter];

    pub fn kills(self) -> bool {
        matches!(self, How::DiesBefore | How::DiesAfter)
    }
}

/// One fault.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Of which calls.
    pub call: &'static str,
    /// Which of them, from 1.
    pub nth: u32,
    pub how: How,
    /// All that come later, too, until it is healed.
    pub lasts: bool,
}

/// The faults of one life of a node, and the calls that it has made.
#[derive(Default)]
pub struct Plan {
    state: Mutex<State>,
    died: Notify,
}

#[derive(Default)]
struct State {
    faults: Vec<Fault>,
    calls: BTreeMap<&'static str, u32>,
    dead: bool,
}

/// What becomes of a call.
enum Fate {
    Done,
    Dead,
    Struck(How),
}

impl Plan {
    pub fn new(faults: &[Fault]) -> Arc<Self> {
        let plan = Self::default();
        plan.lock().faults = faults.to_vec();
        Arc::new(plan)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls count from here, and these faults strike.
    pub fn arm(&self, faults: &[Fault]) {
        let mut state = self.lock();
        (state.faults, state.calls) = (faults.to_vec(), BTreeMap::new());
    }

    /// Nothing goes wrong any more, unless the process is dead.
    pub fn heal(&self) {
        self.lock().faults.clear();
    }

    /// How often each was called.
    pub fn calls(&self) -> BTreeMap<&'static str, u32> {
        self.lock().calls.clone()
    }

    /// These calls fail from some time ago on, until they are healed.
    pub fn is_down(&self, call: &str) -> bool {
        let state = self.lock();
        let made = state.calls.get(call).copied().unwrap_or(0);
        state.faults.iter().any(|fault| fault.call == call && fault.lasts && !fault.how.kills() && fault.nth <= made)
    }

    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Answers when the process has died.
    pub async fn died(&self) {
        let died = self.died.notified();
        if !self.is_dead() {
            died.await;
        }
    }

    fn die(&self) {
        self.lock().dead = true;
        self.died.notify_waiters();
        self.died.notify_one();
    }

    fn fate(&self, call: &'static str) -> Fate {
        let mut state = self.lock();
        if state.dead {
            return Fate::Dead;
        }
        let count = state.calls.entry(call).or_default();
        *count += 1;
        let count = *count;
        let strikes = |fault: &&Fault| {
            fault.call == call && (fault.nth == count || (fault.lasts && fault.nth < count && !fault.how.kills()))
        };
        state.faults.iter().find(strikes).map_or(Fate::Done, |fault| Fate::Struck(fault.how))
    }

    /// An async call. A dead process waits for ever.
    pub async fn through<T, E: Fails>(
        &self,
        call: &'static str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match self.fate(call) {
            Fate::Done => work.await,
            Fate::Struck(How::Failed) => Err(E::fails()),
            Fate::Struck(How::AnswerLost) => {
                drop(work.await);
                Err(E::fails())
            }
            Fate::Struck(How::Hangs) => std::future::pending().await,
            Fate::Struck(how) => {
                if how == How::DiesAfter {
                    drop(work.await);
                }
                self.die();
                std::future::pending().await
            }
            Fate::Dead => std::future::pending().await,
        }
    }

    /// A call that blocks. In a dead process it does nothing, and nobody hears of that.
    pub fn blocking<T>(&self, call: &'static str, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.fate(call) {
            Fate::Done => work(),
            Fate::Struck(how) => {
                if matches!(how, How::AnswerLost | How::DiesAfter) {
                    drop(work());
                }
                if how.kills() {
                    self.die();
                }
                Err(fault())
            }
            Fate::Dead => Err(fault()),
        }
    }
}

/// What a call answers that failed, or whose answer was lost: nobody can tell which.
pub trait Fails {
    fn fails() -> Self;
}

fn fault() -> io::Error {
    io::Error::other("a fault of the schedule")
}

impl Fails for StoreError {
    fn fails() -> Self {
        StoreError::Unavailable(fault())
    }
}

impl Fails for Stop {
    fn fails() -> Self {
        StoreError::fails().into()
    }
}

impl Fails for BlobError {
    fn fails() -> Self {
        BlobError::Unavailable(fault())
    }
}

impl Fails for ScanError {
    fn fails() -> Self {
        ScanError::Down(fault())
    }
}
