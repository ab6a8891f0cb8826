//! Pages that are generated from the code's own tables: a stale one fails, `make bless` writes it anew.
//!
//! Not here: pages written by hand (README.md but for its table, ARCHITECTURE.md), and the permission matrix, which
//! needs a running server (`tests/it/`).
#![expect(clippy::disallowed_methods, reason = "a test reads its own switch from the environment")]

use std::{fmt::Write as _, fs, path::PathBuf};

use lhfile::{
    domain::{
        Kind, Permission, Reason,
        media_type::CONTENT_RULES,
        settings::{SettingKind, TABLE},
    },
    rpc::methods::MethodTable,
    telemetry::{METRICS, MetricKind},
};

/// Compares a page with what it must be, or writes it.
fn page(path: &str, wanted: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("LHFILE_BLESS").is_some() {
        fs::write(&file, wanted).expect("the page can be written");
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == wanted, "{path} is stale: run `make bless` and read the diff");
}

#[test]
fn generated_settings_page_is_current() {
    let mut text = String::from(
        "# Settings\n\nBehaviour, in the database, changed by `ConfigService` or `lhfile settings set KEY VALUE`, in \
         force on every node within two seconds. Generated from `src/domain/settings.rs`.\n\n\
         | setting | type and bounds | default | LHC key | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for def in TABLE {
        let kind = match def.kind {
            SettingKind::Bool => "`true` or `false`".to_owned(),
            SettingKind::Int { min, max, unit } => format!("{min} to {max} {unit}"),
            SettingKind::Extensions => "extensions, each `[a-z0-9]{1,10}`".to_owned(),
            SettingKind::Choice(names) => format!("`{}`", names.join("`, `")),
            SettingKind::Choices(names) => format!("any of `{}`", names.join("`, `")),
            SettingKind::Cron => "as in a crontab".to_owned(),
            SettingKind::Signatures => "names of signatures".to_owned(),
        };
        let default = (def.default)().to_string();
        let default = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
        let lhc = if def.lhc_key.is_empty() { String::new() } else { format!("`{}`", def.lhc_key) };
        writeln!(text, "| `{}` | {kind} | {default} | {lhc} | {} |", def.key, def.description).expect("a string");
    }
    page("docs/settings.md", &text);
}

#[test]
fn generated_reasons_page_is_current() {
    let mut text = String::from(
        "# Reasons to say no\n\nEvery refusal carries `google.rpc.ErrorInfo` with domain `lhfile`, one of these \
         reasons, and metadata such as the limit. Generated from `src/domain/refusal.rs`.\n\n\
         | reason | gRPC code | message |\n| --- | --- | --- |\n",
    );
    for reason in Reason::ALL {
        let code = match reason.kind() {
            Kind::Unauthenticated => "UNAUTHENTICATED",
            Kind::PermissionDenied => "PERMISSION_DENIED",
            Kind::NotFound => "NOT_FOUND",
            Kind::InvalidArgument => "INVALID_ARGUMENT",
            Kind::OutOfRange => "OUT_OF_RANGE",
            Kind::FailedPrecondition => "FAILED_PRECONDITION",
            Kind::Aborted => "ABORTED",
            Kind::AlreadyExists => "ALREADY_EXISTS",
            Kind::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Kind::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Kind::Unavailable => "UNAVAILABLE",
            Kind::DataLoss => "DATA_LOSS",
        };
        writeln!(text, "| `{}` | {code} | {} |", reason.name(), reason.message()).expect("a string");
    }
    page("docs/reasons.md", &text);
}

#[test]
fn generated_content_page_is_current() {
    let mut text = String::from(
        "# File types\n\nWhat the content of a file must be, by its extension. A file with another extension (an \
         administrator may allow it) is not judged, and served as `application/octet-stream`, attachment. Generated \
         from `src/domain/media_type/rules.rs`.\n\n\
         | extension | served as | may be shown inline | agrees |\n| --- | --- | --- | --- |\n",
    );
    for rule in CONTENT_RULES {
        let inline = if rule.inline { "yes" } else { "no" };
        writeln!(text, "| `{}` | `{}` | {inline} | {} |", rule.extension, rule.media_type, rule.agrees)
            .expect("a string");
    }
    page("docs/file-types.md", &text);
}

#[test]
fn generated_metrics_page_is_current() {
    let mut text = String::from(
        "# Metrics\n\nServed for Prometheus on `metrics_listen` (default 127.0.0.1:50052) at `/metrics`. Times are in \
         seconds. Generated from `src/telemetry.rs`.\n\n| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n",
    );
    for metric in METRICS {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        writeln!(text, "| `{}` | {kind} | {} | {} |", metric.name, metric.labels.join(", "), metric.description)
            .expect("a string");
    }
    page("docs/metrics.md", &text);
}

#[test]
fn nothing_is_counted_under_a_name_that_the_page_lacks() {
    let mut folders = vec![PathBuf::from("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let text = fs::read_to_string(&entry).expect("a source file");
            let literal = text.lines().find(|line| line.contains("!(\"lhfile_"));
            assert_eq!(literal, None, "{}: take the name from telemetry::names", entry.display());
        }
    }
}

#[test]
fn generated_rpc_table_of_the_readme_is_current() {
    const BEGIN: &str = "<!-- generated: RPCs -->\n";
    const END: &str = "<!-- end of generated -->";
    let table = MethodTable::read().expect("every RPC has its access option");
    let mut rows: Vec<_> = table
        .iter()
        .map(|(path, access)| {
            let (service, rpc) = path.trim_start_matches("/lhfile.v1.").split_once('/').expect("a path");
            let mut who: Vec<_> = access.any_of.iter().map(|p| format!("`{p}`")).collect();
            who.extend(access.visitors.then(|| "visitors".to_owned()));
            who.extend(access.link.then(|| "a link".to_owned()));
            who.extend(access.any_caller.then(|| "any caller, within reach".to_owned()));
            format!("| {service} | `{rpc}` | {} |\n", who.join(", "))
        })
        .collect();
    rows.sort();
    let readme = fs::read_to_string("README.md").expect("README.md is there");
    let (head, rest) = readme.split_once(BEGIN).expect("README.md has the marks");
    let (_, tail) = rest.split_once(END).expect("README.md has the marks");
    let rows = rows.concat();
    page("README.md", &format!("{head}{BEGIN}| service | RPC | who |\n| --- | --- | --- |\n{rows}{END}{tail}"));
}

#[test]
fn every_permission_asked_for_by_an_rpc_is_in_the_table() {
    let table = MethodTable::read().expect("every RPC has its access option");
    for (path, access) in table.iter() {
        for name in &access.any_of {
            assert!(Permission::find(name).is_some(), "{path}: {name}");
        }
    }
}
