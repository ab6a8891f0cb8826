//! Rules of chats: which telling wins, tombstones, what a delete does to files.
//!
//! Not here: the world they are tried in (`world.rs`).

use super::*;
use crate::ports::{ChatDeleted, ChatQuery};

async fn version(w: &World, id: &str) -> (i64, bool) {
    let chat = w.store.find_chat(&id.parse().expect("valid")).await.expect("finds").expect("there");
    (chat.version, chat.deleted)
}

pub async fn a_higher_version_applies_a_lower_or_equal_one_changes_nothing_and_zero_always_applies(w: World) {
    for (given, stored, status) in [(5, 5, ChatStatus::Active), (5, 5, ChatStatus::Bot), (4, 5, ChatStatus::Bot)] {
        let answer =
            w.store.put_chats(vec![told("1", status, None, given)], Actor::SYSTEM, w.now()).await.expect("put");
        assert_eq!((answer[0].version, answer[0].status), (stored, ChatStatus::Active));
    }
    assert_eq!(w.events(), ["CHAT_PUT"], "nothing changed, nothing told");
    w.put("1", ChatStatus::Bot, None).await;
    assert_eq!(version(&w, "1").await, (6, false));
}

pub async fn closed_without_a_time_means_now_and_not_closed_has_no_time(w: World) {
    let now = w.now();
    let id = "1".parse().expect("valid");
    w.store.put_chats(vec![told("1", ChatStatus::Closed, None, 1)], Actor::SYSTEM, now).await.expect("put");
    assert_eq!(w.store.find_chat(&id).await.expect("finds").expect("there").closed_at, Some(now));
    w.put("1", ChatStatus::Closed, Some("17")).await;
    let chat = w.store.find_chat(&id).await.expect("finds").expect("there");
    assert_eq!((chat.closed_at, chat.owner.is_some()), (Some(now), true), "told again, it was closed when it was");
    w.put("1", ChatStatus::Active, None).await;
    let chat = w.store.find_chat(&id).await.expect("finds").expect("there");
    assert_eq!((chat.closed_at, chat.owner), (None, None));
}

pub async fn a_deleted_chat_is_revived_only_by_zero_or_a_higher_version(w: World) {
    let id = "1".parse().expect("valid");
    w.store.delete_chat(&id, 7, Actor::SYSTEM, w.now()).await.expect("an unknown chat leaves a tombstone");
    assert_eq!(version(&w, "1").await, (7, true));
    w.store.put_chats(vec![told("1", ChatStatus::Active, None, 7)], Actor::SYSTEM, w.now()).await.expect("put");
    assert_eq!(version(&w, "1").await, (7, true));
    w.store.put_chats(vec![told("1", ChatStatus::Active, None, 8)], Actor::SYSTEM, w.now()).await.expect("put");
    assert_eq!(version(&w, "1").await, (8, false));
    w.store.delete_chat(&id, 8, Actor::SYSTEM, w.now()).await.expect("an old delete changes nothing");
    assert_eq!(version(&w, "1").await, (8, false));
    w.store.delete_chat(&id, 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    assert_eq!(version(&w, "1").await, (9, true));
    w.put("1", ChatStatus::Active, None).await;
    assert_eq!(version(&w, "1").await, (10, false));
    assert_eq!(w.events(), ["CHAT_DELETED", "CHAT_PUT", "CHAT_DELETED", "CHAT_PUT"]);
}

pub async fn deleting_a_chat_deletes_what_is_at_home_there_alone_and_detaches_the_rest(w: World) {
    for id in ["1", "2"] {
        w.put(id, ChatStatus::Active, None).await;
    }
    let all = service(&["*"]);
    let upload = Upload { persistent: Some(true), ..Upload::to(chat("1")) };
    let alone = w.upload(&all, &upload).await;
    let shared = w.upload(&all, &upload).await;
    let guest = w.upload(&all, &Upload::to(chat("2"))).await;
    let homeless = w.upload(&all, &upload).await;
    let settings = Settings::default();
    for (view, to) in [(&shared, "2"), (&guest, "1")] {
        let to = vec![crate::ports::AttachTo { chat: to.parse().expect("valid"), message_id: None }];
        w.store.attach(FileRef::Id(view.file.id), to, &all, &settings, w.now()).await.expect("attaches");
    }
    let one = "1".parse().expect("valid");
    w.store.detach(FileRef::Id(homeless.file.id), one, &all, &settings, w.now()).await.expect("detaches");

    let before = w.events().len();
    let deleted = w.store.delete_chat(&"1".parse().expect("valid"), 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    assert_eq!(deleted, ChatDeleted { files_deleted: 2, files_detached: 2 });
    assert_eq!(
        w.events()[before..],
        ["FILE_DELETED", "FILE_DELETED", "FILE_DETACHED", "FILE_DETACHED", "CHAT_DELETED"]
    );
    for (view, state) in [
        (&alone, crate::domain::FileState::Deleted),
        (&homeless, crate::domain::FileState::Deleted),
        (&shared, crate::domain::FileState::Ready),
        (&guest, crate::domain::FileState::Ready),
    ] {
        let found = w.find(view, &all).await.expect("the row stays");
        assert_eq!(found.file.state, state);
        let chats: Vec<_> = found.chats.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(chats, if state == crate::domain::FileState::Ready { vec!["2"] } else { vec![] });
    }
}

pub async fn chats_are_listed_by_id_with_filters_scope_and_pages_without_tombstones(w: World) {
    for (id, status, owner) in [
        ("a", ChatStatus::Active, Some("17")),
        ("b", ChatStatus::Closed, Some("17")),
        ("c", ChatStatus::Active, None),
        ("d", ChatStatus::Active, Some("18")),
    ] {
        w.put(id, status, owner).await;
    }
    w.store.delete_chat(&"d".parse().expect("valid"), 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    let list = async |query: ChatQuery| -> String {
        let found = w.store.list_chats(ChatQuery { limit: 2, ..query }).await.expect("lists");
        found.iter().map(|c| c.id.as_str()).collect()
    };
    assert_eq!(list(ChatQuery::default()).await, "ab");
    assert_eq!(list(ChatQuery { after: Some("b".parse().expect("valid")), ..Default::default() }).await, "c");
    assert_eq!(list(ChatQuery { status: Some(ChatStatus::Active), ..Default::default() }).await, "ac");
    assert_eq!(list(ChatQuery { owner: Some("17".parse().expect("valid")), ..Default::default() }).await, "ab");
    let scope = Some(vec!["c".parse().expect("valid"), "d".parse().expect("valid")]);
    assert_eq!(list(ChatQuery { scope, ..Default::default() }).await, "c");
    assert_eq!(list(ChatQuery { scope: Some(vec![]), ..Default::default() }).await, "");
}
