//! Deleted files brought back.
//!
//! Not here: who may ([`crate::domain::access::restore`], asked inside the transaction) and lists of them (`listing.rs`).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Conn, events, files as rows_of_files,
    rows::{self, ChatRow},
    schema::{attachments, chats, files},
};
use crate::{
    domain::{
        Actor, Caller, Event, EventKind, FileState, FileView, Refusal, Settings, Time,
        access::{self, Restoration},
        listing::FileRef,
    },
    ports::Stop,
};

/// The chats that it is attached to are held, by id and before the file, as in the order of all locks: none is deleted
/// meanwhile, which would leave the file attached to it.
pub(super) async fn restore(
    conn: &mut Conn,
    file: FileRef,
    caller: &Caller,
    settings: &Settings,
    now: Time,
) -> Result<FileView, Stop> {
    let number = rows_of_files::find(conn, file, caller).await?.map_or(-1, |view| view.file.number);
    let attached = attachments::table.filter(attachments::file_number.eq(number)).select(attachments::chat_id);
    let named = chats::table.filter(chats::id.eq_any(attached)).select(ChatRow::as_select()).order(chats::id);
    let held: Vec<ChatRow> = holding!(named).load(conn).await?;
    let found = rows_of_files::find_to_change(conn, file, caller).await?;
    if access::restore(caller, found.as_ref(), settings, now)? == Restoration::Restore
        && let Some(view) = found
    {
        let dead: Vec<&str> = held.iter().filter(|chat| chat.deleted).map(|chat| chat.id.as_str()).collect();
        let gone = attachments::table.filter(attachments::file_number.eq(number));
        diesel::delete(gone.filter(attachments::chat_id.eq_any(dead))).execute(conn).await?;
        diesel::update(files::table.find(number))
            .set((
                files::state.eq(rows::file_state_name(FileState::Ready)),
                files::deleted_at.eq(None::<i64>),
                files::restored_at.eq(now.0),
                files::revision.eq(view.file.revision.saturating_add(1)),
            ))
            .execute(conn)
            .await?;
        let event =
            Event::new(EventKind::FileRestored, Actor::from(caller)).file(view.file.id).chat(view.file.home_chat);
        events::write(conn, &event, now).await?;
    }
    let there = rows_of_files::find(conn, file, caller).await?;
    Ok(there.ok_or_else(Refusal::not_found)?)
}
