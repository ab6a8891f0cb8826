//! The pairs of database and store that are measured, and what each is made of.
//!
//! Not here: the servers themselves (`servers.rs`).

use std::path::PathBuf;

use lhfile::adapters::{
    blobs::S3Place,
    sql::{PostgresStore, SqliteStore},
};
use lhfile::ports::Store;

use crate::{
    Fallible,
    million::Words,
    servers::{Bucket, cluster},
};

/// A database and a store of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Pair {
    #[value(name = "sqlite+disk")]
    SqliteDisk,
    #[value(name = "postgres+s3")]
    PostgresS3,
}

/// One of each, for one server.
#[derive(Debug, Clone)]
pub enum Place {
    /// Both in the server's data folder.
    Folder,
    /// This database and this bucket.
    Servers { database: String, bucket: Bucket },
}

impl Pair {
    /// New ones, with nothing in them.
    pub fn place(self) -> Place {
        match self {
            Self::SqliteDisk => Place::Folder,
            Self::PostgresS3 => {
                Place::Servers { database: cluster().create_database("template0"), bucket: Bucket::new() }
            }
        }
    }

    /// How its database is spoken to.
    pub fn words(self) -> Words {
        match self {
            Self::SqliteDisk => Words::Sqlite,
            Self::PostgresS3 => Words::Postgres,
        }
    }
}

impl Place {
    /// As lines of a server's configuration, which come before its tables.
    pub fn lines(&self) -> Vec<String> {
        let Self::Servers { database, bucket } = self else { return Vec::new() };
        let mut lines = bucket.config(bucket.address());
        lines.insert(0, format!("database_url = {:?}", cluster().url(database)));
        lines
    }

    /// As the object store alone takes it.
    pub fn objects(&self) -> Option<S3Place> {
        match self {
            Self::Folder => None,
            Self::Servers { bucket, .. } => Some(bucket.place(bucket.address())),
        }
    }

    /// The database's URL, if it has one.
    pub fn database_url(&self) -> Option<String> {
        match self {
            Self::Folder => None,
            Self::Servers { database, .. } => Some(cluster().url(database)),
        }
    }

    /// The product's own store over it, without a server; SQLite's is in this file.
    pub async fn store(&self, file: PathBuf) -> Fallible<Box<dyn Store>> {
        Ok(match self.database_url() {
            None => Box::new(SqliteStore::open(&file)?),
            Some(url) => Box::new(PostgresStore::open(&url).await?),
        })
    }

    /// Runs statements past every server; SQLite's file is this one.
    pub fn run(&self, file: &std::path::Path, statements: &[String]) -> Fallible<()> {
        use diesel::{Connection as _, connection::SimpleConnection as _};
        for sql in statements {
            match self {
                Self::Folder => {
                    let path = file.to_str().ok_or("the path is not UTF-8")?;
                    diesel::SqliteConnection::establish(path)?.batch_execute(sql)?;
                }
                Self::Servers { database, .. } => drop(cluster().psql(database, sql)),
            }
        }
        Ok(())
    }
}
