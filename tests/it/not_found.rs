//! The one NOT_FOUND: a file that is foreign, deleted, quarantined, was never there or has no id at all is one and the
//! same answer, byte for byte, for every RPC that names a file; and fifty chats learn nothing of each other.
//!
//! Not here: who may do what (`matrix.rs`).

use tonic::{Code, Status, transport::Channel};

use crate::harness::{
    Caller, Node, Operator, Service, Setup, Visitor,
    calls::request,
    pb::{
        self, download_file_request, file_service_client::FileServiceClient, get_file_request,
        get_upload_options_request, upload_header::Target,
    },
    samples, shared, upload,
};

/// Every RPC that names a file.
const RPCS: &[&str] = &[
    "GetFile",
    "GetFile by code",
    "DownloadFile",
    "CreateDownloadLink",
    "AttachFile",
    "BatchAttachFile",
    "DetachFile",
    "UpdateFile",
    "DeleteFile",
];
/// Those that a visitor may call.
const VISITORS: &[&str] = &["GetFile", "GetFile by code", "DownloadFile", "CreateDownloadLink"];

/// A file as somebody might name it.
#[derive(Debug, Clone)]
struct Named {
    what: &'static str,
    id: String,
    code: String,
}

impl Named {
    fn of(what: &'static str, file: &pb::File) -> Self {
        Self { what, id: file.file_id.clone(), code: file.message_code.clone() }
    }
}

/// Asks one RPC about a file; `chat` is one that the caller may access.
async fn ask(
    files: &mut FileServiceClient<Channel>,
    rpc: &str,
    file: &Named,
    chat: &str,
    caller: &(impl Caller + ?Sized),
) -> Result<(), Status> {
    let (file_id, chat_id) = (file.id.clone(), chat.to_owned());
    match rpc {
        "GetFile" => {
            let by = Some(get_file_request::By::FileId(file_id));
            files.get_file(request(caller, pb::GetFileRequest { by })).await.map(drop)
        }
        "GetFile by code" => {
            let by = Some(get_file_request::By::MessageCode(file.code.clone()));
            files.get_file(request(caller, pb::GetFileRequest { by })).await.map(drop)
        }
        "DownloadFile" => {
            let by = Some(download_file_request::By::FileId(file_id));
            let what = pb::DownloadFileRequest { by, ..Default::default() };
            let mut stream = files.download_file(request(caller, what)).await?.into_inner();
            while stream.message().await?.is_some() {}
            Ok(())
        }
        "CreateDownloadLink" => {
            let what = pb::CreateDownloadLinkRequest { file_id, ..Default::default() };
            files.create_download_link(request(caller, what)).await.map(drop)
        }
        "AttachFile" => {
            let what = pb::AttachFileRequest { file_id, chat_id, ..Default::default() };
            files.attach_file(request(caller, what)).await.map(drop)
        }
        "BatchAttachFile" => {
            let what = pb::BatchAttachFileRequest { file_id, chat_ids: vec![chat_id] };
            files.batch_attach_file(request(caller, what)).await.map(drop)
        }
        "DetachFile" => files.detach_file(request(caller, pb::DetachFileRequest { file_id, chat_id })).await.map(drop),
        "UpdateFile" => {
            let update_mask = Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] });
            let what = pb::UpdateFileRequest {
                file_id,
                display_name: "mine.pdf".to_owned(),
                update_mask,
                ..Default::default()
            };
            files.update_file(request(caller, what)).await.map(drop)
        }
        "DeleteFile" => files.delete_file(request(caller, pb::DeleteFileRequest { file_id })).await.map(drop),
        other => panic!("{other} cannot be asked"),
    }
}

/// All that a client can see of a refusal, but for the date and the request's own id.
fn seen(status: &Status) -> (Code, String, Vec<u8>, Vec<String>) {
    let mut metadata: Vec<String> = status.metadata().clone().into_headers().keys().map(ToString::to_string).collect();
    metadata.sort();
    (status.code(), status.message().to_owned(), status.details().to_vec(), metadata)
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_deleted_quarantined_absent_and_malformed_files_are_one_answer() {
    let node = Node::start(Setup::new()).await;
    node.put_chat("mine").await;
    node.put_chat("theirs").await;
    let pdf = samples::sample("pdf");
    let backend = Service::all();
    let foreign = node.upload("foreign.pdf", pdf.clone()).to_chat("theirs").passes_by(&backend).await;
    let deleted = node.upload("deleted.pdf", pdf.clone()).to_chat("mine").passes_by(&backend).await;
    node.delete(&deleted.file_id, &backend).await.expect("the backend may");
    // Bytes of its own, so that nothing else is masked with them.
    let bad = node.upload("quarantined.png", samples::sample("png")).to_chat("mine").passes_by(&backend).await;
    let quarantine = format!("UPDATE blobs SET state = 'QUARANTINED' WHERE lower(hex(sha256)) = '{}'", bad.sha256);
    assert_eq!(node.change(&quarantine), 1);

    let hash = foreign.message_code.split('_').nth(1).expect("a hash").trim_end_matches(']').to_owned();
    let named = |what, id: &str, code: &str| Named { what, id: id.to_owned(), code: code.to_owned() };
    let files = [
        Named::of("foreign", &foreign),
        Named::of("deleted", &deleted),
        Named::of("quarantined", &bad),
        named("absent", "aaaaaaaaaaaaaaaaaaaaaaaaaa", "[file=4294967999_00000000000000000000000000000000]"),
        named("wrong hash", "7777777777777777777777777y", &foreign.message_code.replace(&hash, &"0".repeat(32))),
        named("upper case", &foreign.file_id.to_uppercase(), &foreign.message_code.to_uppercase()),
        named("too short", &foreign.file_id[..25], "[file=1]"),
        named("of another alphabet", "0189018901890189018901890!", "file"),
        named("a path", "../../../../../etc/passwd", "[file=../../etc_passwd]"),
        named("long", &"a".repeat(5000), &format!("[file={}_0]", "9".repeat(5000))),
        named("Unicode", "\u{ff41}aaaaaaaaaaaaaaaaaaaaaaaaa", "[file=\u{661}_0]"),
        named("SQL", "' OR 1=1 --", "[file=1_' OR 1=1 --]"),
        named("empty", "", ""),
    ];
    let visitor = Visitor::of_chat("mine");
    let operator = Operator::with(&["use_operator", "file_delete_chat"]).of_chats(&["mine"]);
    let mut client = node.files();
    for rpc in RPCS {
        let mut first: Option<(Code, String, Vec<u8>, Vec<String>)> = None;
        for file in &files {
            let mut answers = vec![ask(&mut client, rpc, file, "mine", &operator).await];
            if VISITORS.contains(rpc) {
                answers.push(ask(&mut client, rpc, file, "mine", &visitor).await);
            }
            for answer in answers {
                let status = answer.expect_err(&format!("{rpc} of a file that is {}", file.what));
                crate::harness::assert_refused(Err::<(), _>(status.clone()), Code::NotFound, "NOT_FOUND");
                let seen = seen(&status);
                assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen, "{rpc} of a file that is {}", file.what);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_is_foreign_deleted_or_unknown_is_one_answer_save_to_the_backend() {
    let node = shared().await;
    let (mine, theirs, gone) = (node.new_chat().await, node.new_chat().await, node.new_chat().await);
    let delete = pb::DeleteChatRequest { chat_id: gone.clone(), version: 0 };
    node.chats().delete_chat(request(&Service::all(), delete)).await.expect("the backend may");
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&mine).passes_by(&Service::all()).await;
    let file = Named::of("mine", &file);
    let operator = Operator::with(&["use_operator", "chat_sync"]).of_chats(&[&mine]);
    let mut client = node.files();
    let mut answers = Vec::new();
    for chat in [theirs.as_str(), &gone, "never-told"] {
        for rpc in ["AttachFile", "DetachFile"] {
            answers.push(ask(&mut client, rpc, &file, chat, &operator).await.expect_err(rpc));
        }
        answers.push(node.chat_files(chat, &operator).await.expect_err("ListChatFiles"));
        answers.push(node.chat_files(chat, &Visitor::of_chat(&mine)).await.expect_err("ListChatFiles"));
        let get = pb::GetChatRequest { chat_id: chat.to_owned() };
        answers.push(node.chats().get_chat(request(&operator, get)).await.expect_err("GetChat"));
        let delete = pb::DeleteChatRequest { chat_id: chat.to_owned(), version: 0 };
        answers.push(node.chats().delete_chat(request(&operator, delete)).await.expect_err("DeleteChat"));
        answers.push(
            node.upload("b.pdf", samples::sample("pdf")).to_chat(chat).by(&operator).await.expect_err("UploadFile"),
        );
        let backend = node.chat_files(chat, &Service::all()).await;
        if chat != theirs {
            crate::harness::assert_refused(backend, Code::NotFound, "CHAT_UNKNOWN");
        }
    }
    let first = (answers[0].code(), answers[0].message().to_owned(), answers[0].details().to_vec());
    assert_eq!(first.0, Code::NotFound);
    for answer in &answers {
        assert_eq!((answer.code(), answer.message().to_owned(), answer.details().to_vec()), first);
    }
}

/// Fifty chats, each with its visitor, its operator and its file.
const CHATS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_chats_learn_nothing_of_each_other() {
    let node = shared().await;
    let mut chats = Vec::with_capacity(CHATS);
    for i in 0..CHATS {
        let chat = node.new_chat().await;
        let name = format!("secret-{i}.pdf");
        let file = node.upload(&name, samples::sample("pdf")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
        chats.push((chat, Named::of("foreign", &file)));
    }
    let chats: &'static [(String, Named)] = chats.leak();
    let pairs: Vec<_> = (0..CHATS).map(|i| tokio::spawn(pairs_of(node, chats, i))).collect();
    let mut first = None;
    for own in pairs {
        for status in own.await.expect("no panic") {
            let seen = seen(&status);
            assert_eq!(seen.0, Code::NotFound);
            assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen);
        }
    }
    for (chat, file) in chats {
        let left = node.file(&file.id, &Service::all()).await.expect("nobody could delete it");
        assert_eq!(left.chat_ids, [chat.as_str()], "nobody could attach or detach it");
        assert!(left.display_name.starts_with("secret-"), "nobody could rename it");
    }
}

/// What the people of chat `i` are told of all chats; their own must be open to them.
async fn pairs_of(node: &'static Node, chats: &'static [(String, Named)], i: usize) -> Vec<Status> {
    let own = chats[i].0.as_str();
    let visitor = Visitor::of_chat(own);
    let operator = Operator::with(&["use_operator", "file_delete_chat"]).of_chats(&[own]).named(&format!("op-{i}"));
    let mut files = node.files();
    let mut refusals = Vec::new();
    for (j, (chat, file)) in chats.iter().enumerate() {
        let mut answers = Vec::new();
        for rpc in VISITORS {
            answers.push(ask(&mut files, rpc, file, own, &visitor).await);
        }
        let list = pb::ListChatFilesRequest { chat_id: chat.clone(), ..Default::default() };
        answers.push(files.list_chat_files(request(&visitor, list)).await.map(drop));
        let target = Some(get_upload_options_request::Target::ChatId(chat.clone()));
        let options = pb::GetUploadOptionsRequest { target };
        answers.push(files.get_upload_options(request(&visitor, options)).await.map(drop));
        if i == j {
            for answer in answers {
                answer.expect("a visitor's own chat");
            }
            continue;
        }
        for rpc in ["GetFile", "AttachFile", "BatchAttachFile", "DetachFile", "UpdateFile", "DeleteFile"] {
            answers.push(ask(&mut files, rpc, file, own, &operator).await);
        }
        if j == (i + 1) % CHATS {
            let target = Some(Target::ChatId(chat.clone()));
            let header = pb::UploadHeader { display_name: "in.pdf".to_owned(), target, ..Default::default() };
            let messages = tokio_stream::iter([upload::header(header), upload::commit(pb::UploadCommit::default())]);
            answers.push(files.upload_file(request(&visitor, messages)).await.map(drop));
        }
        refusals.extend(answers.into_iter().map(|answer| answer.expect_err("a foreign chat")));
    }
    refusals
}
