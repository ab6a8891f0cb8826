//! A world in memory that outlives its nodes, and one life of a node in it.
//!
//! Not here: faults (`faults.rs`), clients (`clients.rs`). Time is the runtime's, which stands still and jumps to where
//! somebody waits for it.

use std::{
    io::Read as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use sha2::Digest as _;

use super::{
    faults::{Fault, Plan},
    faulty::Faulty,
};
use crate::{
    adapters::memory::{MemoryBlobs, MemorySpool, MemoryStore},
    app::{App, Error, Limits, Parts, Secrets},
    domain::{
        Actor, BlobKey, Chat, ChatStatus, Sha256, StoreId, Time, Verdict, VerdictKind,
        media_type::{ArchiveLimits, Format, Observed},
    },
    ports::{
        ByteSource, Canary, ChatStore as _, ChatTold, Clock, ContentInspector, EngineVersion, FitError, Ids, ScanError,
        ScanReply, Scanner, ScannerLimits, Spool as _, UploadStore as _,
    },
};

/// What is larger goes to the store in parts; it is also more than is hashed before it is written.
pub const PART: u64 = 33 << 10;
/// How late the store may be with what was asked of it.
const LATENESS: Duration = Duration::from_secs(60);
/// The chat that all upload to.
pub const CHAT: &str = "42";
/// Bytes that begin so are infected.
pub const INFECTED: &[u8] = b"infected";
/// Bytes that begin so are found infected in the store while they are scanned here, the first time.
pub const HIT_MEANWHILE: &[u8] = b"hit meanwhile";

/// What is there whichever node lives.
pub struct World {
    pub store: MemoryStore,
    pub blobs: MemoryBlobs,
    /// The spool of each node's machine.
    pub spools: [MemorySpool; 2],
    /// When the life began whose clock runs.
    begun: Arc<Mutex<Time>>,
    ids: Arc<AtomicU64>,
    /// What the scanner of each node goes by, and what all of them find.
    pub told: Arc<Mutex<Told>>,
}

/// What scanners are told.
pub struct Told {
    /// The signatures of each node, by their day.
    pub days: [i64; 2],
    /// Bytes that begin so are found, by this signature.
    pub finds: Vec<(&'static [u8], &'static str)>,
    /// Bytes that begin so bring the scanner down.
    pub kills: Option<&'static [u8]>,
    /// What is larger is not scanned.
    pub most_bytes: u64,
    /// How long a scan takes.
    pub takes: Duration,
    /// How many files were scanned so far.
    pub scans: u64,
}

/// A clock that goes with the runtime's.
struct Virtual {
    begun: Arc<Mutex<Time>>,
    since: tokio::time::Instant,
}

impl Clock for Virtual {
    fn now(&self) -> Time {
        let begun = *self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        Time(begun.0 + i64::try_from(self.since.elapsed().as_micros()).expect("a test's time"))
    }
}

/// Ids that count.
struct Counting(Arc<AtomicU64>);

impl Ids for Counting {
    fn random(&self) -> [u8; 16] {
        let mut id = [5; 16];
        id[8..].copy_from_slice(&self.0.fetch_add(1, Relaxed).to_be_bytes());
        id
    }
}

/// Calls everything text.
struct Plain;

impl ContentInspector for Plain {
    fn inspect(&self, _source: &dyn ByteSource, _limits: Option<ArchiveLimits>) -> std::io::Result<Observed> {
        Ok(Observed::plain(Format::Text))
    }
}

/// A scanner that goes by the first bytes.
struct Reading {
    plan: Arc<Plan>,
    store: MemoryStore,
    clock: Arc<dyn Clock>,
    node: usize,
    told: Arc<Mutex<Told>>,
}

impl Reading {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn judge(&self, source: &dyn ByteSource) -> Result<ScanReply, ScanError> {
        let mut bytes = Vec::new();
        source.reader().and_then(|mut reader| reader.read_to_end(&mut bytes)).map_err(ScanError::Source)?;
        let takes = self.told().takes;
        tokio::time::sleep(takes).await;
        {
            let mut told = self.told();
            told.scans += 1;
            if told.kills.is_some_and(|kills| bytes.starts_with(kills)) {
                return Err(ScanError::NoVerdict(std::io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some((_, signature)) = told.finds.iter().find(|(begin, _)| bytes.starts_with(begin)) {
                return Ok(ScanReply::Found { signature: (*signature).to_owned() });
            }
        }
        if bytes.starts_with(INFECTED) {
            return Ok(ScanReply::Found { signature: "Test".to_owned() });
        }
        if bytes.starts_with(HIT_MEANWHILE) {
            let at = self.clock.now();
            let hit = Verdict { kind: VerdictKind::Infected, engine: "another".into(), signatures: "2".into(), at };
            let known = self.store.find_blob(sha256(&bytes), bytes.len() as u64).await;
            if known.is_ok_and(|known| known.is_some_and(|blob| blob.state == crate::domain::BlobState::Active)) {
                let hits = self.store.quarantine(sha256(&bytes), hit, "Test", None).await;
                assert_eq!(hits.expect("in memory"), 1);
            }
        }
        Ok(ScanReply::Clean)
    }
}

#[async_trait]
impl Scanner for Reading {
    async fn scan(&self, source: Arc<dyn ByteSource>, _deadline: Duration) -> Result<ScanReply, ScanError> {
        self.plan.through("Scanner.scan", self.judge(source.as_ref())).await
    }

    async fn ping(&self) -> Result<(), ScanError> {
        Ok(())
    }

    async fn version(&self) -> Result<EngineVersion, ScanError> {
        if self.plan.is_down("Scanner.scan") {
            return Err(ScanError::Down(std::io::ErrorKind::ConnectionRefused.into()));
        }
        let day = self.told().days[self.node];
        let (engine, signatures) = ("reading".to_owned(), day.to_string());
        // The first ones do not say when they were made.
        let signatures_time = (day > 1).then(|| Time::from_secs(day * 86_400));
        Ok(EngineVersion { engine, signatures, signatures_time, test_only: false })
    }

    fn limits(&self) -> ScannerLimits {
        let (max_file_bytes, max_scan_bytes) = (self.told().most_bytes, 4 << 30);
        ScannerLimits { max_file_bytes, max_scan_bytes, max_files: 10, max_recursion: 10, threads: 4 }
    }

    async fn fit(&self, _max_file_bytes: u64) -> Result<(), FitError> {
        Ok(())
    }

    fn canaries(&self) -> &[Canary] {
        &[]
    }

    fn address(&self) -> String {
        "memory".to_owned()
    }
}

/// The hash of some bytes.
pub fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

impl World {
    pub fn new() -> Self {
        let spool = || MemorySpool::new(64 << 20);
        let spools = [spool(), spool()];
        let blobs = spools[0].store(PART).late_by(LATENESS);
        let begun = Arc::new(Mutex::new(Time::from_secs(1_000_000)));
        let (most_bytes, takes) = (1 << 30, Duration::from_millis(10));
        let told = Told { days: [1, 1], finds: Vec::new(), kills: None, most_bytes, takes, scans: 0 };
        let told = Arc::new(Mutex::new(told));
        Self { store: MemoryStore::default(), blobs, spools, begun, ids: Arc::default(), told }
    }

    /// Time goes by while no node lives.
    pub fn wait(&self, secs: i64) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        *begun = begun.plus_secs(secs);
    }

    /// The chat is told, if it was not.
    pub async fn tell_chat(&self) {
        let id = CHAT.parse().expect("valid");
        let told = ChatTold {
            id,
            status: ChatStatus::Active,
            owner: None,
            closed_at: None,
            upload_override: None,
            version: 1,
        };
        let told: Vec<Chat> = self.store.put_chats(vec![told], Actor::SYSTEM, Time(0)).await.expect("in memory");
        assert_eq!(told.len(), 1);
    }

    /// A life of the first or the second node begins, under these faults from its start on.
    pub async fn start(&self, node: usize, faults: &[Fault]) -> Result<(Arc<App>, Arc<Plan>), Error> {
        let plan = Plan::new(faults);
        let clock: Arc<dyn Clock> =
            Arc::new(Virtual { begun: Arc::clone(&self.begun), since: tokio::time::Instant::now() });
        let spool = &self.spools[node];
        let scanner = Reading {
            plan: Arc::clone(&plan),
            store: self.store.clone(),
            clock: Arc::clone(&clock),
            node,
            told: Arc::clone(&self.told),
        };
        let parts = Parts {
            store: Arc::new(Faulty { of: self.store.clone(), plan: Arc::clone(&plan) }),
            changes: None,
            spool: Arc::new(Faulty { of: spool.clone(), plan: Arc::clone(&plan) }),
            store_id: StoreId([1; 16]),
            blobs: Arc::new(Faulty { of: self.blobs.beside(spool), plan: Arc::clone(&plan) }),
            scanners: vec![Arc::new(scanner)],
            inspector: Arc::new(Plain),
            clock,
            ids: Arc::new(Counting(Arc::clone(&self.ids))),
            secrets: Secrets::new(&[vec![1; 32]]).expect("long enough"),
            node: format!("n{node}"),
            accept_test_signatures: false,
            limits: Limits::default(),
        };
        let app = tokio::select! {
            app = App::start(parts) => app?,
            () = plan.died() => return Err(crate::domain::Reason::DatabaseDown.into()),
        };
        while !app.scanning().is_healthy() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok((app, plan))
    }

    /// What must hold when everything has come to rest; `Err` says what does not.
    pub async fn judge(&self) -> Result<(), String> {
        let (kept, blobs, files) = (self.blobs.kept(), self.store.blobs(), self.store.files());
        let broken = |what: &str, which: &dyn std::fmt::Debug| Err(format!("{what}: {which:?}"));
        for (node, spool) in self.spools.iter().enumerate() {
            let lies: Vec<BlobKey> = spool.list().await.expect("in memory");
            if !lies.is_empty() {
                return broken("bytes in a spool that no upload needs", &(node, lies));
            }
        }
        if let Some(key) = kept.keys().find(|key| blobs.iter().all(|blob| blob.key != **key)) {
            return broken("bytes without a row", key);
        }
        for blob in &blobs {
            match kept.get(&blob.key) {
                Some(bytes) if bytes.len() as u64 == blob.size && sha256(bytes) == blob.sha256 => {}
                Some(bytes) => return broken("bytes that are not their row's", &(blob, bytes.len())),
                None => return broken("a row without bytes", blob),
            }
            if !files.iter().any(|(_, of)| *of == blob.id) {
                return broken("a blob without a file", blob);
            }
        }
        if !self.blobs.open_parts().is_empty() {
            return broken("uploads in parts that nobody ends", &self.blobs.open_parts());
        }
        let left = self.store.list_dead_uploads(None, Time(i64::MAX), 1_000).await.expect("in memory");
        if left.is_empty() { Ok(()) } else { broken("intents that did not end", &left) }
    }
}
