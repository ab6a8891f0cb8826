//! The server's memory does not grow with the size of a file: what it needs for 1 MiB, and 8 MiB more at most.

use bytes::Bytes;
use tokio_stream::StreamExt as _;

use crate::harness::{
    Node, Operator, Setup,
    calls::request,
    pb::{
        self, DownloadFileRequest, UploadCommit, UploadFileRequest, UploadHeader, download_file_request,
        download_file_response, upload_header::Target,
    },
    process,
    upload::{CHUNK, chunk, commit, header},
};

const MIB: u64 = 1 << 20;
/// What a large file may cost more than a small one.
const MARGIN: u64 = 8 * MIB;

/// The messages of a text of so many MiB, made as they are sent.
pub fn messages(mib: u64) -> impl tokio_stream::Stream<Item = UploadFileRequest> + Send + 'static {
    let target = Some(Target::ChatId("42".to_owned()));
    let head = UploadHeader { display_name: "a.txt".to_owned(), target, ..UploadHeader::default() };
    let lines = format!("a file of {mib} MiB, line by line, and the same lines again and again\n");
    let piece: Bytes = lines.into_bytes().into_iter().cycle().take(CHUNK).collect();
    let count = mib * MIB / CHUNK as u64;
    let chunks = (0..count).map(move |_| chunk(piece.clone()));
    let end = UploadCommit { size_bytes: Some((mib * MIB) as i64), sha256: None };
    tokio_stream::iter(std::iter::once(header(head)).chain(chunks).chain([commit(end)]))
}

async fn in_and_out(node: &Node, mib: u64) {
    let operator = Operator::new();
    let answer = node.send_upload(&operator, messages(mib)).await;
    let file = answer.unwrap_or_else(|s| panic!("{mib} MiB: {s:?}")).file.expect("told");
    let by = Some(download_file_request::By::FileId(file.file_id));
    let what = DownloadFileRequest { by, ..DownloadFileRequest::default() };
    let mut stream = node.files().download_file(request(&operator, what)).await.expect("its own").into_inner();
    let (mut bytes, mut hash) = (0, <sha2::Sha256 as sha2::Digest>::new());
    while let Some(message) = stream.next().await {
        if let Some(download_file_response::Part::Chunk(piece)) = message.expect("a whole file").part {
            bytes += piece.data.len() as u64;
            sha2::Digest::update(&mut hash, &piece.data);
        }
    }
    assert_eq!(bytes, mib * MIB);
    assert_eq!(data_encoding::HEXLOWER.encode(&sha2::Digest::finalize(hash)), file.sha256);
}

/// So many files of `small` MiB, then one of `mib`.
pub async fn costs_no_more_than(node: &Node, files: u32, small: u64, mib: u64) {
    node.put_chat("42").await;
    // The allocator's pools and the threads' stacks come with use, whatever the size.
    for _ in 0..files {
        in_and_out(node, small).await;
    }
    let before = process::peak_memory(node.pid());
    in_and_out(node, mib).await;
    let after = process::peak_memory(node.pid());
    println!("peak memory: {} KiB for {small} MiB, {} KiB for {mib} MiB", before / 1024, after / 1024);
    assert!(after <= before + MARGIN, "{before} bytes for {small} MiB, {after} for {mib} MiB");
}

/// One that takes files of so many MiB.
pub async fn node(setup: Setup, max_mib: u64, antivirus: bool) -> Node {
    let node = Node::start(setup.config("spool.reserve_percent = 0")).await;
    let change = |s: &mut pb::Settings| {
        s.max_file_bytes = (max_mib * MIB) as i64;
        s.antivirus_enabled = antivirus;
    };
    node.set(&["antivirus_enabled", "max_file_bytes"], change).await.expect("the scanner is fitted to it");
    node
}

#[tokio::test]
async fn scanned_128_mib_in_and_out_cost_no_more_memory_than_1_mib() {
    costs_no_more_than(&node(Setup::on_disk(), 128, true).await, 32, 1, 128).await;
}

#[tokio::test]
#[ignore = "soak: scans 1 GiB, some minutes"]
async fn scanned_1_gib_in_and_out_cost_no_more_memory_than_1_mib() {
    costs_no_more_than(&node(Setup::on_disk(), 1024, true).await, 32, 1, 1024).await;
}

#[tokio::test]
#[ignore = "soak: moves 4 GiB and needs 9 GiB of disk"]
async fn unscanned_4_gib_in_and_out_cost_no_more_memory_than_1_mib() {
    costs_no_more_than(&node(Setup::on_disk(), 4096, false).await, 32, 1, 4096).await;
}
