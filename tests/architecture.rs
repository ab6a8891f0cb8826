//! The house rules that a program can check, each as one test: layering, file length, module docs, banned names,
//! crates and licences.
//!
//! Not here: what rustc and clippy check (`[lints]` in Cargo.toml, `clippy.toml`). How sources are read:
//! `architecture/source.rs`; the table of rooms: `architecture/rooms.rs`.

#[path = "architecture/crates.rs"]
mod crates;
#[path = "architecture/house.rs"]
mod house;
#[path = "architecture/lexer.rs"]
mod lexer;
#[path = "architecture/planted.rs"]
mod planted;
#[path = "architecture/rooms.rs"]
mod rooms;
#[path = "architecture/source.rs"]
mod source;

use source::{Source, Violation, rust_files};

/// Fails with every violation, one a line, as `path:line: what is wrong and what to do`.
fn none_of(rule: &str, violations: Vec<Violation>) {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{rule}\n{}\n", lines.join("\n"));
}

/// Applies one rule to all the Rust files below the given folders of the checkout.
fn each(folders: &[&str], rule: impl Fn(&Source) -> Vec<Violation>) -> Vec<Violation> {
    let files = rust_files(folders);
    assert!(!files.is_empty(), "no Rust file below {folders:?}: the check would pass by not running");
    files.iter().flat_map(rule).collect()
}

#[test]
fn rooms_import_only_what_the_layering_table_allows() {
    none_of("ARCHITECTURE.md has the table of rooms", each(&["src"], rooms::imports));
}

#[test]
fn no_rust_file_is_longer_than_400_lines() {
    none_of("split it by subject", each(&["src", "build.rs", "tests", "benches", "examples"], house::length));
}

#[test]
fn every_file_says_what_is_here_and_what_is_not() {
    none_of(
        "open it with two to six lines of `//!`: what is here, what is not, where to go next",
        each(&["src", "build.rs", "tests", "benches", "examples"], house::opening),
    );
}

#[test]
fn tonic_status_is_built_only_in_rpc_status() {
    none_of("refuse with a domain::Refusal", each(&["src"], house::status_constructors));
}

#[test]
fn permission_names_are_written_only_in_domain_permission() {
    none_of("use the constants of domain::permission", each(&["src", "build.rs"], house::permission_names));
}

#[test]
fn no_module_is_a_drawer() {
    none_of("name it after what is in it", each(&["src", "tests", "benches"], house::module_names));
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    none_of(
        "write #[expect(lint, reason = \"...\")]",
        each(&["src", "build.rs", "tests", "benches", "examples"], house::lint_attributes),
    );
}

#[test]
fn nothing_unwraps_outside_tests() {
    none_of("answer an error, or expect(\"why it cannot fail\")", each(&["src", "build.rs"], house::unwraps));
}

#[test]
fn nothing_is_left_to_do() {
    none_of("do it, or file it", each(&["src", "build.rs", "tests", "benches", "examples"], house::unfinished));
}

#[test]
fn no_file_of_the_checkout_holds_the_eicar_string() {
    none_of("assemble it at run time, so that no checkout is flagged", house::eicar_in_checkout());
}

#[test]
fn every_dependency_says_why_it_is_here() {
    none_of("give it a one-line reason in Cargo.toml", crates::reasons());
}

#[test]
fn licences_sources_and_banned_crates_hold_for_the_whole_tree() {
    none_of("deny.toml has the rules", crates::denied());
}

#[test]
fn crates_whose_types_cross_our_borders_come_once() {
    none_of("two versions of one type do not fit together", crates::duplicates());
}

#[test]
fn make_test_runs_every_file_of_tests() {
    none_of("name it in the Makefile's target `test`", house::tests_not_run());
}
