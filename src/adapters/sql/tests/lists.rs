//! Rules of lists: filters, orders, pages, what is never shown, and the bound on what a page looks at.
//!
//! Not here: the world they are tried in (`super`) and the query plans (`plans.rs`).

use super::{
    bodies::listing::{count, plan::Plan},
    explain::{body, explained},
    *,
};
use crate::domain::listing::{FileFilter, FileQuery, MAX_EXAMINED, Order, Total};

pub(super) fn query(limit: u32) -> FileQuery {
    FileQuery {
        filter: FileFilter::default(),
        scope: None,
        order: Order::Newest,
        after: None,
        limit,
        with_total: false,
    }
}

/// All pages of a list, as tags.
async fn tags(w: &World, mut query: FileQuery) -> Vec<u64> {
    let mut found = Vec::new();
    loop {
        let page = w.store.list_files(query.clone(), &service(&["*"])).await.expect("lists");
        assert!(page.rows.len() <= query.limit as usize);
        found.extend(page.rows.iter().map(|v| u64::from_be_bytes(v.blob.sha256.0[..8].try_into().expect("8 bytes"))));
        let Some(next) = page.next else { return found };
        query.after = Some(next);
    }
}

/// Nine files, their tags 1 to 9 in the order of their making: 1-3 a visitor's in chat a, 4-6 an operator's in chat b,
/// 7-9 the library's. Sizes fall from 90.
async fn nine(w: &World) -> Vec<FileView> {
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, None).await;
    }
    let mut views = Vec::new();
    for tag in 1..=9 {
        let (caller, target) = match tag {
            1..=3 => (visitor("v", &["a"]), chat("a")),
            4..=6 => (operator("17", &["b"], &[]), chat("b")),
            _ => (operator("18", &[], &[]), Target::Library),
        };
        let name = if tag % 3 == 0 { format!("100%_{tag}.ZZZ") } else { format!("Report{tag}.txt") };
        views.push(w.upload(&caller, &Upload { name, tag, size: 100 - 10 * tag, ..Upload::to(target) }).await);
    }
    views
}

#[tokio::test]
async fn every_filter_and_order_pages_through_exactly_what_matches() {
    let w = world();
    let views = nine(&w).await;
    let time = |tag: usize| Some(views[tag - 1].file.created_at);
    let chats = |ids: &[&str]| ids.iter().map(|id| id.parse().expect("valid")).collect::<Vec<_>>();
    let people = |ids: &[&str]| ids.iter().map(|id| id.parse().expect("valid")).collect::<Vec<_>>();
    let all = FileFilter::default;
    for (filter, expected) in [
        (all(), vec![9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (FileFilter { chats: chats(&["a"]), ..all() }, vec![3, 2, 1]),
        (FileFilter { chats: chats(&["a", "b", "x"]), ..all() }, vec![6, 5, 4, 3, 2, 1]),
        (FileFilter { uploaders: people(&["operator:17"]), ..all() }, vec![6, 5, 4]),
        (FileFilter { uploaders: people(&["operator:17", "visitor:v"]), ..all() }, vec![6, 5, 4, 3, 2, 1]),
        (FileFilter { visitors_only: true, ..all() }, vec![3, 2, 1]),
        (FileFilter { name_contains: Some("rEPORT".into()), ..all() }, vec![8, 7, 5, 4, 2, 1]),
        (FileFilter { name_contains: Some("0%_".into()), ..all() }, vec![9, 6, 3]),
        (FileFilter { name_contains: Some("R%t".into()), ..all() }, vec![]),
        (FileFilter { name_contains: Some("\\".into()), ..all() }, vec![]),
        (FileFilter { persistent: Some(true), ..all() }, vec![9, 8, 7]),
        (FileFilter { persistent: Some(false), chats: chats(&["b"]), ..all() }, vec![6, 5, 4]),
        (FileFilter { attached: Some(true), ..all() }, vec![6, 5, 4, 3, 2, 1]),
        (FileFilter { attached: Some(false), ..all() }, vec![9, 8, 7]),
        (FileFilter { extension: Some("zzz".into()), ..all() }, vec![9, 6, 3]),
        (FileFilter { extension: Some("zzz".into()), chats: chats(&["a"]), ..all() }, vec![3]),
        (FileFilter { media_type: Some(views[0].file.media_type.clone()), ..all() }, vec![8, 7, 5, 4, 2, 1]),
        (FileFilter { sha256: Some(sha(5)), ..all() }, vec![5]),
        (FileFilter { sha256: Some(sha(5)), chats: chats(&["a"]), ..all() }, vec![]),
        (FileFilter { min_size: Some(50), max_size: Some(70), ..all() }, vec![5, 4, 3]),
        (FileFilter { from: time(4), before: time(6), ..all() }, vec![5, 4]),
        (FileFilter { verdict: Some(VerdictKind::Clean), uploaders: people(&["visitor:v"]), ..all() }, vec![3, 2, 1]),
        (FileFilter { verdict: Some(VerdictKind::NotScanned), ..all() }, vec![]),
    ] {
        for order in [Order::Newest, Order::Oldest, Order::Largest] {
            let mut expected = expected.clone();
            if order != Order::Newest {
                expected.reverse(); // the oldest are the largest
            }
            for limit in [1, 2, 50] {
                let query = FileQuery { filter: filter.clone(), order, limit, with_total: true, ..query(1) };
                assert_eq!(tags(&w, query.clone()).await, expected, "{filter:?} {order:?} {limit}");
                let page = w.store.list_files(query, &service(&["*"])).await.expect("lists");
                assert_eq!(page.total, Some(Total::exactly(expected.len() as u64)), "{filter:?}");
            }
        }
    }
    let scope = |ids: &[&str]| Some(chats(ids));
    assert_eq!(tags(&w, FileQuery { scope: scope(&["a"]), ..query(2) }).await, [3, 2, 1]);
    assert_eq!(tags(&w, FileQuery { scope: scope(&["b", "a"]), ..query(2) }).await, [6, 5, 4, 3, 2, 1]);
    assert!(tags(&w, FileQuery { scope: scope(&[]), ..query(2) }).await.is_empty());
    let foreign = FileFilter { chats: chats(&["b"]), ..all() };
    assert!(tags(&w, FileQuery { scope: scope(&["a"]), filter: foreign, ..query(2) }).await.is_empty());
    let both = FileFilter { chats: chats(&["a", "b"]), ..all() };
    assert_eq!(tags(&w, FileQuery { scope: scope(&["a"]), filter: both, ..query(2) }).await, [3, 2, 1]);
}

#[tokio::test]
async fn a_total_is_exact_up_to_the_most_rows_examined_and_then_a_lower_bound() {
    let (w, store) = explained().await;
    nine(&w).await;
    let total = async |filter: FileFilter, order, most| {
        let query = FileQuery { filter, order, ..query(1) };
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
async fn deleted_and_quarantined_files_are_in_no_list_and_no_total() {
    let w = world();
    let views = nine(&w).await;
    w.store.quarantine(sha(2), verdict(VerdictKind::Infected, "1"), "Eicar", None).await.expect("quarantines");
    let by = FileRef::Id(views[2].file.id);
    w.store.delete_file(by, &service(&["*"]), &Settings::default(), w.now()).await.expect("deletes");
    let filter = FileFilter { chats: vec!["a".parse().expect("valid")], ..FileFilter::default() };
    let a = FileQuery { filter, with_total: true, ..query(2) };
    assert_eq!(tags(&w, a.clone()).await, [1]);
    assert_eq!(w.store.list_files(a, &service(&["*"])).await.expect("lists").total, Some(Total::exactly(1)));
    assert_eq!(tags(&w, query(3)).await, [9, 8, 7, 6, 5, 4, 1]);
}

#[tokio::test]
async fn files_that_come_while_paging_are_neither_repeated_nor_in_the_way() {
    let w = world();
    nine(&w).await;
    let mut query = query(4);
    let mut seen = Vec::new();
    loop {
        let page = w.store.list_files(query.clone(), &service(&["*"])).await.expect("lists");
        seen.extend(page.rows.iter().map(|v| v.file.number - (1 << 32) + 1));
        w.upload(&service(&["*"]), &Upload { tag: 100, ..Upload::to(Target::Library) }).await;
        let Some(next) = page.next else { break };
        query.after = Some(next);
    }
    assert_eq!(seen, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn files_of_one_instant_and_size_page_by_their_number() {
    let w = world();
    let caller = operator("17", &[], &[]);
    for tag in 1..=5 {
        let upload = Upload { tag, ..Upload::to(Target::Library) };
        let intent = w.started(&caller, &upload).await;
        let commit = Commit { now: Time(5), ..w.commit(&caller, &upload, intent) };
        w.store.commit_upload(commit).await.expect("commits");
    }
    for (order, expected) in
        [(Order::Newest, [5, 4, 3, 2, 1]), (Order::Oldest, [1, 2, 3, 4, 5]), (Order::Largest, [5, 4, 3, 2, 1])]
    {
        assert_eq!(tags(&w, FileQuery { order, ..query(2) }).await, expected);
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
    let mut query = FileQuery { filter, ..query(50) };
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
