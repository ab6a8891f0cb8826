//! Reads a refusal: the gRPC code, and the reason and facts of its `google.rpc.ErrorInfo`.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The reason; empty if the status carries no ErrorInfo of ours.
pub fn reason_of(status: &Status) -> String {
    match status.get_details_error_info() {
        Some(info) if info.domain == "lhfile" => info.reason,
        _ => String::new(),
    }
}

/// The facts of a refusal.
pub fn facts_of(status: &Status) -> HashMap<String, String> {
    status.get_details_error_info().map(|info| info.metadata).unwrap_or_default()
}

/// Whether it says when to try again.
pub fn has_retry(status: &Status) -> bool {
    status.get_details_retry_info().is_some_and(|r| r.retry_delay.is_some())
}

/// Fails unless it was refused with exactly this code and reason; answers the refusal.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) -> Status {
    let status = match result {
        Ok(answer) => panic!("{reason} was expected, and it passed: {answer:?}"),
        Err(status) => status,
    };
    assert_eq!((status.code(), reason_of(&status).as_str()), (code, reason), "{}", status.message());
    status
}
