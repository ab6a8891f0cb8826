//! A run begun, and waited for if that is asked: whatever becomes of the connection meanwhile.
//!
//! Until the first answer it is asked for again under the same request id; from then on its id is known, and it is looked
//! at. Not here: how it is written (`telling.rs`).

use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use tokio::time::sleep;

use super::{Client, telling};
use crate::{
    cli::{Context, arguments::short_enum, failure::Failure, output, patience::Patience},
    ports::{Ids as _, SystemIds},
    rpc::pb,
};

/// Between two looks at a run whose stream has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

short_enum! {
    /// A piece of maintenance.
    Task: pb::MaintenanceTask {
        /// Delete files by the rule
        Expire,
        /// Purge what was deleted long enough ago, and bytes that no file needs
        Purge,
        /// End uploads that nobody stands behind any more
        AbortUploads,
        /// Remove bytes that no row names
        Sweep,
        /// Look for the bytes of files, and read some of them
        Check,
        /// Scan anew what other signatures have judged
        Rescan,
        /// Forget old runs, plans and request ids
        Trim,
    }
}

/// What to run.
#[derive(Debug, Args)]
pub struct Run {
    /// Delete what this plan found, instead of what the settings' rule finds
    #[arg(long, value_name = "PLAN_ID")]
    plan: Option<String>,
    /// The token that was shown with the plan, for one that deletes so many files that it has one
    #[arg(long, value_name = "TOKEN", requires = "plan")]
    confirm: Option<String>,
    /// Only this task; may be repeated
    #[arg(long = "task", value_name = "TASK", ignore_case = true)]
    tasks: Vec<Task>,
    /// A name for this run: asked for again under it, the same run is told
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Wait for the end; exit code 1 unless every task is done
    #[arg(long)]
    wait: bool,
    /// The clock is right although it is more than 48 hours ahead of what it was
    #[arg(long)]
    confirm_clock: bool,
}

impl Run {
    /// Begins it and prints its id; with `--wait` its tasks, once it has ended.
    pub async fn run(self, context: &Context, client: Client) -> Result<(), Failure> {
        let Self { plan, confirm, tasks, request_id, wait, confirm_clock } = self;
        let chance = || data_encoding::HEXLOWER.encode(&SystemIds.random());
        let request = pb::RunMaintenanceRequest {
            plan_id: plan.unwrap_or_default(),
            confirmation_token: confirm.unwrap_or_default(),
            tasks: tasks.into_iter().map(i32::from).collect(),
            request_id: request_id.unwrap_or_else(chance),
            confirm_clock,
        };
        let mut watched = Watched { client, request, known: None, stream: None, patience: Patience::default() };
        if !wait {
            let run = watched.next().await?;
            return output::one(context.json, "Run", &run, |run| run.run_id.clone());
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(200));
        let run = loop {
            let run = watched.next().await?;
            if context.json {
                output::line(&output::json("Run", &run))?;
            }
            if run.state() != pb::RunState::Running {
                break run;
            }
            bar.set_message(telling::progress(&run));
        };
        bar.finish_and_clear();
        if !context.json {
            output::line(&telling::run(&run))?;
        }
        match telling::next_step(&run) {
            None => Ok(()),
            Some(line) => Err(Failure::Failed(line)),
        }
    }
}

/// A run that is waited for.
struct Watched {
    client: Client,
    request: pb::RunMaintenanceRequest,
    /// The last that was heard.
    known: Option<pb::Run>,
    stream: Option<tonic::Streaming<pb::RunMaintenanceResponse>>,
    patience: Patience,
}

impl Watched {
    /// What is new of it.
    async fn next(&mut self) -> Result<pb::Run, Failure> {
        loop {
            match self.ask().await {
                Ok(Some(run)) => {
                    self.patience.heard();
                    let new = self.known.as_ref() != Some(&run);
                    self.known = Some(run.clone());
                    if new {
                        return Ok(run);
                    }
                }
                Ok(None) => self.patience.heard(),
                Err(failure) => {
                    self.stream = None;
                    self.patience.wait_after(failure).await?;
                    continue;
                }
            }
            if self.stream.is_none() {
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// The next message of its stream; or, once that has ended, the run as it is.
    async fn ask(&mut self) -> Result<Option<pb::Run>, Failure> {
        if let Some(stream) = &mut self.stream {
            return match stream.message().await? {
                Some(message) => output::expected(message.run).map(Some),
                None => {
                    self.stream = None;
                    Ok(None)
                }
            };
        }
        match &self.known {
            None => {
                let stream = self.client.run_maintenance(self.request.clone()).await?.into_inner();
                self.stream = Some(stream);
                Ok(None)
            }
            Some(known) => {
                let run_id = known.run_id.clone();
                let answer = self.client.get_run(pb::GetRunRequest { run_id }).await?.into_inner();
                output::expected(answer.run).map(Some)
            }
        }
    }
}
