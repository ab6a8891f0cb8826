//! The ports to what is moved: a database as tables of rows, and a store of bytes as a place that is filled.
//!
//! Not here: the order of a move (`app/moving.rs`), and the ports of the service itself (`store.rs`, `blobs.rs`).

use std::collections::HashMap;

use async_trait::async_trait;

use super::{BlobError, BlobStore, Intent, Store, StoreClaim, StoreError};
use crate::domain::{BlobKey, Sha256, StoreId, Time};

/// How the place of a store of bytes begins in a database that is an incomplete copy of another. Its id is then nobody's:
/// no server, of whatever release, finds the store of bytes that belongs to it.
pub const INCOMPLETE_COPY: &str = "an incomplete copy";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Int,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
    /// A truth.
    Bool,
}

/// A table of the schema, the same on every engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in one order everywhere.
    pub columns: Vec<(String, Kind)>,
    /// Which of them are its key, in the key's order.
    pub key: Vec<usize>,
    /// Its key is a number that the database gives, and never gives again.
    pub numbered: bool,
}

/// What one column of one row holds. Texts and bytes compare by their bytes, as keys do in both databases.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A truth.
    Bool(bool),
}

/// The key of a row, or a row: a cell for each column.
pub type Cells = Vec<Cell>;

/// A database as it is copied: through one connection, table by table, in the order of their keys.
#[async_trait]
pub trait Tables: Send {
    /// From here on to [`Tables::end`] what is read is one state.
    async fn begin(&mut self) -> Result<(), StoreError>;
    /// See [`Tables::begin`].
    async fn end(&mut self) -> Result<(), StoreError>;
    /// How many rows there are.
    async fn count(&mut self, table: &Table) -> Result<u64, StoreError>;
    /// The first rows after a key, in the order of keys.
    async fn rows(&mut self, table: &Table, after: Option<&Cells>, limit: usize) -> Result<Vec<Cells>, StoreError>;
    /// Their keys alone.
    async fn keys(&mut self, table: &Table, after: Option<&Cells>, limit: usize) -> Result<Vec<Cells>, StoreError>;
    /// Writes rows, over those with the same keys; all or none.
    async fn put(&mut self, table: &Table, rows: &[Cells]) -> Result<(), StoreError>;
    /// Removes the rows of these keys, all or none. `false` and none: other rows still name them.
    async fn delete(&mut self, table: &Table, keys: &[Cells]) -> Result<bool, StoreError>;
    /// The last number that was given in a numbered table.
    async fn last_number(&mut self, table: &Table) -> Result<i64, StoreError>;
    /// From here on numbers after this one are given.
    async fn set_last_number(&mut self, table: &Table, last: i64) -> Result<(), StoreError>;
    /// Which store of bytes belongs to it.
    async fn claim(&mut self) -> Result<Option<StoreClaim>, StoreError>;
    /// Says which store of bytes belongs to it, whatever was said before.
    async fn put_claim(&mut self, claim: StoreClaim) -> Result<(), StoreError>;
}

/// Bytes that a row names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedBytes {
    /// The row.
    pub id: i64,
    /// Where they lie.
    pub key: BlobKey,
    /// What they are.
    pub sha256: Sha256,
    /// How many.
    pub size: u64,
    /// They are on their way out, and may be gone already.
    pub leaving: bool,
}

/// An upload that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// Its intent.
    pub intent: Intent,
    /// Whose.
    pub node: String,
    /// Its node does not renew it any more.
    pub lease_over: bool,
}

/// What a move asks the database of the service.
#[async_trait]
pub trait MovingStore: Send + Sync + 'static {
    /// How many blobs there are, and how many bytes they have together.
    async fn count_bytes(&self) -> Result<(u64, u64), StoreError>;
    /// The first of them after a row.
    async fn list_bytes(&self, after: i64, limit: i64) -> Result<Vec<NamedBytes>, StoreError>;
    /// Uploads that may still become files, the first ten thousand of them, those that live first.
    async fn list_under_way(&self, now: Time) -> Result<Vec<UnderWay>, StoreError>;
    /// From here on the database belongs to another store of bytes, if it did not before. `false`: it belongs to a third
    /// one.
    async fn change_store(&self, from: StoreId, to: StoreClaim) -> Result<bool, StoreError>;
}

/// A database whose service is moved.
pub trait MovedStore: Store + MovingStore {}

impl<S: Store + MovingStore> MovedStore for S {}

/// What lies in a store of bytes.
#[derive(Debug, Clone, Default)]
pub struct Lying {
    /// The bytes, with their sizes.
    pub bytes: HashMap<BlobKey, u64>,
    /// Names that are none of ours: how many, and one of them.
    pub strange: Option<(u64, String)>,
}

/// A store of bytes that is filled.
#[async_trait]
pub trait BlobTarget: BlobStore {
    /// All that lies there. One entry for each blob is held in memory.
    async fn list(&self) -> Result<Lying, BlobError>;
    /// Removes what a copying that was killed left half done.
    async fn clear(&self) -> Result<(), BlobError>;
}
