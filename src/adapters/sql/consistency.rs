//! What a check of consistency asks: which keys are named, which blobs there are, which rows do not fit together.
//!
//! Rows are looked at window by window, by their numbers, so that no statement takes long. Not here: what is kept of a
//! check (`checks.rs`), and what follows from the answers (`app/consistency.rs`).

use std::{collections::HashMap, time::Instant};

use async_trait::async_trait;
use diesel::{
    dsl::exists,
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;

use super::{
    Conn, SqlStore, checks, events, pairing,
    rows::{self, BlobRow},
    runs::{leased, store_report},
    schema::{blobs, check_place, files, settings},
    statement::Statement,
    time,
};
use crate::{
    domain::{
        Actor, Blob, BlobKey, CheckId, Event, EventKind, FileId, Reason, StoreId, Time,
        consistency::{
            Check, CheckPlace, Dangling, DanglingRow, Finding, FindingKind, MOST_COUNTED, MOST_NAMED, StoredFinding,
        },
        run::TaskReport,
    },
    ports::{ConsistencyStore, Damaged, FilesOfBlob, NamedBy, NewCheck, RowWalk, RunLease, Stop, StoreError},
    telemetry::names,
};

#[derive(QueryableByName)]
struct KeyRow {
    #[diesel(sql_type = Binary)]
    key: Vec<u8>,
    #[diesel(sql_type = Bool)]
    upload: bool,
}

/// One statement: a key that goes from one table to the other meanwhile is seen in one of them.
pub(in super::super) async fn list_named(
    conn: &mut Conn,
    keys: Vec<BlobKey>,
    of: StoreId,
    to_remove: bool,
) -> Result<Vec<(BlobKey, NamedBy)>, StoreError> {
    // Looked at alone: what is removed is nobody's, whoever sets it meanwhile.
    let read_only = settings::table.filter(settings::key.eq("read_only")).filter(settings::value.eq("true"));
    if to_remove && diesel::select(exists(read_only)).get_result(conn).await? {
        return Err(StoreError::ReadOnly);
    }
    if pairing::find(conn).await?.is_some_and(|claim| claim.id != of) {
        return Err(StoreError::ReadOnly);
    }
    let bytes = || keys.iter().map(|key| key.0.as_slice());
    let mut named = Statement::new("SELECT key, TRUE AS upload FROM uploads WHERE key IN ");
    named.byte_strings(bytes()).sql(" UNION ALL SELECT key, FALSE AS upload FROM blobs WHERE key IN ");
    named.byte_strings(bytes());
    let found: Vec<KeyRow> = named.query().load(conn).await?;
    let mut named: HashMap<BlobKey, NamedBy> = HashMap::new();
    for KeyRow { key, upload } in found {
        let by = named.entry(BlobKey(rows::bytes("blobs", "key", 0, &key)?)).or_default();
        by.upload |= upload;
        by.blob |= !upload;
    }
    Ok(named.into_iter().collect())
}

pub(in super::super) async fn list_blobs(conn: &mut Conn, after: i64, limit: u32) -> Result<Vec<Blob>, StoreError> {
    let later = blobs::table.filter(blobs::id.gt(after)).order(blobs::id).limit(i64::from(limit));
    let found: Vec<BlobRow> = later.select(BlobRow::as_select()).load(conn).await?;
    found.into_iter().map(Blob::try_from).collect()
}

pub(in super::super) async fn find_blob(conn: &mut Conn, id: i64) -> Result<Option<Blob>, StoreError> {
    let row: Option<BlobRow> = blobs::table.find(id).select(BlobRow::as_select()).first(conn).await.optional()?;
    row.map(Blob::try_from).transpose()
}

pub(in super::super) async fn list_files(conn: &mut Conn, blob: i64) -> Result<FilesOfBlob, StoreError> {
    let most = i64::try_from(MOST_COUNTED).unwrap_or(i64::MAX);
    let needing = files::table.filter(files::blob_id.eq(blob)).limit(most).select((files::number, files::id));
    let found: Vec<(i64, Vec<u8>)> = needing.load(conn).await?;
    let ids = found.iter().map(|(number, id)| Ok(FileId(rows::bytes("files", "id", number, id)?)));
    let mut first = ids.collect::<Result<Vec<_>, StoreError>>()?;
    first.sort_unstable();
    first.truncate(MOST_NAMED);
    Ok(FilesOfBlob { count: found.len() as u64, first })
}

#[derive(QueryableByName)]
struct LastRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct LooseRow {
    #[diesel(sql_type = Text)]
    rule: String,
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    id: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    chat: Option<String>,
}

/// The last number of the window, and the rows of it that break a rule: the rest of each after its bounds.
const fn walks(walk: RowWalk) -> (&'static str, &'static str, &'static str) {
    match walk {
        RowWalk::Files => (
            "SELECT number FROM files WHERE number",
            "SELECT CASE WHEN b.id IS NULL THEN 'FILE_WITHOUT_BLOB' ELSE 'FILE_OF_LEAVING_BLOB' END AS rule, w.number AS \
             number, w.id AS id, CAST(NULL AS TEXT) AS chat FROM files w LEFT JOIN blobs b ON b.id = w.blob_id \
             WHERE (b.id IS NULL OR b.state = 'PURGING') AND w.number",
            " ORDER BY number LIMIT 1 OFFSET ",
        ),
        RowWalk::Attachments => (
            "SELECT file_number AS number FROM attachments WHERE file_number",
            "SELECT CASE WHEN f.number IS NULL THEN 'ATTACHMENT_WITHOUT_FILE' ELSE 'ATTACHMENT_WITHOUT_CHAT' END AS rule, \
             w.file_number AS number, f.id AS id, w.chat_id AS chat FROM attachments w \
             LEFT JOIN files f ON f.number = w.file_number LEFT JOIN chats c ON c.id = w.chat_id \
             WHERE (f.number IS NULL OR c.id IS NULL) AND w.file_number",
            " ORDER BY file_number LIMIT 1 OFFSET ",
        ),
        RowWalk::Stubs => (
            "SELECT number FROM stubs WHERE number",
            "SELECT 'PURGED_FILE' AS rule, w.number AS number, w.id AS id, CAST(NULL AS TEXT) AS chat FROM stubs w \
             JOIN files f ON f.id = w.id WHERE w.number",
            " ORDER BY number LIMIT 1 OFFSET ",
        ),
        // One look into the index for each, whatever else the planner would make of a join.
        RowWalk::Blobs => (
            "SELECT id AS number FROM blobs WHERE id",
            "SELECT 'BLOB_WITHOUT_FILE' AS rule, w.id AS number, (SELECT f.id FROM files f WHERE f.blob_id = w.id LIMIT 1) AS \
             id, CAST(NULL AS TEXT) AS chat FROM blobs w WHERE w.state <> 'PURGING' \
             AND (SELECT f.number FROM files f WHERE f.blob_id = w.id LIMIT 1) IS NULL AND w.id",
            " ORDER BY id LIMIT 1 OFFSET ",
        ),
    }
}

pub(in super::super) async fn list_dangling(
    conn: &mut Conn,
    walk: RowWalk,
    after: i64,
    limit: u32,
) -> Result<(Vec<DanglingRow>, Option<i64>), StoreError> {
    let (window, loose, order) = walks(walk);
    let mut end = Statement::new(window);
    end.sql(" > ").int(after).sql(order).int(i64::from(limit).max(1) - 1);
    let end: Vec<LastRow> = end.query().load(conn).await?;
    let end = end.into_iter().next().map(|row| row.number);
    let column = match walk {
        RowWalk::Attachments => " AND w.file_number <= ",
        RowWalk::Blobs => " AND w.id <= ",
        RowWalk::Files | RowWalk::Stubs => " AND w.number <= ",
    };
    let mut found = Statement::new(loose);
    found.sql(" > ").int(after).sql(column).int(end.unwrap_or(i64::MAX));
    let found: Vec<LooseRow> = found.query().load(conn).await?;
    let found = found.into_iter().map(|LooseRow { rule, number, id, chat }| {
        let id = id.as_deref().map(|id| rows::bytes("files", "id", number, id)).transpose()?;
        let rule = Dangling::find(&rule).ok_or_else(|| rows::corrupt("files", "rule", number))?;
        Ok(DanglingRow { rule, number, file: id.map(FileId), chat })
    });
    Ok((found.collect::<Result<_, StoreError>>()?, end))
}

pub(in super::super) async fn find_place(conn: &mut Conn) -> Result<CheckPlace, StoreError> {
    let row = check_place::table.find(1_i64).select((check_place::sized, check_place::hashed));
    let row: Option<(i64, i64)> = row.first(conn).await.optional()?;
    Ok(row.map_or_else(CheckPlace::default, |(sized, hashed)| CheckPlace { sized, hashed }))
}

async fn note_checked(
    conn: &mut Conn,
    lease: RunLease,
    report: TaskReport,
    place: CheckPlace,
    damaged: Vec<Damaged>,
    now: Time,
) -> Result<(), Stop> {
    leased(conn, lease).await?;
    store_report(conn, lease.run, &report).await?;
    let reached = (check_place::sized.eq(place.sized), check_place::hashed.eq(place.hashed));
    diesel::update(check_place::table.find(1_i64)).set(reached).execute(conn).await?;
    let told = damaged.into_iter().map(|Damaged { kind, file }| {
        let event = Event::new(EventKind::BlobCorrupt, Actor::SYSTEM).reason(Reason::Corrupt).detail(kind.name());
        Event { file, ..event }
    });
    let told: Vec<Event> = told.collect();
    let now = time(conn, now).await?;
    Ok(events::write_all(conn, &told, now).await?)
}

#[async_trait]
impl ConsistencyStore for SqlStore {
    async fn tell_time(&self, now: Time) -> Result<Time, StoreError> {
        timed!(self.read, "tell_time", |conn| time(conn, now))
    }

    async fn list_named(
        &self,
        keys: &[BlobKey],
        of: StoreId,
        to_remove: bool,
    ) -> Result<Vec<(BlobKey, NamedBy)>, StoreError> {
        let keys = keys.to_vec();
        timed!(self.read, "list_named", |conn| list_named(conn, keys, of, to_remove))
    }

    async fn list_blobs_to_check(&self, after: i64, limit: u32) -> Result<Vec<Blob>, StoreError> {
        timed!(self.read, "list_blobs_to_check", |conn| list_blobs(conn, after, limit))
    }

    async fn find_blob_to_check(&self, id: i64) -> Result<Option<Blob>, StoreError> {
        timed!(self.read, "find_blob_to_check", |conn| find_blob(conn, id))
    }

    async fn list_files_of_blob(&self, id: i64) -> Result<FilesOfBlob, StoreError> {
        timed!(self.read, "list_files_of_blob", |conn| list_files(conn, id))
    }

    async fn list_dangling(
        &self,
        walk: RowWalk,
        after: i64,
        limit: u32,
    ) -> Result<(Vec<DanglingRow>, Option<i64>), StoreError> {
        timed!(self.read, "list_dangling", |conn| list_dangling(conn, walk, after, limit))
    }

    async fn find_check_place(&self) -> Result<CheckPlace, StoreError> {
        timed!(self.read, "find_check_place", |conn| find_place(conn))
    }

    async fn note_checked(
        &self,
        lease: RunLease,
        report: TaskReport,
        place: CheckPlace,
        damaged: &[Damaged],
        now: Time,
    ) -> Result<(), Stop> {
        let damaged = damaged.to_vec();
        timed!(self.write, "note_checked", |conn| note_checked(conn, lease, report, place, damaged, now))
    }

    async fn begin_check(&self, new: NewCheck) -> Result<Check, Stop> {
        timed!(self.write, "begin_check", |conn| checks::begin(conn, new))
    }

    async fn renew_check(&self, id: CheckId, secs: i64, now: Time) -> Result<Check, Stop> {
        timed!(self.write, "renew_check", |conn| checks::renew(conn, id, secs, now))
    }

    async fn find_check(&self, id: CheckId) -> Result<Option<Check>, StoreError> {
        timed!(self.read, "find_check", |conn| checks::find(conn, id))
    }

    async fn add_findings(&self, id: CheckId, found: &[Finding]) -> Result<u64, Stop> {
        let found = found.to_vec();
        timed!(self.write, "add_findings", |conn| checks::add(conn, id, found))
    }

    async fn list_findings(
        &self,
        id: CheckId,
        kinds: &[FindingKind],
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredFinding>, StoreError> {
        let kinds = kinds.to_vec();
        timed!(self.read, "list_findings", |conn| checks::list(conn, id, kinds, after, limit))
    }

    async fn note_repaired(&self, id: CheckId, number: i64, actor: Actor, now: Time) -> Result<(), Stop> {
        timed!(self.write, "note_repaired", |conn| checks::note_repaired(conn, id, number, actor, now))
    }

    async fn delete_dangling(
        &self,
        id: CheckId,
        number: i64,
        row: &DanglingRow,
        actor: Actor,
        now: Time,
    ) -> Result<bool, Stop> {
        let row = row.clone();
        timed!(self.write, "delete_dangling", |conn| checks::delete_dangling(conn, id, number, row, actor, now))
    }

    async fn trim_checks(&self, now: Time, limit: i64) -> Result<u64, StoreError> {
        timed!(self.write, "trim_checks", |conn| checks::trim(conn, now, limit))
    }
}
