//! What nodes hear of each other on PostgreSQL, without asking.
//!
//! Not here: what they do then (`app/changes.rs`), and the asking.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{super::super::postgres::Listener, *};
use crate::{
    domain::{key::Reach, settings::SettingValue},
    ports::Changes,
};

/// Much longer than any change takes to be heard, which is milliseconds.
const LONG: Duration = Duration::from_secs(20);
/// Long enough for what was said to come.
const QUIET: Duration = Duration::from_millis(300);

fn listener(w: &World) -> Arc<Listener> {
    let url = cluster().url(w.database.as_deref().expect("on PostgreSQL"));
    Arc::new(Listener::new(&Server::parse(&url).expect("a URL")))
}

async fn hears(listener: &Listener) {
    timeout(LONG, listener.next()).await.expect("it is heard");
}

async fn hears_nothing(listener: &Listener) {
    timeout(QUIET, listener.next()).await.expect_err("there is nothing to hear");
}

async fn save(w: &World, version: i64) {
    let change = vec![("one_file_at_a_time", SettingValue::Bool(version % 2 == 0))];
    w.store.save_settings(change, version, Actor::SYSTEM, w.now()).await.expect("saves");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_settings_and_keys_are_heard_when_they_are_committed_and_nothing_else_is() {
    let w = world();
    let listener = listener(&w);
    // Connected: what was changed before has to be looked for.
    hears(&listener).await;
    hears_nothing(&listener).await;
    save(&w, 0).await;
    hears(&listener).await;
    let key = key_of(&service(&["*"]), w.now());
    w.store.create_key(key.clone(), sha(1)).await.expect("creates");
    hears(&listener).await;
    w.store.retire_key(key.id, Reach::All, Actor::SYSTEM, w.now()).await.expect("retires");
    hears(&listener).await;
    w.store.retire_key(key.id, Reach::All, Actor::SYSTEM, w.now()).await.expect("is retired already");
    w.store.save_settings(vec![], 0, Actor::SYSTEM, w.now()).await.expect_err("an old version");
    w.put("a", ChatStatus::Active, None).await;
    hears_nothing(&listener).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_that_is_killed_is_made_again_and_what_it_missed_is_looked_for() {
    let w = world();
    let database = w.database.clone().expect("on PostgreSQL");
    let listener = listener(&w);
    hears(&listener).await;
    for version in 0..3 {
        let kill = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = '{database}' AND application_name = 'lhfile-listen'"
        );
        assert_eq!(cluster().psql("postgres", &kill), ["1"]);
        save(&w, 2 * version).await;
        // Of the new connection.
        hears(&listener).await;
        save(&w, 2 * version + 1).await;
        hears(&listener).await;
    }
}
