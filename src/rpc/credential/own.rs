//! Tokens that the service makes itself, for people that another service names: signed with a key that every node derives
//! from the secret they share, under a `kid` of ours.
//!
//! Not here: the verification, which is that of any token (the parent module), the derivation (`app/seal.rs`), and what may
//! be lent (`domain/lending.rs`).

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{AUDIENCE, KeyAlgorithm, KeySet, validation};
use crate::{
    app::TokenKey,
    domain::{Caller, Ceiling, ChatSet, Permission, Time, permission::ALL_PERMISSIONS},
};

/// A key of ours.
pub(super) struct OwnKey {
    pub(super) kid: String,
    pub(super) validation: Validation,
    pub(super) decoding: DecodingKey,
    encoding: EncodingKey,
}

/// The service behind a person: no call of the person reaches a chat that the service did not.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Acting {
    service: String,
    chats: Vec<String>,
}

impl Acting {
    pub(super) fn into_ceiling(self) -> Option<Ceiling> {
        let Self { service, chats } = self;
        let chats = ChatSet::from_ids(chats.iter().map(String::as_str)).ok()?;
        Some(Ceiling { service: service.parse().ok()?, chats })
    }
}

fn names(chats: &ChatSet) -> Vec<String> {
    match chats {
        ChatSet::All => vec![ALL_PERMISSIONS.to_owned()],
        ChatSet::Only(ids) => ids.iter().map(ToString::to_string).collect(),
    }
}

impl KeySet {
    /// Makes and takes tokens of our own, too, by keys of which the first signs.
    #[must_use]
    pub fn minting(mut self, keys: Vec<TokenKey>) -> Self {
        let own = |TokenKey { kid, key }| OwnKey {
            kid,
            validation: validation(KeyAlgorithm::HS256),
            decoding: DecodingKey::from_secret(&key),
            encoding: EncodingKey::from_secret(&key),
        };
        self.own = keys.into_iter().map(own).collect();
        self
    }

    /// The longest that a token may count, in seconds.
    pub const fn max_ttl_secs(&self) -> i64 {
        self.max_ttl_secs
    }

    /// A token that says that the caller is this one, until then. `None` if there is no key to sign it with.
    pub fn mint(&self, caller: &Caller, end: Time) -> Option<String> {
        #[derive(Serialize)]
        struct Own {
            aud: &'static str,
            sub: String,
            exp: i64,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            lhfile: Vec<&'static str>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            chats: Vec<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            vid: Option<String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            acting: Option<Acting>,
        }
        let OwnKey { kid, encoding, .. } = self.own.first()?;
        let Caller { person, permissions, chats, vid, ceiling } = caller;
        let acting = |c: &Ceiling| Acting { service: c.service.to_string(), chats: names(&c.chats) };
        let claims = Own {
            aud: AUDIENCE,
            sub: person.to_string(),
            exp: end.secs(),
            lhfile: Permission::ALL.iter().filter(|p| permissions.has(**p)).map(|p| p.name()).collect(),
            chats: names(chats),
            vid: vid.as_ref().map(ToString::to_string),
            acting: ceiling.as_ref().map(acting),
        };
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, encoding);
        Some(token.expect("claims of texts and numbers become JSON, and HMAC takes any key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::token_keys,
        domain::Permissions,
        rpc::credential::{KeyConfig, MAX_TTL},
    };

    const NOW: Time = Time::from_secs(1_800_000_000);

    fn configured() -> KeySet {
        let key = KeyConfig { kid: Some("a".into()), algorithm: KeyAlgorithm::HS256, key: vec![7; 32] };
        KeySet::new(vec![key], MAX_TTL).expect("a good key")
    }

    fn operator() -> Caller {
        Caller {
            person: "operator:17".parse().expect("valid"),
            permissions: Permissions::from_names(["use"]),
            chats: ChatSet::from_ids(["42"]).expect("valid"),
            vid: None,
            ceiling: Some(Ceiling { service: "b".parse().expect("valid"), chats: ChatSet::All }),
        }
    }

    #[test]
    fn own_token_is_the_very_caller_with_the_service_behind_it() {
        let keys = configured().minting(token_keys(&[vec![1; 32]]));
        let visitor = Caller {
            person: "visitor:v".parse().expect("valid"),
            permissions: Permissions::NONE,
            vid: Some("x".parse().expect("valid")),
            ..operator()
        };
        for caller in [operator(), visitor] {
            let token = keys.mint(&caller, NOW.plus_secs(60)).expect("a key");
            assert_eq!(keys.caller(&token, NOW), Ok((caller, NOW.plus_secs(60))));
            assert!(keys.caller(&token, NOW.plus_secs(66)).is_err());
        }
        assert_eq!(configured().mint(&operator(), NOW), None);
    }

    #[test]
    fn own_token_is_believed_while_its_secret_is_kept_and_by_no_other() {
        let (old, new) = (vec![1; 32], vec![2; 32]);
        let minted = configured()
            .minting(token_keys(std::slice::from_ref(&old)))
            .mint(&operator(), NOW.plus_secs(60))
            .expect("a key");
        let believed = |secrets: &[Vec<u8>]| configured().minting(token_keys(secrets)).caller(&minted, NOW).is_ok();
        assert!(believed(&[new.clone(), old]) && !believed(&[new]) && !believed(&[]));
    }

    #[test]
    fn nobody_acts_for_a_service_and_who_acts_is_told_well() {
        let keys = configured();
        let signed = |sub: &str, acting: serde_json::Value| {
            let claims = serde_json::json!({"aud": "lhfile", "sub": sub, "exp": NOW.secs() + 60, "acting": acting});
            let header = Header { kid: Some("a".into()), ..Header::new(Algorithm::HS256) };
            jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&[7; 32])).expect("encodes")
        };
        let good = serde_json::json!({"service": "b", "chats": ["42"]});
        assert!(keys.caller(&signed("operator:1", good.clone()), NOW).is_ok());
        for (sub, acting) in [
            ("service:b", good),
            ("operator:1", serde_json::json!({"service": "a b", "chats": []})),
            ("operator:1", serde_json::json!({"service": "b"})),
            ("operator:1", serde_json::json!({"service": "b", "chats": ["4/2"]})),
            ("operator:1", serde_json::json!({"service": "b", "chats": [], "more": 1})),
            ("operator:1", serde_json::json!("b")),
        ] {
            assert!(keys.caller(&signed(sub, acting.clone()), NOW).is_err(), "{sub} {acting}");
        }
    }
}
