//! Rules of the end of files: when one is purged and what stays of it, whose bytes go with it, and when their rows go.
//!
//! Not here: purges that meet others (`races.rs`) and the world they are tried in (`world.rs`). What was done here is
//! [`AGO`] by both clocks that may judge.

use super::{differential::rows, *};
use crate::{
    domain::{BlobState, Caller, HoldOn, Matter, Reason, StoreId, listing::FileQuery, settings::SettingValue},
    ports::{HoldQuery, Leaving, Purged, StoreError},
};

/// How long ago it was, about, in seconds.
const AGO: i64 = 1_000;
/// A grace that is over, and one that is not.
const OVER: i64 = AGO / 2;
const NOT_OVER: i64 = 2 * AGO;

pub const STORE: StoreId = StoreId([1; 16]);

impl World {
    /// Now by the clock that judges; from here on all happens [`AGO`].
    pub fn judging_time(&self) -> Time {
        let judging = match &self.database {
            Some(_) => Time(self.query("SELECT lhfile_from_now(0)")[0].parse().expect("a number")),
            None => self.now(),
        };
        self.now.store(judging.plus_secs(-AGO).0, Ordering::Relaxed);
        judging
    }

    pub async fn delete_at_once(&self, view: &FileView) {
        let (by, all) = (FileRef::Id(view.file.id), service(&["*"]));
        self.store.delete_file(by, &all, &Settings::default(), self.now()).await.expect("deletes");
    }

    async fn purge(&self, grace_secs: i64, limit: u32, now: Time) -> u64 {
        self.store.purge_deleted(grace_secs, limit, now).await.expect("purges").files
    }

    pub async fn leaving(&self, now: Time) -> Vec<Leaving> {
        self.store.list_leaving(0, 1_000, 0, now).await.expect("lists")
    }

    async fn hold(&self, on: HoldOn) {
        let matter = Matter::new("x").expect("valid");
        self.store.put_hold(on, matter, &service(&["*"]), self.now()).await.expect("puts");
    }

    pub async fn set_read_only(&self, to: bool) {
        let version = self.store.settings_version().await.expect("asks");
        let change = vec![("read_only", SettingValue::Bool(to))];
        self.store.save_settings(change, version, Actor::SYSTEM, self.now()).await.expect("saves");
    }

    /// The rows of a table, as lines.
    pub fn rows_of(&self, table: &str) -> Vec<String> {
        let head = format!("{table} ");
        rows::lines(self).into_iter().filter(|line| line.starts_with(&head)).collect()
    }
}

fn hex(id: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(id)
}

pub async fn a_deleted_file_becomes_a_stub_when_its_grace_is_over_and_nobody_is_shown_it(w: World) {
    let now = w.judging_time();
    let (all, settings) = (service(&["*"]), Settings::default());
    w.put("a", ChatStatus::Active, Some("17")).await;
    let view = w.upload(&visitor("v", &["a"]), &Upload { name: "mine.txt".into(), ..Upload::to(chat("a")) }).await;
    let other = w.upload(&all, &Upload { tag: 2, ..Upload::to(chat("a")) }).await;
    assert_eq!(w.purge(0, 10, now).await, 0, "READY");
    w.delete_at_once(&view).await;
    assert_eq!(w.purge(NOT_OVER, 10, now).await, 0, "it can be restored yet");
    assert_eq!(w.purge(OVER, 10, now).await, 1);
    assert_eq!(w.purge(OVER, 10, now).await, 0);
    assert_eq!(w.find(&view, &all).await, None);
    let by = FileRef::Id(view.file.id);
    assert_eq!(reason(w.store.restore_file(by, &all, &settings, w.now()).await), Reason::NotFound);
    assert_eq!(reason(w.store.delete_file(by, &all, &settings, w.now()).await), Reason::NotFound);
    assert_eq!(reason(w.store.purge_file(by, &all, now).await), Reason::NotFound);
    let (on, matter) = (HoldOn::File(view.file.id), Matter::new("x").expect("valid"));
    assert_eq!(reason(w.store.put_hold(on, matter, &all, w.now()).await), Reason::NotFound);
    for deleted_after in [None, Some(Time(0))] {
        let query = FileQuery {
            filter: crate::domain::listing::FileFilter::default(),
            deleted_after,
            scope: None,
            order: crate::domain::listing::Order::Newest,
            after: None,
            limit: 10,
            with_total: true,
        };
        let page = w.store.list_files(query, &all).await.expect("lists");
        assert!(page.rows.iter().all(|row| row.file.id == other.file.id), "{deleted_after:?}");
    }
    let stubs = w.rows_of("stubs");
    let [stub] = stubs.as_slice() else { panic!("one stub: {stubs:?}") };
    let (id, created) = (hex(&view.file.id.0), view.file.created_at.0);
    assert!(stub.starts_with(&format!("stubs {id} {created} ")) && stub.split(' ').count() == 4, "{stub}");
    let named = |table| w.rows_of(table).into_iter().filter(|line| line.contains(&id)).collect::<Vec<_>>();
    assert!(named("files").is_empty() && named("attachments").is_empty());
    assert_eq!(w.rows_of("attachments").len(), 1, "the other's");
    let events = named("events");
    assert!(events.iter().any(|line| line.contains(" FILE_PURGED - - - ") && line.contains(" a ")), "{events:?}");
    assert_eq!(w.events().last().map(String::as_str), Some("FILE_PURGED"));
    // Its number is not given again.
    let next = w.upload(&all, &Upload { tag: 3, ..Upload::to(Target::Library) }).await;
    assert!(next.file.number > view.file.number);
}

pub async fn files_are_purged_a_batch_at_a_time_those_deleted_first_before_others_and_held_ones_stay(w: World) {
    let now = w.judging_time();
    let all = service(&["*"]);
    w.put("a", ChatStatus::Active, None).await;
    w.put("held", ChatStatus::Active, None).await;
    let mut files = Vec::new();
    for tag in 0..6 {
        files.push(w.upload(&all, &Upload { tag, ..Upload::to(chat(if tag == 1 { "held" } else { "a" })) }).await);
    }
    // Not in the order of their numbers.
    for at in [4, 1, 0, 5, 2, 3] {
        w.delete_at_once(&files[at]).await;
    }
    w.hold(HoldOn::File(files[4].file.id)).await;
    w.hold(HoldOn::Chat("held".parse().expect("valid"))).await;
    let there = async || {
        let mut there = Vec::new();
        for (at, view) in files.iter().enumerate() {
            if w.find(view, &all).await.is_some() {
                there.push(at);
            }
        }
        there
    };
    assert_eq!(w.purge(OVER, 2, now).await, 2);
    assert_eq!(there().await, [1, 2, 3, 4]);
    assert_eq!(w.purge(OVER, 2, now).await, 2);
    assert_eq!(there().await, [1, 4]);
    assert_eq!(w.purge(OVER, 2, now).await, 0);
    let lift = |on| w.store.lift_hold(on, Matter::new("x").expect("valid"), &all, w.now());
    assert!(lift(HoldOn::File(files[4].file.id)).await.expect("lifts"));
    assert_eq!(w.purge(0, 2, now).await, 1, "without a grace");
    assert_eq!(there().await, [1]);
    let holds = HoldQuery { on: None, before: None, limit: 5 };
    assert_eq!(w.store.list_holds(holds, &all).await.expect("lists").len(), 1);
    w.set_read_only(true).await;
    assert!(lift(HoldOn::Chat("held".parse().expect("valid"))).await.is_err());
    w.set_read_only(false).await;
    assert!(lift(HoldOn::Chat("held".parse().expect("valid"))).await.expect("lifts"));
    w.set_read_only(true).await;
    let refused = w.store.purge_deleted(OVER, 2, now).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    assert_eq!(there().await, [1]);
}

/// Another file of the same blob.
async fn sharing(w: &World, caller: &Caller, upload: &Upload, blob: i64) -> Committed {
    let intent = w.started(caller, upload).await;
    let commit = Commit { bytes: BytesAt::Shared(blob), ..w.commit(caller, upload, intent) };
    w.store.commit_upload(commit).await.expect("commits")
}

pub async fn bytes_of_two_deleted_files_go_when_both_are_past_their_grace(w: World) {
    let now = w.judging_time();
    let (all, upload) = (service(&["*"]), Upload::to(Target::Library));
    let first = w.upload(&all, &upload).await;
    let second = ready(sharing(&w, &all, &upload, first.blob.id).await);
    assert_eq!(first.blob.id, second.blob.id);
    w.delete_at_once(&first).await;
    // A minute before its grace is over, when that of the first has been for long.
    w.store
        .delete_file(FileRef::Id(second.file.id), &all, &Settings::default(), now.plus_secs(60 - OVER))
        .await
        .expect("deletes");
    assert_eq!(w.purge(OVER, 10, now).await, 1);
    assert_eq!(w.leaving(now).await, [], "the second still needs them");
    let back = w.store.restore_file(FileRef::Id(second.file.id), &all, &Settings::default(), now).await;
    assert_eq!(back.expect("within its grace").blob.state, BlobState::Active);
    w.delete_at_once(&second).await;
    assert_eq!(w.purge(OVER, 10, now).await, 1);
    let leaving = Leaving { id: first.blob.id, key: first.blob.key, size: first.blob.size };
    assert_eq!(w.leaving(now).await, [leaving]);
    assert_eq!(w.store.delete_blobs(&[leaving.id], STORE, 0, now).await.expect("deletes"), [leaving.id]);
    assert_eq!((w.leaving(now).await, w.rows_of("blobs")), (vec![], vec![]));
}

pub async fn what_is_on_its_way_out_is_neither_found_nor_shared_nor_hit_nor_named(w: World) {
    let now = w.judging_time();
    let (all, upload) = (service(&["*"]), Upload::to(Target::Library));
    let view = w.upload(&all, &upload).await;
    w.delete_at_once(&view).await;
    let waiting = w.started(&all, &upload).await;
    assert_eq!(w.store.find_blob(sha(0), 10).await.expect("finds").map(|blob| blob.id), Some(view.blob.id));
    assert_eq!(w.purge(OVER, 10, now).await, 1);
    assert_eq!(w.store.find_blob(sha(0), 10).await.expect("finds"), None);
    assert_eq!(w.store.list_newest_keys().await.expect("lists"), []);
    let commit = Commit { bytes: BytesAt::Shared(view.blob.id), ..w.commit(&all, &upload, waiting) };
    assert!(matches!(w.store.commit_upload(commit).await.expect("no failure"), Committed::BlobGone));
    // The same bytes under a key of their own are another blob.
    let again = ready(w.store.commit_upload(w.commit(&all, &upload, waiting)).await.expect("commits"));
    assert_eq!(w.store.find_blob(sha(0), 10).await.expect("finds").map(|blob| blob.id), Some(again.blob.id));
    let hit = verdict(VerdictKind::Infected, "9");
    assert_eq!(
        w.store.quarantine(sha(0), hit, "Eicar", None).await.expect("quarantines"),
        1,
        "not the one that leaves"
    );
    // What is in quarantine leaves, too.
    assert_eq!(
        w.store.purge_file(FileRef::Id(again.file.id), &all, now).await.expect("purges").map(|b| b.id),
        Some(again.blob.id)
    );
    let left: Vec<_> = w.leaving(now).await.iter().map(|blob| blob.id).collect();
    assert_eq!(left, [view.blob.id, again.blob.id], "the oldest first");
    assert_eq!(w.store.list_leaving(view.blob.id, 5, 0, now).await.expect("lists").len(), 1);
}

pub async fn a_row_of_bytes_goes_once_they_are_gone_from_the_store_that_counts_and_come_no_more(w: World) {
    let now = w.judging_time();
    let all = service(&["*"]);
    let view = w.upload(&all, &Upload::to(Target::Library)).await;
    let kept = w.upload(&all, &Upload { tag: 2, ..Upload::to(Target::Library) }).await;
    let both = [view.blob.id, kept.blob.id];
    let delete = |late| w.store.delete_blobs(&both, STORE, late, now);
    assert_eq!(delete(0).await.expect("asks"), [0_i64; 0], "files need them");
    let leaving = w.store.purge_file(FileRef::Id(view.file.id), &all, now).await.expect("purges").expect("its own");
    assert_eq!(leaving, Leaving { id: view.blob.id, key: view.blob.key, size: 10 });
    assert_eq!(w.store.list_leaving(0, 5, NOT_OVER, now).await.expect("lists"), []);
    assert_eq!(delete(NOT_OVER).await.expect("asks"), [0_i64; 0], "something may still be stored there");
    w.set_read_only(true).await;
    assert!(matches!(delete(0).await, Err(StoreError::ReadOnly)), "a move copies what rows name");
    w.set_read_only(false).await;
    w.store.claim_store_id(StoreId([2; 16]), "elsewhere").await.expect("claims");
    assert!(matches!(delete(0).await, Err(StoreError::ReadOnly)), "they are gone from another store");
    let moved = w.store.delete_blobs(&both, StoreId([2; 16]), OVER, now).await.expect("deletes");
    assert_eq!(moved, [view.blob.id]);
    assert_eq!(w.store.delete_blobs(&both, StoreId([2; 16]), OVER, now).await.expect("again"), [0_i64; 0]);
    assert!(w.find(&kept, &all).await.is_some() && w.rows_of("blobs").len() == 1);
}

pub async fn purging_at_once_is_for_who_may_and_reaches_it_and_keeps_what_is_held(w: World) {
    let now = w.judging_time();
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, None).await;
    }
    let (all, right) = (service(&["*"]), [Permission::Erase]);
    let view = w.upload(&visitor("v", &["a"]), &Upload::to(chat("a"))).await;
    let by = FileRef::Id(view.file.id);
    let purge = async |caller: Caller| w.store.purge_file(by, &caller, now).await;
    for (caller, refused) in [
        (visitor("v", &["a"]), Reason::MissingPermission),
        (operator("17", &["a"], &[Permission::FileDelete, Permission::FileRestore]), Reason::MissingPermission),
        (Caller { permissions: right.into_iter().collect(), ..visitor("v", &["a"]) }, Reason::NotFound),
        (Caller { permissions: right.into_iter().collect(), ..service(&["b"]) }, Reason::NotFound),
        (acting(operator("17", &["*"], &right), &["b"]), Reason::NotFound),
    ] {
        assert_eq!(reason(purge(caller.clone()).await), refused, "{caller:?}");
    }
    w.hold(HoldOn::Visitor("v".parse().expect("valid"))).await;
    assert_eq!(reason(purge(all.clone()).await), Reason::OnHold);
    assert_eq!(reason(purge(acting(operator("17", &["*"], &right), &["b"])).await), Reason::NotFound, "held or not");
    w.store
        .lift_hold(HoldOn::Visitor("v".parse().expect("valid")), Matter::new("x").expect("valid"), &all, w.now())
        .await
        .expect("lifts");
    assert!(w.find(&view, &all).await.is_some_and(|view| view.file.deleted_at.is_none()));
    let in_reach = acting(operator("17", &["a"], &right), &["a"]);
    assert!(purge(in_reach.clone()).await.expect("purges").is_some(), "READY");
    let events = w.rows_of("events");
    assert!(events.iter().any(|line| line.contains(" FILE_PURGED operator 17 backend ")), "{events:?}");
    let deleted = w.upload(&all, &Upload { tag: 2, ..Upload::to(chat("b")) }).await;
    w.delete_at_once(&deleted).await;
    let operator = operator("18", &[], &right);
    let purged = w.store.purge_file(FileRef::Id(deleted.file.id), &operator, now).await;
    assert!(purged.expect("deleted, and its grace is not over").is_some());
    assert_eq!((w.rows_of("files").len(), w.rows_of("stubs").len()), (0, 2));
}

/// Rows that no rule allows, as a database has them that was mended by hand, or restored in parts.
pub async fn what_a_file_needs_never_leaves_and_one_that_was_brought_back_is_purged_with_others(w: World) {
    let now = w.judging_time();
    let all = service(&["*"]);
    let spoilt = w.upload(&all, &Upload::to(Target::Library)).await;
    let other = w.upload(&all, &Upload { tag: 2, ..Upload::to(Target::Library) }).await;
    for view in [&spoilt, &other] {
        w.delete_at_once(view).await;
    }
    w.spoil(&spoilt);
    assert_eq!(w.leaving(now).await, [], "a file needs them");
    let ids = [spoilt.blob.id];
    let delete = || w.store.delete_blobs(&ids, STORE, 0, now);
    assert_eq!(delete().await.expect("asks"), [0_i64; 0]);
    assert_eq!(w.purge(OVER, 10, now).await, 2, "it keeps no other from its end");
    assert!(w.rows_of("files").is_empty());
    assert_eq!(w.rows_of("stubs").len(), 2, "one for each file");
    let leaving: Vec<_> = w.leaving(now).await.iter().map(|blob| blob.id).collect();
    assert_eq!(leaving, [spoilt.blob.id, other.blob.id]);
    assert_eq!(delete().await.expect("deletes"), [spoilt.blob.id]);
}

pub async fn a_batch_says_that_there_may_be_more_when_it_found_as_many_as_it_was_asked_for(w: World) {
    let now = w.judging_time();
    let all = service(&["*"]);
    for tag in 1..=3 {
        let view = w.upload(&all, &Upload { tag, ..Upload::to(Target::Library) }).await;
        w.delete_at_once(&view).await;
    }
    let purge = async |limit| w.store.purge_deleted(OVER, limit, now).await.expect("purges");
    assert_eq!(purge(2).await, Purged { files: 2, more: true });
    assert_eq!(purge(2).await, Purged { files: 1, more: false });
    assert_eq!(purge(2).await, Purged::default());
}
