//! Blobs that may have to be scanned anew: the walks of the rescan's phases, those of a chat, that of a file.
//!
//! Each walk is by an index, and looks at no more rows than it answers. Not here: which of them are due
//! ([`crate::domain::quarantine::is_due`]).

use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;

use super::{
    Conn, by_index,
    rows::{self, corrupt},
    statement::Statement,
    time,
};
use crate::{
    domain::{
        Blob, BlobKey, ChatId, FileId, Sha256, Time, Verdict,
        quarantine::{Candidate, Phase},
    },
    ports::StoreError,
};

#[derive(QueryableByName)]
struct CandidateRow {
    #[diesel(sql_type = Nullable<Binary>)]
    file_id: Option<Vec<u8>>,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Binary)]
    key: Vec<u8>,
    #[diesel(sql_type = Binary)]
    sha256: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = Text)]
    verdict: String,
    #[diesel(sql_type = Text)]
    engine: String,
    #[diesel(sql_type = Text)]
    signatures: String,
    #[diesel(sql_type = BigInt)]
    scanned_at: i64,
    #[diesel(sql_type = Nullable<Text>)]
    signature: Option<String>,
    #[diesel(sql_type = Bool)]
    released: bool,
    #[diesel(sql_type = Bool)]
    of_visitor: bool,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
}

impl CandidateRow {
    fn candidate(self) -> Result<(Option<FileId>, Candidate), StoreError> {
        let id = self.id;
        let bad = |column| corrupt("blobs", column, id);
        let file = self.file_id.as_deref().map(|file| rows::bytes("files", "id", id, file)).transpose()?;
        let blob = Blob {
            id,
            key: BlobKey(rows::bytes("blobs", "key", id, &self.key)?),
            sha256: Sha256(rows::bytes("blobs", "sha256", id, &self.sha256)?),
            size: u64::try_from(self.size).map_err(|_| bad("size"))?,
            state: rows::find_blob_state(&self.state).ok_or_else(|| bad("state"))?,
            verdict: Verdict {
                kind: rows::find_verdict(&self.verdict).ok_or_else(|| bad("verdict"))?,
                engine: self.engine,
                signatures: self.signatures,
                at: Time(self.scanned_at),
            },
        };
        let Self { signature, released, of_visitor, created_at, .. } = self;
        Ok((file.map(FileId), Candidate { blob, signature, released, of_visitor, created_at: Time(created_at) }))
    }
}

/// `SELECT` with the columns of a candidate; `file` is an expression.
fn columns(file: &str, now: Time) -> Statement {
    let mut found = Statement::new("SELECT ");
    // One row each, looked up: as a mere EXISTS the planner may read all releases, or all files of visitors, instead.
    found.sql(file).sql(
        " AS file_id, b.id, b.key, b.sha256, b.size, b.state, b.verdict, b.engine, b.signatures, b.scanned_at, b.created_at, \
         b.signature, CASE WHEN b.verdict <> 'RELEASED' THEN FALSE ELSE COALESCE((SELECT TRUE FROM releases r \
         WHERE r.sha256 = b.sha256 AND r.signature = b.signature AND (r.until IS NULL OR r.until > ",
    );
    found.int(now.0).sql(
        ") LIMIT 1), (SELECT TRUE FROM releases r WHERE r.sha256 IS NULL AND r.signature = b.signature \
         AND (r.until IS NULL OR r.until > ",
    );
    found.int(now.0).sql(
        ") LIMIT 1), FALSE) END AS released, CASE WHEN b.verdict <> 'NOT_SCANNED' THEN FALSE ELSE \
         COALESCE((SELECT TRUE FROM files f WHERE f.blob_id = b.id AND f.uploader_kind = 'VISITOR' LIMIT 1), FALSE) END \
         AS of_visitor FROM ",
    );
    found
}

async fn load(conn: &mut Conn, found: Statement) -> Result<Vec<(Option<FileId>, Candidate)>, StoreError> {
    let found: Vec<CandidateRow> = found.query().load(conn).await?;
    found.into_iter().map(CandidateRow::candidate).collect()
}

/// States and verdicts are spelled out, as in the indexes.
pub(in super::super) async fn list(
    conn: &mut Conn,
    phase: Phase,
    after: i64,
    limit: u32,
    now: Time,
) -> Result<Vec<Candidate>, StoreError> {
    let now = time(conn, now).await?;
    let mut found = columns("NULL", now);
    let (index, of) = match phase {
        Phase::Quarantined => (by_index("blobs_quarantined"), "b.state = 'QUARANTINED' AND "),
        Phase::NotScanned => (by_index("blobs_not_scanned"), "b.verdict = 'NOT_SCANNED' AND "),
        Phase::Released => (by_index("blobs_released"), "b.verdict = 'RELEASED' AND "),
        Phase::Rest | Phase::New => (String::new(), ""),
    };
    found.sql("blobs AS b").sql(&index).sql(" WHERE ").sql(of);
    let (beyond, order) = if phase.is_ascending() { ("b.id > ", "") } else { ("b.id < ", " DESC") };
    found.sql(beyond).int(after).sql(" ORDER BY b.id").sql(order).sql(" LIMIT ").int(i64::from(limit));
    Ok(load(conn, found).await?.into_iter().map(|(_, candidate)| candidate).collect())
}

/// What lies in quarantine, all or what one signature hit, the newest blob first.
pub(super) async fn quarantined(
    conn: &mut Conn,
    signature: Option<String>,
    before: i64,
    limit: u32,
) -> Result<Vec<Candidate>, StoreError> {
    let Some(signature) = signature else { return list(conn, Phase::Quarantined, before, limit, Time(0)).await };
    let mut found = columns("NULL", Time(0));
    found.sql("blobs AS b").sql(&by_index("blobs_hit")).sql(" WHERE b.state = 'QUARANTINED' AND b.signature = ");
    found.text(&signature).sql(" AND b.id < ").int(before).sql(" ORDER BY b.id DESC LIMIT ").int(i64::from(limit));
    Ok(load(conn, found).await?.into_iter().map(|(_, candidate)| candidate).collect())
}

pub(in super::super) async fn of_chat(
    conn: &mut Conn,
    chat: ChatId,
    limit: u32,
    now: Time,
) -> Result<Vec<(FileId, Candidate)>, StoreError> {
    let now = time(conn, now).await?;
    let mut found = columns("files.id", now);
    found.sql("attachments a JOIN files ON files.number = a.file_number JOIN blobs AS b ON b.id = files.blob_id ");
    found.sql("WHERE a.chat_id = ").text(chat.as_str()).sql(" AND files.state = 'READY' ");
    found.sql("ORDER BY a.file_created_at, a.file_number LIMIT ").int(i64::from(limit));
    let found = load(conn, found).await?;
    Ok(found.into_iter().filter_map(|(file, candidate)| Some((file?, candidate))).collect())
}

pub(in super::super) async fn of_file(
    conn: &mut Conn,
    file: FileId,
    now: Time,
) -> Result<Option<Candidate>, StoreError> {
    let now = time(conn, now).await?;
    let mut found = columns("files.id", now);
    found.sql("files JOIN blobs AS b ON b.id = files.blob_id WHERE files.id = ").bytes(&file.0);
    Ok(load(conn, found).await?.pop().map(|(_, candidate)| candidate))
}
