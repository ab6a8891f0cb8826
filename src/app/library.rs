//! Files: read, listed, attached, detached, changed, deleted, brought back.
//!
//! Not here: who may (`domain/access.rs`, asked here for reads and inside the store's transactions for changes) and
//! the bytes (`download.rs`).

use super::{
    App, Error,
    seal::{Fields, Purpose, Reader},
};
use crate::{
    domain::{
        Caller, CallerKind, ChatId, ChatSet, FileView, Permission, Reason, Refusal, Time, VisitorId,
        access::{self, Deletion},
        listing::{FileFilter, FileQuery, FileRef, Order, Place, Total},
    },
    ports::{AttachTo, FileChange},
};

/// A page of files.
#[derive(Debug, Clone, Default)]
pub struct FilePage {
    /// The rows.
    pub rows: Vec<FileView>,
    /// Where the next page starts; empty at the end.
    pub next_token: String,
    /// How many match, if it was asked.
    pub total: Option<Total>,
}

/// What page is wanted.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// What.
    pub filter: FileFilter,
    /// Which first.
    pub order: Order,
    /// How many at most; its bounds were judged.
    pub page_size: u32,
    /// Where the last page ended; empty for the first.
    pub token: String,
    /// Count what matches.
    pub with_total: bool,
}

impl App {
    /// A file within reach.
    pub async fn get_file(&self, caller: &Caller, file: FileRef) -> Result<FileView, Error> {
        let view = self.store.find_file(file, caller).await?;
        Ok(access::see(caller, view.as_ref(), &self.settings())?.clone())
    }

    /// A page over all files: never more than `get_file` would show.
    pub async fn list_files(&self, caller: &Caller, mut request: ListRequest) -> Result<FilePage, Error> {
        caller.need(&[Permission::FileList])?;
        if !request.filter.chats.is_empty() {
            // What is attached to a chat is told to those only who may access it: its rows do not name it either.
            request.filter.chats = self.accessible(caller, request.filter.chats).await?;
            if request.filter.chats.is_empty() {
                return Ok(FilePage { total: request.with_total.then_some(Total::exactly(0)), ..FilePage::default() });
            }
        }
        self.list("files", caller, request, scope(caller), None).await
    }

    /// A page over the deleted files that can still be restored.
    pub async fn list_deleted_files(&self, caller: &Caller, mut request: ListRequest) -> Result<FilePage, Error> {
        caller.need(&[Permission::FileRestore])?;
        if !request.filter.chats.is_empty() {
            request.filter.chats = self.accessible(caller, request.filter.chats).await?;
            if request.filter.chats.is_empty() {
                return Ok(FilePage::default());
            }
        }
        let since = self.clock.now().plus_secs(-self.settings().deleted_grace_days.saturating_mul(86_400));
        self.list("deleted files", caller, request, scope(caller), Some(since)).await
    }

    /// Those of these chats that the caller may access.
    async fn accessible(&self, caller: &Caller, asked: Vec<ChatId>) -> Result<Vec<ChatId>, Error> {
        let mut accessible = Vec::with_capacity(asked.len());
        for id in asked {
            let chat = self.store.find_chat(&id).await?;
            if caller.see_chat(&id, chat.as_ref()).is_ok() {
                accessible.push(id);
            }
        }
        Ok(accessible)
    }

    /// A page of the files attached to one chat.
    pub async fn list_chat_files(
        &self,
        caller: &Caller,
        chat: ChatId,
        request: ListRequest,
    ) -> Result<FilePage, Error> {
        if caller.kind() != CallerKind::Visitor {
            caller.need(&[Permission::UseOperator])?;
        }
        let found = self.store.find_chat(&chat).await?;
        caller.see_chat(&chat, found.as_ref())?;
        let request = ListRequest { filter: FileFilter { chats: vec![chat], ..request.filter }, ..request };
        self.list("chat files", caller, request, None, None).await
    }

    /// A page of the files uploaded for one online visitor: a visitor asks for its own, others within their reach.
    pub async fn list_visitor_files(
        &self,
        caller: &Caller,
        visitor: VisitorId,
        request: ListRequest,
    ) -> Result<FilePage, Error> {
        let scope = match caller.kind() {
            CallerKind::Visitor => {
                caller.see_visitor(&visitor)?;
                None
            }
            CallerKind::Operator | CallerKind::Service => {
                caller.need(&[Permission::FileList])?;
                scope(caller)
            }
        };
        let request = ListRequest { filter: FileFilter { visitor: Some(visitor), ..request.filter }, ..request };
        self.list("visitor files", caller, request, scope, None).await
    }

    async fn list(
        &self,
        name: &'static str,
        caller: &Caller,
        request: ListRequest,
        scope: Option<Vec<ChatId>>,
        deleted_after: Option<Time>,
    ) -> Result<FilePage, Error> {
        // A page token belongs to this list, person, filter and order, and to no other.
        let bound = format!("{name}\0{}\0{:?}\0{:?}", caller.person, request.filter, request.order);
        let after = match request.token.as_str() {
            "" => None,
            token => Some(self.open_place(token, &bound).ok_or(Refusal::new(Reason::BadPageToken))?),
        };
        let query = FileQuery {
            filter: request.filter,
            deleted_after,
            scope,
            order: request.order,
            after,
            limit: request.page_size,
            with_total: request.with_total,
        };
        let mut page = self.store.list_files(query, caller).await?;
        // Whatever the query let through: no list shows what `get_file`, or for deleted ones a restore, would not.
        let settings = self.settings();
        page.rows.retain(|view| match deleted_after {
            None => access::see(caller, Some(view), &settings).is_ok(),
            Some(_) => access::see_deleted(caller, Some(view), &settings, self.clock.now()).is_ok(),
        });
        let next_token = page.next.map_or(String::new(), |place| self.seal_place(place, &bound));
        Ok(FilePage { rows: page.rows, next_token, total: page.total })
    }

    fn seal_place(&self, place: Place, bound: &str) -> String {
        let fields = Fields::default().field(&digest(bound)).number(place.key).number(place.number);
        self.secrets.seal(Purpose::Page, &fields.done(), self.ids.random())
    }

    fn open_place(&self, token: &str, bound: &str) -> Option<Place> {
        let payload = self.secrets.open(Purpose::Page, token)?;
        let mut fields = Reader(&payload);
        (fields.field()? == digest(bound)).then_some(())?;
        Some(Place { key: fields.number()?, number: fields.number()? })
    }

    /// Attaches a file to chats; an answer per chat, in order.
    pub async fn attach(
        &self,
        caller: &Caller,
        file: FileRef,
        to: Vec<AttachTo>,
    ) -> Result<Vec<Result<(), Refusal>>, Error> {
        self.need_writable()?;
        caller.need(&[Permission::UseOperator])?;
        Ok(self.store.attach(file, to, caller, &self.settings(), self.clock.now()).await?)
    }

    /// Detaches a file from a chat.
    pub async fn detach(&self, caller: &Caller, file: FileRef, chat: ChatId) -> Result<(), Error> {
        self.need_writable()?;
        Ok(self.store.detach(file, chat, caller, &self.settings(), self.clock.now()).await?)
    }

    /// Changes a file's row.
    pub async fn update_file(&self, caller: &Caller, file: FileRef, change: FileChange) -> Result<FileView, Error> {
        self.need_writable()?;
        caller.need(&[Permission::UseOperator])?;
        Ok(self.store.update_file(file, change, caller, &self.settings(), self.clock.now()).await?)
    }

    /// Deletes a file: from the answer on nobody sees it who may not restore it.
    pub async fn delete_file(&self, caller: &Caller, file: FileRef) -> Result<Deletion, Error> {
        self.need_writable()?;
        let deletion = self.store.delete_file(file, caller, &self.settings(), self.clock.now()).await?;
        crate::fault_point!("D3");
        Ok(deletion)
    }

    /// Brings a deleted file back.
    pub async fn restore_file(&self, caller: &Caller, file: FileRef) -> Result<FileView, Error> {
        self.need_writable()?;
        caller.need(&[Permission::FileRestore])?;
        Ok(self.store.restore_file(file, caller, &self.settings(), self.clock.now()).await?)
    }

    /// How long deleted files can be restored, in days.
    pub fn deleted_grace_days(&self) -> i64 {
        self.settings().deleted_grace_days
    }
}

/// The chats outside of which nothing is listed, for a caller whose reach is some chats only.
fn scope(caller: &Caller) -> Option<Vec<ChatId>> {
    match (caller.kind(), &caller.chats, caller.ceiling.as_ref().map(|c| &c.chats)) {
        (CallerKind::Service, ChatSet::Only(ids), _) | (_, _, Some(ChatSet::Only(ids))) => {
            Some(ids.iter().cloned().collect())
        }
        (CallerKind::Visitor, _, _) => Some(Vec::new()),
        (CallerKind::Operator | CallerKind::Service, _, _) => None,
    }
}

/// What binds a page token to its list, in 16 bytes.
pub(super) fn digest(text: &str) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes())[..16].to_vec()
}
