//! Rules of erasures: what of a visitor goes, what stays for whom, that nothing names it afterwards; and what is forgotten
//! for its age.
//!
//! Not here: the order of the calls as it is served (`app/erasing.rs`, which these rules follow), and bytes.

use super::{differential::rows, *};
use crate::{
    domain::{
        Event, EventKind, HoldOn, Matter, Reason, VisitorId,
        erasure::{Erased, Erasing, MOST_HELD, Why, pseudonym},
        settings::SettingValue,
    },
    ports::{NewErasure, StoreError},
};

fn ids<T: std::str::FromStr<Err: std::fmt::Debug>>(ids: &[&str]) -> Vec<T> {
    ids.iter().map(|id| id.parse().expect("valid")).collect()
}

impl World {
    async fn begin_erasing(&self, visitor: &str, chats: &[&str]) -> Result<Erasing, StoreError> {
        let new = NewErasure {
            visitor: visitor.parse().expect("valid"),
            chats: ids(chats),
            pseudonym: pseudonym(self.id()).expect("an id"),
            why: Why::new("request 7").expect("valid"),
            caller: service(&["*"]),
            now: self.now(),
        };
        self.store.begin_erasure(new).await
    }

    /// As it is served, a few rows at a time. What may be left is answered, too.
    async fn erase(&self, visitor: &str, chats: &[&str]) -> Result<Erased, StoreError> {
        let of = self.begin_erasing(visitor, chats).await?;
        self.store.erase_uploads(&of).await?;
        while self.store.erase_files(&of, 2, &service(&["*"]), self.now()).await?.more {}
        while self.store.erase_events(&of, 3).await? > 0 {}
        let held = self.store.list_not_erased(&of, u32::try_from(MOST_HELD).expect("small")).await?;
        let erased = self.store.end_erasure(&of, held.len() as u64, &service(&["*"]), self.now()).await?;
        Ok(Erased { held, ..erased })
    }

    /// Rows in which this word stands.
    fn naming(&self, word: &str) -> Vec<String> {
        let is_named = |line: &String| line.split([' ', ':']).any(|part| part == word);
        rows::lines(self).into_iter().filter(is_named).collect()
    }

    async fn forbid_changes(&self, to: bool) {
        let version = self.store.settings_version().await.expect("asks");
        let change = vec![("read_only", SettingValue::Bool(to))];
        self.store.save_settings(change, version, Actor::SYSTEM, self.now()).await.expect("saves");
    }
}

fn tagged(target: Target, tag: u64) -> Upload {
    Upload { tag, ..Upload::to(target) }
}

pub async fn a_visitor_goes_with_all_that_names_it_and_nobody_else_changes(w: World) {
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, Some("17")).await;
    }
    let (all, gone, other) = (service(&["*"]), visitor("gone", &["a"]), visitor("other", &["a"]));
    let mine = w.upload(&gone, &Upload { request_id: Some("r1".into()), ..tagged(chat("a"), 1) }).await;
    let deleted = w.upload(&gone, &tagged(chat("b"), 2)).await;
    w.delete_at_once(&deleted).await;
    let brought = w.upload(&all, &Upload { request_id: Some("r2".into()), ..tagged(for_visitor("gone"), 3) }).await;
    let theirs = w.upload(&other, &Upload { request_id: Some("r1".into()), ..tagged(chat("a"), 4) }).await;
    let refused = Event::new(EventKind::UploadRefused, Actor::from(&acting(gone.clone(), &["*"])));
    w.store.record(refused.reason(Reason::BadName), w.now()).await.expect("records");
    let mut key = key_of(&all, w.now());
    key.holder = gone.clone();
    w.store.create_key(key, sha(71)).await.expect("creates");
    let mut key = key_of(&all, w.now());
    key.holder = online("gone");
    w.store.create_key(key, sha(72)).await.expect("creates");
    w.store.create_key(key_of(&all, w.now()), sha(73)).await.expect("creates");
    let before = w.naming("other");

    let erased = w.erase("gone", &[]).await.expect("erases");
    // Here nobody removes bytes.
    let counted =
        Erased { files: 3, bytes: 30, uploads: 0, events: 3, keys: 2, pending_bytes: 30, ..Erased::default() };
    assert_eq!(erased, counted);
    assert_eq!(w.naming("gone"), [""; 0], "nothing names it");
    assert_eq!(w.naming("other"), before, "nobody else changes");
    for view in [&mine, &deleted, &brought] {
        assert_eq!(w.find(view, &all).await, None);
    }
    assert!(w.find(&theirs, &other).await.is_some());
    let live = w.store.load_keys(w.now()).await.expect("loads");
    assert_eq!(live.keys.len(), 1, "its keys count no more");
    let erasures = w.rows_of("erasures");
    let [row] = erasures.as_slice() else { panic!("one row: {erasures:?}") };
    assert!(row.contains(" request 7 service backend - ") && row.ends_with(" 3 30 0 3 2 0 0"), "{row}");
    let name = row.split(' ').nth(1).expect("the pseudonym").to_owned();
    let told = w.rows_of("events").into_iter().filter(|line| line.contains(&name)).collect::<Vec<_>>();
    assert_eq!(told.iter().filter(|line| line.contains(&format!(" visitor {name} "))).count(), 3, "{told:?}");
    assert_eq!(told.iter().filter(|line| line.contains(" VISITOR_ERASED service backend ")).count(), 1, "{told:?}");

    let rows = rows::lines(&w);
    assert_eq!(w.erase("gone", &[]).await.expect("again"), Erased::default());
    assert_eq!(rows::lines(&w), rows, "nothing is left to be done, and nothing is told");
    // It may come again, as anybody may.
    let again = w.upload(&gone, &Upload { request_id: Some("r1".into()), ..tagged(chat("a"), 1) }).await;
    assert_ne!(again.file.id, mine.file.id);
}

pub async fn what_visitors_brought_into_a_named_chat_goes_and_operators_files_stay(w: World) {
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, Some("17")).await;
    }
    let (all, one) = (service(&["*"]), visitor("one", &["a", "b"]));
    let here = w.upload(&one, &tagged(chat("a"), 1)).await;
    let elsewhere = w.upload(&one, &tagged(chat("b"), 2)).await;
    let operators = w.upload(&operator("17", &["a"], &[]), &tagged(chat("a"), 3)).await;
    let running = w.started(&one, &tagged(chat("a"), 4)).await;
    let kept = w.started(&one, &tagged(chat("b"), 5)).await;
    let erased = w.erase("nobody", &["a", "unknown"]).await.expect("erases");
    assert_eq!((erased.files, erased.uploads, erased.events), (1, 1, 1));
    assert_eq!(w.find(&here, &all).await, None);
    assert!(w.find(&elsewhere, &all).await.is_some() && w.find(&operators, &all).await.is_some());
    let named = w.naming("one");
    assert!(named.iter().all(|line| line.split(' ').any(|word| word == "b")), "{named:?}");
    assert_eq!(reason(w.store.commit_upload(w.commit(&one, &tagged(chat("a"), 4), running)).await), Reason::Fenced);
    ready(w.store.commit_upload(w.commit(&one, &tagged(chat("b"), 5), kept)).await.expect("commits"));
    assert_eq!(w.erase("nobody", &["a"]).await.expect("again"), Erased::default());
}

pub async fn what_is_held_stays_and_is_named_and_so_do_bytes_that_another_file_needs(w: World) {
    w.put("a", ChatStatus::Active, None).await;
    let (all, gone) = (service(&["*"]), visitor("gone", &["a"]));
    let held = w.upload(&gone, &tagged(chat("a"), 1)).await;
    let mut twins = Vec::new();
    for caller in [&gone, &gone, &all] {
        let upload = tagged(chat("a"), 2);
        let intent = w.started(caller, &upload).await;
        let mut commit = w.commit(caller, &upload, intent);
        if let Some(first) = twins.first() {
            let FileView { blob, .. } = first;
            commit.bytes = BytesAt::Shared(blob.id);
        }
        twins.push(ready(w.store.commit_upload(commit).await.expect("commits")));
    }
    let hold = |on| w.store.put_hold(on, Matter::new("x").expect("valid"), &all, w.now());
    hold(HoldOn::File(held.file.id)).await.expect("puts");
    // Broken off when the files are gone: what stays is told by the call that goes on.
    let of = w.begin_erasing("gone", &[]).await.expect("begins");
    while w.store.erase_files(&of, 2, &all, w.now()).await.expect("purges").more {}
    assert_eq!(w.rows_of("erasure_blobs").len(), 1, "noted until the end");
    let erased = w.erase("gone", &[]).await.expect("erases");
    assert_eq!((erased.files, erased.bytes, erased.shared_blobs, &erased.held), (2, 0, 1, &vec![held.file.id]));
    assert_eq!((erased.pending_bytes, w.rows_of("erasure_blobs").len()), (0, 0));
    assert!(w.find(&held, &all).await.is_some() && w.find(&twins[2], &all).await.is_some());
    let named = w.naming("gone");
    assert_eq!(named.len(), 1, "the held file alone says whose it is: {named:?}");
    assert!(named[0].starts_with("files "), "{named:?}");

    // A hold on the visitor names it, and so does what is told of that hold; both as long as it is in force.
    let person = || HoldOn::Visitor("gone".parse().expect("valid"));
    hold(person()).await.expect("puts");
    let late = w.upload(&gone, &tagged(chat("a"), 3)).await;
    let erased = w.erase("gone", &[]).await.expect("erases");
    assert_eq!((erased.files, erased.events, erased.held.len()), (0, 1, 2));
    let named = w.naming("gone");
    assert_eq!(named.iter().filter(|line| line.starts_with("events ")).count(), 1, "{named:?}");
    assert_eq!(named.iter().filter(|line| line.starts_with("holds ")).count(), 1, "{named:?}");
    for on in [person(), HoldOn::File(held.file.id)] {
        assert!(w.store.lift_hold(on, Matter::new("x").expect("valid"), &all, w.now()).await.expect("lifts"));
    }
    assert_eq!(w.erase("gone", &[]).await.expect("erases").files, 2);
    assert_eq!((w.find(&late, &all).await, w.naming("gone")), (None, Vec::new()));
}

pub async fn an_upload_under_way_is_fenced_and_ends_under_the_pseudonym(w: World) {
    w.put("a", ChatStatus::Active, None).await;
    let (all, gone) = (service(&["*"]), visitor("gone", &["a"]));
    let upload = Upload { request_id: Some("r1".into()), ..tagged(chat("a"), 1) };
    let own = w.started(&gone, &upload).await;
    let brought = w.started(&all, &tagged(for_visitor("gone"), 2)).await;
    let other = w.started(&all, &tagged(Target::Library, 3)).await;
    let of = w.begin_erasing("gone", &[]).await.expect("begins");
    let mut fenced = w.store.erase_uploads(&of).await.expect("fences");
    fenced.sort_by_key(|intent| intent.id);
    assert_eq!(fenced, [own, brought]);
    assert_eq!(w.store.erase_uploads(&of).await.expect("again"), []);
    assert_eq!(reason(w.store.commit_upload(w.commit(&gone, &upload, own)).await), Reason::Fenced);
    let commit = w.commit(&all, &tagged(for_visitor("gone"), 2), brought);
    assert_eq!(reason(w.store.commit_upload(commit).await), Reason::Fenced);
    // Their nodes end them as they would have, with what they know of them.
    let told = Event::new(EventKind::UploadRefused, Actor::from(&gone)).reason(Reason::Fenced);
    w.store.abort_upload(own, told, w.now(), 300).await.expect("aborts");
    let told = Event::new(EventKind::UploadRefused, Actor::from(&all)).reason(Reason::Fenced);
    w.store.abort_upload(brought, told, w.now(), 0).await.expect("aborts");
    while w.store.erase_events(&of, 10).await.expect("writes") > 0 {}
    let end = w.store.end_erasure(&of, 0, &all, w.now()).await.expect("ends");
    assert_eq!(end.uploads, 2);
    assert_eq!(w.naming("gone"), [""; 0]);
    let events = w.rows_of("events");
    let refused = format!(" UPLOAD_REFUSED visitor {} ", of.pseudonym);
    assert!(events.iter().any(|line| line.contains(&refused)), "{events:?}");
    ready(w.store.commit_upload(w.commit(&all, &tagged(Target::Library, 3), other)).await.expect("another's"));
}

pub async fn an_erasure_that_was_broken_off_goes_on_under_the_same_pseudonym_and_tells_the_whole(w: World) {
    w.put("a", ChatStatus::Active, None).await;
    let gone = visitor("gone", &["a"]);
    for tag in 0..3 {
        w.upload(&gone, &tagged(chat("a"), tag)).await;
    }
    let first = w.begin_erasing("gone", &[]).await.expect("begins");
    w.store.erase_files(&first, 1, &service(&["*"]), w.now()).await.expect("purges");
    assert_eq!(w.store.erase_events(&first, 2).await.expect("writes"), 2);
    let second = w.begin_erasing("gone", &[]).await.expect("goes on");
    assert_eq!(second, first);
    let erased = w.erase("gone", &[]).await.expect("erases");
    assert_eq!((erased.files, erased.events), (3, 3));
    let events = w.rows_of("events");
    let told = events.iter().filter(|line| line.contains(&format!(" visitor {} ", first.pseudonym))).count();
    assert_eq!((told, w.naming("gone")), (3, Vec::new()));
    // Whoever else was at it comes to the same end, and writes nothing more.
    let late = w.store.end_erasure(&first, 0, &service(&["*"]), w.now()).await.expect("ends");
    assert_eq!((late.files, late.events), (3, 3));
    assert_eq!(w.rows_of("events"), events);
    let third = w.begin_erasing("gone", &[]).await.expect("another one");
    assert_ne!(third.pseudonym, first.pseudonym);
}

pub async fn nothing_is_erased_or_forgotten_while_read_only_is_set(w: World) {
    w.put("a", ChatStatus::Active, None).await;
    let gone = visitor("gone", &["a"]);
    let view = w.upload(&gone, &tagged(chat("a"), 1)).await;
    w.started(&gone, &tagged(chat("a"), 2)).await;
    let of = w.begin_erasing("gone", &[]).await.expect("begins");
    w.forbid_changes(true).await;
    let before = rows::lines(&w);
    let all = service(&["*"]);
    let refused = [
        w.begin_erasing("gone", &[]).await.map(drop),
        w.begin_erasing("new", &[]).await.map(drop),
        w.store.erase_uploads(&of).await.map(drop),
        w.store.erase_files(&of, 10, &all, w.now()).await.map(drop),
        w.store.erase_events(&of, 10).await.map(drop),
        w.store.trim_events(-1_000_000, w.now(), 10).await.map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    }
    assert_eq!(rows::lines(&w), before);
    assert!(w.find(&view, &all).await.is_some());
    w.forbid_changes(false).await;
    assert_eq!(w.erase("gone", &[]).await.expect("erases").files, 1);
}

pub async fn events_and_stubs_are_forgotten_for_their_age_the_oldest_first(w: World) {
    let now = w.judging_time();
    let all = service(&["*"]);
    w.put("a", ChatStatus::Active, None).await;
    let view = w.upload(&all, &tagged(chat("a"), 1)).await;
    w.store.purge_file(FileRef::Id(view.file.id), &all, w.now()).await.expect("purges");
    let young = Event::new(EventKind::UploadAbandoned, Actor::SYSTEM);
    w.store.record(young, now.plus_secs(3_600)).await.expect("records");
    let events = w.events();
    assert_eq!(events.len(), 4);
    assert_eq!(w.store.trim_events(2_000, now, 10).await.expect("trims"), 0, "all are younger");
    assert_eq!(w.store.trim_events(500, now, 2).await.expect("trims"), 2);
    assert_eq!(w.events(), events[2..], "the oldest first");
    assert_eq!(w.store.trim_events(500, now, 10).await.expect("trims"), 1);
    assert_eq!(w.events(), events[3..], "what is young stays");
    // By the clock of its engine a stub was made just now, or when everything here was.
    assert_eq!(w.rows_of("stubs").len(), 1);
    assert_eq!(w.store.trim_events(-600, now, 10).await.expect("trims"), 1);
    assert_eq!((w.rows_of("stubs").len(), w.events().len()), (0, 1));
    let visitor: VisitorId = "v".parse().expect("valid");
    assert_eq!(w.naming(visitor.as_str()), [""; 0]);
}
