//! What lies in quarantine, and releases from it.
//!
//! Not here: how something comes to lie there (`upload.rs`, `rescan.rs`), and what a release means for a verdict
//! (`judging.rs`, `adapters/`).

use std::sync::Arc;

use super::{App, Error, maintenance::need_maintenance, outlive::outlive};
use crate::{
    domain::{
        Actor, Caller, Permission, Reason, Refusal, Time,
        hold::is_unbounded,
        quarantine::{RELEASED_AT_ONCE, judge_reason, judge_signature},
    },
    ports::{NewRelease, QuarantineQuery},
};

pub use crate::domain::quarantine::{QuarantinedBlob, Release, ReleaseOf};

/// A page of blobs in quarantine.
#[derive(Debug, Clone)]
pub struct QuarantinePage {
    /// The blobs, those that were stored last first.
    pub blobs: Vec<QuarantinedBlob>,
    /// Where the next page starts; empty at the end.
    pub next_token: String,
}

/// A release to be made.
#[derive(Debug, Clone)]
pub struct ReleaseAsked {
    /// Of what.
    pub what: ReleaseOf,
    /// Why: 1 to 200 bytes without control characters.
    pub reason: String,
    /// From when on it counts no more; `None`: it always does.
    pub until: Option<Time>,
}

/// A release is of all files: whoever may access some chats only would serve what others found.
fn need_release(caller: &Caller) -> Result<(), Refusal> {
    caller.need(&[Permission::FileRestore])?;
    if is_unbounded(caller) {
        return Ok(());
    }
    Err(Refusal::new(Reason::MissingPermission)
        .because("a release is of all files: it needs a caller whose service may access all chats")
        .with("any_of", Permission::FileRestore.name()))
}

impl App {
    /// Blobs in quarantine, all or what one signature hit, from a token on.
    ///
    /// # Errors
    /// `MISSING_PERMISSION`, `BAD_PAGE_TOKEN`, `BAD_ARGUMENT`.
    pub async fn list_quarantine(
        &self,
        caller: &Caller,
        signature: Option<String>,
        limit: u32,
        token: &str,
    ) -> Result<QuarantinePage, Error> {
        need_maintenance(caller).or_else(|_| need_release(caller))?;
        if let Some(signature) = &signature {
            judge_signature("signature", signature)?;
        }
        let bound = format!("quarantine\0{}\0{signature:?}", caller.person);
        let before = self.page_before(token, &bound)?;
        let found = self.store.list_quarantine(QuarantineQuery { signature, before, limit }).await?;
        let next_token = self.next_page(&found, limit, &bound);
        Ok(QuarantinePage { blobs: found.into_iter().map(|(_, blob)| blob).collect(), next_token })
    }

    /// Releases bytes, or whatever a signature hits; answers how many blobs came out of quarantine. The rest of a signature's
    /// comes out even if the caller leaves; where the node dies before, the same call goes on.
    ///
    /// # Errors
    /// `MISSING_PERMISSION`, `READ_ONLY`, `BAD_ARGUMENT`; `NOT_FOUND` for bytes in which nothing was found.
    pub async fn release_quarantine(
        self: &Arc<Self>,
        caller: &Caller,
        asked: ReleaseAsked,
    ) -> Result<(Release, u64), Error> {
        need_release(caller)?;
        self.need_writable()?;
        let ReleaseAsked { what, reason, until } = asked;
        judge_reason(&reason)?;
        if let ReleaseOf::Signature(signature) = &what {
            judge_signature("signature", signature)?;
        }
        let now = self.clock.now();
        if until.is_some_and(|until| until <= now) {
            return Err(Refusal::argument("expire_time", "expire_time must lie in the future").into());
        }
        let by = Actor::from(caller);
        let new = NewRelease { what, reason, by: by.clone(), until, now };
        let app = Arc::clone(self);
        outlive(&self.tasks, async move {
            let (release, mut out) = app.store.create_release(new).await?;
            if release.sha256.is_none() {
                loop {
                    let now = app.clock.now();
                    let some = app.store.release_batch(release.number, RELEASED_AT_ONCE, by.clone(), now).await?;
                    out += some;
                    if some == 0 {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            tracing::info!(number = release.number, blobs = out, "blobs were released from quarantine");
            Ok((release, out))
        })
        .await
    }

    /// Releases, also those that have ended, from a token on.
    ///
    /// # Errors
    /// `MISSING_PERMISSION`, `BAD_PAGE_TOKEN`.
    pub async fn list_releases(
        &self,
        caller: &Caller,
        limit: u32,
        token: &str,
    ) -> Result<(Vec<Release>, String), Error> {
        need_release(caller)?;
        let bound = format!("releases\0{}", caller.person);
        let before = self.page_before(token, &bound)?;
        let found = self.store.list_releases(before, limit).await?;
        let next_token = self.next_page(&found, limit, &bound);
        Ok((found.into_iter().map(|(_, release)| release).collect(), next_token))
    }

    /// A release counts no more from now on; what it released is scanned anew.
    ///
    /// # Errors
    /// `MISSING_PERMISSION`, `READ_ONLY`, `NOT_FOUND`.
    pub async fn end_release(&self, caller: &Caller, number: i64) -> Result<Release, Error> {
        need_release(caller)?;
        self.need_writable()?;
        let release = self.store.end_release(number, Actor::from(caller), self.clock.now()).await?;
        self.rescanning.look_now();
        Ok(release)
    }
}
