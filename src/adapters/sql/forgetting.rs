//! What is forgotten for its age, and the port to erasures, method by method: which body, and whether it writes.
//!
//! Not here: what the erasures' bodies do (`erasing.rs`), and runs and request ids (`runs.rs`, `uploads.rs`).

use std::time::Instant;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;

use super::{
    Conn, SqlStore, erasing, is_read_only_by_now,
    schema::{events, stubs},
    time,
};
use crate::{
    domain::{
        Caller, FileId, Time,
        erasure::{Erased, Erasing},
    },
    ports::{EraseStore, ErasedFiles, Intent, MAX_ERASED_EVENTS, MAX_ERASED_FILES, NewErasure, StoreError},
    telemetry::names,
};

/// Events are written in the order of time, or nearly so: the first ones are looked at, and what is not old enough among
/// them waits. Stubs when no event is old enough any more.
pub(super) async fn trim(conn: &mut Conn, keep_secs: i64, now: Time, limit: u32) -> Result<u64, StoreError> {
    let until = time(conn, now).await?.plus_secs(keep_secs.saturating_neg());
    let first = events::table.filter(events::seq.gt(0)).order(events::seq).limit(i64::from(limit));
    let first: Vec<(i64, i64)> = first.select((events::seq, events::at)).load(conn).await?;
    let old: Vec<i64> = first.into_iter().filter(|(_, at)| *at <= until.0).map(|(seq, _)| seq).collect();
    let gone = if old.is_empty() {
        let old = stubs::table.filter(stubs::purged_at.le(until.0)).order(stubs::purged_at).limit(i64::from(limit));
        let old: Vec<i64> = old.select(stubs::number).load(conn).await?;
        if old.is_empty() {
            return Ok(0);
        }
        diesel::delete(stubs::table.filter(stubs::number.eq_any(old))).execute(conn).await?
    } else {
        diesel::delete(events::table.filter(events::seq.eq_any(old))).execute(conn).await?
    };
    if is_read_only_by_now(conn).await? { Err(StoreError::ReadOnly) } else { Ok(gone as u64) }
}

#[async_trait]
impl EraseStore for SqlStore {
    async fn begin_erasure(&self, new: NewErasure) -> Result<Erasing, StoreError> {
        timed!(self.write, "begin_erasure", |conn| erasing::begin(conn, new))
    }

    async fn erase_uploads(&self, of: &Erasing) -> Result<Vec<Intent>, StoreError> {
        let of = of.clone();
        timed!(self.write, "erase_uploads", |conn| erasing::erase_uploads(conn, of))
    }

    async fn erase_files(
        &self,
        of: &Erasing,
        limit: u32,
        caller: &Caller,
        now: Time,
    ) -> Result<ErasedFiles, StoreError> {
        let (of, limit, caller) = (of.clone(), limit.clamp(1, MAX_ERASED_FILES), caller.clone());
        let asked = of.clone();
        let found = timed!(self.read, "find_erased", |conn| erasing::find_files(conn, asked, limit))?;
        if found.is_empty() {
            return Ok(ErasedFiles::default());
        }
        timed!(self.write, "erase_files", |conn| erasing::erase_files(conn, of, found, caller, now))
    }

    async fn list_not_erased(&self, of: &Erasing, limit: u32) -> Result<Vec<FileId>, StoreError> {
        let of = of.clone();
        timed!(self.read, "list_not_erased", |conn| erasing::list_left(conn, of, limit))
    }

    async fn erase_events(&self, of: &Erasing, limit: u32) -> Result<u64, StoreError> {
        let (of, limit) = (of.clone(), limit.clamp(1, MAX_ERASED_EVENTS));
        timed!(self.write, "erase_events", |conn| erasing::erase_events(conn, of, limit))
    }

    async fn end_erasure(&self, of: &Erasing, held: u64, caller: &Caller, now: Time) -> Result<Erased, StoreError> {
        let (of, caller) = (of.clone(), caller.clone());
        timed!(self.write, "end_erasure", |conn| erasing::end(conn, of, held, caller, now))
    }

    async fn trim_events(&self, keep_secs: i64, now: Time, limit: u32) -> Result<u64, StoreError> {
        timed!(self.write, "trim_events", |conn| trim(conn, keep_secs, now, limit))
    }
}
