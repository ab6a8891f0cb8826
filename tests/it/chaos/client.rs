//! A client that does a thousand different things, writes down each before and after, and believes nothing.
//!
//! Whatever it does is its own choice out of a seed; what it may be answered follows from what it knows (`model.rs`).
//! Not here: the calls themselves (`calls.rs`).

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use super::{
    calls::{Call, Told, perform},
    journal::{Act, Answer, Journal, Line, Sent},
    model::{Is, Known, Model, Outcome},
};
use crate::harness::{Operator, reason_of, samples};

/// Chats of all clients, which nobody deletes.
pub const HALLS: [&str; 4] = ["hall-0", "hall-1", "hall-2", "hall-3"];
/// Chats of each client's own.
const OWN_CHATS: u32 = 2;
/// What is sent in parts where the store is S3.
const IN_PARTS: usize = (8 << 20) + 4_321;
/// Texts that everybody sends, so that their bytes are shared.
const COMMON: u32 = 12;
/// How often a change is asked for that is to be known.
const TRIES: u32 = 400;

/// What all clients of a run share.
#[derive(Debug)]
pub struct Field {
    /// One channel to each node, for each client to clone its own of.
    pub addresses: Vec<std::net::SocketAddr>,
    /// Where the journals are.
    pub folder: PathBuf,
    /// Operations that were begun.
    begun: AtomicU32,
    /// How many there are to be.
    most: u32,
    /// The longest pause between two of one client.
    pause: Duration,
    /// No more are begun.
    over: AtomicBool,
    tally: Mutex<BTreeMap<String, u32>>,
}

impl Field {
    /// So many operations on these nodes, or until it is over.
    pub fn of(addresses: Vec<std::net::SocketAddr>, folder: PathBuf, most: u32, pause: Duration) -> Arc<Self> {
        let (begun, over, tally) = (0.into(), false.into(), Mutex::default());
        Arc::new(Self { addresses, folder, begun, most, pause, over, tally })
    }

    fn next(&self) -> Option<u32> {
        let op = self.begun.fetch_add(1, Ordering::Relaxed);
        (op < self.most && !self.is_over()).then_some(op)
    }

    /// No more are begun, and none is asked for again.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether all have been begun.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.begun.load(Ordering::Relaxed) >= self.most
    }

    fn count(&self, what: String) {
        *self.tally.lock().expect("no panic inside").entry(what).or_default() += 1;
    }

    /// How often something was answered: an act's name, or a refusal's.
    pub fn tally(&self, what: &str) -> u32 {
        self.tally.lock().expect("no panic inside").get(what).copied().unwrap_or_default()
    }

    /// How far they are, for people.
    pub fn progress(&self) -> String {
        format!("{} of {} operations begun", self.begun.load(Ordering::Relaxed).min(self.most), self.most)
    }

    /// All of it, for people.
    pub fn told(&self) -> String {
        let tally = self.tally.lock().expect("no panic inside");
        tally.iter().map(|(what, n)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
    }

    /// The journal of a client.
    pub fn journal(&self, number: u32) -> PathBuf {
        self.folder.join(format!("journal-{number}.jsonl"))
    }
}

/// One of them.
pub struct Client {
    number: u32,
    field: Arc<Field>,
    caller: Operator,
    channels: Vec<Channel>,
    journal: Journal,
    model: Model,
    random: u64,
    named: u32,
}

impl Client {
    /// The one of this number, which knows nothing yet.
    pub fn new(number: u32, field: &Arc<Field>) -> Self {
        let to = |address: &std::net::SocketAddr| {
            let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
            endpoint.connect_timeout(Duration::from_secs(10)).connect_lazy()
        };
        Self {
            number,
            field: Arc::clone(field),
            caller: Operator::with(&["*"]).named(&name_of(number)),
            channels: field.addresses.iter().map(to).collect(),
            journal: Journal::create(&field.journal(number)),
            model: Model::default(),
            random: u64::from(number) * 7_919 + 1,
            named: 0,
        }
    }

    /// Goes on until the field is over.
    pub async fn run(mut self) {
        while let Some(op) = self.field.next() {
            let act = self.choose();
            self.carry_out(op, act).await;
            let most = u32::try_from(self.field.pause.as_millis()).expect("short") + 1;
            tokio::time::sleep(Duration::from_millis(u64::from(self.below(most)))).await;
        }
    }

    /// Xorshift: which choice comes next.
    fn below(&mut self, most: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u32::try_from(self.random % u64::from(most)).expect("below a u32")
    }

    fn choose(&mut self) -> Act {
        let Some(chat) = self.chat() else { return Act::PutChat { chat: self.own_chat() } };
        let hall = HALLS[self.below(4) as usize].to_owned();
        let (wanted, any) = (self.below(100), self.any_file());
        match (wanted, any) {
            (0..2, _) => Act::Settings,
            (2..6, _) => Act::PutChat { chat: self.own_chat() },
            (6..8, _) => Act::DeleteChat { chat },
            (8..14, _) => Act::List { chat },
            (14..26, Some(file)) => Act::Download { file },
            (26..34, Some(file)) => Act::Get { file },
            (34..42, Some(file)) => Act::Attach { file, chat: hall },
            (42..47, Some(file)) => Act::Detach { file, chat: hall },
            (47..52, Some(file)) => Act::Rename { file, name: self.new_name() },
            (52..58, Some(file)) => Act::Delete { file },
            (58..61, _) => self.upload(chat, IN_PARTS),
            (61..67, _) => {
                let size = 1_000_000 + self.below(2_000_000) as usize;
                self.upload(chat, size)
            }
            (_, _) => {
                let size = 100 + self.below(20_000) as usize;
                self.upload(chat, size)
            }
        }
    }

    fn upload(&mut self, chat: String, size: usize) -> Act {
        let name = self.new_name();
        let (seed, size) = match self.below(5) {
            0 if size < IN_PARTS => (format!("common {}", self.below(COMMON)), 3_333),
            _ => (format!("only {name}"), size),
        };
        let request_id = if self.below(3) == 0 { String::new() } else { format!("r-{name}") };
        let sha256 = samples::sha256(&samples::text(size, &seed));
        Act::Upload(Sent { name, chat, request_id, seed, size, sha256 })
    }

    fn new_name(&mut self) -> String {
        self.named += 1;
        format!("{}-{}.txt", self.number, self.named)
    }

    fn own_chat(&mut self) -> String {
        let which = self.below(OWN_CHATS);
        format!("chat-{}-{which}", self.number)
    }

    /// One that is there for certain.
    fn chat(&mut self) -> Option<String> {
        let there: Vec<_> =
            self.model.chats.iter().filter(|(_, is)| **is == Is::Yes).map(|(id, _)| id.clone()).collect();
        let most = u32::try_from(there.len()).expect("few");
        (most > 0).then(|| there[self.below(most) as usize].clone())
    }

    fn any_file(&mut self) -> Option<String> {
        let most = u32::try_from(self.model.files.len()).expect("few");
        let which = if most > 0 { self.below(most) } else { 0 };
        self.model.files.keys().nth(which as usize).cloned()
    }

    /// Does it; again, by any node, until it is known what became of it, unless it is left at that.
    async fn carry_out(&mut self, op: u32, act: Act) {
        let is_known_only_once = matches!(&act, Act::Upload(sent) if sent.request_id.is_empty());
        let must_be_known = match &act {
            Act::Upload(_) => !is_known_only_once && self.below(10) > 0,
            Act::PutChat { .. } | Act::DeleteChat { .. } => true,
            _ => self.below(2) == 0,
        };
        for tried in 0..TRIES {
            let answer = self.ask(op, &act).await;
            match answer.outcome() {
                Outcome::Happened => break,
                Outcome::Not if !is_unavailable(&answer) => break,
                Outcome::Unknown if is_known_only_once => break,
                Outcome::Unknown | Outcome::Not if !must_be_known || self.field.over.load(Ordering::Relaxed) => break,
                Outcome::Unknown | Outcome::Not => {
                    let pause = 50 + u64::from(self.below(100 * (1 + tried.min(9))));
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            }
        }
        // As one whose answer was lost does.
        if let Act::Upload(sent) = &act
            && !sent.request_id.is_empty()
            && self.below(4) == 0
        {
            self.ask(op, &act).await;
        }
    }

    async fn ask(&mut self, op: u32, act: &Act) -> Answer {
        self.journal.write(&Line::Begins { op, act: act.clone() });
        let node = self.below(u32::try_from(self.channels.len()).expect("few")) as usize;
        let told = perform(self.channels[node].clone(), &self.caller, act).await;
        let answer = match &told {
            Ok(Told::File(file)) => Answer::Done { file: file.file_id.clone() },
            Ok(Told::Files(_) | Told::Bytes(_) | Told::Nothing) => Answer::Done { file: String::new() },
            Err(call) => call.answer(),
        };
        self.journal.write(&Line::Ended { op, answer: answer.clone() });
        self.count(act, &answer);
        if let Err(wrong) = self.judge(act, told) {
            panic!("client {}, operation {op}, node {node}: {act:?} was answered {answer:?}: {wrong}", self.number);
        }
        self.model.note(act, &answer);
        answer
    }

    fn count(&self, act: &Act, answer: &Answer) {
        let act = format!("{act:?}");
        let act = act.split(['(', ' ']).next().unwrap_or_default();
        self.field.count(match answer {
            Answer::Done { .. } => act.to_owned(),
            Answer::Refused { reason, .. } => reason.clone(),
            Answer::Lost { .. } => "lost".to_owned(),
        });
    }

    /// Whether that may be said to somebody who knows what we know.
    fn judge(&self, act: &Act, told: Result<Told, Call>) -> Result<(), String> {
        let file = match act {
            Act::Attach { file, .. } | Act::Detach { file, .. } | Act::Rename { file, .. } | Act::Get { file } => file,
            Act::Download { file } | Act::Delete { file } => file,
            Act::Upload(_) | Act::PutChat { .. } | Act::DeleteChat { .. } | Act::List { .. } | Act::Settings => "",
        };
        let known = self.model.files.get(file);
        match told {
            Err(Call::Broken(_) | Call::Silent) => Ok(()),
            Err(Call::Refused(status)) => match (status.code(), known) {
                (Code::Unavailable, _) if !reason_of(&status).is_empty() => Ok(()),
                (Code::Aborted, _) if matches!(act, Act::Upload(_)) && reason_of(&status) == "FENCED" => Ok(()),
                (Code::NotFound, Some(known)) if known.is_ready != Is::Yes => Ok(()),
                _ => Err(format!("{status:?}")),
            },
            Ok(told) => self.judge_told(act, &told, known),
        }
    }

    fn judge_told(&self, act: &Act, told: &Told, known: Option<&Known>) -> Result<(), String> {
        let must = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {told:?}")) };
        match (act, told, known) {
            (Act::Upload(sent), Told::File(file), _) => {
                must(file.sha256 == sent.sha256 && file.display_name == sent.name, "another file")
            }
            // Who could have deleted it is told so again.
            (Act::Delete { .. }, ..) => Ok(()),
            (Act::Download { .. }, Told::Bytes(sha256), Some(known)) => {
                must(known.is_ready != Is::No, "it is deleted")?;
                must(*sha256 == known.sent.sha256, "other bytes")
            }
            (Act::Rename { .. }, Told::File(_), Some(known)) | (Act::Detach { .. }, Told::Nothing, Some(known)) => {
                must(known.is_ready != Is::No, "it is deleted")
            }
            (_, Told::File(file), Some(known)) => {
                must(known.is_ready != Is::No, "it is deleted")?;
                must(known.names.contains(&file.display_name), "another name")?;
                must(file.sha256 == known.sent.sha256, "another file")
            }
            (Act::List { chat }, Told::Files(files), _) => {
                for (id, known) in &self.model.files {
                    let here = known.attached.get(chat).copied().unwrap_or(Is::No);
                    let listed = files.iter().any(|file| file.file_id == *id);
                    must((here & known.is_ready).allows(listed), id)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What a client is called.
pub fn name_of(number: u32) -> String {
    format!("client-{number}")
}

fn is_unavailable(answer: &Answer) -> bool {
    matches!(answer, Answer::Refused { code, .. } if code == "Unavailable" || code == "Aborted")
}
