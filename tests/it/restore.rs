//! Deleted files brought back: within the grace, with what they were attached to, by those who may.
//!
//! Not here: who may, row by row (`matrix.rs`), and attachments to chats that died meanwhile (the contract of the stores,
//! `src/adapters/tests/store/files.rs`).

use tonic::Code;

use crate::harness::{Node, Operator, Service, Setup, Visitor, assert_refused, samples, shared};

#[tokio::test(flavor = "multi_thread")]
async fn deleted_file_comes_back_for_everybody_who_had_it_and_its_link_lives_again() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let (visitor, operator, all) = (Visitor::of_chat(&chat), Operator::new(), Service::all());
    let bytes = samples::text(5_000, &chat);
    let file = node.upload("back.txt", bytes.clone()).to_chat(&chat).passes_by(&operator).await;
    let link = node.link(&file.file_id, &operator).await.expect("it may");
    node.delete(&file.file_id, &all).await.expect("the backend may");
    for gone in [
        node.file(&file.file_id, &operator).await.map(drop),
        node.download(&file.file_id, &visitor).await.map(drop),
        node.download_link(&link).await.map(drop),
        node.restore(&file.file_id, &visitor).await.map(drop),
    ] {
        let status = gone.expect_err("deleted, or no right");
        assert!(matches!(status.code(), Code::NotFound | Code::PermissionDenied), "{status:?}");
    }
    let listed = node.deleted_files(&all).await.expect("the backend may");
    let row = listed.iter().find(|row| row.file_id == file.file_id).expect("it is listed");
    let (deleted, purged) = (row.delete_time.as_ref().expect("told"), row.purge_time.as_ref().expect("told"));
    assert_eq!(purged.seconds - deleted.seconds, 7 * 86_400);
    assert_eq!(row.state(), crate::harness::pb::FileState::Deleted);

    let back = node.restore(&file.file_id, &all).await.expect("the backend may");
    assert_eq!((back.chat_ids.as_slice(), back.delete_time, back.purge_time), (&[chat.clone()][..], None, None));
    assert_ne!(back.etag, file.etag);
    assert_eq!(node.restore(&file.file_id, &all).await.expect("again").etag, back.etag);
    assert_eq!(node.download(&file.file_id, &visitor).await.expect("it is there").bytes, bytes);
    assert_eq!(node.download_link(&link).await.expect("it is there").bytes, bytes);
    assert!(node.deleted_files(&all).await.expect("it may").iter().all(|row| row.file_id != file.file_id));
    assert_refused(node.restore(&"a".repeat(26), &all).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_back_after_the_grace_and_the_setting_counts_at_once() {
    let node = Node::start(Setup::new()).await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let file = node.upload("late.txt", samples::text(500, "late")).to_chat(&chat).passes_by(&Operator::new()).await;
    node.delete(&file.file_id, &all).await.expect("the backend may");
    node.set(&["deleted_grace_days"], |s| s.deleted_grace_days = 0).await.expect("the backend may");
    assert_refused(node.restore(&file.file_id, &all).await, Code::NotFound, "NOT_FOUND");
    assert_eq!(node.deleted_files(&all).await.expect("the backend may"), []);
    node.set(&["deleted_grace_days"], |s| s.deleted_grace_days = 1).await.expect("the backend may");
    assert_eq!(node.change("UPDATE files SET deleted_at = deleted_at - 86399000000"), 1);
    node.restore(&file.file_id, &all).await.expect("a second before its end");
    node.delete(&file.file_id, &all).await.expect("the backend may");
    assert_eq!(node.change("UPDATE files SET deleted_at = deleted_at - 86400000000"), 1);
    assert_refused(node.restore(&file.file_id, &all).await, Code::NotFound, "NOT_FOUND");
    for (days, reason) in [(-1, "BAD_SETTING"), (3_651, "BAD_SETTING")] {
        let answer = node.set(&["deleted_grace_days"], |s| s.deleted_grace_days = days).await;
        assert_refused(answer, Code::InvalidArgument, reason);
    }
    node.set(&["read_only"], |s| s.read_only = true).await.expect("the backend may");
    assert_refused(node.restore(&file.file_id, &all).await, Code::Unavailable, "READ_ONLY");
}
