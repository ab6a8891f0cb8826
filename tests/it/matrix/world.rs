//! What the table is about: chats and files in every relation to the callers, and their being made anew when a call
//! changed them.
//!
//! Not here: the callers (`callers.rs`) and the calls (`calls.rs`).

use std::collections::{BTreeMap, BTreeSet};

use tonic::{Status, transport::Channel};

use super::callers::{Who, backend, uploader, visitor};
use crate::harness::{
    Node, Setup,
    callers::now,
    keys::wanted,
    pb::{
        self, ChatStatus, File, access_service_client::AccessServiceClient, chat_service_client::ChatServiceClient,
        config_service_client::ConfigServiceClient, file_service_client::FileServiceClient, get_file_request::By,
        maintenance_service_client::MaintenanceServiceClient, upload_header::Target,
    },
    samples, upload,
};

/// The relations of a file to the caller "with the chat", who is operator 17 or the visitor:
/// home: uploaded to `mine` by its visitor; attached: uploaded to `other`, attached to `mine` too; detached: uploaded
/// to `mine`, attached nowhere; own: uploaded to `other` by operator 17; library: of no chat; foreign: of `other`;
/// closed: of the chat `closed`, closed an hour ago; deleted: was of `mine`; never: an id never given; visited: for the
/// online visitor v1.
pub const FILES: &[&str] =
    &["home", "attached", "detached", "own", "library", "foreign", "closed", "deleted", "never", "visited"];

/// An id that was never given.
const NEVER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The server, its chats and its files.
pub struct World {
    _node: Node,
    pub files: FileServiceClient<Channel>,
    pub chats: ChatServiceClient<Channel>,
    pub config: ConfigServiceClient<Channel>,
    pub access: AccessServiceClient<Channel>,
    pub maintenance: MaintenanceServiceClient<Channel>,
    ids: BTreeMap<&'static str, String>,
    changed: BTreeSet<&'static str>,
    /// Links by name, all made by the backend.
    pub links: BTreeMap<&'static str, String>,
    fresh: u32,
}

impl World {
    /// The label of the keys that the backend makes.
    pub const BACKENDS_KEY: &str = "the backend's";

    /// A new key that the backend makes for itself; its id.
    pub async fn key(&mut self) -> String {
        let label = Self::BACKENDS_KEY.to_owned();
        let request = pb::CreateKeyRequest { label, ..wanted("service:backend", &[], &[]) };
        let made = self.access.create_key(backend().request(request)).await.expect("the backend may");
        made.into_inner().key.expect("every answer names it").key_id
    }

    /// Starts a server of its own and fills it.
    pub async fn new() -> Self {
        let node = Node::start(Setup::new()).await;
        let channel = node.channel();
        let mut world = Self {
            files: FileServiceClient::new(channel.clone()),
            chats: ChatServiceClient::new(channel.clone()),
            config: ConfigServiceClient::new(channel.clone()),
            access: AccessServiceClient::new(channel.clone()),
            maintenance: MaintenanceServiceClient::new(channel),
            _node: node,
            ids: BTreeMap::new(),
            changed: BTreeSet::new(),
            links: BTreeMap::new(),
            fresh: 0,
        };
        world.tell_chats().await;
        world.key().await;
        for kind in FILES {
            world.make(kind).await;
        }
        world.put_chat("closed", ChatStatus::Closed).await;
        let foreign = world.ids["foreign"].clone();
        let link = world.link(&foreign).await;
        world.links.insert("link", link);
        let dead = world.upload(&backend(), "dead.pdf", Target::Library(true)).await;
        let link = world.link(&dead.file_id).await;
        world.links.insert("dead link", link);
        world.delete(&dead.file_id).await;
        world.links.insert("forged link", "A".repeat(200));
        world
    }

    /// The chats as they are at the start of every cell that changed one.
    pub async fn tell_chats(&mut self) {
        for chat in ["mine", "doomed", "other", "doomed2", "third", "closed", "gone"] {
            self.put_chat(chat, ChatStatus::Active).await;
        }
        let gone = pb::DeleteChatRequest { chat_id: "gone".to_owned(), version: 0 };
        self.chats.delete_chat(backend().request(gone)).await.expect("the backend may");
    }

    /// Tells one chat: `mine`, `closed`, `doomed` are owned by `owner`, `other` and `doomed2` by `rival`.
    pub async fn put_chat(&mut self, chat: &str, status: ChatStatus) {
        let owner = match chat {
            "mine" | "closed" | "doomed" => "owner",
            "other" | "doomed2" => "rival",
            _ => "",
        };
        let hour_ago = prost_types::Timestamp { seconds: now() as i64 - 3600, nanos: 0 };
        let chat = pb::Chat {
            chat_id: chat.to_owned(),
            status: status.into(),
            owner_operator: owner.to_owned(),
            close_time: (status == ChatStatus::Closed).then_some(hour_ago),
            ..pb::Chat::default()
        };
        let put = pb::PutChatRequest { chat: Some(chat) };
        self.chats.put_chat(backend().request(put)).await.expect("the backend may");
    }

    /// An id of a chat or a name that no other cell has.
    pub fn fresh(&mut self) -> String {
        self.fresh += 1;
        format!("fresh-{}", self.fresh)
    }

    /// The id of a file in this relation, as it was made.
    pub async fn file(&mut self, kind: &'static str) -> String {
        if self.changed.remove(kind) {
            let delete = pb::DeleteFileRequest { file_id: self.ids[kind].clone() };
            // It may be deleted already, or purged.
            let _ = self.files.delete_file(backend().request(delete)).await;
            self.make(kind).await;
        }
        self.ids[kind].clone()
    }

    /// The file of this relation was changed: the next cell gets another.
    pub fn spoil(&mut self, kind: &'static str) {
        self.changed.insert(kind);
    }

    /// One letter for each file of the fixtures in a list, sorted: what the caller sees.
    pub fn letters(&self, files: &[File]) -> String {
        let kind = |file: &File| self.ids.iter().find(|(_, id)| **id == file.file_id).map(|(kind, _)| *kind);
        let shown: BTreeSet<&str> = files.iter().filter_map(kind).collect();
        FILES
            .iter()
            .filter(|kind| shown.contains(*kind))
            .map(|kind| if *kind == "deleted" { "X" } else { &kind[..1] })
            .collect()
    }

    /// What the backend sees of a file: the same before and after a call that was refused.
    pub async fn print(&mut self, file_id: &str) -> Result<String, Status> {
        let get = pb::GetFileRequest { by: Some(By::FileId(file_id.to_owned())) };
        let answer = self.files.get_file(backend().request(get)).await;
        match answer {
            Ok(answer) => Ok(format!("{:?}", answer.into_inner().file)),
            Err(status) if status.code() == tonic::Code::NotFound => Ok("gone".to_owned()),
            Err(status) => Err(status),
        }
    }

    async fn make(&mut self, kind: &'static str) {
        let (chat, library) = (|id: &str| Target::ChatId(id.to_owned()), Target::Library(true));
        let name = format!("{kind}.pdf");
        let id = match kind {
            "home" | "deleted" | "detached" => self.upload(&visitor(), &name, chat("mine")).await.file_id,
            "attached" | "foreign" => self.upload(&uploader("rival", &[]), &name, chat("other")).await.file_id,
            "own" => self.upload(&uploader("17", &["other"]), &name, chat("other")).await.file_id,
            "library" => self.upload(&uploader("librarian", &[]), &name, library).await.file_id,
            "closed" => self.upload(&backend(), &name, chat("closed")).await.file_id,
            "visited" => self.upload(&backend(), &name, Target::VisitorId("v1".to_owned())).await.file_id,
            _ => NEVER.to_owned(),
        };
        match kind {
            "attached" => {
                let attach =
                    pb::AttachFileRequest { file_id: id.clone(), chat_id: "mine".to_owned(), ..Default::default() };
                self.files.attach_file(backend().request(attach)).await.expect("the backend may");
            }
            "detached" => {
                let detach = pb::DetachFileRequest { file_id: id.clone(), chat_id: "mine".to_owned() };
                self.files.detach_file(backend().request(detach)).await.expect("the backend may");
            }
            "deleted" => self.delete(&id).await,
            _ => {}
        }
        self.ids.insert(kind, id);
    }

    /// Uploads the sample PDF; whoever does it must be allowed to.
    pub async fn upload(&mut self, who: &Who, name: &str, target: Target) -> File {
        let answer = self.try_upload(who, name, target, |_| {}).await;
        answer.unwrap_or_else(|status| panic!("fixture {name}: {status:?}"))
    }

    /// Uploads the sample of the name's extension.
    pub async fn try_upload(
        &mut self,
        who: &Who,
        name: &str,
        target: Target,
        change: impl FnOnce(&mut pb::UploadHeader),
    ) -> Result<File, Status> {
        let bytes = samples::sample(name.rsplit('.').next().unwrap_or_default());
        let mut header = pb::UploadHeader { display_name: name.to_owned(), target: Some(target), ..Default::default() };
        change(&mut header);
        let messages = [upload::header(header), upload::chunk(bytes), upload::commit(pb::UploadCommit::default())];
        let answer = self.files.upload_file(who.request(tokio_stream::iter(messages))).await?;
        Ok(answer.into_inner().file.expect("every answer names the file"))
    }

    async fn link(&mut self, file_id: &str) -> String {
        let create = pb::CreateDownloadLinkRequest { file_id: file_id.to_owned(), ..Default::default() };
        let answer = self.files.create_download_link(backend().request(create)).await.expect("the backend may");
        answer.into_inner().link
    }

    async fn delete(&mut self, file_id: &str) {
        let delete = pb::DeleteFileRequest { file_id: file_id.to_owned() };
        self.files.delete_file(backend().request(delete)).await.expect("the backend may");
    }
}
