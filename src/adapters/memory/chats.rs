//! Chats in memory.
//!
//! Not here: the version rule ([`crate::domain::chat::next_version`]).

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::{
    domain::{Actor, Chat, ChatId, ChatStatus, Event, EventKind, FileState, Reason, Time, chat::next_version},
    ports::{ChatDeleted, ChatQuery, ChatStore, ChatTold, Stop, StoreError},
};

impl Tables {
    /// The chat as it is after a telling.
    fn put(&mut self, told: ChatTold, actor: &Actor, now: Time) -> Option<Chat> {
        let ChatTold { id, status, owner, closed_at, upload_override, version } = told;
        let before = self.chats.get(&id);
        let Some(version) = next_version(before.map(|chat| chat.version), version) else { return before.cloned() };
        let since = before.filter(|chat| chat.status == ChatStatus::Closed && !chat.deleted);
        let since = since.and_then(|chat| chat.closed_at);
        let closed_at = (status == ChatStatus::Closed).then(|| closed_at.or(since).unwrap_or(now));
        let chat = Chat { id, status, owner, closed_at, upload_override, version, deleted: false };
        self.chats.insert(chat.id.clone(), chat.clone());
        let event = Event::new(EventKind::ChatPut, actor.clone());
        self.record(event.chat(Some(chat.id.clone())).detail(version.to_string()), now);
        Some(chat)
    }

    /// Attached to a living chat other than this one.
    pub(super) fn is_attached_elsewhere(&self, number: i64, chat: &ChatId) -> bool {
        let attached = self.attachments.keys().filter(|(n, other)| *n == number && other != chat);
        attached.filter_map(|(_, chat)| self.chats.get(chat)).any(|chat| !chat.deleted)
    }

    fn delete_chat(&mut self, id: &ChatId, version: i64, actor: &Actor, now: Time) -> Result<ChatDeleted, Stop> {
        let before = self.chats.get(id);
        let Some(version) = next_version(before.map(|chat| chat.version), version) else {
            return Ok(ChatDeleted::default());
        };
        let was_deleted = before.is_some_and(|chat| chat.deleted);
        let tombstone = Chat {
            id: id.clone(),
            status: ChatStatus::Closed,
            owner: before.and_then(|chat| chat.owner.clone()),
            closed_at: before.and_then(|chat| chat.closed_at).or(Some(now)),
            upload_override: before.and_then(|chat| chat.upload_override),
            version,
            deleted: true,
        };
        self.chats.insert(id.clone(), tombstone);
        let ended = Event::new(EventKind::ChatDeleted, actor.clone()).chat(Some(id.clone()));
        let ended = ended.detail(version.to_string());
        if was_deleted {
            self.record(ended, now);
            return Ok(ChatDeleted::default());
        }
        if self.is_chat_held(id) {
            return Err(Reason::OnHold.into());
        }
        let ready = self.files.values().map(|row| &row.file).filter(|file| file.state == FileState::Ready);
        let only_here: Vec<_> = ready
            .filter(|file| file.home_chat.as_ref() == Some(id) && !self.is_attached_elsewhere(file.number, id))
            .map(|file| (file.number, file.id))
            .collect();
        let told = |kind, file| Event::new(kind, actor.clone()).file(file).chat(Some(id.clone()));
        for (number, file) in &only_here {
            self.revise(*number, |file| (file.state, file.deleted_at) = (FileState::Deleted, Some(now)));
            self.record(told(EventKind::FileDeleted, *file), now);
        }
        // A tombstoned file keeps its attachments.
        let ready = self.files.values().map(|row| &row.file).filter(|file| file.state == FileState::Ready);
        let here: Vec<_> = ready
            .filter(|file| self.attachments.contains_key(&(file.number, id.clone())))
            .map(|file| (file.number, file.id))
            .collect();
        for (number, file) in &here {
            self.attachments.remove(&(*number, id.clone()));
            self.record(told(EventKind::FileDetached, *file), now);
        }
        self.record(ended, now);
        Ok(ChatDeleted { files_deleted: only_here.len() as u64, files_detached: here.len() as u64 })
    }
}

#[async_trait]
impl ChatStore for MemoryStore {
    async fn find_chat(&self, id: &ChatId) -> Result<Option<Chat>, StoreError> {
        Ok(self.read(|t| t.chats.get(id).cloned()))
    }

    async fn put_chats(&self, told: Vec<ChatTold>, actor: Actor, now: Time) -> Result<Vec<Chat>, StoreError> {
        self.write(|t| Ok(told.into_iter().filter_map(|told| t.put(told, &actor, now)).collect()))
    }

    async fn list_chats(&self, query: ChatQuery) -> Result<Vec<Chat>, StoreError> {
        let ChatQuery { status, owner, scope, after, limit } = query;
        Ok(self.read(|t| {
            let living = t.chats.values().filter(|chat| !chat.deleted);
            living
                .filter(|chat| status.is_none_or(|status| chat.status == status))
                .filter(|chat| owner.is_none() || chat.owner == owner)
                .filter(|chat| scope.as_ref().is_none_or(|scope| scope.contains(&chat.id)))
                .filter(|chat| after.as_ref().is_none_or(|after| chat.id > *after))
                .take(limit as usize)
                .cloned()
                .collect()
        }))
    }

    async fn delete_chat(&self, id: &ChatId, version: i64, actor: Actor, now: Time) -> Result<ChatDeleted, Stop> {
        self.write(|t| t.delete_chat(id, version, &actor, now))
    }
}
