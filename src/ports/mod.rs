//! What the service needs of the world, as traits: stores, blobs, scanner, content, clock, ids, news.
//!
//! Not here: implementations (`adapters/`), save the system's clock and randomness.

mod blobs;
mod changes;
mod consistency;
mod content;
mod erasing;
mod holds;
mod intents;
mod keys;
mod moving;
mod purging;
mod quarantine;
mod rescan;
mod runs;
mod scanner;
mod stats;
mod store;
mod vitals;
mod walking;
mod world;

pub use blobs::{BlobError, BlobStore, BlobStream, MultipartId, Spool, SpoolWriter, Spooled, Tap};
pub use changes::Changes;
pub use consistency::{ConsistencyStore, Damaged, FilesOfBlob, NamedBy, NewCheck, RowWalk};
pub use content::{ByteSource, ContentInspector, ReadSeek};
pub use erasing::{EraseStore, ErasedFiles, MAX_ERASED_EVENTS, MAX_ERASED_FILES, NewErasure};
pub use holds::{HoldQuery, HoldStore};
pub use intents::{Admit, Before, Begun, BytesAt, Commit, Committed, Dead, Intent, NewUpload};
pub use keys::{KeyQuery, KeyStore, LiveKey, LiveKeys};
pub use moving::{
    BlobTarget, Cell, Cells, INCOMPLETE_COPY, Kind, Lying, MovedStore, MovingStore, NamedBytes, Table, Tables, UnderWay,
};
pub use purging::{Leaving, MAX_PURGED, PurgeStore, Purged};
pub use quarantine::{NewRelease, QuarantineQuery, QuarantineStore};
pub use rescan::{Braked, Counted, JudgeBlob, Rescan, RescanLease, RescanStore, TakeRescan};
pub use runs::{BegunRun, ClockSays, Expired, NewPlan, NewRun, RunLease, RunStore};
pub use scanner::{Canary, EngineVersion, Expect, FitError, ScanError, ScanReply, Scanner, ScannerLimits};
pub use stats::StatsStore;
pub use store::{
    AttachTo, ChatDeleted, ChatQuery, ChatStore, ChatTold, FileChange, FileStore, PairingStore, REQUEST_ID_SECS,
    SettingsStore, Stop, Store, StoreClaim, StoreError, StoredSettings, UploadStore,
};
pub use vitals::{Vitals, VitalsStore};
pub use walking::{Found, Removal, WalkPage, WalkPlace};
pub use world::{Clock, Ids, SystemClock, SystemIds};
