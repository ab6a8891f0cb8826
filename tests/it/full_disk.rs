//! The disk under the data folder, and with it SQLite, is full: whatever writes says so, with a time to try again, and what reads goes on.
//!
//! The disk is a small one in memory, mounted for the test: that needs the right to mount, and fails without it. Not
//! here: the spool's budget and reserve, which refuse before the disk ends (unit tests beside `adapters/blobs`).

use tonic::Code;

use crate::harness::{Node, Operator, Service, Setup, assert_refused, calls::request, pb, refusal::has_retry, samples};

#[tokio::test]
async fn full_disk_is_no_space_to_writers_and_nothing_to_readers_and_passes() {
    let node = Node::start(Setup::new().on_sqlite().on_disk_of("64m")).await;
    node.put_chat("42").await;
    let operator = Operator::new();
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat("42").passes_by(&operator).await;
    let filler = node.data().join("filler");
    // Whoever fills the disk gets what there is, and then an error.
    std::io::copy(&mut std::io::repeat(1), &mut std::fs::File::create(&filler).expect("made")).expect_err("full");
    let put = |id: String| {
        let chat = pb::Chat { chat_id: id, status: pb::ChatStatus::Active.into(), ..pb::Chat::default() };
        let put = pb::PutChatRequest { chat: Some(chat) };
        async { node.chats().put_chat(request(&Service::all(), put)).await }
    };
    for i in 0..5 {
        let status = assert_refused(put(format!("full-{i}")).await, Code::Unavailable, "NO_SPACE");
        assert!(has_retry(&status), "{status:?}");
    }
    let upload = node.upload("b.pdf", samples::sample("pdf")).to_chat("42");
    assert!(has_retry(&assert_refused(upload.by(&operator).await, Code::Unavailable, "NO_SPACE")));
    assert_refused(node.delete(&file.file_id, &Service::all()).await, Code::Unavailable, "NO_SPACE");
    assert_eq!(node.download(&file.file_id, &operator).await.expect("a read").bytes, samples::sample("pdf"));
    assert_eq!(node.number("SELECT count(*) AS n FROM chats"), 1);
    std::fs::remove_file(&filler).expect("our own file");
    put("43".to_owned()).await.expect("there is room again");
    node.delete(&file.file_id, &Service::all()).await.expect("there is room again");
    node.assert_consistent().await;
}
