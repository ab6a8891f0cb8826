//! Two stores that share no code are asked the same, thousands of times: a random sequence of calls, whose ids are few so
//! that they meet, goes to the twin in memory and to an engine. Each answer must be the same, and so must all rows at
//! the end.
//!
//! What is drawn comes from a seed alone: a failure tells it, with the shortest sequence found that still differs. Not
//! here: the calls one by one (`differential/`), and rules, which are told by name in the other files.

use super::{World, engines};

mod calls;
mod chats;
pub mod draw;
mod files;
mod keys;
mod quarantine;
pub mod rows;
mod uploads;

use calls::{Call, Side};
use draw::Draw;

/// Calls of one sequence.
const CALLS: usize = 1_500;
/// Sequences tried to shorten one that differs.
const TRIES: usize = 300;

macro_rules! agree {
    ($engine:ident, $($test:ident = $seed:literal;)+) => {
        $(#[tokio::test]
        async fn $test() {
            agree($seed, async || engines::$engine().await).await;
        })+
    };
}

mod memory_and_sqlite {
    use super::*;
    agree!(on_sqlite, agree_on_a_first_sequence = 1; agree_on_a_second_sequence = 2; agree_on_a_third_sequence = 3;);
}

mod memory_and_postgres {
    use super::*;
    agree!(on_postgres, agree_on_a_first_sequence = 1; agree_on_a_fourth_sequence = 4; agree_on_a_fifth_sequence = 5;);
}

/// Fails with the seed and the shortest sequence that differs.
async fn agree(seed: u64, engine: impl AsyncFn() -> World) {
    let mut draw = Draw::new(seed);
    let mut calls: Vec<Call> = (0..CALLS).map(|_| Call::draw(&mut draw)).collect();
    let Some(mut last) = difference(&calls, engine().await).await else { return };
    calls.truncate(last.at + 1);
    // Ever smaller parts are left out for as long as something still differs.
    let (mut part, mut tries) = (calls.len() / 2, 0);
    while part > 0 && tries < TRIES {
        let mut from = 0;
        while from < calls.len() && tries < TRIES {
            let mut fewer = calls.clone();
            fewer.drain(from..(from + part).min(calls.len()));
            tries += 1;
            match difference(&fewer, engine().await).await {
                Some(differs) => {
                    fewer.truncate(differs.at + 1);
                    (calls, last) = (fewer, differs);
                }
                None => from += part,
            }
        }
        part /= 2;
    }
    panic!("seed {seed}, {} calls:\n{}\n{}", calls.len(), last.calls.join("\n"), last.what);
}

/// Where two sides part.
struct Differs {
    at: usize,
    calls: Vec<String>,
    what: String,
}

async fn difference(calls: &[Call], world: World) -> Option<Differs> {
    let (mut memory, mut engine) = (Side::new(engines::in_memory().await), Side::new(world));
    let mut told = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        let (one, other) = (memory.ask(at, *call).await, engine.ask(at, *call).await);
        told.push(one.call.clone());
        if one != other {
            let what = format!("in memory: {}\nthe engine: {}", one.answer, other.answer);
            return Some(Differs { at, calls: told, what });
        }
    }
    let at = calls.len().saturating_sub(1);
    let differs = |what| Some(Differs { at, calls: told.clone(), what });
    let (ours, theirs) = (memory.world.events(), engine.world.events());
    if ours != theirs {
        return differs(format!("the order of events: in memory {ours:#?}, the engine {theirs:#?}"));
    }
    let (ours, theirs) = (rows::lines(&memory.world), rows::lines(&engine.world));
    let only = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    let (ours, theirs) = (only(&ours, &theirs), only(&theirs, &ours));
    if ours.is_empty() && theirs.is_empty() {
        return None;
    }
    differs(format!("rows only in memory: {ours:#?}\nonly of the engine: {theirs:#?}"))
}

#[tokio::test]
async fn two_in_memory_agree_and_one_that_was_changed_is_found_out() {
    let calls: Vec<Call> = {
        let mut draw = Draw::new(9);
        (0..CALLS).map(|_| Call::draw(&mut draw)).collect()
    };
    assert!(difference(&calls, engines::in_memory().await).await.is_none());
    let changed = engines::in_memory().await;
    changed.put("a", crate::domain::ChatStatus::Bot, None).await;
    assert!(difference(&calls, changed).await.is_some());
}
