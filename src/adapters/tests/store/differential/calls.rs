//! The calls of a random sequence: which, and what came back, told so that it can be compared.
//!
//! A call names an upload or a file by how many came before it, so that it means the same on both sides though each counts
//! its ids by itself. Not here: the calls themselves (`uploads.rs`, `files.rs`, `chats.rs`), where the sequence comes
//! from and what is compared at its end (the parent module).

use std::{collections::HashMap, fmt::Debug, sync::atomic::Ordering};

use super::{
    super::{Upload, World},
    draw::Draw,
};
use crate::{
    domain::{Caller, FileId, FileView, KeyId, MessageCode, Time, listing::FileRef},
    ports::{Intent, RescanLease, Stop, StoreError},
};

/// Which call, and what its arguments are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    what: u64,
    seed: u64,
}

impl Call {
    pub fn draw(draw: &mut Draw) -> Self {
        Self { what: draw.below(130), seed: draw.bits() }
    }
}

/// A call as it was made, and what came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub call: String,
    pub answer: String,
}

/// An upload that was begun.
#[derive(Clone)]
pub struct Running {
    pub intent: Intent,
    pub caller: Caller,
    pub upload: Upload,
}

/// A file that was committed.
#[derive(Clone)]
pub struct Made {
    pub id: FileId,
    pub code: MessageCode,
    pub etag: String,
}

/// One of the two stores, with what it calls things.
pub struct Side {
    pub world: World,
    pub begun: Vec<Running>,
    pub made: Vec<Made>,
    /// The hit that was told of last, for the bytes of each tag.
    pub hits: HashMap<u64, i64>,
    /// Keys made so far: their ids are drawn, not counted.
    pub keys: Vec<KeyId>,
    /// The last lease of the rescan.
    pub lease: Option<RescanLease>,
    /// Releases made so far, as they count them.
    pub releases: Vec<i64>,
}

impl Side {
    pub fn new(world: World) -> Self {
        let (begun, made, keys, releases) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { world, begun, made, hits: HashMap::new(), keys, lease: None, releases }
    }

    /// Makes a call, a second after the one before it.
    pub async fn ask(&mut self, at: usize, call: Call) -> Told {
        let mut draw = Draw::new(call.seed);
        let now = self.world.now();
        let (call, answer) = match call.what {
            0..14 => self.begin(at, &mut draw, now).await,
            14..30 => self.commit(at, &mut draw, now).await,
            30..34 => self.end(&mut draw, now).await,
            34..36 => self.parts(&mut draw).await,
            36..39 => self.leases(&mut draw, now).await,
            39..41 => self.before(&mut draw, now).await,
            41..44 => self.content(at, &mut draw, now).await,
            44..50 => self.find(&mut draw).await,
            50..61 => self.list(&mut draw, now).await,
            61..69 => self.attach(&mut draw, now).await,
            69..74 => self.detach(&mut draw, now).await,
            74..79 => self.update(&mut draw, now).await,
            79..82 => self.delete(&mut draw, now).await,
            82..89 => self.put_chats(&mut draw, now).await,
            89..92 => self.read_chats(&mut draw).await,
            92..94 => self.delete_chat(&mut draw, now).await,
            94..97 => self.change_settings(&mut draw, now).await,
            97 => self.pair(&mut draw).await,
            98..103 => self.keys(at, &mut draw, now).await,
            103..106 => self.restore(&mut draw, now).await,
            106..112 => self.holds(&mut draw, now).await,
            112..116 => self.purge(&mut draw, now).await,
            116..124 => self.rescan(&mut draw, now).await,
            124..128 => self.releases(&mut draw, now).await,
            _ => {
                let secs = draw.of(&[61, 600, 86_400]);
                self.world.now.fetch_add(secs * Time::SECOND, Ordering::Relaxed);
                (format!("wait {secs} s"), String::new())
            }
        };
        Told { call: format!("{at}: {call}"), answer }
    }

    /// One of the uploads begun so far: rather a late one.
    pub fn running(&self, draw: &mut Draw) -> Option<(usize, Running)> {
        let last = self.begun.len().checked_sub(1)?;
        let back = if draw.once_in(4) { draw.below(self.begun.len() as u64) } else { draw.below(4) };
        let which = last.saturating_sub(back as usize);
        Some((which, self.begun[which].clone()))
    }

    /// One of the files made so far, by id or by code; once in a while one that is not there.
    pub fn file(&self, draw: &mut Draw) -> (String, FileRef, Option<Made>) {
        if self.made.is_empty() || draw.once_in(20) {
            return ("no file".to_owned(), FileRef::Id(FileId([0; 16])), None);
        }
        let which = draw.below(self.made.len() as u64) as usize;
        let made = self.made[which].clone();
        let by = if draw.once_in(2) { FileRef::Id(made.id) } else { FileRef::Code(made.code) };
        (format!("file {which}"), by, Some(made))
    }
}

/// A view without what an engine counts by itself.
pub fn plain_view(mut view: FileView) -> FileView {
    (view.file.number, view.blob.id) = (0, 0);
    view
}

fn plain_error(error: StoreError) -> String {
    match error {
        // It names the value in words of its own.
        StoreError::Duplicate(_) => "duplicate".to_owned(),
        other => format!("{other:?}"),
    }
}

/// An answer of what may be refused.
pub fn plain<T: Debug>(answer: Result<T, Stop>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(Stop::Refused(refusal)) => format!("{refusal:?}"),
        Err(Stop::Failed(error)) => plain_error(error),
    }
}

/// An answer of what may only fail.
pub fn sure<T: Debug>(answer: Result<T, StoreError>) -> String {
    plain(answer.map_err(Stop::Failed))
}
