//! Statements that fill a database with so many files, past the store: what is asked of a long table is asked of these.
//!
//! Every second file is attached to the chat `busy`, the others to one of 10,000; every fourth is operator 17's; one of a
//! hundred is deleted, every twentieth is for one of seven online visitors, and one content of a thousand is in quarantine. Two files share a content. There are tombstones of
//! 40,000 chats, the request ids of every fifth upload, 10,000 hits of the scanner, as many holds, and
//! 50,000 keys, of which 5,000 were not retired and 250 count.
//! Not here: running the statements. The unit tests of `src/adapters/sql/` and the benchmark are built with this file, too.

/// In which words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// SQLite's.
    Sqlite,
    /// PostgreSQL's.
    Postgres,
}

impl Words {
    /// For a connection that writes many rows, whatever becomes of them.
    pub const fn at_ease(self) -> &'static str {
        match self {
            Self::Sqlite => "PRAGMA cache_size = -1000000; PRAGMA synchronous = OFF",
            Self::Postgres => "SET synchronous_commit = off; SET session_replication_role = replica",
        }
    }

    /// The numbers from 1 on, as `s(i)`.
    pub fn numbers(self, count: i64) -> String {
        match self {
            Self::Sqlite => {
                format!("WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {count})")
            }
            Self::Postgres => format!("WITH s(i) AS (SELECT generate_series(1::bigint, {count}))"),
        }
    }

    /// A number as so many bytes.
    pub fn bytes(self, number: &str, width: u32) -> String {
        let digits = 2 * width;
        match self {
            Self::Sqlite => format!("unhex(printf('%0{digits}x', {number}))"),
            Self::Postgres => format!("decode(lpad(to_hex({number}), {digits}, '0'), 'hex')"),
        }
    }

    /// The statements, each to be run on its own, over empty tables.
    pub fn fill(self, files: i64) -> Vec<String> {
        let (first, contents) = (1_i64 << 32, files / 2);
        // So that nothing finds them old.
        let late = 1_i64 << 52;
        let (id, hash) = (self.bytes("i", 16), self.bytes(&format!("(i % {contents} + 1)"), 32));
        let chats = format!(
            "INSERT INTO chats (id, status, owner, version, deleted, updated_at) {} SELECT CASE i WHEN 1 THEN 'busy' \
             ELSE 'c' || i END, 'ACTIVE', '17', 1, i > 10000, 0 FROM s",
            self.numbers(50_000)
        );
        let blobs = format!(
            "INSERT INTO blobs (id, key, sha256, size, state, verdict, engine, signatures, scanned_at, created_at) {} \
             SELECT i, {}, {}, (i * 7919) % 1000003, CASE i % 1000 WHEN 0 THEN 'QUARANTINED' ELSE 'ACTIVE' END, \
             'CLEAN', 'clamav', '27000', i, i FROM s",
            self.numbers(contents),
            self.bytes("i", 16),
            self.bytes("i", 32),
        );
        let rows = format!(
            "INSERT INTO files (number, id, code_hash, blob_id, state, display_name, extension, media_type, \
             uploader_kind, uploader_id, home_chat_id, persistent, sha256, size, uploaded_sha256, revision, created_at, visitor_id, \
             ages_as, deleted_at) \
             {} SELECT {first} + i, {id}, {id}, i % {contents} + 1, CASE i % 100 WHEN 0 THEN 'DELETED' ELSE 'READY' \
             END, 'file ' || i || '.pdf', CASE i % 3 WHEN 0 THEN 'pdf' ELSE 'txt' END, 'application/pdf', \
             CASE i % 4 WHEN 0 THEN 'OPERATOR' ELSE 'VISITOR' END, CASE i % 4 WHEN 0 THEN '17' ELSE 'v' || (i % 1000) \
             END, CASE i % 2 WHEN 0 THEN 'busy' ELSE 'c' || (i % 9999 + 2) END, FALSE, {hash}, \
             ((i % {contents} + 1) * 7919) % 1000003, {hash}, 1, i / 3, CASE i % 20 WHEN 0 THEN \
             'o' || (i % 7) END, CASE i % 4 WHEN 0 THEN 'OPERATOR' ELSE 'VISITOR' END, CASE i % 100 WHEN 0 THEN \
             {late} + i END FROM s",
            self.numbers(files),
        );
        let attachments = "INSERT INTO attachments (chat_id, file_number, by_kind, by_id, at, file_created_at, file_size) \
                           SELECT home_chat_id, number, uploader_kind, uploader_id, created_at, created_at, size FROM files"
            .to_owned();
        let uploads = format!(
            "INSERT INTO uploads (key, node, person_kind, person_id, request_id, state, lease_until, uploaded_sha256, \
             file_id, created_at, ended_at) {} SELECT {id}, 'n', 'VISITOR', 'v' || (i % 1000), 'r' || i, 'DONE', i, {id}, \
             {id}, i, {late} + i FROM s",
            self.numbers(files / 5),
        );
        let hits = format!(
            "INSERT INTO hits (sha256, signature, engine, signatures, at) {} SELECT {}, 'Test', 'clamav', '27000', i FROM s",
            self.numbers(10_000),
            self.bytes(&format!("({} + i)", 2 * files), 32),
        );
        let keys = format!(
            "INSERT INTO access_keys (id, hash, person_kind, person_id, permissions, chats, label, created_kind, \
             created_id, created_at, expires_at, retired_at) {} SELECT {id}, {}, 'SERVICE', 'backend', '*', '*', '', \
             'SERVICE', 's' || (i % 100), i, CASE i % 200 WHEN 0 THEN {late} ELSE i END, CASE i % 10 WHEN 0 THEN NULL ELSE i END \
             FROM s",
            self.numbers(50_000),
            self.bytes("i", 32),
        );
        let holds = format!(
            "INSERT INTO holds (what, target, matter, by_kind, by_id, at) {} SELECT CASE i % 3 WHEN 0 THEN 'CHAT' WHEN 1 \
             THEN 'VISITOR' ELSE 'OPERATOR' END, 'h' || i, 'case 7', 'OPERATOR', '5', i FROM s",
            self.numbers(10_000),
        );
        let mut all = Vec::new();
        for rows in [chats, blobs, rows, attachments, uploads, hits, keys, holds] {
            all.push(format!("{}; {rows}", self.at_ease()));
        }
        if self == Self::Postgres {
            all.extend(
                [
                    "SELECT setval(pg_get_serial_sequence('files', 'number'), (SELECT max(number) FROM files))",
                    "SELECT setval(pg_get_serial_sequence('blobs', 'id'), (SELECT max(id) FROM blobs))",
                    "VACUUM ANALYZE",
                ]
                .map(str::to_owned),
            );
        }
        all
    }
}
