//! `lhfile maintenance plan|run|runs|show|cancel|explain`: files deleted for their age, and all that is done besides.
//!
//! `maintenance/running.rs` begins a run and waits for it, `maintenance/telling.rs` writes plans and runs for people.
//! Not here: what is deleted (the server decides, by its settings).

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Context, arguments::short_enum, client::Authorized, failure::Failure, output, pages};
use crate::rpc::pb::{self, maintenance_service_client::MaintenanceServiceClient};

mod running;
mod telling;

type Client = MaintenanceServiceClient<Authorized>;

/// What to do with maintenance.
#[derive(Debug, Subcommand)]
pub enum Maintenance {
    /// Tell which files a run would delete, and change nothing
    Plan(Plan),
    /// Run it now; a crontab needs no more than `lhfile maintenance run --wait`
    Run(running::Run),
    /// List runs, the newest first
    Runs(Runs),
    /// Show a run
    Show(One),
    /// Ask a run to end
    Cancel(One),
    /// Tell what maintenance would do with a file, why and when
    Explain(Explain),
}

short_enum! {
    /// Whose files.
    Owner: pb::DeleteOwner {
        /// Visitors'
        Visitors,
        /// Operators'
        Operators,
    }
}

short_enum! {
    /// Which of their files.
    Relation: pb::DeleteRelation {
        /// Attached to no chat
        Unassigned,
        /// Attached to a chat
        Assigned,
    }
}

/// By which rule, or which plan again.
#[derive(Debug, Args)]
pub struct Plan {
    /// Show this plan again, instead of making one
    #[arg(value_name = "PLAN_ID", conflicts_with_all = ["owners", "relations", "visitor_days", "operator_days"])]
    plan: Option<String>,
    /// Plan for a rule that is not set: delete the files of these, commas between
    #[arg(long, value_delimiter = ',', ignore_case = true, value_name = "OWNERS")]
    owners: Vec<Owner>,
    /// … those of them that are attached to no chat, or to one; both, if it is not given
    #[arg(long, value_delimiter = ',', ignore_case = true, value_name = "RELATIONS", requires = "owners")]
    relations: Vec<Relation>,
    /// … visitors' that are older than so many days
    #[arg(long, value_name = "DAYS", requires = "owners")]
    visitor_days: Option<i64>,
    /// … operators' that are older than so many days
    #[arg(long, value_name = "DAYS", requires = "owners")]
    operator_days: Option<i64>,
    /// Show so many of the files, the oldest first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    files: Option<u32>,
}

/// Which runs.
#[derive(Debug, Args)]
pub struct Runs {
    /// Most runs
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Which run.
#[derive(Debug, Args)]
pub struct One {
    /// Its id
    #[arg(value_name = "RUN_ID")]
    run: String,
}

/// Which file.
#[derive(Debug, Args)]
pub struct Explain {
    /// Its id
    #[arg(value_name = "FILE_ID")]
    file: String,
}

impl Maintenance {
    /// Does it and prints the plan, the run or the runs. A run that was waited for and is not done exits with 1.
    pub async fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let mut client = context.connection.maintenance().await?;
        match self {
            Maintenance::Plan(plan) => plan.run(context, client).await?,
            Maintenance::Run(run) => run.run(context, client).await?,
            Maintenance::Runs(Runs { limit }) => runs(context, client, limit).await?,
            Maintenance::Show(One { run: run_id }) => {
                let answer = client.get_run(pb::GetRunRequest { run_id }).await?.into_inner();
                output::one(context.json, "Run", &output::expected(answer.run)?, telling::run)?;
            }
            Maintenance::Cancel(One { run: run_id }) => {
                let answer = client.cancel_run(pb::CancelRunRequest { run_id }).await?.into_inner();
                output::one(context.json, "Run", &output::expected(answer.run)?, |run| match run.state() {
                    pb::RunState::Running => format!("{} will end soon", run.run_id),
                    _ => format!("{} has ended", run.run_id),
                })?;
            }
            Maintenance::Explain(Explain { file: file_id }) => {
                let answer = client.explain_file(pb::ExplainFileRequest { file_id }).await?.into_inner();
                output::one(context.json, "ExplainFileResponse", &answer, |told| output::printable(&told.explanation))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Plan {
    async fn run(self, context: &Context, mut client: Client) -> Result<(), Failure> {
        let rule = self.rule()?;
        let Self { plan: known, files, .. } = self;
        let plan = match &known {
            Some(id) => page(&mut client, id, 1, String::new()).await?.plan,
            None => client.plan_maintenance(pb::PlanMaintenanceRequest { rule }).await?.into_inner().plan,
        };
        let plan = output::expected(plan)?;
        output::one(context.json, "Plan", &plan, telling::plan)?;
        let Some(limit) = files else { return Ok(()) };
        let (found, more) = pages::rows(limit, async |page_size, page_token| {
            let page = page(&mut client, &plan.plan_id, page_size, page_token).await?;
            Ok((page.files, page.next_page_token))
        })
        .await?;
        if context.json {
            return found.iter().try_for_each(|file| output::line(&output::json("PlannedFile", file)));
        }
        output::line(&format!("\n{}", telling::files(&found)))?;
        if more {
            eprintln!("there are more: --files N");
        }
        Ok(())
    }

    /// The rule that is proposed, if one is.
    fn rule(&self) -> Result<Option<pb::RetentionRule>, Failure> {
        let Self { plan: _, owners, relations, visitor_days, operator_days, files: _ } = self;
        if owners.is_empty() {
            return Ok(None);
        }
        let days = |owner: Owner, days: &Option<i64>, flag: &str| match (owners.contains(&owner), days) {
            (true, Some(days)) => Ok(*days),
            (false, None) => Ok(0),
            (true, None) => {
                Err(Failure::Usage(format!("{flag} says how old these owners' files must be: give it, too")))
            }
            (false, Some(_)) => Err(Failure::Usage(format!("{flag} is of owners that --owners does not name"))),
        };
        Ok(Some(pb::RetentionRule {
            visitors: owners.contains(&Owner::Visitors),
            operators: owners.contains(&Owner::Operators),
            unassigned: relations.contains(&Relation::Unassigned),
            assigned: relations.contains(&Relation::Assigned),
            visitor_days: days(Owner::Visitors, visitor_days, "--visitor-days")?,
            operator_days: days(Owner::Operators, operator_days, "--operator-days")?,
        }))
    }
}

async fn page(
    client: &mut Client,
    id: &str,
    page_size: i32,
    page_token: String,
) -> Result<pb::GetPlanResponse, Failure> {
    Ok(client.get_plan(pb::GetPlanRequest { plan_id: id.to_owned(), page_size, page_token }).await?.into_inner())
}

async fn runs(context: &Context, mut client: Client, limit: u32) -> Result<(), Failure> {
    let (found, more) = pages::rows(limit, async |page_size, page_token| {
        let page = client.list_runs(pb::ListRunsRequest { page_size, page_token }).await?.into_inner();
        Ok((page.runs, page.next_page_token))
    })
    .await?;
    if context.json {
        return found.iter().try_for_each(|run| output::line(&output::json("Run", run)));
    }
    output::line(&telling::runs(&found))?;
    if more {
        eprintln!("there are more: --limit N");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proposed_rule_names_an_age_for_each_owner_and_for_no_other() {
        let plan = |owners: &[Owner], visitor_days, operator_days| Plan {
            plan: None,
            owners: owners.to_vec(),
            relations: vec![Relation::Assigned],
            visitor_days,
            operator_days,
            files: None,
        };
        assert_eq!(plan(&[], None, None).rule().expect("that of the settings"), None);
        let rule = plan(&[Owner::Visitors], Some(30), None).rule().expect("a rule").expect("proposed");
        let wanted = pb::RetentionRule { visitors: true, assigned: true, visitor_days: 30, ..Default::default() };
        assert_eq!(rule, wanted);
        for bad in [
            plan(&[Owner::Visitors], None, None),
            plan(&[Owner::Visitors], Some(1), Some(1)),
            plan(&[Owner::Visitors, Owner::Operators], Some(1), None),
        ] {
            assert_eq!(bad.rule().expect_err("usage").exit_code(), 2);
        }
    }
}
