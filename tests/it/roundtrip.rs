//! The way of a good file: up, listed, attached, down in whole and in parts, by link, deleted, gone.

use tonic::Code;

use crate::harness::{Operator, Service, Visitor, assert_refused, calls::request, pb, samples, shared};

/// The default list of operators.
const OPERATORS: [&str; 20] = [
    "gif", "jpg", "jpeg", "png", "webp", "zip", "svg", "rar", "xls", "xlsx", "doc", "docx", "pdf", "ogg", "m4a", "wav",
    "mp3", "mp4", "txt", "csv",
];
/// The default list of visitors.
const VISITORS: [&str; 10] = ["gif", "jpg", "jpeg", "png", "webp", "svg", "doc", "docx", "pdf", "mp3"];

#[tokio::test]
async fn operator_uploads_every_default_type_and_gets_back_the_same_bytes() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new();
    for extension in OPERATORS {
        let bytes = samples::sample(extension);
        let name = format!("sample.{extension}");
        let file = node.upload(&name, bytes.clone()).to_chat(&chat).passes_by(&operator).await;
        assert_eq!((file.display_name.as_str(), file.extension.as_str()), (name.as_str(), extension));
        assert_eq!((file.size_bytes, &file.sha256), (bytes.len() as i64, &samples::sha256(&bytes)));
        assert_eq!(file.verdict.expect("told").kind(), pb::VerdictKind::Clean);
        assert_eq!((file.home_chat_id.as_str(), &file.chat_ids), (chat.as_str(), &vec![chat.clone()]));
        let back = node.download(&file.file_id, &operator).await.expect("its own file");
        assert_eq!(back.bytes, bytes, "{extension}");
        assert_eq!(back.header.total_bytes, bytes.len() as i64);
        assert_eq!(back.header.media_type, file.media_type);
    }
    assert_eq!(node.chat_files(&chat, &operator).await.expect("its chat").len(), OPERATORS.len());
}

#[tokio::test]
async fn visitor_uploads_every_type_of_its_list_and_gets_back_the_same_bytes() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let visitor = Visitor::of_chat(&chat);
    for extension in VISITORS {
        let bytes = samples::sample(extension);
        let upload = node.upload(&format!("sample.{extension}"), bytes.clone()).to_chat(&chat);
        let file = upload.passes_by(&visitor).await;
        let back = node.download(&file.file_id, &visitor).await.expect("its own chat");
        assert_eq!(back.bytes, bytes, "{extension}");
    }
    let listed = node.chat_files(&chat, &visitor).await.expect("its own chat");
    assert_eq!(listed.len(), VISITORS.len());
}

#[tokio::test]
async fn download_by_range_gives_exactly_these_bytes() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new();
    let bytes = samples::text(1_000_003, "ranges");
    let file = node.upload("a.txt", bytes.clone()).to_chat(&chat).passes_by(&operator).await;
    let end = bytes.len() as i64;
    for (offset, limit) in [
        (0, 0),
        (0, 1),
        (1, 1),
        (end - 1, 1),
        (end - 1, 0),
        (end - 1, 100),
        (65_536, 65_536),
        (65_535, 65_538),
        (0, end),
        (0, end + 10),
        (500_000, 400_000),
    ] {
        let part = node.download_range(&file.file_id, offset, limit, &operator).await;
        let part = part.unwrap_or_else(|s| panic!("{offset} {limit}: {s:?}"));
        let to = if limit == 0 { end } else { end.min(offset + limit) };
        let wanted = &bytes[usize::try_from(offset).expect("positive")..usize::try_from(to).expect("positive")];
        assert!(part.bytes == wanted, "{offset} {limit}: {} bytes", part.bytes.len());
        assert_eq!((part.header.offset, part.header.length), (offset, to - offset));
    }
}

#[tokio::test]
async fn range_beyond_the_file_or_negative_is_refused() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new();
    let file = node.upload("a.txt", samples::text(1000, "bad ranges")).to_chat(&chat).passes_by(&operator).await;
    for (offset, limit) in
        [(1000, 0), (1001, 0), (10_000, 1), (-1, 0), (0, -1), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN)]
    {
        let result = node.download_range(&file.file_id, offset, limit, &operator).await;
        assert_refused(result, Code::OutOfRange, "BAD_RANGE");
    }
}

#[tokio::test]
async fn link_downloads_without_a_token_and_dies_with_its_file() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::with(&["use_operator", "file_delete"]);
    let bytes = samples::sample("pdf");
    let file = node.upload("a.pdf", bytes.clone()).to_chat(&chat).passes_by(&operator).await;
    for link in [
        node.link(&file.file_id, &operator).await.expect("its own file"),
        node.link(&file.file_id, &Visitor::of_chat(&chat)).await.expect("its own chat"),
    ] {
        let back = node.download_link(&link).await.expect("whoever holds it");
        assert_eq!(back.bytes, bytes);
        let of = back.header.file.expect("told");
        assert!(of.chat_ids.is_empty() && of.home_chat_id.is_empty(), "a link tells of no chat: {of:?}");
    }
    let link = node.link(&file.file_id, &operator).await.expect("its own file");
    let mut forged = link.clone();
    forged.replace_range(0..1, if link.starts_with('A') { "B" } else { "A" });
    for bad in [forged.as_str(), "", "x", &link[1..], &format!("{link}A")] {
        assert_refused(node.download_link(bad).await, Code::NotFound, "NOT_FOUND");
    }
    node.delete(&file.file_id, &operator).await.expect("permitted");
    assert_refused(node.download_link(&link).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn file_attached_to_50_chats_is_read_in_each_of_them() {
    let node = shared().await;
    let home = node.new_chat().await;
    let operator = Operator::new();
    let bytes = samples::sample("docx");
    let file = node.upload("a.docx", bytes.clone()).to_chat(&home).passes_by(&operator).await;
    let mut chats = Vec::new();
    for _ in 0..50 {
        chats.push(node.new_chat().await);
    }
    let batch = pb::BatchAttachFileRequest { file_id: file.file_id.clone(), chat_ids: chats.clone() };
    for _ in 0..2 {
        let results = node.files().batch_attach_file(request(&operator, batch.clone())).await.expect("permitted");
        let results = results.into_inner().results;
        assert_eq!(results.iter().map(|r| &r.chat_id).collect::<Vec<_>>(), chats.iter().collect::<Vec<_>>());
        assert!(results.iter().all(|r| r.reason.is_empty()), "{results:?}");
    }
    for chat in &chats {
        let visitor = Visitor::of_chat(chat);
        assert_eq!(node.chat_files(chat, &visitor).await.expect("its own").len(), 1);
        assert_eq!(node.download(&file.file_id, &visitor).await.expect("attached").bytes, bytes);
    }
    let stranger = Visitor::of_chat("stranger");
    assert_refused(node.download(&file.file_id, &stranger).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn deleted_file_is_gone_for_all_as_if_it_had_never_been() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::with(&["use_operator", "file_delete", "file_list"]);
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&operator).await;
    node.delete(&file.file_id, &operator).await.expect("permitted");
    node.delete(&file.file_id, &operator).await.expect("one who could have deleted it gets OK again");
    let never = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
    for id in [file.file_id.as_str(), never] {
        let row = assert_refused(node.file(id, &operator).await, Code::NotFound, "NOT_FOUND");
        let bytes = assert_refused(node.download(id, &Service::all()).await, Code::NotFound, "NOT_FOUND");
        let link = assert_refused(node.link(id, &Visitor::of_chat(&chat)).await, Code::NotFound, "NOT_FOUND");
        assert_eq!(row.message(), bytes.message());
        assert_eq!(row.details(), link.details());
    }
    assert!(node.chat_files(&chat, &operator).await.expect("known").is_empty());
    let filter = pb::ListFilesRequest { sha256: file.sha256, chat_ids: vec![chat.clone()], ..Default::default() };
    let all = node.files().list_files(request(&operator, filter)).await.expect("permitted");
    assert!(all.into_inner().files.is_empty());
}

#[tokio::test]
async fn same_bytes_twice_are_two_files_of_one_content() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let bytes = samples::text(5000, "two files, one content");
    let upload = node.upload("a.txt", bytes.clone()).to_chat(&chat);
    let (one, two) = (upload.passes_by(&Operator::new()).await, upload.passes_by(&Operator::new()).await);
    assert_ne!(one.file_id, two.file_id);
    let blobs = format!("SELECT count(*) AS n FROM blobs WHERE lower(hex(sha256)) = '{}'", samples::sha256(&bytes));
    assert_eq!(node.number(&blobs), 1);
    let remover = Operator::with(&["file_delete"]);
    node.delete(&one.file_id, &remover).await.expect("permitted");
    assert_eq!(node.download(&two.file_id, &Operator::new()).await.expect("the other lives on").bytes, bytes);
}

#[tokio::test]
async fn message_code_finds_the_file_and_gives_no_right() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let file = node.upload("a.png", samples::sample("png")).to_chat(&chat).passes_by(&Operator::new()).await;
    let code = &file.message_code;
    assert!(code.starts_with("[file=") && code.ends_with("_img]"), "{code}");
    let get = |code: &str| pb::GetFileRequest { by: Some(pb::get_file_request::By::MessageCode(code.to_owned())) };
    let found = node.files().get_file(request(&Visitor::of_chat(&chat), get(code))).await.expect("its own chat");
    assert_eq!(found.into_inner().file.expect("told").file_id, file.file_id);
    let stranger = node.files().get_file(request(&Visitor::of_chat("stranger"), get(code))).await;
    assert_refused(stranger, Code::NotFound, "NOT_FOUND");
}
