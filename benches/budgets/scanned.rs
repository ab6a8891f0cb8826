//! B3, B4, B13: uploads that are scanned, beside clamd alone on the same files.
//!
//! One product serves all three, with the generated signatures, and its own clamd is the reference.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::{
    Bench, Fallible, clamd,
    client::{Client, in_lanes},
    made::{self, Content, Kind},
    product::Product,
    report::{Goal, Row},
};

const MIB: usize = 1 << 20;

/// A product that scans, with its clamd's socket.
async fn scanning(bench: &Bench, name: &str) -> Fallible<(Product, PathBuf)> {
    let signatures = bench.signatures()?;
    let product = Product::start(bench, name, Some(&signatures)).await?;
    let socket = product.clamd_socket()?;
    Ok((product, socket))
}

async fn timed_upload(client: &Client, bytes: &Bytes, kind: Kind) -> Fallible<Duration> {
    let (content, started) = (Content::of(bytes.clone()), Instant::now());
    client.upload(&content, kind.extension(), "").await?;
    Ok(started.elapsed())
}

/// B3: what a scanned upload may take: 1.05 times clamd alone, 3 ms, and the size at 500 MiB/s.
pub async fn scanned_upload(bench: &Bench) -> Fallible<Vec<Row>> {
    let (product, socket) = scanning(bench, "b3").await?;
    let client = product.clients(1).await?.remove(0);
    let mut rows = Vec::new();
    for (kind, size) in Kind::ALL.map(|kind| (kind, 2 * MIB)).into_iter().chain([(Kind::Random, 16 * MIB)]) {
        let what = format!("scanned {}, {} MiB: time over 1.05 clamd + 3 ms + size", kind.extension(), size / MIB);
        let mut row = Row::new("B3", what, "ms", Goal::AtMost(1.0));
        for round in bench.rounds(&format!("B3 {}", kind.extension())) {
            let bytes = made::file(kind, size, bench.seed())?;
            let (same, socket) = (bytes.clone(), socket.clone());
            let alone = async move { spawn_blocking(move || clamd::scan(&socket, &same)).await? };
            let upload = timed_upload(&client, &bytes, kind);
            let (took, alone) = bench.alternately(round, upload, alone).await?;
            if round > 0 {
                let own = bytes.len() as f64 / (500 * MIB) as f64;
                let allowed = 1.05 * alone.as_secs_f64() + 0.003 + own;
                let (took, alone) = (took.as_secs_f64(), alone.as_secs_f64());
                row.pair(took * 1000.0, alone * 1000.0, took / allowed);
            }
        }
        rows.push(row);
    }
    product.end()?;
    Ok(rows)
}

/// What a busy chat brings: photos, documents, some archives.
fn mixed(bench: &Bench, small_only: bool) -> Fallible<Vec<(Kind, Bytes)>> {
    let mut files = Vec::new();
    // So many that the lanes' start and end, when not all of them work, do not count.
    for _ in 0..if small_only { 24 } else { 8 } {
        for (kind, kib) in [(Kind::Png, 300), (Kind::Pdf, 400), (Kind::Png, 700), (Kind::Text, 60)] {
            files.push((kind, kib << 10));
        }
        if !small_only {
            files.extend([(Kind::Zip, 2 * MIB), (Kind::Random, 4 * MIB)]);
        }
    }
    files.into_iter().map(|(kind, size)| Ok((kind, made::file(kind, size, bench.seed())?))).collect()
}

/// B4: scanned uploads at 8 at once, over the best that clamd does on these files, whatever the threads.
pub async fn rate_of_scanned_uploads(bench: &Bench) -> Fallible<Vec<Row>> {
    let (product, socket) = scanning(bench, "b4").await?;
    let clients = product.clients(4).await?;
    let mut rows = Vec::new();
    for (small_only, what) in [(true, "photos and documents below 1 MiB"), (false, "the same with archives of 2-4 MiB")]
    {
        let mut row = Row::new("B4", format!("scanned, 8 at once: {what}"), "files/s", Goal::AtLeast(0.95));
        for round in bench.rounds(&format!("B4, {what}")) {
            let files = Arc::new(mixed(bench, small_only)?);
            let (socket, alone): (_, Vec<Bytes>) = (socket.clone(), files.iter().map(|(_, b)| b.clone()).collect());
            let count = files.len();
            let uploads = async {
                let started = Instant::now();
                in_lanes(&clients, count, 8, move |client, number| {
                    let files = Arc::clone(&files);
                    async move { timed_upload(&client, &files[number].1, files[number].0).await.map(drop) }
                })
                .await?;
                Fallible::Ok(count as f64 / started.elapsed().as_secs_f64())
            };
            let best = async move {
                let measured = spawn_blocking(move || {
                    [2, 4, 8].into_iter().try_fold(0.0_f64, |best, threads| {
                        Fallible::Ok(best.max(clamd::files_per_second(&socket, &alone, threads)?))
                    })
                });
                measured.await?
            };
            let (rate, best) = bench.alternately(round, uploads, best).await?;
            if round > 0 {
                row.ratio(rate, best);
            }
        }
        rows.push(row);
    }
    product.end()?;
    Ok(rows)
}

/// B13: the same bytes a second time, when their verdict is known.
pub async fn known_bytes(bench: &Bench) -> Fallible<Vec<Row>> {
    let mut row = Row::new("B13", "random, 16 MiB: again over first", "ms", Goal::AtMost(0.05));
    let (product, _) = scanning(bench, "b13").await?;
    let client = product.clients(1).await?.remove(0);
    for round in bench.rounds("B13") {
        let bytes = made::file(Kind::Random, 16 * MIB, bench.seed())?;
        let first = timed_upload(&client, &bytes, Kind::Random).await?.as_secs_f64() * 1000.0;
        let again = timed_upload(&client, &bytes, Kind::Random).await?.as_secs_f64() * 1000.0;
        if round > 0 {
            row.ratio(again, first);
        }
    }
    product.end()?;
    Ok(vec![row])
}
