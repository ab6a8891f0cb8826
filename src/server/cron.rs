//! Maintenance at the moments that `maintenance_cron` names.
//!
//! The scheduler only wakes us: it comes up to half a second late, and knows nothing of other nodes and of moments at
//! which nobody was there. Which moment has come is a function of expression and time ([`Cron`]), the same on every node,
//! and the database takes one run for each. Not here: the run (`app/maintenance.rs`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::{
    app::{self, App},
    domain::{Cron, Reason, Time},
    ports::Clock,
};

/// How soon a failure, and a moment that could not have its run, is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is looked at what has come if nothing wakes us: schedulers have stood still.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A clock that was set back by more than this, in seconds, does not wait until it is there again.
const SET_BACK: i64 = 3_600;

/// Runs maintenance whenever it is time, by the setting as it changes.
pub(super) async fn follow(app: Arc<App>, clock: Arc<dyn Clock>) {
    let (mut trigger, mut text) = (Trigger::default(), String::new());
    loop {
        text = app.next_cron(&text).await;
        // Stored settings were judged; what cannot be read is of a newer version.
        let cron = text.parse::<Cron>().ok();
        if cron.is_none() && !text.is_empty() {
            tracing::error!(
                expression = text,
                "maintenance_cron is not understood: maintenance does not run by itself"
            );
        }
        if let Err(error) = trigger.set(cron.as_ref()).await {
            tracing::warn!(%error, "the scheduler failed: maintenance begins up to a minute late");
        }
        let Some(cron) = cron else { continue };
        tokio::select! {
            () = keep(&app, &*clock, &cron, &trigger.woken) => {}
            _ = app.next_cron(&text) => {}
        }
    }
}

/// Runs maintenance at the moments of this expression; never ends.
async fn keep(app: &Arc<App>, clock: &dyn Clock, cron: &Cron, woken: &Notify) {
    let mut seen = loop {
        match begin(app, clock.now()).await {
            Ok(seen) => break seen,
            Err(error) => tracing::warn!(%error, "when maintenance ran last could not be asked for; it is tried again"),
        }
        sleep(AGAIN).await;
    };
    let mut told = None;
    loop {
        let now = clock.now();
        seen = counted(seen, now);
        let mut pause = LOOK_EVERY;
        if let Some(moment) = due(cron, seen, now) {
            match app.run_by_cron(moment).await {
                Ok(()) => seen = moment,
                Err(app::Error::Refused(refusal)) if stays_due(refusal.reason) => {
                    if told.replace(moment) != Some(moment) {
                        tracing::warn!(%refusal, "maintenance does not run at its time, but as soon as it can");
                    }
                    pause = AGAIN;
                }
                Err(app::Error::Refused(refusal)) => {
                    tracing::warn!(%refusal, "maintenance did not run at its time");
                    seen = moment;
                }
                Err(error) => {
                    tracing::warn!(%error, "maintenance could not begin at its time; it is tried again");
                    pause = AGAIN;
                }
            }
        }
        // Either way it is looked at what has come.
        drop(timeout(pause, woken.notified()).await);
    }
}

/// Until when moments have been dealt with as this node starts, or the setting changes: what came before the setting was
/// made is nobody's, and what came after the last run was missed.
async fn begin(app: &App, now: Time) -> Result<Time, app::Error> {
    let made = app.get_settings().await?.updated_at;
    // One that is to come is of a clock that was wrong.
    let last = app.last_tick().await?.filter(|last| *last <= now);
    Ok(made.max(last).unwrap_or(now))
}

/// A backup at night sets `read_only`, somebody runs one task by hand: what passes by itself costs no moment its run. Of
/// the run of the same moment that another node has begun nobody is told so.
fn stays_due(reason: Reason) -> bool {
    matches!(reason, Reason::ReadOnly | Reason::RunInProgress)
}

/// The newest moment that has come and was not dealt with. Of several one is enough.
fn due(cron: &Cron, seen: Time, now: Time) -> Option<Time> {
    cron.last_until(now).filter(|moment| *moment > seen)
}

/// Until when moments have been dealt with, by a clock that may have been set back.
fn counted(seen: Time, now: Time) -> Time {
    if seen > now.plus_secs(SET_BACK) { now } else { seen }
}

/// What wakes us: a scheduler, once there is something to schedule, with one job.
#[derive(Default)]
struct Trigger {
    woken: Arc<Notify>,
    scheduler: Option<(JobScheduler, Arc<AtomicBool>)>,
    job: Option<Job>,
}

impl Trigger {
    /// Wakes at the moments of this expression from now on, or not at all.
    async fn set(&mut self, cron: Option<&Cron>) -> Result<(), JobSchedulerError> {
        if let (Some((scheduler, _)), Some(job)) = (&self.scheduler, self.job.take()) {
            scheduler.remove(&job.guid()).await?;
        }
        let Some(cron) = cron else { return Ok(()) };
        let scheduler = self.scheduler().await?;
        let woken = Arc::clone(&self.woken);
        let job = Job::new_async(cron, move |_, _| {
            let woken = Arc::clone(&woken);
            Box::pin(async move { woken.notify_one() })
        })?;
        scheduler.add(job.clone()).await?;
        self.job = Some(job);
        Ok(())
    }

    async fn scheduler(&mut self) -> Result<JobScheduler, JobSchedulerError> {
        if let Some((scheduler, _)) = &self.scheduler {
            return Ok(scheduler.clone());
        }
        let scheduler = JobScheduler::new().await?;
        scheduler.start().await?;
        let ended = Arc::clone(&scheduler.scheduler.read().await.shutdown);
        self.scheduler = Some((scheduler.clone(), ended));
        Ok(scheduler)
    }
}

/// The scheduler looks at this before it sleeps for half a second; nobody waits for it.
impl Drop for Trigger {
    fn drop(&mut self) {
        if let Some((_, ended)) = &self.scheduler {
            ended.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;

    /// So many hours after a midnight.
    fn at(hours: i64) -> Time {
        Time::from_secs(1_764_201_600 + hours * HOUR)
    }

    #[test]
    fn moment_is_due_once_and_of_those_that_were_missed_the_newest() {
        let nightly: Cron = "0 3 * * *".parse().expect("a good one");
        assert_eq!(due(&nightly, at(0), at(2)), None, "not yet");
        assert_eq!(due(&nightly, at(0), at(3)), Some(at(3)), "in its second");
        assert_eq!(due(&nightly, at(3), at(3)), None, "it had its run");
        assert_eq!(due(&nightly, at(3), at(26)), None, "the next one is to come");
        assert_eq!(due(&nightly, at(3), at(24 * 7 + 4)), Some(at(24 * 7 + 3)), "after a week without a node");
        assert_eq!(due(&nightly, at(12), at(13)), None, "set at noon: last night is nobody's");
        // Whatever part of a second the node's clock is at, the moment is the same on all.
        let late = Time(at(3).0 + 700_000);
        assert_eq!(due(&nightly, at(0), late), Some(at(3)));
    }

    #[test]
    fn moment_that_meets_what_passes_by_itself_stays_due() {
        assert!(stays_due(Reason::ReadOnly) && stays_due(Reason::RunInProgress));
        assert!(!stays_due(Reason::Fenced) && !stays_due(Reason::Leaving));
    }

    #[test]
    fn clock_that_was_far_ahead_does_not_stop_maintenance_until_then() {
        let hourly: Cron = "0 * * * *".parse().expect("a good one");
        let seen = at(24 * 365);
        assert_eq!(due(&hourly, seen, at(5)), None);
        assert_eq!(due(&hourly, counted(seen, at(5)), at(6)), Some(at(6)));
        assert_eq!(counted(at(1), at(0)), at(1), "set back a little: none runs twice");
        assert_eq!(counted(at(0), at(1)), at(0));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn scheduler_wakes_at_each_moment_until_it_is_set_to_none() {
        let mut trigger = Trigger::default();
        let wakes = async |trigger: &Trigger, within| timeout(within, trigger.woken.notified()).await.is_ok();
        let (soon, long) = (Duration::from_secs(10), Duration::from_millis(2_500));
        for expression in ["* * * * * *", "*/2 * * * * *"] {
            let cron: Cron = expression.parse().expect("a good one");
            trigger.set(Some(&cron)).await.expect("it is set");
            for _ in 0..2 {
                assert!(wakes(&trigger, soon).await, "{expression}");
            }
        }
        trigger.set(None).await.expect("it is set");
        // One that was under way.
        wakes(&trigger, Duration::from_millis(1_500)).await;
        assert!(!wakes(&trigger, long).await);
        let ended = trigger.scheduler.as_ref().map(|(_, ended)| Arc::clone(ended)).expect("it was needed");
        drop(trigger);
        assert!(ended.load(Ordering::Relaxed));
    }
}
