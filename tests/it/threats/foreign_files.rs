//! Somebody else's file, by way of my own chat; ids that can be counted; files that were deleted.

use tonic::Code;

use crate::harness::{
    Caller, Operator, Service, Visitor, assert_refused,
    calls::request,
    pb::{self, File, ListFilesRequest, get_file_request},
    samples, shared,
};

async fn attach(file: &File, chat: &str, caller: &impl Caller) -> Result<(), tonic::Status> {
    let what = pb::AttachFileRequest { file_id: file.file_id.clone(), chat_id: chat.to_owned(), ..Default::default() };
    shared().await.files().attach_file(request(caller, what)).await.map(drop)
}

async fn detach(file: &File, chat: &str, caller: &impl Caller) -> Result<(), tonic::Status> {
    let what = pb::DetachFileRequest { file_id: file.file_id.clone(), chat_id: chat.to_owned() };
    shared().await.files().detach_file(request(caller, what)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn someone_elses_file_cannot_be_attached_to_my_chat_to_read_or_delete_it() {
    let node = shared().await;
    let theirs = node.new_chat().await;
    let mine = format!("{theirs}-mallory");
    node.put_chat_as(&mine, pb::ChatStatus::Active, |chat| chat.owner_operator = "mallory".to_owned()).await;
    let mallory =
        Operator::with(&["use_operator", "file_delete_chat", "upload_new_file"]).named("mallory").of_chats(&[]);
    let file = node.upload("contract.pdf", samples::sample("pdf")).to_chat(&theirs).passes_by(&Service::all()).await;

    assert_refused(attach(&file, &mine, &mallory).await, Code::NotFound, "NOT_FOUND");
    let batch = pb::BatchAttachFileRequest { file_id: file.file_id.clone(), chat_ids: vec![mine.clone()] };
    assert_refused(node.files().batch_attach_file(request(&mallory, batch)).await, Code::NotFound, "NOT_FOUND");
    assert_refused(node.download(&file.file_id, &mallory).await, Code::NotFound, "NOT_FOUND");
    assert_refused(node.delete(&file.file_id, &mallory).await, Code::NotFound, "NOT_FOUND");
    // The same bytes uploaded give no right to the other file of these bytes.
    let copy = node.upload("copy.pdf", samples::sample("pdf")).to_chat(&mine).passes_by(&mallory).await;
    assert_ne!((&copy.file_id, &copy.message_code), (&file.file_id, &file.message_code));
    assert_refused(node.file(&file.file_id, &mallory).await, Code::NotFound, "NOT_FOUND");
    node.delete(&copy.file_id, &mallory).await.expect("her own");
    assert_eq!(
        node.download(&file.file_id, &Service::all()).await.expect("the bytes stay").bytes,
        samples::sample("pdf")
    );
    assert_eq!(node.file(&file.file_id, &Service::all()).await.expect("it stays").chat_ids, [theirs]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_attached_to_my_chat_is_mine_to_read_and_to_detach_but_not_to_delete() {
    let node = shared().await;
    let theirs = node.new_chat().await;
    let mine = format!("{theirs}-17");
    node.put_chat_as(&mine, pb::ChatStatus::Active, |chat| chat.owner_operator = "170".to_owned()).await;
    let owner = Operator::with(&["use_operator", "file_delete_chat"]).named("170").of_chats(&[]);
    let file = node.upload("offer.pdf", samples::sample("pdf")).to_chat(&theirs).passes_by(&Service::all()).await;
    attach(&file, &mine, &Service::all()).await.expect("the backend may");

    assert_eq!(
        node.file(&file.file_id, &owner).await.expect("attached").chat_ids,
        [mine.as_str()],
        "not the other chat"
    );
    assert_eq!(node.file(&file.file_id, &owner).await.expect("attached").home_chat_id, "", "not the other chat");
    node.download(&file.file_id, &owner).await.expect("attached");
    assert_refused(node.delete(&file.file_id, &owner).await, Code::PermissionDenied, "MISSING_PERMISSION");
    assert_refused(detach(&file, &theirs, &owner).await, Code::NotFound, "NOT_FOUND");
    detach(&file, &mine, &owner).await.expect("the chat's owner");
    assert_refused(node.download(&file.file_id, &owner).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_of_somebody_else_gets_nothing_of_theirs() {
    let node = shared().await;
    let (theirs, mine) = (node.new_chat().await, node.new_chat().await);
    let id = format!("request-{theirs}");
    let upload = |name: &str| node.upload(name, samples::sample("pdf")).request_id(&id);
    let file = upload("theirs.pdf").to_chat(&theirs).passes_by(&Visitor::of_chat(&theirs)).await;
    let other = upload("mine.pdf").to_chat(&mine).passes_by(&Visitor::of_chat(&mine)).await;
    assert_ne!(file.file_id, other.file_id);
    assert_eq!((other.display_name.as_str(), other.home_chat_id.as_str()), ("mine.pdf", mine.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_cannot_be_counted_and_a_known_code_gives_no_right() {
    let node = shared().await;
    let (mine, theirs) = (node.new_chat().await, node.new_chat().await);
    let visitor = Visitor::of_chat(&mine);
    let own = node.upload("a.pdf", samples::sample("pdf")).to_chat(&mine).passes_by(&visitor).await;
    let foreign = node.upload("b.pdf", samples::sample("pdf")).to_chat(&theirs).passes_by(&Service::all()).await;
    let by_code = |code: String| {
        let visitor = visitor.clone();
        async move {
            let by = Some(get_file_request::By::MessageCode(code));
            node.files().get_file(request(&visitor, pb::GetFileRequest { by })).await
        }
    };
    by_code(own.message_code.clone()).await.expect("its own");
    assert_refused(by_code(foreign.message_code.clone()).await, Code::NotFound, "NOT_FOUND");
    // The number of one's own file with the next number's place: the hash is random and does not follow.
    let hash = |file: &File| file.message_code.split('_').nth(1).expect("a hash").trim_end_matches(']').to_owned();
    let number = |file: &File| file.message_code["[file=".len()..].split('_').next().expect("a number").to_owned();
    assert_eq!(hash(&own).len(), 32);
    for code in [
        format!("[file={}_{}]", number(&foreign), hash(&own)),
        format!("[file={}_{}]", number(&own), hash(&foreign)),
        format!("[file={}_]", number(&own)),
        format!("[file=0{}_{}]", number(&own), hash(&own)),
        format!("[file=+{}_{}]", number(&own), hash(&own)),
        format!("[file={}_{}]", number(&own), hash(&own).to_uppercase()),
    ] {
        assert_refused(by_code(code).await, Code::NotFound, "NOT_FOUND");
    }
    let same = own.file_id.bytes().zip(foreign.file_id.bytes()).filter(|(a, b)| a == b).count();
    assert!(own.file_id.len() == 26 && same < 13, "128 random bits: {} {}", own.file_id, foreign.file_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_is_gone_from_every_rpc_at_once() {
    let node = shared().await;
    let (chat, other) = (node.new_chat().await, node.new_chat().await);
    let backend = Service::all();
    let text = samples::text(1_000, &chat);
    let file = node.upload("a.txt", text).to_chat(&chat).passes_by(&Operator::new()).await;
    attach(&file, &other, &backend).await.expect("the backend may");
    let link = node.link(&file.file_id, &backend).await.expect("the backend may");
    assert_eq!(node.download_link(&link).await.expect("it is there").bytes.len(), 1_000);
    node.delete(&file.file_id, &backend).await.expect("the backend may");

    let id = file.file_id.clone();
    assert_refused(node.file(&id, &backend).await, Code::NotFound, "NOT_FOUND");
    let by = Some(get_file_request::By::MessageCode(file.message_code.clone()));
    let by_code = node.files().get_file(request(&backend, pb::GetFileRequest { by })).await;
    assert_refused(by_code, Code::NotFound, "NOT_FOUND");
    assert_refused(node.download(&id, &backend).await, Code::NotFound, "NOT_FOUND");
    assert_refused(node.download_link(&link).await, Code::NotFound, "NOT_FOUND");
    assert_refused(node.link(&id, &backend).await, Code::NotFound, "NOT_FOUND");
    assert_refused(attach(&file, &chat, &backend).await, Code::NotFound, "NOT_FOUND");
    assert_refused(detach(&file, &chat, &backend).await, Code::NotFound, "NOT_FOUND");
    let batch = pb::BatchAttachFileRequest { file_id: id.clone(), chat_ids: vec![chat.clone()] };
    assert_refused(node.files().batch_attach_file(request(&backend, batch)).await, Code::NotFound, "NOT_FOUND");
    let update_mask = Some(prost_types::FieldMask { paths: vec!["persistent".to_owned()] });
    let update = pb::UpdateFileRequest { file_id: id.clone(), update_mask, ..Default::default() };
    assert_refused(node.files().update_file(request(&backend, update)).await, Code::NotFound, "NOT_FOUND");
    for chat in [&chat, &other] {
        assert_eq!(node.chat_files(chat, &backend).await.expect("the backend may"), []);
        assert_eq!(node.chat_files(chat, &Visitor::of_chat(chat)).await.expect("its own"), []);
    }
    let what = ListFilesRequest { sha256: file.sha256.clone(), with_total: true, ..Default::default() };
    let page = node.files().list_files(request(&backend, what)).await.expect("the backend may").into_inner();
    assert_eq!((page.files.len(), page.total), (0, Some(0)));

    node.delete(&id, &backend).await.expect("who could have deleted it gets OK again");
    node.delete(&id, &Operator::with(&["file_delete"])).await.expect("who could have deleted it gets OK");
    let stranger = Operator::with(&["file_delete_chat", "use_operator"]).named("stranger");
    assert_refused(node.delete(&id, &stranger).await, Code::NotFound, "NOT_FOUND");
}

#[test]
fn no_rpc_takes_a_url() {
    let pool = prost_reflect::DescriptorPool::decode(lhfile::rpc::DESCRIPTOR_SET).expect("compiled in");
    let ours = pool.all_messages().filter(|message| message.package_name() == "lhfile.v1");
    let names = ours.flat_map(|message| message.fields().map(|field| field.full_name().to_owned()).collect::<Vec<_>>());
    let urls: Vec<_> = names.filter(|name| name.split(['.', '_']).any(|word| matches!(word, "url" | "uri"))).collect();
    assert_eq!(urls, [] as [String; 0]);
}
