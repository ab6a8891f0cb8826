//! Databases as they are copied: which tables there are, by the migrations' own word, and how far a database has come.
//!
//! The tables are read from an empty SQLite in memory that the migrations have made: the twins are the same
//! (`tests/twins.rs`). So a new table or column is copied from its first day on. Not here: the rows (`copying.rs`).

use std::{collections::BTreeSet, path::PathBuf};

use diesel::{
    Connection as _, QueryableByName, RunQueryDsl as Blocking, SqliteConnection,
    migration::MigrationSource,
    sql_types::{Integer, Nullable, Text},
};
use diesel_async::{
    AsyncPgConnection, RunQueryDsl as Waiting, SimpleAsyncConnection as _,
    sync_connection_wrapper::SyncConnectionWrapper,
};
use diesel_migrations::MigrationHarness as _;

use super::{on_postgres, on_sqlite, postgres, sqlite};
use crate::ports::{Kind, StoreError, Table, Tables};

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseAt {
    /// This file.
    Sqlite(PathBuf),
    /// At this URL.
    Postgres(String),
}

/// A move of a database: no other is under way as long as this lives.
pub struct OneMove {
    /// Its end is the lock's.
    _session: Option<AsyncPgConnection>,
}

/// The lock of a move: 'lhmv', as a number.
const MOVE: i64 = 1_818_783_094;

#[derive(QueryableByName)]
struct Taken {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    taken: bool,
}

/// How far a database has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    /// Steps of this version that it lacks, in their order.
    pub pending: Vec<String>,
    /// Steps of a newer version that it has.
    pub unknown: Vec<String>,
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

#[derive(QueryableByName)]
struct ColumnRow {
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Text)]
    column: String,
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Integer)]
    key: i32,
    #[diesel(sql_type = Text)]
    made: String,
}

#[derive(QueryableByName)]
struct Reference {
    #[diesel(sql_type = Text)]
    child: String,
    #[diesel(sql_type = Nullable<Text>)]
    parent: Option<String>,
}

const OURS: &str = "t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
                    AND t.name <> '__diesel_schema_migrations'";
const APPLIED: &str = "SELECT version FROM __diesel_schema_migrations";

fn failed(error: impl ToString) -> StoreError {
    StoreError::Refused(error.to_string())
}

/// The tables that are copied, those that others name before these. Which store of bytes belongs to a database (`store`) is
/// not among them: it is said last.
///
/// # Errors
/// None but a bug of ours.
pub fn tables() -> Result<Vec<Table>, StoreError> {
    let mut conn = SqliteConnection::establish(":memory:").map_err(failed)?;
    conn.run_pending_migrations(sqlite::MIGRATIONS).map_err(failed)?;
    let columns = format!(
        "SELECT t.name AS \"table\", c.name AS \"column\", upper(c.type) AS kind, c.pk AS key, t.sql AS made \
         FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE {OURS} ORDER BY t.name, c.cid"
    );
    let columns: Vec<ColumnRow> = Blocking::load(diesel::sql_query(columns), &mut conn)?;
    let references = format!(
        "SELECT t.name AS child, f.\"table\" AS parent FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) f \
         WHERE {OURS}"
    );
    let references: Vec<Reference> = Blocking::load(diesel::sql_query(references), &mut conn)?;
    let mut waiting = Vec::<Table>::new();
    let mut keys = Vec::new();
    for ColumnRow { table, column, kind, key, made } in columns {
        if waiting.last().is_none_or(|last| last.name != table) {
            let numbered = made.contains("AUTOINCREMENT");
            waiting.push(Table { name: table.clone(), columns: Vec::new(), key: Vec::new(), numbered });
            keys.push(Vec::new());
        }
        let kind = match kind.as_str() {
            "INTEGER" | "BIGINT" => Kind::Int,
            "TEXT" => Kind::Text,
            "BLOB" => Kind::Bytes,
            "BOOLEAN" => Kind::Bool,
            other => return Err(failed(format!("{table}.{column} is {other}, which is not portable"))),
        };
        if let (Some(table), Some(keys)) = (waiting.last_mut(), keys.last_mut()) {
            if key > 0 {
                keys.push((key, table.columns.len()));
            }
            table.columns.push((column, kind));
        }
    }
    for (table, mut keys) in waiting.iter_mut().zip(keys) {
        keys.sort_unstable();
        table.key = keys.into_iter().map(|(_, at)| at).collect();
    }
    waiting.retain(|table| table.name != "store");
    let mut sorted = Vec::<Table>::new();
    while !waiting.is_empty() {
        let known = |name: &str| sorted.iter().any(|table| table.name == name);
        let ready = waiting.iter().position(|table| {
            let mut parents = references.iter().filter(|r| r.child == table.name).filter_map(|r| r.parent.as_deref());
            parents.all(|parent| parent == table.name || known(parent))
        });
        let at = ready.ok_or_else(|| failed("tables that name each other in a circle cannot be copied"))?;
        sorted.push(waiting.remove(at));
    }
    Ok(sorted)
}

fn steps<DB: diesel::backend::Backend>(
    source: &impl MigrationSource<DB>,
    applied: Vec<Version>,
) -> Result<Steps, StoreError> {
    let mut unknown: BTreeSet<String> = applied.into_iter().map(|row| row.version).collect();
    let mut pending = Vec::new();
    for step in source.migrations().map_err(failed)? {
        let name = step.name();
        if !unknown.remove(&name.version().to_string()) {
            pending.push(name.to_string());
        }
    }
    pending.sort();
    Ok(Steps { pending, unknown: unknown.into_iter().collect() })
}

impl DatabaseAt {
    /// What it lacks, and what it has of a newer version. Changes nothing.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn steps(&self) -> Result<Steps, StoreError> {
        match self {
            Self::Sqlite(file) if !file.exists() => steps::<diesel::sqlite::Sqlite>(&sqlite::MIGRATIONS, Vec::new()),
            Self::Sqlite(file) => {
                let mut conn = SqliteConnection::establish(&file.to_string_lossy()).map_err(|e| {
                    StoreError::Unavailable(std::io::Error::other(format!("the database does not open: {e}")))
                })?;
                let begun = "SELECT name AS version FROM sqlite_master WHERE name = '__diesel_schema_migrations'";
                let begun: Vec<Version> = Blocking::load(diesel::sql_query(begun), &mut conn)?;
                let applied =
                    if begun.is_empty() { Vec::new() } else { Blocking::load(diesel::sql_query(APPLIED), &mut conn)? };
                steps::<diesel::sqlite::Sqlite>(&sqlite::MIGRATIONS, applied)
            }
            Self::Postgres(url) => {
                let mut conn = postgres::Server::parse(url)?.connect().await?;
                let begun = "SELECT relname::text AS version FROM pg_class \
                             WHERE oid = to_regclass('__diesel_schema_migrations')";
                let begun: Vec<Version> = Waiting::load(diesel::sql_query(begun), &mut conn).await?;
                let applied = if begun.is_empty() {
                    Vec::new()
                } else {
                    Waiting::load(diesel::sql_query(APPLIED), &mut conn).await?
                };
                steps::<diesel::pg::Pg>(&postgres::MIGRATIONS, applied)
            }
        }
    }

    /// Keeps every other move of this database away; `None`: one is under way. That of a file is kept away by its folder.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn begin_move(&self) -> Result<Option<OneMove>, StoreError> {
        let Self::Postgres(url) = self else { return Ok(Some(OneMove { _session: None })) };
        let mut conn = postgres::Server::parse(url)?.connect().await?;
        let lock = diesel::sql_query(format!("SELECT pg_try_advisory_lock({MOVE}) AS taken"));
        let Taken { taken } = Waiting::get_result(lock, &mut conn).await?;
        Ok(taken.then_some(OneMove { _session: Some(conn) }))
    }

    /// A connection to copy by. The tables must be there.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn session(&self) -> Result<Box<dyn Tables>, StoreError> {
        Ok(match self {
            Self::Sqlite(file) => {
                let conn = sqlite::connect(&file.to_string_lossy())?;
                Box::new(on_sqlite::copying::Session::over(SyncConnectionWrapper::new(conn)))
            }
            Self::Postgres(url) => {
                let mut conn = postgres::Server::parse(url)?.connect().await?;
                // One side waits for the other as long as that takes.
                conn.batch_execute(
                    "SET statement_timeout = '10min'; SET idle_in_transaction_session_timeout = 0; \
                     SET lhfile.copying = 'on'",
                )
                .await?;
                Box::new(on_postgres::copying::Session::over(conn))
            }
        })
    }
}
