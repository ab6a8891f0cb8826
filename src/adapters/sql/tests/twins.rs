//! The twins of `migrations/`: the same steps, tables, columns (type, default), keys, references and indexes on both
//! engines, as each engine tells them of itself.
//!
//! Not here: what is in them (the other files). What only one engine can say is not compared: collations, triggers.

use std::{collections::BTreeSet, path::Path};

use diesel::{Connection, QueryableByName, RunQueryDsl, sql_types::Text};

use super::*;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Our tables.
const TABLES: &str = "(SELECT name, sql FROM sqlite_master WHERE type = 'table' \
     AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '__diesel_schema_migrations') t";

/// Questions to SQLite, and the same to PostgreSQL.
const QUESTIONS: [(&str, &str); 7] = [
    // Columns: the types by a table of equivalents.
    (
        "SELECT t.name || '.' || c.name || ' ' || CASE upper(c.type) WHEN 'INTEGER' THEN 'bigint' WHEN 'BLOB' THEN 'bytea' \
         ELSE lower(c.type) END || CASE WHEN c.\"notnull\" THEN ' not null' ELSE '' END || \
         coalesce(' default ' || lower(c.dflt_value), '') AS line FROM TABLES, pragma_table_info(t.name) c",
        "SELECT table_name || '.' || column_name || ' ' || data_type || CASE WHEN is_nullable = 'NO' THEN ' not null' \
         ELSE '' END || coalesce(' default ' || lower(regexp_replace(column_default, '::[a-z ]+$', '')), '') \
         FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> '__diesel_schema_migrations'",
    ),
    // Numbers that the engine gives, and gives once.
    (
        "SELECT 'numbers ' || t.name AS line FROM TABLES WHERE t.sql LIKE '%AUTOINCREMENT%'",
        "SELECT 'numbers ' || table_name FROM information_schema.columns WHERE table_schema = 'public' \
         AND is_identity = 'YES'",
    ),
    // Primary keys, their columns in order.
    (
        "SELECT 'key ' || t.name || ' (' || (SELECT group_concat(name) FROM (SELECT name FROM \
         pragma_table_info(t.name) WHERE pk > 0 ORDER BY pk)) || ')' AS line FROM TABLES",
        "SELECT 'key ' || conrelid::regclass || ' (' || (SELECT string_agg(attname, ',' ORDER BY k) FROM \
         unnest(conkey) WITH ORDINALITY u(n, k) JOIN pg_attribute ON attrelid = conrelid AND attnum = n) || ')' \
         FROM pg_constraint WHERE contype = 'p' AND connamespace = 'public'::regnamespace \
         AND conrelid::regclass::text <> '__diesel_schema_migrations'",
    ),
    // References, and what becomes of who refers to a row that goes.
    (
        "SELECT 'reference ' || t.name || '.' || f.\"from\" || ' to ' || f.\"table\" || '.' || f.\"to\" || ' ' || \
         lower(f.on_delete) AS line FROM TABLES, pragma_foreign_key_list(t.name) f",
        "SELECT 'reference ' || conrelid::regclass || '.' || a.attname || ' to ' || confrelid::regclass || '.' || \
         b.attname || ' ' || CASE confdeltype WHEN 'a' THEN 'no action' WHEN 'r' THEN 'restrict' WHEN 'c' THEN 'cascade' \
         WHEN 'n' THEN 'set null' ELSE 'set default' END FROM pg_constraint \
         CROSS JOIN LATERAL unnest(conkey, confkey) u(n, m) JOIN pg_attribute a ON a.attrelid = conrelid AND a.attnum = n \
         JOIN pg_attribute b ON b.attrelid = confrelid AND b.attnum = m WHERE contype = 'f'",
    ),
    // Uniqueness that a table itself asks for.
    (
        "SELECT 'unique ' || t.name || ' (' || (SELECT group_concat(name) FROM (SELECT name FROM \
         pragma_index_info(i.name) ORDER BY seqno)) || ')' AS line FROM TABLES, pragma_index_list(t.name) i \
         WHERE i.origin = 'u'",
        "SELECT 'unique ' || conrelid::regclass || ' (' || (SELECT string_agg(attname, ',' ORDER BY k) FROM \
         unnest(conkey) WITH ORDINALITY u(n, k) JOIN pg_attribute ON attrelid = conrelid AND attnum = n) || ')' \
         FROM pg_constraint WHERE contype = 'u' AND connamespace = 'public'::regnamespace",
    ),
    // Indexes: unique or not, their columns in order, and of which rows.
    (
        "SELECT 'index ' || i.name || ' on ' || t.name || CASE WHEN i.\"unique\" THEN ' unique' ELSE '' END || ' (' || \
         (SELECT group_concat(name || CASE WHEN \"desc\" THEN ' desc' ELSE '' END) FROM (SELECT * FROM \
         pragma_index_xinfo(i.name) WHERE key = 1 ORDER BY seqno)) || ')' || CASE WHEN i.partial THEN ' where ' || \
         lower(replace(replace(replace(substr(m.sql, instr(m.sql, ' WHERE ') + 7), '(', ''), ')', ''), char(10), '')) ELSE '' END AS line \
         FROM TABLES, pragma_index_list(t.name) i JOIN sqlite_master m ON m.name = i.name WHERE i.origin = 'c'",
        "SELECT 'index ' || c.relname || ' on ' || indrelid::regclass || CASE WHEN indisunique THEN ' unique' ELSE '' END \
         || ' (' || (SELECT string_agg(coalesce(attname, 'an expression') || CASE WHEN indoption[k - 1] & 1 = 1 THEN ' desc' \
         ELSE '' END, ',' ORDER BY k) FROM unnest(indkey::int2[]) WITH ORDINALITY u(n, k) LEFT JOIN pg_attribute \
         ON attrelid = indrelid AND attnum = n AND n > 0) || ')' || coalesce(' where ' || \
         lower(replace(translate(pg_get_expr(indpred, indrelid), '()', ''), '::text', '')), '') FROM pg_index JOIN pg_class c ON c.oid = indexrelid \
         WHERE c.relnamespace = 'public'::regnamespace \
         AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))",
    ),
    // Conditions on a row: one for each table is all that we have.
    (
        "SELECT 'check ' || t.name || ' ' || rtrim(substr(t.sql, instr(t.sql, 'CHECK (') + 7, \
         instr(substr(t.sql, instr(t.sql, 'CHECK (') + 7), ')') - 1)) AS line FROM TABLES WHERE t.sql LIKE '%CHECK (%'",
        "SELECT 'check ' || conrelid::regclass || ' ' || btrim(pg_get_expr(conbin, conrelid), '()') FROM pg_constraint \
         WHERE contype = 'c' AND connamespace = 'public'::regnamespace",
    ),
];

async fn on_sqlite() -> BTreeSet<String> {
    let dir = tempfile::tempdir().expect("a folder");
    open(&dir).close().await;
    let path = dir.path().join("lhfile.sqlite");
    let mut conn = diesel::SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("opens");
    let mut lines = BTreeSet::new();
    for (question, _) in QUESTIONS {
        let question = question.replace("TABLES", TABLES);
        let rows: Vec<Row> = diesel::sql_query(&question).load(&mut conn).unwrap_or_else(|e| panic!("{question}: {e}"));
        lines.extend(rows.into_iter().map(|row| row.line));
    }
    lines
}

async fn migrated() -> String {
    let database = cluster().create_database("template0");
    PostgresStore::open(&cluster().url(&database)).await.expect("migrates").close().await;
    database
}

fn on_postgres(database: &str) -> BTreeSet<String> {
    QUESTIONS.iter().flat_map(|(_, question)| cluster().psql(database, question)).collect()
}

fn differences(sqlite: &BTreeSet<String>, postgres: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
    (sqlite.difference(postgres).cloned().collect(), postgres.difference(sqlite).cloned().collect())
}

#[tokio::test]
async fn both_engines_have_the_same_tables_columns_keys_references_and_indexes() {
    let (sqlite, database) = (on_sqlite().await, migrated().await);
    for kind in ["numbers ", "key ", "reference ", "index ", "check ", "files.size bigint not null"] {
        assert!(sqlite.iter().any(|line| line.starts_with(kind)), "{kind}: {sqlite:#?}");
    }
    assert!(sqlite.len() > 110, "{sqlite:#?}");
    let (sqlite, postgres) = differences(&sqlite, &on_postgres(&database));
    assert!(sqlite.is_empty() && postgres.is_empty(), "only on SQLite: {sqlite:#?}, only on PostgreSQL: {postgres:#?}");
}

#[tokio::test]
async fn each_way_in_which_twins_can_differ_is_found() {
    let (sqlite, database) = (on_sqlite().await, migrated().await);
    for (change, back) in [
        ("ALTER TABLE blobs ALTER size TYPE INTEGER", "ALTER TABLE blobs ALTER size TYPE BIGINT"),
        ("ALTER TABLE blobs ALTER size DROP NOT NULL", "ALTER TABLE blobs ALTER size SET NOT NULL"),
        ("ALTER TABLE blobs ALTER size SET DEFAULT 0", "ALTER TABLE blobs ALTER size DROP DEFAULT"),
        (
            "ALTER TABLE attachments DROP CONSTRAINT attachments_pkey, ADD PRIMARY KEY (chat_id, file_number)",
            "ALTER TABLE attachments DROP CONSTRAINT attachments_pkey, ADD PRIMARY KEY (file_number, chat_id)",
        ),
        (
            "ALTER TABLE files DROP CONSTRAINT files_blob_id_fkey",
            "ALTER TABLE files ADD FOREIGN KEY (blob_id) REFERENCES blobs (id)",
        ),
        (
            "ALTER TABLE files DROP CONSTRAINT files_blob_id_fkey, ADD FOREIGN KEY (blob_id) REFERENCES blobs (id) \
             ON DELETE CASCADE",
            "ALTER TABLE files DROP CONSTRAINT files_blob_id_fkey, ADD FOREIGN KEY (blob_id) REFERENCES blobs (id)",
        ),
        ("ALTER TABLE blobs ADD CONSTRAINT one UNIQUE (size)", "ALTER TABLE blobs DROP CONSTRAINT one"),
        (
            "DROP INDEX blobs_sha256; CREATE INDEX blobs_sha256 ON blobs (size, sha256)",
            "DROP INDEX blobs_sha256; CREATE INDEX blobs_sha256 ON blobs (sha256, size)",
        ),
        (
            "DROP INDEX blobs_sha256; CREATE INDEX blobs_sha256 ON blobs (sha256, size DESC)",
            "DROP INDEX blobs_sha256; CREATE INDEX blobs_sha256 ON blobs (sha256, size)",
        ),
        (
            "DROP INDEX blobs_key; CREATE INDEX blobs_key ON blobs (key)",
            "DROP INDEX blobs_key; CREATE UNIQUE INDEX blobs_key ON blobs (key)",
        ),
        (
            "DROP INDEX files_home_chat; CREATE INDEX files_home_chat ON files (home_chat_id)",
            "DROP INDEX files_home_chat; CREATE INDEX files_home_chat ON files (home_chat_id) \
             WHERE home_chat_id IS NOT NULL",
        ),
        ("ALTER TABLE blobs ALTER id DROP IDENTITY", "ALTER TABLE blobs ALTER id ADD GENERATED BY DEFAULT AS IDENTITY"),
        (
            "ALTER TABLE store DROP CONSTRAINT store_id_check",
            "ALTER TABLE store ADD CONSTRAINT store_id_check CHECK (id = 1)",
        ),
    ] {
        cluster().psql(&database, change);
        assert_ne!(differences(&sqlite, &on_postgres(&database)), Default::default(), "{change}");
        cluster().psql(&database, back);
        assert_eq!(differences(&sqlite, &on_postgres(&database)), Default::default(), "{back}");
    }
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
