//! A request id makes an upload idempotent per person: the same answer, a refusal for anything else, and the newer
//! stream wins.

use std::time::Duration;

use tonic::Code;

use crate::harness::{
    Operator, Service, Visitor, assert_refused,
    pb::{UploadHeader, upload_header::Target},
    rude::Rude,
    samples, shared,
    upload::{chunk, header},
};

#[tokio::test]
async fn same_request_id_target_and_bytes_get_the_same_answer() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new();
    let upload = node.upload("a.txt", samples::text(9000, "same answer")).to_chat(&chat).request_id("same-1");
    let first = upload.by(&operator).await.expect("good");
    for _ in 0..3 {
        assert_eq!(upload.by(&operator).await.expect("the same"), first);
    }
    assert_eq!(node.chat_files(&chat, &operator).await.expect("known").len(), 1);
    node.assert_none_under_way(&chat).await;
}

#[tokio::test]
async fn same_request_id_with_other_bytes_is_refused_and_changes_nothing() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new();
    let first = node.upload("a.txt", samples::text(9000, "one")).to_chat(&chat).request_id("bytes-1");
    let file = first.passes_by(&operator).await;
    let other = node.upload("a.txt", samples::text(9000, "other")).to_chat(&chat).request_id("bytes-1");
    assert_refused(other.by(&operator).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let files = node.chat_files(&chat, &operator).await.expect("known");
    assert_eq!(files.iter().map(|f| &f.file_id).collect::<Vec<_>>(), [&file.file_id]);
    node.assert_none_under_way(&chat).await;
    let repeated = first.passes_by(&operator).await;
    assert_eq!(repeated.file_id, file.file_id);
}

#[tokio::test]
async fn same_request_id_to_another_target_is_refused() {
    let node = shared().await;
    let (chat, other) = (node.new_chat().await, node.new_chat().await);
    let operator = Operator::with(&["use_operator", "upload_new_file"]);
    let upload = node.upload("a.txt", samples::text(9000, "targets")).to_chat(&chat).request_id("target-1");
    upload.passes_by(&operator).await;
    let elsewhere = upload.clone().to_chat(&other);
    assert_refused(elsewhere.by(&operator).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let library = upload.clone().to_library();
    assert_refused(library.by(&operator).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert!(node.chat_files(&other, &operator).await.expect("known").is_empty());
}

#[tokio::test]
async fn request_ids_of_two_persons_have_nothing_to_do_with_each_other() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let upload = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).request_id("persons-1");
    let mut ids = vec![
        upload.passes_by(&Operator::new()).await.file_id,
        upload.passes_by(&Operator::new().named("18")).await.file_id,
        upload.passes_by(&Visitor::of_chat(&chat).named("17")).await.file_id,
        upload.passes_by(&Service::all()).await.file_id,
    ];
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn request_id_is_free_again_after_a_refusal() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new();
    let bad = node.upload("a.pdf", samples::text(900, "refused first")).to_chat(&chat).request_id("free-1");
    bad.refused_by(&operator, Code::InvalidArgument, "TYPE_MISMATCH").await;
    let good = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).request_id("free-1");
    good.passes_by(&operator).await;
}

#[tokio::test]
async fn request_id_of_64_printable_characters_passes_and_others_do_not() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new();
    let with = |id: &str| node.upload("a.txt", samples::text(700, "long ids")).to_chat(&chat).request_id(id);
    for bad in ["i".repeat(65), "i".repeat(640), "a\nb".to_owned(), "ü".to_owned()] {
        with(&bad).refused_by(&operator, Code::InvalidArgument, "BAD_ARGUMENT").await;
    }
    with(&"i".repeat(64)).passes_by(&operator).await;
}

#[tokio::test]
async fn newer_stream_of_the_same_request_id_fences_the_older() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new();
    let bytes = samples::text(200_000, "fenced");
    let mut older = Rude::open(node, &operator).await;
    let target = Some(Target::ChatId(chat.clone()));
    let (display_name, request_id) = ("a.txt".to_owned(), "fence-1".to_owned());
    older.send(&header(UploadHeader { display_name, request_id, target, ..UploadHeader::default() })).await;
    older.send(&chunk(bytes.clone())).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let newer = node.upload("a.txt", bytes.clone()).to_chat(&chat).request_id("fence-1");
    let file = newer.passes_by(&operator).await;
    // It says nothing more, and need not: waiting for it to be too slow would take 30 s.
    let answer = tokio::time::timeout(Duration::from_secs(5), older.answer()).await.expect("an answer");
    assert_eq!(answer, Some((Code::Aborted as i32, "FENCED".to_owned())));
    let files = node.chat_files(&chat, &operator).await.expect("known");
    assert_eq!(files.iter().map(|f| &f.file_id).collect::<Vec<_>>(), [&file.file_id]);
    node.assert_none_under_way(&chat).await;
    assert_eq!(newer.passes_by(&operator).await.file_id, file.file_id);
}

#[tokio::test]
async fn client_that_tries_again_and_again_takes_no_place_but_its_last() {
    let node = shared().await;
    let chat = node.new_chat().await;
    // Two uploads at once are a visitor's.
    let visitor = Visitor::of_chat(&chat);
    let target = Some(Target::ChatId(chat.clone()));
    let newest = format!("SELECT coalesce(max(id), 0) AS n FROM uploads WHERE target_chat_id = '{chat}'");
    let mut stalled = Vec::new();
    for _ in 0..5 {
        let before = node.number(&newest);
        let mut stream = Rude::open(node, &visitor).await;
        let (display_name, request_id, target) = ("a.pdf".to_owned(), "again-1".to_owned(), target.clone());
        stream.send(&header(UploadHeader { display_name, request_id, target, ..UploadHeader::default() })).await;
        stream.send(&chunk(samples::sample("pdf")[..100].to_vec())).await;
        stalled.push(stream);
        // What is sent on another connection could come before it.
        let begun = async {
            while node.number(&newest) == before {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), begun).await.expect("its intent");
        if let Some(older) = stalled.len().checked_sub(2) {
            let answer = tokio::time::timeout(Duration::from_secs(5), stalled[older].answer()).await;
            assert_eq!(answer.expect("an answer"), Some((Code::Aborted as i32, "FENCED".to_owned())));
        }
    }
    let last = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).request_id("again-1");
    last.passes_by(&visitor).await;
    node.assert_none_under_way(&chat).await;
}
