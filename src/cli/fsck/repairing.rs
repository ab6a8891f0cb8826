//! A repair followed to its end. One that is cut off is asked for again: what is repaired stays so.
//!
//! Not here: what is asked before it (the parent module).

use super::{checking::Client, progress::Progress, telling};
use crate::{
    cli::{Context, failure::Failure, output, patience::Patience},
    rpc::pb::{self, RepairOutcome, repair_consistency_response::Told},
};

/// Most findings that stay and are shown to people, one by one.
const MOST_SHOWN: u64 = 1_000;

/// Repairs, and answers how many of the findings that were asked for stay.
///
/// # Errors
/// The server refuses, or is out of reach for too long.
pub(super) async fn repair(
    context: &Context,
    client: &mut Client,
    request: pb::RepairConsistencyRequest,
) -> Result<i64, Failure> {
    let progress = Progress::new(context.json);
    let mut patience = Patience::default();
    let summary = loop {
        match try_repair(context, client, &request, &progress, &mut patience).await {
            Ok(summary) => break summary,
            Err(failure) => patience.wait_after(failure).await?,
        }
    };
    progress.clear();
    output::one(context.json, "RepairSummary", &summary, telling::repaired)?;
    let stay = summary.outcomes.iter().filter(|count| stays(count.outcome()));
    Ok(stay.map(|count| count.count).sum())
}

async fn try_repair(
    context: &Context,
    client: &mut Client,
    request: &pb::RepairConsistencyRequest,
    progress: &Progress,
    patience: &mut Patience,
) -> Result<pb::RepairSummary, Failure> {
    let mut stream = client.repair_consistency(request.clone()).await?.into_inner();
    let (mut told, mut shown) = (0_u64, 0);
    while let Some(message) = stream.message().await? {
        match output::expected(message.told)? {
            Told::Summary(summary) => return Ok(summary),
            Told::Repaired(repaired) => {
                patience.heard();
                told += 1;
                if context.json {
                    output::line(&output::json("RepairedFinding", &*repaired))?;
                } else if stays(repaired.outcome()) && shown < MOST_SHOWN {
                    shown += 1;
                    progress.suspend(|| output::line(&telling::stays(&repaired)))?;
                }
                progress.tell(|| format!("{told} findings judged again"));
            }
        }
    }
    Err(Failure::Unreachable("the repair ended before its end".to_owned()))
}

fn stays(outcome: RepairOutcome) -> bool {
    match outcome {
        RepairOutcome::Repaired | RepairOutcome::Gone => false,
        RepairOutcome::Skipped | RepairOutcome::NeedsAPerson | RepairOutcome::Failed | RepairOutcome::Unspecified => {
            true
        }
    }
}
