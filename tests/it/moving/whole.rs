//! The whole way: SQLite and disk with many files to PostgreSQL and S3, while a client uploads all the time.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use lhfile::domain::{BlobKey, FileId};
use sha2::{Digest as _, Sha256};

use super::{
    in_bucket,
    program::{begin, migrate, moved_to},
    with_files,
};
use crate::harness::{Bucket, Node, Operator, Setup, postgres::cluster, samples, setup::new_database};

/// The id and the hash of a file.
type Known = (String, String);

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// Files as the service would have stored them, written beside it while it is down. Every tenth shares its bytes with the
/// one before, every 50th is deleted, every 100th in quarantine; answers those that are served.
fn add_files(node: &Node, number: usize) -> Vec<Known> {
    let mut served = Vec::new();
    let (mut blobs, mut files, mut attachments) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..number {
        let of = if n % 10 == 9 { n - 1 } else { n };
        let bytes = samples::text(100 + of % 3_000, &format!("file {of}"));
        let sha256 = hex(&Sha256::digest(&bytes));
        let (blob, file) = (1_000 + of, 4_294_968_000_u64 + n as u64);
        let key = BlobKey(((of as u128 / 500) << 96 | of as u128 | 1 << 80).to_be_bytes());
        let id = FileId((n as u128 | 1 << 100).to_be_bytes());
        let quarantined = of % 100 == 98;
        let deleted = n % 50 == 7;
        if of == n {
            let folder = node.data().join("blobs").join(&key.to_string()[..8]);
            fs::create_dir_all(&folder).expect("our own folder");
            fs::write(folder.join(key.to_string()), &bytes).expect("our own folder");
            let (state, verdict) = if quarantined { ("QUARANTINED", "INFECTED") } else { ("ACTIVE", "NOT_SCANNED") };
            blobs.push(format!(
                "({blob}, X'{key}', X'{sha256}', {}, '{state}', '{verdict}', '', '', 1, NULL, 1, {})",
                bytes.len(),
                if quarantined { "1" } else { "NULL" }
            ));
        }
        let state = if deleted { "DELETED" } else { "READY" };
        files.push(format!(
            "({file}, X'{}', X'{}', {blob}, '{state}', 'näme \"{n}\".txt', 'txt', 'text/plain', 'OPERATOR', '17', '{}', \
             FALSE, NULL, NULL, X'{sha256}', {}, X'{sha256}', 1, {n}, {}, NULL, NULL, NULL, 'OPERATOR')",
            hex(&id.0),
            hex(&id.0),
            n % 3,
            bytes.len(),
            if deleted { "5" } else { "NULL" }
        ));
        attachments.push(format!("('{}', {file}, NULL, 'OPERATOR', '17', 1, {n}, {})", n % 3, bytes.len()));
        if !deleted && !quarantined {
            served.push((id.to_string(), sha256));
        }
    }
    for (table, rows) in [("blobs", blobs), ("files", files), ("attachments", attachments)] {
        for rows in rows.chunks(500) {
            assert_eq!(node.change(&format!("INSERT INTO {table} VALUES {}", rows.join(", "))), rows.len());
        }
    }
    served
}

async fn moved_while_uploads_go_on(number: usize) {
    let (mut node, files) = with_files(Setup::on_disk().on_sqlite().config("limits.uploads_per_operator = 50")).await;
    let mut known: Vec<Known> = files.into_iter().map(|(id, bytes)| (id, samples::sha256(&bytes))).collect();
    node.terminate().await;
    known.extend(add_files(&node, number));
    node.start_again().await;

    let (bucket, name) = (Bucket::new(), new_database(cluster()));
    let (to_bucket, s3) = (bucket.url(), in_bucket(&node, &bucket));
    let to_database = cluster().url(&name);
    let over = Arc::new(AtomicBool::new(false));
    let (uploaded, refused) = (Mutex::new(Vec::<Known>::new()), Mutex::new(0_u32));
    let client = async {
        let operator = Operator::new();
        for n in 0.. {
            if over.load(Relaxed) {
                break;
            }
            let bytes = samples::text(2_000 + n, &format!("meanwhile {n}"));
            match node.upload("m.txt", bytes.clone()).to_chat("0").by(&operator).await {
                Ok(answer) => {
                    let id = answer.file.expect("every answer names it").file_id;
                    uploaded.lock().expect("no panic").push((id, samples::sha256(&bytes)));
                }
                Err(status) => {
                    assert_eq!(crate::harness::reason_of(&status), "READ_ONLY", "{status:?}");
                    *refused.lock().expect("no panic") += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    };
    let mover = async {
        // Online, one after the other; then the switch of each.
        let ways: [&[&str]; 4] = [
            &["blobs", "--to", &to_bucket, "--to-config", &s3, "--prepare"],
            &["database", "--to", &to_database, "--prepare"],
            &["blobs", "--to", &to_bucket, "--to-config", &s3, "--yes"],
            &["database", "--to", &to_database, "--yes"],
        ];
        for way in ways {
            let running = begin(&node, way, None);
            let ended = tokio::task::spawn_blocking(move || running.ended_within(Duration::from_secs(600)));
            let (code, said) = ended.await.expect("no panic inside");
            println!("{said}");
            assert_eq!(code, Some(0), "{said}");
        }
        over.store(true, Relaxed);
    };
    tokio::join!(client, mover);
    let (uploaded, refused) = (uploaded.into_inner().expect("no panic"), refused.into_inner().expect("no panic"));
    println!("{} uploaded meanwhile, {refused} refused in the switch", uploaded.len());
    assert!(uploaded.len() > 5 && refused > 0);
    known.extend(uploaded);
    let again = migrate(&node, &["database", "--to", &to_database, "--yes"]);
    assert!(moved_to(&again) == "moved before" || again.err.contains("events"), "{}", again.err);

    node.terminate().await;
    node.move_to(&bucket, bucket.address());
    node.move_to_database(Some(&name));
    node.start_again().await;
    let operator = Operator::new();
    let checks = known.iter().map(|(id, sha256)| {
        let (node, operator) = (&node, &operator);
        async move {
            let back = node.download(id, operator).await.unwrap_or_else(|e| panic!("{id}: {e:?}"));
            assert_eq!(&hex(&Sha256::digest(&back.bytes)), sha256, "{id}");
        }
    });
    let served = stream::iter(checks).buffer_unordered(16).count().await;
    println!("{served} files served by the new pair, every hash as it was");
    node.set(&["read_only"], |s| s.read_only = false).await.expect("the backend may");
    node.upload("n.txt", samples::text(500, "new")).to_chat("0").passes_by(&operator).await;
    node.assert_consistent().await;
}

#[tokio::test]
async fn files_move_from_sqlite_and_disk_to_postgres_and_s3_while_uploads_go_on() {
    moved_while_uploads_go_on(2_000).await;
}

#[tokio::test]
#[ignore = "soak: ten thousand files, some minutes"]
async fn ten_thousand_files_move_from_sqlite_and_disk_to_postgres_and_s3_while_uploads_go_on() {
    moved_while_uploads_go_on(10_000).await;
}
