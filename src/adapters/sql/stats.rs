//! Rows read to be counted, page after page in the order of their numbers: no transaction is long, and no writer waits.
//!
//! Not here: the counting ([`crate::domain::stats`]), and the rule's predicate (`expiring.rs`).

use std::time::Instant;

use async_trait::async_trait;
use diesel::{
    prelude::*,
    sql_types::{BigInt, Bool, Nullable, Text},
};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;

use super::{
    Conn, SqlStore,
    expiring::{Aging, IS_ATTACHED},
    rows::{self, corrupt},
    run_row::owner,
    runs,
    schema::files,
    statement::Statement,
    time,
};
use crate::{
    domain::{
        Time,
        retention::Rule,
        run::{Checkpoint, PlanGroup},
        stats::{BlobFact, FileFact},
    },
    ports::{StatsStore, StoreError},
    telemetry::names,
};

async fn find_guard(conn: &mut Conn, rule: Rule, now: Time) -> Result<(u64, Time), StoreError> {
    Ok((runs::guard(conn, &rule).await?, time(conn, now).await?))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = files)]
struct FileRow {
    number: i64,
    state: String,
    uploader_kind: String,
    origin: Option<String>,
    extension: String,
    size: i64,
    created_at: i64,
    restored_at: Option<i64>,
}

impl FileRow {
    fn fact(self) -> Result<FileFact, StoreError> {
        let bad = |column| corrupt("files", column, self.number);
        let origin = self.origin.map(|name| rows::find_origin(&name).ok_or_else(|| bad("origin")));
        Ok(FileFact {
            number: self.number,
            state: rows::find_file_state(&self.state).ok_or_else(|| bad("state"))?,
            uploader: rows::find_kind(&self.uploader_kind).ok_or_else(|| bad("uploader_kind"))?,
            origin: origin.transpose()?,
            extension: self.extension,
            size: u64::try_from(self.size).map_err(|_| bad("size"))?,
            since: Time(self.restored_at.map_or(self.created_at, |restored| restored.max(self.created_at))),
        })
    }
}

pub(in super::super) async fn read_files(conn: &mut Conn, after: i64, limit: u32) -> Result<Vec<FileFact>, StoreError> {
    let page = files::table.filter(files::number.gt(after)).order(files::number).limit(i64::from(limit));
    let page: Vec<FileRow> = page.select(FileRow::as_select()).load(conn).await?;
    page.into_iter().map(FileRow::fact).collect()
}

#[derive(QueryableByName)]
struct BlobRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    state: String,
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = Bool)]
    shared: bool,
}

impl BlobRow {
    fn fact(self) -> Result<BlobFact, StoreError> {
        let Self { id, state, size, shared } = self;
        let state = rows::find_blob_state(&state).ok_or_else(|| corrupt("blobs", "state", id))?;
        Ok(BlobFact { id, state, size: u64::try_from(size).map_err(|_| corrupt("blobs", "size", id))?, shared })
    }
}

pub(in super::super) async fn read_blobs(conn: &mut Conn, after: i64, limit: u32) -> Result<Vec<BlobFact>, StoreError> {
    let mut page = Statement::new(
        "SELECT blobs.id, blobs.state, blobs.size, \
         EXISTS (SELECT 1 FROM files f WHERE f.blob_id = blobs.id LIMIT 1 OFFSET 1) AS shared FROM blobs WHERE blobs.id > ",
    );
    page.int(after).sql(" ORDER BY blobs.id LIMIT ").int(i64::from(limit));
    let page: Vec<BlobRow> = page.query().load(conn).await?;
    page.into_iter().map(BlobRow::fact).collect()
}

#[derive(QueryableByName)]
struct DueRow {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<Text>)]
    owner: Option<String>,
    #[diesel(sql_type = Bool)]
    attached: bool,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

pub(in super::super) async fn read_due(
    conn: &mut Conn,
    rule: Rule,
    at: Time,
    after: Checkpoint,
    limit: u32,
) -> Result<(Vec<PlanGroup>, Option<Checkpoint>), StoreError> {
    let Some(aging) = Aging::new(&rule, at, after, i64::from(limit)) else { return Ok((Vec::new(), None)) };
    let end = aging.window_end(conn).await?;
    let mut due = Statement::new("SELECT files.number, files.ages_as AS owner, ");
    due.sql(IS_ATTACHED).sql(" AS attached, files.size");
    aging.due(&mut due, &rule);
    let due: Vec<DueRow> = due.query().load(conn).await?;
    let mut groups: Vec<PlanGroup> = Vec::new();
    for DueRow { number, owner: name, attached, size } in due {
        let owner = owner(name.as_deref()).ok_or_else(|| corrupt("files", "ages_as", number))?;
        let bytes = u64::try_from(size).map_err(|_| corrupt("files", "size", number))?;
        match groups.iter_mut().find(|group| (group.owner, group.attached) == (owner, attached)) {
            Some(group) => {
                group.files += 1;
                group.bytes += bytes;
            }
            None => groups.push(PlanGroup { owner, attached, files: 1, bytes }),
        }
    }
    Ok((groups, end))
}

#[async_trait]
impl StatsStore for SqlStore {
    async fn find_guard(&self, rule: &Rule, now: Time) -> Result<(u64, Time), StoreError> {
        let rule = *rule;
        timed!(self.read, "find_guard", |conn| find_guard(conn, rule, now))
    }

    async fn read_files(&self, after: i64, limit: u32) -> Result<Vec<FileFact>, StoreError> {
        timed!(self.read, "read_files", |conn| read_files(conn, after, limit))
    }

    async fn read_blobs(&self, after: i64, limit: u32) -> Result<Vec<BlobFact>, StoreError> {
        timed!(self.read, "read_blobs", |conn| read_blobs(conn, after, limit))
    }

    async fn read_due(
        &self,
        rule: &Rule,
        at: Time,
        after: Checkpoint,
        limit: u32,
    ) -> Result<(Vec<PlanGroup>, Option<Checkpoint>), StoreError> {
        let rule = *rule;
        timed!(self.read, "read_due", |conn| read_due(conn, rule, at, after, limit))
    }
}
