//! How SQLite tells its plans: each statement that the writer runs is recorded, and then explained.
//!
//! The twin of `explain_postgres.rs`. Not here: the statements (`plans.rs`).

use std::sync::{Arc, Mutex};

use diesel::{QueryableByName, connection::InstrumentationEvent, sql_types::Text};
use diesel_async::{AsyncConnection, RunQueryDsl};
use futures_util::FutureExt;

use super::{bodies::Conn, *};
use crate::ports::StoreError;

/// Tables of a handful of rows, subqueries and literal rows: walking them is no walk.
const SMALL: &[&str] = &["settings", "settings_version", "access_keys_version", "clock", "shown", "(subquery"];

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// In which words it is filled.
pub(super) const WORDS: million::Words = million::Words::Sqlite;

/// A store whose writer tells each statement that it runs.
pub(super) struct Explained {
    store: SqliteStore,
    record: Arc<Mutex<Vec<String>>>,
}

/// Over a handful of rows.
pub(super) async fn explained() -> (World, Explained) {
    explained_as_it_is(world()).await
}

/// Over what is there.
pub(super) async fn explained_as_it_is(w: World) -> (World, Explained) {
    let store = SqliteStore::open(&w.dir.path().join("lhfile.sqlite")).expect("opens");
    let explained = Explained { store: store.clone(), record: Arc::default() };
    let to = Arc::clone(&explained.record);
    body(&explained, move |conn| {
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                to.lock().expect("no panic").push(query.to_string());
            }
        });
        async { Ok(()) }.boxed()
    })
    .await;
    (World { store: Box::new(store), ..w }, explained)
}

/// The same rows by a store that tells no plans.
pub(super) fn plain(w: &World) -> Box<dyn Store> {
    Box::new(open(&w.dir))
}

/// Runs a body where its statements are recorded, also one that only reads.
pub(super) async fn body<T, F>(explained: &Explained, body: F) -> T
where
    F: for<'c> FnOnce(&'c mut Conn) -> futures_util::future::BoxFuture<'c, Result<T, StoreError>>
        + Clone
        + Send
        + 'static,
    T: Send + 'static,
{
    explained.store.engine.write(body).await.expect("runs")
}

/// The plan of each statement since the last asking.
pub(super) async fn plans(explained: &Explained) -> Vec<(String, Vec<String>)> {
    let mut statements = std::mem::take(&mut *explained.record.lock().expect("no panic"));
    statements.sort();
    statements.dedup_by(|a, b| a.split("-- binds").next() == b.split("-- binds").next());
    let mut plans = Vec::new();
    for sql in statements {
        let words = ["SELECT", "INSERT", "UPDATE", "DELETE"];
        if !words.iter().any(|word| sql.starts_with(word)) {
            continue;
        }
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let steps: Result<Vec<Step>, StoreError> = explained
            .store
            .engine
            .read(move |conn| async move { Ok(diesel::sql_query(explain).load(conn).await?) }.boxed())
            .await;
        plans.push((sql, steps.expect("a plan").into_iter().map(|s| s.detail).collect()));
    }
    plans
}

/// Fails for a walk over a whole table, and for a sort, but for those of the statements that hold such words.
pub(super) fn judge(plans: &[(String, Vec<String>)], walks: &[&str], sorts: &[&str]) {
    let is_one_of = |sql: &str, few: &[&str]| few.iter().any(|words| sql.contains(words));
    let mut bad = Vec::new();
    for (sql, steps) in plans {
        for step in steps {
            let walked = step.strip_prefix("SCAN ").is_some_and(|rest| {
                let table = rest.split([' ', '-']).next();
                !rest.contains("ROW") && !SMALL.iter().any(|small| table == Some(*small))
            });
            let sorted = step.contains("TEMP B-TREE");
            if walked && !is_one_of(sql, walks) || sorted && !is_one_of(sql, sorts) {
                bad.push(format!("{step}\n{sql}\n{steps:#?}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

/// Fails unless a list walks this index first, from its page's place on.
pub(super) fn judge_walk(sql: &str, steps: &[String], index: &str, from_a_place: bool) {
    let first = &steps[0];
    assert!(first.starts_with("SEARCH d USING ") && first.contains(&format!("INDEX {index} (")), "{first}\n{sql}");
    let bounded = !from_a_place || first.contains("<") || first.contains(">");
    assert!(bounded, "the page's place is not found by the index: {first}\n{sql}");
}
