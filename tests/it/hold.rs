//! Holds: what is held stays, whoever asks, and is let go when its last hold is lifted.
//!
//! Not here: who may, row by row (`matrix/holds.rs`), and each way in which a file is held (the contract of the stores,
//! `src/adapters/tests/store/holds.rs`).

use tonic::Code;

use crate::harness::{
    Node, Operator, Service, Setup, assert_refused,
    calls::request,
    pb::{self, hold_target::On},
    samples, shared,
};

fn target(on: On) -> Option<pb::HoldTarget> {
    Some(pb::HoldTarget { on: Some(on) })
}

async fn put(node: &Node, on: On, matter: &str) -> Result<pb::Hold, tonic::Status> {
    let hold = pb::PutHoldRequest { target: target(on), matter: matter.to_owned() };
    let answer = node.maintenance().put_hold(request(&Service::all(), hold)).await?;
    Ok(answer.into_inner().hold.expect("every answer names the hold"))
}

async fn lift(node: &Node, on: On, matter: &str) -> Result<bool, tonic::Status> {
    let hold = pb::DeleteHoldRequest { target: target(on), matter: matter.to_owned() };
    Ok(node.maintenance().delete_hold(request(&Service::all(), hold)).await?.into_inner().lifted)
}

#[tokio::test(flavor = "multi_thread")]
async fn held_files_are_neither_deleted_nor_detached_until_the_last_hold_is_lifted() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::with(&["*"]);
    let file = node.upload("kept.txt", samples::text(700, &chat)).to_chat(&chat).passes_by(&operator).await.file_id;
    let on_file = || On::FileId(file.clone());
    let on_chat = || On::ChatId(chat.clone());
    let held = put(node, on_file(), "case 7").await.expect("the backend may");
    assert_eq!((held.matter.as_str(), held.target), ("case 7", target(on_file())));
    assert!(held.creator.is_some_and(|by| by.id == "backend") && held.create_time.is_some());
    put(node, on_chat(), "case 8").await.expect("the backend may");
    for matter in ["case 7", "case 8"] {
        for caller in [&operator as &dyn crate::harness::Caller, &Service::all()] {
            let status = assert_refused(node.delete(&file, caller).await, Code::FailedPrecondition, "ON_HOLD");
            assert!(status.message().contains("hold"), "{status:?}");
        }
        let detach = pb::DetachFileRequest { file_id: file.clone(), chat_id: chat.clone() };
        let answer = node.files().detach_file(request(&Service::all(), detach)).await;
        assert_refused(answer, Code::FailedPrecondition, "ON_HOLD");
        let end = pb::DeleteChatRequest { chat_id: chat.clone(), ..Default::default() };
        let answer = node.chats().delete_chat(request(&Service::all(), end)).await;
        assert_refused(answer, Code::FailedPrecondition, "ON_HOLD");
        assert_eq!(node.file(&file, &operator).await.expect("it is there").chat_ids, std::slice::from_ref(&chat));
        let on = if matter == "case 7" { on_file() } else { on_chat() };
        assert!(lift(node, on, matter).await.expect("the backend may"));
    }
    assert!(!lift(node, on_chat(), "case 8").await.expect("again"));
    node.delete(&file, &operator).await.expect("nothing holds it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_are_listed_in_pages_and_bad_ones_refused() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    for n in 0..5 {
        put(&node, On::VisitorId(format!("v{n}")), "case 9").await.expect("the backend may");
    }
    put(&node, On::ChatId(chat.clone()), "case 9").await.expect("the backend may");
    let list = async |target: Option<pb::HoldTarget>, page_token: String| {
        let list = pb::ListHoldsRequest { target, page_size: 4, page_token };
        node.maintenance().list_holds(request(&Service::all(), list)).await.map(tonic::Response::into_inner)
    };
    let first = list(None, String::new()).await.expect("the backend may");
    assert_eq!((first.holds.len(), &first.holds[0].target), (4, &target(On::ChatId(chat.clone()))));
    let second = list(None, first.next_page_token.clone()).await.expect("the backend may");
    assert_eq!((second.holds.len(), second.next_page_token.as_str()), (2, ""));
    let other = list(target(On::ChatId(chat.clone())), first.next_page_token).await;
    assert_refused(other, Code::InvalidArgument, "BAD_PAGE_TOKEN");
    for (on, matter) in [
        (On::ChatId(chat.clone()), ""),
        (On::ChatId(chat.clone()), " x"),
        (On::ChatId(chat.clone()), "a\nb"),
        (On::ChatId("a b".to_owned()), "x"),
        (On::OperatorId(String::new()), "x"),
    ] {
        assert_refused(put(&node, on, matter).await, Code::InvalidArgument, "BAD_ARGUMENT");
    }
    assert_refused(put(&node, On::FileId("a".repeat(26)), "x").await, Code::NotFound, "NOT_FOUND");
    assert_refused(put(&node, On::ChatId("never".to_owned()), "x").await, Code::NotFound, "CHAT_UNKNOWN");
    let nothing = pb::PutHoldRequest { target: None, matter: "x".to_owned() };
    let answer = node.maintenance().put_hold(request(&Service::all(), nothing)).await;
    assert_refused(answer, Code::InvalidArgument, "BAD_ARGUMENT");
    node.set(&["read_only"], |s| s.read_only = true).await.expect("the backend may");
    assert_refused(put(&node, On::ChatId(chat), "case 10").await, Code::Unavailable, "READ_ONLY");
}
