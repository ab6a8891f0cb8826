//! Whether database and store of bytes agree, asked for by a person: walked in both directions, told as it is found.
//!
//! A check reads: what it writes is what it found, in tables of its own, for a repair. It goes on from any message that it
//! told, on any node, and ends with whoever watches it. Not here: what is sound (`consistency/looking.rs`), the repair
//! (`consistency/repairing.rs`), and what maintenance does by itself (`maintenance/sweeping.rs`, `maintenance/checking.rs`).

use std::sync::Arc;

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::{
    checking::{Checking, Ended},
    state::State,
};
use super::{App, Error, maintenance::need_maintenance};
use crate::{
    domain::{
        Actor, Caller, CheckId, FileId, Reason, Refusal,
        consistency::{Check, Finding, What, YOUNG_SECS},
    },
    faults::left_age,
    ports::{FilesOfBlob, NewCheck},
};

mod checking;
pub(super) mod looking;
mod repairing;
mod state;

pub use repairing::{RepairSummary, RepairTold, Repaired};
pub use state::{CheckCounts, CheckPhase};

/// Rows that one transaction forgets.
const FORGOTTEN: i64 = 1_000;
/// Messages that wait for whoever reads them.
const WAITING: usize = 64;

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct CheckAsked {
    /// Bytes that are read and hashed at most; `None`: all.
    pub hash_bytes: Option<u64>,
    /// The check to go on with.
    pub id: Option<CheckId>,
    /// Where; empty: from the beginning.
    pub after: String,
}

/// What is told of a check.
#[derive(Debug, Clone)]
pub enum CheckTold {
    /// Something was found.
    Finding(ToldFinding),
    /// How far it is.
    Progress(CheckProgress),
    /// Its end.
    Summary(CheckSummary),
}

/// A finding with some of the files that it is about.
#[derive(Debug, Clone)]
pub struct ToldFinding {
    /// What was found.
    pub finding: Finding,
    /// Files, at most [`crate::domain::consistency::MOST_NAMED`].
    pub files: Vec<FileId>,
    /// Why, in the store's words, if it does not give the bytes; else empty. Not stored.
    pub error: String,
}

/// How far a check is.
#[derive(Debug, Clone)]
pub struct CheckProgress {
    /// Its id, if it is stored.
    pub id: Option<CheckId>,
    /// Where it goes on after what was told.
    pub after: String,
    /// What it looks through now.
    pub phase: CheckPhase,
    /// What it has seen.
    pub counts: CheckCounts,
}

/// The end of a check.
#[derive(Debug, Clone)]
pub struct CheckSummary {
    /// The check, if it is stored.
    pub check: Option<Check>,
    /// What it has seen.
    pub counts: CheckCounts,
    /// Files of the first blobs that are served and not known to be clean, one of each.
    pub unscanned: Vec<FileId>,
}

impl App {
    /// Checks database, store and this node's spool against each other. What it tells ends with the summary, or an error;
    /// it ends when nobody listens.
    pub async fn check_consistency(
        self: &Arc<Self>,
        caller: &Caller,
        asked: CheckAsked,
    ) -> Result<impl Stream<Item = Result<CheckTold, Error>> + Send + use<>, Error> {
        need_maintenance(caller)?;
        let CheckAsked { hash_bytes, id, after } = asked;
        let state = State::parse(&after)?;
        let check = match id {
            Some(id) => Some(self.get_check(id).await?),
            None if after.is_empty() && self.need_writable().is_ok() => {
                let (id, of) = (CheckId(self.ids.random()), self.store_id);
                let new = NewCheck { id, of, by: Actor::from(caller), now: self.clock.now() };
                Some(self.store.begin_check(new).await?)
            }
            // Nothing may be written, not even what was found.
            None => None,
        };
        let now = match &check {
            Some(check) => check.created_at,
            None => self.store.tell_time(self.clock.now()).await?,
        };
        let (tell, told) = mpsc::channel(WAITING);
        self.spawn_until_stop(move |app| async move {
            let mut checking =
                Checking::new(app, check, hash_bytes, now.plus_secs(-left_age(YOUNG_SECS)), tell.clone());
            tokio::select! {
                () = tell.closed() => {}
                ended = checking.go(state) => if let Err(Ended::Failed(error)) = ended {
                    // Whoever asked may have left by now.
                    let _ = tell.send(Err(error)).await;
                }
            }
        });
        Ok(ReceiverStream::new(told))
    }

    /// Checks are made where no run of maintenance ever forgets them, too.
    pub(super) async fn forget_checks(&self) {
        loop {
            match self.store.trim_checks(self.clock.now(), FORGOTTEN).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => return tracing::debug!(%error, "ended checks could not be forgotten"),
            }
        }
    }

    /// A check of this store that can still be used.
    async fn get_check(&self, id: CheckId) -> Result<Check, Error> {
        let check = self.store.find_check(id).await?.ok_or_else(Refusal::not_found)?;
        let ended = |why| Err(Refusal::new(Reason::PlanExpired).because(why).into());
        if check.expires_at <= self.store.tell_time(self.clock.now()).await? {
            return ended("the check has ended: make a new one");
        }
        if check.of != self.store_id {
            return ended("the check was made of another store of bytes: make a new one");
        }
        Ok(check)
    }

    /// Some of the files that a finding is about, as they are now.
    async fn files_of(&self, what: &What) -> Result<FilesOfBlob, Error> {
        Ok(match what {
            What::Blob { id, .. } => self.store.list_files_of_blob(*id).await?,
            What::Row(row) => FilesOfBlob { count: 1, first: row.file.into_iter().collect() },
            What::Bytes { .. } | What::Parts { .. } | What::Spooled { .. } | What::Strange { .. } => {
                FilesOfBlob::default()
            }
        })
    }
}
