//! The bounds on what a page and a total of an engine look at.
//!
//! Not here: which rows match, in which order (the contract of the stores, `adapters/tests/store/lists.rs`).

use super::{
    bodies::listing::{count, plan::Plan},
    explain::{body, explained},
    *,
};
use crate::domain::listing::{FileFilter, FileQuery, MAX_EXAMINED, Order, Total};

#[tokio::test]
async fn a_total_is_exact_up_to_the_most_rows_examined_and_then_a_lower_bound() {
    let (w, store) = explained().await;
    lists::nine(&w).await;
    let total = async |filter: FileFilter, order, most| {
        let query = FileQuery { filter, order, ..lists::query(1) };
        body(&store, move |conn| Box::pin(async move { count(conn, &Plan::new(&query), most).await })).await
    };
    let at_least = |files| Total { files, is_lower_bound: true };
    let in_a = || FileFilter { chats: vec!["a".parse().expect("valid")], ..FileFilter::default() };
    let reports = || FileFilter { name_contains: Some("report".into()), ..FileFilter::default() };
    for (filter, most, expected) in [
        (FileFilter::default(), 100, Total::exactly(9)),
        (FileFilter::default(), 10, Total::exactly(9)),
        (FileFilter::default(), 9, Total::exactly(9)),
        (FileFilter::default(), 8, at_least(8)),
        (FileFilter::default(), 1, at_least(1)),
        // A filter that an index answers counts what it lets through.
        (in_a(), 3, Total::exactly(3)),
        (in_a(), 2, at_least(2)),
        // Any other is told what was found among the rows examined: two of three names.
        (reports(), 9, Total::exactly(6)),
        (reports(), 6, at_least(4)),
    ] {
        for order in [Order::Newest, Order::Oldest, Order::Largest] {
            assert_eq!(total(filter.clone(), order, most).await, expected, "{filter:?} {order:?} {most}");
        }
    }
}

#[tokio::test]
async fn a_page_looks_at_fifty_thousand_rows_and_then_says_where_to_go_on() {
    let w = world();
    let caller = operator("17", &[], &[]);
    w.upload(&caller, &Upload { name: "needle.txt".into(), tag: 1, ..Upload::to(Target::Library) }).await;
    w.upload(&caller, &Upload { name: "hay.txt".into(), tag: 2, ..Upload::to(Target::Library) }).await;
    multiply(&w, 2 * MAX_EXAMINED + 10);
    let filter = FileFilter { name_contains: Some("needle".into()), ..FileFilter::default() };
    let mut query = FileQuery { filter, ..lists::query(50) };
    let mut pages = Vec::new();
    loop {
        let page = w.store.list_files(query.clone(), &service(&["*"])).await.expect("lists");
        pages.push(page.rows.len());
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(pages, [0, 0, 1]);
}

/// Copies the newest file until there are that many more.
fn multiply(w: &World, rows: i64) {
    let random = if w.database.is_some() { "uuid_send(gen_random_uuid())" } else { "randomblob(16)" };
    w.execute(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         INSERT INTO files (id, code_hash, blob_id, state, display_name, extension, media_type, uploader_kind, \
         uploader_id, persistent, sha256, size, uploaded_sha256, revision, created_at) \
         SELECT {random}, code_hash, blob_id, state, display_name, extension, media_type, uploader_kind, \
         uploader_id, persistent, sha256, size, uploaded_sha256, revision, created_at + i \
         FROM n, (SELECT * FROM files ORDER BY number DESC LIMIT 1) newest"
    ));
}
