//! What the service needs of the world, as traits: stores, blobs, scanner, content, clock, ids, news.
//!
//! Not here: implementations (`adapters/`), save the system's clock and randomness.

mod blobs;
mod changes;
mod content;
mod holds;
mod intents;
mod keys;
mod moving;
mod purging;
mod runs;
mod scanner;
mod store;
mod world;

pub use blobs::{BlobError, BlobStore, BlobStream, MultipartId, Spool, SpoolWriter, Spooled, Tap};
pub use changes::Changes;
pub use content::{ByteSource, ContentInspector, ReadSeek};
pub use holds::{HoldQuery, HoldStore};
pub use intents::{Admit, Before, Begun, BytesAt, Commit, Committed, Dead, Intent, NewUpload};
pub use keys::{KeyQuery, KeyStore, LiveKey, LiveKeys};
pub use moving::{
    BlobTarget, Cell, Cells, INCOMPLETE_COPY, Kind, Lying, MovedStore, MovingStore, NamedBytes, Table, Tables, UnderWay,
};
pub use purging::{Leaving, MAX_PURGED, PurgeStore};
pub use runs::{BegunRun, ClockSays, Expired, NewPlan, NewRun, RunLease, RunStore};
pub use scanner::{Canary, EngineVersion, Expect, FitError, ScanError, ScanReply, Scanner, ScannerLimits};
pub use store::{
    AttachTo, ChatDeleted, ChatQuery, ChatStore, ChatTold, FileChange, FileStore, PairingStore, REQUEST_ID_SECS,
    SettingsStore, Stop, Store, StoreClaim, StoreError, StoredSettings, UploadStore,
};
pub use world::{Clock, Ids, SystemClock, SystemIds};
