//! Runs of maintenance over the twins in memory: a clock that jumps while one is under way, a step that hears of no cancel,
//! and a moment of `maintenance_cron` that could not have its run.
//!
//! Not here: real nodes and databases (`tests/it/maintenance/`).

use std::{sync::Arc, time::Duration};

use super::{
    faults::{Fault, How, Plan},
    node::World,
    purging::{backend, upload},
    schedules::live,
};
use crate::{
    app::{App, RunAsked},
    domain::{
        FileState, Reason, RunId, Time,
        listing::FileRef,
        run::{Outcome, Run, RunState, Task},
    },
    ports::RunStore as _,
};

const DAY: i64 = 86_400;
/// Longer than anything is kept.
const AGES: i64 = 5_000 * DAY;

async fn delete(app: &Arc<App>, files: usize) {
    for _ in 0..files {
        let id = upload(app, "some").await;
        app.delete_file(&backend(), FileRef::Id(id)).await.expect("deletes");
    }
}

fn asked(task: Task) -> RunAsked {
    RunAsked { tasks: vec![task], confirm_clock: true, ..RunAsked::default() }
}

async fn until_called(plan: &Plan, call: &str, times: u32) {
    while plan.calls().get(call).is_none_or(|made| *made < times) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn ended(app: &App, id: RunId) -> Run {
    loop {
        let run = app.get_run(&backend(), id).await.expect("told");
        if run.state != RunState::Running {
            return run;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn deleted(world: &World) -> usize {
    world.store.files().iter().filter(|(file, _)| file.state == FileState::Deleted).count()
}

#[test]
fn clock_that_jumps_while_a_run_is_under_way_ends_what_cannot_be_brought_back() {
    for task in [Task::Purge, Task::Trim] {
        let world = World::new();
        // More than one step takes, and of the day before yesterday by the time of the next life.
        live(async {
            let (app, _plan) = world.start(0, &[]).await.expect("no faults");
            delete(&app, 250).await;
        });
        world.wait(AGES);
        live(async {
            let (app, plan) = world.start(0, &[]).await.expect("no faults");
            delete(&app, 3).await;
            // The second step waits for the database; meanwhile the clock jumps.
            plan.arm(&[Fault { call: "RunStore.renew_run", nth: 2, how: How::Failed, lasts: false }]);
            let run = app.run_maintenance(&backend(), asked(task)).await.expect("begins");
            until_called(&plan, "RunStore.renew_run", 2).await;
            let (files, events) = (deleted(&world), world.store.event_kinds().len());
            world.wait(AGES);
            let run = ended(&app, run.id).await;
            assert_eq!((run.tasks[0].task, run.tasks[0].outcome), (task, Outcome::ClockJumped), "{run:?}");
            assert!(run.tasks[0].done > 0, "it had begun: {run:?}");
            assert_eq!(
                (deleted(&world), world.store.event_kinds().len()),
                (files, events),
                "{task:?}: nothing after it"
            );
            assert!(files >= 3 && events >= 6, "{task:?}: what is young is there: {files} files, {events} events");
        });
    }
}

#[test]
fn run_that_is_cancelled_while_its_step_hangs_ends_although_the_step_does_not() {
    let world = World::new();
    live(async {
        let (app, plan) = world.start(0, &[]).await.expect("no faults");
        upload(&app, "some").await;
        plan.arm(&[Fault { call: "BlobStore.size", nth: 1, how: How::Hangs, lasts: false }]);
        let run = app.run_maintenance(&backend(), asked(Task::Check)).await.expect("begins");
        until_called(&plan, "BlobStore.size", 1).await;
        app.cancel_run(&backend(), run.id).await.expect("asks");
        let begun = tokio::time::Instant::now();
        let run = ended(&app, run.id).await;
        assert_eq!((run.state, run.tasks[0].outcome), (RunState::Cancelled, Outcome::Cancelled), "{run:?}");
        assert!(begun.elapsed() < Duration::from_secs(300), "{:?}", begun.elapsed());
        let next = app.run_maintenance(&backend(), asked(Task::Check)).await.expect("another may begin");
        assert_eq!(ended(&app, next.id).await.state, RunState::Done);
    });
}

#[test]
fn moment_that_meets_another_run_is_refused_and_has_its_one_run_afterwards() {
    let world = World::new();
    live(async {
        let (app, plan) = world.start(0, &[]).await.expect("no faults");
        upload(&app, "some").await;
        plan.arm(&[Fault { call: "BlobStore.size", nth: 1, how: How::Hangs, lasts: false }]);
        let other = app.run_maintenance(&backend(), asked(Task::Check)).await.expect("begins");
        until_called(&plan, "BlobStore.size", 1).await;
        let tick = Time::from_secs(1_000_000);
        let met = app.run_by_cron(tick).await.expect_err("another is under way");
        assert_eq!(met.reason(), Some(Reason::RunInProgress));
        assert_eq!(app.last_tick().await.expect("told"), None, "it had no run");
        app.cancel_run(&backend(), other.id).await.expect("asks");
        ended(&app, other.id).await;
        app.run_by_cron(tick).await.expect("begins");
        // Also while it is under way, and whoever asks.
        app.run_by_cron(tick).await.expect("it has its run");
        let runs = world.store.list_runs(None, 10).await.expect("in memory");
        assert_eq!((runs.len(), app.last_tick().await.expect("told")), (2, Some(tick)));
        let by_cron = ended(&app, runs[0].1.id).await;
        app.run_by_cron(tick).await.expect("it had its run");
        assert_eq!((by_cron.state, world.store.list_runs(None, 10).await.expect("told").len()), (RunState::Done, 2));
    });
}
