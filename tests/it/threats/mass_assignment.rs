//! Raw protobuf with fields that no client may set: uploader, state, verdict, hash, size, times. They change nothing.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::{
    Code, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::harness::{
    Caller, Node, Operator, Service, Visitor, assert_refused,
    calls::request,
    pb::{self, File, upload_header::Target},
    samples, shared, upload,
};

/// Passes bytes as they are.
#[derive(Debug, Default, Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

/// Sends these bytes as the messages of one call and reads its one answer.
async fn send(node: &Node, path: &'static str, messages: Vec<Bytes>, caller: &impl Caller) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(node.channel());
    client.ready().await.expect("the server is there");
    let stream = request(caller, tokio_stream::iter(messages));
    Ok(client.client_streaming(stream, http::uri::PathAndQuery::from_static(path), Raw).await?.into_inner())
}

/// All fields of `File` that say what a client would like to say, and numbers that nobody has.
fn smuggled() -> Vec<u8> {
    let file = File {
        media_type: "text/html".to_owned(),
        size_bytes: 1,
        sha256: "0".repeat(64),
        uploaded_sha256: "0".repeat(64),
        uploader: Some(pb::Caller { kind: pb::CallerKind::Service.into(), id: "root".to_owned() }),
        home_chat_id: "theirs".to_owned(),
        chat_ids: vec!["theirs".to_owned()],
        state: 2,
        verdict: Some(pb::Verdict {
            kind: pb::VerdictKind::Clean.into(),
            engine: "mine".to_owned(),
            ..Default::default()
        }),
        create_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        message_code: "[file=1_0]".to_owned(),
        etag: "1-1".to_owned(),
        ..File::default()
    };
    // Each field once more under a number of a thousand and more, where the message has none of its own.
    let mut bytes = Vec::new();
    for (i, part) in [file.encode_to_vec(), b"READY".to_vec(), b"operator:1".to_vec()].into_iter().enumerate() {
        prost::encoding::bytes::encode(1_000 + u32::try_from(i).expect("small"), &part, &mut bytes);
        prost::encoding::bytes::encode(100 + u32::try_from(i).expect("small"), &part, &mut bytes);
    }
    prost::encoding::int32::encode(2_000, &2, &mut bytes);
    bytes
}

/// Fields of `File` appended to another message of the same numbers: only those that the message lacks.
fn with_fields(message: &impl Message, numbers: &[u32]) -> Vec<u8> {
    let mut bytes = message.encode_to_vec();
    for number in numbers {
        prost::encoding::bytes::encode(*number, &b"smuggled".to_vec(), &mut bytes);
    }
    bytes.extend(smuggled());
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_no_client_may_set_change_nothing_of_an_upload() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let visitor = Visitor::of_chat(&chat);
    let bytes = samples::sample("png");
    let target = Some(Target::ChatId(chat.clone()));
    let header = pb::UploadHeader {
        display_name: "a.png".to_owned(),
        content_type: "text/html".to_owned(),
        target,
        ..Default::default()
    };
    // `preview` of a later version, and everything that `File` has beyond.
    let header = with_fields(&header, &[9, 13, 14, 17, 18, 19, 20, 21]);
    let mut first = Vec::new();
    prost::encoding::bytes::encode(1, &header, &mut first);
    first.extend(smuggled());
    let rest = [upload::chunk(bytes.clone()), upload::commit(pb::UploadCommit::default())];
    let messages = std::iter::once(first.into()).chain(rest.iter().map(|m| m.encode_to_vec().into())).collect();
    let answer =
        send(node, "/lhfile.v1.FileService/UploadFile", messages, &visitor).await.expect("what is known holds");
    let file = pb::UploadFileResponse::decode(answer).expect("the answer").file.expect("the file");

    let uploader = file.uploader.clone().expect("an uploader");
    assert_eq!((uploader.kind(), uploader.id), (pb::CallerKind::Visitor, format!("v-{chat}")));
    assert_eq!((file.size_bytes, file.sha256.as_str()), (bytes.len() as i64, samples::sha256(&bytes).as_str()));
    assert_eq!((file.media_type.as_str(), file.persistent), ("image/png", false));
    assert_eq!((file.home_chat_id.as_str(), file.chat_ids.as_slice()), (chat.as_str(), &[chat.clone()][..]));
    let verdict = file.verdict.clone().expect("a verdict");
    assert!(verdict.engine.contains("ClamAV") && verdict.kind() == pb::VerdictKind::Clean, "{verdict:?}");
    assert!(file.create_time.is_some_and(|time| time.seconds > 1_700_000_000));
    assert_eq!(node.file(&file.file_id, &visitor).await.expect("its own"), file);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_no_client_may_set_change_nothing_of_a_file() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new().of_chats(&[&chat]);
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&operator).await;
    for path in [
        "state",
        "verdict",
        "uploader",
        "size_bytes",
        "sha256",
        "uploaded_sha256",
        "create_time",
        "home_chat_id",
        "chat_ids",
        "media_type",
        "extension",
        "message_code",
        "file_id",
        "etag",
        "width",
        "display_name.x",
        "",
        "DISPLAY_NAME",
        "displayName",
    ] {
        let update_mask = Some(prost_types::FieldMask { paths: vec!["display_name".to_owned(), path.to_owned()] });
        let update = pb::UpdateFileRequest {
            file_id: file.file_id.clone(),
            display_name: "b.pdf".to_owned(),
            update_mask,
            ..Default::default()
        };
        let answer = node.files().update_file(request(&operator, update)).await;
        assert!(answer.is_err(), "mask {path:?}");
        assert_refused(answer, Code::InvalidArgument, "BAD_ARGUMENT");
    }
    assert_eq!(node.file(&file.file_id, &operator).await.expect("its own"), file, "all or nothing");

    let update_mask = Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] });
    let update = pb::UpdateFileRequest {
        file_id: file.file_id.clone(),
        display_name: "b.pdf".to_owned(),
        persistent: true,
        update_mask,
        ..Default::default()
    };
    let message = with_fields(&update, &[6, 7, 8, 10, 11, 16, 17, 18, 19, 20, 21]);
    send(node, "/lhfile.v1.FileService/UpdateFile", vec![message.into()], &operator).await.expect("the name changes");
    let after = node.file(&file.file_id, &operator).await.expect("its own");
    let wanted = File { display_name: "b.pdf".to_owned(), etag: after.etag.clone(), ..file.clone() };
    assert_eq!(after, wanted, "the name, and nothing that the mask does not name");
    assert_ne!(after.etag, file.etag);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_no_client_may_set_change_nothing_of_a_chat() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let told = pb::Chat { chat_id: chat.clone(), status: pb::ChatStatus::Active.into(), ..Default::default() };
    let inner = with_fields(&told, &[7, 8, 9, 10]);
    let mut put = Vec::new();
    prost::encoding::bytes::encode(1, &inner, &mut put);
    put.extend(smuggled());
    send(node, "/lhfile.v1.ChatService/PutChat", vec![put.into()], &Service::all()).await.expect("what is known holds");
    let get = pb::GetChatRequest { chat_id: chat };
    let answer = node.chats().get_chat(request(&Service::all(), get)).await.expect("it is there").into_inner();
    let stored = answer.chat.expect("the chat");
    assert_eq!(stored, pb::Chat { version: stored.version, ..told });
}
