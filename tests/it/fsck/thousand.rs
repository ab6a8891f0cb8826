//! A thousand planted faults among healthy files: each is named and nothing else; a repair removes what it can and touches
//! nothing that is healthy; the rest is told until a person has mended it.
//!
//! Not here: what is young or under way (`bounds.rs`), and what fails meanwhile (`broken.rs`).

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use super::{
    Told, lines,
    planted::{Blob, Garden},
    told,
};
use crate::harness::{Node, Operator, Service, Setup, calls::request, fsck::assert_fsck_clean, pb};

const HEALTHY: Range<usize> = 0..300;
/// The faults, by the numbers of their blobs or names.
const MISSING: Range<usize> = 1_000..1_150;
const SHORT: Range<usize> = 1_150..1_225;
const LONG: Range<usize> = 1_225..1_300;
const FLIPPED: Range<usize> = 1_300..1_450;
const UNNAMED: Range<usize> = 1_450..1_700;
const STRANGE: Range<usize> = 1_700..1_800;
const SPOOLED: Range<usize> = 1_800..1_880;
const STRANGE_SPOOLED: Range<usize> = 1_880..1_900;
/// Uploads in parts where the store has them, else more of the others.
const PARTS: Range<usize> = 1_900..1_940;
const WITHOUT_BLOB: Range<usize> = 1_940..1_950;
const LEAVING: Range<usize> = 1_950..1_960;
const WITHOUT_FILE: Range<usize> = 1_960..1_970;
/// Attachments of files that are not there.
const ATTACHMENTS: usize = 30;

fn blobs(numbers: Range<usize>) -> Vec<Blob> {
    numbers.map(Blob::numbered).collect()
}

/// The bytes that lie there instead of those of the row.
fn damaged(blob: &Blob) -> Vec<u8> {
    let number = usize::from_str_radix(&blob.key[8..], 16).expect("it was numbered");
    let mut bytes = blob.bytes.clone();
    if SHORT.contains(&number) {
        bytes.pop();
    } else if LONG.contains(&number) {
        bytes.push(b'!');
    } else {
        bytes[3] ^= 1;
    }
    bytes
}

fn stored(blobs: &[Blob]) -> Vec<(String, Vec<u8>)> {
    blobs.iter().map(|blob| (blob.key.clone(), blob.bytes.clone())).collect()
}

/// Plants all of it; answers what must be told, sorted.
fn plant(garden: &Garden<'_>) -> Vec<(String, String)> {
    let on_disk = garden.node.bucket().is_none();
    let mut expected = Vec::new();
    let mut expect = |kind: &str, subjects: Vec<String>| {
        expected.extend(subjects.into_iter().map(|subject| (kind.to_owned(), subject)));
    };
    let keys = |blobs: &[Blob]| blobs.iter().map(|blob| blob.key.clone()).collect::<Vec<_>>();

    let healthy = blobs(HEALTHY);
    let missing = blobs(MISSING);
    let wrong_size = [blobs(SHORT), blobs(LONG)].concat();
    let flipped = blobs(FLIPPED);
    let without = blobs(WITHOUT_BLOB);
    let leaving = blobs(LEAVING);
    let needless = blobs(WITHOUT_FILE);
    garden.rows(&[&healthy[..], &missing, &wrong_size, &flipped, &without, &leaving, &needless].concat());
    garden.store(&stored(&healthy));
    garden.store(&stored(&needless));
    garden.store(&stored(&leaving));
    let bad: Vec<_> = wrong_size.iter().chain(&flipped).map(|blob| (blob.key.clone(), damaged(blob))).collect();
    garden.store(&bad);
    expect("BYTES_MISSING", keys(&missing));
    expect("WRONG_SIZE", keys(&wrong_size));
    expect("WRONG_HASH", keys(&flipped));

    let unnamed = if on_disk { [blobs(UNNAMED), blobs(PARTS)].concat() } else { blobs(UNNAMED) };
    garden.store(&stored(&unnamed));
    expect("UNNAMED_BYTES", keys(&unnamed));
    let strange: Vec<_> = blobs(STRANGE).iter().map(|blob| strange_name(blob, on_disk)).collect();
    garden.store(&strange.iter().map(|name| (name.clone(), b"whose?".to_vec())).collect::<Vec<_>>());
    expect("STRANGE_NAME", strange.iter().map(|name| garden.told(name)).collect());
    if !on_disk {
        let names = keys(&blobs(PARTS));
        garden.node.bucket().expect("on S3").begin_multiparts(&names);
        expect("OPEN_MULTIPART", names);
    }

    for Blob { key, bytes } in blobs(SPOOLED) {
        garden.spool(&key, &bytes);
        expect("STALE_SPOOL", vec![key]);
    }
    for Blob { key, bytes } in blobs(STRANGE_SPOOLED) {
        garden.spool(&format!("{key}.tmp"), &bytes);
        expect("STRANGE_NAME", vec![format!("spool/{key}.tmp")]);
    }

    garden.lose_blobs(&without);
    expect("DANGLING_ROW", without.iter().map(|blob| format!("FILE_WITHOUT_BLOB {}", blob.file_id())).collect());
    garden.let_leave(&leaving);
    expect("DANGLING_ROW", leaving.iter().map(|blob| format!("FILE_OF_LEAVING_BLOB {}", blob.file_id())).collect());
    garden.lose_files(&needless);
    expect("DANGLING_ROW", vec!["BLOB_WITHOUT_FILE".to_owned(); WITHOUT_FILE.len()]);
    garden.attachments_of_nothing(ATTACHMENTS);
    expect("DANGLING_ROW", vec!["ATTACHMENT_WITHOUT_FILE".to_owned(); ATTACHMENTS]);
    expected.sort();
    assert_eq!(expected.len(), 1_000);
    expected
}

/// A leftover's name, or somebody else's.
fn strange_name(blob: &Blob, on_disk: bool) -> String {
    // An object's name would be written another way.
    let ending = if on_disk { "#1" } else { ".bak" };
    format!("{}{ending}", blob.key)
}

/// Each is there, and nothing more.
#[track_caller]
fn assert_told(told: &Told, expected: &[(String, String)]) {
    let unheard: Vec<_> = expected.iter().filter(|one| told.findings.binary_search(one).is_err()).collect();
    let too_much: Vec<_> = told.findings.iter().filter(|one| expected.binary_search(one).is_err()).collect();
    let few = |all: &[&(String, String)]| format!("{} {:?}", all.len(), all.iter().take(10).collect::<Vec<_>>());
    assert!(unheard.is_empty() && too_much.is_empty(), "not told: {}; told: {}", few(&unheard), few(&too_much));
    assert_eq!(told.findings.len(), expected.len(), "each once");
    assert_eq!(told.summary["consistent"], expected.is_empty());
    for kind in ["BYTES_MISSING", "WRONG_SIZE", "WRONG_HASH", "UNNAMED_BYTES", "STRANGE_NAME", "DANGLING_ROW"] {
        let count = expected.iter().filter(|(one, _)| one == kind).count();
        assert_eq!(told.counted(kind), count as i64, "{kind}");
    }
}

async fn assert_healthy(node: &Node, every: usize) {
    let operator = Operator::with(&["*"]);
    for blob in blobs(HEALTHY).iter().step_by(every) {
        assert_eq!(node.download(&blob.file_id(), &operator).await.expect("healthy").bytes, blob.bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_faults_are_each_named_and_what_can_be_repaired_is() {
    let begun = Instant::now();
    // No object store lets its objects be set back.
    let node = &Node::start(Setup::new().calls_left_after(0)).await;
    let garden = Garden::of(node).await;
    let expected = plant(&garden);

    let first = Told::of(node, &[], 1);
    assert_told(&first, &expected);
    assert_eq!(first.summary["stored_findings"], 1_000);
    // By the sizes alone the flipped ones look healthy.
    let sizes = Told::of(node, &["--hash", "none"], 1);
    let seen: Vec<_> = expected.iter().filter(|(kind, _)| kind != "WRONG_HASH").cloned().collect();
    assert_told(&sizes, &seen);
    assert_eq!(sizes.summary["counts"]["hashed_bytes"], 0);
    // It changed nothing.
    assert_told(&Told::of(node, &[], 1), &expected);

    let person = told(node, &[]);
    assert_eq!(person.code, Some(1), "{}", person.err);
    for words in ["BYTES_MISSING: ", "next: ", "from a backup", "lhfile fsck --repair", &expected[0].1] {
        assert!(person.text().contains(words), "{words}: {}", person.text());
    }
    assert!(!person.err.contains('\r'), "no bar: {}", person.err);

    // Without anybody who agrees nothing is removed.
    let alone = told(node, &["--repair"]);
    assert_eq!((alone.code, alone.out.len()), (Some(2), 0), "{}", alone.err);
    assert!(alone.err.contains("--yes"), "{}", alone.err);

    let repair = Told::of(node, &["--repair", "--yes"], 1);
    assert_told(&repair, &expected);
    let outcome =
        |kind: &str, outcome: &str| repair.repaired.iter().filter(|(how, of, _)| of == kind && how == outcome).count();
    let of_kind = |kind: &str| expected.iter().filter(|(one, _)| one == kind).count();
    for kind in ["UNNAMED_BYTES", "OPEN_MULTIPART", "STALE_SPOOL"] {
        assert_eq!(outcome(kind, "REPAIRED"), of_kind(kind), "{kind}: {:?}", repair.repair);
    }
    assert_eq!(outcome("DANGLING_ROW", "REPAIRED"), ATTACHMENTS + WITHOUT_FILE.len(), "{:?}", repair.repair);
    assert_eq!(outcome("DANGLING_ROW", "NEEDS_A_PERSON"), WITHOUT_BLOB.len() + LEAVING.len());
    assert_eq!(outcome("STRANGE_NAME", "REPAIRED"), 0, "they are somebody's");

    let stays = |(kind, subject): &&(String, String)| {
        let repaired = ["UNNAMED_BYTES", "OPEN_MULTIPART", "STALE_SPOOL"].contains(&kind.as_str());
        !repaired && !matches!(subject.as_str(), "ATTACHMENT_WITHOUT_FILE" | "BLOB_WITHOUT_FILE")
    };
    let left: Vec<_> = expected.iter().filter(stays).cloned().collect();
    assert_told(&Told::of(node, &[], 1), &left);
    assert_eq!(node.bucket().map(crate::harness::Bucket::multiparts).unwrap_or_default(), [] as [String; 0]);
    // The same repair again finds nothing to do.
    let again = Told::of(node, &["--repair", "--yes"], 1);
    assert!(again.repaired.iter().all(|(how, ..)| how == "NEEDS_A_PERSON"), "{:?}", again.repair);

    Told::of(node, &["--repair", "--yes", "--kind", "strange-name"], 1);
    let left: Vec<_> = left.into_iter().filter(|(kind, _)| kind != "STRANGE_NAME").collect();
    assert_told(&Told::of(node, &[], 1), &left);
    assert_healthy(node, 10).await;

    // A person puts the bytes back, and mends the rows.
    let backup = [blobs(MISSING), blobs(SHORT), blobs(LONG), blobs(FLIPPED)].concat();
    garden.store(&stored(&backup));
    garden.let_stay(&blobs(LEAVING));
    // As it was told to.
    let file_ids = blobs(WITHOUT_BLOB).iter().map(Blob::file_id).collect();
    let purge = request(&Service::all(), pb::PurgeFilesRequest { file_ids });
    let purged = node.files().purge_files(purge).await.expect("the backend may").into_inner();
    assert!(purged.results.iter().all(|result| result.reason.is_empty()), "{purged:?}");
    let last = Told::read(lines(&super::fsck_as(node, &Service::all(), &[]), 0));
    assert_told(&last, &[]);
    assert_fsck_clean(node).await;
    assert_healthy(node, 50).await;
    let said = told(node, &["--repair", "--yes"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.text().contains("nothing found"), "{}", said.text());
    // Far below what anybody waits for; the machine may be busy.
    assert!(begun.elapsed() < Duration::from_secs(240), "{:?}", begun.elapsed());
    assert!(node.spooled().is_empty());
}
