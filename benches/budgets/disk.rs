//! What the disk alone can do: large files written and synced, small files made durable with their name, and removed.
//!
//! Plain std on plain threads, in fresh folders.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use sha2::{Digest as _, Sha256};

use crate::{Fallible, made::Content, process::own_cpu_seconds};

/// CPU-seconds of hashing these bytes.
pub fn hash_cpu(content: &Content) -> Fallible<f64> {
    let before = own_cpu_seconds()?;
    let mut hash = Sha256::new();
    content.chunks().for_each(|chunk| hash.update(&chunk));
    std::hint::black_box(hash.finalize());
    Ok(own_cpu_seconds()? - before)
}

/// CPU-seconds of writing these bytes to a new file and syncing it.
pub fn write_cpu(content: &Content, path: &Path) -> Fallible<f64> {
    let before = own_cpu_seconds()?;
    let mut file = File::create_new(path)?;
    for chunk in content.chunks() {
        file.write_all(&chunk)?;
    }
    file.sync_data()?;
    Ok(own_cpu_seconds()? - before)
}

/// Small files made durable per second: create, write, fdatasync, rename, fsync of the folder, `threads` at once, each
/// with a fresh folder of its own, which is the fastest way.
pub fn small_files_per_second(folder: &Path, bytes: &[u8], count: usize, threads: usize) -> Fallible<f64> {
    let folders: Vec<_> = (0..threads).map(|number| folder.join(number.to_string())).collect();
    folders.iter().try_for_each(fs::create_dir_all)?;
    let each = count / threads;
    let started = Instant::now();
    thread::scope(|scope| {
        let write = |folder| (0..each).try_for_each(|number| small_file(folder, bytes, number));
        let lanes: Vec<_> = folders.iter().map(|folder| scope.spawn(move || write(folder))).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().expect("it does not panic"))
    })?;
    Ok((each * threads) as f64 / started.elapsed().as_secs_f64())
}

/// Small files removed per second, each durably: unlink, fsync of the folder, `threads` at once, each in a folder of its own.
pub fn removed_files_per_second(folder: &Path, bytes: &[u8], count: usize, threads: usize) -> Fallible<f64> {
    small_files_per_second(folder, bytes, count, threads)?;
    let folders: Vec<_> = (0..threads).map(|number| folder.join(number.to_string())).collect();
    let each = count / threads;
    let started = Instant::now();
    thread::scope(|scope| {
        let remove = |folder: &Path| {
            (0..each).try_for_each(|number| {
                fs::remove_file(folder.join(number.to_string()))?;
                File::open(folder)?.sync_all()
            })
        };
        let lanes: Vec<_> = folders.iter().map(|folder| scope.spawn(move || remove(folder))).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().expect("it does not panic"))
    })?;
    Ok((each * threads) as f64 / started.elapsed().as_secs_f64())
}

/// How long each of `count` small files takes, one after the other.
pub fn small_file_times(folder: &Path, bytes: &[u8], count: usize) -> Fallible<Vec<Duration>> {
    fs::create_dir_all(folder)?;
    let timed = |number| {
        let started = Instant::now();
        small_file(folder, bytes, number).map(|()| started.elapsed())
    };
    Ok((0..count).map(timed).collect::<std::io::Result<_>>()?)
}

fn small_file(folder: &Path, bytes: &[u8], number: usize) -> std::io::Result<()> {
    let (part, path) = (folder.join(format!("{number}.part")), folder.join(number.to_string()));
    let mut file = File::create_new(&part)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(part, path)?;
    File::open(folder)?.sync_all()
}
