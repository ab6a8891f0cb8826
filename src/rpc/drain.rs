//! Goes on reading what a client still sends after it was refused, and throws it away.
//!
//! Not here: who refuses. libcurl (and so PHP) loses the status of an answer when the server stops reading early.

use std::{future::poll_fn, pin::Pin, time::Duration};

use http_body::Body as _;
use tokio_util::task::TaskTracker;
use tonic::body::Body;

/// Most bytes that are read for nothing.
pub const MAX_BYTES: u64 = 32 << 20;
/// Longest time spent on it.
pub const MAX_TIME: Duration = Duration::from_secs(10);

/// Reads a body to its end in the background, within [`MAX_BYTES`] and [`MAX_TIME`].
pub fn body(mut body: Body, tracker: &TaskTracker) {
    if body.is_end_stream() {
        return;
    }
    tracker.spawn(tokio::time::timeout(MAX_TIME, async move {
        let mut read = 0;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if read > MAX_BYTES {
                break;
            }
        }
    }));
}
