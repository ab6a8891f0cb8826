//! The three decisions of an upload: `admit` (may it start?), `accept` (is it what it says?), `clear` (what does the
//! verdict mean?), and the chat judged again at the commit.
//!
//! Not here: the order in time and the bytes (`app/upload.rs`). The checks are numbered in the upload's way, see the
//! crate's page. Each decision's answer is a proof that the next step asks for; only this file makes them.

use super::{
    Caller, CallerKind, Chat, Origin, Reason, Refusal, RequestId, Sha256, Time,
    file::VerdictKind,
    media_type::{self, Disagreement, Observed},
    name::{DisplayName, Extension},
    settings::{AntivirusScope, AntivirusUnscannable, Settings},
};

mod options;
mod target;
pub use options::{UploadOptions, options};
pub use target::Target;
use target::{judge_origin, judge_persistent, judge_target};

/// What the client says of its upload before the first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Where it goes.
    pub target: Target,
    /// The name as sent.
    pub name: String,
    /// The media type as sent; names nameless images and nothing else.
    pub content_type: String,
    /// The size, if the client knows it.
    pub size: Option<u64>,
    /// The hash, if the client knows it.
    pub sha256: Option<Sha256>,
    /// Asked for by the client.
    pub persistent: Option<bool>,
    /// Makes the upload idempotent.
    pub request_id: Option<RequestId>,
    /// The chat backend's id of the message that carries the file.
    pub message_id: Option<String>,
    /// Where it comes from.
    pub origin: Option<Origin>,
}

/// How the service is, for check 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// A scanner proved able to say no.
    pub scanner_healthy: bool,
    /// Bytes the spool can take now.
    pub room_bytes: u64,
}

/// Proof that an upload may start, with its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    declared: Declared,
    name: DisplayName,
    extension: Extension,
    max_bytes: u64,
    scan_due: bool,
    persistent: bool,
}

impl Admitted {
    /// What was declared.
    pub const fn declared(&self) -> &Declared {
        &self.declared
    }
    /// Most bytes it may have.
    pub const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }
    /// Its bytes need a verdict.
    pub const fn scan_due(&self) -> bool {
        self.scan_due
    }

    /// Under the settings of the commit: scanning that was switched on meanwhile concerns it too. Switched off, it
    /// stays due.
    #[must_use]
    pub fn under(mut self, caller: &Caller, settings: &Settings) -> Self {
        self.scan_due |= is_scan_due(caller, settings);
        self
    }
}

/// Checks 2 to 8 (without quota, rate and concurrency): may this upload start?
pub fn admit(
    caller: &Caller,
    declared: Declared,
    chat: Option<&Chat>,
    settings: &Settings,
    service: Service,
) -> Result<Admitted, Refusal> {
    // 2, 3, 4
    judge_target(caller, &declared.target, chat, settings)?;
    if settings.read_only {
        return Err(Reason::ReadOnly.into());
    }
    let persistent = judge_persistent(caller, &declared)?;
    judge_origin(caller, &declared)?;
    if declared
        .message_id
        .as_ref()
        .is_some_and(|id| id.is_empty() || id.len() > 128 || id.chars().any(char::is_control))
    {
        return Err(Refusal::argument("message_id", "message_id must be 1 to 128 bytes without control characters"));
    }
    // 5, 6
    let name = DisplayName::new(&declared.name, &declared.content_type)?;
    let extension = name.extension();
    let allowed = extensions(caller, chat, settings);
    if !allowed.iter().any(|e| e == extension.as_str()) {
        return Err(Refusal::new(Reason::TypeNotAllowed)
            .because(format!("allowed are: {}", allowed.join(" ")))
            .with("allowed", allowed.join(",")));
    }
    // 7
    let max_bytes = settings.max_file_bytes.unsigned_abs();
    if let Some(size) = declared.size {
        if size > max_bytes {
            return Err(too_large(max_bytes));
        }
        if size == 0 {
            return Err(Reason::Empty.into());
        }
    }
    // 8
    let scan_due = is_scan_due(caller, settings);
    if service.room_bytes < declared.size.unwrap_or(1) {
        return Err(Refusal::new(Reason::NoSpace).retry_after(std::time::Duration::from_secs(30)));
    }
    if scan_due && !service.scanner_healthy {
        return Err(scanner_down());
    }
    Ok(Admitted { name, extension, max_bytes, scan_due, persistent, declared })
}

/// The extensions this caller may upload to this chat.
fn extensions<'s>(caller: &Caller, chat: Option<&Chat>, settings: &'s Settings) -> &'s [String] {
    let bot = chat.is_some_and(|c| c.status == super::ChatStatus::Bot);
    match caller.kind() {
        CallerKind::Visitor if bot && !settings.bot_extensions.is_empty() => &settings.bot_extensions,
        CallerKind::Visitor => &settings.visitor_extensions,
        CallerKind::Operator | CallerKind::Service => &settings.operator_extensions,
    }
}

/// Whether this caller's uploads need a verdict.
pub fn is_scan_due(caller: &Caller, settings: &Settings) -> bool {
    settings.antivirus_enabled
        && (settings.antivirus_scope == AntivirusScope::Everyone || caller.kind() == CallerKind::Visitor)
}

/// `TOO_LARGE` with the limit.
pub fn too_large(limit: u64) -> Refusal {
    Refusal::new(Reason::TooLarge).because(format!("the file is larger than {limit} bytes")).with("limit_bytes", limit)
}

/// `SCANNER_DOWN` with when to try again.
pub fn scanner_down() -> Refusal {
    Refusal::new(Reason::ScannerDown).retry_after(std::time::Duration::from_secs(10))
}

/// What the commit message says, and what arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Bytes counted.
    pub size: u64,
    /// Their hash.
    pub sha256: Sha256,
    /// The size the commit message declares.
    pub commit_size: Option<u64>,
    /// The hash the commit message declares.
    pub commit_sha256: Option<Sha256>,
}

/// Check 10: what was declared holds, and there is something.
pub fn complete(declared: &Declared, received: &Received) -> Result<(), Refusal> {
    for size in [declared.size, received.commit_size].into_iter().flatten() {
        if size != received.size {
            return Err(Refusal::new(Reason::SizeMismatch)
                .because(format!("{size} bytes were declared, {} arrived", received.size))
                .with("declared_bytes", size)
                .with("received_bytes", received.size));
        }
    }
    if received.size == 0 {
        return Err(Reason::Empty.into());
    }
    if [declared.sha256, received.commit_sha256].into_iter().flatten().any(|sha| sha != received.sha256) {
        return Err(
            Refusal::new(Reason::ChecksumMismatch).because("the declared SHA-256 is not that of the bytes received")
        );
    }
    Ok(())
}

/// Proof that the content is what the name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    admitted: Admitted,
    received: Received,
    observed: Observed,
}

impl Accepted {
    /// Its bytes need a verdict.
    pub const fn scan_due(&self) -> bool {
        self.admitted.scan_due
    }
    /// What arrived.
    pub const fn received(&self) -> &Received {
        &self.received
    }
}

/// Checks 10 to 12: declared size and hash hold, the content agrees with the extension, an image is not a flood.
/// What is wrong with an archive counts only where a scan is due: [`clear`] judges it with the verdict.
pub fn accept(admitted: Admitted, received: Received, observed: Observed) -> Result<Accepted, Refusal> {
    complete(&admitted.declared, &received)?;
    media_type::agrees(admitted.extension.as_str(), &observed).map_err(|d: Disagreement| {
        Refusal::new(Reason::TypeMismatch).because(d.to_string()).with("extension", &admitted.extension)
    })?;
    if observed.has_too_many_pixels() {
        let limit = media_type::MAX_PIXELS;
        return Err(Refusal::new(Reason::ImageTooLarge)
            .because(format!("the image has more than {limit} pixels"))
            .with("limit_pixels", limit));
    }
    Ok(Accepted { admitted, received, observed })
}

/// What is known of the bytes when it comes to clearing them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// No scan was due.
    NotDue,
    /// The scanner (now or before, under the current signatures) found nothing.
    Clean,
    /// A signature matched.
    Found {
        /// Its name.
        signature: String,
        /// When the signatures were made, if that is known.
        made: Option<Time>,
    },
    /// A signature matched that does not count: it is ignored, or released.
    Released {
        /// Its name.
        signature: String,
    },
    /// The scanner could not judge it.
    Unscannable {
        /// Why.
        cause: String,
    },
}

/// Proof that a file may be stored, with all that its rows need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    /// What was declared.
    pub declared: Declared,
    /// Its name.
    pub name: DisplayName,
    /// Its extension.
    pub extension: Extension,
    /// What we serve it as.
    pub media_type: &'static str,
    /// Maintenance never deletes it.
    pub persistent: bool,
    /// Pixels of an image.
    pub pixels: Option<(u32, u32)>,
    /// Hash and size.
    pub received: Received,
    /// The verdict to be stored.
    pub verdict: VerdictKind,
    /// What was found and does not count.
    pub signature: Option<String>,
    /// Only [`clear`] makes one.
    _proof: (),
}

/// What does the verdict mean under these settings? `INFECTED`, `UNSCANNABLE`, or cleared.
pub fn clear(accepted: Accepted, finding: Finding, settings: &Settings) -> Result<Cleared, Refusal> {
    let Accepted { admitted, received, observed } = accepted;
    let unscannable = |cause: &str| {
        Refusal::new(Reason::Unscannable)
            .because(format!("the file cannot be scanned ({cause}), so it is not stored"))
            .with("cause", cause)
    };
    let trouble = observed.archive.filter(|_| admitted.scan_due);
    let signature = match &finding {
        Finding::Released { signature } => Some(signature.clone()),
        Finding::NotDue | Finding::Clean | Finding::Found { .. } | Finding::Unscannable { .. } => None,
    };
    let verdict = match finding {
        Finding::Found { signature, made: _ } => {
            return Err(Refusal::new(Reason::Infected)
                .because(format!("the file is infected: {signature}"))
                .with("signature", signature));
        }
        Finding::NotDue if admitted.scan_due => return Err(scanner_down()),
        Finding::NotDue => VerdictKind::NotScanned,
        Finding::Released { .. } => VerdictKind::Released,
        Finding::Clean if trouble.is_none() => VerdictKind::Clean,
        Finding::Clean | Finding::Unscannable { .. }
            if settings.antivirus_unscannable == AntivirusUnscannable::Accept =>
        {
            VerdictKind::UnscannableAccepted
        }
        Finding::Unscannable { cause } => return Err(unscannable(&cause)),
        Finding::Clean => return Err(unscannable(trouble.map_or("", media_type::ArchiveTrouble::cause))),
    };
    Ok(Cleared {
        media_type: media_type::served_as(admitted.extension.as_str()).media_type,
        declared: admitted.declared,
        name: admitted.name,
        extension: admitted.extension,
        persistent: admitted.persistent,
        pixels: observed.pixels,
        received,
        verdict,
        signature,
        _proof: (),
    })
}

/// An archive in trouble need not be sent to the scanner when the answer is no whatever it says: what to find instead.
pub fn find_without_scan(accepted: &Accepted, settings: &Settings) -> Option<Finding> {
    if !accepted.scan_due() {
        return Some(Finding::NotDue);
    }
    let trouble = accepted.observed.archive?;
    (settings.antivirus_unscannable == AntivirusUnscannable::Refuse)
        .then(|| Finding::Unscannable { cause: trouble.cause().to_owned() })
}

/// Check 16, inside the transaction that commits: the chat judged again. A deleted chat takes nothing; a closed one a
/// visitor's upload only within the grace, operators' and services' always.
pub fn judge_again(kind: CallerKind, chat: Option<&Chat>, grace_secs: i64, now: Time) -> Result<(), Refusal> {
    let chat = chat.filter(|c| !c.deleted).ok_or_else(Refusal::not_found)?;
    match kind {
        CallerKind::Visitor if !chat.is_open_or_in_grace(now, grace_secs) => Err(Reason::ChatClosed.into()),
        CallerKind::Visitor | CallerKind::Operator | CallerKind::Service => Ok(()),
    }
}

#[cfg(test)]
mod tests;
