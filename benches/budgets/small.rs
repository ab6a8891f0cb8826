//! B5, B6, B14: small files and small calls, antivirus off.
//!
//! The product's client shares the two cores with the server; its parts alone (`parts.rs`) are measured without one.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    Bench, Fallible,
    bare::Bare,
    client::{Client, in_lanes},
    made::{Content, Noise},
    parts,
    product::Product,
    report::{Goal, Row, Samples},
};
use bytes::Bytes;

pub const SIZE: usize = 4096;

fn file(body: &Bytes, seed: u64) -> Content {
    Content::random(body, SIZE as u64, seed)
}

/// B5: small uploads per second over the smaller of the store of bytes and half the engine.
pub async fn rate_of_small_files(bench: &Bench) -> Fallible<Vec<Row>> {
    let mut rows = Vec::new();
    for at_once in [16, 64] {
        let what = format!("upload, 4 KiB, {at_once} at once, over min(store, engine / 2)");
        let mut row = Row::new("B5", what, "files/s", Goal::AtLeast(0.8));
        let (mut disks, mut engines) = (Samples::default(), Samples::default());
        for round in bench.rounds(&format!("B5, {at_once} at once")) {
            let name = format!("b5-{at_once}-{round}");
            let product = Product::start(bench, &name, None).await?;
            let clients = product.clients(4).await?;
            let count = 48 * at_once;
            let uploads = upload_small(bench, &clients, count, at_once);
            let parts = parts::files_per_second(bench, &product.place, &name, count, at_once);
            let (rate, (disk, engine)) = bench.alternately(round, uploads, parts).await?;
            if round > 0 {
                disks.push(disk);
                engines.push(engine);
                row.ratio(rate, disk.min(engine / 2.0));
            }
            product.end()?;
        }
        println!("   the store alone {:.0}/s, the engine alone {:.0}/s", disks.median(), engines.median());
        rows.push(row);
    }
    Ok(rows)
}

async fn upload_small(bench: &Bench, clients: &[Client], count: usize, at_once: usize) -> Fallible<f64> {
    let (body, first) = (Bytes::from(Noise(1).bytes(SIZE)), bench.seeds(count));
    // Connections and statements are warm before the clock starts.
    let (warm, warm_first) = (body.clone(), bench.seeds(at_once));
    in_lanes(clients, at_once, at_once, move |client, number| {
        let content = file(&warm, warm_first + number as u64);
        async move { client.upload(&content, "bin", "").await.map(drop) }
    })
    .await?;
    let started = Instant::now();
    in_lanes(clients, count, at_once, move |client, number| {
        let content = file(&body, first + number as u64);
        async move { client.upload(&content, "bin", "").await.map(drop) }
    })
    .await?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// B6: what an upload costs beside its two commits and its file, one at a time.
pub async fn added_latency(bench: &Bench) -> Fallible<Vec<Row>> {
    const COUNT: usize = 200;
    let mut row = Row::new("B6", "upload, 4 KiB, one at a time, beside store and engine", "ms", Goal::AtMost(1.0));
    for round in bench.rounds("B6") {
        let name = format!("b6-{round}");
        let product = Product::start(bench, &name, None).await?;
        let clients = product.clients(1).await?;
        let body = Bytes::from(Noise(1).bytes(SIZE));
        let uploads = async {
            let mut times = Samples::default();
            for _ in 0..COUNT {
                let content = file(&body, bench.seed());
                let started = Instant::now();
                clients[0].upload(&content, "bin", "").await?;
                times.push(milliseconds(started.elapsed()));
            }
            Fallible::Ok(times.median())
        };
        let parts = Box::pin(parts::upload_milliseconds(bench, &product.place, &name, COUNT));
        let (whole, parts) = bench.alternately(round, uploads, parts).await?;
        if round > 0 {
            row.pair(whole, parts, whole - parts);
        }
        product.end()?;
    }
    Ok(vec![row])
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// B14: small unary calls, the query's own time taken off.
pub async fn small_calls(bench: &Bench) -> Fallible<Vec<Row>> {
    const FILES: usize = 256;
    const CALLS: usize = 20_000;
    const AT_ONCE: usize = 64;
    let mut row = Row::new("B14", "GetFile, 64 at once, the query's time off", "calls/s", Goal::AtLeast(0.8));
    let product = Product::start(bench, "b14", None).await?;
    let bare = Bare::start(&bench.folder("b14-bare"))?;
    let (ours, theirs) = (product.clients(4).await?, Client::several(bare.address, "", 4).await?);
    let ids = Arc::new(Mutex::new(Vec::new()));
    let (body, first, all) = (Bytes::from(Noise(1).bytes(SIZE)), bench.seeds(FILES), Arc::clone(&ids));
    in_lanes(&ours, FILES, 16, move |client, number| {
        let (content, all) = (file(&body, first + number as u64), Arc::clone(&all));
        async move {
            let id = client.upload(&content, "bin", "").await?;
            all.lock().unwrap_or_else(PoisonError::into_inner).push(id);
            Ok(())
        }
    })
    .await?;
    let ids = Arc::new(ids.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let raw = ids.iter().map(|id| data_encoding::BASE32_NOPAD.decode(id.to_uppercase().as_bytes()));
    let raw: Vec<Vec<u8>> = raw.collect::<Result<_, _>>()?;
    let calls = async |clients: &[Client]| {
        let (ids, started) = (Arc::clone(&ids), Instant::now());
        in_lanes(clients, CALLS, AT_ONCE, move |client, number| {
            let ids = Arc::clone(&ids);
            async move { client.get(&ids[number % FILES]).await }
        })
        .await?;
        Fallible::Ok(CALLS as f64 / started.elapsed().as_secs_f64())
    };
    let mut all_calls = Samples::default();
    for round in bench.rounds("B14") {
        let queries = parts::gets_per_second(&product, &raw, CALLS).await?;
        let (whole, bare_calls) = bench.alternately(round, calls(&ours), calls(&theirs)).await?;
        if round > 0 {
            all_calls.push(whole);
            row.ratio(1.0 / (1.0 / whole - 1.0 / queries), bare_calls);
        }
    }
    println!("   with the query {:.0}/s", all_calls.median());
    product.end()?;
    Ok(vec![row])
}
