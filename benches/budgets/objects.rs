//! What the object store alone can do, by the client library that the product uses: puts and gets from memory.
//!
//! Each on a runtime of its own with one thread, so that its CPU can be told. Not here: the local disk (`disk.rs`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lhfile::adapters::blobs::S3Place;
use object_store::{
    ClientOptions, ObjectStoreExt as _, PutPayload,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    path::Path,
};

use crate::{Fallible, made::Content, process::own_cpu_seconds};

/// Bytes of a part, and how many are on their way at once: the product's.
const PART: usize = 8 << 20;
const PARTS_AT_ONCE: usize = 2;

fn open(place: &S3Place) -> Fallible<AmazonS3> {
    Ok(AmazonS3Builder::new()
        .with_endpoint(place.endpoint.clone().unwrap_or_default())
        .with_region(&place.region)
        .with_bucket_name(&place.bucket)
        .with_access_key_id(&place.access_key_id)
        .with_secret_access_key(&place.secret_access_key)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_client_options(ClientOptions::new().with_allow_http(true).with_timeout_disabled())
        .build()?)
}

fn path(place: &S3Place, name: &str) -> Path {
    Path::from(format!("{}-alone/{name}", place.prefix))
}

/// Runs it where nothing else runs.
fn alone<T>(work: impl Future<Output = Fallible<T>>) -> Fallible<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// One object: small ones in one put, large ones in parts.
async fn put(store: &AmazonS3, path: &Path, content: &Content) -> Fallible<()> {
    if content.size <= PART as u64 {
        store.put(path, PutPayload::from_iter(content.chunks())).await?;
        return Ok(());
    }
    let mut upload = store.put_multipart(path).await?;
    let mut parts = Vec::new();
    let (mut part, mut size) = (Vec::new(), 0);
    for chunk in content.chunks() {
        size += chunk.len();
        part.push(chunk);
        if size >= PART {
            parts.push(std::mem::take(&mut part));
            size = 0;
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    let sent = parts.into_iter().map(|part| upload.put_part(PutPayload::from_iter(part)));
    let sent: Vec<_> = sent.collect();
    stream::iter(sent).buffered(PARTS_AT_ONCE).try_collect::<Vec<()>>().await?;
    upload.complete().await?;
    Ok(())
}

/// CPU-seconds of putting these bytes there.
pub fn put_cpu(place: &S3Place, content: &Content, name: &str) -> Fallible<f64> {
    let before = own_cpu_seconds()?;
    let store = open(place)?;
    alone(put(&store, &path(place, name), content))?;
    Ok(own_cpu_seconds()? - before)
}

/// CPU-seconds of getting what was put under this name.
pub fn get_cpu(place: &S3Place, name: &str) -> Fallible<f64> {
    let before = own_cpu_seconds()?;
    let store = open(place)?;
    alone(async {
        let mut bytes = store.get(&path(place, name)).await?.into_stream();
        while let Some(piece) = bytes.try_next().await? {
            std::hint::black_box(piece);
        }
        Ok(())
    })?;
    Ok(own_cpu_seconds()? - before)
}

/// Seconds to put all of these, so many at once.
pub fn put_all(place: &S3Place, files: &Arc<Vec<Content>>, at_once: usize, name: &str) -> Fallible<f64> {
    let store = open(place)?;
    let started = Instant::now();
    let puts = files.iter().enumerate().map(|(number, content)| {
        let (store, path) = (&store, path(place, &format!("{name}-{number}")));
        async move { put(store, &path, content).await }
    });
    let puts: Vec<_> = puts.collect();
    alone(stream::iter(puts).buffer_unordered(at_once).try_collect::<Vec<()>>())?;
    Ok(started.elapsed().as_secs_f64())
}

/// Small objects put per second, so many at once.
pub fn small_puts_per_second(place: &S3Place, bytes: &[u8], count: usize, at_once: usize, name: &str) -> Fallible<f64> {
    let small = Arc::new(vec![Content::of(Bytes::copy_from_slice(bytes)); count]);
    put_all(place, &small, at_once, name).map(|seconds| count as f64 / seconds)
}

/// Small objects removed per second, so many at once.
pub fn deletes_per_second(place: &S3Place, bytes: &[u8], count: usize, at_once: usize, name: &str) -> Fallible<f64> {
    small_puts_per_second(place, bytes, count, at_once, name)?;
    let store = open(place)?;
    let started = Instant::now();
    let deletes: Vec<_> = (0..count)
        .map(|number| {
            let (store, path) = (&store, path(place, &format!("{name}-{number}")));
            async move { Ok(store.delete(&path).await?) }
        })
        .collect();
    alone(stream::iter(deletes).buffer_unordered(at_once).try_collect::<Vec<()>>())?;
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// How long each of `count` small puts takes, one after the other.
pub fn small_put_times(place: &S3Place, bytes: &[u8], count: usize, name: &str) -> Fallible<Vec<Duration>> {
    let store = open(place)?;
    let bytes = BytesMut::from(bytes).freeze();
    alone(async {
        let mut times = Vec::with_capacity(count);
        for number in 0..count {
            let started = Instant::now();
            store.put(&path(place, &format!("{name}-{number}")), bytes.clone().into()).await?;
            times.push(started.elapsed());
        }
        Ok(times)
    })
}
