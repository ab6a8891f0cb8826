//! What PostgreSQL alone can do with the statements of an upload and of `GetFile`: prepared statements on the product's
//! own tables, as many connections as uploads at once, nothing between them and the server.
//!
//! The twin of `engine.rs`. The statements repeat those of `src/adapters/sql/`; where these change, so must they.

use std::time::{Duration, Instant};

use lhfile::adapters::sql::PostgresStore;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};

use crate::{Fallible, client::CHAT, made::Noise};

const CHAT_ROW: &str = "SELECT id, status, owner, closed_at, upload_override, version, deleted, updated_at FROM chats \
                        WHERE id = $1 FOR SHARE";
const BEGIN: &str = "INSERT INTO uploads (key, node, person_kind, person_id, target_chat_id, state, lease_until, \
                     created_at) VALUES ($1, 'bench', 'OPERATOR', '17', $2, 'RUNNING', 60, 0) RETURNING id";
const KNOWN: &str = "SELECT id FROM blobs WHERE sha256 = $1 AND size = $2 ORDER BY scanned_at DESC, id DESC LIMIT 1";
const RUNNING: &str =
    "SELECT request_id IS NOT NULL FROM uploads WHERE id = $1 AND key = $2 AND state = 'RUNNING' FOR UPDATE";
const BLOB: &str = "INSERT INTO blobs (key, sha256, size, state, verdict, engine, signatures, scanned_at, created_at) \
                    VALUES ($1, $2, $3, 'ACTIVE', 'NOT_SCANNED', '', '', $4, $4) RETURNING id";
const FILE: &str = "INSERT INTO files (id, code_hash, blob_id, state, display_name, extension, media_type, \
                    uploader_kind, uploader_id, home_chat_id, persistent, sha256, size, uploaded_sha256, revision, \
                    created_at) VALUES ($1, $2, $3, 'READY', 'file.bin', 'bin', 'application/octet-stream', 'OPERATOR', \
                    '17', $4, FALSE, $5, $6, $5, 1, $7) RETURNING number";
const ATTACHMENT: &str = "INSERT INTO attachments (chat_id, file_number, by_kind, by_id, at, file_created_at, \
                          file_size) VALUES ($1, $2, 'OPERATOR', '17', $3, $3, $4)";
const EVENT: &str = "INSERT INTO events (at, kind, person_kind, person_id, file_id, chat_id) \
                     VALUES ($1, 'FILE_UPLOADED', 'OPERATOR', '17', $2, $3)";
const END: &str = "DELETE FROM uploads WHERE id = $1";
const GET: &str = "SELECT f.*, b.* FROM files f JOIN blobs b ON b.id = f.blob_id WHERE f.id = $1";
const CHATS: &str = "SELECT c.* FROM attachments a JOIN chats c ON c.id = a.chat_id WHERE a.file_number = $1 AND NOT \
                     c.deleted ORDER BY a.chat_id LIMIT 501";

/// A connection with its statements.
struct Line {
    client: Client,
    statements: Vec<Statement>,
    noise: Noise,
    _running: JoinSet<()>,
}

impl Line {
    async fn open(url: &str, statements: &[&str], seed: u64) -> Fallible<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        let mut running = JoinSet::new();
        running.spawn(async move {
            // Its end is told by the statements.
            connection.await.ok();
        });
        let mut prepared = Vec::with_capacity(statements.len());
        for sql in statements {
            prepared.push(client.prepare(sql).await?);
        }
        Ok(Self { client, statements: prepared, noise: Noise(seed), _running: running })
    }

    /// The two transactions of an upload.
    async fn upload(&mut self) -> Fallible<()> {
        let [chat, begin, known, running, blob, file, attachment, event, end] = &self.statements[..] else {
            return Err("not the statements of an upload".into());
        };
        let (key, sha256, id) = (self.noise.bytes(16), self.noise.bytes(32), self.noise.bytes(16));
        let (code, size) = (self.noise.bytes(16), 4096_i64);
        let tx = self.client.transaction().await?;
        tx.query_one(chat, &[&CHAT]).await?;
        let upload: i64 = tx.query_one(begin, &[&key, &CHAT]).await?.get(0);
        tx.commit().await?;
        // As time does, it grows: rows by time lie side by side.
        let now = upload;
        let tx = self.client.transaction().await?;
        tx.query_opt(known, &[&sha256, &size]).await?;
        tx.query_one(running, &[&upload, &key]).await?;
        tx.query_one(chat, &[&CHAT]).await?;
        let blob: i64 = tx.query_one(blob, &[&key, &sha256, &size, &now]).await?.get(0);
        let number: i64 = tx.query_one(file, &[&id, &code, &blob, &CHAT, &sha256, &size, &now]).await?.get(0);
        tx.execute(attachment, &[&CHAT, &number, &now, &size]).await?;
        tx.execute(event, &[&now, &id, &CHAT]).await?;
        tx.execute(end, &[&upload]).await?;
        Ok(tx.commit().await?)
    }

    /// `GetFile`'s two statements.
    async fn get(&self, id: &[u8]) -> Fallible<()> {
        let [get, chats] = &self.statements[..] else { return Err("not the statements of a get".into()) };
        let number: i64 = self.client.query_one(get, &[&id]).await?.get("number");
        std::hint::black_box(self.client.query(chats, &[&number]).await?);
        Ok(())
    }
}

/// A database of its own, with the chat in it, and its connections.
pub struct Engine {
    lines: Vec<Line>,
}

impl Engine {
    /// Makes the tables in an empty database.
    pub async fn create(url: &str, connections: usize, seed: u64) -> Fallible<Self> {
        PostgresStore::open(url).await?.close().await;
        let all = [CHAT_ROW, BEGIN, KNOWN, RUNNING, BLOB, FILE, ATTACHMENT, EVENT, END];
        let mut lines = Vec::with_capacity(connections);
        for number in 0..connections as u64 {
            lines.push(Line::open(url, if lines.is_empty() { &[] } else { &all }, seed + number).await?);
        }
        let chat = "INSERT INTO chats (id, status, owner, version, deleted, updated_at) VALUES ($1, 'ACTIVE', '17', 1, \
                    FALSE, 0)";
        lines[0].client.execute(chat, &[&CHAT]).await?;
        lines[0] = Line::open(url, &all, seed).await?;
        Ok(Self { lines })
    }

    /// Uploads' rows per second, one upload a connection at a time.
    pub async fn uploads_per_second(&mut self, count: usize) -> Fallible<f64> {
        let (each, started) = (count / self.lines.len(), Instant::now());
        let lanes = self.lines.iter_mut().map(async |line| -> Fallible<()> {
            for _ in 0..each {
                line.upload().await?;
            }
            Ok(())
        });
        futures_util::future::try_join_all(lanes).await?;
        Ok((each * self.lines.len()) as f64 / started.elapsed().as_secs_f64())
    }

    /// How long the rows of each of `count` uploads take, one after the other.
    pub async fn upload_times(&mut self, count: usize) -> Fallible<Vec<Duration>> {
        let line = self.lines.first_mut().ok_or("no connection")?;
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let started = Instant::now();
            line.upload().await?;
            times.push(started.elapsed());
        }
        Ok(times)
    }
}

/// `GetFile`'s two statements per second, on the product's own database, by connections that do nothing else.
pub async fn gets_per_second(url: &str, ids: &[Vec<u8>], count: usize, connections: usize) -> Fallible<f64> {
    let mut lines = Vec::with_capacity(connections);
    for _ in 0..connections {
        lines.push(Line::open(url, &[GET, CHATS], 0).await?);
    }
    let started = Instant::now();
    let lanes = lines.iter().enumerate().map(async |(lane, line)| -> Fallible<()> {
        for n in 0..count / connections {
            line.get(&ids[(n * connections + lane) % ids.len()]).await?;
        }
        Ok(())
    });
    futures_util::future::try_join_all(lanes).await?;
    Ok((count / connections * connections) as f64 / started.elapsed().as_secs_f64())
}
