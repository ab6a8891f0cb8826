//! Query plans: every statement that any method runs is shown to the planner. None may walk a whole table, and none may
//! sort what an index can give in order.
//!
//! Not here: whether the answers are right (the other files), and how an engine tells its plans (`explain_….rs`).

use futures_util::FutureExt;

use super::{
    bodies::{
        self, chats, checks, content, erasing, expiring, files, holds, keys,
        listing::{self, plan::Plan},
        plans as plans_of, purging, runs, settings, stats, uploads, vitals,
    },
    explain::{Explained, body, explained, judge, judge_walk, plans},
    plans_quarantine, *,
};
use crate::{
    adapters::tests::store::consistency::every_finding,
    domain::{
        CheckId, Event, EventKind, FileId, HoldOn, Matter, Origin, PlanId, RunId, StoreId,
        consistency::{CheckPlace, Dangling, DanglingRow, FindingKind},
        erasure::Why,
        key::Reach,
        listing::{FileFilter, FileQuery, Order, Place, Total},
        retention::Rule,
        run::{Checkpoint, RunState, Task, TaskReport, Trigger},
    },
    ports::{
        AttachTo, BegunRun, ChatQuery, Damaged, FileChange, HoldQuery, KeyQuery, MultipartId, NewCheck, NewErasure,
        NewPlan, NewRun, RowWalk, StoreError,
    },
};

/// Of one content there are few blobs; of uploads under way, and of files of a chat that ends, there are few; one run is
/// under way; and a plan's files are counted once: these may be sorted.
pub(super) const FEW: &[&str] = &[
    "FROM `blobs`",
    "FROM `uploads`",
    "FROM \"blobs\"",
    "FROM \"uploads\"",
    "UPDATE OF files",
    "UPDATE OF blobs",
    "runs.state = 'RUNNING'",
    "GROUP BY owner, attached",
    "FROM (SELECT files.number",
    "UPDATE plans SET expires_at",
    "CASE WHEN signatures =",
    "(\"blobs\".\"sha256\" = $",
    "UPDATE `braked_signatures`",
    "UPDATE \"braked_signatures\"",
    "DELETE FROM `braked_signatures`",
    "DELETE FROM \"braked_signatures\"",
    "DELETE FROM `scan_failures` WHERE (`scan_failures`.`signatures`",
    "DELETE FROM \"scan_failures\" WHERE (\"scan_failures\".\"signatures\"",
    "UPDATE checks SET expires_at",
];

#[tokio::test]
async fn no_statement_of_a_call_walks_a_table_or_sorts() {
    let (w, store) = explained().await;
    every_call(&w, &store).await;
    let plans = plans(&store).await;
    assert!(plans.len() > 40, "{} statements were recorded", plans.len());
    // A statement that is kept from its sort may walk instead.
    judge(&plans, FEW, FEW);
}

/// Each method of the store, on whatever is there.
pub(super) async fn every_call(w: &World, store: &Explained) {
    for id in ["a", "b"] {
        w.put(id, ChatStatus::Active, Some("17")).await;
    }
    let (all, settings) = (service(&["*"]), Settings::default());
    let own = acting(operator("17", &["a"], &[Permission::UseOperator, Permission::FileDeleteChat]), &["a", "b"]);
    let upload = Upload { request_id: Some("r1".into()), ..Upload::to(chat("a")) };
    let view = w.upload(&own, &upload).await;
    w.begin(&own, &upload).await.expect("begins");
    let running = Upload { request_id: Some("r2".into()), ..Upload::to(Target::Library) };
    let first = w.started(&own, &running).await;
    let second = w.started(&own, &running).await;
    let event = Event::new(EventKind::UploadAbandoned, Actor::SYSTEM);
    w.store.fence_upload(first).await.expect("fences");
    for (stays_secs, event) in [(300, event.clone()), (0, event)] {
        w.store.abort_upload(first, event, w.now(), stays_secs).await.expect("aborts");
    }
    w.store.end_buried(first).await.expect("ends");
    w.store.note_multipart(second, &MultipartId("m".into())).await.expect("notes");
    w.store.claim_store_id(StoreId([1; 16]), "s3://a").await.expect("claims");
    w.store.confirm_store_id().await.expect("confirms");
    let mut commit = w.commit(&own, &running, second);
    (commit.bytes, commit.verdict.signatures) = (BytesAt::Shared(view.blob.id), "9".into());
    commit.weighed = Some(1);
    w.store.commit_upload(commit).await.expect("commits");
    let by = FileRef::Id(view.file.id);
    let to = ["a", "b"].map(|id| AttachTo { chat: id.parse().expect("valid"), message_id: Some("m".into()) });
    w.store.attach(by, to.into(), &own, &settings, w.now()).await.expect("attaches");
    w.store.detach(by, "b".parse().expect("valid"), &own, &settings, w.now()).await.expect("detaches");
    let change = FileChange { persistent: Some(true), ..FileChange::default() };
    w.store.update_file(by, change, &own, &settings, w.now()).await.expect("updates");
    w.store.delete_file(by, &own, &settings, w.now()).await.expect("deletes");
    w.store.restore_file(by, &all, &settings, w.now()).await.expect("restores");
    w.store.delete_file(by, &own, &settings, w.now()).await.expect("deletes");
    w.upload(&all, &Upload { tag: 2, ..Upload::to(chat("a")) }).await;
    w.upload(&all, &Upload { tag: 3, request_id: Some("r4".into()), ..Upload::to(for_visitor("v")) }).await;
    let third = w.started(&own, &Upload::to(Target::Library)).await;
    w.store.renew_leases(&[first, second, third], w.now(), 60).await.expect("renews");
    let later = w.now().plus_secs(crate::ports::REQUEST_ID_SECS + 60);
    assert_eq!(w.store.trim_request_ids(later).await.expect("trims"), 3);
    w.store.quarantine(sha(0), verdict(VerdictKind::Infected, "1"), "x", None).await.expect("quarantines");
    w.store.delete_chat(&"a".parse().expect("valid"), 0, Actor::SYSTEM, w.now()).await.expect("deletes");
    let one = vec![("one_file_at_a_time", crate::domain::settings::SettingValue::Bool(true))];
    w.store.save_settings(one, 0, Actor::SYSTEM, w.now()).await.expect("saves");
    let holds = [HoldOn::File(view.file.id), HoldOn::Visitor("v".parse().expect("valid"))];
    let matter = || Matter::new("x").expect("valid");
    for on in holds {
        w.store.put_hold(on.clone(), matter(), &all, w.now()).await.expect("puts");
        for on in [None, Some(on.clone())] {
            let (query, all) = (HoldQuery { on, before: None, limit: 5 }, all.clone());
            let refused = |_: Stop| StoreError::Refused("it may".into());
            body(store, move |c| async move { holds::list(c, query, &all).await.map_err(refused) }.boxed()).await;
        }
        w.store.lift_hold(on, matter(), &all, w.now()).await.expect("lifts");
    }
    runs_and_plans(w, store, view.file.id).await;
    plans_quarantine::every_call(w, store).await;
    consistency(w, store, view.blob.id).await;
    erasing_and_counting(w, store).await;
    let two = Upload { tag: 3, ..Upload::to(Target::Library) };
    let (one, other) = (w.upload(&all, &two).await, w.upload(&all, &Upload { tag: 4, ..two }).await);
    w.store.delete_file(FileRef::Id(one.file.id), &all, &settings, w.now()).await.expect("deletes");
    assert!(w.store.purge_deleted(0, 1_000, w.now()).await.expect("purges").files > 0);
    w.store.purge_file(FileRef::Id(other.file.id), &all, w.now()).await.expect("purges");
    body(store, |c| async { purging::find_ripe(c, 0, 1_000, Time(1 << 51)).await }.boxed()).await;
    let leaving =
        body(store, move |c| async move { purging::list_leaving(c, 0, 1_000, 0, Time(1 << 51)).await }.boxed()).await;
    let ids: Vec<i64> = leaving.iter().map(|blob| blob.id).collect();
    assert!(ids.len() > 1, "{leaving:?}");
    let gone = w.store.delete_blobs(&ids, StoreId([1; 16]), 0, Time(1 << 51)).await.expect("deletes");
    assert_eq!(gone.len(), ids.len());
    let key = key_of(&all, w.now());
    w.store.create_key(key.clone(), sha(7)).await.expect("creates");
    let reaches = [Reach::All, Reach::of(&own), Reach::MadeBy(all.person.clone(), None)];
    w.store.retire_key(key.id, Reach::All, Actor::SYSTEM, w.now()).await.expect("retires");
    body(store, |c| async { keys::load(c, Time(1 << 51)).await }.boxed()).await;
    for reach in reaches {
        for counting_at in [None, Some(Time(1))] {
            let query = KeyQuery { reach: reach.clone(), counting_at, before: None, limit: 5 };
            body(store, move |c| async move { keys::list(c, query).await }.boxed()).await;
        }
    }
    // What only reads runs on this connection too, so that it is recorded.
    let code = FileRef::Code(view.file.message_code());
    for caller in [all.clone(), own.clone(), visitor("v", &["a"])] {
        for by in [by, code] {
            let caller = caller.clone();
            body(store, move |c| async move { files::find(c, by, &caller).await }.boxed()).await;
        }
    }
    body(store, move |c| async move { uploads::find_multipart(c, second).await }.boxed()).await;
    body(store, |c| async { content::find_blob(c, sha(0), 1).await }.boxed()).await;
    body(store, |c| async { uploads::fence(c, Intent { id: 0, key: BlobKey([0; 16]) }).await }.boxed()).await;
    body(store, |c| async { uploads::list_dead(c, Some("n".into()), Time(1), 5).await }.boxed()).await;
    body(store, |c| async { settings::load(c).await }.boxed()).await;
    body(store, |c| async { chats::find(c, "a".parse().expect("valid")).await }.boxed()).await;
    let id = || Some("a".parse().expect("valid"));
    for query in [
        ChatQuery::default(),
        ChatQuery { after: id(), ..ChatQuery::default() },
        ChatQuery { after: id(), status: Some(ChatStatus::Bot), ..ChatQuery::default() },
        ChatQuery { after: id(), owner: Some("17".parse().expect("valid")), ..ChatQuery::default() },
        ChatQuery { after: id(), scope: id().map(|id| vec![id]), ..ChatQuery::default() },
    ] {
        body(store, |c| async { chats::list(c, query).await }.boxed()).await;
    }
}

/// What a check of consistency asks, and what is kept of it.
async fn consistency(w: &World, store: &Explained, blob: i64) {
    let of = StoreId([1; 16]);
    let id = CheckId([2; 16]);
    let new = NewCheck { id, of, by: Actor::SYSTEM, now: w.now() };
    w.store.begin_check(new).await.expect("begins");
    w.store.add_findings(id, &every_finding(w)).await.expect("keeps");
    w.store.renew_check(id, 60, w.now()).await.expect("renews");
    body(store, |c| async { checks::make_room(c, Time(1)).await }.boxed()).await;
    w.store.note_repaired(id, 1, Actor::SYSTEM, w.now()).await.expect("notes");
    for rule in [Dangling::AttachmentWithoutFile, Dangling::BlobWithoutFile] {
        let row = DanglingRow { rule, number: 1, file: None, chat: Some("a".into()) };
        w.store.delete_dangling(id, 6, &row, Actor::SYSTEM, w.now()).await.expect("looks");
    }
    body(store, move |c| async move { checks::find(c, id).await }.boxed()).await;
    let kinds = FindingKind::ALL.to_vec();
    body(store, move |c| async move { checks::list(c, id, kinds, 2, 5).await }.boxed()).await;
    w.let_checks_end(3 * 86_400);
    for _ in 0..3 {
        w.store.trim_checks(w.now(), 100).await.expect("trims");
    }
    let keys = vec![BlobKey([1; 16]), BlobKey([2; 16])];
    body(store, move |c| async move { bodies::consistency::list_named(c, keys, of, true).await }.boxed()).await;
    body(store, |c| async { bodies::consistency::list_blobs(c, 1, 5).await }.boxed()).await;
    body(store, move |c| async move { bodies::consistency::find_blob(c, blob).await }.boxed()).await;
    body(store, move |c| async move { bodies::consistency::list_files(c, blob).await }.boxed()).await;
    body(store, |c| async { bodies::consistency::find_place(c).await }.boxed()).await;
    for walk in RowWalk::ALL {
        body(store, |c| async { bodies::consistency::list_dangling(c, *walk, 1, 5).await }.boxed()).await;
    }
}

async fn runs_and_plans(w: &World, store: &Explained, file: FileId) {
    let all = service(&["*"]);
    let rule = Rule { visitors: true, operators: true, visitor_days: 1, operator_days: 2, ..Rule::default() };
    let (now, by) = (w.now(), Actor::from(&all));
    w.store.judge_clock(now, true).await.expect("tells");
    let id = PlanId([1; 16]);
    let new = NewPlan { id, rule, proposed: false, token: "t".into(), by: by.clone(), now };
    w.store.begin_plan(new).await.expect("begins");
    w.store.grow_plan(id, 5).await.expect("grows");
    w.store.end_plan(id).await.expect("ends");
    body(store, move |c| async move { plans_of::list_files(c, id, Checkpoint::START, 5).await }.boxed()).await;
    for plan in [None, Some((id, "t".to_owned()))] {
        for rule in [rule, Rule { unassigned: true, ..rule }, Rule { assigned: true, ..rule }] {
            let request_id = Some(format!("r{}", w.id()[7]).parse().expect("valid"));
            let (by, tasks, node) = (by.clone(), vec![Task::Expire], "n".into());
            let (run, trigger) = (RunId(w.id()), Trigger::Cron(w.now()));
            let new =
                NewRun { id: run, request_id, trigger, plan: plan.clone(), rule, tasks, by, node, now, lease_secs: -5 };
            let Ok(BegunRun::Started(..)) = w.store.begin_run(new).await else { panic!("it begins") };
            let (_, lease) =
                w.store.take_run("n", false, w.now(), 60).await.expect("takes").expect("its lease is over");
            w.store.expire_batch(lease, 5, w.now()).await.expect("deletes");
            w.store.renew_run(lease, w.now(), 60).await.expect("renews");
            w.store.note_task(lease, TaskReport::waiting(Task::Expire)).await.expect("notes");
            let damaged = [Damaged { kind: FindingKind::WrongHash, file: None }];
            let (waiting, place) = (TaskReport::waiting(Task::Check), CheckPlace::default());
            w.store.note_checked(lease, waiting, place, &damaged, w.now()).await.expect("notes");
            w.store.cancel_run(run).await.expect("asks");
            w.store.end_run(lease, RunState::Done, w.now()).await.expect("ends");
            body(store, move |c| async move { runs::find(c, run).await }.boxed()).await;
        }
    }
    body(store, |c| async { runs::list(c, Some(7), 5).await }.boxed()).await;
    body(store, |c| async { runs::last_tick(c).await }.boxed()).await;
    body(store, |c| async { vitals::load(c).await }.boxed()).await;
    body(store, move |c| async move { expiring::find_facts(c, file, &all, Time(1)).await }.boxed()).await;
    w.let_plans_end(3 * 86_400);
    for _ in 0..4 {
        w.store.trim_runs(-60, w.now(), 100).await.expect("trims");
    }
}

async fn erasing_and_counting(w: &World, store: &Explained) {
    let all = service(&["*"]);
    let (gone, id) = (visitor("e", &["b"]), |id: &str| id.parse().expect("valid"));
    w.put("b", ChatStatus::Active, None).await;
    w.upload(&gone, &Upload { tag: 90, request_id: Some("r9".into()), ..Upload::to(chat("b")) }).await;
    w.started(&gone, &Upload { tag: 91, ..Upload::to(chat("b")) }).await;
    let mut key = key_of(&all, w.now());
    key.holder = gone;
    w.store.create_key(key, sha(91)).await.expect("creates");
    let (why, pseudonym) = (Why::new("x").expect("valid"), id("erased~x"));
    let new = NewErasure {
        visitor: id("e"),
        chats: vec!["b".parse().expect("valid")],
        pseudonym,
        why,
        caller: all.clone(),
        now: w.now(),
    };
    let of = w.store.begin_erasure(new.clone()).await.expect("begins");
    w.store.begin_erasure(new).await.expect("goes on");
    assert_eq!(w.store.erase_uploads(&of).await.expect("fences").len(), 1);
    let (found, left) = (of.clone(), of.clone());
    let found = body(store, move |c| async move { erasing::find_files(c, found, 5).await }.boxed()).await;
    assert_eq!(found.len(), 1);
    body(store, move |c| async move { erasing::list_left(c, left, 5).await }.boxed()).await;
    w.store.erase_files(&of, 5, &all, w.now()).await.expect("purges");
    while w.store.erase_events(&of, 5).await.expect("writes") > 0 {}
    w.store.end_erasure(&of, 0, &all, w.now()).await.expect("ends");
    body(store, |c| async { stats::read_files(c, 1, 5).await }.boxed()).await;
    body(store, |c| async { stats::read_blobs(c, 1, 5).await }.boxed()).await;
    let rule = Rule { visitors: true, operators: true, visitor_days: 1, operator_days: 2, ..Rule::default() };
    body(store, move |c| async move { stats::read_due(c, rule, Time(1 << 51), Checkpoint::START, 5).await }.boxed())
        .await;
    for keep_secs in [1 << 40, -1_000, -1_000] {
        w.store.trim_events(keep_secs, w.now(), 1_000).await.expect("trims");
    }
}

#[tokio::test]
async fn every_list_walks_its_own_index_in_order() {
    let (w, store) = explained().await;
    w.put("a", ChatStatus::Active, None).await;
    w.upload(&service(&["*"]), &Upload { name: "a.zzz".into(), ..Upload::to(chat("a")) }).await;
    // One file for all lists.
    w.execute("UPDATE files SET visitor_id = 'v', origin = 'FORM'");
    plans(&store).await;
    let all = FileFilter::default;
    let a = || vec!["a".parse().expect("valid")];
    let person = || vec!["service:backend".parse().expect("valid")];
    for (filter, scope, time_index, size_index) in [
        (all(), None, "files_created", "files_size"),
        (FileFilter { chats: a(), ..all() }, None, "attachments_created", "attachments_size"),
        (all(), Some(a()), "attachments_created", "attachments_size"),
        (FileFilter { uploaders: person(), ..all() }, None, "files_uploader_created", "files_uploader_size"),
        (
            FileFilter { extension: Some("zzz".into()), ..all() },
            None,
            "files_extension_created",
            "files_extension_size",
        ),
        (
            FileFilter { visitor: Some("v".parse().expect("valid")), chats: a(), ..all() },
            None,
            "files_visitor_created",
            "files_visitor_size",
        ),
        (FileFilter { sha256: Some(sha(0)), ..all() }, None, "files_sha256", "files_sha256"),
        (
            FileFilter {
                name_contains: Some("a".into()),
                attached: Some(true),
                verdict: Some(VerdictKind::Clean),
                origin: Some(Origin::Form),
                from: Some(Time(0)),
                before: Some(Time(i64::MAX)),
                min_size: Some(1),
                max_size: Some(1_000),
                ..all()
            },
            None,
            "files_created",
            "files_size",
        ),
    ] {
        for order in [Order::Newest, Order::Oldest, Order::Largest] {
            let index = if order == Order::Largest { size_index } else { time_index };
            for after in [None, Some(Place { key: if order == Order::Oldest { 0 } else { i64::MAX }, number: 0 })] {
                let (filter, scope) = (filter.clone(), scope.clone());
                let query =
                    FileQuery { filter, deleted_after: None, scope, order, after, limit: 50, with_total: false };
                let counted = query.clone();
                let page = body(&store, |c| async { listing::list(c, query, &service(&["*"])).await }.boxed()).await;
                assert_eq!(page.rows.len(), 1);
                let plans = plans(&store).await;
                let walks: Vec<_> = plans.iter().filter(|(sql, _)| sql.contains("AS number FROM")).collect();
                assert_eq!(walks.len(), 2, "where the window ends, and what is in it");
                for (sql, steps) in walks {
                    judge_walk(sql, steps, index, after.is_some());
                }
                judge(&plans, &[], &[]);
                // As many as there are, so that it looks for what lies beyond, too.
                let total = body(&store, |c| async move { listing::count(c, &Plan::new(&counted), 1).await }.boxed());
                assert_eq!(total.await, Total::exactly(1));
                judge(&self::plans(&store).await, &[], &[]);
            }
        }
    }
    let query = FileQuery {
        filter: all(),
        deleted_after: None,
        scope: None,
        order: Order::Newest,
        after: None,
        limit: 1,
        with_total: false,
    };
    let caller = acting(operator("17", &["a"], &[]), &["a"]);
    body(&store, |c| async move { listing::list(c, query, &caller).await }.boxed()).await;
    judge(&plans(&store).await, &[], &[]);
}
