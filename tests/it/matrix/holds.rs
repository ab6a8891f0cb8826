//! The blocks of holds: how each cell is asked and answered.
//!
//! Not here: the other blocks (`calls.rs`). Each hold is lifted at once: the other cells know of none.

use tonic::Status;

use super::{
    callers::{Who, backend},
    world::World,
};
use crate::harness::pb::{self, hold_target::On};

/// What is held.
pub const COLUMNS: &[&str] =
    &["home", "library", "foreign", "deleted", "never", "mine", "other", "gone", "unknown", "visitor"];
/// What is listed.
pub const LISTED: &[&str] = &["all", "home", "foreign", "mine", "other", "visitor"];

const MATTER: &str = "of the table";

async fn target(world: &mut World, column: &'static str) -> Option<pb::HoldTarget> {
    let on = match column {
        "all" => return None,
        "visitor" => On::VisitorId("v".to_owned()),
        "mine" | "other" | "gone" | "unknown" => On::ChatId(column.to_owned()),
        kind => On::FileId(world.file(kind).await),
    };
    Some(pb::HoldTarget { on: Some(on) })
}

/// Asks one cell.
pub async fn ask(world: &mut World, who: &Who, method: &str, column: &'static str) -> Result<String, Status> {
    let target = target(world, column).await;
    let matter = MATTER.to_owned();
    let lift = pb::DeleteHoldRequest { target: target.clone(), matter: matter.clone() };
    let put = pb::PutHoldRequest { target: target.clone(), matter };
    match method {
        "PutHold" => {
            let answer = world.maintenance.put_hold(who.request(put)).await.map(|_| "OK".to_owned());
            let lifted = world.maintenance.delete_hold(backend().request(lift)).await.expect("the backend may");
            assert_eq!(lifted.into_inner().lifted, answer.is_ok(), "it is held if the answer says so: {}", who.name);
            answer
        }
        "DeleteHold" => {
            let there = world.maintenance.put_hold(backend().request(put)).await.is_ok();
            let answer = world.maintenance.delete_hold(who.request(lift.clone())).await;
            let left = world.maintenance.delete_hold(backend().request(lift)).await.expect("the backend may");
            assert_eq!(left.into_inner().lifted, there && answer.is_err(), "refused, and yet lifted: {}", who.name);
            answer.map(|answer| if answer.into_inner().lifted { "OK".to_owned() } else { "OK no".to_owned() })
        }
        "ListHolds" => {
            let list = pb::ListHoldsRequest { target, ..Default::default() };
            world.maintenance.list_holds(who.request(list)).await.map(|_| "OK".to_owned())
        }
        other => panic!("{other} has a block and no call"),
    }
}
