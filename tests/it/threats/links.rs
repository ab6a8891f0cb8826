//! Download links: forged, put together from parts, expired, or of somebody whose right has ended.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use tonic::{Code, Request, Status};

use crate::harness::{
    Caller, Node, Operator, Service, Setup, Visitor, assert_refused,
    calls::{Downloaded, request},
    pb::{self, ChatStatus, ListFilesRequest, VisitorDownload, download_file_request},
    samples, shared,
};

async fn link_for(node: &Node, file_id: &str, seconds: i64, caller: &(impl Caller + ?Sized)) -> Result<String, Status> {
    let ttl = Some(prost_types::Duration { seconds, nanos: 0 });
    let what = pb::CreateDownloadLinkRequest { file_id: file_id.to_owned(), ttl, inline: false };
    Ok(node.files().create_download_link(request(caller, what)).await?.into_inner().link)
}

fn dead(answer: Result<Downloaded, Status>, what: &str) {
    assert!(answer.is_err(), "{what}");
    assert_refused(answer, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_put_together_links_are_dead() {
    let node = shared().await;
    let (mine, theirs) = (node.new_chat().await, node.new_chat().await);
    let visitor = Visitor::of_chat(&mine);
    let own = node.upload("a.txt", b"my own".to_vec()).to_chat(&mine).passes_by(&Operator::new()).await;
    let foreign = node.upload("b.txt", b"theirs".to_vec()).to_chat(&theirs).passes_by(&Operator::new()).await;
    let good = node.link(&own.file_id, &visitor).await.expect("its own");
    assert_eq!(node.download_link(&good).await.expect("good").bytes, b"my own");
    let other = node.link(&foreign.file_id, &Service::all()).await.expect("the backend may");

    let bytes = BASE64URL_NOPAD.decode(good.as_bytes()).expect("base64url");
    let others = BASE64URL_NOPAD.decode(other.as_bytes()).expect("base64url");
    let encode = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        dead(node.download_link(&encode(&changed)).await, &format!("bit of byte {at}"));
    }
    // A nonce of 12 bytes, the cipher text, a tag of 16.
    let (payload, tag) = bytes.split_at(bytes.len() - 16);
    let (other_payload, other_tag) = others.split_at(others.len() - 16);
    // The file's id is the first field: 2 bytes of length, 16 of id.
    let swapped = [&payload[..12], &other_payload[12..30], &payload[30..], tag].concat();
    let renumbered = [&other_payload[..12], &bytes[12..]].concat();
    // Fields run together: a length moved by one, the byte given to the next field.
    let mut moved = bytes.clone();
    moved[13] = moved[13].wrapping_sub(1);
    let page = ListFilesRequest { page_size: 1, ..Default::default() };
    let page = node.files().list_files(request(&Service::all(), page)).await.expect("the backend may").into_inner();
    for (what, link) in [
        ("the other's payload", encode(&[other_payload, tag].concat())),
        ("the other's tag", encode(&[payload, other_tag].concat())),
        ("the other's file in my link", encode(&swapped)),
        ("the other's nonce", encode(&renumbered)),
        ("a length moved", encode(&moved)),
        ("something appended", encode(&[&bytes[..], b"x"].concat())),
        ("something before", encode(&[b"x", &bytes[..]].concat())),
        ("a byte less", encode(&bytes[..bytes.len() - 1])),
        ("no tag", encode(payload)),
        ("a tag alone", encode(tag)),
        ("a tag of zeros", encode(&[payload, &[0; 16]].concat())),
        ("nothing but a nonce and a tag", encode(&[&bytes[..12], tag].concat())),
        ("padding", format!("{good}=")),
        ("a line break", format!("{good}\n")),
        ("another alphabet", format!("{}+", &good[..good.len() - 1])),
        ("twice", format!("{good}{good}")),
        ("a page token", page.next_page_token),
        ("the file's id", own.file_id.clone()),
        ("the code", own.message_code.clone()),
        ("a path", "../../secret".to_owned()),
        ("long", "A".repeat(100_000)),
        ("empty", String::new()),
    ] {
        dead(node.download_link(&link).await, what);
    }
    assert_eq!(node.download_link(&good).await.expect("still good").bytes, b"my own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_ends_when_it_says_and_not_later_than_the_setting() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let visitor = Visitor::of_chat(&chat);
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&visitor).await;
    let link = link_for(node, &file.file_id, 1, &visitor).await.expect("its own");
    node.download_link(&link).await.expect("within its second");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    dead(node.download_link(&link).await, "expired");
    for seconds in [0, -1, 301, i64::MAX, i64::MIN] {
        let answer = link_for(node, &file.file_id, seconds, &visitor).await;
        assert_refused(answer, Code::InvalidArgument, "BAD_ARGUMENT");
    }
    link_for(node, &file.file_id, 300, &visitor).await.expect("the setting's default");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_dies_with_its_creators_right() {
    let node = shared().await;
    let (chat, second) = (node.new_chat().await, node.new_chat().await);
    let visitor = Visitor::of_chat(&chat);
    let operator = Operator::new().of_chats(&[&chat]).named("190");
    let backend = Service::all();
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&visitor).await;
    let attach = pb::AttachFileRequest { file_id: file.file_id.clone(), chat_id: second.clone(), ..Default::default() };
    node.files().attach_file(request(&backend, attach)).await.expect("the backend may");
    let links = [
        node.link(&file.file_id, &visitor).await.expect("its own"),
        node.link(&file.file_id, &operator).await.expect("its chat"),
        node.link(&file.file_id, &backend).await.expect("the backend may"),
    ];
    let [of_visitor, of_operator, of_backend] = links;

    // The chat is closed beyond the grace: the visitor's right ends, the operator's stays.
    let long_ago = prost_types::Timestamp { seconds: crate::harness::callers::now() as i64 - 601, nanos: 0 };
    node.put_chat_as(&chat, ChatStatus::Closed, |chat| chat.close_time = Some(long_ago)).await;
    dead(node.download_link(&of_visitor).await, "closed after the grace");
    node.download_link(&of_operator).await.expect("an operator's right does not end with the chat");
    // Opened again, the visitor's link of the same life works again.
    node.put_chat(&chat).await;
    node.download_link(&of_visitor).await.expect("open again");

    let detach = pb::DetachFileRequest { file_id: file.file_id.clone(), chat_id: chat.clone() };
    node.files().detach_file(request(&backend, detach)).await.expect("the backend may");
    dead(node.download_link(&of_visitor).await, "detached from the visitor's chat");
    dead(node.download_link(&of_operator).await, "detached from the operator's chat");
    node.download_link(&of_backend).await.expect("the backend's right stays");
    node.delete(&file.file_id, &backend).await.expect("the backend may");
    dead(node.download_link(&of_backend).await, "deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_gives_no_more_than_its_file_and_tells_nothing_of_chats() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    let link = node.link(&file.file_id, &Visitor::of_chat(&chat)).await.expect("its own");
    let told = node.download_link(&link).await.expect("good").header.file.expect("the file");
    // What serving needs, and nothing of chats, uploader, verdict or code.
    let pb::File { file_id, display_name, media_type, size_bytes, sha256, .. } = file.clone();
    assert_eq!(told, pb::File { file_id, display_name, media_type, size_bytes, sha256, ..pb::File::default() });
    // Nor does the link itself tell anything, whatever it is decoded by.
    let sealed = BASE64URL_NOPAD.decode(link.as_bytes()).expect("base64url");
    for secret in ["visitor", chat.as_str(), file.file_id.as_str()] {
        assert!(!link.contains(secret) && !sealed.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
    // A credential that does not hold is not covered by a link that does.
    let by = Some(download_file_request::By::Link(link.clone()));
    let mut bad = Request::new(pb::DownloadFileRequest { by, ..Default::default() });
    bad.metadata_mut().insert("authorization", "Bearer x".parse().expect("ASCII"));
    assert_refused(node.files().download_file(bad).await.map(drop), Code::Unauthenticated, "BAD_CREDENTIAL");
    // Without a credential the id alone opens nothing.
    let by = Some(download_file_request::By::FileId(file.file_id.clone()));
    let bare = Request::new(pb::DownloadFileRequest { by, ..Default::default() });
    assert_refused(node.files().download_file(bare).await.map(drop), Code::Unauthenticated, "BAD_CREDENTIAL");
    for (rpc, answer) in [
        ("GetFile", node.file(&file.file_id, "").await.map(drop)),
        ("DeleteFile", node.delete(&file.file_id, "").await),
        ("CreateDownloadLink", node.link(&file.file_id, "").await.map(drop)),
    ] {
        assert!(answer.is_err(), "{rpc}");
        assert_refused(answer, Code::Unauthenticated, "BAD_CREDENTIAL");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_link_only_a_visitor_reads_by_link_and_not_by_id() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let visitor = Visitor::of_chat(&chat);
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&visitor).await;
    node.set(&["visitor_download"], |s| s.set_visitor_download(VisitorDownload::Link)).await.expect("the backend may");
    node.put_chat_as(&chat, ChatStatus::Closed, |_| {}).await;
    assert_refused(node.download(&file.file_id, &visitor).await, Code::PermissionDenied, "DOWNLOAD_NOT_ALLOWED");
    let link = node.link(&file.file_id, &visitor).await.expect("which the visitor may make");
    node.download_link(&link).await.expect("in any status");
    node.set(&["visitor_download"], |s| s.set_visitor_download(VisitorDownload::WhileChatOpen)).await.expect("it may");
    node.set(&["closed_chat_grace_seconds"], |s| s.closed_chat_grace_seconds = 0).await.expect("it may");
    dead(node.download_link(&link).await, "the creator's right is judged by the settings of now");
}
