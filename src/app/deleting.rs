//! Many files deleted by one call: those that are named, or those that a filter hits, if they are as many as expected.
//!
//! Not here: one file's delete (`library.rs`), which each of them is, in a transaction of its own.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream};

use super::{App, Error, ListRequest};
use crate::domain::{
    Caller, FileId, Reason, Refusal,
    listing::{FileFilter, FileRef, Order, PAGE_SIZES},
};

/// Most files of one call.
pub const MAX_DELETED: usize = 1_000;
/// Of these so many at once.
const AT_ONCE: usize = 8;

/// What became of each file, in order.
pub type DeletedFiles = Vec<(FileId, Result<(), Refusal>)>;

impl App {
    /// Deletes these files; an answer for each, as [`App::delete_file`] gives it.
    ///
    /// # Errors
    /// The database fails; some may be deleted, and the same call may be made again.
    pub async fn delete_files(&self, caller: &Caller, files: Vec<FileId>) -> Result<DeletedFiles, Error> {
        self.need_writable()?;
        let mut asked = files.clone();
        asked.sort_unstable();
        asked.dedup();
        let deleting =
            stream::iter(asked).map(|id| async move { (id, self.delete_file(caller, FileRef::Id(id)).await) });
        let mut deleting = deleting.buffer_unordered(AT_ONCE);
        let mut answers = HashMap::new();
        while let Some((id, deleted)) = deleting.next().await {
            let answer = match deleted {
                Ok(_) => Ok(()),
                Err(Error::Refused(refusal)) => Err(refusal),
                Err(error) => return Err(error),
            };
            answers.insert(id, answer);
        }
        Ok(files.into_iter().map(|id| (id, answers.get(&id).cloned().unwrap_or(Ok(())))).collect())
    }

    /// Deletes what [`App::list_files`] shows this caller by a filter, if that is as many files as expected.
    ///
    /// # Errors
    /// `CONFIRMATION_NEEDED` with `count` for another number, or for more than [`MAX_DELETED`]; those of
    /// [`App::list_files`] and [`App::delete_files`].
    pub async fn delete_matching(
        &self,
        caller: &Caller,
        filter: FileFilter,
        expected: u64,
    ) -> Result<DeletedFiles, Error> {
        self.need_writable()?;
        let (_, page_size, _) = PAGE_SIZES;
        let mut request =
            ListRequest { filter, order: Order::Oldest, page_size, token: String::new(), with_total: true };
        let (mut files, mut total) = (Vec::new(), None);
        loop {
            let page = self.list_files(caller, request.clone()).await?;
            total = total.or(page.total);
            files.extend(page.rows.into_iter().map(|view| view.file.id));
            if page.next_token.is_empty() || files.len() > MAX_DELETED {
                break;
            }
            request = ListRequest { token: page.next_token, with_total: false, ..request };
        }
        let found = files.len() as u64;
        if files.len() > MAX_DELETED {
            // Counted by the first page, as exactly as a list counts.
            let count = total.map_or(found, |total| total.files.max(found));
            let many = format!("more than {MAX_DELETED} files match, which is as many as one call deletes");
            let refusal = Refusal::new(Reason::ConfirmationNeeded).because(many);
            return Err(refusal.with("count", count).with("limit", MAX_DELETED).into());
        }
        if found != expected {
            let other = format!("{found} files match, not {expected}: nothing was deleted");
            return Err(Refusal::new(Reason::ConfirmationNeeded).because(other).with("count", found).into());
        }
        self.delete_files(caller, files).await
    }
}
