//! Following what other nodes change: asked for every second or so, and at once when the store tells of it.
//!
//! Not here: what is followed (`settings.rs`, `keys.rs`).

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use super::App;
use crate::ports::Changes;

/// How often a stored version is asked for: a change is in force on every node within two seconds also where nobody
/// hears of it.
const POLL_EVERY: Duration = Duration::from_millis(900);

/// Between two looks.
pub(super) async fn pause(woken: &mut watch::Receiver<()>) {
    let every = crate::faults::poll_every(POLL_EVERY);
    // The sender lives as long as the application, whose task this is.
    drop(tokio::time::timeout(every, woken.changed()).await);
}

impl App {
    /// Told when something may have changed.
    pub(super) fn woken(&self) -> watch::Receiver<()> {
        self.woken.subscribe()
    }

    /// Wakes who follows, whenever the store tells of a change.
    pub(super) async fn hear(&self, changes: Arc<dyn Changes>) {
        loop {
            changes.next().await;
            self.woken.send_replace(());
        }
    }
}
