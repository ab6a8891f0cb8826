//! Visitors erased: what of them is gone for everybody, what stays for others, that nothing in the database names them, and
//! kill -9 on the way.
//!
//! Not here: what each transaction takes (the contract of the stores, `src/adapters/tests/store/erasing.rs`), and who may,
//! caller by caller (`matrix/`).

use serde_json::json;
use tonic::{Code, Status};

use crate::{
    cli::program::{Ended, lhfile},
    harness::{
        Caller, Node, Operator, Service, Setup, Visitor, assert_refused,
        calls::request,
        keys::wanted,
        pb::{self, hold_target::On},
        samples, shared,
        upload::{chunk, header},
    },
};

async fn erase(
    node: &Node,
    visitor: &str,
    chats: &[&str],
    caller: &(impl Caller + ?Sized),
) -> Result<pb::EraseVisitorResponse, Status> {
    let chat_ids = chats.iter().map(|id| (*id).to_owned()).collect();
    let erase = pb::EraseVisitorRequest { visitor_id: visitor.to_owned(), chat_ids, reason: "request 7".to_owned() };
    Ok(node.files().erase_visitor(request(caller, erase)).await?.into_inner())
}

/// The command line against this node, as the backend.
fn cli(node: &Node, words: &[&str]) -> Ended {
    let (address, token) = (node.address().to_string(), Service::all().token());
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    lhfile(&words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], node.folder())
}

/// So that nothing more is expected from the store of bytes: without it rows of what was just stored stay for a while.
fn store_long_ago(node: &Node) {
    assert!(node.change("UPDATE blobs SET created_at = created_at - 3600000000") > 0);
}

/// Every row of the database in whose text this stands, whatever the column.
fn naming(node: &Node, word: &str) -> Vec<String> {
    let mut found = Vec::new();
    for lhfile::ports::Table { name, columns, .. } in lhfile::adapters::sql::tables().expect("ours") {
        let texts = columns.iter().filter(|(_, kind)| *kind == lhfile::ports::Kind::Text);
        for (column, _) in texts {
            let sql = format!("SELECT '{name}.{column}' AS t FROM {name} WHERE {column} LIKE '%{word}%'");
            found.extend(node.texts(&sql));
        }
    }
    found
}

async fn hold(node: &Node, on: On) {
    let hold = pb::PutHoldRequest { target: Some(pb::HoldTarget { on: Some(on) }), matter: "case 7".to_owned() };
    node.maintenance().put_hold(request(&Service::all(), hold)).await.expect("the backend may");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_visitor_is_gone_for_everybody_and_named_nowhere_but_in_holds() {
    let node = Node::start(Setup::new()).await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let (gone, operator) = (Visitor::of_chat(&chat).named("gone9f2c"), Operator::new());
    let upload = |name: &str, text: &str| node.upload(name, samples::text(5_000, text)).to_chat(&chat);
    // Visitors may upload what the settings let them.
    node.set(&["visitor_extensions"], |s| s.visitor_extensions = vec!["txt".into()]).await.expect("the backend may");
    let mine = upload("a.txt", "mine").request_id("r1").passes_by(&gone).await.file_id;
    let shared = upload("b.txt", "shared").passes_by(&gone).await.file_id;
    let others = upload("c.txt", "shared").passes_by(&operator).await.file_id;
    let deleted = upload("d.txt", "deleted").passes_by(&gone).await.file_id;
    let held = upload("e.txt", "held").passes_by(&gone).await.file_id;
    let brought = node.upload("f.txt", samples::text(900, "brought")).for_visitor("gone9f2c");
    let brought = brought.passes_by(&all).await.file_id;
    node.delete(&deleted, &all).await.expect("the backend may");
    hold(&node, On::FileId(held.clone())).await;
    let (key, _) = node.create_key(wanted("visitor:gone9f2c", &[], &[chat.as_str()]), &all).await.expect("it may");
    assert!(node.believes(&key).await);
    store_long_ago(&node);
    assert_eq!(node.stored().len(), 5);

    let erased = erase(&node, "gone9f2c", &[], &all).await.expect("it may");
    assert_eq!((erased.purged_count, erased.pending_bytes, erased.shared_blob_count), (4, 0, 1), "{erased:?}");
    assert_eq!((erased.retired_key_count, erased.purged_bytes), (1, 5_000 + 5_000 + 900));
    assert!(erased.event_count >= 4, "{erased:?}");
    assert!(!node.believes(&key).await);
    let kept: Vec<_> = erased.kept.iter().map(|file| (file.file_id.as_str(), file.reason.as_str())).collect();
    assert_eq!(kept, [(held.as_str(), "ON_HOLD")]);
    for id in [&mine, &shared, &deleted, &brought] {
        assert_refused(node.file(id, &all).await, Code::NotFound, "NOT_FOUND");
        assert_refused(node.restore(id, &all).await, Code::NotFound, "NOT_FOUND");
        assert_refused(node.download(id, &all).await, Code::NotFound, "NOT_FOUND");
    }
    assert_eq!(node.download(&others, &operator).await.expect("it is there").bytes, samples::text(5_000, "shared"));
    assert!(node.file(&held, &all).await.is_ok());
    assert_eq!(node.stored().len(), 2, "the shared bytes, and the held ones");
    assert_eq!(naming(&node, "gone9f2c"), ["files.uploader_id"], "the held file says whose it is, and nothing else");

    let lift = pb::DeleteHoldRequest {
        target: Some(pb::HoldTarget { on: Some(On::FileId(held.clone())) }),
        matter: "case 7".to_owned(),
    };
    node.maintenance().delete_hold(request(&all, lift)).await.expect("the backend may");
    hold(&node, On::VisitorId("gone9f2c".to_owned())).await;
    let again = erase(&node, "gone9f2c", &[], &all).await.expect("again");
    assert_eq!((again.purged_count, again.event_count, again.kept.len()), (0, 0, 1), "{again:?}");
    let lift = pb::DeleteHoldRequest {
        target: Some(pb::HoldTarget { on: Some(On::VisitorId("gone9f2c".to_owned())) }),
        matter: "case 7".to_owned(),
    };
    node.maintenance().delete_hold(request(&all, lift)).await.expect("the backend may");
    assert_eq!(erase(&node, "gone9f2c", &[], &all).await.expect("it may").purged_count, 1);
    assert_eq!(naming(&node, "gone9f2c"), [""; 0]);
    let nothing = erase(&node, "gone9f2c", &[], &all).await.expect("again");
    assert_eq!(nothing, pb::EraseVisitorResponse::default());
    assert_eq!(node.number("SELECT count(*) AS n FROM erasures WHERE ended_at IS NOT NULL"), 2);
    assert_eq!(node.number("SELECT count(*) AS n FROM events WHERE kind = 'VISITOR_ERASED'"), 2);
    node.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_an_erased_visitor_ends_at_once_and_leaves_nothing() {
    let node = Node::start(Setup::new()).await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let gone = Visitor::of_chat(&chat).named("gone9f2c");
    node.set(&["visitor_extensions"], |s| s.visitor_extensions = vec!["txt".into()]).await.expect("the backend may");
    let (to, from) = tokio::sync::mpsc::channel(4);
    let target = Some(pb::upload_header::Target::ChatId(chat.clone()));
    let first = pb::UploadHeader { display_name: "a.txt".into(), target, ..Default::default() };
    to.send(header(first)).await.expect("open");
    to.send(chunk(samples::text(70_000, "running"))).await.expect("open");
    let stream = request(&gone, tokio_stream::wrappers::ReceiverStream::new(from));
    let mut files = node.files();
    let running = tokio::spawn(async move { files.upload_file(stream).await });
    while node.number("SELECT count(*) AS n FROM uploads WHERE state = 'RUNNING'") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let erased = erase(&node, "gone9f2c", &[], &all).await.expect("it may");
    assert_eq!((erased.ended_upload_count, erased.purged_count), (1, 0));
    // Nothing more is sent, and yet it ends.
    let answer = running.await.expect("no panic").map(drop);
    assert_refused(answer, Code::Aborted, "FENCED");
    drop(to);
    node.assert_nothing_left().await;
    assert_eq!(naming(&node, "gone9f2c"), [""; 0]);
    let told = node.texts("SELECT person_id AS t FROM events WHERE kind = 'UPLOAD_REFUSED'");
    assert!(told.len() == 1 && told[0].starts_with("erased~"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_visitors_brought_into_a_chat_goes_with_it() {
    let node = shared().await;
    let (chat, other, all) = (node.new_chat().await, node.new_chat().await, Service::all());
    let (visitor, operator) = (Visitor::of_chat(&chat), Operator::new());
    let pdf = || samples::sample("pdf");
    let theirs = node.upload("a.pdf", pdf()).to_chat(&chat).passes_by(&visitor).await.file_id;
    let operators = node.upload("b.pdf", pdf()).to_chat(&chat).passes_by(&operator).await.file_id;
    let elsewhere = node.upload("c.pdf", pdf()).to_chat(&other).passes_by(&Visitor::of_chat(&other)).await.file_id;
    let erased = erase(node, &format!("of-{chat}"), &[&chat], &all).await.expect("it may");
    assert_eq!((erased.purged_count, erased.shared_blob_count), (1, 1));
    assert_refused(node.file(&theirs, &visitor).await, Code::NotFound, "NOT_FOUND");
    assert!(node.file(&operators, &operator).await.is_ok() && node.file(&elsewhere, &all).await.is_ok());
    let sql = format!("SELECT person_id AS t FROM events WHERE person_kind = 'VISITOR' AND chat_id = '{chat}'");
    assert!(node.texts(&sql).iter().all(|id| id.starts_with("erased~")), "{:?}", node.texts(&sql));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_is_erased_by_who_may_alone_and_for_a_reason() {
    let node = shared().await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    let bounded = Service::all().of_chats(&[&chat]);
    let callers: [&dyn Caller; 4] = [
        &Visitor::of_chat(&chat),
        &Operator::with(&["use_operator", "file_delete"]),
        &bounded,
        &Service::with(&["maintenance_run"]),
    ];
    for caller in callers {
        let answer = erase(node, "v", &[&chat], caller).await;
        assert_refused(answer, Code::PermissionDenied, "MISSING_PERMISSION");
    }
    for bad in [
        pb::EraseVisitorRequest::default(),
        pb::EraseVisitorRequest { visitor_id: "v".into(), ..Default::default() },
        pb::EraseVisitorRequest { visitor_id: "v".into(), reason: "x".repeat(201), ..Default::default() },
        pb::EraseVisitorRequest { visitor_id: "v".into(), reason: "a\nb".into(), ..Default::default() },
        pb::EraseVisitorRequest { visitor_id: "a b".into(), reason: "x".into(), ..Default::default() },
        pb::EraseVisitorRequest { visitor_id: "v".into(), reason: "x".into(), chat_ids: vec!["a".into(); 501] },
        pb::EraseVisitorRequest { visitor_id: "v".into(), reason: "x".into(), chat_ids: vec![String::new()] },
    ] {
        let answer = node.files().erase_visitor(request(&all, bad)).await;
        assert_refused(answer, Code::InvalidArgument, "BAD_ARGUMENT");
    }
    assert!(node.file(&file.file_id, &all).await.is_ok(), "nothing was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_is_erased_by_the_command_line_and_what_stays_is_told() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let gone = Visitor::of_chat(&chat).named("gone");
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&gone).await.file_id;
    node.upload("b.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&Visitor::of_chat(&chat)).await;
    hold(&node, On::FileId(file.clone())).await;
    let ask = ["erase", "--visitor", "gone", "--chat", &chat, "--reason", "request 7"];
    // Nobody is there to agree.
    assert_eq!(cli(&node, &ask).code, Some(2));
    assert_eq!(node.number("SELECT count(*) AS n FROM erasures"), 0);
    let told = cli(&node, &[&ask[..], &["--yes"]].concat()).object();
    assert_eq!((&told["purged_count"], &told["kept"][0]["file_id"]), (&json!(1), &json!(file)), "{told}");
    assert_eq!(node.number("SELECT count(*) AS n FROM files"), 1);
}

/// Kills an erasure at a point, starts again and erases the same visitor once more: nothing is left, one pseudonym stands
/// everywhere, and the answer tells the whole.
async fn killed_at(point: &str) {
    if !cfg!(feature = "fault-points") {
        panic!("run the tests by `make test`, or with --features fault-points");
    }
    let mut node = Node::start(Setup::new().stops_at(point)).await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let gone = Visitor::of_chat(&chat).named("gone9f2c");
    for name in ["a.pdf", "b.pdf", "c.pdf"] {
        node.upload(name, samples::sample("pdf")).to_chat(&chat).passes_by(&gone).await;
    }
    store_long_ago(&node);
    tokio::select! {
        answer = erase(&node, "gone9f2c", &[], &all) => panic!("it did not stop at {point}: {answer:?}"),
        () = node.wait_for_fault() => {}
    }
    node.kill9();
    node.start_again().await;
    let erased = erase(&node, "gone9f2c", &[], &all).await.expect("the backend may");
    assert_eq!((erased.purged_count, erased.event_count), (3, 3), "{point}: {erased:?}");
    assert_eq!(naming(&node, "gone9f2c"), [""; 0], "{point}");
    let names = node.texts("SELECT DISTINCT person_id AS t FROM events WHERE person_kind = 'VISITOR'");
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(node.number("SELECT count(*) AS n FROM events WHERE kind = 'VISITOR_ERASED'"), 1);
    node.assert_nothing_left().await;
    assert!(node.stored().is_empty());
}

macro_rules! killed {
    ($($name:ident: $point:literal;)+) => { $(
        #[tokio::test]
        async fn $name() {
            killed_at($point).await;
        }
    )+ };
}

killed! {
    kill_at_d4_before_the_files_of_a_visitor_go_leaves_them_to_the_next_erasure: "D4";
    kill_at_e1_after_the_files_and_before_the_events_leaves_these_to_the_next_erasure: "E1";
    kill_at_e2_before_the_end_of_an_erasure_leaves_that_to_the_next: "E2";
    kill_in_the_last_transaction_of_an_erasure_leaves_it_to_the_next: "E2-written";
}
