//! The blocks of rescans and the quarantine: how each cell is asked and answered.
//!
//! Not here: the other blocks (`calls.rs`). Nothing is found here, and each release is ended at once: the other cells know
//! of none.

use tonic::Status;

use super::{
    callers::{Who, backend},
    world::World,
};
use crate::harness::pb::{self, release_quarantine_request::What as Released, rescan_request::What};

/// What is scanned again.
pub const RESCANNED: &[&str] = &["home", "foreign", "deleted", "never", "mine", "unknown", "all"];
/// What is released.
pub const RELEASED: &[&str] = &["a signature", "bytes that never were"];
/// Which release is ended.
pub const ENDED: &[&str] = &["one", "never"];
/// The RPCs of these blocks.
pub const METHODS: &[&str] = &["Rescan", "ListQuarantine", "ReleaseQuarantine", "ListReleases", "EndRelease"];

async fn release(world: &mut World, who: &Who, what: Released) -> Result<i64, Status> {
    let release =
        pb::ReleaseQuarantineRequest { what: Some(what), reason: "of the table".to_owned(), expire_time: None };
    let answer = world.maintenance.release_quarantine(who.request(release)).await?.into_inner();
    Ok(answer.release.expect("every answer has it").number)
}

async fn end(world: &mut World, who: &Who, number: i64) -> Result<(), Status> {
    world.maintenance.end_release(who.request(pb::EndReleaseRequest { number })).await.map(drop)
}

/// Asks one cell.
pub async fn ask(world: &mut World, who: &Who, method: &str, column: &'static str) -> Result<String, Status> {
    let signature = || Released::Signature("Test.Of.The.Table".to_owned());
    match method {
        "Rescan" => {
            let what = match column {
                "all" => What::All(true),
                "mine" | "unknown" => What::ChatId(column.to_owned()),
                kind => What::FileId(world.file(kind).await),
            };
            let rescan = pb::RescanRequest { what: Some(what), confirm_signature: String::new() };
            world.maintenance.rescan(who.request(rescan)).await.map(drop)
        }
        "ListQuarantine" => {
            let list = pb::ListQuarantineRequest::default();
            world.maintenance.list_quarantine(who.request(list)).await.map(drop)
        }
        "ReleaseQuarantine" => {
            let never = Released::Sha256("0a".repeat(32));
            let what = if column == "a signature" { signature() } else { never };
            let number = release(world, who, what).await?;
            end(world, &backend(), number).await
        }
        "ListReleases" => {
            let list = pb::ListReleasesRequest::default();
            world.maintenance.list_releases(who.request(list)).await.map(drop)
        }
        "EndRelease" => {
            let number = if column == "one" { release(world, &backend(), signature()).await? } else { i64::MAX };
            let answer = end(world, who, number).await;
            if column == "one" && answer.is_err() {
                end(world, &backend(), number).await?;
            }
            answer
        }
        other => panic!("{other} has a block and no call"),
    }?;
    Ok("OK".to_owned())
}
