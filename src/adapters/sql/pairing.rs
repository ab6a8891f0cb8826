//! The id that a database shares with its store of bytes: one row.
//!
//! Not here: when a pair fits (`server/blobs.rs`).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Conn, rows,
    schema::{blobs, store},
};
use crate::{
    domain::{BlobKey, BlobState, StoreId},
    ports::{StoreClaim, StoreError},
};

/// The only row.
const ROW: i64 = 1;

/// Of so many blobs one may be damaged, or on its way out; hardly all of them.
const FEW: i64 = 8;

/// The claim and [`newest_keys`], of a database whose tables may not have been made or migrated yet.
pub(in super::super) async fn look(conn: &mut Conn) -> Result<(Option<StoreClaim>, Vec<BlobKey>), StoreError> {
    let claim = none_without_table(find(conn).await)?;
    Ok((claim, none_without_table(newest_keys(conn).await)?))
}

fn none_without_table<T: Default>(read: Result<T, StoreError>) -> Result<T, StoreError> {
    match read {
        // Either engine's words.
        Err(StoreError::Refused(text)) if text.contains("no such table") || text.contains("does not exist") => {
            Ok(T::default())
        }
        other => other,
    }
}

pub(super) async fn newest_keys(conn: &mut Conn) -> Result<Vec<BlobKey>, StoreError> {
    // The bytes of those that are PURGING may be gone rightly.
    let kept = blobs::table.filter(blobs::state.ne(rows::blob_state_name(BlobState::Purging)));
    let newest = kept.order(blobs::id.desc()).limit(FEW).select((blobs::id, blobs::key));
    let found: Vec<(i64, Vec<u8>)> = newest.load(conn).await?;
    found.into_iter().map(|(id, key)| Ok(BlobKey(rows::bytes("blobs", "key", id, &key)?))).collect()
}

pub(super) async fn find(conn: &mut Conn) -> Result<Option<StoreClaim>, StoreError> {
    let columns = (store::store_id, store::place, store::confirmed);
    let row: Option<(Vec<u8>, String, bool)> = store::table.find(ROW).select(columns).first(conn).await.optional()?;
    row.map(|(id, place, confirmed)| {
        Ok(StoreClaim { id: StoreId(rows::bytes("store", "store_id", ROW, &id)?), place, confirmed })
    })
    .transpose()
}

pub(super) async fn claim(conn: &mut Conn, id: StoreId, place: String) -> Result<StoreClaim, StoreError> {
    diesel::insert_into(store::table)
        .values((
            store::id.eq(ROW),
            store::store_id.eq(id.0.as_slice()),
            store::place.eq(place),
            store::confirmed.eq(false),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    // Ours, or that of a node which was faster.
    find(conn).await?.ok_or_else(|| StoreError::Refused("the row of the store's id was not written".to_owned()))
}

pub(super) async fn confirm(conn: &mut Conn) -> Result<(), StoreError> {
    diesel::update(store::table.find(ROW)).set(store::confirmed.eq(true)).execute(conn).await?;
    Ok(())
}

/// Says which store of bytes belongs to the database, whatever was said before.
pub(super) async fn put(conn: &mut Conn, claim: StoreClaim) -> Result<(), StoreError> {
    let StoreClaim { id, place, confirmed } = claim;
    let values = (store::store_id.eq(id.0.as_slice()), store::place.eq(place), store::confirmed.eq(confirmed));
    diesel::insert_into(store::table)
        .values((store::id.eq(ROW), values.clone()))
        .on_conflict(store::id)
        .do_update()
        .set(values)
        .execute(conn)
        .await?;
    Ok(())
}
