//! Files that a run meets: of every origin, kept by what was done to them, and with a row that makes no sense.
//!
//! Not here: those that are changed at the very moment (the contract of the stores, `run_races.rs`).

use super::*;
use crate::harness::{
    pb::{MaintenanceTask, Origin, TaskOutcome},
    runs::report,
};

async fn node_that_deletes_after_30_days() -> Node {
    let node = Node::start(Setup::new()).await;
    set(&node, "delete_owners", &["VISITORS", "OPERATORS"]);
    set(&node, "visitor_days", &["30"]);
    set(&node, "operator_days", &["60"]);
    node
}

fn gone(node: &Node) -> Vec<String> {
    node.texts("SELECT display_name AS t FROM files WHERE state = 'DELETED' ORDER BY display_name")
}

#[tokio::test(flavor = "multi_thread")]
async fn screenshots_and_forms_go_as_visitors_files_and_mail_and_what_the_backend_kept_stays() {
    let node = node_that_deletes_after_30_days().await;
    let all = Service::all();
    for (name, origin, days) in [
        ("form.pdf", Origin::Form, 31),
        ("mail.pdf", Origin::Mail, 400),
        ("new_form.pdf", Origin::Form, 29),
        ("none.pdf", Origin::Unspecified, 400),
        ("screenshot.pdf", Origin::Screenshot, 31),
    ] {
        let upload = node.upload(name, samples::sample("pdf")).for_visitor("v1");
        let upload = if origin == Origin::Unspecified {
            upload
        } else {
            upload.with(|header| header.origin = Some(origin.into()))
        };
        upload.passes_by(&all).await;
        age(&node, name, days);
    }
    let operators = node.upload("for_visitor.pdf", samples::sample("pdf")).for_visitor("v1");
    operators.passes_by(&Operator::with(&["*"])).await;
    age(&node, "for_visitor.pdf", 61);
    let run = node.maintain(&[MaintenanceTask::Expire]).await;
    assert_eq!(report(&run, MaintenanceTask::Expire).done_count, 3);
    assert_eq!(gone(&node), ["for_visitor.pdf", "form.pdf", "screenshot.pdf"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_in_time_stays_in_each_of_its_ways_and_goes_when_that_is_taken_back() {
    let node = node_that_deletes_after_30_days().await;
    set(&node, "delete_relations", &["UNASSIGNED"]);
    let (chat, all, operator) = (node.new_chat().await, Service::all(), Operator::with(&["*"]));
    let mut ids = std::collections::BTreeMap::new();
    for name in ["attached.pdf", "due.pdf", "held.pdf", "person.pdf", "persistent.pdf", "restored.pdf"] {
        let by = operator.clone().named(if name == "person.pdf" { "held-person" } else { "17" });
        let file = node.upload(name, samples::sample("pdf")).to_chat(&chat).passes_by(&by).await.file_id;
        let detach = pb::DetachFileRequest { file_id: file.clone(), chat_id: chat.clone() };
        node.files().detach_file(request(&all, detach)).await.expect("the backend may");
        ids.insert(name, file);
    }
    node.delete(&ids["restored.pdf"], &all).await.expect("the backend may");
    for name in ids.keys() {
        assert_eq!(
            node.change(&format!(
                "UPDATE files SET created_at = created_at - {} WHERE display_name = '{name}'",
                61 * DAY
            )),
            1
        );
    }
    node.restore(&ids["restored.pdf"], &all).await.expect("within its grace");
    let attach =
        |name: &str| pb::AttachFileRequest { file_id: ids[name].clone(), chat_id: chat.clone(), ..Default::default() };
    node.files().attach_file(request(&all, attach("attached.pdf"))).await.expect("the backend may");
    let persistent = async |persistent: bool| {
        let update = pb::UpdateFileRequest {
            file_id: ids["persistent.pdf"].clone(),
            persistent,
            update_mask: Some(prost_types::FieldMask { paths: vec!["persistent".to_owned()] }),
            ..Default::default()
        };
        node.files().update_file(request(&all, update)).await.expect("the backend may");
    };
    persistent(true).await;
    let holds = [On::FileId(ids["held.pdf"].clone()), On::OperatorId("held-person".to_owned())];
    for on in &holds {
        let target = Some(pb::HoldTarget { on: Some(on.clone()) });
        let hold = pb::PutHoldRequest { target, matter: "case 7".to_owned() };
        node.maintenance().put_hold(request(&all, hold)).await.expect("the backend may");
    }
    let run = node.maintain(&[MaintenanceTask::Expire]).await;
    assert_eq!((report(&run, MaintenanceTask::Expire).done_count, gone(&node)), (1, vec!["due.pdf".to_owned()]));

    let detach = pb::DetachFileRequest { file_id: ids["attached.pdf"].clone(), chat_id: chat.clone() };
    node.files().detach_file(request(&all, detach)).await.expect("the backend may");
    persistent(false).await;
    for on in holds {
        let target = Some(pb::HoldTarget { on: Some(on) });
        let lift = pb::DeleteHoldRequest { target, matter: "case 7".to_owned() };
        node.maintenance().delete_hold(request(&all, lift)).await.expect("the backend may");
    }
    let run = node.maintain(&[MaintenanceTask::Expire]).await;
    assert_eq!(report(&run, MaintenanceTask::Expire).done_count, 4);
    assert_eq!(node.texts("SELECT display_name AS t FROM files WHERE state = 'READY'"), ["restored.pdf"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn row_that_makes_no_sense_is_counted_and_stops_no_other() {
    let node = node_that_deletes_after_30_days().await;
    let chat = node.new_chat().await;
    for name in ["one.pdf", "damaged.pdf", "two.pdf"] {
        node.upload(name, samples::sample("pdf")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
        age(&node, name, 31);
    }
    let size = node.number("SELECT size AS n FROM files WHERE display_name = 'damaged.pdf'");
    assert_eq!(node.change("UPDATE files SET size = -1 WHERE display_name = 'damaged.pdf'"), 1);
    for nights in 1..=2 {
        let run = node.maintain(&[MaintenanceTask::Expire]).await;
        let expired = report(&run, MaintenanceTask::Expire);
        assert_eq!((expired.outcome(), expired.failed_count), (TaskOutcome::Done, 1), "{run:?}");
        assert_eq!((expired.done_count, gone(&node).len()), (if nights == 1 { 2 } else { 0 }, 2));
    }
    assert_eq!(count(&node, "damaged.pdf", "READY"), 1, "what is not understood is not deleted");
    assert!(node.log().contains("a file that makes no sense"));
    node.change(&format!("UPDATE files SET size = {size} WHERE display_name = 'damaged.pdf'"));
    let run = node.maintain(&[MaintenanceTask::Expire]).await;
    assert_eq!((report(&run, MaintenanceTask::Expire).done_count, gone(&node).len()), (1, 3));
    assert_eq!(node.events_each_once("FILE_DELETED"), 3);
}
