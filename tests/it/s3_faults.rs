//! A store in S3 that fails: what is asked again, what is told as down, what is never left behind nor served in half.
//!
//! The store is a real garage; the way to it has the faults. Not here: what holds for every store (`blob_contract.rs`)
//! and a server over such a store (`s3.rs`).

use std::time::{Duration, Instant};

use lhfile::ports::{BlobError, MultipartId};

use crate::{
    blob_contract::{World, key, pattern},
    harness::{
        Bucket,
        faulty::{Fault, Faulty},
    },
};

const ALWAYS: usize = usize::MAX;
/// Three parts.
const LARGE: usize = (17 << 20) + 1;

struct Bad {
    bucket: Bucket,
    way: Faulty,
    world: World,
}

fn bad() -> Bad {
    let bucket = Bucket::new();
    let way = Faulty::way_to(bucket.address());
    let world = World::in_bucket(&bucket, way.address());
    Bad { bucket, way, world }
}

fn is_down<T: std::fmt::Debug>(result: Result<T, BlobError>) {
    assert!(matches!(result, Err(BlobError::Unavailable(_))), "{result:?}");
}

macro_rules! rule {
    ($name:ident, |$bad:ident| $body:block) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let $bad = bad();
            $body
        }
    };
}

rule!(a_short_outage_is_waited_out, |b| {
    for (method, code) in [("PUT", 503), ("GET", 500), ("HEAD", 503), ("DELETE", 500)] {
        b.way.plan(method, "/", 2, Fault::Answer(code, "SlowDown"));
    }
    b.world.keep(key(1), b"bytes").await;
    assert_eq!(b.world.read(key(1), 0..5).await.expect("whole"), b"bytes");
    assert_eq!(b.world.blobs.size(key(1)).await.expect("answers"), Some(5));
    b.world.blobs.delete(key(1)).await.expect("removed");
    assert_eq!(b.way.hits(), 8);
});

rule!(a_long_outage_is_told_in_time_and_the_upload_stays_in_the_spool, |b| {
    let (small, large) = (b.world.spooled(key(1), b"bytes"), b.world.spooled(key(2), &pattern(LARGE)));
    for method in ["PUT", "GET", "HEAD", "DELETE", "POST"] {
        b.way.plan(method, "/", ALWAYS, Fault::Answer(503, "ServiceUnavailable"));
    }
    let begun = Instant::now();
    is_down(b.world.publish(small).await);
    is_down(b.world.publish(large.clone()).await);
    is_down(b.world.read(key(1), 0..5).await);
    is_down(b.world.blobs.size(key(1)).await);
    is_down(b.world.blobs.delete(key(1)).await);
    is_down(b.world.blobs.discard(key(1), None).await);
    is_down(b.world.blobs.probe().await);
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?} for seven calls", begun.elapsed());
    assert_eq!(b.world.spool.list().await.expect("readable").len(), 2);
    b.way.heal();
    b.world.publish(large).await.expect("published");
    assert_eq!(b.bucket.objects(), [(key(2).to_string(), LARGE as u64)]);
    assert!(b.bucket.multiparts().is_empty());
});

rule!(expired_credentials_are_a_store_that_is_down, |b| {
    b.world.keep(key(1), b"bytes").await;
    for method in ["PUT", "GET", "HEAD", "DELETE", "POST"] {
        b.way.plan(method, "/", ALWAYS, Fault::Answer(403, "ExpiredToken"));
    }
    is_down(b.world.publish(b.world.spooled(key(2), b"more")).await);
    is_down(b.world.read(key(1), 0..5).await);
    is_down(b.world.blobs.size(key(1)).await);
    is_down(b.world.blobs.delete(key(1)).await);
    is_down(b.world.blobs.store_id().await);
});

rule!(a_bucket_that_is_gone_is_a_store_that_is_down_and_no_damage, |b| {
    b.world.keep(key(1), b"bytes").await;
    for method in ["PUT", "GET", "HEAD", "DELETE", "POST"] {
        b.way.plan(method, "/", ALWAYS, Fault::Answer(404, "NoSuchBucket"));
    }
    is_down(b.world.read(key(1), 0..5).await);
    is_down(b.world.read(key(1), 0..0).await);
    is_down(b.world.blobs.store_id().await);
    // The answer to a HEAD has no code in it.
    is_down(b.world.blobs.size(key(1)).await);
    is_down(b.world.blobs.delete(key(1)).await);
    is_down(b.world.blobs.discard(key(1), Some(MultipartId("m".into()))).await);
    b.way.heal();
    assert_eq!(b.world.blobs.size(key(1)).await.expect("answers"), Some(5));
    assert_eq!(b.world.blobs.size(key(2)).await.expect("answers"), None);
});

rule!(a_put_whose_answer_was_lost_is_put_again, |b| {
    b.way.plan("PUT", "/", 1, Fault::LoseReply);
    b.world.keep(key(1), b"bytes").await;
    assert_eq!((b.way.hits(), b.world.read(key(1), 0..5).await.expect("whole")), (1, b"bytes".to_vec()));
});

rule!(a_part_whose_answer_was_lost_is_put_again, |b| {
    b.way.plan("PUT", "partNumber=2", 1, Fault::LoseReply);
    let content = pattern(LARGE);
    b.world.keep(key(1), &content).await;
    assert!(b.world.read(key(1), 0..LARGE as u64).await.expect("whole") == content);
    assert_eq!(b.way.hits(), 1);
    assert!(b.bucket.multiparts().is_empty());
});

rule!(a_completion_whose_answer_was_lost_is_found_done, |b| {
    b.way.plan("POST", "uploadId=", 1, Fault::LoseReply);
    let content = pattern(LARGE);
    b.world.keep(key(1), &content).await;
    assert!(b.world.read(key(1), 0..LARGE as u64).await.expect("whole") == content);
    assert_eq!(b.way.hits(), 1);
    assert!(b.bucket.multiparts().is_empty());
});

rule!(an_upload_in_parts_whose_id_was_lost_is_found_by_its_key, |b| {
    b.way.plan("POST", "uploads", 1, Fault::LoseReply);
    is_down(b.world.blobs.begin_parts(key(1), LARGE as u64).await);
    assert_eq!(b.bucket.multiparts().len(), 1, "it was begun, once");
    let other = b.world.blobs.begin_parts(key(2), LARGE as u64).await.expect("begun");
    b.world.blobs.discard(key(1), None).await.expect("discarded");
    assert_eq!(b.bucket.multiparts().len(), 1, "the neighbour's stays");
    b.world.blobs.discard(key(2), other).await.expect("discarded");
    assert!(b.bucket.multiparts().is_empty());
});

rule!(an_upload_in_parts_that_the_store_only_half_began_is_discarded, |b| {
    let begun = b.world.blobs.begin_parts(key(1), LARGE as u64).await.expect("begun").expect("in parts");
    Bucket::halve_multiparts(std::slice::from_ref(&begun.0));
    assert_eq!(b.bucket.multiparts().len(), 1, "it is still listed");
    b.world.blobs.discard(key(1), Some(begun)).await.expect("discarded");
    assert!(b.bucket.multiparts().is_empty());
});

rule!(parts_that_fail_are_discarded_once_the_store_is_back, |b| {
    let upload = b.world.spooled(key(1), &pattern(LARGE));
    let parts = b.world.blobs.begin_parts(key(1), upload.size()).await.expect("begun");
    b.way.plan("PUT", "partNumber=3", ALWAYS, Fault::Answer(500, "InternalError"));
    is_down(b.world.blobs.publish(upload, parts.clone()).await);
    b.way.plan("DELETE", "/", ALWAYS, Fault::Answer(503, "SlowDown"));
    is_down(b.world.blobs.discard(key(1), parts.clone()).await);
    assert_eq!((b.bucket.multiparts().len(), b.bucket.objects()), (1, vec![]));
    b.way.heal();
    b.world.blobs.discard(key(1), parts).await.expect("discarded");
    assert!(b.bucket.multiparts().is_empty());
});

rule!(an_answer_that_is_cut_is_read_on_where_it_ended, |b| {
    let content = pattern(3 << 20);
    b.world.keep(key(1), &content).await;
    b.way.plan("GET", "/", 2, Fault::CutBody(700_000));
    assert!(b.world.read(key(1), 0..3 << 20).await.expect("whole") == content);
    assert_eq!(b.way.hits(), 2);
});

rule!(an_answer_that_is_always_cut_is_never_served_as_whole, |b| {
    b.world.keep(key(1), &pattern(3 << 20)).await;
    b.way.plan("GET", "/", ALWAYS, Fault::CutBody(1000));
    is_down(b.world.read(key(1), 0..3 << 20).await);
    is_down(b.world.read(key(1), 5..1 << 20).await);
});

rule!(an_object_that_became_shorter_is_damage_and_not_an_outage, |b| {
    b.world.keep(key(1), &pattern(3 << 20)).await;
    b.bucket.write(&key(1).to_string(), &pattern(1 << 20));
    let read = b.world.read(key(1), 0..3 << 20).await;
    assert!(matches!(read, Err(BlobError::Missing(k)) if k == key(1)), "{:?}", read.map(|bytes| bytes.len()));
});

rule!(the_probe_tells_a_store_without_its_id_and_one_that_takes_no_writes, |b| {
    is_down(b.world.blobs.probe().await);
    b.world.blobs.put_store_id(lhfile::domain::StoreId([1; 16])).await.expect("written");
    b.way.plan("PUT", "lhfile-probe", ALWAYS, Fault::Answer(403, "AccessDenied"));
    for _ in 0..2 {
        is_down(b.world.blobs.probe().await);
    }
    b.way.heal();
    b.world.blobs.probe().await.expect("it works");
    assert!(b.bucket.objects().is_empty());
});

rule!(the_first_probe_names_each_permission_that_is_missing, |b| {
    b.world.blobs.put_store_id(lhfile::domain::StoreId([1; 16])).await.expect("written");
    for (method, part, permission) in [
        ("PUT", "lhfile-probe", "s3:PutObject"),
        ("GET", "lhfile-probe", "s3:GetObject"),
        ("HEAD", "lhfile-nothing", "s3:ListBucket"),
        ("POST", "lhfile-probe?uploads", "s3:PutObject"),
        ("DELETE", "uploadId=", "s3:AbortMultipartUpload"),
        ("GET", "uploads=", "s3:ListBucketMultipartUploads"),
        ("DELETE", "lhfile-probe HTTP", "s3:DeleteObject"),
    ] {
        let hits = b.way.hits();
        b.way.plan(method, part, ALWAYS, Fault::Answer(403, "AccessDenied"));
        for said in [b.world.blobs.probe().await, b.bucket.place(b.way.address()).check().await] {
            let said = said.expect_err("it is missing").to_string();
            assert!(said.contains(&format!("allow it {permission} (")), "{method} {part}: {said}");
        }
        assert!(b.way.hits() > hits, "{method} {part}");
        b.way.heal();
    }
    b.world.blobs.probe().await.expect("all is allowed");
    assert!(b.bucket.objects().is_empty() && b.bucket.multiparts().is_empty());
    // From then on it is not tried again each time.
    b.way.plan("GET", "uploads=", ALWAYS, Fault::Answer(403, "AccessDenied"));
    for _ in 0..25 {
        b.world.blobs.probe().await.expect("it works");
    }
});
