//! Writing events, each in the transaction of its cause and last in it: from the first event on nobody else's transaction
//! writes one until this one has ended, so that a reader by `seq` never skips one. On SQLite a writer is alone; on
//! PostgreSQL the table sees to it itself (a trigger of `migrations/postgres/`), so that nobody can forget it.
//!
//! Not here: reading them (a later issue's RPC).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, is_read_only, rows, schema::events, statement::Statement};
use crate::{
    domain::{Actor, Event, EventKind, Time},
    ports::StoreError,
};

#[derive(Insertable)]
#[diesel(table_name = events)]
struct NewEvent<'a> {
    at: i64,
    kind: &'static str,
    person_kind: Option<&'static str>,
    person_id: Option<&'a str>,
    acting_service: Option<&'a str>,
    file_id: Option<&'a [u8]>,
    chat_id: Option<&'a str>,
    reason: Option<&'static str>,
    detail: Option<&'a str>,
}

/// Kind, id and acting service of an actor, as columns.
pub(super) fn actor_columns(actor: &Actor) -> (Option<&'static str>, Option<&str>, Option<&str>) {
    (
        actor.person.as_ref().map(|p| rows::kind_name(p.kind())),
        actor.person.as_ref().map(|p| p.id()),
        actor.acting_service.as_ref().map(|s| s.as_str()),
    )
}

/// Writes one event. [`StoreError::ReadOnly`] for a change where `read_only` was set before it: that setting's own event
/// has its place in the same order.
pub(super) async fn write(conn: &mut Conn, event: &Event, now: Time) -> Result<(), StoreError> {
    allow(conn, event.kind).await?;
    let (person_kind, person_id, acting_service) = actor_columns(&event.actor);
    let row = NewEvent {
        at: now.0,
        kind: event.kind.name(),
        person_kind,
        person_id,
        acting_service,
        file_id: event.file.as_ref().map(|id| id.0.as_slice()),
        chat_id: event.chat.as_ref().map(|id| id.as_str()),
        reason: event.reason.map(|r| r.name()),
        detail: event.detail.as_deref(),
    };
    diesel::insert_into(events::table).values(row).execute(conn).await?;
    Ok(())
}

/// Events of one statement: each binds nine values, of which an engine takes some ten thousands.
const AT_ONCE: usize = 1_000;

/// Before events of this kind are written: the engine sees to it itself, or is asked here.
pub(super) async fn allow(conn: &mut Conn, kind: EventKind) -> Result<(), StoreError> {
    if kind.is_change() && is_read_only(conn).await? { Err(StoreError::ReadOnly) } else { Ok(()) }
}

/// Writes events in their order, by few statements; see `write`.
pub(super) async fn write_all(conn: &mut Conn, all: &[Event], now: Time) -> Result<(), StoreError> {
    if let Some(change) = all.iter().find(|event| event.kind.is_change()) {
        allow(conn, change.kind).await?;
    }
    for some in all.chunks(AT_ONCE) {
        let mut insert = Statement::new(
            "INSERT INTO events (at, kind, person_kind, person_id, acting_service, file_id, chat_id, reason, detail) ",
        );
        for (i, event) in some.iter().enumerate() {
            insert.sql(if i == 0 { "VALUES (" } else { ", (" });
            columns(&mut insert, event, now);
            match &event.file {
                Some(id) => insert.bytes(&id.0),
                None => insert.sql("NULL"),
            };
            insert.sql(", ").nullable_text(event.chat.as_ref().map(|id| id.as_str()));
            insert.sql(", ").nullable_text(event.reason.map(|r| r.name()));
            insert.sql(", ").nullable_text(event.detail.as_deref()).sql(")");
        }
        insert.query().execute(conn).await?;
    }
    Ok(())
}

/// The head of an `INSERT … VALUES` of many events; [`columns`] gives each row's first columns.
pub(super) const INSERT: &str =
    "INSERT INTO events (at, kind, person_kind, person_id, acting_service, file_id, chat_id) ";

/// Time, kind and actor of a row of [`INSERT`], each bound, with a comma after the last.
pub(super) fn columns(statement: &mut Statement, event: &Event, now: Time) {
    let (person_kind, person_id, acting_service) = actor_columns(&event.actor);
    statement.int(now.0).sql(", ").text(event.kind.name()).sql(", ").nullable_text(person_kind).sql(", ");
    statement.nullable_text(person_id).sql(", ").nullable_text(acting_service).sql(", ");
}
