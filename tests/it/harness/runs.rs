//! Runs of maintenance in one line, watched to their end, and their reports.
//!
//! Not here: what the command line makes of them (`maintenance.rs`).

use tonic::Status;

use super::{
    Node, Service,
    calls::request,
    pb::{MaintenanceTask, Run, RunMaintenanceRequest, RunState, TaskReport},
};

/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

impl Node {
    /// Begins a run, or asks for it again, and watches it to its end.
    pub async fn run_to_its_end(&self, asked: RunMaintenanceRequest) -> Result<Run, Status> {
        let mut told = self.maintenance().run_maintenance(request(&Service::all(), asked)).await?.into_inner();
        let mut last = None;
        while let Some(message) = told.message().await? {
            last = message.run;
        }
        Ok(last.expect("at least one message"))
    }

    /// Runs these tasks, or all of them if none is named; the run must come to its end.
    pub async fn maintain(&self, tasks: &[MaintenanceTask]) -> Run {
        let tasks = tasks.iter().map(|task| i32::from(*task)).collect();
        let asked = RunMaintenanceRequest { tasks, ..Default::default() };
        let run = self.run_to_its_end(asked).await.expect("the backend may");
        assert_eq!(run.state(), RunState::Done, "{run:?}");
        run
    }

    /// All that is deleted was deleted so many days earlier, and all bytes were stored then: a store may be late with a
    /// put, which is waited for.
    pub fn set_deletes_back(&self, days: i64) {
        let by = days * DAY;
        self.change(&format!("UPDATE files SET deleted_at = deleted_at - {by} WHERE state = 'DELETED'"));
        self.change(&format!("UPDATE blobs SET created_at = created_at - {by}"));
    }

    /// How many events of this kind were written, each of a file of its own.
    pub fn events_each_once(&self, kind: &str) -> i64 {
        let count = |what: &str| self.number(&format!("SELECT count({what}) AS n FROM events WHERE kind = '{kind}'"));
        let events = count("*");
        assert_eq!(count("DISTINCT file_id"), events, "{kind}: one of each file");
        events
    }
}

/// What a run says of a task.
pub fn report(run: &Run, task: MaintenanceTask) -> &TaskReport {
    run.tasks.iter().find(|report| report.task() == task).unwrap_or_else(|| panic!("{task:?} of {run:?}"))
}
