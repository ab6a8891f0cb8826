//! Rules of what a check of consistency asks the database, and of what is kept of it.
//!
//! Not here: the walks through stores of bytes (`adapters/tests/blobs.rs`), and what follows (`app/tests/consistency.rs`).

use super::{purging::STORE, *};
use crate::{
    domain::{
        BlobState, CheckId, Reason, RunId,
        consistency::{
            CHECK_SECS, CLEAN_CHECK_SECS, Check, CheckPlace, Dangling, DanglingRow, Finding, FindingKind,
            IDLE_CHECK_SECS, MOST_CHECKS, Place, StoredFinding, StrangeName, What,
        },
        retention::Rule,
        run::{Outcome, Task, TaskReport, Trigger},
        settings::SettingValue,
    },
    ports::{BegunRun, Damaged, NamedBy, NewCheck, NewRun, RowWalk, RunLease, Stop, StoreClaim, StoreError},
};

impl World {
    fn new_check(&self) -> NewCheck {
        NewCheck { id: CheckId(self.id()), of: STORE, by: Actor::from(&service(&["*"])), now: self.now() }
    }

    /// Lets the time of checks come so much nearer.
    pub fn let_checks_end(&self, secs: i64) {
        match &self.memory {
            Some(memory) => memory.let_checks_end(secs),
            None => self.execute(&format!("UPDATE checks SET expires_at = expires_at - {}", secs * Time::SECOND)),
        }
    }

    /// The file's blob is PURGING, and the file was purged before, though it is there: as nobody's rules allow.
    pub fn spoil(&self, view: &FileView) {
        match &self.memory {
            Some(memory) => memory.spoil_rows(view.blob.id, view.file.id),
            None => {
                self.execute(&format!("UPDATE blobs SET state = 'PURGING' WHERE id = {}", view.blob.id));
                self.execute(&format!(
                    "INSERT INTO stubs (number, id, created_at, deleted_at, purged_at) SELECT 7, id, 1, 1, 1 FROM files \
                     WHERE number = {}",
                    view.file.number
                ));
            }
        }
    }

    /// The file's row is gone, and its blob's stays.
    fn lose(&self, view: &FileView) {
        match &self.memory {
            Some(memory) => memory.lose_file(view.file.number),
            None => self.execute(&format!("DELETE FROM files WHERE number = {}", view.file.number)),
        }
    }

    async fn set(&self, key: &'static str, to: bool) {
        let version = self.store.settings_version().await.expect("asks");
        let change = vec![(key, SettingValue::Bool(to))];
        self.store.save_settings(change, version, Actor::SYSTEM, self.now()).await.expect("saves");
    }

    async fn checking_run(&self) -> RunLease {
        let new = NewRun {
            id: RunId(self.id()),
            request_id: None,
            trigger: Trigger::Call,
            plan: None,
            rule: Rule::default(),
            tasks: vec![Task::Check],
            by: Actor::SYSTEM,
            node: "n1".into(),
            now: self.now(),
            lease_secs: 60,
        };
        let BegunRun::Started(_, lease) = self.store.begin_run(new).await.expect("begins") else { panic!("it is new") };
        lease
    }
}

/// One of each kind.
pub fn every_finding(w: &World) -> Vec<Finding> {
    let (key, at, size) = (BlobKey([9; 16]), Time(5), 7);
    let row = DanglingRow { rule: Dangling::AttachmentWithoutFile, number: 3, file: None, chat: Some("a".into()) };
    let of_file = DanglingRow { rule: Dangling::FileOfLeavingBlob, number: 4, file: Some(FileId([4; 16])), chat: None };
    let name = StrangeName(b"0000000a/\xff#1".to_vec());
    let mut all = vec![
        What::Bytes { key, size, at },
        What::Parts { key, id: "parts".into(), at },
        What::Spooled { key, size, at },
        What::Strange { place: Place::Blobs, name: name.clone(), size, at, plain: true },
        What::Strange { place: Place::Spool, name, size: 0, at, plain: false },
        What::Row(row),
        What::Row(of_file),
    ];
    for kind in [FindingKind::BytesMissing, FindingKind::WrongSize, FindingKind::WrongHash, FindingKind::Unreadable] {
        all.push(What::Blob { kind, id: 1, key, sha256: sha(1), size, found: 2, files: 3 });
    }
    let node = format!("n{}", w.id()[7]);
    all.into_iter().map(|what| Finding { what, node: node.clone() }).collect()
}

/// While an upload runs, when it is buried, when it is a file; and until nothing of it is left.
pub async fn a_key_is_named_by_its_upload_and_then_by_its_blob(w: World) {
    let all = service(&["*"]);
    let upload = Upload { request_id: Some("r1".into()), ..Upload::to(Target::Library) };
    let intent = w.started(&all, &upload).await;
    let nobodys = BlobKey([0xee; 16]);
    let named = async || {
        let named = w.store.list_named(&[nobodys, intent.key], STORE, true).await.expect("asks");
        assert!(named.iter().all(|(key, _)| *key == intent.key), "{named:?}");
        named.first().map(|(_, by)| *by)
    };
    assert_eq!(named().await, Some(NamedBy { upload: true, blob: false }));
    let view = ready(w.store.commit_upload(w.commit(&all, &upload, intent)).await.expect("commits"));
    let by = named().await.expect("it is named");
    assert!(by.blob && view.blob.key == intent.key);
    let event = crate::domain::Event::new(crate::domain::EventKind::UploadAbandoned, Actor::SYSTEM);
    let other = w.started(&all, &Upload::to(Target::Library)).await;
    let asked = async || w.store.list_named(&[other.key], STORE, false).await.expect("asks").len();
    w.store.fence_upload(other).await.expect("fences");
    assert_eq!(asked().await, 1, "it can only end, and names its bytes");
    w.store.abort_upload(other, event, w.now(), 60).await.expect("buries");
    assert_eq!(asked().await, 1, "it is buried, and names what may come");
    w.store.end_buried(other).await.expect("ends");
    assert_eq!(asked().await, 0);
    assert!(w.store.list_named(&[], STORE, true).await.expect("asks").is_empty());
}

/// Nothing is concluded for a store that is another database's, and nothing to remove while nothing may change.
pub async fn names_are_not_told_for_another_store_nor_for_removing_in_read_only(w: World) {
    let asked = async |of, to_remove| w.store.list_named(&[BlobKey([1; 16])], of, to_remove).await;
    assert!(asked(STORE, true).await.expect("nobody claimed it").is_empty());
    let StoreClaim { id, .. } = w.store.claim_store_id(STORE, "here").await.expect("claims");
    assert_eq!(id, STORE);
    assert!(asked(STORE, true).await.expect("it is this one").is_empty());
    for to_remove in [true, false] {
        let other = asked(crate::domain::StoreId([2; 16]), to_remove).await;
        assert!(matches!(other, Err(StoreError::ReadOnly)), "{other:?}");
    }
    w.set("read_only", true).await;
    assert!(matches!(asked(STORE, true).await, Err(StoreError::ReadOnly)));
    assert!(asked(STORE, false).await.expect("it only looks").is_empty());
}

pub async fn blobs_are_walked_in_the_order_of_their_rows_and_tell_who_needs_them(w: World) {
    let all = service(&["*"]);
    let mut views = Vec::new();
    for tag in 1..=3 {
        views.push(w.upload(&all, &Upload { tag, ..Upload::to(Target::Library) }).await);
    }
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = w.store.list_blobs_to_check(after, 2).await.expect("lists");
        let Some(last) = page.last() else { break };
        after = last.id;
        seen.extend(page);
    }
    assert_eq!(seen, views.iter().map(|view| view.blob.clone()).collect::<Vec<_>>());
    for view in &views {
        assert_eq!(w.store.find_blob_to_check(view.blob.id).await.expect("finds"), Some(view.blob.clone()));
        let files = w.store.list_files_of_blob(view.blob.id).await.expect("lists");
        assert_eq!((files.count, files.first), (1, vec![view.file.id]));
    }
    assert_eq!(w.store.find_blob_to_check(after + 1).await.expect("finds"), None);
    assert_eq!(w.store.list_files_of_blob(after + 1).await.expect("lists").count, 0);
}

/// A database that keeps its own rules has no other rows: what has one was written by somebody else.
pub async fn rows_that_do_not_fit_together_are_found_window_by_window(w: World) {
    let all = service(&["*"]);
    w.put("a", ChatStatus::Active, None).await;
    let mut views = Vec::new();
    for tag in 1..=4 {
        views.push(w.upload(&all, &Upload { tag, ..Upload::to(chat("a")) }).await);
    }
    let walked = async |walk, limit| {
        let (mut found, mut after, mut looks) = (Vec::new(), i64::MIN, 0);
        loop {
            let (rows, next) = w.store.list_dangling(walk, after, limit).await.expect("looks");
            found.extend(rows);
            looks += 1;
            match next {
                Some(next) => after = next,
                None => return (found, looks),
            }
        }
    };
    for walk in RowWalk::ALL {
        assert_eq!(walked(*walk, 2).await.0, [], "{walk:?}");
    }
    assert_eq!(walked(RowWalk::Files, 1).await.1, 5, "one look for each, and one that finds the end");
    let third = &views[2];
    w.spoil(third);
    let row = |rule, number| DanglingRow { rule, number, file: Some(third.file.id), chat: None };
    for limit in [1, 2, 100] {
        let leaving = [row(Dangling::FileOfLeavingBlob, third.file.number)];
        assert_eq!(walked(RowWalk::Files, limit).await.0, leaving);
        assert_eq!(walked(RowWalk::Stubs, limit).await.0, [row(Dangling::PurgedFile, 7)]);
        assert_eq!(walked(RowWalk::Attachments, limit).await.0, []);
    }
}

/// Between the finding and the repair an upload may have come to share it.
pub async fn a_blob_that_no_file_needs_is_found_and_leaves_unless_one_needs_it_by_then(w: World) {
    let all = service(&["*"]);
    let kept = w.upload(&all, &Upload { tag: 1, ..Upload::to(Target::Library) }).await;
    let lost = w.upload(&all, &Upload { tag: 2, ..Upload::to(Target::Library) }).await;
    let found = async || w.store.list_dangling(RowWalk::Blobs, i64::MIN, 10).await.expect("looks").0;
    assert_eq!(found().await, []);
    w.lose(&lost);
    let row = |id| DanglingRow { rule: Dangling::BlobWithoutFile, number: id, file: None, chat: None };
    assert_eq!(found().await, [row(lost.blob.id)]);
    assert_eq!(w.leaving(w.now()).await, [], "no purge ends it by itself");

    let check = w.store.begin_check(w.new_check()).await.expect("begins").id;
    let finding = Finding { what: What::Row(row(lost.blob.id)), node: "n1".into() };
    assert_eq!(w.store.add_findings(check, &[finding]).await.expect("keeps"), 1);
    let end = async |id| w.store.delete_dangling(check, 1, &row(id), Actor::SYSTEM, w.now()).await;
    assert!(!end(kept.blob.id).await.expect("looks"), "a file needs it");
    w.set("read_only", true).await;
    assert!(matches!(end(lost.blob.id).await, Err(Stop::Failed(StoreError::ReadOnly))));
    assert_eq!(found().await, [row(lost.blob.id)], "nothing was changed");
    w.set("read_only", false).await;
    assert!(end(lost.blob.id).await.expect("repairs"));
    let leaving: Vec<_> = w.leaving(w.now()).await.iter().map(|blob| blob.id).collect();
    assert_eq!((leaving, found().await), (vec![lost.blob.id], vec![]));
    assert!(!end(lost.blob.id).await.expect("looks"), "it leaves already");
    assert_eq!(w.events().iter().filter(|kind| *kind == "FINDING_REPAIRED").count(), 1);
    assert_eq!(w.find(&kept, &all).await.expect("there").blob.state, BlobState::Active);
}

pub async fn what_a_check_found_is_kept_once_in_its_order_and_reads_back(w: World) {
    let check = w.store.begin_check(w.new_check()).await.expect("begins");
    assert_eq!((check.stored, check.of), (0, STORE));
    assert!(check.expires_at == check.created_at.plus_secs(CHECK_SECS));
    let found = every_finding(&w);
    let (first, rest) = found.split_at(4);
    assert_eq!(w.store.add_findings(check.id, first).await.expect("keeps"), 4);
    assert_eq!(w.store.add_findings(check.id, first).await.expect("keeps"), 4, "twice is once");
    assert_eq!(w.store.add_findings(check.id, rest).await.expect("keeps"), found.len() as u64);
    assert_eq!(w.store.find_check(check.id).await.expect("finds").map(|check| check.stored), Some(found.len() as u64));
    let kept = w.store.list_findings(check.id, FindingKind::ALL, 0, 100).await.expect("lists");
    let expected = (1..).zip(found.clone()).map(|(number, finding)| StoredFinding { number, repaired: false, finding });
    let expected: Vec<StoredFinding> = expected.collect();
    assert_eq!(kept, expected);
    let rows = w.store.list_findings(check.id, &[FindingKind::DanglingRow], 0, 1).await.expect("lists");
    assert_eq!(rows, expected[5..6]);
    let rows = w.store.list_findings(check.id, &[FindingKind::DanglingRow], rows[0].number, 9).await.expect("lists");
    assert_eq!(rows, expected[6..7]);
    assert_eq!(reason(w.store.add_findings(CheckId([0; 16]), first).await), Reason::NotFound);
    assert_eq!(w.store.find_check(CheckId([0; 16])).await.expect("asks"), None);

    w.store.note_repaired(check.id, 2, Actor::SYSTEM, w.now()).await.expect("notes");
    let kept = w.store.list_findings(check.id, FindingKind::ALL, 0, 100).await.expect("lists");
    assert_eq!(kept.iter().filter(|kept| kept.repaired).map(|kept| kept.number).collect::<Vec<_>>(), [2]);
    assert_eq!(w.events(), ["FINDING_REPAIRED"]);
    // There is no such attachment any more.
    let What::Row(row) = &kept[5].finding.what else { panic!("a row") };
    assert!(!w.store.delete_dangling(check.id, 6, row, Actor::SYSTEM, w.now()).await.expect("looks"));
    w.set("read_only", true).await;
    let refused = w.store.add_findings(check.id, first).await;
    assert!(matches!(refused, Err(Stop::Failed(StoreError::ReadOnly))), "{refused:?}");
    let refused = w.store.begin_check(w.new_check()).await;
    assert!(matches!(refused, Err(Stop::Failed(StoreError::ReadOnly))), "{refused:?}");
    let refused = w.store.note_repaired(check.id, 3, Actor::SYSTEM, w.now()).await;
    assert!(matches!(refused, Err(Stop::Failed(StoreError::ReadOnly))), "{refused:?}");
}

pub async fn checks_are_forgotten_a_day_after_their_end_with_what_they_found(w: World) {
    let old = w.store.begin_check(w.new_check()).await.expect("begins");
    w.store.add_findings(old.id, &every_finding(&w)).await.expect("keeps");
    w.let_checks_end(CHECK_SECS + 60);
    assert_eq!(w.store.trim_checks(w.now(), 100).await.expect("trims"), 0, "it has ended, and is told so");
    w.let_checks_end(CHECK_SECS);
    let new = w.store.begin_check(w.new_check()).await.expect("begins");
    let mut gone = Vec::new();
    loop {
        match w.store.trim_checks(w.now(), 6).await.expect("trims") {
            0 => break,
            some => gone.push(some),
        }
    }
    assert_eq!(gone, [6, 5, 1], "its findings before it");
    assert_eq!(w.store.find_check(old.id).await.expect("asks"), None);
    assert_eq!(w.store.find_check(new.id).await.expect("asks"), Some(new));
}

pub async fn a_check_that_is_gone_on_with_lives_on_and_one_that_is_left_makes_room(w: World) {
    let first = w.store.begin_check(w.new_check()).await.expect("begins");
    w.let_checks_end(CHECK_SECS - 60);
    let renewed = w.store.renew_check(first.id, CHECK_SECS, w.now()).await.expect("renews");
    assert!(renewed.expires_at >= first.expires_at, "{renewed:?} {first:?}");
    assert_eq!(w.store.find_check(first.id).await.expect("finds"), Some(renewed.clone()));
    assert_eq!(Check { expires_at: first.expires_at, ..renewed }, first, "and nothing else of it changes");
    assert_eq!(reason(w.store.renew_check(CheckId([0; 16]), 60, w.now()).await), Reason::NotFound);

    for _ in 1..MOST_CHECKS {
        w.store.begin_check(w.new_check()).await.expect("begins");
    }
    assert_eq!(reason(w.store.begin_check(w.new_check()).await), Reason::Busy, "all are under way");
    w.let_checks_end(IDLE_CHECK_SECS + 60);
    let ended = w.store.begin_check(w.new_check()).await.expect("one that nobody goes on with makes room");
    // It ends first, as one does that found nothing.
    w.store.renew_check(ended.id, CLEAN_CHECK_SECS, w.now()).await.expect("renews");
    let last = w.store.begin_check(w.new_check()).await.expect("and so does this one");
    let left = w.store.find_check(ended.id).await.expect("finds").expect("until it is forgotten");
    assert!(left.expires_at < last.created_at.plus_secs(-CHECK_SECS), "{left:?}");
    assert_eq!(w.store.trim_checks(w.now(), 1).await.expect("trims"), 1);
    assert_eq!(w.store.trim_checks(w.now(), 1).await.expect("trims"), 1);
    assert_eq!(w.store.trim_checks(w.now(), 1).await.expect("trims"), 0, "the others are kept");
    assert_eq!(w.store.find_check(last.id).await.expect("finds"), Some(last.clone()));
    w.set("read_only", true).await;
    let refused = w.store.renew_check(last.id, CHECK_SECS, w.now()).await;
    assert!(matches!(refused, Err(Stop::Failed(StoreError::ReadOnly))), "{refused:?}");
}

pub async fn the_place_of_the_check_is_kept_with_its_events_and_a_fenced_one_changes_nothing(w: World) {
    assert_eq!(w.store.find_check_place().await.expect("asks"), CheckPlace::default());
    let lease = w.checking_run().await;
    let before = w.events().len();
    let report = TaskReport { outcome: Outcome::Running, done: 7, failed: 2, ..TaskReport::waiting(Task::Check) };
    let place = CheckPlace { sized: 5, hashed: 3 };
    let damaged = [
        Damaged { kind: FindingKind::BytesMissing, file: Some(FileId([1; 16])) },
        Damaged { kind: FindingKind::WrongHash, file: None },
    ];
    let fenced = RunLease { fence: lease.fence + 1, ..lease };
    assert_eq!(reason(w.store.note_checked(fenced, report, place, &damaged, w.now()).await), Reason::Fenced);
    assert_eq!(w.store.find_check_place().await.expect("asks"), CheckPlace::default());
    assert_eq!(w.events().len(), before);
    w.store.note_checked(lease, report, place, &damaged, w.now()).await.expect("notes");
    assert_eq!(w.store.find_check_place().await.expect("asks"), place);
    assert_eq!(w.events()[before..], ["BLOB_CORRUPT", "BLOB_CORRUPT"]);
    let (_, run) = w.store.list_runs(None, 1).await.expect("lists").pop().expect("it is there");
    assert_eq!(run.tasks, [report]);
}
