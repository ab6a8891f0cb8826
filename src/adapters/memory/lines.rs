//! All that is stored, as lines of text: what the tests compare with the tables of an engine.
//!
//! Not here: the engines' own lines (`adapters/tests/`). Ids that an engine counts by itself are left out, or named by
//! what they stand for: engines may count with gaps. So are leases: an engine has a clock of its own.

use data_encoding::HEXLOWER;

use super::{MemoryStore, Tables, actor_columns, erasing::ErasureRow, keys::KeyRow, uploads::State};
use crate::domain::{AgesAs, ChatSet, File, HoldOn, Permission, Person, Time};

/// One line of its columns; what is not there is `-`.
fn line<const N: usize>(table: &str, columns: [Option<String>; N]) -> String {
    let columns = columns.map(|column| column.unwrap_or_else(|| "-".to_owned()));
    format!("{table} {}", columns.join(" "))
}

fn text(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

/// A variant's name, in lower case without its underscores.
fn name(value: impl std::fmt::Debug) -> Option<String> {
    text(format!("{value:?}").to_lowercase())
}

fn hex(bytes: &[u8]) -> Option<String> {
    text(HEXLOWER.encode(bytes))
}

fn time(time: Time) -> Option<String> {
    text(time.0)
}

fn flag(value: bool) -> Option<String> {
    text(u8::from(value))
}

fn person(person: &Person) -> [Option<String>; 2] {
    [name(person.kind()), text(person.id())]
}

fn chats(chats: &ChatSet) -> Option<String> {
    match chats {
        ChatSet::All => text("*"),
        ChatSet::Only(ids) => text(ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
    }
}

fn ages_as(file: &File) -> Option<String> {
    match AgesAs::of(file.uploader.kind(), file.origin) {
        AgesAs::NoOne => None,
        somebody => name(somebody),
    }
}

fn key(KeyRow { key, hash }: &KeyRow) -> String {
    let holder = &key.holder;
    let [kind, id] = person(&holder.person);
    let names = Permission::ALL.iter().filter(|p| holder.permissions.has(**p)).map(|p| p.name());
    let ceiling = holder.ceiling.as_ref();
    let [made_kind, made_by, made_through] = actor_columns(&key.created_by);
    line(
        "access_keys",
        [
            hex(&key.id.0),
            hex(&hash.0),
            kind,
            id,
            text(names.collect::<Vec<_>>().join(" ")),
            chats(&holder.chats),
            holder.vid.as_ref().and_then(text),
            ceiling.and_then(|c| text(&c.service)),
            ceiling.and_then(|c| chats(&c.chats)),
            text(&key.label),
            made_kind,
            made_by,
            made_through,
            time(key.created_at),
            time(key.expires_at),
            key.retired_at.and_then(time),
        ],
    )
}

fn erasure(row: &ErasureRow) -> String {
    let [kind, id, service] = actor_columns(&row.by);
    let erased = &row.erased;
    line(
        "erasures",
        [
            text(&row.pseudonym),
            row.visitor.as_ref().and_then(text),
            text(row.why.as_str()),
            kind,
            id,
            service,
            time(row.begun_at),
            row.ended_at.and_then(time),
            text(erased.files),
            text(erased.bytes),
            text(erased.uploads),
            text(erased.events),
            text(erased.keys),
            text(row.held),
            text(erased.shared_blobs),
        ],
    )
}

impl MemoryStore {
    /// Every row of every table, each a line that begins with the table's name, sorted.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.read(Tables::lines);
        lines.sort_unstable();
        lines
    }
}

impl Tables {
    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for row in self.blobs.values() {
            let (blob, verdict) = (&row.blob, &row.blob.verdict);
            let (key, sha256) = (hex(&blob.key.0), hex(&blob.sha256.0));
            let found = [name(verdict.kind), text(&verdict.engine), text(&verdict.signatures), time(verdict.at)];
            let [kind, engine, signatures, at] = found;
            let signature = row.signature.clone();
            let state = name(blob.state);
            lines.push(line("blobs", [key, sha256, text(blob.size), state, kind, engine, signatures, at, signature]));
        }
        for row in self.files.values() {
            let (file, [kind, id]) = (&row.file, person(&row.file.uploader));
            let key = self.blobs.get(&row.blob).and_then(|row| hex(&row.blob.key.0));
            lines.push(line(
                "files",
                [
                    hex(&file.id.0),
                    hex(&file.code_hash.0),
                    key,
                    name(file.state),
                    text(file.display_name.as_str()),
                    text(file.extension.as_str()),
                    text(&file.media_type),
                    kind,
                    id,
                    file.home_chat.as_ref().and_then(text),
                    flag(file.persistent),
                    hex(&file.uploaded_sha256.0),
                    text(file.revision),
                    time(file.created_at),
                    file.deleted_at.and_then(time),
                    file.restored_at.and_then(time),
                    file.visitor_id.as_ref().and_then(text),
                    file.origin.and_then(name),
                    ages_as(file),
                ],
            ));
        }
        for ((number, chat), attached) in &self.attachments {
            let file = self.files.get(number).and_then(|row| hex(&row.file.id.0));
            let [kind, id] = person(&attached.by);
            let message = attached.message_id.clone();
            lines.push(line("attachments", [text(chat), file, message, kind, id, time(attached.at)]));
        }
        for chat in self.chats.values() {
            lines.push(line(
                "chats",
                [
                    text(&chat.id),
                    name(chat.status),
                    chat.owner.as_ref().and_then(text),
                    chat.closed_at.and_then(time),
                    chat.upload_override.and_then(flag),
                    text(chat.version),
                    flag(chat.deleted),
                ],
            ));
        }
        self.other_lines(&mut lines);
        lines
    }

    fn other_lines(&self, lines: &mut Vec<String>) {
        for upload in self.uploads.values() {
            let [kind, id] = person(&upload.person);
            let (state, done) = match upload.state {
                State::Running => ("running", [None, None, None]),
                State::Fenced => ("fenced", [None, None, None]),
                State::Buried => ("buried", [None, None, None]),
                State::Done { file, sha256, at } => ("done", [hex(&sha256.0), hex(&file.0), time(at)]),
            };
            let [sha256, file, ended] = done;
            lines.push(line(
                "uploads",
                [
                    hex(&upload.key.0),
                    text(&upload.node),
                    kind,
                    id,
                    upload.request_id.as_ref().and_then(|id| text(id.as_str())),
                    upload.target.chat().and_then(text),
                    upload.target.visitor().and_then(text),
                    text(state),
                    sha256,
                    file,
                    ended,
                    upload.multipart.as_ref().and_then(|parts| text(&parts.0)),
                ],
            ));
        }
        for (sha256, hit) in &self.hits {
            let (verdict, signature) = (&hit.verdict, text(&hit.signature));
            let [engine, signatures] = [text(&verdict.engine), text(&verdict.signatures)];
            let [made, at] = [hit.made.and_then(time), time(verdict.at)];
            lines.push(line("hits", [hex(&sha256.0), signature, engine, signatures, made, at]));
        }
        for stub in self.stubs.values() {
            lines.push(line("stubs", [hex(&stub.id.0), time(stub.created_at), time(stub.deleted_at)]));
        }
        for row in self.erasures.values() {
            lines.push(erasure(row));
            let noted = row.blobs.iter().filter_map(|id| self.blobs.get(id));
            lines.extend(noted.map(|blob| line("erasure_blobs", [text(&row.pseudonym), hex(&blob.blob.key.0)])));
        }
        for hold in self.holds.values() {
            let [kind, id, service] = actor_columns(&hold.put_by);
            let file = match &hold.on {
                HoldOn::File(id) => hex(&id.0),
                HoldOn::Chat(_) | HoldOn::Visitor(_) | HoldOn::Operator(_) => None,
            };
            let (on, matter) = (text(hold.on.kind()), text(hold.matter.as_str()));
            lines.push(line("holds", [on, text(hold.on.id()), file, matter, kind, id, service, time(hold.put_at)]));
        }
        for release in self.releases.values() {
            let [kind, id, service] = actor_columns(&release.by);
            let sha256 = release.sha256.and_then(|sha256| hex(&sha256.0));
            let told = [text(&release.signature), text(&release.reason)];
            let [signature, why] = told;
            lines.push(line("releases", [sha256, signature, why, kind, id, service]));
        }
        for (signature, hit) in &self.rescan_hits {
            lines.push(line("braked_signatures", hit.columns(signature).map(Some)));
        }
        for (sha256, (signatures, times)) in &self.scan_failures {
            lines.push(line("scan_failures", [hex(&sha256.0), text(signatures), text(times)]));
        }
        for (key, value) in &self.settings {
            lines.push(line("settings", [text(key), text(value)]));
        }
        for change in &self.settings_history {
            let [kind, id, service] = actor_columns(&change.actor);
            let old = change.old.as_ref().and_then(text);
            let version = text(change.version);
            let (key, new) = (text(change.key), text(&change.new));
            lines.push(line("settings_history", [version, key, old, new, time(change.at), kind, id, service]));
        }
        lines.extend(self.keys.values().map(key));
        lines.push(line("access_keys_version", [text(self.keys_version)]));
        if let Some(claim) = &self.claim {
            lines.push(line("store", [hex(&claim.id.0), text(&claim.place), flag(claim.confirmed)]));
        }
        for (at, event) in &self.events {
            let [kind, id, service] = actor_columns(&event.actor);
            lines.push(line(
                "events",
                [
                    time(*at),
                    text(event.kind.name()),
                    kind,
                    id,
                    service,
                    event.file.and_then(|id| hex(&id.0)),
                    event.chat.as_ref().and_then(text),
                    event.reason.and_then(|reason| text(reason.name())),
                    event.detail.clone(),
                ],
            ));
        }
    }
}
