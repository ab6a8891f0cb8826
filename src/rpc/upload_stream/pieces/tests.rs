//! The reader of pieces against prost's own encoding, however the bytes are cut on their way.

use std::{collections::VecDeque, convert::Infallible};

use bytes::BufMut as _;
use futures_util::StreamExt as _;
use http_body::Frame;

use super::*;
use crate::rpc::pb::{UploadCommit, UploadHeader};

/// A message as gRPC sends it.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.put_u32(u32::try_from(message.len()).expect("short"));
    bytes.extend_from_slice(message);
    bytes
}

fn encoded(part: Part) -> Vec<u8> {
    framed(&UploadFileRequest { part: Some(part) }.encode_to_vec())
}

fn bytes_of(count: usize) -> Bytes {
    (0..count).map(|n| u8::try_from(n * 7 % 251).expect("below 251")).collect::<Vec<_>>().into()
}

/// A body that arrives in these parts.
struct InParts(VecDeque<Bytes>);

impl http_body::Body for InParts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
    }
}

/// What comes out of a body that arrives in parts of `cut` bytes.
async fn read(bytes: &[u8], cut: usize) -> Vec<Result<Part, StreamFault>> {
    let body = Body::new(InParts(bytes.chunks(cut).map(Bytes::copy_from_slice).collect()));
    Pieces::new(body).map(|item| item.map(|message| message.part.expect("a part"))).collect().await
}

/// The data of all chunks, in order, and whether every checksum that was told is right.
fn joined(parts: &[Result<Part, StreamFault>]) -> (Vec<u8>, bool) {
    let chunks = parts.iter().filter_map(|part| match part {
        Ok(Part::Chunk(chunk)) => Some(chunk),
        _ => None,
    });
    chunks.fold((Vec::new(), true), |(mut data, right), chunk| {
        data.extend_from_slice(&chunk.data);
        let told = chunk.crc32c.is_none_or(|told| told == crc_fast::crc32_iscsi(&chunk.data));
        (data, right && told)
    })
}

#[tokio::test]
async fn an_upload_is_the_same_however_its_bytes_are_cut() {
    let header = UploadHeader { display_name: "a.pdf".into(), ..UploadHeader::default() };
    let sizes = [1, 100, SMALL - 10, SMALL, 70_000, 1];
    let mut sent = encoded(Part::Header(header.clone()));
    for (number, size) in sizes.into_iter().enumerate() {
        let data = bytes_of(size);
        let crc32c = (number % 2 == 0 || size == 70_000).then(|| crc_fast::crc32_iscsi(&data));
        sent.extend(encoded(Part::Chunk(UploadChunk { data, crc32c })));
    }
    sent.extend(encoded(Part::Commit(UploadCommit::default())));
    let whole: Vec<u8> = sizes.into_iter().flat_map(bytes_of).collect();
    for cut in [1, 2, 3, 5, 7, 16, 17, 18, 1000, SMALL, 16_384, 65_536, sent.len()] {
        let got = read(&sent, cut).await;
        assert_eq!(got.first(), Some(&Ok(Part::Header(header.clone()))), "cut {cut}");
        assert_eq!(got.last(), Some(&Ok(Part::Commit(UploadCommit::default()))), "cut {cut}");
        assert!(joined(&got) == (whole.clone(), true), "cut {cut}");
    }
}

#[tokio::test]
async fn a_wrong_checksum_is_told_with_the_last_piece() {
    for size in [10, SMALL + 1, 70_000] {
        let data = bytes_of(size);
        let crc32c = Some(!crc_fast::crc32_iscsi(&data));
        let sent = encoded(Part::Chunk(UploadChunk { data, crc32c }));
        for cut in [1, 1000, sent.len()] {
            assert!(!joined(&read(&sent, cut).await).1, "{size} cut {cut}");
        }
    }
}

#[tokio::test]
async fn a_chunk_is_passed_on_before_it_is_whole() {
    let sent = encoded(Part::Chunk(UploadChunk { data: bytes_of(70_000), crc32c: None }));
    let got = read(&sent[..40_000], 10_000).await;
    assert!(joined(&got).0.len() >= 30_000);
}

#[tokio::test]
async fn fields_in_another_order_are_read_as_protobuf_says() {
    let data = bytes_of(20_000);
    let crc = crc_fast::crc32_iscsi(&data);
    let only_data = UploadChunk { data: data.clone(), crc32c: None }.encode_to_vec();
    let only_crc = UploadChunk { data: Bytes::new(), crc32c: Some(crc) }.encode_to_vec();
    let chunk = [only_crc, only_data].concat();
    let mut message = vec![CHUNK_TAG];
    prost::encoding::encode_varint(chunk.len() as u64, &mut message);
    message.extend(chunk);
    let got = read(&framed(&message), 1000).await;
    assert_eq!(got, vec![Ok(Part::Chunk(UploadChunk { data, crc32c: Some(crc) }))]);
}

#[tokio::test]
async fn what_is_too_large_is_refused_at_its_announcement() {
    let announced = [[0].as_slice(), &u32::MAX.to_be_bytes()].concat();
    assert_eq!(read(&announced, 5).await.first(), Some(&Err(StreamFault::TooLarge)));
    let one_over = encoded(Part::Chunk(UploadChunk { data: bytes_of(MAX_CHUNK_BYTES + 1), crc32c: None }));
    assert_eq!(read(&one_over[..20], 20).await.first(), Some(&Err(StreamFault::TooLarge)));
    let just = encoded(Part::Chunk(UploadChunk { data: bytes_of(MAX_CHUNK_BYTES), crc32c: None }));
    assert!(joined(&read(&just, 65_536).await) == (bytes_of(MAX_CHUNK_BYTES).to_vec(), true));
}

#[tokio::test]
async fn what_is_no_message_breaks_the_stream() {
    let compressed = [1, 0, 0, 0, 1, 0];
    let nonsense = framed(&[0xFF; 40]);
    for sent in [&compressed[..], &nonsense] {
        assert_eq!(read(sent, 3).await.first(), Some(&Err(StreamFault::Broken)));
    }
}
