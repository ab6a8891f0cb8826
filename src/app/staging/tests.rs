//! Receiving, with a client of any rudeness and a spool in memory.

use std::sync::Mutex;

use super::*;
use crate::{
    domain::BlobKey,
    ports::{ByteSource, ReadSeek},
};

/// Keeps what is written; fails after so many bytes.
#[derive(Clone, Default)]
struct Memory {
    bytes: Arc<Mutex<Vec<u8>>>,
    full_at: Option<usize>,
}

impl SpoolWriter for Memory {
    fn write(&mut self, chunks: &[Bytes]) -> std::io::Result<()> {
        let mut bytes = self.bytes.lock().expect("not poisoned");
        for chunk in chunks {
            bytes.extend_from_slice(chunk);
        }
        match self.full_at {
            Some(most) if bytes.len() > most => Err(std::io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn seal(self: Box<Self>) -> std::io::Result<Arc<dyn Spooled>> {
        Ok(Arc::new(Sealed(Bytes::from(self.bytes.lock().expect("not poisoned").clone()))))
    }
}

struct Sealed(Bytes);

impl ByteSource for Sealed {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn reader(&self) -> std::io::Result<Box<dyn ReadSeek>> {
        self.0.reader()
    }
}

impl Spooled for Sealed {
    fn key(&self) -> BlobKey {
        BlobKey([0; 16])
    }

    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn is_synced(&self) -> bool {
        true
    }
}

/// Plays its parts, each after its pause; then hangs.
struct Script(std::collections::VecDeque<(Duration, Result<Part, Refusal>)>);

#[async_trait]
impl UploadSource for Script {
    async fn next(&mut self) -> Result<Part, Refusal> {
        match self.0.front().map(|(pause, _)| *pause) {
            Some(Duration::ZERO) => self.0.pop_front().expect("it has a front").1,
            // Cancel safe: the pause is counted again, as of a client that waits for us.
            Some(pause) => {
                tokio::time::sleep(pause).await;
                self.0.pop_front().expect("it has a front").1
            }
            None => std::future::pending().await,
        }
    }

    async fn drain(self: Box<Self>) {}
}

fn script(parts: impl IntoIterator<Item = (u64, Part)>) -> Script {
    Script(parts.into_iter().map(|(secs, part)| (Duration::from_secs(secs), Ok(part))).collect())
}

const fn commit() -> Part {
    Part::Commit { size: None, sha256: None }
}

fn chunk(len: usize) -> Part {
    Part::Chunk(Bytes::from(vec![7; len]))
}

#[tokio::test]
async fn the_bytes_arrive_in_order_counted_and_hashed() {
    let memory = Memory::default();
    let mut staging = Staging::new(Box::new(memory.clone()));
    let sent: Vec<u8> = (0..3_000_000_u32).map(|i| i as u8).collect();
    let mut parts: Vec<_> = sent.chunks(70_001).map(|c| (0, Part::Chunk(Bytes::copy_from_slice(c)))).collect();
    parts.push((0, commit()));
    let end = staging.receive(&mut script(parts), 3_000_000, &Limits::default()).await.expect("received");
    assert!(matches!(end, End::Commit { .. }));
    let (whole, looked) = staging.finish(|spooled| Ok(spooled.size())).await.expect("whole");
    assert_eq!((whole.size, looked), (3_000_000, 3_000_000));
    assert_eq!(whole.sha256, Sha256(sha2::Sha256::digest(&sent).into()));
    assert_eq!(*memory.bytes.lock().expect("not poisoned"), sent);
}

#[tokio::test]
async fn few_bytes_are_hashed_before_they_are_written_and_once() {
    for (chunks, few) in [(vec![5, 7], true), (vec![FEW_BYTES], true), (vec![FEW_BYTES, 1], false)] {
        let memory = Memory::default();
        let mut staging = Staging::new(Box::new(memory.clone()));
        let sent = vec![7; chunks.iter().sum()];
        let parts = chunks.into_iter().map(|len| (0, chunk(len))).chain([(0, commit())]);
        staging.receive(&mut script(parts), 1 << 20, &Limits::default()).await.expect("received");
        let expected = Sha256(sha2::Sha256::digest(&sent).into());
        assert_eq!(staging.digest_of_few(), few.then_some(expected));
        assert!(memory.bytes.lock().expect("not poisoned").is_empty());
        let (whole, ()) = staging.finish(|_| Ok(())).await.expect("whole");
        assert_eq!((whole.sha256, whole.size), (expected, sent.len() as u64));
        assert_eq!(*memory.bytes.lock().expect("not poisoned"), sent);
    }
}

#[tokio::test]
async fn one_byte_over_the_limit_is_refused_before_the_commit_and_equal_passes() {
    for (len, passes) in [(10, true), (11, false)] {
        let mut staging = Staging::nowhere();
        let got = staging.receive(&mut script([(0, chunk(len)), (0, commit())]), 10, &Limits::default()).await;
        assert_eq!(got.is_ok(), passes);
        if let Err(error) = got {
            assert_eq!(error.reason(), Some(Reason::TooLarge));
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_commit_is_abandoned() {
    let mut staging = Staging::nowhere();
    let end = staging.receive(&mut script([(0, chunk(10)), (0, Part::Ended)]), 100, &Limits::default()).await;
    assert!(matches!(end, Ok(End::Abandoned)));
}

#[tokio::test]
async fn a_full_disk_ends_the_upload_and_the_staging_stays_broken() {
    let memory = Memory { full_at: Some(5), ..Memory::default() };
    let mut staging = Staging::new(Box::new(memory));
    let received = staging.receive(&mut script([(0, chunk(10)), (0, commit())]), 100, &Limits::default()).await;
    let error = match received {
        Ok(_) => staging.finish(|_| Ok(())).await.err().expect("no room"),
        Err(error) => error,
    };
    assert_eq!(error.reason(), Some(Reason::NoSpace));
    assert!(staging.finish(|_| Ok(())).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn less_than_the_least_progress_in_a_window_is_too_slow() {
    let dribble = (0..60).map(|_| (1, chunk(1_000))).chain([(0, commit())]);
    let mut staging = Staging::nowhere();
    let error = staging.receive(&mut script(dribble), 1 << 20, &Limits::default()).await.err().expect("too slow");
    assert_eq!(error.reason(), Some(Reason::TooSlow));
}

#[tokio::test(start_paused = true)]
async fn steady_progress_of_a_kibibyte_a_second_is_enough_but_not_for_ever() {
    let steady = |secs: u64| (0..secs).map(|_| (1, chunk(1_100))).chain([(0, commit())]);
    let mut staging = Staging::nowhere();
    assert!(staging.receive(&mut script(steady(120)), 1 << 20, &Limits::default()).await.is_ok());
    let mut staging = Staging::nowhere();
    let error = staging.receive(&mut script(steady(1_000)), 1 << 30, &Limits::default()).await.err().expect("too long");
    assert_eq!(error.reason(), Some(Reason::TooSlow));
}
