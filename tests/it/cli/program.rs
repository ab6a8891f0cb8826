//! A server that the command line started, and the command line as a program: words in; exit code and output out.
//!
//! Not here: the tests (`cli.rs`). The harness's own servers are configured; this one is not.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    place::{free_port, new_folder},
    process, samples,
};

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
}

impl Ended {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
    /// Each line of standard output as JSON; it must have ended with 0.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{} {}", self.text(), self.err);
        self.text().lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
    }
    #[track_caller]
    pub fn object(&self) -> Value {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.into_iter().next().expect("one")
    }
    /// The refusal on standard error: code 3, its shape, its reason; answers the object.
    #[track_caller]
    pub fn refused(&self, code: &str, reason: &str) -> Value {
        assert_eq!(self.code, Some(3), "{} {}", self.text(), self.err);
        let refusal: Value = serde_json::from_str(self.err.lines().last().unwrap_or_default()).expect("a JSON object");
        assert_eq!((&refusal["code"], &refusal["reason"]), (&json!(code), &json!(reason)), "{refusal}");
        assert!(refusal["message"].as_str().is_some_and(|m| !m.is_empty()) && refusal["metadata"].is_object());
        refusal
    }
}

/// `lhfile` with these words; nothing of this shell's own settings.
pub fn lhfile(words: &[&str], env: &[(&str, &str)], folder: &Path) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lhfile"));
    for name in ["LHFILE_ADDR", "LHFILE_TOKEN", "LHFILE_ACT_AS", "LHFILE_CONFIG"] {
        command.env_remove(name);
    }
    command.args(words).envs(env.iter().copied()).current_dir(folder).stdin(Stdio::null());
    let output = command.output().expect("it was built");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { code: output.status.code(), out: output.stdout, err }
}

/// A server that `lhfile serve` started with no configuration at all.
pub struct Server {
    /// Where it was started, with `./data`.
    pub folder: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it said.
    pub said: PathBuf,
}

/// The one that the tests of the command line share.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

impl Server {
    fn start() -> Self {
        let folder = new_folder();
        let server = Self { said: folder.join("said"), folder, address: free_port() };
        let mut command = process::command(env!("CARGO_BIN_EXE_lhfile"));
        command.args(["serve", "--listen", &server.address.to_string()]).current_dir(&server.folder);
        command.envs(server.env().iter().copied()).stdin(Stdio::null());
        let said = fs::File::create(&server.said).expect("our own folder");
        command.stdout(said.try_clone().expect("a descriptor")).stderr(said);
        drop(process::spawn(command));
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let said = fs::read_to_string(&server.said).unwrap_or_default();
            // Not before it is ready: `lhfile token` would make the secret in its place.
            if said.lines().any(|line| line.contains(" ready on ")) {
                let status = server.admin(&["scanner", "status"]);
                if status.code == Some(0) && status.object()["healthy"] == json!(true) {
                    return server;
                }
            }
            assert!(Instant::now() < until, "not ready, or without a scanner: {said}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// No metrics, and no signatures of this machine.
    pub const fn env(&self) -> [(&'static str, &'static str); 2] {
        [("LHFILE_METRICS_LISTEN", ""), ("LHFILE_SCANNER__SIGNATURE_DIR", "/nonexistent")]
    }

    pub fn token(&self, words: &[&str]) -> String {
        let words: Vec<&str> = ["token"].iter().chain(words).copied().collect();
        let ended = lhfile(&words, &[], &self.folder);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let text = ended.text();
        assert_eq!(text.lines().count(), 1, "the JWT alone");
        text.trim().to_owned()
    }

    pub fn run(&self, token: &str, words: &[&str]) -> Ended {
        let address = self.address.to_string();
        lhfile(words, &[("LHFILE_ADDR", &address), ("LHFILE_TOKEN", token)], &self.folder)
    }

    pub fn json(&self, token: &str, words: &[&str]) -> Ended {
        let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        self.run(token, &words)
    }

    /// As the backend with all rights.
    pub fn admin(&self, words: &[&str]) -> Ended {
        self.json(&self.token(&["--service", "backend", "--permission", "*", "--chat", "*"]), words)
    }

    pub fn sample(&self, extension: &str) -> String {
        let path = self.folder.join(format!("sample.{extension}"));
        if !path.exists() {
            fs::write(&path, samples::sample(extension)).expect("our own folder");
        }
        path.to_string_lossy().into_owned()
    }

    pub fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.join(name);
        fs::write(&path, bytes).expect("our own folder");
        path.to_string_lossy().into_owned()
    }
}
