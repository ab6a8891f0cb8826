//! Chats as the chat backend tells them: the bodies of `ChatStore`'s transactions.
//!
//! Not here: the version rule itself ([`crate::domain::chat::next_version`]).

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{
    Backend, Conn, events, lock,
    rows::{self, ChatRow},
    schema::chats,
    statement::Statement,
};
use crate::{
    domain::{Actor, Chat, ChatId, ChatStatus, Event, EventKind, FileState, Time, chat::next_version},
    ports::{ChatDeleted, ChatQuery, ChatTold, StoreError},
};

/// The chat, tombstones too.
pub(in super::super) async fn find(conn: &mut Conn, id: ChatId) -> Result<Option<Chat>, StoreError> {
    let row: Option<ChatRow> =
        chats::table.find(id.as_str()).select(ChatRow::as_select()).first(conn).await.optional()?;
    row.map(Chat::try_from).transpose()
}

/// The chat, tombstones too; it stays as it is until the transaction's end.
pub(super) async fn hold(conn: &mut Conn, id: ChatId) -> Result<Option<Chat>, StoreError> {
    let row: Option<ChatRow> = holding!(chats::table.filter(chats::id.eq(id.as_str())).select(ChatRow::as_select()))
        .first(conn)
        .await
        .optional()?;
    row.map(Chat::try_from).transpose()
}

/// The chat, tombstones too, for a transaction that changes it: whoever else does so waits.
async fn find_to_change(conn: &mut Conn, id: ChatId) -> Result<Option<Chat>, StoreError> {
    let row: Option<ChatRow> = changing!(chats::table.filter(chats::id.eq(id.as_str())).select(ChatRow::as_select()))
        .first(conn)
        .await
        .optional()?;
    row.map(Chat::try_from).transpose()
}

/// Locks those of these chats that are there, by id: so that two batches do not wait for each other in a circle.
async fn lock_all<'c>(conn: &mut Conn, ids: impl IntoIterator<Item = &'c ChatId>) -> Result<(), StoreError> {
    let mut rows = Statement::new("SELECT id FROM chats WHERE id IN ");
    rows.texts(ids.into_iter().map(|id| id.as_str())).sql(" ORDER BY id");
    lock(conn, "chats", rows).await
}

/// Writes a chat that is locked, or one that was not there: then another that was faster with it is a conflict.
async fn store(conn: &mut Conn, chat: &Chat, is_new: bool, now: Time) -> Result<(), StoreError> {
    let row = ChatRow::new(chat, now);
    if is_new {
        let written = diesel::insert_into(chats::table).values(row).on_conflict_do_nothing().execute(conn).await?;
        if written == 0 {
            return Err(StoreError::Conflict("another telling of a new chat was faster".to_owned()));
        }
        return Ok(());
    }
    diesel::update(chats::table.find(chat.id.as_str()))
        .set((
            chats::status.eq(row.status),
            chats::owner.eq(row.owner),
            chats::closed_at.eq(row.closed_at),
            chats::upload_override.eq(row.upload_override),
            chats::version.eq(row.version),
            chats::deleted.eq(row.deleted),
            chats::updated_at.eq(row.updated_at),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

pub(super) async fn put(
    conn: &mut Conn,
    told: Vec<ChatTold>,
    actor: Actor,
    now: Time,
) -> Result<Vec<Chat>, StoreError> {
    lock_all(conn, told.iter().map(|t| &t.id)).await?;
    let mut stored = Vec::with_capacity(told.len());
    let mut events = Vec::new();
    for ChatTold { id, status, owner, closed_at, upload_override, version } in told {
        // The version rule compares with what is there: nobody else tells of this chat until we are done.
        let before = find_to_change(conn, id.clone()).await?;
        let Some(version) = next_version(before.as_ref().map(|c| c.version), version) else {
            stored.extend(before);
            continue;
        };
        // CLOSED without a time means now; told again without one, it stays closed since it was.
        let since = before.as_ref().filter(|c| c.status == ChatStatus::Closed && !c.deleted).and_then(|c| c.closed_at);
        let closed_at = (status == ChatStatus::Closed).then(|| closed_at.or(since).unwrap_or(now));
        let chat = Chat { id, status, owner, closed_at, upload_override, version, deleted: false };
        store(conn, &chat, before.is_none(), now).await?;
        let event = Event::new(EventKind::ChatPut, actor.clone()).chat(Some(chat.id.clone()));
        events.push(event.detail(version.to_string()));
        stored.push(chat);
    }
    events::write_all(conn, &events, now).await?;
    Ok(stored)
}

pub(in super::super) async fn list(conn: &mut Conn, query: ChatQuery) -> Result<Vec<Chat>, StoreError> {
    let ChatQuery { status, owner, scope, after, limit } = query;
    let mut list = chats::table
        .filter(chats::deleted.eq(false))
        .select(ChatRow::as_select())
        .order(chats::id)
        .limit(i64::from(limit))
        .into_boxed::<Backend>();
    if let Some(status) = status {
        list = list.filter(chats::status.eq(rows::chat_status_name(status)));
    }
    if let Some(owner) = owner {
        list = list.filter(chats::owner.eq(owner.to_string()));
    }
    if let Some(scope) = scope {
        list = list.filter(chats::id.eq_any(scope.into_iter().map(|id| id.to_string())));
    }
    if let Some(after) = after {
        list = list.filter(chats::id.gt(after.to_string()));
    }
    let found: Vec<ChatRow> = list.load(conn).await?;
    found.into_iter().map(Chat::try_from).collect()
}

/// Whether a file of `files` has an attachment to a living chat other than the one bound next.
const ATTACHED_ELSEWHERE: &str = "EXISTS (SELECT 1 FROM attachments a JOIN chats c ON c.id = a.chat_id \
     WHERE a.file_number = files.number AND NOT c.deleted AND a.chat_id <> ";

/// The READY files whose home is this chat and that are attached nowhere else.
fn where_only_here(statement: &mut Statement, id: &ChatId) {
    statement.sql(" WHERE files.home_chat_id = ").text(id.as_str()).sql(" AND files.state = ");
    statement.text(rows::file_state_name(FileState::Ready)).sql(" AND NOT ").sql(ATTACHED_ELSEWHERE);
    statement.text(id.as_str()).sql(")");
}

/// The READY files at home or attached here, with all that is attached: whoever attaches, detaches or deletes one of them
/// locks it first, so that what the statements below find is still so when the transaction ends.
async fn lock_files(conn: &mut Conn, id: &ChatId) -> Result<(), StoreError> {
    let mut found = Statement::new("SELECT number FROM files WHERE number IN (SELECT f.number FROM files f ");
    found.sql("WHERE f.home_chat_id = ").text(id.as_str()).sql(" UNION SELECT file_number FROM attachments ");
    found.sql("WHERE chat_id = ").text(id.as_str()).sql(") AND state = ").text(rows::file_state_name(FileState::Ready));
    found.sql(" ORDER BY number");
    lock(conn, "files", found).await
}

/// Leaves a tombstone. A few statements for any number of files.
///
/// The chat is locked, or the tombstone is the first row of its id: an upload's commit and an attach hold their chat, so
/// that they are seen here, or see the tombstone.
pub(super) async fn delete(
    conn: &mut Conn,
    id: ChatId,
    version: i64,
    actor: Actor,
    now: Time,
) -> Result<ChatDeleted, StoreError> {
    let before = find_to_change(conn, id.clone()).await?;
    let Some(version) = next_version(before.as_ref().map(|c| c.version), version) else {
        return Ok(ChatDeleted::default());
    };
    let is_new = before.is_none();
    let mut chat = before.unwrap_or(Chat {
        id: id.clone(),
        status: ChatStatus::Closed,
        owner: None,
        closed_at: None,
        upload_override: None,
        version,
        deleted: true,
    });
    (chat.version, chat.deleted, chat.status) = (version, true, ChatStatus::Closed);
    chat.closed_at = chat.closed_at.or(Some(now));
    store(conn, &chat, is_new, now).await?;
    lock_files(conn, &id).await?;

    let mut told = Statement::new(events::INSERT);
    told.sql("SELECT ");
    events::columns(&mut told, &Event::new(EventKind::FileDeleted, actor.clone()), now);
    told.sql("files.id, files.home_chat_id FROM files");
    where_only_here(&mut told, &id);
    let files_deleted = told.query().execute(conn).await?;
    if files_deleted > 0 {
        let mut tombstones = Statement::new("UPDATE files SET revision = revision + 1, state = ");
        tombstones.text(rows::file_state_name(FileState::Deleted)).sql(", deleted_at = ").int(now.0);
        where_only_here(&mut tombstones, &id);
        tombstones.query().execute(conn).await?;
    }

    // A tombstoned file keeps its attachments, here too: an undelete needs them.
    let mut told = Statement::new(events::INSERT);
    told.sql("SELECT ");
    events::columns(&mut told, &Event::new(EventKind::FileDetached, actor.clone()), now);
    told.sql("files.id, attachments.chat_id FROM attachments JOIN files ON files.number = attachments.file_number");
    told.sql(" WHERE attachments.chat_id = ").text(id.as_str()).sql(" AND files.state = ");
    told.text(rows::file_state_name(FileState::Ready));
    let files_detached = told.query().execute(conn).await?;
    if files_detached > 0 {
        let mut detach = Statement::new("DELETE FROM attachments WHERE chat_id = ");
        detach.text(id.as_str()).sql(" AND EXISTS (SELECT 1 FROM files WHERE files.number = attachments.file_number");
        detach.sql(" AND files.state = ").text(rows::file_state_name(FileState::Ready)).sql(")");
        detach.query().execute(conn).await?;
    }
    let event = Event::new(EventKind::ChatDeleted, actor).chat(Some(id)).detail(version.to_string());
    events::write(conn, &event, now).await?;
    Ok(ChatDeleted { files_deleted: files_deleted as u64, files_detached: files_detached as u64 })
}
