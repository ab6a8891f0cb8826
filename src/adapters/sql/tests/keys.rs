//! Rules of opaque keys that need rows of an engine: the most there may be, and damaged ones.
//!
//! Not here: the contract (`adapters/tests/store/keys.rs`) and the query plans (`plans.rs`).

use super::*;
use crate::{
    domain::{
        Reason,
        key::{MOST_KEYS, Reach},
    },
    ports::KeyQuery,
};

#[tokio::test]
async fn as_many_keys_count_as_there_may_be_and_one_that_ends_makes_room() {
    let w = world();
    let (creator, now) = (service(&["*"]), w.now());
    w.execute(&format!(
        "INSERT INTO access_keys (id, hash, person_kind, person_id, permissions, chats, label, created_kind, created_id, \
         created_at, expires_at) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MOST_KEYS}) \
         SELECT CAST(CAST(i AS TEXT) AS {bytes}), CAST('' AS {bytes}), 'SERVICE', 's', '', '', '', 'SERVICE', 's', 0, {ends} FROM n",
        bytes = if w.database.is_some() { "BYTEA" } else { "BLOB" },
        ends = now.plus_secs(60).0,
    ));
    let refused = w.store.create_key(key_of(&creator, now), sha(1)).await;
    assert_eq!(reason(refused), Reason::QuotaKeys);
    w.execute("UPDATE access_keys SET retired_at = 1 WHERE number = 1");
    w.store.create_key(key_of(&creator, now), sha(1)).await.expect("there is room");
    let later = key_of(&creator, now.plus_secs(61));
    w.store.create_key(later, sha(2)).await.expect("the others have ended");
    assert_eq!(w.events(), ["KEY_CREATED", "KEY_CREATED"]);
}

#[tokio::test]
async fn damaged_key_is_told_and_never_believed_and_stops_no_other() {
    let w = world();
    w.store.create_key(key_of(&service(&["*"]), w.now()), sha(1)).await.expect("creates");
    let good = key_of(&service(&["*"]), w.now());
    w.store.create_key(good.clone(), sha(2)).await.expect("creates");
    for (damage, column) in [
        ("chats = 'a/b'", "chats"),
        ("chats = '', person_kind = 'ROOT'", "person_id"),
        ("person_kind = 'SERVICE', ceiling_service = 'b'", "ceiling_service"),
    ] {
        w.execute(&format!("UPDATE access_keys SET {damage} WHERE number = 1"));
        let live = w.store.load_keys(w.now()).await.expect("the others count").keys;
        assert_eq!(live.iter().map(|key| key.id).collect::<Vec<_>>(), [good.id], "{damage}");
        let query = KeyQuery { reach: Reach::All, counting_at: None, before: None, limit: 10 };
        let error = w.store.list_keys(query).await.expect_err(damage);
        assert!(error.to_string().contains("access_keys") && error.to_string().contains(column), "{error}");
    }
}
