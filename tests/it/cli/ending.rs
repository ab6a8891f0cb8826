//! `lhfile rm` of many files, and `lhfile purge`: what is printed, and how they end where some are refused.
//!
//! Not here: one file's delete and restore (`cli.rs`), and the rules of the service itself (`purge.rs`).

use serde_json::{Value, json};

use super::{id, program::server};

#[test]
fn many_files_are_deleted_or_purged_by_one_command_that_tells_what_was_refused() {
    let server = server();
    let token = server.token(&["--service", "backend", "--permission", "*", "--chat", "*"]);
    server.admin(&["chat", "put", "ending", "--status", "active"]).object();
    let upload = || server.admin(&["upload", &server.sample("pdf"), "--chat", "ending"]).object();
    let files: Vec<Value> = (0..6).map(|_| upload()).collect();
    let ids: Vec<&str> = files.iter().map(id).collect();
    let never = "a".repeat(26);

    let partly = server.json(&token, &["rm", ids[0], &never, ids[1]]);
    let lines: Vec<Value> = partly.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, [json!({"file_id": ids[0]}), json!({"file_id": ids[1]})]);
    partly.refused("NOT_FOUND", "NOT_FOUND");
    let refused = server.json(&token, &["rm", "--chat", "ending", "--expect", "3"]);
    refused.refused("FAILED_PRECONDITION", "CONFIRMATION_NEEDED");
    assert_eq!(server.admin(&["ls", "--chat", "ending"]).lines().len(), 4);
    assert_eq!(server.run(&token, &["rm", ids[2], "--chat", "ending"]).code, Some(2), "which is it to be?");
    assert_eq!(server.run(&token, &["rm", ids[2]]).text(), format!("deleted {}\n", ids[2]));
    let by_filter = server.run(&token, &["rm", "--chat", "ending", "--name", "SAMPLE", "--expect", "3"]);
    assert_eq!((by_filter.code, by_filter.text().lines().count()), (Some(0), 3), "{by_filter:?}");
    assert!(by_filter.text().lines().all(|line| line.starts_with("deleted ")));

    assert_eq!(server.run(&token, &["purge", ids[0]]).code, Some(2), "nobody is there to be asked");
    server.admin(&["restore", ids[0]]).object();
    let purged = server.json(&token, &["purge", "--yes", ids[0], ids[1], &never]);
    assert_eq!(purged.text().lines().count(), 2, "{purged:?}");
    purged.refused("NOT_FOUND", "NOT_FOUND");
    server.json(&token, &["restore", ids[0]]).refused("NOT_FOUND", "NOT_FOUND");
    assert_eq!(server.run(&token, &["purge", "--yes", ids[2]]).text(), format!("purged {}\n", ids[2]));
}
