//! What is the local disk's own, on real files; what it must do as every store is the contract (`adapters/tests/`). What
//! happens when the disk ends is in `full.rs`.

mod full;

use std::{
    fs,
    ops::Range,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::{
    folder_sync::SyncGroup,
    open, read,
    spool::{Durable, Entry, Life, SpooledFile},
    *,
};
use crate::{
    domain::{BlobKey, StoreId},
    ports::{BlobError, BlobStore, Spool, Spooled, Tap},
};

const ROOMY: SpoolLimits = SpoolLimits { budget_bytes: 256 << 20, reserve_percent: 0 };

fn key(n: u8) -> BlobKey {
    let mut key = [0xab; 16];
    key[15] = n;
    BlobKey(key)
}

fn store() -> (TempDir, DiskSpool, DiskBlobs) {
    let root = tempfile::tempdir().expect("a folder for the test");
    let (spool, blobs) = open(root.path(), ROOMY).expect("the store opens");
    (root, spool, blobs)
}

fn spooled(spool: &DiskSpool, key: BlobKey, bytes: &[u8]) -> Arc<dyn Spooled> {
    let mut writer = spool.writer(key);
    writer.write(&[Bytes::copy_from_slice(bytes)]).expect("written");
    writer.seal().expect("sealed")
}

async fn kept(spool: &DiskSpool, blobs: &DiskBlobs, key: BlobKey, bytes: &[u8]) {
    let upload = spooled(spool, key, bytes);
    upload.sync().expect("synced");
    blobs.publish(upload, None).await.expect("published");
}

async fn read_all(blobs: &DiskBlobs, key: BlobKey, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
    let mut stream = blobs.open(key, range, None).await?;
    let mut all = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        assert!(chunk.len() <= 256 << 10, "a chunk of {}", chunk.len());
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

/// Bytes that differ at every offset that a mistake could take for another.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_published_upload_reads_back_in_every_range_and_left_the_spool() {
    let (root, spool, blobs) = store();
    let content = pattern((3 << 20) + 17);
    let mut writer = spool.writer(key(1));
    assert_eq!(fs::read_dir(root.path().join("spool")).unwrap().count(), 0, "nothing before the first write");
    for chunks in content.chunks(1 << 20) {
        let parts: Vec<Bytes> = chunks.chunks(70_001).map(Bytes::copy_from_slice).collect();
        writer.write(&parts).unwrap();
        writer.write(&[Bytes::new(), Bytes::new()]).unwrap();
    }
    let upload = writer.seal().unwrap();
    assert_eq!((upload.key(), upload.size()), (key(1), content.len() as u64));
    let mut twice = (Vec::new(), Vec::new());
    let (mut first, mut second) = (upload.reader().unwrap(), upload.reader().unwrap());
    first.read_to_end(&mut twice.0).unwrap();
    second.seek(std::io::SeekFrom::End(-5)).unwrap();
    second.read_to_end(&mut twice.1).unwrap();
    assert_eq!((&twice.0[..], &twice.1[..]), (&content[..], &content[content.len() - 5..]));
    assert_eq!(spool.list().await.unwrap(), [key(1)]);

    upload.sync().unwrap();
    blobs.publish(upload, None).await.unwrap();

    assert!(spool.list().await.unwrap().is_empty());
    let path = root.path().join("blobs/abababab").join(key(1).to_string());
    assert_eq!((mode(&path), mode(path.parent().unwrap()), mode(&root.path().join("spool"))), (0o600, 0o700, 0o700));
    assert_eq!(blobs.size(key(1)).await.unwrap(), Some(content.len() as u64));
    let len = content.len() as u64;
    for range in [0..len, 0..1, len - 1..len, 0..0, len..len, 262_143..262_145, (1 << 20)..(2 << 20), 5..(2 << 20) + 5]
    {
        let expected = &content[range.start as usize..range.end as usize];
        assert!(read_all(&blobs, key(1), range.clone()).await.unwrap() == expected, "{range:?}");
    }
    blobs.delete(key(1)).await.unwrap();
    blobs.delete(key(1)).await.unwrap();
    assert_eq!(blobs.size(key(1)).await.unwrap(), None);
    assert!(matches!(blobs.open(key(1), 0..1, None).await, Err(BlobError::Missing(k)) if k == key(1)));
}

#[tokio::test]
async fn a_failed_sync_is_never_retried_and_never_published() {
    let (root, spool, blobs) = store();
    let entry = Arc::new(Entry::new(spool.0.room.clone(), Life::Lies));
    spool.0.entries.lock().unwrap().insert(key(1), entry.clone());
    fs::write(root.path().join("spool").join(key(1).to_string()), "x").unwrap();
    // The kernel refuses to sync a device without storage: a real failure of fdatasync.
    let unsyncable = fs::File::open("/dev/null").unwrap();
    let broken = Arc::new(SpooledFile { key: key(1), size: 1, file: Arc::new(unsyncable), entry: entry.clone() });
    assert!(broken.sync().is_err());
    let good = fs::File::open(root.path()).unwrap();
    let again = Arc::new(SpooledFile { key: key(1), size: 1, file: Arc::new(good), entry: entry.clone() });
    assert!(again.sync().is_err(), "the second sync would have said yes");
    assert_eq!(*entry.durable.lock().unwrap(), Durable::Failed);
    assert!(matches!(blobs.publish(again, None).await, Err(BlobError::Unavailable(_))));
    assert_eq!(blobs.size(key(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_discarded_upload_does_not_come_back_by_its_writer() {
    let (root, spool, _blobs) = store();
    let (mut early, mut late) = (spool.writer(key(1)), spool.writer(key(2)));
    early.write(&[Bytes::from_static(b"x")]).unwrap();
    spool.discard(key(1)).await.unwrap();
    spool.discard(key(2)).await.unwrap();
    assert!(early.write(&[Bytes::from_static(b"y")]).is_err());
    assert!(late.write(&[Bytes::from_static(b"y")]).is_err());
    assert!(early.seal().is_err() && late.seal().is_err());
    spool.discard(key(1)).await.unwrap();
    assert_eq!(fs::read_dir(root.path().join("spool")).unwrap().count(), 0);
    assert!(spool.0.entries.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_uploads_at_once_share_folder_fsyncs() {
    let (_root, spool, blobs) = store();
    let uploads: Vec<_> = (0..64).map(|n| spooled(&spool, key(n), &[n; 4096])).collect();
    for upload in &uploads {
        upload.sync().unwrap();
    }
    for outcome in join_all(uploads.into_iter().map(|upload| blobs.publish(upload, None))).await {
        outcome.unwrap();
    }
    for n in 0..64 {
        assert_eq!(read_all(&blobs, key(n), 0..4096).await.unwrap(), [n; 4096]);
    }
    let syncs = blobs.folder_syncs();
    assert!((1..=63).contains(&syncs), "{syncs} fsyncs for 64 files");
}

#[test]
fn those_who_come_during_an_fsync_share_the_next_one() {
    let group = Arc::new(SyncGroup::default());
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let syncs = Arc::new(AtomicU64::new(0));
    let (first, mut first_done) = oneshot::channel();
    let leader = thread::spawn({
        let (group, gate, syncs) = (group.clone(), gate.clone(), syncs.clone());
        move || {
            group.join(first, || {
                // The first waits for the gate, the second fails.
                if syncs.fetch_add(1, SeqCst) > 0 {
                    return Err(std::io::Error::from_raw_os_error(5));
                }
                let open = gate.0.lock().unwrap();
                drop(gate.1.wait_while(open, |open| !*open).unwrap());
                Ok(())
            });
        }
    });
    while syncs.load(SeqCst) == 0 {
        thread::yield_now();
    }
    let mut waiting: Vec<_> = (0..20)
        .map(|_| {
            let (waiter, done) = oneshot::channel();
            group.join(waiter, || panic!("only the leader syncs"));
            done
        })
        .collect();
    assert!(first_done.try_recv().is_err(), "nobody is answered before an fsync ended");
    assert!(waiting.iter_mut().all(|done| done.try_recv().is_err()));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    leader.join().unwrap();
    assert!(first_done.try_recv().unwrap().is_ok());
    for mut done in waiting {
        assert!(done.try_recv().unwrap().is_err(), "they came after the good fsync had started");
    }
    assert_eq!(syncs.load(SeqCst), 2);
}

#[tokio::test]
async fn a_removed_shard_folder_is_made_again() {
    let (root, spool, blobs) = store();
    kept(&spool, &blobs, key(1), b"one").await;
    blobs.delete(key(1)).await.unwrap();
    fs::remove_dir(root.path().join("blobs/abababab")).unwrap();
    kept(&spool, &blobs, key(2), b"two").await;
    assert_eq!(read_all(&blobs, key(2), 0..3).await.unwrap(), b"two");
}

#[tokio::test]
async fn the_tap_sees_every_chunk_before_it_is_passed_on_and_never_two_batches_more() {
    let (_root, spool, blobs) = store();
    let content = pattern(64 << 20);
    kept(&spool, &blobs, key(1), &content).await;
    let seen = Arc::new(AtomicU64::new(0));
    let tap: Tap = Box::new({
        let seen = seen.clone();
        move |chunk| {
            seen.fetch_add(chunk.len() as u64, SeqCst);
        }
    });
    let mut stream = blobs.open(key(1), 0..64 << 20, Some(tap)).await.unwrap();
    let mut taken = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.unwrap();
        assert!(chunk == content[taken as usize..taken as usize + chunk.len()]);
        taken += chunk.len() as u64;
        let ahead = seen.load(SeqCst) - taken;
        assert!(ahead <= 2 * read::BATCH, "{ahead} bytes ahead");
    }
    assert_eq!((taken, seen.load(SeqCst)), (64 << 20, 64 << 20));
}

#[tokio::test]
async fn a_file_shorter_than_the_range_fails_where_it_ends() {
    let (_root, spool, blobs) = store();
    kept(&spool, &blobs, key(1), &vec![7; 300 << 10]).await;
    let mut stream = blobs.open(key(1), 0..3 << 20, None).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().len(), 256 << 10);
    let Some(Err(BlobError::Missing(k))) = stream.next().await else { panic!("the file is too short") };
    assert_eq!(k, key(1));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_root_with_a_symlink_in_its_structure_is_refused() {
    for inside in ["spool", "blobs", "blobs/abababab", "spool/abababababababababababababababab"] {
        let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        if inside.contains('/') {
            drop(open(root.path(), ROOMY).unwrap());
        }
        symlink(elsewhere.path(), root.path().join(inside)).unwrap();
        assert!(matches!(open(root.path(), ROOMY), Err(BlobError::Unavailable(_))), "{inside}");
    }
}

#[tokio::test]
async fn a_kept_file_that_became_a_symlink_is_not_followed() {
    let (root, spool, blobs) = store();
    kept(&spool, &blobs, key(1), b"x").await;
    let path = root.path().join("blobs/abababab").join(key(1).to_string());
    fs::remove_file(&path).unwrap();
    symlink("/etc/hostname", &path).unwrap();
    assert!(matches!(blobs.open(key(1), 0..1, None).await, Err(BlobError::Unavailable(_))));
    assert!(blobs.size(key(1)).await.is_err());
}

#[tokio::test]
async fn a_store_opened_again_knows_what_lies_in_its_spool() {
    let (root, spool, blobs) = store();
    kept(&spool, &blobs, key(1), b"kept").await;
    drop(spooled(&spool, key(2), &[1; 1000]));
    drop((spool, blobs));
    fs::write(root.path().join("spool/stray"), "not ours").unwrap();

    let small = SpoolLimits { budget_bytes: 1500, reserve_percent: 0 };
    let (spool, blobs) = open(root.path(), small).unwrap();
    assert_eq!((spool.list().await.unwrap(), spool.room_bytes()), (vec![key(2)], 500));
    spool.discard(key(2)).await.unwrap();
    assert_eq!((spool.list().await.unwrap(), spool.room_bytes()), (vec![], 1500));
    assert!(root.path().join("spool/stray").exists());
    assert_eq!(read_all(&blobs, key(1), 0..4).await.unwrap(), b"kept");
}

#[tokio::test]
async fn the_stores_id_is_written_whole_and_a_damaged_one_is_told() {
    let (root, _spool, blobs) = store();
    let id = StoreId([0x5a; 16]);
    // A half that a kill left is in nobody's way.
    fs::write(root.path().join("blobs/store_id.next"), "5a5a").unwrap();
    assert_eq!(blobs.store_id().await.unwrap(), None);
    blobs.put_store_id(id).await.unwrap();
    assert_eq!(blobs.store_id().await.unwrap(), Some(id));
    assert_eq!(fs::read_to_string(root.path().join("blobs/store_id")).unwrap(), format!("{id}\n"));
    assert_eq!(fs::read_dir(root.path().join("blobs")).unwrap().count(), 1);
    fs::write(root.path().join("blobs/store_id"), "5a5a").unwrap();
    assert!(matches!(blobs.store_id().await, Err(BlobError::Unavailable(_))));
}

#[tokio::test]
async fn the_probe_leaves_nothing_and_tells_a_broken_store() {
    let (root, spool, blobs) = store();
    blobs.probe().await.unwrap();
    blobs.probe().await.unwrap();
    for folder in ["spool", "blobs"] {
        assert_eq!(fs::read_dir(root.path().join(folder)).unwrap().count(), 0);
    }
    assert!(spool.list().await.unwrap().is_empty());
    fs::remove_dir(root.path().join("blobs")).unwrap();
    assert!(blobs.probe().await.is_err());
}
