//! What the rescan asks of the scanners: by what they judge, whether one has a slot that no upload needs, and whether they
//! work again.
//!
//! Not here: the verdicts (the parent module), and what kills a scanner (`app/judging.rs`).

use std::time::Duration;

use super::{Member, ScannerState, Scanning};
use crate::domain::{Refusal, Time, quarantine::Target};

/// How often a slot is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Member {
    /// A slot is free, and another one for the next upload where there are several.
    fn has_spare(&self) -> bool {
        let least = if self.total > 1 { 2 } else { 1 };
        self.total.saturating_sub(self.used()) >= least
    }
}

impl Scanning {
    /// The signatures that may judge now.
    ///
    /// # Errors
    /// `SCANNER_DOWN`.
    pub fn judging(&self) -> Result<Target, Refusal> {
        self.current().map(|version| Target::from(&version))
    }

    /// Waits until a scanner that judges by these signatures has a slot to spare; `false`: none had in time, or none does
    /// any more.
    pub async fn wait_spare(&self, target: &Target, within: Duration) -> bool {
        let until = tokio::time::Instant::now() + within;
        while tokio::time::Instant::now() < until {
            let Ok(version) = self.current() else { return false };
            if Target::from(&version) != *target {
                return false;
            }
            if self.members.iter().any(|member| member.judges_with(&version) && member.has_spare()) {
                return true;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        false
    }

    /// Waits until the canaries have come back right once more after that time.
    pub async fn is_proved_after(&self, since: Time, within: Duration) -> bool {
        let mut state = self.subscribe();
        let again = state.wait_for(|state| matches!(state, ScannerState::Proved { at, .. } if *at > since));
        tokio::time::timeout(within, again).await.is_ok_and(|again| again.is_ok())
    }
}
