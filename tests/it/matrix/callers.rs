//! The rows of the table: everybody who may knock, from nobody to the chat backend acting for somebody.
//!
//! Not here: what they ask for (`calls.rs`). Operators are `17` unless the row says owner; the owner is `owner`.

use serde_json::{Value, json};
use tonic::{Request, metadata::MetadataValue};

use crate::harness::{
    callers::{SECRET, now, sign},
    pb,
};

/// The chats that "with the chat" means.
const MINE: &[&str] = &["mine", "closed", "doomed"];
const ALL: &[&str] = &["*"];
/// A chat that has nothing to do with the files.
const THIRD: &[&str] = &["third"];

/// For whom a service calls, in one of the two forms.
#[derive(Debug, Clone)]
enum ActAs {
    Text(&'static str),
    Binary(pb::ActAs),
}

/// A row: a token, and perhaps somebody to act for.
#[derive(Debug, Clone)]
pub struct Who {
    /// The row's name.
    pub name: String,
    token: Option<String>,
    act_as: Option<ActAs>,
}

impl Who {
    fn new(name: &str, token: Option<String>) -> Self {
        Self { name: name.to_owned(), token, act_as: None }
    }

    fn acting(mut self, act_as: ActAs) -> Self {
        self.act_as = Some(act_as);
        self
    }

    /// A request of this caller.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if let Some(token) = &self.token {
            metadata.insert("authorization", format!("Bearer {token}").parse().expect("ASCII"));
        }
        match &self.act_as {
            None => {}
            Some(ActAs::Text(text)) => drop(metadata.insert("lhfile-act-as", text.parse().expect("ASCII"))),
            Some(ActAs::Binary(message)) => {
                let bytes = prost::Message::encode_to_vec(message);
                metadata.insert_bin("lhfile-act-as-bin", MetadataValue::from_bytes(&bytes));
            }
        }
        request
    }
}

fn claims(sub: &str, permissions: &[&str], chats: &[&str]) -> Value {
    json!({"aud": "lhfile", "sub": sub, "exp": now() + 3600, "lhfile": permissions, "chats": chats})
}

fn token(sub: &str, permissions: &[&str], chats: &[&str]) -> Option<String> {
    Some(sign(&claims(sub, permissions, chats), SECRET))
}

fn online(sub: &str, chats: &[&str], vid: &str) -> Option<String> {
    let mut claims = claims(sub, &[], chats);
    claims["vid"] = json!(vid);
    Some(sign(&claims, SECRET))
}

fn operator(name: &str, permissions: &[&str], chats: &[&str]) -> Who {
    Who::new(name, token("operator:17", permissions, chats))
}

fn service(name: &str, permissions: &[&str], chats: &[&str]) -> Who {
    Who::new(name, token("service:backend", permissions, chats))
}

/// The backend with all rights: makes the fixtures and looks at what is left.
pub fn backend() -> Who {
    service("backend", ALL, ALL)
}

/// An operator by id with `use_operator`, `upload_new_file` and these chats: makes fixtures.
pub fn uploader(id: &str, chats: &[&str]) -> Who {
    Who::new(id, token(&format!("operator:{id}"), &["use_operator", "upload_new_file"], chats))
}

/// The visitor of the chat.
pub fn visitor() -> Who {
    Who::new("visitor of the chat", online("visitor:v", MINE, "v1"))
}

/// All rows, in the table's order.
pub fn all() -> Vec<Who> {
    let mut expired = claims("service:backend", ALL, ALL);
    expired["exp"] = json!(now() - 60);
    let mut audience = claims("service:backend", ALL, ALL);
    audience["aud"] = json!("other");
    let mut rows = vec![
        Who::new("no token", None),
        Who::new("expired token", Some(sign(&expired, SECRET))),
        Who::new("wrong audience", Some(sign(&audience, SECRET))),
        visitor(),
        Who::new("visitor of another chat", online("visitor:w", THIRD, "v2")),
        Who::new("visitor with all permissions", token("visitor:w", ALL, THIRD)),
        operator("operator, no permission, chat", &[], MINE),
    ];
    for permission in ["use_operator", "upload_new_file", "file_list", "file_delete", "file_delete_chat", "chat_sync"] {
        rows.push(operator(&format!("operator, {permission}, chat"), &[permission], MINE));
        rows.push(operator(&format!("operator, {permission}, no chat"), &[permission], &[]));
    }
    rows.extend([
        operator("operator, use", &["use"], &[]),
        operator("operator, maintenance_run", &["maintenance_run"], &[]),
        operator("operator, the other permissions, chat", OTHERS, MINE),
        operator("operator, *, chat", ALL, MINE),
        operator("operator, *, no chat", ALL, &[]),
        Who::new("owner, no permission, no claim", token("operator:owner", &[], &[])),
        Who::new("owner, use_operator, no claim", token("operator:owner", &["use_operator"], &[])),
        Who::new("owner, file_delete_chat, no claim", token("operator:owner", &["file_delete_chat"], &[])),
        service("service, *, all chats", ALL, ALL),
        service("service, *, the chat", ALL, MINE),
        service("service, *, another chat", ALL, THIRD),
        service("service, no permission, all chats", &[], ALL),
        service("service, act_as, the chat", &["act_as"], MINE),
        service("service, key_manage, the chat", &["key_manage"], MINE),
        operator("operator, key_manage, chat", &["key_manage"], MINE),
    ]);
    rows.extend(acting());
    rows
}

/// Permissions whose RPCs come later, and those of `AccessService`.
const OTHERS: &[&str] = &[
    "download_unverified",
    "download_verified",
    "verify_file",
    "file_list_mail",
    "file_restore",
    "erase",
    "legal_hold",
    "audit",
    "act_as",
    "key_manage",
];

fn acting() -> Vec<Who> {
    let strings = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
    let binary = |subject: &str, chats: &[&str], permissions: &[&str]| {
        ActAs::Binary(pb::ActAs {
            subject: subject.to_owned(),
            chats: strings(chats),
            permissions: strings(permissions),
            vid: subject.starts_with("visitor").then(|| "v1".to_owned()),
        })
    };
    let all = |name: &str| service(name, ALL, ALL);
    vec![
        all("act-as operator, use_operator, chat")
            .acting(ActAs::Text("operator:17; chat=mine,closed,doomed; lhfile=use_operator")),
        all("act-as operator, use_operator, chat by -bin").acting(binary("operator:17", MINE, &["use_operator"])),
        all("act-as operator, *, * by -bin").acting(binary("operator:17", ALL, ALL)),
        all("act-as visitor of the chat").acting(ActAs::Text("visitor:v; chat=mine,closed,doomed")),
        all("act-as visitor of the chat by -bin").acting(binary("visitor:v", MINE, &[])),
        all("act-as owner, use_operator, no claim").acting(ActAs::Text("operator:owner; lhfile=use_operator")),
        service("act-as owner, use_operator, service has another chat", ALL, THIRD)
            .acting(ActAs::Text("operator:owner; lhfile=use_operator")),
        service("act-as *, *, service has use_operator", &["act_as", "use_operator"], MINE)
            .acting(ActAs::Text("operator:17; chat=*; lhfile=*")),
        service("act-as beyond its permissions", &["act_as", "use_operator"], ALL)
            .acting(ActAs::Text("operator:17; chat=mine; lhfile=use_operator,file_delete,file_list,chat_sync")),
        service("act-as beyond its chats", ALL, THIRD)
            .acting(ActAs::Text("operator:17; chat=mine; lhfile=use_operator")),
        service("act-as without act_as", &["use_operator", "file_list", "file_delete", "chat_sync"], ALL)
            .acting(ActAs::Text("operator:17; chat=mine")),
        operator("act-as by an operator with *", ALL, ALL).acting(ActAs::Text("operator:owner; chat=mine")),
        all("act-as of a bad grammar").acting(ActAs::Text("operator:17; chats=mine")),
        all("act-as for a service").acting(ActAs::Text("service:backend; chat=*; lhfile=*")),
    ]
}
