//! How a node ends: by itself, and with calls that do not.
//!
//! Not here: a server that is asked to end while uploads run (`tests/it/orderly.rs`).

use super::*;
use crate::config::Overrides;

/// A node whose scanner is nowhere, with this line of configuration.
async fn node(folder: &tempfile::TempDir, line: &str) -> Node {
    let file = folder.path().join("lhfile.toml");
    let lines = format!(
        "listen = \"127.0.0.1:0\"\ndata_dir = {:?}\n{line}\n\
         scanner.mode = \"external\"\nscanner.address = \"unix:/tmp/lhfile-nobody-listens\"\n\
         scanner.limits.threads = 2\n",
        folder.path().join("data")
    );
    std::fs::write(&file, lines).expect("our own folder");
    let config = Config::load(Some(&file), &Overrides::default()).expect("a good configuration");
    start(&config, Arc::new(SystemClock), Arc::new(SystemIds)).await.expect("it starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_transport_ended_by_itself_is_seen_and_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(&folder, "shutdown_grace_seconds = 5").await;
    // As a transport that ends on its own would look from outside.
    node.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), node.ended.cancelled()).await.expect("its end is seen");
    node.stop().await.expect("and it can be stopped in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_outlast_the_grace_end_with_their_connections() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(&folder, "shutdown_grace_seconds = 1").await;
    let tcp = tokio::net::TcpStream::connect(node.address).await.expect("it listens");
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

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_came_together_are_not_sent_away_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(&folder, "grpc.connection_age_seconds = 4").await;
    let born = std::time::Instant::now();
    let mut connections = Vec::new();
    for _ in 0..9 {
        let tcp = tokio::net::TcpStream::connect(node.address).await.expect("it listens");
        let (requests, connection) = h2::client::handshake(tcp).await.expect("HTTP/2");
        connections.push(async move {
            // Told to go, it has nothing to finish, and ends.
            let ended = connection.await;
            drop(requests);
            ended.map(|()| born.elapsed())
        });
    }
    let ages = futures_util::future::join_all(connections).await;
    let mut ages: Vec<_> = ages.into_iter().map(|age| age.expect("an orderly end")).collect();
    ages.sort_unstable();
    assert!(ages[0] >= Duration::from_millis(3_600), "{ages:?}");
    assert!(ages[8] - ages[0] >= Duration::from_millis(600), "between 90 and 110 % of 4 s: {ages:?}");
    node.stop().await.expect("in order");
}
