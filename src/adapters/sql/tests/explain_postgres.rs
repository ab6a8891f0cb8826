//! How PostgreSQL tells its plans: the server logs that of each statement that it runs. It is kept from walking and
//! sorting where an index does instead: with so few rows it would do so.
//!
//! The twin of `explain_sqlite.rs`. Not here: the statements (`plans.rs`).

use std::{cell::Cell, fs};

use super::{bodies::Conn, *};
use crate::ports::StoreError;

/// Tables of a handful of rows: walking them is no walk.
const SMALL: &[&str] = &["settings", "settings_version", "access_keys_version"];

/// A store whose server logs the plan of each statement.
pub(super) struct Explained {
    store: PostgresStore,
    database: String,
    read: Cell<usize>,
}

pub(super) async fn explained() -> (World, Explained) {
    let w = world();
    let database = w.database.clone().expect("on PostgreSQL");
    for (name, value) in [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("enable_seqscan", "off"),
        ("enable_sort", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_material", "off"),
    ] {
        cluster().psql("postgres", &format!("ALTER DATABASE {database} SET {name} = '{value}'"));
    }
    // The world's own store connected before the settings were made.
    let store = connect(&cluster().url(&database));
    let explained = Explained { store: store.clone(), database, read: Cell::new(log().len()) };
    (World { store: Box::new(store), ..w }, explained)
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

/// Fails for a walk over a whole table or index, and for a sort unless `sorts` says why one may be: a statement that is
/// kept from its sort may walk instead.
pub(super) fn judge(plans: &[(String, Vec<String>)], sorts: &[&str]) {
    let mut bad = Vec::new();
    for (sql, steps) in plans {
        for (i, step) in steps.iter().enumerate() {
            let small = SMALL.iter().any(|small| step.contains(&format!(" on {small} ")));
            let by_index = step.contains("Index Scan") || step.contains("Index Only Scan");
            let bounded = steps.get(i + 1).is_some_and(|next| next.starts_with("Index Cond:"));
            let walks = !small && (step.contains("Seq Scan on") || by_index && !bounded);
            let sorted = step.trim_start_matches("->").trim().starts_with("Sort ");
            if (walks || sorted) && !sorts.iter().any(|s| sql.contains(s)) {
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
