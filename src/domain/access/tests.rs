//! The rules of access as tables: callers x relations x settings.

use super::*;
use crate::domain::{
    Blob, BlobKey, Ceiling, ChatSet, ChatStatus, CodeHash, File, FileId, Permissions, Person, Sha256, Verdict,
    VerdictKind, name::DisplayName,
};

const NOW: Time = Time::from_secs(1_000_000);
const ALL: [Relation; 4] = [Relation::Own, Relation::Attached, Relation::Library, Relation::Foreign];

/// How a file stands to the caller. Files but the library's have a home chat that the caller may not access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// Uploaded by the caller, attached to nothing that it may access.
    Own,
    /// Somebody else's, attached to a chat that the caller may access.
    Attached,
    /// Somebody else's library file.
    Library,
    /// Somebody else's, in somebody else's chat.
    Foreign,
}

fn person(subject: &str) -> Person {
    subject.parse().expect("a valid subject")
}

fn caller(subject: &str, permissions: &[Permission]) -> Caller {
    Caller {
        person: person(subject),
        permissions: permissions.iter().copied().collect::<Permissions>(),
        chats: ChatSet::from_ids(["42"]).expect("valid"),
        vid: None,
        ceiling: None,
    }
}

fn entitled_service() -> Caller {
    Caller { chats: ChatSet::All, ..caller("service:backend", &[]) }
}

fn acted_for(mut caller: Caller, chats: ChatSet) -> Caller {
    caller.ceiling = Some(Ceiling { service: "backend".parse().expect("valid"), chats });
    caller
}

fn chat(status: ChatStatus, closed_secs_ago: Option<i64>) -> Chat {
    Chat {
        id: "42".parse().expect("valid"),
        status,
        owner: Some("17".parse().expect("valid")),
        closed_at: closed_secs_ago.map(|secs| NOW.plus_secs(-secs)),
        upload_override: None,
        version: 1,
        deleted: false,
    }
}

fn view(caller: &Caller, relation: Relation) -> FileView {
    let own = relation == Relation::Own;
    let name = DisplayName::new("a.pdf", "").expect("valid");
    FileView {
        file: File {
            id: FileId([1; 16]),
            number: 1 << 32,
            code_hash: CodeHash([2; 16]),
            state: FileState::Ready,
            extension: name.extension(),
            display_name: name,
            media_type: "application/pdf".into(),
            uploader: if own { caller.person.clone() } else { person("operator:somebody") },
            home_chat: (relation != Relation::Library).then(|| "7".parse().expect("valid")),
            visitor_id: None,
            origin: None,
            persistent: false,
            pixels: None,
            uploaded_sha256: Sha256([3; 32]),
            revision: 1,
            created_at: NOW,
            deleted_at: None,
            restored_at: None,
        },
        blob: Blob {
            id: 1,
            key: BlobKey([4; 16]),
            sha256: Sha256([3; 32]),
            size: 1,
            state: BlobState::Active,
            verdict: Verdict { kind: VerdictKind::Clean, engine: String::new(), signatures: String::new(), at: NOW },
        },
        chats: if relation == Relation::Attached { vec![chat(ChatStatus::Active, None)] } else { Vec::new() },
        chats_truncated: false,
    }
}

fn with(operator: OperatorDownload, visitor: VisitorDownload) -> Settings {
    Settings { operator_download: operator, visitor_download: visitor, ..Settings::default() }
}

fn chat_access() -> Settings {
    with(OperatorDownload::ChatAccess, VisitorDownload::WhileChatOpen)
}

fn any_operator() -> Settings {
    with(OperatorDownload::AnyOperator, VisitorDownload::WhileChatOpen)
}

/// Which relations the rule lets pass, as letters of their names.
fn letters(mut passes: impl FnMut(Relation) -> bool) -> String {
    let letter = |r| match r {
        Relation::Own => 'o',
        Relation::Attached => 'a',
        Relation::Library => 'l',
        Relation::Foreign => 'f',
    };
    ALL.into_iter().filter(|r| passes(*r)).map(letter).collect()
}

fn reach(caller: &Caller, settings: &Settings) -> String {
    letters(|relation| see(caller, Some(&view(caller, relation)), settings).is_ok())
}

mod online;

#[test]
fn reach_is_what_the_table_says() {
    use Permission::*;
    // own, attached, library, foreign | under CHAT_ACCESS, under ANY_OPERATOR
    let some = || ChatSet::from_ids(["42"]).expect("valid");
    let table = [
        (caller("visitor:9f", &[]), "a", "a"),
        // Permissions do not make a visitor see more.
        (caller("visitor:9f", Permission::ALL), "a", "a"),
        (caller("operator:17", &[]), "oa", "oa"),
        (caller("operator:17", &[FileDeleteChat, UploadNewFile, Use]), "oa", "oa"),
        (caller("operator:17", &[UseOperator]), "oal", "oalf"),
        (caller("operator:17", &[FileList]), "oalf", "oalf"),
        (caller("operator:17", &[FileDelete]), "oalf", "oalf"),
        (caller("service:backend", &[]), "a", "a"),
        (caller("service:backend", Permission::ALL), "a", "a"),
        (entitled_service(), "oalf", "oalf"),
        // Acting for somebody, a service sees no more than its own chats say.
        (acted_for(caller("operator:17", Permission::ALL), some()), "a", "a"),
        (acted_for(caller("operator:17", &[UseOperator]), ChatSet::none()), "a", "a"),
        (acted_for(caller("operator:17", &[UseOperator]), ChatSet::All), "oal", "oalf"),
    ];
    for (caller, by_access, by_any) in table {
        assert_eq!(reach(&caller, &chat_access()), by_access, "{caller:?}");
        assert_eq!(reach(&caller, &any_operator()), by_any, "{caller:?} under ANY_OPERATOR");
    }
}

#[test]
fn a_visitor_out_of_its_chat_does_not_reach_what_it_uploaded() {
    let visitor = caller("visitor:9f", &[]);
    assert_eq!(see(&visitor, Some(&view(&visitor, Relation::Own)), &chat_access()), Err(Refusal::not_found()));
}

#[test]
fn foreign_deleted_quarantined_purging_and_absent_are_one_not_found() {
    let settings = chat_access();
    for caller in [caller("operator:17", &[Permission::UseOperator]), entitled_service()] {
        let mut deleted = view(&caller, Relation::Attached);
        deleted.file.state = FileState::Deleted;
        let (mut quarantined, mut purging) = (view(&caller, Relation::Own), view(&caller, Relation::Own));
        quarantined.blob.state = BlobState::Quarantined;
        purging.blob.state = BlobState::Purging;
        for masked in [Some(&deleted), Some(&quarantined), Some(&purging), None] {
            assert_eq!(see(&caller, masked, &settings), Err(Refusal::not_found()));
        }
    }
    let stranger = caller("operator:17", &[]);
    assert_eq!(see(&stranger, Some(&view(&stranger, Relation::Foreign)), &settings), Err(Refusal::not_found()));
}

#[test]
fn operators_and_services_read_what_the_table_says_by_either_way() {
    use Permission::*;
    // What is within reach by file_list or file_delete is not thereby readable.
    let table = [
        (caller("operator:17", &[]), "oal", "oal"),
        (caller("operator:17", &[FileList, FileDelete]), "oal", "oal"),
        (caller("operator:17", &[UseOperator]), "oal", "oalf"),
        (caller("service:backend", &[]), "oalf", "oalf"),
    ];
    for (caller, by_access, by_any) in table {
        for way in [Way::Direct, Way::Link] {
            for (settings, expected) in [(chat_access(), by_access), (any_operator(), by_any)] {
                let readable = letters(|r| read(&caller, &view(&caller, r), &settings, NOW, way).is_ok());
                assert_eq!(readable, expected, "{caller:?} {way:?} {:?}", settings.operator_download);
            }
        }
    }
    let operator = caller("operator:17", &[FileList]);
    let refusal = read(&operator, &view(&operator, Relation::Foreign), &chat_access(), NOW, Way::Direct);
    assert_eq!(refusal.map_err(|r| r.reason), Err(Reason::DownloadNotAllowed));
}

#[test]
fn visitors_read_by_the_state_of_their_chat_the_setting_and_the_way() {
    use VisitorDownload::{Forever, Link, WhileChatOpen};
    let visitor = caller("visitor:9f", &[]);
    let pending = [chat(ChatStatus::Pending, None)];
    let bot = [chat(ChatStatus::Bot, None)];
    let in_grace = [chat(ChatStatus::Closed, Some(599))];
    let after_grace = [chat(ChatStatus::Closed, Some(600))];
    let one_of_two = [chat(ChatStatus::Closed, Some(5000)), chat(ChatStatus::Active, None)];
    let (yes, no) = (true, false);
    // chats | direct and by link under WHILE_CHAT_OPEN, LINK, FOREVER
    let table: [(&[Chat], [[bool; 2]; 3]); 6] = [
        (&pending, [[yes, yes], [no, yes], [yes, yes]]),
        (&bot, [[yes, yes], [no, yes], [yes, yes]]),
        (&in_grace, [[yes, yes], [no, yes], [yes, yes]]),
        (&after_grace, [[no, no], [no, yes], [yes, yes]]),
        (&one_of_two, [[yes, yes], [no, yes], [yes, yes]]),
        (&[], [[no, no], [no, no], [no, no]]),
    ];
    for (chats, expected) in table {
        let view = FileView { chats: chats.to_vec(), ..view(&visitor, Relation::Own) };
        for (rule, expected) in [WhileChatOpen, Link, Forever].into_iter().zip(expected) {
            let settings = with(OperatorDownload::AnyOperator, rule);
            let seen = [Way::Direct, Way::Link].map(|way| read(&visitor, &view, &settings, NOW, way).is_ok());
            assert_eq!(seen, expected, "{rule:?} {chats:?}");
        }
    }
}

#[test]
fn a_visitor_who_needs_a_link_is_told_how_to_get_one() {
    let visitor = caller("visitor:9f", &[]);
    let settings = with(OperatorDownload::ChatAccess, VisitorDownload::Link);
    let refusal =
        read(&visitor, &view(&visitor, Relation::Attached), &settings, NOW, Way::Direct).expect_err("refused");
    assert_eq!(refusal.reason, Reason::DownloadNotAllowed);
    assert!(refusal.message.contains("CreateDownloadLink"));
}

#[test]
fn the_grace_after_closing_is_the_setting() {
    let visitor = caller("visitor:9f", &[]);
    let closed = FileView { chats: vec![chat(ChatStatus::Closed, Some(30))], ..view(&visitor, Relation::Attached) };
    for (grace, allowed) in [(0, false), (30, false), (31, true)] {
        let settings = Settings { closed_chat_grace_seconds: grace, ..chat_access() };
        assert_eq!(read(&visitor, &closed, &settings, NOW, Way::Direct).is_ok(), allowed, "{grace}");
    }
}

#[test]
fn detaching_is_for_the_uploader_the_chats_owner_and_its_service() {
    use Permission::UseOperator;
    let owned = chat(ChatStatus::Closed, Some(1));
    let ownerless = Chat { owner: None, ..owned.clone() };
    let other_service = Caller { chats: ChatSet::none(), ..caller("service:x", &[UseOperator]) };
    // caller, relation | from the owned chat, from an ownerless one
    let table = [
        (caller("operator:17", &[UseOperator]), Relation::Attached, true, false),
        (caller("operator:18", &[UseOperator]), Relation::Attached, false, false),
        (caller("operator:18", &[UseOperator]), Relation::Own, true, true),
        (caller("operator:18", Permission::ALL), Relation::Attached, false, false),
        (caller("service:backend", &[UseOperator]), Relation::Attached, true, true),
        (other_service, Relation::Attached, false, false),
        // Without the permission nothing helps.
        (caller("operator:17", &[Permission::FileDelete]), Relation::Own, false, false),
        (caller("service:backend", &[]), Relation::Own, false, false),
        (caller("visitor:9f", &[]), Relation::Own, false, false),
    ];
    for (caller, relation, from_owned, from_ownerless) in table {
        for (chat, allowed) in [(&owned, from_owned), (&ownerless, from_ownerless)] {
            for (held, reason) in [(false, None), (true, Some(Reason::OnHold))] {
                let result = detach(&caller, &view(&caller, relation), chat, held).map_err(|r| r.reason);
                let expected = if allowed { reason } else { Some(Reason::MissingPermission) };
                assert_eq!(result.err(), expected, "{caller:?} {relation:?} {:?}", chat.owner);
            }
        }
    }
}

/// How a delete of an attached file of somebody else, or of an own one, goes.
fn deletion(caller: &Caller, relation: Relation, facts: DeleteFacts) -> Result<Deletion, Reason> {
    delete(caller, Some(&view(caller, relation)), facts, &chat_access()).map_err(|r| r.reason)
}

#[test]
fn deleting_is_what_the_table_says() {
    use Permission::*;
    use Relation::*;
    const YES: Result<Deletion, Reason> = Ok(Deletion::Delete);
    const DENIED: Result<Deletion, Reason> = Err(Reason::MissingPermission);
    const UNSEEN: Result<Deletion, Reason> = Err(Reason::NotFound);
    let table = [
        // (owns the home chat, attached to a chat of another owner)
        (caller("operator:17", &[FileDelete]), Foreign, (false, true), YES),
        (caller("operator:17", &[FileDelete]), Own, (false, true), YES),
        (entitled_service(), Foreign, (false, false), DENIED),
        (Caller { permissions: Permissions::all(), ..entitled_service() }, Foreign, (false, true), YES),
        (caller("service:backend", &[FileDelete]), Attached, (false, true), YES),
        (caller("service:backend", &[FileDelete]), Foreign, (false, false), UNSEEN),
        // file_delete_chat: what I uploaded, wherever it is attached.
        (caller("operator:17", &[FileDeleteChat]), Own, (false, true), YES),
        // Or of my own chat, unless another's chat has it, too.
        (caller("operator:17", &[FileDeleteChat]), Attached, (true, false), YES),
        (caller("operator:17", &[FileDeleteChat]), Attached, (true, true), DENIED),
        (caller("operator:17", &[FileDeleteChat]), Attached, (false, false), DENIED),
        (caller("operator:17", &[FileDeleteChat]), Foreign, (true, false), UNSEEN),
        // Owning and uploading alone give no right.
        (caller("operator:17", &[UseOperator, FileList]), Own, (true, false), DENIED),
        (caller("visitor:9f", &[]), Attached, (false, false), DENIED),
        (caller("visitor:9f", &[]), Own, (false, false), UNSEEN),
    ];
    for (caller, relation, (owns_home, elsewhere), expected) in table {
        for held in [false, true] {
            let facts = DeleteFacts { owns_home_chat: owns_home, attached_elsewhere: elsewhere, held };
            // Only who could delete it learns of the hold.
            let expected = if held && expected == YES { Err(Reason::OnHold) } else { expected };
            assert_eq!(deletion(&caller, relation, facts), expected, "{caller:?} {relation:?}");
        }
    }
}

#[test]
fn deleting_again_is_fine_for_who_could_have_done_it_and_not_found_for_all_others() {
    let facts = DeleteFacts { owns_home_chat: false, attached_elsewhere: false, held: true };
    let expected = [
        (caller("operator:17", &[Permission::FileDelete]), Ok(Deletion::AlreadyDone)),
        (caller("operator:17", &[Permission::FileDeleteChat]), Ok(Deletion::AlreadyDone)),
        (caller("operator:17", &[Permission::FileList]), Err(Refusal::not_found())),
        (entitled_service(), Err(Refusal::not_found())),
    ];
    for (caller, expected) in expected {
        let mut tombstone = view(&caller, Relation::Own);
        tombstone.file.state = FileState::Deleted;
        assert_eq!(delete(&caller, Some(&tombstone), facts, &chat_access()), expected, "{caller:?}");
    }
}

#[test]
fn a_quarantined_or_absent_file_cannot_be_deleted_by_anybody() {
    let caller = Caller { permissions: Permissions::all(), ..entitled_service() };
    let facts = DeleteFacts { owns_home_chat: true, attached_elsewhere: false, held: false };
    let mut quarantined = view(&caller, Relation::Own);
    quarantined.blob.state = BlobState::Quarantined;
    for view in [Some(&quarantined), None] {
        assert_eq!(delete(&caller, view, facts, &chat_access()), Err(Refusal::not_found()));
    }
}

#[test]
fn restoring_is_for_who_has_the_right_within_reach_and_grace_and_opens_no_file_that_never_was_deleted() {
    use Permission::FileRestore;
    use Relation::*;
    let all_chats = Caller { chats: ChatSet::All, ..caller("service:backend", &[FileRestore]) };
    let below_some = acted_for(caller("operator:17", &[FileRestore]), ChatSet::from_ids(["42"]).expect("valid"));
    let below_all = acted_for(caller("operator:17", &[FileRestore]), ChatSet::All);
    let table = [
        // Which of the relations it may restore; of those that never were deleted, which it sees.
        (caller("operator:17", &[FileRestore]), vec![Own, Attached, Library, Foreign], vec![Own, Attached]),
        (below_all, vec![Own, Attached, Library, Foreign], vec![Own, Attached]),
        (below_some, vec![Attached], vec![Attached]),
        (all_chats, vec![Own, Attached, Library, Foreign], vec![Own, Attached, Library, Foreign]),
        (caller("service:backend", &[FileRestore]), vec![Attached], vec![Attached]),
        (caller("operator:17", &[Permission::FileDelete, Permission::FileList]), vec![], vec![]),
        (caller("visitor:9f", &[FileRestore]), vec![], vec![]),
        (entitled_service(), vec![], vec![]),
    ];
    let settings = chat_access();
    let grace = settings.deleted_grace_days * 86_400;
    for (caller, restores, sees) in table {
        for relation in ALL {
            let mut file = view(&caller, relation);
            let ask = |file: &FileView, now: Time| restore(&caller, Some(file), &settings, now).ok();
            let there = sees.contains(&relation).then_some(Restoration::AlreadyDone);
            assert_eq!(ask(&file, NOW), there, "{caller:?} {relation:?}: it is there");
            let may = restores.contains(&relation);
            file.file.restored_at = Some(NOW);
            assert_eq!(ask(&file, NOW), may.then_some(Restoration::AlreadyDone), "{caller:?} {relation:?}: restored");
            (file.file.state, file.file.deleted_at) = (FileState::Deleted, Some(NOW));
            let end = NOW.plus_secs(grace);
            assert_eq!(ask(&file, Time(end.0 - 1)), may.then_some(Restoration::Restore), "{caller:?} {relation:?}");
            assert_eq!(ask(&file, end), None, "{caller:?} {relation:?}: the grace is over");
            file.blob.state = BlobState::Quarantined;
            assert_eq!(ask(&file, NOW), None, "{caller:?} {relation:?}: in quarantine");
        }
        assert_eq!(restore(&caller, None, &settings, NOW), Err(Refusal::not_found()));
    }
}
