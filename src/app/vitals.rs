//! How the service fares, as metrics: what is looked at beside the calls, and what the database knows, asked by each node.
//!
//! Not here: what is counted where it happens (uploads, scans, calls), and the names (`telemetry.rs`). What the database
//! knows every node tells, so that it is known whichever node did the work, and after a restart.

use std::{sync::Arc, time::Duration};

use super::{App, Health, ScannerState};
use crate::{
    domain::run::{Outcome, RunState, Task, TaskReport},
    ports::Vitals,
    telemetry::names,
};

/// How often the database is asked.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// The outcome of a run that is done, but not all of it.
const FAILED: &str = Outcome::Failed.name();

impl App {
    /// Tells what the database knows, as long as the node lives.
    pub(super) async fn tell_vitals(self: Arc<Self>) {
        begin_counts();
        loop {
            self.tell_vitals_once().await;
            self.tell_rescan().await;
            tokio::time::sleep(TELL_EVERY).await;
        }
    }

    /// Tells it now. What cannot be asked stays as it was told last: that the database is down is told by its health.
    pub(super) async fn tell_vitals_once(&self) {
        match self.store.get_vitals().await {
            Ok(Vitals { last_run_end, quarantined }) => {
                metrics::gauge!(names::LAST_RUN_END).set(last_run_end.map_or(0.0, |end| end.secs() as f64));
                metrics::gauge!(names::QUARANTINED_BLOBS).set(quarantined as f64);
            }
            Err(error) => tracing::debug!(%error, "how the service fares could not be asked"),
        }
    }
}

/// A rate sees a counter's first step only from its zero on.
fn begin_counts() {
    metrics::counter!(names::CORRUPT).increment(0);
    metrics::counter!(names::CONNECTIONS_REFUSED).increment(0);
    for outcome in [RunState::Done.name(), RunState::Cancelled.name(), FAILED] {
        metrics::counter!(names::RUNS, names::OUTCOME => outcome).increment(0);
    }
    for (task, outcome) in Task::ALL.iter().flat_map(|task| Outcome::ALL.iter().map(move |outcome| (task, outcome))) {
        if outcome.is_end() {
            metrics::counter!(names::TASK_OUTCOMES, names::TASK => task.name(), names::OUTCOME => outcome.name())
                .increment(0);
        }
    }
}

/// Tells what a look at the node's parts showed; `scans`: the settings ask for a scanner.
pub(super) fn tell_health(health: Health, room: u64, scans: bool, scanner: &ScannerState) {
    let Health { uploads, scanner: judges, database, blobs } = health;
    for (part, works) in [("uploads", uploads), ("scanner", judges), ("database", database), ("blobs", blobs)] {
        metrics::gauge!(names::HEALTH, names::PART => part).set(f64::from(u8::from(works)));
    }
    metrics::gauge!(names::SPOOL_ROOM).set(room as f64);
    metrics::gauge!(names::ANTIVIRUS_ENABLED).set(f64::from(u8::from(scans)));
    let ScannerState::Proved { version, .. } = scanner else { return };
    metrics::gauge!(names::TEST_SIGNATURES_ONLY).set(f64::from(u8::from(version.test_only)));
    if let Some(made) = version.signatures_time {
        metrics::gauge!(names::SIGNATURES_MADE).set(made.secs() as f64);
    }
}

/// Counts a task that has ended here.
pub(super) fn count_task(report: &TaskReport) {
    let (task, outcome) = (report.task.name(), report.outcome.name());
    metrics::counter!(names::TASK_OUTCOMES, names::TASK => task, names::OUTCOME => outcome).increment(1);
}

/// Counts a run that has ended here; `failed`: one of its tasks did.
pub(super) fn count_run(state: RunState, failed: bool) {
    let outcome = if failed { FAILED } else { state.name() };
    metrics::counter!(names::RUNS, names::OUTCOME => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Time, ports::EngineVersion};

    #[test]
    fn a_look_is_told_part_by_part_and_the_signatures_by_their_date_if_they_have_one() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let proved = |signatures_time| {
            let (engine, signatures) = ("clamav".to_owned(), "1".to_owned());
            let version = EngineVersion { engine, signatures, signatures_time, test_only: false };
            ScannerState::Proved { version, at: Time(0) }
        };
        let health = Health { database: true, ..Health::default() };
        metrics::with_local_recorder(&recorder, || tell_health(health, 5, true, &proved(None)));
        let told = handle.render();
        for line in
            ["lhfile_health{part=\"database\"} 1", "lhfile_health{part=\"blobs\"} 0", "lhfile_spool_room_bytes 5"]
        {
            assert!(told.contains(line), "{line}: {told}");
        }
        assert!(told.contains("lhfile_test_signatures_only 0") && !told.contains("lhfile_signatures_made"), "{told}");
        let dated = proved(Some(Time::from_secs(1_700_000_000)));
        metrics::with_local_recorder(&recorder, || tell_health(health, 5, false, &dated));
        assert!(handle.render().contains("lhfile_signatures_made 1700000000"), "{}", handle.render());
    }
}
