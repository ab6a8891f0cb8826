//! All rows of an engine as lines, as the twin in memory tells its own (`adapters/memory/lines.rs`).
//!
//! Not here: the comparison (the parent module).

use super::super::World;

/// A table, what it is joined with, and its columns: plain ones, `#` of bytes, `?` of truths, `~` of names.
const TABLES: &[(&str, &str, &[&str])] = &[
    (
        "blobs",
        "blobs b",
        &[
            "#b.key",
            "#b.sha256",
            "b.size",
            "~b.state",
            "~b.verdict",
            "b.engine",
            "b.signatures",
            "b.scanned_at",
            "b.signature",
        ],
    ),
    (
        "files",
        "files f JOIN blobs b ON b.id = f.blob_id",
        &[
            "#f.id",
            "#f.code_hash",
            "#b.key",
            "~f.state",
            "f.display_name",
            "f.extension",
            "f.media_type",
            "~f.uploader_kind",
            "f.uploader_id",
            "f.home_chat_id",
            "?f.persistent",
            "#f.uploaded_sha256",
            "f.revision",
            "f.created_at",
            "f.deleted_at",
            "f.restored_at",
            "f.visitor_id",
            "~f.origin",
            "~f.ages_as",
        ],
    ),
    (
        "attachments",
        "attachments a JOIN files f ON f.number = a.file_number",
        &["a.chat_id", "#f.id", "a.message_id", "~a.by_kind", "a.by_id", "a.at"],
    ),
    // When it was purged an engine says by a clock of its own.
    ("stubs", "stubs", &["#id", "created_at", "deleted_at"]),
    ("chats", "chats", &["id", "~status", "owner", "closed_at", "?upload_override", "version", "?deleted"]),
    (
        "uploads",
        "uploads",
        &[
            "#key",
            "node",
            "~person_kind",
            "person_id",
            "request_id",
            "target_chat_id",
            "target_visitor_id",
            "~state",
            "#uploaded_sha256",
            "#file_id",
            "ended_at",
            "multipart",
        ],
    ),
    (
        "erasures",
        "erasures",
        &[
            "pseudonym",
            "visitor_id",
            "reason",
            "~by_kind",
            "by_id",
            "by_service",
            "begun_at",
            "ended_at",
            "files",
            "bytes",
            "uploads",
            "events",
            "keys",
            "held",
            "shared_blobs",
        ],
    ),
    (
        "erasure_blobs",
        "erasure_blobs JOIN erasures ON erasures.number = erasure_blobs.erasure_number \
         JOIN blobs ON blobs.id = erasure_blobs.blob_id",
        &["pseudonym", "#key"],
    ),
    ("hits", "hits", &["#sha256", "signature", "engine", "signatures", "made", "at"]),
    (
        "holds",
        "holds LEFT JOIN files ON files.number = holds.file_number",
        &["what", "target", "#id", "matter", "~by_kind", "by_id", "by_service", "at"],
    ),
    ("releases", "releases", &["#sha256", "signature", "reason", "~by_kind", "by_id", "by_service"]),
    ("braked_signatures", "braked_signatures", &["signature", "target", "hits", "quarantined", "?confirmed"]),
    ("scan_failures", "scan_failures", &["#sha256", "signatures", "times"]),
    ("settings", "settings", &["key", "value"]),
    (
        "settings_history",
        "settings_history",
        &["version", "key", "old_value", "new_value", "at", "~person_kind", "person_id", "acting_service"],
    ),
    (
        "access_keys",
        "access_keys",
        &[
            "#id",
            "#hash",
            "~person_kind",
            "person_id",
            "permissions",
            "chats",
            "vid",
            "ceiling_service",
            "ceiling_chats",
            "label",
            "~created_kind",
            "created_id",
            "created_service",
            "created_at",
            "expires_at",
            "retired_at",
        ],
    ),
    ("access_keys_version", "access_keys_version", &["version"]),
    ("store", "store", &["#store_id", "place", "?confirmed"]),
    (
        "events",
        "events",
        &["at", "kind", "~person_kind", "person_id", "acting_service", "#file_id", "chat_id", "reason", "detail"],
    ),
];

/// Every row of every table, each a line that begins with the table's name, sorted.
pub fn lines(world: &World) -> Vec<String> {
    if let Some(memory) = &world.memory {
        return memory.lines();
    }
    let mut lines = Vec::new();
    for (table, from, columns) in TABLES {
        let columns: Vec<String> = columns.iter().map(|column| text(column, world.database.is_some())).collect();
        lines.extend(world.query(&format!("SELECT '{table}' || {} AS line FROM {from}", columns.join(" || "))));
    }
    lines.sort_unstable();
    lines
}

/// A column as text, after a space.
fn text(column: &str, on_postgres: bool) -> String {
    let (kind, name) = column.split_at(1);
    let text = match kind {
        "#" if on_postgres => format!("encode({name}, 'hex')"),
        "#" => format!("CASE WHEN {name} IS NULL THEN NULL ELSE lower(hex({name})) END"),
        "?" => format!("CASE WHEN {name} THEN '1' WHEN NOT {name} THEN '0' END"),
        "~" => format!("lower(replace({name}, '_', ''))"),
        _ => format!("CAST({column} AS TEXT)"),
    };
    format!("' ' || coalesce({text}, '-')")
}
