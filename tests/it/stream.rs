//! Checks 9 and 10 of an upload: the order and size of messages, checksums, pace, and what the commit must hold.
//!
//! Not here: streams that just end (`leaving.rs`).

use std::time::Duration;

use bytes::Bytes;
use tonic::Code;

use crate::harness::{
    Node, Operator, Visitor, assert_refused,
    pb::{
        UploadChunk, UploadCommit, UploadFileRequest, UploadHeader, upload_file_request::Part, upload_header::Target,
    },
    refusal::{facts_of, has_retry},
    rude::Rude,
    samples, shared,
    upload::{chunk, commit, header},
};

const MIB: usize = 1 << 20;

fn to_chat(chat: &str) -> UploadFileRequest {
    let target = Some(Target::ChatId(chat.to_owned()));
    header(UploadHeader { display_name: "a.txt".to_owned(), target, ..UploadHeader::default() })
}

async fn send(node: &Node, messages: Vec<UploadFileRequest>) -> Result<(), tonic::Status> {
    node.send_upload(&Operator::new(), tokio_stream::iter(messages)).await.map(|_| ())
}

#[tokio::test]
async fn messages_in_any_other_order_are_refused() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let head = || to_chat(&chat);
    let piece = || chunk(samples::text(64, "order of messages"));
    let end = || commit(UploadCommit::default());
    let nothing = || UploadFileRequest { part: None };
    for (what, messages) in [
        ("no header", vec![piece(), end()]),
        ("commit first", vec![end()]),
        ("two headers", vec![head(), head(), piece(), end()]),
        ("header later", vec![head(), piece(), head(), end()]),
        ("empty message", vec![head(), nothing(), piece(), end()]),
        ("empty first message", vec![nothing(), head(), piece(), end()]),
        ("empty chunk", vec![head(), chunk(Bytes::new()), piece(), end()]),
        ("no message at all", vec![]),
    ] {
        let result = send(node, messages).await;
        let status = assert_refused(result, Code::InvalidArgument, "BAD_STREAM");
        assert!(!status.message().is_empty(), "{what}");
        node.assert_no_trace(&chat, &samples::text(64, "order of messages")).await;
    }
}

#[tokio::test]
async fn chunk_of_1_mib_passes_and_one_byte_more_or_ten_times_as_much_does_not() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let bytes = samples::text(2 * MIB, "chunks");
    node.upload("a.txt", bytes.clone()).to_chat(&chat).in_chunks_of(MIB).passes_by(&Operator::new()).await;
    let other = node.new_chat().await;
    for size in [MIB + 1, MIB + (64 << 10), MIB + (64 << 10) + 1, 10 * MIB] {
        let text = samples::text(size, "large chunks");
        let result = send(node, vec![to_chat(&other), chunk(text.clone()), commit(UploadCommit::default())]).await;
        assert_refused(result, Code::InvalidArgument, "BAD_STREAM");
        node.assert_no_trace(&other, &text).await;
    }
}

#[tokio::test]
async fn more_bytes_than_allowed_are_refused_before_the_last_one() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let limit = 20 * MIB;
    for size in [limit + 1, 10 * limit] {
        let bytes = samples::text(size, "undeclared");
        let upload = node.upload("a.txt", bytes).to_chat(&chat).in_chunks_of(MIB);
        let status = upload.refused_by(&Operator::new(), Code::InvalidArgument, "TOO_LARGE").await;
        assert_eq!(facts_of(&status)["limit_bytes"], limit.to_string());
    }
}

#[tokio::test]
async fn wrong_crc32c_of_a_chunk_is_refused_and_a_right_one_passes() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let text = samples::text(1000, "crc");
    let right = crc_fast::crc32_iscsi(&text);
    let messages = |crc| {
        let piece = UploadChunk { data: text.clone().into(), crc32c: Some(crc) };
        vec![to_chat(&chat), UploadFileRequest { part: Some(Part::Chunk(piece)) }, commit(UploadCommit::default())]
    };
    assert_refused(send(node, messages(right ^ 1)).await, Code::InvalidArgument, "CHECKSUM_MISMATCH");
    node.assert_no_trace(&chat, &text).await;
    send(node, messages(right)).await.expect("it is right");
}

#[tokio::test]
async fn size_declared_in_header_or_commit_must_hold() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let upload = node.upload("a.txt", samples::text(1000, "sizes")).to_chat(&chat);
    for size in [1, 999, 1001, 10_000] {
        let early = upload.clone().declared_size(size);
        early.refused_by(&Operator::new(), Code::InvalidArgument, "SIZE_MISMATCH").await;
        let late = upload.clone().with_commit(|c| c.size_bytes = Some(size));
        late.refused_by(&Operator::new(), Code::InvalidArgument, "SIZE_MISMATCH").await;
    }
    upload.declared_size(1000).with_commit(|c| c.size_bytes = Some(1000)).passes_by(&Operator::new()).await;
}

#[tokio::test]
async fn sha256_declared_in_header_or_commit_must_hold() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let text = samples::text(1000, "hashes");
    let right = samples::sha256(&text);
    let wrong = samples::sha256(b"something else");
    let upload = node.upload("a.txt", text).to_chat(&chat);
    let early = upload.clone().with(|h| h.sha256 = Some(wrong.clone()));
    early.refused_by(&Operator::new(), Code::InvalidArgument, "CHECKSUM_MISMATCH").await;
    let late = upload.clone().with_commit(|c| c.sha256 = Some(wrong));
    late.refused_by(&Operator::new(), Code::InvalidArgument, "CHECKSUM_MISMATCH").await;
    let malformed = upload.clone().with(|h| h.sha256 = Some("zz".into()));
    malformed.refused_by(&Operator::new(), Code::InvalidArgument, "BAD_ARGUMENT").await;
    let file = upload.with(|h| h.sha256 = Some(right.clone())).passes_by(&Operator::new()).await;
    assert_eq!((file.sha256, file.uploaded_sha256), (right.clone(), right));
}

#[tokio::test]
async fn file_of_no_bytes_is_refused_declared_or_not() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let upload = node.upload("a.txt", Bytes::new()).to_chat(&chat);
    upload.refused_by(&Operator::new(), Code::InvalidArgument, "EMPTY").await;
    upload.clone().declared_size(0).refused_by(&Operator::new(), Code::InvalidArgument, "EMPTY").await;
    let negative = upload.declared_size(-1);
    negative.refused_by(&Operator::new(), Code::InvalidArgument, "BAD_ARGUMENT").await;
}

#[tokio::test]
async fn third_upload_of_a_visitor_at_once_is_busy_and_a_place_becomes_free() {
    most_at_once(&Visitor::of_chat("busy-visitor"), "busy-visitor", 2).await;
}

#[tokio::test]
async fn ninth_upload_of_an_operator_at_once_is_busy_and_a_place_becomes_free() {
    most_at_once(&Operator::new().named("busy"), "busy-operator", 8).await;
}

async fn most_at_once(caller: &impl crate::harness::Caller, chat: &str, limit: usize) {
    let node = shared().await;
    node.put_chat(chat).await;
    let target = Some(Target::ChatId(chat.to_owned()));
    let head = header(UploadHeader { display_name: "a.pdf".to_owned(), target, ..UploadHeader::default() });
    let mut running = Vec::new();
    for _ in 0..limit {
        let mut upload = Rude::open(node, caller).await;
        upload.send(&head).await;
        upload.send(&chunk(samples::text(100, chat))).await;
        running.push(upload);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let next = node.upload("a.pdf", samples::sample("pdf")).to_chat(chat);
    for _ in 0..10 {
        let status = assert_refused(next.by(caller).await, Code::Unavailable, "BUSY");
        assert!(has_retry(&status));
        assert_eq!(facts_of(&status)["limit_uploads"], limit.to_string());
    }
    running.pop().expect("one runs").cancel().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    next.passes_by(caller).await;
    for upload in running {
        upload.vanish().await;
    }
    assert_eq!(node.chat_files(chat, &Operator::new()).await.expect("known").len(), 1, "only the one with a commit");
    node.assert_none_under_way(chat).await;
}

#[tokio::test]
async fn sender_of_less_than_1_kib_in_30_s_is_too_slow() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let text = samples::text(1023, "slow");
    let mut upload = Rude::open(node, &Operator::new().named("slow")).await;
    upload.send(&to_chat(&chat)).await;
    upload.send(&chunk(text.clone())).await;
    let started = std::time::Instant::now();
    let answer = tokio::time::timeout(Duration::from_secs(90), upload.answer()).await.expect("patience has an end");
    assert_eq!(answer, Some((Code::DeadlineExceeded as i32, "TOO_SLOW".to_owned())));
    assert!(started.elapsed() >= Duration::from_secs(25), "too early: {:?}", started.elapsed());
    node.assert_no_trace(&chat, &text).await;
}

#[tokio::test]
async fn what_follows_the_commit_is_not_read() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let text = samples::text(500, "after commit");
    let mut messages = node.upload("a.txt", text.clone()).to_chat(&chat).messages();
    messages.push(chunk(text.clone()));
    send(node, messages).await.expect("the commit decides");
    let files = node.chat_files(&chat, &Operator::new()).await.expect("known");
    assert_eq!(files.iter().map(|f| f.size_bytes).collect::<Vec<_>>(), [500]);
}

#[tokio::test]
async fn refused_sender_that_goes_on_sending_still_reads_its_refusal() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let target = Some(Target::ChatId(chat.clone()));
    let mut upload = Rude::open(node, &Operator::new()).await;
    let bad = UploadHeader { display_name: "a.exe".to_owned(), target, ..UploadHeader::default() };
    upload.send(&header(bad)).await;
    let piece = samples::text(MIB, "drained");
    for _ in 0..24 {
        upload.send(&chunk(piece.clone())).await;
    }
    upload.half_close();
    assert_eq!(upload.answer().await, Some((Code::InvalidArgument as i32, "TYPE_NOT_ALLOWED".to_owned())));
    node.assert_no_trace(&chat, &piece).await;
}
