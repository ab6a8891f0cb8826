//! The port to the rescan and to what kills the scanner: each method is one transaction.
//!
//! There is one rescan over all nodes, one row. A node that scans holds its lease with a fence: what it writes is refused as
//! `FENCED` once another node has the lease, or the rescan began anew. Times are the database's own where nodes share it.
//! Not here: which blobs are due ([`crate::domain::quarantine`]), and the scans (`app/rescan.rs`).

use async_trait::async_trait;

use super::{Stop, StoreError};
use crate::domain::{
    ChatId, FileId, Sha256, Time,
    quarantine::{Candidate, Holder, Judged, Judgement, Phase, Spent, Target},
};

/// How far the rescan is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescan {
    /// By which signatures blobs are judged.
    pub target: Target,
    /// By which rule ([`crate::domain::quarantine::RescanRule::text`]); empty: it has never begun.
    pub rule: String,
    /// Where it is.
    pub phase: Phase,
    /// The blob that it has dealt with last, in the order of its phase.
    pub cursor: i64,
    /// The highest blob when it began.
    pub top: i64,
    /// What it is about.
    pub counted: Counted,
    /// Blobs that were scanned since it began.
    pub done_blobs: u64,
    /// Their bytes.
    pub done_bytes: u64,
    /// Blobs that it put into quarantine.
    pub hits: u64,
    /// Which node scans, or did last; empty: none yet.
    pub node: String,
    /// That node's lease holds.
    pub is_leased: bool,
    /// What this hour's budget was spent on.
    pub spent: Spent,
    /// When it began.
    pub started_at: Option<Time>,
    /// When all was dealt with that was there when it began.
    pub ended_at: Option<Time>,
    /// A release has ended since it began.
    pub is_stale: bool,
    /// Something is to be done, and nobody has gone on with it for [`crate::domain::quarantine::LEFT_SECS`].
    pub is_left: bool,
    /// The highest blob now.
    pub newest: i64,
    /// What time it is, by the clock that judges the budget.
    pub now: Time,
}

impl Rescan {
    /// Who has it.
    pub fn holder(&self) -> Holder<'_> {
        Holder { target: &self.target, node: &self.node, is_left: self.is_left }
    }
}

/// Blobs at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// All but those on their way out.
    pub blobs: u64,
    /// Those of them that other signatures have judged, or none.
    pub left_blobs: u64,
    /// Their bytes.
    pub left_bytes: u64,
}

/// What a node offers to scan by.
#[derive(Debug, Clone)]
pub struct TakeRescan {
    /// Which node.
    pub node: String,
    /// Its signatures.
    pub target: Target,
    /// The settings' rule.
    pub rule: String,
    /// What there is, if the rescan is to begin anew.
    pub counted: Option<Counted>,
    /// What time this node believes it is.
    pub now: Time,
    /// How long its lease holds, in seconds.
    pub lease_secs: i64,
}

/// The right to go on with the rescan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RescanLease {
    /// Grows with every node that takes it, and with every beginning.
    pub fence: i64,
}

/// A scan anew, to be stored.
#[derive(Debug, Clone)]
pub struct JudgeBlob {
    /// The lease of the node that goes through all; `None`: it was asked for this blob alone, and nothing brakes.
    pub lease: Option<RescanLease>,
    /// What was scanned, as it was when it was read.
    pub seen: Candidate,
    /// What was found.
    pub found: Judgement,
    /// By which signatures.
    pub target: Target,
    /// When.
    pub at: Time,
    /// What time this node believes it is.
    pub now: Time,
}

/// A signature that hits too much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Braked {
    /// Its name.
    pub signature: String,
    /// Blobs that it has hit in this rescan, those too that it did not put into quarantine.
    pub hits: u64,
    /// When it was stopped.
    pub at: Time,
}

/// The rescan.
#[async_trait]
pub trait RescanStore: Send + Sync + 'static {
    /// How far it is.
    async fn find_rescan(&self, now: Time) -> Result<Rescan, StoreError>;
    /// What a rescan to these signatures would be about. Looks at every blob: once for each beginning.
    async fn count_blobs(&self, signatures: &str) -> Result<Counted, StoreError>;
    /// Takes the lease, if it is free, or this node's own, or if these signatures take over from those of the rescan
    /// ([`Target::takes_over`]): it begins anew then, also under another rule, and when a release has ended. With other
    /// ones, failures by any others are forgotten, and what signatures have hit, but for those that are stopped or
    /// confirmed. Those that the rule ignores are stopped no more. `None`: another node goes on, or has the signatures that
    /// count.
    async fn take_rescan(&self, take: TakeRescan) -> Result<Option<(Rescan, RescanLease)>, StoreError>;
    /// Has the lease hold so many seconds from now on; none: it ends. `FENCED`.
    async fn renew_rescan(&self, lease: RescanLease, now: Time, lease_secs: i64) -> Result<(), Stop>;
    /// The next blobs of a phase after this one, due or not, at most `limit`.
    async fn list_candidates(
        &self,
        phase: Phase,
        after: i64,
        limit: u32,
        now: Time,
    ) -> Result<Vec<Candidate>, StoreError>;
    /// Stores where the walk is. `ended`: all is dealt with that was there; signatures that are stopped and have hit nothing
    /// more meanwhile are forgotten. `FENCED`.
    async fn note_rescan(
        &self,
        lease: RescanLease,
        phase: Phase,
        cursor: i64,
        ended: bool,
        now: Time,
    ) -> Result<(), Stop>;
    /// Spends so many bytes of the hour's budget; answers from when on there is one again, if there is none. `FENCED`.
    async fn spend_budget(&self, lease: RescanLease, bytes: u64, budget: u64, now: Time) -> Result<Option<Time>, Stop>;
    /// Stores what was found in a blob, with cursor and counts. Nothing is stored of one that has changed meanwhile.
    /// `FENCED`.
    async fn judge_blob(&self, judge: JudgeBlob) -> Result<Judged, Stop>;
    /// Has it begin anew, by the same signatures; with a name nothing brakes that signature any more.
    async fn restart_rescan(&self, confirm: Option<&str>, now: Time) -> Result<(), StoreError>;
    /// The signatures that are stopped, by name; at most 1,000.
    async fn list_braked(&self) -> Result<Vec<Braked>, StoreError>;
    /// READY files attached to a chat with what is known of their bytes, also those in quarantine; at most `limit`.
    async fn list_chat_blobs(
        &self,
        chat: &ChatId,
        limit: u32,
        now: Time,
    ) -> Result<Vec<(FileId, Candidate)>, StoreError>;
    /// A file that is READY or deleted, with what is known of its bytes.
    async fn find_file_blob(&self, file: FileId, now: Time) -> Result<Option<Candidate>, StoreError>;

    /// How often scans of these bytes ended without a verdict, by these signatures.
    async fn find_failures(&self, sha256: Sha256, signatures: &str) -> Result<u32, StoreError>;
    /// Counts some more; answers how many there are then. Those by other signatures count no more.
    async fn note_failures(&self, sha256: Sha256, signatures: &str, times: u32, now: Time) -> Result<u32, StoreError>;
    /// There was a verdict.
    async fn forget_failures(&self, sha256: Sha256) -> Result<(), StoreError>;
}
