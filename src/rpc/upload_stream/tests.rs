//! The protocol of a client stream: every wrong order, every bound, and the drain.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::stream;
use pb::upload_file_request::Part as Sent;

use super::*;

type Item = Result<pb::UploadFileRequest, Status>;

fn message(part: Sent) -> Item {
    Ok(pb::UploadFileRequest { part: Some(part) })
}

fn header() -> Item {
    message(Sent::Header(pb::UploadHeader {
        display_name: "a.pdf".into(),
        target: Some(pb::upload_header::Target::ChatId("42".into())),
        ..Default::default()
    }))
}

fn chunk(data: &'static [u8], crc32c: Option<u32>) -> Item {
    message(Sent::Chunk(pb::UploadChunk { data: Bytes::from_static(data), crc32c }))
}

fn commit(size_bytes: Option<i64>, sha256: Option<&str>) -> Item {
    message(Sent::Commit(pb::UploadCommit { size_bytes, sha256: sha256.map(str::to_owned) }))
}

/// All parts up to the end or the first refusal.
async fn parts(items: Vec<Item>) -> Result<Vec<Part>, Refusal> {
    let (_, mut source) = open_upload(stream::iter(items), &TaskTracker::new()).await?;
    let mut parts = Vec::new();
    loop {
        let part = source.next().await?;
        let over = !matches!(part, Part::Chunk(_));
        parts.push(part);
        if over {
            return Ok(parts);
        }
    }
}

async fn reason(items: Vec<Item>) -> Reason {
    parts(items).await.expect_err("refused").reason
}

#[tokio::test]
async fn header_chunks_commit_is_an_upload() {
    let sha = "ab".repeat(32);
    let crc = crc_fast::crc32_iscsi(b"123456789");
    assert_eq!(crc, 0xe306_9283, "the check value of CRC32C");
    let got =
        parts(vec![header(), chunk(b"123456789", Some(crc)), chunk(b"x", None), commit(Some(10), Some(&sha))]).await;
    let expected = vec![
        Part::Chunk(Bytes::from_static(b"123456789")),
        Part::Chunk(Bytes::from_static(b"x")),
        Part::Commit { size: Some(10), sha256: Some(sha.parse().expect("a hash")) },
    ];
    assert_eq!(got, Ok(expected));
}

#[tokio::test]
async fn a_stream_that_ends_or_breaks_without_commit_is_ended_and_not_committed() {
    for end in [vec![], vec![Err(Status::cancelled("reset"))], vec![Err(Status::internal("h2"))]] {
        let mut items = vec![header(), chunk(b"x", None)];
        items.extend(end);
        assert_eq!(parts(items).await, Ok(vec![Part::Chunk(Bytes::from_static(b"x")), Part::Ended]));
    }
}

#[tokio::test]
async fn messages_out_of_order_are_a_bad_stream() {
    let empty = || Ok(pb::UploadFileRequest { part: None });
    for items in [
        vec![],
        vec![Err(Status::cancelled("reset"))],
        vec![empty()],
        vec![chunk(b"x", None), header()],
        vec![commit(None, None)],
        vec![header(), header()],
        vec![header(), empty()],
        vec![header(), chunk(b"", None)],
    ] {
        assert_eq!(reason(items).await, Reason::BadStream);
    }
}

#[tokio::test]
async fn nothing_is_read_after_the_commit_or_after_a_refusal() {
    for end in [commit(None, None), chunk(b"", None)] {
        let items = vec![header(), end, chunk(b"x", None)];
        let (_, mut source) = open_upload(stream::iter(items), &TaskTracker::new()).await.expect("opens");
        let _ = source.next().await;
        assert_eq!(source.next().await.expect_err("over").reason, Reason::BadStream);
    }
}

#[tokio::test]
async fn a_chunk_has_at_most_one_mib() {
    let sized = |n| message(Sent::Chunk(pb::UploadChunk { data: vec![7; n].into(), crc32c: None }));
    assert!(parts(vec![header(), sized(MAX_CHUNK_BYTES), commit(None, None)]).await.is_ok());
    for too_large in [sized(MAX_CHUNK_BYTES + 1), Err(Status::out_of_range("decoded message length too large"))] {
        let refusal = parts(vec![header(), too_large]).await.expect_err("refused");
        assert_eq!((refusal.reason, refusal.get("limit_bytes")), (Reason::BadStream, Some("1048576")));
    }
}

#[tokio::test]
async fn a_wrong_chunk_checksum_is_told() {
    assert_eq!(reason(vec![header(), chunk(b"123456789", Some(0))]).await, Reason::ChecksumMismatch);
}

#[tokio::test]
async fn a_commit_that_declares_nonsense_is_a_bad_argument() {
    for bad in [commit(Some(-1), None), commit(None, Some("")), commit(None, Some(&"AB".repeat(32)))] {
        assert_eq!(reason(vec![header(), chunk(b"x", None), bad]).await, Reason::BadArgument);
    }
}

#[tokio::test]
async fn a_header_that_declares_nonsense_is_a_bad_argument() {
    use pb::upload_header::Target;
    let good = || pb::UploadHeader { target: Some(Target::Library(true)), ..Default::default() };
    for bad in [
        pb::UploadHeader { target: None, ..good() },
        pb::UploadHeader { target: Some(Target::Library(false)), ..good() },
        pb::UploadHeader { target: Some(Target::ChatId("a b".into())), ..good() },
        pb::UploadHeader { target: Some(Target::VisitorId(String::new())), ..good() },
        pb::UploadHeader { origin: Some(99), ..good() },
        pb::UploadHeader { size_bytes: Some(-1), ..good() },
        pb::UploadHeader { sha256: Some("x".into()), ..good() },
        pb::UploadHeader { request_id: "a b".into(), ..good() },
        pb::UploadHeader { message_id: "a/b".into(), ..good() },
    ] {
        assert_eq!(reason(vec![message(Sent::Header(bad))]).await, Reason::BadArgument);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_source_is_read_on_to_the_end_or_to_the_bounds() {
    const MIB: &[u8] = &[7; 1 << 20];
    for (sent, stalls, taken) in [(3, false, 3), (100, false, 32), (3, true, 3)] {
        let (tracker, count) = (TaskTracker::new(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&count);
        let chunks = (0..sent).map(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
            chunk(MIB, None)
        });
        let rest = if stalls { stream::pending().left_stream() } else { stream::empty().right_stream() };
        let items = stream::iter(std::iter::once(header()).chain(chunks)).chain(rest);
        let (_, source) = open_upload(Box::pin(items), &tracker).await.expect("opens");
        let started = tokio::time::Instant::now();
        tracker.spawn(Box::new(source).drain());
        tracker.close();
        tracker.wait().await;
        assert_eq!(count.load(Ordering::Relaxed), taken);
        assert_eq!(started.elapsed() >= drain::MAX_TIME, stalls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_first_message_is_too_slow() {
    let items = stream::pending::<Item>();
    let refusal = open_upload(items, &TaskTracker::new()).await.err().expect("refused");
    assert_eq!(refusal.reason, Reason::TooSlow);
}
