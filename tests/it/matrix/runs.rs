//! The blocks of maintenance: how each cell is asked and answered.
//!
//! Not here: the other blocks (`calls.rs`). Rules that are proposed here find nothing, and runs delete nothing.

use tonic::Status;

use super::{
    callers::{Who, backend},
    world::World,
};
use crate::harness::pb;

/// An id that was never given.
const NEVER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
/// What they are asked about.
pub const COLUMNS: &[&str] = &["one", "never"];
/// The RPCs of these blocks, but for those of files.
pub const METHODS: &[&str] = &["PlanMaintenance", "GetPlan", "RunMaintenance", "CancelRun", "GetRun", "ListRuns"];

async fn planned(world: &mut World, who: &Who) -> Result<String, Status> {
    let plan = pb::PlanMaintenanceRequest { rule: Some(pb::RetentionRule::default()) };
    let answer = world.maintenance.plan_maintenance(who.request(plan)).await?.into_inner();
    Ok(answer.plan.expect("every answer has it").plan_id)
}

/// To its end: the next cell's would be refused meanwhile.
async fn run(world: &mut World, who: &Who) -> Result<String, Status> {
    let trim = vec![pb::MaintenanceTask::Trim.into()];
    let run = pb::RunMaintenanceRequest { tasks: trim, ..Default::default() };
    let mut stream = world.maintenance.run_maintenance(who.request(run)).await?.into_inner();
    let mut id = String::new();
    while let Some(message) = stream.message().await? {
        id = message.run.expect("every message has it").run_id;
    }
    Ok(id)
}

/// Any that has ended.
async fn ended(world: &mut World) -> String {
    let list = backend().request(pb::ListRunsRequest::default());
    let runs = world.maintenance.list_runs(list).await.expect("the backend may").into_inner().runs;
    match runs.into_iter().next() {
        Some(run) => run.run_id,
        None => run(world, &backend()).await.expect("the backend may"),
    }
}

/// Asks one cell.
pub async fn ask(world: &mut World, who: &Who, method: &str, column: &str) -> Result<String, Status> {
    let never = column == "never";
    match method {
        "PlanMaintenance" => planned(world, who).await.map(drop),
        "RunMaintenance" => run(world, who).await.map(drop),
        "GetPlan" => {
            let plan_id = if never { NEVER.to_owned() } else { planned(world, &backend()).await.expect("it may") };
            let get = pb::GetPlanRequest { plan_id, ..Default::default() };
            world.maintenance.get_plan(who.request(get)).await.map(drop)
        }
        "CancelRun" | "GetRun" => {
            let run_id = if never { NEVER.to_owned() } else { ended(world).await };
            if method == "GetRun" {
                world.maintenance.get_run(who.request(pb::GetRunRequest { run_id })).await.map(drop)
            } else {
                world.maintenance.cancel_run(who.request(pb::CancelRunRequest { run_id })).await.map(drop)
            }
        }
        "ListRuns" => world.maintenance.list_runs(who.request(pb::ListRunsRequest::default())).await.map(drop),
        other => panic!("{other} has a block and no call"),
    }?;
    Ok("OK".to_owned())
}

/// Asks one cell about a file.
pub async fn explain(world: &mut World, who: &Who, file_id: String) -> Result<String, Status> {
    let answer = world.maintenance.explain_file(who.request(pb::ExplainFileRequest { file_id })).await?.into_inner();
    assert!(!answer.explanation.is_empty(), "a sentence for people");
    Ok("OK".to_owned())
}
