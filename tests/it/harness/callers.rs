//! Callers as types: each makes its own token, signed as a chat backend would sign it.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// The HS256 secret of every server in the tests.
pub const SECRET: &str = "the-secret-of-the-integration-tests-0123456789";

/// Who calls.
pub trait Caller {
    /// The claims of its token.
    fn claims(&self) -> Value;

    /// Its bearer token.
    fn token(&self) -> String {
        sign(&self.claims(), SECRET)
    }
}

/// Signs any claims, also wrong ones.
pub fn sign(claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .expect("JSON")
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn claims(sub: String, permissions: &[String], chats: &[String]) -> Value {
    json!({"aud": "lhfile", "sub": sub, "exp": now() + 3600, "lhfile": permissions, "chats": chats})
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// A visitor with its own chats.
#[derive(Debug, Clone)]
pub struct Visitor {
    id: String,
    chats: Vec<String>,
    vid: Option<String>,
}

impl Visitor {
    /// The visitor `v-CHAT` of one chat.
    pub fn of_chat(chat: &str) -> Self {
        Self { id: format!("v-{chat}"), chats: owned(&[chat]), vid: None }
    }
    /// An online visitor without a chat: `x-VID`, whose `vid` is VID.
    pub fn online(vid: &str) -> Self {
        Self { id: format!("x-{vid}"), chats: Vec::new(), vid: Some(vid.to_owned()) }
    }
    /// Another id.
    pub fn named(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }
}

impl Caller for Visitor {
    fn claims(&self) -> Value {
        let mut claims = claims(format!("visitor:{}", self.id), &[], &self.chats);
        if let Some(vid) = &self.vid {
            claims["vid"] = json!(vid);
        }
        claims
    }
}

/// An operator; `17` unless named.
#[derive(Debug, Clone)]
pub struct Operator {
    id: String,
    permissions: Vec<String>,
    chats: Vec<String>,
}

impl Operator {
    /// With these permissions and access to all chats.
    pub fn with(permissions: &[&str]) -> Self {
        Self { id: "17".to_owned(), permissions: owned(permissions), chats: owned(&["*"]) }
    }
    /// With `use_operator` and access to all chats.
    pub fn new() -> Self {
        Self::with(&["use_operator"])
    }
    /// Another id.
    pub fn named(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }
    /// Access to these chats only.
    pub fn of_chats(mut self, chats: &[&str]) -> Self {
        self.chats = owned(chats);
        self
    }
}

impl Caller for Operator {
    fn claims(&self) -> Value {
        claims(format!("operator:{}", self.id), &self.permissions, &self.chats)
    }
}

/// The chat backend.
#[derive(Debug, Clone)]
pub struct Service {
    id: String,
    permissions: Vec<String>,
    chats: Vec<String>,
}

impl Service {
    /// All permissions, all chats.
    pub fn all() -> Self {
        Self::with(&["*"])
    }
    /// These permissions, all chats.
    pub fn with(permissions: &[&str]) -> Self {
        Self { id: "backend".to_owned(), permissions: owned(permissions), chats: owned(&["*"]) }
    }
    /// Access to these chats only.
    pub fn of_chats(mut self, chats: &[&str]) -> Self {
        self.chats = owned(chats);
        self
    }
}

impl Caller for Service {
    fn claims(&self) -> Value {
        claims(format!("service:{}", self.id), &self.permissions, &self.chats)
    }
}

/// A token as it stands.
impl Caller for str {
    fn claims(&self) -> Value {
        Value::Null
    }
    fn token(&self) -> String {
        self.to_owned()
    }
}
