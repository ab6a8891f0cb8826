//! Plans and runs of maintenance as people read them, and what to do after a run that is not done.
//!
//! Not here: asking for them (the parent module).

use crate::{cli::output, rpc::pb};

/// A plan: what it would delete and why, and how to carry it out.
pub fn plan(plan: &pb::Plan) -> String {
    let more = plan.file_count > plan.guard_files;
    let guard = format!("{} files{}", plan.guard_files, if more { ": more need the confirmation" } else { "" });
    let facts = output::facts(&[
        ("plan_id", plan.plan_id.clone()),
        ("rule", plan.rule.as_ref().map(rule).unwrap_or_default() + if plan.proposed { " (proposed)" } else { "" }),
        ("deletes", format!("{} files, {}", plan.file_count, output::size(plan.size_bytes))),
        ("unattended", guard),
        ("made", format!("{} by {}", output::time(plan.create_time.as_ref()), output::person(plan.creator.as_ref()))),
        ("until", output::time(plan.expire_time.as_ref())),
    ]);
    let confirm = match plan.confirmation_token.as_str() {
        "" => String::new(),
        token => format!(" --confirm {token}"),
    };
    let next = match plan.file_count {
        0 => "nothing to delete".to_owned(),
        _ => format!("lhfile maintenance run --plan {}{confirm} --wait", plan.plan_id),
    };
    let rows = plan.groups.iter().map(|group| {
        vec![
            output::short(group.owner().as_str_name(), "CALLER_KIND_"),
            attached(group.assigned),
            group.file_count.to_string(),
            output::size(group.size_bytes),
        ]
    });
    let groups = match plan.groups.as_slice() {
        [] => String::new(),
        _ => output::table(&["OWNER", "ATTACHED", "FILES", "SIZE"], rows) + "\n\n",
    };
    format!("{facts}\n\n{groups}{next}")
}

/// Files of a plan, a row each.
pub fn files(files: &[pb::PlannedFile]) -> String {
    let rows = files.iter().map(|file| {
        vec![
            file.file_id.clone(),
            output::short(file.owner().as_str_name(), "CALLER_KIND_"),
            attached(file.assigned),
            output::size(file.size_bytes),
            output::time(file.create_time.as_ref()),
        ]
    });
    output::table(&["FILE_ID", "OWNER", "ATTACHED", "SIZE", "UPLOADED"], rows)
}

fn attached(assigned: bool) -> String {
    if assigned { "yes".to_owned() } else { "no".to_owned() }
}

/// `visitors' after 30 days, operators' never; those attached to no chat`.
fn rule(rule: &pb::RetentionRule) -> String {
    let pb::RetentionRule { visitors, operators, unassigned, assigned, visitor_days, operator_days } = rule;
    let age = |chosen: &bool, days: &i64| match (chosen, days) {
        (true, 1..) => format!("after {days} days"),
        (true, _) | (false, _) => "never".to_owned(),
    };
    let which = match (unassigned, assigned) {
        (true, false) => "; those attached to no chat",
        (false, true) => "; those attached to a chat",
        (true, true) | (false, false) => "",
    };
    format!("visitors' {}, operators' {}{which}", age(visitors, visitor_days), age(operators, operator_days))
}

/// A run with its tasks.
pub fn run(run: &pb::Run) -> String {
    let facts = output::facts(&[
        ("run_id", run.run_id.clone()),
        ("state", state(run)),
        ("rule", run.rule.as_ref().map(rule).unwrap_or_default()),
        ("plan", run.plan_id.clone()),
        ("by", by(run)),
        ("node", run.node.clone()),
        ("begun", output::time(run.start_time.as_ref())),
        ("ended", output::time(run.end_time.as_ref())),
    ]);
    format!("{facts}\n\n{}", tasks(run))
}

/// The tasks of a run, a row each.
pub fn tasks(run: &pb::Run) -> String {
    let rows = run.tasks.iter().map(|report| {
        vec![
            task(report),
            output::short(report.outcome().as_str_name(), "TASK_OUTCOME_"),
            report.done_count.to_string(),
            output::size(report.size_bytes),
            report.kept_count.to_string(),
            report.failed_count.to_string(),
            report.guard_files.map_or_else(String::new, |guard| guard.to_string()),
        ]
    });
    output::table(&["TASK", "OUTCOME", "DONE", "SIZE", "KEPT", "FAILED", "AT MOST"], rows)
}

/// Runs, a row each.
pub fn runs(runs: &[pb::Run]) -> String {
    let rows = runs.iter().map(|run| {
        let expired = run.tasks.iter().find(|report| report.task() == pb::MaintenanceTask::Expire);
        vec![
            run.run_id.clone(),
            output::time(run.start_time.as_ref()),
            output::time(run.end_time.as_ref()),
            state(run),
            by(run),
            expired.map_or_else(String::new, |report| report.done_count.to_string()),
            worst(run).map_or_else(String::new, |report| format!("{} {}", task(report), came_to(report))),
        ]
    });
    output::table(&["RUN_ID", "BEGUN", "ENDED", "STATE", "BY", "DELETED", "NOT DONE"], rows)
}

/// How far it is, in a few words.
pub fn progress(run: &pb::Run) -> String {
    let under_way = run.tasks.iter().find(|report| report.outcome() == pb::TaskOutcome::Running);
    under_way.map_or_else(
        || "maintenance".to_owned(),
        |report| format!("{}: {}, {}", task(report), report.done_count, output::size(report.size_bytes)),
    )
}

fn state(run: &pb::Run) -> String {
    let state = output::short(run.state().as_str_name(), "RUN_STATE_");
    if run.cancel_requested && run.state() == pb::RunState::Running { state + ", will end soon" } else { state }
}

fn by(run: &pb::Run) -> String {
    match run.trigger() {
        pb::RunTrigger::Cron => "maintenance_cron".to_owned(),
        pb::RunTrigger::Call | pb::RunTrigger::Unspecified => output::person(run.creator.as_ref()),
    }
}

fn task(report: &pb::TaskReport) -> String {
    output::short(report.task().as_str_name(), "MAINTENANCE_TASK_")
}

/// The first task of an ended run that was not done; or else the first one with something that it could not deal with.
fn worst(run: &pb::Run) -> Option<&pb::TaskReport> {
    let ended = run.state() != pb::RunState::Running;
    let mut tasks = run.tasks.iter().filter(|_| ended);
    tasks.clone().find(|report| !is_through(report)).or_else(|| tasks.find(|report| failed(report) > 0))
}

/// What waits for the next hour's budget goes on by itself.
fn is_through(report: &pb::TaskReport) -> bool {
    matches!(report.outcome(), pb::TaskOutcome::Done | pb::TaskOutcome::BudgetSpent)
}

/// What needs somebody. A sweep counts names that are not ours: they may lie there for years, and do no harm.
fn failed(report: &pb::TaskReport) -> i64 {
    if report.task() == pb::MaintenanceTask::Sweep { 0 } else { report.failed_count }
}

/// Its outcome in a few words.
fn came_to(report: &pb::TaskReport) -> String {
    let outcome = output::short(report.outcome().as_str_name(), "TASK_OUTCOME_");
    if is_through(report) { format!("{outcome}, {} failed", report.failed_count) } else { outcome }
}

/// What to do after a run in which something was not done. Nothing: all was.
pub fn next_step(run: &pb::Run) -> Option<String> {
    let report = worst(run)?;
    let what = match report.outcome() {
        pb::TaskOutcome::GuardReached if report.task() == pb::MaintenanceTask::Sweep => {
            "more bytes lie in the store that no row names than are removed without a word, and none was removed: is the \
             database an older one? look at `lhfile fsck`, which removes them by `--repair`"
        }
        pb::TaskOutcome::GuardReached => {
            "more files are old enough than are deleted without a word: look at `lhfile maintenance plan`, which tells \
             how to delete them all"
        }
        pb::TaskOutcome::ClockJumped => {
            "the clock is more than 48 hours ahead of what it was, so nothing is old enough: set it, or confirm it by \
             `lhfile maintenance run --confirm-clock`"
        }
        pb::TaskOutcome::ReadOnly => {
            "the service is in read-only mode: run it again when `lhfile settings get read_only` is false"
        }
        pb::TaskOutcome::Cancelled => "it was cancelled: run it again to go on",
        pb::TaskOutcome::Failed
        | pb::TaskOutcome::Waiting
        | pb::TaskOutcome::Running
        | pb::TaskOutcome::Unspecified => "the log of its node says why; run it again",
        pb::TaskOutcome::Done | pb::TaskOutcome::BudgetSpent => match report.task() {
            pb::MaintenanceTask::Check => {
                "stored bytes are damaged or gone: `lhfile fsck` names them and their files; restore those bytes from a \
                 backup of the store"
            }
            pb::MaintenanceTask::Expire
            | pb::MaintenanceTask::Purge
            | pb::MaintenanceTask::AbortUploads
            | pb::MaintenanceTask::Sweep
            | pb::MaintenanceTask::Rescan
            | pb::MaintenanceTask::Trim
            | pb::MaintenanceTask::Unspecified => {
                "the log of its node says which and why; the next run tries them again"
            }
        },
    };
    Some(format!("run {}: {} {}: {what}", run.run_id, task(report), came_to(report)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(outcome: pb::TaskOutcome) -> pb::Run {
        let done = pb::TaskReport {
            task: pb::MaintenanceTask::Trim.into(),
            outcome: pb::TaskOutcome::Done.into(),
            ..Default::default()
        };
        let expire = pb::TaskReport {
            task: pb::MaintenanceTask::Expire.into(),
            outcome: outcome.into(),
            done_count: 1_000,
            guard_files: Some(1_000),
            ..Default::default()
        };
        pb::Run {
            run_id: "r".repeat(26),
            state: pb::RunState::Done.into(),
            trigger: pb::RunTrigger::Cron.into(),
            tasks: vec![expire, done],
            ..Default::default()
        }
    }

    #[test]
    fn run_that_is_done_needs_nothing_and_any_other_says_what_to_do_in_one_line() {
        assert_eq!(next_step(&ended(pb::TaskOutcome::Done)), None);
        assert_eq!(next_step(&ended(pb::TaskOutcome::BudgetSpent)), None, "it goes on by itself");
        for (outcome, word) in [
            (pb::TaskOutcome::GuardReached, "maintenance plan"),
            (pb::TaskOutcome::ClockJumped, "--confirm-clock"),
            (pb::TaskOutcome::ReadOnly, "read_only"),
            (pb::TaskOutcome::Failed, "log"),
            (pb::TaskOutcome::Cancelled, "again"),
        ] {
            let line = next_step(&ended(outcome)).expect("something");
            assert!(line.contains(word) && line.contains("expire") && !line.contains('\n'), "{line}");
        }
        let mut swept = ended(pb::TaskOutcome::GuardReached);
        swept.tasks[0].task = pb::MaintenanceTask::Sweep.into();
        let line = next_step(&swept).expect("something");
        assert!(line.contains("sweep") && line.contains("lhfile fsck") && !line.contains("plan"), "{line}");
        let mut damaged = ended(pb::TaskOutcome::Done);
        for (of, word) in [
            (pb::MaintenanceTask::Check, "lhfile fsck"),
            (pb::MaintenanceTask::Purge, "log"),
            (pb::MaintenanceTask::Expire, "log"),
        ] {
            (damaged.tasks[0].task, damaged.tasks[0].failed_count) = (of.into(), 7);
            let line = next_step(&damaged).expect("what failed needs somebody");
            assert!(line.contains(word) && line.contains("done, 7 failed") && !line.contains('\n'), "{line}");
            assert!(runs(&[damaged.clone()]).ends_with(&format!("{} done, 7 failed", task(&damaged.tasks[0]))));
        }
        damaged.tasks[0].task = pb::MaintenanceTask::Sweep.into();
        assert_eq!(next_step(&damaged), None, "names that are not ours may stay");
        damaged.tasks[0].task = pb::MaintenanceTask::Check.into();
        damaged.tasks[1].outcome = pb::TaskOutcome::Failed.into();
        assert!(next_step(&damaged).is_some_and(|line| line.contains("trim failed")), "what was not done comes first");
        let running = pb::Run { state: pb::RunState::Running.into(), ..ended(pb::TaskOutcome::Running) };
        assert_eq!(next_step(&running), None);
    }

    #[test]
    fn people_read_what_would_be_deleted_why_and_how_to_do_it() {
        let group = pb::PlanGroup {
            owner: pb::CallerKind::Visitor.into(),
            assigned: true,
            file_count: 1_500,
            size_bytes: 3 << 20,
        };
        let rule = pb::RetentionRule { visitors: true, operators: true, visitor_days: 30, ..Default::default() };
        let made = pb::Plan {
            plan_id: "p1".to_owned(),
            rule: Some(rule),
            file_count: 1_500,
            size_bytes: 3 << 20,
            groups: vec![group],
            guard_files: 1_000,
            confirmation_token: "t1".to_owned(),
            ..Default::default()
        };
        let text = plan(&made);
        for part in [
            "visitors' after 30 days, operators' never",
            "1500 files, 3 MiB",
            "lhfile maintenance run --plan p1 --confirm t1 --wait",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let few = pb::Plan { confirmation_token: String::new(), guard_files: 5_000, ..made };
        assert!(plan(&few).ends_with("lhfile maintenance run --plan p1 --wait"));
        assert!(plan(&pb::Plan::default()).ends_with("nothing to delete"));
    }

    #[test]
    fn runs_tell_who_made_them_what_they_deleted_and_what_was_not_done() {
        let table = runs(&[ended(pb::TaskOutcome::GuardReached), ended(pb::TaskOutcome::Done)]);
        let lines: Vec<_> = table.lines().collect();
        assert!(lines[1].contains("maintenance_cron") && lines[1].contains("1000"), "{table}");
        assert!(lines[1].ends_with("expire guard_reached") && !lines[2].contains("guard"), "{table}");
    }
}
