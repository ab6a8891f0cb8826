//! Rows as they are copied: what one engine reads, the other takes, and reads back as it was.
//!
//! Not here: whole copies (`app/moving/`, `tests/it/moving.rs`).

use super::*;
use crate::{
    adapters::sql::{DatabaseAt, tables},
    ports::{Cell, Cells, Table, Tables},
};

async fn both(dir: &tempfile::TempDir) -> [Box<dyn Tables>; 2] {
    open(dir).close().await;
    let url = cluster().url(&cluster().create_database("template0"));
    PostgresStore::open(&url).await.expect("migrates").close().await;
    let sqlite = DatabaseAt::Sqlite(dir.path().join("lhfile.sqlite"));
    let postgres = DatabaseAt::Postgres(url);
    for at in [&sqlite, &postgres] {
        let steps = at.steps().await.expect("answers");
        assert!(steps.pending.is_empty() && steps.unknown.is_empty(), "{steps:?}");
    }
    [sqlite.session().await.expect("opens"), postgres.session().await.expect("opens")]
}

fn table(name: &str) -> Table {
    tables().expect("ours").into_iter().find(|table| table.name == name).expect(name)
}

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn chat_row(id: &str, owner: Cell) -> Cells {
    vec![
        text(id),
        text("ACTIVE"),
        owner,
        Cell::Null,
        Cell::Bool(true),
        Cell::Int(i64::MAX),
        Cell::Bool(false),
        Cell::Int(-1),
    ]
}

fn blob_row(id: i64, key: &[u8]) -> Cells {
    let bytes = |bytes: &[u8]| Cell::Bytes(bytes.to_vec());
    let rest = ["ACTIVE", "CLEAN", "clamav", ""].map(text);
    let mut row = vec![Cell::Int(id), bytes(key), bytes(&[0, 255, 39]), Cell::Int(1 << 40)];
    row.extend(rest);
    row.extend([Cell::Int(0), Cell::Null, Cell::Int(7), Cell::Null]);
    row
}

#[test]
fn every_table_is_copied_after_those_that_it_names() {
    let tables = tables().expect("ours");
    let at = |name: &str| tables.iter().position(|table| table.name == name).expect(name);
    assert!(at("blobs") < at("files") && at("chats") < at("files") && at("files") < at("attachments"));
    assert!(tables.iter().all(|table| !table.key.is_empty() && table.name != "store"), "{tables:?}");
    let numbered: Vec<_> = tables.iter().filter(|table| table.numbered).map(|table| table.name.as_str()).collect();
    for name in ["blobs", "events", "files", "uploads"] {
        assert!(numbered.contains(&name), "{numbered:?}");
    }
    let key: Vec<_> = table("attachments").key.iter().map(|at| table("attachments").columns[*at].0.clone()).collect();
    assert_eq!(key, ["file_number", "chat_id"]);
}

#[tokio::test]
async fn rows_are_the_same_on_both_engines_whatever_is_in_them() {
    let dir = tempfile::tempdir().expect("a folder");
    let [mut sqlite, mut postgres] = both(&dir).await;
    let chats = table("chats");
    // As people sort them: a, B, é; by their bytes: B, a, é.
    let strange = "quote ' \" back\\slash \u{1} \u{7f} line\nend \u{1f980} NULL";
    let rows = vec![chat_row("B", text(strange)), chat_row("a", Cell::Null), chat_row("é", text(""))];
    let blobs = table("blobs");
    for side in [&mut sqlite, &mut postgres] {
        side.put(&chats, &rows).await.expect("taken");
        assert_eq!(side.rows(&chats, None, 10).await.expect("read"), rows);
        assert_eq!(side.rows(&chats, Some(&vec![text("B")]), 1).await.expect("read"), rows[1..2]);
        assert_eq!(side.keys(&chats, Some(&vec![text("a")]), 10).await.expect("read"), [[text("é")]]);
        // Over what is there.
        side.put(&chats, &[chat_row("a", text("17"))]).await.expect("taken");
        assert_eq!(side.rows(&chats, None, 10).await.expect("read")[1], chat_row("a", text("17")));
        assert_eq!(side.count(&chats).await.expect("counted"), 3);
        assert!(side.delete(&chats, &[vec![text("a")], vec![text("é")]]).await.expect("removed"));
        assert_eq!(side.keys(&chats, None, 10).await.expect("read"), [[text("B")]]);

        side.put(&blobs, &[blob_row(5, &[1; 16]), blob_row(9, &[2; 16])]).await.expect("taken");
        assert_eq!(side.rows(&blobs, None, 10).await.expect("read"), [blob_row(5, &[1; 16]), blob_row(9, &[2; 16])]);
        // Unique, whatever the key: nothing of it is written.
        side.put(&blobs, &[blob_row(10, &[3; 16]), blob_row(11, &[2; 16])]).await.expect_err("twice");
        assert_eq!(side.count(&blobs).await.expect("counted"), 2);
        side.set_last_number(&blobs, 41).await.expect("set");
        assert_eq!(side.last_number(&blobs).await.expect("told"), 41);
        let files = table("files");
        assert_eq!(side.last_number(&files).await.expect("told"), 4_294_967_295, "as the migrations left it");
    }
}

#[tokio::test]
async fn row_that_others_name_is_not_removed_and_said_so() {
    let dir = tempfile::tempdir().expect("a folder");
    let [sqlite, postgres] = both(&dir).await;
    for mut side in [sqlite, postgres] {
        let (blobs, files) = (table("blobs"), table("files"));
        side.put(&blobs, &[blob_row(5, &[1; 16])]).await.expect("taken");
        let bytes = |n: u8| Cell::Bytes(vec![n; 16]);
        let mut file = vec![Cell::Int(7), bytes(1), bytes(2), Cell::Int(5)];
        file.extend(["READY", "a.txt", "txt", "text/plain", "OPERATOR", "17"].map(text));
        file.extend([Cell::Null, Cell::Bool(false), Cell::Null, Cell::Null, bytes(3), Cell::Int(1), bytes(3)]);
        file.extend([Cell::Int(1), Cell::Int(1), Cell::Null, Cell::Null]);
        file.extend([text("v"), Cell::Null, text("OPERATOR")]);
        side.put(&files, &[file]).await.expect("taken");
        assert!(!side.delete(&blobs, &[vec![Cell::Int(5)]]).await.expect("an answer"));
        assert!(side.delete(&files, &[vec![Cell::Int(7)]]).await.expect("an answer"));
        assert!(side.delete(&blobs, &[vec![Cell::Int(5)]]).await.expect("an answer"));
    }
}
