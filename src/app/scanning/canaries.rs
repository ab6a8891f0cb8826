//! Sends the scanner files whose verdicts are known, and tells which came back wrong.
//!
//! Not here: the files themselves, which the scanner's adapter makes, and when they are sent (`watch` in the parent).

use std::{sync::Arc, time::Duration};

use crate::ports::{Expect, ScanReply, Scanner};

/// How one canary fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryResult {
    /// Which.
    pub name: &'static str,
    /// What had to come back.
    pub expected: &'static str,
    /// What came back, for people.
    pub got: String,
    /// Whether they agree.
    pub passed: bool,
}

/// Longest a canary may take.
const CANARY_DEADLINE: Duration = Duration::from_secs(20);

/// All of them, one after the other; stops at the first that gets no answer at all.
pub async fn run(scanner: &dyn Scanner) -> Vec<CanaryResult> {
    let mut results = Vec::new();
    for canary in scanner.canaries() {
        let reply = scanner.scan(Arc::new(canary.bytes.clone()), CANARY_DEADLINE).await;
        let answered = reply.is_ok();
        results.push(CanaryResult {
            name: canary.name,
            expected: expected(canary.expect),
            passed: reply.as_ref().is_ok_and(|r| canary.expect.agrees(r)),
            got: match reply {
                Ok(ScanReply::Clean) => "CLEAN".to_owned(),
                Ok(ScanReply::Found { signature }) => format!("INFECTED ({signature})"),
                Ok(ScanReply::Unscannable { cause }) => format!("UNSCANNABLE ({cause})"),
                Err(error) => error.to_string(),
            },
        });
        if !answered {
            break;
        }
    }
    results
}

/// What had to come back, as the answers are written.
const fn expected(expect: Expect) -> &'static str {
    match expect {
        Expect::Clean => "CLEAN",
        Expect::Infected => "INFECTED",
        Expect::Unscannable => "UNSCANNABLE",
    }
}
