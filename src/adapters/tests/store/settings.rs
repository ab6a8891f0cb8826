//! Rules of settings at rest.
//!
//! Not here: the world they are tried in (`world.rs`).

use super::*;
use crate::{
    domain::{Event, EventKind, Reason, key::Reach, name::DisplayName, settings::SettingValue},
    ports::{AttachTo, FileChange, Stop, StoreError},
};

pub async fn settings_are_stored_under_one_version_and_an_old_etag_changes_nothing(w: World) {
    let before = w.store.load_settings().await.expect("loads");
    assert_eq!((before.version, before.updated_at, before.settings), (0, None, Settings::default()));
    let now = w.now();
    let change = vec![
        ("max_file_bytes", SettingValue::Int(5)),
        ("visitor_extensions", SettingValue::Extensions(vec!["pdf".into(), "png".into()])),
        ("visitor_download", SettingValue::Choice("LINK".into())),
    ];
    assert_eq!(w.store.save_settings(change.clone(), 0, Actor::SYSTEM, now).await.expect("saves"), 1);
    let stored = w.store.load_settings().await.expect("loads");
    assert_eq!((stored.version, stored.updated_at), (1, Some(now)));
    assert_eq!(stored.settings.max_file_bytes, 5);
    assert_eq!(stored.settings.visitor_extensions, ["pdf", "png"]);
    assert_eq!(stored.settings.get("visitor_download").expect("known"), SettingValue::Choice("LINK".into()));
    assert_eq!(reason(w.store.save_settings(change, 0, Actor::SYSTEM, now).await), Reason::EtagMismatch);
    let empty = vec![("visitor_extensions", SettingValue::Extensions(vec![]))];
    assert_eq!(w.store.save_settings(empty, 1, Actor::SYSTEM, now).await.expect("saves"), 2);
    assert_eq!(w.store.settings_version().await.expect("asks"), 2);
    assert!(w.store.load_settings().await.expect("loads").settings.visitor_extensions.is_empty());
    assert_eq!(w.events(), ["SETTINGS_UPDATED", "SETTINGS_UPDATED"]);
}

fn read_only<T: std::fmt::Debug>(answer: Result<T, impl Into<Stop>>) {
    match answer.map_err(Into::into) {
        Err(Stop::Failed(StoreError::ReadOnly)) => {}
        other => panic!("not refused for read_only: {other:?}"),
    }
}

pub async fn nothing_is_changed_after_read_only_was_set_whatever_a_node_believes(w: World) {
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, None).await;
    }
    let (all, settings) = (service(&["*"]), Settings::default());
    let view = w.upload(&all, &Upload::to(chat("a"))).await;
    let by = FileRef::Id(view.file.id);
    let gone = FileRef::Id(w.upload(&all, &Upload { tag: 5, ..Upload::to(Target::Library) }).await.file.id);
    w.store.delete_file(gone, &all, &settings, w.now()).await.expect("deletes");
    let key = key_of(&all, w.now());
    w.store.create_key(key.clone(), sha(1)).await.expect("creates");
    let intent = w.started(&all, &Upload::to(Target::Library)).await;
    let set = async |to, version| {
        let change = vec![("read_only", SettingValue::Bool(to))];
        w.store.save_settings(change, version, Actor::SYSTEM, w.now()).await.expect("saves")
    };
    set(true, 0).await;
    let events = w.events();
    let [a, b] = ["a", "b"].map(|id| id.parse().expect("valid"));
    read_only(w.store.commit_upload(w.commit(&all, &Upload::to(Target::Library), intent)).await);
    read_only(w.store.attach(by, vec![AttachTo { chat: b, message_id: None }], &all, &settings, w.now()).await);
    read_only(w.store.detach(by, a, &all, &settings, w.now()).await);
    let rename = FileChange { display_name: Some(DisplayName::new("b.txt", "").expect("valid")), ..Default::default() };
    read_only(w.store.update_file(by, rename, &all, &settings, w.now()).await);
    read_only(w.store.delete_file(by, &all, &settings, w.now()).await);
    read_only(w.store.restore_file(gone, &all, &settings, w.now()).await);
    read_only(w.store.put_chats(vec![told("a", ChatStatus::Closed, None, 0)], Actor::SYSTEM, w.now()).await);
    read_only(w.store.delete_chat(&"a".parse().expect("valid"), 0, Actor::SYSTEM, w.now()).await);
    read_only(w.store.create_key(key_of(&all, w.now()), sha(2)).await);
    read_only(w.store.retire_key(key.id, Reach::All, Actor::SYSTEM, w.now()).await);
    assert_eq!(w.events(), events, "nothing changed");
    assert_eq!(w.find(&view, &all).await, Some(view.clone()));

    // What is no change goes on: what is left over is cleared away, refusals are told, hits are remembered.
    let refused = Event::new(EventKind::UploadRefused, Actor::SYSTEM);
    w.store.record(refused, w.now()).await.expect("is told");
    w.store.quarantine(sha(9), verdict(VerdictKind::Infected, "1"), "Eicar", None).await.expect("is remembered");
    let abandoned = Event::new(EventKind::UploadAbandoned, Actor::SYSTEM);
    w.store.abort_upload(intent, abandoned, w.now(), 0).await.expect("ends");
    set(false, 1).await;
    w.store.delete_file(by, &all, &settings, w.now()).await.expect("deletes");
}
