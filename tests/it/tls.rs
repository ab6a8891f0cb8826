//! TLS of the listener: what is spoken, how its certificate is renewed under running connections, and what handshakes
//! that dawdle cost others.
//!
//! Not here: certificates of clients (`tls_clients.rs`).

use std::{
    fs,
    io::ErrorKind,
    time::{Duration, Instant},
};

use tokio::{io::AsyncReadExt as _, net::TcpStream, time::sleep};
use tokio_rustls::rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};
use tonic::{Code, transport::Endpoint};

use crate::{
    cli::program::lhfile,
    harness::{
        Authority, Node, Operator, Service, Setup,
        calls::request,
        certificates::Pair,
        pb::{self, chat_service_client::ChatServiceClient},
        place::{free_port, new_folder},
        process, samples,
    },
};

/// A server that shows the authority's certificate, and needs no scanner.
async fn node(authority: &Authority) -> Node {
    Node::start(plain_setup().secured(authority.config(), authority.trusting())).await
}

fn plain_setup() -> Setup {
    Setup::new().external("unix:/tmp/lhfile-nobody-listens-here").without_scanner()
}

/// Waits until it holds, which takes the server at most some seconds.
async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(15);
    while !holds().await {
        assert!(Instant::now() < until, "{what}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn file_goes_in_and_out_over_tls_and_without_it_nothing_is_said() {
    let authority = Authority::new();
    let node = Node::start(Setup::new().secured(authority.config(), authority.trusting())).await;
    let (chat, operator, bytes) = (node.new_chat().await, Operator::new(), samples::text(3 << 20, "over TLS"));
    let file = node.upload("a.txt", bytes.clone()).to_chat(&chat).passes_by(&operator).await;
    assert_eq!(node.download(&file.file_id, &operator).await.expect("its own").bytes, bytes);

    let plain = Endpoint::from_shared(format!("http://{}", node.address())).expect("an address").connect_lazy();
    let get = request(&Service::all(), pb::GetChatRequest { chat_id: chat });
    ChatServiceClient::new(plain).get_chat(get).await.expect_err("plaintext is not understood");
}

#[tokio::test]
async fn versions_1_2_and_1_3_are_spoken_and_http_2_is_agreed_upon() {
    let authority = Authority::new();
    let node = node(&authority).await;
    for (version, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let stream = authority.handshake_in(&node, version).await.expect("a version of ours");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    }
}

#[tokio::test]
async fn client_that_believes_another_authority_does_not_connect() {
    let (authority, other) = (Authority::new(), Authority::new());
    let node = node(&authority).await;
    assert!(authority.is_shown_by(&node).await && !other.is_shown_by(&node).await);
    let put = request(&Service::all(), pb::PutChatRequest::default());
    let refused = ChatServiceClient::new(node.channel_of(other.trusting())).put_chat(put).await;
    assert!(format!("{refused:?}").contains("invalid peer certificate"), "{refused:?}");
}

#[tokio::test]
async fn new_certificate_is_shown_to_new_connections_and_running_ones_live_on() {
    let (authority, next) = (Authority::new(), Authority::new());
    let node = node(&authority).await;
    let get = || request(&Service::all(), pb::ListChatsRequest::default());
    // It believes the first authority alone, so it could not connect again.
    let mut running = ChatServiceClient::new(node.channel());
    running.list_chats(get()).await.expect("connected");
    authority.serve(&next.server(|_| {}));
    eventually("the new certificate is shown", async || next.is_shown_by(&node).await).await;
    assert!(!authority.is_shown_by(&node).await);
    running.list_chats(get()).await.expect("the connection lives on");
    ChatServiceClient::new(node.channel_of(next.trusting())).list_chats(get()).await.expect("a new connection");
}

#[tokio::test]
async fn bad_certificate_is_told_and_the_one_before_it_stays_until_a_good_one_comes() {
    let (authority, next) = (Authority::new(), Authority::new());
    let node = node(&authority).await;
    let stranger = authority.server(|_| {});
    let bad = [
        ("no certificate", ("junk".to_owned(), stranger.key.clone())),
        ("is not the key", (next.server(|_| {}).certificate, stranger.key.clone())),
        ("expired", (next.expired().certificate, next.expired().key)),
    ];
    for (why, (certificate, key)) in bad {
        authority.serve(&Pair { certificate, key });
        eventually(why, async || node.log().contains(why)).await;
        assert!(authority.is_shown_by(&node).await, "{why}: the old one stays");
    }
    fs::remove_file(authority.path("key.pem")).expect("our own file");
    eventually("told", async || node.log().contains("cannot be read")).await;
    assert!(authority.is_shown_by(&node).await, "without a key the old one stays");
    authority.serve(&next.server(|_| {}));
    eventually("the good one is shown", async || next.is_shown_by(&node).await).await;
    let told = node.log().lines().filter(|line| line.contains("cannot be used")).count();
    assert!((4..=8).contains(&told), "each is told once, not with every look: {told}");
}

#[tokio::test]
async fn hangup_reads_the_files_again_and_ends_nothing() {
    let authority = Authority::new();
    let node = node(&authority).await;
    process::signal(node.pid(), "HUP");
    eventually("it is told", async || node.log().contains("were read again")).await;
    assert!(authority.is_shown_by(&node).await);
}

#[test]
fn certificate_that_has_ended_keeps_the_server_from_starting_and_it_says_what_to_do() {
    let authority = Authority::new();
    authority.serve(&authority.expired());
    let folder = new_folder();
    let config = folder.join("lhfile.toml");
    let lines = [
        format!("listen = \"{}\"", free_port()),
        format!("data_dir = {:?}", folder.join("data")),
        "metrics_listen = \"\"".to_owned(),
    ];
    let text = [lines.to_vec(), authority.config()].concat().join("\n");
    fs::write(&config, text).expect("our own folder");
    let ended = lhfile(&["serve", "--config", &config.to_string_lossy()], &[], &folder);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("expired 2025-02-01") && ended.err.contains("put one there"), "{}", ended.err);
    let doctor = lhfile(&["doctor", "--config", &config.to_string_lossy()], &[], &folder);
    assert!(doctor.code == Some(1) && doctor.text().contains("FAIL  certificate"), "{}", doctor.text());
    fs::remove_dir_all(folder).expect("our own folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousand_handshakes_that_dawdle_keep_nobody_else_waiting() {
    let authority = Authority::new();
    let setup = plain_setup().config("limits.connections = 200");
    let node = Node::start(setup.secured(authority.config(), authority.trusting())).await;
    let call = async || {
        let mut chats = ChatServiceClient::new(node.channel());
        let call = chats.list_chats(request(&Service::all(), pb::ListChatsRequest::default()));
        tokio::time::timeout(Duration::from_secs(5), call).await.expect("nobody waits").expect("nobody is refused");
    };
    let mut dawdlers = Vec::new();
    for number in 0..1_000 {
        dawdlers.push(TcpStream::connect(node.address()).await.expect("the kernel takes it"));
        if number % 50 == 0 {
            call().await;
        }
    }
    call().await;
    // At most half of the places are theirs, and not for long: the last of them is closed in its time.
    assert!(node.metric("lhfile_tls_handshakes_total").await >= 900.0);
    let mut last = dawdlers.pop().expect("a thousand");
    let read = tokio::time::timeout(Duration::from_secs(20), last.read(&mut [0; 8])).await.expect("it is closed");
    assert!(matches!(&read, Ok(0)) || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    call().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_loopback_the_server_listens_with_tls() {
    let authority = Authority::new();
    // Every address of the machine, of which one is ours to reach it.
    let address = free_port();
    let folder = new_folder();
    let config = folder.join("lhfile.toml");
    let lines = [
        format!("listen = \"0.0.0.0:{}\"", address.port()),
        format!("data_dir = {:?}", folder.join("data")),
        "metrics_listen = \"\"".to_owned(),
        "scanner.mode = \"external\"\nscanner.address = \"unix:/tmp/lhfile-nobody\"\nscanner.limits.threads = 2"
            .to_owned(),
    ];
    fs::write(&config, [lines.to_vec(), authority.config()].concat().join("\n")).expect("our own folder");
    let mut command = process::command(env!("CARGO_BIN_EXE_lhfile"));
    command.args(["serve", "--config"]).arg(&config).current_dir(&folder).stdin(std::process::Stdio::null());
    let said = fs::File::create(folder.join("said")).expect("our own folder");
    command.stdout(said.try_clone().expect("a descriptor")).stderr(said);
    let mut server = process::spawn(command);
    let endpoint = Endpoint::from_shared(format!("https://{address}")).expect("an address");
    let endpoint = endpoint.tls_config(authority.trusting()).expect("good certificates");
    eventually("it listens", async || endpoint.connect().await.is_ok()).await;
    let mut chats = ChatServiceClient::new(endpoint.connect().await.expect("it listens"));
    let refused = chats.list_chats(pb::ListChatsRequest::default()).await.expect_err("without a token");
    assert_eq!(refused.code(), Code::Unauthenticated);
    drop(chats);
    process::signal(server.id(), "TERM");
    assert!(process::wait_for_end(&mut server, Duration::from_secs(30)));
    fs::remove_dir_all(folder).expect("our own folder");
}
