//! Rows of opaque keys, and how they become values of the domain.
//!
//! Not here: the statements (`keys.rs`) and the other rows (`rows.rs`).

use diesel::prelude::*;

use super::{
    rows::{bytes, corrupt, find_kind, kind_name},
    schema::access_keys,
};
use crate::{
    domain::{Actor, Caller, Ceiling, ChatSet, KeyId, Permission, Permissions, Person, Sha256, Time, key::Key},
    ports::{LiveKey, StoreError},
};

/// A key as it is written, without the number that the table gives it.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = access_keys)]
pub(super) struct KeyRow {
    id: Vec<u8>,
    hash: Vec<u8>,
    person_kind: String,
    person_id: String,
    permissions: String,
    chats: String,
    vid: Option<String>,
    ceiling_service: Option<String>,
    ceiling_chats: Option<String>,
    label: String,
    created_kind: String,
    created_id: String,
    created_service: Option<String>,
    created_at: i64,
    expires_at: i64,
    retired_at: Option<i64>,
}

fn chats_text(chats: &ChatSet) -> String {
    match chats {
        ChatSet::All => "*".to_owned(),
        ChatSet::Only(ids) => ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(" "),
    }
}

impl KeyRow {
    /// The row of a key that was made by somebody; the service itself makes none.
    pub(super) fn new(key: &Key, hash: Sha256, creator: &Person) -> Self {
        let Key { id, holder, label, created_by, created_at, expires_at, retired_at } = key;
        let Caller { person, permissions, chats, vid, ceiling } = holder;
        let names: Vec<_> = Permission::ALL.iter().filter(|p| permissions.has(**p)).map(|p| p.name()).collect();
        Self {
            id: id.0.to_vec(),
            hash: hash.0.to_vec(),
            person_kind: kind_name(person.kind()).to_owned(),
            person_id: person.id().to_owned(),
            permissions: names.join(" "),
            chats: chats_text(chats),
            vid: vid.as_ref().map(ToString::to_string),
            ceiling_service: ceiling.as_ref().map(|c| c.service.to_string()),
            ceiling_chats: ceiling.as_ref().map(|c| chats_text(&c.chats)),
            label: label.clone(),
            created_kind: kind_name(creator.kind()).to_owned(),
            created_id: creator.id().to_owned(),
            created_service: created_by.acting_service.as_ref().map(ToString::to_string),
            created_at: created_at.0,
            expires_at: expires_at.0,
            retired_at: retired_at.map(|t| t.0),
        }
    }

    fn holder(&self, number: i64) -> Result<Caller, StoreError> {
        let bad = |column| corrupt("access_keys", column, number);
        let chats = |text: &str, column| ChatSet::from_ids(text.split_ascii_whitespace()).map_err(|_| bad(column));
        let ceiling = match (&self.ceiling_service, &self.ceiling_chats) {
            (None, None) => None,
            (Some(service), Some(ids)) => Some(Ceiling {
                service: service.parse().map_err(|_| bad("ceiling_service"))?,
                chats: chats(ids, "ceiling_chats")?,
            }),
            (Some(_), None) | (None, Some(_)) => return Err(bad("ceiling_service")),
        };
        // A `*` is never stored, so that no permission of a later release is granted by it.
        let names = self.permissions.split_ascii_whitespace();
        Ok(Caller {
            person: find_kind(&self.person_kind)
                .and_then(|kind| Person::new(kind, &self.person_id).ok())
                .ok_or_else(|| bad("person_id"))?,
            permissions: names.filter_map(Permission::find).collect::<Permissions>(),
            chats: chats(&self.chats, "chats")?,
            vid: self.vid.as_ref().map(|vid| vid.parse()).transpose().map_err(|_| bad("vid"))?,
            ceiling,
        })
    }

    /// What a node must know of it.
    pub(super) fn live(self, number: i64) -> Result<LiveKey, StoreError> {
        Ok(LiveKey {
            id: KeyId(bytes("access_keys", "id", number, &self.id)?),
            hash: Sha256(bytes("access_keys", "hash", number, &self.hash)?),
            holder: self.holder(number)?,
            expires_at: Time(self.expires_at),
        })
    }

    /// What is told of it.
    pub(super) fn key(self, number: i64) -> Result<Key, StoreError> {
        let bad = |column| corrupt("access_keys", column, number);
        let creator = find_kind(&self.created_kind).and_then(|kind| Person::new(kind, &self.created_id).ok());
        let service = self.created_service.as_ref().map(|s| s.parse()).transpose();
        Ok(Key {
            id: KeyId(bytes("access_keys", "id", number, &self.id)?),
            holder: self.holder(number)?,
            created_by: Actor {
                person: Some(creator.ok_or_else(|| bad("created_id"))?),
                acting_service: service.map_err(|_| bad("created_service"))?,
            },
            label: self.label,
            created_at: Time(self.created_at),
            expires_at: Time(self.expires_at),
            retired_at: self.retired_at.map(Time),
        })
    }
}
