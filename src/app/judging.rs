//! The verdict on bytes as the whole service knows it: what kills the scanner, and what somebody has released.
//!
//! Not here: the scanners (`scanning.rs`), and what a verdict means for an upload (`domain/admission.rs`).

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    App, Error,
    staging::{Whole, blocking},
};
use crate::{
    domain::{
        Blob, Hit, Settings, Sha256, Time, Verdict, VerdictKind,
        admission::{self, Accepted, Finding},
        media_type::ArchiveTrouble,
        quarantine::{KILLER, KILLS},
    },
    ports::{ByteSource, StoreError},
};

/// A scanner that failed on a file is blamed on it once it works again: one that does not was not brought down by a file.
const PROVED_WITHIN: Duration = Duration::from_secs(300);

/// Bytes whose failure is not written down yet, with the signatures that it was by.
#[derive(Default)]
pub(super) struct Blamed(tokio::sync::Mutex<HashMap<Sha256, String>>);

impl App {
    /// The verdict on an upload's bytes: that of a scan, if one is due. A hit that is ignored, or released, is none.
    pub(super) async fn find_verdict(
        self: &Arc<Self>,
        accepted: &Accepted,
        known: Option<&Blob>,
        hit: Option<&Hit>,
        whole: &Whole,
        settings: &Settings,
    ) -> Result<(Finding, Verdict), Error> {
        let now = self.clock.now();
        let unknown =
            Verdict { kind: VerdictKind::NotScanned, engine: String::new(), signatures: String::new(), at: now };
        // Bytes that were found infected are looked at whoever brings them.
        if hit.is_none()
            && let Some(finding) = admission::find_without_scan(accepted, settings)
        {
            return Ok((finding, unknown));
        }
        let (finding, verdict) = match hit {
            // Nobody is asked: what is known stands.
            Some(Hit { signature, verdict, made, number: _ }) if !settings.antivirus_enabled => {
                (Finding::Found { signature: signature.clone(), made: *made }, verdict.clone())
            }
            hit => self.ask_scanner(known, hit, whole.sha256, whole.spooled.clone(), now).await?,
        };
        match finding {
            Finding::Found { signature, made: _ } if self.counts_not(whole.sha256, &signature, settings).await? => {
                Ok((Finding::Released { signature }, verdict))
            }
            finding => Ok((finding, verdict)),
        }
    }

    /// A scan anew, of bytes in the spool. What an upload would be refused for holds here, too: the scanner says nothing of
    /// parts of an archive that it passes over.
    pub(super) async fn scan_anew(
        &self,
        bytes: Arc<dyn ByteSource>,
        now: Time,
        failed_scan: &mut bool,
    ) -> Result<(Finding, Verdict), Error> {
        let (finding, verdict) = self.scanning.find_verdict(None, None, Arc::clone(&bytes), now, failed_scan).await?;
        if finding != Finding::Clean {
            return Ok((finding, verdict));
        }
        *failed_scan = false;
        let trouble = self.find_archive_trouble(bytes).await?;
        let finding = trouble.map_or(finding, |trouble| Finding::Unscannable { cause: trouble.cause().to_owned() });
        Ok((finding, verdict))
    }

    /// What of an archive the scanner cannot look into.
    async fn find_archive_trouble(&self, bytes: Arc<dyn ByteSource>) -> Result<Option<ArchiveTrouble>, Error> {
        let (limits, inspector) = (self.archive_limits(), Arc::clone(&self.inspector));
        let _place = self.looks.acquire().await.expect("it is never closed");
        blocking(move || Ok(inspector.inspect(bytes.as_ref(), Some(limits))?.archive)).await
    }

    /// Somebody's word is that this hit is none.
    pub(super) async fn counts_not(
        &self,
        sha256: Sha256,
        signature: &str,
        settings: &Settings,
    ) -> Result<bool, StoreError> {
        if settings.ignored_signatures.0.iter().any(|name| name == signature) {
            return Ok(true);
        }
        self.store.is_released(sha256, signature, self.clock.now()).await
    }

    /// Asks the scanner, unless these bytes have brought it down before.
    async fn ask_scanner(
        self: &Arc<Self>,
        known: Option<&Blob>,
        hit: Option<&Hit>,
        sha256: Sha256,
        bytes: Arc<dyn ByteSource>,
        now: Time,
    ) -> Result<(Finding, Verdict), Error> {
        let version = self.scanning.judging()?;
        let needs_none = hit.is_some()
            || known.is_some_and(|blob| {
                blob.verdict.kind == VerdictKind::Clean && blob.verdict.signatures == version.signatures
            });
        let before = if needs_none { 0 } else { self.count_failures(sha256, &version.signatures).await? };
        if before >= KILLS {
            return Ok((
                Finding::Unscannable { cause: KILLER.to_owned() },
                version.verdict(VerdictKind::UnscannableAccepted, now),
            ));
        }
        let mut failed = false;
        let found = self.scanning.find_verdict(known, hit, bytes, now, &mut failed).await;
        if found.is_err() && failed {
            self.blame(sha256, version.signatures).await;
        } else if found.is_ok() && before > 0 {
            self.forget_failures(sha256).await;
        }
        found
    }

    /// How often these bytes have brought a scanner down, on whatever node.
    ///
    /// # Errors
    /// `SCANNER_DOWN` while it is not known whether the last failure was their doing: they are not sent again before the
    /// scanner works, and not blamed if it does not.
    pub(super) async fn count_failures(&self, sha256: Sha256, signatures: &str) -> Result<u32, Error> {
        // Under the lock: what is being written down now is seen in one of the two.
        let blamed = self.blamed.0.lock().await;
        if blamed.get(&sha256).is_some_and(|by| by == signatures) {
            let why = "the scanner failed on these bytes and is proved anew";
            return Err(admission::scanner_down().because(why).into());
        }
        drop(blamed);
        Ok(self.store.find_failures(sha256, signatures).await?)
    }

    /// The scanner was brought down while it had these bytes: written down once it works again.
    pub(super) async fn blame(self: &Arc<Self>, sha256: Sha256, signatures: String) {
        let since = self.clock.now();
        if self.blamed.0.lock().await.insert(sha256, signatures.clone()).is_some() {
            // The same bytes came twice at once: the scanner went down once.
            return;
        }
        self.scanning.doubt();
        self.spawn_until_stop(move |app| async move {
            let proved = app.is_proved_after(since).await;
            let mut blamed = app.blamed.0.lock().await;
            if proved {
                match app.store.note_failures(sha256, &signatures, 1, app.clock.now()).await {
                    Ok(all) => tracing::warn!(times = all, %sha256, "a file brings the scanner down"),
                    Err(error) => tracing::warn!(%error, "a file that brings the scanner down could not be noted"),
                }
            }
            blamed.remove(&sha256);
        });
    }

    /// The canaries came back right again since then.
    pub(super) async fn is_proved_after(&self, since: Time) -> bool {
        self.scanning.is_proved_after(since, PROVED_WITHIN).await
    }

    /// There was a verdict on these bytes.
    pub(super) async fn forget_failures(&self, sha256: Sha256) {
        if let Err(error) = self.store.forget_failures(sha256).await {
            tracing::debug!(%error, "a file that does not bring the scanner down any more could not be noted");
        }
    }
}
