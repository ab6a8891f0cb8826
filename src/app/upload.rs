//! The upload's way: admit, intent, receive, accept, verdict, clear, publish, commit, in this order.
//!
//! Not here: the decisions themselves (`domain/admission.rs`), the bytes on their way in (`staging.rs`) and the
//! scanner (`scanning.rs`). From the commit message on the work runs in a task of its own, which the caller's leaving
//! does not stop. A guard undoes the rest on every other exit.

use std::sync::Arc;

use super::{
    App, Error, UploadSource,
    draft::Draft,
    staging::{End, Whole, blocking},
};
use crate::{
    domain::{
        BlobState, Caller, Chat, Event, EventKind, FileView, Kind, Reason, Refusal, Settings, Verdict, VerdictKind,
        admission::{self, Accepted, Admitted, Cleared, Declared, Finding, Received, Target, UploadOptions},
        media_type::{ArchiveLimits, Observed},
    },
    fault_point,
    ports::{Before, Begun, BytesAt, Commit, Committed, Intent, NewUpload, Spooled},
    telemetry::names,
};

/// Seconds a node's lease on its intents lasts; renewed every 20 s.
pub const LEASE_SECS: i64 = 60;

/// How an upload begins, seen from here: with a draft, whose guard is set from the moment that its row is there.
enum Beginning {
    New(Box<Draft>, Intent),
    Before(Before),
}

impl App {
    /// Takes one upload from its header to its file. The source is drained beside the answer when it is refused.
    pub async fn upload(
        self: &Arc<Self>,
        caller: Caller,
        declared: Declared,
        mut source: Box<dyn UploadSource>,
    ) -> Result<FileView, Error> {
        let started = tokio::time::Instant::now();
        let result = self.take_upload(caller, declared, &mut source).await;
        let (outcome, reason) = match &result {
            Ok(_) => ("stored", ""),
            Err(e) => ("refused", e.reason().map_or("INTERNAL", Reason::name)),
        };
        metrics::counter!(names::UPLOADS, names::OUTCOME => outcome, names::REASON => reason).increment(1);
        metrics::histogram!(names::UPLOAD_SECONDS, names::OUTCOME => outcome).record(started.elapsed());
        if result.is_err() {
            self.tasks.spawn(source.drain());
        }
        result
    }

    /// What this caller may upload there now.
    pub async fn upload_options(&self, caller: &Caller, target: Target) -> Result<UploadOptions, Error> {
        let chat = self.find_target(&target).await?;
        let settings = self.settings();
        Ok(admission::options(caller, &target, chat.as_ref(), &settings, self.scanning.is_healthy())?)
    }

    async fn take_upload(
        self: &Arc<Self>,
        caller: Caller,
        declared: Declared,
        source: &mut Box<dyn UploadSource>,
    ) -> Result<FileView, Error> {
        let settings = self.settings();
        let chat = self.find_target(&declared.target).await?;
        let service =
            admission::Service { scanner_healthy: self.scanning.is_healthy(), room_bytes: self.spool.room_bytes() };
        let admitted = match admission::admit(&caller, declared.clone(), chat.as_ref(), &settings, service) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                // The answer may only have been lost, and things be different since.
                return match self.find_before(&caller, &declared, &refusal).await? {
                    Some(before) => self.repeat(&caller, &declared, before, source.as_mut()).await,
                    None => Err(self.record_refusal(&caller, &declared.target, refusal).await),
                };
            }
        };
        let pass = self.uploads.enter(&caller)?;
        let (mut draft, intent) = match self.begin(&caller, admitted.declared()).await? {
            Beginning::New(draft, intent) => (draft, intent),
            Beginning::Before(before) => {
                return self.repeat(&caller, admitted.declared(), before, source.as_mut()).await;
            }
        };
        fault_point!("U3");
        let (size, sha256) = match draft.staging().receive(source.as_mut(), admitted.max_bytes(), &self.limits).await {
            Ok(End::Commit { size, sha256 }) => (size, sha256),
            Ok(End::Abandoned) => return Err(no_commit().into()),
            Err(error) => return Err(draft.refuse(error)),
        };
        fault_point!("U6");
        let app = Arc::clone(self);
        let work = self.tasks.spawn(async move {
            let _pass = pass;
            let whole = match draft.staging().finish().await {
                Ok(whole) => whole,
                Err(error) => return Err(draft.refuse(error)),
            };
            let received =
                Received { size: whole.size, sha256: whole.sha256, commit_size: size, commit_sha256: sha256 };
            match app.judge_and_commit(caller, admitted, received, &whole, intent).await {
                Ok((view, kept)) => {
                    draft.defuse();
                    if !kept {
                        app.discard(intent).await;
                    }
                    Ok(view)
                }
                Err(error) => Err(draft.refuse(error)),
            }
        });
        work.await.map_err(|e| Error::from(std::io::Error::other(e)))?
    }

    async fn find_target(&self, target: &Target) -> Result<Option<Chat>, Error> {
        Ok(match target {
            Target::Chat(id) => self.store.find_chat(id).await?,
            Target::Library => None,
        })
    }

    /// Writes the intent: no bytes without a row. In a task of its own, so that a caller who leaves while the row is
    /// being written leaves a draft that nobody takes, which undoes it: its lease is renewed as long as the node lives.
    async fn begin(self: &Arc<Self>, caller: &Caller, declared: &Declared) -> Result<Beginning, Error> {
        let now = self.clock.now();
        let new = NewUpload {
            key: self.ids.blob_key(now),
            node: self.node.clone(),
            person: caller.person.clone(),
            request_id: declared.request_id.clone(),
            target: declared.target.clone(),
            now,
            lease_until: now.plus_secs(LEASE_SECS),
        };
        let (app, caller) = (Arc::clone(self), caller.clone());
        let work = self.tasks.spawn(async move {
            fault_point!("U2");
            let target = new.target.clone();
            Ok::<_, Error>(match app.store.begin_upload(new).await? {
                Begun::Started(intent) => Beginning::New(Box::new(Draft::new(&app, intent, &caller, target)), intent),
                Begun::Before(before) => Beginning::Before(before),
            })
        });
        work.await.map_err(|e| Error::from(std::io::Error::other(e)))?
    }

    /// Checks 10 to 16. Answers the file, and whether the spooled bytes became the store's.
    async fn judge_and_commit(
        &self,
        caller: Caller,
        admitted: Admitted,
        received: Received,
        whole: &Whole,
        intent: Intent,
    ) -> Result<(FileView, bool), Error> {
        let settings = self.settings();
        let admitted = admitted.under(&caller, &settings);
        admission::complete(admitted.declared(), &received)?;
        let observed = {
            let limits = admitted.scan_due().then(|| self.archive_limits());
            self.inspect(&whole.spooled, limits).await?
        };
        fault_point!("U7");
        let accepted = admission::accept(admitted, received, observed)?;
        let mut known = self.store.find_blob(received.sha256, received.size).await?;
        loop {
            let shared = known.as_ref().filter(|b| b.state == BlobState::Active).map(|b| b.id);
            let (judged, synced) = tokio::join!(
                self.find_verdict(&accepted, known.as_ref(), whole, &settings),
                sync_unless_shared(shared, &whole.spooled),
            );
            let (finding, verdict) = judged?;
            metrics::counter!(names::VERDICTS, names::KIND => finding_name(&finding)).increment(1);
            fault_point!("U8");
            if let Finding::Found { signature } = &finding {
                // Also where none was known: another upload of the same bytes may have been faster.
                let verdict = Verdict { kind: VerdictKind::Infected, ..verdict.clone() };
                self.store.quarantine(received.sha256, verdict, signature).await?;
            }
            let cleared = admission::clear(accepted.clone(), finding, &settings)?;
            synced?;
            // Read-only since it was admitted: a backup may be under way.
            self.need_writable()?;
            let verdict = Verdict { kind: cleared.verdict, ..verdict };
            if let Some(done) = self.commit(caller.clone(), cleared, verdict, shared, whole, intent, &settings).await? {
                return Ok(done);
            }
            // The blob left meanwhile, perhaps because it was found infected: what was known of it counts no more.
            // The bytes are judged anew and published under our own key.
            known = None;
        }
    }

    /// Looks at content, in a place among [`super::LOOKS`].
    pub(super) async fn inspect(
        &self,
        spooled: &Arc<dyn Spooled>,
        limits: Option<ArchiveLimits>,
    ) -> Result<Observed, Error> {
        let _place = self.looks.acquire().await.expect("it is never closed");
        let (inspector, spooled) = (Arc::clone(&self.inspector), Arc::clone(spooled));
        blocking(move || inspector.inspect(spooled.as_ref(), limits)).await
    }

    /// How far we look into archives: as far as the scanner does.
    pub(super) fn archive_limits(&self) -> ArchiveLimits {
        let limits = self.scanning.limits();
        ArchiveLimits {
            max_unpacked_bytes: limits.max_scan_bytes,
            max_member_bytes: limits.max_file_bytes,
            max_members: limits.max_files,
            max_depth: limits.max_recursion,
        }
    }

    async fn find_verdict(
        &self,
        accepted: &Accepted,
        known: Option<&crate::domain::Blob>,
        whole: &Whole,
        settings: &Settings,
    ) -> Result<(Finding, Verdict), Error> {
        let now = self.clock.now();
        let unknown =
            Verdict { kind: VerdictKind::NotScanned, engine: String::new(), signatures: String::new(), at: now };
        if let Some(finding) = admission::find_without_scan(accepted, settings) {
            return Ok((finding, unknown));
        }
        self.scanning.find_verdict(known, Arc::clone(&whole.spooled), now).await
    }

    /// U9 to U12: publish unless the bytes are there already, then one transaction: the moment it happens. `None` if the
    /// blob to be shared is not there any more.
    #[expect(clippy::too_many_arguments, reason = "each is a proof of a step before")]
    async fn commit(
        &self,
        caller: Caller,
        cleared: Cleared,
        verdict: Verdict,
        shared: Option<i64>,
        whole: &Whole,
        intent: Intent,
        settings: &Settings,
    ) -> Result<Option<(FileView, bool)>, Error> {
        if shared.is_none() {
            fault_point!("U9");
            self.publish(&whole.spooled, intent).await?;
            fault_point!("U10");
        }
        let commit = Commit {
            intent,
            cleared,
            caller,
            file_id: self.ids.file_id(),
            code_hash: self.ids.code_hash(),
            bytes: shared.map_or(BytesAt::Published, BytesAt::Shared),
            verdict,
            grace_secs: settings.closed_chat_grace_seconds,
            now: self.clock.now(),
        };
        fault_point!("U11");
        match self.store.commit_upload(commit).await? {
            Committed::Ready(view) => {
                fault_point!("U12");
                Ok(Some((*view, shared.is_none())))
            }
            Committed::BlobGone => Ok(None),
        }
    }

    /// A refusal before the first byte leaves its event. Load that is shed, and a caller without the right, leave none.
    async fn record_refusal(&self, caller: &Caller, target: &Target, refusal: Refusal) -> Error {
        if !matches!(refusal.reason.kind(), Kind::Unavailable | Kind::PermissionDenied | Kind::NotFound) {
            let event =
                Event::new(EventKind::UploadRefused, caller.into()).chat(target.chat().cloned()).reason(refusal.reason);
            if let Err(error) = self.store.record(event, self.clock.now()).await {
                return error.into();
            }
        }
        refusal.into()
    }
}

/// Makes the bytes durable, beside the scan. Bytes that are in the store already need it not.
async fn sync_unless_shared(shared: Option<i64>, spooled: &Arc<dyn Spooled>) -> Result<(), Error> {
    if shared.is_some() {
        return Ok(());
    }
    let spooled = Arc::clone(spooled);
    blocking(move || spooled.sync()).await
}

pub(super) fn no_commit() -> Refusal {
    Refusal::new(Reason::BadStream).because("the stream ended without a commit message: nothing was stored")
}

/// The name of a finding in metrics.
const fn finding_name(finding: &Finding) -> &'static str {
    match finding {
        Finding::NotDue => "not_scanned",
        Finding::Clean => "clean",
        Finding::Found { .. } => "infected",
        Finding::Unscannable { .. } => "unscannable",
    }
}
