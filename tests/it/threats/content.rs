//! Content that is more than it says: polyglots, scripts in pictures, pages under other names; and how it is served.

use tonic::Code;

use crate::harness::{
    Node, Operator, Service, Setup, Visitor, assert_refused,
    calls::request,
    pb::{self, DownloadHeader, download_file_request, download_file_response::Part},
    samples, shared,
};

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

const PAGE: &[u8] = b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>";
const SCRIPT_SVG: &[u8] =
    b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"><script>alert(2)</script></svg>";

#[tokio::test(flavor = "multi_thread")]
async fn polyglots_and_pages_under_other_names_are_refused() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let (gif, png, jpg, pdf) =
        (samples::sample("gif"), samples::sample("png"), samples::sample("jpg"), samples::sample("pdf"));
    let zip = samples::sample("zip");
    let jar = std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/zip/java.jar"))
        .expect("in the checkout");
    let exe = joined(&[b"MZ\x90\0", &[0; 56], b"\x40\0\0\0", b"PE\0\0\x4c\x01", &[0; 200]]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("gifar.gif", joined(&[&gif, &jar])),
        ("zip behind.png", joined(&[&png, &zip])),
        ("zip behind.jpg", joined(&[&jpg, &zip])),
        ("pdf behind.jpg", joined(&[&jpg, &pdf])),
        ("page behind.png", joined(&[&png, PAGE])),
        ("page behind.gif", joined(&[&gif, PAGE])),
        ("program behind.png", joined(&[&png, &exe])),
        ("page.png", PAGE.to_vec()),
        ("page.pdf", PAGE.to_vec()),
        ("page.svg", PAGE.to_vec()),
        ("svg.png", SCRIPT_SVG.to_vec()),
        ("gif head.png", joined(&[b"GIF89a", PAGE])),
        ("pdf.png", pdf.clone()),
        ("png.pdf", png.clone()),
        ("zip.docx", zip.clone()),
        ("jar.docx", jar.clone()),
        ("program.pdf", exe.clone()),
        ("script.pdf", b"#!/bin/sh\nreboot\n".to_vec()),
        ("php.jpg", b"<?php system($_GET['c']); ?>".to_vec()),
        ("php head.gif", b"GIF89a<?php system($_GET['c']); ?>".to_vec()),
    ];
    for (name, bytes) in cases {
        let answer = node.upload(name, bytes).to_chat(&chat).by(&Visitor::of_chat(&chat)).await;
        assert!(answer.is_err(), "{name}");
        assert_refused(answer, Code::InvalidArgument, "TYPE_MISMATCH");
    }
    for (name, bytes) in [("page.txt", PAGE.to_vec()), ("page.csv", PAGE.to_vec()), ("program.zip", exe)] {
        let answer = node.upload(name, bytes).to_chat(&chat).by(&Operator::new()).await;
        assert!(answer.is_err(), "{name}");
        assert_refused(answer, Code::InvalidArgument, "TYPE_MISMATCH");
    }
    assert_eq!(node.chat_files(&chat, &Service::all()).await.expect("the backend may"), []);
}

async fn header(node: &Node, file_id: &str, inline: bool, caller: &Visitor) -> DownloadHeader {
    let by = Some(download_file_request::By::FileId(file_id.to_owned()));
    let what = pb::DownloadFileRequest { by, inline, ..Default::default() };
    let mut stream = node.files().download_file(request(caller, what)).await.expect("its own").into_inner();
    match stream.message().await.expect("its own").expect("a message").part {
        Some(Part::Header(header)) => *header,
        other => panic!("a header comes first: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_a_file_never_decides_how_it_is_served() {
    let node = Node::start(Setup::new()).await;
    let chat = node.new_chat().await;
    let extensions = ["png", "jpg", "svg", "html", "js", "pdf", "txt", "unheardof"].map(str::to_owned).to_vec();
    node.set(&["visitor_extensions"], |s| s.visitor_extensions = extensions).await.expect("the backend may");
    let visitor = Visitor::of_chat(&chat);
    let cases: Vec<(&str, Vec<u8>, &str, bool)> = vec![
        ("a.png", samples::sample("png"), "image/png", true),
        ("a.jpg", samples::sample("jpg"), "image/jpeg", true),
        ("script.svg", SCRIPT_SVG.to_vec(), "image/svg+xml", false),
        ("page.html", PAGE.to_vec(), "application/octet-stream", false),
        ("script.js", b"alert(1)".to_vec(), "application/octet-stream", false),
        ("a.pdf", samples::sample("pdf"), "application/pdf", false),
        ("a.txt", b"just a text".to_vec(), "text/plain", false),
        ("a.unheardof", PAGE.to_vec(), "application/octet-stream", false),
    ];
    for (name, bytes, media_type, may_be_inline) in cases {
        for claimed in ["text/html", "image/png", "text/html\r\nX-Evil: 1", ""] {
            let upload = node.upload(name, bytes.clone()).to_chat(&chat);
            let file = upload.with(|header| claimed.clone_into(&mut header.content_type)).passes_by(&visitor).await;
            assert_eq!(file.media_type, media_type, "{name} as {claimed:?}");
            let saved = header(&node, &file.file_id, false, &visitor).await;
            assert!(saved.disposition.starts_with("attachment; "), "{name}: {}", saved.disposition);
            assert_eq!(saved.media_type, media_type);
            let shown = header(&node, &file.file_id, true, &visitor).await;
            let inline = shown.disposition.starts_with("inline; ");
            assert_eq!(inline, may_be_inline, "{name}: {}", shown.disposition);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_does_not_change_what_a_file_is() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let visitor = Visitor::of_chat(&chat);
    let file = node.upload("a.pdf", samples::sample("pdf")).to_chat(&chat).passes_by(&visitor).await;
    for name in ["a.html", "a.png", "a.exe", "a"] {
        let update_mask = Some(prost_types::FieldMask { paths: vec!["display_name".to_owned()] });
        let update = pb::UpdateFileRequest {
            file_id: file.file_id.clone(),
            display_name: name.to_owned(),
            update_mask,
            ..Default::default()
        };
        node.files().update_file(request(&Operator::new(), update)).await.expect("any name");
        let header = header(node, &file.file_id, true, &visitor).await;
        assert_eq!(header.media_type, "application/pdf");
        assert!(header.disposition.starts_with("attachment; "), "{}", header.disposition);
        let file = header.file.expect("the file");
        assert_eq!((file.extension.as_str(), file.display_name.as_str()), ("pdf", name));
    }
}
