//! Where a check is, and what it has seen up to there: told with every message, so that any node goes on with it.
//!
//! Not here: the steps (the parent module).

use data_encoding::HEXLOWER;

use crate::{
    domain::{
        Reason, Refusal,
        consistency::{FindingKind, MOST_NAMED, What},
    },
    ports::WalkPlace,
};

/// What a check looks through, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckPhase {
    /// Rows that belong together.
    Rows,
    /// Blobs and their bytes.
    Blobs,
    /// The store of bytes.
    Store,
    /// The spool of the node that answers.
    Spool,
}

const PHASES: [CheckPhase; 4] = [CheckPhase::Rows, CheckPhase::Blobs, CheckPhase::Store, CheckPhase::Spool];
const KINDS: usize = FindingKind::ALL.len();

/// What a check has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckCounts {
    /// Blobs whose bytes were looked for.
    pub blobs: u64,
    /// Bytes that they have, by their rows.
    pub blob_bytes: u64,
    /// Bytes that were read and hashed.
    pub hashed_bytes: u64,
    /// Things that lie in the store and in the spool.
    pub stored: u64,
    /// Things that nobody names and that are young.
    pub young: u64,
    /// Blobs that are served and not known to be clean.
    pub unscanned: u64,
    /// Blobs that went meanwhile, or are on their way out.
    pub skipped: u64,
    found: [(u64, u64); KINDS],
}

impl CheckCounts {
    pub(super) fn count(&mut self, what: &What) {
        if let Some(found) = self.found.get_mut(what.kind() as usize) {
            *found = (found.0 + 1, found.1.saturating_add(what.size()));
        }
    }

    /// How many of each kind were found, and their bytes: of those kinds only that were found.
    pub fn found(&self) -> impl Iterator<Item = (FindingKind, u64, u64)> {
        let all = FindingKind::ALL.iter().zip(self.found);
        all.filter(|(_, (count, _))| *count > 0).map(|(kind, (count, bytes))| (*kind, count, bytes))
    }

    /// Nothing was found, and nothing is served that is not known to be clean.
    pub fn is_consistent(&self) -> bool {
        self.found().next().is_none() && self.unscanned == 0
    }
}

/// Where a check is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) phase: CheckPhase,
    /// Which walk of rows.
    pub(super) walk: usize,
    /// The last row of the walk, or the last blob.
    pub(super) after: i64,
    /// Of the walk through the store.
    pub(super) place: Option<WalkPlace>,
    pub(super) counts: CheckCounts,
    /// The first blobs that are counted as unscanned, at most [`MOST_NAMED`].
    pub(super) unscanned: Vec<i64>,
}

impl State {
    pub(super) const START: Self = Self {
        phase: CheckPhase::Rows,
        walk: 0,
        after: i64::MIN,
        place: None,
        counts: CheckCounts {
            blobs: 0,
            blob_bytes: 0,
            hashed_bytes: 0,
            stored: 0,
            young: 0,
            unscanned: 0,
            skipped: 0,
            found: [(0, 0); KINDS],
        },
        unscanned: Vec::new(),
    };

    /// One more that is served and not known to be clean.
    pub(super) fn count_unscanned(&mut self, blob: i64) {
        self.counts.unscanned += 1;
        if self.unscanned.len() < MOST_NAMED {
            self.unscanned.push(blob);
        }
    }

    /// The beginning of the next phase; `None` after the last.
    pub(super) fn next_phase(&self) -> Option<Self> {
        let phase = PHASES.get(self.phase as usize + 1)?;
        let unscanned = self.unscanned.clone();
        Some(Self { phase: *phase, walk: 0, after: i64::MIN, place: None, counts: self.counts, unscanned })
    }

    /// As it is told. It is nobody's secret, and whoever changes it misleads himself alone: what is repaired is what is
    /// stored, judged anew.
    pub(super) fn text(&self) -> String {
        let place = self.place.as_ref().map_or_else(|| "-".to_owned(), |place| HEXLOWER.encode(&place.0));
        let CheckCounts { blobs, blob_bytes, hashed_bytes, stored, young, unscanned, skipped, found } = self.counts;
        let mut words = vec!["1".to_owned(), (self.phase as usize).to_string(), self.walk.to_string()];
        let first: Vec<String> = self.unscanned.iter().map(ToString::to_string).collect();
        words.extend([self.after.to_string(), format!("p{place}"), format!("u{}", first.join(","))]);
        let counts = [blobs, blob_bytes, hashed_bytes, stored, young, unscanned, skipped];
        let counts = counts.into_iter().chain(found.into_iter().flat_map(|(count, bytes)| [count, bytes]));
        words.extend(counts.map(|count| count.to_string()));
        words.join(".")
    }

    /// From what was told; of nothing the start.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self::START);
        }
        Self::read(text).ok_or_else(|| Refusal::new(Reason::BadPageToken))
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split('.');
        (words.next()? == "1").then_some(())?;
        let phase = *PHASES.get(words.next()?.parse::<usize>().ok()?)?;
        let (walk, after) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let place = match words.next()?.strip_prefix('p')? {
            "-" => None,
            place => Some(WalkPlace(HEXLOWER.decode(place.as_bytes()).ok()?)),
        };
        let unscanned = match words.next()?.strip_prefix('u')? {
            "" => Vec::new(),
            blobs => blobs.split(',').map(str::parse).collect::<Result<Vec<i64>, _>>().ok()?,
        };
        (unscanned.len() <= MOST_NAMED).then_some(())?;
        let mut number = || words.next()?.parse::<u64>().ok();
        let mut counts = CheckCounts {
            blobs: number()?,
            blob_bytes: number()?,
            hashed_bytes: number()?,
            stored: number()?,
            young: number()?,
            unscanned: number()?,
            skipped: number()?,
            found: [(0, 0); KINDS],
        };
        for found in &mut counts.found {
            *found = (number()?, number()?);
        }
        words.next().is_none().then_some(Self { phase, walk, after, place, counts, unscanned })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BlobKey, Time};

    #[test]
    fn places_read_back_from_what_was_told_and_nothing_else_does() {
        let mut state = State { after: -7, walk: 2, place: Some(WalkPlace(b"o\0a/b.c".to_vec())), ..State::START };
        state.counts.count(&What::Bytes { key: BlobKey([1; 16]), size: 9, at: Time(0) });
        (1..=25).for_each(|blob| state.count_unscanned(blob));
        assert_eq!((state.counts.unscanned, state.unscanned.len()), (25, MOST_NAMED));
        let mut phases = 1;
        loop {
            let text = state.text();
            assert_eq!(State::parse(&text), Ok(state.clone()));
            for wrong in [format!("{text}.1"), format!("2{text}"), text[..text.len() - 2].to_owned()] {
                assert_eq!(
                    State::parse(&wrong).map_err(|refusal| refusal.reason),
                    Err(Reason::BadPageToken),
                    "{wrong}"
                );
            }
            let Some(next) = state.next_phase() else { break };
            (state, phases) = (State { place: Some(WalkPlace(Vec::new())), ..next }, phases + 1);
        }
        assert_eq!(phases, 4);
        let many = state.text().replace(".u1,", ".u1,1,");
        assert_eq!(State::parse(&many).map_err(|refusal| refusal.reason), Err(Reason::BadPageToken));
        assert_eq!(State::parse(""), Ok(State::START));
        assert_eq!(state.counts.found().collect::<Vec<_>>(), [(FindingKind::UnnamedBytes, 1, 9)]);
        assert!(!state.counts.is_consistent() && State::START.counts.is_consistent());
    }
}
