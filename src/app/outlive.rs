//! Work that goes on when nobody waits for it any more: a caller who leaves does not stop what was begun for him.
//!
//! Not here: what that work is (`upload.rs`). While somebody waits it runs in his own task, because handing it to
//! another costs the small upload two changes of thread; only a wait that is given up hands it over.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

/// The work, in its waiter's hands.
pub struct Outlive<F: Future + Send + 'static>
where
    F::Output: Send + 'static,
{
    /// `None` once it is done, or has panicked.
    work: Option<Pin<Box<F>>>,
    tasks: TaskTracker,
    /// The tracker waits for it either way.
    _token: TaskTrackerToken,
}

/// Begins work that ends even if the wait for it is given up: then it goes on as a task of `tasks`.
pub fn outlive<F: Future + Send + 'static>(tasks: &TaskTracker, work: F) -> Outlive<F>
where
    F::Output: Send + 'static,
{
    Outlive { work: Some(Box::pin(work)), tasks: tasks.clone(), _token: tasks.token() }
}

impl<F: Future + Send + 'static> Future for Outlive<F>
where
    F::Output: Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken while it runs: what panicked is not run again.
        let mut work = self.work.take().expect("not polled after its end");
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F: Future + Send + 'static> Drop for Outlive<F>
where
    F::Output: Send + 'static,
{
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.tasks.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{panic::AssertUnwindSafe, time::Duration};

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_is_waited_for_answers_and_leaves_no_task() {
        let tasks = TaskTracker::new();
        let work = outlive(&tasks, async { 7 });
        assert_eq!(tasks.len(), 1);
        assert_eq!(work.await, 7);
        assert!(tasks.is_empty());
    }

    #[tokio::test]
    async fn what_is_not_waited_for_any_more_goes_on_and_the_tracker_knows() {
        let tasks = TaskTracker::new();
        let (go, wait) = oneshot::channel();
        let (tell, told) = oneshot::channel();
        let mut work = Box::pin(outlive(&tasks, async move {
            wait.await.expect("it is sent");
            tell.send("done").expect("it is awaited");
        }));
        assert!(tokio::time::timeout(Duration::ZERO, work.as_mut()).await.is_err());
        drop(work);
        tasks.close();
        assert_eq!(tasks.len(), 1);
        go.send(()).expect("it is awaited");
        assert_eq!(told.await.expect("it is sent"), "done");
        tasks.wait().await;
    }

    #[tokio::test]
    async fn what_was_never_asked_for_an_answer_runs_too() {
        let tasks = TaskTracker::new();
        let (tell, told) = oneshot::channel();
        drop(outlive(&tasks, async { tell.send(()) }));
        told.await.expect("it ran");
    }

    #[tokio::test]
    async fn what_panicked_is_not_run_again() {
        let tasks = TaskTracker::new();
        let work = outlive(&tasks, async { panic!("on purpose") });
        assert!(AssertUnwindSafe(work).catch_unwind().await.is_err());
        assert!(tasks.is_empty());
    }
}
