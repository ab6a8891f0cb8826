//! An upload that is not a file yet: the guard that leaves nothing behind on every exit but success.
//!
//! Not here: the way itself (`upload.rs`) and the removal, which is retried until it succeeds (`recovery.rs`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use super::{App, Error, fences::Fence, staging::Staging};
use crate::{
    domain::{
        Actor, Caller, Event, EventKind, Reason,
        admission::{Declared, Target},
    },
    ports::Intent,
};

/// The intents of this node that an upload stands behind: their leases are renewed, and no others. One that is left by
/// accident (its row was written, and the answer lost) ends with its lease like that of a dead node.
#[derive(Default)]
pub struct Alive(Mutex<HashMap<i64, Standing>>);

/// How far one of them has come.
struct Standing {
    intent: Intent,
    /// Something of it may be on its way into the store.
    asked_store: bool,
    /// Its row is fenced: it can only end.
    fenced: CancellationToken,
}

impl Alive {
    /// All of them now.
    pub fn list(&self) -> Vec<Intent> {
        self.lock().values().map(|standing| standing.intent).collect()
    }

    /// From here on the store may have something of it, or get it late.
    pub fn note_asked_store(&self, intent: Intent) {
        if let Some(standing) = self.lock().get_mut(&intent.id) {
            standing.asked_store = true;
        }
    }

    /// These were fenced by somebody else than a newer stream: those of this node are told at once.
    pub fn fence(&self, intents: &[Intent]) {
        let alive = self.lock();
        intents.iter().filter_map(|intent| alive.get(&intent.id)).for_each(|standing| standing.fenced.cancel());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload that is not a file yet. Dropped with its intent, it leaves nothing but its event.
pub struct Draft {
    app: Arc<App>,
    id: i64,
    intent: Option<Intent>,
    ended: CancellationToken,
    fence: Option<Fence>,
    staging: Option<Staging>,
    actor: Actor,
    target: Target,
    refused: Option<(Reason, Option<String>)>,
}

impl Draft {
    /// Of an intent that was just written, for what was declared.
    pub fn new(app: &Arc<App>, intent: Intent, caller: &Caller, declared: &Declared) -> Self {
        let request_id = declared.request_id.clone();
        let ended = CancellationToken::new();
        app.alive.lock().insert(intent.id, Standing { intent, asked_store: false, fenced: ended.clone() });
        Self {
            app: Arc::clone(app),
            id: intent.id,
            intent: Some(intent),
            ended,
            fence: request_id.map(|id| app.fences.enter(caller.person.clone(), id, intent)),
            staging: Some(Staging::new(app.spool.writer(intent.key))),
            actor: caller.into(),
            target: declared.target.clone(),
            refused: None,
        }
    }

    /// The bytes.
    pub fn staging(&mut self) -> &mut Staging {
        self.staging.as_mut().expect("only dropping takes it")
    }

    /// Ends when a newer stream of the same request id took over on this node, or its visitor is erased here.
    pub fn fenced(&self) -> impl Future<Output = ()> + Send + use<> {
        let (newer, ended) = (self.fence.as_ref().map(Fence::fenced), self.ended.clone());
        async move {
            let newer = async {
                match newer {
                    Some(newer) => newer.cancelled_owned().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! { () = newer => {}, () = ended.cancelled() => {} }
        }
    }

    /// It is a file now: nothing is undone.
    pub fn defuse(mut self) {
        self.intent = None;
    }

    /// Remembers why, for the event; the rest happens when it is dropped.
    pub fn refuse(mut self, error: Error) -> Error {
        if let Some(reason) = error.reason() {
            let detail = match &error {
                Error::Refused(refusal) => refusal.get("signature").or(refusal.get("cause")).map(str::to_owned),
                Error::Store(_) | Error::Blob(_) | Error::Scan(_) => None,
            };
            self.refused = Some((reason, detail));
        }
        error
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let standing = self.app.alive.lock().remove(&self.id);
        let asked_store = standing.is_some_and(|standing| standing.asked_store);
        let Some(intent) = self.intent.take() else { return };
        let event = match self.refused.take() {
            Some((reason, detail)) => {
                let event = Event::new(EventKind::UploadRefused, self.actor.clone()).reason(reason);
                detail.into_iter().fold(event, Event::detail)
            }
            None => Event::new(EventKind::UploadAbandoned, self.actor.clone()),
        };
        let event = event.chat(self.target.chat().cloned());
        let (app, staging) = (Arc::clone(&self.app), self.staging.take());
        self.app.tasks.spawn(async move {
            if let Some(mut staging) = staging {
                staging.quiesce().await;
            }
            app.abandon(intent, event, asked_store).await;
        });
    }
}
