//! What is stored, counted at most once a minute and by one caller at a time on each node.
//!
//! All rows are walked, page by page, each page a short transaction: files may come and go meanwhile, so that the numbers
//! are those of about that moment. Not here: the counting ([`crate::domain::stats`]) and the pages (`ports/stats.rs`).

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{App, Error, maintenance::need_maintenance, outlive::outlive};
use crate::domain::{
    Caller,
    run::Checkpoint,
    stats::{BlobFact, FileFact, Stats},
};

/// Rows of one page.
const PAGE: u32 = 10_000;
/// So long they are told again.
const KEPT: Duration = Duration::from_secs(60);

/// What was counted last, and when. Whoever counts has the lock: others wait, and are told the same.
#[derive(Default)]
pub(super) struct Counted(tokio::sync::Mutex<Option<(Instant, Arc<Stats>)>>);

impl App {
    /// What is stored, and what the next run of maintenance would delete of it.
    ///
    /// # Errors
    /// `MISSING_PERMISSION`, `LEAVING`; the database fails.
    pub async fn get_stats(self: &Arc<Self>, caller: &Caller) -> Result<Arc<Stats>, Error> {
        need_maintenance(caller)?;
        let app = Arc::clone(self);
        // Begun for one who leaves, it is there for the next.
        outlive(&self.tasks, async move {
            let mut counted = app.counted.0.lock().await;
            if let Some((_, stats)) = counted.as_ref().filter(|(at, _)| at.elapsed() < KEPT) {
                return Ok(Arc::clone(stats));
            }
            let stats = Arc::new(app.count_all().await?);
            *counted = Some((Instant::now(), Arc::clone(&stats)));
            Ok(stats)
        })
        .await
    }

    async fn count_all(&self) -> Result<Stats, Error> {
        let rule = self.rule().await?;
        let (guard, at) = self.store.find_guard(&rule, self.clock.now()).await?;
        let mut stats = Stats { guard, ..Stats::at(at) };
        let mut after = i64::MIN;
        loop {
            let page: Vec<FileFact> = self.store.read_files(after, PAGE).await?;
            let Some(last) = page.last().map(|file| file.number) else { break };
            after = last;
            self.need_to_stay()?;
            page.into_iter().for_each(|file| stats.count_file(file));
        }
        after = i64::MIN;
        loop {
            let page: Vec<BlobFact> = self.store.read_blobs(after, PAGE).await?;
            let Some(last) = page.last().map(|blob| blob.id) else { break };
            after = last;
            self.need_to_stay()?;
            page.into_iter().for_each(|blob| stats.count_blob(blob));
        }
        let mut place = Some(Checkpoint::START);
        while let Some(after) = place {
            let (groups, next) = self.store.read_due(&rule, at, after, PAGE).await?;
            stats.count_due(groups);
            place = next;
            self.need_to_stay()?;
        }
        Ok(stats)
    }
}
