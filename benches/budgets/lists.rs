//! B8, B12: pages of a long table, and a start over it.
//!
//! The rows are written past the server (`tests/it/harness/million.rs`); pages are asked of it, as clients ask. Not here:
//! whether each list walks its index (`src/adapters/sql/tests/depth.rs`).

use std::time::Instant;

use lhfile::{
    domain::{
        Caller, ChatSet, Permissions,
        listing::{FileFilter, FileQuery, Order},
    },
    ports::Store,
};

use crate::{
    Bench, Fallible,
    client::Client,
    product::Product,
    report::{Goal, Row, Samples},
    small::milliseconds,
};

/// Files of the short table and of the long one.
const SHORT: i64 = 10_000;
const LONG: i64 = 1_000_000;
/// Calls of a round, of which the median counts.
const CALLS: usize = 200;
const PAGE: i32 = 50;

/// A server over so many files, started anew.
async fn filled(bench: &Bench, name: &str, files: i64) -> Fallible<Product> {
    let product = Product::start(bench, name, None).await?;
    eprintln!("   writing {files} rows");
    let file = product.database_file().unwrap_or_default();
    product.place.run(&file, &bench.pair.words().fill(files))?;
    Ok(product.restarted().await?.0)
}

/// Milliseconds of a page after this token.
async fn page(client: &Client, after: &str) -> Fallible<f64> {
    let mut times = Samples::default();
    for _ in 0..CALLS {
        let started = Instant::now();
        let (files, _) = client.list(PAGE, after).await?;
        times.push(milliseconds(started.elapsed()));
        if files != PAGE as usize {
            return Err(format!("a page has {files} files").into());
        }
    }
    Ok(times.median())
}

/// Milliseconds of the first page by the product's own store, without a server.
async fn query(store: &dyn Store) -> Fallible<f64> {
    let caller = Caller {
        person: "operator:17".parse().map_err(|_| "operator:17 is no person")?,
        permissions: Permissions::all(),
        chats: ChatSet::All,
        vid: None,
        ceiling: None,
    };
    let limit = PAGE.unsigned_abs();
    let query = FileQuery {
        filter: FileFilter::default(),
        deleted_after: None,
        scope: None,
        order: Order::Newest,
        after: None,
        limit,
        with_total: false,
    };
    let mut times = Samples::default();
    for _ in 0..CALLS {
        let (query, started) = (query.clone(), Instant::now());
        store.list_files(query, &caller).await?;
        times.push(milliseconds(started.elapsed()));
    }
    Ok(times.median())
}

/// The token of the last whole page, and how many files come before it.
async fn last_page(client: &Client) -> Fallible<(String, usize)> {
    const LARGEST: i32 = 500;
    let (mut token, mut before) = (String::new(), 0);
    loop {
        let (files, next) = client.list(LARGEST, &token).await?;
        // The next page is not whole, or is the last one.
        if next.is_empty() || client.list(LARGEST, &next).await?.1.is_empty() {
            return Ok((token, before));
        }
        (token, before) = (next, before + files);
    }
}

/// B8: a page at the end of a million files over the first one of ten thousand; and what the call adds to the query.
pub async fn pages(bench: &Bench) -> Fallible<Vec<Row>> {
    let short = filled(bench, "b8-short", SHORT).await?;
    let long = filled(bench, "b8-long", LONG).await?;
    let (few, many) = (short.clients(1).await?.remove(0), long.clients(1).await?.remove(0));
    let (token, depth) = last_page(&many).await?;
    let what = format!("page of {PAGE} at depth {depth}, over the first one of {SHORT}");
    let mut deep = Row::new("B8", what, "ms", Goal::AtMost(1.2));
    let mut added = Row::new("B8", format!("first page of {PAGE}: the call beside its query"), "ms", Goal::AtMost(0.3));
    let store = long.place.store(long.database_file().unwrap_or_default()).await?;
    for round in bench.rounds("B8") {
        let (at_depth, first) =
            bench.alternately(round, Box::pin(page(&many, &token)), Box::pin(page(&few, ""))).await?;
        let (call, alone) = bench.alternately(round, page(&many, ""), query(&*store)).await?;
        if round > 0 {
            deep.ratio(at_depth, first);
            added.pair(call, alone, call - alone);
        }
    }
    short.end()?;
    long.end()?;
    Ok(vec![deep, added])
}

/// B12: from the start of the process until it serves, over a million files, no scanner to wait for.
pub async fn start(bench: &Bench) -> Fallible<Vec<Row>> {
    let mut row = Row::new("B12", format!("start to serving with {LONG} files"), "s", Goal::AtMost(1.0));
    let mut product = filled(bench, "b12", LONG).await?;
    for round in bench.rounds("B12") {
        let took;
        (product, took) = product.restarted().await?;
        if round > 0 {
            row.value(took.as_secs_f64());
        }
    }
    product.end()?;
    Ok(vec![row])
}
