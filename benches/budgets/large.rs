//! B1, B2, B7, B11: large files in and out, antivirus off.
//!
//! In an object store the parts beside which the product stands are those and the store's own client, from memory.
//! Not here: scanned ones (`scanned.rs`).

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use lhfile::adapters::blobs::S3Place;
use tokio::task::spawn_blocking;

use crate::{
    Bench, Fallible,
    bare::{Bare, KEPT, SERVED},
    client::{Client, in_lanes},
    disk,
    made::{Content, Noise},
    objects,
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
    let product = Product::start(bench, "b1", None).await?;
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
            let (these, folder, objects) = (Arc::clone(&files), written.clone(), product.place.objects());
            let alone = spawn_blocking(move || {
                these.iter().enumerate().try_fold(0.0, |sum, (number, file)| {
                    let name = format!("{round}-{number}");
                    let put = objects.as_ref().map_or(Ok(0.0), |place| objects::put_cpu(place, file, &name))?;
                    Fallible::Ok(sum + disk::hash_cpu(file)? + disk::write_cpu(file, &folder.join(name))? + put)
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
        let product = Product::start(bench, &format!("b2-{round}"), None).await?;
        let bare = Bare::start(&bench.folder(&format!("b2-bare-{round}")))?;
        let (ours, theirs) = (product.clients(4).await?, Client::several(bare.address, "", 4).await?);
        let files = files(64, 16 * MIB, bench);
        let mib = files.iter().map(|f| f.size as f64).sum::<f64>() / MIB as f64;
        let reference = async {
            match product.place.objects() {
                None => upload_all(&theirs, &files, 4, KEPT).await,
                Some(place) => put_all(place, &files, 4, "b2").await,
            }
        };
        let (product_took, alone_took) = bench.alternately(round, upload_all(&ours, &files, 4, ""), reference).await?;
        if round > 0 {
            row.ratio(mib / product_took, mib / alone_took);
        }
        product.end()?;
    }
    Ok(vec![row])
}

async fn put_all(place: S3Place, files: &Arc<Vec<Content>>, at_once: usize, name: &'static str) -> Fallible<f64> {
    let files = Arc::clone(files);
    spawn_blocking(move || objects::put_all(&place, &files, at_once, name)).await?
}

/// B11: one large file into the object store, over its own client's upload in parts of the same bytes from memory.
pub async fn into_the_object_store(bench: &Bench) -> Fallible<Vec<Row>> {
    let mut row = Row::new("B11", "upload, 1 GiB, into the object store", "MiB/s", Goal::AtLeast(0.9));
    let product = Product::start(bench, "b11", None).await?;
    let Some(place) = product.place.objects() else {
        product.end()?;
        return Ok(Vec::new());
    };
    let ours = product.clients(1).await?;
    for round in bench.rounds("B11") {
        let files = files(1, 1024 * MIB, bench);
        let alone = put_all(place.clone(), &files, 1, "b11");
        let (product_took, alone_took) = bench.alternately(round, upload_all(&ours, &files, 1, ""), alone).await?;
        if round > 0 {
            row.ratio(1024.0 / product_took, 1024.0 / alone_took);
        }
    }
    product.end()?;
    Ok(vec![row])
}

/// B7: CPU of a download over that of a bare stream with a hash.
pub async fn cpu_of_downloads(bench: &Bench) -> Fallible<Vec<Row>> {
    const SIZE: u64 = 256 * MIB;
    const TIMES: u64 = 2;
    let mut row = Row::new("B7", "download, 256 MiB: server CPU", "CPU-s/GiB", Goal::AtMost(1.15));
    let product = Product::start(bench, "b7", None).await?;
    let served = bench.folder("b7-bare");
    let bare = Bare::start(&served)?;
    let content = Content::random(&Bytes::from(Noise(bench.seed()).bytes(16 << 20)), SIZE, bench.seed());
    disk::write_cpu(&content, &served.join(SERVED))?;
    let objects = product.place.objects();
    if let Some(place) = objects.clone() {
        let content = content.clone();
        spawn_blocking(move || objects::put_cpu(&place, &content, "b7")).await??;
    }
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
        let whole = cpu(&ours[0], product.pid(), &id);
        let bare_stream = async {
            let stream = cpu(&theirs[0], bare.pid(), "").await?;
            let Some(place) = objects.clone() else { return Ok(stream) };
            let get = spawn_blocking(move || objects::get_cpu(&place, "b7")).await??;
            Fallible::Ok(stream + get / (SIZE as f64 / GIB))
        };
        let (product, reference) = bench.alternately(round, whole, bare_stream).await?;
        if round > 0 {
            row.ratio(product, reference);
        }
    }
    product.end()?;
    Ok(vec![row])
}
