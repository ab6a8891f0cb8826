//! Checks 1 to 8 of an upload: who, where, when, under which name, of which type, how large, how many at once.
//!
//! Not here: what happens once bytes flow (`stream.rs`), what they are (`content.rs`), the switches that an
//! administrator turns (`switches.rs`).

use tonic::Code;

use crate::harness::{
    Caller as _, Operator, Service, Visitor, assert_refused, callers,
    pb::{ChatStatus, UploadOverride},
    refusal::facts_of,
    samples, shared,
};

const MAX_FILE_BYTES: i64 = 20 << 20;

#[tokio::test]
async fn upload_without_a_good_token_is_refused_and_told_nothing_else() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let upload = node.upload("a.pdf", samples::text(64, "nobody")).to_chat(&chat);
    let operator = Operator::new();
    let mut expired = operator.claims();
    expired["exp"] = (callers::now() - 60).into();
    let mut foreign = operator.claims();
    foreign["aud"] = "another".into();
    let mut far = operator.claims();
    far["exp"] = (callers::now() + 25 * 3600).into();
    let tokens = [
        "nonsense".to_owned(),
        callers::sign(&operator.claims(), "another secret, as long as it has to be, but not ours"),
        callers::sign(&expired, callers::SECRET),
        callers::sign(&foreign, callers::SECRET),
        callers::sign(&far, callers::SECRET),
    ];
    for token in tokens {
        let status = upload.refused_by(token.as_str(), Code::Unauthenticated, "BAD_CREDENTIAL").await;
        assert!(facts_of(&status).is_empty(), "{status:?}");
    }
}

#[tokio::test]
async fn operator_without_the_permission_is_refused() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let to_chat = node.upload("a.pdf", samples::text(64, "no permission")).to_chat(&chat);
    for permissions in [&[][..], &["upload_new_file"], &["file_list", "file_delete"]] {
        to_chat.refused_by(&Operator::with(permissions), Code::PermissionDenied, "MISSING_PERMISSION").await;
    }
    let to_library = node.upload("a.pdf", samples::text(100, "library")).to_library();
    let result = to_library.by(&Operator::with(&["use_operator"])).await;
    assert_refused(result, Code::PermissionDenied, "MISSING_PERMISSION");
}

#[tokio::test]
async fn visitor_uploads_to_its_own_chat_only() {
    let node = shared().await;
    let (own, foreign) = (node.new_chat().await, node.new_chat().await);
    let visitor = Visitor::of_chat(&own);
    let bytes = samples::sample("png");
    let other = node.upload("a.png", samples::text(64, "not its own"));
    other.clone().to_chat(&foreign).refused_by(&visitor, Code::NotFound, "NOT_FOUND").await;
    other.to_chat("no-such-chat").refused_by(&visitor, Code::NotFound, "NOT_FOUND").await;
    let result = node.upload("a.png", bytes.clone()).to_library().by(&visitor).await;
    assert_refused(result, Code::PermissionDenied, "MISSING_PERMISSION");
    node.upload("a.png", bytes).to_chat(&own).passes_by(&visitor).await;
}

#[tokio::test]
async fn foreign_and_unknown_chats_are_the_same_to_all_but_a_service_of_all_chats() {
    let node = shared().await;
    let (own, foreign) = (node.new_chat().await, node.new_chat().await);
    let operator = Operator::new().of_chats(&[&own]);
    let text = |chat: &str| node.upload("a.txt", samples::text(100, chat)).to_chat(chat);
    let seen = text(&foreign).refused_by(&operator, Code::NotFound, "NOT_FOUND").await;
    let unseen = text("never-told").refused_by(&operator, Code::NotFound, "NOT_FOUND").await;
    assert_eq!((seen.message(), seen.details()), (unseen.message(), unseen.details()));
    let some = Service::all().of_chats(&[&own]);
    text("never-told").refused_by(&some, Code::NotFound, "NOT_FOUND").await;
    text("never-told").refused_by(&Service::all(), Code::NotFound, "CHAT_UNKNOWN").await;
}

#[tokio::test]
async fn visitor_uploads_while_pending_active_or_bot_and_others_always() {
    let node = shared().await;
    for (status, open) in
        [(ChatStatus::Pending, true), (ChatStatus::Active, true), (ChatStatus::Bot, true), (ChatStatus::Closed, false)]
    {
        let chat = format!("status-{}", status.as_str_name());
        node.put_chat_as(&chat, status, |_| {}).await;
        let upload = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat);
        match open {
            true => drop(upload.passes_by(&Visitor::of_chat(&chat)).await),
            false => {
                let result = upload.by(&Visitor::of_chat(&chat)).await;
                assert_refused(result, Code::FailedPrecondition, "CHAT_CLOSED");
                assert!(node.chat_files(&chat, &Operator::new()).await.expect("known").is_empty());
            }
        }
        upload.passes_by(&Operator::new()).await;
        upload.passes_by(&Service::all()).await;
    }
}

#[tokio::test]
async fn chat_may_forbid_its_visitor_to_upload() {
    let node = shared().await;
    let chat = "override-deny";
    let deny = |c: &mut crate::harness::pb::Chat| c.upload_override = UploadOverride::Deny.into();
    node.put_chat_as(chat, ChatStatus::Active, deny).await;
    let upload = node.upload("a.png", samples::text(64, "deny")).to_chat(chat);
    upload.refused_by(&Visitor::of_chat(chat), Code::FailedPrecondition, "UPLOADS_DISABLED").await;
    node.upload("a.png", samples::sample("png")).to_chat(chat).passes_by(&Operator::new()).await;
}

#[tokio::test]
async fn visitor_may_not_make_its_file_persistent() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let upload = node.upload("a.pdf", samples::text(64, "persistent")).to_chat(&chat);
    let upload = upload.with(|h| h.persistent = Some(true));
    upload.refused_by(&Visitor::of_chat(&chat), Code::InvalidArgument, "BAD_ARGUMENT").await;
}

#[tokio::test]
async fn library_file_is_persistent_unless_told_otherwise_and_a_chats_is_not() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let librarian = Operator::with(&["upload_new_file", "use_operator"]);
    let bytes = samples::sample("pdf");
    let library = node.upload("a.pdf", bytes.clone()).to_library();
    assert!(library.passes_by(&librarian).await.persistent);
    assert!(!library.clone().with(|h| h.persistent = Some(false)).passes_by(&librarian).await.persistent);
    let to_chat = node.upload("a.pdf", bytes).to_chat(&chat);
    assert!(!to_chat.passes_by(&librarian).await.persistent);
    assert!(to_chat.clone().with(|h| h.persistent = Some(true)).passes_by(&librarian).await.persistent);
}

#[tokio::test]
async fn upload_without_a_target_is_refused() {
    let node = shared().await;
    let result = node.upload("a.pdf", samples::text(64, "nowhere")).by(&Operator::with(&["*"])).await;
    assert_refused(result, Code::InvalidArgument, "BAD_ARGUMENT");
}

#[tokio::test]
async fn name_of_255_bytes_passes_and_of_256_and_2550_does_not() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new();
    let bytes = samples::sample("txt");
    let name = |bytes: usize| format!("{}.txt", "n".repeat(bytes - 4));
    let file = node.upload(&name(255), bytes.clone()).to_chat(&chat).passes_by(&operator).await;
    assert_eq!(file.display_name, name(255));
    let text = samples::text(64, "long name");
    for length in [256, 2550] {
        let upload = node.upload(&name(length), text.clone()).to_chat(&chat);
        let result = upload.by(&operator).await;
        assert_refused(result, Code::InvalidArgument, "BAD_NAME");
    }
    assert_eq!(node.chat_files(&chat, &operator).await.expect("known").len(), 1);
}

#[tokio::test]
async fn name_with_paths_controls_or_bidi_is_refused() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let bytes = samples::text(64, "bad names");
    for name in [
        "",
        ".",
        "..",
        "../a.pdf",
        "a/b.pdf",
        "a\\b.pdf",
        "a\0.pdf",
        "a\r\nb.pdf",
        "a\x1b[31m.pdf",
        "a\x7f.pdf",
        "a\u{85}.pdf",
        "a\u{202e}fdp.exe.pdf",
        "a\u{2066}.pdf",
    ] {
        let upload = node.upload(name, bytes.clone()).to_chat(&chat);
        upload.refused_by(&Operator::new(), Code::InvalidArgument, "BAD_NAME").await;
    }
}

#[tokio::test]
async fn odd_names_that_are_allowed_come_back_as_they_were() {
    let node = shared().await;
    let chat = node.new_chat().await;
    for name in
        ["CON.txt", "a.php.txt", "Änderung 請求書 🦊.txt", "a\"b;c=d%20e.txt", " a .TXT", "a．txt.txt", "-rf.txt"]
    {
        let upload = node.upload(name, samples::sample("txt")).to_chat(&chat);
        let file = upload.passes_by(&Operator::new()).await;
        assert_eq!((file.display_name.as_str(), file.extension.as_str()), (name, "txt"));
    }
}

#[tokio::test]
async fn nameless_image_becomes_clipboard_and_nothing_else_may_be_nameless() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let pasted = node.upload("", samples::sample("png")).to_chat(&chat).with(|h| h.content_type = "image/png".into());
    assert_eq!(pasted.passes_by(&Visitor::of_chat(&chat)).await.display_name, "clipboard.png");
    let text = samples::text(64, "nameless");
    let chat = node.new_chat().await;
    let other = node.upload("", text).to_chat(&chat).with(|h| h.content_type = "application/pdf".into());
    other.refused_by(&Visitor::of_chat(&chat), Code::InvalidArgument, "BAD_NAME").await;
}

#[tokio::test]
async fn extension_outside_the_callers_list_is_refused() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let text = samples::text(64, "types");
    for name in ["a.exe", "a.pdf.exe", "noextension", "a.", "a.html", "a.pdf ", ".htaccess"] {
        let upload = node.upload(name, text.clone()).to_chat(&chat);
        upload.refused_by(&Operator::new(), Code::InvalidArgument, "TYPE_NOT_ALLOWED").await;
        upload.refused_by(&Visitor::of_chat(&chat), Code::InvalidArgument, "TYPE_NOT_ALLOWED").await;
    }
    for extension in ["mp4", "zip", "rar", "xls", "txt", "csv"] {
        let upload = node.upload(&format!("a.{extension}"), text.clone()).to_chat(&chat);
        upload.refused_by(&Visitor::of_chat(&chat), Code::InvalidArgument, "TYPE_NOT_ALLOWED").await;
    }
}

#[tokio::test]
async fn declared_size_over_the_limit_is_refused_before_the_first_byte() {
    let node = shared().await;
    let chat = node.new_chat().await;
    for size in [MAX_FILE_BYTES + 1, MAX_FILE_BYTES * 10] {
        let upload = node.upload("a.txt", samples::text(64, "declared")).to_chat(&chat).declared_size(size);
        let status = upload.refused_by(&Operator::new(), Code::InvalidArgument, "TOO_LARGE").await;
        assert_eq!(facts_of(&status)["limit_bytes"], MAX_FILE_BYTES.to_string());
    }
}

#[tokio::test]
async fn file_of_exactly_the_limit_passes() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let bytes = samples::text(usize::try_from(MAX_FILE_BYTES).expect("positive"), "limit");
    let upload = node.upload("a.txt", bytes.clone()).to_chat(&chat).declared_size(MAX_FILE_BYTES);
    let file = upload.passes_by(&Operator::new()).await;
    assert_eq!((file.size_bytes, file.sha256), (MAX_FILE_BYTES, samples::sha256(&bytes)));
}

#[tokio::test]
async fn refusals_follow_the_order_of_the_checks() {
    let node = shared().await;
    let open = node.new_chat().await;
    node.put_chat_as("order-closed", ChatStatus::Closed, |_| {}).await;
    let deny = |c: &mut crate::harness::pb::Chat| c.upload_override = UploadOverride::Deny.into();
    node.put_chat_as("order-denied", ChatStatus::Active, deny).await;
    node.put_chat_as("order-closed-denied", ChatStatus::Closed, deny).await;
    let too_large = MAX_FILE_BYTES + 1;
    for (chat, name, size, code, reason) in [
        ("order-absent", "../a.exe", too_large, Code::NotFound, "NOT_FOUND"),
        ("order-closed", "../a.exe", too_large, Code::FailedPrecondition, "CHAT_CLOSED"),
        ("order-closed-denied", "a.pdf", 64, Code::FailedPrecondition, "CHAT_CLOSED"),
        ("order-denied", "../a.exe", too_large, Code::FailedPrecondition, "UPLOADS_DISABLED"),
        (&open, "../a.exe", too_large, Code::InvalidArgument, "BAD_NAME"),
        (&open, "a.exe", too_large, Code::InvalidArgument, "TYPE_NOT_ALLOWED"),
        (&open, "a.pdf", too_large, Code::InvalidArgument, "TOO_LARGE"),
        (&open, "a.pdf", 65, Code::InvalidArgument, "SIZE_MISMATCH"),
        (&open, "a.pdf", 64, Code::InvalidArgument, "TYPE_MISMATCH"),
    ] {
        let upload = node.upload(name, samples::text(64, "order")).to_chat(chat).declared_size(size);
        upload.refused_by(&Visitor::of_chat(chat), code, reason).await;
    }
}

#[tokio::test]
async fn upload_options_tell_what_an_upload_would_be_told() {
    use crate::harness::{
        Caller,
        calls::request,
        pb::{GetUploadOptionsRequest, get_upload_options_request::Target},
    };
    async fn options(caller: &impl Caller, chat: &str) -> Result<(bool, Vec<String>, usize, i64), tonic::Status> {
        let target = Some(Target::ChatId(chat.to_owned()));
        let asked = request(caller, GetUploadOptionsRequest { target });
        let told = shared().await.files().get_upload_options(asked).await?.into_inner();
        Ok((told.allowed, told.reasons, told.extensions.len(), told.max_file_bytes))
    }
    let node = shared().await;
    let open = node.new_chat().await;
    node.put_chat_as("options-closed", ChatStatus::Closed, |_| {}).await;
    let visitor = options(&Visitor::of_chat(&open), &open).await.expect("its own chat");
    assert_eq!(visitor, (true, vec![], 10, MAX_FILE_BYTES));
    let operator = options(&Operator::new(), &open).await.expect("it may see all chats");
    assert_eq!(operator, (true, vec![], 20, MAX_FILE_BYTES));
    let closed = options(&Visitor::of_chat("options-closed"), "options-closed").await.expect("its own chat");
    assert_eq!((closed.0, closed.1), (false, vec!["CHAT_CLOSED".to_owned()]));
    let lacking = options(&Operator::with(&[]), &open).await.expect("any caller may ask");
    assert_eq!((lacking.0, lacking.1, lacking.2), (false, vec!["MISSING_PERMISSION".to_owned()], 0));
    let foreign = options(&Visitor::of_chat(&open), "options-closed").await;
    assert_refused(foreign, Code::NotFound, "NOT_FOUND");
}
