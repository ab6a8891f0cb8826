//! Who may call what: one table of every RPC, every caller and every relation, committed and read as a diff.
//!
//! `LHFILE_BLESS=1` (make bless) writes it anew. An RPC without a block fails the test. Not here: the answers' details
//! (`not_found.rs`) and single rules (`domain/access.rs`).

mod access;
mod blocks;
mod callers;
mod calls;
mod consistency;
mod ending;
mod holds;
mod quarantine;
mod runs;
mod table;
mod world;

use std::{collections::BTreeSet, fs, path::Path};

use lhfile::rpc::methods::MethodTable;

const FILES: &str = "  home      uploaded to `mine` by its visitor          foreign   uploaded to `other`, only there
  attached  uploaded to `other`, attached to `mine`    closed    of the chat `closed`, closed an hour ago
  detached  uploaded to `mine`, attached nowhere       deleted   was of `mine`
  own       uploaded to `other` by operator 17         never     an id never given
  library   of no chat, by another operator            visited   for the online visitor v1, by the backend
The visitor of the chat is v1, if it says so by its `vid`; the visitor of another chat is v2.
Chats: mine, closed, doomed are owned by operator `owner` and named in the claim of those \"with the chat\"; other and
doomed2 are owned by somebody else; third by nobody; gone is deleted; unknown was never told.
";

#[test]
fn every_rpc_has_its_block_in_the_permission_table() {
    let table = MethodTable::read().expect("the descriptor set holds");
    let declared: BTreeSet<String> = table.iter().map(|(path, _)| path.replace("/lhfile.v1.", "")).collect();
    let blocks: BTreeSet<String> = blocks::BLOCKS.iter().map(|block| block.rpc.to_owned()).collect();
    assert_eq!(declared, blocks, "every RPC of the proto has a block in tests/it/matrix/blocks.rs, and no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_permission_table_is_as_committed() {
    let mut world = world::World::new().await;
    let rows = callers::all();
    let mut text = table::legend(FILES);
    for block in blocks::BLOCKS {
        let mut lines = Vec::with_capacity(rows.len());
        for who in &rows {
            let mut cells = Vec::with_capacity(block.columns.len());
            for column in block.columns {
                cells.push(calls::cell(&mut world, who, block.rpc, column).await);
            }
            lines.push((who.name.clone(), cells));
        }
        text += &table::block(block.rpc, block.about, block.columns, &lines);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/permissions.txt");
    if std::env::var_os("LHFILE_BLESS").is_some() {
        fs::write(&path, &text).expect("the checkout can be written");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differing: Vec<_> = differences(&committed, &text).into_iter().take(20).collect();
    assert!(
        differing.is_empty() && committed == text,
        "tests/it/permissions.txt is stale; if the change is meant: make bless, and read the diff.\n{}",
        differing.join("\n")
    );
}

/// Lines that differ, as a diff shows them.
fn differences(committed: &str, now: &str) -> Vec<String> {
    let width = committed.lines().count().max(now.lines().count());
    let line = |text: &str, i: usize| text.lines().nth(i).unwrap_or_default().to_owned();
    let pairs = (0..width).map(|i| (line(committed, i), line(now, i)));
    pairs.filter(|(old, new)| old != new).flat_map(|(old, new)| [format!("- {old}"), format!("+ {new}")]).collect()
}
