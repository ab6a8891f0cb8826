//! The layers over a real connection: what a client sees of the gate.

use std::time::Duration;

use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::TaskTracker;
use tonic::{Code, Request, transport::Server};
use tonic_types::StatusExt as _;

use super::*;
use crate::{
    app::KeyRing,
    domain::Time,
    ports::{Clock, LiveKeys, SystemIds},
    rpc::{
        access::{AccessLayer, Credentials},
        certified::CertifiedCallers,
        credential::{Claims, KeyAlgorithm, KeyConfig, KeySet, MAX_TTL, mint},
        methods::MethodTable,
        pb::{self, file_service_client::FileServiceClient},
        request_id::{HEADER, RequestIdLayer},
    },
};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

struct Noon;
impl Clock for Noon {
    fn now(&self) -> Time {
        Time::from_secs(1_800_000_000)
    }
}

#[test]
fn the_descriptor_sets_fit_together() {
    assert!(with_reflection().is_ok());
}

/// A server with both layers, reflection, and none of our services.
async fn client(tracker: &TaskTracker) -> FileServiceClient<tonic::transport::Channel> {
    let table = Arc::new(MethodTable::read().expect("a table"));
    let key = KeyConfig { kid: None, algorithm: KeyAlgorithm::HS256, key: SECRET.to_vec() };
    let keys = watch::Sender::new(Arc::new(KeySet::new(vec![key], MAX_TTL).expect("a good key")));
    let believed = Credentials {
        keys: keys.subscribe(),
        opaque: Arc::new(KeyRing::new(LiveKeys { version: 0, keys: Vec::new() }, Time(0))),
        certified: CertifiedCallers::default(),
        clock: Arc::new(Noon),
    };
    let access = AccessLayer::new(&table, false, believed, tracker.clone()).expect("known");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("bound");
    let server = Server::builder()
        .layer(RequestIdLayer::new(Arc::new(SystemIds), table))
        .layer(access)
        .add_routes(with_reflection().expect("fits").routes());
    tracker.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    FileServiceClient::connect(format!("http://{address}")).await.expect("connects")
}

#[tokio::test]
async fn a_client_reads_why_it_was_refused_and_under_which_id() {
    let mut client = client(&TaskTracker::new()).await;
    let mut request = Request::new(pb::GetFileRequest::default());
    request.metadata_mut().insert(HEADER, "mine-1".parse().expect("a value"));
    let status = client.get_file(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "BAD_CREDENTIAL");
    assert_eq!(status.metadata().get(HEADER).expect("echoed"), "mine-1");
}

#[tokio::test]
async fn a_client_that_still_sends_reads_why_it_was_refused() {
    let mut client = client(&TaskTracker::new()).await;
    let chunk = pb::UploadChunk { data: vec![7; 256 << 10].into(), crc32c: None };
    let message = pb::UploadFileRequest { part: Some(pb::upload_file_request::Part::Chunk(chunk)) };
    let messages = tokio_stream::iter(std::iter::repeat_n(message, 40));
    let call = tokio::time::timeout(Duration::from_secs(20), client.upload_file(messages));
    let status = call.await.expect("in time").expect_err("refused");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.get_details_error_info().expect("an ErrorInfo").reason, "BAD_CREDENTIAL");
}

#[tokio::test]
async fn with_a_good_token_the_router_is_reached() {
    let mut client = client(&TaskTracker::new()).await;
    let claims = Claims {
        sub: "operator:17".parse().expect("valid"),
        lhfile: vec![],
        chats: vec![],
        vid: None,
        exp: 1_800_000_060,
    };
    let mut request = Request::new(pb::GetFileRequest::default());
    let bearer = format!("Bearer {}", mint(SECRET, &claims));
    request.metadata_mut().insert("authorization", bearer.parse().expect("a value"));
    assert_eq!(client.get_file(request).await.expect_err("no service").code(), Code::Unimplemented);
}
