//! Keys and secrets as their files change, on a folder of files and without a server.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;
use crate::{
    config::Overrides,
    domain::{Caller, ChatSet, Permissions, Time},
};

const NOW: Time = Time::from_secs(1_800_000_000);

/// A configuration in a folder, followed.
struct World {
    folder: tempfile::TempDir,
    keys: watch::Receiver<Arc<KeySet>>,
    secrets: Secrets,
    hangup: watch::Sender<()>,
    following: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.following.abort();
    }
}

fn write(folder: &tempfile::TempDir, kids: &[&str]) {
    let shown = folder.path().display();
    let mut text = format!("data_dir = \"{shown}/data\"\nsecret_file = \"{shown}/secret\"\n");
    for kid in kids {
        text += &format!("[[keys]]\nkid = \"{kid}\"\nalgorithm = \"HS256\"\nsecret_file = \"{shown}/{kid}\"\n");
    }
    fs::write(folder.path().join("lhfile.toml"), text).expect("our own folder");
}

impl World {
    fn new(kids: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, digit) in [("a", "a"), ("b", "b"), ("secret", "5")] {
            fs::write(folder.path().join(name), digit.repeat(64)).expect("our own folder");
        }
        fs::set_permissions(folder.path().join("secret"), fs::Permissions::from_mode(0o600)).expect("our own file");
        write(&folder, kids);
        let origin = Origin::new(Some(&folder.path().join("lhfile.toml")), Overrides::default());
        let keys = Keys::load(&origin.load().expect("holds"), origin).expect("good keys");
        let hangup = watch::Sender::new(());
        let (subscribed, secrets) = (keys.subscribe(), keys.secrets());
        let following = tokio::runtime::Handle::current();
        #[expect(clippy::disallowed_methods, reason = "a test that ends it itself")]
        let following = following.spawn(keys.follow(hangup.subscribe()));
        Self { folder, keys: subscribed, secrets, hangup, following }
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("our own folder");
    }

    /// Whether a token of this kid, signed by the key of these hex digits, is believed.
    fn believes(&self, kid: &str, digit: &str) -> bool {
        let header = jsonwebtoken::Header { kid: Some(kid.to_owned()), ..jsonwebtoken::Header::default() };
        let claims = serde_json::json!({"aud": "lhfile", "sub": "operator:1", "exp": NOW.secs() + 60});
        let secret = jsonwebtoken::EncodingKey::from_secret(digit.repeat(64).as_bytes());
        let token = jsonwebtoken::encode(&header, &claims, &secret).expect("encodes");
        self.keys.borrow().caller(&token, NOW).is_ok()
    }

    /// Waits until the files were judged again and the keys are others.
    async fn changed(&mut self) {
        self.keys.mark_unchanged();
        tokio::time::timeout(Duration::from_secs(20), self.keys.changed()).await.expect("in time").expect("followed");
    }
}

#[tokio::test]
async fn key_added_to_the_configuration_counts_beside_the_old_one_until_that_is_removed() {
    let mut w = World::new(&["a"]);
    assert!(w.believes("a", "a") && !w.believes("b", "b"));
    write(&w.folder, &["a", "b"]);
    w.changed().await;
    assert!(w.believes("a", "a") && w.believes("b", "b"));
    write(&w.folder, &["b"]);
    w.changed().await;
    assert!(!w.believes("a", "a") && w.believes("b", "b"));
}

#[tokio::test]
async fn file_of_a_key_that_changes_is_read_again_and_on_hangup_at_once() {
    let mut w = World::new(&["a"]);
    w.put("a", &"c".repeat(64));
    w.changed().await;
    assert!(w.believes("a", "c") && !w.believes("a", "a"));
    w.put("a", &"d".repeat(64));
    w.hangup.send_replace(());
    w.changed().await;
    assert!(w.believes("a", "d"));
}

#[tokio::test]
async fn damaged_files_change_nothing_until_a_good_one_comes() {
    let mut w = World::new(&["a"]);
    for (name, text) in
        [("a", "short"), ("lhfile.toml", "keys = 7"), ("secret", "no hex"), ("lhfile.toml", "colour = 1")]
    {
        let before = fs::read_to_string(w.folder.path().join(name)).expect("was there");
        w.put(name, text);
        w.hangup.send_replace(());
        // It is read again, and again after the next hangup: none of it brings other keys.
        tokio::time::sleep(LOOK_EVERY * 3).await;
        assert!(w.believes("a", "a") && !w.keys.has_changed().expect("followed"), "{name}: {text}");
        w.put(name, &before);
    }
    write(&w.folder, &["b"]);
    w.changed().await;
    while !w.believes("b", "b") {
        w.changed().await;
    }
}

#[tokio::test]
async fn new_secret_seals_and_an_old_one_opens_until_it_is_removed() {
    use crate::app::Purpose;
    let mut w = World::new(&["a"]);
    let caller = Caller {
        person: "operator:1".parse().expect("valid"),
        permissions: Permissions::NONE,
        chats: ChatSet::none(),
        vid: None,
        ceiling: None,
    };
    let mint = |w: &World| w.keys.borrow().mint(&caller, NOW.plus_secs(60)).expect("a key");
    let taken = |w: &World, token: &str| w.keys.borrow().caller(token, NOW).is_ok();
    let (page, token) = (w.secrets.seal(Purpose::Page, b"x", [1; 16]), mint(&w));
    w.put("secret", &format!("{}\n{}\n", "6".repeat(64), "5".repeat(64)));
    w.changed().await;
    assert!(w.secrets.open(Purpose::Page, &page).is_some() && taken(&w, &token));
    let (new_page, new_token) = (w.secrets.seal(Purpose::Page, b"x", [1; 16]), mint(&w));
    w.put("secret", &"6".repeat(64));
    w.changed().await;
    assert!(w.secrets.open(Purpose::Page, &page).is_none() && !taken(&w, &token));
    assert!(w.secrets.open(Purpose::Page, &new_page).is_some() && taken(&w, &new_token));
}
