//! Opaque keys: made, used, listed, ended, on one server and on several.
//!
//! Not here: how a key is guessed at (`threats/keys.rs`), who may call what (`matrix.rs`), tokens (`minting.rs`).

use std::time::{Duration, Instant};

use tonic::Code;

use crate::harness::{
    Bucket, Node, Operator, Service, Setup, assert_refused,
    calls::request,
    keys::wanted,
    pb::{self, CreateKeyRequest},
    postgres::cluster,
    reason_of, samples,
    setup::new_database,
    shared,
};

/// A server that needs no scanner.
fn plain() -> Setup {
    Setup::new().external("unix:/tmp/lhfile-nobody-listens-here").without_scanner()
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// Waits until it holds; answers how long that took.
async fn until(what: &str, at_most: Duration, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < at_most, "not within {at_most:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn key_uploads_as_its_holder_until_it_is_retired_and_its_secret_is_nowhere() {
    let node = Node::start(Setup::new()).await;
    node.put_chat("42").await;
    let admin = Service::all();
    let kiosk = CreateKeyRequest {
        label: "the kiosk".to_owned(),
        ..wanted("service:kiosk", &["use_operator", "file_list"], &["42"])
    };
    let (secret, key) = node.create_key(kiosk, &admin).await.expect("the backend may");
    assert!(secret.starts_with("lhf_") && secret.len() == 62, "{secret}");
    assert_eq!((key.label.as_str(), key.chats.join(" ")), ("the kiosk", "42".to_owned()));
    let file = node.upload("a.txt", samples::text(100, "kept")).to_chat("42").passes_by(secret.as_str()).await;
    assert_eq!(file.uploader.expect("told").id, "kiosk");
    // It holds what it was made with, and no more.
    let refused = node.upload("a.txt", samples::text(100, "no")).to_library().by(secret.as_str()).await;
    assert_refused(refused, Code::PermissionDenied, "MISSING_PERMISSION");
    let refused = node.upload("a.txt", samples::text(100, "no")).to_chat("43").by(secret.as_str()).await;
    assert_refused(refused, Code::NotFound, "NOT_FOUND");

    assert_eq!(node.key_ids(false, &admin).await.expect("the backend may"), [key.key_id.as_str()]);
    let retired = node.retire_key(&key.key_id, &admin).await.expect("the backend may");
    assert!(retired.retire_time.is_some());
    // At once, where it was retired.
    let refused = node.file(&file.file_id, secret.as_str()).await;
    assert_refused(refused, Code::Unauthenticated, "BAD_CREDENTIAL");
    assert_eq!(node.retire_key(&key.key_id, &admin).await.expect("again"), retired);
    assert!(node.key_ids(false, &admin).await.expect("the backend may").is_empty());
    assert_eq!(node.key_ids(true, &admin).await.expect("the backend may"), [key.key_id.as_str()]);
    let told = node.texts("SELECT kind || ' ' || detail AS t FROM events WHERE kind LIKE 'KEY%' ORDER BY seq");
    assert_eq!(told, [format!("KEY_CREATED {}", key.key_id), format!("KEY_RETIRED {}", key.key_id)]);
    let kept = node.texts("SELECT lower(hex(hash)) || permissions || label AS t FROM access_keys");
    for secret in [secret.as_str(), &secret[4..]] {
        assert!(!kept[0].contains(secret) && !node.log().contains(secret), "the secret is nowhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn key_ends_by_time_and_outlives_a_restart() {
    let mut node = Node::start(plain()).await;
    let admin = Service::all();
    let short = CreateKeyRequest { ttl: seconds(2), ..wanted("service:short", &["chat_sync"], &["*"]) };
    let (short, _) = node.create_key(short, &admin).await.expect("the backend may");
    let (long, _) = node.create_key(wanted("service:long", &["chat_sync"], &["*"]), &admin).await.expect("may");
    assert!(node.believes(&short).await && node.believes(&long).await);
    until("it ends", Duration::from_secs(10), async || !node.believes(&short).await).await;
    node.restart().await;
    assert!(node.believes(&long).await && !node.believes(&short).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_never_holds_more_than_who_made_it_nor_does_one_made_with_it() {
    let node = shared().await;
    let manager = Service::with(&["key_manage", "use_operator"]).of_chats(&["42"]);
    for (subject, permissions, chats) in [
        ("service:backend", &["file_list"][..], &["42"][..]),
        ("service:backend", &["use_operator"], &["43"]),
        ("service:other", &["use_operator"], &["42"]),
        ("operator:17", &[], &["42"]),
        ("visitor:v", &[], &["42"]),
    ] {
        let refused = node.create_key(wanted(subject, permissions, chats), &manager).await;
        assert_refused(refused, Code::PermissionDenied, "MISSING_PERMISSION");
    }
    let (secret, key) = node.create_key(wanted("service:backend", &["*"], &["*"]), &manager).await.expect("its own");
    assert_eq!((key.permissions.join(" "), key.chats.join(" ")), ("use_operator key_manage".into(), "42".into()));
    let refused = node.create_key(wanted("service:backend", &["file_list"], &[]), secret.as_str()).await;
    assert_refused(refused, Code::PermissionDenied, "MISSING_PERMISSION");
    let less = node.create_key(wanted("service:backend", &["use_operator"], &[]), secret.as_str()).await;
    let (less, _) = less.expect("less than its own");
    let refused = node.create_key(wanted("service:backend", &[], &[]), less.as_str()).await;
    assert_refused(refused, Code::PermissionDenied, "MISSING_PERMISSION");

    // For a person, by a service that may act for others: under that service's chats, whatever the person owns.
    let owned = node.new_chat().await;
    let owner = |chat: &mut pb::Chat| "owner".clone_into(&mut chat.owner_operator);
    node.put_chat_as(&owned, pb::ChatStatus::Active, owner).await;
    let lender = Service::with(&["key_manage", "act_as", "use_operator"]).of_chats(&["42"]);
    let lent = node.create_key(wanted("operator:owner", &["use_operator"], &[]), &lender).await;
    let (lent, key) = lent.expect("it may act for others");
    assert_eq!(key.acting_service, "backend");
    let refused = node.chat_files(&owned, lent.as_str()).await;
    assert_refused(refused, Code::NotFound, "NOT_FOUND");
    let own = Operator::with(&["use_operator"]).named("owner").of_chats(&[]);
    node.chat_files(&owned, &own).await.expect("by itself it has its chat");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_may_act_for_others_as_a_token_may() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let front = wanted("service:front", &["act_as", "use_operator"], &[&chat]);
    let (secret, _) = node.create_key(front, &Service::all()).await.expect("the backend may");
    let acting = |who: &str| {
        let mut call =
            request(secret.as_str(), pb::ListChatFilesRequest { chat_id: chat.clone(), ..Default::default() });
        call.metadata_mut().insert("lhfile-act-as", who.parse().expect("ASCII"));
        call
    };
    let mut files = node.files();
    files.list_chat_files(acting(&format!("operator:17; chat={chat}; lhfile=use_operator"))).await.expect("lent");
    let refused = files.list_chat_files(acting(&format!("operator:17; chat={chat}; lhfile=file_list"))).await;
    assert_refused(refused, Code::PermissionDenied, "MISSING_PERMISSION");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_seen_and_ended_by_who_made_them_and_by_a_service_of_all_chats() {
    let node = Node::start(plain()).await;
    let (one, other) = (Operator::with(&["key_manage"]).of_chats(&[]), Operator::with(&["key_manage"]).named("18"));
    let (_, ones) = node.create_key(wanted("operator:17", &[], &[]), &one).await.expect("its own");
    let (_, others) = node.create_key(wanted("operator:18", &[], &[]), &other).await.expect("its own");
    assert_eq!(node.key_ids(true, &one).await.expect("may"), [ones.key_id.as_str()]);
    assert_eq!(node.key_ids(true, &other).await.expect("may"), [others.key_id.as_str()]);
    assert_eq!(node.key_ids(true, &Service::all()).await.expect("may").len(), 2);
    let mut first = None;
    for id in [others.key_id.as_str(), "aaaaaaaaaaaaaaaaaaaaaaaaaa", "lhf_", "", "../../x", &"a".repeat(5_000)] {
        let status = assert_refused(node.retire_key(id, &one).await, Code::NotFound, "NOT_FOUND");
        let seen = (status.message().to_owned(), status.details().to_vec());
        assert_eq!(*first.get_or_insert_with(|| seen.clone()), seen, "{id}");
    }
    node.retire_key(&ones.key_id, &one).await.expect("its own");
    node.retire_key(&others.key_id, &Service::all()).await.expect("all are its");
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_of_a_key_are_told_and_in_read_only_mode_none_is_made_or_ended() {
    let node = Node::start(plain()).await;
    let admin = Service::all();
    let good = || wanted("service:b", &["use"], &["42"]);
    let many: Vec<String> = (0..101).map(|i| i.to_string()).collect();
    for (bad, field) in [
        (CreateKeyRequest { ttl: None, ..good() }, "ttl"),
        (CreateKeyRequest { ttl: seconds(0), ..good() }, "ttl"),
        (CreateKeyRequest { ttl: seconds(366 * 86_400 + 1), ..good() }, "ttl"),
        (CreateKeyRequest { label: "x".repeat(101), ..good() }, "label"),
        (CreateKeyRequest { label: "a\nb".to_owned(), ..good() }, "label"),
        (CreateKeyRequest { chats: many, ..good() }, "chats"),
        (CreateKeyRequest { chats: vec!["*".into(), "1".into()], ..good() }, "chats"),
        (CreateKeyRequest { permissions: vec!["root".into()], ..good() }, "permissions"),
        (CreateKeyRequest { subject: String::new(), ..good() }, "subject"),
        (CreateKeyRequest { vid: Some("v".into()), ..good() }, "vid"),
    ] {
        let status = assert_refused(node.create_key(bad, &admin).await, Code::InvalidArgument, "BAD_ARGUMENT");
        assert!(status.message().contains(field), "{field}: {}", status.message());
    }
    let longest = CreateKeyRequest { ttl: seconds(366 * 86_400), label: "x".repeat(100), ..good() };
    let (_, key) = node.create_key(longest, &admin).await.expect("at the bounds");
    node.set(&["read_only"], |s| s.read_only = true).await.expect("may be set");
    assert_refused(node.create_key(good(), &admin).await, Code::Unavailable, "READ_ONLY");
    assert_refused(node.retire_key(&key.key_id, &admin).await, Code::Unavailable, "READ_ONLY");
    assert_eq!(node.key_ids(true, &admin).await.expect("reading goes on").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_lists_of_keys_come_in_pages_that_belong_to_who_asked() {
    let node = Node::start(plain()).await;
    let admin = Service::all();
    for _ in 0..5 {
        node.create_key(wanted("service:b", &[], &[]), &admin).await.expect("the backend may");
    }
    let all = node.key_ids(false, &admin).await.expect("may");
    let mut access = node.access();
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let list = pb::ListKeysRequest { show_ended: false, page_size: 2, page_token };
        let page = access.list_keys(request(&admin, list)).await.expect("a page").into_inner();
        found.extend(page.keys.into_iter().map(|key| key.key_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        let others = pb::ListKeysRequest { show_ended: true, page_size: 2, page_token: page_token.clone() };
        let refused = access.list_keys(request(&admin, others)).await;
        assert_refused(refused, Code::InvalidArgument, "BAD_PAGE_TOKEN");
    }
    assert!(found == all && all.len() == 5);
}

/// Two nodes on one database and one bucket that ask each other's changes every so many seconds.
async fn two_nodes(asks_every: Option<u32>) -> (Node, Node) {
    let (database, bucket) = (new_database(cluster()), Bucket::new());
    let url = cluster().url(&database);
    let setup = Setup::in_bucket(&bucket, bucket.address()).on_database(cluster(), &database, &url);
    let setup = setup.external("unix:/tmp/lhfile-nobody-listens-here").without_scanner();
    let setup = asks_every.map_or_else(|| setup.clone(), |seconds| setup.clone().asks_every(seconds));
    tokio::join!(Node::start(setup.clone()), Node::start(setup))
}

#[tokio::test(flavor = "multi_thread")]
async fn key_counts_on_every_node_within_two_seconds_and_so_does_its_end() {
    let (one, other) = two_nodes(None).await;
    let admin = Service::all();
    for _ in 0..3 {
        let (secret, key) =
            one.create_key(wanted("service:b", &["chat_sync"], &["*"]), &admin).await.expect("the backend may");
        assert!(one.believes(&secret).await, "at once where it was made");
        until("the other believes it", Duration::from_secs(2), async || other.believes(&secret).await).await;
        other.retire_key(&key.key_id, &admin).await.expect("the backend may");
        assert!(!other.believes(&secret).await, "at once where it was retired");
        until("the other does not believe it", Duration::from_secs(2), async || !one.believes(&secret).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_hardly_ever_ask_hear_of_changes_also_after_their_connections_were_cut() {
    let (one, other) = two_nodes(Some(3_600)).await;
    let admin = Service::all();
    let database = one.postgres().expect("on PostgreSQL").1.to_owned();
    let listeners = format!("datname = '{database}' AND application_name = 'lhfile-listen'");
    let listening = async || {
        let count = format!("SELECT count(*) FROM pg_stat_activity WHERE {listeners}");
        cluster().psql("postgres", &count) == ["2"]
    };
    for round in 0..3 {
        until("both listen", Duration::from_secs(20), listening).await;
        let (secret, key) =
            one.create_key(wanted("service:b", &["chat_sync"], &["*"]), &admin).await.expect("the backend may");
        until("it is heard of", Duration::from_secs(20), async || other.believes(&secret).await).await;
        other.retire_key(&key.key_id, &admin).await.expect("the backend may");
        until("and of its end", Duration::from_secs(20), async || !one.believes(&secret).await).await;
        one.set(&["operator_upload_enabled"], |s| s.operator_upload_enabled = round % 2 == 1).await.expect("set");
        let options = async || {
            let target = Some(pb::get_upload_options_request::Target::Library(true));
            let ask = request(&Operator::with(&["upload_new_file"]), pb::GetUploadOptionsRequest { target });
            let told = other.files().get_upload_options(ask).await.expect("any caller may").into_inner();
            told.reasons.iter().any(|reason| reason == "UPLOADS_DISABLED")
        };
        until("settings, too", Duration::from_secs(20), async || options().await == (round % 2 == 0)).await;
        cluster().psql(
            "postgres",
            &format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {listeners}"),
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_database_is_told_and_keys_go_on_after_it() {
    let node = Node::start(plain().on_postgres()).await;
    let (secret, _) = node.create_key(wanted("service:b", &["chat_sync"], &["*"]), &Service::all()).await.expect("may");
    let database = node.postgres().expect("on PostgreSQL").1.to_owned();
    let allow = |yes: bool| {
        cluster().psql("postgres", &format!("ALTER DATABASE {database} ALLOW_CONNECTIONS {yes}"));
        let cut = format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{database}'");
        cluster().psql("postgres", &cut);
    };
    allow(false);
    let call = async || {
        let list = request(secret.as_str(), pb::ListChatsRequest::default());
        node.chats().list_chats(list).await
    };
    assert_eq!(reason_of(&call().await.expect_err("there is no database")), "DATABASE_DOWN");
    allow(true);
    until("it works again", Duration::from_secs(20), async || call().await.is_ok()).await;
}
