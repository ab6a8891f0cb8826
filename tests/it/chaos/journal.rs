//! A client's own journal: what it is about to do, and what it was told of it, each line on disk before the next step.
//!
//! Not here: what follows from it (`model.rs`).

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use serde::{Deserialize, Serialize};

/// One thing that a client does. An upload with a request id may be begun several times, and is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    Upload(Sent),
    Attach {
        file: String,
        chat: String,
    },
    Detach {
        file: String,
        chat: String,
    },
    Rename {
        file: String,
        name: String,
    },
    Delete {
        file: String,
    },
    PutChat {
        chat: String,
    },
    DeleteChat {
        chat: String,
    },
    /// Changes nothing.
    Get {
        file: String,
    },
    Download {
        file: String,
    },
    List {
        chat: String,
    },
    Settings,
}

/// What an upload sends. No two uploads have a name in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    pub name: String,
    pub chat: String,
    /// Empty: none.
    pub request_id: String,
    /// What the text is made of.
    pub seed: String,
    pub size: usize,
    pub sha256: String,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done; of an upload, as this file.
    Done { file: String },
    /// The server said no.
    Refused { code: String, reason: String },
    /// No server said anything: the client's own library tells of a broken connection, or the wait was given up.
    Lost { why: String },
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub enum Line {
    Begins { op: u32, act: Act },
    Ended { op: u32, answer: Answer },
}

/// One client's file.
#[derive(Debug)]
pub struct Journal(File);

impl Journal {
    /// A new one.
    pub fn create(path: &Path) -> Self {
        Self(File::create_new(path).expect("our own folder"))
    }

    /// On disk when it returns.
    pub fn write(&mut self, line: &Line) {
        let mut text = serde_json::to_string(line).expect("plain data");
        text.push('\n');
        self.0.write_all(text.as_bytes()).expect("our own file");
        self.0.sync_data().expect("our own file");
    }
}

/// Reads a journal back: each act with its answer, in their order. What was begun and never ended is lost.
pub fn read(path: &Path) -> Vec<(Act, Answer)> {
    let text = fs::read_to_string(path).expect("it was written");
    let mut acts: Vec<(u32, Act, Answer)> = Vec::new();
    for line in text.lines() {
        match serde_json::from_str(line).expect("a line of ours") {
            Line::Begins { op, act } => acts.push((op, act, Answer::Lost { why: "never ended".to_owned() })),
            Line::Ended { op, answer } => {
                let last = acts.last_mut().filter(|(begun, _, _)| *begun == op).expect("it was begun last");
                last.2 = answer;
            }
        }
    }
    acts.into_iter().map(|(_, act, answer)| (act, answer)).collect()
}
