//! Archives made by hand, so that each lie is one field.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::DeflateEncoder};

use super::*;

const LIMITS: ArchiveLimits =
    ArchiveLimits { max_unpacked_bytes: 4 << 20, max_member_bytes: 1 << 20, max_members: 100, max_depth: 10 };

fn crc(data: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(data);
    crc.sum()
}

fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("memory");
    encoder.finish().expect("memory")
}

#[derive(Clone)]
struct Member {
    name: String,
    flags: u16,
    method: u16,
    crc: u32,
    packed: Vec<u8>,
    unpacked: u32,
}

fn stored(name: &str, data: &[u8]) -> Member {
    let unpacked = u32::try_from(data.len()).expect("small");
    Member { name: name.into(), flags: 0, method: 0, crc: crc(data), packed: data.to_vec(), unpacked }
}

fn deflated(name: &str, data: &[u8]) -> Member {
    Member { method: 8, packed: deflate(data), ..stored(name, data) }
}

fn fields(parts: &[(u64, usize)]) -> Vec<u8> {
    parts.iter().flat_map(|(value, width)| value.to_le_bytes()[..*width].to_vec()).collect()
}

fn local(member: &Member) -> Vec<u8> {
    let length = member.packed.len() as u64;
    let mut bytes = b"PK\x03\x04".to_vec();
    let (flags, method) = (u64::from(member.flags), u64::from(member.method));
    bytes.extend(fields(&[(20, 2), (flags, 2), (method, 2), (0, 4), (u64::from(member.crc), 4), (length, 4)]));
    bytes.extend(fields(&[(u64::from(member.unpacked), 4), (member.name.len() as u64, 2), (0, 2)]));
    bytes.extend(member.name.as_bytes());
    bytes.extend(&member.packed);
    bytes
}

fn central(member: &Member, offset: usize) -> Vec<u8> {
    let length = member.packed.len() as u64;
    let mut bytes = b"PK\x01\x02".to_vec();
    let (flags, method) = (u64::from(member.flags), u64::from(member.method));
    bytes.extend(fields(&[(20, 2), (20, 2), (flags, 2), (method, 2), (0, 4), (u64::from(member.crc), 4)]));
    bytes.extend(fields(&[(length, 4), (u64::from(member.unpacked), 4), (member.name.len() as u64, 2)]));
    bytes.extend(fields(&[(0, 8), (0, 4), (offset as u64, 4)]));
    bytes.extend(member.name.as_bytes());
    bytes
}

/// Joins what lies in front of the directory and the directory.
fn close(mut bytes: Vec<u8>, entries: &[Vec<u8>]) -> Vec<u8> {
    let (offset, count, directory) = (bytes.len() as u64, entries.len() as u64, entries.concat());
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06");
    bytes.extend(fields(&[(0, 4), (count, 2), (count, 2), (directory.len() as u64, 4), (offset, 4), (0, 2)]));
    bytes
}

fn archive(members: &[Member]) -> Vec<u8> {
    let (mut bytes, mut entries) = (Vec::new(), Vec::new());
    for member in members {
        entries.push(central(member, bytes.len()));
        bytes.extend(local(member));
    }
    close(bytes, &entries)
}

fn judged(bytes: Vec<u8>, limits: ArchiveLimits) -> Option<ArchiveTrouble> {
    judge(&Bytes::from(bytes), 0, 0, limits).expect("memory cannot fail")
}

fn nested(levels: u32) -> Vec<u8> {
    (0..levels).fold(b"innermost".to_vec(), |inner, _| archive(&[deflated("inner.zip", &inner)]))
}

#[test]
fn honest_archives_pass() {
    assert_eq!(judged(archive(&[]), LIMITS), None);
    let members = [stored("a", b"stored"), deflated("b", &[7; 100_000]), stored("dir/", b""), deflated("e", b"")];
    assert_eq!(judged(archive(&members), LIMITS), None);
    assert_eq!(judged(nested(3), LIMITS), None);
}

#[test]
fn archives_of_streaming_writers_pass() {
    for (name, bytes) in [
        ("zip -", include_bytes!("../../../../tests/samples/zip/infozip-piped.zip").as_slice()),
        ("zip -0 -", include_bytes!("../../../../tests/samples/zip/infozip-piped-stored.zip")),
        ("zip - of nothing", include_bytes!("../../../../tests/samples/zip/infozip-piped-empty.zip")),
        ("jar", include_bytes!("../../../../tests/samples/zip/java.jar")),
        ("zipfile, deflated", include_bytes!("../../../../tests/samples/zip/python-streamed.zip")),
        ("zipfile, stored", include_bytes!("../../../../tests/samples/zip/python-streamed-stored.zip")),
        ("docx", include_bytes!("../../../../tests/samples/sample.docx")),
        ("xlsx", include_bytes!("../../../../tests/samples/sample.xlsx")),
        ("pptx", include_bytes!("../../../../tests/samples/sample.pptx")),
    ] {
        assert_eq!(judged(bytes.to_vec(), LIMITS), None, "{name}");
        let wrapped = archive(&[stored("inner.zip", bytes)]);
        assert_eq!(judged(wrapped, LIMITS), None, "{name} in a zip");
    }
}

#[test]
fn member_over_the_limit_is_found_by_one_byte_and_behind_it_nothing_hides() {
    let limit = usize::try_from(LIMITS.max_member_bytes).expect("small");
    assert_eq!(judged(archive(&[deflated("a", &vec![0; limit])]), LIMITS), None);
    assert_eq!(judged(archive(&[deflated("a", &vec![0; limit + 1])]), LIMITS), Some(ArchiveTrouble::MemberTooLarge));
    // what the scanner trims in silence: zeros beyond its file limit, then something small
    let limits = ArchiveLimits { max_member_bytes: 100 << 20, max_unpacked_bytes: 400 << 20, ..LIMITS };
    let trimmed = archive(&[deflated("zeros", &vec![0; 120 << 20]), stored("behind", b"behind")]);
    assert_eq!(judged(trimmed, limits), Some(ArchiveTrouble::MemberTooLarge));
}

#[test]
fn all_members_together_count() {
    let half = deflated("a", &vec![0; 1 << 20]);
    assert_eq!(judged(archive(&vec![half.clone(); 4]), LIMITS), None);
    assert_eq!(judged(archive(&vec![half; 5]), LIMITS), Some(ArchiveTrouble::UnpacksTooLarge));
    // 42.zip: small archives of small archives of large members
    let leaf = archive(&vec![deflated("0.dll", &vec![0; 1 << 20]); 3]);
    let bomb = archive(&vec![deflated("book.zip", &archive(&vec![deflated("page.zip", &leaf); 3])); 3]);
    assert!(bomb.len() < 20_000);
    assert_eq!(judged(bomb, LIMITS), Some(ArchiveTrouble::UnpacksTooLarge));
}

#[test]
fn declared_sizes_are_not_believed() {
    let lie = Member { unpacked: 5, ..deflated("a", &vec![0; 2 << 20]) };
    assert_eq!(judged(archive(&[lie]), LIMITS), Some(ArchiveTrouble::MemberTooLarge));
    let lie = Member { unpacked: 5, ..deflated("a", &[0; 2_000]) };
    assert_eq!(judged(archive(&[lie]), LIMITS), Some(ArchiveTrouble::Malformed));
}

#[test]
fn members_are_counted_over_all_depths() {
    let flat = |count| archive(&vec![stored("x", b""); count]);
    assert_eq!(judged(flat(100), LIMITS), None);
    assert_eq!(judged(flat(101), LIMITS), Some(ArchiveTrouble::TooManyMembers));
    assert_eq!(judged(flat(20_000), LIMITS), Some(ArchiveTrouble::TooManyMembers));
    let deep = archive(&[stored("a.zip", &flat(60)), stored("b.zip", &flat(60))]);
    assert_eq!(judged(deep, LIMITS), Some(ArchiveTrouble::TooManyMembers));
}

#[test]
fn nesting_beyond_the_limit_is_found() {
    assert_eq!(judged(nested(9), LIMITS), None);
    assert_eq!(judged(nested(10), LIMITS), Some(ArchiveTrouble::TooDeep));
    assert_eq!(judged(nested(20), LIMITS), Some(ArchiveTrouble::TooDeep));
    assert_eq!(judged(nested(20), ArchiveLimits { max_depth: 21, ..LIMITS }), None);
}

#[test]
fn encrypted_and_unreadable_members_are_found_also_inside() {
    let secret = archive(&[Member { flags: 1, ..stored("a", b"cipher") }]);
    assert_eq!(judged(secret.clone(), LIMITS), Some(ArchiveTrouble::Encrypted));
    assert_eq!(judged(archive(&[deflated("s.zip", &secret)]), LIMITS), Some(ArchiveTrouble::Encrypted));
    let aes = archive(&[Member { method: 99, ..stored("a", b"cipher") }]);
    assert_eq!(judged(aes, LIMITS), Some(ArchiveTrouble::Encrypted));
    for method in [1, 6, 9, 12, 14, 93, 95, 98] {
        let odd = archive(&[Member { method, ..stored("a", b"odd") }]);
        assert_eq!(judged(odd, LIMITS), Some(ArchiveTrouble::UnreadableMethod), "method {method}");
    }
}

#[test]
fn overlapping_members_are_malformed() {
    // Fifield: many entries, one kernel; here two entries of one local header
    let member = deflated("a", &[0; 1_000]);
    let twice = close(local(&member), &[central(&member, 0), central(&member, 0)]);
    assert_eq!(judged(twice, LIMITS), Some(ArchiveTrouble::Malformed));
    // and quoted local headers: the first member's data is a stored block around the second member
    let kernel = local(&member);
    let length = u16::try_from(kernel.len()).expect("small");
    let mut packed = vec![0];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    let quote = Member { packed: [packed.as_slice(), &kernel].concat(), ..member.clone() };
    let inner = local(&quote).len() - kernel.len();
    let quoted = close(local(&quote), &[central(&quote, 0), central(&member, inner)]);
    assert_eq!(judged(quoted, LIMITS), Some(ArchiveTrouble::Malformed));
}

#[test]
fn members_seen_by_one_reader_only_are_malformed() {
    let (shown, hidden) = (stored("shown", b"1"), stored("hidden", b"2"));
    let both = [local(&shown), local(&hidden)].concat();
    let unlisted = close(both.clone(), &[central(&shown, 0)]);
    assert_eq!(judged(unlisted, LIMITS), Some(ArchiveTrouble::Malformed));
    let renamed = close(both, &[central(&shown, 0), central(&Member { name: "hidde2".into(), ..hidden }, 36)]);
    assert_eq!(judged(renamed, LIMITS), Some(ArchiveTrouble::Malformed));
    let gap = close([local(&shown), b"gap".to_vec()].concat(), &[central(&shown, 0)]);
    assert_eq!(judged(gap, LIMITS), Some(ArchiveTrouble::Malformed));
    let mut behind = archive(std::slice::from_ref(&shown));
    behind.extend(b"behind");
    assert_eq!(judged(behind, LIMITS), Some(ArchiveTrouble::Malformed));
    let two = archive(&[shown]).repeat(2);
    assert_eq!(judged(two, LIMITS), Some(ArchiveTrouble::Malformed));
}

#[test]
fn no_prefix_and_no_flipped_bit_passes_or_panics() {
    let whole = archive(&[deflated("a", b"some text, some text, some text"), stored("b", b"b")]);
    for length in 4..whole.len() {
        assert_eq!(judged(whole[..length].to_vec(), LIMITS), Some(ArchiveTrouble::Malformed), "{length} bytes");
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        judged(flipped, LIMITS);
    }
}
