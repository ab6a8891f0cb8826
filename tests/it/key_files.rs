//! Keys of tokens that come and go while the server runs: by the configuration, by their files, by the secret's.
//!
//! Not here: the reading, file by file (`src/server/keys/tests.rs`), and opaque keys (`keys.rs`).

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};

use crate::harness::{Caller as _, Node, Service, Setup, process};

const OTHER: &str = "another-secret-of-these-tests-0123456789abcdef";

async fn node() -> Node {
    Node::start(Setup::new().external("unix:/tmp/lhfile-nobody-listens-here").without_scanner()).await
}

fn config(node: &Node) -> PathBuf {
    node.folder().join("lhfile.toml")
}

/// Writes the configuration anew, as an editor does.
fn rewrite(node: &Node, change: impl FnOnce(String) -> String) {
    let text = change(fs::read_to_string(config(node)).expect("our own folder"));
    fs::write(config(node).with_extension("new"), text).expect("our own folder");
    fs::rename(config(node).with_extension("new"), config(node)).expect("our own folder");
}

fn other_key(secret_file: &str) -> String {
    format!("\n[[keys]]\nkid = \"other\"\nalgorithm = \"HS256\"\nsecret_file = \"{secret_file}\"\n")
}

fn signed(kid: &str, secret: &str) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
    let secret = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&header, &Service::all().claims(), &secret).expect("JSON")
}

async fn within_two_seconds(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(2);
    while !holds().await {
        assert!(Instant::now() < end, "not within 2 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_on_a_running_server_and_a_removed_ones_tokens_are_refused() {
    let node = node().await;
    let (old, new) = (Service::all().token(), signed("other", OTHER));
    assert!(node.believes(&old).await && !node.believes(&new).await);
    let file = node.folder().join("other-key");
    fs::write(&file, OTHER).expect("our own folder");
    rewrite(&node, |text| text + &other_key(&file.to_string_lossy()));
    within_two_seconds("the new one counts", async || node.believes(&new).await).await;
    let by_kid = signed("tests", crate::harness::callers::SECRET);
    assert!(node.believes(&by_kid).await, "the old one counts beside it");
    assert!(!node.believes(&old).await, "without a kid there is no telling which of two");

    rewrite(&node, |text| {
        let (head, keys) = text.split_once("[[keys]]").expect("the tests' key");
        let (_, others) = keys.split_once("[[keys]]").expect("the other one");
        format!("{head}[[keys]]{others}")
    });
    within_two_seconds("the old one's tokens are refused", async || !node.believes(&by_kid).await).await;
    assert!(node.believes(&new).await);
    // The secret in the key's file, too.
    fs::write(&file, OTHER.to_uppercase()).expect("our own folder");
    within_two_seconds("its file has changed", async || !node.believes(&new).await).await;
    assert!(node.believes(&signed("other", &OTHER.to_uppercase())).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_configuration_leaves_the_keys_in_force_and_says_so() {
    let node = node().await;
    let good = Service::all().token();
    let before = fs::read_to_string(config(&node)).expect("our own folder");
    for (bad, why) in [
        (before.clone() + "colour = 1\n", "colour"),
        (before.clone() + &other_key("/nonexistent"), "/nonexistent"),
        (before.replace("HS256", "none"), "HS256"),
        ("[[keys".to_owned(), "does not hold"),
    ] {
        let said = node.log().len();
        fs::write(config(&node), bad).expect("our own folder");
        process::signal(node.pid(), "HUP");
        within_two_seconds(why, async || {
            let news = node.log().split_off(said);
            news.contains("cannot be used: the keys before them stay") && news.contains(why)
        })
        .await;
        assert!(node.believes(&good).await, "{why}: the old ones stay");
        within_two_seconds("told in the metrics", async || node.metric("lhfile_keys_unusable").await == 1.0).await;
    }
    fs::write(config(&node), &before).expect("our own folder");
    within_two_seconds("all is well", async || node.metric("lhfile_keys_unusable").await == 0.0).await;
    assert!(node.believes(&good).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn minted_tokens_outlive_a_new_secret_while_the_old_one_is_kept() {
    let node = Node::start(Setup::new().on_postgres().external("unix:/tmp/lhfile-nobody").without_scanner()).await;
    let mint = async || node.mint("operator:17", &["chat_sync"], &[], None, &Service::all()).await.expect("may").token;
    let old = mint().await;
    let file = node.folder().join("shared-secret");
    fs::write(&file, format!("{}\n{}\n", "6f".repeat(32), "5e".repeat(32))).expect("our own folder");
    let kid = |token: &str| token.split('.').next().expect("a header").to_owned();
    within_two_seconds("the new one signs", async || kid(&mint().await) != kid(&old)).await;
    let new = mint().await;
    assert!(node.believes(&old).await && node.believes(&new).await);
    fs::write(&file, "6f".repeat(32)).expect("our own folder");
    within_two_seconds("the old one is gone", async || !node.believes(&old).await).await;
    assert!(node.believes(&new).await);
}
