//! The erasure of visitors in memory, and what is forgotten for its age.
//!
//! Not here: who may erase ([`crate::domain::erasure`]).

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::{MemoryStore, Tables, uploads::State};
use crate::{
    domain::{
        Actor, BlobState, Caller, CallerKind, Event, EventKind, File, FileId, HoldOn, Person, Time, VisitorId,
        erasure::{Erased, Erasing, PSEUDONYM, Why},
        settings::SettingValue,
    },
    ports::{EraseStore, ErasedFiles, Intent, Leaving, NewErasure, StoreError},
};

/// An erasure.
#[derive(Clone)]
pub(super) struct ErasureRow {
    pub(super) pseudonym: VisitorId,
    /// Until it has come to its end.
    pub(super) visitor: Option<VisitorId>,
    pub(super) why: Why,
    pub(super) by: Actor,
    pub(super) begun_at: Time,
    pub(super) ended_at: Option<Time>,
    pub(super) erased: Erased,
    pub(super) held: u64,
    /// Blobs of its files, until it has come to its end.
    pub(super) blobs: BTreeSet<i64>,
}

fn is_in(of: &Erasing, file: &File) -> bool {
    let brought = file.uploader.kind() == CallerKind::Visitor
        && file.home_chat.as_ref().is_some_and(|home| of.chats.contains(home));
    brought || file.uploader == Person::Visitor(of.visitor.clone()) || file.visitor_id.as_ref() == Some(&of.visitor)
}

impl Tables {
    fn allow_change(&self) -> Result<(), StoreError> {
        let read_only = self.settings.get("read_only") == Some(&SettingValue::Bool(true));
        if read_only { Err(StoreError::ReadOnly) } else { Ok(()) }
    }

    fn erased(&mut self, of: &Erasing, count: impl FnOnce(&mut Erased)) {
        if let Some(row) = self.erasures.get_mut(&of.number) {
            count(&mut row.erased);
        }
    }

    fn erase_keys(&mut self, of: &Erasing, actor: &Actor, now: Time) -> u64 {
        let (was, mut retired) = (Person::Visitor(of.visitor.clone()), Vec::new());
        for row in self.keys.values_mut() {
            let holder = &mut row.key.holder;
            let (own, acting) = (holder.person == was, holder.vid.as_ref() == Some(&of.visitor));
            if own {
                holder.person = Person::Visitor(of.pseudonym.clone());
            }
            if acting {
                holder.vid = Some(of.pseudonym.clone());
            }
            if (own || acting) && row.key.retired_at.is_none() {
                row.key.retired_at = Some(now);
                retired.push(row.key.id);
            }
        }
        if !retired.is_empty() {
            self.keys_version += 1;
        }
        for id in &retired {
            self.record(Event::new(EventKind::KeyRetired, actor.clone()).detail(id.to_string()), now);
        }
        retired.len() as u64
    }

    fn erase_uploads(&mut self, of: &Erasing) -> Vec<Intent> {
        let (was, mut fenced) = (Person::Visitor(of.visitor.clone()), Vec::new());
        let is_ours = |upload: &super::uploads::Upload| {
            let done = matches!(upload.state, State::Done { .. });
            let in_chat = upload.target.chat().is_some_and(|chat| of.chats.contains(chat));
            upload.person == was
                || upload.target.visitor() == Some(&of.visitor)
                || !done && in_chat && upload.person.kind() == CallerKind::Visitor
        };
        self.uploads.retain(|_, upload| !(is_ours(upload) && matches!(upload.state, State::Done { .. })));
        for (id, upload) in self.uploads.iter_mut().filter(|(_, upload)| is_ours(upload)) {
            if upload.state == State::Running {
                upload.state = State::Fenced;
                fenced.push(Intent { id: *id, key: upload.key });
            }
            upload.request_id = None;
            if upload.person.kind() == CallerKind::Visitor {
                upload.person = Person::Visitor(of.pseudonym.clone());
            }
            if upload.target.visitor() == Some(&of.visitor) {
                upload.target = crate::domain::admission::Target::Visitor(of.pseudonym.clone());
            }
        }
        fenced
    }

    fn erase_files(&mut self, of: &Erasing, limit: u32, caller: &Caller, now: Time) -> Result<ErasedFiles, StoreError> {
        let free = self.files.values().map(|row| &row.file).filter(|file| is_in(of, file) && !self.is_held(file));
        let free: Vec<File> = free.take(limit as usize).cloned().collect();
        let mut erased = ErasedFiles { more: !free.is_empty(), ..ErasedFiles::default() };
        let mut needed = BTreeSet::new();
        for file in &free {
            let remembered = |state: &State| matches!(state, State::Done { file: id, .. } if *id == file.id);
            self.uploads.retain(|_, upload| upload.person != file.uploader || !remembered(&upload.state));
            needed.extend(self.files.get(&file.number).map(|row| row.blob));
            self.end_file(file.number, &Actor::from(caller), now)?;
        }
        for row in self.blobs.values().filter(|row| needed.contains(&row.blob.id)) {
            if row.blob.state == BlobState::Purging {
                erased.leaving.push(Leaving { id: row.blob.id, key: row.blob.key, size: row.blob.size });
            }
        }
        if let Some(row) = self.erasures.get_mut(&of.number) {
            row.blobs.extend(needed);
        }
        let bytes: u64 = erased.leaving.iter().map(|blob| blob.size).sum();
        self.erased(of, |sum| {
            sum.files += free.len() as u64;
            sum.bytes += bytes;
        });
        Ok(erased)
    }

    fn erase_events(&mut self, of: &Erasing, limit: u32) -> u64 {
        let was = Person::Visitor(of.visitor.clone());
        let own = |event: &Event| event.actor.person.as_ref() == Some(&was);
        let in_chat = |event: &Event| {
            let person = event.actor.person.as_ref().filter(|person| person.kind() == CallerKind::Visitor);
            person.is_some_and(|person| !person.id().starts_with(PSEUDONYM))
                && event.chat.as_ref().is_some_and(|chat| of.chats.contains(chat))
        };
        let any = self.events.iter().any(|(_, event)| own(event));
        let mut files = Vec::new();
        let found = self
            .events
            .iter_mut()
            .map(|(_, event)| event)
            .filter(|event| if any { own(event) } else { in_chat(event) });
        let mut written = 0;
        for event in found.take(limit as usize) {
            event.actor.person = Some(Person::Visitor(of.pseudonym.clone()));
            files.extend(event.file);
            written += 1;
        }
        for ((number, _), attached) in &mut self.attachments {
            let file = self.files.get(number).map(|row| row.file.id);
            if attached.by == was && file.is_some_and(|id| files.contains(&id)) {
                attached.by = Person::Visitor(of.pseudonym.clone());
            }
        }
        self.erased(of, |sum| sum.events += written);
        written
    }

    fn end_erasure(&mut self, of: &Erasing, held: u64, caller: &Caller, now: Time) -> Erased {
        match self.erasures.get(&of.number) {
            None => return Erased::default(),
            Some(row) if row.visitor.is_none() => return row.erased.clone(),
            Some(_) => {}
        }
        let mut written = 0;
        if !self.holds.values().any(|hold| hold.on == HoldOn::Visitor(of.visitor.clone())) {
            let named = format!("visitor:{}", of.visitor);
            for (_, event) in &mut self.events {
                let of_holds = matches!(event.kind, EventKind::HoldPut | EventKind::HoldLifted);
                if of_holds && event.detail.as_ref() == Some(&named) {
                    event.detail = Some(format!("visitor:{}", of.pseudonym));
                    written += 1;
                }
            }
        }
        let Some(row) = self.erasures.get_mut(&of.number) else { return Erased::default() };
        row.erased.events += written;
        let blobs = std::mem::take(&mut row.blobs);
        let staying = || self.blobs.values().map(|row| &row.blob).filter(|blob| blobs.contains(&blob.id));
        let shared = staying().filter(|blob| blob.state != BlobState::Purging);
        row.erased.shared_blobs = shared.count() as u64;
        let pending = staying().filter(|blob| blob.state == BlobState::Purging);
        let erased = Erased { pending_bytes: pending.map(|blob| blob.size).sum(), ..row.erased.clone() };
        if erased.files + erased.uploads + erased.events + erased.keys == 0 {
            self.erasures.remove(&of.number);
            return erased;
        }
        (row.visitor, row.ended_at, row.held) = (None, Some(now), held);
        let event = Event::new(EventKind::VisitorErased, Actor::from(caller)).detail(of.pseudonym.to_string());
        self.record(event, now);
        erased
    }

    fn trim_events(&mut self, keep_secs: i64, now: Time, limit: u32) -> u64 {
        let (until, most) = (now.plus_secs(keep_secs.saturating_neg()), limit as usize);
        let before = self.events.len();
        let mut place = 0;
        self.events.retain(|(at, _)| {
            place += 1;
            place > most || *at > until
        });
        let events = before - self.events.len();
        if events > 0 {
            return events as u64;
        }
        let mut old: Vec<_> = self.stubs.iter().map(|(number, stub)| (stub.purged_at, *number)).collect();
        old.retain(|(at, _)| *at <= until);
        old.sort_unstable();
        old.truncate(most);
        self.stubs.retain(|number, _| !old.iter().any(|(_, gone)| gone == number));
        old.len() as u64
    }
}

#[async_trait]
impl EraseStore for MemoryStore {
    async fn begin_erasure(&self, new: NewErasure) -> Result<Erasing, StoreError> {
        self.write(|t| {
            t.allow_change()?;
            let NewErasure { visitor, chats, pseudonym, why, caller, now } = new;
            let by = Actor::from(&caller);
            let under_way = t.erasures.iter().find(|(_, row)| row.visitor.as_ref() == Some(&visitor));
            let of = if let Some((number, row)) = under_way {
                Erasing { number: *number, pseudonym: row.pseudonym.clone(), visitor, chats }
            } else {
                t.last_erasure += 1;
                let (erased, named) = (Erased::default(), Some(visitor.clone()));
                let row = ErasureRow {
                    pseudonym: pseudonym.clone(),
                    visitor: named,
                    why,
                    by: by.clone(),
                    begun_at: now,
                    ended_at: None,
                    erased,
                    held: 0,
                    blobs: BTreeSet::new(),
                };
                t.erasures.insert(t.last_erasure, row);
                Erasing { number: t.last_erasure, pseudonym, visitor, chats }
            };
            let retired = t.erase_keys(&of, &by, now);
            t.erased(&of, |sum| sum.keys += retired);
            Ok(of)
        })
    }

    async fn erase_uploads(&self, of: &Erasing) -> Result<Vec<Intent>, StoreError> {
        self.write(|t| {
            t.allow_change()?;
            let fenced = t.erase_uploads(of);
            t.erased(of, |sum| sum.uploads += fenced.len() as u64);
            Ok(fenced)
        })
    }

    async fn erase_files(
        &self,
        of: &Erasing,
        limit: u32,
        caller: &Caller,
        now: Time,
    ) -> Result<ErasedFiles, StoreError> {
        self.write(|t| t.erase_files(of, limit, caller, now))
    }

    async fn list_not_erased(&self, of: &Erasing, limit: u32) -> Result<Vec<FileId>, StoreError> {
        Ok(self.read(|t| {
            let left = t.files.values().filter(|row| is_in(of, &row.file)).take(limit as usize);
            left.map(|row| row.file.id).collect()
        }))
    }

    async fn erase_events(&self, of: &Erasing, limit: u32) -> Result<u64, StoreError> {
        self.write(|t| {
            t.allow_change()?;
            Ok(t.erase_events(of, limit))
        })
    }

    async fn end_erasure(&self, of: &Erasing, held: u64, caller: &Caller, now: Time) -> Result<Erased, StoreError> {
        self.write(|t| Ok(t.end_erasure(of, held, caller, now)))
    }

    async fn trim_events(&self, keep_secs: i64, now: Time, limit: u32) -> Result<u64, StoreError> {
        self.write(|t| {
            t.allow_change()?;
            Ok(t.trim_events(keep_secs, now, limit))
        })
    }
}
