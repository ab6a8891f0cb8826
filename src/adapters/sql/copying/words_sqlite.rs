//! SQLite's words where a copy says them differently than on PostgreSQL.
//!
//! The twin of `words_postgres.rs`, in the same order. Not here: the statements themselves (`copying.rs`).

use diesel_async::RunQueryDsl as _;

use super::{Conn, copying::Number, statement::Statement};
use crate::ports::{Kind, StoreError};

/// What is read from here on is one state, from the first statement on.
pub(super) const BEGIN_READING: &str = "BEGIN";
/// Begins a transaction that writes.
pub(super) const BEGIN_WRITING: &str = "BEGIN IMMEDIATE";

/// An array of these columns, as JSON.
pub(super) fn json_array(parts: &str) -> String {
    format!("json_array({parts})")
}

/// A column as JSON can hold it: bytes in hex, truths as numbers.
pub(super) fn as_json(column: &str, kind: Kind) -> String {
    match kind {
        // Of NULL it would be an empty text.
        Kind::Bytes => format!("iif({column} IS NULL, NULL, hex({column}))"),
        Kind::Int | Kind::Text | Kind::Bool => column.to_owned(),
    }
}

/// A text as it is ordered by its bytes: they all are.
pub(super) fn by_bytes(column: &str) -> String {
    column.to_owned()
}

/// The last number that was given in a table.
pub(super) async fn last_number(conn: &mut Conn, table: &str, _column: &str) -> Result<i64, StoreError> {
    let mut select = Statement::new("SELECT coalesce(max(seq), 0) AS number FROM sqlite_sequence WHERE name = ");
    select.text(table);
    let last: Number = select.query().get_result(conn).await?;
    Ok(last.number)
}

/// Numbers after this one are given.
pub(super) async fn set_last_number(conn: &mut Conn, table: &str, _column: &str, last: i64) -> Result<(), StoreError> {
    let mut delete = Statement::new("DELETE FROM sqlite_sequence WHERE name = ");
    delete.text(table);
    delete.query().execute(conn).await?;
    let mut insert = Statement::new("INSERT INTO sqlite_sequence (name, seq) VALUES (");
    insert.text(table).sql(", ").int(last).sql(")");
    insert.query().execute(conn).await?;
    Ok(())
}
