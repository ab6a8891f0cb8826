//! Receives an upload: one pass over the bytes into the spool, counted and hashed on the way, at the client's pace.
//!
//! Not here: what the bytes mean (`upload.rs`). Nothing is held while a client dawdles: what has arrived is written as
//! soon as it is worth a job or the client pauses, by at most one job at a time; only what arrives during a job waits
//! in memory, 1 MiB at most. What is there when the commit comes is written, sealed and looked at in one job: a small
//! upload takes no other.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use sha2::Digest;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::{Error, Limits};
use crate::{
    domain::{Reason, Refusal, Sha256, admission},
    fault_point,
    ports::{SpoolWriter, Spooled},
    telemetry::names,
};

/// What a client's stream brings, after the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Bytes, in order.
    Chunk(Bytes),
    /// The client says that this is all.
    Commit {
        /// The size it counted.
        size: Option<u64>,
        /// The hash it counted.
        sha256: Option<Sha256>,
    },
    /// The stream is over, however it ended, without a commit.
    Ended,
}

/// The client's side of an upload.
#[async_trait]
pub trait UploadSource: Send {
    /// The next part. Must be cancel safe: a dropped call loses nothing. A refusal is a fault of the stream itself.
    async fn next(&mut self) -> Result<Part, Refusal>;

    /// Reads on for up to 32 MiB or 10 s and throws the bytes away, so that a client that is still sending gets to
    /// read the refusal.
    async fn drain(self: Box<Self>);
}

/// Most bytes that wait in memory for the job that writes.
const PENDING_BYTES: usize = 1 << 20;
/// So many are worth a job of their own.
const JOB_BYTES: usize = 256 << 10;
/// Fewer wait so long for more: a client that goes on sends them in that time.
const PAUSE: Duration = Duration::from_millis(2);

/// Bytes on their way into the spool.
pub struct Staging {
    state: State,
    pending: Vec<Bytes>,
    pending_bytes: usize,
    size: u64,
}

/// So many are hashed without a job: that takes less time than to hand them over.
const FEW_BYTES: usize = 32 << 10;

/// What the write jobs work on.
struct Work {
    writer: Option<Box<dyn SpoolWriter>>,
    hasher: sha2::Sha256,
    /// What is pending was hashed already.
    hashed: bool,
}

impl Work {
    fn hash(&mut self, chunks: &[Bytes]) {
        if !std::mem::take(&mut self.hashed) {
            chunks.iter().for_each(|chunk| self.hasher.update(chunk));
        }
    }

    /// Blocks.
    fn take(&mut self, chunks: &[Bytes]) -> std::io::Result<()> {
        self.hash(chunks);
        if let (Some(writer), false) = (&mut self.writer, chunks.is_empty()) {
            writer.write(chunks)?;
            fault_point!("U4");
        }
        Ok(())
    }
}

enum State {
    Idle(Work),
    Writing(JoinHandle<std::io::Result<Work>>),
    /// A job failed or was lost; nothing can be written any more.
    Broken,
}

/// All that arrived.
pub struct Whole {
    /// The bytes.
    pub spooled: Arc<dyn Spooled>,
    /// How many.
    pub size: u64,
    /// Their hash.
    pub sha256: Sha256,
}

/// How receiving ended.
pub enum End {
    /// The commit message came.
    Commit {
        /// The size in it.
        size: Option<u64>,
        /// The hash in it.
        sha256: Option<Sha256>,
    },
    /// No commit: nothing may be kept.
    Abandoned,
}

impl Staging {
    /// Into the spool; nothing yet.
    pub fn new(writer: Box<dyn SpoolWriter>) -> Self {
        Self::to(Some(writer))
    }

    /// Into nothing: bytes that are only counted and hashed.
    pub fn nowhere() -> Self {
        Self::to(None)
    }

    fn to(writer: Option<Box<dyn SpoolWriter>>) -> Self {
        Self {
            state: State::Idle(Work { writer, hasher: sha2::Sha256::new(), hashed: false }),
            pending: Vec::new(),
            pending_bytes: 0,
            size: 0,
        }
    }

    /// Reads the stream to its commit. Check 9: real size, progress, the stream's own rules.
    pub async fn receive(
        &mut self,
        source: &mut dyn UploadSource,
        max_bytes: u64,
        limits: &Limits,
    ) -> Result<End, Error> {
        let mut pace = Pace::new(limits);
        loop {
            let part = tokio::select! {
                biased;
                part = timeout_at(pace.deadline(), source.next()) => part,
                paused = pause(&mut self.state, self.pending_bytes), if !self.pending.is_empty() => {
                    paused?;
                    self.write_pending();
                    continue;
                }
            };
            let Ok(part) = part else {
                pace.judge()?;
                continue;
            };
            match part? {
                Part::Chunk(chunk) => {
                    self.size += chunk.len() as u64;
                    metrics::counter!(names::UPLOAD_BYTES).increment(chunk.len() as u64);
                    if self.size > max_bytes {
                        return Err(admission::too_large(max_bytes).into());
                    }
                    pace.count(chunk.len());
                    self.take(chunk).await?;
                    fault_point!("U5");
                }
                Part::Commit { size, sha256 } => return Ok(End::Commit { size, sha256 }),
                Part::Ended => return Ok(End::Abandoned),
            }
        }
    }

    /// Bytes that came so far.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The hash of all that came, where it is at hand before anything was written: few bytes, received at once.
    pub fn digest_of_few(&mut self) -> Option<Sha256> {
        let State::Idle(work) = &mut self.state else { return None };
        if self.size != self.pending_bytes as u64 || self.pending_bytes > FEW_BYTES {
            return None;
        }
        work.hash(&self.pending);
        work.hashed = true;
        Some(Sha256(work.hasher.clone().finalize().into()))
    }

    /// Writes what still waits, and has a look at the whole on the same thread: what a look may block for is for the
    /// caller to bound.
    pub async fn finish<T: Send + 'static>(
        &mut self,
        look: impl FnOnce(&dyn Spooled) -> std::io::Result<T> + Send + 'static,
    ) -> Result<(Whole, T), Error> {
        let size = self.size;
        let (mut work, chunks) = self.end().await?;
        blocking(move || {
            work.take(&chunks)?;
            let Work { writer, hasher, hashed: _ } = work;
            let spooled = writer.ok_or_else(|| std::io::Error::other(BROKEN))?.seal()?;
            let looked = look(spooled.as_ref())?;
            Ok((Whole { spooled, size, sha256: Sha256(hasher.finalize().into()) }, looked))
        })
        .await
    }

    /// Size and hash of all that came.
    pub async fn digest(&mut self) -> Result<(u64, Sha256), Error> {
        let size = self.size;
        let (mut work, chunks) = self.end().await?;
        blocking(move || {
            work.take(&chunks)?;
            Ok((size, Sha256(work.hasher.finalize().into())))
        })
        .await
    }

    /// No job runs any more: what they worked on, and what still waits.
    async fn end(&mut self) -> Result<(Work, Vec<Bytes>), Error> {
        wait_written(&mut self.state).await?;
        match std::mem::replace(&mut self.state, State::Broken) {
            State::Idle(work) => Ok((work, std::mem::take(&mut self.pending))),
            State::Writing(_) | State::Broken => Err(broken()),
        }
    }

    /// Waits for a job under way, so that nothing is written any more after this.
    pub async fn quiesce(&mut self) {
        if wait_written(&mut self.state).await.is_err() {
            self.state = State::Broken;
        }
    }

    async fn take(&mut self, chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        if self.pending_bytes + chunk.len() > PENDING_BYTES {
            wait_written(&mut self.state).await?;
            self.write_pending();
        }
        self.pending_bytes += chunk.len();
        self.pending.push(chunk);
        if self.pending_bytes >= JOB_BYTES {
            if matches!(&self.state, State::Writing(job) if job.is_finished()) {
                wait_written(&mut self.state).await?;
            }
            self.write_pending();
        }
        Ok(())
    }

    /// Starts a job with everything that waits, if none runs.
    fn write_pending(&mut self) {
        if self.pending.is_empty() || !matches!(self.state, State::Idle(_)) {
            return;
        }
        let State::Idle(mut work) = std::mem::replace(&mut self.state, State::Broken) else { return };
        let chunks = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.state = State::Writing(tokio::task::spawn_blocking(move || work.take(&chunks).map(|()| work)));
    }
}

/// Waits until no job runs and what is pending should be written. Cancel safe.
async fn pause(state: &mut State, pending_bytes: usize) -> Result<(), Error> {
    if pending_bytes < JOB_BYTES {
        tokio::time::sleep(PAUSE).await;
    }
    wait_written(state).await
}

/// Waits until no job runs. Cancel safe: the handle stays where it is.
async fn wait_written(state: &mut State) -> Result<(), Error> {
    match state {
        State::Idle(_) => Ok(()),
        State::Broken => Err(broken()),
        State::Writing(job) => {
            let done = job.await;
            *state = State::Broken;
            *state = State::Idle(done.map_err(std::io::Error::other)??);
            Ok(())
        }
    }
}

const BROKEN: &str = "writing to the spool failed before";

fn broken() -> Error {
    Error::from(std::io::Error::other(BROKEN))
}

/// Runs blocking work off the async threads.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)??)
}

/// How fast the bytes come: least so many in each window, and an end to all patience.
struct Pace<'l> {
    limits: &'l Limits,
    end: Instant,
    window_end: Instant,
    in_window: u64,
}

impl<'l> Pace<'l> {
    fn new(limits: &'l Limits) -> Self {
        let now = Instant::now();
        Self { limits, end: now + limits.reading, window_end: now + limits.progress_window, in_window: 0 }
    }

    fn deadline(&self) -> Instant {
        self.window_end.min(self.end)
    }

    fn count(&mut self, bytes: usize) {
        self.in_window += bytes as u64;
        if self.in_window >= self.limits.progress_bytes && Instant::now() >= self.window_end {
            self.next_window();
        }
    }

    fn next_window(&mut self) {
        self.window_end = Instant::now() + self.limits.progress_window;
        self.in_window = 0;
    }

    /// At the deadline: was it enough?
    fn judge(&mut self) -> Result<(), Refusal> {
        if Instant::now() >= self.end {
            return Err(too_slow(self.limits.reading, "the whole upload must be read within"));
        }
        if self.in_window < self.limits.progress_bytes {
            let window = self.limits.progress_window;
            return Err(too_slow(window, "less than the least progress was made within")
                .with("limit_bytes", self.limits.progress_bytes));
        }
        self.next_window();
        Ok(())
    }
}

fn too_slow(limit: Duration, what: &str) -> Refusal {
    Refusal::new(Reason::TooSlow)
        .because(format!("{what} {} s", limit.as_secs()))
        .with("limit_seconds", limit.as_secs())
}

#[cfg(test)]
mod tests;
