//! A database and its store of bytes know each other: what is not a pair does not start, and says what to do.
//!
//! Both stores. Not here: the decision alone (`src/server/blobs.rs`).

use std::fs;

use crate::harness::{
    Bucket, Node, Operator, Setup,
    faulty::{Fault, Faulty},
    samples,
};

/// A node that has a file.
async fn with_a_file(setup: Setup) -> (Node, String) {
    let mut node = Node::start(setup).await;
    node.put_chat("42").await;
    let file = node.upload("a.txt", samples::text(1000, "pair")).to_chat("42").passes_by(&Operator::new()).await;
    node.terminate().await;
    (node, file.file_id)
}

async fn still_serves(node: &mut Node, file: &str) {
    node.start_again().await;
    let back = node.download(file, &Operator::new()).await.expect("its own");
    assert_eq!(back.bytes, samples::text(1000, "pair"));
    node.assert_consistent().await;
    node.terminate().await;
}

fn id_of(node: &Node) -> String {
    node.texts("SELECT lower(hex(store_id)) AS t FROM store WHERE confirmed").pop().expect("it has one")
}

#[tokio::test]
async fn database_with_another_bucket_does_not_start_and_says_which_belongs_to_it() {
    let (mut node, file) = with_a_file(Setup::on_s3()).await;
    let own = node.bucket().expect("on S3").clone();
    let id = id_of(&node);
    assert_eq!(String::from_utf8(own.read("lhfile-store-id")).expect("text").trim(), id);

    let empty = Bucket::new();
    node.move_to(&empty, empty.address());
    let said = node.refuses_to_start().await;
    assert!(said.contains(&id) && said.contains("blob_url"), "an empty one: {said}");

    let (other, _) = with_a_file(Setup::on_s3()).await;
    node.move_to(other.bucket().expect("on S3"), own.address());
    let said = node.refuses_to_start().await;
    assert!(said.contains(&id) && said.contains(&id_of(&other)), "another's: {said}");

    node.move_to(&own, own.address());
    still_serves(&mut node, &file).await;
}

#[tokio::test]
async fn new_database_with_a_bucket_of_another_does_not_start() {
    let (mut node, file) = with_a_file(Setup::on_s3().on_sqlite()).await;
    let aside = node.folder().join("aside");
    fs::create_dir(&aside).expect("our own folder");
    // After an end by force, rows are still in the log beside it.
    let parts = ["", "-wal", "-shm"].map(|end| format!("lhfile.db{end}"));
    for name in &parts {
        let _ = fs::rename(node.data().join(name), aside.join(name));
    }
    let said = node.refuses_to_start().await;
    assert!(said.contains("belongs to another") && said.contains("backup"), "{said}");
    for name in &parts {
        let _ = fs::remove_file(node.data().join(name));
        let _ = fs::rename(aside.join(name), node.data().join(name));
    }
    still_serves(&mut node, &file).await;
}

#[tokio::test]
async fn database_with_another_folder_does_not_start() {
    let (mut node, file) = with_a_file(Setup::on_disk()).await;
    let (id, blobs) = (id_of(&node), node.data().join("blobs"));
    assert_eq!(fs::read_to_string(blobs.join("store_id")).expect("there").trim(), id);
    let aside = node.folder().join("aside");
    fs::rename(&blobs, &aside).expect("our own folder");
    let said = node.refuses_to_start().await;
    assert!(said.contains(&id) && said.contains("data_dir"), "an empty one: {said}");
    fs::write(blobs.join("store_id"), "00000000000000000000000000000000\n").expect("our own folder");
    let said = node.refuses_to_start().await;
    assert!(said.contains(&id) && said.contains("00000000000000000000000000000000"), "another's: {said}");
    fs::write(blobs.join("store_id"), "what is this\n").expect("our own folder");
    assert!(node.refuses_to_start().await.contains("holds no store id"));
    fs::remove_dir_all(&blobs).expect("our own folder");
    fs::rename(&aside, &blobs).expect("our own folder");
    still_serves(&mut node, &file).await;
}

/// As a version that gave no ids left its database, and its store of bytes.
fn forget_ids(node: &Node) {
    assert_eq!(node.change("DELETE FROM store"), 1);
    match node.bucket() {
        Some(bucket) => bucket.remove("lhfile-store-id"),
        None => fs::remove_file(node.data().join("blobs/store_id")).expect("it has one"),
    }
}

#[tokio::test]
async fn first_start_with_ids_on_an_emptied_folder_or_bucket_is_refused_and_doctor_says_the_same() {
    for setup in [Setup::on_disk(), Setup::on_s3()] {
        let (mut node, file) = with_a_file(setup).await;
        forget_ids(&node);
        let (blobs, aside) = (node.data().join("blobs"), node.folder().join("aside"));
        let own = node.bucket().cloned();
        match &own {
            None => fs::rename(&blobs, &aside).expect("our own folder"),
            Some(_) => {
                let empty = Bucket::new();
                node.move_to(&empty, empty.address());
            }
        }
        for _ in 0..2 {
            let said = node.refuses_to_start().await;
            assert!(said.contains("names bytes that are not in this store") && said.contains("blob_url"), "{said}");
        }
        let doctor = node.doctor();
        assert!(doctor.contains("FAIL  pair") && doctor.contains("names bytes that are not in this store"), "{doctor}");
        assert_eq!(node.number("SELECT count(*) AS n FROM store"), 0, "nothing is claimed");
        match &own {
            None => {
                fs::remove_dir_all(&blobs).expect("our own folder");
                fs::rename(&aside, &blobs).expect("our own folder");
            }
            Some(own) => node.move_to(own, own.address()),
        }
        assert!(node.doctor().contains("OK    pair"), "{}", node.doctor());
        still_serves(&mut node, &file).await;
    }
}

#[tokio::test]
async fn disk_and_bucket_are_not_swapped_for_each_other_unseen() {
    let (mut node, _) = with_a_file(Setup::on_disk()).await;
    let empty = Bucket::new();
    node.move_to(&empty, empty.address());
    assert!(node.refuses_to_start().await.contains("has no id"));
}

#[tokio::test]
async fn first_start_that_was_killed_between_the_two_is_finished_by_the_next() {
    for setup in [Setup::on_disk(), Setup::on_s3()] {
        for point in ["S1-claimed", "S1-put"] {
            let mut node = Node::killed_at_start(setup.clone().stops_at(point)).await;
            node.start_again().await;
            node.put_chat("42").await;
            node.upload("a.txt", samples::text(1000, point)).to_chat("42").passes_by(&Operator::new()).await;
            assert_eq!(id_of(&node).len(), 32);
            node.restart().await;
            node.assert_consistent().await;
        }
    }
}

#[tokio::test]
async fn store_that_does_not_answer_at_the_start_is_told() {
    let bucket = Bucket::new();
    let nobody = crate::harness::place::free_port();
    let mut node = Node::killed_at_start(Setup::in_bucket(&bucket, bucket.address()).stops_at("S1-claimed")).await;
    node.move_to(&bucket, nobody);
    let said = node.refuses_to_start().await;
    assert!(said.contains("the store of bytes"), "{said}");
}

#[tokio::test]
async fn permission_that_is_missing_is_told_at_the_start_and_by_doctor() {
    let (mut node, file) = with_a_file(Setup::on_s3()).await;
    let own = node.bucket().expect("on S3").clone();
    let way = Faulty::way_to(own.address());
    node.move_to(&own, way.address());
    way.plan("GET", "uploads=", usize::MAX, Fault::Answer(403, "AccessDenied"));
    let (said, doctor) = (node.refuses_to_start().await, node.doctor());
    for said in [said, doctor] {
        assert!(said.contains("allow it s3:ListBucketMultipartUploads"), "{said}");
    }
    way.heal();
    assert!(node.doctor().contains("OK    store"), "{}", node.doctor());
    still_serves(&mut node, &file).await;
}
