//! What must be true after what a client did and was told: its files, their names, their chats.
//!
//! A client's files and chats are its own, so that its own order is the only one. The client asks this while it runs, the
//! checker builds it again out of the journal (`checker.rs`).

use std::collections::{BTreeMap, BTreeSet};

use super::journal::{Act, Answer, Sent};

/// Whether something is so, as far as the client can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    Yes,
    No,
    Maybe,
}

impl Is {
    /// Whether it may be so.
    pub fn allows(self, so: bool) -> bool {
        match self {
            Is::Yes => so,
            Is::No => !so,
            Is::Maybe => true,
        }
    }
}

/// Both are so.
impl std::ops::BitAnd for Is {
    type Output = Is;

    fn bitand(self, other: Is) -> Is {
        match (self, other) {
            (Is::No, _) | (_, Is::No) => Is::No,
            (Is::Yes, Is::Yes) => Is::Yes,
            (Is::Maybe, _) | (_, Is::Maybe) => Is::Maybe,
        }
    }
}

/// What follows of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Happened,
    Not,
    Unknown,
}

impl Answer {
    /// What became of a change that was answered so. A database that is down may have been so in the middle of a commit.
    pub fn outcome(&self) -> Outcome {
        match self {
            Answer::Done { .. } => Outcome::Happened,
            Answer::Refused { reason, .. } if reason == "DATABASE_DOWN" => Outcome::Unknown,
            Answer::Refused { .. } => Outcome::Not,
            Answer::Lost { .. } => Outcome::Unknown,
        }
    }
}

/// A file that was acknowledged.
#[derive(Debug)]
pub struct Known {
    pub sent: Sent,
    /// What it may be called: the last name that was acknowledged, and those of which nothing is known since.
    pub names: BTreeSet<String>,
    /// It is neither deleted by itself nor with its chat.
    pub is_ready: Is,
    /// The chats that it was ever attached to.
    pub attached: BTreeMap<String, Is>,
}

/// What a client knows.
#[derive(Debug, Default)]
pub struct Model {
    /// By their ids.
    pub files: BTreeMap<String, Known>,
    /// Uploads that may have become a file, by their names.
    pub perhaps: BTreeMap<String, Sent>,
    /// Its own chats.
    pub chats: BTreeMap<String, Is>,
}

impl Model {
    /// Takes note of an answer.
    ///
    /// # Panics
    /// If it contradicts what is known.
    pub fn note(&mut self, act: &Act, answer: &Answer) {
        let outcome = answer.outcome();
        if outcome == Outcome::Not {
            return;
        }
        let is = |known: Is, then: Is| if outcome == Outcome::Happened || known == then { then } else { Is::Maybe };
        match act {
            Act::Upload(sent) => match answer {
                Answer::Done { file } => self.acknowledge(file, sent),
                Answer::Refused { .. } | Answer::Lost { .. } => {
                    if !self.files.values().any(|known| known.sent.name == sent.name) {
                        self.perhaps.insert(sent.name.clone(), sent.clone());
                    }
                }
            },
            Act::Attach { file, chat } => {
                let known = self.known(file).attached.entry(chat.clone()).or_insert(Is::No);
                *known = is(*known, Is::Yes);
            }
            Act::Detach { file, chat } => {
                let known = self.known(file).attached.entry(chat.clone()).or_insert(Is::No);
                *known = is(*known, Is::No);
            }
            Act::Rename { file, name } => {
                let names = &mut self.known(file).names;
                if outcome == Outcome::Happened {
                    names.clear();
                }
                names.insert(name.clone());
            }
            Act::Delete { file } => {
                let known = self.known(file);
                known.is_ready = is(known.is_ready, Is::No);
            }
            Act::PutChat { chat } => {
                let known = self.chats.entry(chat.clone()).or_insert(Is::No);
                *known = is(*known, Is::Yes);
            }
            Act::DeleteChat { chat } => self.without_chat(chat, outcome),
            Act::Get { .. } | Act::Download { .. } | Act::List { .. } | Act::Settings => {}
        }
    }

    fn known(&mut self, file: &str) -> &mut Known {
        self.files.get_mut(file).expect("clients change what they know")
    }

    fn acknowledge(&mut self, file: &str, sent: &Sent) {
        self.perhaps.remove(&sent.name);
        let same = self.files.iter().find(|(_, known)| known.sent.name == sent.name).map(|(id, _)| id);
        assert!(same.is_none_or(|id| id == file), "{} became two files, {same:?} and {file}", sent.name);
        self.files.entry(file.to_owned()).or_insert_with(|| Known {
            sent: sent.clone(),
            names: BTreeSet::from([sent.name.clone()]),
            is_ready: Is::Yes,
            attached: BTreeMap::from([(sent.chat.clone(), Is::Yes)]),
        });
    }

    /// With a chat go the files whose home it is and that are attached nowhere else; others lose it.
    fn without_chat(&mut self, chat: &str, outcome: Outcome) {
        let surely = outcome == Outcome::Happened;
        self.chats.insert(chat.to_owned(), if surely { Is::No } else { Is::Maybe });
        for known in self.files.values_mut() {
            let elsewhere = known.attached.iter().filter(|(other, _)| *other != chat).map(|(_, is)| *is);
            let elsewhere = elsewhere.fold(Is::No, |all, one| match (all, one) {
                (Is::Yes, _) | (_, Is::Yes) => Is::Yes,
                (Is::Maybe, _) | (_, Is::Maybe) => Is::Maybe,
                (Is::No, Is::No) => Is::No,
            });
            if known.sent.chat == chat && known.is_ready != Is::No {
                known.is_ready = match elsewhere {
                    Is::Yes => known.is_ready,
                    Is::No if surely => Is::No,
                    Is::No | Is::Maybe => Is::Maybe,
                };
            }
            if let Some(here) = known.attached.get_mut(chat)
                && *here != Is::No
            {
                *here = if surely { Is::No } else { Is::Maybe };
            }
        }
    }
}
