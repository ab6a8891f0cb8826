//! What the service needs of the world, as traits: stores, blobs, scanner, content, clock, ids.
//!
//! Not here: implementations (`adapters/`), save the system's clock and randomness.

mod blobs;
mod content;
mod moving;
mod scanner;
mod store;
mod world;

pub use blobs::{BlobError, BlobStore, BlobStream, MultipartId, Spool, SpoolWriter, Spooled, Tap};
pub use content::{ByteSource, ContentInspector, ReadSeek};
pub use moving::{
    BlobTarget, Cell, Cells, INCOMPLETE_COPY, Kind, Lying, MovedStore, MovingStore, NamedBytes, Table, Tables, UnderWay,
};
pub use scanner::{Canary, EngineVersion, Expect, FitError, ScanError, ScanReply, Scanner, ScannerLimits};
pub use store::{
    Admit, AttachTo, Before, Begun, BytesAt, ChatDeleted, ChatQuery, ChatStore, ChatTold, Commit, Committed,
    FileChange, FileStore, Intent, NewUpload, PairingStore, REQUEST_ID_SECS, SettingsStore, Stop, Store, StoreClaim,
    StoreError, StoredSettings, UploadStore,
};
pub use world::{Clock, Ids, SystemClock, SystemIds};
