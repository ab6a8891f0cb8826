//! The world that the rules of the stores are tried in: a store with nothing in it, a clock, ids, callers, and what is
//! uploaded.
//!
//! Not here: which engine it is on (`engines.rs`) and the rules.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_types::Text,
};

use super::engines::cluster::cluster;
use crate::{
    adapters::memory::MemoryStore,
    domain::{
        Actor, BlobKey, Caller, Ceiling, ChatSet, ChatStatus, CodeHash, FileId, FileView, KeyId, Origin, Permission,
        Permissions, Settings, Sha256, Time, Verdict, VerdictKind,
        admission::{self, Admitted, Cleared, Declared, Finding, Received, Target},
        key::Key,
        listing::FileRef,
        media_type::{Format, Observed},
    },
    ports::{Admit, Begun, BytesAt, ChatTold, Commit, Committed, Dead, Intent, NewUpload, Stop, Store},
};

/// A store with nothing in it, a clock and a source of ids.
pub struct World {
    /// The store.
    pub store: Box<dyn Store>,
    /// On SQLite the folder of its file.
    pub dir: tempfile::TempDir,
    /// On PostgreSQL: which.
    pub database: Option<String>,
    /// In memory: the same store, to be looked into.
    pub memory: Option<MemoryStore>,
    /// The clock.
    pub now: AtomicI64,
    /// How many ids were given.
    pub ids: AtomicU64,
}

/// The grace of closed chats.
pub const GRACE: i64 = 600;

/// A world over this store.
pub fn world_of(store: Box<dyn Store>, dir: tempfile::TempDir, database: Option<String>) -> World {
    World { store, dir, database, memory: None, now: AtomicI64::new(1_000 * Time::SECOND), ids: AtomicU64::new(0) }
}

pub fn operator(id: &str, chats: &[&str], permissions: &[Permission]) -> Caller {
    Caller {
        person: format!("operator:{id}").parse().expect("valid"),
        permissions: permissions.iter().copied().collect(),
        chats: ChatSet::from_ids(chats.iter().copied()).expect("valid"),
        vid: None,
        ceiling: None,
    }
}

pub fn visitor(id: &str, chats: &[&str]) -> Caller {
    Caller { person: format!("visitor:{id}").parse().expect("valid"), ..operator("0", chats, &[]) }
}

/// A visitor without a chat, known by this id.
pub fn online(vid: &str) -> Caller {
    Caller { vid: Some(vid.parse().expect("valid")), ..visitor("x", &[]) }
}

/// For an online visitor.
pub fn for_visitor(vid: &str) -> Target {
    Target::Visitor(vid.parse().expect("valid"))
}

pub fn service(chats: &[&str]) -> Caller {
    Caller {
        person: "service:backend".parse().expect("valid"),
        permissions: Permissions::all(),
        ..operator("0", chats, &[])
    }
}

pub fn acting(mut caller: Caller, chats: &[&str]) -> Caller {
    let chats = ChatSet::from_ids(chats.iter().copied()).expect("valid");
    caller.ceiling = Some(Ceiling { service: "backend".parse().expect("valid"), chats });
    caller
}

pub fn chat(id: &str) -> Target {
    Target::Chat(id.parse().expect("valid"))
}

pub fn sha(tag: u64) -> Sha256 {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&tag.to_be_bytes());
    Sha256(bytes)
}

pub fn verdict(kind: VerdictKind, signatures: &str) -> Verdict {
    Verdict { kind, engine: "clamav".into(), signatures: signatures.into(), at: Time::from_secs(1) }
}

pub fn told(id: &str, status: ChatStatus, owner: Option<&str>, version: i64) -> ChatTold {
    ChatTold {
        id: id.parse().expect("valid"),
        status,
        owner: owner.map(|o| o.parse().expect("valid")),
        closed_at: None,
        upload_override: None,
        version,
    }
}

/// What is uploaded; the tests change what they are about.
#[derive(Clone)]
pub struct Upload {
    pub target: Target,
    pub name: String,
    pub tag: u64,
    pub size: u64,
    pub persistent: Option<bool>,
    pub request_id: Option<String>,
    pub message_id: Option<String>,
    pub origin: Option<Origin>,
}

impl Upload {
    pub fn to(target: Target) -> Self {
        Self {
            target,
            name: "a.txt".into(),
            tag: 0,
            size: 10,
            persistent: None,
            request_id: None,
            message_id: None,
            origin: None,
        }
    }
}

impl World {
    /// Now; each asking is a second later.
    pub fn now(&self) -> Time {
        Time(self.now.fetch_add(Time::SECOND, Ordering::Relaxed))
    }

    pub fn id(&self) -> [u8; 16] {
        let mut id = [3; 16];
        id[..8].copy_from_slice(&(self.ids.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes());
        id
    }

    pub async fn put(&self, id: &str, status: ChatStatus, owner: Option<&str>) {
        let told = vec![told(id, status, owner, 0)];
        self.store.put_chats(told, Actor::SYSTEM, self.now()).await.expect("put");
    }

    /// Begins it whatever the chat is.
    pub async fn begin(&self, caller: &Caller, upload: &Upload) -> Result<Begun, Stop> {
        let admitted = self.admitted(upload, &settings(VerdictKind::Clean));
        self.begin_if(caller, upload, Arc::new(move |_| Ok(admitted.clone()))).await
    }

    pub async fn begin_if(&self, caller: &Caller, upload: &Upload, admit: Admit) -> Result<Begun, Stop> {
        let now = self.now();
        let new = NewUpload {
            key: BlobKey(self.id()),
            node: "n1".into(),
            person: caller.person.clone(),
            request_id: upload.request_id.as_ref().map(|id| id.parse().expect("valid")),
            target: upload.target.clone(),
            now,
            lease_secs: 60,
        };
        self.store.begin_upload(new, admit).await
    }

    pub async fn started(&self, caller: &Caller, upload: &Upload) -> Intent {
        match self.begin(caller, upload).await.expect("begins") {
            Begun::Started(intent, _) => intent,
            Begun::Before(_) => panic!("uploaded before"),
        }
    }

    /// What the domain's first decision makes of an upload to an open chat.
    pub fn admitted(&self, upload: &Upload, settings: &Settings) -> Admitted {
        let declared = Declared {
            target: upload.target.clone(),
            name: upload.name.clone(),
            content_type: String::new(),
            size: None,
            sha256: None,
            persistent: upload.persistent,
            request_id: None,
            message_id: upload.message_id.clone(),
            origin: upload.origin,
        };
        let id = upload.target.chat().cloned();
        let open = id.map(|id| crate::domain::Chat {
            id,
            status: ChatStatus::Active,
            owner: None,
            closed_at: None,
            upload_override: None,
            version: 1,
            deleted: false,
        });
        let health = admission::Service { scanner_healthy: true, room_bytes: u64::MAX };
        admission::admit(&service(&["*"]), declared, open.as_ref(), settings, health).expect("admitted")
    }

    /// What the domain's three decisions make of an upload.
    pub fn cleared(&self, upload: &Upload, kind: VerdictKind) -> Cleared {
        let settings = settings(kind);
        let admitted = self.admitted(upload, &settings);
        let received = Received { size: upload.size, sha256: sha(upload.tag), commit_size: None, commit_sha256: None };
        let accepted = admission::accept(admitted, received, Observed::plain(Format::Text)).expect("accepted");
        let finding = if kind == VerdictKind::NotScanned { Finding::NotDue } else { Finding::Clean };
        admission::clear(accepted, finding, &settings).expect("cleared")
    }

    pub fn commit(&self, caller: &Caller, upload: &Upload, intent: Intent) -> Commit {
        Commit {
            intent,
            cleared: self.cleared(upload, VerdictKind::Clean),
            caller: caller.clone(),
            file_id: FileId(self.id()),
            code_hash: CodeHash(self.id()),
            bytes: BytesAt::Published,
            verdict: verdict(VerdictKind::Clean, "27000"),
            weighed: None,
            grace_secs: GRACE,
            now: self.now(),
        }
    }

    pub async fn upload(&self, caller: &Caller, upload: &Upload) -> FileView {
        let intent = self.started(caller, upload).await;
        ready(self.store.commit_upload(self.commit(caller, upload, intent)).await.expect("commits"))
    }

    pub async fn find(&self, view: &FileView, caller: &Caller) -> Option<FileView> {
        let by_id = self.store.find_file(FileRef::Id(view.file.id), caller).await.expect("finds");
        let by_code = self.store.find_file(FileRef::Code(view.file.message_code()), caller).await.expect("finds");
        assert_eq!(by_id, by_code);
        by_id
    }

    /// Dead uploads as a node sees them now.
    pub async fn dead(&self, own: Option<&str>) -> Vec<Dead> {
        self.store.list_dead_uploads(own, self.now(), 10).await.expect("lists")
    }

    /// Lets time pass, for the leases: one of the two clocks that judge them is not ours to set.
    pub fn pass(&self, secs: i64) {
        match &self.memory {
            Some(memory) => memory.pass(secs),
            None => {
                for table in ["uploads", "runs", "rescan"] {
                    self.execute(&format!("UPDATE {table} SET lease_until = lease_until - {}", secs * Time::SECOND));
                }
            }
        }
    }

    /// Changes rows behind the store's back.
    pub fn execute(&self, sql: &str) {
        assert!(self.memory.is_none(), "rows in memory know no SQL");
        match &self.database {
            Some(database) => drop(cluster().psql(database, sql)),
            // A query would run the first of several statements alone.
            None => self.sqlite().batch_execute(sql).expect("runs"),
        }
    }

    fn sqlite(&self) -> SqliteConnection {
        let path = self.dir.path().join("lhfile.sqlite");
        SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("opens")
    }

    /// The kinds of all events, in order, read by a connection of its own.
    pub fn events(&self) -> Vec<String> {
        match &self.memory {
            Some(memory) => memory.event_kinds(),
            None => self.query("SELECT kind AS line FROM events ORDER BY seq"),
        }
    }

    /// What a statement tells, by a connection of its own: one column, `line`.
    pub fn query(&self, sql: &str) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            line: String,
        }
        if let Some(database) = &self.database {
            return cluster().psql(database, sql);
        }
        let rows: Vec<Row> = diesel::sql_query(sql).load(&mut self.sqlite()).expect("runs");
        rows.into_iter().map(|row| row.line).collect()
    }
}

/// A key that somebody makes for itself, which counts for an hour.
pub fn key_of(creator: &Caller, now: Time) -> Key {
    let mut id = [9; 16];
    id[..8].copy_from_slice(&now.0.to_be_bytes());
    Key {
        id: KeyId(id),
        holder: creator.clone(),
        label: "für Tests".into(),
        created_by: creator.into(),
        created_at: now,
        expires_at: now.plus_secs(3_600),
        retired_at: None,
    }
}

/// Settings under which such a verdict comes about.
pub fn settings(kind: VerdictKind) -> Settings {
    Settings {
        operator_extensions: vec!["txt".into(), "zzz".into()],
        antivirus_enabled: kind != VerdictKind::NotScanned,
        ..Settings::default()
    }
}

/// Not buried yet.
pub fn running(intents: &[Intent]) -> Vec<Dead> {
    intents.iter().map(|intent| Dead { intent: *intent, buried: false }).collect()
}

pub fn ready(committed: Committed) -> FileView {
    match committed {
        Committed::Ready(view) => *view,
        Committed::BlobGone | Committed::Hit(_) => panic!("not committed"),
    }
}

pub fn reason<T>(result: Result<T, Stop>) -> crate::domain::Reason {
    match result {
        Err(Stop::Refused(refusal)) => refusal.reason,
        Err(Stop::Failed(error)) => panic!("{error}"),
        Ok(_) => panic!("not refused"),
    }
}
