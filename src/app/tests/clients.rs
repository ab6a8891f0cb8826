//! Clients with a journal: what they send, how often they ask again, and what they were told.
//!
//! Not here: the node that they talk to (`node.rs`) and its faults (`schedules.rs`).

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use super::node::{CHAT, HIT_MEANWHILE, INFECTED, PART, World, sha256};
use crate::{
    app::{App, Error, Part, UploadSource},
    domain::{
        Caller, ChatSet, FileId, FileState, Permissions, Reason, Refusal,
        admission::{Declared, Target},
    },
};

/// What one client sends and was told.
#[derive(Debug, Clone)]
pub struct Client {
    bytes: Bytes,
    request_id: Option<&'static str>,
    leaves: Leaves,
    /// How often.
    sent: usize,
    /// Every file that it was told of as stored.
    told: Vec<FileId>,
    /// It was told for good that this is not taken.
    refused: Option<Reason>,
}

/// How a client may fail us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    /// It stays to the end.
    No,
    /// It ends its stream before the commit.
    BeforeCommit,
    /// It goes in the middle of its bytes, without a word.
    InTheMiddle,
    /// It goes when it has sent the commit.
    AfterCommit,
}

/// How the clients of a scenario go about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    OneAfterTheOther,
    AtOnce,
}

/// Clients that together show something.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub clients: Vec<Client>,
    pub way: Way,
}

/// Attempts of a client that has a request id, in one life of the node.
const ATTEMPTS: usize = 3;

fn client(bytes: impl Into<Bytes>) -> Client {
    Client { bytes: bytes.into(), request_id: None, leaves: Leaves::No, sent: 0, told: Vec::new(), refused: None }
}

impl Client {
    fn named(self, request_id: &'static str) -> Self {
        Self { request_id: Some(request_id), ..self }
    }

    fn leaves(self, leaves: Leaves) -> Self {
        Self { leaves, ..self }
    }
}

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    use Way::{AtOnce, OneAfterTheOther};
    let large = vec![7_u8; (PART + 100) as usize];
    let hit = || [HIT_MEANWHILE, b" of some bytes"].concat();
    let scenario = |name, clients, way| Scenario { name, clients, way };
    vec![
        scenario("a small one", vec![client("small")], OneAfterTheOther),
        scenario("a small one with a request id", vec![client("small").named("r1")], OneAfterTheOther),
        scenario("one in parts", vec![client(large.clone()).named("r1")], OneAfterTheOther),
        scenario(
            "the same bytes again, shared",
            vec![client("same").named("r1"), client("same").named("r2"), client("same")],
            OneAfterTheOther,
        ),
        scenario(
            "two streams with one request id",
            vec![client("twice").named("r1"), client("twice").named("r1")],
            AtOnce,
        ),
        scenario(
            "two in parts with one request id",
            vec![client(large.clone()).named("r1"), client(large).named("r1")],
            AtOnce,
        ),
        scenario("the same bytes at once", vec![client("same").named("r1"), client("same").named("r2")], AtOnce),
        scenario(
            "an infected one and one that is not",
            vec![client([INFECTED, b" bytes"].concat()).named("r1"), client("clean").named("r2")],
            OneAfterTheOther,
        ),
        scenario(
            "bytes that are found infected while they are shared",
            vec![client(hit()).named("r1"), client(hit()).named("r2")],
            OneAfterTheOther,
        ),
        scenario(
            "clients that leave",
            vec![
                client("a stream that ends").leaves(Leaves::BeforeCommit),
                client(vec![7_u8; 300 << 10]).leaves(Leaves::InTheMiddle),
                client("committed").named("r1").leaves(Leaves::AfterCommit),
                client("committed").named("r1"),
            ],
            OneAfterTheOther,
        ),
    ]
}

/// Sends its parts; then stays silent, or ends.
struct Stream(VecDeque<Part>, bool);

#[async_trait]
impl UploadSource for Stream {
    async fn next(&mut self) -> Result<Part, Refusal> {
        match self.0.pop_front() {
            Some(part) => Ok(part),
            None if self.1 => Ok(Part::Ended),
            None => std::future::pending().await,
        }
    }

    async fn drain(self: Box<Self>) {}
}

fn caller() -> Caller {
    Caller {
        person: "service:backend".parse().expect("valid"),
        permissions: Permissions::all(),
        chats: ChatSet::All,
        vid: None,
        ceiling: None,
    }
}

impl Client {
    fn declared(&self) -> Declared {
        Declared {
            target: Target::Chat(CHAT.parse().expect("valid")),
            name: "a.txt".to_owned(),
            content_type: String::new(),
            size: None,
            sha256: None,
            persistent: None,
            request_id: self.request_id.map(|id| id.parse().expect("valid")),
            message_id: None,
            origin: None,
        }
    }

    fn stream(&self) -> Box<dyn UploadSource> {
        let mut parts: VecDeque<Part> =
            self.bytes.chunks(100 << 10).map(|chunk| Part::Chunk(Bytes::copy_from_slice(chunk))).collect();
        match self.leaves {
            Leaves::InTheMiddle => drop(parts.pop_back()),
            Leaves::BeforeCommit => {}
            Leaves::No | Leaves::AfterCommit => parts.push_back(Part::Commit { size: None, sha256: None }),
        }
        Box::new(Stream(parts, self.leaves == Leaves::BeforeCommit))
    }

    /// Sends it once; what it is told goes into the journal. True if it need not ask again.
    async fn send(&mut self, app: &Arc<App>) -> bool {
        self.sent += 1;
        let upload = app.upload(caller(), self.declared(), self.stream());
        let patience = match self.leaves {
            Leaves::InTheMiddle | Leaves::AfterCommit => Duration::from_millis(5),
            Leaves::No | Leaves::BeforeCommit => Duration::from_secs(3_600),
        };
        match tokio::time::timeout(patience, upload).await {
            Ok(Ok(view)) => {
                assert_eq!(view.blob.sha256, sha256(&self.bytes), "it is told of its own bytes");
                self.told.push(view.file.id);
                true
            }
            Ok(Err(error)) => self.take_no(&error),
            Err(_) => {
                assert_ne!(self.leaves, Leaves::No, "it waits for an hour");
                true
            }
        }
    }

    fn take_no(&mut self, error: &Error) -> bool {
        let reason = error.reason().expect("no answer is INTERNAL");
        let again = matches!(
            reason,
            Reason::DatabaseDown | Reason::StoreDown | Reason::ScannerDown | Reason::Busy | Reason::Fenced
        );
        if !again {
            self.refused = Some(reason);
        }
        !again
    }

    /// Sends it, and again if it has a request id and the answer is not clear. Without one, asking again would make
    /// another file.
    async fn insist(&mut self, app: &Arc<App>) {
        if self.request_id.is_none() && self.sent > 0 {
            return;
        }
        for _ in 0..ATTEMPTS {
            if self.send(app).await || self.request_id.is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(12)).await;
        }
    }

    fn should_be_refused(&self) -> Option<Reason> {
        match self.leaves {
            Leaves::BeforeCommit => Some(Reason::BadStream),
            _ => self.bytes.starts_with(INFECTED).then_some(Reason::Infected),
        }
    }
}

impl Scenario {
    /// All clients send what they have, as long as they get an answer.
    pub async fn play(&mut self, app: &Arc<App>) {
        match self.way {
            Way::OneAfterTheOther => {
                for client in &mut self.clients {
                    client.insist(app).await;
                }
            }
            Way::AtOnce => {
                futures_util::future::join_all(self.clients.iter_mut().map(|client| client.insist(app))).await;
            }
        }
    }

    /// Who has a request id and stayed asks once more when nothing goes wrong any more, and is told of a file.
    pub async fn ask_again(&mut self, app: &Arc<App>) -> Result<(), String> {
        for client in &mut self.clients {
            if client.request_id.is_none() || client.leaves != Leaves::No || client.should_be_refused().is_some() {
                continue;
            }
            let before = client.told.len();
            client.insist(app).await;
            // A file whose bytes were found infected is not told of any more.
            let hit = client.refused == Some(Reason::NotFound) && client.bytes.starts_with(HIT_MEANWHILE);
            if client.told.len() == before && !hit {
                return Err(format!("asked again, and told of no file: {client:?}"));
            }
        }
        Ok(())
    }

    /// What the clients were told agrees with what is stored.
    pub fn judge(&self, world: &World) -> Result<(), String> {
        let (files, blobs) = (world.store.files(), world.store.blobs());
        for client in &self.clients {
            for told in &client.told {
                let Some((file, of)) = files.iter().find(|(file, _)| file.id == *told) else {
                    return Err(format!("an acknowledged file is lost: {client:?}"));
                };
                let blob = blobs.iter().find(|blob| blob.id == *of);
                if file.state != FileState::Ready || blob.is_none_or(|blob| blob.sha256 != sha256(&client.bytes)) {
                    return Err(format!("an acknowledged file is another: {client:?} {file:?} {blob:?}"));
                }
            }
            if client.request_id.is_some() && client.told.iter().any(|told| *told != client.told[0]) {
                return Err(format!("two files for one request id: {client:?}"));
            }
            match (client.refused, client.should_be_refused()) {
                (Some(reason), Some(right)) if reason == right => {}
                (None, _) => {}
                (Some(Reason::NotFound), _) if client.bytes.starts_with(HIT_MEANWHILE) => {}
                // The scanner failed on it twice, and it was sent once more.
                (Some(Reason::Unscannable), None) if client.sent > 2 => {}
                (Some(_), _) => return Err(format!("it was refused: {client:?}")),
            }
            if client.should_be_refused().is_some() && blobs.iter().any(|blob| blob.sha256 == sha256(&client.bytes)) {
                return Err(format!("bytes are stored that must not be: {client:?}"));
            }
        }
        // One file for each request id, whoever was told of it: all clients are one person.
        let mut ids: Vec<&str> = self.clients.iter().filter_map(|client| client.request_id).collect();
        ids.sort_unstable();
        ids.dedup();
        let nameless = self.clients.iter().filter(|client| client.request_id.is_none()).count();
        if files.len() > ids.len() + nameless {
            return Err(format!("{} files of {} request ids and {nameless} without", files.len(), ids.len()));
        }
        Ok(())
    }
}
