//! What each choice of the settings deletes, sentence by sentence, by a run of the service.
//!
//! All of them share one node, and take turns: a file for each owner and relation, 100 days old, deleted by a run and put
//! back past the service. Not here: the same of the pure rule, cell by cell (`src/domain/retention.rs`).

use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::*;
use crate::harness::{
    pb::{DeleteOwner, DeleteRelation, MaintenanceTask},
    runs::report,
};

const VISITORS: &[DeleteOwner] = &[DeleteOwner::Visitors];
const OPERATORS: &[DeleteOwner] = &[DeleteOwner::Operators];
const BOTH: &[DeleteOwner] = &[DeleteOwner::Visitors, DeleteOwner::Operators];
const UNASSIGNED: &[DeleteRelation] = &[DeleteRelation::Unassigned];
const ASSIGNED: &[DeleteRelation] = &[DeleteRelation::Assigned];
/// All files of visitors and operators that were not uploaded separately.
const ALL: &[&str] = &["operators_free", "operators_in_chat", "visitors_free", "visitors_in_chat"];

/// The node, alone for this test.
async fn turn() -> (&'static Node, MutexGuard<'static, ()>) {
    static NODE: OnceCell<Node> = OnceCell::const_new();
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    (NODE.get_or_init(filled).await, turn)
}

async fn filled() -> Node {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let (visitor, operator, all) = (Visitor::of_chat(&chat), Operator::with(&["*"]), Service::all());
    let pdf = samples::sample("pdf");
    for (name, by_visitor, free) in [
        ("visitors_in_chat", true, false),
        ("visitors_free", true, true),
        ("operators_in_chat", false, false),
        ("operators_free", false, true),
    ] {
        let upload = node.upload(&format!("{name}.pdf"), pdf.clone()).to_chat(&chat);
        let file = if by_visitor { upload.passes_by(&visitor).await } else { upload.passes_by(&operator).await };
        if free {
            let detach = pb::DetachFileRequest { file_id: file.file_id, chat_id: chat.clone() };
            node.files().detach_file(request(&all, detach)).await.expect("the backend may");
        }
    }
    node.upload("separate.pdf", pdf.clone()).to_library().passes_by(&operator).await;
    let sent = node.upload("separate_and_sent.pdf", pdf.clone()).to_library().passes_by(&operator).await;
    let attach = pb::AttachFileRequest { file_id: sent.file_id, chat_id: chat.clone(), ..Default::default() };
    node.files().attach_file(request(&operator, attach)).await.expect("it may");
    node.upload("services.pdf", pdf).to_chat(&chat).passes_by(&all).await;
    assert_eq!(node.change(&format!("UPDATE files SET created_at = created_at - {}", 100 * DAY)), 7);
    node.change(&format!("UPDATE attachments SET file_created_at = file_created_at - {}", 100 * DAY));
    node
}

/// What a run deletes by this rule. It is put back.
async fn deletes(owners: &[DeleteOwner], relations: &[DeleteRelation], days: (i64, i64)) -> Vec<String> {
    let (node, _turn) = turn().await;
    let keys = ["delete_owners", "delete_relations", "visitor_days", "operator_days"];
    let told = node.set(&keys, |s| {
        s.delete_owners = owners.iter().map(|owner| i32::from(*owner)).collect();
        s.delete_relations = relations.iter().map(|relation| i32::from(*relation)).collect();
        (s.visitor_days, s.operator_days) = days;
    });
    told.await.expect("the backend may");
    let run = node.maintain(&[MaintenanceTask::Expire]).await;
    let gone =
        node.texts("SELECT replace(display_name, '.pdf', '') AS t FROM files WHERE state = 'DELETED' ORDER BY 1");
    assert_eq!(usize::try_from(report(&run, MaintenanceTask::Expire).done_count), Ok(gone.len()));
    let back = node.change("UPDATE files SET state = 'READY', deleted_at = NULL WHERE state = 'DELETED'");
    assert_eq!(back, gone.len());
    gone
}

#[tokio::test(flavor = "multi_thread")]
async fn files_uploaded_separately_survive() {
    assert_eq!(deletes(BOTH, &[], (1, 1)).await, ALL, "neither the library's, sent or not, nor the backend's");
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_only() {
    assert_eq!(deletes(VISITORS, &[], (30, 30)).await, ["visitors_free", "visitors_in_chat"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_only() {
    assert_eq!(deletes(OPERATORS, &[], (30, 30)).await, ["operators_free", "operators_in_chat"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unassigned_only() {
    assert_eq!(deletes(BOTH, UNASSIGNED, (30, 30)).await, ["operators_free", "visitors_free"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn assigned_only() {
    assert_eq!(deletes(BOTH, ASSIGNED, (30, 30)).await, ["operators_in_chat", "visitors_in_chat"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_assigned_nor_unassigned_chosen_is_all_as_both_chosen_is() {
    assert_eq!(deletes(BOTH, &[], (30, 30)).await, ALL);
    assert_eq!(deletes(BOTH, &[DeleteRelation::Unassigned, DeleteRelation::Assigned], (30, 30)).await, ALL);
}

#[tokio::test(flavor = "multi_thread")]
async fn days_of_each_kind_count_for_that_kind() {
    assert_eq!(deletes(BOTH, &[], (99, 101)).await, ["visitors_free", "visitors_in_chat"]);
    assert_eq!(deletes(BOTH, &[], (101, 99)).await, ["operators_free", "operators_in_chat"]);
    assert_eq!(deletes(BOTH, &[], (101, 101)).await, [""; 0]);
    assert_eq!(deletes(BOTH, &[], (0, 99)).await, ["operators_free", "operators_in_chat"], "without days none of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_when_no_kind_is_chosen_or_no_days_are() {
    assert_eq!(deletes(&[], &[], (1, 1)).await, [""; 0]);
    assert_eq!(deletes(&[], ASSIGNED, (1, 1)).await, [""; 0]);
    assert_eq!(deletes(BOTH, &[], (0, 0)).await, [""; 0]);
}
