//! Files in memory: as a caller sees them, and the changes of their rows and attachments.
//!
//! Not here: lists (`listing.rs`), and the decisions, which are [`crate::domain::access`]'s.

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::{
    domain::{
        Actor, Caller, ChatId, Event, EventKind, File, FileState, FileView, Person, Reason, Refusal, Settings, Time,
        access::{self, DeleteFacts, Deletion, Restoration, Way},
        file::MAX_CHATS_SHOWN,
        listing::{FileQuery, FileRef, Page},
    },
    ports::{AttachTo, FileChange, FileStore, Stop, StoreError},
};

/// A file and its blob's id.
#[derive(Clone)]
pub(super) struct FileRow {
    pub(super) file: File,
    pub(super) blob: i64,
}

/// A file in a chat.
#[derive(Clone)]
pub(super) struct Attached {
    pub(super) message_id: Option<String>,
    pub(super) by: Person,
    pub(super) at: Time,
}

impl Tables {
    /// The file as this caller sees it, naming so many chats at most.
    pub(super) fn view(&self, row: &FileRow, caller: &Caller, most: usize) -> Option<FileView> {
        let blob = self.blobs.get(&row.blob)?.blob.clone();
        let attached = self.attachments.keys().filter(|(number, _)| *number == row.file.number);
        let mut chats: Vec<_> = attached
            .filter_map(|(_, chat)| self.chats.get(chat))
            .filter(|chat| !chat.deleted && caller.may_access(&chat.id, chat.owner.as_ref()))
            .cloned()
            .collect();
        let chats_truncated = chats.len() > most;
        chats.truncate(most);
        Some(FileView { file: row.file.clone(), blob, chats, chats_truncated })
    }

    pub(super) fn find(&self, file: FileRef, caller: &Caller) -> Option<FileView> {
        let row = self.files.values().find(|row| match file {
            FileRef::Id(id) => row.file.id == id,
            FileRef::Code(code) => row.file.number == code.number && row.file.code_hash == code.hash,
        })?;
        self.view(row, caller, MAX_CHATS_SHOWN)
    }

    fn see(&self, file: FileRef, caller: &Caller, settings: &Settings) -> Result<FileView, Refusal> {
        access::see(caller, self.find(file, caller).as_ref(), settings).cloned()
    }

    fn attach(&mut self, view: &FileView, to: Vec<AttachTo>, caller: &Caller, now: Time) -> Vec<Result<(), Refusal>> {
        let mut fresh: Vec<ChatId> = Vec::new();
        let mut answers = Vec::with_capacity(to.len());
        for AttachTo { chat, message_id } in to {
            let seen = caller.see_chat(&chat, self.chats.get(&chat)).map(|_| ());
            if seen.is_ok() {
                let attached = self.attachments.entry((view.file.number, chat.clone())).or_insert_with(|| {
                    fresh.push(chat);
                    Attached { message_id: None, by: caller.person.clone(), at: now }
                });
                attached.message_id = attached.message_id.take().or(message_id);
            }
            answers.push(seen);
        }
        fresh.sort_unstable();
        for chat in fresh {
            let event = Event::new(EventKind::FileAttached, Actor::from(caller));
            self.record(event.file(view.file.id).chat(Some(chat)), now);
        }
        answers
    }

    fn delete_facts(&self, view: Option<&FileView>, caller: &Caller) -> DeleteFacts {
        let Some(view) = view else {
            return DeleteFacts { owns_home_chat: false, attached_elsewhere: false, held: false };
        };
        let home = view.file.home_chat.as_ref().and_then(|id| self.chats.get(id)).filter(|chat| !chat.deleted);
        let is_own = |owner: Option<&_>| owner.is_some() && owner == caller.operator();
        let attached = self.attachments.keys().filter(|(number, _)| *number == view.file.number);
        let mut living = attached.filter_map(|(_, id)| self.chats.get(id)).filter(|chat| !chat.deleted);
        DeleteFacts {
            owns_home_chat: home.is_some_and(|chat| is_own(chat.owner.as_ref()) && caller.within_ceiling(&chat.id)),
            attached_elsewhere: living.any(|chat| !is_own(chat.owner.as_ref())),
            held: self.is_held(&view.file),
        }
    }

    /// Changes a file's row, and counts that.
    pub(super) fn revise(&mut self, number: i64, change: impl FnOnce(&mut File)) {
        if let Some(row) = self.files.get_mut(&number) {
            change(&mut row.file);
            row.file.revision += 1;
        }
    }
}

#[async_trait]
impl FileStore for MemoryStore {
    async fn find_file(&self, file: FileRef, caller: &Caller) -> Result<Option<FileView>, StoreError> {
        Ok(self.read(|t| t.find(file, caller)))
    }

    async fn list_files(&self, query: FileQuery, caller: &Caller) -> Result<Page<FileView>, StoreError> {
        Ok(self.read(|t| t.list(&query, caller)))
    }

    async fn attach(
        &self,
        file: FileRef,
        to: Vec<AttachTo>,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<Vec<Result<(), Refusal>>, Stop> {
        self.write(|t| {
            let view = t.see(file, caller, settings)?;
            access::read(caller, &view, settings, now, Way::Direct)?;
            Ok(t.attach(&view, to, caller, now))
        })
    }

    async fn detach(
        &self,
        file: FileRef,
        chat: ChatId,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<(), Stop> {
        self.write(|t| {
            let view = t.see(file, caller, settings)?;
            let held = t.attachments.contains_key(&(view.file.number, chat.clone())) && t.is_held(&view.file);
            access::detach(caller, &view, caller.see_chat(&chat, t.chats.get(&chat))?, held)?;
            if t.attachments.remove(&(view.file.number, chat.clone())).is_some() {
                let event = Event::new(EventKind::FileDetached, Actor::from(caller));
                t.record(event.file(view.file.id).chat(Some(chat)), now);
            }
            Ok(())
        })
    }

    async fn update_file(
        &self,
        file: FileRef,
        change: FileChange,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<FileView, Stop> {
        self.write(|t| {
            let mut view = t.see(file, caller, settings)?;
            if change.etag.is_some_and(|etag| etag != view.file.etag()) {
                return Err(Reason::EtagMismatch.into());
            }
            let display_name = change.display_name.unwrap_or_else(|| view.file.display_name.clone());
            let persistent = change.persistent.unwrap_or(view.file.persistent);
            if (&display_name, persistent) == (&view.file.display_name, view.file.persistent) {
                return Ok(view);
            }
            t.revise(view.file.number, |file| (file.display_name, file.persistent) = (display_name, persistent));
            t.record(Event::new(EventKind::FileUpdated, Actor::from(caller)).file(view.file.id), now);
            if let Some(row) = t.files.get(&view.file.number) {
                view.file = row.file.clone();
            }
            Ok(view)
        })
    }

    async fn delete_file(
        &self,
        file: FileRef,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<Deletion, Stop> {
        self.write(|t| {
            let view = t.find(file, caller);
            let deletion = access::delete(caller, view.as_ref(), t.delete_facts(view.as_ref(), caller), settings)?;
            if let (Deletion::Delete, Some(view)) = (deletion, view) {
                t.revise(view.file.number, |file| {
                    (file.state, file.deleted_at) = (FileState::Deleted, Some(now));
                });
                let event = Event::new(EventKind::FileDeleted, Actor::from(caller));
                t.record(event.file(view.file.id).chat(view.file.home_chat), now);
            }
            Ok(deletion)
        })
    }

    async fn restore_file(
        &self,
        file: FileRef,
        caller: &Caller,
        settings: &Settings,
        now: Time,
    ) -> Result<FileView, Stop> {
        self.write(|t| {
            let view = t.find(file, caller);
            let restoration = access::restore(caller, view.as_ref(), settings, now)?;
            if let (Restoration::Restore, Some(File { id, number, home_chat, .. })) =
                (restoration, view.map(|v| v.file))
            {
                let event = |kind| Event::new(kind, Actor::from(caller)).file(id);
                let dead = t.attachments.keys().filter(|(of, chat)| *of == number && t.chats[chat].deleted);
                let dead: Vec<ChatId> = dead.map(|(_, chat)| chat.clone()).collect();
                for chat in dead {
                    t.attachments.remove(&(number, chat.clone()));
                    t.record(event(EventKind::FileDetached).chat(Some(chat)), now);
                }
                t.revise(number, |file| {
                    (file.state, file.deleted_at, file.restored_at) = (FileState::Ready, None, Some(now));
                });
                t.record(event(EventKind::FileRestored).chat(home_chat), now);
            }
            t.find(file, caller).ok_or_else(|| Refusal::not_found().into())
        })
    }
}
