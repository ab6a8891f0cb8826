//! Maintenance from outside: the rule by the settings, planned, run and undone, by the command line and by the RPCs.
//!
//! `maintenance/runs.rs`: runs that repeat, wait, end early; `maintenance/guard.rs`: many files; `maintenance/steady.rs`:
//! night after night; `maintenance/cron.rs`: by itself; `maintenance/clocks.rs`: by a wrong clock; `maintenance/consistency.rs`: bytes swept and checked; `maintenance/kill.rs`:
//! kill -9; `maintenance/nodes.rs`: two nodes; `maintenance/sentences.rs`: what each choice of the settings deletes;
//! `maintenance/met.rs`: files of every origin, and damaged rows; `maintenance/words.rs`: as the README says.
//! Not here: the rule, cell by cell (`src/domain/retention.rs`).

mod clocks;
mod consistency;
mod cron;
mod guard;
mod kill;
mod met;
mod nodes;
mod purging;
mod runs;
mod sentences;
mod steady;
mod words;

use serde_json::{Value, json};
use tonic::Code;

use crate::{
    cli::program::{Ended, lhfile},
    harness::{
        Caller as _, Node, Operator, Service, Setup, Visitor, assert_refused,
        calls::request,
        pb::{self, FileFate, hold_target::On},
        runs::DAY,
        samples,
    },
};

/// The command line against this node, as the backend.
fn cli(node: &Node, words: &[&str]) -> Ended {
    let (address, token) = (node.address().to_string(), Service::all().token());
    let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
    lhfile(&words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", &token)], node.folder())
}

fn set(node: &Node, key: &str, words: &[&str]) -> Value {
    cli(node, &[&["settings", "set", key][..], words].concat()).object()
}

/// Files of this name were uploaded so many days earlier.
fn age(node: &Node, name: &str, days: i64) {
    let by = days * DAY;
    assert!(node.change(&format!("UPDATE files SET created_at = created_at - {by} WHERE display_name = '{name}'")) > 0);
    node.change(&format!(
        "UPDATE attachments SET file_created_at = file_created_at - {by} WHERE file_number IN (SELECT number FROM \
         files WHERE display_name = '{name}')"
    ));
}

/// So many more files like the one of this name, which are called `copy`, each a second older than the one before.
fn copy(node: &Node, name: &str, count: i64) {
    let (numbers, random) = match node.postgres() {
        Some(_) => {
            (format!("s(i) AS (SELECT generate_series(1::bigint, {count}))"), "decode(md5(random()::text || i), 'hex')")
        }
        None => (
            format!("RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {count})"),
            "randomblob(16 + 0 * i)",
        ),
    };
    let copied = node.change(&format!(
        "INSERT INTO files (number, id, code_hash, blob_id, state, display_name, extension, media_type, uploader_kind, \
         uploader_id, home_chat_id, persistent, sha256, size, uploaded_sha256, revision, created_at, ages_as) WITH {numbers} \
         SELECT (SELECT max(number) FROM files) + 1000000 + i, {random}, {random}, f.blob_id, f.state, 'copy', f.extension, f.media_type, \
         f.uploader_kind, f.uploader_id, f.home_chat_id, f.persistent, f.sha256, f.size, f.uploaded_sha256, f.revision, \
         f.created_at - i * 1000000, f.ages_as FROM s, files f WHERE f.display_name = '{name}'"
    ));
    assert_eq!(i64::try_from(copied), Ok(count));
}

/// How many files of this name are in this state.
fn count(node: &Node, name: &str, state: &str) -> i64 {
    node.number(&format!("SELECT count(*) AS n FROM files WHERE display_name = '{name}' AND state = '{state}'"))
}

/// The report of a task of a run.
fn task<'r>(run: &'r Value, name: &str) -> &'r Value {
    let name = json!(format!("MAINTENANCE_TASK_{name}"));
    let tasks = run["tasks"].as_array().expect("a list");
    tasks.iter().find(|report| report["task"] == name).unwrap_or_else(|| panic!("{name} of {run}"))
}

fn fate(node: &Node, id: &str) -> (String, String) {
    let told = cli(node, &["maintenance", "explain", id]).object();
    let text = |field: &str| told[field].as_str().expect("text").to_owned();
    (text("fate"), text("explanation"))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_by_the_rule_of_the_settings_and_can_be_restored() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let (visitor, operator, all) = (Visitor::of_chat(&chat), Operator::with(&["*"]), Service::all());
    let pdf = samples::sample("pdf");
    let to_chat = |name: &str| node.upload(name, pdf.clone()).to_chat(&chat);
    let mut ids = std::collections::BTreeMap::new();
    for (name, days) in [("v-old.pdf", 31), ("v-new.pdf", 29), ("v-loose.pdf", 31), ("v-held.pdf", 400)] {
        ids.insert(name, to_chat(name).passes_by(&visitor).await.file_id);
        age(&node, name, days);
    }
    for (name, days) in [("o-old.pdf", 61), ("o-new.pdf", 59)] {
        ids.insert(name, to_chat(name).passes_by(&operator).await.file_id);
        age(&node, name, days);
    }
    let library = node.upload("library.pdf", pdf.clone()).to_library().passes_by(&operator).await;
    ids.insert("service.pdf", to_chat("service.pdf").passes_by(&all).await.file_id);
    ids.insert("library.pdf", library.file_id);
    for name in ["library.pdf", "service.pdf"] {
        age(&node, name, 400);
    }
    let loose = pb::DetachFileRequest { file_id: ids["v-loose.pdf"].clone(), chat_id: chat.clone() };
    node.files().detach_file(request(&all, loose)).await.expect("the backend may");
    let target = Some(pb::HoldTarget { on: Some(On::FileId(ids["v-held.pdf"].clone())) });
    let hold = pb::PutHoldRequest { target, matter: "case 7".to_owned() };
    node.maintenance().put_hold(request(&all, hold)).await.expect("the backend may");

    // Nothing is deleted that nobody asked for.
    let plan = cli(&node, &["maintenance", "plan"]).object();
    assert_eq!((&plan["file_count"], &plan["proposed"]), (&json!(0), &json!(false)));
    assert_eq!(fate(&node, &ids["v-old.pdf"]).0, "FILE_FATE_OWNER");
    assert_eq!(
        set(&node, "delete_owners", &["visitors", "OPERATORS"]),
        json!({"delete_owners": ["VISITORS", "OPERATORS"]})
    );
    assert_eq!(fate(&node, &ids["v-old.pdf"]).0, "FILE_FATE_NO_AGE");
    set(&node, "visitor_days", &["30"]);
    set(&node, "operator_days", &["60"]);

    let words = ["maintenance", "plan", "--owners", "visitors", "--relations", "unassigned", "--visitor-days", "30"];
    let what_if = cli(&node, &words).object();
    assert_eq!((&what_if["file_count"], &what_if["proposed"]), (&json!(1), &json!(true)));
    set(&node, "delete_relations", &["UNASSIGNED"]);
    assert_eq!(cli(&node, &["maintenance", "plan"]).object()["groups"].as_array().map(Vec::len), Some(1));
    assert_eq!(fate(&node, &ids["v-old.pdf"]).0, "FILE_FATE_RELATION");
    set(&node, "delete_relations", &["", ""]);
    let told = cli(&node, &["maintenance", "plan", "--files", "10"]).lines();
    let group = |owner: &str, assigned: bool| {
        json!({
            "owner": format!("CALLER_KIND_{owner}"), "assigned": assigned, "file_count": 1, "size_bytes": pdf.len()
        })
    };
    let groups = json!([group("OPERATOR", true), group("VISITOR", false), group("VISITOR", true)]);
    assert_eq!((&told[0]["file_count"], &told[0]["groups"]), (&json!(3), &groups));
    assert_eq!(told[0]["confirmation_token"], json!(""), "so few go without a word");
    let planned: Vec<&str> = told[1..].iter().map(|file| file["file_id"].as_str().expect("an id")).collect();
    assert_eq!(planned, [&ids["o-old.pdf"], &ids["v-old.pdf"], &ids["v-loose.pdf"]], "the oldest first");
    let again =
        cli(&node, &["maintenance", "plan", told[0]["plan_id"].as_str().expect("an id"), "--files", "10"]).lines();
    assert_eq!(again, told);
    for (name, fate, words) in [
        ("v-old.pdf", "FILE_FATE_DUE", "next run"),
        ("v-new.pdf", "FILE_FATE_YOUNG", "after 20"),
        ("v-held.pdf", "FILE_FATE_HELD", "hold"),
        ("library.pdf", "FILE_FATE_PERSISTENT", "never"),
        ("service.pdf", "FILE_FATE_OWNER", "service"),
    ] {
        let (told, explanation) = self::fate(&node, &ids[name]);
        assert!(told == fate && explanation.contains(words), "{name}: {told}, {explanation}");
    }

    let run = cli(&node, &["maintenance", "run", "--wait"]).lines().pop().expect("the end");
    assert_eq!((&run["state"], &run["trigger"]), (&json!("RUN_STATE_DONE"), &json!("RUN_TRIGGER_CALL")));
    let expired = task(&run, "EXPIRE");
    assert_eq!(
        (&expired["outcome"], &expired["done_count"], &expired["size_bytes"], &expired["guard_files"]),
        (&json!("TASK_OUTCOME_DONE"), &json!(3), &json!(3 * pdf.len()), &json!(1_000))
    );
    let mut gone = node
        .deleted_files(&all)
        .await
        .expect("the backend may")
        .into_iter()
        .map(|f| f.display_name)
        .collect::<Vec<_>>();
    gone.sort_unstable();
    assert_eq!(gone, ["o-old.pdf", "v-loose.pdf", "v-old.pdf"]);
    for (name, id) in &ids {
        let answer = node.file(id, &all).await;
        if gone.iter().any(|gone| gone == name) {
            assert_refused(answer, Code::NotFound, "NOT_FOUND");
            assert_eq!(fate(&node, id).0, "FILE_FATE_DELETED");
        } else {
            answer.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        }
    }
    // Restored, it is young again.
    node.restore(&ids["v-old.pdf"], &all).await.expect("within the grace");
    assert_eq!(fate(&node, &ids["v-old.pdf"]).0, FileFate::Young.as_str_name());
    let again = cli(&node, &["maintenance", "run", "--wait", "--task", "expire"]).lines().pop().expect("the end");
    assert_eq!(
        (&again["tasks"].as_array().map(Vec::len), &task(&again, "EXPIRE")["done_count"]),
        (&Some(1), &json!(0))
    );
    node.file(&ids["v-old.pdf"], &all).await.expect("it stays");

    // Both runs are told, the newer one first; to people, too.
    let runs = cli(&node, &["maintenance", "runs"]).lines();
    assert_eq!(runs.iter().map(|run| &run["run_id"]).collect::<Vec<_>>(), [&again["run_id"], &run["run_id"]]);
    assert_eq!(cli(&node, &["maintenance", "show", run["run_id"].as_str().expect("an id")]).object(), run);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_maintenance_are_judged() {
    type Change = fn(&mut pb::Settings);
    let node = Node::start(Setup::new()).await;
    for (key, value) in [
        ("visitor_days", "36501"),
        ("operator_days", "-1"),
        ("run_days", "0"),
        ("maintenance_cron", "0 0 30 2 *"),
        ("maintenance_cron", "0 3 1 * 1"),
        ("maintenance_cron", "@daily"),
    ] {
        let refusal = cli(&node, &["settings", "set", key, value]).refused("INVALID_ARGUMENT", "BAD_SETTING");
        assert_eq!(refusal["metadata"]["setting"], json!(key));
    }
    let absurd: [(&str, Change); 8] = [
        ("visitor_days", |s| s.visitor_days = i64::MIN),
        ("operator_days", |s| s.operator_days = i64::MAX),
        ("run_days", |s| s.run_days = -1),
        ("delete_owners", |s| s.delete_owners = vec![1, 1]),
        ("delete_owners", |s| s.delete_owners = vec![0]),
        ("delete_owners", |s| s.delete_owners = vec![9]),
        ("delete_relations", |s| s.delete_relations = vec![2, -1]),
        ("maintenance_cron", |s| s.maintenance_cron = "* ".repeat(10_000)),
    ];
    for (key, change) in absurd {
        assert_refused(node.set(&[key], change).await, Code::InvalidArgument, "BAD_SETTING");
    }
    assert_eq!(node.number("SELECT version AS n FROM settings_version"), 0, "nothing was changed");
    assert_eq!(set(&node, "maintenance_cron", &["0", "3", "*", "*", "*"]), json!({"maintenance_cron": "0 3 * * *"}));
    assert_eq!(set(&node, "delete_relations", &["unassigned"]), json!({"delete_relations": ["UNASSIGNED"]}));
    assert_eq!(set(&node, "delete_relations", &[""]), json!({"delete_relations": []}));
    for bad in [
        pb::RetentionRule { visitors: true, visitor_days: -1, ..Default::default() },
        pb::RetentionRule { operators: true, operator_days: 36_501, ..Default::default() },
    ] {
        let plan = pb::PlanMaintenanceRequest { rule: Some(bad) };
        let answer = node.maintenance().plan_maintenance(request(&Service::all(), plan)).await;
        assert_refused(answer, Code::InvalidArgument, "BAD_ARGUMENT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_forgotten_after_run_days() {
    let node = Node::start(Setup::new()).await;
    let run_id = || cli(&node, &["maintenance", "run", "--wait"]).lines().pop().expect("the end")["run_id"].clone();
    let old = run_id();
    assert!(node.change(&format!("UPDATE runs SET begun_at = begun_at - {}", 2 * DAY)) == 1);
    let kept = cli(&node, &["maintenance", "run", "--wait", "--task", "TRIM"]).lines().pop().expect("the end");
    assert_eq!(task(&kept, "TRIM")["outcome"], json!("TASK_OUTCOME_DONE"));
    cli(&node, &["maintenance", "show", old.as_str().expect("an id")]).object();
    set(&node, "run_days", &["1"]);
    cli(&node, &["maintenance", "run", "--wait", "--task", "TRIM"]).lines();
    cli(&node, &["maintenance", "show", old.as_str().expect("an id")]).refused("NOT_FOUND", "NOT_FOUND");
    assert_eq!(cli(&node, &["maintenance", "runs"]).lines().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_and_stubs_are_forgotten_after_event_days() {
    let node = Node::start(Setup::new()).await;
    let (chat, all) = (node.new_chat().await, Service::all());
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&Operator::new()).await.file_id;
    let purge = pb::PurgeFilesRequest { file_ids: vec![file.clone()] };
    node.files().purge_files(request(&all, purge)).await.expect("the backend may");
    let old = node.change(&format!("UPDATE events SET at = at - {}", 2 * DAY));
    assert_eq!((old, node.change(&format!("UPDATE stubs SET purged_at = purged_at - {}", 2 * DAY))), (3, 1));
    let trim = || cli(&node, &["maintenance", "run", "--wait", "--task", "TRIM"]).lines().pop().expect("the end");
    let done = |run: &Value| task(run, "TRIM")["done_count"].clone();
    assert_eq!(done(&trim()), json!(0), "400 days by default");
    assert_eq!(node.number("SELECT count(*) AS n FROM stubs"), 1);
    set(&node, "event_days", &["1"]);
    assert_eq!(done(&trim()), json!(4));
    assert_eq!(node.number("SELECT count(*) AS n FROM stubs"), 0);
    let kinds = node.texts("SELECT kind AS t FROM events ORDER BY seq");
    assert_eq!(kinds, ["RUN_BEGUN", "SETTINGS_UPDATED", "RUN_BEGUN"]);
    assert_refused(node.file(&file, &all).await, Code::NotFound, "NOT_FOUND");
}
