//! The rules on one file at a time: length, opening, names, attributes, and words that belong elsewhere.
//!
//! Not here: the layering (`rooms.rs`) and the crates (`crates.rs`).

use std::fs;

use super::source::{Found, Source, Violation, checkout, files, relative};

const LONGEST: usize = 400;

const DRAWERS: &[&str] =
    &["utils", "util", "helpers", "helper", "common", "types", "core", "manager", "managers", "misc", "shared"];

/// Permissions whose names are words of their own; `use`, `audit` and `erase` are also plain words and not looked for.
const PERMISSIONS: &[&str] = &[
    "use_operator",
    "upload_new_file",
    "file_list",
    "file_delete",
    "file_delete_chat",
    "download_unverified",
    "download_verified",
    "verify_file",
    "file_list_mail",
    "chat_sync",
    "maintenance_run",
    "file_restore",
    "legal_hold",
    "act_as",
    "key_manage",
];

/// The ways to make a `tonic::Status`.
const STATUS_CONSTRUCTORS: &[&str] = &[
    "new",
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
    "from_error",
    "with_details",
    "with_metadata",
    "with_details_and_metadata",
    "with_error_details",
    "with_error_details_vec",
];

pub fn length(file: &Source) -> Vec<Violation> {
    let lines = file.text.lines().count();
    let over = (lines > LONGEST).then(|| file.violation(lines, format!("{lines} lines, {LONGEST} are allowed")));
    over.into_iter().collect()
}

pub fn opening(file: &Source) -> Vec<Violation> {
    let said = file.text.lines().take_while(|line| line.starts_with("//!"));
    let said = said.filter(|line| line.len() > "//! ".len()).count();
    // Tests say whose they are; all else in src/ owes the reader what is not here, too.
    let owed = if file.path.starts_with("src/") && !file.path.ends_with("/tests.rs") { 2 } else { 1 };
    let short =
        (said < owed).then(|| file.violation(1, format!("opens with {said} lines of `//!`, {owed} are the least")));
    short.into_iter().collect()
}

pub fn status_constructors(file: &Source) -> Vec<Violation> {
    if file.path == "src/rpc/status.rs" {
        return Vec::new();
    }
    let made = file.tokens.paths.iter().filter(|path| {
        let mut end = path.segments.iter().rev().map(String::as_str);
        let (last, owner) = (end.next(), end.next());
        !path.test && owner == Some("Status") && last.is_some_and(|last| STATUS_CONSTRUCTORS.contains(&last))
    });
    made.map(|path| file.violation(path.line, format!("`{}` outside rpc/status.rs", path.segments.join("::"))))
        .collect()
}

pub fn permission_names(file: &Source) -> Vec<Violation> {
    if file.path.starts_with("src/domain/permission") {
        return Vec::new();
    }
    found(file, &file.tokens.strings, |text| PERMISSIONS.contains(&text).then(|| format!("the permission \"{text}\"")))
}

pub fn module_names(file: &Source) -> Vec<Violation> {
    let stem = file.path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
    let parents = file.path.split('/').rev().skip(1);
    let files = parents.chain([stem]).filter(|name| DRAWERS.contains(name));
    let mut violations: Vec<_> = files.map(|name| file.violation(1, format!("`{name}` says nothing"))).collect();
    for word in &file.tokens.words {
        let name = word.text.strip_prefix("mod ").unwrap_or_default();
        if DRAWERS.contains(&name) {
            violations.push(file.violation(word.line, format!("`mod {name}` says nothing")));
        }
    }
    violations
}

pub fn lint_attributes(file: &Source) -> Vec<Violation> {
    let attributes = file.tokens.attributes.iter();
    let wrong = attributes.filter_map(|attribute| {
        let text = &attribute.text;
        let allows = text.starts_with("allow(") || (text.starts_with("cfg_attr(") && text.contains(",allow("));
        let silent = text.starts_with("expect(") && !text.contains("reason=");
        (allows || silent).then(|| file.violation(attribute.line, format!("#[{}]", attribute.text)))
    });
    wrong.collect()
}

pub fn unwraps(file: &Source) -> Vec<Violation> {
    found(file, &file.tokens.calls, |call| {
        matches!(call, "unwrap" | "unwrap_err" | "unwrap_unchecked").then(|| format!(".{call}()"))
    })
}

pub fn unfinished(file: &Source) -> Vec<Violation> {
    let macros = file.tokens.words.iter().filter(|word| matches!(word.text.as_str(), "todo" | "unimplemented"));
    let mut violations: Vec<_> = macros.map(|word| file.violation(word.line, format!("`{}`", word.text))).collect();
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    for (at, line) in file.text.lines().enumerate() {
        let comment = line.find("//").map_or("", |start| &line[start..]);
        if let Some(mark) = marks.iter().find(|mark| comment.contains(**mark)) {
            violations.push(file.violation(at + 1, format!("`{mark}` in a comment")));
        }
    }
    violations
}

/// The test string of all virus scanners, as in the 68 bytes that they look for.
pub fn eicar() -> String {
    ["X5O!P%@AP[4\\PZX54(P^)7CC)7}", "$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!", "$H+H*"].concat()
}

/// Files of the checkout that hold the EICAR string, as it is or with its backslash escaped.
pub fn eicar_in_checkout() -> Vec<Violation> {
    let all = files(&[""]);
    assert!(all.iter().any(|path| path.ends_with("Cargo.toml")), "the checkout was not read");
    let flagged = all.iter().filter(|path| holds_eicar(&fs::read(path).unwrap_or_default()));
    let what = "holds the EICAR string";
    flagged.map(|path| Violation { path: relative(path), line: 1, what: what.to_owned() }).collect()
}

pub fn holds_eicar(bytes: &[u8]) -> bool {
    let plain = eicar();
    let escaped = plain.replace('\\', "\\\\");
    let holds = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    holds(&plain) || holds(&escaped)
}

fn found(file: &Source, list: &[Found], wrong: impl Fn(&str) -> Option<String>) -> Vec<Violation> {
    let seen = list.iter().filter(|found| !found.test);
    seen.filter_map(|found| wrong(&found.text).map(|wrong| file.violation(found.line, wrong))).collect()
}

/// Files of `tests/` that the target `test` of the Makefile does not name.
pub fn tests_not_run() -> Vec<Violation> {
    let makefile = fs::read_to_string(checkout().join("Makefile")).expect("it is there");
    let named = |path: &str| makefile.contains(&format!("--test {path}"));
    let programs =
        fs::read_dir(checkout().join("tests")).expect("it is there").map(|entry| entry.expect("it is there"));
    let mut names: Vec<String> = programs
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .chain(["it.rs".to_owned()])
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.retain(|name| !named(name));
    names
        .into_iter()
        .map(|name| Violation { path: format!("tests/{name}.rs"), line: 1, what: "no target runs it".to_owned() })
        .collect()
}
