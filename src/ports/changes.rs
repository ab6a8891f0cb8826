//! The port to what a store tells by itself: that another node changed what all of them follow.
//!
//! Not here: what is done then (`app/changes.rs`). Nobody relies on it: whoever follows something also asks for it, less
//! often.

use async_trait::async_trait;

/// Tells of changes of settings and keys.
#[async_trait]
pub trait Changes: Send + Sync + 'static {
    /// Waits until something may have changed since the last answer: another node said so, or could have without being
    /// heard. Goes on by itself after a failure, and may be dropped at any time.
    async fn next(&self);
}
