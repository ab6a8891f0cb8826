//! Random calls on opaque keys.
//!
//! Not here: the other calls (`uploads.rs`, `files.rs`, `chats.rs`).

use super::{
    super::{key_of, sha},
    calls::{Side, plain, sure},
    draw::Draw,
};
use crate::{
    domain::{Actor, KeyId, Time, key::Reach},
    ports::{KeyQuery, LiveKeys},
};

impl Side {
    pub async fn keys(&mut self, at: usize, draw: &mut Draw, now: Time) -> (String, String) {
        let caller = draw.caller();
        let reach = Reach::of(&caller);
        match draw.below(5) {
            0 | 1 => {
                let key = key_of(&caller, now);
                let made = self.world.store.create_key(key.clone(), sha(at as u64)).await;
                self.keys.push(key.id);
                (format!("create {key:?}"), plain(made))
            }
            2 => {
                let id = if self.keys.is_empty() { KeyId([250; 16]) } else { draw.of(&self.keys) };
                let retired = self.world.store.retire_key(id, reach, Actor::from(&caller), now).await;
                (format!("retire {id} as {caller:?}"), plain(retired))
            }
            3 => {
                let counting_at = draw.maybe(|_| now);
                let mut query = KeyQuery { reach, counting_at, before: None, limit: draw.of(&[0, 1, 3, 100]) };
                let first = self.world.store.list_keys(query.clone()).await;
                query.before = first.as_ref().ok().and_then(|page| page.last()).map(|(number, _)| *number);
                let call = format!("list keys as {caller:?}, {counting_at:?}, {} and the next page", query.limit);
                let next = self.world.store.list_keys(query).await;
                // Numbers are the engine's own.
                let plain = |page: Vec<(i64, _)>| page.into_iter().map(|(_, key)| key).collect::<Vec<_>>();
                (call, format!("{}\n{}", sure(first.map(plain)), sure(next.map(plain))))
            }
            _ => {
                let version = self.world.store.keys_version().await;
                let live = self.world.store.load_keys(now).await.map(|LiveKeys { version, mut keys }| {
                    keys.sort_unstable_by_key(|key| key.hash.0);
                    (version, keys)
                });
                ("load keys".to_owned(), format!("{} {}", sure(version), sure(live)))
            }
        }
    }
}
