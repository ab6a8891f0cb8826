//! Rules of runs and plans: what a run deletes, that there is one at a time, and that no other node carries it on beside.
//!
//! Not here: which files a rule deletes (`retention.rs`), and the order of tasks (`app/maintenance/`).

use super::*;
use crate::{
    domain::{
        FileState, HoldOn, Matter, PlanId, Reason, RequestId, RunId,
        retention::{Kept, Rule, keeps},
        run::{CLOCK_JUMP_SECS, Checkpoint, Outcome, PLAN_SECS, Plan, Run, RunState, Task, TaskReport, Trigger},
    },
    ports::{AttachTo, BegunRun, ClockSays, NewPlan, NewRun, RunLease, Stop},
};

const DAY: i64 = 86_400;
/// Visitors' files after a day.
const RULE: Rule =
    Rule { visitors: true, operators: false, unassigned: false, assigned: false, visitor_days: 1, operator_days: 0 };

impl World {
    /// What time it is by the clock that counts.
    async fn time(&self) -> Time {
        match self.store.judge_clock(self.now(), true).await.expect("tells") {
            ClockSays::Now(now) => now,
            ClockSays::Jumped => panic!("it is confirmed"),
        }
    }

    /// A visitor's file of so many days.
    async fn aged(&self, tag: u64, days: i64) -> FileView {
        let target = if tag.is_multiple_of(2) { Target::Library } else { chat("a") };
        let view =
            self.upload(&visitor("v", &["a"]), &Upload { tag, persistent: Some(false), ..Upload::to(target) }).await;
        self.age(&view, self.time().await.plus_secs(-days * DAY));
        view
    }

    /// A run of this rule that deletes alone, by nobody's plan.
    pub fn new_run(&self, rule: Rule) -> NewRun {
        NewRun {
            id: RunId(self.id()),
            request_id: None,
            trigger: Trigger::Call,
            plan: None,
            rule,
            tasks: vec![Task::Expire],
            by: Actor::from(&service(&["*"])),
            node: "n1".into(),
            now: self.now(),
            lease_secs: 60,
        }
    }

    async fn run(&self, new: NewRun) -> (Run, RunLease) {
        match self.store.begin_run(new).await.expect("begins") {
            BegunRun::Started(run, lease) => (*run, lease),
            BegunRun::Before(run) => panic!("there is one already: {run:?}"),
        }
    }

    async fn plan(&self, rule: Rule) -> Plan {
        let id = PlanId(self.id());
        let by = Actor::from(&service(&["*"]));
        let new = NewPlan { id, rule, proposed: true, token: "t".into(), by, now: self.now() };
        self.store.begin_plan(new).await.expect("begins");
        while self.store.grow_plan(id, 2).await.expect("grows") {}
        self.store.end_plan(id).await.expect("ends")
    }

    /// To its end, in batches of so many.
    async fn expire(&self, lease: RunLease, limit: u32) -> TaskReport {
        loop {
            let batch = self.store.expire_batch(lease, limit, self.now()).await.expect("deletes");
            if !batch.more {
                let done = TaskReport { outcome: Outcome::Done, ..batch.report };
                self.store.note_task(lease, done).await.expect("notes");
                self.store.end_run(lease, RunState::Done, self.now()).await.expect("ends");
                return done;
            }
        }
    }

    async fn state(&self, view: &FileView) -> FileState {
        self.find(view, &service(&["*"])).await.expect("the row stays").file.state
    }
}

pub async fn a_run_deletes_by_its_rule_the_oldest_first_each_with_its_event_and_tells_how_far_it_is(w: World) {
    w.put("a", ChatStatus::Active, Some("17")).await;
    let mut old = Vec::new();
    for tag in 0..5 {
        old.push(w.aged(tag, 10 - tag as i64).await);
    }
    let young = w.aged(7, 0).await;
    let operators = w.upload(&operator("17", &["a"], &[]), &Upload { tag: 8, ..Upload::to(chat("a")) }).await;
    w.age(&operators, w.time().await.plus_secs(-99 * DAY));
    let (run, lease) = w.run(w.new_run(RULE)).await;
    assert_eq!((run.state, run.tasks[0].guard, run.plan), (RunState::Running, Some(1_000), None));
    let first = w.store.expire_batch(lease, 2, w.now()).await.expect("deletes");
    assert_eq!((first.report.done, first.report.bytes, first.more), (2, 20, true));
    let mut states = Vec::new();
    for view in &old {
        states.push(w.state(view).await == FileState::Deleted);
    }
    assert_eq!(states, [true, true, false, false, false], "the oldest first");
    let found = w.store.find_run(run.id).await.expect("finds").expect("there");
    assert_eq!((found.tasks[0].done, found.tasks[0].outcome), (2, Outcome::Running), "how far it is");
    let told = w.expire(lease, 2).await;
    assert_eq!((told.done, told.bytes, told.kept, told.failed), (5, 50, 0, 0));
    assert_eq!([w.state(&young).await, w.state(&operators).await], [FileState::Ready; 2]);
    let deleted = w.events().iter().filter(|kind| *kind == "FILE_DELETED").count();
    assert_eq!(deleted, 5);
    let found = w.store.find_run(run.id).await.expect("finds").expect("there");
    assert_eq!((found.state, found.ended_at.is_some()), (RunState::Done, true));
    let all = w.store.list_runs(None, 10).await.expect("lists");
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].1, found);
    // What was deleted can be restored, and its age then counts from the restore.
    let (by, all, settings) = (FileRef::Id(old[0].file.id), service(&["*"]), Settings::default());
    let now = w.time().await;
    w.store.restore_file(by, &all, &settings, now).await.expect("restores");
    let (_, lease) = w.run(w.new_run(RULE)).await;
    assert_eq!(w.expire(lease, 10).await.done, 0);
}

pub async fn a_run_of_a_plan_deletes_what_it_found_minus_what_changed_since_and_nothing_else(w: World) {
    w.put("a", ChatStatus::Active, Some("17")).await;
    let (all, settings) = (service(&["*"]), Settings::default());
    let mut found = Vec::new();
    for tag in 0..6 {
        found.push(w.aged(2 * tag, 10).await);
    }
    let plan = w.plan(RULE).await;
    assert_eq!((plan.files(), plan.bytes(), plan.needs_token()), (6, 60, false));
    let listed = w.store.list_plan_files(plan.id, Checkpoint::START, 4).await.expect("lists");
    let rest = w.store.list_plan_files(plan.id, listed[3].at, 4).await.expect("lists");
    let ids: Vec<_> = listed.iter().chain(&rest).map(|file| file.id).collect();
    assert_eq!(ids, found.iter().map(|view| view.file.id).collect::<Vec<_>>());
    // Came into the rule's reach after the plan: not planned, not deleted.
    let later = w.aged(20, 10).await;
    let by = |view: &FileView| FileRef::Id(view.file.id);
    let persistent = crate::ports::FileChange { persistent: Some(true), ..Default::default() };
    w.store.update_file(by(&found[0]), persistent, &all, &settings, w.now()).await.expect("updates");
    let matter = Matter::new("x").expect("valid");
    w.store.put_hold(HoldOn::File(found[1].file.id), matter, &all, w.now()).await.expect("holds");
    w.store.delete_file(by(&found[2]), &all, &settings, w.now()).await.expect("deletes");
    w.store.delete_file(by(&found[3]), &all, &settings, w.time().await).await.expect("deletes");
    w.store.restore_file(by(&found[3]), &all, &settings, w.time().await).await.expect("restores");
    let to = vec![AttachTo { chat: "a".parse().expect("valid"), message_id: None }];
    w.store.attach(by(&found[4]), to, &all, &settings, w.now()).await.expect("attaches");
    let new = NewRun { plan: Some((plan.id, String::new())), ..w.new_run(Rule::default()) };
    let (run, lease) = w.run(new).await;
    assert_eq!((run.plan, run.rule, run.tasks[0].guard), (Some(plan.id), RULE, None));
    let told = w.expire(lease, 4).await;
    assert_eq!((told.done, told.kept), (2, 4), "attached is within this rule, too");
    for view in [&found[0], &found[1], &found[3], &later] {
        assert_eq!(w.state(view).await, FileState::Ready);
    }
    for view in [&found[4], &found[5]] {
        assert_eq!(w.state(view).await, FileState::Deleted);
    }
}

pub async fn a_plan_beyond_the_guard_needs_its_token_and_an_old_one_is_refused(w: World) {
    let file = w.aged(0, 10).await;
    let plan = w.plan(RULE).await;
    let run = |token: &str| NewRun { plan: Some((plan.id, token.to_owned())), ..w.new_run(RULE) };
    w.set_guard(plan.id, 0);
    let Err(Stop::Refused(refused)) = w.store.begin_run(run("guess")).await else { panic!("refused") };
    assert_eq!(
        (refused.reason, refused.get("files"), refused.get("guard")),
        (Reason::ConfirmationNeeded, Some("1"), Some("0"))
    );
    let unknown = NewRun { plan: Some((PlanId([9; 16]), "t".into())), ..w.new_run(RULE) };
    assert_eq!(reason(w.store.begin_run(unknown).await), Reason::NotFound);
    let (_, lease) = w.run(run("t")).await;
    assert_eq!(w.expire(lease, 10).await.done, 1);
    assert_eq!(w.state(&file).await, FileState::Deleted);
    let old = w.plan(RULE).await;
    w.let_plans_end(PLAN_SECS + 1);
    let again = NewRun { plan: Some((old.id, "t".into())), ..w.new_run(RULE) };
    assert_eq!(reason(w.store.begin_run(again).await), Reason::PlanExpired);
}

pub async fn one_runs_at_a_time_and_a_request_or_a_tick_has_one_run(w: World) {
    let named = |id: &str| NewRun { request_id: Some(id.parse::<RequestId>().expect("valid")), ..w.new_run(RULE) };
    let (run, lease) = w.run(named("r1")).await;
    let Err(Stop::Refused(refused)) = w.store.begin_run(named("r2")).await else { panic!("refused") };
    assert_eq!((refused.reason, refused.get("run_id")), (Reason::RunInProgress, Some(run.id.to_string().as_str())));
    for running in [true, false] {
        match w.store.begin_run(named("r1")).await.expect("answers") {
            BegunRun::Before(before) => assert_eq!((before.id, before.state == RunState::Running), (run.id, running)),
            BegunRun::Started(..) => panic!("it was begun before"),
        }
        if running {
            w.expire(lease, 10).await;
        }
    }
    let other = NewRun { tasks: vec![Task::Trim], ..named("r1") };
    assert_eq!(reason(w.store.begin_run(other).await), Reason::RequestIdReused);
    let somebody = NewRun { by: Actor::from(&operator("17", &[], &[])), ..named("r1") };
    let (_, lease) = w.run(somebody).await;
    w.expire(lease, 10).await;
    let tick = |secs| NewRun { trigger: Trigger::Cron(Time::from_secs(secs)), by: Actor::SYSTEM, ..w.new_run(RULE) };
    assert_eq!(w.store.last_tick().await.expect("tells"), None);
    let (run, lease) = w.run(tick(60)).await;
    assert!(matches!(w.store.begin_run(tick(60)).await, Ok(BegunRun::Before(before)) if before.id == run.id));
    assert_eq!(reason(w.store.begin_run(tick(120)).await), Reason::RunInProgress);
    w.expire(lease, 10).await;
    assert!(matches!(w.store.begin_run(tick(60)).await, Ok(BegunRun::Before(before)) if before.id == run.id));
    assert_eq!(w.store.last_tick().await.expect("tells"), Some(Time::from_secs(60)));
}

/// Whoever is first has the run; nobody else begins one, or is told of a failure.
pub async fn of_runs_that_begin_at_once_one_begins(w: World) {
    for _ in 0..10 {
        let begun = futures_util::future::join_all((0..4).map(|_| w.store.begin_run(w.new_run(RULE)))).await;
        let mut started = Vec::new();
        for answer in begun {
            match answer {
                Ok(BegunRun::Started(_, lease)) => started.push(lease),
                refused => assert_eq!(reason(refused), Reason::RunInProgress),
            }
        }
        assert_eq!(started.len(), 1);
        w.expire(started[0], 10).await;
    }
}

pub async fn a_run_whose_node_died_goes_on_at_its_checkpoint_and_the_old_node_is_fenced(w: World) {
    for tag in 0..6 {
        w.aged(2 * tag, 10).await;
    }
    let (run, old) = w.run(w.new_run(RULE)).await;
    w.store.expire_batch(old, 2, w.now()).await.expect("deletes");
    assert_eq!(w.store.take_run("n2", false, w.now(), 60).await.expect("asks"), None, "its lease holds");
    w.pass(61);
    assert!(!w.store.renew_run(old, w.now(), 60).await.expect("it was only late"));
    w.pass(120);
    let (taken, new) = w.store.take_run("n2", false, w.now(), 60).await.expect("asks").expect("its lease is over");
    assert_eq!((taken.id, taken.node.as_str(), taken.tasks[0].done), (run.id, "n2", 2));
    // The old one was only paused: whatever it writes now is refused.
    assert_eq!(reason(w.store.expire_batch(old, 2, w.now()).await), Reason::Fenced);
    assert_eq!(reason(w.store.renew_run(old, w.now(), 60).await), Reason::Fenced);
    assert_eq!(reason(w.store.note_task(old, TaskReport::waiting(Task::Expire)).await), Reason::Fenced);
    assert_eq!(reason(w.store.end_run(old, RunState::Done, w.now()).await), Reason::Fenced);
    let told = w.expire(new, 3).await;
    assert_eq!((told.done, told.kept), (6, 0), "each file once");
    assert_eq!(w.events().iter().filter(|kind| *kind == "FILE_DELETED").count(), 6);
    let (run, _) = w.run(w.new_run(RULE)).await;
    assert_eq!(w.store.take_run("n2", true, w.now(), 60).await.expect("asks"), None, "another's, whose lease holds");
    let (own, lease) = w.store.take_run("n1", true, w.now(), 60).await.expect("asks").expect("its earlier life's");
    assert_eq!((own.id, lease.fence), (run.id, 2));
    w.expire(lease, 10).await;
    w.pass(600);
    assert_eq!(w.store.take_run("n3", false, w.now(), 60).await.expect("asks"), None, "it has ended");
}

pub async fn the_guard_stops_a_run_and_grows_with_what_the_rule_deleted_before(w: World) {
    for tag in 0..4 {
        w.aged(2 * tag, 10 + tag as i64).await;
    }
    let (run, lease) = w.run(w.new_run(RULE)).await;
    w.set_run_guard(run.id, 3);
    let batch = w.store.expire_batch(lease, 10, w.now()).await.expect("deletes");
    assert_eq!((batch.report.done, batch.kept_by_guard), (3, true));
    let batch = w.store.expire_batch(lease, 10, w.now()).await.expect("deletes nothing");
    assert_eq!((batch.report.done, batch.kept_by_guard), (3, true), "it stays so");
    let told = TaskReport { outcome: Outcome::Done, done: 2_000, ..batch.report };
    w.store.note_task(lease, told).await.expect("notes");
    w.store.end_run(lease, RunState::Done, w.now()).await.expect("ends");
    let guard = async |rule: Rule| {
        let (run, lease) = w.run(w.new_run(rule)).await;
        w.store.note_task(lease, TaskReport { outcome: Outcome::Cancelled, ..run.tasks[0] }).await.expect("notes");
        w.store.end_run(lease, RunState::Cancelled, w.now()).await.expect("ends");
        run.tasks[0].guard
    };
    assert_eq!(guard(RULE).await, Some(6_000), "three times what it deleted");
    assert_eq!(guard(Rule { visitor_days: 2, ..RULE }).await, Some(1_000), "another rule has never run");
    assert_eq!(guard(RULE).await, Some(6_000), "what was cancelled does not count");
    let (run, lease) = w.run(w.new_run(RULE)).await;
    let stopped = TaskReport { outcome: Outcome::GuardReached, done: 6_000, ..run.tasks[0] };
    w.store.note_task(lease, stopped).await.expect("notes");
    w.store.end_run(lease, RunState::Done, w.now()).await.expect("ends");
    assert_eq!(guard(RULE).await, Some(6_000), "what the guard stopped does not raise it");
    let (run, lease) = w.run(w.new_run(Rule { visitor_days: 2, ..RULE })).await;
    let stopped = TaskReport { outcome: Outcome::GuardReached, done: 1_000, ..run.tasks[0] };
    w.store.note_task(lease, stopped).await.expect("notes");
    w.store.end_run(lease, RunState::Done, w.now()).await.expect("ends");
    assert_eq!(guard(RULE).await, Some(1_000), "the rule was changed since, and back");
}

pub async fn a_cancelled_run_deletes_nothing_more(w: World) {
    for tag in 0..4 {
        w.aged(2 * tag, 10).await;
    }
    let (run, lease) = w.run(w.new_run(RULE)).await;
    w.store.expire_batch(lease, 1, w.now()).await.expect("deletes");
    assert!(w.store.cancel_run(run.id).await.expect("asks").cancel_requested);
    let batch = w.store.expire_batch(lease, 1, w.now()).await.expect("looks");
    assert_eq!((batch.cancelled, batch.report.done), (true, 1));
    assert!(w.store.renew_run(lease, w.now(), 60).await.expect("holds"), "it was asked to end");
    w.store.end_run(lease, RunState::Cancelled, w.now()).await.expect("ends");
    let ended = w.store.cancel_run(run.id).await.expect("again");
    assert_eq!(ended.state, RunState::Cancelled);
    assert_eq!(reason(w.store.cancel_run(RunId([9; 16])).await), Reason::NotFound);
}

pub async fn a_clock_that_is_far_ahead_of_what_it_was_is_told_until_somebody_confirms_it(w: World) {
    let now = w.time().await;
    assert_eq!(w.store.judge_clock(w.now(), false).await.map(|says| says == ClockSays::Jumped).ok(), Some(false));
    w.set_clock(now.plus_secs(-CLOCK_JUMP_SECS - 60));
    assert_eq!(w.store.judge_clock(w.now(), false).await.expect("tells"), ClockSays::Jumped);
    let new = NewPlan {
        id: PlanId(w.id()),
        rule: RULE,
        proposed: false,
        token: String::new(),
        by: Actor::SYSTEM,
        now: w.now(),
    };
    assert_eq!(reason(w.store.begin_plan(new).await), Reason::ClockJumped);
    assert!(matches!(w.store.judge_clock(w.now(), true).await, Ok(ClockSays::Now(_))), "confirmed");
    assert!(matches!(w.store.judge_clock(w.now(), false).await, Ok(ClockSays::Now(_))), "from then on");
    w.set_clock(now.plus_secs(-CLOCK_JUMP_SECS + 60));
    assert!(matches!(w.store.judge_clock(w.now(), false).await, Ok(ClockSays::Now(_))), "not so far");
}

pub async fn old_runs_and_ended_plans_are_forgotten_and_running_ones_are_not(w: World) {
    for tag in 0..3 {
        w.aged(2 * tag, 10).await;
    }
    let plan = w.plan(RULE).await;
    let (ended, lease) = w.run(w.new_run(RULE)).await;
    w.expire(lease, 10).await;
    let (running, _) = w.run(w.new_run(RULE)).await;
    let now = w.now();
    assert_eq!(w.store.trim_runs(-60, now, 10).await.expect("trims"), 1);
    assert_eq!(w.store.find_run(ended.id).await.expect("finds"), None);
    assert!(w.store.find_run(running.id).await.expect("finds").is_some());
    assert_eq!(w.store.trim_runs(-60, now, 10).await.expect("trims"), 0, "its plan can still be run");
    w.let_plans_end(2 * PLAN_SECS + 1);
    let mut gone = Vec::new();
    for _ in 0..4 {
        gone.push(w.store.trim_runs(-60, now, 2).await.expect("trims"));
    }
    assert_eq!(gone, [2, 1, 1, 0], "its files, then the plan");
    assert_eq!(w.store.find_plan(plan.id).await.expect("finds"), None);
}

pub async fn what_the_rule_asks_of_a_file_is_told_whatever_its_state(w: World) {
    w.put("a", ChatStatus::Active, Some("17")).await;
    let all = service(&["*"]);
    let view = w.aged(1, 10).await;
    let facts = async |view: &FileView| {
        let (seen, facts, now) = w.store.find_facts(view.file.id, &all, w.now()).await.expect("finds").expect("there");
        assert_eq!(seen.file.id, view.file.id);
        (facts, now)
    };
    let (told, now) = facts(&view).await;
    assert!(told.attached && !told.held && !told.persistent);
    assert_eq!(keeps(&RULE, &told, now), None);
    let matter = Matter::new("x").expect("valid");
    w.store.put_hold(HoldOn::Chat("a".parse().expect("valid")), matter, &all, w.now()).await.expect("holds");
    let (told, now) = facts(&view).await;
    assert_eq!(keeps(&RULE, &told, now), Some(Kept::Held));
    let other = w.aged(2, 10).await;
    w.store.delete_file(FileRef::Id(other.file.id), &all, &Settings::default(), w.now()).await.expect("deletes");
    let (told, now) = facts(&other).await;
    assert_eq!((told.attached, keeps(&RULE, &told, now)), (false, Some(Kept::Deleted)));
    assert!(w.store.find_facts(FileId([9; 16]), &all, w.now()).await.expect("finds").is_none());
}
