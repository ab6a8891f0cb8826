//! Files for online visitors, who are known by an id and need no chat: who uploads, sees and reads them, and where files
//! of services come from.
//!
//! Not here: who may, row by row (`matrix.rs`), and what a store does with them (the contract of the stores,
//! `src/adapters/tests/store/origins.rs`).

use tonic::Code;

use crate::harness::{
    Node, Operator, Service, Setup, Visitor, assert_refused,
    calls::request,
    pb::{self, File, ListFilesRequest, Origin},
    samples, shared,
};

async fn list(node: &Node, what: ListFilesRequest) -> Vec<String> {
    let page = node.files().list_files(request(&Service::all(), what)).await.expect("the backend may").into_inner();
    page.files.into_iter().map(|file| file.file_id).collect()
}

fn ids(files: &[File]) -> Vec<&str> {
    files.iter().map(|file| file.file_id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn screenshots_of_online_visitors_are_unassigned() {
    let (node, all) = (shared().await, Service::all());
    let bytes = samples::sample("png");
    let shot = node.upload("shot.png", bytes.clone()).for_visitor("shots-1");
    let shot = shot.with(|header| header.origin = Some(Origin::Screenshot.into())).passes_by(&all).await;
    assert_eq!((shot.visitor_id.as_str(), shot.origin()), ("shots-1", Origin::Screenshot));
    assert!(shot.home_chat_id.is_empty() && shot.chat_ids.is_empty() && !shot.persistent, "{shot:?}");
    let letter = node.upload("letter.pdf", samples::sample("pdf")).for_visitor("shots-1");
    let letter = letter.with(|header| header.origin = Some(Origin::Mail.into())).passes_by(&all).await;

    let of_visitor = || ListFilesRequest { visitor_id: "shots-1".to_owned(), ..Default::default() };
    let unassigned = ListFilesRequest { attached: Some(false), ..of_visitor() };
    assert_eq!(list(node, unassigned.clone()).await, [letter.file_id.clone(), shot.file_id.clone()]);
    assert_eq!(list(node, ListFilesRequest { attached: Some(true), ..of_visitor() }).await, [] as [String; 0]);
    for (origin, found) in [(Origin::Screenshot, Some(&shot)), (Origin::Mail, Some(&letter)), (Origin::Form, None)] {
        let found: Vec<String> = found.into_iter().map(|file| file.file_id.clone()).collect();
        assert_eq!(list(node, ListFilesRequest { origin: origin.into(), ..of_visitor() }).await, found, "{origin:?}");
    }
    let ages = |file: &File| {
        let sql = "SELECT coalesce(ages_as, 'NOBODY') AS t FROM files WHERE lower(hex(code_hash)) = ";
        let code = file.message_code.split('_').nth(1).expect("a hash").trim_end_matches(']').to_owned();
        node.texts(&format!("{sql}'{code}'"))
    };
    assert_eq!((ages(&shot), ages(&letter)), (vec!["VISITOR".to_owned()], vec!["NOBODY".to_owned()]));

    // A chat that begins later takes it in, and the visitor has it still when that chat is over.
    let chat = node.new_chat().await;
    let what = pb::AttachFileRequest { file_id: shot.file_id.clone(), chat_id: chat.clone(), ..Default::default() };
    node.files().attach_file(request(&all, what)).await.expect("the backend may");
    assert_eq!(list(node, unassigned).await, std::slice::from_ref(&letter.file_id));
    let seen = node.file(&shot.file_id, &Visitor::of_chat(&chat)).await.expect("attached to its chat");
    assert_eq!(
        (seen.visitor_id.as_str(), seen.chat_ids.as_slice()),
        ("", &[chat.clone()][..]),
        "not told of the other"
    );
    let end = pb::DeleteChatRequest { chat_id: chat, ..Default::default() };
    node.chats().delete_chat(request(&all, end)).await.expect("the backend may");
    assert_eq!(node.download(&shot.file_id, &Visitor::online("shots-1")).await.expect("its own").bytes, bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn origin_of_a_person_is_refused() {
    let node = shared().await;
    let upload = node.upload("a.txt", samples::text(300, "origin of a person"));
    let upload = upload.with(|header| header.origin = Some(Origin::Screenshot.into()));
    let png = node.upload("a.png", samples::sample("png")).for_visitor("p-1");
    let png = png.with(|header| header.origin = Some(Origin::Form.into()));
    let operator = Operator::with(&["*"]);
    let status = upload.clone().to_library().refused_by(&operator, Code::InvalidArgument, "BAD_ARGUMENT").await;
    assert!(status.message().contains("service"), "{status:?}");
    upload.for_visitor("p-1").refused_by(&operator, Code::InvalidArgument, "BAD_ARGUMENT").await;
    assert_refused(png.by(&Visitor::online("p-1")).await, Code::InvalidArgument, "BAD_ARGUMENT");
    assert_eq!(node.visitor_files("p-1", &Service::all()).await.expect("the backend may"), []);
    // Not told is no origin.
    let told = png.with(|header| header.origin = Some(0)).passes_by(&Visitor::online("p-1")).await;
    assert_eq!(told.origin(), Origin::Unspecified);
    let unknown = node.upload("a.png", samples::sample("png")).for_visitor("p-1").with(|h| h.origin = Some(99));
    assert_refused(unknown.by(&Service::all()).await, Code::InvalidArgument, "BAD_ARGUMENT");
}

#[tokio::test(flavor = "multi_thread")]
async fn visitor_sees_only_what_was_uploaded_for_its_own_vid() {
    let (node, all) = (shared().await, Service::all());
    let bytes = samples::sample("pdf");
    let own = node.upload("own.pdf", bytes.clone()).for_visitor("me").passes_by(&Visitor::online("me")).await;
    let sent = node.upload("sent.pdf", bytes.clone()).for_visitor("me").passes_by(&Operator::new()).await;
    let theirs = node.upload("theirs.pdf", bytes.clone()).for_visitor("them").passes_by(&all).await;
    let me = Visitor::online("me");
    assert_eq!(ids(&node.visitor_files("me", &me).await.expect("its own")), ids(&[sent.clone(), own.clone()]));
    assert_eq!(node.file(&sent.file_id, &me).await.expect("its own").visitor_id, "me");
    assert_eq!(node.download(&sent.file_id, &me).await.expect("its own").bytes, bytes);
    let link = node.link(&sent.file_id, &me).await.expect("its own");
    assert_eq!(node.download_link(&link).await.expect("its maker may").bytes, bytes);
    let nobody = Visitor::online("me-not").named("me");
    for stranger in [nobody, Visitor::of_chat("me").named("me"), Visitor::online("them")] {
        assert_refused(node.file(&sent.file_id, &stranger).await, Code::NotFound, "NOT_FOUND");
        assert_refused(node.download(&sent.file_id, &stranger).await, Code::NotFound, "NOT_FOUND");
        assert_refused(node.link(&sent.file_id, &stranger).await, Code::NotFound, "NOT_FOUND");
        assert_refused(node.visitor_files("me", &stranger).await, Code::NotFound, "NOT_FOUND");
        let foreign = node.upload("in.pdf", bytes.clone()).for_visitor("me").by(&stranger).await;
        assert_refused(foreign, Code::NotFound, "NOT_FOUND");
    }
    assert_refused(node.file(&theirs.file_id, &me).await, Code::NotFound, "NOT_FOUND");
    // An operator sees what it sent, and no more without `file_list`; a service of some chats nothing of it.
    assert!(node.file(&sent.file_id, &Operator::new()).await.is_ok());
    assert_refused(node.file(&own.file_id, &Operator::new()).await, Code::NotFound, "NOT_FOUND");
    assert_refused(node.visitor_files("me", &Operator::new()).await, Code::PermissionDenied, "MISSING_PERMISSION");
    assert_eq!(node.visitor_files("me", &Operator::with(&["file_list"])).await.expect("it may").len(), 2);
    let some = Service::all().of_chats(&["42"]);
    assert_eq!(node.visitor_files("me", &some).await.expect("an empty list"), []);
    assert_refused(node.upload("x.pdf", bytes).for_visitor("me").by(&some).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn links_only_is_for_online_visitors_too_and_a_repeat_names_the_same_visitor() {
    let node = Node::start(Setup::new()).await;
    node.set(&["visitor_download"], |s| s.visitor_download = pb::VisitorDownload::Link.into()).await.expect("it may");
    let (me, bytes) = (Visitor::online("me"), samples::sample("pdf"));
    let upload = node.upload("a.pdf", bytes.clone()).for_visitor("me").request_id("r1");
    let file = upload.passes_by(&me).await;
    assert_eq!(upload.passes_by(&me).await.file_id, file.file_id);
    let other = upload.clone().for_visitor("them").by(&Visitor::online("them").named("x-me")).await;
    assert_refused(other, Code::NotFound, "NOT_FOUND");
    let both = Operator::new();
    let sent = upload.clone().request_id("r2").passes_by(&both).await;
    assert_ne!(sent.file_id, file.file_id);
    let other = upload.clone().request_id("r2").for_visitor("them").by(&both).await;
    assert_refused(other, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_refused(node.download(&file.file_id, &me).await, Code::PermissionDenied, "DOWNLOAD_NOT_ALLOWED");
    let link = node.link(&file.file_id, &me).await.expect("its own");
    assert_eq!(node.download_link(&link).await.expect("its maker may").bytes, bytes);
    node.set(&["visitor_upload_enabled"], |s| s.visitor_upload_enabled = false).await.expect("it may");
    let off = node.upload("b.pdf", bytes).for_visitor("me").by(&me).await;
    assert_refused(off, Code::FailedPrecondition, "UPLOADS_DISABLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitors_files_come_in_pages_whose_token_is_of_that_visitor_alone() {
    let (node, all) = (shared().await, Service::all());
    let mut files = Vec::new();
    for n in 0..5 {
        let text = samples::text(200 + n, &format!("pages {n}"));
        files.push(node.upload(&format!("{n}.txt"), text).for_visitor("pages").passes_by(&all).await);
    }
    node.upload("0.txt", samples::text(200, "other pages")).for_visitor("other-pages").passes_by(&all).await;
    let page = async |visitor_id: &str, page_token: &str| {
        let (visitor_id, page_token) = (visitor_id.to_owned(), page_token.to_owned());
        let order = pb::FileOrder::Oldest.into();
        let what = pb::ListVisitorFilesRequest { visitor_id, order, page_size: 3, page_token };
        let caller = Visitor::online("pages").named("reader");
        node.files().list_visitor_files(request(&caller, what)).await.map(tonic::Response::into_inner)
    };
    let first = page("pages", "").await.expect("its own");
    let second = page("pages", &first.next_page_token).await.expect("its own");
    assert_eq!((ids(&first.files), ids(&second.files)), (ids(&files[..3]), ids(&files[3..])));
    assert_eq!(second.next_page_token, "");
    assert_refused(page("other-pages", &first.next_page_token).await, Code::NotFound, "NOT_FOUND");
    let what = pb::ListVisitorFilesRequest {
        visitor_id: "pages".to_owned(),
        page_token: first.next_page_token,
        ..Default::default()
    };
    assert_refused(node.files().list_visitor_files(request(&all, what)).await, Code::InvalidArgument, "BAD_PAGE_TOKEN");
    for bad in ["", "a b"] {
        assert_refused(node.visitor_files(bad, &all).await, Code::InvalidArgument, "BAD_ARGUMENT");
    }
}

/// Online visitors, each with its file.
const VISITORS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_online_visitors_learn_nothing_of_each_other() {
    let (node, all) = (shared().await, Service::all());
    let mut files = Vec::with_capacity(VISITORS);
    for i in 0..VISITORS {
        let vid = format!("fifty-{i}");
        files.push(node.upload("secret.pdf", samples::sample("pdf")).for_visitor(&vid).passes_by(&all).await);
    }
    let files: &'static [File] = files.leak();
    let visitors: Vec<_> = (0..VISITORS)
        .map(|i| {
            tokio::spawn(async move {
                let caller = Visitor::online(&format!("fifty-{i}"));
                for (j, file) in files.iter().enumerate() {
                    let seen = node.file(&file.file_id, &caller).await.map(drop);
                    let read = node.download(&file.file_id, &caller).await.map(drop);
                    let listed = node.visitor_files(&format!("fifty-{j}"), &caller).await.map(|list| list.len());
                    if i == j {
                        assert!(seen.is_ok() && read.is_ok() && listed.is_ok_and(|n| n == 1), "{i}: its own");
                    } else {
                        for answer in [seen, read, listed.map(drop)] {
                            assert_refused(answer, Code::NotFound, "NOT_FOUND");
                        }
                    }
                }
            })
        })
        .collect();
    for visitor in visitors {
        visitor.await.expect("no panic");
    }
}
