//! What must never come in: EICAR in every wrapping, and Debian's clamav-testfiles, by the table beside this file.
//!
//! Not here: a scanner that fails (`scanner_faults.rs`).

use std::{collections::BTreeMap, fs, path::Path};

use tonic::Code;

use crate::harness::{
    Node, Operator, Setup, Visitor,
    archives::{Member, zip},
    assert_refused,
    calls::request,
    grudging::{Grudging, OVERTAKEN},
    pb::{self, AntivirusScope},
    reason_of,
    refusal::facts_of,
    samples, shared,
};

const TESTFILES: &str = "/usr/share/clamav-testfiles";
/// `NAME REASON` of each test file, when its extension is allowed.
const TABLE: &str = include_str!("clamav_testfiles.txt");

fn table() -> BTreeMap<&'static str, &'static str> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| line.split_once(' ').expect("NAME REASON")).map(|(n, r)| (n, r.trim())).collect()
}

fn testfiles() -> BTreeMap<String, Vec<u8>> {
    let found = fs::read_dir(TESTFILES).expect("clamav-testfiles is installed: make test does it");
    found
        .map(|entry| entry.expect("readable").path())
        .map(|path| {
            (path.file_name().and_then(|n| n.to_str()).expect("UTF-8").to_owned(), fs::read(&path).expect("read"))
        })
        .collect()
}

fn extension(name: &str) -> &str {
    Path::new(name).extension().and_then(|e| e.to_str()).expect("all have one")
}

#[tokio::test]
async fn every_test_file_of_clamav_is_refused_as_the_table_says_and_leaves_only_its_event() {
    let files = testfiles();
    assert_eq!(files.len(), 44);
    assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), table().into_keys().collect::<Vec<_>>());
    let node = Node::start(Setup::new()).await;
    node.put_chat("42").await;
    let mut extensions: Vec<String> = files.keys().map(|name| extension(name).to_owned()).collect();
    extensions.sort();
    extensions.dedup();
    node.set(&["operator_extensions"], |s| s.operator_extensions = extensions).await.expect("a good list");
    let mut wrong = Vec::new();
    for (name, bytes) in &files {
        let upload = node.upload(name, bytes.clone()).to_chat("42");
        match upload.by(&Operator::new()).await {
            Ok(_) => wrong.push(format!("{name} ACCEPTED")),
            Err(status) if status.code() == Code::InvalidArgument && reason_of(&status) == table()[name.as_str()] => {}
            Err(status) => wrong.push(format!("{name} {} {}", reason_of(&status), status.message())),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    node.assert_nothing_left().await;
    let events = node.events_of("42");
    assert_eq!(events.len(), files.len(), "{events:#?}");
    assert!(events.iter().all(|e| e.contains("INFECTED") || e.contains("UNSCANNABLE")), "{events:#?}");
}

#[tokio::test]
async fn test_files_of_types_outside_the_default_list_are_not_allowed() {
    let node = shared().await;
    let chat = node.new_chat().await;
    for (name, bytes) in testfiles() {
        let upload = node.upload(&name, bytes).to_chat(&chat);
        match extension(&name) {
            "zip" | "pdf" | "doc" => {
                let status = upload.by(&Operator::new()).await.expect_err("infected");
                assert_eq!(reason_of(&status), table()[name.as_str()], "{name}");
            }
            _ => drop(upload.refused_by(&Operator::new(), Code::InvalidArgument, "TYPE_NOT_ALLOWED").await),
        }
    }
    assert!(node.chat_files(&chat, &Operator::new()).await.expect("known").is_empty());
}

#[tokio::test]
async fn eicar_is_infected_and_names_its_signature() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let upload = node.upload("a.txt", samples::eicar()).to_chat(&chat);
    let status = upload.refused_by(&Operator::new(), Code::InvalidArgument, "INFECTED").await;
    assert!(facts_of(&status)["signature"].to_ascii_lowercase().contains("eicar"), "{status:?}");
    let events = node.events_of(&chat);
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].contains("INFECTED") && events[0].to_ascii_lowercase().contains("eicar"), "{events:?}");
}

#[tokio::test]
async fn eicar_is_found_however_it_is_cut_and_packed() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let eicar = samples::eicar();
    let inner = zip(&[Member::stored("eicar.com", &eicar)]);
    let split = node.upload("a.txt", eicar.clone()).to_chat(&chat).in_chunks_of(34);
    split.refused_by(&Operator::new(), Code::InvalidArgument, "INFECTED").await;
    let bytewise = node.upload("a.txt", eicar.clone()).to_chat(&chat).in_chunks_of(1);
    bytewise.refused_by(&Operator::new(), Code::InvalidArgument, "INFECTED").await;
    let among = zip(&[Member::stored("a.txt", b"harmless"), Member::stored("b.com", &eicar), Member::zeros("c", 9999)]);
    for archive in [inner.clone(), zip(&[Member::stored("inner.zip", &inner)]), among] {
        let upload = node.upload("a.zip", archive).to_chat(&chat);
        upload.refused_by(&Operator::new(), Code::InvalidArgument, "INFECTED").await;
    }
}

#[tokio::test]
async fn eicar_is_refused_again_and_again() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let upload = node.upload("a.csv", samples::eicar()).to_chat(&chat);
    for _ in 0..3 {
        upload.refused_by(&Operator::new(), Code::InvalidArgument, "INFECTED").await;
    }
}

#[tokio::test]
async fn text_that_speaks_of_eicar_is_accepted() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let eicar = samples::eicar();
    let text =
        ["The EICAR test file is this line, and you may paste it into a mail:\n".as_bytes(), &eicar, b"\n"].concat();
    let file = node.upload("about-eicar.txt", text.clone()).to_chat(&chat).passes_by(&Operator::new()).await;
    assert_eq!(node.download(&file.file_id, &Operator::new()).await.expect("its own").bytes, text);
}

#[tokio::test]
async fn bytes_that_an_operator_brought_in_unscanned_are_quarantined_when_a_visitors_scan_finds_them_infected() {
    let node = Node::start(Setup::new()).await;
    node.put_chat("42").await;
    node.put_chat("43").await;
    let keys = ["antivirus_scope", "visitor_extensions"];
    let change = |s: &mut pb::Settings| {
        s.antivirus_scope = AntivirusScope::Visitors.into();
        s.visitor_extensions = vec!["txt".to_owned()];
    };
    node.set(&keys, change).await.expect("good values");
    let operator = Operator::new();
    let file = node.upload("a.txt", samples::eicar()).to_chat("42").passes_by(&operator).await;
    assert_eq!(file.verdict.expect("told").kind(), pb::VerdictKind::NotScanned);
    node.download(&file.file_id, &operator).await.expect("scanning is out of scope for it");
    let upload = node.upload("b.txt", samples::eicar()).to_chat("43");
    assert_refused(upload.by(&Visitor::of_chat("43")).await, Code::InvalidArgument, "INFECTED");
    assert_refused(node.download(&file.file_id, &operator).await, Code::NotFound, "NOT_FOUND");
    assert_refused(node.file(&file.file_id, &operator).await, Code::NotFound, "NOT_FOUND");
    assert!(node.chat_files("42", &operator).await.expect("known").is_empty());
    assert_eq!(node.texts("SELECT state AS t FROM blobs"), ["QUARANTINED"]);
}

#[tokio::test]
async fn clean_verdict_that_a_hit_on_the_same_bytes_overtook_is_judged_anew() {
    let scanner = Grudging::start().await;
    let node = Node::start(Setup::new().external(scanner.address())).await;
    for chat in ["42", "43", "44"] {
        node.put_chat(chat).await;
    }
    let change = |s: &mut pb::Settings| {
        s.antivirus_scope = AntivirusScope::Visitors.into();
        s.visitor_extensions = vec!["txt".to_owned()];
    };
    node.set(&["antivirus_scope", "visitor_extensions"], change).await.expect("good values");
    let bytes = samples::text(500, OVERTAKEN);
    let slow = node.upload("slow.txt", bytes.clone()).to_chat("43");
    let overtaken = async { slow.by(&Visitor::of_chat("43")).await };
    let overtaking = async {
        scanner.holds_one().await;
        // There only since the slow one looked for what is known, so that it publishes bytes of its own.
        node.upload("a.txt", bytes.clone()).to_chat("42").passes_by(&Operator::new()).await;
        let fast = node.upload("fast.txt", bytes.clone()).to_chat("44");
        assert_refused(fast.by(&Visitor::of_chat("44")).await, Code::InvalidArgument, "INFECTED");
        scanner.let_go();
    };
    let (overtaken, ()) = tokio::join!(overtaken, overtaking);
    assert_refused(overtaken, Code::InvalidArgument, "INFECTED");
    node.assert_consistent().await;
    assert_eq!(node.texts("SELECT state AS t FROM blobs"), ["QUARANTINED"]);
    assert_eq!(node.number("SELECT count(*) AS n FROM files WHERE home_chat_id = '43'"), 0);
    assert_eq!(node.events_of("43"), ["UPLOAD_REFUSED INFECTED Test.Newer"]);
}

#[tokio::test]
async fn known_clean_bytes_are_not_scanned_twice_and_a_known_hash_does_not_replace_the_bytes() {
    let node = Node::start(Setup::new()).await;
    node.put_chat("42").await;
    let operator = Operator::new();
    let bytes = samples::text(50_000, "known");
    let upload = node.upload("a.txt", bytes.clone()).to_chat("42");
    let first = upload.passes_by(&operator).await;
    let scans = || async { node.metric("lhfile_scan_seconds_count").await };
    let before = scans().await;
    let second = upload.passes_by(&operator).await;
    assert_eq!(scans().await, before, "the verdict was known");
    assert_eq!(first.verdict, second.verdict);
    let only_hash = node.upload("a.txt", Vec::new()).to_chat("42").with(|h| h.sha256 = Some(first.sha256.clone()));
    assert_refused(only_hash.by(&operator).await, Code::InvalidArgument, "EMPTY");
}

#[tokio::test]
async fn test_antivirus_tells_its_result_and_stores_nothing() {
    use pb::{ScanResult, TestAntivirusRequest, test_antivirus_request::Part};
    let node = Node::start(Setup::new()).await;
    let test = |bytes: Vec<u8>| {
        let options = pb::TestAntivirusOptions { explain: true };
        let parts = [
            Part::Options(options),
            Part::Chunk(pb::TestAntivirusChunk { data: bytes.into(), crc32c: None }),
            Part::Commit(pb::TestAntivirusCommit::default()),
        ];
        let messages = parts.map(|part| TestAntivirusRequest { part: Some(part) });
        request(&Operator::with(&["maintenance_run"]), tokio_stream::iter(messages))
    };
    for (bytes, result) in [
        (samples::sample("pdf"), ScanResult::Clean),
        (samples::eicar(), ScanResult::Infected),
        (zip(&[Member::stored("a", b"0123456789abcdef").encrypted()]), ScanResult::Unscannable),
    ] {
        let answer = node.maintenance().test_antivirus(test(bytes)).await.expect("an answer").into_inner();
        assert_eq!(answer.result(), result, "{answer:?}");
        assert!(!answer.explanation.is_empty());
        assert_eq!(answer.signature.is_empty(), result != ScanResult::Infected);
        assert_eq!(answer.cause.is_empty(), result != ScanResult::Unscannable);
    }
    node.assert_nothing_left().await;
}
