//! The calls of a client, each to the node that it is given, and who it was that answered.
//!
//! Not here: what may be answered (`client.rs`).

use std::{error::Error as _, time::Duration};

use sha2::{Digest as _, Sha256};
use tonic::{Status, transport::Channel};

use super::journal::{Act, Answer, Sent};
use crate::harness::{
    Caller,
    calls::{authorise, request},
    pb::{
        self, chat_service_client::ChatServiceClient, config_service_client::ConfigServiceClient,
        download_file_request, download_file_response::Part, file_service_client::FileServiceClient, get_file_request,
        upload_header::Target,
    },
    reason_of, samples,
    upload::{CHUNK, chunk, commit, header},
};

/// A call that has no answer by then will have none: the longest that a server waits for anything is half of it.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a server said that did what it was asked to.
#[derive(Debug)]
pub enum Told {
    File(Box<pb::File>),
    Files(Vec<pb::File>),
    /// The hash of what came.
    Bytes(String),
    Nothing,
}

/// Does it, there.
pub async fn perform(channel: Channel, caller: &impl Caller, act: &Act) -> Result<Told, Call> {
    let call = tokio::time::timeout(PATIENCE, call(channel, caller, act)).await;
    call.map_err(|_| Call::Silent)?.map_err(Call::from)
}

/// A call that was not answered with success.
#[derive(Debug)]
pub enum Call {
    /// The server said so.
    Refused(Status),
    /// The client's own library says that the connection broke, or that there is none.
    Broken(Status),
    /// Nobody said anything.
    Silent,
}

/// How the generated clients tell that there is no connection to send on, without a cause.
const NOT_SENT: &str = "Service was not ready: ";

/// A status out of an answer has no cause; one that the library made of a broken connection has that as its cause.
impl From<Status> for Call {
    fn from(status: Status) -> Self {
        let mut cause = status.source();
        if cause.is_none() && status.message().starts_with(NOT_SENT) {
            return Call::Broken(status);
        }
        if cause.is_none() {
            return Call::Refused(status);
        }
        while let Some(error) = cause {
            let reset = error.downcast_ref::<h2::Error>().filter(|e| e.is_reset() && e.is_remote());
            assert!(reset.is_none(), "the server broke off a single call: {status:?}");
            cause = error.source();
        }
        Call::Broken(status)
    }
}

impl Call {
    /// For the journal.
    pub fn answer(&self) -> Answer {
        match self {
            Call::Refused(status) => {
                Answer::Refused { code: format!("{:?}", status.code()), reason: reason_of(status) }
            }
            Call::Broken(status) => Answer::Lost { why: format!("{:?}: {}", status.code(), status.message()) },
            Call::Silent => Answer::Lost { why: format!("nothing within {PATIENCE:?}") },
        }
    }
}

async fn call(channel: Channel, caller: &impl Caller, act: &Act) -> Result<Told, Status> {
    let mut files = FileServiceClient::new(channel.clone());
    let mut chats = ChatServiceClient::new(channel.clone());
    let one = |file: Option<pb::File>| Told::File(Box::new(file.expect("every answer names the file")));
    Ok(match act.clone() {
        Act::Upload(sent) => {
            let mut asked = tonic::Request::new(tokio_stream::iter(messages(sent)));
            authorise(&mut asked, caller);
            one(files.upload_file(asked).await?.into_inner().file)
        }
        Act::Attach { file, chat } => {
            let what = pb::AttachFileRequest { file_id: file, chat_id: chat, message_id: String::new() };
            one(files.attach_file(request(caller, what)).await?.into_inner().file)
        }
        Act::Detach { file, chat } => {
            files.detach_file(request(caller, pb::DetachFileRequest { file_id: file, chat_id: chat })).await?;
            Told::Nothing
        }
        Act::Rename { file, name } => {
            let update_mask = Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] });
            let what = pb::UpdateFileRequest { file_id: file, display_name: name, update_mask, ..Default::default() };
            one(files.update_file(request(caller, what)).await?.into_inner().file)
        }
        Act::Delete { file } => {
            files.delete_file(request(caller, pb::DeleteFileRequest { file_id: file })).await?;
            Told::Nothing
        }
        Act::PutChat { chat } => {
            let chat = pb::Chat { chat_id: chat, status: pb::ChatStatus::Active.into(), ..Default::default() };
            chats.put_chat(request(caller, pb::PutChatRequest { chat: Some(chat) })).await?;
            Told::Nothing
        }
        Act::DeleteChat { chat } => {
            chats.delete_chat(request(caller, pb::DeleteChatRequest { chat_id: chat, version: 0 })).await?;
            Told::Nothing
        }
        Act::Get { file } => {
            let by = Some(get_file_request::By::FileId(file));
            one(files.get_file(request(caller, pb::GetFileRequest { by })).await?.into_inner().file)
        }
        Act::Download { file } => download(&mut files, caller, file).await?,
        Act::List { chat } => list(&mut files, caller, &chat).await?,
        Act::Settings => {
            let mut config = ConfigServiceClient::new(channel);
            config.get_settings(request(caller, pb::GetSettingsRequest::default())).await?;
            Told::Nothing
        }
    })
}

async fn download(files: &mut FileServiceClient<Channel>, caller: &impl Caller, file: String) -> Result<Told, Status> {
    let by = Some(download_file_request::By::FileId(file));
    let what = pb::DownloadFileRequest { by, ..Default::default() };
    let mut stream = files.download_file(request(caller, what)).await?.into_inner();
    let mut hash = Sha256::new();
    while let Some(message) = stream.message().await? {
        if let Some(Part::Chunk(piece)) = message.part {
            hash.update(&piece.data);
        }
    }
    Ok(Told::Bytes(data_encoding::HEXLOWER.encode(&hash.finalize())))
}

async fn list(files: &mut FileServiceClient<Channel>, caller: &impl Caller, chat: &str) -> Result<Told, Status> {
    let mut all = Vec::new();
    let mut what = pb::ListChatFilesRequest { chat_id: chat.to_owned(), page_size: 500, ..Default::default() };
    loop {
        let page = files.list_chat_files(request(caller, what.clone())).await?.into_inner();
        all.extend(page.files);
        if page.next_page_token.is_empty() {
            return Ok(Told::Files(all));
        }
        what.page_token = page.next_page_token;
    }
}

fn messages(sent: Sent) -> impl Iterator<Item = pb::UploadFileRequest> + Send {
    let Sent { name, chat, request_id, seed, size, sha256 } = sent;
    let target = Some(Target::ChatId(chat));
    let head = pb::UploadHeader { display_name: name, target, request_id, ..Default::default() };
    let bytes = bytes::Bytes::from(samples::text(size, &seed));
    let starts = (0..bytes.len()).step_by(CHUNK);
    let chunks = starts.map(move |at| chunk(bytes.slice(at..bytes.len().min(at + CHUNK))));
    let end = pb::UploadCommit { size_bytes: i64::try_from(size).ok(), sha256: Some(sha256) };
    std::iter::once(header(head)).chain(chunks).chain([commit(end)])
}
