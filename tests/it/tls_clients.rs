//! Certificates of clients (mTLS): who connects, and which service a certificate stands for.
//!
//! Not here: the gate as a table (unit tests of `rpc/access.rs`), and the server's own certificate (`tls.rs`).

use tonic::{Code, Status, transport::ClientTlsConfig};

use crate::{
    cli::program::lhfile,
    harness::{
        Authority, Node, Service, Setup, Visitor, assert_refused,
        calls::request,
        certificates::Pair,
        pb::{self, Chat, ChatStatus, chat_service_client::ChatServiceClient},
    },
};

/// A server without a scanner that asks for certificates of the authority's, of which two stand for services.
async fn node(authority: &Authority, how: &str) -> Node {
    let mut config = authority.asking(how);
    let caller = |certificate: &str, service: &str, permissions: &str| {
        format!(
            "{{ certificate = {certificate:?}, service = {service:?}, permissions = {permissions}, chats = [\"*\"] }}"
        )
    };
    config.push(format!(
        "tls.callers = [{}, {}]",
        caller("dns:backend.internal", "backend", "[\"chat_sync\", \"act_as\"]"),
        caller("cn:reader", "reader", "[\"file_list\"]"),
    ));
    let setup = Setup::new().external("unix:/tmp/lhfile-nobody-listens-here").without_scanner();
    let admin = showing(authority, &authority.client("the tests"));
    Node::start(setup.secured(config, admin)).await
}

/// A client that shows this certificate.
fn showing(authority: &Authority, pair: &Pair) -> ClientTlsConfig {
    authority.trusting().identity(pair.identity())
}

fn put(id: &str) -> pb::PutChatRequest {
    let chat = Chat { chat_id: id.to_owned(), status: ChatStatus::Active.into(), ..Chat::default() };
    pb::PutChatRequest { chat: Some(chat) }
}

async fn put_chat(node: &Node, client: ClientTlsConfig, put: tonic::Request<pb::PutChatRequest>) -> Result<(), Status> {
    ChatServiceClient::new(node.channel_of(client)).put_chat(put).await.map(|_| ())
}

#[tokio::test]
async fn where_a_certificate_is_required_nobody_connects_without_one_of_that_authority() {
    let (authority, other) = (Authority::new(), Authority::new());
    let node = node(&authority, "required").await;
    let call = || request(&Service::all(), put("42"));
    put_chat(&node, showing(&authority, &authority.client("anybody")), call()).await.expect("it vouches for it");
    for stranger in [authority.trusting(), showing(&authority, &other.client("anybody"))] {
        let status = put_chat(&node, stranger, call()).await.expect_err("it does not");
        assert!(status.code() != Code::Unauthenticated && !format!("{status:?}").contains("ErrorInfo"), "{status:?}");
    }
    let expired = authority.vouch(|params| {
        params.not_before = rcgen::date_time_ymd(2025, 1, 1);
        params.not_after = rcgen::date_time_ymd(2025, 2, 1);
    });
    put_chat(&node, showing(&authority, &expired), call()).await.expect_err("it has ended");
}

#[tokio::test]
async fn certificate_of_a_service_calls_without_a_token_and_any_other_is_nobody() {
    let (authority, other) = (Authority::new(), Authority::new());
    let node = node(&authority, "optional").await;
    let bare = || tonic::Request::new(put("42"));
    let backend = || showing(&authority, &authority.host("Backend.internal"));
    put_chat(&node, backend(), bare()).await.expect("the backend may tell chats");
    let reader = showing(&authority, &authority.client("reader"));
    let denied = put_chat(&node, reader, bare()).await;
    assert_refused(denied, Code::PermissionDenied, "MISSING_PERMISSION");
    let nobodies = [
        authority.trusting(),
        showing(&authority, &authority.client("backend.internal")),
        showing(&authority, &authority.client("backend")),
        showing(&authority, &authority.host("reader")),
        showing(&authority, &authority.host("backend.internal.evil")),
    ];
    for nobody in nobodies {
        assert_refused(put_chat(&node, nobody, bare()).await, Code::Unauthenticated, "BAD_CREDENTIAL");
    }
    // One of another authority opens no connection, whatever its name.
    put_chat(&node, showing(&authority, &other.host("backend.internal")), bare()).await.expect_err("not believed");
}

#[tokio::test]
async fn token_beside_a_certificate_says_who_calls() {
    let authority = Authority::new();
    let node = node(&authority, "required").await;
    let backend = || showing(&authority, &authority.host("backend.internal"));
    let visitor = request(&Visitor::of_chat("42"), put("42"));
    assert_refused(put_chat(&node, backend(), visitor).await, Code::PermissionDenied, "MISSING_PERMISSION");
    let junk = request("junk", put("42"));
    assert_refused(put_chat(&node, backend(), junk).await, Code::Unauthenticated, "BAD_CREDENTIAL");
    let mut acting = tonic::Request::new(put("42"));
    acting.metadata_mut().insert("lhfile-act-as", "operator:17; chat=42".parse().expect("ASCII"));
    assert_refused(put_chat(&node, backend(), acting).await, Code::PermissionDenied, "MISSING_PERMISSION");
}

#[tokio::test(flavor = "multi_thread")]
async fn command_line_shows_its_certificate_and_doctor_tells_of_the_servers() {
    let authority = Authority::new();
    let node = node(&authority, "required").await;
    let write = |name: &str, text: &str| {
        std::fs::write(authority.path(name), text).expect("our own folder");
        authority.path(name).to_string_lossy().into_owned()
    };
    let backend = authority.host("backend.internal");
    let (cert, key) = (write("backend.pem", &backend.certificate), write("backend.key", &backend.key));
    let (ca, addr) = (authority.path("ca.pem").to_string_lossy().into_owned(), format!("https://{}", node.address()));
    let words = ["chat", "put", "42", "--status", "active", "--json"];
    let flags = ["--addr", &addr, "--ca", &ca, "--client-cert", &cert, "--client-key", &key];
    let told = lhfile(&[&words[..], &flags[..]].concat(), &[], node.folder()).object();
    assert_eq!(told["chat_id"], "42");
    let env =
        [("LHFILE_ADDR", &*addr), ("LHFILE_CA", &*ca), ("LHFILE_CLIENT_CERT", &*cert), ("LHFILE_CLIENT_KEY", &*key)];
    lhfile(&words, &env, node.folder()).object();
    // Without the authority's certificate this machine does not believe the server, without its own the server not us.
    let unbelieved = lhfile(&words, &env[..1], node.folder());
    assert!(unbelieved.code == Some(4) && unbelieved.err.contains("--ca"), "{unbelieved:?}");
    assert_eq!(lhfile(&words, &env[..2], node.folder()).code, Some(4));
    let plain = lhfile(&words, &[("LHFILE_ADDR", &addr.replace("https", "http")), env[1]], node.folder());
    assert!(plain.code == Some(2) && plain.err.contains("https://"), "{plain:?}");

    let config = node.folder().join("lhfile.toml").to_string_lossy().into_owned();
    let doctor = lhfile(&["doctor", "--json", "--config", &config], &env[1..], node.folder());
    let findings: Vec<serde_json::Value> =
        doctor.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |check: &str| findings.iter().find(|f| f["check"] == check).map(|f| f["level"].clone());
    assert_eq!(of("certificate"), Some("OK".into()), "{findings:?}");
    assert_eq!(of("port"), Some("OK".into()), "{findings:?}");
}
