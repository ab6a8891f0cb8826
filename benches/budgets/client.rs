//! The client's side of a measurement, the same for the product and the bare server.
//!
//! Not here: what is sent (`made.rs`).

use std::{net::SocketAddr, time::Duration};

use futures_util::stream;
use lhfile::rpc::pb::{
    self, chat_service_client::ChatServiceClient, config_service_client::ConfigServiceClient,
    download_file_response::Part as Down, file_service_client::FileServiceClient,
    maintenance_service_client::MaintenanceServiceClient, upload_file_request::Part as Up, upload_header::Target,
};
use tokio::task::JoinSet;
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::{Fallible, made::Content};

/// The chat that everything is uploaded to.
pub const CHAT: &str = "42";

/// A caller at a server, by one connection.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    authorization: MetadataValue<Ascii>,
}

impl Client {
    pub async fn connect(address: SocketAddr, token: &str) -> Fallible<Self> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(Duration::from_secs(5))
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(2 << 20)
            .max_frame_size(256 << 10)
            .connect()
            .await?;
        Ok(Self { channel, authorization: format!("Bearer {token}").parse()? })
    }

    /// As many connections.
    pub async fn several(address: SocketAddr, token: &str, count: usize) -> Fallible<Vec<Self>> {
        let mut clients = Vec::with_capacity(count);
        for _ in 0..count {
            clients.push(Self::connect(address, token).await?);
        }
        Ok(clients)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }

    fn files(&self) -> FileServiceClient<Channel> {
        FileServiceClient::new(self.channel.clone())
    }

    /// Uploads one file; answers its id. `content_type` tells the bare server what to do with it.
    pub async fn upload(&self, content: &Content, extension: &str, content_type: &str) -> Fallible<String> {
        let header = pb::UploadHeader {
            display_name: format!("file.{extension}"),
            content_type: content_type.to_owned(),
            target: Some(Target::ChatId(CHAT.to_owned())),
            ..pb::UploadHeader::default()
        };
        let chunks = content.chunks().map(|data| Up::Chunk(pb::UploadChunk { data, crc32c: None }));
        let parts = std::iter::once(Up::Header(header)).chain(chunks).chain([Up::Commit(pb::UploadCommit::default())]);
        let messages = parts.map(|part| pb::UploadFileRequest { part: Some(part) });
        let answer = self.files().upload_file(self.request(stream::iter(messages))).await?;
        Ok(answer.into_inner().file.unwrap_or_default().file_id)
    }

    /// Downloads one file and counts its bytes.
    pub async fn download(&self, file_id: &str) -> Fallible<u64> {
        let by = pb::download_file_request::By::FileId(file_id.to_owned());
        let request = pb::DownloadFileRequest { by: Some(by), ..pb::DownloadFileRequest::default() };
        let mut stream = self.files().download_file(self.request(request)).await?.into_inner();
        let mut bytes = 0;
        while let Some(message) = stream.message().await? {
            if let Some(Down::Chunk(chunk)) = message.part {
                bytes += chunk.data.len() as u64;
            }
        }
        Ok(bytes)
    }

    /// Reads one file's row.
    pub async fn get(&self, file_id: &str) -> Fallible<()> {
        let by = pb::get_file_request::By::FileId(file_id.to_owned());
        self.files().get_file(self.request(pb::GetFileRequest { by: Some(by) })).await?;
        Ok(())
    }

    /// A page of all files, newest first: how many, and the next page's token.
    pub async fn list(&self, page_size: i32, page_token: &str) -> Fallible<(usize, String)> {
        let page_token = page_token.to_owned();
        let asked = pb::ListFilesRequest { page_size, page_token, ..pb::ListFilesRequest::default() };
        let page = self.files().list_files(self.request(asked)).await?.into_inner();
        Ok((page.files.len(), page.next_page_token))
    }

    /// Makes the server ready: antivirus on or off, `bin` allowed, files as large as they may be, the chat there.
    pub async fn prepare(&self, antivirus: bool) -> Fallible<()> {
        let mut config = ConfigServiceClient::new(self.channel.clone());
        let now = config.get_settings(self.request(pb::GetSettingsRequest {})).await?.into_inner();
        let mut settings = now.settings.ok_or("no settings")?;
        settings.operator_extensions.push("bin".to_owned());
        settings.antivirus_enabled = antivirus;
        if !antivirus {
            settings.max_file_bytes = 4 << 30;
        }
        let paths = ["operator_extensions", "antivirus_enabled", "max_file_bytes"].map(str::to_owned).into();
        let update = pb::UpdateSettingsRequest {
            settings: Some(settings),
            update_mask: Some(prost_types::FieldMask { paths }),
            ..pb::UpdateSettingsRequest::default()
        };
        config.update_settings(self.request(update)).await?;
        let chat = pb::Chat {
            chat_id: CHAT.to_owned(),
            status: pb::ChatStatus::Active.into(),
            owner_operator: "17".to_owned(),
            ..pb::Chat::default()
        };
        let put = self.request(pb::PutChatRequest { chat: Some(chat) });
        ChatServiceClient::new(self.channel.clone()).put_chat(put).await?;
        Ok(())
    }

    /// Files of operators are old after so many days.
    pub async fn delete_after_days(&self, days: i64) -> Fallible<()> {
        let settings = pb::Settings {
            delete_owners: vec![pb::DeleteOwner::Operators.into()],
            operator_days: days,
            ..pb::Settings::default()
        };
        let paths = ["delete_owners", "operator_days"].map(str::to_owned).into();
        let update = pb::UpdateSettingsRequest {
            settings: Some(settings),
            update_mask: Some(prost_types::FieldMask { paths }),
            ..pb::UpdateSettingsRequest::default()
        };
        ConfigServiceClient::new(self.channel.clone()).update_settings(self.request(update)).await?;
        Ok(())
    }

    fn maintenance(&self) -> MaintenanceServiceClient<Channel> {
        MaintenanceServiceClient::new(self.channel.clone())
    }

    /// Plans by the settings: the plan's id, its token, and how many files it has.
    pub async fn plan(&self) -> Fallible<(String, String, i64)> {
        let asked = self.request(pb::PlanMaintenanceRequest::default());
        let plan = self.maintenance().plan_maintenance(asked).await?.into_inner().plan.ok_or("no plan")?;
        Ok((plan.plan_id, plan.confirmation_token, plan.file_count))
    }

    /// Begins a run of one task, of a plan with its token if there is one; answers its id.
    pub async fn begin_run(&self, plan: Option<(String, String)>, task: pb::MaintenanceTask) -> Fallible<String> {
        let (plan_id, confirmation_token) = plan.unwrap_or_default();
        let asked = pb::RunMaintenanceRequest {
            plan_id,
            confirmation_token,
            tasks: vec![task.into()],
            ..pb::RunMaintenanceRequest::default()
        };
        let mut told = self.maintenance().run_maintenance(self.request(asked)).await?.into_inner();
        Ok(told.message().await?.and_then(|message| message.run).ok_or("no run")?.run_id)
    }

    /// How far a run is.
    pub async fn run(&self, run_id: &str) -> Fallible<pb::Run> {
        let asked = self.request(pb::GetRunRequest { run_id: run_id.to_owned() });
        Ok(self.maintenance().get_run(asked).await?.into_inner().run.ok_or("no run")?)
    }

    /// Whether uploads can be scanned now.
    pub async fn is_scanner_healthy(&self) -> Fallible<bool> {
        let status = self.maintenance().get_scanner_status(self.request(pb::GetScannerStatusRequest {})).await?;
        Ok(status.into_inner().healthy)
    }
}

/// Does the work of every number below `count`, `at_once` at a time, each lane with one of the clients in turn.
pub async fn in_lanes<F>(
    clients: &[Client],
    count: usize,
    at_once: usize,
    work: impl Fn(Client, usize) -> F + Clone + Send + 'static,
) -> Fallible<()>
where
    F: Future<Output = Fallible<()>> + Send,
{
    let next = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut lanes: JoinSet<Fallible<()>> = JoinSet::new();
    for lane in 0..at_once {
        let (client, work, next) = (clients[lane % clients.len()].clone(), work.clone(), next.clone());
        lanes.spawn(async move {
            loop {
                let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                work(client.clone(), number).await?;
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    Ok(())
}
