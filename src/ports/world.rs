//! The ports to time and chance, and the system's own clock and randomness: the one place that asks for them.
//!
//! Not here: the other ports (the parent module). Tests bring their own clock and ids.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::{BlobKey, CodeHash, FileId, Time};

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Time;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

/// New ids.
pub trait Ids: Send + Sync + 'static {
    /// 128 random bits.
    fn random(&self) -> [u8; 16];

    /// A file's id.
    fn file_id(&self) -> FileId {
        FileId(self.random())
    }

    /// The random half of a message code.
    fn code_hash(&self) -> CodeHash {
        CodeHash(self.random())
    }

    /// A blob's key: its first 4 bytes are the time in units of 2^12 s, so that uploads of the same hour share a
    /// folder (and its fsync); the other 96 bits are random.
    fn blob_key(&self, now: Time) -> BlobKey {
        let mut key = self.random();
        let hour = u32::try_from(now.secs() >> 12).unwrap_or(0);
        key[..4].copy_from_slice(&hour.to_be_bytes());
        BlobKey(key)
    }
}

/// The system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks for randomness")]
    fn random(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the kernel gives randomness");
        bytes
    }
}
