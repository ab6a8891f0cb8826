//! What a source file holds: the paths, strings, attributes and calls of a file, each with its line and whether only
//! tests see it.
//!
//! Not here: any rule. Comments are no tokens, so a rule never trips over prose.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::lexer::{Kind, Token, tokens};

/// A broken rule, and where.
pub struct Violation {
    pub path: String,
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// One Rust file of the checkout.
pub struct Source {
    /// Relative to the checkout, with slashes.
    pub path: String,
    pub text: String,
    pub tokens: Tokens,
}

/// Something found in a file.
pub struct Found {
    pub line: usize,
    pub text: String,
    /// Only compiled for tests.
    pub test: bool,
}

/// A path such as `crate::domain::Refusal`, with the inline modules around it. Groups of `use` are unfolded.
pub struct PathFound {
    pub line: usize,
    pub segments: Vec<String>,
    pub inside: Vec<String>,
    pub test: bool,
}

/// What the rules look at.
#[derive(Default)]
pub struct Tokens {
    pub paths: Vec<PathFound>,
    pub strings: Vec<Found>,
    pub attributes: Vec<Found>,
    pub calls: Vec<Found>,
    pub words: Vec<Found>,
}

impl Source {
    /// Reads a text as if it were the file at `path`.
    pub fn parse(path: &str, text: &str) -> Self {
        let mut found = Tokens::default();
        let test = path.ends_with("/tests.rs") || path.contains("/tests/");
        found.walk(&tokens(text), &[], path.starts_with("src/") && test);
        Self { path: path.to_owned(), text: text.to_owned(), tokens: found }
    }

    pub fn violation(&self, line: usize, what: impl Into<String>) -> Violation {
        Violation { path: self.path.clone(), line, what: what.into() }
    }

    /// The module that this file is, from the crate's root: `src/app/upload.rs` is `app::upload`.
    pub fn module(&self) -> Vec<String> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
        if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            parts.pop();
        }
        parts
    }

    /// A path from the crate's root, or `None` for one into another crate or to a local name.
    pub fn resolve(&self, found: &PathFound) -> Option<Vec<String>> {
        let mut base = match found.segments[0].as_str() {
            "crate" | "lhfile" => Vec::new(),
            "self" | "super" => self.module().into_iter().chain(found.inside.iter().cloned()).collect(),
            _ => return None,
        };
        for segment in &found.segments {
            match segment.as_str() {
                "crate" | "lhfile" | "self" => {}
                "super" => drop(base.pop()),
                name => base.push(name.to_owned()),
            }
        }
        Some(base)
    }
}

impl Tokens {
    fn walk(&mut self, tokens: &[Token], inside: &[String], test: bool) {
        let is = |at: usize, c: char| matches!(tokens.get(at), Some(Token { kind: Kind::Punct(p), .. }) if *p == c);
        let mut test = test;
        let mut item_test = test; // from #[cfg(test)] to the end of the item it stands before
        let mut at = 0;
        while let Some(Token { line, kind }) = tokens.get(at) {
            let line = *line;
            match kind {
                Kind::Punct('#') => {
                    let inner = is(at + 1, '!');
                    if let Some(Kind::Group('[', attribute)) = tokens.get(at + 1 + usize::from(inner)).map(|t| &t.kind)
                    {
                        let text = compact(attribute);
                        if text.starts_with("cfg(test)") {
                            item_test = true;
                            test |= inner;
                        }
                        self.walk(attribute, inside, item_test);
                        self.attributes.push(Found { line, text, test: item_test });
                        at += 1 + usize::from(inner);
                    }
                }
                Kind::Punct(';') => item_test = test,
                Kind::Punct(_) => {}
                Kind::Text(text) => self.strings.push(Found { line, text: text.clone(), test: item_test }),
                Kind::Group(bracket, group) => {
                    self.walk(group, inside, item_test);
                    if *bracket == '{' {
                        item_test = test;
                    }
                }
                Kind::Word(word) => {
                    if at > 0 && is(at - 1, '.') {
                        self.calls.push(Found { line, text: word.clone(), test: item_test });
                    }
                    let next = |ahead: usize| tokens.get(at + ahead).map(|token| &token.kind);
                    if let ("mod", Some(Kind::Word(name)), Some(Kind::Group('{', body))) =
                        (word.as_str(), next(1), next(2))
                    {
                        let deeper: Vec<String> = inside.iter().cloned().chain([name.clone()]).collect();
                        self.walk(body, &deeper, item_test);
                        self.words.push(Found { line, text: format!("mod {name}"), test: item_test });
                        item_test = test;
                        at += 2;
                    } else {
                        self.words.push(Found { line, text: word.clone(), test: item_test });
                        at = self.path(tokens, at, &[], inside, item_test);
                    }
                }
            }
            at += 1;
        }
    }

    /// Collects the path that starts at `at`, all of its branches if it is a `use` tree; answers its last token.
    fn path(&mut self, tokens: &[Token], at: usize, prefix: &[String], inside: &[String], test: bool) -> usize {
        let line = tokens[at].line;
        let mut segments = prefix.to_vec();
        let mut last = at;
        let mut next = at;
        loop {
            match tokens.get(next).map(|token| &token.kind) {
                Some(Kind::Word(word)) => segments.push(word.clone()),
                Some(Kind::Group('{', group)) => {
                    for branch in group.split(|token| matches!(token.kind, Kind::Punct(','))) {
                        if !branch.is_empty() {
                            self.path(branch, 0, &segments, inside, test);
                        }
                    }
                    return next;
                }
                _ => break,
            }
            last = next;
            let colon = |at: usize| matches!(tokens.get(at), Some(Token { kind: Kind::Punct(':'), .. }));
            if !(colon(next + 1) && colon(next + 2)) {
                break;
            }
            next += 3;
        }
        self.paths.push(PathFound { line, segments, inside: inside.to_vec(), test });
        last
    }
}

/// Tokens as text without spaces, strings in their quotes.
fn compact(tokens: &[Token]) -> String {
    let one = |token: &Token| match &token.kind {
        Kind::Word(word) => word.clone(),
        Kind::Punct(c) => c.to_string(),
        Kind::Text(text) => format!("\"{text}\""),
        Kind::Group(open, group) => format!("{open}{}{}", compact(group), closing(*open)),
    };
    tokens.iter().map(one).collect()
}

fn closing(open: char) -> char {
    match open {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

/// The folder of Cargo.toml.
pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below some folders or files of the checkout, sorted; those that do not exist are skipped.
pub fn files(folders: &[&str]) -> Vec<PathBuf> {
    let root = checkout();
    let skipped = ["target", "data", ".git", ".cache"].map(|name| root.join(name));
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if skipped.contains(&path) || !path.exists() {
            continue;
        }
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a folder of the checkout can be read");
            open.extend(entries.map(|entry| entry.expect("an entry of the checkout can be read").path()));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The Rust files below some folders of the checkout.
pub fn rust_files(folders: &[&str]) -> Vec<Source> {
    let rust = files(folders).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.map(|path| Source::parse(&relative(&path), &fs::read_to_string(&path).expect("a source is UTF-8"))).collect()
}

/// A path relative to the checkout, with slashes.
pub fn relative(path: &Path) -> String {
    path.strip_prefix(checkout()).unwrap_or(path).to_string_lossy().into_owned()
}
