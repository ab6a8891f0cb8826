//! Settings at rest: a row per key that was ever stored, in the text form of the command line; one version for all.
//!
//! Not here: types, bounds and defaults ([`crate::domain::settings`]).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Conn, announce, events,
    rows::corrupt,
    schema::{settings, settings_history, settings_version},
};
use crate::{
    domain::{
        Actor, Event, EventKind, Reason, Settings, Time,
        settings::{self as table, SettingValue},
    },
    ports::{Stop, StoreError, StoredSettings},
};

pub(in super::super) async fn load(conn: &mut Conn) -> Result<StoredSettings, StoreError> {
    let (version, updated_at): (i64, Option<i64>) =
        settings_version::table.select((settings_version::version, settings_version::updated_at)).first(conn).await?;
    let stored: Vec<(String, String)> = settings::table.select((settings::key, settings::value)).load(conn).await?;
    let mut values = Settings::default();
    for (key, text) in stored {
        let def = table::find(&key).map_err(|_| corrupt("settings", "key", &key))?;
        let value = def.kind.parse(&text).map_err(|_| corrupt("settings", "value", &key))?;
        values.set(def.key, value).map_err(|_| corrupt("settings", "value", &key))?;
    }
    Ok(StoredSettings { settings: values, version, updated_at: updated_at.map(Time) })
}

pub(super) async fn version(conn: &mut Conn) -> Result<i64, StoreError> {
    Ok(settings_version::table.select(settings_version::version).first(conn).await?)
}

pub(super) async fn save(
    conn: &mut Conn,
    changes: Vec<(&'static str, SettingValue)>,
    expected: i64,
    actor: Actor,
    now: Time,
) -> Result<i64, Stop> {
    // Whoever changes settings at the same time waits here, and then finds the version changed.
    let stored: i64 = changing!(settings_version::table.select(settings_version::version)).first(conn).await?;
    if stored != expected {
        return Err(Reason::EtagMismatch.into());
    }
    let version = expected.saturating_add(1);
    let (person_kind, person_id, acting_service) = events::actor_columns(&actor);
    for (key, value) in &changes {
        let text = value.to_string();
        let old: Option<String> = settings::table.find(*key).select(settings::value).first(conn).await.optional()?;
        diesel::insert_into(settings::table)
            .values((settings::key.eq(*key), settings::value.eq(&text)))
            .on_conflict(settings::key)
            .do_update()
            .set(settings::value.eq(&text))
            .execute(conn)
            .await?;
        diesel::insert_into(settings_history::table)
            .values((
                settings_history::version.eq(version),
                settings_history::key.eq(*key),
                settings_history::old_value.eq(old),
                settings_history::new_value.eq(&text),
                settings_history::at.eq(now.0),
                settings_history::person_kind.eq(person_kind),
                settings_history::person_id.eq(person_id),
                settings_history::acting_service.eq(acting_service),
            ))
            .execute(conn)
            .await?;
    }
    diesel::update(settings_version::table)
        .set((settings_version::version.eq(version), settings_version::updated_at.eq(now.0)))
        .execute(conn)
        .await?;
    let event = Event::new(EventKind::SettingsUpdated, actor.clone()).detail(version.to_string());
    events::write(conn, &event, now).await?;
    announce(conn).await?;
    Ok(version)
}
