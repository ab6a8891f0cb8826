//! Files that are there: finding one as a caller sees it, and the changes of its row and attachments.
//!
//! Not here: lists (`listing.rs`), how a file comes to be (`uploads.rs`), and the decisions, which are
//! [`crate::domain::access`]'s, asked inside each transaction.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::{dsl::exists, prelude::*};
use diesel_async::RunQueryDsl;

use super::{
    Backend, Conn, chats, events, holds,
    rows::{self, BlobRow, ChatRow, FileRow},
    schema::{attachments, blobs, chats as chat_table, files},
    statement::Statement,
};
use crate::{
    domain::{
        Actor, AgesAs, Blob, Caller, Chat, ChatId, ChatSet, CodeHash, Event, EventKind, File, FileId, FileState,
        FileView, Person, Reason, Refusal, Settings, Time,
        access::{self, DeleteFacts, Deletion, Way},
        admission::{Cleared, Declared},
        file::MAX_CHATS_SHOWN,
        listing::FileRef,
    },
    ports::{AttachTo, FileChange, Stop, StoreError},
};

/// What a new row of files is made of.
pub(super) struct NewFile<'a> {
    pub id: FileId,
    pub code_hash: CodeHash,
    pub cleared: &'a Cleared,
    pub blob: &'a Blob,
    pub uploader: &'a Person,
    pub now: Time,
}

/// Writes a READY file.
pub(super) async fn insert(conn: &mut Conn, new: &NewFile<'_>) -> Result<File, StoreError> {
    let NewFile { id, code_hash, cleared, blob, uploader, now } = *new;
    let Declared { target, origin, .. } = &cleared.declared;
    let (home_chat, visitor_id) = (target.chat(), target.visitor());
    let number = diesel::insert_into(files::table)
        .values((
            files::id.eq(id.0.as_slice()),
            files::code_hash.eq(code_hash.0.as_slice()),
            files::blob_id.eq(blob.id),
            files::state.eq(rows::file_state_name(FileState::Ready)),
            files::display_name.eq(cleared.name.as_str()),
            files::extension.eq(cleared.extension.as_str()),
            files::media_type.eq(cleared.media_type),
            files::uploader_kind.eq(rows::kind_name(uploader.kind())),
            files::uploader_id.eq(uploader.id()),
            files::home_chat_id.eq(home_chat.map(|c| c.as_str())),
            files::persistent.eq(cleared.persistent),
            files::width.eq(cleared.pixels.map(|(width, _)| i64::from(width))),
            files::height.eq(cleared.pixels.map(|(_, height)| i64::from(height))),
            files::sha256.eq(blob.sha256.0.as_slice()),
            files::size.eq(i64::try_from(blob.size).unwrap_or(i64::MAX)),
            files::uploaded_sha256.eq(cleared.received.sha256.0.as_slice()),
            files::revision.eq(1_i64),
            files::created_at.eq(now.0),
            files::visitor_id.eq(visitor_id.map(|id| id.as_str())),
            files::origin.eq(origin.map(rows::origin_name)),
            files::ages_as.eq(rows::ages_as_name(AgesAs::of(uploader.kind(), *origin))),
        ))
        .returning(files::number)
        .get_result(conn)
        .await?;
    Ok(File {
        id,
        number,
        code_hash,
        state: FileState::Ready,
        display_name: cleared.name.clone(),
        extension: cleared.extension.clone(),
        media_type: cleared.media_type.to_owned(),
        uploader: uploader.clone(),
        home_chat: home_chat.cloned(),
        visitor_id: visitor_id.cloned(),
        origin: *origin,
        persistent: cleared.persistent,
        pixels: cleared.pixels,
        uploaded_sha256: cleared.received.sha256,
        revision: 1,
        created_at: now,
        deleted_at: None,
        restored_at: None,
    })
}

/// The file as this caller sees it: always two statements, whether it is there or not.
pub(in super::super) async fn find(
    conn: &mut Conn,
    file: FileRef,
    caller: &Caller,
) -> Result<Option<FileView>, StoreError> {
    let joined = files::table.inner_join(blobs::table).select((FileRow::as_select(), BlobRow::as_select()));
    let found: Option<(FileRow, BlobRow)> = match file {
        FileRef::Id(id) => joined.filter(files::id.eq(id.0.as_slice())).first(conn).await.optional()?,
        FileRef::Code(code) => joined
            .filter(files::number.eq(code.number))
            .filter(files::code_hash.eq(code.hash.0.as_slice()))
            .first(conn)
            .await
            .optional()?,
    };
    view(conn, found, caller).await
}

/// As [`find`], for a transaction that changes the file or its attachments, or decides by them: whoever else does so
/// waits. The blob stays out of quarantine as long.
pub(super) async fn find_to_change(
    conn: &mut Conn,
    file: FileRef,
    caller: &Caller,
) -> Result<Option<FileView>, StoreError> {
    let joined = files::table.inner_join(blobs::table).select((FileRow::as_select(), BlobRow::as_select()));
    let found: Option<(FileRow, BlobRow)> = match file {
        FileRef::Id(id) => changing!(joined.filter(files::id.eq(id.0.as_slice()))).first(conn).await.optional()?,
        FileRef::Code(code) => {
            let coded =
                joined.filter(files::number.eq(code.number)).filter(files::code_hash.eq(code.hash.0.as_slice()));
            changing!(coded).first(conn).await.optional()?
        }
    };
    view(conn, found, caller).await
}

/// The rows of a file as this caller sees them; the statement runs whether it is there or not.
async fn view(
    conn: &mut Conn,
    found: Option<(FileRow, BlobRow)>,
    caller: &Caller,
) -> Result<Option<FileView>, StoreError> {
    let number = found.as_ref().map_or(-1, |(file, _)| file.number);
    let mut chats = visible_chats(conn, number, caller).await?;
    let Some((file, blob)) = found else { return Ok(None) };
    let chats_truncated = chats.len() > MAX_CHATS_SHOWN;
    chats.truncate(MAX_CHATS_SHOWN);
    Ok(Some(FileView { file: file.try_into()?, blob: blob.try_into()?, chats, chats_truncated }))
}

/// The chats that a file is attached to and that the caller may access ([`Caller::may_access`], as SQL), by id.
async fn visible_chats(conn: &mut Conn, number: i64, caller: &Caller) -> Result<Vec<Chat>, StoreError> {
    let mut query = attachments::table
        .inner_join(chat_table::table)
        .filter(attachments::file_number.eq(number))
        .filter(chat_table::deleted.eq(false))
        .select(ChatRow::as_select())
        .order(attachments::chat_id)
        .limit(MAX_CHATS_SHOWN as i64 + 1)
        .into_boxed::<Backend>();
    if let ChatSet::Only(ids) = &caller.chats {
        let named = attachments::chat_id.eq_any(ids.iter().map(|id| id.as_str()));
        query = match caller.operator() {
            Some(own) => query.filter(named.or(chat_table::owner.assume_not_null().eq(own.as_str()))),
            None => query.filter(named),
        };
    }
    if let Some(ChatSet::Only(ids)) = caller.ceiling.as_ref().map(|c| &c.chats) {
        query = query.filter(attachments::chat_id.eq_any(ids.iter().map(|id| id.as_str())));
    }
    let found: Vec<ChatRow> = query.load(conn).await?;
    found.into_iter().map(Chat::try_from).collect()
}

/// Attaches; each chat is judged on its own. Five statements for any number of chats.
///
/// The chats are held, by id and before the file, as in the order of all locks: none is deleted meanwhile. The file is
/// locked: nobody deletes it, or attaches it to the same chats, meanwhile.
pub(super) async fn attach(
    conn: &mut Conn,
    file: FileRef,
    to: Vec<AttachTo>,
    caller: &Caller,
    settings: &Settings,
    now: Time,
) -> Result<Vec<Result<(), Refusal>>, Stop> {
    let named = chat_table::table
        .filter(chat_table::id.eq_any(to.iter().map(|t| t.chat.as_str())))
        .select(ChatRow::as_select())
        .order(chat_table::id);
    let found: Vec<ChatRow> = holding!(named).load(conn).await?;
    let view = find_to_change(conn, file, caller).await?;
    let view = access::see(caller, view.as_ref(), settings)?;
    access::read(caller, view, settings, now, Way::Direct)?;
    let number = view.file.number;

    let mut known: HashMap<ChatId, Chat> = HashMap::new();
    for row in found {
        let chat = Chat::try_from(row)?;
        known.insert(chat.id.clone(), chat);
    }
    let there: Vec<(String, Option<String>)> = attachments::table
        .filter(attachments::file_number.eq(number))
        .filter(attachments::chat_id.eq_any(to.iter().map(|t| t.chat.as_str())))
        .select((attachments::chat_id, attachments::message_id))
        .load(conn)
        .await?;
    let there: HashMap<String, Option<String>> = there.into_iter().collect();

    // By chat: one named twice is written once, with the first message id given.
    let mut wanted: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    let mut answers = Vec::with_capacity(to.len());
    for AttachTo { chat, message_id } in &to {
        let seen = caller.see_chat(chat, known.get(chat));
        if seen.is_ok() {
            let message = wanted.entry(chat.as_str()).or_default();
            *message = message.or(message_id.as_deref());
        }
        answers.push(seen.map(|_| ()));
    }
    let fresh: HashSet<&str> = wanted.keys().copied().filter(|chat| !there.contains_key(*chat)).collect();
    wanted.retain(|chat, message| match there.get(*chat) {
        None => true,
        Some(stored) => stored.is_none() && message.is_some(),
    });
    if !wanted.is_empty() {
        insert_attachments(conn, view, &wanted, caller, now).await?;
    }
    if !fresh.is_empty() {
        let event = Event::new(EventKind::FileAttached, Actor::from(caller));
        events::allow(conn, event.kind).await?;
        let mut insert = Statement::new(events::INSERT);
        for (i, chat) in wanted.keys().filter(|chat| fresh.contains(*chat)).enumerate() {
            insert.sql(if i == 0 { "VALUES (" } else { ", (" });
            events::columns(&mut insert, &event, now);
            insert.bytes(&view.file.id.0).sql(", ").text(chat).sql(")");
        }
        insert.query().execute(conn).await?;
    }
    Ok(answers)
}

async fn insert_attachments(
    conn: &mut Conn,
    view: &FileView,
    wanted: &BTreeMap<&str, Option<&str>>,
    caller: &Caller,
    now: Time,
) -> Result<(), StoreError> {
    let mut insert = Statement::new(
        "INSERT INTO attachments (chat_id, file_number, message_id, by_kind, by_id, at, file_created_at, file_size)",
    );
    for (i, (chat, message)) in wanted.iter().enumerate() {
        insert.sql(if i == 0 { " VALUES (" } else { ", (" });
        insert.text(chat).sql(", ").int(view.file.number).sql(", ").nullable_text(*message).sql(", ");
        insert.text(rows::kind_name(caller.kind())).sql(", ").text(caller.person.id()).sql(", ").int(now.0).sql(", ");
        insert.int(view.file.created_at.0).sql(", ");
        insert.int(i64::try_from(view.blob.size).unwrap_or(i64::MAX)).sql(")");
    }
    insert.sql(
        " ON CONFLICT (file_number, chat_id) DO UPDATE \
         SET message_id = COALESCE(attachments.message_id, excluded.message_id)",
    );
    insert.query().execute(conn).await?;
    Ok(())
}

pub(super) async fn detach(
    conn: &mut Conn,
    file: FileRef,
    chat: ChatId,
    caller: &Caller,
    settings: &Settings,
    now: Time,
) -> Result<(), Stop> {
    let found = chats::hold(conn, chat.clone()).await?;
    let view = find_to_change(conn, file, caller).await?;
    let view = access::see(caller, view.as_ref(), settings)?;
    let chat = caller.see_chat(&chat, found.as_ref())?;
    let there = attachments::table.find((view.file.number, chat.id.as_str()));
    let is_there: bool = diesel::select(exists(there)).get_result(conn).await?;
    access::detach(caller, view, chat, is_there && holds::is_held(conn, view.file.number).await?)?;
    let gone = diesel::delete(attachments::table.find((view.file.number, chat.id.as_str()))).execute(conn).await?;
    if gone > 0 {
        let event =
            Event::new(EventKind::FileDetached, Actor::from(caller)).file(view.file.id).chat(Some(chat.id.clone()));
        events::write(conn, &event, now).await?;
    }
    Ok(())
}

pub(super) async fn update(
    conn: &mut Conn,
    file: FileRef,
    change: FileChange,
    caller: &Caller,
    settings: &Settings,
    now: Time,
) -> Result<FileView, Stop> {
    let found = find_to_change(conn, file, caller).await?;
    let mut view = access::see(caller, found.as_ref(), settings)?.clone();
    if change.etag.is_some_and(|etag| etag != view.file.etag()) {
        return Err(Reason::EtagMismatch.into());
    }
    let display_name = change.display_name.unwrap_or_else(|| view.file.display_name.clone());
    let persistent = change.persistent.unwrap_or(view.file.persistent);
    if display_name == view.file.display_name && persistent == view.file.persistent {
        return Ok(view);
    }
    let revision = view.file.revision.saturating_add(1);
    diesel::update(files::table.find(view.file.number))
        .set((
            files::display_name.eq(display_name.as_str()),
            files::persistent.eq(persistent),
            files::revision.eq(revision),
        ))
        .execute(conn)
        .await?;
    let event = Event::new(EventKind::FileUpdated, Actor::from(caller)).file(view.file.id);
    events::write(conn, &event, now).await?;
    (view.file.display_name, view.file.persistent, view.file.revision) = (display_name, persistent, revision);
    Ok(view)
}

pub(super) async fn delete(
    conn: &mut Conn,
    file: FileRef,
    caller: &Caller,
    settings: &Settings,
    now: Time,
) -> Result<Deletion, Stop> {
    let view = find_to_change(conn, file, caller).await?;
    let facts = delete_facts(conn, view.as_ref(), caller).await?;
    let deletion = access::delete(caller, view.as_ref(), facts, settings)?;
    crate::fault_point!("D1");
    if let (Deletion::Delete, Some(view)) = (deletion, view) {
        diesel::update(files::table.find(view.file.number))
            .set((
                files::state.eq(rows::file_state_name(FileState::Deleted)),
                files::deleted_at.eq(now.0),
                files::revision.eq(view.file.revision.saturating_add(1)),
            ))
            .execute(conn)
            .await?;
        let event =
            Event::new(EventKind::FileDeleted, Actor::from(caller)).file(view.file.id).chat(view.file.home_chat);
        events::write(conn, &event, now).await?;
        crate::fault_point!("D2-written");
    }
    Ok(deletion)
}

async fn delete_facts(conn: &mut Conn, view: Option<&FileView>, caller: &Caller) -> Result<DeleteFacts, StoreError> {
    let own = caller.operator().map(|id| id.as_str());
    let number = view.map_or(-1, |v| v.file.number);
    let home = view.and_then(|v| v.file.home_chat.as_ref()).map_or("", |id| id.as_str());
    let owned = chat_table::table
        .filter(chat_table::id.eq(home))
        .filter(chat_table::deleted.eq(false))
        .filter(chat_table::owner.eq(own));
    let owned: bool = diesel::select(exists(owned)).get_result(conn).await?;
    let home = view.and_then(|v| v.file.home_chat.as_ref());
    let owns_home_chat = owned && home.is_some_and(|chat| caller.within_ceiling(chat));
    let foreign = attachments::table
        .inner_join(chat_table::table)
        .filter(attachments::file_number.eq(number))
        .filter(chat_table::deleted.eq(false))
        .filter(chat_table::owner.is_null().or(chat_table::owner.assume_not_null().ne(own.unwrap_or_default())));
    let attached_elsewhere: bool = diesel::select(exists(foreign)).get_result(conn).await?;
    let held = holds::is_held(conn, number).await?;
    Ok(DeleteFacts { owns_home_chat, attached_elsewhere, held })
}
