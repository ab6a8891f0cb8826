//! A bearer token (JWT) becomes a `Caller`, or nothing is told.
//!
//! Not here: headers and the gate of each RPC (`access.rs`), a service that acts for somebody (`act_as.rs`). The
//! algorithm is fixed per key and never taken from the token; time comes from the caller, so that tests can move it.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::domain::{
    Caller, CallerKind, ChatSet, Permissions, Person, Reason, Refusal, Time, permission::ALL_PERMISSIONS,
};

mod believed;
mod own;
use believed::{Believed, Mark};
use own::{Acting, OwnKey};

/// The audience every token must name.
pub const AUDIENCE: &str = "lhfile";
/// How far clocks may be apart, in seconds.
pub const LEEWAY_SECS: i64 = 5;
/// Longest life of a token from now on, unless configured.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 3600);
/// Shortest HS256 secret, in bytes.
pub const MIN_SECRET_BYTES: usize = 32;

/// How a key signs. Nothing else is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeyAlgorithm {
    /// Ed25519; the key is a public key in PEM.
    EdDSA,
    /// ECDSA on P-256; the key is a public key in PEM.
    ES256,
    /// RSA PKCS#1 v1.5; the key is a public key in PEM.
    RS256,
    /// HMAC; the key is the secret itself, at least [`MIN_SECRET_BYTES`].
    HS256,
}

/// One key as configured.
#[derive(Clone)]
pub struct KeyConfig {
    /// The `kid` of tokens signed with it; at most one key has none.
    pub kid: Option<String>,
    /// How it signs.
    pub algorithm: KeyAlgorithm,
    /// PEM of the public key, or for HS256 the secret's bytes.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key: it may be a secret.
        f.debug_struct("KeyConfig").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Why there is no key set. The server does not start (or keeps the keys it had) then.
#[derive(Debug, thiserror::Error)]
pub enum BadKeys {
    /// None at all.
    #[error("no key is configured: nobody could call")]
    None,
    /// Two keys answer to one name.
    #[error("two keys have the kid {0:?}: every key but one needs a kid of its own")]
    Twice(Option<String>),
    /// A secret that could be guessed.
    #[error("the HS256 secret {0:?} has less than {MIN_SECRET_BYTES} bytes")]
    ShortSecret(Option<String>),
    /// Not a PEM of that algorithm.
    #[error("the key {0:?} is not a public key in PEM for its algorithm")]
    Pem(Option<String>),
}

/// The keys whose tokens are believed.
pub struct KeySet {
    keys: Vec<(Option<String>, Validation, DecodingKey)>,
    /// Of the tokens that we make, the newest first.
    own: Vec<OwnKey>,
    max_ttl_secs: i64,
    believed: Believed,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl KeySet {
    /// Takes the keys; tokens may live `max_ttl` from now on at most.
    ///
    /// # Errors
    /// See [`BadKeys`].
    pub fn new(configured: Vec<KeyConfig>, max_ttl: Duration) -> Result<Self, BadKeys> {
        let mut keys: Vec<(Option<String>, Validation, DecodingKey)> = Vec::with_capacity(configured.len());
        for KeyConfig { kid, algorithm, key } in configured {
            if keys.iter().any(|(other, ..)| *other == kid) {
                return Err(BadKeys::Twice(kid));
            }
            let decoding = match algorithm {
                KeyAlgorithm::HS256 if key.len() < MIN_SECRET_BYTES => return Err(BadKeys::ShortSecret(kid)),
                KeyAlgorithm::HS256 => Ok(DecodingKey::from_secret(&key)),
                KeyAlgorithm::EdDSA => DecodingKey::from_ed_pem(&key),
                KeyAlgorithm::ES256 => DecodingKey::from_ec_pem(&key),
                KeyAlgorithm::RS256 => DecodingKey::from_rsa_pem(&key),
            };
            let Ok(decoding) = decoding else { return Err(BadKeys::Pem(kid)) };
            keys.push((kid, validation(algorithm), decoding));
        }
        if keys.is_empty() {
            return Err(BadKeys::None);
        }
        let max_ttl_secs = i64::try_from(max_ttl.as_secs()).unwrap_or(i64::MAX);
        Ok(Self { keys, own: Vec::new(), max_ttl_secs, believed: Believed::default() })
    }

    /// Takes the secrets of this server, or of all nodes, as the keys of tokens without a `kid`: each of them counts.
    ///
    /// # Errors
    /// See [`BadKeys`].
    pub fn of_secrets(secrets: &[Vec<u8>], max_ttl: Duration) -> Result<Self, BadKeys> {
        let key = |key: &Vec<u8>| KeyConfig { kid: None, algorithm: KeyAlgorithm::HS256, key: key.clone() };
        let mut sets = secrets.iter().map(|secret| Self::new(vec![key(secret)], max_ttl));
        let mut all = sets.next().ok_or(BadKeys::None)??;
        for set in sets {
            all.keys.extend(set?.keys);
        }
        Ok(all)
    }

    /// Who the token says the caller is, and until when. Whatever is wrong with it: the one `BAD_CREDENTIAL`.
    pub fn caller(&self, token: &str, now: Time) -> Result<(Caller, Time), Refusal> {
        self.read(token, now).ok_or_else(bad_credential)
    }

    fn read(&self, token: &str, now: Time) -> Option<(Caller, Time)> {
        let mark = Mark::of(token);
        if let Some((lifetime, caller)) = mark.and_then(|mark| self.believed.find(mark)) {
            return lifetime.holds(now.secs(), self.max_ttl_secs).then_some((caller, lifetime.end()));
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        // Header fields that must be understood: we understand none.
        if header.crit.is_some() {
            return None;
        }
        let mut keys = self.keys(header.kid.as_deref());
        let claims = keys.find_map(|(v, key)| jsonwebtoken::decode::<Received>(token, key, v).ok())?.claims;
        let lifetime = Lifetime { exp: claims.exp, nbf: claims.nbf };
        lifetime.holds(now.secs(), self.max_ttl_secs).then_some(())?;
        let caller = claims.into_caller()?;
        if let Some(mark) = mark {
            self.believed.remember(mark, lifetime, &caller);
        }
        Some((caller, lifetime.end()))
    }

    /// The keys of a `kid`: one, or none. A token without one finds those without one, or the only key there is; our own
    /// always have one.
    fn keys(&self, kid: Option<&str>) -> impl Iterator<Item = (&Validation, &DecodingKey)> {
        let only = matches!((kid, self.keys.as_slice()), (None, [_]));
        let configured = self.keys.iter().filter(move |(own, ..)| only || own.as_deref() == kid);
        let own = self.own.iter().filter(move |own| kid == Some(own.kid.as_str()));
        configured.map(|(_, validation, key)| (validation, key)).chain(own.map(|own| (&own.validation, &own.decoding)))
    }
}

/// The one answer to whatever is wrong with a credential.
pub fn bad_credential() -> Refusal {
    Reason::BadCredential.into()
}

fn validation(algorithm: KeyAlgorithm) -> Validation {
    let mut validation = Validation::new(match algorithm {
        KeyAlgorithm::EdDSA => Algorithm::EdDSA,
        KeyAlgorithm::ES256 => Algorithm::ES256,
        KeyAlgorithm::RS256 => Algorithm::RS256,
        KeyAlgorithm::HS256 => Algorithm::HS256,
    });
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "aud", "sub"]);
    // Judged by our own clock, in `is_in_time`.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

/// What a token must say. Unknown claims are ignored, known ones of the wrong type are not.
#[derive(Deserialize)]
struct Received {
    sub: String,
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    lhfile: Vec<String>,
    #[serde(default)]
    chats: Vec<String>,
    #[serde(default)]
    vid: Option<String>,
    #[serde(default)]
    acting: Option<Acting>,
}

/// From when to when a token counts, in unix seconds. Floats, because NumericDate may be one; a second is exact in them
/// for the next 285 million years.
#[derive(Clone, Copy)]
struct Lifetime {
    exp: f64,
    nbf: Option<f64>,
}

impl Lifetime {
    /// Without the leeway.
    fn end(self) -> Time {
        Time::from_secs(self.exp as i64)
    }

    fn holds(self, now: i64, max_ttl: i64) -> bool {
        let (now, leeway) = (now as f64, LEEWAY_SECS as f64);
        now < self.exp + leeway
            && self.exp <= now + max_ttl as f64 + leeway
            && self.nbf.is_none_or(|nbf| nbf <= now + leeway)
    }
}

impl Received {
    fn into_caller(self) -> Option<Caller> {
        let Self { sub, exp: _, nbf: _, lhfile, chats, vid, acting } = self;
        let person: Person = sub.parse().ok()?;
        let chats = ChatSet::from_ids(chats.iter().map(String::as_str)).ok()?;
        let vid = match (person.kind(), vid) {
            (CallerKind::Visitor, Some(vid)) => Some(vid.parse().ok()?),
            (CallerKind::Visitor | CallerKind::Operator | CallerKind::Service, _) => None,
        };
        // A visitor has its own chats, never all.
        if person.kind() == CallerKind::Visitor && chats == ChatSet::All {
            return None;
        }
        // Permissions are of operators and services. What a visitor may do follows from its chats alone.
        let permissions = match person.kind() {
            CallerKind::Visitor => Permissions::NONE,
            CallerKind::Operator | CallerKind::Service => Permissions::from_names(lhfile.iter().map(String::as_str)),
        };
        // The service that acts for a person; nobody acts for a service.
        let ceiling = match (person.kind(), acting) {
            (_, None) => None,
            (CallerKind::Service, Some(_)) => return None,
            (CallerKind::Visitor | CallerKind::Operator, Some(acting)) => Some(acting.into_ceiling()?),
        };
        Some(Caller { person, permissions, chats, vid, ceiling })
    }
}

/// What a token made by us says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Whose it is.
    #[serde(serialize_with = "as_text")]
    pub sub: Person,
    /// Names of permissions, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lhfile: Vec<String>,
    /// Ids of chats, or `*` (not for visitors).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chats: Vec<String>,
    /// The online visitor's id, for visitors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vid: Option<String>,
    /// When it ends, in unix seconds.
    pub exp: i64,
}

fn as_text<S: serde::Serializer>(person: &Person, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(person)
}

/// A token signed with HS256, without a `kid`. It is not judged here whether the server would believe it.
pub fn mint(secret: &[u8], claims: &Claims) -> String {
    #[derive(Serialize)]
    struct WithAudience<'c> {
        aud: &'static str,
        #[serde(flatten)]
        claims: &'c Claims,
    }
    let claims = WithAudience { aud: AUDIENCE, claims };
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret))
        .expect("claims of texts and numbers become JSON, and HMAC takes any key")
}

/// True for a name that a token may hold in `lhfile`: for the command line, which refuses typing errors.
pub fn is_permission_name(name: &str) -> bool {
    name == ALL_PERMISSIONS || crate::domain::Permission::find(name).is_some()
}

#[cfg(test)]
mod tests;
