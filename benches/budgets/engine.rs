//! What SQLite alone can do with the statements of an upload and of `GetFile`: plain diesel on the product's own
//! tables, WAL and `synchronous=FULL`, no queue, no other thread.
//!
//! The statements repeat those of `src/adapters/sql/{chats,uploads,files,events}.rs`; where these change, so must they.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use diesel::{connection::SimpleConnection as _, prelude::*};

use crate::{Fallible, client::CHAT, made::Noise};

#[path = "../../src/adapters/sql/schema.rs"]
mod schema;
use schema::{attachments, blobs, chats, events, files, uploads};

const TABLES: &str = include_str!("../../migrations/sqlite/00000000000001_files/up.sql");

/// A database of its own.
pub struct Engine {
    conn: SqliteConnection,
    noise: Noise,
}

/// An upload between its two transactions.
struct Begun {
    id: i64,
    key: Vec<u8>,
}

fn open(path: &Path) -> Fallible<SqliteConnection> {
    let mut conn = SqliteConnection::establish(path.to_str().ok_or("the path is not UTF-8")?)?;
    conn.batch_execute(
        "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;",
    )?;
    Ok(conn)
}

impl Engine {
    /// Makes the database at `path`, with the chat in it.
    pub fn create(path: &Path, seed: u64) -> Fallible<Self> {
        let mut conn = open(path)?;
        conn.batch_execute(TABLES)?;
        diesel::insert_into(chats::table)
            .values((
                chats::id.eq(CHAT),
                chats::status.eq("ACTIVE"),
                chats::owner.eq("17"),
                chats::version.eq(1_i64),
                chats::deleted.eq(false),
                chats::updated_at.eq(0_i64),
            ))
            .execute(&mut conn)?;
        Ok(Self { conn, noise: Noise(seed) })
    }

    /// Uploads' rows per second when `group` of them share each transaction.
    pub fn uploads_per_second(&mut self, count: usize, group: usize) -> Fallible<f64> {
        let started = Instant::now();
        for _ in 0..count / group {
            self.round(group)?;
        }
        Ok((count / group * group) as f64 / started.elapsed().as_secs_f64())
    }

    /// How long the rows of each of `count` uploads take, one after the other.
    pub fn upload_times(&mut self, count: usize) -> Fallible<Vec<Duration>> {
        let timed = |_| {
            let started = Instant::now();
            self.round(1).map(|()| started.elapsed())
        };
        (0..count).map(timed).collect()
    }

    fn round(&mut self, group: usize) -> Fallible<()> {
        let Self { conn, noise } = self;
        let begun: Vec<Begun> = conn.immediate_transaction(|conn| {
            (0..group).map(|_| find_chat(conn).and_then(|()| begin(conn, noise))).collect::<QueryResult<_>>()
        })?;
        conn.immediate_transaction(|conn| begun.into_iter().try_for_each(|begun| commit(conn, begun, noise)))?;
        Ok(())
    }
}

fn find_chat(conn: &mut SqliteConnection) -> QueryResult<()> {
    chats::table.find(CHAT).select(chats::all_columns).first::<ChatRow>(conn).map(drop)
}

type ChatRow = (String, String, Option<String>, Option<i64>, Option<bool>, i64, bool, i64);

fn begin(conn: &mut SqliteConnection, noise: &mut Noise) -> QueryResult<Begun> {
    let key = noise.bytes(16);
    let id = diesel::insert_into(uploads::table)
        .values((
            uploads::key.eq(&key),
            uploads::node.eq("bench"),
            uploads::person_kind.eq("OPERATOR"),
            uploads::person_id.eq("17"),
            uploads::request_id.eq(None::<&str>),
            uploads::target_chat_id.eq(Some(CHAT)),
            uploads::state.eq("RUNNING"),
            uploads::lease_until.eq(60_i64),
            uploads::created_at.eq(0_i64),
        ))
        .returning(uploads::id)
        .get_result(conn)?;
    Ok(Begun { id, key })
}

fn commit(conn: &mut SqliteConnection, Begun { id: upload, key }: Begun, noise: &mut Noise) -> QueryResult<()> {
    let (sha256, file_id, size) = (noise.bytes(32), noise.bytes(16), 4096_i64);
    // As time does, it grows: rows by time lie side by side.
    let now = upload;
    // Is it known?
    blobs::table
        .filter(blobs::sha256.eq(&sha256))
        .filter(blobs::size.eq(size))
        .order((blobs::scanned_at.desc(), blobs::id.desc()))
        .select(blobs::id)
        .first::<i64>(conn)
        .optional()?;
    uploads::table
        .filter(uploads::id.eq(upload))
        .filter(uploads::key.eq(&key))
        .filter(uploads::state.eq("RUNNING"))
        .select(uploads::request_id.is_not_null())
        .first::<bool>(conn)?;
    find_chat(conn)?;
    let blob: i64 = diesel::insert_into(blobs::table)
        .values((
            blobs::key.eq(&key),
            blobs::sha256.eq(&sha256),
            blobs::size.eq(size),
            blobs::state.eq("ACTIVE"),
            blobs::verdict.eq("NOT_SCANNED"),
            blobs::engine.eq(""),
            blobs::signatures.eq(""),
            blobs::scanned_at.eq(now),
            blobs::created_at.eq(now),
        ))
        .returning(blobs::id)
        .get_result(conn)?;
    let number: i64 = diesel::insert_into(files::table)
        .values((
            files::id.eq(&file_id),
            files::code_hash.eq(noise.bytes(16)),
            files::blob_id.eq(blob),
            files::state.eq("READY"),
            files::display_name.eq("file.bin"),
            files::extension.eq("bin"),
            files::media_type.eq("application/octet-stream"),
            files::uploader_kind.eq("OPERATOR"),
            files::uploader_id.eq("17"),
            files::home_chat_id.eq(Some(CHAT)),
            files::persistent.eq(false),
            files::sha256.eq(&sha256),
            files::size.eq(size),
            files::uploaded_sha256.eq(&sha256),
            files::revision.eq(1_i64),
            files::created_at.eq(now),
        ))
        .returning(files::number)
        .get_result(conn)?;
    diesel::insert_into(attachments::table)
        .values((
            attachments::chat_id.eq(CHAT),
            attachments::file_number.eq(number),
            attachments::message_id.eq(None::<&str>),
            attachments::by_kind.eq("OPERATOR"),
            attachments::by_id.eq("17"),
            attachments::at.eq(now),
            attachments::file_created_at.eq(now),
            attachments::file_size.eq(size),
        ))
        .execute(conn)?;
    diesel::insert_into(events::table)
        .values((
            events::at.eq(now),
            events::kind.eq("FILE_UPLOADED"),
            events::person_kind.eq("OPERATOR"),
            events::person_id.eq("17"),
            events::file_id.eq(&file_id),
            events::chat_id.eq(CHAT),
        ))
        .execute(conn)?;
    diesel::delete(uploads::table.find(upload)).execute(conn)?;
    Ok(())
}

type FileRow = (
    (i64, Vec<u8>, Vec<u8>, i64, String, String, String, String, String, String),
    (Option<String>, bool, Option<i64>, Option<i64>, Vec<u8>, i64, Vec<u8>, i64, i64, Option<i64>),
);

/// `GetFile`'s two statements per second, on the product's own database, by `threads` that do nothing else.
pub fn gets_per_second(database: &Path, ids: &[Vec<u8>], count: usize, threads: usize) -> Fallible<f64> {
    let started = Instant::now();
    thread::scope(|scope| {
        let lane = |lane: usize| -> Fallible<()> {
            let mut conn = open(database)?;
            (0..count / threads).try_for_each(|n| get(&mut conn, &ids[(n * threads + lane) % ids.len()]))?;
            Ok(())
        };
        let lanes: Vec<_> = (0..threads).map(|number| scope.spawn(move || lane(number))).collect();
        lanes.into_iter().try_for_each(|lane| lane.join().expect("it does not panic"))
    })?;
    Ok((count / threads * threads) as f64 / started.elapsed().as_secs_f64())
}

fn get(conn: &mut SqliteConnection, id: &[u8]) -> QueryResult<()> {
    let file = (
        (
            files::number,
            files::id,
            files::code_hash,
            files::blob_id,
            files::state,
            files::display_name,
            files::extension,
            files::media_type,
            files::uploader_kind,
            files::uploader_id,
        ),
        (
            files::home_chat_id,
            files::persistent,
            files::width,
            files::height,
            files::sha256,
            files::size,
            files::uploaded_sha256,
            files::revision,
            files::created_at,
            files::deleted_at,
        ),
    );
    let (((number, ..), _), blob) = files::table
        .inner_join(blobs::table)
        .filter(files::id.eq(id))
        .select((file, blobs::all_columns))
        .first::<(FileRow, BlobRow)>(conn)?;
    std::hint::black_box(blob);
    let chats: Vec<ChatRow> = attachments::table
        .inner_join(chats::table)
        .filter(attachments::file_number.eq(number))
        .filter(chats::deleted.eq(false))
        .select(chats::all_columns)
        .order(attachments::chat_id)
        .limit(501)
        .load(conn)?;
    std::hint::black_box(chats);
    Ok(())
}

type BlobRow = (i64, Vec<u8>, Vec<u8>, i64, String, String, String, String, i64, Option<String>, i64, Option<i64>);
