//! Every line that the documents show must parse; what makes no sense must not.

use clap::{CommandFactory as _, Parser as _};

use super::*;

fn parses(line: &str) -> Result<Cli, clap::Error> {
    let words = line.split_whitespace().map(|word| word.trim_matches('\''));
    Cli::try_parse_from(words)
}

#[test]
fn arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_documented_line_parses() {
    for line in [
        "lhfile serve",
        "lhfile serve --config lhfile.toml --data-dir /srv/data --listen 127.0.0.1:6000",
        "lhfile token --operator 17 --permission use_operator --permission file_list --chat 42 --ttl 1h",
        "lhfile token --visitor 9f2c --chat 42",
        "lhfile token --service backend --permission '*' --chat '*'",
        "lhfile key create --service chat-backend --permission act_as --permission chat_sync --chat '*' --ttl 90d",
        "lhfile key create --visitor 9f2c --chat 42 --vid v1 --label kiosk",
        "lhfile key ls",
        "lhfile key ls --all --limit 500",
        "lhfile key retire abc def",
        "lhfile chat put 42 --status active --owner 17",
        "lhfile chat put 42 --status CLOSED --close-time 2026-11-23T16:00:00Z --uploads deny --version 7",
        "lhfile chat get 42",
        "lhfile chat ls --status active --limit 500",
        "lhfile chat rm 42",
        "lhfile upload report.pdf --chat 42",
        "lhfile upload a.pdf b.pdf --library --persistent false",
        "lhfile upload - --name a.pdf --chat 42 --request-id r1",
        "lhfile upload shot.png --visitor-id 9f2c --origin SCREENSHOT",
        "lhfile download abc -o out.pdf",
        "lhfile download abc -o out.pdf --offset 5 --limit 10",
        "lhfile download --link xyz -o -",
        "lhfile download --link -8xyz -o -",
        "lhfile link abc --ttl 5m --inline",
        "lhfile show abc",
        "lhfile show [file=4294967296_00]",
        "lhfile update abc --name new.pdf --persistent true --etag e1",
        "lhfile attach abc 42",
        "lhfile attach abc 42 43 44",
        "lhfile detach abc 42",
        "lhfile rm abc def",
        "lhfile rm --chat 42 --operator 17 --expect 3",
        "lhfile purge abc def --yes",
        "lhfile ls --deleted --chat 42 --name report",
        "lhfile restore abc def",
        "lhfile hold put --chat 42 --matter case-7",
        "lhfile hold lift --file abc --matter case-7",
        "lhfile hold ls --visitor 9f2c --limit 10",
        "lhfile maintenance plan",
        "lhfile maintenance plan abc --files 10",
        "lhfile maintenance plan --owners VISITORS,operators --relations unassigned --visitor-days 30 --operator-days 60",
        "lhfile maintenance run --wait",
        "lhfile maintenance run --plan abc --confirm def --request-id r1",
        "lhfile maintenance run --task EXPIRE --task abort-uploads --confirm-clock",
        "lhfile maintenance runs --limit 500",
        "lhfile maintenance show abc",
        "lhfile maintenance cancel abc",
        "lhfile maintenance explain abc",
        "lhfile ls",
        "lhfile ls --chat 42 --operator 17 --name part --order largest --limit 10",
        "lhfile ls --visitor-id 9f2c",
        "lhfile ls --origin mail --visitor-id 9f2c",
        "lhfile settings get",
        "lhfile settings get max_file_bytes",
        "lhfile settings set max_file_bytes 1048576",
        "lhfile settings set visitor_extensions png jpg",
        "lhfile settings set maintenance_cron 0 3 * * *",
        "lhfile settings describe",
        "lhfile scanner status",
        "lhfile test-antivirus /tmp/x --explain",
        "lhfile fsck",
        "lhfile fsck --hash none",
        "lhfile fsck --repair --yes --kind strange-name --kind UNNAMED-BYTES --hash 1048576",
        "lhfile fsck --journal journal --hash all",
        "lhfile doctor --data-dir /srv/data",
        "lhfile completions bash",
        "lhfile ls --json --addr 127.0.0.1:1 --token t --act-as operator:17",
        "lhfile --json ls",
    ] {
        if let Err(error) = parses(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn lines_that_make_no_sense_are_usage() {
    for line in [
        "lhfile",
        "lhfile token --permission use_operator",
        "lhfile hold put --chat 42",
        "lhfile hold put --matter case-7",
        "lhfile hold lift --matter case-7",
        "lhfile hold put --chat 42 --file abc --matter case-7",
        "lhfile token --operator 17 --permission root",
        "lhfile token --operator 17 --ttl soon",
        "lhfile key create --permission use",
        "lhfile key create --service a --operator b",
        "lhfile key create --service a --permission root",
        "lhfile key retire",
        "lhfile chat put 42",
        "lhfile chat put a/b --status active",
        "lhfile upload report.pdf",
        "lhfile upload report.pdf --chat 42 --library",
        "lhfile upload report.pdf --chat 42 --visitor-id v",
        "lhfile upload report.pdf --visitor-id v --origin letter",
        "lhfile ls --deleted --visitor-id v",
        "lhfile download",
        "lhfile download abc --link xyz",
        "lhfile download abc --offset -1",
        "lhfile update abc",
        "lhfile attach abc",
        "lhfile rm",
        "lhfile rm abc --expect 3",
        "lhfile purge",
        "lhfile ls --limit 0",
        "lhfile ls --order best",
        "lhfile settings set max_file_bytes",
        "lhfile maintenance",
        "lhfile maintenance plan abc --owners visitors",
        "lhfile maintenance plan --visitor-days 30",
        "lhfile maintenance plan --owners services",
        "lhfile maintenance run --confirm def",
        "lhfile maintenance run --task SCAN",
        "lhfile maintenance cancel",
        "lhfile fsck --yes",
        "lhfile fsck --kind stale-spool",
        "lhfile fsck --repair --kind bytes-missing",
        "lhfile fsck --hash some",
        "lhfile fsck --journal journal --repair",
    ] {
        let error = parses(line).map(drop).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn help_and_version_are_no_mistakes() {
    for line in ["lhfile --help", "lhfile --version", "lhfile upload --help"] {
        assert_eq!(parses(line).map(drop).expect_err(line).exit_code(), 0, "{line}");
    }
}

#[test]
fn token_is_never_shown_in_help() {
    let help = Cli::command().render_long_help().to_string();
    assert!(help.contains("LHFILE_TOKEN") && !help.contains("LHFILE_TOKEN="), "{help}");
}
