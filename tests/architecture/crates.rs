//! The rules on what we depend on, from Cargo.toml, deny.toml, `cargo metadata` and `cargo tree`.
//!
//! Not here: known vulnerabilities, whose list needs the network (`cargo deny check advisories`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    sync::OnceLock,
};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use serde::Deserialize;

use super::source::{Violation, checkout};

/// Crates that a second version of would not compile, or would quietly be another type.
const ONCE: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "bytes",
    "diesel",
    "diesel-async",
    "h2",
    "http",
    "http-body",
    "hyper",
    "libsqlite3-sys",
    "metrics",
    "prost",
    "prost-types",
    "rustls",
    "tokio",
    "tonic",
    "tower",
    "tracing-core",
];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Manifest {
    dependencies: BTreeMap<String, figment::value::Value>,
}

#[derive(Deserialize)]
struct Deny {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// One package of the resolved tree.
#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub source: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// The names that a path in `src/` may start with to mean another crate.
pub fn dependency_names() -> BTreeSet<String> {
    static NAMES: OnceLock<BTreeSet<String>> = OnceLock::new();
    let read = || {
        let manifest: Manifest = toml("Cargo.toml");
        manifest.dependencies.keys().map(|name| name.replace('-', "_")).collect()
    };
    NAMES.get_or_init(read).clone()
}

/// Dependencies of Cargo.toml without a comment on their line.
pub fn reasons() -> Vec<Violation> {
    let text = fs::read_to_string(checkout().join("Cargo.toml")).expect("Cargo.toml can be read");
    let mut section = String::new();
    let mut violations = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            section = line.to_owned();
        } else if section.contains("dependencies]") && line.contains('=') && !line.contains(" # ") {
            let what = format!("no reason after `{line}`");
            violations.push(Violation { path: "Cargo.toml".to_owned(), line: at + 1, what });
        }
    }
    violations
}

/// Packages that deny.toml forbids: their licence, their name, or where they come from.
pub fn denied() -> Vec<Violation> {
    let deny: Deny = toml("deny.toml");
    packages().iter().flat_map(|package| judge(package, &deny)).collect()
}

fn judge(package: &Package, deny: &Deny) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let own = package.source.is_none() && package.name == env!("CARGO_PKG_NAME");
    if !own && package.source.as_deref() != Some(REGISTRY) {
        wrong.push(format!("comes from {}, not from crates.io", package.source.as_deref().unwrap_or("a folder")));
    }
    let expression = package.license.as_deref().unwrap_or("none");
    if !licence_holds(expression, &deny.licenses.allow) {
        wrong.push(format!("its licence `{expression}` is not in the list of deny.toml"));
    }
    if let Some(banned) = deny.bans.deny.iter().find(|banned| banned.name == package.name) {
        wrong.push(format!("is banned: {}", banned.reason));
    }
    let named = |what| Violation { path: format!("{} {}", package.name, package.version), line: 0, what };
    wrong.into_iter().map(named).collect()
}

/// Whether what is allowed satisfies a licence expression, in today's or the old style with slashes.
pub fn licence_holds(expression: &str, allowed: &[String]) -> bool {
    let Ok(expression) = spdx::Expression::parse_mode(expression, spdx::ParseMode::LAX) else { return false };
    expression.evaluate(|requirement| allowed.contains(&requirement.to_string()))
}

/// Versions beyond the first of the crates that must come once.
pub fn duplicates() -> Vec<Violation> {
    twice(packages())
}

/// The crates of `ONCE` that a list of packages holds more than once.
pub fn twice(packages: &[Package]) -> Vec<Violation> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| ONCE.contains(&package.name.as_str())) {
        versions.entry(&package.name).or_default().push(&package.version);
    }
    let double = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    let named = |(name, versions): (&str, Vec<&str>)| Violation {
        path: "Cargo.lock".to_owned(),
        line: 0,
        what: format!("{name} comes as {}", versions.join(" and ")),
    };
    double.map(named).collect()
}

/// What is built for this machine, by the lock file. `cargo metadata` alone also names optional crates that a feature of
/// theirs mentions (`ring?/std`) and nothing builds, so those that `cargo tree` lacks are left out.
fn packages() -> &'static [Package] {
    static PACKAGES: OnceLock<Vec<Package>> = OnceLock::new();
    let read = || {
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let json = cargo(&["metadata", "--locked", "--format-version", "1", "--filter-platform", &platform]);
        let metadata: Metadata = serde_json::from_slice(&json).expect("cargo metadata writes JSON");
        let tree = ["tree", "--locked", "--prefix", "none", "--no-dedupe", "--format", "{p}", "--target", &platform];
        let tree = String::from_utf8(cargo(&tree)).expect("cargo tree writes UTF-8");
        let built: BTreeSet<(&str, &str)> =
            tree.lines().filter_map(|line| line.split_once(" v")).map(|(name, rest)| (name, word(rest))).collect();
        let is_built = |package: &Package| built.contains(&(package.name.as_str(), package.version.as_str()));
        let packages: Vec<Package> = metadata.packages.into_iter().filter(is_built).collect();
        assert!(packages.len() > 50 && packages.len() == built.len(), "the tree was not read");
        packages
    };
    PACKAGES.get_or_init(read)
}

/// Up to the first blank.
fn word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

fn cargo(arguments: &[&str]) -> Vec<u8> {
    let run = Command::new(env!("CARGO")).args(arguments).current_dir(checkout()).output().expect("cargo can be run");
    assert!(run.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
    run.stdout
}

fn toml<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let file = Toml::file_exact(checkout().join(name));
    Figment::from(file).extract().unwrap_or_else(|e| panic!("{name}: {e}"))
}
