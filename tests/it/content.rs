//! Checks 11 and 12 of an upload: is it what its name says, and can it be judged as a whole?
//!
//! Not here: the verdict (`antivirus.rs`). Which bytes agree with which extension is told in a table in
//! `src/domain/media_type.rs`, and tested there one by one.

use tonic::Code;

use crate::harness::{
    Operator, Visitor,
    archives::{Member, nested, zip},
    assert_refused,
    refusal::facts_of,
    samples, shared,
};

/// The default list of operators; `samples::sample` has a real file of each.
pub const EXTENSIONS: [&str; 21] = [
    "gif", "jpg", "jpeg", "png", "webp", "zip", "svg", "rar", "xls", "xlsx", "doc", "docx", "pdf", "ogg", "m4a", "wav",
    "mp3", "mp4", "txt", "csv", "heic",
];

#[tokio::test]
async fn text_under_the_name_of_any_other_type_is_refused() {
    let node = shared().await;
    let chat = node.new_chat().await;
    for extension in EXTENSIONS.iter().filter(|e| !["txt", "csv", "heic"].contains(e)) {
        let upload = node.upload(&format!("a.{extension}"), samples::text(3000, extension)).to_chat(&chat);
        upload.refused_by(&Operator::new(), Code::InvalidArgument, "TYPE_MISMATCH").await;
    }
}

#[tokio::test]
async fn real_file_under_the_name_of_another_type_is_refused() {
    let node = shared().await;
    let chat = node.new_chat().await;
    for (is, named) in [
        ("png", "jpg"),
        ("jpg", "png"),
        ("docx", "xlsx"),
        ("xlsx", "docx"),
        ("zip", "docx"),
        ("pdf", "docx"),
        ("doc", "xls"),
        ("mp3", "wav"),
        ("png", "txt"),
        ("pdf", "csv"),
        ("zip", "pdf"),
        ("svg", "png"),
    ] {
        let upload = node.upload(&format!("a.{named}"), samples::sample(is)).to_chat(&chat);
        let result = upload.by(&Operator::new()).await.map(|_| format!("{is} as {named}"));
        assert_refused(result, Code::InvalidArgument, "TYPE_MISMATCH");
    }
    assert!(node.chat_files(&chat, &Operator::new()).await.expect("known").is_empty());
    node.assert_none_under_way(&chat).await;
}

#[tokio::test]
async fn image_with_something_else_behind_it_is_refused() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let archive = zip(&[Member::stored("evil.class", b"\xca\xfe\xba\xbe and so on")]);
    for (image, tail) in [
        ("gif", archive.clone()),
        ("png", archive.clone()),
        ("jpg", archive),
        ("png", samples::sample("pdf")),
        ("png", b"<!DOCTYPE html><html><script>alert(1)</script></html>".to_vec()),
        ("jpg", b"<html><body onload=alert(1)></body></html>".to_vec()),
    ] {
        let bytes = [samples::sample(image), tail].concat();
        let upload = node.upload(&format!("a.{image}"), bytes).to_chat(&chat);
        upload.refused_by(&Visitor::of_chat(&chat), Code::InvalidArgument, "TYPE_MISMATCH").await;
    }
}

#[tokio::test]
async fn image_of_more_than_100_megapixels_is_refused_by_its_header() {
    let node = shared().await;
    let chat = node.new_chat().await;
    for (width, height, passes) in [(10_000_u32, 10_000_u32, true), (10_000, 10_001, false), (100_000, 10_000, false)] {
        let upload = node.upload("a.png", png_header(width, height)).to_chat(&chat);
        match passes {
            true => {
                let file = upload.passes_by(&Visitor::of_chat(&chat)).await;
                assert_eq!((file.width, file.height), (Some(10_000), Some(10_000)));
                node.put_chat("image-too-large").await;
            }
            false => {
                let upload = upload.to_chat("image-too-large");
                let visitor = Visitor::of_chat("image-too-large");
                let status = upload.refused_by(&visitor, Code::InvalidArgument, "IMAGE_TOO_LARGE").await;
                assert_eq!(facts_of(&status)["limit_pixels"], "100000000");
            }
        }
    }
}

/// The real PNG, its IHDR chunk telling another size.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = samples::sample("png");
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc_fast::crc32_iso_hdlc(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[tokio::test]
async fn archive_that_cannot_be_judged_as_a_whole_is_unscannable() {
    let node = shared().await;
    let limits = node.scanner_status().await.expect("an administrator may ask").limits.expect("told");
    let scan = u32::try_from(limits.max_scan_bytes).expect("below 4 GiB");
    let files = usize::try_from(limits.max_files).expect("positive");
    let deep = usize::try_from(limits.max_recursion).expect("positive");
    let many = |n: usize| -> Vec<Member> { (0..n).map(|i| Member::stored(&format!("{i}.txt"), b"x")).collect() };
    let chat = node.new_chat().await;
    for (what, bytes) in [
        ("unpacks beyond the limit", zip(&[Member::zeros("zeros", scan + 1)])),
        ("unpacks to ten times the limit", zip(&[Member::zeros("zeros", scan.saturating_mul(10))])),
        ("unpacks beyond it in many members", zip(&[0, 1, 2, 3, 4, 5].map(|_| Member::zeros("z", scan / 5)))),
        ("one member too many", zip(&many(files + 1))),
        ("too deep", nested(deep + 1)),
        ("encrypted", zip(&[Member::stored("secret.txt", b"0123456789abcdef").encrypted()])),
        ("unknown method", zip(&[Member::stored("odd.bin", b"0123456789").by_method(77)])),
    ] {
        let upload = node.upload("a.zip", bytes).to_chat(&chat);
        let status = upload.refused_by(&Operator::new(), Code::InvalidArgument, "UNSCANNABLE").await;
        assert!(!facts_of(&status)["cause"].is_empty(), "{what}");
    }
}

#[tokio::test]
async fn archive_of_many_small_members_and_some_depth_passes() {
    let node = shared().await;
    let chat = node.new_chat().await;
    let many: Vec<Member> = (0..1000).map(|i| Member::stored(&format!("{i}.txt"), b"x")).collect();
    for bytes in [zip(&many), nested(5), zip(&[Member::zeros("zeros", 10 << 20)])] {
        node.upload("a.zip", bytes).to_chat(&chat).passes_by(&Operator::new()).await;
    }
}
