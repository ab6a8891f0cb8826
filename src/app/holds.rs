//! Holds: put, lifted, listed.
//!
//! Not here: what a hold forbids (asked in each transaction that ends a file, `adapters/`), and its bounds
//! (`domain/hold.rs`).

use super::{App, Error};
use crate::{
    domain::{Caller, Hold, HoldOn, Matter, Permission},
    ports::HoldQuery,
};

/// A page of holds.
#[derive(Debug, Clone)]
pub struct HoldPage {
    /// The holds, the newest first.
    pub holds: Vec<Hold>,
    /// Where the next page starts; empty at the end.
    pub next_token: String,
}

impl App {
    /// Keeps what is named from every end, until the hold is lifted.
    pub async fn put_hold(&self, caller: &Caller, on: HoldOn, matter: Matter) -> Result<Hold, Error> {
        caller.need(&[Permission::LegalHold])?;
        self.need_writable()?;
        Ok(self.store.put_hold(on, matter, caller, self.clock.now()).await?)
    }

    /// Lifts a hold; `false` if there was none.
    pub async fn lift_hold(&self, caller: &Caller, on: HoldOn, matter: Matter) -> Result<bool, Error> {
        caller.need(&[Permission::LegalHold])?;
        self.need_writable()?;
        Ok(self.store.lift_hold(on, matter, caller, self.clock.now()).await?)
    }

    /// Holds on one thing or on all, from a token on.
    pub async fn list_holds(
        &self,
        caller: &Caller,
        on: Option<HoldOn>,
        limit: u32,
        token: &str,
    ) -> Result<HoldPage, Error> {
        caller.need(&[Permission::LegalHold])?;
        let bound = format!("holds\0{}\0{on:?}", caller.person);
        let before = self.page_before(token, &bound)?;
        let found = self.store.list_holds(HoldQuery { on, before, limit }, caller).await?;
        let next_token = self.next_page(&found, limit, &bound);
        Ok(HoldPage { holds: found.into_iter().map(|(_, hold)| hold).collect(), next_token })
    }
}
