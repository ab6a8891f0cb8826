//! May this caller see, read, attach, change, delete this file? Each answer is a pure function of rows.
//!
//! Not here: the coarse gate by permission (`rpc/access.rs`) and uploads (`admission.rs`). Silence denies. What is
//! not within reach is the one `NOT_FOUND`, whether it is foreign, deleted, quarantined or absent.

use super::{
    Caller, CallerKind, Chat, ChatId, FileView, Permission, Reason, Refusal, Time,
    file::{BlobState, FileState},
    hold::is_unbounded,
    settings::{OperatorDownload, Settings, VisitorDownload},
};

/// By which way a download comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `DownloadFile` by id.
    Direct,
    /// A fresh link made by this caller.
    Link,
}

/// The file, if it is there for this caller. The gate of every RPC that names a file.
pub fn see<'f>(caller: &Caller, view: Option<&'f FileView>, settings: &Settings) -> Result<&'f FileView, Refusal> {
    view.filter(|v| v.file.state == FileState::Ready && v.blob.state == BlobState::Active)
        .filter(|v| reaches(caller, v, settings))
        .ok_or_else(Refusal::not_found)
}

/// Who sees that a file exists (product.md section 3, "Reach"), whatever its state.
fn reaches(caller: &Caller, view: &FileView, settings: &Settings) -> bool {
    // The chats in a view are those that the caller may access, by claim or as owner, within the acting service's.
    let through_a_chat = !view.chats.is_empty();
    if caller.ceiling.as_ref().is_some_and(|c| c.chats != super::ChatSet::All) && !through_a_chat {
        // A service sees what its chats say; acting for somebody it sees no more.
        return false;
    }
    match caller.kind() {
        CallerKind::Visitor => through_a_chat || is_for(caller, view),
        CallerKind::Operator => {
            view.file.uploader == caller.person
                || through_a_chat
                || (view.file.is_library() && caller.has(Permission::UseOperator))
                || caller.has(Permission::FileList)
                || caller.has(Permission::FileDelete)
                || (caller.has(Permission::UseOperator) && settings.operator_download == OperatorDownload::AnyOperator)
        }
        CallerKind::Service => caller.is_entitled_to_all() || through_a_chat,
    }
}

/// The file was uploaded for this very visitor.
fn is_for(caller: &Caller, view: &FileView) -> bool {
    view.file.visitor_id.as_ref().is_some_and(|id| caller.is_visitor(id))
}

/// May the bytes of a file within reach be read now, by this way?
pub fn read(caller: &Caller, view: &FileView, settings: &Settings, now: Time, way: Way) -> Result<(), Refusal> {
    let through_a_chat = !view.chats.is_empty();
    let allowed = match caller.kind() {
        CallerKind::Service => true,
        CallerKind::Operator => match settings.operator_download {
            OperatorDownload::AnyOperator if caller.has(Permission::UseOperator) => true,
            OperatorDownload::AnyOperator | OperatorDownload::ChatAccess => {
                view.file.uploader == caller.person || view.file.is_library() || through_a_chat
            }
        },
        CallerKind::Visitor => match (settings.visitor_download, way) {
            (VisitorDownload::Forever, Way::Direct | Way::Link) | (VisitorDownload::Link, Way::Link) => {
                through_a_chat || is_for(caller, view)
            }
            (VisitorDownload::Link, Way::Direct) => {
                return Err(Refusal::new(Reason::DownloadNotAllowed)
                    .because("visitors download by a fresh link only: make one with CreateDownloadLink"));
            }
            (VisitorDownload::WhileChatOpen, Way::Direct | Way::Link) => {
                // What was uploaded for it has no chat that could be closed: reach suffices.
                let open = |c: &Chat| c.is_open_or_in_grace(now, settings.closed_chat_grace_seconds);
                is_for(caller, view) || view.chats.iter().any(open)
            }
        },
    };
    if allowed { Ok(()) } else { Err(Reason::DownloadNotAllowed.into()) }
}

/// May a file within reach be detached from this chat? By its uploader or the chat's owner (or the chat's service), unless
/// a hold keeps the file there.
pub fn detach(caller: &Caller, view: &FileView, chat: &Chat, held: bool) -> Result<(), Refusal> {
    caller.need(&[Permission::UseOperator])?;
    let owner = chat.owner.is_some() && caller.operator() == chat.owner.as_ref();
    let service = caller.kind() == CallerKind::Service && caller.chats.contains(&chat.id);
    if !(owner || service || view.file.uploader == caller.person) {
        return Err(Refusal::new(Reason::MissingPermission)
            .because("only the file's uploader or the chat's owner operator may detach it"));
    }
    if held { Err(Reason::OnHold.into()) } else { Ok(()) }
}

/// What deciding a delete needs beyond the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteFacts {
    /// The caller is the owner operator of the file's home chat.
    pub owns_home_chat: bool,
    /// The file is attached to a chat whose owner is somebody else, or nobody.
    pub attached_elsewhere: bool,
    /// A hold keeps it.
    pub held: bool,
}

/// How a delete by this caller goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Write the tombstone.
    Delete,
    /// It is deleted already, and this caller could have done it: OK again.
    AlreadyDone,
}

/// May this caller delete this file? It is given tombstones too.
pub fn delete(
    caller: &Caller,
    view: Option<&FileView>,
    facts: DeleteFacts,
    settings: &Settings,
) -> Result<Deletion, Refusal> {
    let view = view.ok_or_else(Refusal::not_found)?;
    if view.blob.state != BlobState::Active || !reaches(caller, view, settings) {
        return Err(Refusal::not_found());
    }
    let by_chat = caller.has(Permission::FileDeleteChat)
        && (view.file.uploader == caller.person || (facts.owns_home_chat && !facts.attached_elsewhere));
    let may = caller.has(Permission::FileDelete) || by_chat;
    match (view.file.state, may) {
        (FileState::Ready, true) if facts.held => Err(Reason::OnHold.into()),
        (FileState::Ready, true) => Ok(Deletion::Delete),
        (FileState::Deleted, true) => Ok(Deletion::AlreadyDone),
        (FileState::Deleted, false) => Err(Refusal::not_found()),
        (FileState::Ready, false) => {
            Err(caller.need(&[Permission::FileDelete]).err().unwrap_or_else(Refusal::not_found))
        }
    }
}

/// The deleted file, if this caller may see and restore it now: within the grace.
pub fn see_deleted<'f>(
    caller: &Caller,
    view: Option<&'f FileView>,
    settings: &Settings,
    now: Time,
) -> Result<&'f FileView, Refusal> {
    view.filter(|v| v.file.state == FileState::Deleted && v.blob.state == BlobState::Active)
        .filter(|v| v.file.restorable_until(settings.deleted_grace_days).is_some_and(|end| now < end))
        .filter(|v| may_restore(caller, v))
        .ok_or_else(Refusal::not_found)
}

/// What a caller with `file_restore` reaches, whatever its state.
fn may_restore(caller: &Caller, view: &FileView) -> bool {
    caller.has(Permission::FileRestore) && reaches_in_any_state(caller, view)
}

/// What somebody with a right over the end of files reaches, whatever its state and whatever the settings.
fn reaches_in_any_state(caller: &Caller, view: &FileView) -> bool {
    caller.kind() != CallerKind::Visitor && (is_unbounded(caller) || !view.chats.is_empty())
}

/// The file, if this caller may put a hold on it or lift one: also a deleted one, and bytes in quarantine.
pub fn see_to_hold<'f>(caller: &Caller, view: Option<&'f FileView>) -> Result<&'f FileView, Refusal> {
    caller.need(&[Permission::LegalHold])?;
    view.filter(|view| reaches_in_any_state(caller, view)).ok_or_else(Refusal::not_found)
}

/// The file, if this caller may be told what maintenance would do with it, whatever its state.
pub fn see_to_explain<'f>(caller: &Caller, view: Option<&'f FileView>) -> Result<&'f FileView, Refusal> {
    caller.need(&[Permission::MaintenanceRun])?;
    view.filter(|view| reaches_in_any_state(caller, view)).ok_or_else(Refusal::not_found)
}

/// The file, if this caller may purge it at once: also a deleted one, and bytes in quarantine.
pub fn purge<'f>(caller: &Caller, view: Option<&'f FileView>, held: bool) -> Result<&'f FileView, Refusal> {
    caller.need(&[Permission::Erase])?;
    let view = view.filter(|view| reaches_in_any_state(caller, view)).ok_or_else(Refusal::not_found)?;
    if held { Err(Reason::OnHold.into()) } else { Ok(view) }
}

/// May this caller put holds on persons, or lift them? They reach beyond any chat.
pub fn see_persons_to_hold(caller: &Caller) -> Result<(), Refusal> {
    caller.need(&[Permission::LegalHold])?;
    if is_unbounded(caller) { Ok(()) } else { Err(Refusal::not_found()) }
}

/// What somebody is told who asks for all holds and may not see them.
pub fn names_what_it_reaches() -> Refusal {
    Refusal::argument("target", "target must name a file or a chat: this caller's service may access some chats only")
}

/// The chat, if this caller may put a hold on it or lift one: also a deleted one, whose files can be restored.
pub fn see_chat_to_hold<'c>(caller: &Caller, id: &ChatId, chat: Option<&'c Chat>) -> Result<&'c Chat, Refusal> {
    caller.need(&[Permission::LegalHold])?;
    let accessed = |chat: &&Chat| !chat.deleted && caller.may_access(id, chat.owner.as_ref());
    chat.filter(|chat| caller.kind() != CallerKind::Visitor && (is_unbounded(caller) || accessed(chat)))
        .ok_or_else(|| caller.chat_refusal())
}

/// How a restore by this caller goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restoration {
    /// Bring it back.
    Restore,
    /// It is there, and this caller sees it, or could have brought it back: OK again.
    AlreadyDone,
}

/// May this caller bring this file back?
pub fn restore(
    caller: &Caller,
    view: Option<&FileView>,
    settings: &Settings,
    now: Time,
) -> Result<Restoration, Refusal> {
    let there = view.filter(|v| v.file.state == FileState::Ready && v.blob.state == BlobState::Active);
    // A right over deleted files opens none that never was deleted.
    let was_deleted = |v: &FileView| v.file.restored_at.is_some();
    if there.is_some_and(|v| may_restore(caller, v) && (reaches(caller, v, settings) || was_deleted(v))) {
        return Ok(Restoration::AlreadyDone);
    }
    see_deleted(caller, view, settings, now).map(|_| Restoration::Restore)
}

#[cfg(test)]
mod tests;
