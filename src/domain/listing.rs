//! What a list may ask for: filter, order, and the place where a page ends.
//!
//! Not here: the sealing of page tokens (`app/seal.rs`) and the queries (`adapters/sql/listing.rs`).

use super::{ChatId, FileId, Origin, Person, Sha256, Time, VisitorId, file::VerdictKind};

/// Smallest and largest page, and the one taken when none is asked for.
pub const PAGE_SIZES: (u32, u32, u32) = (1, 500, 50);
/// Most rows that a page with a filter without an index examines; then it answers a short page with a token.
pub const MAX_EXAMINED: i64 = 50_000;

/// Most rows that a total examines; beyond, it is a lower bound.
pub const MAX_COUNTED: i64 = 100_000;

/// Which comes first. Ties are broken by the file's number, the same way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
    /// Largest first.
    Largest,
}

/// The place of a row in an order: the next page starts after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Time in microseconds, or size in bytes, as the order says.
    pub key: i64,
    /// The file's number.
    pub number: i64,
}

/// Filters on files; all that are set must hold. An empty list asks for nothing in particular.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileFilter {
    /// Attached to one of these chats (at most 100).
    pub chats: Vec<ChatId>,
    /// Uploaded by one of these (at most 100).
    pub uploaders: Vec<Person>,
    /// Uploaded by visitors.
    pub visitors_only: bool,
    /// The display name holds this, whatever its case.
    pub name_contains: Option<String>,
    /// Persistent or not.
    pub persistent: Option<bool>,
    /// Attached to any chat, or to none.
    pub attached: Option<bool>,
    /// The extension.
    pub extension: Option<String>,
    /// The media type we serve.
    pub media_type: Option<String>,
    /// The hash of the stored bytes.
    pub sha256: Option<Sha256>,
    /// At least so many bytes.
    pub min_size: Option<u64>,
    /// At most so many bytes.
    pub max_size: Option<u64>,
    /// Created at or after.
    pub from: Option<Time>,
    /// Created before.
    pub before: Option<Time>,
    /// The verdict on its bytes.
    pub verdict: Option<VerdictKind>,
    /// Uploaded for this online visitor.
    pub visitor: Option<VisitorId>,
    /// Where it comes from.
    pub origin: Option<Origin>,
}

/// A page of files to be listed.
#[derive(Debug, Clone)]
pub struct FileQuery {
    /// What.
    pub filter: FileFilter,
    /// Files deleted after this time, and no others; `None`: files that are there.
    pub deleted_after: Option<Time>,
    /// Set for a caller whose reach is some chats only: nothing is shown that is not attached to one of them.
    pub scope: Option<Vec<ChatId>>,
    /// Which first.
    pub order: Order,
    /// Where the last page ended.
    pub after: Option<Place>,
    /// How many at most.
    pub limit: u32,
    /// Count what matches.
    pub with_total: bool,
}

/// A page of rows.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Place>,
    /// How many match, if it was asked.
    pub total: Option<Total>,
}

/// How many files match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// So many.
    pub files: u64,
    /// Or more: counting stopped at [`MAX_COUNTED`] rows examined.
    pub is_lower_bound: bool,
}

impl Total {
    /// Exactly so many.
    pub const fn exactly(files: u64) -> Self {
        Self { files, is_lower_bound: false }
    }
}

/// How a file is named by a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileRef {
    /// By id.
    Id(FileId),
    /// By message code.
    Code(super::MessageCode),
}
