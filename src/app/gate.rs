//! How many uploads, and how many downloads, run at once: of one person, and of all. For uploads part of check 8.
//!
//! Not here: the scanner's slots (`scanning.rs`) and the connections (`server.rs`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::domain::{Caller, CallerKind, Person, Reason, Refusal};

/// How many may run at once.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// What is counted, for people: `uploads`.
    pub what: &'static str,
    /// How a refusal names the limit, for programs: `limit_uploads`.
    pub limit: &'static str,
    /// Of one visitor.
    pub visitor: u32,
    /// Of one operator.
    pub operator: u32,
    /// Of all, services included.
    pub all: u32,
    /// The gauge that shows how many run now.
    pub gauge: &'static str,
}

/// Counts what runs.
pub struct Gate {
    most: Most,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    all: u32,
    of: HashMap<Person, u32>,
}

/// A place among those that run; given back when dropped.
pub struct Pass {
    gate: Arc<Gate>,
    person: Person,
}

impl Gate {
    /// An empty gate.
    pub fn new(most: Most) -> Arc<Self> {
        Arc::new(Self { most, running: Mutex::default() })
    }

    /// Takes a place, or `BUSY` naming the limit.
    pub fn enter(self: &Arc<Self>, caller: &Caller) -> Result<Pass, Refusal> {
        let own = match caller.kind() {
            CallerKind::Visitor => self.most.visitor,
            CallerKind::Operator => self.most.operator,
            CallerKind::Service => u32::MAX,
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.all >= self.most.all {
            return Err(self.busy(self.most.all));
        }
        let count = running.of.entry(caller.person.clone()).or_insert(0);
        if *count >= own {
            return Err(self.busy(own));
        }
        *count += 1;
        running.all += 1;
        metrics::gauge!(self.most.gauge).increment(1);
        Ok(Pass { gate: Arc::clone(self), person: caller.person.clone() })
    }

    fn busy(&self, limit: u32) -> Refusal {
        Refusal::new(Reason::Busy)
            .because(format!("{limit} {} are under way already, as many as may be at once", self.most.what))
            .with(self.most.limit, limit)
            .retry_after(Duration::from_secs(2))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut running = self.gate.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.all = running.all.saturating_sub(1);
        metrics::gauge!(self.gate.most.gauge).decrement(1);
        if let Some(count) = running.of.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                running.of.remove(&self.person);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ChatSet, Permissions};

    const MOST: Most =
        Most { what: "uploads", limit: "limit_uploads", visitor: 2, operator: 8, all: 100, gauge: "test" };

    fn caller(person: &str) -> Caller {
        Caller {
            person: person.parse().expect("valid"),
            permissions: Permissions::NONE,
            chats: ChatSet::none(),
            vid: None,
            ceiling: None,
        }
    }

    #[test]
    fn a_third_upload_of_a_visitor_is_busy_until_one_ends_and_others_are_not_concerned() {
        let gate = Gate::new(MOST);
        let first = gate.enter(&caller("visitor:a")).expect("one");
        let _second = gate.enter(&caller("visitor:a")).expect("two");
        let refusal = gate.enter(&caller("visitor:a")).err().expect("three");
        assert_eq!((refusal.reason, refusal.get("limit_uploads")), (Reason::Busy, Some("2")));
        assert!(gate.enter(&caller("visitor:b")).is_ok());
        drop(first);
        assert!(gate.enter(&caller("visitor:a")).is_ok());
    }

    #[test]
    fn the_node_as_a_whole_is_bounded_for_services_too() {
        let gate = Gate::new(Most { all: 1, ..MOST });
        let _one = gate.enter(&caller("service:a")).expect("one");
        assert!(gate.enter(&caller("service:b")).is_err());
    }
}
