//! Rules of holds: what they keep from its end, who puts and lifts them, and that a delete and a hold that meet agree.
//!
//! Not here: the world they are tried in (`world.rs`).

use super::*;
use crate::{
    domain::{Caller, ChatId, Hold, HoldOn, Matter, Reason, access::Deletion},
    ports::{AttachTo, HoldQuery, Stop},
};

fn matter(text: &str) -> Matter {
    Matter::new(text).expect("valid")
}

fn on_chat(id: &str) -> HoldOn {
    HoldOn::Chat(id.parse().expect("valid"))
}

fn lawyer() -> Caller {
    operator("5", &[], &[Permission::LegalHold])
}

impl World {
    async fn put_hold(&self, on: &HoldOn, text: &str) -> Hold {
        self.store.put_hold(on.clone(), matter(text), &lawyer(), self.now()).await.expect("puts")
    }

    async fn lift(&self, on: &HoldOn, text: &str) -> bool {
        self.store.lift_hold(on.clone(), matter(text), &lawyer(), self.now()).await.expect("lifts")
    }

    async fn delete(&self, view: &FileView) -> Result<Deletion, Stop> {
        self.store.delete_file(FileRef::Id(view.file.id), &service(&["*"]), &Settings::default(), self.now()).await
    }

    async fn detach(&self, view: &FileView, chat: &str) -> Result<(), Stop> {
        let (by, chat) = (FileRef::Id(view.file.id), chat.parse().expect("valid"));
        self.store.detach(by, chat, &service(&["*"]), &Settings::default(), self.now()).await
    }
}

pub async fn a_held_file_is_neither_deleted_nor_detached_by_anybody_until_all_its_holds_are_lifted(w: World) {
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, Some("17")).await;
    }
    let all = service(&["*"]);
    let (visitors, operators) = (visitor("v", &["a"]), operator("17", &["a"], &[Permission::UseOperator]));
    let one = w.upload(&visitors, &Upload::to(chat("a"))).await;
    let other = w.upload(&operators, &Upload { tag: 2, ..Upload::to(chat("a")) }).await;
    let to_b = vec![AttachTo { chat: "b".parse().expect("valid"), message_id: None }];
    w.store.attach(FileRef::Id(one.file.id), to_b, &all, &Settings::default(), w.now()).await.expect("attaches");
    let before = w.events().len();
    let both = [(&one, true), (&other, true)];
    for (on, held) in [
        (HoldOn::File(one.file.id), [(&one, true), (&other, false)]),
        (on_chat("a"), both),
        (on_chat("b"), [(&one, true), (&other, false)]),
        (HoldOn::Visitor("v".parse().expect("valid")), [(&one, true), (&other, false)]),
        (HoldOn::Operator("17".parse().expect("valid")), [(&one, false), (&other, true)]),
        (HoldOn::Operator("v".parse().expect("valid")), [(&one, false), (&other, false)]),
    ] {
        w.put_hold(&on, "x").await;
        w.put_hold(&on, "y").await;
        assert!(w.lift(&on, "x").await && !w.lift(&on, "x").await, "{on}: the other matter's hold stays");
        for (view, held) in held {
            if held {
                assert_eq!(reason(w.delete(view).await), Reason::OnHold, "{on}");
                assert_eq!(reason(w.detach(view, "a").await), Reason::OnHold, "{on}");
                w.put("c", ChatStatus::Active, None).await;
                w.detach(view, "c").await.expect("it is not attached there: nothing to keep");
            } else {
                assert_eq!(w.delete(view).await.expect("it is not held"), Deletion::Delete, "{on}");
                w.store
                    .restore_file(FileRef::Id(view.file.id), &all, &Settings::default(), w.now())
                    .await
                    .expect("back");
            }
        }
        let deleted = w.store.delete_chat(&"a".parse().expect("valid"), 0, Actor::SYSTEM, w.now()).await;
        if held.iter().any(|(_, held)| *held) {
            assert_eq!(reason(deleted), Reason::OnHold, "{on}: and nothing changed");
            assert_eq!(w.find(&one, &all).await.expect("there").chats.len(), 2);
        } else {
            let counts = deleted.expect("nothing is held");
            assert_eq!((counts.files_deleted, counts.files_detached), (1, 1));
        }
        assert!(w.lift(&on, "y").await);
    }
    let told: Vec<_> = w.events()[before..].iter().filter(|kind| kind.starts_with("HOLD")).cloned().collect();
    assert_eq!(told.len(), 6 * 4, "each put and lifted once: {told:?}");
}

pub async fn a_chats_hold_binds_what_is_attached_later_and_an_attached_elsewhere_file_does_not_stop_its_home(w: World) {
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, Some("17")).await;
    }
    let all = service(&["*"]);
    let view = w.upload(&all, &Upload::to(chat("a"))).await;
    w.put_hold(&on_chat("b"), "x").await;
    let (by, settings) = (FileRef::Id(view.file.id), Settings::default());
    let to_b = vec![AttachTo { chat: "b".parse().expect("valid"), message_id: None }];
    w.detach(&view, "a").await.expect("not held yet");
    w.store.attach(by, to_b, &all, &settings, w.now()).await.expect("attaches");
    assert_eq!(reason(w.delete(&view).await), Reason::OnHold);
    assert_eq!(reason(w.detach(&view, "b").await), Reason::OnHold);
    // Home at `a`, attached to `b` alone: the end of `a` neither deletes nor detaches it.
    let ended = w.store.delete_chat(&"a".parse().expect("valid"), 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    assert_eq!((ended.files_deleted, ended.files_detached), (0, 0));
    assert!(w.find(&view, &all).await.is_some_and(|view| view.chats.len() == 1));
}

pub async fn holds_are_put_and_lifted_within_reach_and_listed_in_pages(w: World) {
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, None).await;
    }
    let all = service(&["*"]);
    let view = w.upload(&all, &Upload::to(chat("a"))).await;
    let gone = w.upload(&all, &Upload { tag: 2, ..Upload::to(chat("a")) }).await;
    w.delete(&gone).await.expect("deletes");
    let (file, deleted) = (HoldOn::File(view.file.id), HoldOn::File(gone.file.id));
    let person = HoldOn::Visitor("v".parse().expect("valid"));
    let nothing = [HoldOn::File(FileId([0; 16])), on_chat("x")];
    for on in [&file, &deleted, &on_chat("a"), &on_chat("b"), &person] {
        let now = w.now();
        let put = w.store.put_hold(on.clone(), matter("x"), &lawyer(), now).await.expect("puts");
        assert_eq!((&put.on, put.put_at, &put.put_by), (on, now, &Actor::from(&lawyer())));
        assert_eq!(w.store.put_hold(on.clone(), matter("x"), &all, w.now().plus_secs(5)).await.expect("again"), put);
    }
    for on in &nothing {
        let put = w.store.put_hold(on.clone(), matter("x"), &lawyer(), w.now()).await;
        assert_eq!(reason(put), Reason::NotFound, "{on}");
        assert!(!w.lift(on, "x").await, "{on}");
    }
    // Who may access some chats reaches what is in them.
    let some = Caller { permissions: [Permission::LegalHold].into_iter().collect(), ..service(&["a"]) };
    let below = acting(lawyer(), &["a"]);
    let right = acting(operator("5", &["a"], &[Permission::LegalHold]), &["a"]);
    let without = operator("5", &["*"], &[Permission::FileDelete]);
    for (on, reached) in [(&file, true), (&on_chat("a"), true), (&on_chat("b"), false), (&person, false)] {
        for caller in [&some, &right] {
            let put = w.store.put_hold(on.clone(), matter("z"), caller, w.now()).await;
            assert_eq!(put.is_ok(), reached, "{on} {caller:?}");
            let query = HoldQuery { on: Some(on.clone()), before: None, limit: 5 };
            assert_eq!(w.store.list_holds(query, caller).await.is_ok(), reached, "{on} {caller:?}");
            assert_eq!(w.store.lift_hold(on.clone(), matter("z"), caller, w.now()).await.is_ok(), reached, "{on}");
        }
        assert_eq!(reason(w.store.put_hold(on.clone(), matter("z"), &below, w.now()).await), Reason::NotFound, "{on}");
        let put = w.store.put_hold(on.clone(), matter("z"), &without, w.now()).await;
        assert_eq!(reason(put), Reason::MissingPermission, "{on}");
    }
    let every = HoldQuery { on: None, before: None, limit: 50 };
    assert_eq!(reason(w.store.list_holds(every.clone(), &some).await), Reason::BadArgument);
    let listed = w.store.list_holds(every.clone(), &lawyer()).await.expect("lists");
    let kinds: Vec<_> = listed.iter().map(|(_, hold)| hold.on.kind()).collect();
    assert_eq!(kinds, ["VISITOR", "CHAT", "CHAT", "FILE", "FILE"], "the newest first");
    let mut paged = Vec::new();
    let mut before = None;
    loop {
        let query = HoldQuery { before, limit: 2, ..every.clone() };
        let page = w.store.list_holds(query, &lawyer()).await.expect("lists");
        before = page.last().map(|(number, _)| *number);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, listed);
    let of_one = HoldQuery { on: Some(on_chat("a")), ..every };
    assert_eq!(w.store.list_holds(of_one, &lawyer()).await.expect("lists").len(), 1);
}

/// Whoever is first is obeyed: never is a file deleted after its hold was answered.
pub async fn a_hold_and_a_delete_that_meet_agree_on_who_was_first(w: World) {
    let all = service(&["*"]);
    for tag in 0..40 {
        let id: ChatId = format!("c{tag}").parse().expect("valid");
        w.put(id.as_str(), ChatStatus::Active, None).await;
        let view = w.upload(&all, &Upload { tag, ..Upload::to(Target::Chat(id.clone())) }).await;
        let on = match tag % 3 {
            0 => HoldOn::File(view.file.id),
            _ => HoldOn::Chat(id.clone()),
        };
        let hold = w.store.put_hold(on, matter("x"), &all, w.now());
        let delete = async {
            if tag % 3 == 2 {
                w.store.delete_chat(&id, 0, Actor::SYSTEM, w.now()).await.map(drop)
            } else {
                w.delete(&view).await.map(drop)
            }
        };
        let (hold, deleted) = tokio::join!(hold, delete);
        let there = w.find(&view, &all).await.is_some_and(|view| view.file.state == crate::domain::FileState::Ready);
        assert_eq!(there, deleted.is_err(), "{tag}");
        match (hold, deleted) {
            (Ok(_), Err(refused)) => assert_eq!(reason(Err::<(), _>(refused)), Reason::OnHold),
            // What was deleted first can still be held, against its purge.
            (Ok(held), Ok(())) => {
                let events = w.events();
                assert_eq!(events.last().map(String::as_str), Some("HOLD_PUT"), "{held:?}: deleted first, then held");
            }
            (Err(hold), deleted) => panic!("a chat and a file can be held whatever their state: {hold:?} {deleted:?}"),
        }
    }
}
