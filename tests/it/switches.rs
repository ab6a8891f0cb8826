//! The switches an administrator turns: each works within 2 seconds and without a restart.
//!
//! Not here: the bounds of each setting (`src/domain/settings.rs`).

use std::time::Duration;

use tonic::Code;

use crate::harness::{
    Node, Operator, Service, Setup, Visitor,
    archives::{Member, zip},
    assert_refused,
    pb::{self, AntivirusUnscannable, Chat, ChatStatus, UploadOverride},
    refusal::{facts_of, has_retry},
    rude::Rude,
    samples,
    upload::{chunk, commit, header},
};

async fn node() -> Node {
    let node = Node::start(Setup::new()).await;
    node.put_chat("42").await;
    node
}

#[tokio::test]
async fn visitors_uploads_can_be_switched_off_and_a_chat_may_allow_them_again() {
    let node = node().await;
    let allow = |c: &mut Chat| c.upload_override = UploadOverride::Allow.into();
    node.put_chat_as("43", ChatStatus::Active, allow).await;
    node.set(&["visitor_upload_enabled"], |s| s.visitor_upload_enabled = false).await.expect("a good value");
    let upload = node.upload("a.pdf", samples::sample("pdf"));
    let to_42 = upload.clone().to_chat("42");
    to_42.refused_by(&Visitor::of_chat("42"), Code::FailedPrecondition, "UPLOADS_DISABLED").await;
    upload.to_chat("43").passes_by(&Visitor::of_chat("43")).await;
    to_42.passes_by(&Operator::new()).await;
}

#[tokio::test]
async fn operators_uploads_can_be_switched_off() {
    let node = node().await;
    node.set(&["operator_upload_enabled"], |s| s.operator_upload_enabled = false).await.expect("a good value");
    let upload = node.upload("a.pdf", samples::sample("pdf")).to_chat("42");
    upload.refused_by(&Operator::new(), Code::FailedPrecondition, "UPLOADS_DISABLED").await;
    upload.passes_by(&Visitor::of_chat("42")).await;
    upload.passes_by(&Service::all()).await;
}

#[tokio::test]
async fn read_only_refuses_uploads_and_can_be_switched_off_again() {
    let node = node().await;
    let operator = Operator::with(&["*"]);
    node.set(&["read_only"], |s| s.read_only = true).await.expect("a good value");
    let upload = node.upload("a.txt", samples::text(900, "read only")).to_chat("42");
    upload.refused_by(&operator, Code::Unavailable, "READ_ONLY").await;
    node.set(&["read_only"], |s| s.read_only = false).await.expect("settings can be changed");
    upload.passes_by(&operator).await;
}

#[tokio::test]
async fn read_only_refuses_every_other_change_and_goes_on_reading() {
    use crate::harness::calls::request;
    let node = node().await;
    let operator = Operator::with(&["*"]);
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat("42").passes_by(&operator).await;
    node.put_chat("43").await;
    node.set(&["read_only"], |s| s.read_only = true).await.expect("a good value");
    let (file_id, chat_id) = (file.file_id.clone(), "43".to_owned());
    assert_refused(node.delete(&file_id, &operator).await, Code::Unavailable, "READ_ONLY");
    let attach = pb::AttachFileRequest { file_id: file_id.clone(), chat_id, message_id: String::new() };
    let result = node.files().attach_file(request(&operator, attach)).await;
    assert_refused(result, Code::Unavailable, "READ_ONLY");
    let chat = Chat { chat_id: "44".to_owned(), status: ChatStatus::Active.into(), ..Chat::default() };
    let put = node.chats().put_chat(request(&operator, pb::PutChatRequest { chat: Some(chat) })).await;
    assert_refused(put, Code::Unavailable, "READ_ONLY");
    node.download(&file_id, &operator).await.expect("reading goes on");
    node.set(&["read_only"], |s| s.read_only = false).await.expect("the way back");
    node.delete(&file_id, &operator).await.expect("changes go on");
}

#[tokio::test]
async fn extensions_of_visitors_operators_and_bots_can_be_changed() {
    let node = node().await;
    node.put_chat_as("bot", ChatStatus::Bot, |_| {}).await;
    let change = |s: &mut pb::Settings| {
        s.visitor_extensions = vec!["txt".to_owned()];
        s.operator_extensions = vec!["pdf".to_owned(), "odd".to_owned()];
        s.bot_extensions = vec!["png".to_owned()];
    };
    node.set(&["visitor_extensions", "operator_extensions", "bot_extensions"], change).await.expect("good lists");
    let upload = |extension: &str| node.upload(&format!("a.{extension}"), samples::sample(extension));
    let (visitor, operator, of_bot) = (Visitor::of_chat("42"), Operator::new(), Visitor::of_chat("bot"));
    upload("txt").to_chat("42").passes_by(&visitor).await;
    upload("pdf").to_chat("42").passes_by(&operator).await;
    upload("png").to_chat("bot").passes_by(&of_bot).await;
    let refused = |result| assert_refused(result, Code::InvalidArgument, "TYPE_NOT_ALLOWED");
    refused(upload("pdf").to_chat("42").by(&visitor).await);
    refused(upload("txt").to_chat("42").by(&operator).await);
    refused(upload("txt").to_chat("bot").by(&of_bot).await);
    let odd = node.upload("a.odd", samples::text(900, "no rule")).to_chat("42").passes_by(&operator).await;
    assert_eq!(odd.media_type, "application/octet-stream");
}

#[tokio::test]
async fn limit_of_size_can_be_changed_and_equal_passes() {
    let node = node().await;
    node.set(&["max_file_bytes"], |s| s.max_file_bytes = 1000).await.expect("a good value");
    let upload = |size: usize| node.upload("a.txt", samples::text(size, "small limit")).to_chat("42");
    upload(1000).passes_by(&Operator::new()).await;
    for size in [1001, 10_000] {
        let status = upload(size).by(&Operator::new()).await;
        let status = assert_refused(status, Code::InvalidArgument, "TOO_LARGE");
        assert_eq!(facts_of(&status)["limit_bytes"], "1000");
    }
    node.assert_consistent().await;
}

#[tokio::test]
async fn unscannable_files_can_be_accepted_but_infected_ones_among_them_are_not() {
    let node = node().await;
    let accept = |s: &mut pb::Settings| s.antivirus_unscannable = AntivirusUnscannable::Accept.into();
    node.set(&["antivirus_unscannable"], accept).await.expect("a good value");
    let encrypted = Member::stored("secret.txt", b"0123456789abcdef").encrypted();
    let file = node.upload("a.zip", zip(&[encrypted])).to_chat("42").passes_by(&Operator::new()).await;
    assert_eq!(file.verdict.expect("told").kind(), pb::VerdictKind::UnscannableAccepted);
    let encrypted = Member::stored("secret.txt", b"0123456789abcdef").encrypted();
    let both = zip(&[Member::stored("eicar.com", &samples::eicar()), encrypted]);
    let upload = node.upload("b.zip", both).to_chat("42");
    assert_refused(upload.by(&Operator::new()).await, Code::InvalidArgument, "INFECTED");
    node.assert_consistent().await;
}

#[tokio::test]
async fn upload_larger_than_the_room_in_the_spool_is_refused() {
    let node = Node::start(Setup::new().config("spool.budget_bytes = 2097152")).await;
    node.put_chat("42").await;
    let upload = node.upload("a.txt", samples::text(3 << 20, "no room")).to_chat("42");
    let status = upload.clone().declared_size(3 << 20).by(&Operator::new()).await;
    assert!(has_retry(&assert_refused(status, Code::Unavailable, "NO_SPACE")));
    assert_refused(upload.by(&Operator::new()).await, Code::Unavailable, "NO_SPACE");
    node.assert_nothing_left().await;
    node.upload("a.txt", samples::text(1 << 20, "room")).to_chat("42").passes_by(&Operator::new()).await;
}

/// Opens an upload of the chat's visitor and sends all but its commit.
async fn all_but_the_commit(node: &Node, chat: &str) -> Rude {
    use pb::{UploadHeader, upload_header::Target};
    let mut upload = Rude::open(node, &Visitor::of_chat(chat)).await;
    let target = Some(Target::ChatId(chat.to_owned()));
    upload.send(&header(UploadHeader { display_name: "a.pdf".to_owned(), target, ..UploadHeader::default() })).await;
    upload.send(&chunk(samples::sample("pdf"))).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    upload
}

#[tokio::test]
async fn chat_that_closes_during_an_upload_takes_it_within_the_grace_only() {
    let node = node().await;
    let mut upload = all_but_the_commit(&node, "42").await;
    node.put_chat_as("42", ChatStatus::Closed, |_| {}).await;
    upload.send(&commit(pb::UploadCommit::default())).await;
    upload.half_close();
    assert_eq!(upload.answer().await.map(|(code, _)| code), Some(0));
    assert_eq!(node.chat_files("42", &Operator::new()).await.expect("known").len(), 1);

    node.set(&["closed_chat_grace_seconds"], |s| s.closed_chat_grace_seconds = 0).await.expect("a good value");
    node.put_chat("43").await;
    let mut upload = all_but_the_commit(&node, "43").await;
    node.put_chat_as("43", ChatStatus::Closed, |_| {}).await;
    upload.send(&commit(pb::UploadCommit::default())).await;
    upload.half_close();
    assert_eq!(upload.answer().await, Some((Code::FailedPrecondition as i32, "CHAT_CLOSED".to_owned())));
    assert!(node.chat_files("43", &Operator::new()).await.expect("known").is_empty());
    node.assert_consistent().await;
}

#[tokio::test]
async fn chat_that_is_deleted_during_an_upload_takes_nothing() {
    use crate::harness::calls::request;
    let node = node().await;
    let mut upload = all_but_the_commit(&node, "42").await;
    let delete = pb::DeleteChatRequest { chat_id: "42".to_owned(), version: 0 };
    node.chats().delete_chat(request(&Service::all(), delete)).await.expect("permitted");
    upload.send(&commit(pb::UploadCommit::default())).await;
    upload.half_close();
    assert_eq!(upload.answer().await, Some((Code::NotFound as i32, "NOT_FOUND".to_owned())));
    node.assert_nothing_left().await;
}
