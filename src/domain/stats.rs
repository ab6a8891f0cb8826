//! What is stored, in numbers: counted file by file and blob by blob, page after page.
//!
//! Not here: where the rows come from (`ports/stats.rs`), and how often they are counted (`app/stats.rs`).

use std::collections::{BTreeMap, HashMap};

use super::{AgesAs, BlobState, CallerKind, FileState, Origin, Time, run::PlanGroup};

/// Ages under which files are counted together, in days; the rest is older than all of them.
pub const AGES: [i64; 5] = [1, 7, 30, 90, 365];
/// So many extensions are named, those of the most bytes; the rest are counted together.
pub const EXTENSIONS: usize = 20;
/// A day, in seconds.
const DAY: i64 = 86_400;

/// A number of files, or of blobs, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Count {
    /// Their bytes.
    pub bytes: u64,
    /// How many.
    pub count: u64,
}

impl Count {
    /// One more of so many bytes.
    pub const fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// All of these, too.
    pub const fn add_all(&mut self, more: Count) {
        self.count += more.count;
        self.bytes = self.bytes.saturating_add(more.bytes);
    }
}

/// What is counted of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFact {
    /// Its number.
    pub number: i64,
    /// Where it is in its life.
    pub state: FileState,
    /// Who uploaded it.
    pub uploader: CallerKind,
    /// Where it comes from, if that was said.
    pub origin: Option<Origin>,
    /// Its extension.
    pub extension: String,
    /// Its bytes.
    pub size: u64,
    /// From when on its age counts: the later of upload and restore.
    pub since: Time,
}

/// What is counted of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobFact {
    /// Its row.
    pub id: i64,
    /// What becomes of it.
    pub state: BlobState,
    /// Its bytes.
    pub size: u64,
    /// More than one file needs it.
    pub shared: bool,
}

/// What is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// The moment by which ages are told.
    pub at: Time,
    /// Files that are there.
    pub ready: Count,
    /// Deleted ones, which can be restored or wait for the purge.
    pub deleted: Count,
    /// Those that are there by who uploaded them.
    pub uploaders: BTreeMap<CallerKind, Count>,
    /// By where they come from; `None`: not said.
    pub origins: BTreeMap<Option<Origin>, Count>,
    /// By their age, as [`AGES`], then those that are older.
    pub ages: [Count; AGES.len() + 1],
    /// By their extension.
    pub extensions: HashMap<String, Count>,
    /// Blobs whose bytes are served.
    pub active: Count,
    /// Blobs in quarantine.
    pub quarantined: Count,
    /// Blobs whose bytes are on their way out.
    pub purging: Count,
    /// Blobs that more than one file needs; they are among the others.
    pub shared: Count,
    /// What the next run deletes by the rule in force.
    pub due: Vec<PlanGroup>,
    /// Most files that a run deletes unattended.
    pub guard: u64,
}

impl Stats {
    /// Nothing, at a moment.
    pub fn at(at: Time) -> Self {
        Self { at, ..Self::default() }
    }

    /// One more file.
    pub fn count_file(&mut self, file: FileFact) {
        let FileFact { number: _, state, uploader, origin, extension, size, since } = file;
        match state {
            FileState::Deleted => return self.deleted.add(size),
            FileState::Ready => self.ready.add(size),
        }
        self.uploaders.entry(uploader).or_default().add(size);
        self.origins.entry(origin).or_default().add(size);
        let age = AGES.iter().position(|days| self.at < since.plus_secs(days * DAY)).unwrap_or(AGES.len());
        self.ages[age].add(size);
        self.extensions.entry(extension).or_default().add(size);
    }

    /// One more blob.
    pub const fn count_blob(&mut self, blob: BlobFact) {
        let BlobFact { id: _, state, size, shared } = blob;
        match state {
            BlobState::Active => self.active.add(size),
            BlobState::Quarantined => self.quarantined.add(size),
            BlobState::Purging => self.purging.add(size),
        }
        if shared {
            self.shared.add(size);
        }
    }

    /// More that the next run deletes.
    pub fn count_due(&mut self, groups: Vec<PlanGroup>) {
        for group in groups {
            match self.due.iter_mut().find(|known| (known.owner, known.attached) == (group.owner, group.attached)) {
                Some(known) => {
                    known.files += group.files;
                    known.bytes = known.bytes.saturating_add(group.bytes);
                }
                None => self.due.push(group),
            }
        }
        self.due.sort_unstable_by_key(|group| (group.owner == AgesAs::Visitor, group.attached));
    }

    /// The extensions of the most bytes, the most first, and all others together.
    pub fn top_extensions(&self) -> (Vec<(String, Count)>, Count) {
        let mut all: Vec<(&String, Count)> = self.extensions.iter().map(|(name, count)| (name, *count)).collect();
        all.sort_unstable_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
        let mut rest = Count::default();
        all.iter().skip(EXTENSIONS).for_each(|(_, count)| rest.add_all(*count));
        (all.into_iter().take(EXTENSIONS).map(|(name, count)| (name.clone(), count)).collect(), rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(extension: &str, size: u64, days: i64) -> FileFact {
        FileFact {
            number: 1,
            state: FileState::Ready,
            uploader: CallerKind::Visitor,
            origin: None,
            extension: extension.to_owned(),
            size,
            since: Time(0).plus_secs(-days * DAY),
        }
    }

    #[test]
    fn a_file_that_is_as_old_as_a_bound_is_of_the_next_age() {
        let mut stats = Stats::at(Time(0));
        for days in [0, 1, 6, 7, 30, 364, 365, 5_000] {
            stats.count_file(file("txt", 1, days));
        }
        assert_eq!(stats.ages.map(|age| age.count), [1, 2, 1, 1, 1, 2]);
    }

    #[test]
    fn deleted_files_are_counted_apart_and_no_others_with_them() {
        let mut stats = Stats::at(Time(0));
        stats.count_file(FileFact { state: FileState::Deleted, ..file("txt", 7, 0) });
        stats.count_file(file("txt", 5, 0));
        assert_eq!((stats.ready, stats.deleted), (Count { count: 1, bytes: 5 }, Count { count: 1, bytes: 7 }));
        assert_eq!(stats.uploaders.values().map(|count| count.count).sum::<u64>(), 1);
    }

    #[test]
    fn twenty_extensions_are_named_by_their_bytes_and_the_rest_is_one() {
        let mut stats = Stats::at(Time(0));
        for n in 0..25_u64 {
            stats.count_file(file(&format!("e{n:02}"), 100 + n, 0));
        }
        let (top, rest) = stats.top_extensions();
        assert_eq!((top.len(), top[0].0.as_str(), top[19].0.as_str()), (20, "e24", "e05"));
        assert_eq!(rest, Count { count: 5, bytes: 100 + 101 + 102 + 103 + 104 });
    }
}
