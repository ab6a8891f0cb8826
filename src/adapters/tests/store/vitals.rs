//! Rules of what the database tells of how the service fares.
//!
//! Not here: the metrics (`app/vitals.rs`), and the order of a run's tasks (`app/maintenance/`).

use super::*;
use crate::{
    domain::{
        RunId,
        retention::Rule,
        run::{Outcome, RunState, Task, TaskReport, Trigger},
    },
    ports::{BegunRun, NewRun},
};

impl World {
    /// A run of these tasks that ends so; answers when, as the store says.
    async fn ended_run(&self, tasks: &[(Task, Outcome)], state: RunState) -> Time {
        let new = NewRun {
            id: RunId(self.id()),
            request_id: None,
            trigger: Trigger::Call,
            plan: None,
            rule: Rule::default(),
            tasks: tasks.iter().map(|(task, _)| *task).collect(),
            by: Actor::SYSTEM,
            node: "n1".into(),
            now: self.now(),
            lease_secs: 60,
        };
        let BegunRun::Started(run, lease) = self.store.begin_run(new).await.expect("begins") else {
            panic!("there is one already")
        };
        for (task, outcome) in tasks {
            let report = TaskReport { outcome: *outcome, ..TaskReport::waiting(*task) };
            self.store.note_task(lease, report).await.expect("notes");
        }
        self.store.end_run(lease, state, self.now()).await.expect("ends");
        let ended = self.store.find_run(run.id).await.expect("finds").expect("it is there");
        ended.ended_at.expect("it has ended")
    }
}

/// The newest that is done and deleted by the rule, and of whose tasks none failed, was kept from it by the clock or by
/// `read_only`; the guard spoils none.
pub async fn the_last_good_run_is_the_newest_with_the_rule_of_whose_tasks_none_failed(w: World) {
    let told = async || w.store.get_vitals().await.expect("tells").last_run_end;
    assert_eq!(told().await, None);
    let (done, guarded) = (Outcome::Done, Outcome::GuardReached);
    let first = w.ended_run(&[(Task::Expire, guarded), (Task::Purge, done)], RunState::Done).await;
    assert_eq!(told().await, Some(first));
    for spoiling in Outcome::SPOILING {
        w.ended_run(&[(Task::Expire, done), (Task::Purge, *spoiling)], RunState::Done).await;
        assert_eq!(told().await, Some(first), "{spoiling:?}");
    }
    w.ended_run(&[(Task::Expire, Outcome::Cancelled)], RunState::Cancelled).await;
    w.ended_run(&[(Task::Trim, done)], RunState::Done).await;
    assert_eq!(told().await, Some(first));
    let second = w.ended_run(&[(Task::Expire, done)], RunState::Done).await;
    assert_eq!(told().await, Some(second));
    assert!(second >= first);
}

/// Whatever files need it: the same bytes twice are two blobs where they were stored before anybody knew.
pub async fn what_is_in_quarantine_is_counted(w: World) {
    w.put("a", ChatStatus::Active, None).await;
    let told = async || w.store.get_vitals().await.expect("tells").quarantined;
    for tag in 1..4 {
        w.upload(&service(&["*"]), &Upload { tag, ..Upload::to(chat("a")) }).await;
    }
    assert_eq!(told().await, 0);
    for (tag, count) in [(1, 1), (2, 2), (2, 2)] {
        w.store.quarantine(sha(tag), verdict(VerdictKind::Infected, "1"), "x", None).await.expect("quarantines");
        assert_eq!(told().await, count);
    }
}
