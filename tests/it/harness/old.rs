//! Statements that make many old files of one, past the store: what a run of maintenance deletes is these.
//!
//! They are of the first file's uploader and content, older than it by so many days, and every second one is attached to
//! its chat. Not here: running the statements. The benchmark is built with this file, too.

/// Files of one statement: a server that shares the database waits for it.
const PIECE: i64 = 50_000;

/// So many more files of this name, each a millisecond older than the one before; `from`: how many were made before.
pub fn old_files(postgres: bool, name: &str, from: i64, count: i64, days: i64) -> Vec<String> {
    let first = |from: i64| (1_i64 << 33) + from;
    let mut statements = Vec::new();
    for begin in (from..from + count).step_by(usize::try_from(PIECE).unwrap_or(1)) {
        let piece = PIECE.min(from + count - begin);
        let (numbers, random) = if postgres {
            (format!("s(i) AS (SELECT generate_series(1::bigint, {piece}))"), "decode(md5(random()::text || i), 'hex')")
        } else {
            let next = format!("SELECT i + 1 FROM s WHERE i < {piece}");
            (format!("RECURSIVE s(i) AS (SELECT 1 UNION ALL {next})"), "randomblob(16 + 0 * i)")
        };
        let age = format!("({days} * 86400000000 + ({begin} + i) * 1000)");
        statements.push(format!(
            "INSERT INTO files (number, id, code_hash, blob_id, state, display_name, extension, media_type, \
             uploader_kind, uploader_id, home_chat_id, persistent, sha256, size, uploaded_sha256, revision, created_at, \
             ages_as) WITH {numbers} SELECT {} + i, {random}, {random}, f.blob_id, f.state, '{name}', f.extension, \
             f.media_type, f.uploader_kind, f.uploader_id, f.home_chat_id, f.persistent, f.sha256, f.size, \
             f.uploaded_sha256, f.revision, f.created_at - {age}, f.ages_as FROM s, files f \
             WHERE f.number = (SELECT min(number) FROM files)",
            first(begin),
        ));
        let (after, last) = (first(begin), first(begin) + piece);
        statements.push(format!(
            "INSERT INTO attachments (chat_id, file_number, by_kind, by_id, at, file_created_at, file_size) \
             SELECT home_chat_id, number, uploader_kind, uploader_id, created_at, created_at, size FROM files \
             WHERE number > {after} AND number <= {last} AND number % 2 = 0"
        ));
    }
    statements
}
