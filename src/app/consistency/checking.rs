//! A check that is under way: its steps one after the other, and how far it is told meanwhile.
//!
//! A step looks at one page, and what it found is kept before it is told. Not here: what is sound (`looking.rs`).

use std::{io, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::{sync::mpsc, time::Instant};

use super::{
    super::{App, Error},
    CheckPhase, CheckProgress, CheckSummary, CheckTold, ToldFinding,
    looking::{Looked, is_unscanned},
    state::State,
};
use crate::{
    domain::{
        Blob, FileId, Reason, Time,
        consistency::{CHECK_SECS, CLEAN_CHECK_SECS, Check, Finding, FindingKind, Place, What},
    },
    ports::{BlobError, Found, RowWalk, Stop, StoreError},
};

/// Rows that one step goes through.
const ROWS: u32 = 5_000;
/// Blobs that are looked for by one step, and things that a page of the store has.
const PAGE: u32 = 500;
/// Blobs of a step that may read them: each step's end is a place to go on from.
const HASHED: u32 = 16;
/// Blobs that are looked for at once, and read at once.
const AT_ONCE: usize = 16;
const READ_AT_ONCE: usize = 2;
/// How often it is told how far a check is, while it has nothing else to tell.
const TELL_EVERY: Duration = Duration::from_millis(1_500);
/// How often what is kept of a check under way is renewed: it may take days.
const RENEW_EVERY: Duration = Duration::from_secs(3_600);

/// Why a check does not go on.
pub(super) enum Ended {
    /// Nobody listens any more.
    Left,
    /// It cannot.
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Ended::Failed(error)
    }
}

/// A check that is under way.
pub(super) struct Checking {
    app: Arc<App>,
    check: Option<Check>,
    hash_bytes: Option<u64>,
    /// What was changed from then on is young.
    cut: Time,
    tell: mpsc::Sender<Result<CheckTold, Error>>,
    told: Instant,
    renewed: Instant,
}

/// Something found, and in the store's words why.
struct Seen {
    what: What,
    error: String,
}

impl From<What> for Seen {
    fn from(what: What) -> Self {
        Self { what, error: String::new() }
    }
}

/// What a step did.
struct Step {
    /// Where the check is now.
    state: State,
    found: Vec<Seen>,
    /// It was the last.
    is_last: bool,
}

impl Step {
    fn to(state: State, found: Vec<Seen>) -> Self {
        Self { state, found, is_last: false }
    }

    /// The phase has come to its end.
    fn turn(state: State, found: Vec<Seen>) -> Self {
        match state.next_phase() {
            Some(next) => Self::to(next, found),
            None => Self { state, found, is_last: true },
        }
    }
}

impl Checking {
    pub(super) fn new(
        app: Arc<App>,
        check: Option<Check>,
        hash_bytes: Option<u64>,
        cut: Time,
        tell: mpsc::Sender<Result<CheckTold, Error>>,
    ) -> Self {
        let now = Instant::now();
        Self { app, check, hash_bytes, cut, tell, told: now, renewed: now }
    }

    /// To the end, step by step.
    pub(super) async fn go(&mut self, mut state: State) -> Result<(), Ended> {
        if state != State::START {
            self.renew(CHECK_SECS).await?;
        }
        self.tell_progress(&state).await?;
        loop {
            let Step { state: mut next, found, is_last } = self.step_telling(&state).await?;
            found.iter().for_each(|seen| next.counts.count(&seen.what));
            let (any, turned) = (!found.is_empty(), next.phase != state.phase);
            self.keep_and_tell(found).await?;
            state = next;
            if is_last {
                return self.tell_end(&state).await;
            }
            if self.renewed.elapsed() >= RENEW_EVERY {
                self.renew(CHECK_SECS).await?;
            }
            if any || turned || self.told.elapsed() >= TELL_EVERY {
                self.tell_progress(&state).await?;
            }
        }
    }

    async fn send(&self, told: CheckTold) -> Result<(), Ended> {
        self.tell.send(Ok(told)).await.map_err(|_| Ended::Left)
    }

    async fn tell_progress(&mut self, state: &State) -> Result<(), Ended> {
        let id = self.check.as_ref().map(|check| check.id);
        let progress = CheckProgress { id, after: state.text(), phase: state.phase, counts: state.counts };
        self.told = Instant::now();
        self.send(CheckTold::Progress(progress)).await
    }

    async fn tell_end(&mut self, state: &State) -> Result<(), Ended> {
        let is_clean = self.check.as_ref().is_some_and(|check| check.stored == 0);
        self.renew(if is_clean { CLEAN_CHECK_SECS } else { CHECK_SECS }).await?;
        let mut unscanned: Vec<FileId> = Vec::new();
        for blob in &state.unscanned {
            let files = self.app.store.list_files_of_blob(*blob).await.map_err(Error::from)?;
            unscanned.extend(files.first.first());
        }
        let summary = CheckSummary { check: self.check.clone(), counts: state.counts, unscanned };
        self.send(CheckTold::Summary(summary)).await
    }

    /// What is kept of it is kept for so long from now on. Where nothing may be written it ends when it would have.
    async fn renew(&mut self, secs: i64) -> Result<(), Ended> {
        self.renewed = Instant::now();
        let Some(check) = self.check.as_mut() else { return Ok(()) };
        match self.app.store.renew_check(check.id, secs, self.app.clock.now()).await {
            Ok(renewed) => *check = renewed,
            Err(Stop::Failed(StoreError::ReadOnly)) => {}
            Err(stop) => return Err(Error::from(stop).into()),
        }
        Ok(())
    }

    /// A step, and from time to time that it is still where it was.
    async fn step_telling(&mut self, state: &State) -> Result<Step, Ended> {
        let app = Arc::clone(&self.app);
        let (cut, hash_bytes) = (self.cut, self.hash_bytes);
        let step = async move { app.check_step(state, cut, hash_bytes).await };
        tokio::pin!(step);
        loop {
            tokio::select! {
                done = &mut step => return Ok(done?),
                () = tokio::time::sleep_until(self.told + TELL_EVERY) => self.tell_progress(state).await?,
            }
        }
    }

    async fn keep_and_tell(&mut self, found: Vec<Seen>) -> Result<(), Ended> {
        let node = &self.app.node;
        let seen = found.into_iter().map(|Seen { what, error }| (Finding { what, node: node.clone() }, error));
        let (found, errors): (Vec<Finding>, Vec<String>) = seen.unzip();
        if let Some(check) = self.check.as_mut().filter(|_| !found.is_empty()) {
            let added = self.app.store.add_findings(check.id, &found).await;
            check.stored = added.map_err(Error::from)?;
        }
        for (finding, error) in found.into_iter().zip(errors) {
            let files = self.app.files_of(&finding.what).await?.first;
            self.send(CheckTold::Finding(ToldFinding { finding, files, error })).await?;
        }
        Ok(())
    }
}

impl App {
    async fn check_step(&self, state: &State, cut: Time, hash_bytes: Option<u64>) -> Result<Step, Error> {
        match state.phase {
            CheckPhase::Rows => self.check_rows(state.clone()).await,
            CheckPhase::Blobs => self.check_blobs(state.clone(), hash_bytes).await,
            CheckPhase::Store => self.check_store(state.clone(), cut).await,
            CheckPhase::Spool => self.check_spool(state.clone(), cut).await,
        }
    }

    async fn check_rows(&self, mut state: State) -> Result<Step, Error> {
        let Some(walk) = RowWalk::ALL.get(state.walk) else { return Ok(Step::turn(state, Vec::new())) };
        let (rows, next) = self.store.list_dangling(*walk, state.after, ROWS).await?;
        let found = rows.into_iter().map(|row| What::Row(row).into()).collect();
        match next {
            Some(next) => state.after = next,
            None => (state.walk, state.after) = (state.walk + 1, i64::MIN),
        }
        let ended = state.walk >= RowWalk::ALL.len();
        Ok(if ended { Step::turn(state, found) } else { Step::to(state, found) })
    }

    async fn check_blobs(&self, mut state: State, hash_bytes: Option<u64>) -> Result<Step, Error> {
        let mut left = hash_bytes.map_or(u64::MAX, |most| most.saturating_sub(state.counts.hashed_bytes));
        let limit = if left > 0 { HASHED } else { PAGE };
        let blobs = self.store.list_blobs_to_check(state.after, limit).await?;
        let Some(last) = blobs.last().map(|blob| blob.id) else { return Ok(Step::turn(state, Vec::new())) };
        let at_once = if left > 0 { READ_AT_ONCE } else { AT_ONCE };
        let looks: Vec<(Blob, bool)> = blobs
            .into_iter()
            .map(|blob| {
                let hash = left > 0;
                left = left.saturating_sub(blob.size);
                (blob, hash)
            })
            .collect();
        let mut looking = stream::iter(looks)
            .map(|(blob, hash)| async move { (self.look_at_blob(&blob, hash).await, blob, hash) })
            .buffered(at_once);
        let (mut found, settings) = (Vec::new(), self.settings());
        while let Some((looked, blob, hash)) = looking.next().await {
            let counts = &mut state.counts;
            let wrong = match looked? {
                Looked::Leaving => {
                    counts.skipped += 1;
                    continue;
                }
                Looked::Sound => None,
                Looked::Damaged(kind, there) => Some((kind, there, String::new())),
                Looked::Unreadable { error, .. } => Some((FindingKind::Unreadable, 0, error)),
            };
            counts.blobs += 1;
            counts.blob_bytes = counts.blob_bytes.saturating_add(blob.size);
            if wrong.is_none() && hash {
                counts.hashed_bytes += blob.size;
            }
            if is_unscanned(&blob, &settings) {
                state.count_unscanned(blob.id);
            }
            if let Some((kind, there, error)) = wrong {
                let files = self.store.list_files_of_blob(blob.id).await?.count;
                let Blob { id, key, sha256, size, .. } = blob;
                let what = What::Blob { kind, id, key, sha256, size, found: there, files };
                found.push(Seen { what, error });
            }
        }
        drop(looking);
        state.after = last;
        Ok(Step::to(state, found))
    }

    async fn check_store(&self, mut state: State, cut: Time) -> Result<Step, Error> {
        let page = match self.blobs.walk(state.place.as_ref(), PAGE as usize).await {
            // It came back to us from outside, and is none that this store has given.
            Err(BlobError::Unavailable(e)) if state.place.is_some() && e.kind() == io::ErrorKind::InvalidInput => {
                return Err(Reason::BadPageToken.into());
            }
            page => page?,
        };
        let found = self.unnamed(&mut state, page.found, Place::Blobs, cut).await?;
        match page.next {
            Some(next) => {
                state.place = Some(next);
                Ok(Step::to(state, found))
            }
            None => Ok(Step::turn(state, found)),
        }
    }

    async fn check_spool(&self, mut state: State, cut: Time) -> Result<Step, Error> {
        let mut found = Vec::new();
        let mut lying = self.spool.look().await?;
        while !lying.is_empty() {
            let rest = lying.split_off(lying.len().min(PAGE as usize));
            found.extend(self.unnamed(&mut state, lying, Place::Spool, cut).await?);
            lying = rest;
        }
        Ok(Step::turn(state, found))
    }

    async fn unnamed(&self, state: &mut State, lying: Vec<Found>, at: Place, cut: Time) -> Result<Vec<Seen>, Error> {
        state.counts.stored += lying.len() as u64;
        let unnamed = self.find_unnamed(lying, at, cut, false).await?;
        state.counts.young += unnamed.young;
        Ok(unnamed.old.into_iter().map(Seen::from).collect())
    }
}
