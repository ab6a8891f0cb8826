//! A table of a million files, with the planner's own choice: every list is a walk of its index at any depth, and no call
//! walks or sorts a table. Long: an ignored test, for `make soak`, which tells the time of each page.
//!
//! Not here: the same of a handful of rows, in every run (`plans.rs`).

use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::{
    bodies::listing::{self, plan::Plan},
    explain::{Explained, WORDS, body, explained_as_it_is, judge, judge_walk, plain, plans},
    plans::{FEW, every_call},
    *,
};
use crate::domain::listing::{FileFilter, FileQuery, Order, Place};

/// Files in the table.
const FILES: i64 = 1_000_000;
/// Depths of the pages that are timed; a list that is shorter ends before.
const DEPTHS: [i64; 3] = [0, 100_000, FILES - 60_000];
/// Calls for each time told, of which it is the median.
const CALLS: usize = 51;

/// The statements that may sort: what they sort are a few rows, or those of one page.
fn sorted() -> Vec<&'static str> {
    FEW.iter().copied().chain(["PARTITION BY p.number"]).collect()
}

/// The statements that may walk: all holds are read once for a window of 10,000 files, to be looked up in memory; the index
/// of the run that is under way has one row; the newest runs and their tasks are read side by side until enough are found;
/// what older signatures failed on is forgotten as a whole; and the tests' own.
const WALKED: &[&str] = &[
    "holds h WHERE h.file_number = files.number",
    "runs.state = 'RUNNING'",
    "\"runs\".\"proposed\", \"run_tasks\".\"done\"",
    "UPDATE plans SET expires_at",
    "CASE WHEN signatures =",
    "`braked_signatures`",
    "\"braked_signatures\"",
    "DELETE FROM `scan_failures` WHERE (`scan_failures`.`signatures`",
    "DELETE FROM \"scan_failures\" WHERE (\"scan_failures\".\"signatures\"",
    "UPDATE checks SET expires_at",
];

fn query(filter: FileFilter, order: Order) -> FileQuery {
    FileQuery { filter, deleted_after: None, scope: None, order, after: None, limit: 50, with_total: false }
}

/// Each list with the indexes that it walks.
fn lists() -> Vec<(&'static str, FileFilter, [&'static str; 2])> {
    let all = FileFilter::default;
    let chat = FileFilter { chats: vec!["busy".parse().expect("valid")], ..all() };
    let person = FileFilter { uploaders: vec!["operator:17".parse().expect("valid")], ..all() };
    let extension = FileFilter { extension: Some("txt".into()), ..all() };
    let visitor = FileFilter { visitor: Some("o1".parse().expect("valid")), ..all() };
    vec![
        ("of an online visitor", visitor, ["files_visitor_created", "files_visitor_size"]),
        ("all", all(), ["files_created", "files_size"]),
        ("of a chat", chat, ["attachments_created", "attachments_size"]),
        ("of an uploader", person, ["files_uploader_created", "files_uploader_size"]),
        ("of an extension", extension, ["files_extension_created", "files_extension_size"]),
    ]
}

/// Where a list goes on at this depth, if it has so many rows.
async fn place(explained: &Explained, query: &FileQuery, depth: i64) -> Option<Place> {
    let query = query.clone();
    body(explained, move |conn| async move { listing::window_end(conn, &Plan::new(&query), None, depth).await }.boxed())
        .await
}

async fn median(store: &dyn Store, query: &FileQuery) -> Duration {
    let caller = service(&["*"]);
    let mut times = Vec::new();
    for _ in 0..CALLS {
        let (query, began) = (query.clone(), Instant::now());
        let page = store.list_files(query, &caller).await.expect("lists");
        times.push(began.elapsed());
        assert_eq!(page.rows.len(), 50);
    }
    times.sort_unstable();
    times[CALLS / 2]
}

/// 10,000 runs that have ended and as many plans that cannot be run any more, each of ten files: what maintenance asks of
/// its own tables. To be run before the last statement of `fill`, which looks at them all.
fn fill_maintenance() -> Vec<String> {
    let (many, id) = (10_000, WORDS.bytes("i", 16));
    let runs = format!(
        "INSERT INTO runs (id, state, tick, by_kind, by_id, request_id, rule, proposed, node, fence, \
         lease_until, cancel_requested, after_created, after_number, begun_at, ended_at) {} SELECT {id}, 'DONE', i, \
         'SERVICE', 'backend', 'm' || i, 'V--- 30 0', FALSE, 'n', 1, i, FALSE, i, i, i, i FROM s",
        WORDS.numbers(many),
    );
    let run_tasks = format!(
        "INSERT INTO run_tasks (run_number, place, task, outcome, done, bytes, kept, failed) {} SELECT (i + 1) / 2, i % 2, \
         CASE i % 2 WHEN 0 THEN 'EXPIRE' ELSE 'PURGE' END, 'DONE', i, i, 0, 0 FROM s",
        WORDS.numbers(2 * many),
    );
    let plans = format!(
        "INSERT INTO plans (id, rule, proposed, token, guard, by_kind, by_id, created_at, expires_at, complete, \
         after_created, after_number) {} SELECT {id}, 'V--- 30 0', FALSE, 't', 1000, 'SERVICE', 'backend', i, i, \
         TRUE, i, i FROM s",
        WORDS.numbers(many),
    );
    let plan_files = format!(
        "INSERT INTO plan_files (plan_number, created_at, file_number, file_id, owner, attached, size) {} SELECT (i + 9) / 10, \
         i, i, {id}, 'VISITOR', TRUE, i FROM s",
        WORDS.numbers(10 * many),
    );
    let plan_groups = format!(
        "INSERT INTO plan_groups (plan_number, owner, attached, files, bytes) {} SELECT (i + 1) / 2, 'VISITOR', i % 2 = 0, 5, i \
         FROM s",
        WORDS.numbers(2 * many),
    );
    let erasures = format!(
        "INSERT INTO erasures (pseudonym, reason, by_kind, by_id, begun_at, ended_at, files, bytes, uploads, events, keys, held, \
         shared_blobs) {} SELECT 'erased~' || i, 'case 7', 'SERVICE', 'backend', i, i, 1, i, 0, 3, 0, 0, 0 FROM s",
        WORDS.numbers(many),
    );
    let erasure_blobs = format!(
        "INSERT INTO erasure_blobs (erasure_number, blob_id) {} SELECT (i + 9) / 10, i FROM s",
        WORDS.numbers(10 * many),
    );
    let stubs = format!(
        "INSERT INTO stubs (number, id, created_at, deleted_at, purged_at) {} SELECT i, {id}, i, i, i FROM s",
        WORDS.numbers(10 * many),
    );
    let events = format!(
        "INSERT INTO events (at, kind, person_kind, person_id, file_id, chat_id) {} SELECT i, 'FILE_UPLOADED', \
         CASE i % 4 WHEN 0 THEN 'OPERATOR' ELSE 'VISITOR' END, 'v' || (i % 1000), {id}, 'c' || (i % 10000) FROM s",
        WORDS.numbers(50 * many),
    );
    let checks = format!(
        "INSERT INTO checks (id, store_id, stored, created_at, expires_at) {} SELECT {id}, {id}, 10, i, i FROM s",
        WORDS.numbers(many),
    );
    let releases = format!(
        "INSERT INTO releases (sha256, signature, reason, by_kind, by_id, at, until) {} SELECT CASE i % 2 WHEN 0 THEN {} END, \
         's' || i, 'case 7', 'SERVICE', 'backend', i, CASE i % 3 WHEN 0 THEN i END FROM s",
        WORDS.numbers(many),
        WORDS.bytes("i", 32),
    );
    let scan_failures = format!(
        "INSERT INTO scan_failures (sha256, signatures, times, at) {} SELECT {}, '1', 1, i FROM s",
        WORDS.numbers(many),
        WORDS.bytes("i", 32),
    );
    let findings = format!(
        "INSERT INTO findings (check_number, number, kind, subject, node, size, found, files, plain, at) {} SELECT (i + 9) / 10, \
         i, 'UNNAMED_BYTES', 's' || i, 'n', i, 0, 0, FALSE, i FROM s",
        WORDS.numbers(10 * many),
    );
    [
        releases,
        scan_failures,
        runs,
        run_tasks,
        plans,
        plan_files,
        plan_groups,
        checks,
        findings,
        erasures,
        erasure_blobs,
        stubs,
        events,
    ]
    .map(|rows| format!("{}; {rows}", WORDS.at_ease()))
    .into()
}

#[tokio::test]
#[ignore = "a million rows: make soak"]
async fn a_million_files_page_by_their_indexes_at_any_depth() {
    let filled = world();
    for sql in fill_maintenance().into_iter().chain(WORDS.fill(FILES)) {
        let began = Instant::now();
        filled.execute(&sql);
        let what = sql.rsplit("; ").next().and_then(|sql| sql.split(" (").next());
        println!("{:>6.1} s  {}", began.elapsed().as_secs_f64(), what.unwrap_or(&sql));
    }
    let (w, explained) = explained_as_it_is(filled).await;
    let mut pages = Vec::new();
    for (name, filter, indexes) in lists() {
        for order in [Order::Newest, Order::Oldest, Order::Largest] {
            for depth in DEPTHS {
                let mut query = query(filter.clone(), order);
                if depth > 0 {
                    query.after = place(&explained, &query, depth).await;
                    if query.after.is_none() {
                        continue;
                    }
                }
                plans(&explained).await;
                let (asked, caller) = (query.clone(), service(&["*"]));
                body(&explained, |c| async move { listing::list(c, asked, &caller).await }.boxed()).await;
                let seen = plans(&explained).await;
                for (sql, steps) in seen.iter().filter(|(sql, _)| sql.contains("AS number FROM")) {
                    judge_walk(sql, steps, indexes[usize::from(order == Order::Largest)], depth > 0);
                }
                judge(&seen, &[], &sorted());
                pages.push((format!("{name}, {order:?}"), depth, query));
            }
        }
    }
    every_call(&w, &explained).await;
    judge(&plans(&explained).await, WALKED, &sorted());
    let store = plain(&w);
    println!("pages of 50 of a table of {FILES} files, medians of {CALLS} calls of the store:");
    for (list, depth, query) in pages {
        let time = median(&*store, &query).await.as_secs_f64() * 1_000.0;
        println!("   {time:.2} ms at {depth:>6}  {list}");
    }
}
