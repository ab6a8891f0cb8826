//! The schedules: every call of every scenario goes wrong in every way, once and for long; then pairs of faults, in one
//! life or in the recovery from the first, by seeds. After each the node recovers, and what reliability.md promises must
//! hold.
//!
//! Not here: the scenarios (`clients.rs`) and what must hold (`node.rs`).

use std::{collections::BTreeMap, time::Duration};

use super::{
    clients::{Scenario, scenarios},
    faults::{Fault, How},
    node::World,
};
use crate::adapters::tests::store::differential::draw::Draw;

/// What goes wrong, and who recovers.
#[derive(Debug, Clone, Default)]
struct Schedule {
    /// In the first life.
    first: Vec<Fault>,
    /// In the second one, if the first ended.
    second: Vec<Fault>,
    /// The second life is the other node's, and the first node comes back only later.
    by_other: bool,
}

/// How a schedule went.
struct Outcome {
    /// Calls of the first life from the scenario's start to its rest.
    calls: BTreeMap<&'static str, u32>,
    /// Calls of the second life, if there was one.
    second: BTreeMap<&'static str, u32>,
    died: bool,
}

/// Longest until everything has come to rest after the last fault, as it is promised.
const REST: Duration = Duration::from_secs(600);

/// A dead node's lease, and the other's next look at it.
const LEASE: Duration = Duration::from_secs(100);

/// One life: how far it came, as a runtime of its own, which ends with it.
pub fn live<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(life)
}

/// Everything comes to rest in time, and then holds.
async fn rest(world: &World, scenario: &Scenario) -> Result<(), String> {
    let until = tokio::time::Instant::now() + REST;
    while let Err(what) = world.judge().await {
        if tokio::time::Instant::now() >= until {
            return Err(what);
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    scenario.judge(world)
}

fn run(scenario: &Scenario, schedule: &Schedule) -> Result<Outcome, String> {
    let (world, mut scenario) = (World::new(), scenario.clone());
    let told = |e: &dyn std::fmt::Display| format!("a life without faults does not start: {e}");
    let mut outcome = live(async {
        world.tell_chat().await;
        let (app, plan) = world.start(0, &[]).await.map_err(|e| told(&e))?;
        plan.arm(&schedule.first);
        let playing = async {
            scenario.play(&app).await;
            plan.heal();
            rest(&world, &scenario).await
        };
        let rested = tokio::select! { rested = playing => rested, () = plan.died() => Ok(()) };
        let (calls, died) = (plan.calls(), plan.is_dead());
        if !died {
            rested?;
            scenario.ask_again(&app).await?;
            app.stop(Duration::from_secs(60)).await;
        }
        Ok::<_, String>(Outcome { calls, second: BTreeMap::new(), died })
    })?;
    if outcome.died {
        world.wait(if schedule.by_other { 61 } else { 1 });
        let node = usize::from(schedule.by_other);
        outcome.second = live(async {
            let Ok((app, plan)) = world.start(node, &schedule.second).await else { return BTreeMap::new() };
            let playing = async {
                scenario.play(&app).await;
                // What the other node cannot reach, the spool of the first, waits for that one.
                tokio::time::sleep(if schedule.by_other { LEASE } else { Duration::from_secs(1) }).await;
            };
            tokio::select! { () = playing => {}, () = plan.died() => {} }
            plan.calls()
        });
        world.wait(1);
    }
    live(async {
        let (app, _plan) = world.start(0, &[]).await.map_err(|e| told(&e))?;
        // What lies in its own spool only the other one can remove.
        let _other = if schedule.by_other { Some(world.start(1, &[]).await.map_err(|e| told(&e))?) } else { None };
        rest(&world, &scenario).await?;
        scenario.ask_again(&app).await?;
        rest(&world, &scenario).await
    })?;
    Ok(outcome)
}

/// Every fault of one call among those that were made.
pub fn faults(calls: &BTreeMap<&'static str, u32>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (call, count) in calls {
        // Asked all the time beside the uploads: the first ones are like all others.
        for nth in 1..=(*count).min(6) {
            for how in How::ALL {
                faults.push(Fault { call, nth, how, lasts: false });
                if !how.kills() {
                    faults.push(Fault { call, nth, how, lasts: true });
                }
            }
        }
    }
    faults
}

/// Tries one schedule; a failure names it.
fn attempt(scenario: &Scenario, schedule: &Schedule, failures: &mut Vec<String>) -> Option<Outcome> {
    match run(scenario, schedule) {
        Ok(outcome) => Some(outcome),
        Err(what) => {
            failures.push(format!("{}: {schedule:?}\n  {what}", scenario.name));
            None
        }
    }
}

fn none_of(failures: &[String], of: usize) {
    let shown = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {of} schedules:\n{shown}", failures.len());
}

#[test]
fn every_call_of_an_upload_may_fail_or_be_the_last_and_nothing_is_lost_or_left() {
    let (mut failures, mut tried) = (Vec::new(), 0);
    for scenario in scenarios() {
        let clean = run(&scenario, &Schedule::default()).unwrap_or_else(|what| panic!("{}: {what}", scenario.name));
        for fault in faults(&clean.calls) {
            for by_other in [false, true] {
                if by_other && !fault.how.kills() {
                    continue;
                }
                let schedule = Schedule { first: vec![fault], by_other, ..Schedule::default() };
                attempt(&scenario, &schedule, &mut failures);
                tried += 1;
            }
        }
    }
    println!("{tried} schedules of one fault");
    none_of(&failures, tried);
}

/// Pairs of faults that each scenario is tried with.
const PAIRS: u64 = 250;

#[test]
fn two_faults_in_one_life_or_in_the_recovery_lose_and_leave_nothing_either() {
    let (mut failures, mut tried) = (Vec::new(), 0);
    for (number, scenario) in scenarios().into_iter().enumerate() {
        let clean = run(&scenario, &Schedule::default()).unwrap_or_else(|what| panic!("{}: {what}", scenario.name));
        let firsts = faults(&clean.calls);
        for pair in 0..PAIRS {
            let mut draw = Draw::new(1_000 * number as u64 + pair);
            let one = Schedule { first: vec![draw.of(&firsts)], by_other: draw.once_in(3), ..Schedule::default() };
            // What is called only because something went wrong can go wrong, too.
            let Some(outcome) = attempt(&scenario, &one, &mut failures) else { continue };
            let mut two = one;
            let seconds = faults(if outcome.died { &outcome.second } else { &outcome.calls });
            if outcome.died { &mut two.second } else { &mut two.first }.push(draw.of(&seconds));
            attempt(&scenario, &two, &mut failures);
            tried += 2;
        }
    }
    println!("{tried} schedules of one and two faults");
    none_of(&failures, tried);
}
