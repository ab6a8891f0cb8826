//! Chats as the chat backend tells them: put, read, listed, deleted.
//!
//! Not here: which telling wins (`domain/chat.rs`).

use super::{
    App, Error,
    library::digest,
    seal::{Fields, Purpose, Reader},
};
use crate::{
    domain::{Caller, Chat, ChatId, ChatSet, ChatStatus, OperatorId, Reason, Refusal},
    ports::{ChatDeleted, ChatQuery, ChatTold},
};

/// A page of chats.
#[derive(Debug, Clone)]
pub struct ChatPage {
    /// The chats, by id.
    pub chats: Vec<Chat>,
    /// Where the next page starts; empty at the end.
    pub next_token: String,
}

impl App {
    /// Applies each telling; the answers are in its order: the chat as stored, or why not.
    pub async fn put_chats(&self, caller: &Caller, told: Vec<ChatTold>) -> Result<Vec<Result<Chat, Refusal>>, Error> {
        self.need_writable()?;
        let allowed: Vec<bool> =
            told.iter().map(|t| caller.chats.contains(&t.id) && caller.within_ceiling(&t.id)).collect();
        let wanted = told.into_iter().zip(&allowed).filter_map(|(t, ok)| ok.then_some(t)).collect();
        let mut stored = self.store.put_chats(wanted, caller.into(), self.clock.now()).await?.into_iter();
        Ok(allowed
            .into_iter()
            .map(|ok| if ok { stored.next().ok_or_else(Refusal::not_found) } else { Err(Refusal::not_found()) })
            .collect())
    }

    /// A chat that is there for this caller.
    pub async fn get_chat(&self, caller: &Caller, id: &ChatId) -> Result<Chat, Error> {
        let chat = self.store.find_chat(id).await?;
        Ok(caller.see_chat(id, chat.as_ref())?.clone())
    }

    /// Chats by id, from a token on.
    pub async fn list_chats(
        &self,
        caller: &Caller,
        status: Option<ChatStatus>,
        owner: Option<OperatorId>,
        limit: u32,
        token: &str,
    ) -> Result<ChatPage, Error> {
        // As for files: a page token belongs to this list, person and filter, and to no other.
        let bound = digest(&format!("chats\0{}\0{status:?}\0{owner:?}", caller.person));
        let after = match token {
            "" => None,
            token => Some(self.open_chat(token, &bound).ok_or(Refusal::new(Reason::BadPageToken))?),
        };
        let scope = match (&caller.chats, caller.ceiling.as_ref().map(|c| &c.chats)) {
            (ChatSet::All, None | Some(ChatSet::All)) => None,
            (ChatSet::All, Some(ChatSet::Only(ids))) | (ChatSet::Only(ids), None) => {
                Some(ids.iter().cloned().collect())
            }
            (ChatSet::Only(ids), Some(ceiling)) => {
                Some(ids.iter().filter(|id| ceiling.contains(id)).cloned().collect())
            }
        };
        let chats = self.store.list_chats(ChatQuery { status, owner, scope, after, limit }).await?;
        let next_token = match chats.last() {
            Some(last) if chats.len() == limit as usize => {
                let fields = Fields::default().field(&bound).field(last.id.as_str().as_bytes());
                self.secrets.seal(Purpose::Page, &fields.done(), self.ids.random())
            }
            Some(_) | None => String::new(),
        };
        Ok(ChatPage { chats, next_token })
    }

    fn open_chat(&self, token: &str, bound: &[u8]) -> Option<ChatId> {
        let payload = self.secrets.open(Purpose::Page, token)?;
        let mut fields = Reader(&payload);
        (fields.field()? == bound).then_some(())?;
        fields.text()?.parse().ok()
    }

    /// Deletes a chat with the files that are nowhere else.
    pub async fn delete_chat(&self, caller: &Caller, id: &ChatId, version: i64) -> Result<ChatDeleted, Error> {
        self.need_writable()?;
        if !(caller.chats.contains(id) && caller.within_ceiling(id)) {
            return Err(Refusal::not_found().into());
        }
        Ok(self.store.delete_chat(id, version, caller.into(), self.clock.now()).await?)
    }
}
