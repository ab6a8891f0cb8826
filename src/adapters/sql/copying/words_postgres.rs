//! PostgreSQL's words where a copy says them differently than on SQLite.
//!
//! The twin of `words_sqlite.rs`, in the same order. Not here: the statements themselves (`copying.rs`).

use diesel_async::RunQueryDsl as _;

use super::{Conn, copying::Number, statement::Statement};
use crate::ports::{Kind, StoreError};

/// What is read from here on is one state, from the first statement on.
pub(super) const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Begins a transaction that writes.
pub(super) const BEGIN_WRITING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// An array of these columns, as JSON.
pub(super) fn json_array(parts: &str) -> String {
    format!("json_build_array({parts})::text")
}

/// A column as JSON can hold it: bytes in hex, truths as numbers.
pub(super) fn as_json(column: &str, kind: Kind) -> String {
    match kind {
        Kind::Bytes => format!("encode({column}, 'hex')"),
        Kind::Bool => format!("{column}::int"),
        Kind::Int | Kind::Text => column.to_owned(),
    }
}

/// A text as it is ordered by its bytes, whatever the database's collation. Of a column that is so anyway the index serves.
pub(super) fn by_bytes(column: &str) -> String {
    format!("{column} COLLATE \"C\"")
}

/// The last number that was given in a table.
pub(super) async fn last_number(conn: &mut Conn, table: &str, column: &str) -> Result<i64, StoreError> {
    let mut name = Statement::new("SELECT pg_get_serial_sequence(");
    name.text(table).sql(", ").text(column).sql(") AS name");
    let Sequence { name } = name.query().get_result(conn).await?;
    // The name is the database's own, of one of our tables, and quoted by it.
    let last = format!("SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END AS number FROM {name}");
    let last: Number = diesel::sql_query(last).get_result(conn).await?;
    Ok(last.number)
}

#[derive(diesel::QueryableByName)]
struct Sequence {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

/// Numbers after this one are given.
pub(super) async fn set_last_number(conn: &mut Conn, table: &str, column: &str, last: i64) -> Result<(), StoreError> {
    let mut set = Statement::new("SELECT setval(pg_get_serial_sequence(");
    set.text(table).sql(", ").text(column).sql("), ").int(last.saturating_add(1)).sql(", FALSE) AS number");
    let _: Number = set.query().get_result(conn).await?;
    Ok(())
}
