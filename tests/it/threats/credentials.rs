//! Tokens that are not tokens: no algorithm, another algorithm, another key, no end, another audience.

use std::{fs, path::Path, time::Duration};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use crate::harness::{
    Caller, Service, assert_refused,
    callers::{SECRET, now, sign},
    pb::{self, config_service_client::ConfigServiceClient},
    place::{free_port, new_folder},
    process, shared,
};

fn claims() -> Value {
    Service::all().claims()
}

fn with(key: &str, value: Value) -> String {
    let mut claims = claims();
    claims[key] = value;
    sign(&claims, SECRET)
}

fn without(key: &str) -> String {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(key);
    sign(&claims, SECRET)
}

fn by_hand(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}.{signature}", part(header), part(claims))
}

fn signed(header: Header, key: &[u8]) -> String {
    jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(key)).expect("JSON")
}

async fn get_settings(address: std::net::SocketAddr, authorization: &[&str]) -> Result<(), Status> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut client = ConfigServiceClient::new(channel.connect_lazy());
    let mut request = Request::new(pb::GetSettingsRequest {});
    for value in authorization {
        request.metadata_mut().append("authorization", value.parse().expect("ASCII"));
    }
    client.get_settings(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_unfinished_and_foreign_tokens_are_one_answer() {
    let address = shared().await.address();
    let good = Service::all().token();
    let bearer = |token: &str| format!("Bearer {token}");
    get_settings(address, &[&bearer(&good)]).await.expect("the good one");
    let (head, rest) = good.split_once('.').expect("three parts");
    let (body, signature) = rest.split_once('.').expect("three parts");
    let mut flipped = signature.to_owned();
    flipped.replace_range(0..1, if signature.starts_with('A') { "B" } else { "A" });
    let mut more = claims();
    more["sub"] = json!("service:root");
    let other_body = BASE64URL_NOPAD.encode(more.to_string().as_bytes());

    let cases: Vec<(&str, String)> = vec![
        ("algorithm none", by_hand(&json!({"alg": "none", "typ": "JWT"}), &claims(), "")),
        ("algorithm None", by_hand(&json!({"alg": "None"}), &claims(), "")),
        ("algorithm nOnE with a signature", by_hand(&json!({"alg": "nOnE"}), &claims(), signature)),
        ("no algorithm", by_hand(&json!({"typ": "JWT"}), &claims(), signature)),
        ("RS256 over HMAC", by_hand(&json!({"alg": "RS256"}), &claims(), signature)),
        ("HS512", signed(Header::new(Algorithm::HS512), SECRET.as_bytes())),
        ("foreign kid", signed(Header { kid: Some("other".into()), ..Header::default() }, SECRET.as_bytes())),
        ("kid that is a path", signed(Header { kid: Some("../../dev/null".into()), ..Header::default() }, b"")),
        ("another secret", sign(&claims(), &"x".repeat(40))),
        ("empty secret", sign(&claims(), "")),
        ("no signature", format!("{head}.{body}.")),
        ("two parts", format!("{head}.{body}")),
        ("signature changed", format!("{head}.{body}.{flipped}")),
        ("body changed", format!("{head}.{other_body}.{signature}")),
        ("must be understood", by_hand(&json!({"alg": "HS256", "crit": ["x"], "x": 1}), &claims(), signature)),
        ("no exp", without("exp")),
        ("exp that is a text", with("exp", json!("9999999999"))),
        ("exp of null", with("exp", Value::Null)),
        ("exp past", with("exp", json!(now() - 10))),
        ("exp beyond a day", with("exp", json!(now() + 25 * 3600))),
        ("exp at the end of time", with("exp", json!(u64::MAX))),
        ("nbf to come", with("nbf", json!(now() + 3600))),
        ("no aud", without("aud")),
        ("wrong aud", with("aud", json!("lhfile2"))),
        ("aud of another list", with("aud", json!(["a", "b"]))),
        ("no sub", without("sub")),
        ("empty sub", with("sub", json!(""))),
        ("sub without id", with("sub", json!("service:"))),
        ("sub of an unknown kind", with("sub", json!("root:1"))),
        ("sub with a blank", with("sub", json!("service:a b"))),
        ("sub of null", with("sub", Value::Null)),
        ("permissions that are a text", with("lhfile", json!("*"))),
        ("chats that are a text", with("chats", json!("*"))),
        ("a chat of a wrong alphabet", with("chats", json!(["a/b"]))),
        ("a visitor of all chats", with("sub", json!("visitor:9f2c"))),
        ("empty", String::new()),
        ("junk", "a.b.c".to_owned()),
        ("long", "a".repeat(8_000)),
    ];
    let mut first = None;
    let refused = |what: &str, answer: Result<(), Status>| {
        let status = assert_refused(answer, Code::Unauthenticated, "BAD_CREDENTIAL");
        (what.to_owned(), status.message().to_owned(), status.details().to_vec())
    };
    for (what, token) in &cases {
        let (what, message, details) = refused(what, get_settings(address, &[&bearer(token)]).await);
        let first = first.get_or_insert((message.clone(), details.clone()));
        assert_eq!((&message, &details), (&first.0, &first.1), "nothing is told: {what}");
    }
    for authorization in
        [&[] as &[&str], &["Basic dTpw"], &[&good], &[&format!("Bearer{good}")], &[&bearer(&good), &bearer(&good)]]
    {
        refused("a header that is none", get_settings(address, authorization).await);
    }
    get_settings(address, &[&format!("bearer {good}")]).await.expect("the scheme's case does not matter");
}

/// The public key of the pair that signs nothing here; an attacker has it.
const PUBLIC: &str = "src/rpc/credential/test_rsa_public.pem";

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_is_no_hmac_secret() {
    let folder = new_folder();
    let pem = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(PUBLIC)).expect("in the checkout");
    fs::write(folder.join("public.pem"), &pem).expect("our own folder");
    let (address, shown) = (free_port(), folder.display());
    let config = format!(
        "listen = \"{address}\"\nmetrics_listen = \"\"\ndata_dir = \"{shown}/data\"\n\
         scanner.signature_dir = \"{shown}/none\"\n\
         [[keys]]\nkid = \"rsa\"\nalgorithm = \"RS256\"\npublic_key_file = \"{shown}/public.pem\"\n\
         [[keys]]\nkid = \"tests\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\n"
    );
    fs::write(folder.join("lhfile.toml"), config).expect("our own folder");
    let mut command = process::command(env!("CARGO_BIN_EXE_lhfile"));
    command.arg("serve").arg("--config").arg(folder.join("lhfile.toml"));
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = process::spawn(command);

    let of = |kid: &str, algorithm| Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
    let good = format!("Bearer {}", signed(of("tests", Algorithm::HS256), SECRET.as_bytes()));
    let mut tries = 0;
    while get_settings(address, &[&good]).await.is_err() {
        tries += 1;
        assert!(tries < 1_000 && child.try_wait().expect("ours").is_none(), "it does not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let lines = String::from_utf8(pem.clone()).expect("PEM is ASCII");
    for (what, token) in [
        ("the PEM as secret", signed(of("rsa", Algorithm::HS256), &pem)),
        ("the PEM without its end of line", signed(of("rsa", Algorithm::HS256), lines.trim_end().as_bytes())),
        ("the secret under the kid of the public key", signed(of("rsa", Algorithm::HS256), SECRET.as_bytes())),
        ("the PEM under the kid of the secret", signed(of("tests", Algorithm::HS256), &pem)),
        ("no kid where there are two", signed(Header::default(), SECRET.as_bytes())),
        ("a kid that nobody has", signed(of("third", Algorithm::HS256), SECRET.as_bytes())),
    ] {
        let answer = get_settings(address, &[&format!("Bearer {token}")]).await;
        assert!(answer.is_err(), "{what}");
        assert_refused(answer, Code::Unauthenticated, "BAD_CREDENTIAL");
    }
    process::signal(child.id(), "TERM");
    assert!(process::wait_for_end(&mut child, Duration::from_secs(30)));
    let _ = fs::remove_dir_all(folder);
}
