//! Every other call in one line, and the clients themselves.

use tonic::{
    Request, Status,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::{
    Caller, Node, Service,
    pb::{
        self, Chat, ChatStatus, DownloadFileRequest, DownloadHeader, Settings,
        access_service_client::AccessServiceClient, chat_service_client::ChatServiceClient,
        config_service_client::ConfigServiceClient, download_file_request, download_file_response,
        file_service_client::FileServiceClient, get_file_request, maintenance_service_client::MaintenanceServiceClient,
    },
};

/// Puts the caller's token on a request.
pub fn authorise<T>(request: &mut Request<T>, caller: &(impl Caller + ?Sized)) {
    let value = format!("Bearer {}", caller.token()).parse().expect("tokens are ASCII");
    request.metadata_mut().insert("authorization", value);
}

/// A request with the caller's token.
pub fn request<T>(caller: &(impl Caller + ?Sized), message: T) -> Request<T> {
    let mut request = Request::new(message);
    authorise(&mut request, caller);
    request
}

/// A download that ended well.
#[derive(Debug)]
pub struct Downloaded {
    /// The first message.
    pub header: DownloadHeader,
    /// All bytes.
    pub bytes: Vec<u8>,
}

impl Node {
    /// A new connection.
    pub fn channel(&self) -> Channel {
        match self.tls() {
            None => Endpoint::from_shared(format!("http://{}", self.address())).expect("an address").connect_lazy(),
            Some(tls) => self.channel_of(tls.clone()),
        }
    }
    /// A new connection of another client to a server that speaks TLS.
    pub fn channel_of(&self, tls: ClientTlsConfig) -> Channel {
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address())).expect("an address");
        endpoint.tls_config(tls).expect("good certificates").connect_lazy()
    }
    /// A client on a connection of its own.
    pub fn files(&self) -> FileServiceClient<Channel> {
        FileServiceClient::new(self.channel())
    }
    /// A client on a connection of its own.
    pub fn chats(&self) -> ChatServiceClient<Channel> {
        ChatServiceClient::new(self.channel())
    }
    /// A client on a connection of its own.
    pub fn access(&self) -> AccessServiceClient<Channel> {
        AccessServiceClient::new(self.channel())
    }
    /// A client on a connection of its own.
    pub fn config(&self) -> ConfigServiceClient<Channel> {
        ConfigServiceClient::new(self.channel())
    }
    /// A client on a connection of its own.
    pub fn maintenance(&self) -> MaintenanceServiceClient<Channel> {
        MaintenanceServiceClient::new(self.channel())
    }

    /// Tells an active chat without owner.
    pub async fn put_chat(&self, id: &str) {
        self.put_chat_as(id, ChatStatus::Active, |_| {}).await;
    }

    /// Tells a chat.
    pub async fn put_chat_as(&self, id: &str, status: ChatStatus, change: impl FnOnce(&mut Chat)) {
        let mut chat = Chat { chat_id: id.to_owned(), status: status.into(), ..Chat::default() };
        change(&mut chat);
        let put = pb::PutChatRequest { chat: Some(chat) };
        self.chats().put_chat(request(&Service::all(), put)).await.expect("the backend may tell chats");
    }

    /// A new chat of a name that no other test has.
    pub async fn new_chat(&self) -> String {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = format!("chat-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.put_chat(&id).await;
        id
    }

    /// Changes settings, by their keys.
    pub async fn set(&self, keys: &[&str], change: impl FnOnce(&mut Settings)) -> Result<Settings, Status> {
        let mut settings = Settings::default();
        change(&mut settings);
        let update_mask = Some(prost_types::FieldMask { paths: keys.iter().map(|k| (*k).to_owned()).collect() });
        let update = pb::UpdateSettingsRequest { settings: Some(settings), update_mask, etag: None };
        let answer = self.config().update_settings(request(&Service::all(), update)).await?;
        Ok(answer.into_inner().settings.expect("every answer names them"))
    }

    /// Downloads a whole file by id.
    pub async fn download(&self, file_id: &str, caller: &(impl Caller + ?Sized)) -> Result<Downloaded, Status> {
        self.download_range(file_id, 0, 0, caller).await
    }

    /// Downloads a range by id.
    pub async fn download_range(
        &self,
        file_id: &str,
        offset: i64,
        limit: i64,
        caller: &(impl Caller + ?Sized),
    ) -> Result<Downloaded, Status> {
        let by = Some(download_file_request::By::FileId(file_id.to_owned()));
        let what = DownloadFileRequest { by, offset, limit, inline: false };
        collect(self.files().download_file(request(caller, what)).await?.into_inner()).await
    }

    /// Downloads by link, without a token.
    pub async fn download_link(&self, link: &str) -> Result<Downloaded, Status> {
        let by = Some(download_file_request::By::Link(link.to_owned()));
        let what = DownloadFileRequest { by, offset: 0, limit: 0, inline: false };
        collect(self.files().download_file(what).await?.into_inner()).await
    }

    /// A link of the default life.
    pub async fn link(&self, file_id: &str, caller: &(impl Caller + ?Sized)) -> Result<String, Status> {
        let what = pb::CreateDownloadLinkRequest { file_id: file_id.to_owned(), ..Default::default() };
        Ok(self.files().create_download_link(request(caller, what)).await?.into_inner().link)
    }

    /// Reads a file's row by id.
    pub async fn file(&self, file_id: &str, caller: &(impl Caller + ?Sized)) -> Result<pb::File, Status> {
        let by = Some(get_file_request::By::FileId(file_id.to_owned()));
        let answer = self.files().get_file(request(caller, pb::GetFileRequest { by })).await?;
        Ok(answer.into_inner().file.expect("every answer names the file"))
    }

    /// The first page of a chat's files.
    pub async fn chat_files(&self, chat: &str, caller: &(impl Caller + ?Sized)) -> Result<Vec<pb::File>, Status> {
        let what = pb::ListChatFilesRequest { chat_id: chat.to_owned(), page_size: 500, ..Default::default() };
        Ok(self.files().list_chat_files(request(caller, what)).await?.into_inner().files)
    }

    /// The first page of the files for an online visitor.
    pub async fn visitor_files(&self, vid: &str, caller: &(impl Caller + ?Sized)) -> Result<Vec<pb::File>, Status> {
        let what = pb::ListVisitorFilesRequest { visitor_id: vid.to_owned(), page_size: 500, ..Default::default() };
        Ok(self.files().list_visitor_files(request(caller, what)).await?.into_inner().files)
    }

    /// Deletes a file.
    pub async fn delete(&self, file_id: &str, caller: &(impl Caller + ?Sized)) -> Result<(), Status> {
        let what = pb::DeleteFileRequest { file_id: file_id.to_owned() };
        self.files().delete_file(request(caller, what)).await.map(|_| ())
    }

    /// Brings a deleted file back.
    pub async fn restore(&self, file_id: &str, caller: &(impl Caller + ?Sized)) -> Result<pb::File, Status> {
        let what = pb::UndeleteFileRequest { file_id: file_id.to_owned() };
        let answer = self.files().undelete_file(request(caller, what)).await?;
        Ok(answer.into_inner().file.expect("every answer names the file"))
    }

    /// The first page of the deleted files that can be restored.
    pub async fn deleted_files(&self, caller: &(impl Caller + ?Sized)) -> Result<Vec<pb::File>, Status> {
        let what = pb::ListDeletedFilesRequest { page_size: 500, ..Default::default() };
        Ok(self.files().list_deleted_files(request(caller, what)).await?.into_inner().files)
    }

    /// What the service says of its scanner.
    pub async fn scanner_status(&self) -> Result<pb::GetScannerStatusResponse, Status> {
        let what = request(&Service::all(), pb::GetScannerStatusRequest {});
        Ok(self.maintenance().get_scanner_status(what).await?.into_inner())
    }
}

async fn collect(mut stream: tonic::Streaming<pb::DownloadFileResponse>) -> Result<Downloaded, Status> {
    use download_file_response::Part;
    let mut header = None;
    let mut bytes = Vec::new();
    while let Some(message) = stream.message().await? {
        match message.part.expect("no empty message") {
            Part::Header(first) => assert!(header.replace(first).is_none(), "two headers"),
            Part::Chunk(chunk) => {
                assert!(!chunk.data.is_empty(), "no empty chunk");
                assert_eq!(chunk.crc32c, crc_fast::crc32_iscsi(&chunk.data), "CRC32C of a chunk");
                bytes.extend_from_slice(&chunk.data);
            }
        }
    }
    Ok(Downloaded { header: *header.expect("a header comes first"), bytes })
}
