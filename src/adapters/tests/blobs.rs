//! The contract of a store of bytes: what each that there is must do, in memory, on the local disk and in S3.
//!
//! A rule is a function over a [`World`]; the list below makes a test of each for the world that it is given. Memory and
//! the disk are held to it here, S3 on a real garage in `tests/it/blob_contract.rs`, which is built with this file. Not
//! here: what only one of them does (`adapters/blobs/tests.rs`, `tests/it/s3_faults.rs`).

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::join_all};

use super::{
    domain::{BlobKey, StoreId},
    ports::{BlobError, BlobStore, Found, MultipartId, Removal, Spool, Spooled, Tap},
};

/// One test for each rule, on worlds that `$world` makes. `$rules` is this module's name where the tests are.
macro_rules! contract {
    ($rules:ident, $world:path) => {
        contract! { $rules, $world:
            published_bytes_read_back_in_every_range_and_left_the_spool;
            bytes_of_many_parts_read_back;
            an_upload_of_no_bytes_is_a_file;
            what_is_not_there_is_missing_and_can_be_removed;
            removed_bytes_are_gone_and_their_neighbours_stay;
            a_discarded_upload_in_parts_cannot_be_published;
            bytes_shorter_than_the_range_are_never_served_as_whole;
            the_tap_sees_every_chunk_before_it_is_passed_on;
            a_stream_dropped_early_ends_its_reading;
            many_uploads_at_once_are_all_kept;
            a_walk_tells_all_that_lies_there_once_whatever_the_page;
            an_upload_in_parts_is_walked_until_it_alone_is_aborted;
            the_store_keeps_its_id;
            the_probe_passes;
        }
    };
    ($rules:ident, $world:path: $($rule:ident;)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            $rules::$rule(&$world()).await;
        })+
    };
}
pub(crate) use contract;

/// Bytes that the spool of every world takes.
pub const BUDGET: u64 = 256 << 20;

/// A store, with the spool that it takes its bytes from.
pub struct World {
    /// The folder of what lies on a disk, removed with it.
    _root: tempfile::TempDir,
    /// Where uploads lie first.
    pub spool: Arc<dyn Spool>,
    /// The store under test.
    pub blobs: Arc<dyn BlobStore>,
}

impl World {
    /// Of these two; what lies on a disk lies in this folder.
    pub fn new(root: tempfile::TempDir, spool: impl Spool, blobs: impl BlobStore) -> Self {
        Self { _root: root, spool: Arc::new(spool), blobs: Arc::new(blobs) }
    }

    /// An upload that may be published.
    pub fn spooled(&self, key: BlobKey, bytes: &[u8]) -> Arc<dyn Spooled> {
        let mut writer = self.spool.writer(key);
        for piece in bytes.chunks(1 << 20) {
            writer.write(&[Bytes::copy_from_slice(piece)]).expect("room");
        }
        let upload = writer.seal().expect("whole");
        upload.sync().expect("durable");
        upload
    }

    /// The whole way into the store.
    pub async fn publish(&self, upload: Arc<dyn Spooled>) -> Result<(), BlobError> {
        let parts = self.blobs.begin_parts(upload.key(), upload.size()).await?;
        self.blobs.publish(upload, parts).await
    }

    /// These bytes under this key.
    pub async fn keep(&self, key: BlobKey, bytes: &[u8]) {
        self.publish(self.spooled(key, bytes)).await.expect("published");
    }

    /// What a range reads as, whole or the error that ends it.
    pub async fn read(&self, key: BlobKey, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let mut stream = self.blobs.open(key, range, None).await?;
        let mut all = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            assert!((1..=256 << 10).contains(&chunk.len()), "a chunk of {}", chunk.len());
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}

impl World {
    /// All that lies there, by pages of so many, each thing once.
    pub async fn walked(&self, limit: usize) -> Vec<Found> {
        let (mut all, mut place) = (Vec::new(), None);
        for _ in 0..1_000 {
            let page = self.blobs.walk(place.as_ref(), limit).await.expect("walks");
            assert!(page.found.len() <= limit, "{} of {limit}", page.found.len());
            all.extend(page.found);
            place = page.next;
            if place.is_none() {
                return all;
            }
        }
        panic!("the walk never ends")
    }

    /// The uploads in parts among it.
    pub async fn open_parts(&self) -> Vec<(BlobKey, MultipartId)> {
        let parts = self.walked(1_000).await.into_iter().filter_map(|found| match found {
            Found::Parts { key, id, .. } => Some((key, id)),
            Found::Bytes { .. } | Found::Strange { .. } => None,
        });
        parts.collect()
    }
}

/// The n-th key.
pub fn key(n: u8) -> BlobKey {
    let mut key = [0xab; 16];
    key[15] = n;
    BlobKey(key)
}

/// Bytes that differ at every offset that a mistake could take for another.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

pub async fn published_bytes_read_back_in_every_range_and_left_the_spool(w: &World) {
    let content = pattern((3 << 20) + 17);
    w.keep(key(1), &content).await;
    assert!(w.spool.list().await.expect("readable").is_empty());
    assert_eq!(w.spool.room_bytes(), BUDGET, "its room is given back");
    let len = content.len() as u64;
    assert_eq!(w.blobs.size(key(1)).await.expect("answers"), Some(len));
    for range in [0..len, 0..1, len - 1..len, 0..0, len..len, 262_143..262_145, (1 << 20)..(2 << 20), 5..(2 << 20) + 5]
    {
        let expected = &content[range.start as usize..range.end as usize];
        assert!(w.read(key(1), range.clone()).await.expect("whole") == expected, "{range:?}");
    }
}

/// More than one part on its way in, and more than one request on its way out.
pub async fn bytes_of_many_parts_read_back(w: &World) {
    let content = pattern((40 << 20) + 3);
    w.keep(key(1), &content).await;
    let len = content.len() as u64;
    for range in [0..len, (16 << 20) - 1..(32 << 20) + 1, len - 1..len] {
        let expected = &content[range.start as usize..range.end as usize];
        assert!(w.read(key(1), range.clone()).await.expect("whole") == expected, "{range:?}");
    }
}

pub async fn an_upload_of_no_bytes_is_a_file(w: &World) {
    let upload = w.spool.writer(key(1)).seal().expect("a file");
    upload.sync().expect("durable");
    w.publish(upload).await.expect("published");
    assert_eq!(w.blobs.size(key(1)).await.expect("answers"), Some(0));
    assert!(w.read(key(1), 0..0).await.expect("whole").is_empty());
}

pub async fn what_is_not_there_is_missing_and_can_be_removed(w: &World) {
    for range in [0..1, 0..0, 5..500_000] {
        assert!(matches!(w.read(key(1), range).await, Err(BlobError::Missing(k)) if k == key(1)));
    }
    assert_eq!(w.blobs.size(key(1)).await.expect("answers"), None);
    w.blobs.delete(key(1)).await.expect("fine");
    w.blobs.discard(key(1), None).await.expect("fine");
}

pub async fn removed_bytes_are_gone_and_their_neighbours_stay(w: &World) {
    for n in 1..=3 {
        w.keep(key(n), &[n; 1000]).await;
    }
    w.blobs.delete(key(1)).await.expect("removed");
    w.blobs.discard(key(2), None).await.expect("removed");
    for n in 1..=2 {
        assert_eq!(w.blobs.size(key(n)).await.expect("answers"), None);
        assert!(matches!(w.read(key(n), 0..1000).await, Err(BlobError::Missing(_))));
    }
    assert_eq!(w.read(key(3), 0..1000).await.expect("whole"), [3; 1000]);
}

pub async fn a_discarded_upload_in_parts_cannot_be_published(w: &World) {
    let content = pattern(20 << 20);
    let upload = w.spooled(key(1), &content);
    let parts = w.blobs.begin_parts(key(1), upload.size()).await.expect("begun");
    // The id, when it was noted; the key alone, when it was lost.
    for known in [parts.clone(), None] {
        w.blobs.discard(key(1), known).await.expect("discarded");
    }
    w.spool.discard(key(1)).await.expect("discarded");
    assert!(w.blobs.publish(upload, parts).await.is_err());
    assert_eq!(w.blobs.size(key(1)).await.expect("answers"), None);
}

pub async fn bytes_shorter_than_the_range_are_never_served_as_whole(w: &World) {
    w.keep(key(1), &[7; 300 << 10]).await;
    for range in [0..3 << 20, (300 << 10) - 1..(300 << 10) + 1, 300 << 10..(300 << 10) + 1, 1 << 20..2 << 20] {
        let read = w.read(key(1), range.clone()).await;
        assert!(matches!(read, Err(BlobError::Missing(k)) if k == key(1)), "{range:?}: {read:?}");
    }
}

pub async fn the_tap_sees_every_chunk_before_it_is_passed_on(w: &World) {
    let content = pattern(5 << 20);
    w.keep(key(1), &content).await;
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let tap: Tap = Box::new(move |chunk| {
        counter.fetch_add(chunk.len() as u64, SeqCst);
    });
    let mut stream = w.blobs.open(key(1), 0..5 << 20, Some(tap)).await.expect("there");
    let mut taken = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.expect("whole");
        assert!(chunk == content[taken..taken + chunk.len()]);
        taken += chunk.len();
        let ahead = seen.load(SeqCst).checked_sub(taken as u64).expect("never behind");
        assert!(ahead <= 2 << 20, "{ahead} bytes ahead");
    }
    assert_eq!((taken, seen.load(SeqCst)), (5 << 20, 5 << 20));
}

pub async fn a_stream_dropped_early_ends_its_reading(w: &World) {
    w.keep(key(1), &vec![7; 32 << 20]).await;
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let tap: Tap = Box::new(move |chunk| {
        counter.fetch_add(chunk.len() as u64, SeqCst);
    });
    let mut stream = w.blobs.open(key(1), 0..32 << 20, Some(tap)).await.expect("there");
    stream.next().await.expect("a chunk").expect("whole");
    drop(stream);
    let end = Instant::now() + Duration::from_secs(5);
    // The tap holds the second reference: it goes when the reader goes.
    while Arc::strong_count(&seen) > 1 {
        assert!(Instant::now() < end, "the reader goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(seen.load(SeqCst) <= 2 << 20);
}

pub async fn many_uploads_at_once_are_all_kept(w: &World) {
    // Together more than the memory that uploads to S3 share.
    let uploads: Vec<_> = (0..24).map(|n| w.spooled(key(n), &vec![n; 6 << 20])).collect();
    for outcome in join_all(uploads.into_iter().map(|upload| w.publish(upload))).await {
        outcome.expect("published");
    }
    for n in 0..24 {
        assert_eq!(w.read(key(n), (6 << 20) - 3..6 << 20).await.expect("whole"), [n; 3]);
        assert_eq!(w.blobs.size(key(n)).await.expect("answers"), Some(6 << 20));
    }
    assert!(w.spool.list().await.expect("readable").is_empty());
}

pub async fn a_walk_tells_all_that_lies_there_once_whatever_the_page(w: &World) {
    assert!(w.walked(10).await.is_empty(), "nothing is there");
    for n in 1..=5 {
        w.keep(key(n), &vec![n; usize::from(n)]).await;
    }
    w.blobs.delete(key(2)).await.expect("removed");
    w.blobs.put_store_id(StoreId([7; 16])).await.expect("written");
    w.blobs.probe().await.expect("passes");
    for limit in [1, 2, 4, 1_000] {
        let found = w.walked(limit).await.into_iter().map(|found| match found {
            Found::Bytes { key, size, .. } => (key, size),
            other => panic!("{other:?}"),
        });
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        assert_eq!(found, [1, 3, 4, 5].map(|n| (key(n), u64::from(n))), "{limit} at once");
    }
}

/// Of a store that takes large ones in parts; another has none.
pub async fn an_upload_in_parts_is_walked_until_it_alone_is_aborted(w: &World) {
    w.keep(key(1), b"bytes").await;
    let mut begun = Vec::new();
    for n in [2, 3] {
        let id = w.blobs.begin_parts(key(n), 20 << 20).await.expect("begun");
        begun.extend(id.map(|id| (key(n), id)));
    }
    let mut open = w.open_parts().await;
    open.sort_unstable_by_key(|(key, _)| *key);
    assert_eq!(open, begun);
    for (key, id) in begun.iter().take(1) {
        let abort = || w.blobs.abort_parts(*key, id.clone());
        assert_eq!(abort().await.expect("aborted"), Removal::Removed);
        assert_eq!(abort().await.expect("it is gone: fine"), Removal::Gone);
    }
    assert_eq!(w.open_parts().await, begun.get(1..).unwrap_or_default());
    for (key, id) in begun.iter().skip(1) {
        w.blobs.discard(*key, Some(id.clone())).await.expect("discarded");
    }
    assert!(w.open_parts().await.is_empty());
    assert_eq!(w.blobs.size(key(1)).await.expect("answers"), Some(5));
}

pub async fn the_store_keeps_its_id(w: &World) {
    assert_eq!(w.blobs.store_id().await.expect("answers"), None);
    for id in [StoreId([7; 16]), StoreId([8; 16])] {
        w.blobs.put_store_id(id).await.expect("written");
        assert_eq!(w.blobs.store_id().await.expect("answers"), Some(id));
    }
}

pub async fn the_probe_passes(w: &World) {
    w.blobs.put_store_id(StoreId([7; 16])).await.expect("written");
    for _ in 0..45 {
        w.blobs.probe().await.expect("it works");
    }
    assert_eq!(w.blobs.store_id().await.expect("answers"), Some(StoreId([7; 16])));
}
