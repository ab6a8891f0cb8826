//! A database as it is copied from and to: its rows, whatever its tables are, through one connection.
//!
//! Each row comes as one JSON array that the engine makes, so that no table is described here a second time: which there
//! are, `tables.rs` finds. Texts are ordered by their bytes. Not here: the order of a copy (`app/moving/`), and the words
//! in which the engines differ (`copying/words_*.rs`).

use async_trait::async_trait;
use data_encoding::HEXLOWER_PERMISSIVE;
use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection as _};
use serde_json::Value;

use super::{Conn, copying_words as words, pairing, statement::Statement};
use crate::ports::{Cell, Cells, Kind, StoreClaim, StoreError, Table, Tables};

/// Values that one statement binds: both engines take more.
const BOUND: usize = 30_000;

/// One connection, for a copy alone.
pub(in super::super) struct Session {
    conn: Conn,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

#[derive(QueryableByName)]
pub(super) struct Number {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub(super) number: i64,
}

/// The names of our own migrations are plain; some are words of SQL.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

fn listed(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn key_columns(table: &Table) -> Vec<(String, Kind)> {
    table.key.iter().filter_map(|at| table.columns.get(*at).cloned()).collect()
}

fn number_column(table: &Table) -> Result<&str, StoreError> {
    let column = table.key.iter().find_map(|at| table.columns.get(*at));
    column.map(|(name, _)| name.as_str()).ok_or_else(|| StoreError::Refused(format!("{} has no key", table.name)))
}

/// The key's columns as they are ordered by.
fn ordered(key: &[(String, Kind)]) -> String {
    listed(key.iter().map(|(name, kind)| match kind {
        Kind::Text => words::by_bytes(&quoted(name)),
        Kind::Int | Kind::Bytes | Kind::Bool => quoted(name),
    }))
}

fn damaged(table: &Table, line: &str) -> StoreError {
    let why = format!("a row of {} is read as {}", table.name, line.chars().take(200).collect::<String>());
    StoreError::Refused(why)
}

/// A row as the engine wrote it.
fn parse(line: &str, kinds: impl Iterator<Item = Kind>) -> Option<Cells> {
    let values: Vec<Value> = serde_json::from_str(line).ok()?;
    let cells: Option<Cells> = values
        .into_iter()
        .zip(kinds)
        .map(|(value, kind)| {
            Some(match (kind, value) {
                (_, Value::Null) => Cell::Null,
                (Kind::Int, value) => Cell::Int(value.as_i64()?),
                (Kind::Bool, value) => Cell::Bool(value.as_i64()? != 0),
                (Kind::Text, Value::String(text)) => Cell::Text(text),
                (Kind::Bytes, Value::String(hex)) => Cell::Bytes(HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()?),
                (Kind::Text | Kind::Bytes, _) => return None,
            })
        })
        .collect();
    cells
}

fn bind(statement: &mut Statement, cell: &Cell) {
    match cell {
        Cell::Null => statement.sql("NULL"),
        Cell::Int(number) => statement.int(*number),
        Cell::Text(text) => statement.text(text),
        Cell::Bytes(bytes) => statement.bytes(bytes),
        Cell::Bool(truth) => statement.bool(*truth),
    };
}

fn bind_all(statement: &mut Statement, cells: &[Cell]) {
    statement.sql("(");
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            statement.sql(", ");
        }
        bind(statement, cell);
    }
    statement.sql(")");
}

impl Session {
    pub(in super::super) fn over(conn: Conn) -> Self {
        Self { conn }
    }

    async fn read(
        &mut self,
        table: &Table,
        columns: &[(String, Kind)],
        after: Option<&Cells>,
        limit: usize,
    ) -> Result<Vec<Cells>, StoreError> {
        let parts = listed(columns.iter().map(|(name, kind)| words::as_json(&quoted(name), *kind)));
        let order = ordered(&key_columns(table));
        let mut select = Statement::new("SELECT ");
        select.sql(&words::json_array(&parts)).sql(" AS line FROM ").sql(&quoted(&table.name));
        if let Some(key) = after {
            select.sql(" WHERE (").sql(&order).sql(") > ");
            bind_all(&mut select, key);
        }
        select.sql(" ORDER BY ").sql(&order).sql(" LIMIT ").int(i64::try_from(limit).unwrap_or(i64::MAX));
        let lines: Vec<Line> = select.query().load(&mut self.conn).await?;
        let width = columns.len();
        let parsed = lines.iter().map(|Line { line }| {
            let cells = parse(line, columns.iter().map(|(_, kind)| *kind));
            cells.filter(|cells| cells.len() == width).ok_or_else(|| damaged(table, line))
        });
        parsed.collect()
    }

    /// All of these, or none.
    async fn write(&mut self, statements: Vec<Statement>) -> Result<(), Error> {
        self.conn.batch_execute(words::BEGIN_WRITING).await?;
        for statement in statements {
            if let Err(error) = statement.query().execute(&mut self.conn).await {
                // What the engine undid by itself already, it says so of; the error is the statement's.
                let _ = self.conn.batch_execute("ROLLBACK").await;
                return Err(error);
            }
        }
        self.conn.batch_execute("COMMIT").await
    }
}

fn insert(table: &Table, rows: &[Cells]) -> Statement {
    let mut insert = Statement::new("INSERT INTO ");
    insert.sql(&quoted(&table.name)).sql(" (");
    insert.sql(&listed(table.columns.iter().map(|(name, _)| quoted(name)))).sql(") VALUES ");
    for (i, row) in rows.iter().enumerate() {
        if i > 0 {
            insert.sql(", ");
        }
        bind_all(&mut insert, row);
    }
    let key = listed(key_columns(table).iter().map(|(name, _)| quoted(name)));
    insert.sql(" ON CONFLICT (").sql(&key).sql(")");
    let others = table.columns.iter().enumerate().filter(|(at, _)| !table.key.contains(at));
    let set = listed(others.map(|(_, (name, _))| format!("{0} = excluded.{0}", quoted(name))));
    if set.is_empty() {
        insert.sql(" DO NOTHING")
    } else {
        insert.sql(" DO UPDATE SET ").sql(&set)
    };
    insert
}

#[async_trait]
impl Tables for Session {
    async fn begin(&mut self) -> Result<(), StoreError> {
        self.conn.batch_execute(words::BEGIN_READING).await?;
        Ok(())
    }

    async fn end(&mut self) -> Result<(), StoreError> {
        self.conn.batch_execute("ROLLBACK").await?;
        Ok(())
    }

    async fn count(&mut self, table: &Table) -> Result<u64, StoreError> {
        let count = format!("SELECT count(*) AS number FROM {}", quoted(&table.name));
        let counted: Number = diesel::sql_query(count).get_result(&mut self.conn).await?;
        Ok(counted.number.unsigned_abs())
    }

    async fn rows(&mut self, table: &Table, after: Option<&Cells>, limit: usize) -> Result<Vec<Cells>, StoreError> {
        self.read(table, &table.columns, after, limit).await
    }

    async fn keys(&mut self, table: &Table, after: Option<&Cells>, limit: usize) -> Result<Vec<Cells>, StoreError> {
        self.read(table, &key_columns(table), after, limit).await
    }

    async fn put(&mut self, table: &Table, rows: &[Cells]) -> Result<(), StoreError> {
        let at_once = (BOUND / table.columns.len().max(1)).max(1);
        self.write(rows.chunks(at_once).map(|rows| insert(table, rows)).collect()).await?;
        Ok(())
    }

    async fn delete(&mut self, table: &Table, keys: &[Cells]) -> Result<bool, StoreError> {
        let columns = listed(key_columns(table).iter().map(|(name, _)| quoted(name)));
        let at_once = (BOUND / table.key.len().max(1)).max(1);
        let deletes = keys.chunks(at_once).map(|keys| {
            let mut delete = Statement::new("DELETE FROM ");
            delete.sql(&quoted(&table.name)).sql(" WHERE (").sql(&columns).sql(") IN (VALUES ");
            for (i, key) in keys.iter().enumerate() {
                if i > 0 {
                    delete.sql(", ");
                }
                bind_all(&mut delete, key);
            }
            delete.sql(")");
            delete
        });
        match self.write(deletes.collect()).await {
            Ok(()) => Ok(true),
            Err(Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn last_number(&mut self, table: &Table) -> Result<i64, StoreError> {
        words::last_number(&mut self.conn, &table.name, number_column(table)?).await
    }

    async fn set_last_number(&mut self, table: &Table, last: i64) -> Result<(), StoreError> {
        words::set_last_number(&mut self.conn, &table.name, number_column(table)?, last).await
    }

    async fn claim(&mut self) -> Result<Option<StoreClaim>, StoreError> {
        pairing::find(&mut self.conn).await
    }

    async fn put_claim(&mut self, claim: StoreClaim) -> Result<(), StoreError> {
        pairing::put(&mut self.conn, claim).await
    }
}
