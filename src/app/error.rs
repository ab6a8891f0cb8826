//! What a call can end with when it does not succeed: a refusal, or a part of the world that failed.
//!
//! Not here: what a client sees of it (`rpc/status.rs`, which also logs it, once).

use crate::{
    domain::{Reason, Refusal},
    ports::{BlobError, ScanError, Stop, StoreError},
};

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A rule says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The spool or the store of bytes failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The scanner failed.
    #[error(transparent)]
    Scan(#[from] ScanError),
}

impl From<Stop> for Error {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(refusal) => Error::Refused(refusal),
            Stop::Failed(error) => Error::Store(error),
        }
    }
}

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        Error::Refused(reason.into())
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Error::Blob(e.into())
    }
}

impl Error {
    /// The reason a client is told.
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Error::Refused(refusal) => Some(refusal.reason),
            Error::Store(StoreError::Unavailable(_) | StoreError::Conflict(_)) => Some(Reason::DatabaseDown),
            Error::Store(StoreError::Corrupt { .. }) | Error::Blob(BlobError::Missing(_)) => Some(Reason::Corrupt),
            Error::Store(StoreError::ReadOnly) => Some(Reason::ReadOnly),
            Error::Store(StoreError::Duplicate(_) | StoreError::Refused(_)) => None,
            Error::Store(StoreError::NoSpace(_)) | Error::Blob(BlobError::NoSpace(_)) => Some(Reason::NoSpace),
            Error::Blob(BlobError::Unavailable(_)) => Some(Reason::StoreDown),
            Error::Scan(ScanError::Down(_) | ScanError::NoVerdict(_)) => Some(Reason::ScannerDown),
            Error::Scan(ScanError::TooLong(_)) => Some(Reason::Unscannable),
            Error::Scan(ScanError::Source(_)) => Some(Reason::StoreDown),
        }
    }
}
