//! Rows of findings, and how they become values of the domain.
//!
//! Not here: the statements that read and write them (`checks.rs`).

use diesel::prelude::*;

use super::{
    rows::{self, corrupt},
    schema::findings,
};
use crate::{
    domain::{
        BlobKey, FileId, Sha256, Time,
        consistency::{Dangling, DanglingRow, Finding, FindingKind, Place, StoredFinding, StrangeName, What},
    },
    ports::StoreError,
};

/// A row of findings.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = findings)]
pub(super) struct FindingRow {
    check_number: i64,
    number: i64,
    kind: String,
    subject: String,
    node: String,
    blob_id: Option<i64>,
    key: Option<Vec<u8>>,
    sha256: Option<Vec<u8>>,
    size: i64,
    found: i64,
    files: i64,
    multipart: Option<String>,
    place: Option<String>,
    name: Option<Vec<u8>>,
    plain: bool,
    at: Option<i64>,
    rule: Option<String>,
    file_number: Option<i64>,
    file_id: Option<Vec<u8>>,
    chat_id: Option<String>,
    repaired_at: Option<i64>,
}

fn stored(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl FindingRow {
    /// A row of this check, of this number.
    pub(super) fn new(check_number: i64, number: i64, finding: &Finding) -> Self {
        let Finding { what, node } = finding;
        let mut row = Self {
            check_number,
            number,
            kind: what.kind().name().to_owned(),
            subject: what.subject(),
            node: node.clone(),
            blob_id: None,
            key: None,
            sha256: None,
            size: stored(what.size()),
            found: 0,
            files: 0,
            multipart: None,
            place: None,
            name: None,
            plain: false,
            at: None,
            rule: None,
            file_number: None,
            file_id: None,
            chat_id: None,
            repaired_at: None,
        };
        match what {
            What::Blob { id, key, sha256, found, files, .. } => {
                (row.blob_id, row.key, row.sha256) = (Some(*id), Some(key.0.to_vec()), Some(sha256.0.to_vec()));
                (row.found, row.files) = (stored(*found), stored(*files));
            }
            What::Bytes { key, at, .. } | What::Spooled { key, at, .. } => {
                (row.key, row.at) = (Some(key.0.to_vec()), Some(at.0));
            }
            What::Parts { key, id, at } => {
                (row.key, row.multipart, row.at) = (Some(key.0.to_vec()), Some(id.clone()), Some(at.0));
            }
            What::Strange { place, name, at, plain, .. } => {
                (row.place, row.name) = (Some(place.name().to_owned()), Some(name.0.clone()));
                (row.at, row.plain) = (Some(at.0), *plain);
            }
            What::Row(DanglingRow { rule, number, file, chat }) => {
                (row.rule, row.file_number) = (Some(rule.name().to_owned()), Some(*number));
                (row.file_id, row.chat_id) = (file.map(|id| id.0.to_vec()), chat.clone());
            }
        }
        row
    }

    fn what(self) -> Result<What, StoreError> {
        let number = self.number;
        let bad = |column| move || corrupt("findings", column, number);
        let key = || {
            let key = self.key.as_deref().ok_or_else(bad("key"))?;
            Ok::<_, StoreError>(BlobKey(rows::bytes("findings", "key", number, key)?))
        };
        let at = || self.at.map(Time).ok_or_else(bad("at"));
        let size = self.size.unsigned_abs();
        let kind = FindingKind::find(&self.kind).ok_or_else(bad("kind"))?;
        Ok(match kind {
            FindingKind::BytesMissing | FindingKind::WrongSize | FindingKind::WrongHash | FindingKind::Unreadable => {
                let sha256 = self.sha256.as_deref().ok_or_else(bad("sha256"))?;
                What::Blob {
                    kind,
                    id: self.blob_id.ok_or_else(bad("blob_id"))?,
                    key: key()?,
                    sha256: Sha256(rows::bytes("findings", "sha256", number, sha256)?),
                    size,
                    found: self.found.unsigned_abs(),
                    files: self.files.unsigned_abs(),
                }
            }
            FindingKind::UnnamedBytes => What::Bytes { key: key()?, size, at: at()? },
            FindingKind::StaleSpool => What::Spooled { key: key()?, size, at: at()? },
            FindingKind::OpenMultipart => {
                let (key, at) = (key()?, at()?);
                What::Parts { key, id: self.multipart.ok_or_else(bad("multipart"))?, at }
            }
            FindingKind::StrangeName => {
                let at = at()?;
                What::Strange {
                    place: self.place.as_deref().and_then(Place::find).ok_or_else(bad("place"))?,
                    name: StrangeName(self.name.ok_or_else(bad("name"))?),
                    size,
                    at,
                    plain: self.plain,
                }
            }
            FindingKind::DanglingRow => {
                let id = self.file_id.as_deref().map(|id| rows::bytes("findings", "file_id", number, id));
                What::Row(DanglingRow {
                    rule: self.rule.as_deref().and_then(Dangling::find).ok_or_else(bad("rule"))?,
                    number: self.file_number.ok_or_else(bad("file_number"))?,
                    file: id.transpose()?.map(FileId),
                    chat: self.chat_id,
                })
            }
        })
    }
}

impl TryFrom<FindingRow> for StoredFinding {
    type Error = StoreError;

    fn try_from(row: FindingRow) -> Result<Self, StoreError> {
        let (number, repaired, node) = (row.number, row.repaired_at.is_some(), row.node.clone());
        Ok(Self { number, repaired, finding: Finding { what: row.what()?, node } })
    }
}
