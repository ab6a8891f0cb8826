//! `lhfile migrate` with the configuration of a server of the tests.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    cli::program::{Ended, lhfile},
    harness::{Bucket, Node, process},
};

fn config(node: &Node) -> String {
    node.folder().join("lhfile.toml").display().to_string()
}

/// Runs it to its end; what it says for programs.
pub fn migrate(node: &Node, words: &[&str]) -> Ended {
    let config = config(node);
    let words = [&["migrate"], words, &["--config", &config]].concat();
    lhfile(&[&words[..], &["--json"]].concat(), &[], node.folder())
}

/// How far it came, by its own word.
pub fn moved_to(ended: &Ended) -> String {
    let told: Value = serde_json::from_str(ended.text().trim()).unwrap_or_default();
    told["moved"].as_str().unwrap_or_default().to_owned()
}

/// A configuration of nodes in this bucket; answers its file.
pub fn in_bucket(node: &Node, bucket: &Bucket) -> String {
    let own = fs::read_to_string(node.folder().join("lhfile.toml")).expect("our own folder");
    let kept = own.lines().filter(|line| !line.starts_with("blob_url") && !line.starts_with("s3."));
    let file = node.folder().join("bucket.toml");
    let text: Vec<String> = bucket.config(bucket.address()).into_iter().chain(kept.map(str::to_owned)).collect();
    fs::write(&file, text.join("\n")).expect("our own folder");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("our own file");
    file.display().to_string()
}

/// One that runs.
pub struct Running {
    child: Child,
    said: std::path::PathBuf,
}

/// Starts it, to stop for ever at this point if there is one.
pub fn begin(node: &Node, words: &[&str], stops_at: Option<&str>) -> Running {
    let (marker, said) = (node.folder().join("migrate.marker"), node.folder().join("migrate.said"));
    let _ = fs::remove_file(&marker);
    let mut command = process::command(env!("CARGO_BIN_EXE_lhfile"));
    command.arg("migrate").args(words).args(["--config", &config(node)]).stdin(Stdio::null());
    let log = fs::File::create(&said).expect("our own folder");
    command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
    if let Some(point) = stops_at {
        command.env("LHFILE_FAULT_POINT", point).env("LHFILE_FAULT_MARKER", &marker);
    }
    Running { child: process::spawn(command), said }
}

impl Running {
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Waits until it says something.
    pub fn wait_to_say(&mut self, what: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.said().contains(what) {
            assert!(Instant::now() < until, "it does not say {what:?}: {}", self.said());
            assert!(self.child.try_wait().is_ok_and(|ended| ended.is_none()), "it ended: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it is where it stops, and kills it there.
    pub fn killed_where_it_stops(mut self, node: &Node) {
        self.wait_where_it_stops(node);
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Waits until it is where it stops.
    pub fn wait_where_it_stops(&mut self, node: &Node) {
        let until = Instant::now() + Duration::from_secs(60);
        while !node.folder().join("migrate.marker").exists() {
            assert!(Instant::now() < until, "it does not come there: {}", self.said());
            assert!(self.child.try_wait().is_ok_and(|ended| ended.is_none()), "it ended: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends it a signal and waits for its end; its exit code.
    pub fn ended_by(mut self, signal: &str) -> (Option<i32>, String) {
        process::signal(self.child.id(), signal);
        assert!(process::wait_for_end(&mut self.child, Duration::from_secs(20)), "it does not end: {}", self.said());
        (self.child.wait().expect("it ended").code(), self.said())
    }

    /// Waits for its end.
    pub fn ended_within(mut self, at_most: Duration) -> (Option<i32>, String) {
        assert!(process::wait_for_end(&mut self.child, at_most), "it does not end: {}", self.said());
        (self.child.wait().expect("it ended").code(), self.said())
    }
}
