//! Purging by maintenance: what was deleted long enough ago goes for good, with the bytes that no file needs.
//!
//! Not here: purging at once (`purge.rs`), and kill -9 within it (there, too).

use tonic::Code;

use super::*;
use crate::harness::{
    pb::{MaintenanceTask, TaskOutcome},
    runs::report,
};

#[tokio::test(flavor = "multi_thread")]
async fn deleted_files_go_for_good_with_their_bytes_once_their_grace_is_over() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let operator = Operator::with(&["*"]);
    let mut ids = Vec::new();
    for name in ["old.txt", "new.txt"] {
        let file = node.upload(name, samples::text(1_000, name)).to_chat(&chat).passes_by(&operator).await;
        node.delete(&file.file_id, &operator).await.expect("it may");
        ids.push(file.file_id);
    }
    let week = 8 * DAY;
    node.change(&format!("UPDATE files SET deleted_at = deleted_at - {week} WHERE display_name = 'old.txt'"));
    // A store may be late with a put, which is waited for.
    node.change(&format!("UPDATE blobs SET created_at = created_at - {DAY}"));
    let run = cli(&node, &["maintenance", "run", "--wait", "--task", "PURGE"]).lines().pop().expect("the end");
    let report = task(&run, "PURGE");
    assert_eq!((&report["outcome"], &report["done_count"]), (&json!("TASK_OUTCOME_DONE"), &json!(1)), "{run}");
    assert_eq!((&report["size_bytes"], &report["failed_count"]), (&json!(1_000), &json!(0)), "{run}");
    assert_eq!(node.number("SELECT count(*) AS n FROM stubs"), 1);
    assert_eq!(node.number("SELECT count(*) AS n FROM files"), 1);
    assert_eq!(node.stored().len(), 1, "the bytes of the other");
    assert_refused(node.restore(&ids[0], &operator).await.map(drop), Code::NotFound, "NOT_FOUND");
    node.restore(&ids[1], &operator).await.expect("within its grace");
    node.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_row_that_makes_no_sense_keeps_no_other_from_its_end() {
    let node = Node::start(Setup::new()).await;
    let all = Service::all();
    for name in ["damaged.txt", "good.txt"] {
        let file = node.upload(name, samples::text(1_000, name)).to_library().passes_by(&all).await;
        node.delete(&file.file_id, &all).await.expect("the backend may");
    }
    let week = 8 * DAY;
    node.change(&format!("UPDATE files SET deleted_at = deleted_at - {week}"));
    assert_eq!(node.change("UPDATE files SET id = substr(id, 1, 15) WHERE display_name = 'damaged.txt'"), 1);
    let run = node.maintain(&[MaintenanceTask::Purge]).await;
    let purged = report(&run, MaintenanceTask::Purge);
    assert_eq!((purged.outcome(), purged.done_count), (TaskOutcome::Done, 1), "{run:?}");
    assert_eq!(node.number("SELECT count(*) AS n FROM files WHERE display_name = 'damaged.txt'"), 1);
    assert_eq!(node.number("SELECT count(*) AS n FROM files"), 1);
    assert!(node.log().contains("a deleted file cannot be purged"));
}
