//! The gate as a table: callers by RPCs, and what the wire sees of a refusal.

use std::{convert::Infallible, sync::Mutex, time::Duration};

use bytes::Bytes;
use http::HeaderValue;
use tonic::Code;
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::{
    app::KeySecret,
    domain::{ChatSet, KeyId, Permissions, Time},
    ports::{LiveKey, LiveKeys},
    rpc::credential::{Claims, KeyAlgorithm, KeyConfig, MAX_TTL, mint},
};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_800_000_000;

struct Noon;
impl Clock for Noon {
    fn now(&self) -> Time {
        Time::from_secs(NOW)
    }
}

fn token(sub: &str, permissions: &[&str]) -> String {
    let claims = Claims {
        sub: sub.parse().expect("valid"),
        lhfile: permissions.iter().map(|p| (*p).to_owned()).collect(),
        chats: vec!["42".into()],
        vid: None,
        exp: NOW + 60,
    };
    format!("Bearer {}", mint(SECRET, &claims))
}

/// The service of the certificates named `cn:backend`.
fn certified() -> CertifiedCallers {
    [("cn:backend".to_owned(), certified_caller())].into_iter().collect()
}

fn certified_caller() -> Caller {
    Caller {
        person: "service:backend".parse().expect("valid"),
        permissions: Permissions::from_names(["act_as", "use_operator"]),
        chats: ChatSet::All,
        vid: None,
        ceiling: None,
    }
}

fn secret() -> KeySecret {
    KeySecret::new([[7; 16], [8; 16]])
}

/// The key of [`secret`] is that of a service, and counts a minute longer.
fn opaque() -> Arc<KeyRing> {
    let holder = Caller { person: "service:keyed".parse().expect("valid"), ..certified_caller() };
    let key = LiveKey { id: KeyId([1; 16]), hash: secret().hash(), holder, expires_at: Time::from_secs(NOW + 60) };
    Arc::new(KeyRing::new(LiveKeys { version: 1, keys: vec![key] }, Time(0)))
}

fn layer(reflection_public: bool, tracker: TaskTracker) -> AccessLayer {
    let table = MethodTable::read().expect("a table");
    let key = KeyConfig { kid: None, algorithm: KeyAlgorithm::HS256, key: SECRET.to_vec() };
    let keys = KeySet::new(vec![key], MAX_TTL).expect("a good key");
    let (_, keys) = watch::channel(Arc::new(keys));
    let believed = Credentials { keys, opaque: opaque(), certified: certified(), clock: Arc::new(Noon) };
    AccessLayer::new(&table, reflection_public, believed, tracker).expect("known permissions")
}

/// The status the wire carries, and the identity that the service saw.
async fn call(path: &str, headers: &[(&'static str, &str)], reflection_public: bool) -> (Code, Option<Identity>) {
    call_with(&[], path, headers, reflection_public).await
}

/// The same over a connection whose client has shown a certificate of these names.
async fn call_with(
    names: &[&str],
    path: &str,
    headers: &[(&'static str, &str)],
    reflection_public: bool,
) -> (Code, Option<Identity>) {
    let seen = Arc::new(Mutex::new(None));
    let inner = tower::service_fn({
        let seen = Arc::clone(&seen);
        move |request: Request<Body>| {
            *seen.lock().expect("not poisoned") = request.extensions().get::<Identity>().cloned();
            async { Ok::<_, Infallible>(Status::unimplemented("reached").into_http()) }
        }
    });
    let mut request = Request::builder().uri(format!("http://x{path}")).body(Body::empty()).expect("a request");
    request.extensions_mut().insert(names.iter().map(|name| (*name).to_owned()).collect::<CertificateNames>());
    for (name, value) in headers {
        request.headers_mut().append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    let response =
        layer(reflection_public, TaskTracker::new()).layer(inner).oneshot(request).await.expect("infallible");
    let status = Status::from_header_map(response.headers()).expect("trailers only");
    if status.code() != Code::Unimplemented {
        assert_eq!(response.headers()["content-type"], "application/grpc");
        assert_eq!(status.get_details_error_info().expect("an ErrorInfo").domain, "lhfile");
    }
    let identity = seen.lock().expect("not poisoned").clone();
    (status.code(), identity)
}

#[tokio::test]
async fn who_passes_to_what() {
    use Code::{PermissionDenied as Denied, Unauthenticated as Unknown, Unimplemented as Reached};
    let visitor = token("visitor:1", &[]);
    let operator = token("operator:1", &[]);
    let user = token("operator:1", &["use_operator"]);
    let service = token("service:b", &["*"]);
    let callers: [(&str, Option<&str>); 6] = [
        ("none", None),
        ("junk", Some("Bearer x.y.z")),
        ("visitor", Some(&visitor)),
        ("operator", Some(&operator)),
        ("use_operator", Some(&user)),
        ("service *", Some(&service)),
    ];
    for (method, expected) in [
        ("FileService/UploadFile", [Unknown, Unknown, Reached, Denied, Reached, Reached]),
        ("FileService/DownloadFile", [Reached, Unknown, Reached, Reached, Reached, Reached]),
        ("FileService/GetFile", [Unknown, Unknown, Reached, Reached, Reached, Reached]),
        ("FileService/ListFiles", [Unknown, Unknown, Denied, Denied, Denied, Reached]),
        ("FileService/ListChatFiles", [Unknown, Unknown, Reached, Denied, Reached, Reached]),
        ("FileService/DeleteFile", [Unknown, Unknown, Denied, Denied, Denied, Reached]),
        ("ChatService/PutChat", [Unknown, Unknown, Denied, Denied, Denied, Reached]),
        ("ConfigService/UpdateSettings", [Unknown, Unknown, Denied, Denied, Denied, Reached]),
        ("MaintenanceService/TestAntivirus", [Unknown, Unknown, Denied, Denied, Denied, Reached]),
    ] {
        for ((who, credential), code) in callers.iter().zip(expected) {
            let headers: Vec<_> = credential.iter().map(|c| ("authorization", *c)).collect();
            let (got, identity) = call(&format!("/lhfile.v1.{method}"), &headers, false).await;
            assert_eq!(got, code, "{who} at {method}");
            assert_eq!(identity.is_some(), code == Reached, "{who} at {method}");
        }
    }
}

#[tokio::test]
async fn opaque_key_is_its_holder_may_act_for_others_and_one_that_is_unknown_is_nobody() {
    let path = "/lhfile.v1.FileService/GetFile";
    let good = format!("Bearer {}", secret().reveal());
    let (code, identity) = call(path, &[("authorization", &good)], false).await;
    assert_eq!(code, Code::Unimplemented);
    assert!(matches!(identity, Some(Identity::Known(c)) if c.person.to_string() == "service:keyed"));
    let acting = [("authorization", good.as_str()), ("lhfile-act-as", "operator:17; chat=42")];
    let (_, identity) = call(path, &acting, false).await;
    assert!(matches!(identity, Some(Identity::Known(c)) if c.ceiling.is_some()));
    let guessed = KeySecret::new([[7; 16], [9; 16]]).reveal();
    for bad in [guessed.as_str(), "lhf_", &secret().reveal()[..61], "lhf_eyJhbGciOiJIUzI1NiJ9.e30.x"] {
        let (code, identity) = call(path, &[("authorization", &format!("Bearer {bad}"))], false).await;
        assert_eq!((code, identity), (Code::Unauthenticated, None), "{bad}");
    }
}

#[tokio::test]
async fn health_is_public_and_reflection_only_if_configured() {
    let reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
    let visitor = token("visitor:1", &[]);
    assert_eq!(call("/grpc.health.v1.Health/Check", &[], false).await.0, Code::Unimplemented);
    assert_eq!(call(reflection, &[], true).await.0, Code::Unimplemented);
    assert_eq!(call(reflection, &[], false).await.0, Code::Unauthenticated);
    assert_eq!(call(reflection, &[("authorization", &visitor)], false).await.0, Code::Unimplemented);
}

#[tokio::test]
async fn a_path_that_no_service_has_gets_no_identity() {
    let service = token("service:b", &["*"]);
    for path in ["/", "/lhfile.v1.FileService/getfile", "/lhfile.v1.FileService/GetFile/", "/lhfile.v2.X/Y"] {
        let (code, identity) = call(path, &[("authorization", &service)], false).await;
        assert_eq!((code, identity), (Code::Unimplemented, None), "{path}");
    }
}

#[tokio::test]
async fn a_link_needs_no_credential_but_a_bad_one_is_refused() {
    let path = "/lhfile.v1.FileService/DownloadFile";
    assert_eq!(call(path, &[], false).await.1, Some(Identity::Anonymous));
    assert_eq!(call(path, &[("authorization", "")], false).await.0, Code::Unauthenticated);
    assert_eq!(call(path, &[(act_as::TEXT, "operator:1")], false).await.0, Code::Unauthenticated);
}

#[tokio::test]
async fn the_authorization_header_is_one_bearer_token() {
    let path = "/lhfile.v1.FileService/GetFile";
    let good = token("operator:1", &[]);
    let bare = good.replace("Bearer ", "");
    let lower = format!("bearer {bare}");
    assert_eq!(call(path, &[("authorization", &lower)], false).await.0, Code::Unimplemented);
    for bad in [vec![bare.clone()], vec![format!("Basic {bare}")], vec![good.clone(), good.clone()]] {
        let headers: Vec<_> = bad.iter().map(|v| ("authorization", v.as_str())).collect();
        assert_eq!(call(path, &headers, false).await.0, Code::Unauthenticated, "{bad:?}");
    }
}

#[tokio::test]
async fn the_gate_judges_the_person_that_a_service_acts_for() {
    let service = token("service:b", &["act_as", "use_operator"]);
    let path = "/lhfile.v1.FileService/AttachFile";
    let act = |text: &'static str| [("authorization", service.clone()), (act_as::TEXT, text.to_owned())];
    for (text, code) in [
        ("operator:7; lhfile=use_operator", Code::Unimplemented),
        ("operator:7", Code::PermissionDenied),
        ("visitor:7; chat=42", Code::PermissionDenied),
        ("operator:7; lhfile=file_list", Code::PermissionDenied),
        ("nobody", Code::InvalidArgument),
    ] {
        let headers = act(text);
        let headers: Vec<_> = headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(call(path, &headers, false).await.0, code, "{text}");
    }
}

#[tokio::test]
async fn a_certificate_is_its_service_unless_a_token_says_who_calls() {
    let (get, put) = ("/lhfile.v1.FileService/GetFile", "/lhfile.v1.ChatService/PutChat");
    let sub = |identity: Option<Identity>| match identity {
        Some(Identity::Known(caller)) => caller.person.to_string(),
        other => format!("{other:?}"),
    };
    let ours = ["dns:other.internal", "cn:backend"];
    let (code, identity) = call_with(&ours, get, &[], false).await;
    assert_eq!((code, sub(identity).as_str()), (Code::Unimplemented, "service:backend"));
    assert_eq!(call_with(&ours, put, &[], false).await.0, Code::PermissionDenied, "no more than it is given");
    let act = [(act_as::TEXT, "operator:7; lhfile=use_operator")];
    assert_eq!(sub(call_with(&ours, get, &act, false).await.1), "operator:7");
    let visitor = token("visitor:1", &[]);
    assert_eq!(sub(call_with(&ours, get, &[("authorization", &visitor)], false).await.1), "visitor:1");
    assert_eq!(call_with(&ours, get, &[("authorization", "Bearer x.y.z")], false).await.0, Code::Unauthenticated);
    assert_eq!(call_with(&ours, get, &[("authorization", "")], false).await.0, Code::Unauthenticated);
    let download = "/lhfile.v1.FileService/DownloadFile";
    assert_eq!(sub(call_with(&ours, download, &[], false).await.1), "service:backend");
    for nobody in [vec![], vec!["cn:Backend"], vec!["dns:backend"], vec!["cn:backend2", "uri:backend"]] {
        assert_eq!(call_with(&nobody, get, &[], false).await.0, Code::Unauthenticated, "{nobody:?}");
        assert_eq!(call_with(&nobody, download, &[], false).await.1, Some(Identity::Anonymous), "{nobody:?}");
    }
}

#[test]
fn a_permission_that_does_not_exist_keeps_the_server_from_starting() {
    let access = MethodAccess { any_of: vec!["root".into()], ..MethodAccess::default() };
    let unknown = door("/a/b", &access).expect_err("refused");
    assert_eq!(unknown, UnknownPermission { path: "/a/b".into(), name: "root".into() });
}

#[test]
fn a_request_that_passed_no_gate_has_no_caller() {
    assert_eq!(caller(&Extensions::new()).expect_err("refused").code(), Code::Unauthenticated);
    let mut extensions = Extensions::new();
    extensions.insert(Identity::Anonymous);
    assert_eq!(caller(&extensions).expect_err("refused").code(), Code::Unauthenticated);
}

/// Endless bytes, which counts what was taken.
struct Endless(Arc<Mutex<u64>>, bool);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Status;
    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        if self.1 {
            return Poll::Pending;
        }
        *self.0.lock().expect("not poisoned") += 1 << 20;
        Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from(vec![0; 1 << 20])))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_upload_is_answered_at_once_and_read_on_within_bounds() {
    for stalled in [false, true] {
        let tracker = TaskTracker::new();
        let taken = Arc::new(Mutex::new(0));
        let inner = tower::service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) });
        let request = Request::builder()
            .uri("http://x/lhfile.v1.FileService/UploadFile")
            .body(Body::new(Endless(Arc::clone(&taken), stalled)))
            .expect("a request");
        let started = tokio::time::Instant::now();
        let response = layer(false, tracker.clone()).layer(inner).oneshot(request).await.expect("infallible");
        assert_eq!(response.headers()["grpc-status"], "16");
        assert_eq!(started.elapsed(), Duration::ZERO);
        tracker.close();
        tracker.wait().await;
        assert!(started.elapsed() <= Duration::from_secs(11));
        assert_eq!(*taken.lock().expect("not poisoned"), if stalled { 0 } else { 33 << 20 });
    }
}
