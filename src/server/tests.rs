//! How a node ends: by itself, and with calls that do not.
//!
//! Not here: a server that is asked to end while uploads run (`tests/it/orderly.rs`).

use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

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
    let config = Config::load(Some(&file), &Overrides::default()).expect("a good configuration");
    start(&config, Arc::new(SystemClock), Arc::new(SystemIds)).await.expect("it starts")
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
    let mut client = HealthClient::connect(format!("http://{}", node.address)).await.expect("it listens");
    // A call that goes on for as long as its client wants.
    let watch = client.watch(HealthCheckRequest { service: String::new() }).await.expect("public");
    let mut watch = watch.into_inner();
    watch.message().await.expect("the first state").expect("the first state");
    let stopped = std::time::Instant::now();
    node.stop().await.expect("in order");
    assert!(stopped.elapsed() >= Duration::from_secs(1), "it had its grace");
    // The process lives on; the connection does not.
    let end = async { while let Ok(Some(_)) = watch.message().await {} };
    tokio::time::timeout(Duration::from_secs(2), end).await.expect("its connection is ended");
}
