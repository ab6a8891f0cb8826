//! How long a command waits for a server that was there, and answers no more: one that starts again, a connection that grew
//! too old.
//!
//! Not here: the connection itself (`client.rs`), which is made again by itself.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::failure::Failure;

/// How long a server may be out of reach.
const LONGEST: Duration = Duration::from_secs(300);
/// Between two questions.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Since when nothing is heard.
#[derive(Debug, Default)]
pub struct Patience(Option<Instant>);

impl Patience {
    /// Something was heard.
    pub fn heard(&mut self) {
        self.0 = None;
    }

    /// Waits before the same is asked again.
    ///
    /// # Errors
    /// The failure, if it is none that passes, or if it took too long.
    pub async fn wait_after(&mut self, failure: Failure) -> Result<(), Failure> {
        let lost = *self.0.get_or_insert_with(Instant::now);
        if !passes(&failure) || lost.elapsed() > LONGEST {
            return Err(failure);
        }
        sleep(ASK_EVERY).await;
        Ok(())
    }
}

/// Whether the same question may be answered soon.
fn passes(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable(_) => true,
        Failure::Refused(refused) => {
            matches!(refused.reason.as_str(), "LEAVING" | "DATABASE_DOWN" | "STORE_DOWN" | "DEADLINE_PASSED")
        }
        Failure::Failed(_) | Failure::Usage(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Refused;

    #[tokio::test(start_paused = true)]
    async fn server_out_of_reach_is_waited_for_and_a_refusal_is_not() {
        let away = || Failure::Unreachable("gone".to_owned());
        let mut patience = Patience::default();
        let mut waited = 0_u32;
        while patience.wait_after(away()).await.is_ok() {
            waited += 1;
            if waited == 100 {
                patience.heard();
            }
        }
        assert!((395..=410).contains(&waited), "{waited}");
        for (reason, is_waited_for) in [("STORE_DOWN", true), ("DATABASE_DOWN", true), ("READ_ONLY", false)] {
            let (code, reason) = ("UNAVAILABLE", reason.to_owned());
            let refused = Refused { code, reason, message: String::new(), metadata: Vec::new() };
            let waited = Patience::default().wait_after(Failure::Refused(Box::new(refused))).await;
            assert_eq!(waited.is_ok(), is_waited_for, "{waited:?}");
        }
        let failed = Patience::default().wait_after(Failure::Failed("no".to_owned())).await;
        assert_eq!(failed.expect_err("it stays so").exit_code(), 1);
    }
}
