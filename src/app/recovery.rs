//! What is left behind is removed: by a kill, by a dead node, by a cancelled call. Rows first tell what there is.
//!
//! Not here: retention by rule (a later issue). No bytes without a row: the intents name all debris, so that the spool
//! and the store need never be guessed at.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};

use super::{App, Error, upload::LEASE_SECS};
use crate::{
    domain::{Actor, BlobKey, Event, EventKind, Sha256, Time, Verdict},
    ports::{ClockSays, Dead, Intent},
    telemetry::names,
};

/// How often leases are renewed and the dead looked for.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// How soon a renewal that failed is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(1);
/// How long a start may wait for what an earlier life left: it serves within seconds, whatever that is.
const RECOVER_WITHIN: Duration = Duration::from_secs(10);
/// Dead intents taken up by one question.
const BATCH: i64 = 500;
/// Of these so many are buried at once: each waits for the database and the store several times.
const AT_ONCE: usize = 8;
/// Between attempts to remove something: it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

impl App {
    /// At start: every intent of this node is of an earlier life; and what lies in the spool without an intent goes. An
    /// intent that cannot be buried now is buried once its lease is over, and keeps nobody waiting.
    pub(super) async fn recover_own(&self) -> Result<(), Error> {
        let mut recovered = 0_usize;
        let recovering = async {
            loop {
                let dead = self.store.list_dead_uploads(Some(&self.node), self.clock.now(), BATCH).await?;
                let buried = self.bury_all(dead).await;
                recovered += buried;
                if buried == 0 {
                    return Ok::<(), Error>(());
                }
            }
        };
        match tokio::time::timeout(RECOVER_WITHIN, recovering).await {
            Ok(recovered) => recovered?,
            Err(_) => tracing::warn!("an earlier life left more than can be removed at the start; the rest follows"),
        }
        let mut strays = 0_usize;
        for key in self.spool.list().await? {
            // The spool is this node's own, and no call is served yet: nothing in it is needed any more.
            match self.spool.discard(key).await {
                Ok(_) => strays += 1,
                Err(error) => tracing::warn!(%key, %error, "spooled bytes of an earlier life cannot be removed"),
            }
        }
        if recovered + strays > 0 {
            tracing::info!(recovered, strays, "removed what uploads of an earlier life left");
        }
        Ok(())
    }

    /// While the node lives: the leases of its uploads renewed. Nothing else is waited for in here: other nodes end what
    /// was not renewed.
    pub(super) async fn keep_leases(&self) {
        let mut pause = RENEW_EVERY;
        loop {
            tokio::time::sleep(pause).await;
            pause = RENEW_EVERY;
            let alive = self.alive.list();
            if alive.is_empty() {
                continue;
            }
            if let Err(error) = self.store.renew_leases(&alive, self.clock.now(), LEASE_SECS).await {
                tracing::warn!(%error, "leases could not be renewed; it is tried again");
                pause = RENEW_AGAIN;
            }
        }
    }

    /// While the node lives: the intents of dead nodes ended, old request ids forgotten.
    pub(super) async fn clear_away(&self) {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            if let Err(error) = self.clear_away_once().await {
                tracing::warn!(%error, "what dead nodes left could not be asked for; it is tried again");
            }
        }
    }

    async fn clear_away_once(&self) -> Result<(), Error> {
        self.end_dead_uploads().await?;
        if self.is_moved() || self.need_writable().is_err() {
            return Ok(());
        }
        // By a clock that is ahead of itself no request id is old.
        if self.store.judge_clock(self.clock.now(), false).await? != ClockSays::Jumped {
            while self.store.trim_request_ids(self.clock.now()).await? == 1_000 {}
        }
        Ok(())
    }

    /// Ends what nobody stands behind any more, some of it at once; answers how many were ended, and how many could not be.
    pub(super) async fn end_dead_uploads(&self) -> Result<(u64, u64), Error> {
        if self.is_moved() {
            // What the others left lies in their store, which is not ours.
            return Ok((0, 0));
        }
        let mut dead = self.store.list_dead_uploads(None, self.clock.now(), BATCH).await?;
        // Ours that live are only late with their renewal: a clock was set, or this machine stood still.
        let alive: HashSet<i64> = self.alive.list().into_iter().map(|intent| intent.id).collect();
        dead.retain(|dead| !alive.contains(&dead.intent.id));
        let found = dead.len();
        let ended = self.bury_all(dead).await;
        Ok((ended as u64, (found - ended) as u64))
    }

    /// Ends uploads without a file; answers how many. One that cannot be ended now stays, and stops no other.
    async fn bury_all(&self, dead: Vec<Dead>) -> usize {
        let buried = stream::iter(dead).map(|Dead { intent, buried }| async move {
            let done = if buried {
                self.bury_again(intent).await
            } else {
                // Nobody knows how far it had come: it may have asked the store.
                self.bury(intent, Event::new(EventKind::UploadAbandoned, Actor::SYSTEM), true).await
            };
            if let Err(error) = &done {
                let id = intent.id;
                tracing::warn!(id, %error, "what a dead upload left could not be removed; it is tried again");
            }
            usize::from(done.is_ok())
        });
        buried.buffer_unordered(AT_ONCE).fold(0, |sum, one| std::future::ready(sum + one)).await
    }

    /// Ends an upload without a file, however long the database or the disk takes to come back.
    pub(super) async fn abandon(&self, intent: Intent, event: Event, asked_store: bool) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.bury(intent, event.clone(), asked_store).await {
            tracing::warn!(%error, "an abandoned upload could not be removed yet; it is tried again");
            if self.stop.is_cancelled() {
                // The intent stays, and the next start recovers it.
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Fence first: its node may only have been slow, or the answer of its commit been lost, and a file whose bytes we
    /// remove must not appear; nor are parts begun any more that nobody would find. Then the bytes, the row last: a kill
    /// in between leaves the row, which names them. Where the store was asked for something, it may still finish that,
    /// whoever has stopped waiting for it: then the row stays for as long, and is [buried again](Self::bury_again).
    async fn bury(&self, intent: Intent, event: Event, asked_store: bool) -> Result<(), Error> {
        let published = self.store.fence_upload(intent).await?;
        self.spool.discard(intent.key).await?;
        let may_be_stored = asked_store && !published;
        if may_be_stored {
            self.discard_stored(intent).await?;
        }
        crate::fault_point!("R1");
        let late = if may_be_stored { self.blobs.lateness() } else { Duration::ZERO };
        let stays_secs = late.as_secs().cast_signed();
        Ok(self.store.abort_upload(intent, event, self.clock.now(), stays_secs).await?)
    }

    /// What the store finished after the upload was buried, and then the row that named it.
    async fn bury_again(&self, intent: Intent) -> Result<(), Error> {
        self.discard_stored(intent).await?;
        Ok(self.store.end_buried(intent).await?)
    }

    async fn discard_stored(&self, intent: Intent) -> Result<(), Error> {
        let parts = self.store.find_multipart(intent).await?;
        let started = tokio::time::Instant::now();
        self.blobs.discard(intent.key, parts).await?;
        metrics::histogram!(names::BLOB_SECONDS, names::OP => "delete").record(started.elapsed());
        Ok(())
    }

    /// Removes spooled bytes that nobody needs and no row names. Nobody waits for a disk that does not do so at once: it
    /// is asked again beside the calls, and what is left at the end the next start removes.
    pub(super) async fn discard(self: &Arc<Self>, key: BlobKey) {
        let Err(error) = self.spool.discard(key).await else { return };
        tracing::warn!(%error, "spooled bytes could not be removed yet; it is tried again");
        self.insist(move |app| async move { app.spool.discard(key).await.is_ok() });
    }

    /// Puts stored bytes into quarantine, and remembers them as infected. If that cannot be done now, it is done later:
    /// the finding must not be lost with the call that is refused for it.
    pub(super) async fn quarantine(
        self: &Arc<Self>,
        sha256: Sha256,
        verdict: Verdict,
        signature: &str,
        made: Option<Time>,
    ) -> Result<(), Error> {
        let found = Verdict { at: self.clock.now(), ..verdict.clone() };
        let Err(error) = self.store.quarantine(sha256, found, signature, made).await else { return Ok(()) };
        tracing::warn!(%error, "infected bytes could not be put into quarantine yet; it is tried again");
        let signature = signature.to_owned();
        self.insist(move |app| {
            let verdict = Verdict { at: app.clock.now(), ..verdict.clone() };
            let signature = signature.clone();
            async move { app.store.quarantine(sha256, verdict, &signature, made).await.is_ok() }
        });
        Err(error.into())
    }

    /// Tries something beside the calls until it is done.
    fn insist<F, Fut>(self: &Arc<Self>, attempt: F)
    where
        F: Fn(Arc<Self>) -> Fut + Send + 'static,
        Fut: Future<Output = bool> + Send,
    {
        self.spawn_until_stop(|app| async move {
            let mut pause = FIRST_PAUSE;
            loop {
                tokio::time::sleep(pause).await;
                if attempt(Arc::clone(&app)).await {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }
}
