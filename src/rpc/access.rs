//! The gate before every RPC: a credential becomes a `Caller`, and the method's own declaration says who passes.
//!
//! Not here: tokens (`credential.rs`), opaque keys (`app/keys/ring.rs`), certificates (`certified.rs`), acting for
//! somebody (`act_as.rs`), the declarations (`methods.rs`) and what exactly a caller may do (`domain/access.rs`). A tower
//! layer, because tonic's interceptors do not see the method.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Extensions, HeaderMap, Request, Response, header::AUTHORIZATION};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use super::{
    act_as,
    certified::{CertificateNames, CertifiedCallers},
    credential::{KeySet, bad_credential},
    drain,
    methods::{MethodAccess, MethodTable},
    status::refused,
};
use crate::{
    app::{KEY_PREFIX, KeyRing},
    domain::{Caller, CallerKind, Permission, Refusal, Time},
    ports::Clock,
};

/// Who calls, as the gate found out; in the extensions of every request that passed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// Somebody with a credential.
    Known(Caller),
    /// Nobody in particular: an RPC that takes a download link instead.
    Anonymous,
}

/// The caller of a request that passed the gate with a credential.
///
/// # Errors
/// `BAD_CREDENTIAL` for everybody else, also if the gate was never passed.
pub fn caller(extensions: &Extensions) -> Result<&Caller, Status> {
    match extensions.get() {
        Some(Identity::Known(caller)) => Ok(caller),
        Some(Identity::Anonymous) | None => Err(refused(&bad_credential())),
    }
}

/// When the credential of a request that passed the gate ends; in its extensions. `None`: nobody knows, of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialEnd(pub Option<Time>);

/// When the credential ends that a request was let in by.
pub fn credential_end(extensions: &Extensions) -> Option<Time> {
    extensions.get::<CredentialEnd>().and_then(|CredentialEnd(end)| *end)
}

/// A permission in an access option that is not in the table of permissions. The server does not start then.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{path} asks for the permission {name:?}, which does not exist")]
pub struct UnknownPermission {
    /// The RPC.
    pub path: String,
    /// The name.
    pub name: String,
}

/// Who passes to one RPC.
#[derive(Debug, Clone, Default)]
struct Door {
    any_of: Vec<Permission>,
    visitors: bool,
    link: bool,
    any_caller: bool,
    public: bool,
}

/// The layer. Cheap to clone.
#[derive(Clone)]
pub struct AccessLayer {
    gate: Arc<Gate>,
}

struct Gate {
    doors: HashMap<String, Door>,
    believed: Credentials,
    tracker: TaskTracker,
}

/// What a caller is believed by.
pub struct Credentials {
    /// The keys of tokens; the newest count.
    pub keys: watch::Receiver<Arc<KeySet>>,
    /// The opaque keys.
    pub opaque: Arc<KeyRing>,
    /// The services that a client's certificate stands for.
    pub certified: CertifiedCallers,
    /// What tells whether a token has ended.
    pub clock: Arc<dyn Clock>,
}

/// How a request goes on.
enum Passage {
    /// As it is: a public method, or a path that no service has.
    Unseen,
    /// Seen, by a credential that ends then.
    As(Box<Identity>, CredentialEnd),
}

impl AccessLayer {
    /// Leaves bodies to be drained on `tracker`.
    ///
    /// # Errors
    /// [`UnknownPermission`], if an RPC asks for one.
    pub fn new(
        table: &MethodTable,
        reflection_public: bool,
        believed: Credentials,
        tracker: TaskTracker,
    ) -> Result<Self, UnknownPermission> {
        let mut doors = HashMap::new();
        for (path, access) in table.iter() {
            doors.insert(path.to_owned(), door(path, access)?);
        }
        let public = Door { public: true, ..Door::default() };
        for path in ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/List"] {
            doors.insert(path.to_owned(), public.clone());
        }
        let reflection = Door { public: reflection_public, any_caller: true, ..Door::default() };
        for version in ["v1", "v1alpha"] {
            let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
            doors.insert(path, reflection.clone());
        }
        Ok(Self { gate: Arc::new(Gate { doors, believed, tracker }) })
    }
}

fn door(path: &str, access: &MethodAccess) -> Result<Door, UnknownPermission> {
    let MethodAccess { any_of, visitors, link, any_caller, public } = access;
    let unknown = |name: &String| UnknownPermission { path: path.to_owned(), name: name.clone() };
    let any_of: Result<Vec<_>, _> = any_of.iter().map(|n| Permission::find(n).ok_or_else(|| unknown(n))).collect();
    Ok(Door { any_of: any_of?, visitors: *visitors, link: *link, any_caller: *any_caller, public: *public })
}

impl Gate {
    fn judge(&self, request: &Request<Body>) -> Result<Passage, Refusal> {
        let (path, headers) = (request.uri().path(), request.headers());
        // A path that no service has goes on to the router, which answers UNIMPLEMENTED and nothing else. Every
        // service of ours is in the table, so nothing is open that is not declared to be.
        let Some(door) = self.doors.get(path) else { return Ok(Passage::Unseen) };
        if door.public {
            return Ok(Passage::Unseen);
        }
        let certified = self.certified(request);
        if door.link && certified.is_none() && !headers.contains_key(AUTHORIZATION) && !act_as::is_asked(headers) {
            return Ok(Passage::As(Box::new(Identity::Anonymous), CredentialEnd(None)));
        }
        let known = |caller| Ok((caller, None));
        let (caller, end) = certified.map_or_else(|| self.bearer(headers), known)?;
        let caller = act_as::judge(caller, headers)?;
        if !(door.any_caller || door.visitors && caller.kind() == CallerKind::Visitor) {
            caller.need(&door.any_of)?;
        }
        Ok(Passage::As(Box::new(Identity::Known(caller)), CredentialEnd(end)))
    }

    /// The service that the connection's certificate stands for, if the call brings no token. One that brings a token, be
    /// it a bad one, is the token's: who passes calls on for others over its own connection does not lend them its rights.
    fn certified(&self, request: &Request<Body>) -> Option<Caller> {
        let names = request.extensions().get::<CertificateNames>()?;
        if request.headers().contains_key(AUTHORIZATION) { None } else { self.believed.certified.find(names) }
    }

    /// Whose the token or the key is, and until when.
    fn bearer(&self, headers: &HeaderMap) -> Result<(Caller, Option<Time>), Refusal> {
        let Credentials { keys, opaque, clock, .. } = &self.believed;
        let (token, now) = (bearer(headers).ok_or_else(bad_credential)?, clock.now());
        let (caller, end) = if token.starts_with(KEY_PREFIX) {
            opaque.caller(token, now)?
        } else {
            let keys = keys.borrow().clone();
            keys.caller(token, now)?
        };
        Ok((caller, Some(end)))
    }
}

/// The one bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

impl<S> Layer<S> for AccessLayer {
    type Service = Access<S>;
    fn layer(&self, inner: S) -> Self::Service {
        Access { inner, gate: Arc::clone(&self.gate) }
    }
}

/// The layer's service.
#[derive(Clone)]
pub struct Access<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> Service<Request<Body>> for Access<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // What a client cannot set it cannot forge; and what is there could only be a mistake of ours.
        request.extensions_mut().remove::<Identity>();
        request.extensions_mut().remove::<CredentialEnd>();
        match self.gate.judge(&request) {
            Ok(Passage::Unseen) => Box::pin(self.inner.call(request)),
            Ok(Passage::As(identity, end)) => {
                request.extensions_mut().insert(*identity);
                request.extensions_mut().insert(end);
                Box::pin(self.inner.call(request))
            }
            Err(refusal) => {
                drain::body(request.into_body(), &self.gate.tracker);
                let response = refused(&refusal).into_http();
                Box::pin(async move { Ok(response) })
            }
        }
    }
}

#[cfg(test)]
mod tests;
