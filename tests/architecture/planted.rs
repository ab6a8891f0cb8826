//! The checker checked: a violation planted in a text is found, and what is allowed is left alone.
//!
//! Not here: the checkout itself (`../architecture.rs`).

use super::{
    crates::{Package, licence_holds, twice},
    house, rooms,
    source::{Source, Violation},
};

/// The lines at which a rule finds something in a text.
fn lines(rule: impl Fn(&Source) -> Vec<Violation>, path: &str, text: &str) -> Vec<usize> {
    rule(&Source::parse(path, text)).iter().map(|violation| violation.line).collect()
}

#[test]
fn a_domain_that_imports_a_port_is_found_however_it_is_written() {
    for text in [
        "use crate::ports::Clock;",
        "use crate::{domain::Time, ports::Clock};",
        "use super::super::ports::Clock;",
        "use super::{super::{domain::Time, ports::Clock}};",
        "fn f() { crate::ports::now() }",
        "fn f() { tell!(crate::ports::now()) }",
        "mod deeper { use super::super::super::ports::Clock; }",
        "async fn f() {}",
        "use std::{fmt, fs};",
        "use serde::Serialize;",
        "#[derive(serde::Serialize)] struct A;",
    ] {
        assert_eq!(lines(rooms::imports, "src/domain/chat.rs", text), [1], "{text}");
    }
    for text in [
        "use super::{Refusal, super::domain::Time};",
        "use std::{fmt, time::Duration};",
        "#[cfg(test)] mod tests { use crate::ports::Clock; async fn f() {} }",
        "#[cfg(test)] use crate::ports::Clock;",
        "// use crate::ports::Clock;",
        "/// See [`crate::ports::Clock`].\nfn f(serde: u8) -> u8 { serde }",
    ] {
        assert_eq!(lines(rooms::imports, "src/domain/chat.rs", text), [0_usize; 0], "{text}");
    }
    let after = "#[cfg(test)] fn f() {}\nuse crate::ports::Clock;";
    assert_eq!(lines(rooms::imports, "src/domain/chat.rs", after), [2], "the item after a test is no test");
}

#[test]
fn drivers_stay_with_their_adapter() {
    let diesel = "use diesel::prelude::*;";
    for path in ["src/app/upload.rs", "src/rpc/convert.rs", "src/server.rs", "src/adapters/blobs/disk.rs"] {
        assert_eq!(lines(rooms::imports, path, diesel), [1], "{path}");
    }
    assert_eq!(lines(rooms::imports, "src/adapters/sql/files.rs", diesel), [0_usize; 0]);
    let neighbour = "use crate::adapters::sql::Pool;";
    assert_eq!(lines(rooms::imports, "src/adapters/blobs/mod.rs", neighbour), [1]);
    assert_eq!(lines(rooms::imports, "src/app/upload.rs", neighbour), [1]);
    assert_eq!(lines(rooms::imports, "src/server.rs", neighbour), [0_usize; 0]);
    assert_eq!(lines(rooms::imports, "src/app/upload.rs", "use tonic::Status;"), [1]);
    assert_eq!(lines(rooms::imports, "src/app/upload.rs", "use tokio::{sync::mpsc, fs::File};"), [1]);
    assert_eq!(lines(rooms::imports, "src/attic.rs", ""), [1], "a room that the table does not know");
}

#[test]
fn a_long_file_and_a_silent_one_are_found() {
    let text = "//! One.\n//! Two.\n".to_owned() + &"\n".repeat(399);
    assert_eq!(lines(house::length, "src/a.rs", &text), [401]);
    assert_eq!(lines(house::length, "src/a.rs", &text[1..]), [401]);
    assert_eq!(lines(house::length, "src/a.rs", &text[..text.len() - 1]), [0_usize; 0]);
    assert_eq!(lines(house::opening, "src/a.rs", "//! One.\n//!\nfn f() {}"), [1]);
    assert_eq!(lines(house::opening, "src/a.rs", &text), [0_usize; 0]);
}

#[test]
fn words_that_belong_elsewhere_are_found() {
    assert_eq!(
        lines(house::status_constructors, "src/rpc/access.rs", "fn f() { tonic::Status::not_found(\"\"); }"),
        [1]
    );
    assert_eq!(
        lines(house::status_constructors, "src/rpc/access.rs", "fn f() {\n a.map_err(Status::from_error) }"),
        [2]
    );
    assert_eq!(lines(house::status_constructors, "src/rpc/access.rs", "fn f(s: Status) { s.code(); }"), [0_usize; 0]);
    let named = "fn f() { has(\"use_operator\") }";
    assert_eq!(lines(house::permission_names, "src/app/upload.rs", named), [1]);
    assert_eq!(lines(house::permission_names, "src/domain/permission.rs", named), [0_usize; 0]);
    assert_eq!(lines(house::module_names, "src/app/utils.rs", ""), [1]);
    assert_eq!(lines(house::module_names, "src/utils/a.rs", ""), [1]);
    assert_eq!(lines(house::module_names, "src/app/a.rs", "mod helpers {}"), [1]);
    assert_eq!(lines(house::unwraps, "src/a.rs", "fn f() { g().unwrap(); }"), [1]);
    assert_eq!(lines(house::unwraps, "src/a.rs", "#[cfg(test)] mod tests { fn f() { g().unwrap(); } }"), [0_usize; 0]);
    assert_eq!(lines(house::unwraps, "src/a/tests.rs", "fn f() { g().unwrap(); }"), [0_usize; 0]);
    assert_eq!(lines(house::unfinished, "src/a.rs", "fn f() { todo!() }"), [1]);
    assert_eq!(lines(house::unfinished, "src/a.rs", concat!("fn f() {} // TO", "DO: all of it")), [1]);
}

#[test]
fn a_lint_switched_off_without_a_reason_is_found() {
    for text in [
        "#![allow(dead_code)]",
        "#[allow(dead_code)] fn f() {}",
        "#[cfg_attr(test, allow(dead_code))] fn f() {}",
        "#[expect(dead_code)] fn f() {}",
    ] {
        assert_eq!(lines(house::lint_attributes, "src/a.rs", text), [1], "{text}");
    }
    let said = "#[expect(dead_code, reason = \"shown to readers\")] fn f() {}";
    assert_eq!(lines(house::lint_attributes, "src/a.rs", said), [0_usize; 0]);
}

#[test]
fn the_eicar_string_is_found_plain_and_escaped() {
    let plain = house::eicar();
    assert_eq!(plain.len(), 68);
    assert!(house::holds_eicar(format!("let a = \"{plain}\";").as_bytes()));
    assert!(house::holds_eicar(plain.replace('\\', "\\\\").as_bytes()));
    assert!(!house::holds_eicar(b"a text that speaks of EICAR-STANDARD-ANTIVIRUS-TEST-FILE"));
}

#[test]
fn licences_are_read_as_expressions() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
    for good in
        ["MIT", "GPL-2.0-only OR MIT", "GPL-2.0/MIT", "ISC AND (MIT OR Apache-2.0)", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(licence_holds(good, &allowed), "{good}");
    }
    for bad in ["GPL-2.0-only", "MIT AND GPL-2.0-only", "Apache-2.0", "none", ""] {
        assert!(!licence_holds(bad, &allowed), "{bad}");
    }
}

#[test]
fn a_second_version_of_tonic_is_found() {
    let package = |name: &str, version: &str| Package {
        name: name.to_owned(),
        version: version.to_owned(),
        license: None,
        source: None,
    };
    let tree =
        [package("tonic", "0.13.1"), package("tonic", "0.14.2"), package("syn", "1.0.0"), package("syn", "2.0.0")];
    let found: Vec<String> = twice(&tree).iter().map(ToString::to_string).collect();
    assert_eq!(found, ["Cargo.lock:0: tonic comes as 0.13.1 and 0.14.2"]);
}
