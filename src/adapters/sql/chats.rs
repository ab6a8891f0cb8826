//! Chats as the chat backend tells them: the bodies of `ChatStore`'s transactions.
//!
//! Not here: the version rule itself ([`crate::domain::chat::next_version`]).

use diesel::{prelude::*, sql_types};
use diesel_async::RunQueryDsl;

use super::{
    Backend, Conn, events, holds, lock,
    rows::{self, ChatRow},
    schema::chats,
    statement::Statement,
};
use crate::{
    domain::{Actor, Chat, ChatId, ChatStatus, Event, EventKind, FileId, FileState, Reason, Time, chat::next_version},
    ports::{ChatDeleted, ChatQuery, ChatTold, Stop, StoreError},
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

/// Writes a chat that is locked, or one that was not there; `false` if another telling of it was faster, which is waited
/// for: then it is there to be locked.
async fn store(conn: &mut Conn, chat: &Chat, is_new: bool, now: Time) -> Result<bool, StoreError> {
    let row = ChatRow::new(chat, now);
    if is_new {
        let written = diesel::insert_into(chats::table).values(row).on_conflict_do_nothing().execute(conn).await?;
        return Ok(written > 0);
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
    Ok(true)
}

/// All by id, new ones too: two batches that name the same chats in different orders do not wait for each other in a
/// circle. Answers and events are in the order in which they were told.
pub(super) async fn put(
    conn: &mut Conn,
    told: Vec<ChatTold>,
    actor: Actor,
    now: Time,
) -> Result<Vec<Chat>, StoreError> {
    lock_all(conn, told.iter().map(|t| &t.id)).await?;
    let mut by_id: Vec<_> = told.into_iter().enumerate().collect();
    // Of one chat the tellings stay in their order.
    by_id.sort_by(|(_, a), (_, b)| a.id.as_str().cmp(b.id.as_str()));
    let mut stored = Vec::with_capacity(by_id.len());
    for (place, told) in by_id {
        let (chat, applied) = put_one(conn, &told, now).await?;
        stored.push((place, chat, applied));
    }
    stored.sort_by_key(|(place, ..)| *place);
    let applied = stored.iter().filter(|(.., applied)| *applied);
    let events: Vec<Event> = applied
        .map(|(_, chat, _)| {
            let event = Event::new(EventKind::ChatPut, actor.clone()).chat(Some(chat.id.clone()));
            event.detail(chat.version.to_string())
        })
        .collect();
    events::write_all(conn, &events, now).await?;
    Ok(stored.into_iter().map(|(_, chat, _)| chat).collect())
}

/// The chat as it is stored afterwards, and whether the telling applied.
async fn put_one(conn: &mut Conn, told: &ChatTold, now: Time) -> Result<(Chat, bool), StoreError> {
    loop {
        // The version rule compares with what is there: nobody else tells of this chat until we are done.
        let before = find_to_change(conn, told.id.clone()).await?;
        let version = match (next_version(before.as_ref().map(|c| c.version), told.version), &before) {
            (Some(version), _) => version,
            (None, Some(before)) => return Ok((before.clone(), false)),
            (None, None) => return Err(StoreError::Refused("a new chat takes any version".to_owned())),
        };
        // CLOSED without a time means now; told again without one, it stays closed since it was.
        let since = before.as_ref().filter(|c| c.status == ChatStatus::Closed && !c.deleted).and_then(|c| c.closed_at);
        let closed_at = (told.status == ChatStatus::Closed).then(|| told.closed_at.or(since).unwrap_or(now));
        let chat = Chat {
            id: told.id.clone(),
            status: told.status,
            owner: told.owner.clone(),
            closed_at,
            upload_override: told.upload_override,
            version,
            deleted: false,
        };
        if store(conn, &chat, before.is_none(), now).await? {
            return Ok((chat, true));
        }
    }
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
pub(super) const ATTACHED_ELSEWHERE: &str = "EXISTS (SELECT 1 FROM attachments a JOIN chats c ON c.id = a.chat_id \
     WHERE a.file_number = files.number AND NOT c.deleted AND a.chat_id <> ";

/// The READY files whose home is this chat and that are attached nowhere else.
fn where_only_here(statement: &mut Statement, id: &ChatId) {
    statement.sql(" WHERE files.home_chat_id = ").text(id.as_str()).sql(" AND files.state = ");
    statement.text(rows::file_state_name(FileState::Ready)).sql(" AND NOT ").sql(ATTACHED_ELSEWHERE);
    statement.text(id.as_str()).sql(")");
}

/// The files at home or attached here, deleted ones too: whoever attaches, detaches, deletes or restores one of them locks
/// it first, so that what the statements below find is still so when the transaction ends.
async fn lock_files(conn: &mut Conn, id: &ChatId) -> Result<(), StoreError> {
    let mut found = Statement::new("SELECT number FROM files WHERE number IN (SELECT f.number FROM files f ");
    found.sql("WHERE f.home_chat_id = ").text(id.as_str()).sql(" UNION SELECT file_number FROM attachments ");
    found.sql("WHERE chat_id = ").text(id.as_str()).sql(") ORDER BY number");
    lock(conn, "files", found).await
}

/// A file that a statement found.
#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Binary)]
    id: Vec<u8>,
    #[diesel(sql_type = sql_types::BigInt)]
    number: i64,
}

/// Files as a statement finds them, each as an event of this kind.
async fn found(conn: &mut Conn, files: Statement, event: &Event) -> Result<Vec<Event>, StoreError> {
    let found: Vec<Found> = files.query().load(conn).await?;
    let found = found.into_iter();
    found.map(|Found { id, number }| Ok(event.clone().file(FileId(rows::bytes("files", "id", number, &id)?)))).collect()
}

/// Leaves a tombstone, unless a hold forbids it. A few statements for any number of files, and the events last: from the
/// first of them on every other transaction that writes one waits.
///
/// The chat is locked, or the tombstone is the first row of its id: an upload's commit and an attach hold their chat, so
/// that they are seen here, or see the tombstone.
pub(super) async fn delete(
    conn: &mut Conn,
    id: ChatId,
    version: i64,
    actor: Actor,
    now: Time,
) -> Result<ChatDeleted, Stop> {
    let before = find_to_change(conn, id.clone()).await?;
    let Some(version) = next_version(before.as_ref().map(|c| c.version), version) else {
        return Ok(ChatDeleted::default());
    };
    let is_new = before.is_none();
    let was_deleted = before.as_ref().is_some_and(|chat| chat.deleted);
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
    if !store(conn, &chat, is_new, now).await? {
        return Err(StoreError::Conflict("a telling of a new chat was faster".to_owned()).into());
    }
    let ended = Event::new(EventKind::ChatDeleted, actor.clone()).chat(Some(id.clone())).detail(version.to_string());
    if was_deleted {
        // Its files have ended with it; what was restored since stays.
        events::write(conn, &ended, now).await?;
        return Ok(ChatDeleted::default());
    }
    lock_files(conn, &id).await?;
    if holds::is_chat_held(conn, &id).await? {
        return Err(Reason::OnHold.into());
    }

    let event = Event::new(EventKind::FileDeleted, actor.clone()).chat(Some(id.clone()));
    let mut only_here = Statement::new("SELECT files.id, files.number FROM files");
    where_only_here(&mut only_here, &id);
    let deleted = found(conn, only_here, &event).await?;
    if !deleted.is_empty() {
        let mut tombstones = Statement::new("UPDATE files SET revision = revision + 1, state = ");
        tombstones.text(rows::file_state_name(FileState::Deleted)).sql(", deleted_at = ").int(now.0);
        where_only_here(&mut tombstones, &id);
        tombstones.query().execute(conn).await?;
    }

    // A tombstoned file keeps its attachments, here too: an undelete needs them.
    let event = Event::new(EventKind::FileDetached, actor).chat(Some(id.clone()));
    let mut attached = Statement::new("SELECT files.id, files.number FROM attachments ");
    attached.sql("JOIN files ON files.number = attachments.file_number WHERE attachments.chat_id = ").text(id.as_str());
    attached.sql(" AND files.state = ").text(rows::file_state_name(FileState::Ready));
    let detached = found(conn, attached, &event).await?;
    if !detached.is_empty() {
        let mut detach = Statement::new("DELETE FROM attachments WHERE chat_id = ");
        detach.text(id.as_str()).sql(" AND EXISTS (SELECT 1 FROM files WHERE files.number = attachments.file_number");
        detach.sql(" AND files.state = ").text(rows::file_state_name(FileState::Ready)).sql(")");
        detach.query().execute(conn).await?;
    }

    let counts = ChatDeleted { files_deleted: deleted.len() as u64, files_detached: detached.len() as u64 };
    let all: Vec<Event> = deleted.into_iter().chain(detached).chain([ended]).collect();
    events::write_all(conn, &all, now).await?;
    Ok(counts)
}
