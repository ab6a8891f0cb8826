//! Pages of rows that are listed by their number, the newest first: where one starts, and where the next one will.
//!
//! Not here: lists of files and chats, which go by other keys (`library.rs`, `chats.rs`).

use super::{
    App,
    library::digest,
    seal::{Fields, Purpose, Reader},
};
use crate::domain::{Reason, Refusal};

impl App {
    /// The number before which a page starts; `None`: the first page. `bound`: which list of whose it is, whose tokens
    /// are of no use for another.
    pub(super) fn page_before(&self, token: &str, bound: &str) -> Result<Option<i64>, Refusal> {
        if token.is_empty() {
            return Ok(None);
        }
        let open = || {
            let payload = self.secrets.open(Purpose::Page, token)?;
            let mut fields = Reader(&payload);
            (fields.field()? == digest(bound)).then_some(())?;
            fields.number()
        };
        open().map(Some).ok_or(Refusal::new(Reason::BadPageToken))
    }

    /// The token of the next page; empty after a page that is not full.
    pub(super) fn next_page<T>(&self, page: &[(i64, T)], limit: u32, bound: &str) -> String {
        match page.last() {
            Some((number, _)) if page.len() == limit as usize => {
                let fields = Fields::default().field(&digest(bound)).number(*number);
                self.secrets.seal(Purpose::Page, &fields.done(), self.ids.random())
            }
            Some(_) | None => String::new(),
        }
    }
}
