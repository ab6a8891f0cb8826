//! `lhfile scanner rescan` and `lhfile quarantine`: what is printed, and how they end.
//!
//! Not here: files that are found infected (`quarantine.rs`).

use serde_json::json;

use super::{
    id,
    program::{lhfile, server},
};
use crate::harness::{Caller as _, Node, Operator, Service, Setup, samples};

#[tokio::test(flavor = "multi_thread")]
async fn files_are_scanned_again_by_one_command_and_the_status_tells_how_far_the_rest_is() {
    // Of its own: others switch the antivirus of the shared one off and on.
    let node = Node::start(Setup::new()).await;
    node.put_chat("42").await;
    let mut files = Vec::new();
    for _ in 0..2 {
        let upload = node.upload("a.pdf", samples::sample("pdf")).to_chat("42");
        files.push(upload.passes_by(&Operator::new()).await.file_id);
    }
    files.sort_unstable();
    let address = node.address().to_string();
    let run = |token: &str, words: &[&str]| {
        lhfile(words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", token)], node.folder())
    };
    let admin = Service::all().token();
    let json_of = |words: &[&str]| run(&admin, &[words, &["--json"]].concat());
    let one = json_of(&["scanner", "rescan", "--file", &files[0]]).object();
    assert_eq!(one, json!({"file_id": files[0], "result": "RESCAN_RESULT_CLEAN", "signature": "", "cause": ""}));
    let chat = json_of(&["scanner", "rescan", "--chat", "42"]).lines();
    let mut scanned: Vec<&str> = chat.iter().map(id).collect();
    scanned.sort_unstable();
    assert_eq!(scanned, files);
    let people = run(&admin, &["scanner", "rescan", "--file", &files[0]]).text();
    assert!(people.contains("FILE_ID") && people.contains(&files[0]) && people.contains("clean"), "{people}");

    let all = json_of(&["scanner", "rescan", "--all"]).object();
    for field in ["target_signatures", "node", "done_count", "left_count", "hit_count", "budget_left_bytes", "braked"] {
        assert!(!all[field].is_null(), "{field} of {all}");
    }
    let status = json_of(&["scanner", "status"]).object();
    assert_eq!(status["rescan"]["braked"], json!([]), "{status}");
    let people = run(&admin, &["scanner", "status"]).text();
    assert!(people.contains("rescan") && people.contains("budget left"), "{people}");

    json_of(&["scanner", "rescan", "--file", &"a".repeat(26)]).refused("NOT_FOUND", "NOT_FOUND");
    json_of(&["scanner", "rescan", "--chat", "nobody-told"]).refused("NOT_FOUND", "CHAT_UNKNOWN");
    for words in [
        &["scanner", "rescan"] as &[&str],
        &["scanner", "rescan", "--all", "--chat", "42"],
        &["scanner", "rescan", "--chat", "42", "--confirm-signature", "Test.One"],
        &["scanner", "rescan", "--confirm-signature", "Test.One"],
    ] {
        let ended = run(&admin, words);
        assert_eq!(ended.code, Some(2), "{words:?}: {ended:?}");
    }
    let refused = run(&Operator::new().token(), &["scanner", "rescan", "--all", "--json"]);
    refused.refused("PERMISSION_DENIED", "MISSING_PERMISSION");
}

#[test]
fn releases_are_made_listed_and_ended_and_tell_people_what_they_are_about() {
    let server = server();
    let token = server.token(&["--service", "backend", "--permission", "*", "--chat", "*"]);
    assert!(server.admin(&["quarantine", "ls"]).lines().is_empty());
    assert!(server.run(&token, &["quarantine", "ls"]).text().contains("SHA256"));
    let words = ["quarantine", "release", "--signature", "Test.Cli", "--reason", "a false alarm"];
    let made = server.admin(&[&words[..], &["--until", "2099-01-01T00:00:00Z"]].concat()).object();
    assert_eq!((&made["blob_count"], &made["release"]["signature"]), (&json!(0), &json!("Test.Cli")));
    assert_eq!(made["release"]["expire_time"], json!("2099-01-01T00:00:00Z"));
    assert_eq!(made["release"]["creator"], json!({"kind": "CALLER_KIND_SERVICE", "id": "backend"}));
    let number = made["release"]["number"].to_string();
    let listed = server.admin(&["quarantine", "releases"]).lines();
    assert!(listed.contains(&made["release"]), "{listed:?}");
    let people = server.run(&token, &["quarantine", "releases", "--limit", "500"]).text();
    assert!(people.contains("Test.Cli") && people.contains("a false alarm"), "{people}");
    let ended = server.run(&token, &["quarantine", "end", &number]);
    assert_eq!(
        (ended.code, ended.text().trim()),
        (Some(0), format!("release {number} of Test.Cli counts no more").as_str())
    );

    server.admin(&["quarantine", "end", "987654321"]).refused("NOT_FOUND", "NOT_FOUND");
    let never = ["quarantine", "release", "--sha256", &"0a".repeat(32), "--reason", "x"];
    server.admin(&never).refused("NOT_FOUND", "NOT_FOUND");
    for words in [
        &["quarantine", "release", "--reason", "x"] as &[&str],
        &["quarantine", "release", "--signature", "Test.Cli"],
        &["quarantine", "release", "--signature", "Test.Cli", "--sha256", "00", "--reason", "x"],
        &["quarantine", "release", "--signature", "Test.Cli", "--reason", "x", "--until", "tomorrow"],
        &["quarantine", "end", "x"],
    ] {
        assert_eq!(server.run(&token, words).code, Some(2), "{words:?}");
    }
    let nobody = server.token(&["--service", "cleaner", "--permission", "maintenance_run", "--chat", "*"]);
    server.json(&nobody, &["quarantine", "end", &number]).refused("PERMISSION_DENIED", "MISSING_PERMISSION");
    assert!(server.json(&nobody, &["quarantine", "ls"]).lines().is_empty());
}
