//! Where a configuration came from, for the one part of it that is read again while the process runs: the keys.
//!
//! Not here: the reading of all layers (`config.rs`), and when it is done again (`server/keys.rs`).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Config, ConfigError, Overrides};

/// The file and the command line of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    path: Option<PathBuf>,
    overrides: Overrides,
}

impl Origin {
    /// Of this file, if any.
    pub fn new(path: Option<&Path>, overrides: Overrides) -> Self {
        Self { path: path.map(Path::to_owned), overrides }
    }

    /// All layers, as they are now.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.path.as_deref(), &self.overrides)
    }

    /// What the file holds now, which is all that can change; nothing without a file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn content(&self) -> io::Result<Vec<u8>> {
        self.path.as_ref().map_or_else(|| Ok(Vec::new()), fs::read)
    }
}
