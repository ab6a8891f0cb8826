//! Two databases, row by row: made equal, and compared.
//!
//! Both are read in the order of their keys, about a thousand rows at a time, so that memory does not grow with them; what
//! is equal is not written. So one and the same round copies, goes on after an interruption, and finds what has changed
//! since. Not here: when which round is run (`database.rs`).

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::{MoveError, Progress};
use crate::ports::{Cell, Cells, StoreError, Table, Tables};

/// Rows that are read at once.
const RANGE: usize = 1_000;

/// What two databases hold of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Which.
    pub table: String,
    /// Rows of the source.
    pub rows: u64,
    /// The hash of them all, in the order of their keys.
    pub sha256: [u8; 32],
    /// Rows that are not the same on both sides.
    pub differ: u64,
}

/// How many rows a round has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changed {
    pub(super) written: u64,
    pub(super) removed: u64,
}

/// The source, the target, and the tables of both.
pub(super) struct Pair {
    pub(super) from: Box<dyn Tables>,
    pub(super) to: Box<dyn Tables>,
    pub(super) tables: Vec<Table>,
}

fn key_of(table: &Table, row: &Cells) -> Cells {
    table.key.iter().filter_map(|at| row.get(*at).cloned()).collect()
}

/// Leaves of two pages what both have read to the same key; answers where to go on, `None` at the end.
fn cut(ours: &mut Vec<Cells>, theirs: &mut Vec<Cells>, key: impl Fn(&Cells) -> Cells) -> Option<Cells> {
    let last = |page: &[Cells]| page.last().filter(|_| page.len() >= RANGE).map(&key);
    let end = [last(ours), last(theirs)].into_iter().flatten().min()?;
    ours.retain(|row| key(row) <= end);
    theirs.retain(|row| key(row) <= end);
    Some(end)
}

/// A row as it is hashed: each cell with its kind and its length.
fn digest(hash: &mut Sha256, row: &Cells) {
    for cell in row {
        let number;
        let (kind, bytes): (u8, &[u8]) = match cell {
            Cell::Null => (0, &[]),
            Cell::Int(value) => {
                number = value.to_be_bytes();
                (1, &number)
            }
            Cell::Text(text) => (2, text.as_bytes()),
            Cell::Bytes(bytes) => (3, bytes),
            Cell::Bool(false) => (4, &[0]),
            Cell::Bool(true) => (4, &[1]),
        };
        hash.update([kind]);
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
}

impl Pair {
    /// Makes the target what the source is at one moment.
    pub(super) async fn round(&mut self, progress: &dyn Progress) -> Result<Changed, MoveError> {
        let tables = self.tables.clone();
        let mut rows = 0;
        for table in &tables {
            rows += self.from.count(table).await?;
        }
        progress.begin("rows", rows, None);
        let mut changed = Changed::default();
        // Rows that are gone make place for others of the same name; those that name others go before them.
        let mut held = self.remove(&tables, &mut changed).await?;
        for table in &tables {
            self.write(table, &mut changed, progress).await?;
        }
        while held > 0 {
            // What was named by rows that have another content now.
            let again = self.remove(&tables, &mut changed).await?;
            if again == held {
                return super::refused("rows of the target that are gone from the source cannot be removed");
            }
            held = again;
        }
        for table in tables.iter().filter(|table| table.numbered) {
            let last = self.from.last_number(table).await?;
            self.to.set_last_number(table, last).await.map_err(MoveError::Target)?;
        }
        progress.end();
        Ok(changed)
    }

    /// Removes what only the target has. Answers how many ranges could not be removed yet.
    async fn remove(&mut self, tables: &[Table], changed: &mut Changed) -> Result<u64, MoveError> {
        let mut held = 0;
        for table in tables.iter().rev() {
            let mut after = None;
            loop {
                let mut theirs = self.to.keys(table, after.as_ref(), RANGE).await.map_err(MoveError::Target)?;
                if theirs.is_empty() {
                    break;
                }
                let mut ours = self.from.keys(table, after.as_ref(), RANGE).await?;
                let end = cut(&mut ours, &mut theirs, Clone::clone);
                theirs.retain(|key| ours.binary_search(key).is_err());
                if !theirs.is_empty() {
                    if self.to.delete(table, &theirs).await.map_err(MoveError::Target)? {
                        changed.removed += theirs.len() as u64;
                    } else {
                        held += 1;
                    }
                }
                // A database on this machine is always ready: here others get their turn.
                tokio::task::yield_now().await;
                if end.is_none() {
                    break;
                }
                after = end;
            }
        }
        Ok(held)
    }

    /// Writes what the target has not, or not so.
    async fn write(&mut self, table: &Table, changed: &mut Changed, progress: &dyn Progress) -> Result<(), MoveError> {
        let mut after = None;
        loop {
            let (ours, theirs, end) = self.range(table, after.as_ref()).await?;
            progress.advance(ours.len() as u64, 0);
            let mut there: BTreeMap<Cells, Cells> = theirs.into_iter().map(|row| (key_of(table, &row), row)).collect();
            let new: Vec<Cells> =
                ours.into_iter().filter(|row| there.remove(&key_of(table, row)).as_ref() != Some(row)).collect();
            if !new.is_empty() {
                self.to.put(table, &new).await.map_err(MoveError::Target)?;
                changed.written += new.len() as u64;
                crate::fault_point!("M-rows");
            }
            tokio::task::yield_now().await;
            if end.is_none() {
                return Ok(());
            }
            after = end;
        }
    }

    async fn range(
        &mut self,
        table: &Table,
        after: Option<&Cells>,
    ) -> Result<(Vec<Cells>, Vec<Cells>, Option<Cells>), MoveError> {
        let mut ours = self.from.rows(table, after, RANGE).await?;
        let mut theirs = self.to.rows(table, after, RANGE).await.map_err(MoveError::Target)?;
        let end = cut(&mut ours, &mut theirs, |row| key_of(table, row));
        Ok((ours, theirs, end))
    }

    /// Reads both sides whole, and writes nothing.
    pub(super) async fn compare(&mut self, progress: &dyn Progress) -> Result<Vec<Compared>, MoveError> {
        let tables = self.tables.clone();
        let mut rows = 0;
        for table in &tables {
            rows += self.from.count(table).await?;
        }
        progress.begin("rows compared", rows, None);
        let mut all = Vec::with_capacity(tables.len());
        for table in &tables {
            let (mut hash, mut rows, mut differ, mut after) = (Sha256::new(), 0, 0, None);
            loop {
                let (ours, theirs, end) = self.range(table, after.as_ref()).await?;
                progress.advance(ours.len() as u64, 0);
                rows += ours.len() as u64;
                let mut there: BTreeMap<Cells, Cells> =
                    theirs.into_iter().map(|row| (key_of(table, &row), row)).collect();
                for row in &ours {
                    digest(&mut hash, row);
                    differ += u64::from(there.remove(&key_of(table, row)).as_ref() != Some(row));
                }
                differ += there.len() as u64;
                tokio::task::yield_now().await;
                if end.is_none() {
                    break;
                }
                after = end;
            }
            all.push(Compared { table: table.name.clone(), rows, sha256: hash.finalize().into(), differ });
        }
        progress.end();
        Ok(all)
    }

    /// Runs something over one state of the source.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        self.from.begin().await
    }

    /// See [`Pair::begin`].
    pub(super) async fn end(&mut self) -> Result<(), StoreError> {
        self.from.end().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(keys: std::ops::Range<i64>) -> Vec<Cells> {
        keys.map(|key| vec![Cell::Int(key)]).collect()
    }

    #[test]
    fn pages_are_cut_where_the_shorter_full_one_ends() {
        let full = RANGE as i64;
        let (mut ours, mut theirs) = (page(0..full), page(500..500 + full));
        assert_eq!(cut(&mut ours, &mut theirs, Clone::clone), Some(vec![Cell::Int(full - 1)]));
        assert_eq!((ours.len(), theirs.len()), (RANGE, RANGE - 500));

        let (mut ours, mut theirs) = (page(0..10), page(5..5 + full));
        assert_eq!(cut(&mut ours, &mut theirs, Clone::clone), Some(vec![Cell::Int(4 + full)]));
        assert_eq!((ours.len(), theirs.len()), (10, RANGE), "one side is at its end, the other goes on");

        let (mut ours, mut theirs) = (page(0..10), page(5..20));
        assert_eq!(cut(&mut ours, &mut theirs, Clone::clone), None);
        assert_eq!((ours.len(), theirs.len()), (10, 15));
    }

    #[test]
    fn no_two_rows_are_hashed_alike() {
        let hash = |row: Cells| {
            let mut hash = Sha256::new();
            digest(&mut hash, &row);
            <[u8; 32]>::from(hash.finalize())
        };
        let text = |text: &str| Cell::Text(text.to_owned());
        let rows = [
            vec![Cell::Null, text("a")],
            vec![text("a"), Cell::Null],
            vec![text(""), text("a")],
            vec![text("a"), text("")],
            vec![Cell::Bytes(b"a".to_vec()), Cell::Null],
            vec![Cell::Int(1), Cell::Bool(true)],
            vec![Cell::Bool(true), Cell::Int(1)],
            vec![Cell::Int(-1), Cell::Bool(false)],
        ];
        let hashes: std::collections::BTreeSet<_> = rows.iter().cloned().map(hash).collect();
        assert_eq!(hashes.len(), rows.len());
    }
}
