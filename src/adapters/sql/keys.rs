//! Opaque keys at rest: made, listed, ended, and read as a whole by every node whenever their version has grown.
//!
//! Not here: the rows (`key_row.rs`), and who believes a key (`app/keys/ring.rs`).

use diesel::{dsl::sql, prelude::*, sql_types::Text};
use diesel_async::RunQueryDsl;

use super::{
    Backend, Conn, announce, events,
    key_row::KeyRow,
    rows,
    schema::{access_keys as keys, access_keys_version as version},
};
use crate::{
    domain::{
        Actor, Event, EventKind, KeyId, Reason, Refusal, Sha256, Time, VisitorId,
        key::{Key, MOST_KEYS, Reach},
    },
    ports::{KeyQuery, LiveKeys, Stop, StoreError},
};

/// The version as it is; whoever changes keys at the same time waits here.
async fn version_to_change(conn: &mut Conn) -> Result<i64, StoreError> {
    Ok(changing!(version::table.select(version::version)).first(conn).await?)
}

/// Tells every node: by the version, and where the engine can, at once.
async fn changed(conn: &mut Conn, before: i64, event: Event, now: Time) -> Result<(), StoreError> {
    diesel::update(version::table).set(version::version.eq(before.saturating_add(1))).execute(conn).await?;
    events::write(conn, &event, now).await?;
    announce(conn).await
}

pub(super) async fn create(conn: &mut Conn, key: Key, hash: Sha256) -> Result<(), Stop> {
    let before = version_to_change(conn).await?;
    let creator = key.created_by.person.clone().ok_or_else(|| rows::corrupt("access_keys", "created_id", key.id))?;
    let counting: i64 = keys::table
        .filter(keys::retired_at.is_null())
        .filter(keys::expires_at.gt(key.created_at.0))
        .count()
        .get_result(conn)
        .await?;
    if counting >= MOST_KEYS {
        return Err(Refusal::new(Reason::QuotaKeys).with("limit", MOST_KEYS).into());
    }
    diesel::insert_into(keys::table).values(KeyRow::new(&key, hash, &creator)).execute(conn).await?;
    let event = Event::new(EventKind::KeyCreated, key.created_by).detail(key.id.to_string());
    Ok(changed(conn, before, event, key.created_at).await?)
}

pub(in super::super) async fn list(conn: &mut Conn, query: KeyQuery) -> Result<Vec<(i64, Key)>, StoreError> {
    let KeyQuery { reach, counting_at, before, limit } = query;
    let mut list = keys::table
        .select((keys::number, KeyRow::as_select()))
        // Also of the first page: the index is then walked from a place on.
        .filter(keys::number.lt(before.unwrap_or(i64::MAX)))
        .order(keys::number.desc())
        .limit(i64::from(limit))
        .into_boxed::<Backend>();
    if let Reach::MadeBy(person, through) = reach {
        list = list.filter(keys::created_kind.eq(rows::kind_name(person.kind())));
        list = list.filter(keys::created_id.eq(person.id().to_owned()));
        if let Some(service) = through {
            list = list.filter(keys::created_service.eq(service.to_string()));
        }
    }
    if let Some(now) = counting_at {
        list = list.filter(keys::retired_at.is_null()).filter(keys::expires_at.gt(now.0));
    }
    let found: Vec<(i64, KeyRow)> = list.load(conn).await?;
    found.into_iter().map(|(number, row)| Ok((number, row.key(number)?))).collect()
}

pub(super) async fn retire(conn: &mut Conn, id: KeyId, reach: Reach, actor: Actor, now: Time) -> Result<Key, Stop> {
    let before = version_to_change(conn).await?;
    let found: Option<(i64, KeyRow)> = keys::table
        .filter(keys::id.eq(id.0.as_slice()))
        .select((keys::number, KeyRow::as_select()))
        .first(conn)
        .await
        .optional()?;
    let (number, row) = found.ok_or_else(Refusal::not_found)?;
    let mut key = row.key(number)?;
    if !reach.holds(&key) {
        return Err(Refusal::not_found().into());
    }
    if key.retired_at.is_some() {
        return Ok(key);
    }
    key.retired_at = Some(now);
    diesel::update(keys::table.find(number)).set(keys::retired_at.eq(now.0)).execute(conn).await?;
    changed(conn, before, Event::new(EventKind::KeyRetired, actor).detail(id.to_string()), now).await?;
    Ok(key)
}

/// Ends all keys of a visitor, and writes the pseudonym where they name it, those that ended before, too. Answers how many
/// have ended now. The kind is spelled out, as in the index.
pub(super) async fn erase(
    conn: &mut Conn,
    visitor: &VisitorId,
    pseudonym: &VisitorId,
    actor: &Actor,
    now: Time,
) -> Result<usize, StoreError> {
    let (was, is) = (visitor.as_str(), pseudonym.as_str());
    let own = || keys::person_kind.eq(sql::<Text>("'VISITOR'")).and(keys::person_id.eq(was));
    let named = keys::table.select(keys::number).filter(own());
    let mut found: Vec<i64> = named.load(conn).await?;
    let acting = keys::table.select(keys::number).filter(keys::vid.assume_not_null().eq(was));
    found.extend(acting.load::<i64>(conn).await?);
    if found.is_empty() {
        return Ok(0);
    }
    let before = version_to_change(conn).await?;
    let of_them = || keys::table.filter(keys::number.eq_any(&found));
    let now_live: Vec<(i64, Vec<u8>, Option<i64>)> =
        of_them().select((keys::number, keys::id, keys::retired_at)).load(conn).await?;
    let (live, retired): (Vec<i64>, Vec<Vec<u8>>) =
        now_live.into_iter().filter(|(.., retired)| retired.is_none()).map(|(number, id, _)| (number, id)).unzip();
    diesel::update(keys::table.filter(keys::number.eq_any(live))).set(keys::retired_at.eq(now.0)).execute(conn).await?;
    diesel::update(of_them().filter(own())).set(keys::person_id.eq(is)).execute(conn).await?;
    diesel::update(of_them().filter(keys::vid.assume_not_null().eq(was))).set(keys::vid.eq(is)).execute(conn).await?;
    if retired.is_empty() {
        return Ok(0);
    }
    diesel::update(version::table).set(version::version.eq(before.saturating_add(1))).execute(conn).await?;
    let mut told = Vec::with_capacity(retired.len());
    for id in &retired {
        let id = KeyId(rows::bytes("access_keys", "id", "of an erased visitor", id)?);
        told.push(Event::new(EventKind::KeyRetired, actor.clone()).detail(id.to_string()));
    }
    events::write_all(conn, &told, now).await?;
    announce(conn).await?;
    Ok(retired.len())
}

pub(in super::super) async fn load(conn: &mut Conn, now: Time) -> Result<LiveKeys, StoreError> {
    let version = version(conn).await?;
    let found: Vec<(i64, KeyRow)> = keys::table
        .filter(keys::retired_at.is_null())
        .filter(keys::expires_at.gt(now.0))
        .select((keys::number, KeyRow::as_select()))
        .load(conn)
        .await?;
    let keys = found.into_iter().filter_map(|(number, row)| match row.live(number) {
        Ok(key) => Some(key),
        Err(error) => {
            // Nobody believes it, and the others count.
            tracing::error!(%error, "an opaque key is left out: its row is damaged");
            None
        }
    });
    Ok(LiveKeys { version, keys: keys.collect() })
}

pub(super) async fn version(conn: &mut Conn) -> Result<i64, StoreError> {
    Ok(version::table.select(version::version).first(conn).await?)
}
