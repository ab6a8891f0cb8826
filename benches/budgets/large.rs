//! B1, B2, B7: large files in and out, antivirus off.
//!
//! Not here: scanned ones (`scanned.rs`).

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::{
    Bench, Fallible,
    bare::{Bare, KEPT, SERVED},
    client::{Client, in_lanes},
    disk,
    made::{Content, Noise},
    process::cpu_seconds,
    product::Product,
    report::{Goal, Row},
};

const MIB: u64 = 1 << 20;
const GIB: f64 = 1_073_741_824.0;

/// Distinct random files of one size.
fn files(count: usize, size: u64, bench: &Bench) -> Arc<Vec<Content>> {
    let body = Bytes::from(Noise(bench.seed()).bytes(16 << 20));
    Arc::new((0..count).map(|_| Content::random(&body, size, bench.seed())).collect())
}

/// Uploads them all; answers the seconds it took.
async fn upload_all(
    clients: &[Client],
    files: &Arc<Vec<Content>>,
    at_once: usize,
    kind: &'static str,
) -> Fallible<f64> {
    let (started, these) = (Instant::now(), Arc::clone(files));
    in_lanes(clients, files.len(), at_once, move |client, number| {
        let files = Arc::clone(&these);
        async move { client.upload(&files[number], "bin", kind).await.map(drop) }
    })
    .await?;
    Ok(started.elapsed().as_secs_f64())
}

/// B1: CPU of an upload over the CPU of its unavoidable parts.
pub async fn cpu_of_uploads(bench: &Bench) -> Fallible<Vec<Row>> {
    let mut row = Row::new(
        "B1",
        "upload, 8 x 64 MiB, 4 at once: server CPU over sink + hash + write",
        "CPU-s/GiB",
        Goal::AtMost(1.2),
    );
    let product = Product::start(&bench.folder("b1"), None).await?;
    let bare = Bare::start(&bench.folder("b1-bare"))?;
    let (ours, theirs) = (product.clients(4).await?, Client::several(bare.address, "", 4).await?);
    let written = bench.folder("b1-written");
    std::fs::create_dir_all(&written)?;
    for round in bench.rounds("B1") {
        let files = files(8, 64 * MIB, bench);
        let gib = files.iter().map(|f| f.size as f64).sum::<f64>() / GIB;
        let parts = async {
            let before = cpu_seconds(bare.pid())?;
            upload_all(&theirs, &files, 4, "").await?;
            let sink = cpu_seconds(bare.pid())? - before;
            let (these, folder) = (Arc::clone(&files), written.clone());
            let alone = spawn_blocking(move || {
                these.iter().enumerate().try_fold(0.0, |sum, (number, file)| {
                    let path = folder.join(format!("{round}-{number}"));
                    Fallible::Ok(sum + disk::hash_cpu(file)? + disk::write_cpu(file, &path)?)
                })
            });
            Fallible::Ok((sink + alone.await??) / gib)
        };
        let whole = async {
            let before = cpu_seconds(product.pid())?;
            upload_all(&ours, &files, 4, "").await?;
            Fallible::Ok((cpu_seconds(product.pid())? - before) / gib)
        };
        let (product, reference) = bench.alternately(round, whole, parts).await?;
        if round > 0 {
            row.ratio(product, reference);
        }
    }
    product.end()?;
    Ok(vec![row])
}

/// B2: throughput over the reference's.
pub async fn throughput(bench: &Bench) -> Fallible<Vec<Row>> {
    let mut row = Row::new("B2", "upload, 64 x 16 MiB, 4 at once, durable", "MiB/s", Goal::AtLeast(0.9));
    for round in bench.rounds("B2") {
        let product = Product::start(&bench.folder(&format!("b2-{round}")), None).await?;
        let bare = Bare::start(&bench.folder(&format!("b2-bare-{round}")))?;
        let (ours, theirs) = (product.clients(4).await?, Client::several(bare.address, "", 4).await?);
        let files = files(64, 16 * MIB, bench);
        let mib = files.iter().map(|f| f.size as f64).sum::<f64>() / MIB as f64;
        let (product_took, bare_took) =
            bench.alternately(round, upload_all(&ours, &files, 4, ""), upload_all(&theirs, &files, 4, KEPT)).await?;
        if round > 0 {
            row.ratio(mib / product_took, mib / bare_took);
        }
        product.end()?;
    }
    Ok(vec![row])
}

/// B7: CPU of a download over that of a bare stream with a hash.
pub async fn cpu_of_downloads(bench: &Bench) -> Fallible<Vec<Row>> {
    const SIZE: u64 = 256 * MIB;
    const TIMES: u64 = 2;
    let mut row = Row::new("B7", "download, 256 MiB: server CPU", "CPU-s/GiB", Goal::AtMost(1.15));
    let product = Product::start(&bench.folder("b7"), None).await?;
    let served = bench.folder("b7-bare");
    let bare = Bare::start(&served)?;
    let content = Content::random(&Bytes::from(Noise(bench.seed()).bytes(16 << 20)), SIZE, bench.seed());
    disk::write_cpu(&content, &served.join(SERVED))?;
    let (ours, theirs) = (product.clients(1).await?, Client::several(bare.address, "", 1).await?);
    let id = ours[0].upload(&content, "bin", "").await?;
    let cpu = async |client: &Client, pid, id: &str| {
        let before = cpu_seconds(pid)?;
        for _ in 0..TIMES {
            if client.download(id).await? != SIZE {
                return Err("a download has another size".into());
            }
        }
        Fallible::Ok((cpu_seconds(pid)? - before) / ((TIMES * SIZE) as f64 / GIB))
    };
    for round in bench.rounds("B7") {
        let (whole, bare_stream) = (cpu(&ours[0], product.pid(), &id), cpu(&theirs[0], bare.pid(), ""));
        let (product, reference) = bench.alternately(round, whole, bare_stream).await?;
        if round > 0 {
            row.ratio(product, reference);
        }
    }
    product.end()?;
    Ok(vec![row])
}
