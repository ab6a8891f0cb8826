//! Holds what the clients wrote down against the database, the store and what the nodes answer.
//!
//! I1 and I2 (acknowledged files are there, whole), I4 and I5 (bytes and rows are each other's, nothing is left over),
//! I6 and I7 (deleted is gone, nothing else is), I8 (each effect has its event, and somebody who asked for it), I10 (one
//! file for each request id). Not here: how long recovery may take (the tests themselves).

use std::collections::{BTreeMap, HashMap, HashSet};

use futures_util::{StreamExt as _, stream};
use lhfile::domain::FileId;

use super::{
    calls::{Call, Told, perform},
    client::{Field, name_of},
    journal::{Act, read},
    model::{Known, Model},
};
use crate::harness::{Bucket, Node, Service, reason_of, samples};

/// Who asks besides the clients, and keeps no journal: an operator's name.
pub const PROBE: &str = "probe";

/// Calls and reads at once.
const AT_ONCE: usize = 8;

/// What the database says.
struct Rows {
    files: BTreeMap<String, FileRow>,
    /// The chats that a file is attached to.
    attached: HashMap<String, HashSet<String>>,
    /// How often something of a kind happened to a file.
    events: HashMap<(String, String), u32>,
    /// Size and hash by the key.
    blobs: BTreeMap<String, (u64, String)>,
}

struct FileRow {
    is_ready: bool,
    name: String,
    uploader: String,
    home: String,
    sha256: String,
    size: usize,
    key: String,
}

fn ask(node: &Node, sql: &str) -> Vec<Vec<String>> {
    let (cluster, name) = node.postgres().expect("on PostgreSQL");
    let rows = cluster.psql(name, sql).into_iter();
    rows.map(|row| row.split('|').map(str::to_owned).collect()).collect()
}

fn id(hex: &str) -> String {
    let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hex");
    FileId(bytes.try_into().expect("16 bytes")).to_string()
}

impl Rows {
    fn of(node: &Node) -> Self {
        let files = "SELECT encode(f.id, 'hex'), f.state = 'READY', f.display_name, f.uploader_id, f.home_chat_id, \
                     encode(f.sha256, 'hex'), f.size, encode(b.key, 'hex') FROM files f JOIN blobs b ON b.id = f.blob_id";
        let files = ask(node, files).into_iter().map(|row| {
            let [file, is_ready, name, uploader, home, sha256, size, key] = row.try_into().expect("eight columns");
            let (is_ready, size) = (is_ready == "t", size.parse().expect("a number"));
            (id(&file), FileRow { is_ready, name, uploader, home, sha256, size, key })
        });
        let attached =
            "SELECT encode(f.id, 'hex'), a.chat_id FROM attachments a JOIN files f ON f.number = a.file_number";
        let mut chats: HashMap<String, HashSet<String>> = HashMap::new();
        for row in ask(node, attached) {
            chats.entry(id(&row[0])).or_default().insert(row[1].clone());
        }
        let events =
            "SELECT encode(file_id, 'hex'), kind, count(*) FROM events WHERE file_id IS NOT NULL GROUP BY 1, 2";
        let events = ask(node, events).into_iter();
        let events = events.map(|row| ((id(&row[0]), row[1].clone()), row[2].parse().expect("a number")));
        let blobs = ask(node, "SELECT encode(key, 'hex'), size, encode(sha256, 'hex') FROM blobs").into_iter();
        let blobs = blobs.map(|row| (row[0].clone(), (row[1].parse().expect("a number"), row[2].clone())));
        Self { files: files.collect(), attached: chats, events: events.collect(), blobs: blobs.collect() }
    }

    fn happened(&self, file: &str, kind: &str) -> u32 {
        self.events.get(&(file.to_owned(), kind.to_owned())).copied().unwrap_or_default()
    }
}

/// What is not as it must be once nothing is under way any more, and nothing is left of what was.
pub async fn check(nodes: &[Node], bucket: &Bucket, field: &Field, clients: u32) -> Vec<String> {
    let rows = Rows::of(&nodes[0]);
    let mut wrong = check_store(&rows, bucket).await;
    let mut claimed = HashSet::new();
    let (mut acknowledged, mut perhaps, mut ready) = (0, 0, Vec::new());
    for number in 0..clients {
        let model = replay(field, number);
        acknowledged += model.files.len();
        for (file, known) in &model.files {
            claimed.insert(file.clone());
            wrong.extend(check_file(&rows, number, file, known));
            if let Some(row) = rows.files.get(file) {
                ready.push((file.clone(), row.is_ready.then(|| known.sent.sha256.clone())));
            }
        }
        for sent in model.perhaps.values() {
            let made = |row: &&String| rows.files[*row].name == sent.name && !claimed.contains(*row);
            let made: Vec<String> = rows.files.keys().filter(made).cloned().collect();
            for file in &made {
                let row = &rows.files[file];
                let is_it = (row.uploader.as_str(), row.home.as_str(), row.sha256.as_str(), row.size)
                    == (&name_of(number), &sent.chat, &sent.sha256, sent.size);
                if !is_it {
                    wrong.push(format!("{file} is not what was sent as {}", sent.name));
                }
                ready.push((file.clone(), row.is_ready.then(|| sent.sha256.clone())));
            }
            if made.len() > 1 {
                wrong.push(format!("{} became {made:?}", sent.name));
            }
            perhaps += made.len();
            claimed.extend(made);
        }
    }
    let unknown = rows.files.iter().filter(|(file, row)| !claimed.contains(*file) && row.uploader != PROBE);
    wrong.extend(unknown.map(|(file, _)| format!("nobody sent {file}")));
    wrong.extend(check_events(&rows));
    println!(
        "{acknowledged} files were acknowledged, and {perhaps} happened of which nobody was told; {} blobs",
        rows.blobs.len()
    );
    wrong.extend(check_answers(nodes, &ready).await);
    wrong
}

fn replay(field: &Field, number: u32) -> Model {
    let mut model = Model::default();
    for (act, answer) in read(&field.journal(number)) {
        model.note(&act, &answer);
    }
    model
}

fn check_file(rows: &Rows, number: u32, file: &str, known: &Known) -> Vec<String> {
    let Some(row) = rows.files.get(file) else {
        return vec![format!("lost: {file}, acknowledged to client {number} as {}", known.sent.name)];
    };
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(format!("{file} of client {number}, {what}: {known:?}"));
        }
    };
    must(known.is_ready.allows(row.is_ready), if row.is_ready { "not deleted" } else { "deleted" });
    must(row.uploader == name_of(number) && row.home == known.sent.chat, "another's");
    must(row.sha256 == known.sent.sha256 && row.size == known.sent.size, "other bytes");
    must(known.names.contains(&row.name), &format!("called {}", row.name));
    // A deleted one keeps its attachments: an undelete needs them.
    let nowhere = HashSet::new();
    let attached = rows.attached.get(file).unwrap_or(&nowhere);
    for (chat, is) in known.attached.iter().filter(|_| row.is_ready) {
        must(is.allows(attached.contains(chat)), &format!("attached to {attached:?}"));
    }
    must(attached.iter().all(|chat| known.attached.contains_key(chat)), &format!("attached by nobody: {attached:?}"));
    wrong
}

fn check_events(rows: &Rows) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, row) in &rows.files {
        let (uploaded, deleted) = (rows.happened(file, "FILE_UPLOADED"), rows.happened(file, "FILE_DELETED"));
        if (uploaded, deleted) != (1, u32::from(!row.is_ready)) {
            wrong
                .push(format!("{file}, ready {}: {uploaded} events of its upload, {deleted} of its end", row.is_ready));
        }
    }
    wrong
}

/// Objects and rows are each other's, and each object is, byte for byte, what its row says.
async fn check_store(rows: &Rows, bucket: &Bucket) -> Vec<String> {
    let mut wrong: Vec<String> = bucket.multiparts().into_iter().map(|key| format!("open parts: {key}")).collect();
    let objects: BTreeMap<String, u64> = bucket.objects().into_iter().collect();
    wrong
        .extend(objects.keys().filter(|key| !rows.blobs.contains_key(*key)).map(|key| format!("without a row: {key}")));
    let needed: HashSet<&String> = rows.files.values().map(|row| &row.key).collect();
    wrong.extend(rows.blobs.keys().filter(|key| !needed.contains(key)).map(|key| format!("of no file: blob {key}")));
    let reads = rows.blobs.clone().into_iter().map(|(key, (size, sha256))| {
        let (bucket, there) = (bucket.clone(), objects.get(&key).copied());
        async move {
            if there != Some(size) {
                return Some(format!("the bytes of blob {key}: {there:?} instead of {size}"));
            }
            let reading = key.clone();
            let bytes = tokio::task::spawn_blocking(move || bucket.read(&reading)).await.expect("it is there");
            (samples::sha256(&bytes) != sha256).then(|| format!("the bytes of blob {key} are others"))
        }
    });
    wrong
        .extend(stream::iter(reads).buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect::<Vec<_>>().await);
    wrong
}

/// Every node serves what is ready, one of them all of its bytes, and none shows what is deleted.
async fn check_answers(nodes: &[Node], files: &[(String, Option<String>)]) -> Vec<String> {
    let channels: Vec<_> = nodes.iter().map(Node::channel).collect();
    // No operator: a file whose chats were all deleted, one after the other, is there, and for them out of reach.
    let caller = Service::all();
    let asked = files.iter().enumerate().map(|(i, (file, sha256))| {
        let (channels, caller) = (&channels, &caller);
        async move {
            let mut wrong = Vec::new();
            for (node, channel) in channels.iter().enumerate() {
                let whole = sha256.is_some() && i % channels.len() == node;
                let act = if whole { Act::Download { file: file.clone() } } else { Act::Get { file: file.clone() } };
                let told = perform(channel.clone(), caller, &act).await;
                let is_right = match (&told, sha256) {
                    (Ok(Told::Bytes(came)), Some(sha256)) => came == sha256,
                    (Ok(Told::File(row)), Some(sha256)) => row.sha256 == *sha256,
                    (Err(Call::Refused(status)), None) => reason_of(status) == "NOT_FOUND",
                    _ => false,
                };
                if !is_right {
                    wrong.push(format!("node {node} says of {file}, ready {}: {told:?}", sha256.is_some()));
                }
            }
            wrong
        }
    });
    stream::iter(asked).buffer_unordered(AT_ONCE).concat().await
}

/// What is under way, or was left by what was: in the database, in the spools, in the store.
pub fn left(nodes: &[Node], bucket: &Bucket) -> Vec<String> {
    let mut left: Vec<String> = nodes.iter().flat_map(Node::spooled).map(|path| path.display().to_string()).collect();
    left.extend(
        ask(&nodes[0], "SELECT node, state FROM uploads WHERE state <> 'DONE'").into_iter().map(|r| r.join(" ")),
    );
    left.extend(bucket.multiparts());
    let rows: HashSet<String> = ask(&nodes[0], "SELECT encode(key, 'hex') FROM blobs").into_iter().flatten().collect();
    left.extend(bucket.objects().into_iter().map(|(name, _)| name).filter(|name| !rows.contains(name)));
    left
}
