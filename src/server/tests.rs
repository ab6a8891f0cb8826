//! How a node ends: by itself, and with calls that do not.
//!
//! Not here: a server that is asked to end while uploads run (`tests/it/orderly.rs`).

use super::*;
use crate::config::Overrides;

/// A node whose scanner is nowhere, with this grace.
async fn node(folder: &tempfile::TempDir, grace_seconds: u64) -> Node {
    let file = folder.path().join("lhfile.toml");
    let lines = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = {:?}\nshutdown_grace_seconds = {grace_seconds}\n\
         scanner.mode = \"external\"\nscanner.address = \"unix:/tmp/lhfile-nobody-listens\"\n\
         scanner.limits.threads = 2\n",
        folder.path().join("data")
    );
    std::fs::write(&file, lines).expect("our own folder");
    let origin = Origin::new(Some(&file), Overrides::default());
    let config = origin.load().expect("a good configuration");
    start(&config, origin, Arc::new(NodeClock), Arc::new(SystemIds)).await.expect("it starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_transport_ended_by_itself_is_seen_and_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = node(&folder, 5).await;
    // As a transport that ends on its own would look from outside.
    node.stop = oneshot::channel().0;
    tokio::time::timeout(Duration::from_secs(5), node.ended.cancelled()).await.expect("its end is seen");
    node.stop().await.expect("and it can be stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_outlast_the_grace_end_with_their_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(&folder, 1).await;
    let tcp = tokio::net::TcpStream::connect(node.address.to_string()).await.expect("it listens");
    let (requests, connection) = h2::client::handshake(tcp).await.expect("HTTP/2");
    let connection = node.app.tasks().spawn(connection);
    // A call that waits for a message that never comes.
    let mut requests = requests.ready().await.expect("a stream is allowed");
    let head = http::Request::post(format!("http://{}/grpc.health.v1.Health/Check", node.address));
    let head = head.header("content-type", "application/grpc").header("te", "trailers");
    let (_answer, _body) = requests.send_request(head.body(()).expect("a head"), false).expect("sent");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = std::time::Instant::now();
    node.stop().await.expect("in order");
    assert!(stopped.elapsed() >= Duration::from_secs(1), "it had its grace");
    // The process lives on; the connection does not.
    let ended = tokio::time::timeout(Duration::from_secs(2), connection).await.expect("its connection is ended");
    drop(ended.expect("no panic"));
}
