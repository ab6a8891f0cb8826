//! A visitor erased: uploads fenced, files purged with their bytes, and its id replaced wherever it stands.
//!
//! The row of the erasure (`ports/erasing.rs`) is there before anything is done: whoever is asked for the same visitor
//! again after a kill goes on with it. Uploads first, so that none becomes a file behind the search for files; then files;
//! then what is told of them. Not here: who may ([`crate::domain::erasure`]), and the bytes (`purging.rs`).

use std::sync::Arc;

use super::{App, Error, outlive::outlive};
use crate::{
    domain::{
        Caller, ChatId, Reason, Refusal, VisitorId,
        erasure::{self, Erased, Erasing, MOST_HELD, Why},
    },
    fault_point,
    ports::{MAX_ERASED_EVENTS, MAX_ERASED_FILES, NewErasure},
};

impl App {
    /// Erases a visitor, and what visitors brought into these chats. It is carried to its end even if the caller leaves.
    ///
    /// # Errors
    /// `MISSING_PERMISSION`, `READ_ONLY`, `LEAVING`; the database fails: called again, it goes on.
    pub async fn erase_visitor(
        self: &Arc<Self>,
        caller: &Caller,
        visitor: VisitorId,
        chats: Vec<ChatId>,
        why: Why,
    ) -> Result<Erased, Error> {
        erasure::may_erase(caller)?;
        self.need_writable()?;
        let pseudonym = erasure::pseudonym(self.ids.random())?;
        let new = NewErasure { visitor, chats, pseudonym, why, caller: caller.clone(), now: self.clock.now() };
        let app = Arc::clone(self);
        outlive(&self.tasks, async move { app.erase(new).await }).await
    }

    async fn erase(&self, new: NewErasure) -> Result<Erased, Error> {
        let caller = new.caller.clone();
        let of = self.store.begin_erasure(new).await?;
        self.reload_keys().await;
        self.alive.fence(&self.store.erase_uploads(&of).await?);
        self.erase_files(&of, &caller).await?;
        fault_point!("E1");
        while self.store.erase_events(&of, MAX_ERASED_EVENTS).await? > 0 {
            self.need_to_stay()?;
        }
        fault_point!("E2");
        let held = self.store.list_not_erased(&of, u32::try_from(MOST_HELD).unwrap_or(u32::MAX)).await?;
        let erased = self.store.end_erasure(&of, held.len() as u64, &caller, self.clock.now()).await?;
        Ok(Erased { held, ..erased })
    }

    async fn erase_files(&self, of: &Erasing, caller: &Caller) -> Result<(), Error> {
        loop {
            fault_point!("D4");
            let erased = self.store.erase_files(of, MAX_ERASED_FILES, caller, self.clock.now()).await?;
            if !erased.more {
                return Ok(());
            }
            self.remove_soon(erased.leaving).await;
            self.need_to_stay()?;
        }
    }

    /// Work that is long and can be asked for again does not keep a node from its end.
    pub(super) fn need_to_stay(&self) -> Result<(), Refusal> {
        if self.stop.is_cancelled() { Err(Reason::Leaving.into()) } else { Ok(()) }
    }
}
