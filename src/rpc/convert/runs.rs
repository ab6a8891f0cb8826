//! Runs of maintenance, plans, and what becomes of a file: rules and tasks in, reports out.
//!
//! Not here: bounds (`domain/run.rs`), and the stream of a run that is watched (`run_stream.rs`).

use super::{count, files::person, timestamp};
use crate::{
    app::{Explained, PlanPage, RunAsked, RunPage},
    domain::{
        Actor, AgesAs, Refusal,
        retention::{Kept, Rule},
        run::{self, Outcome, RunState, Task, Trigger},
    },
    rpc::pb,
};

/// The rule that a request proposes.
pub fn proposed(sent: pb::RetentionRule) -> Rule {
    let pb::RetentionRule { visitors, operators, unassigned, assigned, visitor_days, operator_days } = sent;
    Rule { visitors, operators, unassigned, assigned, visitor_days, operator_days }
}

/// What a request asks to run.
///
/// # Errors
/// `BAD_ARGUMENT`; `NOT_FOUND` for what cannot be the id of a plan.
pub fn asked(request: pb::RunMaintenanceRequest) -> Result<RunAsked, Refusal> {
    let pb::RunMaintenanceRequest { plan_id, confirmation_token, tasks, request_id, confirm_clock } = request;
    let plan = match (plan_id.as_str(), confirmation_token.as_str()) {
        ("", "") => None,
        ("", _) => {
            return Err(Refusal::argument("confirmation_token", "confirmation_token is a plan's: give plan_id, too"));
        }
        (id, _) => Some((id.parse()?, confirmation_token)),
    };
    let request_id = if request_id.is_empty() { None } else { Some(request_id.parse()?) };
    let tasks = tasks.into_iter().map(task).collect::<Result<_, _>>()?;
    Ok(RunAsked { plan, tasks, request_id, confirm_clock })
}

fn task(number: i32) -> Result<Task, Refusal> {
    match pb::MaintenanceTask::try_from(number) {
        Ok(pb::MaintenanceTask::Expire) => Ok(Task::Expire),
        Ok(pb::MaintenanceTask::Purge) => Ok(Task::Purge),
        Ok(pb::MaintenanceTask::AbortUploads) => Ok(Task::AbortUploads),
        Ok(pb::MaintenanceTask::Sweep) => Ok(Task::Sweep),
        Ok(pb::MaintenanceTask::Check) => Ok(Task::Check),
        Ok(pb::MaintenanceTask::Rescan) => Ok(Task::Rescan),
        Ok(pb::MaintenanceTask::Trim) => Ok(Task::Trim),
        Ok(pb::MaintenanceTask::Unspecified) | Err(_) => {
            Err(Refusal::argument("tasks", "tasks must each be one of MaintenanceTask"))
        }
    }
}

fn rule(rule: Rule) -> pb::RetentionRule {
    let Rule { visitors, operators, unassigned, assigned, visitor_days, operator_days } = rule;
    pb::RetentionRule { visitors, operators, unassigned, assigned, visitor_days, operator_days }
}

fn creator(by: &Actor) -> Option<pb::Caller> {
    let Actor { person: by, acting_service: _ } = by;
    by.as_ref().map(person)
}

pub(super) fn owner(owner: AgesAs) -> i32 {
    let kind = match owner {
        AgesAs::Visitor => pb::CallerKind::Visitor,
        AgesAs::Operator => pb::CallerKind::Operator,
        AgesAs::NoOne => pb::CallerKind::Service,
    };
    kind.into()
}

/// A plan. Its token is told only where it is needed: who has none need not look what it is good for.
pub fn plan(plan: run::Plan) -> pb::Plan {
    let (file_count, size_bytes, needs_token) = (plan.files(), plan.bytes(), plan.needs_token());
    let run::Plan { id, rule: by_rule, proposed, groups, guard, token, by, created_at, expires_at } = plan;
    pb::Plan {
        plan_id: id.to_string(),
        rule: Some(rule(by_rule)),
        proposed,
        file_count: count(file_count),
        size_bytes: count(size_bytes),
        groups: groups.into_iter().map(group).collect(),
        guard_files: count(guard),
        confirmation_token: if needs_token { token } else { String::new() },
        creator: creator(&by),
        create_time: Some(timestamp(created_at)),
        expire_time: Some(timestamp(expires_at)),
    }
}

fn group(group: run::PlanGroup) -> pb::PlanGroup {
    let run::PlanGroup { owner: whose, attached, files, bytes } = group;
    pb::PlanGroup { owner: owner(whose), assigned: attached, file_count: count(files), size_bytes: count(bytes) }
}

/// A plan with a page of its files.
pub fn plan_page(page: PlanPage) -> pb::GetPlanResponse {
    let PlanPage { plan: told, files, next_token } = page;
    pb::GetPlanResponse {
        plan: Some(plan(told)),
        files: files.into_iter().map(planned).collect(),
        next_page_token: next_token,
    }
}

fn planned(file: run::PlannedFile) -> pb::PlannedFile {
    let run::PlannedFile { at, id, owner: whose, attached, size } = file;
    let run::Checkpoint { created_at, number: _ } = at;
    pb::PlannedFile {
        file_id: id.to_string(),
        owner: owner(whose),
        assigned: attached,
        size_bytes: count(size),
        create_time: Some(timestamp(created_at)),
    }
}

/// A run.
pub fn run(run: &run::Run) -> pb::Run {
    let run::Run { id, state, trigger, plan, rule: by_rule, tasks, by, node, cancel_requested, begun_at, ended_at } =
        run;
    let state = match state {
        RunState::Running => pb::RunState::Running,
        RunState::Done => pb::RunState::Done,
        RunState::Cancelled => pb::RunState::Cancelled,
    };
    let trigger = match trigger {
        Trigger::Call => pb::RunTrigger::Call,
        Trigger::Cron(_) => pb::RunTrigger::Cron,
    };
    pb::Run {
        run_id: id.to_string(),
        state: state.into(),
        trigger: trigger.into(),
        plan_id: plan.map(|id| id.to_string()).unwrap_or_default(),
        rule: Some(rule(*by_rule)),
        tasks: tasks.iter().copied().map(report).collect(),
        creator: creator(by),
        node: node.clone(),
        cancel_requested: *cancel_requested,
        start_time: Some(timestamp(*begun_at)),
        end_time: ended_at.map(timestamp),
    }
}

fn report(report: run::TaskReport) -> pb::TaskReport {
    let run::TaskReport { task, outcome, done, bytes, kept, failed, guard } = report;
    let task = match task {
        Task::Expire => pb::MaintenanceTask::Expire,
        Task::Purge => pb::MaintenanceTask::Purge,
        Task::AbortUploads => pb::MaintenanceTask::AbortUploads,
        Task::Sweep => pb::MaintenanceTask::Sweep,
        Task::Check => pb::MaintenanceTask::Check,
        Task::Rescan => pb::MaintenanceTask::Rescan,
        Task::Trim => pb::MaintenanceTask::Trim,
    };
    let outcome = match outcome {
        Outcome::Waiting => pb::TaskOutcome::Waiting,
        Outcome::Running => pb::TaskOutcome::Running,
        Outcome::Done => pb::TaskOutcome::Done,
        Outcome::GuardReached => pb::TaskOutcome::GuardReached,
        Outcome::ClockJumped => pb::TaskOutcome::ClockJumped,
        Outcome::ReadOnly => pb::TaskOutcome::ReadOnly,
        Outcome::Failed => pb::TaskOutcome::Failed,
        Outcome::Cancelled => pb::TaskOutcome::Cancelled,
        Outcome::BudgetSpent => pb::TaskOutcome::BudgetSpent,
    };
    pb::TaskReport {
        task: task.into(),
        outcome: outcome.into(),
        done_count: count(done),
        size_bytes: count(bytes),
        kept_count: count(kept),
        failed_count: count(failed),
        guard_files: guard.map(count),
    }
}

/// A page of runs.
pub fn run_page(page: RunPage) -> pb::ListRunsResponse {
    let RunPage { runs, next_token } = page;
    pb::ListRunsResponse { runs: runs.iter().map(run).collect(), next_page_token: next_token }
}

/// What becomes of a file, for programs and in a sentence for people.
pub fn explained(explained: Explained) -> pb::ExplainFileResponse {
    let Explained { kept, time } = explained;
    let time = time.map(timestamp);
    // To the second, as the command line shows it.
    let when = time.as_ref().map(|t| prost_types::Timestamp { nanos: 0, ..*t }.to_string());
    let (fate, explanation) = match (kept, when) {
        (None, _) => (pb::FileFate::Due, "due: the next run of maintenance deletes it".to_owned()),
        (Some(Kept::Deleted), Some(when)) => {
            (pb::FileFate::Deleted, format!("deleted already; it can be restored until {when}"))
        }
        (Some(Kept::Deleted), None) => {
            (pb::FileFate::Deleted, "deleted already; it cannot be restored any more".to_owned())
        }
        (Some(Kept::Persistent), _) => {
            (pb::FileFate::Persistent, "persistent: never deleted by maintenance".to_owned())
        }
        (Some(Kept::Held), _) => (pb::FileFate::Held, "on hold: nobody deletes it until the hold is lifted".to_owned()),
        (Some(Kept::Owner), _) => (
            pb::FileFate::Owner,
            "kept: delete_owners does not choose its owner's kind, or it is a service's that never ages".to_owned(),
        ),
        (Some(Kept::Relation), _) => (
            pb::FileFate::Relation,
            "kept: delete_relations chooses either files that are attached to a chat or those that are not, and it is \
             one of the others"
                .to_owned(),
        ),
        (Some(Kept::NoAge), _) => {
            (pb::FileFate::NoAge, "kept: no age is set for its owner's kind (operator_days, visitor_days)".to_owned())
        }
        (Some(Kept::Young(_)), when) => (
            pb::FileFate::Young,
            format!("young: deleted by the first run after {}", when.unwrap_or_else(|| "its time".to_owned())),
        ),
    };
    pb::ExplainFileResponse { fate: fate.into(), time, explanation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PlanId, Reason, Time};

    #[test]
    fn run_is_asked_for_with_known_tasks_and_a_token_only_of_a_plan() {
        let sent = |change: fn(&mut pb::RunMaintenanceRequest)| {
            let mut request = pb::RunMaintenanceRequest::default();
            change(&mut request);
            asked(request)
        };
        let all = sent(|_| {}).expect("nothing is all");
        assert!(all.plan.is_none() && all.tasks.is_empty() && all.request_id.is_none() && !all.confirm_clock);
        let planned = sent(|r| r.plan_id = PlanId([7; 16]).to_string()).expect("a plan");
        assert_eq!(planned.plan, Some((PlanId([7; 16]), String::new())));
        let tasks = sent(|r| r.tasks = vec![4, 1]).expect("known ones").tasks;
        assert_eq!(tasks, [Task::Trim, Task::Expire]);
        for (field, refused) in [
            ("tasks", sent(|r| r.tasks = vec![1, 0])),
            ("tasks", sent(|r| r.tasks = vec![99])),
            ("request_id", sent(|r| r.request_id = "a b".to_owned())),
            ("confirmation_token", sent(|r| r.confirmation_token = "x".to_owned())),
        ] {
            assert_eq!(refused.expect_err(field).get("field"), Some(field));
        }
        assert_eq!(sent(|r| r.plan_id = "x".to_owned()).expect_err("no id").reason, Reason::NotFound);
    }

    #[test]
    fn token_of_a_plan_is_told_only_if_it_is_needed() {
        let group = |files| run::PlanGroup { owner: AgesAs::Visitor, attached: true, files, bytes: 10 * files };
        let made = |files| run::Plan {
            id: PlanId([1; 16]),
            rule: Rule::default(),
            proposed: true,
            groups: vec![group(files), group(1)],
            guard: 1_000,
            token: "secret".to_owned(),
            by: Actor::SYSTEM,
            created_at: Time(0),
            expires_at: Time(0),
        };
        let few = plan(made(999));
        assert_eq!((few.file_count, few.size_bytes, few.confirmation_token.as_str()), (1_000, 10_000, ""));
        assert_eq!(plan(made(1_000)).confirmation_token, "secret");
    }

    #[test]
    fn every_fate_is_told_in_a_sentence_that_says_when_if_that_is_known() {
        let told = |kept, time| explained(Explained { kept, time });
        let kinds = [Kept::Deleted, Kept::Persistent, Kept::Held, Kept::Owner, Kept::Relation, Kept::NoAge];
        let mut fates: Vec<i32> = kinds.map(|kept| told(Some(kept), None).fate).to_vec();
        fates.push(told(None, None).fate);
        let young = told(Some(Kept::Young(Time(0))), Some(Time(1)));
        assert!(young.explanation.ends_with("after 1970-01-01T00:00:00Z"), "{young:?}");
        fates.push(young.fate);
        fates.sort_unstable();
        assert_eq!(fates, (1..=8).collect::<Vec<_>>(), "each its own");
        assert!(told(Some(Kept::Deleted), Some(Time(0))).explanation.contains("until 1970-01-01T00:00:00Z"));
    }
}
