//! What a move of the bytes asks the database: the bodies of `MovingStore`.
//!
//! Not here: how a database is copied itself (`copying.rs`).

use async_trait::async_trait;
use diesel::{dsl::count_star, prelude::*};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt as _;

use super::{
    Conn, SqlStore, from_now, pairing,
    rows::{self, corrupt},
    schema::{blobs, uploads},
};
use crate::{
    domain::{BlobKey, BlobState, Sha256, StoreId, Time},
    ports::{Intent, MovingStore, NamedBytes, StoreClaim, StoreError, UnderWay},
};

type BytesRow = (i64, Vec<u8>, Vec<u8>, i64, String);

#[derive(QueryableByName)]
struct Sum {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    bytes: i64,
}

async fn count_bytes(conn: &mut Conn) -> Result<(u64, u64), StoreError> {
    let blobs: i64 = blobs::table.select(count_star()).first(conn).await?;
    // A sum of BIGINT is a NUMERIC on PostgreSQL, which is read nowhere else.
    let sum = diesel::sql_query("SELECT CAST(coalesce(sum(size), 0) AS BIGINT) AS bytes FROM blobs");
    let sum: Sum = sum.get_result(conn).await?;
    Ok((blobs.unsigned_abs(), sum.bytes.unsigned_abs()))
}

async fn list_bytes(conn: &mut Conn, after: i64, limit: i64) -> Result<Vec<NamedBytes>, StoreError> {
    let columns = (blobs::id, blobs::key, blobs::sha256, blobs::size, blobs::state);
    let found: Vec<BytesRow> =
        blobs::table.filter(blobs::id.gt(after)).order(blobs::id).limit(limit).select(columns).load(conn).await?;
    let named = found.into_iter().map(|(id, key, sha256, size, state)| {
        Ok(NamedBytes {
            id,
            key: BlobKey(rows::bytes("blobs", "key", id, &key)?),
            sha256: Sha256(rows::bytes("blobs", "sha256", id, &sha256)?),
            size: u64::try_from(size).map_err(|_| corrupt("blobs", "size", id))?,
            leaving: state == rows::blob_state_name(BlobState::Purging),
        })
    });
    named.collect()
}

async fn list_under_way(conn: &mut Conn, now: Time) -> Result<Vec<UnderWay>, StoreError> {
    let columns = (uploads::id, uploads::key, uploads::node, uploads::lease_until.lt(from_now(now, 0)));
    let found: Vec<(i64, Vec<u8>, String, bool)> = uploads::table
        .filter(uploads::file_id.is_null())
        .order(uploads::lease_until.desc())
        .limit(10_000)
        .select(columns)
        .load(conn)
        .await?;
    let under_way = found.into_iter().map(|(id, key, node, lease_over)| {
        let intent = Intent { id, key: BlobKey(rows::bytes("uploads", "key", id, &key)?) };
        Ok(UnderWay { intent, node, lease_over })
    });
    under_way.collect()
}

async fn change_store(conn: &mut Conn, from: StoreId, to: StoreClaim) -> Result<bool, StoreError> {
    let Some(claim) = pairing::find(conn).await? else { return Ok(false) };
    if claim.id == from {
        pairing::put(conn, to).await?;
        return Ok(true);
    }
    // Asked again: the answer was lost.
    Ok(claim.id == to.id)
}

#[async_trait]
impl MovingStore for SqlStore {
    async fn count_bytes(&self) -> Result<(u64, u64), StoreError> {
        self.engine.read(|conn| count_bytes(conn).boxed()).await
    }

    async fn list_bytes(&self, after: i64, limit: i64) -> Result<Vec<NamedBytes>, StoreError> {
        self.engine.read(move |conn| list_bytes(conn, after, limit).boxed()).await
    }

    async fn list_under_way(&self, now: Time) -> Result<Vec<UnderWay>, StoreError> {
        self.engine.read(move |conn| list_under_way(conn, now).boxed()).await
    }

    async fn change_store(&self, from: StoreId, to: StoreClaim) -> Result<bool, StoreError> {
        self.engine.write(move |conn| change_store(conn, from, to).boxed()).await
    }
}
