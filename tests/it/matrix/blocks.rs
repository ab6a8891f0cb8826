//! The table's blocks: every RPC with its columns.
//!
//! Not here: how a cell is asked and answered (`calls.rs`), the fixtures (`world.rs`), the words (`table.rs`).

use super::{consistency, ending, holds, quarantine, runs, world::FILES};

/// A block: the RPC and its columns.
pub struct Block {
    /// `FileService/GetFile`.
    pub rpc: &'static str,
    /// What the columns mean, for the reader.
    pub about: &'static str,
    /// The columns.
    pub columns: &'static [&'static str],
}

const fn block(rpc: &'static str, about: &'static str, columns: &'static [&'static str]) -> Block {
    Block { rpc, about, columns }
}

const DOWNLOADS: &[&str] = &[
    "home",
    "attached",
    "detached",
    "own",
    "library",
    "foreign",
    "closed",
    "deleted",
    "never",
    "visited",
    "link",
    "dead link",
    "forged link",
];
const CHAT_COLUMNS: &[&str] = &["mine", "other", "closed", "gone", "unknown"];

/// All blocks; those that change nothing come first.
pub const BLOCKS: &[Block] = &[
    block("FileService/GetFile", "by the file's relation", FILES),
    block("FileService/DownloadFile", "by id and the file's relation; by links of the backend to `foreign`", DOWNLOADS),
    block("FileService/CreateDownloadLink", "by the file's relation", FILES),
    block("FileService/ListFiles", "letters of the files shown; then of those in one chat", &["all", "mine", "other"]),
    block("FileService/ListChatFiles", "letters of the files shown", CHAT_COLUMNS),
    block("FileService/ListVisitorFiles", "letters of the files shown", &["v1", "v2"]),
    block(
        "FileService/GetUploadOptions",
        "where to; no(..) is an answer that says why not",
        &["mine", "other", "closed", "gone", "unknown", "library", "v1"],
    ),
    block(
        "FileService/UploadFile",
        "where to; a PDF unless it says txt (not in visitors' list); persistent: as asked for",
        &["mine", "other", "closed", "gone", "unknown", "library", "v1", "mine, txt", "mine, persistent"],
    ),
    block(
        "FileService/AttachFile",
        "the file's relation, to `mine`; then the chat, of `library`",
        &[
            "home",
            "attached",
            "detached",
            "own",
            "library",
            "foreign",
            "closed",
            "deleted",
            "never",
            "to other",
            "to closed",
            "to gone",
            "to unknown",
        ],
    ),
    block(
        "FileService/BatchAttachFile",
        "the file, to mine, other, gone, unknown: an answer for each",
        &["library", "foreign", "never"],
    ),
    block(
        "FileService/DetachFile",
        "the file's relation, from `mine`; then file and chat",
        &[
            "home",
            "attached",
            "detached",
            "own",
            "library",
            "foreign",
            "deleted",
            "never",
            "own, other",
            "attached, other",
            "home, gone",
            "home, unknown",
        ],
    ),
    block("FileService/UpdateFile", "the file's relation", FILES),
    block("FileService/DeleteFile", "the file's relation", FILES),
    block("FileService/ListDeletedFiles", "letters of the files shown", &["all", "mine"]),
    block("FileService/UndeleteFile", "the file's relation; what is there is answered as it is", FILES),
    block(
        "FileService/BatchDeleteFiles",
        "one file, by its relation; then by a filter that hits fewer than expected",
        ending::DELETED,
    ),
    block("FileService/PurgeFiles", "one file, by its relation", FILES),
    block("FileService/EraseVisitor", "a visitor that never was", &["all"]),
    block("ChatService/PutChat", "which chat; fresh: never told before", &["mine", "other", "gone", "fresh"]),
    block("ChatService/BatchPutChats", "two chats: an answer for each", &["mine, other"]),
    block("ChatService/GetChat", "which chat", CHAT_COLUMNS),
    block(
        "ChatService/ListChats",
        "letters of the chats shown: m mine, c closed, d doomed, o other, t third",
        &["all"],
    ),
    block(
        "ChatService/DeleteChat",
        "which chat; doomed is in the claim, doomed2 is not",
        &["doomed", "doomed2", "gone", "unknown"],
    ),
    block(
        "AccessService/MintToken",
        "for whom, of which chats",
        &["operator, mine", "operator, other", "visitor, mine", "service"],
    ),
    block(
        "AccessService/CreateKey",
        "for whom, of which chats; without permissions",
        &["operator, no chat", "operator, other", "visitor, mine", "backend, no chat", "service, no chat"],
    ),
    block("AccessService/ListKeys", "b: a key that the backend made is shown", &["all"]),
    block("AccessService/RetireKey", "a key that the backend made; one that never was", &["backend's", "never"]),
    block("ConfigService/GetSettings", "", &["all"]),
    block("ConfigService/UpdateSettings", "one setting, to what it is", &["one"]),
    block("ConfigService/DescribeSettings", "", &["all"]),
    block("MaintenanceService/TestAntivirus", "a clean text", &["clean"]),
    block("MaintenanceService/GetScannerStatus", "", &["all"]),
    block("MaintenanceService/PutHold", "a file by its relation, a chat, or a visitor; lifted again", holds::COLUMNS),
    block(
        "MaintenanceService/DeleteHold",
        "as PutHold, of one that the backend put; no: there is none",
        holds::COLUMNS,
    ),
    block("MaintenanceService/ListHolds", "those on all, or as PutHold", holds::LISTED),
    block("MaintenanceService/Rescan", "a file by its relation, a chat, or all", quarantine::RESCANNED),
    block("MaintenanceService/ListQuarantine", "", &["all"]),
    block(
        "MaintenanceService/ReleaseQuarantine",
        "a signature; bytes that are not in quarantine",
        quarantine::RELEASED,
    ),
    block("MaintenanceService/ListReleases", "", &["all"]),
    block("MaintenanceService/EndRelease", "a release of the backend; one that never was", quarantine::ENDED),
    block("MaintenanceService/CheckConsistency", "to its end", &["all"]),
    block("MaintenanceService/RepairConsistency", "a check of the backend; one that never was", consistency::COLUMNS),
    block("MaintenanceService/PlanMaintenance", "for a rule that finds nothing", &["all"]),
    block("MaintenanceService/GetPlan", "a plan of the backend; one that never was", runs::COLUMNS),
    block("MaintenanceService/RunMaintenance", "one task, to its end", &["all"]),
    block("MaintenanceService/CancelRun", "a run of the backend, which has ended; one that never was", runs::COLUMNS),
    block("MaintenanceService/GetRun", "a run of the backend; one that never was", runs::COLUMNS),
    block("MaintenanceService/ListRuns", "", &["all"]),
    block("MaintenanceService/ExplainFile", "by the file's relation", FILES),
    block("MaintenanceService/GetStats", "", &["all"]),
];
