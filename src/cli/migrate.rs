//! `lhfile migrate`: the tables up to date; the database, or the files, to another place while servers go on.
//!
//! These commands read the server's configuration, as `lhfile serve` does, and speak to database and store themselves. Not
//! here: what a move does (`app/moving.rs`), how far it is (`migrate/progress.rs`) and what is to be done after it
//! (`migrate/afterwards.rs`).

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, failure::Failure, output, question, token::Place};
use crate::{
    app::moving::{BlobsMoved, Compared, DatabaseMoved, Loss, Switch, TakenBack, Until},
    config::{Config, Overrides},
    server::moving::{self, House, MovingError},
};

mod afterwards;
mod progress;

use progress::Told;

/// What is migrated.
#[derive(Debug, Subcommand)]
pub enum Migrate {
    /// Make the database's tables those of this version; servers do it at their start, too
    Schema(Schema),
    /// Move the database: postgres://USER:PASSWORD@HOST/NAME, or sqlite:///DATA_FOLDER
    Database(MoveDatabase),
    /// Move the files: s3://BUCKET/PREFIX, or file:///DATA_FOLDER
    Blobs(MoveBlobs),
}

/// The tables.
#[derive(Debug, Args)]
pub struct Schema {
    /// Change nothing; exit with 1 if there is something to do
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    place: Place,
}

/// Where to, and how far.
#[derive(Debug, Args)]
pub struct Way {
    /// Where to
    #[arg(long, value_name = "URL", env = "LHFILE_TO", hide_env_values = true)]
    to: String,
    /// Copy as far as that goes while servers serve, and do not switch
    #[arg(long)]
    prepare: bool,
    /// Switch without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// The database.
#[derive(Debug, Args)]
pub struct MoveDatabase {
    #[command(flatten)]
    way: Way,
}

/// The files.
#[derive(Debug, Args)]
pub struct MoveBlobs {
    #[command(flatten)]
    way: Way,
    /// Read at the target what was copied by an earlier run, and compare it
    #[arg(long)]
    verify: bool,
    /// A configuration whose section s3 says who we are at the target, instead of the server's own
    #[arg(long, value_name = "FILE")]
    to_config: Option<PathBuf>,
}

impl From<MovingError> for Failure {
    fn from(error: MovingError) -> Self {
        match error {
            MovingError::Usage(why) => Self::Usage(why),
            MovingError::Open(_) | MovingError::Move(_) => Self::Failed(error.to_string()),
        }
    }
}

impl Migrate {
    /// Migrates. The exit code is 1 if something is left to do, or was lost.
    pub async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        match self {
            Self::Schema(schema) => schema.run(context).await,
            Self::Database(database) => database.run(context).await,
            Self::Blobs(blobs) => blobs.run(context).await,
        }
    }
}

impl Schema {
    async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let config = self.place.load()?;
        let steps = moving::schema_steps(&config).await?;
        if !self.check && !steps.pending.is_empty() {
            moving::migrate_schema(&config).await?;
        }
        let told = match (self.check, steps.pending.is_empty()) {
            (_, true) => "the tables are those of this version: nothing is to be done".to_owned(),
            (true, false) => format!("to be done: {}", steps.pending.join(", ")),
            (false, false) => format!("done: {}", steps.pending.join(", ")),
        };
        let newer = if steps.unknown.is_empty() {
            String::new()
        } else {
            format!("; and there are steps of a newer version: {}", steps.unknown.join(", "))
        };
        if context.json {
            let done = !self.check && !steps.pending.is_empty();
            output::line(&json!({"steps": steps.pending, "done": done, "newer": steps.unknown}).to_string())?;
        } else {
            output::line(&(told + &newer))?;
        }
        Ok(if self.check && !steps.pending.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Way {
    /// How far; asks where somebody is there to answer.
    fn until(&self, what: &str) -> Result<Until, Failure> {
        if self.prepare {
            return Ok(Until::Prepared);
        }
        if self.yes {
            return Ok(Until::Switched);
        }
        let asks = format!(
            "When {what} copied, read_only is set: uploads and changes are refused until each node was restarted with a \
             new configuration. Downloads go on."
        );
        question::must_agree(&asks, "Say --yes, or --prepare to copy only")?;
        Ok(Until::Switched)
    }
}

/// Runs a move to its end, or until somebody interrupts it; then `read_only` is taken back if it is the move's own.
async fn to_its_end<T>(
    work: impl Future<Output = Result<T, MovingError>>,
    switch: &Switch,
    told: &Told,
) -> Result<T, Failure> {
    let signalled = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let mut terminated = signalled.map_err(Failure::failed("signals"))?;
    let outcome = tokio::select! {
        outcome = Box::pin(work) => outcome.map_err(Failure::from),
        _ = tokio::signal::ctrl_c() => Err(Failure::Failed("interrupted; the next run goes on from here".to_owned())),
        _ = terminated.recv() => Err(Failure::Failed("interrupted; the next run goes on from here".to_owned())),
    };
    told.clear();
    if outcome.is_err() {
        match switch.take_back().await {
            Ok(TakenBack::Yes) => eprintln!("read_only is off again: uploads go on here"),
            Ok(TakenBack::NotOurs) => {}
            Ok(TakenBack::PerhapsSwitched) => eprintln!(
                "read_only stays on, because the switch may have been made: run the same command again, which tells"
            ),
            Err(error) => eprintln!("read_only could not be taken back ({error}): lhfile settings set read_only false"),
        }
    }
    outcome
}

impl MoveDatabase {
    async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let until = self.way.until("the rows are")?;
        let config = self.way.place.load()?;
        let house = House::open(config.clone()).await?;
        let (switch, told) = (house.switch(), Told::new(context.json));
        let work = house.move_database(&self.way.to, until, &switch, &told);
        let outcome = to_its_end(work, &switch, &told).await;
        drop(switch);
        house.close().await;
        let (moved, compared) = match outcome? {
            DatabaseMoved::Prepared => ("prepared", Vec::new()),
            DatabaseMoved::Switched(compared) => ("switched", compared),
            DatabaseMoved::Before(compared) => ("moved before", compared),
        };
        if context.json {
            let tables: Vec<_> = compared.iter().map(table_json).collect();
            output::line(&json!({"moved": moved, "tables": tables}).to_string())?;
        } else {
            if !compared.is_empty() {
                let hash = |table: &Compared| data_encoding::HEXLOWER.encode(&table.sha256);
                let rows = compared.iter().map(|t| vec![t.table.clone(), t.rows.to_string(), hash(t)]);
                output::line(&output::table(&["TABLE", "ROWS", "SHA-256, THE SAME ON BOTH SIDES"], rows))?;
            }
            output::line(&afterwards::database(moved, &config, &self.way.to))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table_json(table: &Compared) -> serde_json::Value {
    json!({"table": table.table, "rows": table.rows, "sha256": data_encoding::HEXLOWER.encode(&table.sha256)})
}

impl MoveBlobs {
    async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let until = self.way.until("the files are")?;
        let config = self.way.place.load()?;
        let s3 = match &self.to_config {
            None => config.s3.clone(),
            Some(file) => {
                let other = Config::load(Some(file), &Overrides::default());
                other.map_err(|error| Failure::Failed(format!("--to-config: {error}")))?.s3
            }
        };
        let house = House::open(config.clone()).await?;
        let (switch, told) = (house.switch(), Told::new(context.json));
        let work = house.move_blobs(&self.way.to, s3, (until, self.verify), &switch, &told);
        let outcome = to_its_end(work, &switch, &told).await;
        drop(switch);
        house.close().await;
        let (moved, losses) = match outcome? {
            BlobsMoved::Prepared(losses) => ("prepared", losses),
            BlobsMoved::Switched(losses) => ("switched", losses),
            BlobsMoved::Before => ("moved before", Vec::new()),
        };
        if context.json {
            let lost: Vec<_> = losses.iter().map(|l| json!({"key": l.key.to_string(), "why": l.why})).collect();
            output::line(&json!({"moved": moved, "lost": lost}).to_string())?;
        } else {
            for Loss { key, why, .. } in &losses {
                output::line(&output::printable(&format!("not copied: {key}: {why}")))?;
            }
            output::line(&afterwards::blobs(moved, &losses, &config, &self.way.to))?;
        }
        Ok(if losses.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
