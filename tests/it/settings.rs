//! Settings, flipped on a running server, and their effects seen; changes all or nothing; read-only mode.
//!
//! Not here: who may change settings (`matrix.rs`), the switches of uploads (`switches.rs`).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tonic::{Code, Status};

use crate::harness::{
    Caller, Node, Operator, Service, Setup, Visitor,
    archives::{Member, zip},
    assert_refused,
    calls::request,
    pb::{
        self, AntivirusScope, AntivirusUnscannable, ChatStatus, OperatorDownload, Settings, VerdictKind,
        VisitorDownload, get_upload_options_request::Target,
    },
    refusal::facts_of,
    samples,
};

/// Where each setting is flipped, here, in `switches.rs`, `restore.rs`, `maintenance.rs` or `quarantine.rs`; a setting
/// without a test fails here.
const FLIPPED: &[(&str, &[&str])] = &[
    ("visitors_uploads_can_be_switched_off_and_a_chat_may_allow_them_again", &["visitor_upload_enabled"]),
    ("operators_uploads_can_be_switched_off", &["operator_upload_enabled"]),
    (
        "extensions_of_visitors_operators_and_bots_can_be_changed",
        &["operator_extensions", "visitor_extensions", "bot_extensions"],
    ),
    ("limit_of_size_can_be_changed_and_equal_passes", &["max_file_bytes"]),
    (
        "downloads_follow_their_settings",
        &["visitor_download", "operator_download", "closed_chat_grace_seconds", "link_ttl_seconds"],
    ),
    ("the_antivirus_follows_its_settings", &["antivirus_enabled", "antivirus_scope", "antivirus_unscannable"]),
    ("what_is_only_told_is_told", &["one_file_at_a_time", "voice_visitor", "voice_operator", "voice_max_seconds"]),
    // Its effect needs signatures with a date, which no test has: `app/scanning` and `adapters/scanner` test it.
    ("changes_are_judged_all_or_nothing_and_by_etag", &["signature_max_age_days"]),
    ("read_only_refuses_every_change_but_of_settings", &["read_only"]),
    ("nothing_comes_back_after_the_grace_and_the_setting_counts_at_once", &["deleted_grace_days"]),
    (
        "files_go_by_the_rule_of_the_settings_and_can_be_restored",
        &["delete_owners", "delete_relations", "visitor_days", "operator_days"],
    ),
    ("runs_are_forgotten_after_run_days", &["run_days"]),
    ("events_and_stubs_are_forgotten_after_event_days", &["event_days"]),
    ("each_moment_has_one_run_over_all_nodes", &["maintenance_cron"]),
    (
        "files_that_were_never_scanned_come_first_when_scanning_is_switched_on_and_the_rest_waits_for_its_budget",
        &["rescan_budget_bytes_per_hour"],
    ),
    ("signature_that_hits_every_zip_stops_at_its_brake_is_told_and_can_be_ignored", &["ignored_signatures"]),
    ("a_run_reads_as_many_bytes_as_check_budget_bytes_and_the_next_one_goes_on", &["check_budget_bytes"]),
];

#[test]
fn every_setting_is_flipped_by_a_test() {
    let flipped: BTreeSet<&str> = FLIPPED.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
    let declared: BTreeSet<&str> = lhfile::domain::settings::TABLE.iter().map(|def| def.key).collect();
    assert_eq!(flipped, declared);
    for (test, _) in FLIPPED {
        let there = [
            include_str!("settings.rs"),
            include_str!("switches.rs"),
            include_str!("restore.rs"),
            include_str!("maintenance.rs"),
            include_str!("maintenance/cron.rs"),
            include_str!("quarantine/brake.rs"),
            include_str!("quarantine/order.rs"),
            include_str!("maintenance/consistency.rs"),
        ];
        assert!(there.iter().any(|text| text.contains(&format!("async fn {test}("))), "{test} is gone");
    }
}

async fn set(node: &Node, key: &str, change: impl FnOnce(&mut Settings)) -> Settings {
    node.set(&[key], change).await.unwrap_or_else(|status| panic!("{key}: {status:?}"))
}

async fn options(node: &Node, chat: &str, caller: &impl Caller) -> pb::GetUploadOptionsResponse {
    let what = pb::GetUploadOptionsRequest { target: Some(Target::ChatId(chat.to_owned())) };
    node.files().get_upload_options(request(caller, what)).await.expect("its own chat").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn max_file_bytes_beyond_the_scanners_limit_takes_the_scanner_along() {
    const MIB: i64 = 1 << 20;
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let operator = Operator::new();
    let upload =
        |size: i64| node.upload("a.txt", samples::text(usize::try_from(size).expect("small"), "size")).to_chat(&chat);
    // Beyond what the managed clamd was started for: it is restarted, and uploads wait for it.
    let before = (node.clamd_pid(), node.scanner_status().await.expect("the backend may"));
    let limit = |status: &pb::GetScannerStatusResponse| status.limits.as_ref().expect("limits").max_file_bytes;
    let wanted = limit(&before.1) + 10 * MIB;
    set(&node, "max_file_bytes", |s| s.max_file_bytes = wanted).await;
    let stored = upload(wanted).passes_by(&operator).await;
    assert_eq!((stored.size_bytes, stored.verdict.map(|v| v.kind())), (wanted, Some(VerdictKind::Clean)));
    assert_refused(upload(wanted + 1).by(&operator).await, Code::InvalidArgument, "TOO_LARGE");
    let after = (node.clamd_pid(), node.scanner_status().await.expect("the backend may"));
    assert!(after.1.healthy && limit(&after.1) >= wanted, "{:?}", after.1);
    assert_ne!(before.0, after.0, "another clamd, with limits to match");
    let infected = node.upload("e.txt", samples::eicar()).to_chat(&chat).by(&operator).await;
    assert_refused(infected, Code::InvalidArgument, "INFECTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_follow_their_settings() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let visitor = Visitor::of_chat(&chat);
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&visitor).await;
    let id = file.file_id.as_str();
    let not_allowed =
        |answer: Result<(), Status>| assert_refused(answer, Code::PermissionDenied, "DOWNLOAD_NOT_ALLOWED");
    let minute_ago = prost_types::Timestamp { seconds: crate::harness::callers::now() as i64 - 60, nanos: 0 };
    node.put_chat_as(&chat, ChatStatus::Closed, |chat| chat.close_time = Some(minute_ago)).await;
    node.download(id, &visitor).await.expect("within the grace of ten minutes");
    set(&node, "closed_chat_grace_seconds", |s| s.closed_chat_grace_seconds = 30).await;
    not_allowed(node.download(id, &visitor).await.map(drop));
    set(&node, "visitor_download", |s| s.set_visitor_download(VisitorDownload::Forever)).await;
    node.download(id, &visitor).await.expect("in any status");
    set(&node, "visitor_download", |s| s.set_visitor_download(VisitorDownload::Link)).await;
    not_allowed(node.download(id, &visitor).await.map(drop));
    let link = node.link(id, &visitor).await.expect("which the visitor may make");
    node.download_link(&link).await.expect("by link");

    let stranger = Operator::new().of_chats(&[]).named("99");
    assert_refused(node.download(id, &stranger).await, Code::NotFound, "NOT_FOUND");
    set(&node, "operator_download", |s| s.set_operator_download(OperatorDownload::AnyOperator)).await;
    node.download(id, &stranger).await.expect("any operator");
    let other = Operator::with(&["upload_new_file"]).of_chats(&[]).named("98");
    assert_refused(node.download(id, &other).await, Code::NotFound, "NOT_FOUND");
    set(&node, "operator_download", |s| s.set_operator_download(OperatorDownload::ChatAccess)).await;
    assert_refused(node.download(id, &stranger).await, Code::NotFound, "NOT_FOUND");

    let link_for = async |seconds| {
        let ttl = Some(prost_types::Duration { seconds, nanos: 0 });
        let what = pb::CreateDownloadLinkRequest { file_id: id.to_owned(), ttl, inline: false };
        node.files().create_download_link(request(&Service::all(), what)).await.map(drop)
    };
    assert_refused(link_for(301).await, Code::InvalidArgument, "BAD_ARGUMENT");
    set(&node, "link_ttl_seconds", |s| s.link_ttl_seconds = 2).await;
    assert_refused(link_for(3).await, Code::InvalidArgument, "BAD_ARGUMENT");
    link_for(2).await.expect("equal");
    let short = node.link(id, &Service::all()).await.expect("the default is the setting");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_refused(node.download_link(&short).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_antivirus_follows_its_settings() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let (visitor, operator) = (Visitor::of_chat(&chat), Operator::new());
    let list = vec!["txt".to_owned(), "zip".to_owned()];
    set(&node, "visitor_extensions", |s| s.visitor_extensions = list).await;
    let eicar = || node.upload("e.txt", samples::eicar()).to_chat(&chat);
    let kind = |file: &pb::File| file.verdict.as_ref().expect("a verdict").kind();
    assert_refused(eicar().by(&operator).await, Code::InvalidArgument, "INFECTED");

    set(&node, "antivirus_scope", |s| s.set_antivirus_scope(AntivirusScope::Visitors)).await;
    // What was found infected stays so, whoever brings it.
    assert_refused(eicar().by(&operator).await, Code::InvalidArgument, "INFECTED");
    let packed = zip(&[Member::stored("e.com", &samples::eicar())]);
    let packed = || node.upload("e.zip", packed.clone()).to_chat(&chat);
    let unscanned = packed().passes_by(&operator).await;
    assert_eq!(kind(&unscanned), VerdictKind::NotScanned);
    // What an operator brought in unscanned is scanned when a visitor brings it, and a hit masks both.
    assert_refused(packed().by(&visitor).await, Code::InvalidArgument, "INFECTED");
    assert_refused(node.download(&unscanned.file_id, &operator).await, Code::NotFound, "NOT_FOUND");
    assert_eq!(node.chat_files(&chat, &operator).await.expect("it may"), []);
    set(&node, "antivirus_scope", |s| s.set_antivirus_scope(AntivirusScope::Everyone)).await;

    set(&node, "antivirus_enabled", |s| s.antivirus_enabled = false).await;
    let text = node.upload("t.txt", samples::text(500, "unscanned")).to_chat(&chat);
    assert_eq!(kind(&text.passes_by(&visitor).await), VerdictKind::NotScanned);
    set(&node, "antivirus_enabled", |s| s.antivirus_enabled = true).await;
    assert_eq!(kind(&text.passes_by(&visitor).await), VerdictKind::Clean);

    let locked = zip(&[Member::stored("secret.txt", b"nobody can read this").encrypted()]);
    let locked = node.upload("locked.zip", locked).to_chat(&chat);
    assert_refused(locked.by(&visitor).await, Code::InvalidArgument, "UNSCANNABLE");
    set(&node, "antivirus_unscannable", |s| s.set_antivirus_unscannable(AntivirusUnscannable::Accept)).await;
    assert_eq!(kind(&locked.passes_by(&visitor).await), VerdictKind::UnscannableAccepted);
    assert_refused(eicar().by(&visitor).await, Code::InvalidArgument, "INFECTED");
    let both =
        [Member::stored("secret.txt", b"nobody can read this").encrypted(), Member::stored("e.com", &samples::eicar())];
    let infected = node.upload("both.zip", zip(&both)).to_chat(&chat).by(&visitor).await;
    assert_refused(infected, Code::InvalidArgument, "INFECTED");
    set(&node, "antivirus_unscannable", |s| s.set_antivirus_unscannable(AntivirusUnscannable::Refuse)).await;
    assert_refused(locked.by(&visitor).await, Code::InvalidArgument, "UNSCANNABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_told_is_told() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let (visitor, operator) = (Visitor::of_chat(&chat), Operator::new());
    let told = async || {
        let (v, o) = (options(&node, &chat, &visitor).await, options(&node, &chat, &operator).await);
        let voice = |options: &pb::GetUploadOptionsResponse| options.voice.expect("always told");
        (v.one_file_at_a_time, voice(&v).allowed, voice(&o).allowed, voice(&v).max_seconds)
    };
    assert_eq!(told().await, (false, false, false, 30));
    set(&node, "one_file_at_a_time", |s| s.one_file_at_a_time = true).await;
    set(&node, "voice_visitor", |s| s.voice_visitor = true).await;
    assert_eq!(told().await, (true, true, false, 30));
    set(&node, "voice_operator", |s| s.voice_operator = true).await;
    set(&node, "voice_max_seconds", |s| s.voice_max_seconds = 60).await;
    assert_eq!(told().await, (true, true, true, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn read_only_refuses_every_change_but_of_settings() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let backend = Service::all();
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&backend).await;
    let (id, chat_id) = (file.file_id.clone(), chat.clone());
    set(&node, "read_only", |s| s.read_only = true).await;

    let told = pb::Chat { chat_id: chat.clone(), status: ChatStatus::Closed.into(), ..Default::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["persistent".to_owned()] });
    let attach = pb::AttachFileRequest { file_id: id.clone(), chat_id: chat_id.clone(), ..Default::default() };
    let batch = pb::BatchAttachFileRequest { file_id: id.clone(), chat_ids: vec![chat_id.clone()] };
    let detach = pb::DetachFileRequest { file_id: id.clone(), chat_id: chat_id.clone() };
    let update = pb::UpdateFileRequest { file_id: id.clone(), persistent: true, update_mask, ..Default::default() };
    let put = pb::PutChatRequest { chat: Some(told.clone()) };
    let puts = pb::BatchPutChatsRequest { chats: vec![told] };
    let remove = pb::DeleteChatRequest { chat_id, version: 0 };
    let (mut files, mut chats) = (node.files(), node.chats());
    let answers: Vec<(&str, Result<(), Status>)> = vec![
        ("UploadFile", node.upload("b.pdf", samples::sample("pdf")).to_chat(&chat).by(&backend).await.map(drop)),
        ("AttachFile", files.attach_file(request(&backend, attach)).await.map(drop)),
        ("BatchAttachFile", files.batch_attach_file(request(&backend, batch)).await.map(drop)),
        ("DetachFile", files.detach_file(request(&backend, detach)).await.map(drop)),
        ("UpdateFile", files.update_file(request(&backend, update)).await.map(drop)),
        ("DeleteFile", node.delete(&id, &backend).await),
        ("PutChat", chats.put_chat(request(&backend, put)).await.map(drop)),
        ("BatchPutChats", chats.batch_put_chats(request(&backend, puts)).await.map(drop)),
        ("DeleteChat", chats.delete_chat(request(&backend, remove)).await.map(drop)),
    ];
    for (rpc, answer) in answers {
        assert!(answer.is_err(), "{rpc}");
        assert_refused(answer, Code::Unavailable, "READ_ONLY");
    }
    assert_eq!(options(&node, &chat, &backend).await.reasons, ["READ_ONLY"]);
    assert_eq!(node.file(&id, &backend).await.expect("reading goes on"), file);
    assert_eq!(node.download(&id, &backend).await.expect("reading goes on").bytes, samples::sample("pdf"));
    node.link(&id, &backend).await.expect("it stores nothing");
    assert_eq!(node.chat_files(&chat, &backend).await.expect("reading goes on"), [file]);
    set(&node, "read_only", |s| s.read_only = false).await;
    node.delete(&id, &backend).await.expect("changes again");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_judged_all_or_nothing_and_by_etag() {
    let node = Node::start(Setup::new()).await;
    let get = async || {
        let answer = node.config().get_settings(request(&Service::all(), pb::GetSettingsRequest {})).await;
        answer.expect("the backend may").into_inner()
    };
    let before = get().await;
    type Change = fn(&mut Settings);
    let bad: Vec<(&str, Change)> = vec![
        ("max_file_bytes", |s| s.max_file_bytes = 0),
        ("max_file_bytes", |s| s.max_file_bytes = -1),
        ("max_file_bytes", |s| s.max_file_bytes = 1_610_612_737),
        ("max_file_bytes", |s| s.max_file_bytes = i64::MAX),
        ("closed_chat_grace_seconds", |s| s.closed_chat_grace_seconds = -1),
        ("link_ttl_seconds", |s| s.link_ttl_seconds = 0),
        ("voice_max_seconds", |s| s.voice_max_seconds = 0),
        ("signature_max_age_days", |s| s.signature_max_age_days = -1),
        ("visitor_extensions", |s| s.visitor_extensions = vec!["PDF".to_owned()]),
        ("visitor_extensions", |s| s.visitor_extensions = vec![".pdf".to_owned()]),
        ("visitor_extensions", |s| s.visitor_extensions = vec![String::new()]),
        ("operator_extensions", |s| s.operator_extensions = vec!["elevenchars".to_owned()]),
        ("visitor_download", |s| s.visitor_download = 0),
        ("operator_download", |s| s.operator_download = 99),
        ("antivirus_scope", |s| s.antivirus_scope = -1),
        ("antivirus_unscannable", |s| s.antivirus_unscannable = 0),
    ];
    for (key, change) in bad {
        let with_a_good_one = |s: &mut Settings| {
            s.one_file_at_a_time = true;
            change(s);
        };
        let answer = node.set(&["one_file_at_a_time", key], with_a_good_one).await;
        let status = assert_refused(answer, Code::InvalidArgument, "BAD_SETTING");
        assert_eq!(facts_of(&status).get("setting").map(String::as_str), Some(key));
    }
    for mask in [&[] as &[&str], &["nope"], &["one_file_at_a_time", "nope"], &["*", "read_only"], &[""]] {
        let answer = node.set(mask, |s| s.one_file_at_a_time = true).await;
        assert!(answer.is_err(), "mask {mask:?}");
        assert_eq!(answer.expect_err("refused").code(), Code::InvalidArgument, "mask {mask:?}");
    }
    assert_eq!(get().await, before, "all or nothing");

    let with = async |etag: &str, voice: i64| {
        let settings = Some(Settings { voice_max_seconds: voice, ..Settings::default() });
        let update_mask = Some(prost_types::FieldMask { paths: vec!["voice_max_seconds".to_owned()] });
        let update = pb::UpdateSettingsRequest { settings, update_mask, etag: Some(etag.to_owned()) };
        node.config().update_settings(request(&Service::all(), update)).await.map(tonic::Response::into_inner)
    };
    let changed = with(&before.etag, 31).await.expect("the etag is the current one");
    assert!(changed.etag != before.etag && changed.version == before.version + 1 && changed.update_time.is_some());
    assert_refused(with(&before.etag, 32).await, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(get().await.settings.expect("all").voice_max_seconds, 31);

    // All of them at once, and back.
    let all = before.settings.clone().expect("all");
    let back = node.set(&["*"], |s| *s = all.clone()).await.expect("as they were");
    assert_eq!(back, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_outlives_a_restart_and_is_told_by_describe() {
    let mut node = Node::start(Setup::new()).await;
    set(&node, "voice_max_seconds", |s| s.voice_max_seconds = 77).await;
    let started = Instant::now();
    node.restart().await;
    let get = node.config().get_settings(request(&Service::all(), pb::GetSettingsRequest {})).await;
    assert_eq!(get.expect("the backend may").into_inner().settings.expect("all").voice_max_seconds, 77);
    assert!(started.elapsed() < Duration::from_secs(60));
    let told = node.config().describe_settings(request(&Service::all(), pb::DescribeSettingsRequest {})).await;
    let told = told.expect("the backend may").into_inner().settings;
    let keys: Vec<&str> = told.iter().map(|setting| setting.key.as_str()).collect();
    let declared: Vec<&str> = lhfile::domain::settings::TABLE.iter().map(|def| def.key).collect();
    assert_eq!(keys, declared);
    assert!(told.iter().all(|setting| !setting.description.is_empty() && setting.r#type != 0));
}
