//! Uploads for an online visitor, and who says where a file comes from.
//!
//! Not here: uploads to chats and the library (the parent module), and who sees what came of it (`access/tests/online.rs`).

use super::*;
use crate::domain::{Ceiling, Origin};

fn for_v1(name: &str) -> Declared {
    Declared { target: Target::Visitor("v1".parse().expect("valid")), ..to_chat(name) }
}

fn online(vid: Option<&str>) -> Caller {
    Caller { vid: vid.map(|vid| vid.parse().expect("valid")), ..visitor() }
}

fn refusal(caller: &Caller, declared: Declared, settings: &Settings) -> Option<Reason> {
    reason(admit(caller, declared, None, settings, READY))
}

#[test]
fn an_upload_for_an_online_visitor_is_for_itself_and_for_holders_of_use_operator() {
    use Permission::{UploadNewFile, UseOperator};
    let below = |caller: Caller, chats| Caller {
        ceiling: Some(Ceiling { service: "b".parse().expect("valid"), chats }),
        ..caller
    };
    let some = || ChatSet::from_ids(["42"]).expect("valid");
    let table = [
        (online(Some("v1")), None),
        (online(Some("v2")), Some(Reason::NotFound)),
        (online(None), Some(Reason::NotFound)),
        (Caller { person: "visitor:v1".parse().expect("valid"), ..online(None) }, Some(Reason::NotFound)),
        (below(online(Some("v1")), ChatSet::All), None),
        (below(online(Some("v1")), some()), Some(Reason::NotFound)),
        (caller("operator:17", &[UseOperator]), None),
        (caller("operator:17", &[UploadNewFile]), Some(Reason::MissingPermission)),
        (below(caller("operator:17", &[UseOperator]), some()), Some(Reason::NotFound)),
        (service(), None),
        (Caller { chats: some(), ..service() }, Some(Reason::NotFound)),
        (Caller { permissions: Permissions::from_iter([UploadNewFile]), ..service() }, Some(Reason::MissingPermission)),
    ];
    for (caller, expected) in table {
        assert_eq!(refusal(&caller, for_v1("a.pdf"), &Settings::default()), expected, "{caller:?}");
    }
}

#[test]
fn uploads_of_online_visitors_are_switched_off_with_visitors_uploads_and_have_their_extensions() {
    let off = Settings { visitor_upload_enabled: false, ..Settings::default() };
    assert_eq!(refusal(&online(Some("v1")), for_v1("a.pdf"), &off), Some(Reason::UploadsDisabled));
    assert_eq!(refusal(&operator(), for_v1("a.pdf"), &off), None, "an operator's are its own");
    let off = Settings { operator_upload_enabled: false, ..Settings::default() };
    assert_eq!(refusal(&operator(), for_v1("a.pdf"), &off), Some(Reason::UploadsDisabled));
    assert_eq!(refusal(&online(Some("v1")), for_v1("a.zip"), &Settings::default()), Some(Reason::TypeNotAllowed));
    assert_eq!(refusal(&operator(), for_v1("a.zip"), &Settings::default()), None);
    let asked = |persistent| Declared { persistent: Some(persistent), ..for_v1("a.pdf") };
    assert_eq!(refusal(&online(Some("v1")), asked(true), &Settings::default()), Some(Reason::BadArgument));
    assert!(admitted(&operator(), asked(true), &Settings::default()).persistent);
    assert!(!admitted(&operator(), for_v1("a.pdf"), &Settings::default()).persistent, "no library file");
}

#[test]
fn origin_of_a_person_is_refused() {
    let acted = |caller: Caller| Caller {
        ceiling: Some(Ceiling { service: "b".parse().expect("valid"), chats: ChatSet::All }),
        ..caller
    };
    for origin in [Origin::Screenshot, Origin::Form, Origin::Mail] {
        let declared = || Declared { origin: Some(origin), ..for_v1("a.pdf") };
        for person in [online(Some("v1")), operator(), acted(online(Some("v1"))), acted(operator())] {
            let refused = admit(&person, declared(), None, &Settings::default(), READY).expect_err("a person");
            assert_eq!((refused.reason, refused.get("field")), (Reason::BadArgument, Some("origin")), "{person:?}");
        }
        assert_eq!(admitted(&service(), declared(), &Settings::default()).declared().origin, Some(origin));
    }
}
