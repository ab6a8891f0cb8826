//! Which node's signatures the rescan goes by, where nodes have different ones.
//!
//! Not here: the row and its lease (`adapters/`), and the walk (`app/rescan/`).

use super::Target;
use crate::domain::{Hit, Time, Verdict, VerdictKind};

/// So long nobody has gone on with a rescan, though something is to be done, before others take it over, in seconds.
pub const LEFT_SECS: i64 = 600;

/// Who has the rescan.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// By which signatures.
    pub target: &'a Target,
    /// Which node goes on with it, or did last.
    pub node: &'a str,
    /// It has left it lying for [`LEFT_SECS`].
    pub is_left: bool,
}

impl Target {
    /// Newer than the other: by the time they were made, then by name, so that all nodes agree. Without a time they are
    /// older than any with one.
    pub fn is_newer_than(&self, other: &Target) -> bool {
        (self.made, &self.signatures) > (other.made, &other.signatures)
    }

    /// Made later than that, for certain.
    pub fn is_later_than(&self, made: Option<Time>) -> bool {
        self.made.zip(made).is_some_and(|(ours, theirs)| ours > theirs)
    }

    /// The rescan begins anew by these signatures of `node`. Sets of one day, or of none, have no order but that of their
    /// names, which says nothing when a node's own set has changed: then it goes on with what it has now. Between nodes
    /// the name decides, so that they do not take it from each other for ever, unless the one that has it is gone.
    pub fn takes_over(&self, node: &str, from: &Holder<'_>) -> bool {
        let is_other = self.signatures != from.target.signatures;
        is_other
            && (self.is_newer_than(from.target)
                || !from.target.is_later_than(self.made) && (from.node == node || from.is_left))
    }

    /// May call clean what those found that made a hit, as an upload's would ([`Hit::stands_against`]).
    pub fn clears(&self, hit: &Hit) -> bool {
        !hit.stands_against(&self.signatures, self.made)
    }

    /// A verdict by them.
    pub fn verdict(&self, kind: VerdictKind, at: Time) -> Verdict {
        Verdict { kind, engine: self.engine.clone(), signatures: self.signatures.clone(), at }
    }
}
