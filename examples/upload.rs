//! A chat backend's first minutes with lhfile: tells it about a chat, uploads a file, reads a refusal's reason.
//!
//! ```text
//! export LHFILE_TOKEN=$(lhfile token --service me --permission '*' --chat '*')
//! cargo run --example upload -- tests/samples/sample.pdf
//! ```
#![expect(clippy::disallowed_methods, reason = "a program of its own reads its own environment")]

use std::{env, error::Error, path::PathBuf};

use lhfile::rpc::pb::{
    Chat, ChatStatus, PutChatRequest, UploadChunk, UploadCommit, UploadFileRequest, UploadHeader,
    chat_service_client::ChatServiceClient, file_service_client::FileServiceClient, upload_file_request::Part,
    upload_header::Target,
};
use tokio_stream::iter;
use tonic::{Request, metadata::MetadataValue, transport::Endpoint};
use tonic_types::StatusExt as _;

/// What clients should send at once: larger chunks gain nothing.
const CHUNK: usize = 256 << 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = PathBuf::from(env::args_os().nth(1).ok_or("usage: upload FILE")?);
    let bearer: MetadataValue<_> = format!("Bearer {}", env::var("LHFILE_TOKEN")?).parse()?;
    let authorize = move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", bearer.clone());
        Ok(request)
    };
    let channel = Endpoint::from_static("http://127.0.0.1:50051").connect().await?;

    let chat = Chat { chat_id: "42".into(), status: ChatStatus::Active.into(), ..Chat::default() };
    ChatServiceClient::with_interceptor(channel.clone(), authorize.clone())
        .put_chat(PutChatRequest { chat: Some(chat) })
        .await?;

    let header = UploadHeader {
        display_name: path.file_name().ok_or("a file, please")?.to_string_lossy().into_owned(),
        target: Some(Target::ChatId("42".into())),
        // With a request id the same call may be made again if the answer is lost: it is one file.
        request_id: "example-1".into(),
        ..UploadHeader::default()
    };
    let bytes = bytes::Bytes::from(tokio::fs::read(&path).await?);
    let chunks = (0..bytes.len()).step_by(CHUNK).map(move |at| {
        let data = bytes.slice(at..bytes.len().min(at + CHUNK));
        Part::Chunk(UploadChunk { crc32c: Some(crc_fast::crc32_iscsi(&data)), data })
    });
    // Without the commit at the end nothing is stored, however the stream ended.
    let parts = [Part::Header(header)].into_iter().chain(chunks).chain([Part::Commit(UploadCommit::default())]);
    let requests = parts.map(|part| UploadFileRequest { part: Some(part) }).collect::<Vec<_>>();

    match FileServiceClient::with_interceptor(channel, authorize).upload_file(iter(requests)).await {
        Ok(answer) => {
            let answer = answer.into_inner();
            println!("{} {}", answer.file.ok_or("an answer without a file")?.file_id, answer.message_code);
            Ok(())
        }
        Err(status) => {
            let details = status.get_error_details();
            let reason = details.error_info().map_or("", |info| info.reason.as_str());
            Err(format!("refused: {:?} {reason}: {}", status.code(), status.message()).into())
        }
    }
}
