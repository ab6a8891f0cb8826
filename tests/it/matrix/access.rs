//! The blocks of `AccessService`: how each cell is asked and answered.
//!
//! Not here: the other blocks (`calls.rs`). A key that a call made or retired changes nothing for the other cells.

use tonic::Status;

use super::{
    callers::{Who, backend},
    world::World,
};
use crate::harness::{keys::wanted, pb};

/// An id that was never given.
const NEVER: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Whom a column names, and of which chats.
fn named(column: &str) -> (&str, &[&str]) {
    match column {
        "operator, mine" => ("operator:17", &["mine"]),
        "operator, other" => ("operator:17", &["other"]),
        "visitor, mine" => ("visitor:v", &["mine"]),
        "operator, no chat" => ("operator:17", &[]),
        "backend, no chat" => ("service:backend", &[]),
        "service, no chat" => ("service:another", &[]),
        "service" => ("service:another", &["mine"]),
        other => panic!("{other} names nobody"),
    }
}

/// Asks one cell.
pub async fn ask(world: &mut World, who: &Who, method: &str, column: &str) -> Result<String, Status> {
    match method {
        "MintToken" => {
            let (subject, chats) = named(column);
            let chats = chats.iter().map(|chat| (*chat).to_owned()).collect();
            let person = pb::ActAs { subject: subject.to_owned(), chats, ..Default::default() };
            let mint = pb::MintTokenRequest { person: Some(person), ttl: None };
            world.access.mint_token(who.request(mint)).await.map(|_| "OK".to_owned())
        }
        "CreateKey" => {
            let (subject, chats) = named(column);
            world.access.create_key(who.request(wanted(subject, &[], chats))).await.map(|_| "OK".to_owned())
        }
        "ListKeys" => {
            let list = pb::ListKeysRequest { page_size: 500, ..Default::default() };
            let keys = world.access.list_keys(who.request(list)).await?.into_inner().keys;
            let label = |name: &str| keys.iter().any(|key| key.label == name);
            Ok(if label(World::BACKENDS_KEY) { "OK b".to_owned() } else { "OK -".to_owned() })
        }
        "RetireKey" => {
            let key_id = if column == "never" { NEVER.to_owned() } else { world.key().await };
            let retire = pb::RetireKeyRequest { key_id: key_id.clone() };
            let answer = world.access.retire_key(who.request(retire)).await.map(|_| "OK".to_owned());
            if answer.is_err() && column != "never" {
                let list = pb::ListKeysRequest { page_size: 500, ..Default::default() };
                let keys =
                    world.access.list_keys(backend().request(list)).await.expect("the backend may").into_inner().keys;
                assert!(keys.iter().any(|key| key.key_id == key_id), "refused, and yet it was retired: {}", who.name);
            }
            answer
        }
        other => panic!("{other} has a block and no call"),
    }
}
