//! The contract of a store of bytes, held against memory and the local disk, and what these two have in common.
//!
//! Not here: the rules of every store (`blobs.rs`); S3 (`tests/it/blob_contract.rs`).

use bytes::Bytes;

use super::{
    blobs::{self, BUDGET, World, contract, key},
    ports::BlobError,
};
use crate::adapters::{
    blobs::{SpoolLimits, open},
    memory::MemorySpool,
};

fn in_memory() -> World {
    let spool = MemorySpool::new(BUDGET);
    let store = spool.store(8 << 20);
    World::new(tempfile::tempdir().expect("a folder"), spool, store)
}

fn on_disk() -> World {
    let root = tempfile::tempdir().expect("a folder");
    let limits = SpoolLimits { budget_bytes: BUDGET, reserve_percent: 0 };
    let (spool, store) = open(root.path(), limits).expect("it opens");
    World::new(root, spool, store)
}

macro_rules! both {
    ($($rule:ident;)+) => {
        mod memory {
            use super::{blobs, contract, in_memory};

            contract!(blobs, in_memory);
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(&in_memory()).await;
            })+
        }
        mod disk {
            use super::{blobs, contract, on_disk};

            contract!(blobs, on_disk);
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(&on_disk()).await;
            })+
        }
    };
}

// Of the spool, and of a store on the same machine; the former is S3's, too.
both! {
    an_unsynced_upload_is_not_published;
    publishing_twice_is_refused_and_changes_nothing;
    a_second_writer_of_a_key_in_the_spool_is_refused;
    a_discarded_upload_does_not_come_back_by_its_writer;
    a_full_spool_takes_no_more_and_the_upload_that_filled_it_is_broken;
}

async fn an_unsynced_upload_is_not_published(w: &World) {
    let mut writer = w.spool.writer(key(1));
    writer.write(&[Bytes::from_static(b"x")]).expect("room");
    let upload = writer.seal().expect("whole");
    assert!(!upload.is_synced());
    assert!(matches!(w.blobs.publish(upload.clone(), None).await, Err(BlobError::Unavailable(_))));
    assert_eq!(w.blobs.size(key(1)).await.expect("answers"), None);
    assert_eq!(w.spool.list().await.expect("readable"), [key(1)]);
    upload.sync().expect("durable");
    assert!(upload.is_synced());
    w.blobs.publish(upload, None).await.expect("published");
}

async fn publishing_twice_is_refused_and_changes_nothing(w: &World) {
    let upload = w.spooled(key(1), b"first");
    w.publish(upload.clone()).await.expect("published");
    assert!(matches!(w.publish(upload).await, Err(BlobError::Missing(_))));
    // The same key again, though no caller does that: the kept bytes win.
    assert!(matches!(w.publish(w.spooled(key(1), b"other")).await, Err(BlobError::Unavailable(_))));
    assert_eq!(w.read(key(1), 0..5).await.expect("whole"), b"first");
    assert_eq!(w.spool.list().await.expect("readable"), [key(1)]);
}

async fn a_second_writer_of_a_key_in_the_spool_is_refused(w: &World) {
    let upload = w.spooled(key(1), b"mine");
    assert!(w.spool.writer(key(1)).write(&[Bytes::from_static(b"theirs")]).is_err());
    let mut content = String::new();
    upload.reader().expect("there").read_to_string(&mut content).expect("readable");
    assert_eq!(content, "mine");
}

async fn a_discarded_upload_does_not_come_back_by_its_writer(w: &World) {
    let (mut early, mut late) = (w.spool.writer(key(1)), w.spool.writer(key(2)));
    early.write(&[Bytes::from_static(b"x")]).expect("room");
    for n in 1..=2 {
        assert_eq!(w.spool.discard(key(n)).await.expect("discarded"), n == 1, "the other wrote nothing");
    }
    for writer in [&mut early, &mut late] {
        assert!(writer.write(&[Bytes::from_static(b"y")]).is_err());
    }
    assert!(early.seal().is_err() && late.seal().is_err());
    assert!(!w.spool.discard(key(1)).await.expect("fine"), "nothing was there");
    assert!(w.spool.list().await.expect("readable").is_empty());
    assert_eq!(w.spool.room_bytes(), BUDGET);
}

async fn a_full_spool_takes_no_more_and_the_upload_that_filled_it_is_broken(w: &World) {
    let most = Bytes::from(vec![7; 64 << 20]);
    let mut writer = w.spool.writer(key(1));
    for _ in 0..4 {
        writer.write(std::slice::from_ref(&most)).expect("room");
    }
    let full = writer.write(&[Bytes::from_static(b"x")]).expect_err("full");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert!(writer.write(&[]).is_err() && writer.seal().is_err());
    w.spool.discard(key(1)).await.expect("discarded");
    w.spooled(key(2), b"room again");
}
