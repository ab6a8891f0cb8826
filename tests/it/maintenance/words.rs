//! The README's words about maintenance, run as they stand there.
//!
//! Not here: what comes of them in detail (the other files).

use std::{path::Path, process::Command};

use crate::{
    foreign::tool,
    harness::{Caller as _, Node, Service, Setup, Visitor, samples},
};

const README: &str = include_str!("../../../README.md");

/// The README's one line that begins so, as it is written there.
fn line(begin: &str) -> &'static str {
    let mut lines = README.lines().map(|line| line.trim_start_matches("$ ")).filter(|line| line.starts_with(begin));
    let line = lines.next().unwrap_or_else(|| panic!("the README has no line that begins with {begin}"));
    assert_eq!(lines.next(), None, "which of them?");
    line
}

/// Runs a line as a shell would, with our own binary and grpcurl in its path.
fn shell(line: &str, node: &Node) -> (Option<i32>, String) {
    let folder = |program: &Path| program.parent().expect("in a folder").display().to_string();
    let path =
        format!("{}:{}:/usr/bin:/bin", folder(Path::new(env!("CARGO_BIN_EXE_lhfile"))), folder(&tool("grpcurl")));
    let mut sh = Command::new("sh");
    sh.args(["-c", line]).current_dir(node.folder()).env("PATH", path);
    sh.env("LHFILE_ADDR", node.address().to_string()).env("LHFILE_TOKEN", Service::all().token());
    let output = sh.output().expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn crontab_line_and_grpcurl_line_of_the_readme_run_maintenance() {
    let node = Node::start(Setup::new()).await;
    let crontab = line("0 3 * * *");
    let (five, words) = crontab.match_indices(' ').nth(4).map(|(at, _)| crontab.split_at(at)).expect("five fields");
    assert!(five.parse::<lhfile::domain::Cron>().is_ok(), "{five}");
    // By the key that the line above it makes.
    let here = |words: &str| words.replace("/etc/lhfile/key", "key");
    let (code, said) = shell(&here(line("(umask 077; lhfile key create")), &node);
    assert_eq!(code, Some(0), "{said}");
    let key = std::fs::read_to_string(node.folder().join("key")).expect("it was made");
    assert!(!key.trim().is_empty() && key.trim() != Service::all().token(), "the key alone: {key}");
    let days =
        "SELECT (expires_at - created_at) / 86400000000 AS n FROM access_keys WHERE permissions = 'maintenance_run'";
    assert_eq!(node.number(days), 366);
    let words = here(words);
    let (code, said) = shell(&words, &node);
    assert!(code == Some(0) && said.contains("expire"), "{words}: {code:?} {said}");

    let grpcurl: String =
        line("grpcurl -plaintext -H \"authorization: Bearer $LHFILE_TOKEN\" 127.0.0.1:50051 lhfile.v1.Main")
            .replace("127.0.0.1:50051", &node.address().to_string());
    let (code, said) = shell(&grpcurl, &node);
    assert!(code == Some(0) && said.contains("RUN_STATE_DONE"), "{grpcurl}: {code:?} {said}");
    assert_eq!(node.number("SELECT count(*) AS n FROM runs WHERE state = 'DONE'"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_readmes_table_for_the_administrator_run_as_they_stand_there() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let upload = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat);
    let file = upload.passes_by(&Visitor::of_chat(&chat)).await;
    let (_, rest) = README.split_once("\n## For the administrator\n").expect("the section");
    let section = rest.split("\n## ").next().expect("up to the next one");
    let commands: Vec<&str> = section.lines().filter_map(|line| line.split('`').nth(1)).collect();
    let of_lhfile: Vec<&&str> = commands.iter().filter(|command| command.starts_with("lhfile ")).collect();
    assert!(of_lhfile.len() >= 10, "{commands:?}");
    for command in of_lhfile {
        let (code, said) = shell(&command.replace("FILE_ID", &file.file_id), &node);
        assert!(code == Some(0), "{command}: {code:?} {said}");
    }
}
