//! What a check of consistency finds between database and store of bytes, as values.
//!
//! Not here: the walking and the repairing (`app/consistency.rs`).

use std::fmt::Write as _;

use super::{Actor, BlobKey, CheckId, FileId, Sha256, StoreId, Time, run::names};

names! {
    /// What was found.
    FindingKind {
        /// A blob's bytes are not there.
        BytesMissing = "BYTES_MISSING",
        /// A blob's bytes are more or fewer than they were.
        WrongSize = "WRONG_SIZE",
        /// A blob's bytes are not those that were stored.
        WrongHash = "WRONG_HASH",
        /// Bytes that no row names.
        UnnamedBytes = "UNNAMED_BYTES",
        /// An upload in parts that no row names.
        OpenMultipart = "OPEN_MULTIPART",
        /// Bytes in a node's spool that no upload names.
        StaleSpool = "STALE_SPOOL",
        /// A name that is none of ours where our bytes lie.
        StrangeName = "STRANGE_NAME",
        /// Rows that name what is not there, or that cannot be there together.
        DanglingRow = "DANGLING_ROW",
        /// A blob's bytes that the store does not give, though it works.
        Unreadable = "UNREADABLE",
    }
}

names! {
    /// Which rule rows break.
    Dangling {
        /// A file without a blob.
        FileWithoutBlob = "FILE_WITHOUT_BLOB",
        /// A file whose blob is PURGING.
        FileOfLeavingBlob = "FILE_OF_LEAVING_BLOB",
        /// An attachment without its file.
        AttachmentWithoutFile = "ATTACHMENT_WITHOUT_FILE",
        /// An attachment without its chat.
        AttachmentWithoutChat = "ATTACHMENT_WITHOUT_CHAT",
        /// A file that was purged, and is there.
        PurgedFile = "PURGED_FILE",
        /// A blob that no file needs, and that is not on its way out.
        BlobWithoutFile = "BLOB_WITHOUT_FILE",
    }
}

names! {
    /// What became of a finding that was to be repaired.
    Repair {
        /// It is removed.
        Repaired = "REPAIRED",
        /// It is not there any more, or as it should be.
        Gone = "GONE",
        /// Not by this node, or not yet.
        Skipped = "SKIPPED",
        /// Only a person can repair it.
        NeedsAPerson = "NEEDS_A_PERSON",
        /// The store did not do it.
        Failed = "FAILED",
    }
}

names! {
    /// Where a name lies.
    Place {
        /// In the store of bytes.
        Blobs = "BLOBS",
        /// In the spool of a node.
        Spool = "SPOOL",
    }
}

/// A name that is none of ours, relative to its place: bytes, as the store has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StrangeName(pub Vec<u8>);

impl StrangeName {
    /// With its place before it, in printable ASCII: all else, `%` and quotes are `%` and two hex digits.
    pub fn shown(&self, place: Place) -> String {
        let mut shown = match place {
            Place::Blobs => "blobs/".to_owned(),
            Place::Spool => "spool/".to_owned(),
        };
        for byte in &self.0 {
            if byte.is_ascii_graphic() && !matches!(byte, b'%' | b'"' | b'\'' | b'`') {
                shown.push(char::from(*byte));
            } else {
                // Writing to a text does not fail.
                let _ = write!(shown, "%{byte:02X}");
            }
        }
        shown
    }
}

/// A row that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DanglingRow {
    /// Which rule.
    pub rule: Dangling,
    /// The number of the file that it is about, which need not be there; of a blob its row.
    pub number: i64,
    /// Its id, where there is one.
    pub file: Option<FileId>,
    /// The chat of an attachment, as it is stored.
    pub chat: Option<String>,
}

/// What is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The bytes of a blob.
    Blob {
        /// BYTES_MISSING, WRONG_SIZE, WRONG_HASH or UNREADABLE.
        kind: FindingKind,
        /// Its row.
        id: i64,
        /// Where they should lie.
        key: BlobKey,
        /// What they should be.
        sha256: Sha256,
        /// How many there should be.
        size: u64,
        /// How many there are.
        found: u64,
        /// How many files need it, at most 1,000.
        files: u64,
    },
    /// Bytes that no row names.
    Bytes {
        /// Where.
        key: BlobKey,
        /// How many.
        size: u64,
        /// When they were written, as the store says.
        at: Time,
    },
    /// An upload in parts that no row names.
    Parts {
        /// To which key.
        key: BlobKey,
        /// Its id.
        id: String,
        /// When it was begun, as the store says.
        at: Time,
    },
    /// Bytes in the spool of the check's node that no upload names.
    Spooled {
        /// Under which key.
        key: BlobKey,
        /// How many.
        size: u64,
        /// When they were written.
        at: Time,
    },
    /// A name that is none of ours.
    Strange {
        /// Where it lies.
        place: Place,
        /// The name.
        name: StrangeName,
        /// How many bytes are there.
        size: u64,
        /// When they were written.
        at: Time,
        /// It is a plain file or object, which can be removed.
        plain: bool,
    },
    /// Rows.
    Row(DanglingRow),
}

impl What {
    /// Its kind.
    pub const fn kind(&self) -> FindingKind {
        match self {
            What::Blob { kind, .. } => *kind,
            What::Bytes { .. } => FindingKind::UnnamedBytes,
            What::Parts { .. } => FindingKind::OpenMultipart,
            What::Spooled { .. } => FindingKind::StaleSpool,
            What::Strange { .. } => FindingKind::StrangeName,
            What::Row(_) => FindingKind::DanglingRow,
        }
    }

    /// What tells it from others of its kind within a check: found twice, it is stored once.
    pub fn subject(&self) -> String {
        match self {
            What::Blob { key, .. } | What::Bytes { key, .. } | What::Spooled { key, .. } => key.to_string(),
            What::Parts { key, id, .. } => format!("{key} {id}"),
            What::Strange { place, name, .. } => shortened(name.shown(*place)),
            What::Row(DanglingRow { rule, number, chat, .. }) => {
                format!("{} {number} {}", rule.name(), chat.as_deref().unwrap_or_default())
            }
        }
    }

    /// Bytes that it has, or should have.
    pub const fn size(&self) -> u64 {
        match self {
            What::Blob { size, .. }
            | What::Bytes { size, .. }
            | What::Spooled { size, .. }
            | What::Strange { size, .. } => *size,
            What::Parts { .. } | What::Row(_) => 0,
        }
    }
}

/// As long as an index takes it: of a long name both ends, and how long it is.
fn shortened(name: String) -> String {
    const END: usize = 400;
    match (name.get(..END), name.get(name.len().saturating_sub(END)..)) {
        (Some(first), Some(last)) if name.len() > 2 * END => format!("{first} {} {last}", name.len()),
        _ => name,
    }
}

/// Something that a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: What,
    /// The node that found it.
    pub node: String,
}

/// A finding as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFinding {
    /// Its number within its check, from 1 on.
    pub number: i64,
    /// It was repaired.
    pub repaired: bool,
    /// What it is.
    pub finding: Finding,
}

/// A check whose findings are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its id.
    pub id: CheckId,
    /// Of which store of bytes.
    pub of: StoreId,
    /// Who asked for it.
    pub by: Actor,
    /// How many findings are stored.
    pub stored: u64,
    /// The moment by which ages were judged.
    pub created_at: Time,
    /// From when on it is forgotten.
    pub expires_at: Time,
}

/// Where the task CHECK goes on: the blob that it has looked at last, in two walks that go on by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CheckPlace {
    /// The last whose bytes it has looked for.
    pub sized: i64,
    /// The last that it has read and hashed.
    pub hashed: i64,
}

/// What nobody names is left alone for so long, in seconds: it may be on its way.
pub const YOUNG_SECS: i64 = 86_400;
/// How long a check is remembered after it was last gone on with, in seconds.
pub const CHECK_SECS: i64 = 86_400;
/// How long one that has come to its end and found nothing, in seconds: long enough to ask for its end once more.
pub const CLEAN_CHECK_SECS: i64 = 600;
/// A check under way is renewed more often than this, in seconds.
pub const IDLE_CHECK_SECS: i64 = 2 * 3_600;
/// Most findings of a check that are stored.
pub const MOST_FINDINGS: u64 = 100_000;
/// Most checks that are stored at once.
pub const MOST_CHECKS: i64 = 100;
/// Files of a blob beyond which they are not counted.
pub const MOST_COUNTED: u64 = 1_000;
/// Files of a blob that are named.
pub const MOST_NAMED: usize = 20;

/// How many unnamed bytes of so many that lie in a store a sweep removes: 1 %, but 1,000 in any case, and 100,000 at most.
/// More are rather a sign that the database is older than the store, and stay for a person.
pub fn most_swept(lying: u64) -> u64 {
    (lying / 100).clamp(1_000, 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strange_names_are_shown_in_printable_ascii_whatever_is_in_them() {
        let shown = |name: &[u8], place| StrangeName(name.to_vec()).shown(place);
        assert_eq!(shown(b"0068e/name#1", Place::Blobs), "blobs/0068e/name#1");
        assert_eq!(shown(b"a b%\"\n\xff", Place::Spool), "spool/a%20b%25%22%0A%FF");
    }

    #[test]
    fn a_sweep_removes_a_hundredth_of_what_lies_there_within_bounds() {
        let most = [0, 99_999, 200_000, 10_000_000, u64::MAX].map(most_swept);
        assert_eq!(most, [1_000, 1_000, 2_000, 100_000, 100_000]);
    }

    #[test]
    fn names_read_back() {
        for kind in FindingKind::ALL {
            assert_eq!(FindingKind::find(kind.name()), Some(*kind));
        }
        for rule in Dangling::ALL {
            assert_eq!(Dangling::find(rule.name()), Some(*rule));
        }
        assert!(Repair::ALL.iter().all(|repair| Repair::find(repair.name()) == Some(*repair)));
        assert!(Place::ALL.iter().all(|place| Place::find(place.name()) == Some(*place)));
    }
}
