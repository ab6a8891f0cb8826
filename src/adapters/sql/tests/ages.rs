//! As whose file one ages, of rows that were written without it: by an older release before the migration, or by its nodes
//! beside one of this release.
//!
//! Not here: what is written with it (the contract, `adapters/tests/store/origins.rs`).

use super::*;
use crate::adapters::tests::store::engines;

/// As whose each file ages, in their order.
fn ages(w: &World) -> Vec<String> {
    w.query("SELECT coalesce(ages_as, 'NOBODY') AS line FROM files ORDER BY number")
}

/// A visitor's, an operator's and a service's file, as the last release wrote them.
async fn three_of_the_last_release(w: &World) {
    w.put("a", ChatStatus::Active, None).await;
    for (tag, caller) in (0..).zip([visitor("v", &["a"]), operator("17", &["a"], &[]), service(&["*"])]) {
        w.upload(&caller, &Upload { tag, ..Upload::to(chat("a")) }).await;
    }
}

/// Takes back the migration's columns, as if it never ran.
const BEFORE: &str = "DROP INDEX uploads_visitor; DROP INDEX files_aging; DROP INDEX files_visitor_created; DROP INDEX files_visitor_size; \
     ALTER TABLE files DROP COLUMN visitor_id; ALTER TABLE files DROP COLUMN origin; \
     ALTER TABLE files DROP COLUMN ages_as; ALTER TABLE uploads DROP COLUMN target_visitor_id; \
     DELETE FROM __diesel_schema_migrations WHERE version = '00000000000007'";

#[tokio::test]
async fn files_of_before_the_migration_age_by_their_uploader_on_sqlite() {
    let w = engines::on_sqlite().await;
    three_of_the_last_release(&w).await;
    w.execute(BEFORE);
    let migrated = engines::open(&w.dir);
    assert_eq!(ages(&w), ["VISITOR", "OPERATOR", "NOBODY"]);
    migrated.close().await;
}

#[tokio::test]
async fn files_of_before_the_migration_age_by_their_uploader_on_postgres() {
    let w = engines::on_postgres().await;
    three_of_the_last_release(&w).await;
    let database = w.database.clone().expect("on PostgreSQL");
    w.execute("DROP TRIGGER files_age ON files; DROP FUNCTION files_age()");
    w.execute(BEFORE);
    PostgresStore::open(&cluster().url(&database)).await.expect("migrates").close().await;
    assert_eq!(ages(&w), ["VISITOR", "OPERATOR", "NOBODY"]);
}

#[tokio::test]
async fn files_that_an_older_node_writes_beside_this_one_age_by_their_uploader() {
    let w = engines::on_postgres().await;
    three_of_the_last_release(&w).await;
    let old = "id, code_hash, blob_id, state, display_name, extension, media_type, uploader_kind, uploader_id, \
               home_chat_id, persistent, sha256, size, uploaded_sha256, revision, created_at";
    let other_id = old.replacen("id,", "decode(md5(encode(id, 'hex')), 'hex'),", 1);
    w.execute(&format!("INSERT INTO files ({old}) SELECT {other_id} FROM files ORDER BY number"));
    assert_eq!(ages(&w), ["VISITOR", "OPERATOR", "NOBODY", "VISITOR", "OPERATOR", "NOBODY"]);
}
