//! The twins of `migrations/`: the same steps, tables, columns and indexes on both engines.
//!
//! Not here: what is in them (the other files).

use std::{collections::BTreeSet, path::Path};

use diesel::{Connection, QueryableByName, RunQueryDsl, sql_types::Text};

use super::*;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    line: String,
}

const SQLITE: &str = "SELECT t.name || '.' || c.name || CASE WHEN c.\"notnull\" THEN ' NOT NULL' ELSE '' END AS line \
     FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' \
     AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.name <> '__diesel_schema_migrations' \
     UNION ALL SELECT 'index ' || name || ' on ' || tbl_name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL";

const POSTGRES: &str = "SELECT table_name || '.' || column_name || \
     CASE WHEN is_nullable = 'NO' THEN ' NOT NULL' ELSE '' END FROM information_schema.columns \
     WHERE table_schema = 'public' AND table_name <> '__diesel_schema_migrations' \
     UNION ALL SELECT 'index ' || indexname || ' on ' || tablename FROM pg_indexes \
     WHERE schemaname = 'public' AND indexname NOT LIKE '%\\_pkey'";

#[tokio::test]
async fn both_engines_have_the_same_tables_columns_and_indexes() {
    let dir = tempfile::tempdir().expect("a folder");
    open(&dir).close().await;
    let path = dir.path().join("lhfile.sqlite");
    let mut conn = diesel::SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("opens");
    let rows: Vec<Row> = diesel::sql_query(SQLITE).load(&mut conn).expect("loads");
    let on_sqlite: BTreeSet<String> = rows.into_iter().map(|row| row.line).collect();
    let database = cluster().create_database("template0");
    PostgresStore::open(&cluster().url(&database)).await.expect("migrates").close().await;
    let on_postgres: BTreeSet<String> = cluster().psql(&database, POSTGRES).into_iter().collect();
    assert!(on_sqlite.len() > 60, "{on_sqlite:#?}");
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    let (sqlite, postgres) = (only(&on_sqlite, &on_postgres), only(&on_postgres, &on_sqlite));
    assert!(sqlite.is_empty() && postgres.is_empty(), "only on SQLite: {sqlite:#?}, only on PostgreSQL: {postgres:#?}");
}

#[test]
fn each_step_is_made_on_both_engines() {
    let steps = |engine: &str| -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
        let entries = std::fs::read_dir(folder).expect("the steps").flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(steps("sqlite"), steps("postgres"));
}
