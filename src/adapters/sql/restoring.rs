//! Deleted files brought back.
//!
//! Not here: who may ([`crate::domain::access::restore`], asked inside the transaction) and lists of them (`listing.rs`).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Conn, events, files as rows_of_files, rows,
    schema::{attachments, chats, files},
    statement::Statement,
};
use crate::{
    domain::{
        Actor, Caller, Event, EventKind, FileState, FileView, Refusal, Settings, Time,
        access::{self, Restoration},
        listing::FileRef,
    },
    ports::Stop,
};

/// The file is locked, also by the end of a chat that it is attached to: that one is over, and its chat seen as dead here,
/// or finds this file READY again.
pub(super) async fn restore(
    conn: &mut Conn,
    file: FileRef,
    caller: &Caller,
    settings: &Settings,
    now: Time,
) -> Result<FileView, Stop> {
    let found = rows_of_files::find_to_change(conn, file, caller).await?;
    if access::restore(caller, found.as_ref(), settings, now)? == Restoration::Restore
        && let Some(view) = found
    {
        let number = view.file.number;
        let mut told = detach_from_the_dead(conn, &view, caller).await?;
        diesel::update(files::table.find(number))
            .set((
                files::state.eq(rows::file_state_name(FileState::Ready)),
                files::deleted_at.eq(None::<i64>),
                files::restored_at.eq(now.0),
                files::revision.eq(view.file.revision.saturating_add(1)),
            ))
            .execute(conn)
            .await?;
        let event = Event::new(EventKind::FileRestored, Actor::from(caller));
        told.push(event.file(view.file.id).chat(view.file.home_chat));
        events::write_all(conn, &told, now).await?;
    }
    let there = rows_of_files::find(conn, file, caller).await?;
    Ok(there.ok_or_else(Refusal::not_found)?)
}

/// Chats that ended while the file was deleted left it attached to them; an event for each.
async fn detach_from_the_dead(conn: &mut Conn, view: &FileView, caller: &Caller) -> Result<Vec<Event>, Stop> {
    let number = view.file.number;
    let dead = attachments::table.inner_join(chats::table).filter(attachments::file_number.eq(number));
    let mut dead: Vec<String> = dead.filter(chats::deleted.eq(true)).select(attachments::chat_id).load(conn).await?;
    if dead.is_empty() {
        return Ok(Vec::new());
    }
    let mut gone = Statement::new("DELETE FROM attachments WHERE file_number = ");
    gone.int(number);
    gone.sql(" AND EXISTS (SELECT 1 FROM chats WHERE chats.id = attachments.chat_id AND chats.deleted)");
    gone.query().execute(conn).await?;
    dead.sort_unstable();
    let event = Event::new(EventKind::FileDetached, Actor::from(caller)).file(view.file.id);
    dead.into_iter()
        .map(|id| {
            let chat = id.parse().map_err(|_| rows::corrupt("attachments", "chat_id", number))?;
            Ok(event.clone().chat(Some(chat)))
        })
        .collect()
}
