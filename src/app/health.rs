//! Which parts of the service work: asked for beside the calls, told by the health service.
//!
//! Not here: the protocol of health (`rpc/health.rs`). The process serves even while the scanner is down: downloads,
//! lists and deletes need none.

use std::time::Duration;

use tokio::sync::watch;

use super::{App, vitals};

/// A part that can be down on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Uploads are taken: everything they need works and the settings let them.
    Uploads,
    /// The scanner is proved.
    Scanner,
    /// The database answers.
    Database,
    /// The store of bytes answers.
    Blobs,
}

/// What works now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// See [`Part::Uploads`].
    pub uploads: bool,
    /// See [`Part::Scanner`].
    pub scanner: bool,
    /// See [`Part::Database`].
    pub database: bool,
    /// See [`Part::Blobs`].
    pub blobs: bool,
}

/// Where the last look is kept.
#[derive(Default)]
pub struct Board(watch::Sender<Health>);

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A store that does not answer within this is down.
const PATIENCE: Duration = Duration::from_secs(3);
/// The store of bytes is probed once in so many looks: a probe writes.
const BLOBS_EVERY: u32 = 15;

impl App {
    /// Health as it changes.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.0.subscribe()
    }

    pub(super) async fn watch_health(&self) {
        let mut blobs = true;
        let mut look = 0_u32;
        loop {
            if look.is_multiple_of(BLOBS_EVERY) || !blobs {
                blobs = matches!(tokio::time::timeout(PATIENCE, self.blobs.probe()).await, Ok(Ok(())));
            }
            look = look.wrapping_add(1);
            let database = matches!(tokio::time::timeout(PATIENCE, self.store.ping()).await, Ok(Ok(())));
            let scanner = self.scanning.is_healthy();
            let settings = self.settings();
            let room = self.spool.room_bytes();
            let writable = self.need_writable().is_ok();
            let uploads = database && blobs && room > 0 && writable && (scanner || !settings.antivirus_enabled);
            let now = Health { uploads, scanner, database, blobs };
            vitals::tell_health(now, room, settings.antivirus_enabled, &self.scanning.subscribe().borrow());
            self.health.0.send_if_modified(|known| std::mem::replace(known, now) != now);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
