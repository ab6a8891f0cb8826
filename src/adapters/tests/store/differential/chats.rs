//! Random calls on chats, settings and the pairing.
//!
//! Not here: the other calls (`uploads.rs`, `files.rs`).

use super::{
    calls::{Side, plain, sure},
    draw::Draw,
};
use crate::{
    domain::{Actor, ChatStatus, StoreId, Time, settings::SettingValue},
    ports::{ChatQuery, ChatTold},
};

fn status(draw: &mut Draw) -> ChatStatus {
    draw.of(&[ChatStatus::Active, ChatStatus::Active, ChatStatus::Pending, ChatStatus::Bot, ChatStatus::Closed])
}

fn version(draw: &mut Draw) -> i64 {
    if draw.once_in(2) { 0 } else { draw.below(40) as i64 }
}

fn telling(draw: &mut Draw, now: Time) -> ChatTold {
    ChatTold {
        id: draw.chat(),
        status: status(draw),
        owner: draw.maybe(|draw| draw.of(&["17", "18"]).parse().expect("valid")),
        closed_at: if draw.once_in(4) { Some(now.plus_secs(-500)) } else { None },
        upload_override: if draw.once_in(4) { Some(draw.once_in(2)) } else { None },
        version: version(draw),
    }
}

impl Side {
    pub async fn put_chats(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let told: Vec<ChatTold> = (0..draw.below(4)).map(|_| telling(draw, now)).collect();
        let actor = if draw.once_in(2) { Actor::SYSTEM } else { Actor::from(&draw.caller()) };
        (format!("put {told:?}"), sure(self.world.store.put_chats(told, actor, now).await))
    }

    pub async fn read_chats(&mut self, draw: &mut Draw) -> (String, String) {
        if draw.once_in(2) {
            let id = draw.chat();
            return (format!("find chat {id}"), sure(self.world.store.find_chat(&id).await));
        }
        let query = ChatQuery {
            status: draw.maybe(status),
            owner: draw.maybe(|draw| draw.of(&["17", "18"]).parse().expect("valid")),
            scope: draw.maybe(|draw| draw.chats(3)),
            after: draw.maybe(Draw::chat),
            limit: draw.of(&[1, 2, 100]),
        };
        (format!("list {query:?}"), sure(self.world.store.list_chats(query).await))
    }

    pub async fn delete_chat(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let (id, version, actor) = (draw.chat(), version(draw), Actor::from(&draw.caller()));
        let deleted = self.world.store.delete_chat(&id, version, actor, now).await;
        (format!("delete chat {id}, version {version}"), plain(deleted))
    }

    pub async fn change_settings(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let version = self.world.store.settings_version().await;
        if draw.once_in(3) {
            return ("load settings".to_owned(), sure(self.world.store.load_settings().await));
        }
        let expected = version.as_ref().copied().unwrap_or(-1) - i64::from(draw.once_in(4));
        let changes: Vec<_> = (0..draw.below(3))
            .map(|_| match draw.below(4) {
                0 => ("max_file_bytes", SettingValue::Int(1 + draw.below(100) as i64)),
                1 => ("read_only", SettingValue::Bool(draw.once_in(2))),
                2 => ("visitor_extensions", SettingValue::Extensions(vec![draw.of(&["pdf", "png"]).to_owned()])),
                _ => ("visitor_download", SettingValue::Choice(draw.of(&["LINK", "FOREVER"]).to_owned())),
            })
            .collect();
        let actor = Actor::from(&draw.caller());
        let call = format!("settings {changes:?} over {expected}");
        let saved = self.world.store.save_settings(changes, expected, actor, now).await;
        (call, format!("{} {}", sure(version), plain(saved)))
    }

    pub async fn pair(&mut self, draw: &mut Draw) -> (String, String) {
        let store = &self.world.store;
        match draw.below(4) {
            3 => ("newest keys".to_owned(), sure(store.list_newest_keys().await)),
            0 => ("find the claim".to_owned(), sure(store.find_store_claim().await)),
            1 => {
                let n = draw.below(3) as u8;
                let claimed = store.claim_store_id(StoreId([n; 16]), &format!("s3://{n}")).await;
                (format!("claim {n}"), sure(claimed))
            }
            _ => ("confirm".to_owned(), sure(store.confirm_store_id().await)),
        }
    }
}
