//! Blobs scanned anew: as it is asked for, and how far it is.
//!
//! Not here: the walk through all of them (`rescan/walking.rs`, `rescan/one.rs`) and who does it when (`rescan/turns.rs`),
//! a blob's bytes (`rescan/fetching.rs`), which of them are due ([`crate::domain::quarantine`]).

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{App, Error, maintenance::need_maintenance, outlive::outlive};
use crate::{
    domain::{
        Caller, ChatId, FileId, Refusal, Settings, Time,
        admission::{self, Finding},
        quarantine::{Candidate, Judged, Judgement, KILLER, KILLS, MAX_RESCANNED, RescanRule, Target, judge_signature},
    },
    ports::JudgeBlob,
};

mod fetching;
mod one;
mod task;
mod turns;
mod walking;

use fetching::Fetch;
pub(super) use turns::Rescanning;

/// Files of a chat that are counted before one is refused for having too many.
const COUNTED: u32 = 10_000;
/// Files that are scanned at once on demand.
const AT_ONCE: usize = 4;

/// What to scan anew.
#[derive(Debug, Clone)]
pub enum RescanAsked {
    /// A file's bytes, now.
    File(FileId),
    /// Those of the files attached to a chat, now; at most [`MAX_RESCANNED`].
    Chat(ChatId),
    /// All, from the top, in the background.
    All {
        /// A signature that nothing brakes any more.
        confirm_signature: Option<String>,
    },
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Rescanned {
    /// Each file that was scanned at once.
    pub files: Vec<(FileId, RescanResult)>,
    /// How far the rescan of all is.
    pub progress: RescanProgress,
}

/// What a file's bytes are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RescanResult {
    /// Nothing was found.
    Clean,
    /// They are in quarantine.
    Quarantined {
        /// What was found.
        signature: String,
    },
    /// They could not be scanned, and stay as they were.
    Unscannable {
        /// Why.
        cause: String,
    },
    /// What was found is released, or ignored.
    Released,
    /// The antivirus is off.
    NotScanned,
    /// They do not have their hash, or are not there.
    Corrupt,
}

/// How far the rescan of all is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RescanProgress {
    /// By which signatures; empty: it has never begun.
    pub target_signatures: String,
    /// The node that scans now.
    pub node: Option<String>,
    /// Blobs scanned since it began.
    pub done_blobs: u64,
    /// Their bytes.
    pub done_bytes: u64,
    /// Blobs left: those counted when it began, minus those done; an estimate.
    pub left_blobs: u64,
    /// Their bytes, as roughly.
    pub left_bytes: u64,
    /// Blobs that it put into quarantine.
    pub hits: u64,
    /// What of this hour's budget is left, in bytes.
    pub budget_left_bytes: u64,
    /// When it began.
    pub started_at: Option<Time>,
    /// When all was dealt with that was there then.
    pub ended_at: Option<Time>,
    /// Signatures that hit too much, with how many blobs each.
    pub braked: Vec<(String, u64)>,
}

fn budget(settings: &Settings) -> u64 {
    settings.rescan_budget_bytes_per_hour.unsigned_abs()
}

impl App {
    /// Scans a file, or the files of a chat, now; or has all scanned from the top, in the background.
    ///
    /// # Errors
    /// `MISSING_PERMISSION`, `READ_ONLY`, `NOT_FOUND`, `BAD_ARGUMENT` (with `count`) for a chat of too many files;
    /// `SCANNER_DOWN`, `BUSY`, `NO_SPACE`, `STORE_DOWN`, and some may have been scanned.
    pub async fn rescan(self: &Arc<Self>, caller: &Caller, asked: RescanAsked) -> Result<Rescanned, Error> {
        need_maintenance(caller)?;
        self.need_writable()?;
        let now = self.clock.now();
        let found = match asked {
            RescanAsked::All { confirm_signature } => {
                if let Some(signature) = &confirm_signature {
                    judge_signature("confirm_signature", signature)?;
                }
                self.store.restart_rescan(confirm_signature.as_deref(), now).await?;
                self.rescanning.look_now();
                return Ok(Rescanned { files: Vec::new(), progress: self.rescan_progress().await? });
            }
            RescanAsked::File(id) => {
                let found = self.store.find_file_blob(id, now).await?;
                vec![(id, found.ok_or_else(Refusal::not_found)?)]
            }
            RescanAsked::Chat(id) => {
                let chat = self.store.find_chat(&id).await?;
                caller.see_chat(&id, chat.as_ref())?;
                self.store.list_chat_blobs(&id, COUNTED, now).await?
            }
        };
        if found.len() > MAX_RESCANNED {
            let why = format!("the chat has {} files: at most {MAX_RESCANNED} are scanned at once", found.len());
            return Err(Refusal::argument("chat_id", why).with("count", found.len()).into());
        }
        let app = Arc::clone(self);
        let files = outlive(&self.tasks, async move {
            let scans = found.into_iter().map(|(id, candidate)| {
                let app = Arc::clone(&app);
                async move { Ok::<_, Error>((id, app.rescan_at_once(candidate).await?)) }
            });
            stream::iter(scans).buffered(AT_ONCE).try_collect::<Vec<_>>().await
        });
        Ok(Rescanned { files: files.await?, progress: self.rescan_progress().await? })
    }

    async fn rescan_at_once(self: &Arc<Self>, seen: Candidate) -> Result<RescanResult, Error> {
        let settings = self.settings();
        let Some(rule) = RescanRule::of(&settings) else { return Ok(RescanResult::NotScanned) };
        let target = self.scanning.judging()?;
        let now = self.clock.now();
        let known = self.store.find_rescan(now).await?;
        if known.target.signatures != target.signatures && !target.takes_over(&self.node, &known.holder()) {
            let older = "other nodes have newer signatures than this one: ask them, or see that freshclam runs here";
            return Err(admission::scanner_down().because(older).into());
        }
        let sha256 = seen.blob.sha256;
        let before = self.count_failures(sha256, &target.signatures).await?;
        let (finding, at) = if before >= KILLS {
            (Finding::Unscannable { cause: KILLER.to_owned() }, now)
        } else if let Some(finding) = self.find_too_large(seen.blob.size) {
            (finding, now)
        } else {
            let fetched = match self.fetch(&seen.blob).await? {
                Fetch::Whole(fetched) => fetched,
                Fetch::Gone => return Err(Refusal::not_found().into()),
                Fetch::Corrupt => {
                    self.record_corrupt_blob().await;
                    return Ok(RescanResult::Corrupt);
                }
            };
            let mut failed = false;
            let found = self.scan_anew(fetched.source(), now, &mut failed).await;
            if found.is_err() && failed {
                self.blame(sha256, target.signatures.clone()).await;
            } else if found.is_ok() && before > 0 {
                self.forget_failures(sha256).await;
            }
            let (finding, verdict) = found?;
            if verdict.signatures != target.signatures {
                return Err(admission::scanner_down().because("the signatures changed meanwhile: ask again").into());
            }
            (finding, verdict.at)
        };
        let stood = seen.signature.clone();
        let judge =
            JudgeBlob { lease: None, seen, found: judgement(&finding, &rule), target, at, now: self.clock.now() };
        let judged = self.store.judge_blob(judge).await?;
        tell(&judged);
        Ok(match (finding, judged) {
            (Finding::Found { .. }, Judged::Released) => RescanResult::Released,
            (Finding::Found { signature, .. } | Finding::Released { signature }, _) => {
                RescanResult::Quarantined { signature }
            }
            (Finding::Unscannable { cause }, _) => RescanResult::Unscannable { cause },
            (Finding::Clean | Finding::NotDue, Judged::Kept) if stood.is_some() => {
                RescanResult::Quarantined { signature: stood.unwrap_or_default() }
            }
            (Finding::Clean | Finding::NotDue, _) => RescanResult::Clean,
        })
    }

    /// How far the rescan of all is.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rescan_progress(&self) -> Result<RescanProgress, Error> {
        let rescan = self.store.find_rescan(self.clock.now()).await?;
        let braked = self.store.list_braked().await?;
        let ended = rescan.ended_at.is_some();
        let left = |counted: u64, done: u64| if ended { 0 } else { counted.saturating_sub(done) };
        Ok(RescanProgress {
            node: (rescan.is_leased && !rescan.node.is_empty()).then_some(rescan.node),
            done_blobs: rescan.done_blobs,
            done_bytes: rescan.done_bytes,
            left_blobs: left(rescan.counted.left_blobs, rescan.done_blobs),
            left_bytes: left(rescan.counted.left_bytes, rescan.done_bytes),
            hits: rescan.hits,
            budget_left_bytes: rescan.spent.left(budget(&self.settings()), rescan.now),
            target_signatures: rescan.target.signatures,
            started_at: rescan.started_at,
            ended_at: rescan.ended_at,
            braked: braked.into_iter().map(|braked| (braked.signature, braked.hits)).collect(),
        })
    }
}

/// What a scan anew found, under the settings.
fn judgement(finding: &Finding, rule: &RescanRule) -> Judgement {
    match finding {
        Finding::Clean | Finding::NotDue => Judgement::Clean,
        Finding::Found { signature, made: _ } | Finding::Released { signature } => {
            Judgement::Found { signature: signature.clone(), ignored: rule.ignores(signature) }
        }
        Finding::Unscannable { cause: _ } => Judgement::Unscannable { accept: rule.accept },
    }
}

fn tell(judged: &Judged) {
    if let Judged::Quarantined(blobs @ 1..) = judged {
        tracing::warn!(blobs, "stored bytes were found infected: they are in quarantine");
    }
}

/// That of a scanner, as blobs are judged by it.
impl From<&crate::ports::EngineVersion> for Target {
    fn from(version: &crate::ports::EngineVersion) -> Self {
        let crate::ports::EngineVersion { engine, signatures, signatures_time, test_only: _ } = version;
        Self { engine: engine.clone(), signatures: signatures.clone(), made: *signatures_time }
    }
}
