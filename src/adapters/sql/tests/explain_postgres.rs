//! How PostgreSQL tells its plans: the server logs that of each statement that it runs. Over a handful of rows it is kept
//! from walking and sorting where an index does instead: with so few it would do so.
//!
//! The twin of `explain_sqlite.rs`. Not here: the statements (`plans.rs`).

use std::{cell::Cell, fs};

use super::{bodies::Conn, *};
use crate::ports::StoreError;

/// Tables of a handful of rows: walking them is no walk.
const SMALL: &[&str] = &["settings", "settings_version", "store", "access_keys_version", "clock"];

/// In which words it is filled.
pub(super) const WORDS: million::Words = million::Words::Postgres;

/// A store whose server logs the plan of each statement.
pub(super) struct Explained {
    store: PostgresStore,
    database: String,
    read: Cell<usize>,
}

/// Over a handful of rows.
pub(super) async fn explained() -> (World, Explained) {
    explain(world(), &["seqscan", "sort", "hashjoin", "mergejoin", "material"])
}

/// Over what is there, planned as it is for everybody.
pub(super) async fn explained_as_it_is(w: World) -> (World, Explained) {
    explain(w, &[])
}

/// Takes the planner these ways away.
fn explain(w: World, without: &[&str]) -> (World, Explained) {
    let database = w.database.clone().expect("on PostgreSQL");
    let mut changes =
        vec!["session_preload_libraries = 'auto_explain'".to_owned(), "auto_explain.log_min_duration = '0'".to_owned()];
    changes.extend(without.iter().map(|way| format!("enable_{way} = off")));
    for change in changes {
        cluster().psql("postgres", &format!("ALTER DATABASE {database} SET {change}"));
    }
    // The world's own store connected before the settings were made.
    let store = connect(&cluster().url(&database));
    let explained = Explained { store: store.clone(), database, read: Cell::new(log().len()) };
    (World { store: Box::new(store), ..w }, explained)
}

/// The same rows by a store that tells no plans.
pub(super) fn plain(w: &World) -> Box<dyn Store> {
    let database = w.database.as_ref().expect("on PostgreSQL");
    cluster().psql("postgres", &format!("ALTER DATABASE {database} RESET ALL"));
    Box::new(connect(&cluster().url(database)))
}

/// Runs a body.
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

fn log() -> String {
    fs::read_to_string(cluster().folder.join("log")).expect("the server logs")
}

/// The plan of each statement since the last asking.
pub(super) async fn plans(explained: &Explained) -> Vec<(String, Vec<String>)> {
    let log = log();
    let news = &log[explained.read.replace(log.len())..];
    let mut plans: Vec<(String, Vec<String>)> = Vec::new();
    let mut ours = false;
    for line in news.lines() {
        match line.strip_prefix('\t') {
            None => ours = line.starts_with(&format!("{} LOG:", explained.database)) && line.ends_with("plan:"),
            Some(line) if ours => match line.strip_prefix("Query Text: ") {
                Some(sql) => plans.push((sql.to_owned(), Vec::new())),
                None => plans.last_mut().expect("a text before its plan").1.push(line.trim().to_owned()),
            },
            Some(_) => {}
        }
    }
    // Our own questions about the session, and the trigger's lock.
    plans.retain(|(sql, _)| !sql.contains("current_setting") && !sql.contains("pg_advisory_xact_lock"));
    plans.sort();
    plans.dedup_by(|a, b| a.0 == b.0);
    plans
}

/// Fails for a walk over a whole table or index, and for a sort, but for those of the statements that hold such words.
pub(super) fn judge(plans: &[(String, Vec<String>)], walks: &[&str], sorts: &[&str]) {
    let is_one_of = |sql: &str, few: &[&str]| few.iter().any(|words| sql.contains(words));
    let mut bad = Vec::new();
    for (sql, steps) in plans {
        for (i, step) in steps.iter().enumerate() {
            let small = SMALL.iter().any(|small| step.contains(&format!(" on {small} ")));
            let by_index = step.contains("Index Scan") || step.contains("Index Only Scan");
            let bounded = steps.get(i + 1).is_some_and(|next| next.starts_with("Index Cond:"));
            let walked = !small && (step.contains("Seq Scan on") || by_index && !bounded);
            let sorted = step.contains("Sort  (");
            if walked && !is_one_of(sql, walks) || sorted && !is_one_of(sql, sorts) {
                bad.push(format!("{step}\n{sql}\n{steps:#?}"));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n\n"));
}

/// Fails unless a list walks this index first, from its page's place on.
pub(super) fn judge_walk(sql: &str, steps: &[String], index: &str, from_a_place: bool) {
    let at = steps.iter().position(|s| s.contains("Index ")).expect("an index is walked");
    let (first, cond) = (&steps[at], &steps[at + 1]);
    assert!(first.contains(&format!(" using {index} on ")), "{first}\n{sql}\n{steps:#?}");
    let bounded = !from_a_place || cond.contains('<') || cond.contains('>');
    assert!(bounded, "the page's place is not found by the index: {cond}\n{sql}\n{steps:#?}");
}
