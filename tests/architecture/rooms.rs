//! The layering table: which room may import which, and which crates and parts of std each may use.
//!
//! Not here: how paths are found (`source.rs`). ARCHITECTURE.md tells the same table in words; to open a new
//! border, change both, in one commit that says why.

use std::collections::BTreeSet;

use super::{
    crates,
    source::{Source, Violation},
};

/// What one room may import. Tests inside a room may import anything.
struct Room {
    name: &'static str,
    /// Rooms of this crate, besides itself.
    rooms: &'static [&'static str],
    /// Crates of Cargo.toml; std is open, but for `closed`.
    crates: &'static [&'static str],
    /// Paths that are closed although their crate is open.
    closed: &'static [&'static str],
}

/// Crates without IO of their own that any room but `domain` may use.
const PLAIN: &[&str] =
    &["async_trait", "bytes", "crc_fast", "data_encoding", "futures_util", "metrics", "sha2", "thiserror", "tracing"];

const IO: &[&str] = &["std::env", "std::fs", "std::io", "std::net", "std::process", "std::thread"];

const ROOMS: &[Room] = &[
    Room { name: "domain", rooms: &[], crates: &["chrono", "data_encoding", "thiserror"], closed: IO },
    Room {
        name: "ports",
        rooms: &["domain"],
        crates: &["async_trait", "bytes", "data_encoding", "futures_util", "getrandom", "thiserror", "tokio_stream"],
        closed: &["std::env", "std::fs", "std::net", "std::process", "std::thread"],
    },
    Room {
        name: "app",
        rooms: &["domain", "ports", "telemetry", "faults"],
        crates: &["tokio", "tokio_stream", "tokio_util", "aws_lc_rs", "serde", "serde_json"],
        closed: &[
            "std::env",
            "std::fs",
            "std::net",
            "std::path",
            "std::process",
            "tokio::fs",
            "tokio::net",
            "tokio::process",
            "tokio::signal",
        ],
    },
    Room { name: "rpc", rooms: &["domain", "app", "ports", "telemetry", "pb"], crates: SPEAKING, closed: SPEAKING_NOT },
    Room {
        name: "http",
        rooms: &["domain", "app", "ports", "telemetry", "pb"],
        crates: SPEAKING,
        closed: SPEAKING_NOT,
    },
    Room { name: "adapters", rooms: &["domain", "ports", "telemetry", "faults"], crates: &[], closed: &["std::env"] },
    Room {
        name: "config",
        rooms: &[],
        crates: &["serde", "figment", "data_encoding", "thiserror"],
        closed: &["std::net::TcpStream", "std::process"],
    },
    Room {
        name: "telemetry",
        rooms: &[],
        crates: &["metrics", "metrics_exporter_prometheus", "tracing", "tracing_subscriber", "thiserror"],
        // Logs go to standard error, metrics are served at an address.
        closed: &["std::env", "std::fs", "std::process", "std::thread"],
    },
    Room {
        name: "secret",
        rooms: &["ports"],
        crates: &["data_encoding", "thiserror"],
        closed: &["std::env", "std::net", "std::process", "std::thread"],
    },
    Room { name: "faults", rooms: &[], crates: &["tokio", "tracing"], closed: &["std::net"] },
    Room { name: "pb", rooms: &[], crates: &["tonic", "tonic_prost", "prost", "prost_types", "bytes"], closed: IO },
];

const SPEAKING: &[&str] = &[
    "jsonwebtoken",
    "serde",
    "tonic",
    "tonic_prost",
    "tonic_types",
    "tonic_reflection",
    "tonic_health",
    "prost",
    "prost_types",
    "prost_reflect",
    "tower",
    "axum",
    "http",
    "http_body",
    "tokio",
    "tokio_stream",
    "tokio_util",
    "percent_encoding",
];
const SPEAKING_NOT: &[&str] = &["std::env", "std::fs", "std::process", "tokio::fs", "tokio::process"];

/// The rooms that introduce ports to their adapters, or talk to the service from outside: everything is open.
const INTRODUCERS: &[&str] = &["lib", "main", "server", "cli"];

/// Each adapter and its drivers. A driver is for this adapter alone, over the whole crate.
const DRIVERS: &[(&str, &[&str])] = &[
    (
        "sql",
        &[
            "diesel",
            "diesel_async",
            "diesel_migrations",
            "libsqlite3_sys",
            "crossbeam_channel",
            "tokio_postgres",
            "rustls_native_certs",
        ],
    ),
    ("content", &["file_format", "imagesize", "flate2"]),
    ("scanner", &["rawzip"]),
    ("blobs", &["object_store", "quick_xml"]),
    ("memory", &[]),
];
/// What every adapter may use besides its driver; the server, too.
const ADAPTING: &[&str] = &[
    "tokio",
    "tokio_stream",
    "tokio_util",
    "tokio_rustls",
    "rustix",
    "serde",
    "serde_json",
    "aws_lc_rs",
    "getrandom",
    "http",
];

/// Every import of this file that the table does not allow.
pub fn imports(file: &Source) -> Vec<Violation> {
    let module = file.module();
    let name = module.first().map_or("lib", String::as_str);
    let adapter = if name == "adapters" { module.get(1).map(String::as_str) } else { None };
    let room = ROOMS.iter().find(|room| room.name == name);
    if room.is_none() && !INTRODUCERS.contains(&name) {
        return vec![
            file.violation(1, format!("there is no room `{name}`: see the table in tests/architecture/rooms.rs")),
        ];
    }
    let known: BTreeSet<String> = crates::dependency_names();
    let mut violations = Vec::new();
    for path in file.tokens.paths.iter().filter(|path| !path.test && path.segments.len() > 1) {
        let written = path.segments.join("::");
        let wrong = if let Some(target) = file.resolve(path) {
            room.and_then(|room| inward(room, adapter, &target))
        } else {
            let krate = path.segments[0].as_str();
            match room {
                _ if known.contains(krate) && driver_of_another(adapter, krate) => {
                    Some(format!("`{krate}` is the driver of one adapter alone"))
                }
                Some(room) if known.contains(krate) && !outward(room, adapter, krate) => {
                    Some(format!("`{name}` does not know the crate `{krate}`"))
                }
                Some(room) => closed(room, &path.segments),
                None => None,
            }
        };
        violations.extend(wrong.map(|wrong| file.violation(path.line, format!("{wrong}: `{written}`"))));
    }
    if name == "domain" {
        let waits = file.tokens.words.iter().filter(|word| !word.test && word.text == "async");
        violations.extend(waits.map(|word| file.violation(word.line, "`domain` decides and never waits: no async")));
    }
    violations
}

/// What is wrong with a path into this crate, if anything is.
fn inward(room: &Room, adapter: Option<&str>, target: &[String]) -> Option<String> {
    let to = target.first()?.as_str();
    // A name of the crate's root that is no room: the root's own items are for all.
    let rooms = || ROOMS.iter().map(|room| room.name).chain(INTRODUCERS.iter().copied());
    if to != room.name && rooms().any(|name| name == to) && !room.rooms.contains(&to) {
        return Some(format!("`{}` does not know `{to}`", room.name));
    }
    let other = target.get(1).filter(|_| to == "adapters")?.as_str();
    let foreign = adapter.is_some_and(|own| own != other) && DRIVERS.iter().any(|(name, _)| *name == other);
    foreign.then(|| format!("an adapter does not know its neighbour `{other}`"))
}

fn outward(room: &Room, adapter: Option<&str>, krate: &str) -> bool {
    let plain = room.name != "domain" && PLAIN.contains(&krate);
    let driver = adapter.is_some_and(|own| {
        ADAPTING.contains(&krate) || DRIVERS.iter().any(|(name, drivers)| *name == own && drivers.contains(&krate))
    });
    plain || driver || room.crates.contains(&krate)
}

fn driver_of_another(adapter: Option<&str>, krate: &str) -> bool {
    DRIVERS.iter().any(|(name, drivers)| drivers.contains(&krate) && adapter != Some(name))
}

fn closed(room: &Room, segments: &[String]) -> Option<String> {
    let hit = |closed: &&&str| {
        let parts: Vec<&str> = closed.split("::").collect();
        segments.len() >= parts.len() && parts.iter().zip(segments).all(|(part, segment)| part == segment)
    };
    room.closed.iter().find(hit).map(|closed| format!("`{}` does not use `{closed}`", room.name))
}
