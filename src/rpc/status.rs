//! The only place that makes a `tonic::Status`: a refusal's kind becomes the code, its reason and facts the details.
//!
//! Not here: reasons and their messages (`domain/refusal.rs`). An internal cause is logged once, here; the client is
//! told the request id and no more.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::request_id;
use crate::{
    app::Error,
    domain::{Kind, Reason, Refusal, admission},
    ports::{BlobError, ScanError, StoreError},
};

/// The domain of every `google.rpc.ErrorInfo` of ours.
pub const ERROR_DOMAIN: &str = "lhfile";

/// When a store that is down is worth trying again.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// The answer to a call that did not end well. Logs an internal cause.
pub fn status(error: impl Into<Error>) -> Status {
    match error.into() {
        Error::Refused(refusal) => refused(&refusal),
        Error::Store(cause) => match &cause {
            StoreError::Unavailable(_) | StoreError::Conflict(_) => down(Reason::DatabaseDown, &cause),
            StoreError::NoSpace(_) => down(Reason::NoSpace, &cause),
            StoreError::Corrupt { .. } => damaged(&cause),
            StoreError::ReadOnly => refused(&Reason::ReadOnly.into()),
            StoreError::Refused(_) | StoreError::Duplicate(_) => bug(&cause),
        },
        Error::Blob(cause) => match &cause {
            BlobError::Unavailable(_) => down(Reason::StoreDown, &cause),
            BlobError::NoSpace(_) => down(Reason::NoSpace, &cause),
            BlobError::Missing(_) => damaged(&cause),
        },
        Error::Scan(cause) => match &cause {
            ScanError::Down(_) | ScanError::NoVerdict(_) => {
                tracing::warn!(error = %cause, "no verdict from the scanner");
                refused(&admission::scanner_down())
            }
            ScanError::TooLong(_) => refused(&Reason::Unscannable.into()),
            ScanError::Source(_) => down(Reason::StoreDown, &cause),
        },
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        status(error)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        refused(&refusal)
    }
}

/// The answer to a call that was refused.
pub fn refused(refusal: &Refusal) -> Status {
    let Refusal { reason, message, metadata, retry_after } = refusal;
    let facts: HashMap<String, String> = metadata.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    let mut details = ErrorDetails::with_error_info(reason.name(), ERROR_DOMAIN, facts);
    if let Some(field) = field(refusal) {
        details.add_bad_request_violation(field, message.as_ref());
    }
    if retry_after.is_some() {
        details.set_retry_info(*retry_after);
    }
    Status::with_error_details(code(reason.kind()), message.as_ref(), details)
}

/// The field of the request that a refusal blames.
fn field(refusal: &Refusal) -> Option<&str> {
    match refusal.reason {
        Reason::BadArgument => refusal.get("field"),
        Reason::BadSetting => refusal.get("setting"),
        Reason::BadName => Some("display_name"),
        Reason::BadPageToken => Some("page_token"),
        _ => None,
    }
}

const fn code(kind: Kind) -> Code {
    match kind {
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::Aborted => Code::Aborted,
        Kind::AlreadyExists => Code::AlreadyExists,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::DeadlineExceeded => Code::DeadlineExceeded,
        Kind::Unavailable => Code::Unavailable,
        Kind::DataLoss => Code::DataLoss,
    }
}

/// A part of the service does not work; the same call may pass later.
fn down(reason: Reason, cause: &dyn std::error::Error) -> Status {
    tracing::warn!(error = %cause, reason = reason.name(), "a part of the service is down");
    refused(&Refusal::new(reason).retry_after(STORE_RETRY))
}

/// What was stored is not what is there.
fn damaged(cause: &dyn std::error::Error) -> Status {
    let id = request_id::current();
    tracing::error!(error = %cause, request_id = id, "stored data are damaged");
    refused(&Refusal::new(Reason::Corrupt).with("request_id", id))
}

/// What must not happen. The client learns the request id only.
fn bug(cause: &dyn std::error::Error) -> Status {
    let id = request_id::current();
    tracing::error!(error = %cause, request_id = id, "a bug of lhfile");
    let mut details = ErrorDetails::new();
    details.set_request_info(id.clone(), "");
    Status::with_error_details(Code::Internal, format!("an error of the server; request id {id}"), details)
}

/// The code as the protocol spells it.
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn reason(status: &Status) -> String {
        let info = status.get_details_error_info().expect("an ErrorInfo");
        assert_eq!(info.domain, ERROR_DOMAIN);
        info.reason
    }

    #[test]
    fn every_reason_has_its_own_info_and_a_code_that_is_neither_unknown_nor_internal() {
        for reason in Reason::ALL {
            let refusal = Refusal::new(*reason).with("limit_bytes", 7).retry_after(Duration::from_secs(3));
            let status = refused(&refusal);
            assert!(!matches!(status.code(), Code::Ok | Code::Unknown | Code::Internal), "{}", reason.name());
            assert_eq!(self::reason(&status), reason.name());
            assert_eq!(status.message(), reason.message());
            let info = status.get_details_error_info().expect("an ErrorInfo");
            assert_eq!(info.metadata.get("limit_bytes").map(String::as_str), Some("7"));
            let retry = status.get_details_retry_info().expect("a RetryInfo");
            assert_eq!(retry.retry_delay, Some(Duration::from_secs(3)));
        }
    }

    #[test]
    fn codes_are_those_of_the_product() {
        for (reason, code) in [
            (Reason::BadCredential, Code::Unauthenticated),
            (Reason::MissingPermission, Code::PermissionDenied),
            (Reason::NotFound, Code::NotFound),
            (Reason::ChatClosed, Code::FailedPrecondition),
            (Reason::ReadOnly, Code::Unavailable),
            (Reason::Infected, Code::InvalidArgument),
            (Reason::TooSlow, Code::DeadlineExceeded),
            (Reason::BadRange, Code::OutOfRange),
            (Reason::RequestIdReused, Code::AlreadyExists),
            (Reason::EtagMismatch, Code::Aborted),
            (Reason::Corrupt, Code::DataLoss),
        ] {
            assert_eq!(refused(&reason.into()).code(), code, "{}", reason.name());
        }
    }

    #[test]
    fn a_bad_argument_names_its_field() {
        for (refusal, field) in [
            (Refusal::argument("page_size", "page_size must be 0 to 500"), "page_size"),
            (Refusal::new(Reason::BadSetting).with("setting", "max_file_bytes"), "max_file_bytes"),
            (Reason::BadName.into(), "display_name"),
        ] {
            let bad = refused(&refusal).get_details_bad_request().expect("a BadRequest");
            assert_eq!(bad.field_violations[0].field, field);
            assert_eq!(bad.field_violations[0].description, refusal.message);
        }
        assert!(refused(&Reason::Empty.into()).get_details_bad_request().is_none());
    }

    #[test]
    fn causes_inside_become_the_reason_that_clients_know() {
        let io = || io::Error::other("secret path");
        let cases: [(Error, &str, Code); 11] = [
            (StoreError::Unavailable(io()).into(), "DATABASE_DOWN", Code::Unavailable),
            (StoreError::Conflict("busy".into()).into(), "DATABASE_DOWN", Code::Unavailable),
            (StoreError::NoSpace("secret path".into()).into(), "NO_SPACE", Code::Unavailable),
            (StoreError::Corrupt { table: "files", column: "c", id: "1".into() }.into(), "CORRUPT", Code::DataLoss),
            (BlobError::Unavailable(io()).into(), "STORE_DOWN", Code::Unavailable),
            (BlobError::NoSpace(io()).into(), "NO_SPACE", Code::Unavailable),
            (BlobError::Missing(crate::domain::BlobKey([7; 16])).into(), "CORRUPT", Code::DataLoss),
            (ScanError::Down(io()).into(), "SCANNER_DOWN", Code::Unavailable),
            (ScanError::NoVerdict(io()).into(), "SCANNER_DOWN", Code::Unavailable),
            (ScanError::TooLong(Duration::from_secs(1)).into(), "UNSCANNABLE", Code::InvalidArgument),
            (ScanError::Source(io()).into(), "STORE_DOWN", Code::Unavailable),
        ];
        for (error, reason, code) in cases {
            let status = status(error);
            assert_eq!((self::reason(&status).as_str(), status.code()), (reason, code));
            assert!(!status.message().contains("secret") && !status.message().contains("0707"), "{status:?}");
        }
    }

    #[test]
    fn a_bug_tells_the_request_id_and_nothing_else() {
        for cause in [StoreError::Refused("no such table".into()), StoreError::Duplicate("key".into())] {
            let status = request_id::within("r-1", || status(cause));
            assert_eq!(status.code(), Code::Internal);
            assert_eq!(status.message(), "an error of the server; request id r-1");
            assert_eq!(status.get_details_request_info().expect("a RequestInfo").request_id, "r-1");
            assert!(status.get_details_error_info().is_none());
        }
    }
}
