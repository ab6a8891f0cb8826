//! Rules of opaque keys at rest.
//!
//! Not here: the world they are tried in (`world.rs`), and how many there may be and what is damaged, which only an engine
//! can be given (`adapters/sql/tests/keys.rs`).

use super::*;
use crate::{
    domain::{
        Caller, KeyId, Reason,
        key::{Key, Reach},
    },
    ports::{KeyQuery, LiveKey},
};

async fn ids(w: &World, reach: Reach, counting_at: Option<Time>, before: Option<i64>, limit: u32) -> Vec<(i64, KeyId)> {
    let found = w.store.list_keys(KeyQuery { reach, counting_at, before, limit }).await.expect("lists");
    found.into_iter().map(|(number, key)| (number, key.id)).collect()
}

pub async fn key_reads_back_as_it_was_made_and_counts_until_it_ends_or_is_retired(w: World) {
    let under = acting(operator("17", &["42", "43"], &[Permission::Use, Permission::KeyManage]), &["42"]);
    let mut lent = key_of(&under, w.now());
    lent.holder.vid = None;
    let mut visitors = key_of(&service(&["*"]), w.now());
    visitors.holder = Caller { vid: Some("v1".parse().expect("valid")), ..acting(visitor("v", &["42"]), &["*"]) };
    for (key, hash) in [(&lent, sha(1)), (&visitors, sha(2))] {
        w.store.create_key(key.clone(), hash).await.expect("creates");
    }
    let all = KeyQuery { reach: Reach::All, counting_at: None, before: None, limit: 10 };
    let listed: Vec<_> = w.store.list_keys(all).await.expect("lists").into_iter().map(|(_, key)| key).collect();
    assert_eq!(listed, [visitors.clone(), lent.clone()]);
    let live = w.store.load_keys(w.now()).await.expect("loads");
    assert_eq!((live.version, w.store.keys_version().await.expect("asks")), (2, 2));
    let mut found = live.keys.clone();
    found.sort_by_key(|key| key.hash.0);
    let as_live =
        |key: &Key, hash| LiveKey { id: key.id, hash, holder: key.holder.clone(), expires_at: key.expires_at };
    assert_eq!(found, [as_live(&lent, sha(1)), as_live(&visitors, sha(2))]);

    let now = w.now();
    let retired = w.store.retire_key(lent.id, Reach::All, Actor::SYSTEM, now).await.expect("retires");
    assert_eq!(retired, Key { retired_at: Some(now), ..lent.clone() });
    let again = w.store.retire_key(lent.id, Reach::All, Actor::SYSTEM, w.now()).await.expect("again");
    assert_eq!(again, retired, "it stays as it is");
    let live = w.store.load_keys(w.now()).await.expect("loads");
    assert_eq!((live.version, live.keys.len(), live.keys[0].id), (3, 1, visitors.id));
    assert!(w.store.load_keys(visitors.expires_at).await.expect("loads").keys.is_empty(), "ended by time");
    assert_eq!(w.events(), ["KEY_CREATED", "KEY_CREATED", "KEY_RETIRED"]);
}

pub async fn keys_are_listed_in_pages_the_newest_first_and_within_reach_alone(w: World) {
    let (mine, other) = (operator("1", &["a"], &[]), operator("2", &["a"], &[]));
    let through = acting(mine.clone(), &["a"]);
    let mut made = Vec::new();
    for creator in [&mine, &other, &through, &mine] {
        let key = key_of(creator, w.now());
        w.store.create_key(key.clone(), sha(key.created_at.secs() as u64)).await.expect("creates");
        made.insert(0, key);
    }
    let id = |i: usize| made[i].id;
    let only = |found: Vec<(i64, KeyId)>| found.into_iter().map(|(_, id)| id).collect::<Vec<_>>();
    let first = ids(&w, Reach::All, None, None, 3).await;
    let rest = ids(&w, Reach::All, None, Some(first[2].0), 3).await;
    assert_eq!((only(first), only(rest)), (vec![id(0), id(1), id(2)], vec![id(3)]));
    assert_eq!(only(ids(&w, Reach::of(&mine), None, None, 9).await), [id(0), id(1), id(3)]);
    assert_eq!(only(ids(&w, Reach::of(&through), None, None, 9).await), [id(1)]);
    assert_eq!(only(ids(&w, Reach::of(&operator("3", &["*"], &[])), None, None, 9).await), []);

    for (i, caller) in [(2, &mine), (0, &through), (0, &other)] {
        let foreign = w.store.retire_key(id(i), Reach::of(caller), Actor::SYSTEM, w.now()).await;
        assert_eq!(reason(foreign), Reason::NotFound);
    }
    assert_eq!(
        reason(w.store.retire_key(KeyId([250; 16]), Reach::All, Actor::SYSTEM, w.now()).await),
        Reason::NotFound
    );
    w.store.retire_key(id(1), Reach::of(&through), Actor::SYSTEM, w.now()).await.expect("its own");
    assert_eq!(only(ids(&w, Reach::All, Some(w.now()), None, 9).await), [id(0), id(2), id(3)]);
    assert_eq!(only(ids(&w, Reach::All, Some(made[0].expires_at), None, 9).await), [], "ended by time");
}
