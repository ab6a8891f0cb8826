//! What is stored, in numbers: the sums of the rows that are there, what the next run would delete, and that it is counted
//! once a minute.
//!
//! Not here: the pages (the contract of the stores, `src/adapters/tests/store/stats.rs`) and ages (`domain/stats.rs`).

use serde_json::json;
use tonic::{Code, Status};

use crate::{
    cli::program::{Ended, lhfile},
    harness::{Caller, Node, Operator, Service, Setup, Visitor, assert_refused, calls::request, pb, samples, shared},
};

async fn stats(node: &Node, caller: &(impl Caller + ?Sized)) -> Result<pb::GetStatsResponse, Status> {
    Ok(node.maintenance().get_stats(request(caller, pb::GetStatsRequest {})).await?.into_inner())
}

/// The command line against this node, as the backend.
fn cli(node: &Node, words: &[&str]) -> Ended {
    let (address, token) = (node.address().to_string(), Service::all().token());
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    lhfile(&words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], node.folder())
}

/// Count and bytes that a statement tells.
fn sums(node: &Node, of: &str) -> Option<pb::StatsCount> {
    let count = node.number(&format!("SELECT count(*) AS n FROM {of}"));
    let size_bytes = node.number(&format!("SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) AS n FROM {of}"));
    Some(pb::StatsCount { count, size_bytes })
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_the_sums_of_the_rows_and_due_is_what_a_plan_finds() {
    let node = Node::start(Setup::new()).await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let text = |n: u64| samples::text(500 + usize::try_from(n).expect("small"), "stats");
    for n in 0..4 {
        let upload = node.upload(&format!("{n}.txt"), text(n / 2)).to_chat(&chat);
        upload.passes_by(&Operator::new()).await;
    }
    for (name, origin) in [("a.txt", pb::Origin::Form), ("b.txt", pb::Origin::Mail)] {
        let upload = node.upload(name, text(7)).for_visitor("v1");
        upload.with(|header| header.origin = Some(origin.into())).passes_by(&all).await;
    }
    let pdf = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    let deleted = node.upload("c.txt", text(9)).to_chat(&chat).passes_by(&Operator::new()).await.file_id;
    node.delete(&deleted, &all).await.expect("the backend may");
    let day = 86_400_000_000_i64;
    for (name, days) in [("0.txt", 2), ("1.txt", 31), ("2.txt", 400), ("a.pdf", 40), ("a.txt", 100)] {
        let aged = format!("UPDATE files SET created_at = created_at - {} WHERE display_name = '{name}'", days * day);
        assert_eq!(node.change(&aged), 1, "{name}");
    }
    let keys = ["delete_owners", "visitor_days", "operator_days"];
    let set = node.set(&keys, |s| {
        s.delete_owners = vec![pb::DeleteOwner::Visitors.into(), pb::DeleteOwner::Operators.into()];
        (s.visitor_days, s.operator_days) = (30, 30);
    });
    set.await.expect("the backend may");

    let told = stats(&node, &all).await.expect("it may");
    assert_eq!(told.ready, sums(&node, "files WHERE state = 'READY'"));
    assert_eq!(told.deleted, sums(&node, "files WHERE state = 'DELETED'"));
    for of in &told.uploaders {
        let kind = of.kind().as_str_name().trim_start_matches("CALLER_KIND_");
        assert_eq!(
            of.files,
            sums(&node, &format!("files WHERE state = 'READY' AND uploader_kind = '{kind}'")),
            "{kind}"
        );
    }
    for of in &told.origins {
        let origin = of.origin().as_str_name().trim_start_matches("ORIGIN_");
        let is = if origin == "UNSPECIFIED" { "IS NULL".to_owned() } else { format!("= '{origin}'") };
        assert_eq!(of.files, sums(&node, &format!("files WHERE state = 'READY' AND origin {is}")), "{origin}");
    }
    assert_eq!((told.uploaders.len(), told.origins.len()), (3, 3));
    let ages: Vec<_> = told.ages.iter().map(|age| (age.under_days, age.files.map_or(0, |files| files.count))).collect();
    assert_eq!(ages, [(1, 2), (7, 1), (30, 0), (90, 2), (365, 1), (0, 1)]);
    let named: Vec<_> = told.extensions.iter().map(|of| of.extension.as_str()).collect();
    assert_eq!((named.len(), told.other_extensions), (2, Some(pb::StatsCount::default())), "{named:?}");
    let size = told.extensions.iter().find(|of| of.extension == "pdf").and_then(|of| of.files);
    assert_eq!(size, Some(pb::StatsCount { count: 1, size_bytes: pdf.size_bytes }));
    let blobs = told.blobs.expect("every answer has them");
    assert_eq!(blobs.stored, sums(&node, "blobs"));
    let twice = "blobs b WHERE (SELECT count(*) FROM files f WHERE f.blob_id = b.id) > 1";
    assert_eq!(blobs.shared, sums(&node, twice));
    assert!(blobs.shared.is_some_and(|shared| shared.count == 3));
    assert_eq!((blobs.quarantined, blobs.purging), (Some(pb::StatsCount::default()), Some(pb::StatsCount::default())));

    let plan = node.maintenance().plan_maintenance(request(&all, pb::PlanMaintenanceRequest::default())).await;
    let plan = plan.expect("it may").into_inner().plan.expect("every answer has it");
    let due = told.due.clone().expect("every answer has it");
    let files = |count, size_bytes| Some(pb::StatsCount { count, size_bytes });
    assert_eq!((due.files, due.guard_files), (files(plan.file_count, plan.size_bytes), plan.guard_files));
    let groups: Vec<_> = due.groups.iter().map(|of| (of.owner, of.assigned, of.files)).collect();
    let planned: Vec<_> =
        plan.groups.iter().map(|of| (of.owner, of.assigned, files(of.file_count, of.size_bytes))).collect();
    assert_eq!(groups, planned);
    assert_eq!(plan.file_count, 4);

    // Within a minute they are told as they were, to the command line, too.
    node.upload("late.txt", text(20)).to_chat(&chat).passes_by(&Operator::new()).await;
    assert_eq!(stats(&node, &all).await.expect("it may"), told);
    let shown = cli(&node, &["stats"]).object();
    assert_eq!(shown["ready"]["count"], json!(told.ready.map(|ready| ready.count)));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_for_maintenance_of_all_chats() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let bounded = Service::all().of_chats(&[&chat]);
    let callers: [&dyn Caller; 3] = [&Visitor::of_chat(&chat), &Operator::with(&["file_list"]), &bounded];
    for caller in callers {
        assert_refused(stats(node, caller).await, Code::PermissionDenied, "MISSING_PERMISSION");
    }
}
