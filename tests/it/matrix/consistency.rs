//! The blocks of checks of consistency: how each cell is asked and answered.
//!
//! Not here: the other blocks (`blocks.rs`). A check finds nothing here that a repair would remove.

use tonic::Status;

use super::{
    callers::{Who, backend},
    world::World,
};
use crate::harness::pb::{self, check_consistency_response::Told};

/// A check that was never made.
const NEVER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Whose check is repaired.
pub const COLUMNS: &[&str] = &["one", "never"];
/// The RPCs of these blocks.
pub const METHODS: &[&str] = &["CheckConsistency", "RepairConsistency"];

/// To its end; its id.
async fn checked(world: &mut World, who: &Who) -> Result<String, Status> {
    let request = who.request(pb::CheckConsistencyRequest::default());
    let mut stream = world.maintenance.check_consistency(request).await?.into_inner();
    let mut id = String::new();
    while let Some(message) = stream.message().await? {
        if let Some(Told::Summary(summary)) = message.told {
            id = summary.check_id;
        }
    }
    assert!(!id.is_empty(), "it came to its end, and is kept");
    Ok(id)
}

/// Asks one cell.
pub async fn ask(world: &mut World, who: &Who, method: &str, column: &str) -> Result<String, Status> {
    if method == "CheckConsistency" {
        checked(world, who).await?;
        return Ok("OK".to_owned());
    }
    let check_id =
        if column == "never" { NEVER.to_owned() } else { checked(world, &backend()).await.expect("the backend may") };
    let kinds = vec![pb::FindingKind::OpenMultipart.into()];
    let repair = pb::RepairConsistencyRequest { check_id, kinds };
    let mut stream = world.maintenance.repair_consistency(who.request(repair)).await?.into_inner();
    while stream.message().await?.is_some() {}
    Ok("OK".to_owned())
}
