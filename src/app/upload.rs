//! The upload's way: admit, intent, receive, accept, verdict, clear, publish, commit, in this order.
//!
//! Not here: the decisions themselves (`domain/admission.rs`), the bytes on their way in (`staging.rs`) and the
//! scanner (`scanning.rs`). From the commit message on the caller's leaving does not stop the work (`outlive.rs`). A
//! guard undoes the rest on every other exit.

use std::sync::Arc;

use super::{
    App, Error, UploadSource,
    draft::Draft,
    outlive::outlive,
    staging::{End, Staging, Whole, blocking},
};
use crate::{
    domain::{
        Blob, BlobState, Caller, Chat, Event, EventKind, FileView, Hit, Kind, Reason, Refusal, Verdict, VerdictKind,
        admission::{self, Admitted, Declared, Finding, Received, Target, UploadOptions},
        media_type::{ArchiveLimits, Observed},
    },
    fault_point,
    ports::{Admit, Before, Begun, BytesAt, Commit, Committed, Intent, NewUpload, Spooled},
    telemetry::names,
};

/// Seconds a node's lease on its intents lasts; renewed every 20 s.
pub const LEASE_SECS: i64 = 60;

/// Most judgements of one upload. A second one needs a shared blob that left, or a hit on the same bytes, and so does each
/// one more: so many in a row are a scanner here that is at odds with another's.
const JUDGEMENTS: u32 = 4;

/// How an upload begins, seen from here: with a draft, whose guard is set from the moment that its row is there.
enum Beginning {
    New(Box<Draft>, Intent, Box<Admitted>),
    Before(Before),
}

/// A whole upload as the first look shows it.
struct Seen {
    whole: Whole,
    observed: Observed,
    /// A blob of the same bytes.
    known: Option<Blob>,
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
        let pass = self.uploads.enter(&caller);
        let (mut draft, intent, admitted) = match self.begin(&caller, &declared, pass.as_ref().err()).await {
            Ok(Beginning::New(draft, intent, admitted)) => (draft, intent, admitted),
            Ok(Beginning::Before(before)) => return self.repeat(&caller, &declared, before, source.as_mut()).await,
            Err(Error::Refused(refusal)) if refusal.reason != Reason::Busy => {
                // The answer may only have been lost, and things be different since.
                return match self.find_before(&caller, &declared, &refusal).await? {
                    Some(before) => self.repeat(&caller, &declared, before, source.as_mut()).await,
                    None => Err(self.record_refusal(&caller, &declared.target, refusal).await),
                };
            }
            Err(error) => return Err(error),
        };
        fault_point!("U3");
        let fenced = draft.fenced();
        let received = tokio::select! {
            biased;
            () = fenced => Err(Reason::Fenced.into()),
            end = draft.staging().receive(source.as_mut(), admitted.max_bytes(), &self.limits) => end,
        };
        let (size, sha256) = match received {
            Ok(End::Commit { size, sha256 }) => (size, sha256),
            Ok(End::Abandoned) => return Err(no_commit().into()),
            Err(error) => return Err(draft.refuse(error)),
        };
        fault_point!("U6");
        let app = Arc::clone(self);
        let work = async move {
            let _pass = pass;
            let admitted = admitted.under(&caller, &app.settings());
            let Seen { whole, observed, known } = match app.see(draft.staging(), intent, admitted.scan_due()).await {
                Ok(seen) => seen,
                Err(error) => return Err(draft.refuse(error)),
            };
            let received =
                Received { size: whole.size, sha256: whole.sha256, commit_size: size, commit_sha256: sha256 };
            match app.judge_and_commit(caller, admitted, received, observed, known, &whole, intent).await {
                Ok((view, kept)) => {
                    draft.defuse();
                    if !kept {
                        app.discard(intent.key).await;
                    }
                    Ok(view)
                }
                Err(error) => Err(draft.refuse(error)),
            }
        };
        outlive(&self.tasks, work).await
    }

    async fn find_target(&self, target: &Target) -> Result<Option<Chat>, Error> {
        Ok(match target.chat() {
            Some(id) => self.store.find_chat(id).await?,
            None => None,
        })
    }

    /// Checks 2 to 8, and the intent: no bytes without a row. A caller who leaves while the row is being written leaves
    /// a draft that nobody takes, which undoes it: its lease is renewed as long as the node lives.
    async fn begin(
        self: &Arc<Self>,
        caller: &Caller,
        declared: &Declared,
        busy: Option<&Refusal>,
    ) -> Result<Beginning, Error> {
        let now = self.clock.now();
        let new = NewUpload {
            key: self.ids.blob_key(now),
            node: self.node.clone(),
            person: caller.person.clone(),
            request_id: declared.request_id.clone(),
            target: declared.target.clone(),
            now,
            lease_secs: LEASE_SECS,
        };
        let service =
            admission::Service { scanner_healthy: self.scanning.is_healthy(), room_bytes: self.spool.room_bytes() };
        let (settings, busy) = (self.settings(), busy.cloned());
        let (app, caller, declared) = (Arc::clone(self), Arc::new(caller.clone()), declared.clone());
        let asking = Arc::clone(&caller);
        let admit: Admit = Arc::new(move |chat| {
            let admitted = admission::admit(&asking, declared.clone(), chat, &settings, service)?;
            busy.clone().map_or(Ok(admitted), Err)
        });
        let work = async move {
            fault_point!("U2");
            Ok(match app.store.begin_upload(new, admit).await? {
                Begun::Started(intent, admitted) => {
                    let draft = Draft::new(&app, intent, &caller, admitted.declared());
                    Beginning::New(Box::new(draft), intent, admitted)
                }
                Begun::Before(before) => Beginning::Before(before),
            })
        };
        outlive(&self.tasks, work).await
    }

    /// The whole, what its content is, and whether it is known. Few bytes are looked up by their hash, and made durable
    /// if no scan is due, in the time that writing them takes: where they turn out to be known, that was needless and
    /// cost less than the wait.
    async fn see(&self, staging: &mut Staging, intent: Intent, scan_due: bool) -> Result<Seen, Error> {
        let (few, size) = (staging.digest_of_few(), staging.size());
        let known = async {
            match few {
                Some(sha256) => Ok(Some(self.store.find_blob(sha256, size).await?)),
                None => Ok::<_, Error>(None),
            }
        };
        let secured = async { if few.is_some() { self.store.secure(intent).await } else { Ok(()) } };
        let sync = few.is_some() && !scan_due;
        let (whole, known, secured) = tokio::join!(self.look_at_whole(staging, scan_due, sync), known, secured);
        let (whole, observed) = whole?;
        secured?;
        let known = match known? {
            Some(known) => known,
            None => self.store.find_blob(whole.sha256, size).await?,
        };
        Ok(Seen { whole, observed, known })
    }

    /// Checks 10 to 16. Answers the file, and whether nothing is left in the spool.
    #[expect(clippy::too_many_arguments, reason = "each is what a step before found")]
    async fn judge_and_commit(
        self: &Arc<Self>,
        caller: Caller,
        admitted: Admitted,
        received: Received,
        observed: Observed,
        mut known: Option<Blob>,
        whole: &Whole,
        intent: Intent,
    ) -> Result<(FileView, bool), Error> {
        let settings = self.settings();
        let accepted = admission::accept(admitted, received, observed)?;
        let (mut published, mut hit) = (false, None::<Box<Hit>>);
        for _ in 0..JUDGEMENTS {
            let shared = known.as_ref().filter(|b| b.state == BlobState::Active).map(|b| b.id);
            let (judged, durable) = tokio::join!(
                self.find_verdict(&accepted, known.as_ref(), hit.as_deref(), whole, &settings),
                self.make_durable(shared, &whole.spooled, intent),
            );
            let (finding, verdict) = judged?;
            metrics::counter!(names::VERDICTS, names::KIND => finding_name(&finding)).increment(1);
            fault_point!("U8");
            if let Finding::Found { signature, made } = &finding {
                // Also where none was known: another upload of the same bytes may have been faster, or be under way.
                let verdict = Verdict { kind: VerdictKind::Infected, ..verdict.clone() };
                self.quarantine(received.sha256, verdict, signature, *made).await?;
            }
            let cleared = admission::clear(accepted.clone(), finding, &settings)?;
            durable?;
            // Read-only since it was admitted: a backup may be under way.
            self.need_writable()?;
            let verdict = Verdict { kind: cleared.verdict, ..verdict };
            if shared.is_none() && !published {
                fault_point!("U9");
                self.publish(&whole.spooled, intent).await?;
                fault_point!("U10");
                published = true;
            }
            let weighed = hit.as_ref().map(|hit| hit.number);
            let commit = Commit {
                intent,
                cleared,
                caller: caller.clone(),
                file_id: self.ids.file_id(),
                code_hash: self.ids.code_hash(),
                bytes: shared.map_or(BytesAt::Published, BytesAt::Shared),
                verdict,
                weighed,
                grace_secs: settings.closed_chat_grace_seconds,
                now: self.clock.now(),
            };
            // U11 and U12, one transaction: the moment it happens.
            fault_point!("U11");
            match self.store.commit_upload(commit).await? {
                Committed::Ready(view) => {
                    fault_point!("U12");
                    return Ok((*view, shared.is_none() && !self.blobs.leaves_spooled()));
                }
                Committed::BlobGone => {}
                Committed::Hit(found) => hit = Some(found),
            }
            // What was known of these bytes counts no more: they are judged anew, under our own key.
            known = None;
        }
        let doubtful = "these bytes were found infected elsewhere, again and again, while they were judged here";
        Err(admission::scanner_down().because(doubtful).into())
    }

    /// The whole, and what its content is: seen in a place among [`super::LOOKS`].
    pub(super) async fn look_at_whole(
        &self,
        staging: &mut Staging,
        into_archives: bool,
        sync: bool,
    ) -> Result<(Whole, Observed), Error> {
        let limits = into_archives.then(|| self.archive_limits());
        let inspector = Arc::clone(&self.inspector);
        let _place = self.looks.acquire().await.expect("it is never closed");
        let look = move |spooled: &dyn Spooled| {
            let observed = inspector.inspect(spooled, limits)?;
            if sync {
                spooled.sync()?;
            }
            Ok(observed)
        };
        let seen = staging.finish(look).await?;
        fault_point!("U7");
        Ok(seen)
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

    /// Makes the bytes durable, beside the scan, and the intent that names them once they are published. Bytes that are
    /// in the store already need neither.
    async fn make_durable(&self, shared: Option<i64>, spooled: &Arc<dyn Spooled>, intent: Intent) -> Result<(), Error> {
        if shared.is_some() {
            return Ok(());
        }
        let sync = async {
            if spooled.is_synced() {
                return Ok(());
            }
            let spooled = Arc::clone(spooled);
            blocking(move || spooled.sync()).await
        };
        let (synced, secured) = tokio::join!(sync, self.store.secure(intent));
        synced?;
        Ok(secured?)
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

pub(super) fn no_commit() -> Refusal {
    Refusal::new(Reason::BadStream).because("the stream ended without a commit message: nothing was stored")
}

/// The name of a finding in metrics.
const fn finding_name(finding: &Finding) -> &'static str {
    match finding {
        Finding::NotDue => "not_scanned",
        Finding::Clean => "clean",
        Finding::Found { .. } => "infected",
        Finding::Released { .. } => "released",
        Finding::Unscannable { .. } => "unscannable",
    }
}
