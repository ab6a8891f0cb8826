//! Gives every call an id, a span, one log line and its metrics.
//!
//! Not here: who may call (`access.rs`, inside of this layer). Logged are method, code and time; never names, tokens
//! or contents. Metrics: `lhfile_rpc_total{method,code}`, `lhfile_rpc_seconds{method}`.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;
use tonic::{Code, body::Body};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use super::{methods::MethodTable, status::code_name};
use crate::{ports::Ids, telemetry::names};

/// The header that carries the id, both ways.
pub const HEADER: &str = "x-request-id";

tokio::task_local! {
    static CURRENT: Arc<str>;
}

/// The id of the call that is being served; `none` outside of one.
pub fn current() -> String {
    CURRENT.try_with(|id| id.to_string()).unwrap_or_else(|_| "none".to_owned())
}

/// Runs `f` as part of the call with this id: for a stream that is polled after its call has answered.
pub fn within<T>(id: &str, f: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(id.into(), f)
}

/// True for an id that a client may choose: `[A-Za-z0-9._-]{1,64}`.
fn is_acceptable(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// The layer; the outermost one.
#[derive(Clone)]
pub struct RequestIdLayer {
    ids: Arc<dyn Ids>,
    table: Arc<MethodTable>,
}

impl RequestIdLayer {
    /// Makes ids with `ids`; `table` bounds the names that metrics take.
    pub fn new(ids: Arc<dyn Ids>, table: Arc<MethodTable>) -> Self {
        Self { ids, table }
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = RequestIds<S>;
    fn layer(&self, inner: S) -> Self::Service {
        RequestIds { inner, layer: self.clone() }
    }
}

/// The layer's service.
#[derive(Clone)]
pub struct RequestIds<S> {
    inner: S,
    layer: RequestIdLayer,
}

impl<S> Service<Request<Body>> for RequestIds<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let given = request.headers().get(HEADER).and_then(|v| v.to_str().ok()).filter(|id| is_acceptable(id));
        let id: Arc<str> = given.map_or_else(|| HEXLOWER.encode(&self.layer.ids.random()).into(), Arc::from);
        let value = HeaderValue::from_str(&id).expect("the alphabet of ids fits a header");
        request.headers_mut().insert(HEADER, value.clone());
        let method = self.method(request.uri().path());
        let span = tracing::info_span!("rpc", method, request_id = &*id);
        let mut call = Call { method, span: span.clone(), started: Instant::now(), code: None };
        let answer = CURRENT.scope(id, self.inner.call(request)).instrument(span);
        Box::pin(async move {
            let mut response = answer.await?;
            response.headers_mut().insert(HEADER, value);
            call.code = code_in(response.headers());
            Ok(response.map(|body| Body::new(Watched { body, call })))
        })
    }
}

impl<S> RequestIds<S> {
    /// The method for span and metrics: a name of ours, so that strangers cannot invent labels.
    fn method(&self, path: &str) -> String {
        match path {
            "/grpc.health.v1.Health/Check" | "/grpc.health.v1.Health/Watch" => path[1..].to_owned(),
            _ if path.starts_with("/grpc.reflection.") => "grpc.reflection/ServerReflectionInfo".to_owned(),
            _ if self.layer.table.get(path).is_some() => path[1..].to_owned(),
            _ => "unknown".to_owned(),
        }
    }
}

/// What is told of a call when it ends.
struct Call {
    method: String,
    span: Span,
    started: Instant,
    code: Option<Code>,
}

impl Drop for Call {
    fn drop(&mut self) {
        // No code: the caller left, or the connection broke, before there was one.
        let code = self.code.unwrap_or(Code::Cancelled);
        let seconds = self.started.elapsed().as_secs_f64();
        let method = std::mem::take(&mut self.method);
        metrics::counter!(names::RPCS, names::METHOD => method.clone(), names::CODE => code_name(code)).increment(1);
        metrics::histogram!(names::RPC_SECONDS, names::METHOD => method.clone()).record(seconds);
        let _in_span = self.span.enter();
        if method.starts_with("grpc.") {
            tracing::debug!(code = code_name(code), seconds, "rpc ended");
        } else {
            tracing::info!(code = code_name(code), seconds, "rpc ended");
        }
    }
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()))
}

/// The answer's body; sees the trailers that carry the code.
struct Watched {
    body: Body,
    call: Call,
}

impl http_body::Body for Watched {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(code) = frame.trailers_ref().and_then(code_in) {
                    self.call.code = Some(code);
                }
            }
            Poll::Ready(Some(Err(status))) => self.call.code = Some(status.code()),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::ServiceExt as _;

    use super::*;

    struct Sevens;
    impl Ids for Sevens {
        fn random(&self) -> [u8; 16] {
            [7; 16]
        }
    }

    async fn answer(id: Option<&str>) -> (String, String) {
        let layer = RequestIdLayer::new(Arc::new(Sevens), Arc::new(MethodTable::read().expect("a table")));
        let service = layer.layer(tower::service_fn(|_request: Request<Body>| async {
            let mut response = Response::new(Body::empty());
            let seen = HeaderValue::from_str(&current()).expect("a header");
            response.headers_mut().insert("seen", seen);
            Ok::<_, Infallible>(response)
        }));
        let mut request = Request::new(Body::empty());
        if let Some(id) = id {
            request.headers_mut().insert(HEADER, HeaderValue::from_bytes(id.as_bytes()).expect("a header"));
        }
        let response = service.oneshot(request).await.expect("infallible");
        let text = |name| response.headers()[name].to_str().expect("text").to_owned();
        (text(HEADER), text("seen"))
    }

    #[tokio::test]
    async fn an_acceptable_id_is_kept_and_echoed_and_known_inside() {
        assert_eq!(answer(Some("a-Z.0_9")).await, ("a-Z.0_9".into(), "a-Z.0_9".into()));
    }

    #[tokio::test]
    async fn a_missing_or_strange_id_is_replaced() {
        let ours = "07".repeat(16);
        for id in [None, Some(""), Some("a b"), Some("é"), Some("x".repeat(65).as_str())] {
            assert_eq!(answer(id).await, (ours.clone(), ours.clone()), "{id:?}");
        }
    }

    #[test]
    fn strangers_cannot_invent_labels() {
        let layer = RequestIdLayer::new(Arc::new(Sevens), Arc::new(MethodTable::read().expect("a table")));
        let service = layer.layer(());
        for (path, method) in [
            ("/lhfile.v1.FileService/GetFile", "lhfile.v1.FileService/GetFile"),
            ("/grpc.health.v1.Health/Check", "grpc.health.v1.Health/Check"),
            ("/grpc.health.v1.Health/X123", "unknown"),
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "grpc.reflection/ServerReflectionInfo"),
            ("/x/y", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(service.method(path), method);
        }
    }
}
