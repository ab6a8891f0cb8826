//! The end of a file by hand: who cannot end what is in many chats, whose bytes go when, what holds keep; and kill -9 at
//! each point of a delete.
//!
//! Not here: purging (`purge.rs`), holds on one file by one call (`hold.rs`), kill -9 within a run (`maintenance/kill.rs`).

use tonic::Code;

use crate::harness::{
    Node, Operator, Service, Setup, assert_refused,
    calls::request,
    fsck::assert_fsck_clean,
    pb::{self, ChatStatus, MaintenanceTask, hold_target::On},
    runs::report,
    samples,
};

/// Kills a delete at a point and starts again. Whether the file is alive then.
async fn killed_at(point: &str) -> bool {
    if !cfg!(feature = "fault-points") {
        panic!("run the tests by `make test`, or with --features fault-points");
    }
    let mut node = Node::start(Setup::new().stops_at(point)).await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let bytes = samples::text(600_000, point);
    let file = node.upload("a.txt", bytes.clone()).to_chat(&chat).passes_by(&Operator::new()).await.file_id;
    tokio::select! {
        answer = node.delete(&file, &all) => panic!("it did not stop at {point}: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    node.kill9();
    node.start_again().await;
    let alive = node.file(&file, &all).await.is_ok();
    assert_eq!(node.events_each_once("FILE_DELETED"), i64::from(!alive), "the row and its event, or none of them");
    if alive {
        assert_eq!(node.download(&file, &all).await.expect("it is there").bytes, bytes);
    } else {
        assert_refused(node.download(&file, &all).await, Code::NotFound, "NOT_FOUND");
    }
    node.delete(&file, &all).await.expect("asked again, it is deleted");
    assert_eq!(node.events_each_once("FILE_DELETED"), 1);
    assert_refused(node.file(&file, &all).await, Code::NotFound, "NOT_FOUND");
    // One run after its grace leaves nothing of it.
    node.set_deletes_back(8);
    node.maintain(&[]).await;
    node.assert_nothing_left().await;
    assert_eq!((node.stored().len(), node.number("SELECT count(*) AS n FROM stubs")), (0, 1));
    assert_fsck_clean(&node).await;
    alive
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_at_d1_after_the_right_was_judged_leaves_the_file_alive() {
    assert!(killed_at("D1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_at_d2_within_the_transaction_of_a_delete_leaves_the_file_alive() {
    assert!(killed_at("D2-written").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_at_d3_before_the_answer_of_a_delete_has_deleted_the_file() {
    assert!(!killed_at("D3").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn library_file_in_fifty_chats_is_deleted_by_no_owner_of_one_and_outlives_each_of_them() {
    let node = Node::start(Setup::new()).await;
    let bytes = samples::text(3_000, "library");
    let librarian = Operator::with(&["upload_new_file", "use_operator"]).named("librarian");
    let file = node.upload("all.txt", bytes.clone()).to_library().passes_by(&librarian).await.file_id;
    let chats: Vec<String> = (0..50).map(|i| format!("of-{i}")).collect();
    for (i, chat) in chats.iter().enumerate() {
        let owner = format!("owner-{i}");
        node.put_chat_as(chat, ChatStatus::Active, |chat| chat.owner_operator = owner).await;
    }
    let attach = pb::BatchAttachFileRequest { file_id: file.clone(), chat_ids: chats.clone() };
    let attached = node.files().batch_attach_file(request(&librarian, attach)).await.expect("it may").into_inner();
    assert_eq!(attached.results.len(), 50);
    for (i, chat) in chats.iter().enumerate() {
        let owner = Operator::with(&["use_operator", "file_delete_chat"]).named(&format!("owner-{i}"));
        let owner = owner.of_chats(&[]);
        assert_eq!(node.file(&file, &owner).await.expect("it sees it").chat_ids, std::slice::from_ref(chat));
        assert_refused(node.delete(&file, &owner).await, Code::PermissionDenied, "MISSING_PERMISSION");
        let batch = pb::BatchDeleteFilesRequest { file_ids: vec![file.clone()], ..Default::default() };
        let answer = node.files().batch_delete_files(request(&owner, batch)).await.expect("it answers").into_inner();
        assert_eq!(answer.results[0].reason, "MISSING_PERMISSION");
    }
    let all = Service::all();
    for (ended, chat) in (1..).zip(&chats) {
        let end = pb::DeleteChatRequest { chat_id: chat.clone(), ..Default::default() };
        let told = node.chats().delete_chat(request(&all, end)).await.expect("the backend may").into_inner();
        assert_eq!((told.files_deleted, told.files_detached), (0, 1), "{chat}");
        assert_eq!(node.file(&file, &all).await.expect("it stays").chat_ids.len(), 50 - ended);
    }
    assert_eq!(node.download(&file, &librarian).await.expect("its own").bytes, bytes);
    assert_eq!(node.events_each_once("FILE_DELETED"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_two_deleted_files_go_when_both_are_past_their_grace() {
    let node = Node::start(Setup::new()).await;
    let (chat, operator) = (node.new_chat().await, Operator::with(&["*"]));
    let bytes = samples::text(2_000, "shared");
    let mut files = Vec::new();
    for name in ["first.txt", "second.txt"] {
        let file = node.upload(name, bytes.clone()).to_chat(&chat).passes_by(&operator).await;
        node.delete(&file.file_id, &operator).await.expect("its own");
        files.push(file.file_id);
    }
    node.set_deletes_back(8);
    // The second was deleted yesterday.
    let later = 7 * crate::harness::runs::DAY;
    let second = format!("UPDATE files SET deleted_at = deleted_at + {later} WHERE display_name = 'second.txt'");
    assert_eq!(node.change(&second), 1);
    let run = node.maintain(&[MaintenanceTask::Purge]).await;
    assert_eq!(
        (report(&run, MaintenanceTask::Purge).done_count, report(&run, MaintenanceTask::Purge).size_bytes),
        (1, 0)
    );
    assert_eq!(node.stored().len(), 1, "the second needs them");
    assert_refused(node.restore(&files[0], &operator).await, Code::NotFound, "NOT_FOUND");
    node.restore(&files[1], &operator).await.expect("within its grace");
    assert_eq!(node.download(&files[1], &operator).await.expect("it is back").bytes, bytes);
    node.delete(&files[1], &operator).await.expect("its own");
    node.set_deletes_back(8);
    let run = node.maintain(&[MaintenanceTask::Purge]).await;
    let purged = report(&run, MaintenanceTask::Purge);
    assert_eq!((purged.done_count, purged.size_bytes, purged.failed_count), (1, 2_000, 0));
    assert!(node.stored().is_empty());
    node.assert_nothing_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_files_are_told_one_by_one_by_a_batch_and_outlive_their_grace_until_the_hold_is_lifted() {
    let node = Node::start(Setup::new()).await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let operator = Operator::with(&["*"]);
    let mut ids = Vec::new();
    for name in ["held.txt", "free.txt"] {
        ids.push(node.upload(name, samples::text(900, name)).to_chat(&chat).passes_by(&operator).await.file_id);
    }
    let target = || Some(pb::HoldTarget { on: Some(On::FileId(ids[0].clone())) });
    let hold = || pb::PutHoldRequest { target: target(), matter: "case 7".to_owned() };
    let lift = || pb::DeleteHoldRequest { target: target(), matter: "case 7".to_owned() };
    node.maintenance().put_hold(request(&all, hold())).await.expect("the backend may");
    let batch = pb::BatchDeleteFilesRequest { file_ids: ids.clone(), ..Default::default() };
    let answer = node.files().batch_delete_files(request(&operator, batch)).await.expect("it answers").into_inner();
    let reasons: Vec<&str> = answer.results.iter().map(|result| result.reason.as_str()).collect();
    assert_eq!(reasons, ["ON_HOLD", ""]);
    node.file(&ids[0], &all).await.expect("it stays");

    // Held after it was deleted: no run purges it, whatever its age.
    node.maintenance().delete_hold(request(&all, lift())).await.expect("the backend may");
    node.delete(&ids[0], &operator).await.expect("nothing holds it");
    node.maintenance().put_hold(request(&all, hold())).await.expect("a deleted file can be held");
    node.set_deletes_back(400);
    let run = node.maintain(&[MaintenanceTask::Purge]).await;
    assert_eq!(report(&run, MaintenanceTask::Purge).done_count, 1, "the other one");
    assert_eq!(node.texts("SELECT display_name AS t FROM files"), ["held.txt"]);
    assert_eq!(node.stored().len(), 1);
    node.maintenance().delete_hold(request(&all, lift())).await.expect("the backend may");
    let run = node.maintain(&[MaintenanceTask::Purge]).await;
    assert_eq!(report(&run, MaintenanceTask::Purge).done_count, 1);
    node.assert_nothing_left().await;
}
