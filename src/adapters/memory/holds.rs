//! Holds in memory.
//!
//! Not here: who may put one ([`crate::domain::access`]).

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::{
    domain::{
        Caller, ChatId, EventKind, File, FileState, Hold, HoldOn, Matter, Person, Time, access, hold::is_unbounded,
        listing::FileRef,
    },
    ports::{HoldQuery, HoldStore, Stop},
};

impl Tables {
    /// A file is held, by any of the five ways.
    pub(super) fn is_held(&self, file: &File) -> bool {
        self.holds.values().any(|hold| match &hold.on {
            HoldOn::File(id) => *id == file.id,
            HoldOn::Chat(chat) => {
                file.home_chat.as_ref() == Some(chat) || self.attachments.contains_key(&(file.number, chat.clone()))
            }
            HoldOn::Visitor(id) => file.uploader == Person::Visitor(id.clone()) || file.visitor_id.as_ref() == Some(id),
            HoldOn::Operator(id) => file.uploader == Person::Operator(id.clone()),
        })
    }

    /// A chat is held, or a file that its end would delete or detach.
    pub(super) fn is_chat_held(&self, chat: &ChatId) -> bool {
        let mut ready = self.files.values().map(|row| &row.file).filter(|file| file.state == FileState::Ready);
        let ended = |file: &File| {
            let here = self.attachments.contains_key(&(file.number, chat.clone()));
            here || (file.home_chat.as_ref() == Some(chat) && !self.is_attached_elsewhere(file.number, chat))
        };
        self.holds.values().any(|hold| hold.on == HoldOn::Chat(chat.clone()))
            || ready.any(|file| ended(file) && self.is_held(file))
    }

    fn reach(&self, on: &HoldOn, caller: &Caller) -> Result<(), Stop> {
        match on {
            HoldOn::File(id) => {
                access::see_to_hold(caller, self.find(FileRef::Id(*id), caller).as_ref())?;
            }
            HoldOn::Chat(id) => {
                access::see_chat_to_hold(caller, id, self.chats.get(id))?;
            }
            HoldOn::Visitor(_) | HoldOn::Operator(_) => access::see_persons_to_hold(caller)?,
        }
        Ok(())
    }
}

#[async_trait]
impl HoldStore for MemoryStore {
    async fn put_hold(&self, on: HoldOn, matter: Matter, caller: &Caller, now: Time) -> Result<Hold, Stop> {
        self.write(|t| {
            t.reach(&on, caller)?;
            if let Some(there) = t.holds.values().find(|hold| hold.on == on && hold.matter == matter) {
                return Ok(there.clone());
            }
            let hold = Hold { on, matter, put_by: caller.into(), put_at: now };
            t.last_hold += 1;
            t.holds.insert(t.last_hold, hold.clone());
            t.record(hold.on.event(EventKind::HoldPut, caller), now);
            Ok(hold)
        })
    }

    async fn lift_hold(&self, on: HoldOn, matter: Matter, caller: &Caller, now: Time) -> Result<bool, Stop> {
        self.write(|t| {
            if !is_unbounded(caller) {
                t.reach(&on, caller)?;
            }
            let before = t.holds.len();
            t.holds.retain(|_, hold| hold.on != on || hold.matter != matter);
            let lifted = t.holds.len() < before;
            if lifted {
                t.record(on.event(EventKind::HoldLifted, caller), now);
            }
            Ok(lifted)
        })
    }

    async fn list_holds(&self, query: HoldQuery, caller: &Caller) -> Result<Vec<(i64, Hold)>, Stop> {
        let HoldQuery { on, before, limit } = query;
        self.read(|t| {
            if !is_unbounded(caller) {
                t.reach(on.as_ref().ok_or_else(access::names_what_it_reaches)?, caller)?;
            }
            let holds = t.holds.range(..before.unwrap_or(i64::MAX)).rev();
            let holds = holds.filter(|(_, hold)| on.as_ref().is_none_or(|on| hold.on == *on));
            Ok(holds.take(limit as usize).map(|(number, hold)| (*number, hold.clone())).collect())
        })
    }
}
