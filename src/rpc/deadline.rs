//! Ends a call whose own deadline has passed (`grpc-timeout`) with DEADLINE_EXCEEDED, as the protocol has it: tonic
//! drops such a call with CANCELLED, and knows of no deadline any more once an answer has begun to stream.
//!
//! What the call was doing is dropped with it; what must not stop runs in a task of its own. Not here: the limits of
//! the service itself, such as the time to read an upload (`app/staging.rs`).

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::Either;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::body::Body;
use tower::{Layer, Service};

use super::status::refused;
use crate::domain::Reason;

/// The header that says how long the caller waits.
const HEADER: &str = "grpc-timeout";

/// When the caller stops waiting. As tonic, takes what the protocol does not allow for no deadline.
fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let value = headers.get(HEADER)?.to_str().ok()?;
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if !(1..=8).contains(&number.len()) || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = number.parse().ok()?;
    let patience = match unit {
        "H" => Duration::from_secs(n * 3_600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    };
    Instant::now().checked_add(patience)
}

/// The layer.
#[derive(Debug, Clone, Copy)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadlines<S>;
    fn layer(&self, inner: S) -> Self::Service {
        Deadlines { inner }
    }
}

/// The layer's service.
#[derive(Debug, Clone)]
pub struct Deadlines<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Deadlines<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Now, while tonic calls: its own clock for the same call starts after this returns, so it never ends first.
        let deadline = deadline(request.headers());
        let answer = self.inner.call(request);
        match deadline {
            None => Either::Left(answer),
            Some(deadline) => Either::Right(Box::pin(within(answer, deadline))),
        }
    }
}

/// The answer, or the refusal once the deadline has passed.
async fn within<E>(
    answer: impl Future<Output = Result<Response<Body>, E>>,
    deadline: Instant,
) -> Result<Response<Body>, E> {
    let mut answer = pin!(answer);
    let mut timer = pin!(sleep_until(deadline));
    let answer = poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        // Asked of the clock, too: whoever woke us, tonic must not find the time over before we do.
        Poll::Pending if Instant::now() >= deadline => Poll::Ready(None),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    });
    match answer.await {
        Some(answer) => {
            let timer = Box::pin(sleep_until(deadline));
            Ok(answer?.map(|body| Body::new(Timed { body: Some(body), timer })))
        }
        None => Ok(refused(&Reason::DeadlinePassed.into()).into_http()),
    }
}

/// An answer on its way; gone once the deadline has passed.
struct Timed {
    body: Option<Body>,
    timer: Pin<Box<Sleep>>,
}

impl http_body::Body for Timed {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if polled.is_pending() && self.timer.as_mut().poll(cx).is_ready() {
            self.body = None;
            let mut trailers = HeaderMap::new();
            let told = refused(&Reason::DeadlinePassed.into()).add_header(&mut trailers);
            return Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body::Body as _;
    use tonic::{Code, Status};
    use tower::ServiceExt as _;

    use super::*;

    fn after(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.parse().expect("a header"));
        deadline(&headers).map(|at| at.duration_since(Instant::now()))
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_are_read_as_the_protocol_writes_them() {
        for (value, read) in [
            ("3H", Some(Duration::from_secs(10_800))),
            ("2M", Some(Duration::from_secs(120))),
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("250u", Some(Duration::from_micros(250))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("0S", Some(Duration::ZERO)),
            ("123456789m", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            ("1s", None),
        ] {
            assert_eq!(after(value), read, "{value}");
        }
        assert!(deadline(&HeaderMap::new()).is_none());
    }

    /// Answers after `answers_in`, with a body that never ends.
    async fn call(timeout: Option<&str>, answers_in: Duration) -> Response<Body> {
        struct Endless;
        impl http_body::Body for Endless {
            type Data = bytes::Bytes;
            type Error = Status;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
                Poll::Pending
            }
        }
        let service = DeadlineLayer.layer(tower::service_fn(move |_: Request<Body>| async move {
            tokio::time::sleep(answers_in).await;
            Ok::<_, Infallible>(Response::new(Body::new(Endless)))
        }));
        let mut request = Request::new(Body::empty());
        if let Some(timeout) = timeout {
            request.headers_mut().insert(HEADER, timeout.parse().expect("a header"));
        }
        service.oneshot(request).await.expect("infallible")
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_ends_at_its_deadline_before_its_answer_and_in_the_middle_of_it() {
        let begun = Instant::now();
        let late = call(Some("2S"), Duration::from_secs(60)).await;
        assert_eq!(Status::from_header_map(late.headers()).expect("a status").code(), Code::DeadlineExceeded);
        assert_eq!(begun.elapsed().as_secs(), 2);
        let mut begun_in_time = call(Some("2S"), Duration::from_secs(1)).await;
        assert!(Status::from_header_map(begun_in_time.headers()).is_none());
        let end = poll_fn(|cx| Pin::new(begun_in_time.body_mut()).poll_frame(cx)).await.expect("an end");
        let trailers = end.expect("no broken stream").into_trailers().expect("trailers");
        assert_eq!(Status::from_header_map(&trailers).expect("a status").code(), Code::DeadlineExceeded);
        assert!(poll_fn(|cx| Pin::new(begun_in_time.body_mut()).poll_frame(cx)).await.is_none());
        assert_eq!(begun.elapsed().as_secs(), 4);
        call(None, Duration::from_secs(600)).await;
        assert_eq!(begun.elapsed().as_secs(), 604, "without a deadline it takes what it takes");
    }
}
