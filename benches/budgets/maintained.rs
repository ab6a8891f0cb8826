//! B10: maintenance of many old files, and uploads beside it.
//!
//! The old files are rows past the server (`tests/it/harness/old.rs`), of one content: what is measured is tombstones with
//! their events. A million of them is a test that is run at length (`tests/it/old_files.rs`). Not here: which files go.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use lhfile::rpc::pb::{MaintenanceTask, RunState};
use tokio::task::spawn_blocking;

use crate::{
    Bench, Fallible,
    client::{Client, in_lanes},
    disk,
    made::{Content, Noise},
    objects,
    old::old_files,
    pair::{Pair, Place},
    product::Product,
    report::{Goal, Row},
    small::{SIZE, milliseconds},
};

/// Old files of a round.
const FILES: i64 = 20_000;
/// Uploads of a round while nothing else is done.
const IDLE: usize = 500;
/// Files of a round that are purged with their bytes, twice.
const PURGED: usize = 1_000;
/// Removals at once: the product's.
const AT_ONCE: usize = 16;

/// Statements that wait for a server that writes meanwhile.
fn patient(pair: Pair, statements: Vec<String>) -> Vec<String> {
    match pair {
        Pair::SqliteDisk => statements.iter().map(|sql| format!("PRAGMA busy_timeout = 5000; {sql}")).collect(),
        Pair::PostgresS3 => statements,
    }
}

/// The time that of a hundred uploads one exceeds.
fn p99(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * 99 / 100).map_or(f64::NAN, |time| milliseconds(*time))
}

/// Uploads of 4 KiB one after the other, as long as there is to be a next.
async fn uploads(bench: &Bench, client: &Client, next: impl Fn(usize) -> bool) -> Fallible<f64> {
    let (body, mut times) = (Bytes::from(Noise(1).bytes(SIZE)), Vec::new());
    while next(times.len()) {
        let content = Content::random(&body, SIZE as u64, bench.seed());
        let started = Instant::now();
        client.upload(&content, "bin", "").await?;
        times.push(started.elapsed());
    }
    Ok(p99(times))
}

/// To the run's end; answers its seconds, as it tells them, and how much it did.
async fn run(client: &Client, plan: Option<(String, String)>, task: MaintenanceTask) -> Fallible<(f64, i64)> {
    let run_id = client.begin_run(plan, task).await?;
    loop {
        let run = client.run(&run_id).await?;
        if run.state() != RunState::Running {
            let at = |time: Option<prost_types::Timestamp>| {
                time.map(|time| time.seconds as f64 + f64::from(time.nanos) / 1e9).ok_or("a run without its times")
            };
            let done = run.tasks.iter().map(|task| task.done_count).sum();
            return Ok((at(run.end_time)? - at(run.start_time)?, done));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// B10: files planned, deleted and purged per second, and the slowest uploads beside it over those without.
pub async fn maintenance(bench: &Bench) -> Fallible<Vec<Row>> {
    let least = match bench.pair {
        Pair::SqliteDisk => 30_000.0,
        Pair::PostgresS3 => 20_000.0,
    };
    let mut planned = Row::new("B10", format!("plan of {FILES} old files"), "files/s", Goal::None);
    let mut deleted = Row::new("B10", "old files deleted, with their events", "files/s", Goal::AtLeast(least));
    let mut beside = Row::new("B10", "upload, 4 KiB, p99 beside the run, over p99 idle", "ms", Goal::AtMost(2.0));
    let product = Product::start(bench, "b10", None).await?;
    let client = product.clients(1).await?.remove(0);
    // The first file, of which the old ones are copies.
    uploads(bench, &client, |count| count < 1).await?;
    client.delete_after_days(30).await?;
    let file = product.database_file().unwrap_or_default();
    for round in bench.rounds("B10") {
        let postgres = bench.pair == Pair::PostgresS3;
        let before = i64::try_from(round)? * FILES;
        let rows = old_files(postgres, &format!("old-{round}.bin"), before, FILES, 100);
        product.place.run(&file, &patient(bench.pair, rows))?;
        if postgres {
            product.place.run(&file, &["ANALYZE".to_owned()])?;
        }
        let idle = uploads(bench, &client, |count| count < IDLE).await?;
        let started = Instant::now();
        let (plan, token, count) = client.plan().await?;
        let planning = FILES as f64 / started.elapsed().as_secs_f64();
        if count != FILES {
            return Err(format!("the plan has {count} files").into());
        }
        let over = AtomicBool::new(false);
        let carried = async {
            let carried = run(&client, Some((plan, token)), MaintenanceTask::Expire).await;
            over.store(true, Relaxed);
            carried
        };
        let (carried, busy) = tokio::join!(carried, uploads(bench, &client, |_| !over.load(Relaxed)));
        let (seconds, done) = carried?;
        if done != FILES {
            return Err(format!("the run deleted {done} files").into());
        }
        if round > 0 {
            planned.value(planning);
            deleted.value(FILES as f64 / seconds);
            beside.ratio(busy?, idle);
        }
    }
    product.end()?;
    let mut rows = vec![planned, deleted, beside];
    rows.extend(purge(bench).await?);
    Ok(rows)
}

/// Small files that the store alone removes per second.
async fn removals(bench: &Bench, place: &Place, name: &str) -> Fallible<f64> {
    let (folder, bytes) = (bench.folder(name), Noise(bench.seed()).bytes(SIZE));
    let objects = place.objects();
    let measured = spawn_blocking(move || match objects {
        None => disk::removed_files_per_second(&folder, &bytes, PURGED, AT_ONCE),
        Some(objects) => objects::deletes_per_second(&objects, &bytes, PURGED, AT_ONCE, "removed"),
    });
    measured.await?
}

/// Files that were deleted long ago, each with bytes of its own: purged while nothing else is done, and beside uploads, to
/// which half of the time is left.
async fn purge(bench: &Bench) -> Fallible<[Row; 2]> {
    let what = format!("{PURGED} files purged, 4 KiB of bytes each, over the store's own removals");
    let mut purged = Row::new("B10", what, "files/s", Goal::AtLeast(0.8));
    let mut beside = Row::new("B10", "upload, 4 KiB, p99 beside the purge, over p99 idle", "ms", Goal::AtMost(2.0));
    let product = Product::start(bench, "b10-purge", None).await?;
    let clients = product.clients(4).await?;
    let file = product.database_file().unwrap_or_default();
    let long_ago = 40 * 86_400_000_000_i64;
    let aged = [
        format!("UPDATE files SET state = 'DELETED', deleted_at = created_at - {long_ago} WHERE state = 'READY'"),
        format!("UPDATE blobs SET created_at = created_at - {long_ago} WHERE state = 'ACTIVE'"),
    ];
    for round in bench.rounds("B10, purge") {
        let store = removals(bench, &product.place, &format!("b10-removed-{round}")).await?;
        let idle = uploads(bench, &clients[0], |count| count < IDLE).await?;
        let (mut rate, mut busy) = (f64::NAN, f64::NAN);
        for with_uploads in [false, true] {
            let (body, first) = (Bytes::from(Noise(1).bytes(SIZE)), bench.seeds(PURGED));
            in_lanes(&clients, PURGED, 16, move |client, number| {
                let content = Content::random(&body, SIZE as u64, first + number as u64);
                async move { client.upload(&content, "bin", "").await.map(drop) }
            })
            .await?;
            product.place.run(&file, &patient(bench.pair, aged.to_vec()))?;
            let over = AtomicBool::new(!with_uploads);
            let carried = async {
                let carried = run(&clients[1], None, MaintenanceTask::Purge).await;
                over.store(true, Relaxed);
                carried
            };
            let (carried, slowest) = tokio::join!(carried, uploads(bench, &clients[0], |_| !over.load(Relaxed)));
            let (seconds, done) = carried?;
            if done < i64::try_from(PURGED)? {
                return Err(format!("the run purged {done} files").into());
            }
            if with_uploads {
                busy = slowest?;
            } else {
                rate = done as f64 / seconds;
            }
        }
        if round > 0 {
            purged.ratio(rate, store);
            beside.ratio(busy, idle);
        }
    }
    product.end()?;
    Ok([purged, beside])
}
