//! Tokens that must be believed, and hostile ones that must not. The PEM files beside this are made for it alone.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::*;
use crate::domain::{Permission, Reason};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"another secret, of 32 bytes too!";
const ED_PRIVATE: &[u8] = include_bytes!("test_ed25519_private.pem");
const ED_PUBLIC: &[u8] = include_bytes!("test_ed25519_public.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("test_rsa_public.pem");
const NOW: i64 = 1_800_000_000;

fn key(kid: Option<&str>, algorithm: KeyAlgorithm, key: &[u8]) -> KeyConfig {
    KeyConfig { kid: kid.map(str::to_owned), algorithm, key: key.to_vec() }
}

fn one_key() -> KeySet {
    KeySet::new(vec![key(None, KeyAlgorithm::HS256, SECRET)], MAX_TTL).expect("a good key")
}

fn good() -> Value {
    json!({"sub": "operator:17", "aud": "lhfile", "exp": NOW + 60, "lhfile": ["use_operator"], "chats": ["42"]})
}

fn with(field: &str, value: Value) -> Value {
    let mut claims = good();
    claims[field] = value;
    claims
}

fn without(field: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().expect("an object").remove(field);
    claims
}

fn signed(header: &Header, claims: &Value, secret: &[u8]) -> String {
    jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(secret)).expect("encodes")
}

fn hs256(claims: &Value) -> String {
    signed(&Header::new(Algorithm::HS256), claims, SECRET)
}

#[test]
fn a_token_believed_before_is_believed_until_it_ends_and_by_its_own_keys_alone() {
    let (keys, token) = (one_key(), hs256(&good()));
    let first = read(&keys, &token).expect("believed");
    assert_eq!(read(&keys, &token).expect("again"), first);
    let at = |secs| keys.caller(&token, Time::from_secs(NOW + secs)).is_ok();
    assert!(at(60 + LEEWAY_SECS - 1) && !at(60 + LEEWAY_SECS) && !at(-24 * 3600) && at(0));
    let others = KeySet::new(vec![key(None, KeyAlgorithm::HS256, OTHER)], MAX_TTL).expect("a good key");
    assert!(read(&others, &token).is_err());
    let mut forged = token.into_bytes();
    let last = forged.len() - 2;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    assert!(read(&keys, &String::from_utf8(forged).expect("ascii")).is_err());
}

fn read(keys: &KeySet, token: &str) -> Result<Caller, Refusal> {
    keys.caller(token, Time::from_secs(NOW)).map(|(caller, _)| caller)
}

#[test]
fn a_good_token_is_the_caller_it_names() {
    let caller = read(&one_key(), &hs256(&good())).expect("believed");
    assert_eq!(caller.person.to_string(), "operator:17");
    assert!(caller.has(Permission::UseOperator) && !caller.has(Permission::FileList));
    assert!(caller.chats.contains(&"42".parse().expect("id")) && !caller.chats.contains(&"43".parse().expect("id")));
    assert_eq!((caller.vid, caller.ceiling), (None, None));
}

#[test]
fn a_minted_token_reads_back() {
    let claims = Claims {
        sub: "visitor:9f2c".parse().expect("valid"),
        lhfile: Vec::new(),
        chats: vec!["42".into()],
        vid: Some("v1".into()),
        exp: NOW + 3600,
    };
    let caller = read(&one_key(), &mint(SECRET, &claims)).expect("believed");
    assert_eq!(caller.person, claims.sub);
    assert_eq!(caller.vid.map(|v| v.to_string()), claims.vid);
    assert_eq!(caller.permissions, Permissions::NONE);
}

#[test]
fn silence_denies_no_chats_and_no_permissions_by_default() {
    let mut claims = without("chats");
    claims.as_object_mut().expect("an object").remove("lhfile");
    let caller = read(&one_key(), &hs256(&claims)).expect("believed");
    assert_eq!((caller.chats, caller.permissions), (ChatSet::none(), Permissions::NONE));
}

#[test]
fn claims_that_are_wrong_are_one_bad_credential() {
    let day = 86_400;
    for (why, claims) in [
        ("no exp", without("exp")),
        ("exp null", with("exp", Value::Null)),
        ("exp as text", with("exp", json!("1900000000"))),
        ("exp over", with("exp", json!(NOW - LEEWAY_SECS))),
        ("exp too far", with("exp", json!(NOW + day + LEEWAY_SECS + 1))),
        ("exp forever", with("exp", json!(1e300))),
        ("nbf ahead", with("nbf", json!(NOW + LEEWAY_SECS + 1))),
        ("no aud", without("aud")),
        ("wrong aud", with("aud", json!("lhfile2"))),
        ("empty aud", with("aud", json!([]))),
        ("no sub", without("sub")),
        ("root", with("sub", json!("root:1"))),
        ("no id", with("sub", json!("operator:"))),
        ("sub a number", with("sub", json!(17))),
        ("bad chat", with("chats", json!(["4/2"]))),
        ("chats a text", with("chats", json!("*"))),
        ("lhfile a text", with("lhfile", json!("*"))),
        ("visitor of all", json!({"sub": "visitor:1", "aud": "lhfile", "exp": NOW + 60, "chats": ["*"]})),
        ("visitor of all too", json!({"sub": "visitor:1", "aud": "lhfile", "exp": NOW + 60, "chats": ["1", "*"]})),
    ] {
        assert_eq!(read(&one_key(), &hs256(&claims)), Err(Reason::BadCredential.into()), "{why}");
    }
}

#[test]
fn the_edges_of_time_pass() {
    for (why, claims) in [
        ("just over", with("exp", json!(NOW - LEEWAY_SECS + 1))),
        ("a day", with("exp", json!(NOW + 86_400))),
        ("broken seconds", with("exp", json!(NOW as f64 + 0.5))),
        ("nbf within the leeway", with("nbf", json!(NOW + LEEWAY_SECS))),
        ("several audiences", with("aud", json!(["other", "lhfile"]))),
    ] {
        assert!(read(&one_key(), &hs256(&claims)).is_ok(), "{why}");
    }
}

#[test]
fn a_token_ends_when_the_clock_says_so() {
    let (keys, token) = (one_key(), hs256(&good()));
    assert!(keys.caller(&token, Time::from_secs(NOW + 64)).is_ok());
    assert!(keys.caller(&token, Time::from_secs(NOW + 65)).is_err());
}

#[test]
fn forged_tokens_are_one_bad_credential() {
    let part = |v: Value| BASE64URL_NOPAD.encode(v.to_string().as_bytes());
    let none = format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(good()));
    let empty_signature = format!("{}.{}.", part(json!({"alg": "HS256"})), part(good()));
    let mut flipped = hs256(&good());
    flipped.replace_range(flipped.len() - 3..flipped.len() - 2, if flipped.ends_with("AAA") { "B" } else { "A" });
    let crit = Header { crit: Some(vec!["exp".into()]), ..Header::new(Algorithm::HS256) };
    let foreign_kid = Header { kid: Some("other".into()), ..Header::new(Algorithm::HS256) };
    for (why, token) in [
        ("nothing", String::new()),
        ("two parts", "a.b".into()),
        ("not base64", "ä.ö.ü".into()),
        ("none", none),
        ("no signature", empty_signature),
        ("another secret", signed(&Header::new(Algorithm::HS256), &good(), OTHER)),
        ("another algorithm of the same secret", signed(&Header::new(Algorithm::HS512), &good(), SECRET)),
        ("a signature changed", flipped),
        ("critical header fields", signed(&crit, &good(), SECRET)),
        ("foreign kid", signed(&foreign_kid, &good(), SECRET)),
    ] {
        assert_eq!(read(&one_key(), &token), Err(Reason::BadCredential.into()), "{why}");
    }
}

#[test]
fn a_public_key_is_no_hmac_secret() {
    for (algorithm, pem) in [(KeyAlgorithm::RS256, RSA_PUBLIC), (KeyAlgorithm::EdDSA, ED_PUBLIC)] {
        let keys = KeySet::new(vec![key(None, algorithm, pem)], MAX_TTL).expect("a good key");
        let confused = signed(&Header::new(Algorithm::HS256), &good(), pem);
        assert_eq!(read(&keys, &confused), Err(Reason::BadCredential.into()), "{algorithm:?}");
    }
}

#[test]
fn keys_are_told_apart_by_kid_and_each_keeps_its_algorithm() {
    let keys = KeySet::new(
        vec![key(Some("ed"), KeyAlgorithm::EdDSA, ED_PUBLIC), key(Some("hs"), KeyAlgorithm::HS256, SECRET)],
        MAX_TTL,
    )
    .expect("good keys");
    let by = |kid: &str, algorithm| Header { kid: Some(kid.into()), ..Header::new(algorithm) };
    let ed = EncodingKey::from_ed_pem(ED_PRIVATE).expect("a private key");
    let ed = jsonwebtoken::encode(&by("ed", Algorithm::EdDSA), &good(), &ed).expect("encodes");
    assert!(read(&keys, &ed).is_ok());
    assert!(read(&keys, &signed(&by("hs", Algorithm::HS256), &good(), SECRET)).is_ok());
    assert!(read(&keys, &signed(&by("ed", Algorithm::HS256), &good(), SECRET)).is_err());
    assert!(read(&keys, &hs256(&good())).is_err(), "without a kid there is no telling which of two");
}

#[test]
fn a_token_without_kid_finds_the_only_key_or_the_key_without_one() {
    let only = KeySet::new(vec![key(Some("a"), KeyAlgorithm::HS256, SECRET)], MAX_TTL).expect("a good key");
    assert!(read(&only, &hs256(&good())).is_ok());
    let two = vec![key(None, KeyAlgorithm::HS256, SECRET), key(Some("b"), KeyAlgorithm::HS256, OTHER)];
    assert!(read(&KeySet::new(two, MAX_TTL).expect("good keys"), &hs256(&good())).is_ok());
}

#[test]
fn each_secret_of_several_counts_for_tokens_without_kid() {
    let keys = KeySet::of_secrets(&[OTHER.to_vec(), SECRET.to_vec()], MAX_TTL).expect("good secrets");
    assert!(read(&keys, &hs256(&good())).is_ok());
    assert!(read(&keys, &signed(&Header::new(Algorithm::HS256), &good(), OTHER)).is_ok());
    let named = Header { kid: Some("other".into()), ..Header::new(Algorithm::HS256) };
    assert!(read(&keys, &signed(&named, &good(), OTHER)).is_err());
    assert!(read(&KeySet::of_secrets(&[OTHER.to_vec()], MAX_TTL).expect("good"), &hs256(&good())).is_err());
    assert!(matches!(KeySet::of_secrets(&[], MAX_TTL), Err(BadKeys::None)));
}

#[test]
fn bad_keys_are_refused_when_they_are_configured() {
    let set = |keys| KeySet::new(keys, MAX_TTL).expect_err("refused");
    assert!(matches!(set(vec![]), BadKeys::None));
    assert!(matches!(set(vec![key(None, KeyAlgorithm::HS256, &SECRET[1..])]), BadKeys::ShortSecret(None)));
    assert!(matches!(set(vec![key(None, KeyAlgorithm::RS256, SECRET)]), BadKeys::Pem(None)));
    assert!(matches!(set(vec![key(None, KeyAlgorithm::EdDSA, RSA_PUBLIC)]), BadKeys::Pem(None)));
    let twice = vec![key(None, KeyAlgorithm::HS256, SECRET), key(None, KeyAlgorithm::HS256, OTHER)];
    assert!(matches!(set(twice), BadKeys::Twice(None)));
}

#[test]
fn a_key_is_not_in_its_debug_text() {
    let shown = format!("{:?} {:?}", key(None, KeyAlgorithm::HS256, SECRET), one_key());
    assert!(!shown.contains("0123") && !shown.contains("48, 49"), "{shown}");
}
