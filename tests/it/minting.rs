//! Tokens that a service has made for people.
//!
//! Not here: what may be lent, rule by rule (`src/domain/lending.rs`), and who may call (`matrix.rs`).

use tonic::Code;

use crate::harness::{
    Node, Operator, Service, Setup, assert_refused, callers::now, calls::request, keys::wanted, pb, samples, shared,
};

#[tokio::test(flavor = "multi_thread")]
async fn minted_token_uploads_as_the_person_and_the_service_behind_it_is_recorded() {
    let mut node = Node::start(Setup::new()).await;
    node.put_chat("42").await;
    let backend = Service::with(&["act_as", "use_operator"]).of_chats(&["42"]);
    let visitor = node.mint("visitor:9f2c", &[], &["42"], Some(60), &backend).await.expect("it may act for others");
    let left = visitor.expire_time.expect("told").seconds - now() as i64;
    assert!((55..=60).contains(&left), "{left}");
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat("42").passes_by(visitor.token.as_str()).await;
    assert_eq!(file.uploader.expect("told").id, "9f2c");
    let operator = node.mint("operator:17", &["*"], &["*"], None, &backend).await.expect("lent").token;
    node.upload("b.txt", samples::text(100, "b")).to_chat("42").passes_by(operator.as_str()).await;
    let told = node.texts("SELECT person_id || ' ' || acting_service AS t FROM events WHERE kind = 'FILE_UPLOADED'");
    assert_eq!(told, ["9f2c backend", "17 backend"]);
    // What the service does not hold, its tokens do not.
    let list = request(operator.as_str(), pb::ListFilesRequest::default());
    let refused = node.files().list_files(list).await;
    assert_refused(refused, Code::PermissionDenied, "MISSING_PERMISSION");
    node.restart().await;
    node.file(&file.file_id, operator.as_str()).await.expect("it outlives a restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn minted_token_lends_no_more_than_the_service_holds_and_no_longer_than_it_lives() {
    let node = shared().await;
    let backend = Service::with(&["act_as", "use_operator"]).of_chats(&["42"]);
    for (permissions, chats) in [(&["file_list"][..], &["42"][..]), (&["use_operator"], &["43"])] {
        let refused = node.mint("operator:17", permissions, chats, None, &backend).await;
        assert_refused(refused, Code::PermissionDenied, "MISSING_PERMISSION");
    }
    for (subject, chats, ttl) in [
        ("service:backend", &["42"][..], None),
        ("operator", &["42"], None),
        ("visitor:v", &["*"], None),
        ("operator:17", &["42"], Some(0)),
        ("operator:17", &["42"], Some(86_401)),
        ("operator:17", &["42"], Some(-1)),
    ] {
        let refused = node.mint(subject, &[], chats, ttl, &backend).await;
        assert_refused(refused, Code::InvalidArgument, "BAD_ARGUMENT");
    }
    for nobody in [Service::with(&["use_operator"]), Service::with(&["key_manage"])] {
        let refused = node.mint("operator:17", &[], &[], None, &nobody).await;
        assert_refused(refused, Code::PermissionDenied, "MISSING_PERMISSION");
    }
    let refused = node.mint("operator:17", &[], &[], None, &Operator::with(&["*"])).await;
    assert_refused(refused, Code::PermissionDenied, "MISSING_PERMISSION");

    // The tests' own tokens live for an hour.
    let minted = node.mint("operator:17", &[], &["42"], Some(7_200), &backend).await.expect("cut to the service's own");
    let left = minted.expire_time.expect("told").seconds - now() as i64;
    assert!((3_500..=3_600).contains(&left), "{left}");
    let nested = node.mint("operator:18", &[], &["42"], None, minted.token.as_str()).await;
    assert_refused(nested, Code::PermissionDenied, "MISSING_PERMISSION");
    // By a key, no longer than the key.
    let front = wanted("service:front", &["act_as"], &["42"]);
    let (secret, _) = node.create_key(front, &Service::all()).await.expect("the backend may");
    let minted = node.mint("visitor:v", &[], &["42"], Some(7_200), secret.as_str()).await.expect("lent");
    assert!(minted.expire_time.expect("told").seconds <= now() as i64 + 3_600);
}
