//! Chats as the chat backend tells them: the bodies of `ChatStore`'s transactions.
//!
//! Not here: the version rule itself ([`crate::domain::chat::next_version`]).

use diesel::{prelude::*, upsert::excluded};
use diesel_async::RunQueryDsl;

use super::{
    Backend, Conn, events,
    rows::{self, ChatRow},
    schema::chats,
    statement::Statement,
};
use crate::{
    domain::{Actor, Chat, ChatId, ChatStatus, Event, EventKind, FileState, Time, chat::next_version},
    ports::{ChatDeleted, ChatQuery, ChatTold, StoreError},
};

/// The chat, tombstones too.
pub(super) async fn find(conn: &mut Conn, id: ChatId) -> Result<Option<Chat>, StoreError> {
    let row: Option<ChatRow> =
        chats::table.find(id.as_str()).select(ChatRow::as_select()).first(conn).await.optional()?;
    row.map(Chat::try_from).transpose()
}

async fn store(conn: &mut Conn, chat: &Chat, now: Time) -> Result<(), StoreError> {
    diesel::insert_into(chats::table)
        .values(ChatRow::new(chat, now))
        .on_conflict(chats::id)
        .do_update()
        .set((
            chats::status.eq(excluded(chats::status)),
            chats::owner.eq(excluded(chats::owner)),
            chats::closed_at.eq(excluded(chats::closed_at)),
            chats::upload_override.eq(excluded(chats::upload_override)),
            chats::version.eq(excluded(chats::version)),
            chats::deleted.eq(excluded(chats::deleted)),
            chats::updated_at.eq(excluded(chats::updated_at)),
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
    let mut stored = Vec::with_capacity(told.len());
    for ChatTold { id, status, owner, closed_at, upload_override, version } in told {
        let before = find(conn, id.clone()).await?;
        let Some(version) = next_version(before.as_ref().map(|c| c.version), version) else {
            stored.extend(before);
            continue;
        };
        // CLOSED without a time means now; told again without one, it stays closed since it was.
        let since = before.as_ref().filter(|c| c.status == ChatStatus::Closed && !c.deleted).and_then(|c| c.closed_at);
        let closed_at = (status == ChatStatus::Closed).then(|| closed_at.or(since).unwrap_or(now));
        let chat = Chat { id, status, owner, closed_at, upload_override, version, deleted: false };
        store(conn, &chat, now).await?;
        let event = Event::new(EventKind::ChatPut, actor.clone()).chat(Some(chat.id.clone()));
        events::write(conn, &event.detail(version.to_string()), now).await?;
        stored.push(chat);
    }
    Ok(stored)
}

pub(super) async fn list(conn: &mut Conn, query: ChatQuery) -> Result<Vec<Chat>, StoreError> {
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

/// Leaves a tombstone. A few statements for any number of files.
pub(super) async fn delete(
    conn: &mut Conn,
    id: ChatId,
    version: i64,
    actor: Actor,
    now: Time,
) -> Result<ChatDeleted, StoreError> {
    let before = find(conn, id.clone()).await?;
    let Some(version) = next_version(before.as_ref().map(|c| c.version), version) else {
        return Ok(ChatDeleted::default());
    };
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
    store(conn, &chat, now).await?;

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
