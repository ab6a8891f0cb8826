//! The antivirus test: what the scanner says of some bytes, with what an administrator needs to understand it. Nothing
//! is kept. Works with scanning switched off in the settings.
//!
//! Not here: uploads (`upload.rs`), which judge more than the scanner does.

use std::{sync::Arc, time::Duration};

use tokio::task::JoinHandle;

use super::{
    App, Error, UploadSource,
    scanning::deadline,
    staging::{End, Staging},
};
use crate::{
    domain::{BlobKey, Reason, Refusal, media_type::Observed},
    ports::{EngineVersion, ScanError, ScanReply, Spooled},
};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestResult {
    /// Nothing found.
    Clean,
    /// A signature matched.
    Infected {
        /// Its name.
        signature: String,
    },
    /// It cannot be judged.
    Unscannable {
        /// Why.
        cause: String,
    },
}

/// The answer of a test.
#[derive(Debug, Clone)]
pub struct AntivirusTest {
    /// What came of it.
    pub result: TestResult,
    /// What judged.
    pub version: EngineVersion,
    /// How long the scan took.
    pub took: Duration,
    /// Lines for an administrator, if they were asked for.
    pub explanation: Vec<String>,
}

impl App {
    /// Scans what the source brings; `SCANNER_DOWN` if no scanner answers.
    pub async fn test_antivirus(
        self: &Arc<Self>,
        explain: bool,
        mut source: Box<dyn UploadSource>,
    ) -> Result<AntivirusTest, Error> {
        let key = self.ids.blob_key(self.clock.now());
        let mut tested = Tested { app: Arc::clone(self), key, staging: Some(Staging::new(self.spool.writer(key))) };
        let staging = tested.staging.as_mut().expect("only removing takes it");
        let result = self.test_staged(explain, staging, source.as_mut()).await;
        if let Some(removal) = tested.remove() {
            // It ends also if nobody waits for it.
            drop(removal.await);
        }
        // Also after an answer that came before the end of the bytes.
        self.tasks.spawn(source.drain());
        result
    }

    async fn test_staged(
        &self,
        explain: bool,
        staging: &mut Staging,
        source: &mut dyn UploadSource,
    ) -> Result<AntivirusTest, Error> {
        let most = self.scanning.limits().max_file_bytes;
        let end = match staging.receive(source, most, &self.limits).await {
            Err(error) if error.reason() == Some(Reason::TooLarge) => return self.too_large_test(most).await,
            end => end?,
        };
        match end {
            End::Commit { size, .. } => {
                let (whole, observed) = self.look_at_whole(staging, true, false).await?;
                if size.is_some_and(|size| size != whole.size) {
                    return Err(Reason::SizeMismatch.into());
                }
                self.judge_test(explain, whole.spooled, observed).await
            }
            End::Abandoned => {
                Err(Refusal::new(Reason::BadStream).because("the stream ended without a commit message").into())
            }
        }
    }

    /// More bytes than the scanner takes are not sent to it: it would trim them, and call the rest clean.
    async fn too_large_test(&self, most: u64) -> Result<AntivirusTest, Error> {
        Ok(AntivirusTest {
            result: TestResult::Unscannable {
                cause: format!("larger than {most} bytes, the most that the scanner takes"),
            },
            version: self.scanning.version().await?,
            took: Duration::ZERO,
            explanation: vec![format!(
                "the scanner's limit grows with the setting max_file_bytes, now {most} bytes at most"
            )],
        })
    }

    async fn judge_test(
        &self,
        explain: bool,
        bytes: Arc<dyn Spooled>,
        observed: Observed,
    ) -> Result<AntivirusTest, Error> {
        let status = self.scanning.status(&self.settings()).await;
        let limits = self.archive_limits();
        let (reply, version, took) = self.scanning.scan_once(bytes.clone()).await?;
        let result = match (reply, observed.archive) {
            (Ok(ScanReply::Found { signature }), _) => TestResult::Infected { signature },
            (Ok(ScanReply::Unscannable { cause }), _) => TestResult::Unscannable { cause },
            (Ok(ScanReply::Clean), Some(trouble)) => TestResult::Unscannable { cause: trouble.cause().to_owned() },
            (Ok(ScanReply::Clean), None) => TestResult::Clean,
            (Err(ScanError::TooLong(limit)), _) => {
                TestResult::Unscannable { cause: format!("the scan took longer than {} s", limit.as_secs()) }
            }
            (Err(error), _) => return Err(error.into()),
        };
        let mut explanation = Vec::new();
        if explain {
            explanation.push(format!("scanner: {} ({})", status.address, version.engine));
            explanation.push(format!(
                "signatures: {}{}",
                version.signatures,
                if version.test_only { " (TEST SIGNATURES ONLY: real malware is not found)" } else { "" }
            ));
            explanation.push(format!("content: {} bytes, looks like {}", bytes.size(), observed.format.name()));
            explanation.push(match observed.archive {
                Some(trouble) => format!("archive: {}", trouble.cause()),
                None => "archive: nothing that the scanner could not look into".to_owned(),
            });
            explanation.push(format!(
                "limits: {} bytes a file, {} unpacked, {} members, {} deep; this scan had {} s",
                limits.max_member_bytes,
                limits.max_unpacked_bytes,
                limits.max_members,
                limits.max_depth,
                deadline(bytes.size()).as_secs()
            ));
            for canary in &status.canaries {
                let verdict = if canary.passed { "as expected" } else { "WRONG" };
                explanation.push(format!("canary {}: {} ({verdict})", canary.name, canary.got));
            }
            explanation.extend(status.cause.map(|cause| format!("state: {cause}")));
            explanation.extend(status.warning.map(|warning| format!("warning: {warning}")));
        }
        Ok(AntivirusTest { result, version, took, explanation })
    }
}

/// The bytes of a test. They have no row, so they go in every case: with the answer, or when the caller has left. A
/// kill's leftovers go with the next start.
struct Tested {
    app: Arc<App>,
    key: BlobKey,
    staging: Option<Staging>,
}

impl Tested {
    /// Starts the removal, once.
    fn remove(&mut self) -> Option<JoinHandle<()>> {
        let mut staging = self.staging.take()?;
        let (app, key) = (Arc::clone(&self.app), self.key);
        Some(self.app.tasks.spawn(async move {
            staging.quiesce().await;
            drop(staging);
            app.discard(key).await;
        }))
    }
}

impl Drop for Tested {
    fn drop(&mut self) {
        self.remove();
    }
}
