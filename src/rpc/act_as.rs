//! A service names the person it calls for, in one of two headers; the call is then that person's, within the
//! service's own rights.
//!
//! Not here: the service's own credential (`credential.rs`), and what may be lent (`domain/lending.rs`).
//! `lhfile-act-as-bin` carries the message `ActAs`; `lhfile-act-as` is for shells:
//! `operator:17; chat=42,43; lhfile=use_operator; vid=V`.

use data_encoding::BASE64_NOPAD;
use http::HeaderMap;
use prost::Message as _;

use super::pb;
use crate::domain::{
    Caller, Refusal,
    lending::{self, Asked, Fields},
};

/// The header with the protobuf message.
pub const BINARY: &str = "lhfile-act-as-bin";
/// The header with the text.
pub const TEXT: &str = "lhfile-act-as";

/// True if the request names somebody to act for.
pub fn is_asked(headers: &HeaderMap) -> bool {
    headers.contains_key(BINARY) || headers.contains_key(TEXT)
}

/// The caller that counts: the one of the credential, or the person that its headers name.
///
/// # Errors
/// `MISSING_PERMISSION`: the caller may not act for others, or not with so much. `BAD_ARGUMENT`: the header is not of
/// its grammar, is there twice, or both are there.
pub fn judge(caller: Caller, headers: &HeaderMap) -> Result<Caller, Refusal> {
    if !is_asked(headers) {
        return Ok(caller);
    }
    // Who may not act for others is not told whether it asked well.
    lending::lender(&caller)?;
    let values: Vec<_> = headers.get_all(BINARY).iter().chain(headers.get_all(TEXT)).collect();
    let [value] = values.as_slice() else { return Err(malformed("it may be given once, in one of its two forms")) };
    let asked = if headers.contains_key(BINARY) {
        from_message(value.as_bytes())?
    } else {
        from_text(value.to_str().map_err(|_| malformed("it must be ASCII"))?)?
    };
    lending::lend(&caller, asked)
}

/// What a message asks for, given in a field or header of this name.
///
/// # Errors
/// `BAD_ARGUMENT`.
pub fn asked(field: &'static str, message: pb::ActAs) -> Result<Asked, Refusal> {
    let pb::ActAs { subject, chats, permissions, vid } = message;
    Asked::new(Fields::one(field), &subject, chats, permissions, vid)
}

fn malformed(why: &str) -> Refusal {
    lending::malformed(TEXT, why)
}

fn from_message(value: &[u8]) -> Result<Asked, Refusal> {
    // gRPC lets senders pad or not.
    let unpadded = value.strip_suffix(b"==").or_else(|| value.strip_suffix(b"=")).unwrap_or(value);
    let bytes = BASE64_NOPAD.decode(unpadded).map_err(|_| malformed("it must be base64"))?;
    let message =
        pb::ActAs::decode(bytes.as_slice()).map_err(|_| malformed("it must be the message lhfile.v1.ActAs"))?;
    asked(TEXT, message)
}

fn from_text(text: &str) -> Result<Asked, Refusal> {
    let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
    let subject = parts.next().unwrap_or_default();
    let (mut chats, mut permissions, mut vid) = (None, None, None);
    for part in parts {
        let (key, value) = part.split_once('=').ok_or_else(|| malformed("after the subject come key=value"))?;
        let slot = match key {
            "chat" => &mut chats,
            "lhfile" => &mut permissions,
            "vid" => &mut vid,
            _ => return Err(malformed("the keys are chat, lhfile, vid")),
        };
        if slot.replace(value.to_owned()).is_some() {
            return Err(malformed("each key may be given once"));
        }
    }
    let list = |value: Option<String>| value.map_or_else(Vec::new, |v| v.split(',').map(str::to_owned).collect());
    Asked::new(Fields::one(TEXT), subject, list(chats), list(permissions), vid)
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;
    use http::HeaderValue;

    use super::*;
    use crate::domain::{Ceiling, ChatSet, Permissions, Reason};

    fn caller(person: &str, permissions: &[&str], chats: &[&str]) -> Caller {
        Caller {
            person: person.parse().expect("valid"),
            permissions: Permissions::from_names(permissions.iter().copied()),
            chats: ChatSet::from_ids(chats.iter().copied()).expect("valid"),
            vid: None,
            ceiling: None,
        }
    }

    fn backend() -> Caller {
        caller("service:backend", &["act_as", "use_operator"], &["42", "43"])
    }

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        given
            .iter()
            .map(|(k, v)| (http::HeaderName::from_static(k), HeaderValue::from_bytes(v.as_bytes()).expect("value")))
            .collect()
    }

    fn act(text: &str) -> Result<Caller, Refusal> {
        judge(backend(), &headers(&[(TEXT, text)]))
    }

    #[test]
    fn the_person_is_judged_with_what_is_lent_and_under_the_services_ceiling() {
        let person = act("operator:17; chat=42; lhfile=use_operator").expect("lent");
        let service = backend();
        let ceiling = Some(Ceiling { service: "backend".parse().expect("valid"), chats: service.chats });
        assert_eq!(person, Caller { ceiling, ..caller("operator:17", &["use_operator"], &["42"]) });
    }

    #[test]
    fn both_forms_say_the_same() {
        let message = pb::ActAs {
            subject: "visitor:9f2c".into(),
            chats: vec!["42".into(), "43".into()],
            permissions: vec![],
            vid: Some("v1".into()),
        };
        let bytes = message.encode_to_vec();
        for value in [BASE64.encode(&bytes), BASE64_NOPAD.encode(&bytes)] {
            let by_message = judge(backend(), &headers(&[(BINARY, &value)]));
            assert_eq!(by_message, act("visitor:9f2c;chat=42,43;vid=v1"));
            assert!(by_message.is_ok());
        }
    }

    #[test]
    fn a_star_is_what_the_service_has_and_no_more() {
        let person = act("operator:17; chat=*; lhfile=*").expect("lent");
        assert_eq!((person.permissions, person.chats), (backend().permissions, backend().chats));
        let bare = act("operator:17").expect("lent");
        assert_eq!((bare.permissions, bare.chats), (Permissions::NONE, ChatSet::none()));
    }

    #[test]
    fn what_is_not_of_the_grammar_is_a_bad_argument() {
        for bad in [
            "",
            "operator",
            "operator:",
            "operator:a b",
            "root:1",
            "service:backend",
            "operator:17;",
            "operator:17;;chat=42",
            "operator:17; chat",
            "operator:17; chat=",
            "operator:17; chat=42,",
            "operator:17; chat=42, 43",
            "operator:17; chat=42; chat=43",
            "operator:17; lhfile=use_operator; lhfile=use_operator",
            "operator:17; Chat=42",
            "operator:17; chats=42",
            "operator:17; chat=4/2",
            "operator:17; chat=*,42",
            "operator:17; lhfile=",
            "operator:17; lhfile=USE",
            "operator:17; lhfile=root",
            "operator:17; vid=v",
            "visitor:1; vid=",
            "visitor:1; vid=a b",
            "visitor:1; chat=*",
            "visitor:1; chat=42; sub=operator:1",
            "chat=42; operator:17",
            "operator:17, operator:18",
        ] {
            let refusal = act(bad).expect_err(bad);
            assert_eq!((refusal.reason, refusal.get("field")), (Reason::BadArgument, Some(TEXT)), "{bad}");
        }
    }

    #[test]
    fn one_header_once() {
        let message = BASE64.encode(&pb::ActAs { subject: "operator:17".into(), ..Default::default() }.encode_to_vec());
        let mut twice = headers(&[(TEXT, "operator:17")]);
        twice.append(TEXT, HeaderValue::from_static("operator:17"));
        let mut twice_binary = headers(&[(BINARY, &message)]);
        twice_binary.append(BINARY, HeaderValue::from_str(&message).expect("value"));
        let joined = format!("{message},{message}");
        for headers in [
            twice,
            twice_binary,
            headers(&[(TEXT, "operator:17"), (BINARY, &message)]),
            headers(&[(BINARY, &joined)]),
            headers(&[(BINARY, "!!")]),
            headers(&[(BINARY, "/w==")]),
            headers(&[(TEXT, "operator:\u{e9}")]),
        ] {
            assert_eq!(judge(backend(), &headers).expect_err("refused").reason, Reason::BadArgument);
        }
    }

    #[test]
    fn only_a_service_that_holds_act_as_may() {
        for caller in [
            caller("service:backend", &["use_operator"], &["*"]),
            caller("operator:17", &["*"], &["*"]),
            caller("visitor:1", &["act_as"], &["42"]),
        ] {
            let refusal = judge(caller, &headers(&[(TEXT, "operator:17")])).expect_err("refused");
            assert_eq!(refusal.reason, Reason::MissingPermission);
        }
    }

    #[test]
    fn nothing_beyond_the_service_is_lent_and_the_refusal_names_it() {
        let refusal = act("operator:17; lhfile=use_operator,file_delete").expect_err("refused");
        assert_eq!((refusal.reason, refusal.get("any_of")), (Reason::MissingPermission, Some("file_delete")));
        let refusal = act("operator:17; chat=42,99").expect_err("refused");
        assert_eq!((refusal.reason, refusal.get("chat_id")), (Reason::MissingPermission, Some("99")));
    }

    #[test]
    fn without_a_header_the_caller_is_itself() {
        assert_eq!(judge(backend(), &HeaderMap::new()), Ok(backend()));
    }
}
