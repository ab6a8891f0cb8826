//! What a caller may upload now, told before it tries: the same decisions as `admit`, without a file.
//!
//! Not here: the decisions themselves (the parent module).

use super::{Target, extensions, judge_target};
use crate::domain::{Caller, CallerKind, Chat, Reason, settings::Settings};

/// What this very caller may upload now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadOptions {
    /// Allowed extensions; empty if nothing is allowed.
    pub extensions: Vec<String>,
    /// Largest file, in bytes.
    pub max_file_bytes: u64,
    /// Hint to the page.
    pub one_file_at_a_time: bool,
    /// Voice messages may be recorded.
    pub voice: bool,
    /// Longest voice message, in seconds.
    pub voice_max_seconds: u32,
    /// Why nothing may be uploaded; empty if something may.
    pub reasons: Vec<Reason>,
}

/// The options for a target. A chat that is not there for the caller is refused like in `admit`.
pub fn options(
    caller: &Caller,
    target: &Target,
    chat: Option<&Chat>,
    settings: &Settings,
    scanner_healthy: bool,
) -> Result<UploadOptions, crate::domain::Refusal> {
    let mut reasons = Vec::new();
    match judge_target(caller, target, chat, settings) {
        Ok(()) => {}
        Err(refusal) if matches!(refusal.reason, Reason::NotFound | Reason::ChatUnknown) => return Err(refusal),
        Err(refusal) => reasons.push(refusal.reason),
    }
    if settings.read_only {
        reasons.push(Reason::ReadOnly);
    }
    if super::is_scan_due(caller, settings) && !scanner_healthy {
        reasons.push(Reason::ScannerDown);
    }
    let extensions = if reasons.is_empty() { extensions(caller, chat, settings).to_vec() } else { Vec::new() };
    Ok(UploadOptions {
        extensions,
        max_file_bytes: settings.max_file_bytes.unsigned_abs(),
        one_file_at_a_time: settings.one_file_at_a_time,
        voice: match caller.kind() {
            CallerKind::Visitor => settings.voice_visitor,
            CallerKind::Operator | CallerKind::Service => settings.voice_operator,
        },
        voice_max_seconds: u32::try_from(settings.voice_max_seconds).unwrap_or(u32::MAX),
        reasons,
    })
}
