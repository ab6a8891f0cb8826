//! Rules of files that are there: what a caller sees, attaching, detaching, changing, deleting.
//!
//! Not here: the world they are tried in (`world.rs`).

use super::*;
use crate::{
    domain::{
        Caller, FileState, Reason,
        access::Deletion,
        listing::{FileFilter, FileQuery},
        name::DisplayName,
    },
    ports::{AttachTo, FileChange},
};

fn to(ids: &[&str]) -> Vec<AttachTo> {
    ids.iter().map(|id| AttachTo { chat: id.parse().expect("valid"), message_id: None }).collect()
}

fn shown(view: Option<&FileView>) -> Vec<String> {
    view.map(|v| v.chats.iter().map(|c| c.id.to_string()).collect()).unwrap_or_default()
}

pub async fn a_view_names_exactly_the_chats_that_its_caller_may_access(w: World) {
    for (id, owner) in [("a", Some("17")), ("b", Some("18")), ("c", None), ("d", Some("17"))] {
        w.put(id, ChatStatus::Active, owner).await;
    }
    let all = service(&["*"]);
    let view = w.upload(&all, &Upload::to(chat("a"))).await;
    let by = FileRef::Id(view.file.id);
    w.store.attach(by, to(&["b", "c", "d"]), &all, &Settings::default(), w.now()).await.expect("attaches");
    for (caller, expected) in [
        (all.clone(), "abcd"),
        (service(&["b", "x"]), "b"),
        (service(&[]), ""),
        (visitor("v", &["c"]), "c"),
        (operator("17", &[], &[]), "ad"),
        (operator("17", &["b"], &[]), "abd"),
        (operator("19", &["*"], &[]), "abcd"),
        (operator("19", &[], &[]), ""),
        (acting(operator("17", &["b"], &[]), &["a", "b"]), "ab"),
        (acting(operator("17", &["*"], &[]), &["c"]), "c"),
        (acting(operator("17", &[], &[]), &[]), ""),
        (acting(visitor("v", &["c"]), &["*"]), "c"),
    ] {
        let found = w.find(&view, &caller).await;
        assert_eq!(shown(found.as_ref()).concat(), expected, "{caller:?}");
        for chat in &found.expect("the row is told whatever the caller").chats {
            assert!(caller.may_access(&chat.id, chat.owner.as_ref()));
        }
    }
    w.store.delete_chat(&"b".parse().expect("valid"), 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    assert_eq!(shown(w.find(&view, &all).await.as_ref()).concat(), "acd");
}

pub async fn a_file_that_is_not_there_is_not_found_by_id_number_or_wrong_code(w: World) {
    let all = service(&["*"]);
    let mut view = w.upload(&all, &Upload::to(Target::Library)).await;
    view.file.code_hash = CodeHash([0; 16]);
    assert_eq!(w.store.find_file(FileRef::Code(view.file.message_code()), &all).await.expect("finds"), None);
    assert_eq!(w.store.find_file(FileRef::Id(FileId([0; 16])), &all).await.expect("finds"), None);
}

pub async fn attaching_judges_each_chat_alone_and_twice_is_one_attachment(w: World) {
    for (id, owner) in [("a", Some("17")), ("b", Some("18"))] {
        w.put(id, ChatStatus::Active, owner).await;
    }
    let own = operator("17", &[], &[Permission::UseOperator]);
    let settings = Settings::default();
    let view = w.upload(&own, &Upload::to(Target::Library)).await;
    let by = FileRef::Id(view.file.id);
    let answers = w.store.attach(by, to(&["a", "b", "x", "a"]), &own, &settings, w.now()).await.expect("attaches");
    let reasons: Vec<_> = answers.iter().map(|a| a.as_ref().err().map(|r| r.reason)).collect();
    assert_eq!(reasons, [None, Some(Reason::NotFound), Some(Reason::NotFound), None]);
    let unknown = w.store.attach(by, to(&["x"]), &service(&["*"]), &settings, w.now()).await.expect("attaches");
    assert_eq!(unknown[0].as_ref().expect_err("unknown").reason, Reason::ChatUnknown);
    assert_eq!(w.events()[2..], ["FILE_UPLOADED", "FILE_ATTACHED"]);
    let filled = vec![AttachTo { chat: "a".parse().expect("valid"), message_id: Some("m1".into()) }];
    w.store.attach(by, filled, &own, &settings, w.now()).await.expect("fills the message id");
    assert_eq!(w.events().len(), 4, "no second attachment");
    assert_eq!(shown(w.find(&view, &own).await.as_ref()), ["a"]);
    let stranger = operator("19", &[], &[]);
    assert_eq!(reason(w.store.attach(by, to(&["a"]), &stranger, &settings, w.now()).await), Reason::NotFound);
    let nothing = FileRef::Id(FileId([0; 16]));
    assert_eq!(reason(w.store.attach(nothing, to(&["a"]), &own, &settings, w.now()).await), Reason::NotFound);
}

pub async fn five_hundred_chats_are_attached_in_one_call_and_more_are_told_as_truncated(w: World) {
    let ids: Vec<String> = (0..501).map(|i| format!("c{i:04}")).collect();
    let tellings = ids.iter().map(|id| told(id, ChatStatus::Active, Some("17"), 0)).collect();
    w.store.put_chats(tellings, Actor::SYSTEM, w.now()).await.expect("put");
    let all = service(&["*"]);
    let view = w.upload(&all, &Upload::to(Target::Library)).await;
    let by = FileRef::Id(view.file.id);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let answers = w.store.attach(by, to(&ids[..500]), &all, &Settings::default(), w.now()).await.expect("attaches");
    assert!(answers.len() == 500 && answers.iter().all(Result::is_ok));
    for caller in [all.clone(), operator("17", &[], &[])] {
        let found = w.find(&view, &caller).await.expect("there");
        assert_eq!((found.chats.len(), found.chats_truncated), (500, false));
    }
    w.store.attach(by, to(&ids), &all, &Settings::default(), w.now()).await.expect("attaches");
    for caller in [all.clone(), operator("17", &[], &[])] {
        let found = w.find(&view, &caller).await.expect("there");
        assert_eq!((found.chats.len(), found.chats_truncated), (500, true));
        let query = lists::query(10);
        let listed = w.store.list_files(query, &caller).await.expect("lists").rows;
        assert_eq!((listed[0].chats.len(), listed[0].chats_truncated), (20, true), "a list names fewer");
        assert_eq!((&listed[0].file, &listed[0].chats[..]), (&found.file, &found.chats[..20]));
    }
}

pub async fn detaching_is_for_the_uploader_or_the_chats_owner_and_twice_is_fine(w: World) {
    w.put("a", ChatStatus::Active, Some("17")).await;
    let uses = [Permission::UseOperator];
    let (owner, guest) = (operator("17", &[], &uses), operator("18", &["a"], &uses));
    let settings = Settings::default();
    let view = w.upload(&visitor("v", &["a"]), &Upload::to(chat("a"))).await;
    let by = FileRef::Id(view.file.id);
    let a: crate::domain::ChatId = "a".parse().expect("valid");
    let refused = w.store.detach(by, a.clone(), &guest, &settings, w.now()).await;
    assert_eq!(reason(refused), Reason::MissingPermission);
    assert_eq!(shown(w.find(&view, &owner).await.as_ref()), ["a"]);
    w.store.detach(by, a.clone(), &owner, &settings, w.now()).await.expect("detaches");
    assert!(shown(w.find(&view, &owner).await.as_ref()).is_empty());
    let all = service(&["*"]);
    w.store.detach(by, a, &all, &settings, w.now()).await.expect("nothing to detach is fine");
    assert_eq!(w.events()[1..], ["FILE_UPLOADED", "FILE_DETACHED"]);
}

pub async fn an_update_needs_the_current_etag_and_makes_a_new_one(w: World) {
    let own = operator("17", &[], &[]);
    let settings = Settings::default();
    let view = w.upload(&own, &Upload::to(Target::Library)).await;
    let by = FileRef::Id(view.file.id);
    let change = FileChange {
        display_name: Some(DisplayName::new("b.txt", "").expect("valid")),
        persistent: Some(false),
        etag: Some(view.file.etag()),
    };
    let changed = w.store.update_file(by, change.clone(), &own, &settings, w.now()).await.expect("updates");
    assert_eq!((changed.file.display_name.as_str(), changed.file.persistent), ("b.txt", false));
    assert_ne!(changed.file.etag(), view.file.etag());
    assert_eq!(w.find(&view, &own).await, Some(changed.clone()));
    let late = w.store.update_file(by, change, &own, &settings, w.now()).await;
    assert_eq!(reason(late), Reason::EtagMismatch);
    let same = w.store.update_file(by, FileChange::default(), &own, &settings, w.now()).await.expect("changes nothing");
    assert_eq!(same, changed);
    let stranger = operator("19", &[], &[]);
    let refused = w.store.update_file(by, FileChange::default(), &stranger, &settings, w.now()).await;
    assert_eq!(reason(refused), Reason::NotFound);
    assert_eq!(w.events(), ["FILE_UPLOADED", "FILE_UPDATED"]);
}

pub async fn deleting_is_a_tombstone_that_keeps_its_attachments_and_twice_is_fine(w: World) {
    w.put("a", ChatStatus::Active, Some("17")).await;
    let settings = Settings::default();
    let view = w.upload(&visitor("v", &["a"]), &Upload::to(chat("a"))).await;
    let by = FileRef::Id(view.file.id);
    let seer = operator("18", &["a"], &[]);
    assert_eq!(reason(w.store.delete_file(by, &seer, &settings, w.now()).await), Reason::MissingPermission);
    let owner = operator("17", &[], &[Permission::FileDeleteChat]);
    let when = w.now();
    assert_eq!(w.store.delete_file(by, &owner, &settings, when).await.expect("deletes"), Deletion::Delete);
    assert_eq!(w.store.delete_file(by, &owner, &settings, w.now()).await.expect("again"), Deletion::AlreadyDone);
    assert_eq!(reason(w.store.delete_file(by, &seer, &settings, w.now()).await), Reason::NotFound);
    let found = w.find(&view, &owner).await.expect("the tombstone is told");
    assert_eq!((found.file.state, found.file.deleted_at), (FileState::Deleted, Some(when)));
    assert_eq!(shown(Some(&found)), ["a"]);
    assert_eq!(w.events()[1..], ["FILE_UPLOADED", "FILE_DELETED"]);
}

pub async fn an_owner_does_not_delete_what_is_attached_to_a_chat_of_another(w: World) {
    for (id, owner) in [("a", Some("17")), ("b", Some("17")), ("c", None)] {
        w.put(id, ChatStatus::Active, owner).await;
    }
    let (all, settings) = (service(&["*"]), Settings::default());
    let owner = operator("17", &[], &[Permission::FileDeleteChat]);
    let view = w.upload(&visitor("v", &["a"]), &Upload::to(chat("a"))).await;
    let by = FileRef::Id(view.file.id);
    w.store.attach(by, to(&["b", "c"]), &all, &settings, w.now()).await.expect("attaches");
    assert_eq!(reason(w.store.delete_file(by, &owner, &settings, w.now()).await), Reason::MissingPermission);
    w.store.detach(by, "c".parse().expect("valid"), &all, &settings, w.now()).await.expect("detaches");
    assert_eq!(w.store.delete_file(by, &owner, &settings, w.now()).await.expect("deletes"), Deletion::Delete);
}

/// Whoever may restore any file.
fn restorer() -> Caller {
    operator("20", &["*"], &[Permission::FileRestore])
}

pub async fn a_deleted_file_comes_back_with_its_attachments_to_living_chats_within_the_grace(w: World) {
    for id in ["a", "b", "c"] {
        w.put(id, ChatStatus::Active, None).await;
    }
    let (all, settings) = (service(&["*"]), Settings::default());
    let view = w.upload(&visitor("v", &["a"]), &Upload::to(chat("a"))).await;
    let by = FileRef::Id(view.file.id);
    w.store.attach(by, to(&["b", "c"]), &all, &settings, w.now()).await.expect("attaches");
    let blind = operator("20", &[], &[Permission::FileRestore]);
    let unseen = w.store.restore_file(by, &blind, &settings, w.now()).await;
    assert_eq!(reason(unseen), Reason::NotFound, "the right over deleted files opens none that never was deleted");
    let there = w.store.restore_file(by, &all, &settings, w.now()).await.expect("it is there");
    assert_eq!(there.file.revision, 1, "nothing changes");
    assert_eq!(shown(Some(&there)), ["a", "b", "c"]);

    w.store.delete_file(by, &all, &settings, w.now()).await.expect("deletes");
    w.store.delete_chat(&"b".parse().expect("valid"), 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    for stranger in [operator("17", &["*"], &[Permission::FileDelete]), visitor("v", &["a"]), service(&["x"])] {
        assert_eq!(reason(w.store.restore_file(by, &stranger, &settings, w.now()).await), Reason::NotFound);
    }
    let when = w.now();
    let back = w.store.restore_file(by, &restorer(), &settings, when).await.expect("comes back");
    assert_eq!((back.file.state, back.file.deleted_at, back.file.restored_at), (FileState::Ready, None, Some(when)));
    assert_eq!(back.file.created_at, view.file.created_at);
    assert_eq!(shown(Some(&back)), ["a", "c"]);
    assert_ne!(back.file.etag(), there.file.etag());
    w.put("b", ChatStatus::Active, None).await;
    assert_eq!(shown(w.find(&view, &all).await.as_ref()), ["a", "c"]);
    let again = w.store.restore_file(by, &restorer(), &settings, w.now()).await.expect("again");
    assert_eq!((again.file.restored_at, again.file.revision), (Some(when), back.file.revision));

    let deleted = w.now();
    w.store.delete_file(by, &all, &settings, deleted).await.expect("deletes");
    let end = deleted.plus_secs(7 * 86_400);
    assert_eq!(reason(w.store.restore_file(by, &restorer(), &settings, end).await), Reason::NotFound);
    w.store.restore_file(by, &restorer(), &settings, Time(end.0 - 1)).await.expect("a microsecond before");
    let events = w.events();
    let count = |what: &str| events.iter().filter(|kind| *kind == what).count();
    assert_eq!((count("FILE_RESTORED"), count("FILE_DETACHED")), (2, 1), "{events:?}");
}

pub async fn a_chat_that_is_deleted_again_takes_nothing_that_was_restored_since(w: World) {
    w.put("a", ChatStatus::Active, None).await;
    let (all, settings, a) = (service(&["*"]), Settings::default(), "a".parse().expect("valid"));
    let view = w.upload(&all, &Upload::to(chat("a"))).await;
    let counts = w.store.delete_chat(&a, 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    assert_eq!(counts.files_deleted, 1);
    w.store.restore_file(FileRef::Id(view.file.id), &all, &settings, w.now()).await.expect("comes back");
    let again = w.store.delete_chat(&a, 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    assert_eq!((again.files_deleted, again.files_detached), (0, 0));
    assert_eq!(w.find(&view, &all).await.expect("there").file.state, FileState::Ready);
}

pub async fn deleted_files_are_listed_to_the_end_of_their_grace_and_no_others(w: World) {
    w.put("a", ChatStatus::Active, None).await;
    let (all, settings) = (service(&["*"]), Settings::default());
    let mut deleted = Vec::new();
    for n in 0..4 {
        let target = if n % 2 == 0 { chat("a") } else { Target::Library };
        let upload = Upload { name: format!("n{n}.txt"), tag: n, ..Upload::to(target) };
        let view = w.upload(&all, &upload).await;
        if n < 3 {
            let now = w.now();
            w.store.delete_file(FileRef::Id(view.file.id), &all, &settings, now).await.expect("deletes");
            deleted.push((now, view.file.display_name.to_string()));
        }
    }
    let list = async |after: Time, filter: FileFilter| -> Vec<String> {
        let query = FileQuery { filter, deleted_after: Some(after), ..lists::query(10) };
        let page = w.store.list_files(query, &all).await.expect("lists");
        page.rows.iter().map(|view| view.file.display_name.to_string()).collect()
    };
    assert_eq!(list(Time(0), FileFilter::default()).await, ["n2.txt", "n1.txt", "n0.txt"]);
    assert_eq!(list(deleted[0].0, FileFilter::default()).await, ["n2.txt", "n1.txt"], "strictly after");
    let in_a = FileFilter { chats: vec!["a".parse().expect("valid")], ..FileFilter::default() };
    assert_eq!(list(Time(0), in_a).await, ["n2.txt", "n0.txt"]);
    let there = w.store.list_files(lists::query(10), &all).await.expect("lists");
    assert_eq!(there.rows.len(), 1, "what is there");
}
