//! Rules of files for online visitors, of their origin, and as whose they age.
//!
//! Not here: the world they are tried in (`world.rs`), and rows of nodes that know nothing of it
//! (`adapters/sql/tests/ages.rs`).

use super::*;
use crate::{
    domain::{
        HoldOn, Matter, Origin, Reason, access,
        listing::{FileFilter, FileQuery, Order},
    },
    ports::AttachTo,
};

impl World {
    async fn upload_for(&self, caller: &crate::domain::Caller, vid: &str, tag: u64) -> FileView {
        self.upload(caller, &Upload { tag, size: 10 + tag, ..Upload::to(for_visitor(vid)) }).await
    }
}

fn of_visitor(vid: &str, order: Order, limit: u32) -> FileQuery {
    let filter = FileFilter { visitor: Some(vid.parse().expect("valid")), ..FileFilter::default() };
    FileQuery { filter, order, ..lists::query(limit) }
}

pub async fn a_file_for_an_online_visitor_is_in_no_chat_and_told_with_its_origin(w: World) {
    let all = service(&["*"]);
    let shot = Upload { origin: Some(Origin::Screenshot), ..Upload::to(for_visitor("v1")) };
    let view = w.upload(&all, &shot).await;
    let file = &view.file;
    assert_eq!((file.visitor_id.clone(), file.origin), (shot.target.visitor().cloned(), Some(Origin::Screenshot)));
    assert_eq!((file.home_chat.clone(), view.chats.len(), file.persistent), (None, 0, false));
    assert_eq!(w.find(&view, &all).await, Some(view.clone()));
    let other = w.upload(&all, &Upload { tag: 2, origin: Some(Origin::Mail), ..Upload::to(Target::Library) }).await;
    let list = async |filter: FileFilter| {
        let page = w.store.list_files(FileQuery { filter, ..lists::query(5) }, &all).await.expect("lists");
        page.rows.into_iter().map(|view| view.file.id).collect::<Vec<_>>()
    };
    let (plain, unassigned) = (FileFilter::default, Some(false));
    assert_eq!(list(FileFilter { attached: unassigned, ..plain() }).await, [other.file.id, file.id]);
    for (origin, found) in
        [(Origin::Screenshot, vec![file.id]), (Origin::Mail, vec![other.file.id]), (Origin::Form, vec![])]
    {
        assert_eq!(list(FileFilter { origin: Some(origin), ..plain() }).await, found, "{origin:?}");
    }
    // Attached, it is some chat's too, and stays the visitor's.
    w.put("a", ChatStatus::Active, None).await;
    let to_a = vec![AttachTo { chat: "a".parse().expect("valid"), message_id: None }];
    let by = FileRef::Id(file.id);
    w.store.attach(by, to_a, &all, &Settings::default(), w.now()).await.expect("attaches");
    assert_eq!(list(FileFilter { attached: unassigned, ..plain() }).await, [other.file.id]);
    let page = w.store.list_files(of_visitor("v1", Order::Newest, 5), &all).await.expect("lists");
    assert!(page.rows.len() == 1 && page.rows[0].chats.len() == 1);
    // The end of that chat does not end it: its home is none.
    let ended = w.store.delete_chat(&"a".parse().expect("valid"), 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    assert_eq!((ended.files_deleted, ended.files_detached), (0, 1));
    assert_eq!(w.find(&view, &all).await, Some(view));
}

pub async fn a_repeated_upload_is_compared_by_its_online_visitor_too(w: World) {
    let all = service(&["*"]);
    let upload = Upload { request_id: Some("r1".into()), ..Upload::to(for_visitor("v1")) };
    let view = w.upload(&all, &upload).await;
    for target in [for_visitor("v1"), for_visitor("v2"), Target::Library] {
        let begun = w.begin(&all, &Upload { target, ..upload.clone() }).await.expect("answers");
        let Begun::Before(before) = begun else { panic!("uploaded before") };
        assert_eq!((before.target, before.file), (for_visitor("v1"), view.file.id));
    }
    let found = w.store.find_before(&all.person, &"r1".parse().expect("valid"), w.now()).await.expect("finds");
    assert_eq!(found.map(|before| before.target), Some(for_visitor("v1")));
}

pub async fn a_visitor_sees_only_what_was_uploaded_for_its_own_vid(w: World) {
    let (operator, settings) = (operator("17", &[], &[Permission::UseOperator]), Settings::default());
    let mut files = Vec::new();
    for tag in 1..=9 {
        files.push(w.upload_for(&operator, if tag % 3 == 0 { "v2" } else { "v1" }, tag).await);
    }
    w.upload(&operator, &Upload { tag: 20, ..Upload::to(Target::Library) }).await;
    for (vid, own) in [("v1", vec![1, 2, 4, 5, 7, 8]), ("v2", vec![3, 6, 9]), ("v3", vec![])] {
        let visitor = online(vid);
        for (tag, view) in (1..).zip(&files) {
            let seen = w.find(view, &visitor).await;
            assert_eq!(access::see(&visitor, seen.as_ref(), &settings).is_ok(), own.contains(&tag), "{vid} {tag}");
            let attach = w.store.attach(FileRef::Id(view.file.id), Vec::new(), &visitor, &settings, w.now()).await;
            assert_eq!(attach.is_ok(), own.contains(&tag), "{vid} {tag}: judged the same inside a transaction");
        }
        for order in [Order::Newest, Order::Oldest, Order::Largest] {
            for limit in [1, 2, 50] {
                let (mut query, mut found) = (of_visitor(vid, order, limit), Vec::new());
                loop {
                    let page = w.store.list_files(query.clone(), &visitor).await.expect("lists");
                    found.extend(page.rows.iter().map(|view| view.blob.size - 10));
                    let Some(next) = page.next else { break };
                    query.after = Some(next);
                }
                if order != Order::Oldest {
                    found.reverse();
                }
                assert_eq!(found, own, "{vid} {order:?} {limit}");
            }
        }
    }
}

pub async fn files_age_as_their_uploaders_and_those_of_services_by_their_origin(w: World) {
    let (all, someone) = (service(&["*"]), for_visitor("v1"));
    let uploads = [
        (online("v1"), None, "VISITOR"),
        (operator("17", &[], &[]), None, "OPERATOR"),
        (all.clone(), Some(Origin::Screenshot), "VISITOR"),
        (all.clone(), Some(Origin::Form), "VISITOR"),
        (all.clone(), Some(Origin::Mail), "NOBODY"),
        (all.clone(), None, "NOBODY"),
    ];
    for (tag, (caller, origin, _)) in (0..).zip(&uploads) {
        w.upload(caller, &Upload { tag, origin: *origin, ..Upload::to(someone.clone()) }).await;
    }
    let expected: Vec<_> = uploads.iter().map(|(.., ages_as)| *ages_as).collect();
    let found: Vec<String> = match &w.memory {
        None => w.query("SELECT coalesce(ages_as, 'NOBODY') AS line FROM files ORDER BY number"),
        Some(memory) => {
            let ages = memory.files().into_iter().map(|(file, _)| {
                use crate::domain::AgesAs;
                match AgesAs::of(file.uploader.kind(), file.origin) {
                    AgesAs::Visitor => "VISITOR",
                    AgesAs::Operator => "OPERATOR",
                    AgesAs::NoOne => "NOBODY",
                }
            });
            ages.map(str::to_owned).collect()
        }
    };
    assert_eq!(found, expected);
}

pub async fn a_hold_on_a_visitor_keeps_what_was_uploaded_for_it(w: World) {
    let (all, settings) = (service(&["*"]), Settings::default());
    w.put("a", ChatStatus::Active, None).await;
    let view = w.upload_for(&operator("17", &[], &[Permission::UseOperator]), "v1", 1).await;
    let (by, a) = (FileRef::Id(view.file.id), || "a".parse().expect("valid"));
    let to_a = vec![AttachTo { chat: a(), message_id: None }];
    w.store.attach(by, to_a, &all, &settings, w.now()).await.expect("attaches");
    let on = |id: &str| HoldOn::Visitor(id.parse().expect("valid"));
    let matter = || Matter::new("x").expect("valid");
    for (id, held) in [("v2", false), ("v1", true)] {
        w.store.put_hold(on(id), matter(), &all, w.now()).await.expect("puts");
        let detached = w.store.detach(by, a(), &all, &settings, w.now()).await;
        let ended = w.store.delete_chat(&a(), 0, Actor::SYSTEM, w.now()).await;
        let deleted = w.store.delete_file(by, &all, &settings, w.now()).await;
        if held {
            assert_eq!(reason(detached), Reason::OnHold);
            assert_eq!(reason(ended), Reason::OnHold);
            assert_eq!(reason(deleted), Reason::OnHold);
            assert_eq!(w.find(&view, &all).await.expect("there").chats.len(), 1);
        } else {
            assert!(detached.is_ok() && ended.is_ok() && deleted.is_ok(), "held is another visitor");
            w.store.restore_file(by, &all, &settings, w.now()).await.expect("back");
            w.put("a", ChatStatus::Active, None).await;
            let to_a = vec![AttachTo { chat: a(), message_id: None }];
            w.store.attach(by, to_a, &all, &settings, w.now()).await.expect("attaches");
        }
    }
}
