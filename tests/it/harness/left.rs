//! Eyes for what is left: the files in the data folder and the rows in the database, read beside the server.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use diesel::{
    Connection as _, QueryableByName, RunQueryDsl as _, connection::SimpleConnection as _, sql_query, sql_types,
    sqlite::SqliteConnection,
};

use super::{Bucket, Node, samples};

/// How long the server may take to tidy up.
pub const TIDY: Duration = Duration::from_secs(10);

/// Rows of uploads that must end soon. Those that are buried have ended, and stay for what the store may finish late.
const UNDER_WAY: &str = "file_id IS NULL AND state <> 'BURIED'";

/// Something in the store.
#[derive(Debug)]
pub struct Stored {
    /// Its name there: the key.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its file, if it is one.
    path: Option<PathBuf>,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = sql_types::BigInt)]
    n: i64,
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    t: Option<String>,
}

impl Stored {
    /// Its file; it must be one.
    pub fn path(&self) -> &Path {
        self.path.as_deref().expect("on a disk")
    }
}

impl Node {
    /// The database's file: the one in the data folder that begins as SQLite's do.
    pub fn database(&self) -> PathBuf {
        let mut found = fs::read_dir(self.data()).expect("the data folder").flatten().map(|e| e.path());
        found
            .find(|p| fs::read(p).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0")))
            .expect("a database in the data folder")
    }

    fn connect(&self) -> SqliteConnection {
        let url = format!("file:{}?mode=ro", self.database().display());
        let mut connection = SqliteConnection::establish(&url).expect("it can be read beside the server");
        sql_query("PRAGMA busy_timeout = 5000").execute(&mut connection).expect("a pragma");
        connection
    }

    /// Changes rows behind the server's back; answers how many.
    pub fn change(&self, sql: &str) -> usize {
        if let Some((cluster, name)) = self.postgres() {
            return cluster.psql(name, &format!("{sql} RETURNING 1")).len();
        }
        self.change_beside("PRAGMA busy_timeout = 5000", sql)
    }

    /// The same, and no foreign key is looked at: rows that no service writes.
    pub fn change_freely(&self, sql: &str) -> usize {
        if self.postgres().is_some() {
            return self.change(&format!("SET session_replication_role = replica; {sql}"));
        }
        self.change_beside("PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = OFF", sql)
    }

    fn change_beside(&self, pragmas: &str, sql: &str) -> usize {
        let url = self.database().display().to_string();
        let mut connection = SqliteConnection::establish(&url).expect("beside the server");
        connection.batch_execute(pragmas).expect("pragmas");
        sql_query(sql).execute(&mut connection).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// The number that a query names `n`.
    pub fn number(&self, sql: &str) -> i64 {
        if let Some((cluster, name)) = self.postgres() {
            return cluster.psql(name, sql).first().map_or(0, |n| n.parse().expect("a number"));
        }
        let rows: Vec<Number> = sql_query(sql).load(&mut self.connect()).unwrap_or_else(|e| panic!("{sql}: {e}"));
        rows.first().map_or(0, |row| row.n)
    }

    /// The texts that a query names `t`, one a row.
    pub fn texts(&self, sql: &str) -> Vec<String> {
        if let Some((cluster, name)) = self.postgres() {
            return cluster.psql(name, sql);
        }
        let rows: Vec<Text> = sql_query(sql).load(&mut self.connect()).unwrap_or_else(|e| panic!("{sql}: {e}"));
        rows.into_iter().map(|row| row.t.unwrap_or_default()).collect()
    }

    /// Everything that lies in the spool.
    pub fn spooled(&self) -> Vec<PathBuf> {
        files_in(&self.data().join("spool"))
    }

    /// Everything that lies in the store.
    pub fn stored(&self) -> Vec<Stored> {
        if let Some(bucket) = self.bucket() {
            return bucket.objects().into_iter().map(|(name, size)| Stored { name, size, path: None }).collect();
        }
        let files = files_in(&self.data().join("blobs")).into_iter();
        files
            .map(|path| Stored {
                name: path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned(),
                size: fs::metadata(&path).map_or(0, |m| m.len()),
                path: Some(path),
            })
            .collect()
    }

    /// The bytes of something in the store.
    pub fn stored_bytes(&self, stored: &Stored) -> Vec<u8> {
        match (&stored.path, self.bucket()) {
            (Some(path), _) => fs::read(path).unwrap_or_default(),
            (None, Some(bucket)) => bucket.read(&stored.name),
            (None, None) => panic!("{stored:?} lies nowhere"),
        }
    }

    /// Everything that a server left for which nothing is under way, and which took no file.
    pub fn find_leftovers(&self) -> Vec<String> {
        let mut left = self.find_inconsistencies();
        for table in ["files", "attachments"] {
            let n = self.number(&format!("SELECT count(*) AS n FROM {table}"));
            if n > 0 {
                left.push(format!("{n} rows in {table}"));
            }
        }
        let blobs = self.number("SELECT count(*) AS n FROM blobs");
        if blobs > 0 {
            left.push(format!("{blobs} rows in blobs"));
        }
        left
    }

    /// Bytes without a row, rows without bytes, uploads that never end: nothing of it may stay when nothing is under
    /// way.
    pub fn find_inconsistencies(&self) -> Vec<String> {
        let mut left: Vec<String> = self.spooled().iter().map(|p| format!("in the spool: {}", p.display())).collect();
        let running = self.number(&format!("SELECT count(*) AS n FROM uploads WHERE {UNDER_WAY}"));
        if running > 0 {
            left.push(format!("{running} rows of uploads under way"));
        }
        let mut rows = self.texts("SELECT lower(hex(key)) AS t FROM blobs");
        for Stored { name, .. } in self.stored() {
            match rows.iter().position(|row| *row == name) {
                Some(at) => drop(rows.swap_remove(at)),
                None => left.push(format!("bytes without a row: {name}")),
            }
        }
        let open = self.bucket().map(Bucket::multiparts).unwrap_or_default();
        left.extend(open.into_iter().map(|key| format!("an upload in parts: {key}")));
        left.extend(rows.into_iter().map(|row| format!("a row without bytes: {row}")));
        let needless =
            "SELECT lower(hex(key)) AS t FROM blobs WHERE state <> 'PURGING' AND id NOT IN (SELECT blob_id FROM files)";
        left.extend(self.texts(needless).into_iter().map(|row| format!("a row that no file needs: {row}")));
        left
    }

    /// Fails unless within 10 s nothing at all is left of any upload.
    pub async fn assert_nothing_left(&self) {
        assert_empty_soon(|| self.find_leftovers()).await;
    }

    /// Fails unless within 10 s rows and bytes agree and no upload is under way.
    pub async fn assert_consistent(&self) {
        assert_empty_soon(|| self.find_inconsistencies()).await;
    }

    /// What is left of an upload of these bytes to this chat, also while others upload to the same server.
    pub fn find_traces(&self, chat: &str, bytes: &[u8]) -> Vec<String> {
        let sha256 = samples::sha256(bytes);
        let count = |what: &str, sql: &str| match self.number(sql) {
            0 => None,
            n => Some(format!("{n} {what}")),
        };
        let mut left: Vec<String> = [
            count("files", &format!("SELECT count(*) AS n FROM files WHERE home_chat_id = '{chat}'")),
            count("attachments", &format!("SELECT count(*) AS n FROM attachments WHERE chat_id = '{chat}'")),
            count(
                "uploads under way",
                &format!("SELECT count(*) AS n FROM uploads WHERE target_chat_id = '{chat}' AND {UNDER_WAY}"),
            ),
            count("blobs", &format!("SELECT count(*) AS n FROM blobs WHERE lower(hex(sha256)) = '{sha256}'")),
        ]
        .into_iter()
        .flatten()
        .collect();
        for path in self.spooled() {
            let found = fs::read(&path).unwrap_or_default();
            if !found.is_empty() && bytes.starts_with(&found) {
                left.push(format!("{} of its bytes: {}", found.len(), path.display()));
            }
        }
        let as_long = |stored: &Stored| stored.size == bytes.len() as u64 && stored.size > 0;
        for stored in self.stored().into_iter().filter(as_long) {
            if self.stored_bytes(&stored) == bytes {
                left.push(format!("all of its bytes in the store: {}", stored.name));
            }
        }
        left
    }

    /// Fails unless within 10 s nothing is left of an upload of these bytes to this chat.
    pub async fn assert_no_trace(&self, chat: &str, bytes: &[u8]) {
        assert_empty_soon(|| self.find_traces(chat, bytes)).await;
    }

    /// Fails unless within 10 s no upload to this chat is under way.
    pub async fn assert_none_under_way(&self, chat: &str) {
        let sql = format!("SELECT hex(key) AS t FROM uploads WHERE target_chat_id = '{chat}' AND {UNDER_WAY}");
        assert_empty_soon(|| self.texts(&sql)).await;
    }

    /// Kind, reason and detail of the events of a chat's uploads, oldest first.
    pub fn events_of(&self, chat: &str) -> Vec<String> {
        self.texts(&format!(
            "SELECT trim(kind || ' ' || coalesce(reason, '') || ' ' || coalesce(detail, '')) AS t \
             FROM events WHERE chat_id = '{chat}' AND kind LIKE 'UPLOAD%' ORDER BY seq"
        ))
    }
}

async fn assert_empty_soon(find: impl Fn() -> Vec<String>) {
    let until = Instant::now() + TIDY;
    loop {
        let left = find();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still left after {TIDY:?}: {left:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_in(&path)),
            // The store's own probe comes and goes.
            Ok(_) if path.file_name().is_some_and(|n| n != "probe" && n != "store_id") => found.push(path),
            Ok(_) | Err(_) => {}
        }
    }
    found
}
