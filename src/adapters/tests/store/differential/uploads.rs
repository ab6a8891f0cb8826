//! Random calls on uploads and on what is known of bytes.
//!
//! Not here: the other calls (`files.rs`, `chats.rs`).

use std::sync::Arc;

use super::{
    super::{GRACE, Upload, sha, verdict},
    calls::{Made, Running, Side, plain, plain_view, sure},
    draw::Draw,
};
use crate::{
    domain::{
        Actor, BlobKey, CodeHash, Event, EventKind, FileId, Hit, Reason, Time, Verdict, VerdictKind,
        admission::{self, Declared, Service},
    },
    ports::{Admit, Begun, BytesAt, Commit, Committed, Intent, MultipartId, NewUpload},
};

/// Longer than a sequence takes on any clock, in seconds: leases end when they are told to.
const LONG: i64 = 1_000_000_000;

/// Bytes that are of this call alone.
fn fresh(at: usize, kind: u8) -> [u8; 16] {
    let mut id = [kind; 16];
    id[..8].copy_from_slice(&(at as u64).to_be_bytes());
    id
}

impl Side {
    pub async fn begin(&mut self, at: usize, draw: &mut Draw, now: Time) -> (String, String) {
        let (caller, settings) = (draw.caller(), draw.settings());
        let tag = draw.below(5);
        let upload = Upload {
            name: draw.name().to_owned(),
            tag,
            size: 10 + tag,
            request_id: draw.maybe(|draw| draw.of(&["r1", "r2", "r3"]).to_owned()),
            message_id: draw.maybe(|draw| draw.of(&["m1", "m2"]).to_owned()),
            persistent: if draw.once_in(4) { Some(draw.once_in(2)) } else { None },
            origin: if draw.once_in(3) { Some(draw.origin()) } else { None },
            ..Upload::to(draw.target())
        };
        let declared = Declared {
            target: upload.target.clone(),
            name: upload.name.clone(),
            content_type: String::new(),
            size: None,
            sha256: None,
            persistent: upload.persistent,
            request_id: None,
            message_id: upload.message_id.clone(),
            origin: upload.origin,
        };
        let asking = caller.clone();
        let health = Service { scanner_healthy: true, room_bytes: u64::MAX };
        let admit: Admit = Arc::new(move |chat| admission::admit(&asking, declared.clone(), chat, &settings, health));
        let new = NewUpload {
            key: BlobKey(fresh(at, 1)),
            node: draw.of(&["n1", "n2"]).to_owned(),
            person: caller.person.clone(),
            request_id: upload.request_id.as_ref().map(|id| id.parse().expect("valid")),
            target: upload.target.clone(),
            now,
            lease_secs: LONG,
        };
        let call = format!("begin {:?} {} {:?}", upload.target, caller.person, upload.request_id);
        let answer = match self.world.store.begin_upload(new, admit).await {
            Ok(Begun::Started(intent, admitted)) => {
                self.begun.push(Running { intent, caller, upload });
                format!("upload {} {admitted:?}", self.begun.len() - 1)
            }
            other => plain(other),
        };
        (call, answer)
    }

    pub async fn commit(&mut self, at: usize, draw: &mut Draw, now: Time) -> (String, String) {
        let Some((which, Running { intent, caller, upload })) = self.running(draw) else {
            return ("commit of nothing".to_owned(), String::new());
        };
        let kind = draw.verdict_kind();
        let found = Verdict { at: now.plus_secs(-(draw.below(5) as i64)), ..verdict(kind, draw.of(&["1", "2", "3"])) };
        // Its own bytes, the same ones that are known, others that are, or a blob that never was.
        let (how, shared) = match draw.below(8) {
            0..4 => ("published", None),
            4..6 => ("shared", Some(upload.tag)),
            6 => ("shared with others", Some((upload.tag + 1) % 5)),
            _ => ("shared with nothing", Some(99)),
        };
        let bytes = match shared {
            None => BytesAt::Published,
            Some(tag) => {
                let known = self.world.store.find_blob(sha(tag), 10 + tag).await.expect("finds");
                BytesAt::Shared(known.map_or(-1, |blob| blob.id))
            }
        };
        let weighed = if draw.once_in(2) { self.hits.get(&upload.tag).copied() } else { None };
        // As after a lost answer: the same file again.
        let again = if draw.once_in(10) { self.made.last().map(|made| made.id) } else { None };
        let commit = Commit {
            intent: if draw.once_in(20) { Intent { key: BlobKey([9; 16]), ..intent } } else { intent },
            cleared: self.world.cleared(&upload, kind),
            caller,
            file_id: again.unwrap_or(FileId(fresh(at, 2))),
            code_hash: CodeHash(fresh(at, 3)),
            bytes,
            verdict: found,
            weighed,
            grace_secs: GRACE,
            now,
        };
        let call = format!("commit upload {which} {how} {kind:?}{}", if again.is_some() { " again" } else { "" });
        let answer = match self.world.store.commit_upload(commit).await {
            Ok(Committed::Ready(view)) => {
                if self.made.iter().all(|made| made.id != view.file.id) {
                    let (id, code, etag) = (view.file.id, view.file.message_code(), view.file.etag());
                    self.made.push(Made { id, code, etag });
                }
                format!("{:?}", plain_view(*view))
            }
            Ok(Committed::Hit(hit)) => {
                self.hits.insert(upload.tag, hit.number);
                format!("{:?}", Hit { number: 0, ..*hit })
            }
            other => plain(other),
        };
        (call, answer)
    }

    pub async fn end(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let Some((which, running)) = self.running(draw) else { return ("end of nothing".to_owned(), String::new()) };
        if draw.once_in(4) {
            return (format!("end buried upload {which}"), sure(self.world.store.end_buried(running.intent).await));
        }
        if draw.once_in(2) {
            let fenced = self.world.store.fence_upload(running.intent).await;
            return (format!("fence upload {which}"), sure(fenced));
        }
        let event = Event::new(EventKind::UploadRefused, Actor::from(&running.caller)).reason(Reason::Infected);
        let event = event.detail("Eicar").chat(running.upload.target.chat().cloned());
        let stays = draw.of(&[0, LONG]);
        let aborted = self.world.store.abort_upload(running.intent, event, now, stays).await;
        (format!("abort upload {which}, which stays {stays} s"), sure(aborted))
    }

    pub async fn parts(&mut self, draw: &mut Draw) -> (String, String) {
        let Some((which, running)) = self.running(draw) else { return ("parts of nothing".to_owned(), String::new()) };
        if draw.once_in(2) {
            let parts = MultipartId(draw.of(&["p1", "p2"]).to_owned());
            let noted = self.world.store.note_multipart(running.intent, &parts).await;
            return (format!("note {parts:?} of upload {which}"), plain(noted));
        }
        (format!("parts of upload {which}"), sure(self.world.store.find_multipart(running.intent).await))
    }

    pub async fn leases(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        match draw.below(5) {
            2 => {
                self.world.pass(2 * LONG);
                ("all leases end".to_owned(), String::new())
            }
            0 => {
                let alive: Vec<_> = (0..2).filter_map(|_| self.running(draw)).collect();
                let numbers: Vec<usize> = alive.iter().map(|(which, _)| *which).collect();
                let alive: Vec<Intent> = alive.into_iter().map(|(_, running)| running.intent).collect();
                let renewed = self.world.store.renew_leases(&alive, now, LONG).await;
                (format!("renew {numbers:?}"), sure(renewed))
            }
            1 => ("trim".to_owned(), sure(self.world.store.trim_request_ids(now).await)),
            _ => {
                let (own, limit) = (draw.of(&[None, Some("n1"), Some("n3")]), draw.of(&[1, 3, 1_000]));
                let dead = self.world.store.list_dead_uploads(own, now, limit).await;
                let keys =
                    dead.map(|dead| dead.into_iter().map(|dead| (dead.intent.key, dead.buried)).collect::<Vec<_>>());
                (format!("dead of {own:?}, {limit}"), sure(keys))
            }
        }
    }

    pub async fn before(&mut self, draw: &mut Draw, now: Time) -> (String, String) {
        let (person, id) = (draw.caller().person, draw.of(&["r1", "r2", "r3"]));
        let found = self.world.store.find_before(&person, &id.parse().expect("valid"), now).await;
        (format!("before {person} {id}"), sure(found))
    }

    pub async fn content(&mut self, at: usize, draw: &mut Draw, now: Time) -> (String, String) {
        let tag = draw.below(5);
        match draw.below(4) {
            0 => {
                let hit = Verdict { at: now, ..verdict(VerdictKind::Infected, "3") };
                let hit = Verdict { signatures: draw.of(&["1", "2", "3"]).to_owned(), ..hit };
                let made = draw.maybe(|draw| Time::from_secs(draw.below(3) as i64));
                let hits = self.world.store.quarantine(sha(tag), hit, "Eicar", made).await;
                (format!("quarantine {tag}"), sure(hits))
            }
            1 => {
                let event = Event::new(EventKind::BlobCorrupt, Actor::SYSTEM).detail(at.to_string());
                ("record".to_owned(), sure(self.world.store.record(event, now).await))
            }
            _ => {
                let size = 10 + if draw.once_in(5) { 0 } else { tag };
                let found = self.world.store.find_blob(sha(tag), size).await;
                let found = found.map(|found| found.map(|blob| (blob.key, blob.state, blob.verdict)));
                (format!("blob {tag} of {size}"), sure(found))
            }
        }
    }
}
