//! The command line end to end, as a person or a script types it: the server it starts, and every client command
//! against it, with exit codes and JSON.
//!
//! `cli/program.rs` runs it. Not here: how arguments are read (unit tests in `src/cli`) and the rules of the service itself.

mod ending;
pub mod program;
mod quarantine;

use std::{
    fs,
    time::{Duration, Instant},
};

use program::{Server, lhfile, server};
use serde_json::{Value, json};

use crate::harness::{
    Caller as _, Node, Service, Setup,
    archives::{Member, zip},
    place::free_port,
    samples,
};

fn id(file: &Value) -> &str {
    file["file_id"].as_str().expect("an id")
}

#[test]
fn serve_without_configuration_makes_its_secret_and_says_when_it_is_ready() {
    use std::os::unix::fs::MetadataExt as _;
    let server = server();
    let said = fs::read_to_string(&server.said).expect("our own folder");
    let ready: Vec<_> = said.lines().filter(|line| line.contains(&server.address.to_string())).collect();
    assert!(ready.len() == 1 && ready[0].contains("data"), "one line with address and data: {said}");
    assert!(said.contains("lhfile token"), "it prints how to mint a token: {said}");
    let secrets = fs::read_dir(server.folder.join("data")).expect("./data").flatten();
    let secret = secrets.filter(|entry| entry.file_name().to_string_lossy().contains("secret")).collect::<Vec<_>>();
    assert_eq!(secret.len(), 1);
    assert_eq!(secret[0].metadata().expect("ours").mode() & 0o777, 0o600);
}

#[test]
fn key_is_made_used_listed_and_retired() {
    let server = server();
    let admin = server.token(&["--service", "backend", "--permission", "*", "--chat", "*"]);
    let words =
        ["key", "create", "--service", "kiosk", "--permission", "chat_sync", "--chat", "*", "--label", "a kiosk"];
    let made = server.run(&admin, &words);
    assert_eq!(made.code, Some(0), "{}", made.err);
    let secret = made.text().trim().to_owned();
    assert!(secret.starts_with("lhf_") && made.text().lines().count() == 1, "the secret alone");
    assert!(made.err.contains("service:kiosk") && !made.err.contains(&secret), "{}", made.err);
    server.json(&secret, &["chat", "put", "key-1", "--status", "active"]).object();
    let listed = server.json(&admin, &["key", "ls"]).lines();
    let key = listed.iter().find(|key| key["label"] == json!("a kiosk")).expect("listed");
    assert_eq!((&key["permissions"], &key["chats"]), (&json!(["chat_sync"]), &json!(["*"])));
    let key_id = key["key_id"].as_str().expect("an id");
    let table = server.run(&admin, &["key", "ls"]).text();
    assert!(table.contains(key_id) && table.contains("until 2") && !table.contains(&secret), "{table}");
    assert!(server.json(&admin, &["key", "retire", key_id]).object()["retire_time"].is_string());
    server.json(&secret, &["chat", "get", "key-1"]).refused("UNAUTHENTICATED", "BAD_CREDENTIAL");
    assert!(!server.run(&admin, &["key", "ls"]).text().contains(key_id));
    assert!(server.run(&admin, &["key", "ls", "--all"]).text().contains("retired 2"));
    server.json(&admin, &["key", "retire", "nonsense"]).refused("NOT_FOUND", "NOT_FOUND");
    server.json(&secret, &["key", "create", "--service", "x"]).refused("UNAUTHENTICATED", "BAD_CREDENTIAL");
}

#[test]
fn files_go_from_upload_to_gone() {
    let server = server();
    let operator = server.token(&[
        "--operator",
        "17",
        "--permission",
        "use_operator",
        "--permission",
        "file_list",
        "--permission",
        "file_delete",
        "--chat",
        "*",
        "--ttl",
        "1h",
    ]);
    let visitor = server.token(&["--visitor", "9f2c", "--chat", "42"]);
    let told = server.admin(&["chat", "put", "42", "--status", "active", "--owner", "17"]).object();
    assert_eq!((&told["chat_id"], &told["owner_operator"]), (&json!("42"), &json!("17")));
    assert_eq!(server.admin(&["chat", "get", "42"]).object()["status"], json!("CHAT_STATUS_ACTIVE"));

    for extension in ["pdf", "png", "docx"] {
        for token in [&operator, &visitor] {
            let file = server.json(token, &["upload", &server.sample(extension), "--chat", "42"]).object();
            assert_eq!(file["display_name"], json!(format!("sample.{extension}")));
            assert_eq!(file["sha256"], json!(samples::sha256(&samples::sample(extension))));
            assert!(file["message_code"].as_str().is_some_and(|code| code.starts_with("[file=")), "{file}");
        }
    }
    let film = server.json(&operator, &["upload", &server.sample("mp4"), "--chat", "42"]).object();
    let refusal = server.json(&visitor, &["upload", &server.sample("mp4"), "--chat", "42"]);
    refusal.refused("INVALID_ARGUMENT", "TYPE_NOT_ALLOWED");
    let for_people = server.run(&visitor, &["upload", &server.sample("mp4"), "--chat", "42"]);
    assert_eq!(for_people.code, Some(3));
    assert!(for_people.err.lines().count() == 1 && for_people.err.contains("TYPE_NOT_ALLOWED"), "{}", for_people.err);

    assert_eq!(server.json(&visitor, &["ls", "--chat", "42"]).lines().len(), 7);
    let films = server.json(&operator, &["ls", "--operator", "17", "--name", "mp4", "--order", "largest"]).lines();
    assert!(films.len() == 1 && id(&films[0]) == id(&film), "{films:?}");
    assert_eq!(server.json(&operator, &["ls", "--chat", "42", "--limit", "2"]).lines().len(), 2);
    let counted = server.json(&operator, &["ls", "--chat", "42", "--limit", "2", "--total"]).lines();
    assert_eq!(counted[2], json!({ "total": 7, "total_is_lower_bound": false }));
    assert_eq!(server.json(&visitor, &["show", id(&film)]).object()["size_bytes"], film["size_bytes"]);
    assert_eq!(
        server.json(&visitor, &["show", film["message_code"].as_str().expect("a code")]).object(),
        server.json(&visitor, &["show", id(&film)]).object()
    );

    let chats: Vec<String> = (100..150).map(|n| n.to_string()).collect();
    for chat in &chats {
        server.admin(&["chat", "put", chat, "--status", "active"]).object();
    }
    let words: Vec<&str> = ["attach", id(&film)].into_iter().chain(chats.iter().map(String::as_str)).collect();
    let results = server.json(&operator, &words).lines();
    assert!(results.len() == 50 && results.iter().all(|result| result["reason"] == json!("")), "{results:?}");
    let words: Vec<&str> = ["attach", id(&film), "100", "nowhere"].to_vec();
    let partly = server.json(&operator, &words);
    assert_eq!((partly.code, partly.text().lines().count()), (Some(3), 2), "{partly:?}");
    assert_eq!(server.json(&operator, &["show", id(&film)]).object()["chat_ids"].as_array().map(Vec::len), Some(51));

    downloads(server, &operator, id(&film));

    let renamed = server.json(&operator, &["update", id(&film), "--name", "film.mp4", "--persistent", "true"]).object();
    assert_eq!((&renamed["display_name"], &renamed["persistent"]), (&json!("film.mp4"), &json!(true)));
    let stale = server
        .json(&operator, &["update", id(&film), "--name", "x.mp4", "--etag", film["etag"].as_str().expect("an etag")]);
    stale.refused("ABORTED", "ETAG_MISMATCH");
    server.json(&operator, &["detach", id(&film), "100", "101"]).lines();
    assert_eq!(server.json(&operator, &["ls", "--chat", "100"]).lines(), [] as [Value; 0]);

    let link = server.json(&operator, &["link", id(&film)]).object()["link"].as_str().expect("a link").to_owned();
    server.json(&operator, &["rm", id(&film)]).object();
    for words in [["show", id(&film)], ["download", id(&film)], ["link", id(&film)]] {
        server.json(&operator, &words).refused("NOT_FOUND", "NOT_FOUND");
    }
    server.json("", &["download", "--link", &link, "-o", "dead"]).refused("NOT_FOUND", "NOT_FOUND");
    assert!(!server.folder.join("dead").exists() && !server.folder.join("film.mp4").exists());
    server.json(&operator, &["rm", id(&film)]).object();

    server.json(&operator, &["restore", id(&film)]).refused("PERMISSION_DENIED", "MISSING_PERMISSION");
    let deleted = server.admin(&["ls", "--deleted", "--chat", "42", "--name", "film"]).lines();
    assert_eq!(deleted.iter().map(id).collect::<Vec<_>>(), [id(&film)]);
    let all = server.token(&["--service", "backend", "--permission", "*", "--chat", "*"]);
    assert!(server.run(&all, &["ls", "--deleted"]).text().contains("RESTORABLE UNTIL"));
    assert_eq!(server.admin(&["restore", id(&film)]).object()["display_name"], json!("film.mp4"));
    server.json(&operator, &["show", id(&film)]).object();
    server.json(&operator, &["rm", id(&film)]).object();

    assert_eq!(server.admin(&["chat", "rm", "42"]).object()["files_deleted"], json!(6));
    assert!(server.admin(&["chat", "ls", "--limit", "1000"]).lines().iter().all(|chat| chat["chat_id"] != json!("42")));
}

fn downloads(server: &Server, token: &str, id: &str) {
    let film = samples::sample("mp4");
    let out = server.folder.join("out.mp4");
    server.json(token, &["download", id, "-o", "out.mp4"]).object();
    assert_eq!(fs::read(&out).expect("written"), film);
    server.json(token, &["download", id, "-o", "out.mp4", "--offset", "100", "--limit", "50"]).object();
    assert_eq!(fs::read(&out).expect("written"), film[100..150]);
    let piped = server.run(token, &["download", id, "-o", "-", "--offset", "7"]);
    assert!(piped.code == Some(0) && piped.out == film[7..], "to standard output, and nothing else");
    let beyond = server.json(token, &["download", id, "-o", "out.mp4", "--offset", &film.len().to_string()]);
    beyond.refused("OUT_OF_RANGE", "BAD_RANGE");
    assert_eq!(fs::read(&out).expect("still there"), film[100..150], "a refused download leaves what is there");
    let link = server.json(token, &["link", id, "--ttl", "5m"]).object()["link"].as_str().expect("a link").to_owned();
    server.json("", &["download", "--link", &link, "-o", "linked.mp4"]).object();
    assert_eq!(fs::read(server.folder.join("linked.mp4")).expect("written"), film);
    let leftovers = fs::read_dir(&server.folder).expect("ours").flatten();
    assert!(!leftovers.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().ends_with(".part")));
}

#[test]
fn library_files_and_request_ids() {
    let server = server();
    let librarian =
        server.token(&["--operator", "17", "--permission", "upload_new_file", "--permission", "use_operator"]);
    let pdf = server.sample("pdf");
    let upload = |more: &[&str]| {
        let words: Vec<&str> = ["upload", &pdf, "--library"].into_iter().chain(more.iter().copied()).collect();
        server.json(&librarian, &words)
    };
    let first = upload(&["--request-id", "r-1", "--name", "terms.pdf"]).object();
    assert_eq!((&first["persistent"], &first["display_name"]), (&json!(true), &json!("terms.pdf")));
    assert_eq!(upload(&["--request-id", "r-1", "--name", "terms.pdf"]).object()["file_id"], first["file_id"]);
    assert_eq!(upload(&["--persistent", "false"]).object()["persistent"], json!(false));
    let other = server.sample("png");
    let reused = server.json(&librarian, &["upload", &other, "--library", "--request-id", "r-1"]);
    reused.refused("ALREADY_EXISTS", "REQUEST_ID_REUSED");
}

#[test]
fn settings_are_effective_within_two_seconds() {
    let server = server();
    server.admin(&["chat", "put", "settings", "--status", "active"]).object();
    let visitor = server.token(&["--visitor", "s", "--chat", "settings"]);
    let text = server.file("letter.txt", b"just a text\n");
    let upload = || server.json(&visitor, &["upload", &text, "--chat", "settings"]);
    upload().refused("INVALID_ARGUMENT", "TYPE_NOT_ALLOWED");
    let before = server.admin(&["settings", "get", "visitor_extensions"]).object();
    let mut words: Vec<&str> = vec!["settings", "set", "visitor_extensions", "txt"];
    words.extend(before["visitor_extensions"].as_array().expect("a list").iter().filter_map(Value::as_str));
    server.admin(&words).object();
    let until = Instant::now() + Duration::from_secs(2);
    while upload().code != Some(0) {
        assert!(Instant::now() < until, "effective within 2 s");
    }
    server.admin(&["settings", "set", "max_file_bytes", "-1"]).refused("INVALID_ARGUMENT", "BAD_SETTING");
    assert_eq!(server.admin(&["settings", "set", "max_file_bytes", "much"]).code, Some(2));
    assert_eq!(server.admin(&["settings", "get", "nope"]).code, Some(2));
    let described = server.admin(&["settings", "describe"]).lines();
    let all = server.admin(&["settings", "get"]).object();
    assert_eq!(described.len(), all["settings"].as_object().map_or(0, serde_json::Map::len), "all of them");
    let mut back: Vec<&str> = vec!["settings", "set", "visitor_extensions"];
    back.extend(before["visitor_extensions"].as_array().expect("a list").iter().filter_map(Value::as_str));
    server.admin(&back).object();
}

#[test]
fn files_of_an_online_visitor_are_uploaded_listed_and_shown_with_their_origin() {
    let server = server();
    let to = ["--visitor-id", "cli-v", "--origin", "SCREENSHOT"];
    let png = server.sample("png");
    let shot = server.admin(&["upload", &png, to[0], to[1], to[2], to[3]]).object();
    assert_eq!((&shot["visitor_id"], &shot["origin"]), (&json!("cli-v"), &json!("ORIGIN_SCREENSHOT")));
    let visitor = server.token(&["--visitor", "x", "--vid", "cli-v"]);
    let own = server.json(&visitor, &["upload", &server.sample("pdf"), "--visitor-id", "cli-v"]).object();
    let listed = server.json(&visitor, &["ls", "--visitor-id", "cli-v"]).lines();
    assert_eq!(listed.iter().map(id).collect::<Vec<_>>(), [id(&own), id(&shot)]);
    let shots = server.admin(&["ls", "--visitor-id", "cli-v", "--origin", "screenshot"]).lines();
    assert_eq!(shots.iter().map(id).collect::<Vec<_>>(), [id(&shot)]);
    let shown = server.run(&visitor, &["show", id(&shot)]).text();
    assert!(shown.contains("cli-v") && shown.contains("screenshot"), "{shown}");
    let words = ["upload", &png, to[0], to[1], to[2], "form"];
    server.json(&visitor, &words).refused("INVALID_ARGUMENT", "BAD_ARGUMENT");
    server.json(&visitor, &["ls", "--visitor-id", "another"]).refused("NOT_FOUND", "NOT_FOUND");
}

#[test]
fn mistakes_exit_with_2_and_a_server_that_is_not_there_with_4() {
    let server = server();
    for words in [
        &[] as &[&str],
        &["nope"],
        &["upload"],
        &["upload", "a.pdf"],
        &["upload", "a.pdf", "--chat", "1", "--library"],
        &["chat", "put", "42"],
        &["chat", "put", "42", "--status", "open"],
        &["token", "--operator", "1", "--permission", "root"],
        &["token", "--visitor", "1", "--chat", "*"],
        &["download"],
        &["settings", "set", "max_file_bytes"],
    ] {
        assert_eq!(server.run("x", words).code, Some(2), "{words:?}");
    }
    let nobody = free_port().to_string();
    for words in [&["ls"] as &[&str], &["show", "x"], &["settings", "get"], &["scanner", "status"]] {
        let words: Vec<&str> = words.iter().copied().chain(["--addr", &nobody, "--json"]).collect();
        let ended = server.run("x", &words);
        assert_eq!(ended.code, Some(4), "{ended:?}");
        let told: Value = serde_json::from_str(ended.err.trim()).expect("one JSON object");
        assert!(told["message"].as_str().is_some_and(|message| message.contains(&nobody)), "{told}");
    }
    server.json("x", &["ls"]).refused("UNAUTHENTICATED", "BAD_CREDENTIAL");
    server.json("", &["ls"]).refused("UNAUTHENTICATED", "BAD_CREDENTIAL");
    assert_eq!(server.run("x", &["upload", "not-there.pdf", "--chat", "42"]).code, Some(1));
}

#[test]
fn test_antivirus_tells_its_result_by_exit_code_also_with_scanning_off() {
    let server = server();
    let clean = server.file("clean.txt", b"EICAR is the name of a test file\n");
    let infected = server.file("eicar.com", &samples::eicar());
    let locked = zip(&[Member::stored("secret.txt", b"nobody can read this").encrypted()]);
    let locked = server.file("locked.zip", &locked);
    let by_code = || {
        let of = |path: &str| server.admin(&["test-antivirus", path, "--explain"]);
        let (clean, infected, locked) = (of(&clean), of(&infected), of(&locked));
        assert_eq!(
            [clean.code, infected.code, locked.code],
            [Some(0), Some(10), Some(11)],
            "{clean:?} {infected:?} {locked:?}"
        );
        let told: Value = serde_json::from_str(&infected.text()).expect("one JSON object");
        assert!(told["signature"].as_str().is_some_and(|s| s.to_lowercase().contains("eicar")), "{told}");
        assert!(told["explanation"].as_array().is_some_and(|lines| !lines.is_empty()), "{told}");
    };
    by_code();
    server.admin(&["settings", "set", "antivirus_enabled", "false"]).object();
    by_code();
    server.admin(&["settings", "set", "antivirus_enabled", "true"]).object();
    let nobody = server.token(&["--operator", "17", "--permission", "use_operator"]);
    server.json(&nobody, &["test-antivirus", &clean]).refused("PERMISSION_DENIED", "MISSING_PERMISSION");
}

#[tokio::test(flavor = "multi_thread")]
async fn test_antivirus_exits_with_12_when_the_scanner_is_down() {
    let node = Node::start(Setup::new().external("unix:/tmp/lhfile-nobody-listens-here").without_scanner()).await;
    let clean = node.folder().join("clean.txt");
    fs::write(&clean, "a text").expect("our own folder");
    let (address, token) = (node.address().to_string(), Service::all().token());
    let env = [("LHFILE_ADDR", address.as_str()), ("LHFILE_TOKEN", token.as_str())];
    let ended = lhfile(&["test-antivirus", &clean.to_string_lossy(), "--json"], &env, node.folder());
    assert_eq!(ended.code, Some(12), "{ended:?}");
    assert!(ended.err.contains("SCANNER_DOWN"), "{ended:?}");
}

#[test]
fn scanner_status_and_doctor_tell_of_test_signatures() {
    let server = server();
    let status = server.admin(&["scanner", "status"]).object();
    assert_eq!((&status["healthy"], &status["test_signatures_only"]), (&json!(true), &json!(true)), "{status}");
    assert!(
        status["canaries"].as_array().is_some_and(|c| c.len() >= 3 && c.iter().all(|c| c["passed"] == json!(true)))
    );
    let token = server.token(&["--service", "backend", "--permission", "maintenance_run"]);
    let people = server.run(&token, &["scanner", "status"]);
    assert!(people.text().contains("TEST SIGNATURES ONLY"), "{}", people.text());

    let listen = server.address.to_string();
    let env: Vec<(&str, &str)> = server.env().into_iter().chain([("LHFILE_LISTEN", listen.as_str())]).collect();
    let doctor = lhfile(&["doctor", "--json"], &env, &server.folder);
    let findings = doctor.lines();
    let level = |check: &str| findings.iter().find(|f| f["check"] == json!(check)).map(|f| f["level"].clone());
    assert_eq!(level("port"), Some(json!("OK")), "{findings:?}");
    assert_eq!(level("signatures"), Some(json!("WARN")), "{findings:?}");
    assert_eq!(level("scanner"), Some(json!("WARN")), "{findings:?}");
    assert_eq!(level("clamd"), Some(json!("OK")), "{findings:?}");
    // Something that is not our server in its place: FAIL, and exit code 1.
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = stranger.local_addr().expect("bound").to_string();
    let env: Vec<(&str, &str)> = server.env().into_iter().chain([("LHFILE_LISTEN", address.as_str())]).collect();
    assert_eq!(lhfile(&["doctor"], &env, &server.folder).code, Some(1));
}
