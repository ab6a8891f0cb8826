//! Rules of lists: filters, orders, pages, what is never shown.
//!
//! Not here: the world they are tried in (`world.rs`), and the bound on what a page of an engine looks at
//! (`adapters/sql/tests/bounds.rs`).

use super::*;
use crate::domain::listing::{FileFilter, FileQuery, Order, Total};

/// The newest files, so many a page.
pub fn query(limit: u32) -> FileQuery {
    FileQuery {
        filter: FileFilter::default(),
        deleted_after: None,
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
pub async fn nine(w: &World) -> Vec<FileView> {
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

pub async fn every_filter_and_order_pages_through_exactly_what_matches(w: World) {
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

pub async fn deleted_and_quarantined_files_are_in_no_list_and_no_total(w: World) {
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

pub async fn files_that_come_while_paging_are_neither_repeated_nor_in_the_way(w: World) {
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

pub async fn files_of_one_instant_and_size_page_by_their_number(w: World) {
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
