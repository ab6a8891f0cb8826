//! Settings as every call sees them, and how they are changed: validated all or nothing, fitted to the scanner, seen
//! by every node within two seconds.
//!
//! Not here: the table and its bounds (`domain/settings.rs`).

use std::sync::Arc;

use tokio::sync::watch;

use super::{App, Error};
use crate::{
    domain::{Caller, Reason, Settings, StoreId, settings::SettingValue},
    ports::{Store, StoreError, StoredSettings},
};

/// The settings in force on this node.
pub struct Cache(watch::Sender<InForce>);

#[derive(Clone)]
struct InForce {
    settings: Arc<Settings>,
    version: i64,
    /// The files were moved to another store since this node started: what it took in now, nobody would find.
    moved: bool,
}

/// What is stored, and what a node with this store of bytes does by it.
async fn load(store: &dyn Store, own: StoreId) -> Result<(StoredSettings, InForce), StoreError> {
    let stored = store.load_settings().await?;
    // After them: `read_only` is lifted after the store was changed, never before.
    let claim = store.find_store_claim().await?;
    let elsewhere = claim.filter(|claim| claim.id != own);
    if let Some(claim) = &elsewhere {
        tracing::error!(
            place = claim.place,
            "the files were moved to another store: this node serves what it has and takes in nothing more; restart it \
             with the configuration of that store"
        );
    }
    let mut settings = stored.settings.clone();
    settings.read_only |= elsewhere.is_some();
    let in_force = InForce { settings: Arc::new(settings), version: stored.version, moved: elsewhere.is_some() };
    Ok((stored, in_force))
}

impl Cache {
    /// What is stored, for a node with this store of bytes.
    pub async fn load(store: &dyn Store, own: StoreId) -> Result<Self, StoreError> {
        let (_, in_force) = load(store, own).await?;
        Ok(Self(watch::Sender::new(in_force)))
    }

    fn get(&self) -> InForce {
        self.0.borrow().clone()
    }

    /// Newer ones only: a slow reader never brings back what a faster one replaced.
    fn offer(&self, loaded: InForce) {
        self.0.send_if_modified(move |known| {
            let newer = loaded.version > known.version;
            if newer {
                *known = loaded;
            }
            newer
        });
    }
}

impl App {
    /// The settings in force.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.get().settings
    }

    /// Every change but `UpdateSettings` asks this first.
    pub(super) fn need_writable(&self) -> Result<(), Error> {
        if self.settings.get().settings.read_only { Err(Reason::ReadOnly.into()) } else { Ok(()) }
    }

    /// This node's store of bytes is not the database's any more.
    pub(super) fn is_moved(&self) -> bool {
        self.settings.get().moved
    }

    /// The setting `maintenance_cron` in force, once it is another than `known`.
    pub async fn next_cron(&self, known: &str) -> String {
        let mut settings = self.settings.0.subscribe();
        let other = settings.wait_for(|in_force| in_force.settings.maintenance_cron != known).await;
        match other.map(|in_force| in_force.settings.maintenance_cron.clone()) {
            Ok(text) => text,
            // The sender is our own: it lives as long as this.
            Err(_) => std::future::pending().await,
        }
    }

    /// The settings as stored now.
    pub async fn get_settings(&self) -> Result<StoredSettings, Error> {
        let (stored, in_force) = load(&*self.store, self.store_id).await?;
        self.settings.offer(in_force);
        Ok(stored)
    }

    /// Changes some; all or nothing. Answers what is stored then.
    pub async fn update_settings(
        &self,
        caller: &Caller,
        changes: Vec<(&'static str, SettingValue)>,
        etag: Option<String>,
    ) -> Result<StoredSettings, Error> {
        let before = self.store.load_settings().await?;
        if etag.is_some_and(|etag| etag != settings_etag(before.version)) {
            return Err(Reason::EtagMismatch.into());
        }
        let mut after = before.settings.clone();
        for (key, value) in &changes {
            after.set(key, value.clone())?;
        }
        after.judge_together()?;
        let fitted = before.settings.antivirus_enabled && after.max_file_bytes <= before.settings.max_file_bytes;
        if after.antivirus_enabled && !fitted {
            // Before it is promised to anybody: the scanner takes it, or the setting is refused.
            self.scanning.fit(after.max_file_bytes.unsigned_abs()).await?;
        }
        let changed: Vec<_> = changes
            .into_iter()
            .filter(|(key, value)| before.settings.get(key).is_ok_and(|old| old != *value))
            .collect();
        if !changed.is_empty() {
            self.store.save_settings(changed, before.version, caller.into(), self.clock.now()).await?;
        }
        self.get_settings().await
    }

    /// Follows what other nodes store, and keeps the scanner fitted to it.
    pub(super) async fn watch_settings(&self) {
        let (mut fitted, mut told) = (None, None);
        let mut woken = self.woken();
        loop {
            match self.store.settings_version().await {
                Ok(version) if version > self.settings.get().version => {
                    if let Err(error) = self.get_settings().await {
                        tracing::error!(%error, "the settings could not be read: the last ones stay in force");
                    }
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "the settings' version could not be asked for"),
            }
            let settings = self.settings();
            let wanted = (settings.antivirus_enabled, settings.max_file_bytes);
            if settings.antivirus_enabled && fitted != Some(wanted) {
                match self.scanning.fit(settings.max_file_bytes.unsigned_abs()).await {
                    Ok(()) => fitted = Some(wanted),
                    Err(error) if told.replace(wanted) != Some(wanted) => {
                        tracing::warn!(%error, "the scanner is not fitted to max_file_bytes yet; it is tried again");
                    }
                    Err(error) => tracing::debug!(%error, "the scanner is still not fitted to max_file_bytes"),
                }
            }
            super::changes::pause(&mut woken).await;
        }
    }
}

/// The etag of a version of the settings.
pub fn settings_etag(version: i64) -> String {
    format!("{version:x}")
}
