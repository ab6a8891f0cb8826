//! Rules of settings at rest.
//!
//! Not here: the world they are tried in (`world.rs`).

use super::*;
use crate::domain::{Reason, settings::SettingValue};

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
