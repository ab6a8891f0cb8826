//! Opaque keys: what is wanted in, rows out.
//!
//! Not here: whom a key may stand for (`domain/lending.rs`).

use std::time::Duration;

use super::{files::person, seconds, timestamp};
use crate::{
    app::KeyPage,
    domain::{
        self, Actor, Caller, ChatSet, Permission, Refusal,
        lending::{Asked, Fields},
        permission::ALL_PERMISSIONS,
    },
    rpc::pb,
};

/// A key to be made.
pub struct Wanted {
    /// For whom.
    pub asked: Asked,
    /// For people.
    pub label: String,
    /// How long it counts.
    pub ttl: Duration,
}

/// What a request wants.
pub fn wanted(request: pb::CreateKeyRequest) -> Result<Wanted, Refusal> {
    let pb::CreateKeyRequest { subject, permissions, chats, vid, label, ttl } = request;
    let ttl = ttl.ok_or_else(|| Refusal::argument("ttl", "ttl must be given: no key counts for ever"))?;
    let fields = Fields { subject: "subject", chats: "chats", permissions: "permissions", vid: "vid" };
    let asked = Asked::new(fields, &subject, chats, permissions, vid)?;
    Ok(Wanted { asked, label, ttl: seconds("ttl", ttl)? })
}

/// A key without its secret.
pub fn key(key: domain::key::Key) -> pb::Key {
    let domain::key::Key { id, holder, label, created_by, created_at, expires_at, retired_at } = key;
    let Caller { person: holder, permissions, chats, vid, ceiling } = holder;
    let Actor { person: creator, acting_service: _ } = created_by;
    pb::Key {
        key_id: id.to_string(),
        holder: Some(person(&holder)),
        permissions: Permission::ALL.iter().filter(|p| permissions.has(**p)).map(|p| p.name().to_owned()).collect(),
        chats: match chats {
            ChatSet::All => vec![ALL_PERMISSIONS.to_owned()],
            ChatSet::Only(ids) => ids.iter().map(ToString::to_string).collect(),
        },
        vid: vid.map(|vid| vid.to_string()),
        acting_service: ceiling.map(|c| c.service.to_string()).unwrap_or_default(),
        label,
        creator: creator.as_ref().map(person),
        create_time: Some(timestamp(created_at)),
        expire_time: Some(timestamp(expires_at)),
        retire_time: retired_at.map(timestamp),
    }
}

/// A page of keys.
pub fn page(page: KeyPage) -> pb::ListKeysResponse {
    let KeyPage { keys, next_token } = page;
    pb::ListKeysResponse { keys: keys.into_iter().map(key).collect(), next_page_token: next_token }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_that_is_not_told_for_whom_or_how_long_names_the_field() {
        let good = || pb::CreateKeyRequest {
            subject: "service:b".into(),
            ttl: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            ..pb::CreateKeyRequest::default()
        };
        assert_eq!(wanted(good()).expect("good").ttl, Duration::from_secs(60));
        for (bad, field) in [
            (pb::CreateKeyRequest { subject: String::new(), ..good() }, "subject"),
            (pb::CreateKeyRequest { subject: "b".into(), ..good() }, "subject"),
            (pb::CreateKeyRequest { chats: vec!["*".into(), "1".into()], ..good() }, "chats"),
            (pb::CreateKeyRequest { ttl: None, ..good() }, "ttl"),
            (pb::CreateKeyRequest { ttl: Some(prost_types::Duration::default()), ..good() }, "ttl"),
        ] {
            assert_eq!(wanted(bad).err().expect(field).get("field"), Some(field));
        }
    }
}
