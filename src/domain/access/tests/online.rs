//! What is uploaded for an online visitor: who reaches and reads it.
//!
//! Not here: who uploads it (`admission/tests/target.rs`).

use super::*;

/// Somebody else's file for the online visitor `v1`.
fn for_v1(caller: &Caller) -> FileView {
    let mut view = view(caller, Relation::Library);
    view.file.visitor_id = Some("v1".parse().expect("valid"));
    view
}

fn online(vid: Option<&str>) -> Caller {
    Caller { vid: vid.map(|vid| vid.parse().expect("valid")), ..caller("visitor:9f", &[]) }
}

#[test]
fn what_is_for_an_online_visitor_is_no_library_file_and_reached_as_the_table_says() {
    use Permission::*;
    // Reached under CHAT_ACCESS; read under CHAT_ACCESS, under ANY_OPERATOR.
    let (yes, no) = (true, false);
    let some = || ChatSet::from_ids(["42"]).expect("valid");
    let table = [
        (online(Some("v1")), [yes, yes, yes]),
        (online(Some("v2")), [no, no, no]),
        (online(None), [no, no, no]),
        // The id of the token is another matter than its vid.
        (Caller { person: person("visitor:v1"), ..online(None) }, [no, no, no]),
        (caller("operator:17", &[]), [no, no, no]),
        (caller("operator:17", &[UseOperator]), [no, no, yes]),
        (caller("operator:17", &[FileList]), [yes, no, no]),
        (entitled_service(), [yes, yes, yes]),
        (caller("service:backend", Permission::ALL), [no, no, no]),
        (acted_for(online(Some("v1")), ChatSet::All), [yes, yes, yes]),
        (acted_for(online(Some("v1")), some()), [no, no, no]),
    ];
    for (caller, [reached, by_access, by_any]) in table {
        let file = for_v1(&caller);
        assert_eq!(see(&caller, Some(&file), &chat_access()).is_ok(), reached, "{caller:?}");
        for (settings, readable) in [(chat_access(), by_access), (any_operator(), by_any)] {
            let seen = see(&caller, Some(&file), &settings).is_ok();
            let found = seen && read(&caller, &file, &settings, NOW, Way::Direct).is_ok();
            assert_eq!(found, readable, "{caller:?} {:?}", settings.operator_download);
        }
    }
    let operator = caller("operator:17", &[UseOperator]);
    let mut own = for_v1(&operator);
    own.file.uploader = operator.person.clone();
    assert!(see(&operator, Some(&own), &chat_access()).is_ok(), "its uploader");
}

#[test]
fn an_online_visitor_reads_its_files_whatever_became_of_its_chats_and_under_link_by_a_link() {
    use VisitorDownload::{Forever, Link, WhileChatOpen};
    let visitor = online(Some("v1"));
    let closed = vec![chat(ChatStatus::Closed, Some(5_000))];
    for chats in [Vec::new(), closed] {
        let file = FileView { chats, ..for_v1(&visitor) };
        for (rule, expected) in [(WhileChatOpen, [true, true]), (Link, [false, true]), (Forever, [true, true])] {
            let settings = with(OperatorDownload::ChatAccess, rule);
            let seen = [Way::Direct, Way::Link].map(|way| read(&visitor, &file, &settings, NOW, way).is_ok());
            assert_eq!(seen, expected, "{rule:?}");
        }
    }
}
