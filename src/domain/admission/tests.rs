//! Tests of the three decisions, of the chat judged again, and of the options told before.
//!
//! Not here: what agrees with an extension (`media_type/tests.rs`), names (`name.rs`).

mod target;
mod verdict;

use super::*;
use crate::domain::{
    ChatSet, ChatStatus, Permission, Permissions,
    media_type::{ArchiveTrouble, Format, MAX_PIXELS},
};

const READY: Service = Service { scanner_healthy: true, room_bytes: 1 << 30 };
const MIB: u64 = 1 << 20;

fn caller(subject: &str, permissions: &[Permission]) -> Caller {
    Caller {
        person: subject.parse().expect("a valid subject"),
        permissions: permissions.iter().copied().collect::<Permissions>(),
        chats: ChatSet::from_ids(["42"]).expect("valid"),
        vid: None,
        ceiling: None,
    }
}

fn visitor() -> Caller {
    caller("visitor:9f", &[])
}

fn operator() -> Caller {
    caller("operator:17", &[Permission::UseOperator, Permission::UploadNewFile])
}

fn service() -> Caller {
    Caller { chats: ChatSet::All, ..caller("service:backend", Permission::ALL) }
}

fn chat(status: ChatStatus) -> Chat {
    Chat {
        id: "42".parse().expect("valid"),
        status,
        owner: None,
        closed_at: (status == ChatStatus::Closed).then_some(Time::from_secs(1000)),
        upload_override: None,
        version: 1,
        deleted: false,
    }
}

fn to_chat(name: &str) -> Declared {
    Declared {
        target: Target::Chat("42".parse().expect("valid")),
        name: name.into(),
        content_type: String::new(),
        size: Some(MIB),
        sha256: None,
        persistent: None,
        request_id: None,
        message_id: None,
        origin: None,
    }
}

fn to_library(name: &str) -> Declared {
    Declared { target: Target::Library, ..to_chat(name) }
}

/// The reason of a refusal, or None.
fn reason<T>(result: Result<T, Refusal>) -> Option<Reason> {
    result.err().map(|r| r.reason)
}

fn admitted(caller: &Caller, declared: Declared, settings: &Settings) -> Admitted {
    let chat = declared.target.chat().map(|_| chat(ChatStatus::Active));
    admit(caller, declared, chat.as_ref(), settings, READY).expect("admitted")
}

#[test]
fn the_first_check_that_fails_answers() {
    let mut caller = caller("operator:17", &[]);
    let mut chat = Chat { deleted: true, ..chat(ChatStatus::Closed) };
    let mut settings = Settings { operator_upload_enabled: false, read_only: true, ..Settings::default() };
    let mut service = Service { scanner_healthy: false, room_bytes: 0 };
    let mut declared = Declared {
        size: Some(u64::MAX),
        persistent: Some(true),
        message_id: Some(String::new()),
        ..to_chat("a/b.exe")
    };
    // Everything is wrong; each step repairs what answered and uncovers the next.
    let mut seen = Vec::new();
    for _ in 0..20 {
        let Err(refusal) = admit(&caller, declared.clone(), Some(&chat), &settings, service) else { break };
        seen.push(refusal.reason.name());
        match refusal.reason {
            Reason::MissingPermission => caller.permissions = Permissions::from_iter([Permission::UseOperator]),
            Reason::NotFound => chat.deleted = false,
            Reason::UploadsDisabled => settings.operator_upload_enabled = true,
            Reason::ReadOnly => settings.read_only = false,
            Reason::BadArgument => declared.message_id = None,
            Reason::BadName => declared.name = "b.exe".into(),
            Reason::TypeNotAllowed => declared.name = "b.pdf".into(),
            Reason::TooLarge => declared.size = Some(0),
            Reason::Empty => declared.size = Some(1),
            Reason::NoSpace => service.room_bytes = 1,
            Reason::ScannerDown => service.scanner_healthy = true,
            other => panic!("{other:?} has no place here"),
        }
    }
    let order = "MISSING_PERMISSION NOT_FOUND UPLOADS_DISABLED READ_ONLY BAD_ARGUMENT BAD_NAME TYPE_NOT_ALLOWED \
                 TOO_LARGE EMPTY NO_SPACE SCANNER_DOWN";
    assert_eq!(seen.join(" "), order);
}

#[test]
fn a_visitor_learns_of_its_closed_chat_before_anything_else() {
    let settings = Settings { visitor_upload_enabled: false, read_only: true, ..Settings::default() };
    let service = Service { scanner_healthy: false, room_bytes: 0 };
    let closed = chat(ChatStatus::Closed);
    assert_eq!(reason(admit(&visitor(), to_chat(""), Some(&closed), &settings, service)), Some(Reason::ChatClosed));
    let settings = Settings { read_only: false, ..settings };
    let open = chat(ChatStatus::Active);
    assert_eq!(reason(admit(&visitor(), to_chat(""), Some(&open), &settings, service)), Some(Reason::UploadsDisabled));
}

#[test]
fn an_upload_to_a_chat_needs_the_chat_and_of_operators_and_services_the_permission() {
    use Permission::{UploadNewFile, UseOperator};
    let open = chat(ChatStatus::Active);
    let elsewhere = |c: Caller| Caller { chats: ChatSet::none(), ..c };
    let owned = Chat { owner: Some("17".parse().expect("valid")), ..open.clone() };
    let table = [
        (visitor(), Some(&open), None),
        (elsewhere(visitor()), Some(&open), Some(Reason::NotFound)),
        (visitor(), None, Some(Reason::NotFound)),
        (caller("operator:17", &[UploadNewFile]), Some(&open), Some(Reason::MissingPermission)),
        (caller("operator:17", &[UseOperator]), Some(&open), None),
        (elsewhere(operator()), Some(&open), Some(Reason::NotFound)),
        (elsewhere(operator()), Some(&owned), None),
        (operator(), None, Some(Reason::NotFound)),
        (caller("service:backend", &[UseOperator]), Some(&open), None),
        (caller("service:backend", &[UseOperator]), None, Some(Reason::NotFound)),
        (Caller { chats: ChatSet::All, ..caller("service:b", &[]) }, Some(&open), Some(Reason::MissingPermission)),
        // Only a service entitled to all chats is told that a chat is unknown.
        (service(), None, Some(Reason::ChatUnknown)),
    ];
    for (caller, chat, expected) in table {
        let result = admit(&caller, to_chat("a.pdf"), chat, &Settings::default(), READY);
        assert_eq!(reason(result), expected, "{caller:?} {chat:?}");
    }
}

#[test]
fn a_library_upload_needs_its_own_permission() {
    use Permission::{UploadNewFile, UseOperator};
    for (caller, expected) in [
        (caller("operator:17", &[UseOperator]), Some(Reason::MissingPermission)),
        (caller("operator:17", &[UploadNewFile]), None),
        (visitor(), Some(Reason::MissingPermission)),
        (service(), None),
    ] {
        let result = admit(&caller, to_library("a.pdf"), None, &Settings::default(), READY);
        assert_eq!(reason(result), expected, "{caller:?}");
    }
}

#[test]
fn only_visitors_are_bound_to_an_open_chat() {
    use ChatStatus::{Active, Bot, Closed, Pending};
    for status in [Pending, Active, Bot, Closed] {
        for (caller, expected) in
            [(visitor(), (status == Closed).then_some(Reason::ChatClosed)), (operator(), None), (service(), None)]
        {
            let result = admit(&caller, to_chat("a.pdf"), Some(&chat(status)), &Settings::default(), READY);
            assert_eq!(reason(result), expected, "{caller:?} {status:?}");
        }
    }
}

#[test]
fn switching_uploads_off_stops_each_kind_and_a_chats_override_wins_for_visitors() {
    let off = Some(Reason::UploadsDisabled);
    // caller, visitors' setting, operators' setting, the chat's override | refused?
    let table = [
        (visitor(), true, false, None, None),
        (visitor(), false, true, None, off),
        (visitor(), false, true, Some(true), None),
        (visitor(), true, true, Some(false), off),
        (operator(), false, true, Some(false), None),
        (operator(), true, false, Some(true), off),
        (service(), false, false, Some(false), None),
    ];
    for (caller, visitors, operators, upload_override, expected) in table {
        let settings =
            Settings { visitor_upload_enabled: visitors, operator_upload_enabled: operators, ..Settings::default() };
        let chat = Chat { upload_override, ..chat(ChatStatus::Active) };
        let result = admit(&caller, to_chat("a.pdf"), Some(&chat), &settings, READY);
        assert_eq!(reason(result), expected, "{caller:?} {visitors} {operators} {upload_override:?}");
    }
    let settings = Settings { operator_upload_enabled: false, ..Settings::default() };
    assert_eq!(reason(admit(&operator(), to_library("a.pdf"), None, &settings, READY)), off);
}

#[test]
fn a_library_file_is_persistent_unless_told_otherwise_others_only_for_use_operator() {
    let uploader = caller("operator:17", &[Permission::UploadNewFile]);
    for (caller, declared, asked, expected) in [
        (&uploader, to_library("a.pdf"), None, Ok(true)),
        (&uploader, to_library("a.pdf"), Some(true), Ok(true)),
        (&uploader, to_library("a.pdf"), Some(false), Ok(false)),
        (&operator(), to_chat("a.pdf"), None, Ok(false)),
        (&operator(), to_chat("a.pdf"), Some(false), Ok(false)),
        (&operator(), to_chat("a.pdf"), Some(true), Ok(true)),
        (&service(), to_chat("a.pdf"), Some(true), Ok(true)),
        (&visitor(), to_chat("a.pdf"), None, Ok(false)),
        (&visitor(), to_chat("a.pdf"), Some(false), Ok(false)),
        (&visitor(), to_chat("a.pdf"), Some(true), Err(Reason::BadArgument)),
        // Whatever permission its token claims.
        (&caller("visitor:9f", Permission::ALL), to_chat("a.pdf"), Some(true), Err(Reason::BadArgument)),
    ] {
        let declared = Declared { persistent: asked, ..declared };
        let open = chat(ChatStatus::Active);
        let result = admit(caller, declared, Some(&open), &Settings::default(), READY);
        assert_eq!(result.map(|a| a.persistent).map_err(|r| r.reason), expected, "{caller:?} {asked:?}");
    }
}

#[test]
fn a_message_id_has_1_to_128_bytes_without_control_characters() {
    for (id, ok) in
        [("", false), ("7", true), (&"x".repeat(128), true), (&"x".repeat(129), false), ("a\nb", false), ("é", true)]
    {
        let declared = Declared { message_id: Some(id.into()), ..to_chat("a.pdf") };
        let result = admit(&operator(), declared, Some(&chat(ChatStatus::Active)), &Settings::default(), READY);
        assert_eq!(reason(result), (!ok).then_some(Reason::BadArgument), "{id}");
    }
}

#[test]
fn each_kind_of_caller_has_its_list_and_a_bots_chat_may_have_its_own() {
    let settings = Settings {
        visitor_extensions: vec!["pdf".into()],
        operator_extensions: vec!["zip".into()],
        bot_extensions: vec!["mp3".into()],
        ..Settings::default()
    };
    let no_bot = Settings { bot_extensions: Vec::new(), ..settings.clone() };
    let (active, bot) = (chat(ChatStatus::Active), chat(ChatStatus::Bot));
    for (caller, chat, settings, list) in [
        (visitor(), &active, &settings, "pdf"),
        (visitor(), &bot, &settings, "mp3"),
        (visitor(), &bot, &no_bot, "pdf"),
        (operator(), &bot, &settings, "zip"),
        (service(), &active, &settings, "zip"),
    ] {
        for extension in ["pdf", "zip", "mp3"] {
            let result = admit(&caller, to_chat(&format!("A.{extension}")), Some(chat), settings, READY);
            let Err(refusal) = result else {
                assert_eq!(extension, list, "{caller:?} {:?}", chat.status);
                continue;
            };
            assert_ne!(extension, list, "{caller:?} {:?}", chat.status);
            assert_eq!((refusal.reason, refusal.get("allowed")), (Reason::TypeNotAllowed, Some(list)));
        }
    }
}

#[test]
fn the_last_extension_counts_whatever_its_case() {
    for (name, ok) in [("a.PDF", true), ("a.exe.pdf", true), ("a.pdf.exe", false), ("pdf", false), ("a.pdf.", false)] {
        let result = admit(&visitor(), to_chat(name), Some(&chat(ChatStatus::Active)), &Settings::default(), READY);
        assert_eq!(reason(result), (!ok).then_some(Reason::TypeNotAllowed), "{name}");
    }
    let pasted = Declared { content_type: "image/png".into(), ..to_chat("") };
    assert_eq!(admitted(&visitor(), pasted, &Settings::default()).name.as_str(), "clipboard.png");
    let nameless = admit(&visitor(), to_chat(""), Some(&chat(ChatStatus::Active)), &Settings::default(), READY);
    assert_eq!(reason(nameless), Some(Reason::BadName));
}

#[test]
fn the_largest_size_passes_one_more_is_refused_and_an_unknown_one_waits() {
    let settings = Settings { max_file_bytes: 1000, ..Settings::default() };
    let open = chat(ChatStatus::Active);
    for (size, expected) in [
        (None, None),
        (Some(1), None),
        (Some(1000), None),
        (Some(1001), Some(Reason::TooLarge)),
        (Some(u64::MAX), Some(Reason::TooLarge)),
        (Some(0), Some(Reason::Empty)),
    ] {
        let declared = Declared { size, ..to_chat("a.pdf") };
        assert_eq!(reason(admit(&visitor(), declared, Some(&open), &settings, READY)), expected, "{size:?}");
    }
    assert_eq!(admitted(&visitor(), Declared { size: None, ..to_chat("a.pdf") }, &settings).max_bytes(), 1000);
    assert_eq!(too_large(1000).get("limit_bytes"), Some("1000"));
}

#[test]
fn room_is_needed_for_the_declared_size_or_at_least_for_a_byte() {
    let open = chat(ChatStatus::Active);
    for (size, room_bytes, ok) in
        [(Some(500), 500, true), (Some(500), 499, false), (None, 1, true), (None, 0, false), (Some(1), 0, false)]
    {
        let declared = Declared { size, ..to_chat("a.pdf") };
        let service = Service { room_bytes, ..READY };
        let result = admit(&visitor(), declared, Some(&open), &Settings::default(), service);
        match result {
            Ok(_) => assert!(ok, "{size:?} {room_bytes}"),
            Err(refusal) => {
                assert!(!ok && refusal.retry_after.is_some(), "{size:?} {room_bytes}");
                assert_eq!(refusal.reason, Reason::NoSpace);
            }
        }
    }
}

#[test]
fn the_scope_says_whose_uploads_need_a_scanner() {
    use AntivirusScope::{Everyone, Visitors};
    // antivirus on, scope | visitor, operator, service
    for (on, scope, due) in [
        (true, Everyone, [true, true, true]),
        (true, Visitors, [true, false, false]),
        (false, Everyone, [false, false, false]),
        (false, Visitors, [false, false, false]),
    ] {
        let settings = Settings { antivirus_enabled: on, antivirus_scope: scope, ..Settings::default() };
        let without = Service { scanner_healthy: false, ..READY };
        for (caller, due) in [visitor(), operator(), service()].into_iter().zip(due) {
            assert_eq!(admitted(&caller, to_chat("a.pdf"), &settings).scan_due(), due, "{caller:?} {on} {scope:?}");
            let result = admit(&caller, to_chat("a.pdf"), Some(&chat(ChatStatus::Active)), &settings, without);
            assert_eq!(reason(result), due.then_some(Reason::ScannerDown), "{caller:?} {on} {scope:?}");
        }
    }
    assert!(scanner_down().retry_after.is_some());
}
