//! Introduces a move to what it moves: the configured database and store, and those that it goes to.
//!
//! Not here: the order of a move (`app/moving.rs`) and what people see of it (`cli/migrate/`).

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ServeError, blobs,
    database::{self, Database},
};
use crate::{
    adapters::{
        blobs::{S3Blobs, SpoolLimits, open as open_disk, open_beside},
        sql::{DatabaseAt, OneMove, Steps, tables},
    },
    app::moving::{BlobsMove, BlobsMoved, DatabaseMove, DatabaseMoved, MoveError, Progress, Switch, Until},
    config::{Config, S3Config},
    ports::{BlobStore, BlobTarget, MovedStore, Spool, SystemClock, SystemIds},
};

/// The folder of a move in the data folder: its lock, and what is on its way to a bucket. Gone after it.
const FOLDER: &str = "moving";

/// Why a move does not begin, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum MovingError {
    /// What it needs cannot be opened.
    #[error("{0}")]
    Open(#[from] ServeError),
    /// It cannot be, or failed.
    #[error("{0}")]
    Move(#[from] MoveError),
    /// It is asked for in a way that makes no sense.
    #[error("{0}")]
    Usage(String),
}

fn refused<T>(why: impl Into<String>) -> Result<T, MovingError> {
    Err(MoveError::Refused(why.into()).into())
}

/// What this version's tables ask of the configured database.
///
/// # Errors
/// It does not answer.
pub async fn schema_steps(config: &Config) -> Result<Steps, MovingError> {
    Ok(database::at(config).steps().await.map_err(ServeError::from)?)
}

/// Makes or migrates the tables of the configured database.
///
/// # Errors
/// It does not answer, or a step failed.
pub async fn migrate_schema(config: &Config) -> Result<(), MovingError> {
    let private = DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
    private.map_err(|e| ServeError::Data(config.data_dir.clone(), e.to_string()))?;
    Database::open(config).await?.close().await;
    Ok(())
}

/// What is moved, with its database open.
pub struct House {
    config: Config,
    at: DatabaseAt,
    database: Database,
    folder: PathBuf,
    _lock: File,
    _alone: OneMove,
}

impl House {
    /// Opens the configured database, which must be there, beside the servers that run on it.
    ///
    /// # Errors
    /// It is not there, does not answer or is of a newer version; another move is under way.
    pub async fn open(config: Config) -> Result<Self, MovingError> {
        let at = database::at(&config);
        if let DatabaseAt::Sqlite(file) = &at
            && !file.exists()
        {
            return refused(format!("there is no database {}: check --config and --data-dir", file.display()));
        }
        refuse_newer(&at, "the database").await?;
        let folder = config.data_dir.join(FOLDER);
        let bad = |e: &dyn std::fmt::Display| ServeError::Data(folder.clone(), e.to_string());
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|e| bad(&e))?;
        let lock = File::create(folder.join("lock")).map_err(|e| bad(&e))?;
        lock.try_lock().map_err(|_| bad(&"another move is under way: wait for its end"))?;
        let alone = at.begin_move().await.map_err(ServeError::from)?;
        let Some(alone) = alone else { return refused("another move of this database is under way: wait for its end") };
        let database = Database::open_at(at.clone()).await?;
        Ok(Self { config, at, database, folder, _lock: lock, _alone: alone })
    }

    /// Its `read_only`.
    pub fn switch(&self) -> Switch {
        Switch::new(self.store(), Arc::new(SystemClock))
    }

    fn store(&self) -> Arc<dyn MovedStore> {
        self.database.moved()
    }

    /// An orderly end: nothing of the move stays in the data folder.
    pub async fn close(self) {
        self.database.close().await;
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "the folder of the move stays");
        }
    }

    /// Moves the database to a URL.
    ///
    /// # Errors
    /// See [`MovingError`].
    pub async fn move_database(
        &self,
        to: &str,
        until: Until,
        switch: &Switch,
        progress: &dyn Progress,
    ) -> Result<DatabaseMoved, MovingError> {
        let target = self.database_target(to)?;
        if target == self.at {
            return refused("source and target are the same database");
        }
        refuse_newer(&target, "the target").await?;
        if let DatabaseAt::Sqlite(file) = &target
            && let Some(folder) = file.parent()
        {
            let private = DirBuilder::new().recursive(true).mode(0o700).create(folder);
            private.map_err(|e| ServeError::Data(folder.to_owned(), e.to_string()))?;
        }
        Database::open_at(target.clone()).await?.close().await;
        let from = self.at.session().await.map_err(ServeError::from)?;
        let to = target.session().await.map_err(MoveError::Target)?;
        let tables = tables().map_err(ServeError::from)?;
        let work = DatabaseMove { from, to, tables, switch, ids: Arc::new(SystemIds), progress };
        Ok(work.run(until).await?)
    }

    fn database_target(&self, to: &str) -> Result<DatabaseAt, MovingError> {
        if to.starts_with("postgres://") || to.starts_with("postgresql://") {
            return Ok(DatabaseAt::Postgres(to.to_owned()));
        }
        let folder = match to.strip_prefix("sqlite") {
            Some("") => Some(self.config.data_dir.clone()),
            Some(rest) => rest.strip_prefix("://").or(rest.strip_prefix(':')).map(PathBuf::from),
            None => None,
        };
        let what = "--to is none of postgres://USER:PASSWORD@HOST/NAME, sqlite (in the data folder of the \
                    configuration) and sqlite:///DATA_FOLDER";
        let folder = folder.filter(|f| !f.as_os_str().is_empty()).ok_or_else(|| MovingError::Usage(what.into()))?;
        if folder.is_file() {
            return Err(MovingError::Usage(format!("{} is a file: name the data folder", folder.display())));
        }
        Ok(database::in_folder(&resolved(&folder)))
    }

    /// Moves the bytes to a URL; `s3` says who we are at a bucket.
    ///
    /// # Errors
    /// See [`MovingError`].
    pub async fn move_blobs(
        &self,
        to: &str,
        s3: S3Config,
        (until, verify): (Until, bool),
        switch: &Switch,
        progress: &dyn Progress,
    ) -> Result<BlobsMoved, MovingError> {
        let target = self.blobs_target(to, s3)?;
        let place = blobs::told_place(&target)?;
        if place == blobs::told_place(&self.config)? {
            return refused("source and target are the same store of bytes");
        }
        let reserve_percent = self.config.spool.reserve_percent;
        // What is on its way is bounded by the move itself.
        let limits = SpoolLimits { budget_bytes: u64::MAX, reserve_percent };
        let opened =
            |root: &Path| open_disk(root, limits).map_err(|e| ServeError::Data(root.to_owned(), e.to_string()));
        let (spool, own) = opened(&self.folder)?;
        let spool: Arc<dyn Spool> = Arc::new(spool);
        let bad = |e: crate::ports::BlobError| ServeError::Blobs(e.to_string());
        let from: Arc<dyn BlobStore> = match blobs::place(&self.config)? {
            Some(place) => Arc::new(S3Blobs::new(&place, Arc::clone(&spool)).map_err(bad)?),
            None => Arc::new(open_beside(&self.config.data_dir).map_err(bad)?),
        };
        let (to, spool, room): (Arc<dyn BlobTarget>, _, _) = match blobs::place(&target)? {
            Some(place) => (Arc::new(S3Blobs::new(&place, Arc::clone(&spool)).map_err(bad)?), spool, None),
            None => {
                let (spool, disk) = opened(&target.data_dir)?;
                let room = spool.room_bytes();
                (Arc::new(disk), Arc::new(spool) as Arc<dyn Spool>, Some(room))
            }
        };
        drop(own);
        let work = BlobsMove { store: self.store(), from, to, place, spool, room, verify, switch, progress };
        Ok(work.run(until).await?)
    }

    fn blobs_target(&self, to: &str, s3: S3Config) -> Result<Config, MovingError> {
        if to.starts_with("s3://") {
            return self.config.with_blobs_at(to, s3).map_err(|e| MovingError::Usage(format!("the target: {e}")));
        }
        let folder = to.strip_prefix("file://").or_else(|| to.strip_prefix("file:")).filter(|f| !f.is_empty());
        let what = "--to is neither s3://BUCKET/PREFIX nor file:///DATA_FOLDER";
        let folder = Path::new(folder.ok_or_else(|| MovingError::Usage(what.into()))?);
        // Before its name is looked at: what it is called must not change once it is there.
        let private = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        private.map_err(|e| ServeError::Data(folder.to_owned(), e.to_string()))?;
        Ok(self.config.with_blobs_in(resolved(folder)))
    }
}

/// The folder by its own name, as far as it is there.
fn resolved(folder: &Path) -> PathBuf {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    absolute.canonicalize().unwrap_or(absolute)
}

async fn refuse_newer(at: &DatabaseAt, what: &str) -> Result<(), MovingError> {
    let Steps { unknown, .. } = at.steps().await.map_err(ServeError::from)?;
    match unknown.first() {
        None => Ok(()),
        Some(step) => refused(format!(
            "{what} has tables of a newer version of lhfile (step {step}), which this one would not copy: use that version"
        )),
    }
}
