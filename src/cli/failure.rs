//! How a command ends when it does not end well: the exit code, one line for people, one JSON object for programs.
//!
//! Not here: what a server refuses (`domain/refusal.rs`); this only reads it.

use std::{error::Error, fmt::Display};

use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{domain::Reason, rpc::status::code_name};

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// It went wrong here. Exit code 1.
    Failed(String),
    /// It was asked for in a way that makes no sense. Exit code 2.
    Usage(String),
    /// The server says no. Exit code 3.
    Refused(Box<Refused>),
    /// No server answers. Exit code 4.
    Unreachable(String),
}

/// A server's no.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The gRPC code, e.g. `INVALID_ARGUMENT`.
    pub code: &'static str,
    /// The reason, e.g. `INFECTED`. Empty: it told none.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Facts by key, sorted.
    pub metadata: Vec<(String, String)>,
}

impl Failure {
    /// For `map_err`: what went wrong here, with its cause.
    pub fn failed<E: Display>(what: impl Display) -> impl FnOnce(E) -> Self {
        move |cause| Self::Failed(format!("{what}: {cause}"))
    }

    /// The process's exit code.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::Unreachable(_) => 4,
        }
    }

    /// The server's reason, if it refused.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(refused) => Some(&refused.reason),
            Self::Failed(_) | Self::Usage(_) | Self::Unreachable(_) => None,
        }
    }

    /// One line for people: what, and what to do next.
    pub fn as_line(&self) -> String {
        match self {
            Self::Failed(message) => format!("failed: {message}"),
            Self::Usage(message) => format!("usage: {message}"),
            Self::Unreachable(message) => {
                format!(
                    "not reachable: {message}; is `lhfile serve` running, is --addr (LHFILE_ADDR) right, and does it ask \
                     for a certificate (--client-cert)?"
                )
            }
            Self::Refused(refused) => refused.as_line(),
        }
    }

    /// One JSON object: `code`, `reason`, `message`, `metadata`.
    pub fn as_json(&self) -> String {
        let plain = |code: &str, message: &str| json!({"code": code, "reason": "", "message": message, "metadata": {}});
        let value = match self {
            Self::Failed(message) => plain("FAILED", message),
            Self::Usage(message) => plain("USAGE", message),
            Self::Unreachable(message) => plain("UNREACHABLE", message),
            Self::Refused(refused) => {
                let metadata: serde_json::Map<_, _> =
                    refused.metadata.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
                json!({"code": refused.code, "reason": refused.reason, "message": refused.message, "metadata": metadata})
            }
        };
        value.to_string()
    }
}

impl Refused {
    fn as_line(&self) -> String {
        let name = if self.reason.is_empty() { self.code } else { &self.reason };
        let mut line = format!("refused: {name}: {}", self.message);
        if !self.metadata.is_empty() {
            let facts: Vec<_> = self.metadata.iter().map(|(k, v)| format!("{k}={v}")).collect();
            line += &format!(" ({})", facts.join(", "));
        }
        if let Some(next) = next_step(&self.reason) {
            line += &format!("; {next}");
        }
        line
    }
}

/// What a person can do about a reason, where the message does not say it.
fn next_step(reason: &str) -> Option<&'static str> {
    let reason = Reason::ALL.iter().find(|known| known.name() == reason)?;
    Some(match reason {
        Reason::BadCredential => "give one by --token or LHFILE_TOKEN; `lhfile token` mints one",
        Reason::MissingPermission => "`lhfile token --permission …` mints a token that has it",
        Reason::ChatUnknown => "`lhfile chat put ID --status active` does",
        Reason::NotFound => "check the id, and whether the token names the chat (--chat)",
        Reason::TypeNotAllowed => "`lhfile settings get` shows the lists of extensions",
        Reason::TooLarge => "`lhfile settings get max_file_bytes` shows the limit",
        Reason::ScannerDown => "`lhfile scanner status` and `lhfile doctor` say why",
        Reason::UploadsDisabled | Reason::DownloadNotAllowed => "`lhfile settings get` shows the rules",
        Reason::BadSetting => "`lhfile settings describe` shows types and bounds",
        Reason::EtagMismatch => "`lhfile show` tells the new etag",
        Reason::Infected | Reason::Unscannable => "`lhfile test-antivirus PATH --explain` tells more",
        Reason::Corrupt => "restore the file from a backup",
        Reason::RunInProgress => {
            "`lhfile maintenance show RUN_ID` tells how far it is, `maintenance cancel RUN_ID` ends it"
        }
        Reason::PlanExpired => "`lhfile maintenance plan` makes one",
        Reason::ConfirmationNeeded => {
            "`lhfile ls` with the same filters, or `lhfile maintenance plan PLAN_ID`, shows them"
        }
        Reason::ClockJumped => "`lhfile maintenance run --confirm-clock` confirms it",
        _ => return None,
    })
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        if let Some(info) = status.get_details_error_info() {
            let mut metadata: Vec<_> = info.metadata.into_iter().collect();
            metadata.sort();
            let message = status.message().to_owned();
            return Self::Refused(Box::new(Refused {
                code: code_name(status.code()),
                reason: info.reason,
                message,
                metadata,
            }));
        }
        let transport = std::iter::successors(status.source(), |cause| (*cause).source());
        let deepest = transport.last().map_or_else(|| status.message().to_owned(), ToString::to_string);
        match status.code() {
            Code::Unavailable => Self::Unreachable(deepest),
            // A connection that broke in the middle, or that a server closed to which we had to prove who we are.
            Code::Unknown | Code::Cancelled if status.source().is_some() => Self::Unreachable(deepest),
            Code::Unknown | Code::Internal | Code::Ok | Code::Cancelled | Code::DataLoss => {
                Self::Failed(format!("the server answers {}: {}", code_name(status.code()), status.message()))
            }
            code => Self::Refused(Box::new(Refused {
                code: code_name(code),
                reason: String::new(),
                message: status.message().to_owned(),
                metadata: Vec::new(),
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn infected() -> Failure {
        let details =
            ErrorDetails::with_error_info("INFECTED", "lhfile", [("signature".to_owned(), "Eicar".to_owned())]);
        Status::with_error_details(Code::InvalidArgument, "the file is infected: Eicar", details).into()
    }

    #[test]
    fn refusal_exits_3_with_one_line_or_one_object() {
        let failure = infected();
        assert_eq!((failure.exit_code(), failure.reason()), (3, Some("INFECTED")));
        let line = failure.as_line();
        assert!(line.starts_with("refused: INFECTED: the file is infected: Eicar (signature=Eicar)"), "{line}");
        assert!(!line.contains('\n'));
        let json: serde_json::Value = serde_json::from_str(&failure.as_json()).expect("an object");
        assert_eq!(
            json,
            json!({"code": "INVALID_ARGUMENT", "reason": "INFECTED", "message": "the file is infected: Eicar",
                   "metadata": {"signature": "Eicar"}})
        );
    }

    #[test]
    fn every_end_has_its_exit_code() {
        for (status, code) in [
            (Status::unavailable("connection refused"), 4),
            (Status::internal("request 7"), 1),
            (Status::unimplemented(""), 3),
            (Status::deadline_exceeded(""), 3),
        ] {
            assert_eq!(Failure::from(status.clone()).exit_code(), code, "{status}");
        }
        assert_eq!(Failure::Failed(String::new()).exit_code(), 1);
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
        assert!(Failure::Unreachable("no".to_owned()).as_line().contains("lhfile serve"));
    }

    #[test]
    fn connection_that_broke_is_not_an_answer_of_the_server() {
        for code in [Code::Unknown, Code::Cancelled] {
            let mut status = Status::new(code, "operation was canceled");
            assert_eq!(Failure::from(status.clone()).exit_code(), 1, "the server's own {code:?}");
            status.set_source(std::sync::Arc::new(std::io::Error::other("broken")));
            assert_eq!(Failure::from(status).exit_code(), 4, "{code:?}");
        }
    }

    #[test]
    fn unavailable_with_a_reason_is_a_refusal_and_not_a_dead_server() {
        let details = ErrorDetails::with_error_info("SCANNER_DOWN", "lhfile", [] as [(String, String); 0]);
        let failure: Failure = Status::with_error_details(Code::Unavailable, "down", details).into();
        assert_eq!((failure.exit_code(), failure.reason()), (3, Some("SCANNER_DOWN")));
    }
}
