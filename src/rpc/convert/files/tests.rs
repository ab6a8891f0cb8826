//! Which chats a row tells to whom, and the bounds of what a list may ask for.

use super::*;
use crate::domain::{
    Blob, BlobKey, BlobState, Chat, ChatSet, ChatStatus, CodeHash, FileId, Permissions, Sha256, Time, Verdict,
    listing::FileFilter, name::Extension,
};

fn chat(id: &str) -> Chat {
    Chat {
        id: id.parse().expect("valid"),
        status: ChatStatus::Active,
        owner: None,
        closed_at: None,
        upload_override: None,
        version: 1,
        deleted: false,
    }
}

fn view(home: Option<&str>, chats: &[&str]) -> FileView {
    FileView {
        file: domain::File {
            id: FileId([1; 16]),
            number: 1 << 32,
            code_hash: CodeHash([2; 16]),
            state: FileState::Ready,
            display_name: DisplayName::new("Größe.png", "").expect("a name"),
            extension: Extension::from_stored("png".into()),
            media_type: "image/png".into(),
            uploader: "operator:17".parse().expect("valid"),
            home_chat: home.map(|id| id.parse().expect("valid")),
            visitor_id: None,
            origin: None,
            persistent: false,
            pixels: Some((3, 4)),
            uploaded_sha256: Sha256([5; 32]),
            revision: 1,
            created_at: Time(1_500_000),
            deleted_at: None,
            restored_at: None,
        },
        blob: Blob {
            id: 1,
            key: BlobKey([6; 16]),
            sha256: Sha256([7; 32]),
            size: 9,
            state: BlobState::Active,
            verdict: Verdict {
                kind: VerdictKind::Clean,
                engine: "ClamAV 1.4.3".into(),
                signatures: "1".into(),
                at: Time(0),
            },
        },
        chats: chats.iter().map(|id| chat(id)).collect(),
        chats_truncated: true,
    }
}

fn caller(chats: &[&str]) -> Caller {
    Caller {
        person: "operator:17".parse().expect("valid"),
        permissions: Permissions::NONE,
        chats: ChatSet::from_ids(chats.iter().copied()).expect("valid"),
        vid: None,
        ceiling: None,
    }
}

#[test]
fn a_row_tells_what_is_known_of_the_file() {
    let file = file(view(Some("42"), &["43", "42"]), &caller(&["42", "43"]));
    assert_eq!((file.width, file.height, file.size_bytes), (Some(3), Some(4), 9));
    assert_eq!(file.message_code, format!("[file=4294967296_{}_img]", "02".repeat(16)));
    assert_eq!((file.sha256, file.uploaded_sha256), ("07".repeat(32), "05".repeat(32)));
    assert_eq!((file.home_chat_id, file.chat_ids), ("42".into(), vec!["42".to_owned(), "43".to_owned()]));
    assert_eq!(file.create_time, Some(prost_types::Timestamp { seconds: 1, nanos: 500_000_000 }));
    assert_eq!(file.uploader, Some(pb::Caller { kind: pb::CallerKind::Operator.into(), id: "17".into() }));
}

#[test]
fn the_home_chat_is_told_only_to_who_may_access_it() {
    let home = |chats: &[&str], caller: &Caller| file(view(Some("42"), chats), caller).home_chat_id;
    assert_eq!(home(&["43"], &caller(&["43"])), "");
    assert_eq!(home(&["42"], &caller(&[])), "42", "its owner");
    assert_eq!(home(&[], &caller(&["*"])), "42");
    let ceiling = domain::Ceiling { service: "b".parse().expect("valid"), chats: ChatSet::none() };
    assert_eq!(home(&[], &Caller { ceiling: Some(ceiling), ..caller(&["*"]) }), "");
}

#[test]
fn a_visitor_is_told_of_no_other_online_visitor() {
    let mut view = view(None, &["42"]);
    (view.file.visitor_id, view.file.origin) = (Some("v1".parse().expect("valid")), Some(Origin::Screenshot));
    let told = file(view.clone(), &caller(&[]));
    assert_eq!((told.visitor_id.as_str(), told.origin()), ("v1", pb::Origin::Screenshot));
    for (vid, told) in [(Some("v1"), "v1"), (Some("v2"), ""), (None, "")] {
        let vid = vid.map(|vid| vid.parse().expect("valid"));
        let visitor = Caller { person: "visitor:v1".parse().expect("valid"), vid, ..caller(&["42"]) };
        assert_eq!(file(view.clone(), &visitor).visitor_id, told);
    }
}

fn download(by_link: bool) -> Download {
    Download {
        view: view(Some("42"), &["42"]),
        offset: 2,
        length: 3,
        inline: true,
        by_link,
        chunks: Box::pin(futures_util::stream::empty()),
    }
}

#[test]
fn a_link_tells_what_serving_needs_and_no_more() {
    let whole = file(view(Some("42"), &["42"]), &caller(&["42"]));
    let pb::File { file_id, display_name, media_type, size_bytes, sha256, .. } = whole;
    let less = pb::File { file_id, display_name, media_type, size_bytes, sha256, ..pb::File::default() };
    for (download, asking) in [(download(true), None), (download(true), Some(caller(&["*"]))), (download(false), None)]
    {
        let file = download_header(&download, asking.as_ref()).file.expect("a file");
        assert_eq!(file, less);
    }
    let file = download_header(&download(false), Some(&caller(&["42"]))).file.expect("a file");
    assert_eq!(file.home_chat_id, "42");
}

#[test]
fn a_download_says_how_to_serve_it_and_inline_only_what_is_harmless() {
    let header = download_header(&download(true), None);
    assert_eq!(header.disposition, "inline; filename=\"Gr__e.png\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.png");
    assert_eq!((header.media_type.as_str(), header.total_bytes, header.offset, header.length), ("image/png", 9, 2, 3));
    let mut svg = download(true);
    svg.view.file.extension = Extension::from_stored("svg".into());
    assert!(download_header(&svg, None).disposition.starts_with("attachment; "));
    svg.view.file.extension = Extension::from_stored("html".into());
    assert_eq!(download_header(&svg, None).media_type, "application/octet-stream");
}

#[test]
fn a_list_asks_within_bounds() {
    let ids = |n: usize| vec!["1".to_owned(); n];
    let sent = pb::ListFilesRequest::default;
    assert!(visitor_list_request(pb::ListVisitorFilesRequest::default()).is_err(), "a visitor must be named");
    let empty = list_request(sent()).expect("nothing in particular");
    assert_eq!((empty.filter, empty.page_size), (FileFilter::default(), 50));
    assert!(list_request(pb::ListFilesRequest { chat_ids: ids(100), operator_ids: ids(100), ..sent() }).is_ok());
    for (bad, field) in [
        (pb::ListFilesRequest { chat_ids: ids(101), ..sent() }, "chat_ids"),
        (pb::ListFilesRequest { operator_ids: ids(101), ..sent() }, "operator_ids"),
        (pb::ListFilesRequest { chat_ids: vec!["a b".into()], ..sent() }, "chat_id"),
        (pb::ListFilesRequest { operator_ids: vec![String::new()], ..sent() }, "operator_id"),
        (pb::ListFilesRequest { name_contains: "x".repeat(256), ..sent() }, "name_contains"),
        (pb::ListFilesRequest { name_contains: "\0".into(), ..sent() }, "name_contains"),
        (pb::ListFilesRequest { extension: ".pdf".into(), ..sent() }, "extension"),
        (pb::ListFilesRequest { media_type: "a\nb".into(), ..sent() }, "media_type"),
        (pb::ListFilesRequest { sha256: "x".into(), ..sent() }, "sha256"),
        (pb::ListFilesRequest { min_size_bytes: Some(-1), ..sent() }, "min_size_bytes"),
        (pb::ListFilesRequest { max_size_bytes: Some(i64::MIN), ..sent() }, "max_size_bytes"),
        (pb::ListFilesRequest { verdict: 99, ..sent() }, "verdict"),
        (pb::ListFilesRequest { visitor_id: "a b".into(), ..sent() }, "visitor_id"),
        (pb::ListFilesRequest { origin: 99, ..sent() }, "origin"),
        (pb::ListFilesRequest { order: 99, ..sent() }, "order"),
        (pb::ListFilesRequest { page_size: 501, ..sent() }, "page_size"),
        (pb::ListFilesRequest { page_size: -1, ..sent() }, "page_size"),
    ] {
        assert_eq!(list_request(bad).expect_err(field).get("field"), Some(field));
    }
}

#[test]
fn a_change_is_what_the_mask_names() {
    let request = |paths: &[&str], name: &str| pb::UpdateFileRequest {
        file_id: FileId([1; 16]).to_string(),
        display_name: name.into(),
        persistent: true,
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|p| (*p).into()).collect() }),
        etag: Some("e".into()),
    };
    let (_, changed) = change(request(&["persistent"], "")).expect("a change");
    assert_eq!((changed.display_name, changed.persistent, changed.etag), (None, Some(true), Some("e".into())));
    let (_, changed) = change(request(&["*"], "b.pdf")).expect("a change");
    assert_eq!(changed.display_name.map(|n| n.to_string()), Some("b.pdf".into()));
    assert_eq!(change(request(&["display_name"], "")).expect_err("nameless").reason, domain::Reason::BadName);
    assert_eq!(change(request(&["file_id"], "")).expect_err("mask").get("field"), Some("update_mask"));
}

#[test]
fn a_download_by_id_needs_a_caller_and_a_range_is_not_negative() {
    use pb::download_file_request::By;
    let known = Identity::Known(caller(&[]));
    let ask = |by: Option<By>, offset, limit, identity: &Identity| {
        wanted(pb::DownloadFileRequest { by, offset, limit, inline: false }, identity).err().map(|r| r.reason)
    };
    let (id, link) = (Some(By::FileId(FileId([1; 16]).to_string())), Some(By::Link("x".into())));
    assert_eq!(ask(id.clone(), 0, 0, &known), None);
    assert_eq!(ask(link.clone(), 0, 0, &Identity::Anonymous), None);
    assert_eq!(ask(id.clone(), 0, 0, &Identity::Anonymous), Some(Reason::BadCredential));
    assert_eq!(ask(None, 0, 0, &Identity::Anonymous), Some(Reason::BadCredential));
    assert_eq!(ask(None, 0, 0, &known), Some(Reason::BadArgument));
    assert_eq!(ask(Some(By::FileId("x".into())), 0, 0, &known), Some(Reason::NotFound));
    assert_eq!(ask(id.clone(), -1, 0, &known), Some(Reason::BadRange));
    assert_eq!(ask(id, 0, i64::MIN, &known), Some(Reason::BadRange));
}
