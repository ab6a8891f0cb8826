//! Runs of maintenance and the plans they carry out, as values: what there is to do, how far it is, how it went.
//!
//! Not here: which files are deleted by their age (`retention.rs`), and the carrying out (`app/maintenance.rs`).

use super::{Actor, AgesAs, FileId, PlanId, Refusal, RunId, Time, retention::Rule};

macro_rules! names {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $vdoc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $vdoc])+ $variant,)+ }

        impl $name {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$($name::$variant,)+];

            /// The stored name, which is the proto's without its prefix.
            pub const fn name(self) -> &'static str { match self { $($name::$variant => $text,)+ } }

            /// By its stored name.
            pub fn find(name: &str) -> Option<Self> { match name { $($text => Some($name::$variant),)+ _ => None } }
        }
    };
}

pub(super) use names;

names! {
    /// A piece of maintenance, runnable alone. A run goes through them in this order.
    Task {
        /// Files deleted by the rule.
        Expire = "EXPIRE",
        /// Files that were deleted long enough ago gone for good, and bytes that no file needs.
        Purge = "PURGE",
        /// Uploads ended that nobody stands behind.
        AbortUploads = "ABORT_UPLOADS",
        /// Bytes removed that no row names.
        Sweep = "SWEEP",
        /// The bytes of blobs looked for, and some of them read.
        Check = "CHECK",
        /// Blobs scanned anew whose verdict is by other signatures than those in use.
        Rescan = "RESCAN",
        /// Old runs, plans and request ids forgotten.
        Trim = "TRIM",
    }
}

names! {
    /// Where a run is.
    RunState {
        /// Under way.
        Running = "RUNNING",
        /// Every task has ended.
        Done = "DONE",
        /// Ended early, as asked.
        Cancelled = "CANCELLED",
    }
}

names! {
    /// How a task went.
    Outcome {
        /// It has not begun.
        Waiting = "WAITING",
        /// Under way.
        Running = "RUNNING",
        /// All was dealt with, but for what failed.
        Done = "DONE",
        /// The guard stopped it.
        GuardReached = "GUARD_REACHED",
        /// The clock is far ahead of what it was.
        ClockJumped = "CLOCK_JUMPED",
        /// The service is in read-only mode.
        ReadOnly = "READ_ONLY",
        /// The database or the store refused it again and again.
        Failed = "FAILED",
        /// The run was cancelled before its end.
        Cancelled = "CANCELLED",
        /// The hour's budget is spent: the rest follows by itself.
        BudgetSpent = "BUDGET_SPENT",
    }
}

impl Outcome {
    /// With such a task a run was not good, although it came to its end.
    pub const SPOILING: &[Self] = &[Self::Failed, Self::ClockJumped, Self::ReadOnly];

    /// The task is not carried on.
    pub const fn is_end(self) -> bool {
        !matches!(self, Outcome::Waiting | Outcome::Running)
    }
}

/// The run is done, it deleted by the rule, and none of its tasks spoils that: what an administrator waits for each day.
pub fn is_good(run: &Run) -> bool {
    run.state == RunState::Done
        && run.tasks.iter().any(|report| report.task == Task::Expire)
        && !run.tasks.iter().any(|report| Outcome::SPOILING.contains(&report.outcome))
}

/// What makes a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A call.
    Call,
    /// The clock: the moment that `maintenance_cron` names, of which there is one run over all nodes.
    Cron(Time),
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskReport {
    /// Which.
    pub task: Task,
    /// How it went.
    pub outcome: Outcome,
    /// What was dealt with: files, uploads, rows.
    pub done: u64,
    /// Bytes of it.
    pub bytes: u64,
    /// Planned files that the rule keeps by now.
    pub kept: u64,
    /// What could not be dealt with.
    pub failed: u64,
    /// Most files that it may delete; `None`: not bound.
    pub guard: Option<u64>,
}

impl TaskReport {
    /// One that has not begun.
    pub const fn waiting(task: Task) -> Self {
        Self { task, outcome: Outcome::Waiting, done: 0, bytes: 0, kept: 0, failed: 0, guard: None }
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Where it is.
    pub state: RunState,
    /// What made it.
    pub trigger: Trigger,
    /// Whose plan it carries out.
    pub plan: Option<PlanId>,
    /// By which rule it deletes.
    pub rule: Rule,
    /// Its tasks, in their order.
    pub tasks: Vec<TaskReport>,
    /// Who asked for it.
    pub by: Actor,
    /// The node that carries it out, or did last.
    pub node: String,
    /// It was asked to end.
    pub cancel_requested: bool,
    /// The moment by which ages are judged, in a run without a plan.
    pub begun_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
}

/// Where a walk through files is that goes by age, the oldest first: the last one it has dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checkpoint {
    /// When that file was uploaded.
    pub created_at: Time,
    /// Its number.
    pub number: i64,
}

impl Checkpoint {
    /// Before the first file.
    pub const START: Self = Self { created_at: Time(i64::MIN), number: i64::MIN };
}

impl Rule {
    /// As it is stored, and compared: two rules are the same if their texts are.
    pub fn text(&self) -> String {
        let Rule { visitors, operators, unassigned, assigned, visitor_days, operator_days } = self;
        let flags = [(visitors, 'V'), (operators, 'O'), (unassigned, 'U'), (assigned, 'A')];
        let flags: String = flags.iter().map(|(on, letter)| if **on { *letter } else { '-' }).collect();
        format!("{flags} {visitor_days} {operator_days}")
    }

    /// The same, if its days are within their bounds.
    ///
    /// # Errors
    /// `BAD_ARGUMENT`.
    pub fn judged(self) -> Result<Self, Refusal> {
        for (field, days) in [("visitor_days", self.visitor_days), ("operator_days", self.operator_days)] {
            if !(0..=MOST_DAYS).contains(&days) {
                return Err(Refusal::argument(field, format!("{field} must be 0 to {MOST_DAYS} days")));
            }
        }
        Ok(self)
    }

    /// From its stored text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let flags = words.next()?;
        let rule = Rule {
            visitors: flags.contains('V'),
            operators: flags.contains('O'),
            unassigned: flags.contains('U'),
            assigned: flags.contains('A'),
            visitor_days: words.next()?.parse().ok()?,
            operator_days: words.next()?.parse().ok()?,
        };
        (words.next().is_none() && rule.text() == text).then_some(rule)
    }
}

/// Files that are deleted for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanGroup {
    /// Whose.
    pub owner: AgesAs,
    /// They are attached to a chat.
    pub attached: bool,
    /// How many.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What a rule would delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// By which rule.
    pub rule: Rule,
    /// The rule was proposed; else it is that of the settings.
    pub proposed: bool,
    /// Its files, by reason.
    pub groups: Vec<PlanGroup>,
    /// More files than this need its token.
    pub guard: u64,
    /// The token.
    pub token: String,
    /// Who asked for it.
    pub by: Actor,
    /// The moment by which ages were judged.
    pub created_at: Time,
    /// From when on it cannot be run.
    pub expires_at: Time,
}

impl Plan {
    /// How many files.
    pub fn files(&self) -> u64 {
        self.groups.iter().map(|group| group.files).sum()
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.groups.iter().map(|group| group.bytes).sum()
    }

    /// It needs its token to be run.
    pub fn needs_token(&self) -> bool {
        self.files() > self.guard
    }
}

/// A file of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedFile {
    /// Where in the plan's order.
    pub at: Checkpoint,
    /// Its id.
    pub id: FileId,
    /// Whose.
    pub owner: AgesAs,
    /// It was attached to a chat.
    pub attached: bool,
    /// Its size in bytes.
    pub size: u64,
}

/// Longest age at which files are deleted, in days.
pub const MOST_DAYS: i64 = 36_500;
/// Most plans that can be run at once: each may name every file.
pub const MOST_PLANS: i64 = 200;
/// How long a plan can be run, in seconds.
pub const PLAN_SECS: i64 = 86_400;
/// A clock that is so far ahead of what it was needs somebody's word, in seconds.
pub const CLOCK_JUMP_SECS: i64 = 48 * 3_600;
/// Runs whose median counts for the guard.
pub const GUARD_RUNS: usize = 7;

/// Most files that a rule may delete unattended, of so many; `last`: how many its last runs deleted that no guard stopped,
/// the newest first, none for a rule that has never come to its end. One that the guard stopped says nothing of what is usual.
pub fn guard(files: u64, last: &[u64]) -> u64 {
    let least = (files / 100).max(1_000);
    let mut last: Vec<u64> = last.iter().take(GUARD_RUNS).copied().collect();
    last.sort_unstable();
    let median = match (last.get(last.len() / 2), last.len()) {
        (None, _) => 0,
        (Some(upper), n) if n % 2 == 1 => *upper,
        (Some(upper), n) => last.get(n / 2 - 1).copied().unwrap_or(0).midpoint(*upper),
    };
    least.max(median.saturating_mul(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_run_of_a_rule_may_delete_one_percent_and_a_thousand() {
        assert_eq!(guard(0, &[]), 1_000);
        assert_eq!(guard(100_000, &[]), 1_000);
        assert_eq!(guard(1_000_000, &[]), 10_000);
    }

    #[test]
    fn later_runs_may_delete_three_times_the_median_of_the_last_seven() {
        assert_eq!(guard(1_000_000, &[33_000]), 99_000);
        assert_eq!(guard(1_000_000, &[33_000, 20_000]), 79_500, "of an even count the mean of the middle two");
        assert_eq!(guard(1_000_000, &[9, 33_000, 900_000]), 99_000);
        assert_eq!(guard(1_000_000, &[0, 0, 0, 0, 1, 1, 1, 900_000]), 10_000, "an eighth does not count");
        assert_eq!(guard(10, &[u64::MAX]), u64::MAX);
    }

    #[test]
    fn rule_of_30_days_in_steady_state_needs_no_hand_after_its_first_run() {
        let (files, daily) = (1_000_000, 33_000);
        assert!(daily > guard(files, &[]), "the first one does");
        let mut last = vec![daily];
        for _ in 0..30 {
            assert!(daily <= guard(files, &last));
            last.insert(0, daily);
        }
    }

    #[test]
    fn rules_read_back_from_their_text_and_nothing_else_does() {
        for bits in 0..16_u32 {
            let is = |bit: u32| bits & (1 << bit) != 0;
            let rule = Rule {
                visitors: is(0),
                operators: is(1),
                unassigned: is(2),
                assigned: is(3),
                visitor_days: 30,
                operator_days: 0,
            };
            assert_eq!(Rule::parse(&rule.text()), Some(rule), "{}", rule.text());
        }
        for bad in ["", "VO-- 1", "VO-- 1 2 3", "OV-- 1 2", "VO-- x 2", "VO-- 01 2"] {
            assert_eq!(Rule::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_read_back() {
        for task in Task::ALL {
            assert_eq!(Task::find(task.name()), Some(*task));
        }
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::find(outcome.name()), Some(*outcome));
        }
        for state in RunState::ALL {
            assert_eq!(RunState::find(state.name()), Some(*state));
        }
    }
}
