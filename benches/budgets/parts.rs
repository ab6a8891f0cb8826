//! What the parts of a pair do alone with small files: its store of bytes, and its engine with the rows of uploads.
//!
//! Not here: how each does it (`disk.rs`, `objects.rs`, `engine.rs`, `engine_postgres.rs`).

use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::{
    Bench, Fallible, disk,
    engine::{self, Engine},
    engine_postgres,
    made::Noise,
    objects,
    pair::Place,
    product::Product,
    report::Samples,
    small::{SIZE, milliseconds},
};

/// Files per second of the store alone, and uploads' rows per second of the engine alone, so many at once.
pub async fn files_per_second(
    bench: &Bench,
    place: &Place,
    name: &str,
    count: usize,
    at_once: usize,
) -> Fallible<(f64, f64)> {
    let (folder, seed) = (bench.folder(name), bench.seed());
    let bytes = Noise(seed).bytes(SIZE);
    let (Some(objects), Some(url)) = (place.objects(), bench.pair.place().database_url()) else {
        let measured = spawn_blocking(move || {
            let disk = disk::small_files_per_second(&folder.join("disk"), &bytes, count, at_once)?;
            let mut engine = Engine::create(&folder.join("engine.sqlite"), seed)?;
            engine.uploads_per_second(at_once, at_once)?;
            Fallible::Ok((disk, engine.uploads_per_second(count, at_once)?))
        });
        return measured.await?;
    };
    let puts = spawn_blocking(move || objects::small_puts_per_second(&objects, &bytes, count, at_once, "small"));
    let puts = puts.await??;
    let mut engine = engine_postgres::Engine::create(&url, at_once, seed).await?;
    engine.uploads_per_second(at_once).await?;
    Ok((puts, engine.uploads_per_second(count).await?))
}

/// Milliseconds that one small file takes the store alone and its rows the engine alone, one after the other.
pub async fn upload_milliseconds(bench: &Bench, place: &Place, name: &str, count: usize) -> Fallible<f64> {
    let (folder, seed) = (bench.folder(name), bench.seed());
    let bytes = Noise(seed).bytes(SIZE);
    let median = |times: Vec<Duration>| times.into_iter().map(milliseconds).collect::<Samples>().median();
    let (Some(objects), Some(url)) = (place.objects(), bench.pair.place().database_url()) else {
        let measured = spawn_blocking(move || {
            let disk = disk::small_file_times(&folder.join("disk"), &bytes, count)?;
            Fallible::Ok((disk, Engine::create(&folder.join("engine.sqlite"), seed)?.upload_times(count)?))
        });
        let (disk, engine) = measured.await??;
        return Ok(median(disk) + median(engine));
    };
    let puts = spawn_blocking(move || objects::small_put_times(&objects, &bytes, count, "one")).await??;
    let mut engine = engine_postgres::Engine::create(&url, 1, seed).await?;
    Ok(median(puts) + median(engine.upload_times(count).await?))
}

/// `GetFile`'s statements per second on the product's own database, by as many connections as there are cores.
pub async fn gets_per_second(product: &Product, ids: &[Vec<u8>], count: usize) -> Fallible<f64> {
    let cores = std::thread::available_parallelism()?.get();
    match product.place.database_url() {
        Some(url) => engine_postgres::gets_per_second(&url, ids, count, cores).await,
        None => {
            let (file, ids) = (product.database_file()?, ids.to_vec());
            spawn_blocking(move || engine::gets_per_second(&file, &ids, count, cores)).await?
        }
    }
}
