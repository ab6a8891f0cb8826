//! Names that lie or bite: line breaks, terminal codes, overrides of direction, traversal, device names, quotes.

use tonic::Code;

use crate::harness::{
    Operator, Visitor, assert_refused,
    calls::request,
    pb::{self, DownloadFileRequest, download_file_request, download_file_response::Part},
    samples, shared,
};

/// Names that are never stored.
fn hostile() -> Vec<String> {
    [
        "a\r\nSet-Cookie: x=1.pdf",
        "a\n.pdf",
        "a\r.pdf",
        "a\0.pdf",
        "a.pdf\0.exe",
        "\u{1b}[2Ja.pdf",
        "a\u{7}.pdf",
        "a\u{9b}31m.pdf",
        "a\u{85}.pdf",
        "a\t.pdf",
        "a\u{7f}.pdf",
        "a\u{202e}fdp.exe",
        "\u{2066}a.pdf",
        "a\u{200f}.pdf",
        "a\u{061c}.pdf",
        "a\u{2028}.pdf",
        "a\u{2029}.pdf",
        "\u{feff}a.pdf",
        "../a.pdf",
        "..\\a.pdf",
        "/etc/a.pdf",
        "C:\\a.pdf",
        "a/b.pdf",
        ".",
        "..",
        " ",
        "\u{a0}\u{2003}",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(["x".repeat(252) + ".pdf", "é".repeat(126) + ".pdf", "x".repeat(100_000) + ".pdf"])
    .collect()
}

/// Names that are strange, and allowed; the last extension counts.
fn strange() -> Vec<String> {
    [
        "CON.pdf",
        "nul.PDF",
        "aux.c.pdf",
        "LPT1.pdf",
        "a.php.pdf",
        "a.pdf.pdf",
        "a\"b.pdf",
        "a'b.pdf",
        "a;b.pdf",
        "a\";filename=\"evil.exe\".pdf",
        "a%0d%0ab.pdf",
        "%2e%2e%2fa.pdf",
        "=cmd|' calc'!A0.pdf",
        "<b>a<b>.pdf",
        "$(reboot).pdf",
        "`id`.pdf",
        "--help.pdf",
        "-rf.pdf",
        "~.pdf",
        "Größe 日本語 🎉.pdf",
        ".htaccess.pdf",
        " a .pdf",
        "a:stream.pdf",
        "a|b*c?.pdf",
        "a\u{301}.pdf",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain(["x".repeat(251) + ".pdf"])
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_are_refused_at_upload_and_at_rename() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let operator = Operator::new().of_chats(&[&chat]);
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&operator).await;
    for name in hostile() {
        for answer in [
            node.upload(&name, samples::sample("pdf")).to_chat(&chat).by(&operator).await,
            node.upload(&name, samples::sample("pdf")).to_chat(&chat).by(&Visitor::of_chat(&chat)).await,
        ] {
            let status = assert_refused(answer, Code::InvalidArgument, "BAD_NAME");
            assert!(name.len() < 4 || !status.message().contains(&name), "a name is not told back: {name:?}");
        }
        let update_mask = Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] });
        let update = pb::UpdateFileRequest {
            file_id: file.file_id.clone(),
            display_name: name.clone(),
            update_mask,
            ..Default::default()
        };
        assert_refused(node.files().update_file(request(&operator, update)).await, Code::InvalidArgument, "BAD_NAME");
    }
    assert_eq!(node.chat_files(&chat, &operator).await.expect("its own"), [file]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_whose_last_extension_is_another_do_not_pass() {
    let node = shared().await;
    let chat = node.new_chat().await;
    for name in [
        "a.pdf.exe",
        "a.pdf.",
        "a.pdf ",
        "a.pdf. ",
        "a.p df",
        "a.\u{ff50}\u{ff44}\u{ff46}",
        "a\u{ff0e}pdf",
        "a.pdf\u{200b}",
        "a.pdf:$DATA",
        "a.pdf;.exe",
        "a.pdf%00",
        "a.pdf%00.jsp",
        "pdf",
        "a.php",
        "a.pdf.php",
        ".pdf.htaccess",
    ] {
        let answer = node.upload(name, samples::sample("pdf")).to_chat(&chat).by(&Visitor::of_chat(&chat)).await;
        assert!(answer.is_err(), "{name:?}");
        assert_refused(answer, Code::InvalidArgument, "TYPE_NOT_ALLOWED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strange_names_are_kept_as_they_are_and_break_no_header() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let visitor = Visitor::of_chat(&chat);
    for name in strange() {
        let file = node.upload(&name, samples::sample("pdf")).to_chat(&chat).passes_by(&visitor).await;
        assert_eq!((file.display_name.as_str(), file.extension.as_str()), (name.as_str(), "pdf"));
        let by = Some(download_file_request::By::FileId(file.file_id.clone()));
        let what = DownloadFileRequest { by, ..Default::default() };
        let mut stream = node.files().download_file(request(&visitor, what)).await.expect("its own").into_inner();
        let Some(Part::Header(header)) = stream.message().await.expect("its own").expect("a message").part else {
            panic!("a header comes first");
        };
        assert_well_formed(&header.disposition, &name);
    }
}

/// RFC 6266: `attachment; filename="…"; filename*=UTF-8''…` in visible ASCII, with no quote that ends too early.
fn assert_well_formed(disposition: &str, name: &str) {
    assert!(disposition.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{disposition:?}");
    let rest = disposition.strip_prefix("attachment; filename=\"").unwrap_or_else(|| panic!("{disposition:?}"));
    let (plain, rest) = rest.split_once("\"; filename*=UTF-8''").unwrap_or_else(|| panic!("{disposition:?}"));
    let mut escaped = false;
    for c in plain.chars() {
        assert!(escaped || c != '"', "a quote that ends the name: {disposition:?}");
        escaped = !escaped && c == '\\';
    }
    assert!(!escaped, "{disposition:?}");
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~%".contains(&byte);
    assert!(rest.bytes().all(safe), "only attr-char and percent: {disposition:?}");
    let decoded = percent_encoding::percent_decode_str(rest).decode_utf8().expect("UTF-8");
    assert_eq!(decoded, name, "{disposition:?}");
}
